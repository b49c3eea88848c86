//! What a process has used, from `/proc`.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::param::clock_ticks_per_second;

/// CPU time of all threads, in user and kernel, since the process began. It moves in steps of a clock tick
/// (10 ms): measure over a second or more.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    ticks(&text)
        .map(|ticks| {
            Duration::from_secs(1) * ticks / u32::try_from(clock_ticks_per_second()).unwrap_or(100)
        })
        .with_context(|| format!("{path} is not as the kernel writes it: {text:?}"))
}

/// The same of several together; `None` of none.
pub(crate) fn cpu_time_of(pids: &[u32]) -> Result<Option<Duration>> {
    let each = pids.iter().map(|pid| cpu_time(*pid)).collect::<Result<Vec<_>>>()?;
    Ok((!each.is_empty()).then(|| each.into_iter().sum()))
}

/// Resident and proportional bytes of memory.
pub(crate) fn memory(pid: u32) -> Result<(u64, u64)> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let field = |name| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib << 10)
    };
    field("Rss:").zip(field("Pss:")).with_context(|| format!("{path} has no Rss and Pss"))
}

/// utime and stime: the 14th and 15th field. The second, the name, may hold blanks and brackets.
fn ticks(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split(' ').skip(11);
    Some(fields.next()?.parse::<u32>().ok()? + fields.next()?.parse::<u32>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_brackets_moves_no_field() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 30 12 0 0 20 0 1 0 5 6 7";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("7 (a"), None);
    }
}
