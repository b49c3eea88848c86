//! Whom a task runs as.

use std::ffi::CString;

use nix::unistd::{User, getgrouplist};

use crate::holder::wire;

/// Why a task cannot run as its user.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UserError {
    #[error(
        "the user {name:?} does not exist on this node; create it, or name another in the task's command"
    )]
    Unknown { name: String },
    #[error("look up the user {name:?}")]
    LookUp { name: String, source: nix::Error },
}

/// The numbers of a user; `None` when there is nothing to switch: it is our own user, or we are not root
/// and so run everything as ourselves.
pub(crate) fn resolve(name: &str) -> Result<Option<wire::User>, UserError> {
    let own = rustix::process::geteuid();
    if !own.is_root() {
        return Ok(None);
    }
    let failed = |source| UserError::LookUp { name: name.to_owned(), source };
    let unknown = || UserError::Unknown { name: name.to_owned() };
    let c_name = CString::new(name).map_err(|_| unknown())?;
    // Some systems answer a name that does not exist with an error instead of with nothing.
    let user = match User::from_name(name) {
        Ok(Some(user)) => user,
        Ok(None) | Err(nix::Error::ENOENT | nix::Error::ESRCH | nix::Error::EBADF) => {
            return Err(unknown());
        }
        Err(error) => return Err(failed(error)),
    };
    if user.uid.as_raw() == own.as_raw() {
        return Ok(None);
    }
    let groups = getgrouplist(&c_name, user.gid).map_err(failed)?;
    Ok(Some(wire::User {
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        groups: groups.into_iter().map(nix::unistd::Gid::as_raw).collect(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_that_is_not_there_is_told_by_name() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("LEFT OUT: users are only looked up as root");
            return;
        }
        for name in ["no-such-user-here", "a\0b", ""] {
            assert!(matches!(resolve(name), Err(UserError::Unknown { .. })), "{name:?}");
        }
        assert!(resolve("root").expect("root is there").is_none());
        assert!(resolve("nobody").expect("nobody is there").is_some_and(|u| u.uid != 0));
    }
}
