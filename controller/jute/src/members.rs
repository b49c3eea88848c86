//! The members of an ensemble, as the text that peers exchange and that `/zookeeper/config` shows.
//!
//! Lives here: the text, both ways. Must not: who decides (`zab`), names to addresses, files. Start at
//! [`Members::parse`]. Source: `QuorumMaj`, `QuorumHierarchical`, `QuorumServer` of Apache 3.9.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::str::FromStr;

use types::{PeerId, Zxid};

/// Who is a member, and since when.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Members {
    /// The transaction that brought it; zero for what a member was started with.
    pub version: Zxid,
    /// By id.
    pub servers: BTreeMap<PeerId, Server>,
    /// The groups of a hierarchical quorum, by number; empty: a majority decides.
    pub groups: BTreeMap<i64, Vec<PeerId>>,
    /// What votes weigh within their group, where it is not 1.
    pub weights: BTreeMap<PeerId, u64>,
}

/// One member.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Server {
    /// Where its peers find it; one or more.
    pub addresses: Vec<ServerAddress>,
    /// Whether it has a vote.
    pub role: ServerRole,
    /// Where its clients find it; `None`: its static file says.
    pub client: Option<HostPort>,
}

/// A host as written, and the ports for peers on it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerAddress {
    /// A name or an address, without brackets.
    pub host: String,
    /// Where it listens as leader.
    pub quorum_port: u16,
    /// Where it listens for votes.
    pub election_port: u16,
}

/// Whether a member has a vote.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ServerRole {
    /// It has.
    Participant,
    /// It has none.
    Observer,
}

/// A name or an address, without brackets, and a port.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct HostPort {
    /// As written.
    pub host: String,
    /// 0 to 65535.
    pub port: u16,
}

/// Why a text names no members.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MembersError {
    /// A line that is none of the four kinds.
    #[error("{line:?} is not server.N=…, group.N=…, weight.N=… or version=…")]
    Line {
        /// As it stands.
        line: String,
    },
    /// A server's value.
    #[error(
        "{value:?} is not host:port:port[|host:port:port…][:participant|:observer][;[host:]port] with two different ports"
    )]
    Server {
        /// As it stands.
        value: String,
    },
    /// A server is in no group or in several, or a group names one that is not there.
    #[error(
        "every participant must be in exactly one group, and no other server in any; server {peer} is not"
    )]
    Groups {
        /// Which.
        peer: PeerId,
    },
    /// Nobody has a vote.
    #[error("no server is a participant")]
    NoVoters,
}

impl Members {
    /// Reads the text: lines `key=value` in any order.
    pub fn parse(text: &str) -> Result<Self, MembersError> {
        let mut members = Self::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let known = match line.split_once('=') {
                Some((key, value)) => members.set(key.trim(), value.trim())?,
                None => false,
            };
            if !known {
                return Err(MembersError::Line { line: line.chars().take(80).collect() });
            }
        }
        members.check()?;
        Ok(members)
    }

    /// Takes one key of the text. False: it is none of its keys.
    pub fn set(&mut self, key: &str, value: &str) -> Result<bool, MembersError> {
        let line =
            || MembersError::Line { line: format!("{key}={value}").chars().take(80).collect() };
        if key == "version" {
            let bits = u64::from_str_radix(value, 16).map_err(|_| line())?;
            self.version = Zxid::from_bits(bits.cast_signed());
            return Ok(true);
        }
        let Some((kind, number)) = key.split_once('.') else { return Ok(false) };
        if !matches!(kind, "server" | "group" | "weight") {
            return Ok(false);
        }
        let number: i64 = number.parse().map_err(|_| line())?;
        match kind {
            "server" => {
                self.servers.insert(PeerId(number), value.parse()?);
            }
            "weight" => {
                self.weights.insert(PeerId(number), value.parse().map_err(|_| line())?);
            }
            _ => {
                let peers = value.split(':').map(|peer| peer.trim().parse().map(PeerId));
                let mut peers = peers.collect::<Result<Vec<_>, _>>().map_err(|_| line())?;
                // As Apache's tells them, so that texts of one meaning are equal.
                peers.sort_unstable();
                self.groups.insert(number, peers);
            }
        }
        Ok(true)
    }

    /// What the lines must be together.
    pub fn check(&self) -> Result<(), MembersError> {
        if self.voters().next().is_none() {
            return Err(MembersError::NoVoters);
        }
        if self.groups.is_empty() {
            return Ok(());
        }
        let grouped = || self.groups.values().flatten();
        for peer in self.voters() {
            if grouped().filter(|one| **one == peer).count() != 1 {
                return Err(MembersError::Groups { peer });
            }
        }
        match grouped().find(|peer| !self.is_voter(**peer)) {
            Some(peer) => Err(MembersError::Groups { peer: *peer }),
            None => Ok(()),
        }
    }

    /// Those that have a vote, by rising id.
    pub fn voters(&self) -> impl Iterator<Item = PeerId> + '_ {
        let voting = |(_, server): &(&PeerId, &Server)| server.role == ServerRole::Participant;
        self.servers.iter().filter(voting).map(|(peer, _)| *peer)
    }

    /// Whether it is a member with a vote.
    pub fn is_voter(&self, peer: PeerId) -> bool {
        self.servers.get(&peer).is_some_and(|server| server.role == ServerRole::Participant)
    }

    /// What a vote weighs.
    pub fn weight(&self, peer: PeerId) -> u64 {
        self.weights.get(&peer).copied().unwrap_or(1)
    }

    /// The lines but the one with the version: what a file of members holds. By rising id, where Apache's tell them by their
    /// places in a hash table, which differ between an answer and the znode.
    pub fn lines(&self) -> String {
        let mut text = String::new();
        for (peer, server) in &self.servers {
            writeln!(text, "server.{peer}={server}").expect("strings grow");
        }
        for (group, peers) in &self.groups {
            let peers: Vec<_> = peers.iter().map(ToString::to_string).collect();
            writeln!(text, "group.{group}={}", peers.join(":")).expect("strings grow");
        }
        if !self.groups.is_empty() {
            for peer in self.servers.keys() {
                writeln!(text, "weight.{peer}={}", self.weight(*peer)).expect("strings grow");
            }
        }
        text
    }
}

/// The text as peers exchange it: no newline at the end.
impl fmt::Display for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}version={:x}", self.lines(), self.version.bits())
    }
}

impl FromStr for Server {
    type Err = MembersError;

    fn from_str(text: &str) -> Result<Self, MembersError> {
        let wrong = || MembersError::Server { value: text.chars().take(120).collect() };
        let (peers, client) = match text.split_once(';') {
            Some((peers, client)) => (peers, Some(client)),
            None => (text, None),
        };
        let mut role = ServerRole::Participant;
        let mut addresses = Vec::new();
        for part in peers.split('|') {
            let (host, rest) = split_host(part).ok_or_else(wrong)?;
            let mut fields = rest.split(':');
            let mut port =
                || fields.next().and_then(|port| port.trim().parse::<u16>().ok()).ok_or_else(wrong);
            let (quorum_port, election_port) = (port()?, port()?);
            if let Some(word) = fields.next() {
                role = match word.trim() {
                    "participant" => ServerRole::Participant,
                    "observer" => ServerRole::Observer,
                    _ => return Err(wrong()),
                };
            }
            if fields.next().is_some() || quorum_port == election_port {
                return Err(wrong());
            }
            addresses.push(ServerAddress { host, quorum_port, election_port });
        }
        let client = client.map(|client| client_part(client).ok_or_else(wrong)).transpose()?;
        Ok(Self { addresses, role, client })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, address) in self.addresses.iter().enumerate() {
            let between = if at == 0 { "" } else { "|" };
            let ServerAddress { host, quorum_port, election_port } = address;
            write!(f, "{between}{}:{quorum_port}:{election_port}", Bracketed(host))?;
        }
        f.write_str(match self.role {
            ServerRole::Participant => ":participant",
            ServerRole::Observer => ":observer",
        })?;
        self.client.as_ref().map_or(Ok(()), |client| write!(f, ";{client}"))
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", Bracketed(&self.host), self.port)
    }
}

impl FromStr for HostPort {
    type Err = MembersError;

    fn from_str(text: &str) -> Result<Self, MembersError> {
        let wrong = || MembersError::Server { value: text.chars().take(120).collect() };
        let (host, port) = split_host(text).ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        Ok(Self { host, port })
    }
}

/// An address with colons in it, in brackets.
struct Bracketed<'a>(&'a str);

impl fmt::Display for Bracketed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') { write!(f, "[{}]", self.0) } else { f.write_str(self.0) }
    }
}

/// The host as [`spelled`], and what follows the colon behind it.
fn split_host(text: &str) -> Option<(String, &str)> {
    let text = text.trim();
    let (host, rest) = match text.strip_prefix('[') {
        Some(text) => {
            let (host, rest) = text.split_once(']')?;
            (host, rest.strip_prefix(':')?)
        }
        None => text.split_once(':')?,
    };
    let host = host.parse().map_or_else(|_| host.to_owned(), spelled);
    (!host.is_empty()).then_some((host, rest))
}

/// An address as Apache's servers spell it, so that texts of one meaning are equal: IPv6 without `::`, and what is IPv4 in truth
/// as that.
pub fn spelled(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => address.segments().map(|part| format!("{part:x}")).join(":"),
    }
}

/// `port` or `host:port`.
fn client_part(text: &str) -> Option<HostPort> {
    match text.trim().parse() {
        Ok(port) => Some(HostPort { host: "0.0.0.0".to_owned(), port }),
        Err(_) => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_read_and_written_as_apache_does() {
        let text = "server.1=127.0.0.1:2282:3382:participant\n\
            server.2=[0:0:0:0:0:0:0:1]:2283:3383|b:1:2:observer;0.0.0.0:2181\n\
            server.3=c:1:2:participant;127.0.0.1:2182\nversion=100000000";
        let members = Members::parse(text).expect("it is whole");
        assert_eq!(members.to_string(), text);
        assert_eq!(members.voters().collect::<Vec<_>>(), [PeerId(1), PeerId(3)]);
        assert_eq!(members.version, Zxid::from_bits(0x1_0000_0000));
        assert_eq!(members.servers[&PeerId(2)].addresses[0].host, "0:0:0:0:0:0:0:1");
        let odd = text
            .replace("0:0:0:0:0:0:0:1", "::1")
            .replace("=127.", "=[::ffff:127.")
            .replace("1:2282", "1]:2282");
        assert_eq!(Members::parse(&odd).expect("it is whole"), members);
        // What may be left out.
        let short = Members::parse("server.1=a:1:2;2181\n").expect("it is whole");
        assert_eq!(short.to_string(), "server.1=a:1:2:participant;0.0.0.0:2181\nversion=0");
    }

    #[test]
    fn groups_hold_every_voter_once() {
        let text = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2:observer\ngroup.1=1\n\
            group.2=2\nweight.2=0";
        let members = Members::parse(text).expect("it is whole");
        let together = text.replace("group.1=1\ngroup.2=2", "group.1=2:1");
        let together = Members::parse(&together).expect("it is whole");
        assert!(together.lines().contains("group.1=1:2\n"), "{together}");
        assert_eq!((members.weight(PeerId(1)), members.weight(PeerId(2))), (1, 0));
        assert_eq!(
            Members::parse(&members.to_string()).as_ref().map(ToString::to_string),
            Ok(members.to_string())
        );
        for (from, to) in
            [("group.2=2", "group.2=2:1"), ("group.2=2", ""), ("group.2=2", "group.2=2:3")]
        {
            let wrong = Members::parse(&text.replace(from, to));
            assert!(matches!(wrong, Err(MembersError::Groups { .. })), "{to}: {wrong:?}");
        }
    }

    #[test]
    fn nonsense_is_named() {
        for text in [
            "server.1=a:1:1",
            "server.1=a:1",
            "server.1=:1:2",
            "server.x=a:1:2",
            "server.1=a:1:2:king",
            "server.1=a:1:2;",
            "server.1=a:1:2;x",
            "nonsense",
            "version=xyz",
            "",
            "other.1=2",
            "server.1=a:1:2:observer",
            "server.1=[::1:1:2",
            "server.1=a:1:99999",
        ] {
            assert!(Members::parse(text).is_err(), "{text}");
        }
    }
}
