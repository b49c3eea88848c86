//! How masters are found: `zk://host:port,…/path`, `host:port`, or a file that says one of them.

use std::fmt;
use std::str::FromStr;

/// Where the leading master is known.
#[derive(Clone, Eq, PartialEq)]
pub enum Address {
    /// By election in an ensemble.
    Zk(ZkAddress),
    /// Always here: `host:port`.
    Fixed(String),
}

/// A folder of an ensemble.
#[derive(Clone, Eq, PartialEq)]
pub struct ZkAddress {
    /// `host:port`, several with commas.
    pub servers: String,
    /// `user:password` of the scheme digest.
    pub credentials: Option<String>,
    /// The absolute path, without a slash at its end.
    pub path: String,
}

/// Why a text names no place where masters are found.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// Neither form.
    #[error("{0:?} names no masters; write zk://host:port,host:port/path or host:port")]
    Form(String),
    /// Masters' znodes need a folder of their own.
    #[error("{0:?} has no path; write one behind the servers, such as zk://host:port/troupe")]
    NoPath(String),
    /// The file with the address.
    #[error("read the masters' address from {path}")]
    File {
        /// The file.
        path: String,
        /// What went wrong.
        source: std::io::Error,
    },
}

impl FromStr for Address {
    type Err = AddressError;

    /// Reads either form; `file://` names a file that holds one, so that a password stays out of the
    /// process list.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        if let Some(path) = text.strip_prefix("file://") {
            let source = |source| AddressError::File { path: path.to_owned(), source };
            let held = std::fs::read_to_string(path).map_err(source)?;
            if held.trim().starts_with("file://") {
                return Err(AddressError::Form(held.trim().to_owned()));
            }
            return held.parse();
        }
        if text.starts_with("zk://") {
            return text.parse().map(Self::Zk);
        }
        if !is_host_port(text) {
            return Err(AddressError::Form(text.to_owned()));
        }
        Ok(Self::Fixed(text.to_owned()))
    }
}

impl FromStr for ZkAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError::Form(redacted(text));
        let rest = text.strip_prefix("zk://").ok_or_else(wrong)?;
        // A password may hold an `@`; a path and a host may not.
        let (credentials, rest) = match rest.rsplit_once('@') {
            Some((credentials, rest)) if credentials.contains(':') => {
                (Some(credentials.to_owned()), rest)
            }
            Some(_) => return Err(wrong()),
            None => (None, rest),
        };
        let (servers, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.trim_end_matches('/');
        if !servers.split(',').all(is_host_port) {
            return Err(wrong());
        }
        if path.is_empty() {
            return Err(AddressError::NoPath(redacted(text)));
        }
        if path.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
            return Err(wrong());
        }
        Ok(Self { servers: servers.to_owned(), credentials, path: format!("/{path}") })
    }
}

impl ZkAddress {
    /// The folder `name` below this one.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        Self { path: format!("{}/{name}", self.path), ..self.clone() }
    }
}

fn is_host_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let host_ok = !host.is_empty() && !host.contains(['/', '@', ' ']);
    host_ok && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// The text without a password.
fn redacted(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((_, rest)) => format!("zk://…@{rest}"),
        None => text.to_owned(),
    }
}

impl fmt::Display for ZkAddress {
    /// Without the password: this goes to logs and conditions.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "zk://{}{}", self.servers, self.path)
    }
}

impl fmt::Debug for ZkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zk(zk) => fmt::Display::fmt(zk, f),
            Self::Fixed(address) => f.write_str(address),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_mesos_reads_them() {
        let zk: ZkAddress = "zk://u:p@ss@a:1,b:2/x/y/".parse().expect("an address");
        assert_eq!((zk.servers.as_str(), zk.path.as_str()), ("a:1,b:2", "/x/y"));
        assert_eq!(zk.credentials.as_deref(), Some("u:p@ss"));
        assert_eq!(zk.to_string(), "zk://a:1,b:2/x/y", "no password in what is printed");
        assert_eq!(
            "h:5050".parse::<Address>().expect("an address"),
            Address::Fixed("h:5050".into())
        );
    }

    #[test]
    fn a_wrong_address_tells_how_to_write_one() {
        for wrong in
            ["", "host", "host:0", "host:99999", "zk://a:1", "zk://a/x", "zk:///x", "zk://a:1/x//y"]
        {
            let why = wrong.parse::<Address>().expect_err(wrong).to_string();
            assert!(why.contains("write"), "{wrong:?}: {why}");
        }
        let why = "zk://u:secret@a:1".parse::<Address>().expect_err("no path").to_string();
        assert!(!why.contains("secret"), "{why}");
    }
}
