//! Which hierarchies this host offers, and where in them a pool's groups go.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::hybrid::Hybrid;
use crate::v1::{self, V1};
use crate::v2::{self, V2};
use crate::{ContainerId, DetectError, Enforcer, files};

/// Without these a v1 host is of no use, so being refused one of them is an error.
const ESSENTIAL: [&str; 3] = ["cpu", "memory", "pids"];

/// Where to look and what to call the groups.
#[derive(Clone, Debug)]
pub struct Options {
    /// Only hierarchies mounted at or below this directory; a directory that is no mount is taken as a
    /// v2 tree when it holds `cgroup.controllers`. `None`: wherever they are mounted.
    pub root: Option<PathBuf>,
    /// The pool: the directory below `troupe` that holds the containers' groups.
    pub pool: String,
}

/// Finds the host's hierarchies, makes the pool's directories in them, and returns what drives them.
///
/// Reads `/proc/self/mountinfo` and `/proc/self/cgroup` once. Each controller's base is the mount's root if
/// this process may write there, else its own group.
pub fn detect(options: &Options) -> Result<Arc<dyn Enforcer>, DetectError> {
    if ContainerId::try_from(options.pool.clone()).is_err() {
        return Err(DetectError::PoolName(options.pool.clone()));
    }
    let table = |path: &str| {
        fs::read_to_string(path).map_err(|source| DetectError::Read { path: path.into(), source })
    };
    let own = OwnGroups::parse(&table("/proc/self/cgroup")?);
    let mounts = Mounts::find(&table("/proc/self/mountinfo")?, options.root.as_deref());
    mounts.open(&own, &options.pool, options.root.as_ref())
}

/// A mounted hierarchy: where, and which group of it is at that place.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Mount {
    point: PathBuf,
    shown: String,
}

/// The cgroup filesystems of a mount table.
#[derive(Debug, Default, Eq, PartialEq)]
struct Mounts {
    v1: BTreeMap<&'static str, Mount>,
    unified: Option<Mount>,
}

impl Mounts {
    fn find(mountinfo: &str, root: Option<&Path>) -> Self {
        let mut found = Self::parse(mountinfo, root);
        if let (None, true, Some(root)) = (&found.unified, found.v1.is_empty(), root)
            && root.join("cgroup.controllers").is_file()
        {
            found.unified = Some(Mount { point: root.to_owned(), shown: "/".to_owned() });
        }
        found
    }

    /// Source of the format: `proc(5)`, `/proc/pid/mountinfo`. The first mount of a hierarchy counts.
    fn parse(mountinfo: &str, root: Option<&Path>) -> Self {
        let mut found = Self::default();
        for line in mountinfo.lines() {
            let Some((place, filesystem)) = line.split_once(" - ") else { continue };
            let mut place = place.split(' ').skip(3);
            let (Some(shown), Some(point)) = (place.next(), place.next()) else { continue };
            let mount = Mount { point: unescape(point).into(), shown: unescape(shown) };
            if root.is_some_and(|root| !mount.point.starts_with(root)) {
                continue;
            }
            let mut filesystem = filesystem.split(' ');
            match (filesystem.next(), filesystem.nth(1)) {
                (Some("cgroup2"), _) => {
                    found.unified.get_or_insert(mount);
                }
                (Some("cgroup"), Some(options)) => {
                    for name in options.split(',') {
                        if let Some(&name) = v1::CONTROLLERS.iter().find(|&&c| c == name) {
                            found.v1.entry(name).or_insert_with(|| mount.clone());
                        }
                    }
                }
                _ => {}
            }
        }
        found
    }

    fn open(
        self,
        own: &OwnGroups,
        pool: &str,
        root: Option<&PathBuf>,
    ) -> Result<Arc<dyn Enforcer>, DetectError> {
        let mut bases = BTreeMap::new();
        for (&controller, mount) in &self.v1 {
            match make_base(mount, own.v1.get(controller), pool, |_| {}) {
                Ok(base) => drop(bases.insert(controller, base)),
                Err(error) if ESSENTIAL.contains(&controller) => return Err(error),
                Err(error) => {
                    tracing::warn!(controller, %error, "do without this cgroup controller")
                }
            }
        }
        let v2 = match &self.unified {
            None => None,
            Some(mount) => match open_unified(mount, own.unified.as_ref(), pool) {
                Ok(v2) => Some(v2),
                Err(error) if bases.is_empty() => return Err(error),
                // v1 alone serves as well; only killing is slower.
                Err(_) => None,
            },
        };
        match (bases.is_empty(), v2) {
            (true, None) => Err(DetectError::NotMounted { root: root.cloned() }),
            (true, Some(v2)) => Ok(Arc::new(v2)),
            (false, None) => Ok(Arc::new(V1::new(bases))),
            (false, Some(v2)) => Ok(Arc::new(Hybrid::new(V1::new(bases), v2))),
        }
    }
}

fn open_unified(mount: &Mount, own: Option<&String>, pool: &str) -> Result<V2, DetectError> {
    let base = make_base(mount, own, pool, v2::enable)?;
    let enabled = files::read(&base.join("cgroup.subtree_control")).unwrap_or_default();
    let controllers =
        v2::CONTROLLERS.into_iter().filter(|c| enabled.split(' ').any(|e| e == *c)).collect();
    Ok(V2::new(base, controllers))
}

/// Makes `<start>/troupe/<pool>`, where `start` is the mount's root or else the group of this process.
/// `prepare` is called on each directory on the way, the start included.
fn make_base(
    mount: &Mount,
    own: Option<&String>,
    pool: &str,
    prepare: impl Fn(&Path),
) -> Result<PathBuf, DetectError> {
    // The mount may show a part of the tree only; the own group's path counts from the tree's root.
    let own = own
        .and_then(|own| Path::new(own).strip_prefix(&mount.shown).ok())
        .map(|below| mount.point.join(below));
    let starts = std::iter::once(mount.point.clone()).chain(own.filter(|own| *own != mount.point));
    let mut refused = None;
    for start in starts {
        match make_below(&start, pool, &prepare) {
            Ok(base) => return Ok(base),
            Err((path, source)) => refused = Some((path, source)),
        }
    }
    let (path, source) = refused.expect("there is at least one start, and each failed");
    Err(match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            DetectError::NotPermitted { path, source }
        }
        _ => DetectError::Make { path, source },
    })
}

fn make_below(
    start: &Path,
    pool: &str,
    prepare: impl Fn(&Path),
) -> Result<PathBuf, (PathBuf, io::Error)> {
    let mut dir = start.to_owned();
    prepare(&dir);
    for name in ["troupe", pool] {
        dir.push(name);
        match fs::create_dir(&dir) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err((dir, e)),
            _ => {}
        }
        // An existing directory may still be another's.
        rustix::fs::access(&dir, rustix::fs::Access::WRITE_OK)
            .map_err(|e| (dir.clone(), e.into()))?;
        prepare(&dir);
    }
    Ok(dir)
}

/// The groups this process runs in, by controller, as `/proc/self/cgroup` lists them.
#[derive(Debug, Default, Eq, PartialEq)]
struct OwnGroups {
    v1: BTreeMap<String, String>,
    unified: Option<String>,
}

impl OwnGroups {
    fn parse(text: &str) -> Self {
        let mut own = Self::default();
        for line in text.lines() {
            let mut parts = line.splitn(3, ':');
            let (Some(id), Some(controllers), Some(path)) =
                (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            if id == "0" && controllers.is_empty() {
                own.unified = Some(path.to_owned());
            }
            for controller in controllers.split(',').filter(|c| !c.is_empty()) {
                own.v1.insert(controller.to_owned(), path.to_owned());
            }
        }
        own
    }
}

/// Undoes the octal escapes of the mount table (space, tab, newline, backslash).
fn unescape(field: &str) -> String {
    field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:5 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 /pod\\040a /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn the_mount_table_tells_which_controller_is_where() {
        let found = Mounts::parse(HYBRID, None);
        assert_eq!(found.v1.keys().copied().collect::<Vec<_>>(), ["cpu", "cpuacct", "memory"]);
        assert_eq!(found.v1["cpu"], found.v1["cpuacct"]);
        assert_eq!(found.v1["memory"].shown, "/pod a");
        assert_eq!(found.unified.map(|m| m.point), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(Mounts::parse(HYBRID, Some(Path::new("/elsewhere"))), Mounts::default());
    }

    #[test]
    fn the_own_groups_are_told_by_controller() {
        let own = OwnGroups::parse("4:memory:/a/b:c\n2:cpu,cpuacct:/\n9:name=systemd:/\n0::/x\n");
        assert_eq!(own.v1["memory"], "/a/b:c");
        assert_eq!(own.v1["cpuacct"], "/");
        assert_eq!(own.unified.as_deref(), Some("/x"));
    }
}
