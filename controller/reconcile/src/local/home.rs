//! A member's folder: what it was wished, its `zoo.cfg`, its data, and whether it had any.
//!
//! `wish.json`, `zoo.cfg`, `data`, and `born`: the number of the data that was once there. Data that is replaced
//! stays beside it as `data.old` until the next is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::ports::file_error;
use super::{make_folder, remove_folder, write_if_other};
use crate::platform::{MemberWish, PlatformError};

/// The folder of one member.
pub(super) struct Home(pub(super) PathBuf);

/// Says before each start whether the data that was there still is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct DataGuard {
    /// Where snapshots and logs are.
    pub(crate) data: PathBuf,
    born: PathBuf,
    number: u64,
}

impl Home {
    pub(super) fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    pub(super) fn config(&self) -> PathBuf {
        self.0.join("zoo.cfg")
    }

    pub(super) fn guard(&self, wish: &MemberWish) -> DataGuard {
        let (data, born) = (self.data().join("version-2"), self.0.join("born"));
        DataGuard { data, born, number: wish.data }
    }

    /// Whether the data that is there is not the wished one.
    pub(super) fn needs_fresh_data(&self, wish: &MemberWish) -> bool {
        let known = self.wish().map_or(0, |known| known.data);
        known != wish.data && self.data().exists()
    }

    /// Makes the folder what a process needs to start with this wish.
    pub(super) fn keep(&self, wish: &MemberWish, config: &str) -> Result<(), PlatformError> {
        if self.needs_fresh_data(wish) {
            let old = self.0.join("data.old");
            remove_folder(&old)?;
            fs::rename(self.data(), &old)
                .map_err(|source| file_error("set aside", &self.data(), source))?;
        }
        make_folder(&self.0)?;
        let text = serde_json::to_string(wish).expect("names and numbers");
        write_if_other(&self.0.join(WISH), &text)?;
        write_if_other(&self.config(), config)?;
        let guard = self.guard(wish);
        guard.note();
        // Data that is lost is not made to look like new.
        if !guard.is_lost() {
            make_folder(&self.data())?;
            write_if_other(&self.data().join("myid"), &format!("{}\n", wish.id))?;
        }
        Ok(())
    }

    /// The same for one whose members are changed while it runs: it writes its `zoo.cfg` itself then, so what it is
    /// given is written only when the settings are others. `line`: how others find it.
    pub(super) fn keep_reconfigured(
        &self,
        wish: &MemberWish,
        settings: &str,
        line: &str,
    ) -> Result<(), PlatformError> {
        let fresh = self.needs_fresh_data(wish) || !self.data().exists();
        let pointer = if fresh { None } else { self.dynamic(wish.id) };
        let members = pointer.map_or_else(
            || {
                let others = wish.membership.others.iter().flatten();
                let others = others.map(|(id, line)| format!("server.{id}={line}\n"));
                others.collect::<String>() + &format!("server.{}={line}\n", wish.id)
            },
            |file| format!("dynamicConfigFile={file}\n"),
        );
        let given = self.0.join("settings.cfg");
        let same = !fresh && fs::read_to_string(&given).is_ok_and(|kept| kept == settings);
        let written = same.then(|| fs::read_to_string(self.config()).ok()).flatten();
        let config = written.unwrap_or_else(|| settings.to_owned() + &members);
        self.keep(wish, &config)?;
        write_if_other(&given, settings)
    }

    /// The file of the members in force that the member has written, if it is one of them.
    fn dynamic(&self, id: i32) -> Option<String> {
        let text = fs::read_to_string(self.config()).ok()?;
        let file = text.lines().find_map(|line| line.strip_prefix("dynamicConfigFile="))?.trim();
        let own = format!("server.{id}=");
        let members = fs::read_to_string(file).ok()?;
        members.lines().any(|line| line.starts_with(&own)).then(|| file.to_owned())
    }

    /// Forgets the wish; the data stays.
    pub(super) fn forget(&self) -> Result<(), PlatformError> {
        let path = self.0.join(WISH);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(file_error("remove", &path, source))
            }
            _ => Ok(()),
        }
    }

    fn wish(&self) -> Option<MemberWish> {
        serde_json::from_slice(&fs::read(self.0.join(WISH)).ok()?).ok()
    }
}

impl DataGuard {
    /// Remembers that there is data.
    pub(crate) fn note(&self) {
        if self.has_data() && self.known() != Some(self.number) {
            // Tried again at the next look; until then lost data could pass for new.
            if let Err(why) = fs::write(&self.born, self.number.to_string()) {
                tracing::warn!("write {}: {why}", self.born.display());
            }
        }
    }

    /// Whether there was data, and is none.
    pub(crate) fn is_lost(&self) -> bool {
        self.known() == Some(self.number) && !self.has_data()
    }

    fn has_data(&self) -> bool {
        fs::read_dir(&self.data).is_ok_and(|files| {
            files.flatten().any(|file| {
                let name = file.file_name();
                name.to_str().is_some_and(|n| n.starts_with("log.") || n.starts_with("snapshot."))
            })
        })
    }

    fn known(&self) -> Option<u64> {
        fs::read_to_string(&self.born).ok()?.trim().parse().ok()
    }
}

/// The wishes of all members below an ensemble's folder, by id.
pub(super) fn wishes(folder: &Path) -> Result<Vec<MemberWish>, PlatformError> {
    let members = match fs::read_dir(folder) {
        Ok(members) => members,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(file_error("read", folder, source)),
    };
    let mut wishes = Vec::new();
    for member in members.flatten() {
        let path = member.path().join(WISH);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(source)
                if matches!(
                    source.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                continue;
            }
            Err(source) => return Err(file_error("read", &path, source)),
        };
        // To go on without it could found a second ensemble beside the one that is.
        let wish: MemberWish = serde_json::from_slice(&text)
            .map_err(|why| file_error("understand", &path, io::Error::other(why)))?;
        wishes.push(wish);
    }
    wishes.sort_by_key(|wish| wish.id);
    Ok(wishes)
}

const WISH: &str = "wish.json";
