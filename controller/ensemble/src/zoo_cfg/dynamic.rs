//! The files of a configuration that changes: one with the members for each version, and `zoo.cfg` that names the one in force.
//!
//! As Apache leaves them, so that a member of either kind takes up what the other left. Source: `QuorumPeerConfig`, `writeDynamicConfig`
//! and `editStaticConfig`; `QuorumPeer.setQuorumVerifier`.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use jute::Members;
use types::PeerId;

use super::properties::{BadEscape, properties};

/// The files of one member, by the path of its `zoo.cfg`.
#[derive(Clone, Debug)]
pub(crate) struct MembersFiles(PathBuf);

impl MembersFiles {
    pub(crate) fn of(zoo_cfg: &Path) -> Self {
        Self(zoo_cfg.to_owned())
    }

    /// Members that were proposed, until they are in force or it is known that they never will be.
    pub(crate) fn next(&self) -> PathBuf {
        self.with(".dynamic.next")
    }

    /// Keeps members that were proposed.
    pub(crate) fn foresee(&self, members: &Members) -> io::Result<()> {
        replace(&self.next(), &format!("{}\nversion={:x}", lines(members), members.version.bits()))
    }

    /// Members that were proposed are not any more.
    pub(crate) fn forget_next(&self) -> io::Result<()> {
        match fs::remove_file(self.next()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// These members are in force: `zoo.cfg` names their file from now on. What it was before the first change is kept as
    /// `zoo.cfg.bak`.
    pub(crate) fn activate(&self, members: &Members, me: PeerId) -> io::Result<()> {
        let dynamic = self.with(&format!(".dynamic.{:x}", members.version.bits()));
        replace(&dynamic, &lines(members))?;
        let text = String::from_utf8_lossy(&fs::read(&self.0)?).into_owned();
        let named = members.servers.get(&me).is_some_and(|server| server.client.is_some());
        let mut edited = String::new();
        let mut first = true;
        let bad = |bad: BadEscape| io::Error::other(format!("line {} is malformed", bad.line));
        for property in properties(&text).map_err(bad)? {
            let key = property.key.as_str();
            first &= key != POINTER;
            let moved = MOVED.iter().any(|kind| key.starts_with(kind))
                || named && key.starts_with("clientPort");
            if !moved {
                edited += &format!("{key}={}\n", property.value.replace('\\', "\\\\"));
            }
        }
        edited += &format!("{POINTER}={}\n", dynamic.canonicalize()?.display());
        if first {
            replace(&self.with(".bak"), &text)?;
        }
        replace(&self.0, &edited)
    }

    fn with(&self, suffix: &str) -> PathBuf {
        let mut name = OsString::from(&self.0);
        name.push(suffix);
        name.into()
    }
}

/// Sorted as text is, without a version and without a newline at the end.
fn lines(members: &Members) -> String {
    let text = members.lines();
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// Puts a text in a file's place, whole or not at all. It may hold secrets: whoever could read it can read it, and nobody else.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut name = OsString::from(path);
    name.push(".tmp");
    let beside = PathBuf::from(name);
    let mut file = File::create(&beside)?;
    if let Ok(there) = fs::metadata(path) {
        file.set_permissions(there.permissions())?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    File::open(dir.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

const POINTER: &str = "dynamicConfigFile";
/// What the file of the members says.
const MOVED: [&str; 5] = ["server.", "group", "weight", POINTER, "peerType"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemberConfig;

    #[test]
    fn a_member_takes_up_what_was_left() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let zoo_cfg = dir.path().join("zoo.cfg");
        let before = "# mine\ndataDir=/d\\\\u\nclientPort=5\nserver.1=a:1:2;6\nserver.10=b:1:2\nserver.2=c:1:2\n\
            reconfigEnabled=true\n";
        fs::write(&zoo_cfg, before).expect("it is writable");
        let files = MembersFiles::of(&zoo_cfg);
        let text = "server.1=a:1:2;7\nserver.10=b:1:2\nserver.2=c:1:2\nversion=100000003";
        let members = Members::parse(text).expect("it is whole");
        files.foresee(&members).expect("it is writable");
        let read =
            || MemberConfig::from_zoo_cfg(&zoo_cfg, Some(PeerId(1))).expect("it is complete").0;
        // Apache's does not look for it either, as long as its own file names the members.
        assert_eq!(read().ensemble.expect("several").next, None);
        files.activate(&members, PeerId(1)).expect("it is writable");
        let dynamic = dir.path().join("zoo.cfg.dynamic.100000003");
        // As text: the digit comes before the sign.
        let lines = "server.10=b:1:2:participant\nserver.1=a:1:2:participant;0.0.0.0:7\n\
            server.2=c:1:2:participant";
        assert_eq!(fs::read_to_string(&dynamic).expect("it is there"), lines);
        let edited = format!(
            "dataDir=/d\\\\u\nreconfigEnabled=true\ndynamicConfigFile={}\n",
            dynamic.canonicalize().expect("it is there").display()
        );
        assert_eq!(fs::read_to_string(&zoo_cfg).expect("it is there"), edited);
        let kept = fs::read_to_string(dir.path().join("zoo.cfg.bak")).expect("it is there");
        assert_eq!(kept, before);
        let config = read();
        assert_eq!(config.client_addr.map(|addr| addr.port()), Some(7));
        let ensemble = config.ensemble.expect("several");
        assert_eq!(ensemble.members, members);
        assert_eq!(ensemble.next, Some(members.clone()));
        files.forget_next().expect("it is there");
        files.forget_next().expect("it is gone already");
        assert_eq!(read().ensemble.expect("several").next, None);
        // The next version goes beside it, and the first file is kept as it was.
        let members = Members { version: types::Zxid::from_bits(0x2_0000_0001), ..members };
        files.activate(&members, PeerId(1)).expect("it is writable");
        assert_eq!(read().ensemble.expect("several").members, members);
        let kept = fs::read_to_string(dir.path().join("zoo.cfg.bak")).expect("it is there");
        assert_eq!(kept, before);
    }
}
