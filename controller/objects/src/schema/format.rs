//! The formats of strings that the real server enforces.
//!
//! Lives here: one predicate by name of format; durations. Unknown formats hold for every text. Start at
//! [`holds`]. Source: `k8s.io/kube-openapi/pkg/validation/strfmt`.

use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Whether `text` is of this format; formats that nobody knows hold always.
pub(crate) fn holds(format: &str, text: &str) -> bool {
    match format {
        "date" => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
        "date-time" | "datetime" => is_date_time(text),
        "duration" => duration(text).is_some(),
        "email" => is_email(text),
        "hostname" => is_hostname(text),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "ip" => text.parse::<std::net::IpAddr>().is_ok(),
        "cidr" => is_cidr(text),
        "mac" => is_mac(text),
        "uri" => is_uri(text),
        "uuid" | "uuid3" | "uuid4" | "uuid5" => is_uuid(format, text),
        "byte" => STANDARD.decode(text).is_ok(),
        "bsonobjectid" => text.len() == 24 && text.bytes().all(|b| b.is_ascii_hexdigit()),
        _ => true,
    }
}

/// Nanoseconds of a duration: Go's form (`1h30m`), or words (`1d`, `2 weeks`).
pub(crate) fn duration(text: &str) -> Option<i64> {
    go_duration(text).or_else(|| worded_duration(text))
}

fn go_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0_i128;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let scale = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        total = total.checked_add(scaled(number, scale)?)?;
        rest = tail;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

fn worded_duration(text: &str) -> Option<i64> {
    let mut rest = text.trim();
    let mut total = 0_i128;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let tail = tail.trim_start();
        let unit_end = tail.find(|c: char| !c.is_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let second = 1_000_000_000_i128;
        let scale = match unit.to_lowercase().as_str() {
            "ns" | "nano" | "nanos" | "nanosecond" | "nanoseconds" => 1,
            "us" | "µs" | "micro" | "micros" | "microsecond" | "microseconds" => 1_000,
            "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => 1_000_000,
            "s" | "sec" | "secs" | "second" | "seconds" => second,
            "m" | "min" | "mins" | "minute" | "minutes" => 60 * second,
            "h" | "hr" | "hrs" | "hour" | "hours" => 3600 * second,
            "d" | "day" | "days" => 86_400 * second,
            "w" | "wk" | "week" | "weeks" => 604_800 * second,
            _ => return None,
        };
        total = total.checked_add(scaled(number, scale)?)?;
        rest = tail.trim_start();
    }
    i64::try_from(total).ok()
}

/// `number × scale`, of which the number may have decimals.
fn scaled(number: &str, scale: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || whole.len() > 19 {
        return None;
    }
    let digits = |text: &str| match text {
        "" => Some(0_i128),
        text => text.parse().ok(),
    };
    let fraction = &fraction[..fraction.len().min(15)];
    let power = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    Some(digits(whole)?.checked_mul(scale)? + digits(fraction)?.checked_mul(scale)? / power)
}

fn is_date_time(text: &str) -> bool {
    text.as_bytes().get(10).is_some_and(|b| matches!(b, b'T' | b't'))
        && text.parse::<jiff::Timestamp>().is_ok()
}

fn is_email(text: &str) -> bool {
    text.rsplit_once('@').is_some_and(|(user, host)| {
        !user.is_empty()
            && !user.contains(|c: char| c.is_whitespace() || "<>()[],;:\\".contains(c))
            && !host.is_empty()
            && host.split('.').all(|label| !label.is_empty())
            && host.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '.'))
    })
}

fn is_hostname(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
    };
    text.len() <= 253 && text.split('.').all(label)
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let Ok(bits) = bits.parse::<u8>() else { return false };
    (address.parse::<Ipv4Addr>().is_ok() && bits <= 32)
        || (address.parse::<Ipv6Addr>().is_ok() && bits <= 128)
}

fn is_mac(text: &str) -> bool {
    let separator = if text.contains('-') { '-' } else { ':' };
    let parts: Vec<&str> = text.split(separator).collect();
    matches!(parts.len(), 6 | 8 | 20)
        && parts.iter().all(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// What Go's `url.ParseRequestURI` takes: absolute, or a path from the root.
fn is_uri(text: &str) -> bool {
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return false;
    }
    if text.starts_with('/') {
        return true;
    }
    text.split_once(':').is_some_and(|(scheme, rest)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
            && !rest.is_empty()
    })
}

fn is_uuid(format: &str, text: &str) -> bool {
    let hex: Vec<u8> = text.bytes().filter(|b| *b != b'-').collect();
    let dashes: Vec<usize> = text.match_indices('-').map(|(at, _)| at).collect();
    let version = match format {
        "uuid3" => Some(b'3'),
        "uuid4" => Some(b'4'),
        "uuid5" => Some(b'5'),
        _ => None,
    };
    hex.len() == 32
        && hex.iter().all(u8::is_ascii_hexdigit)
        && (dashes.is_empty() || dashes == [8, 13, 18, 23])
        && version.is_none_or(|version| hex[12] == version)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn formats_hold_or_do_not() {
        let cases = [
            ("date", "2026-01-31", "2026-02-31"),
            ("date-time", "2026-01-01T00:00:00Z", "2026-01-01 00:00:00"),
            ("date-time", "2026-01-01T00:00:00.5+02:00", "soon"),
            ("duration", "1h30m", "zz"),
            ("duration", "1d", "1"),
            ("email", "a@b.c", "a@"),
            ("hostname", "a-b.example", "-a"),
            ("ipv4", "10.0.0.1", "10.0.0.256"),
            ("ipv6", "::1", "1::2::3"),
            ("cidr", "10.0.0.0/8", "10.0.0.0/33"),
            ("mac", "00:11:22:aa:bb:cc", "00:11:22"),
            ("uri", "https://a/b", "a b"),
            ("uuid", "7d444840-9dc0-11d1-b245-5ffdce74fad2", "7d44"),
            (
                "uuid4",
                "f47ac10b-58cc-4372-a567-0e02b2c3d479",
                "7d444840-9dc0-11d1-b245-5ffdce74fad2",
            ),
            ("byte", "aGk=", "a"),
            ("bsonobjectid", "507f1f77bcf86cd799439011", "x"),
        ];
        for (format, good, bad) in cases {
            assert!(holds(format, good), "{format} {good}");
            assert!(!holds(format, bad), "{format} {bad}");
        }
        assert!(holds("no-such-format", "anything"));
    }

    #[test]
    fn durations_are_exact() {
        let second = 1_000_000_000;
        let cases = [
            ("1h30m", 5400 * second),
            ("1.5s", 1_500_000_000),
            ("-2m", -120 * second),
            ("0", 0),
            ("1d", 86_400 * second),
            ("2 weeks", 1_209_600 * second),
            ("100ms", 100_000_000),
        ];
        for (text, nanos) in cases {
            assert_eq!(duration(text), Some(nanos), "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "[0-9a-zµ.:@/ -]{0,40}") {
            for format in ["date", "date-time", "duration", "email", "cidr", "mac", "uri", "uuid4", "byte"] {
                let _ = holds(format, &text);
            }
        }
    }
}
