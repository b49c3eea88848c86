//! The members as a host knows them: what `ensemble` keeps in files beside `zoo.cfg`, which a crash leaves whole.
//!
//! Lives here: which are in force, which were proposed, and what the protocol is told of them. Must not: when one takes the other's
//! place (`zab`). It is what `ensemble/core/reconfig.rs` does, without files.

use std::collections::BTreeSet;
use std::sync::Arc;

use jute::{HostPort, Members, Server, ServerAddress, ServerRole};
use types::{PeerId, Zxid};
use zab::{Config, Voters};
use znodes::CONFIG_PATH;

use crate::tree::Tree;

/// Of one host.
#[derive(Clone, Debug)]
pub(crate) struct Roster {
    now: Arc<Members>,
    /// Proposed, later than those in force.
    next: Option<Arc<Members>>,
    /// Of the vote that is heard at this moment.
    pub(crate) told: Option<Arc<Members>>,
}

impl Roster {
    pub(crate) fn new(first: Arc<Members>) -> Self {
        Self { now: first, next: None, told: None }
    }

    pub(crate) fn now(&self) -> &Arc<Members> {
        &self.now
    }

    pub(crate) fn next(&self) -> Option<&Arc<Members>> {
        self.next.as_ref()
    }

    /// The last ones seen, as a leader tells with NEWLEADER.
    pub(crate) fn newest(&self) -> &Arc<Members> {
        self.next.as_ref().unwrap_or(&self.now)
    }

    /// On disk before whatever brings them is acknowledged.
    pub(crate) fn set_next(&mut self, next: Option<Arc<Members>>) {
        self.next = next;
    }

    /// The history was loaded, or is replaced: what was proposed and is not in it is forgotten, and the other way round. The first
    /// members get their version by no transaction.
    pub(crate) fn settle(&mut self, tree: &Tree) {
        let last = last_of(tree).filter(|last| last.version > self.now.version);
        let version = last.as_ref().map(|last| last.version);
        self.next.take_if(|next| next.version.counter() > 0 && Some(next.version) != version);
        if self.next.is_none() {
            self.next = last.map(Arc::new);
        }
    }

    /// Those of this version are in force; `None`: they are not known.
    pub(crate) fn activate(&mut self, version: Zxid) -> Option<&Arc<Members>> {
        let known = [self.told.take(), self.next.clone()].into_iter().flatten();
        self.now = known.into_iter().find(|members| members.version == version)?;
        self.next.take_if(|next| next.version <= version);
        Some(&self.now)
    }
}

/// The last members that a history brings.
fn last_of(tree: &Tree) -> Option<Members> {
    let data = tree.state.get(CONFIG_PATH).and_then(|node| node.data())?;
    Members::parse(std::str::from_utf8(data).ok()?).ok()
}

/// Members as the protocol knows them.
pub(crate) fn config_of(members: &Members) -> Config {
    let observers = members.servers.iter().filter(|(peer, _)| !members.is_voter(**peer));
    let observers: BTreeSet<_> = observers.map(|(peer, _)| *peer).collect();
    let place = |server: &Server| -> Arc<str> {
        let ports = server.addresses.iter().map(|one| one.quorum_port.to_string());
        ports.collect::<Vec<_>>().join("|").into()
    };
    let addresses = members.servers.iter().map(|(peer, server)| (*peer, place(server))).collect();
    let voters = Voters::majority(members.voters());
    Config { version: members.version, voters, observers, addresses }
}

/// A host as a member, at one of two places.
pub(crate) fn server(peer: PeerId, role: ServerRole, moved: bool) -> Server {
    let place = ServerAddress {
        host: format!("h{peer}"),
        quorum_port: if moved { 2889 } else { 2888 },
        election_port: 3888,
    };
    let client = Some(HostPort { host: format!("h{peer}"), port: 2181 });
    Server { addresses: vec![place], role, client }
}
