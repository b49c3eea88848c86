//! Collection of the sandboxes of tasks that are over.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How long a sandbox is kept on an empty disk. Source: Mesos `--gc_delay`.
const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);
/// The part of the disk that shall stay free. Source: Mesos `--gc_disk_headroom`.
const HEADROOM: f64 = 0.1;
/// The most sandboxes kept, however young: a task that fails at once again and again makes many.
const MOST: usize = 1000;

/// Removes what is due below `sandboxes` (`…/slaves`), never a sandbox of `live` containers. Returns how many.
/// Symbolic links are not followed.
pub(crate) fn collect(sandboxes: &Path, live: &BTreeSet<String>, now: SystemTime) -> usize {
    let mut over: Vec<(SystemTime, PathBuf)> = runs(sandboxes)
        .into_iter()
        .filter(|run| {
            !run.file_name().and_then(|n| n.to_str()).is_some_and(|name| live.contains(name))
        })
        .filter_map(|run| Some((fs::metadata(&run).ok()?.modified().ok()?, run)))
        .collect();
    over.sort();
    let due = due(over.len(), allowed_age(disk_usage(sandboxes)), |at| {
        now.duration_since(over[at].0).unwrap_or_default()
    });
    for (_, run) in &over[..due] {
        if let Err(error) = fs::remove_dir_all(run) {
            tracing::warn!(sandbox = %run.display(), %error, "cannot collect a sandbox");
            continue;
        }
        remove_parents(run, sandboxes);
    }
    due
}

/// How many of `count` sandboxes, oldest first, are to go.
fn due(count: usize, allowed: Duration, age: impl Fn(usize) -> Duration) -> usize {
    let too_old = (0..count).take_while(|&at| age(at) > allowed).count();
    too_old.max(count.saturating_sub(MOST))
}

/// Source: Mesos `Slave::_checkDiskUsage`.
fn allowed_age(disk_usage: f64) -> Duration {
    KEEP.mul_f64((1.0 - HEADROOM - disk_usage).clamp(0.0, 1.0))
}

/// The used part of the disk, 0.0 to 1.0; 0.0 when it cannot be told.
fn disk_usage(path: &Path) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a ratio of blocks needs no last digit")]
    match rustix::fs::statvfs(path) {
        Ok(disk) if disk.f_blocks > 0 => 1.0 - disk.f_bavail as f64 / disk.f_blocks as f64,
        _ => 0.0,
    }
}

/// Every `<agent>/frameworks/<f>/executors/<e>/runs/<container>`.
fn runs(sandboxes: &Path) -> Vec<PathBuf> {
    let below = |dirs: Vec<PathBuf>, name: &str| -> Vec<PathBuf> {
        dirs.iter().flat_map(|dir| directories(&dir.join(name))).collect()
    };
    let agents = directories(sandboxes);
    below(below(below(agents, "frameworks"), "executors"), "runs")
}

fn directories(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// Removes the directories above a run that hold nothing any more.
fn remove_parents(run: &Path, top: &Path) {
    for dir in run.ancestors().skip(1).take_while(|dir| *dir != top) {
        // `latest` may point at what is gone.
        let latest = dir.join("latest");
        if latest.is_symlink() && !latest.exists() {
            let _ = fs::remove_file(&latest);
        }
        if fs::remove_dir(dir).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{Layout, Run};

    #[test]
    fn old_sandboxes_go_and_live_ones_stay() {
        let work = tempfile::tempdir().expect("a directory");
        let layout = Layout::new(work.path().to_owned());
        for (executor, container) in [("a", "c1"), ("b", "c2")] {
            let run = Run { agent: "S0", framework: "F", executor, container };
            layout.make_sandbox(&run, None).expect("made");
        }
        let live = BTreeSet::from(["c2".to_owned()]);
        let later = SystemTime::now() + KEEP + Duration::from_secs(60);
        assert_eq!(collect(&layout.sandboxes(), &live, SystemTime::now() - KEEP), 0);
        assert_eq!(collect(&layout.sandboxes(), &live, later), 1);
        let executors = work.path().join("slaves/S0/frameworks/F/executors");
        assert!(!executors.join("a").exists());
        assert!(executors.join("b/runs/c2/stdout").is_file());
    }

    #[test]
    fn a_full_disk_shortens_the_time_and_a_crash_loop_is_bounded() {
        assert_eq!(allowed_age(0.0), KEEP.mul_f64(0.9));
        assert_eq!(allowed_age(0.95), Duration::ZERO);
        let young = |_| Duration::ZERO;
        assert_eq!(due(MOST + 7, KEEP, young), 7);
        assert_eq!(due(MOST, KEEP, young), 0);
    }
}
