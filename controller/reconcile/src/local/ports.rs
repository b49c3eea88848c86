//! Ports on loopback: chosen once, kept, and whose they are when they are taken.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use super::record::write_whole;
use crate::platform::PlatformError;

/// Below the range from which the kernel takes ports for connections, and below what agents offer.
const FIRST: u16 = 21_000;
const LAST: u16 = 30_999;

/// Ports by part, in a file.
#[derive(Debug)]
pub(crate) struct Ports {
    path: PathBuf,
    kept: BTreeMap<String, u16>,
    /// Where the search begins: two data folders should not try the same ports first.
    start: u16,
}

impl Ports {
    /// Reads what was kept; a file that cannot be read is as none, for ports can be chosen again.
    pub(crate) fn open(path: PathBuf) -> Self {
        let kept = fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let spread = path
            .as_os_str()
            .as_encoded_bytes()
            .iter()
            .fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(*byte)));
        let start = FIRST + u16::try_from(spread % u32::from(LAST - FIRST)).expect("below 10,000");
        Self { path, kept: kept.unwrap_or_default(), start }
    }

    /// The port of a part: as kept, if it is free or `running` (then it is the part's own), else a new one.
    pub(crate) fn of(&mut self, key: &str, running: bool) -> Result<u16, PlatformError> {
        if let Some(port) = self.kept.get(key).copied()
            && (running || is_free(port))
        {
            return Ok(port);
        }
        let span = LAST - FIRST + 1;
        let candidates = (0..span).map(|step| FIRST + (self.start - FIRST + step) % span);
        let taken: Vec<u16> = self.kept.values().copied().collect();
        let port = candidates
            .filter(|port| !taken.contains(port))
            .find(|port| is_free(*port))
            .ok_or(PlatformError::NoPort { from: FIRST, to: LAST })?;
        self.kept.insert(key.to_owned(), port);
        self.save()?;
        Ok(port)
    }

    /// Gives a port back.
    pub(crate) fn forget(&mut self, key: &str) -> Result<(), PlatformError> {
        if self.kept.remove(key).is_some() { self.save() } else { Ok(()) }
    }

    fn save(&self) -> Result<(), PlatformError> {
        let text = serde_json::to_vec_pretty(&self.kept).expect("names and numbers");
        write_whole(&self.path, &text).map_err(|source| file_error("write", &self.path, source))
    }
}

/// An error with the file it is about.
pub(crate) fn file_error(what: &'static str, path: &Path, source: std::io::Error) -> PlatformError {
    PlatformError::File { what, path: path.display().to_string(), source }
}

/// Whether one could listen there now.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Who listens on a port, as `name (pid)`; `None` when it is another user's or nobody's.
pub(crate) fn holder(port: u16) -> Option<String> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = fs::read_dir("/proc").ok()?;
    processes.flatten().find_map(|process| {
        let pid: i32 = process.file_name().to_str()?.parse().ok()?;
        let files = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        let has = files.flatten().any(|file| {
            fs::read_link(file.path())
                .is_ok_and(|target| target.to_str().is_some_and(|t| inodes.iter().any(|i| i == t)))
        });
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        has.then(|| format!("{} (pid {pid})", name.trim()))
    })
}

/// The inodes of the sockets that listen on a port, from the text of `/proc/net/tcp`.
fn listening(table: &str, port: u16) -> Vec<String> {
    let address = format!(":{port:04X}");
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let listens = fields.get(1)?.ends_with(&address) && *fields.get(3)? == "0A";
            listens.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_kept_until_somebody_else_has_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ports.json");
        let first = Ports::open(path.clone()).of("a", false).expect("a port");
        let mut ports = Ports::open(path);
        assert_eq!(ports.of("a", false).expect("the same"), first);
        assert_ne!(ports.of("b", false).expect("another"), first);
        let thief = TcpListener::bind((Ipv4Addr::LOCALHOST, first)).expect("it is free");
        assert_eq!(ports.of("a", true).expect("its own"), first);
        assert_ne!(ports.of("a", false).expect("a new one"), first);
        let told = holder(first).expect("this process");
        assert!(told.contains(&std::process::id().to_string()), "{told}");
        drop(thief);
    }
}
