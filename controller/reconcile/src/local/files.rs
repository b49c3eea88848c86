//! The files that an ensemble's members are given to read: keys, certificates, users. Only their owner reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::ports::file_error;
use super::{make_folder, record};
use crate::platform::{MemberWish, PlatformError};

/// The folder.
pub(super) struct Files(pub(super) PathBuf);

impl Files {
    /// Writes those that are not there as they are to be; members that run read them again.
    pub(super) fn keep(&self, files: &BTreeMap<String, Vec<u8>>) -> Result<(), PlatformError> {
        if files.is_empty() {
            return Ok(());
        }
        make_folder(&self.0)?;
        fs::set_permissions(&self.0, fs::Permissions::from_mode(0o700))
            .map_err(|source| file_error("protect", &self.0, source))?;
        for (name, content) in files {
            let path = self.0.join(name);
            if fs::read(&path).is_ok_and(|kept| kept == *content) {
                continue;
            }
            record::write_whole(&path, content)
                .map_err(|source| file_error("write", &path, source))?;
        }
        Ok(())
    }

    /// Removes those that no wish names.
    pub(super) fn drop_all_but(&self, wishes: &[MemberWish]) -> Result<(), PlatformError> {
        let kept = match fs::read_dir(&self.0) {
            Ok(kept) => kept,
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(file_error("read", &self.0, source)),
        };
        let named: BTreeSet<&str> = wishes.iter().flat_map(names).collect();
        for file in kept.flatten() {
            if file.file_name().to_str().is_none_or(|name| !named.contains(name)) {
                let path = file.path();
                fs::remove_file(&path).map_err(|source| file_error("remove", &path, source))?;
            }
        }
        Ok(())
    }
}

fn names(wish: &MemberWish) -> impl Iterator<Item = &str> {
    let settings = &wish.settings;
    let files = settings.files.iter().chain(&settings.peers.tls_files);
    files.map(|(_, name)| name.as_str()).chain(settings.jaas.as_deref())
}
