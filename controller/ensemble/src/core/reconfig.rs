//! The members of the ensemble as they change: asked for, proposed, in force.
//!
//! Lives here: which text belongs to which configuration of the protocol, and what follows when one comes into force: files, ports,
//! connections. Must not: whether and when it does (`zab`), what is refused (`znodes`).
//! Source: `QuorumPeer.processReconfig`, `setLastSeenQuorumVerifier`.

use std::collections::BTreeSet;
use std::sync::Arc;

use jute::{Entry, ErrorCode, Members, Server, ServerRole, Text, Txn};
use types::{PeerId, Zxid};
use zab::{Config, Durable, Input, Settings, Voters, Zab};
use znodes::{Prep, Requester, State, Turn};

use super::Core;
use super::peers::Ensemble;
use crate::EnsembleConfig;
use crate::load::words;
use crate::member::protocol;
use crate::zoo_cfg::{MembersFiles, client_addr};

/// The members that this member knows of, with their text.
pub(super) struct Configs {
    /// `reconfigEnabled`; otherwise they stay what they were at the start.
    enabled: bool,
    me: PeerId,
    now: Arc<Members>,
    text: Text,
    /// Seen, later than those in force, and not known to be.
    next: Option<Members>,
    /// The later ones of both.
    newest: Text,
    /// Of the notification that is heard at this moment.
    told: Option<Members>,
    files: Option<MembersFiles>,
}

impl Configs {
    pub(super) fn new(config: &EnsembleConfig, me: PeerId, enabled: bool) -> Self {
        let now = Arc::new(config.members.clone());
        let text = Text::from(now.to_string());
        let next = config.next.clone().filter(|next| enabled && next.version > now.version);
        let newest = next.as_ref().map_or_else(|| text.clone(), |next| next.to_string().into());
        let files = config.zoo_cfg.as_deref().filter(|_| enabled).map(MembersFiles::of);
        Self { enabled, me, now, text, next, newest, told: None, files }
    }

    /// Those in force.
    pub(super) fn now(&self) -> &Arc<Members> {
        &self.now
    }

    /// The same as clients and voters are told.
    pub(super) fn text(&self) -> &Text {
        &self.text
    }

    /// The last ones seen, as a leader tells with NEWLEADER.
    pub(super) fn newest(&self) -> &Text {
        &self.newest
    }

    /// Where a peer is.
    pub(super) fn server(&self, peer: PeerId) -> Option<&Server> {
        let next = self.next.as_ref().and_then(|next| next.servers.get(&peer));
        self.now.servers.get(&peer).or(next)
    }

    /// All that vote among those in force or those that may take their place.
    pub(super) fn voters(&self) -> impl Iterator<Item = (PeerId, &Server)> {
        let voters = |members: &'_ Members| members.voters().collect::<BTreeSet<_>>();
        let mut all = voters(&self.now);
        all.extend(self.next.iter().flat_map(voters));
        all.into_iter().filter_map(|peer| Some((peer, self.server(peer)?)))
    }

    /// Whether a learner says that later ones are in force with it.
    pub(super) fn is_behind(&self, version: i64) -> bool {
        self.enabled && version > self.now.version.bits()
    }

    /// Whether a learner says that only earlier ones are in force with it, which a vote would change: what it acknowledges may
    /// be committed without the voters of those. One whose members do not change says zero.
    pub(super) fn is_ahead(&self, version: i64) -> bool {
        self.enabled && version != 0 && version < self.now.version.bits()
    }

    fn newest_version(&self) -> Zxid {
        self.next.as_ref().map_or(self.now.version, |next| next.version)
    }

    /// On disk before whatever brings them is acknowledged.
    fn set_next(&mut self, next: Option<Members>) {
        let done = match (&next, &self.files) {
            (Some(next), Some(files)) => files.foresee(next),
            (None, Some(files)) => files.forget_next(),
            (_, None) => Ok(()),
        };
        tell(done, "members that were proposed are not kept");
        self.newest = match &next {
            Some(next) => next.to_string().into(),
            None => self.text.clone(),
        };
        self.next = next;
    }

    /// These are in force. `None`: they are not known, which the protocol does not let happen.
    fn activate(&mut self, version: Zxid) -> Option<()> {
        let known = [self.told.take(), self.next.clone()].into_iter().flatten();
        let members = known.into_iter().find(|members| members.version == version)?;
        if let Some(files) = &self.files {
            tell(files.activate(&members, self.me), "the members are not written to their file");
        }
        self.text = members.to_string().into();
        self.now = Arc::new(members);
        let later = self.next.take().filter(|next| next.version > version);
        match later {
            Some(later) => self.next = Some(later),
            None => self.set_next(None),
        }
        Some(())
    }
}

fn tell(done: std::io::Result<()>, what: &str) {
    if let Err(error) = done {
        let error = words(&error);
        tracing::error!(error, "{what}; mend it before this member is started again");
    }
}

impl Core {
    /// The protocol from what is durable on, among the members that are known by now.
    pub(super) fn protocol(&self, durable: Durable) -> Zab {
        let config = &self.shared.config;
        match &self.ensemble {
            Some(ensemble) => {
                let configs = &ensemble.configs;
                protocol(config, &configs.now, configs.next.as_ref(), durable)
            }
            None => Zab::new(Settings::alone(config.myid), durable),
        }
    }

    /// A client wants other members: the transaction that becomes of it, and whom that brings.
    pub(super) fn prepare_reconfig(
        &mut self,
        turn: Turn,
        requester: &Requester<'_>,
        request: &jute::Reconfig,
    ) -> (Entry, Option<Arc<Config>>) {
        let Some(ensemble) = &self.ensemble else {
            return (Prep::refuse(turn, requester, ErrorCode::Unimplemented), None);
        };
        let (zab, configs) = (&self.zab, &ensemble.configs);
        let (entry, members) = {
            let tree = self.shared.tree();
            let config = self.shared.config.ensemble.as_ref();
            let asked = znodes::Ensemble {
                members: &configs.now,
                under_way: configs.next.is_some(),
                standalone: config.is_some_and(|config| config.standalone_enabled),
                in_step: &|members| zab.may_reconfigure(&config_of(members)),
            };
            let prep = &mut self.prep;
            prep.prepare_reconfig(&tree, &mut self.sessions, turn, requester, request, &asked)
        };
        let config = members.as_ref().map(|members| Arc::new(config_of(members)));
        if let Some(members) = members {
            tracing::info!(version = %members.version, "change of the members proposed");
            self.note_next(members);
        }
        (entry, config)
    }

    /// A leader's transaction came, and may bring other members.
    pub(super) fn foresee_by(&mut self, entry: &Entry) {
        let Txn::Reconfig(set) = &entry.txn else { return };
        let members = set.data.as_deref().and_then(|data| std::str::from_utf8(data).ok());
        match members.map(Members::parse) {
            Some(Ok(members)) => self.foresee(members),
            _ => {
                tracing::error!(zxid = %entry.header.zxid, "a change of the members that names none")
            }
        }
    }

    fn foresee(&mut self, members: Members) {
        let Some(Ensemble { configs, .. }) = self.ensemble.as_deref() else { return };
        if configs.enabled && members.version > configs.newest_version() {
            let config = Arc::new(config_of(&members));
            self.note_next(members);
            self.drive(Input::Foreseen(config));
        }
    }

    fn note_next(&mut self, members: Members) {
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        ensemble.peers.know(&members);
        ensemble.configs.set_next(Some(members));
    }

    /// NEWLEADER comes, with the last members that the leader knows of. Others that this member has seen never came into force.
    pub(super) fn on_leaders_members(&mut self, text: Option<&[u8]>) {
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        let configs = &mut ensemble.configs;
        let text = text.and_then(|text| std::str::from_utf8(text).ok());
        let Some(Ok(members)) = text.filter(|_| configs.enabled).map(Members::parse) else {
            return;
        };
        let config = Arc::new(config_of(&members));
        let later = members.version > configs.now.version;
        if !later && configs.next.is_some() {
            configs.set_next(None);
        } else if later && members.version != configs.newest_version() {
            self.note_next(members);
        }
        self.drive(Input::LeaderHas(config));
    }

    /// A state comes that is to take the place of the history, which `last` is of; or the history stays what it is.
    pub(super) fn on_history(&mut self, last: Option<Members>) {
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        let configs = &mut ensemble.configs;
        if !configs.enabled {
            return;
        }
        let next = standing(&configs.now, configs.next.clone(), last);
        if next != configs.next {
            configs.set_next(next);
        }
        let newest = configs.next.as_ref().unwrap_or(&configs.now);
        let config = Arc::new(config_of(newest));
        self.drive(Input::LogHas(config));
    }

    /// The history is what the tree has.
    pub(super) fn on_history_of_tree(&mut self) {
        let last = last_members(&self.shared.tree());
        self.on_history(last);
    }

    /// The first members have a version now.
    pub(super) fn on_foreseen(&mut self, config: &Config) {
        let Some(ensemble) = &self.ensemble else { return };
        let members = Members { version: config.version, ..(**ensemble.configs.now()).clone() };
        self.note_next(members);
    }

    /// What was proposed is not in this member's log.
    pub(super) fn on_unforeseen(&mut self) {
        if let Some(ensemble) = &mut self.ensemble {
            ensemble.configs.set_next(None);
        }
    }

    /// A peer's vote says which members are in force with it.
    pub(super) fn on_told(&mut self, text: Option<&Text>) {
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        let configs = &mut ensemble.configs;
        let news = text.filter(|text| configs.enabled && **text != configs.text);
        let Some(Ok(members)) = news.map(|text| Members::parse(text)) else { return };
        if members.version > configs.now.version {
            let config = Arc::new(config_of(&members));
            configs.told = Some(members);
            self.drive(Input::Committed(config));
            if let Some(ensemble) = self.ensemble.as_deref_mut() {
                ensemble.configs.told = None;
            }
        }
    }

    /// Other members are in force from now on.
    pub(super) fn on_activate(&mut self, config: &Config) {
        let me = self.shared.config.myid;
        let Some(ensemble) = self.ensemble.as_deref_mut() else { return };
        let before = ensemble.configs.server(me).cloned();
        if ensemble.configs.activate(config.version).is_none() {
            return self.fail(&format!("members of version {} are not known", config.version));
        }
        let members = Arc::clone(ensemble.configs.now());
        tracing::info!(version = %members.version, members = %members.lines().trim().replace('\n', " "), "members in force");
        ensemble.peers.know(&members);
        ensemble.peers.in_force(ensemble.configs.text());
        self.shared.set_members(Arc::clone(&members));
        let server = members.servers.get(&me);
        ensemble.observer = server.is_some_and(|server| server.role == ServerRole::Observer);
        // One that is not named stays where it was.
        let Some(server) = server else { return };
        let moved = before.as_ref().is_none_or(|before| before.addresses != server.addresses);
        if let Some(config) = self.shared.config.ensemble.as_ref().filter(|_| moved) {
            ensemble.peers.move_to(config, server);
        }
        if let Some(addr) =
            client_addr(server).filter(|addr| Some(*addr) != self.shared.client_addr())
        {
            self.shared.client_moves.send_replace(Some(addr));
        }
    }
}

/// The last members that a history brings, or that its tree shows.
pub(crate) fn last_members(tree: &State) -> Option<Members> {
    let shown = tree.get(znodes::CONFIG_PATH).and_then(|node| node.data());
    Members::parse(std::str::from_utf8(shown?).ok()?).ok()
}

/// Which members may take the place of those in force: of those that were kept as proposed and the last that the history brings.
///
/// They are kept before the history has them, so they may be of what never was; the first members get their version by no
/// transaction. What a person wrote has no version, and is not to be overruled by what was before.
pub(crate) fn standing(
    now: &Members,
    kept: Option<Members>,
    last: Option<Members>,
) -> Option<Members> {
    let last = last.filter(|last| last.version > now.version && last.version.counter() > 0);
    let version = last.as_ref().map(|last| last.version);
    let kept = kept.filter(|kept| kept.version > now.version);
    let kept = kept.filter(|kept| kept.version.counter() == 0 || Some(kept.version) == version);
    kept.or_else(|| last.filter(|_| now.version > Zxid::ZERO))
}

/// Members as the protocol knows them.
pub(crate) fn config_of(members: &Members) -> Config {
    let observers = members.servers.iter().filter(|(peer, _)| !members.is_voter(**peer));
    let observers: BTreeSet<_> = observers.map(|(peer, _)| *peer).collect();
    let places = |server: &Server| -> Arc<str> {
        let places = server.addresses.iter().map(|one| format!("{}:{}", one.host, one.quorum_port));
        places.collect::<Vec<_>>().join("|").into()
    };
    let addresses = members.servers.iter().map(|(peer, server)| (*peer, places(server))).collect();
    Config { version: members.version, voters: voters_of(members), observers, addresses }
}

/// Who of them decides.
pub(crate) fn voters_of(members: &Members) -> Voters {
    if members.groups.is_empty() {
        return Voters::majority(members.voters());
    }
    let grouped = members
        .groups
        .iter()
        .flat_map(|(group, peers)| peers.iter().map(|peer| (*peer, *group, members.weight(*peer))));
    Voters::grouped(grouped)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `standing` of these versions.
    fn stands(now: i64, kept: Option<i64>, last: Option<i64>) -> Option<i64> {
        let of = |bits| Members { version: Zxid::from_bits(bits), ..Members::default() };
        standing(&of(now), kept.map(of), last.map(of)).map(|next| next.version.bits())
    }

    #[test]
    fn members_that_were_proposed_stand_while_the_history_brings_them() {
        let (first, one, two) = (1 << 32, 1 << 32 | 1, 1 << 32 | 2);
        assert_eq!(stands(first, Some(one), Some(one)), Some(one));
        assert_eq!(stands(first, Some(one), Some(first)), None, "kept, and never logged");
        assert_eq!(stands(first, Some(two), Some(one)), Some(one));
        assert_eq!(stands(first, None, Some(one)), Some(one));
        assert_eq!(stands(one, Some(one), Some(one)), None);
        assert_eq!(stands(0, Some(first), None), Some(first));
        assert_eq!(stands(0, None, Some(one)), None, "a person wrote others");
    }
}
