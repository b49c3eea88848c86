//! Where a master is found: `zk://host:port,…/path`, or one `host:port`.

use std::fmt;
use std::str::FromStr;

/// How to find the leading master.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Address {
    /// The leader of an election.
    Elected(Place),
    /// One master at a fixed place.
    Fixed {
        /// Name or IP address.
        host: String,
        /// Its port.
        port: u16,
    },
}

/// A path in an ensemble.
#[derive(Clone, Eq, PartialEq)]
pub struct Place {
    /// `host:port`, comma separated.
    pub servers: String,
    /// Absolute, not `/`.
    pub path: String,
    /// `user:password` for the scheme `digest`.
    pub credentials: Option<String>,
}

impl fmt::Debug for Place {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "zk://{}{}", self.servers, self.path)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Why a text is no address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadAddress {
    /// No servers.
    #[error("'{0}' names no servers: write zk://host:port,host:port/path")]
    NoServers(String),
    /// No path, or the root, where an election would mix with everything else.
    #[error("'{0}' has no path: write zk://host:port/path, for example /mesos")]
    NoPath(String),
    /// An empty component, or one that no znode can have.
    #[error("'{path}' is not a path of a znode: {why}")]
    BadPath {
        /// The path.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A server without a usable port.
    #[error("'{0}' is not host:port (a port is a number from 1 to 65535)")]
    BadServer(String),
    /// Credentials without a password.
    #[error("the credentials before '@' must be user:password")]
    BadCredentials,
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let text = text.trim();
        if text.starts_with("zk://") {
            return Ok(Self::Elected(text.parse()?));
        }
        let (host, port) = server(text)?;
        Ok(Self::Fixed { host: host.into(), port })
    }
}

impl FromStr for Place {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let text = text.trim();
        let rest = text.strip_prefix("zk://").unwrap_or(text);
        let (servers, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        // A password may hold an '@'.
        let (credentials, servers) = match servers.rsplit_once('@') {
            Some((credentials, servers)) => (Some(credentials), servers),
            None => (None, servers),
        };
        let told = || format!("zk://{servers}{path}");
        if servers.is_empty() {
            return Err(BadAddress::NoServers(told()));
        }
        for one in servers.split(',') {
            server(one)?;
        }
        if credentials.is_some_and(|credentials| !credentials.contains(':')) {
            return Err(BadAddress::BadCredentials);
        }
        let path = path.trim_end_matches('/');
        if path.is_empty() {
            return Err(BadAddress::NoPath(told()));
        }
        let bad = |why| BadAddress::BadPath { path: path.into(), why };
        for component in path.split('/').skip(1) {
            match component {
                "" => return Err(bad("a component is empty")),
                "." | ".." => return Err(bad("'.' and '..' are not allowed")),
                _ if component.contains(char::is_control) => {
                    return Err(bad("it has a control character"));
                }
                _ => {}
            }
        }
        Ok(Self {
            servers: servers.into(),
            path: path.into(),
            credentials: credentials.map(Into::into),
        })
    }
}

fn server(text: &str) -> Result<(&str, u16), BadAddress> {
    let bad = || BadAddress::BadServer(text.chars().take(200).collect());
    let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
    let port: u16 = port.parse().map_err(|_| bad())?;
    if host.is_empty() || port == 0 { Err(bad()) } else { Ok((host, port)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let place: Place = "zk://u:p@w@a:1,b:2/x/y/".parse().expect("valid");
        assert_eq!(place.servers, "a:1,b:2");
        assert_eq!(place.path, "/x/y");
        assert_eq!(place.credentials.as_deref(), Some("u:p@w"));
        assert_eq!(place.to_string(), "zk://a:1,b:2/x/y");
        let fixed: Address = "h:5050".parse().expect("valid");
        assert_eq!(fixed, Address::Fixed { host: "h".into(), port: 5050 });
    }

    #[test]
    fn refusals_say_what_to_write() {
        let refused = |text: &str| text.parse::<Address>().expect_err("refused").to_string();
        assert_eq!(
            refused("zk://a:1"),
            "'zk://a:1' has no path: write zk://host:port/path, for example /mesos"
        );
        assert_eq!(
            refused("zk://a/x"),
            "'a' is not host:port (a port is a number from 1 to 65535)"
        );
        assert_eq!(
            refused("zk:///x"),
            "'zk:///x' names no servers: write zk://host:port,host:port/path"
        );
        assert_eq!(refused("zk://a:1//x"), "'//x' is not a path of a znode: a component is empty");
        assert_eq!(refused("h:0"), "'h:0' is not host:port (a port is a number from 1 to 65535)");
    }
}
