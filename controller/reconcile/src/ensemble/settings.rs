//! The keys of `zoo.cfg` that a spec means, but for folders, addresses and members.

use crds::{Compression, EnsembleSpec, GoDuration, Quantity};

/// The keys with their values; else which value cannot be meant, and how to write it.
pub(crate) fn keys(spec: &EnsembleSpec) -> Result<Vec<(String, String)>, String> {
    let timing = &spec.timing;
    // The controller's own questions must be answered.
    let mut words = spec.four_letter_words.clone();
    words.extend(["mntr", "srvr"].map(str::to_owned));
    words.sort();
    words.dedup();
    let mut keys = vec![
        ("tickTime".to_owned(), millis("spec.timing.tick", &timing.tick)?),
        ("initLimit".to_owned(), timing.init_limit.to_string()),
        ("syncLimit".to_owned(), timing.sync_limit.to_string()),
        ("maxClientCnxns".to_owned(), spec.limits.connections_per_address.to_string()),
        ("jute.maxbuffer".to_owned(), request_size(spec)?),
        ("snapCount".to_owned(), spec.snapshots.every.to_string()),
        ("autopurge.snapRetainCount".to_owned(), spec.retention.snapshots.to_string()),
        ("4lw.commands.whitelist".to_owned(), words.join(",")),
    ];
    let limits = &spec.limits;
    if let Some(all) = limits.connections {
        keys.push(("maxCnxns".into(), all.to_string()));
    }
    if let Some(requests) = limits.outstanding_requests {
        keys.push(("globalOutstandingLimit".into(), requests.to_string()));
    }
    if let Some(size) = &spec.retention.size {
        keys.push(("autopurge.sizeLimitInKb".into(), retained(size)?));
    }
    if let Some(compression) = spec.snapshots.compression {
        let method = match compression {
            Compression::None => "",
            Compression::Gzip => "gz",
            Compression::Snappy => "snappy",
        };
        keys.push(("snapshot.compression.method".into(), method.into()));
    }
    if let Some(shortest) = &timing.min_session_timeout {
        keys.push(("minSessionTimeout".into(), millis("spec.timing.minSessionTimeout", shortest)?));
    }
    if let Some(longest) = &timing.max_session_timeout {
        keys.push(("maxSessionTimeout".into(), millis("spec.timing.maxSessionTimeout", longest)?));
    }
    // What a person wrote by name comes last and replaces ours.
    keys.retain(|(key, _)| !spec.config.contains_key(key));
    keys.extend(spec.config.iter().map(|(key, value)| (key.clone(), value.clone())));
    Ok(keys)
}

fn millis(path: &str, duration: &GoDuration) -> Result<String, String> {
    let value = duration.value().map(|value| value.as_millis());
    value
        .filter(|millis| (1..=i32::MAX as u128).contains(millis))
        .map(|m| m.to_string())
        .ok_or_else(|| {
            format!("{path}: {:?} is not between 1ms and 596h; write it like 2s", duration.0)
        })
}

fn retained(size: &Quantity) -> Result<String, String> {
    let kib = size.units().map(|bytes| bytes >> 10).filter(|kib| *kib >= LEAST_RETAINED_KIB);
    kib.map(|kib| kib.to_string()).ok_or_else(|| {
        format!("spec.retention.size: {:?} is not 256Mi or more; write it like 10Gi", size.0)
    })
}

fn request_size(spec: &EnsembleSpec) -> Result<String, String> {
    let bytes = spec.limits.request_size.units();
    let bytes = bytes.filter(|bytes| (1_024..=i64::from(i32::MAX)).contains(bytes));
    bytes.map(|bytes| bytes.to_string()).ok_or_else(|| {
        format!(
            "spec.limits.requestSize: {:?} is not between 1Ki and 2047Mi; write it like 4Mi",
            spec.limits.request_size.0
        )
    })
}

/// Four of the steps by which a log grows.
const LEAST_RETAINED_KIB: i64 = 256 << 10;
