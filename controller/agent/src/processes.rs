//! The processes of a container where no cgroup lists them.
//!
//! A process belongs to the container whose id is in its environment (which a child inherits), or whose
//! first process is its ancestor or began its session. Only processes below the holder, the reaper of
//! orphans, are judged by the latter: a pid that was given out again must not count.

use std::collections::BTreeMap;
use std::fs;

/// The variable in every task's environment that names its container.
pub(crate) const CONTAINER_VARIABLE: &str = "MESOS_CONTAINER_ID";

/// What one process's line in `/proc` tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Process {
    parent: i32,
    session: i32,
}

/// The processes of `container` that are alive. `holder` and `first` are pids.
pub(crate) fn of_container(holder: i32, first: Option<i32>, container: &str) -> Vec<i32> {
    let all = table();
    let marked = |pid: i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let wanted = format!("{CONTAINER_VARIABLE}={container}");
        environment.split(|&b| b == 0).any(|variable| variable == wanted.as_bytes())
    };
    members(&all, holder, first, marked)
}

fn members(
    all: &BTreeMap<i32, Process>,
    holder: i32,
    first: Option<i32>,
    marked: impl Fn(i32) -> bool,
) -> Vec<i32> {
    all.iter()
        .filter(|&(&pid, process)| {
            let line = ancestors(all, pid);
            let related = |first| pid == first || process.session == first || line.contains(&first);
            (line.contains(&holder) && first.is_some_and(related)) || marked(pid)
        })
        .map(|(&pid, _)| pid)
        .collect()
}

/// The parent, its parent, and so on. Bounded: the table is read while it changes and may have loops.
fn ancestors(all: &BTreeMap<i32, Process>, pid: i32) -> Vec<i32> {
    let mut line = Vec::new();
    let mut at = pid;
    while let Some(process) = all.get(&at) {
        if process.parent <= 1 || line.contains(&process.parent) {
            break;
        }
        line.push(process.parent);
        at = process.parent;
    }
    line
}

fn table() -> BTreeMap<i32, Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return BTreeMap::new() };
    entries
        .filter_map(|entry| {
            let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            // A process that ends meanwhile is simply not listed.
            Some((pid, parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?))
        })
        .collect()
}

/// Source: `proc(5)`, `/proc/pid/stat`. `None` for zombies too: they need no signal.
fn parse(stat: &str) -> Option<Process> {
    // The name may hold anything, so count from its closing bracket.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    Some(Process { parent, session })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_line_is_read_behind_a_hostile_name() {
        let line = "42 (a) S 9 (b) S 7 42 40 0 -1";
        assert_eq!(parse(line), Some(Process { parent: 7, session: 40 }));
        assert_eq!(parse("42 (a) Z 7 42 40 0"), None);
        assert_eq!(parse("nonsense"), None);
    }

    #[test]
    fn children_daemons_and_marked_orphans_belong_and_strangers_do_not() {
        let process = |parent, session| Process { parent, session };
        let all = BTreeMap::from([
            (10, process(1, 10)),  // the holder
            (20, process(10, 20)), // the first process
            (21, process(20, 20)),
            (22, process(21, 22)), // a session of its own, still below
            (23, process(10, 20)), // an orphan of the session
            (24, process(10, 24)), // an orphan in a session of its own
            (30, process(10, 30)), // another task
            (40, process(1, 20)),  // the pid of another session, given out again
        ]);
        assert_eq!(members(&all, 10, Some(20), |pid| pid == 24), [20, 21, 22, 23, 24]);
        assert_eq!(members(&all, 10, None, |pid| pid == 24), [24]);
    }
}
