//! A member among others: what peers say, carried to the protocol, and what the protocol wants, carried out.
//!
//! Lives here: connections by peer, packets in and out. Must not: how a learner comes in step (`histories`), what a role is for
//! clients (`roles`), clients' sessions and requests on a learner (`through`) or those of learners on a leader (`learners`).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bytes::BytesMut;
use jute::learner::{LearnerInfo, PacketType, QuorumPacket};
use jute::{Entry, ServerRole, Text};
use storage::{LogCommand, SnapshotWriter};
use tokio::sync::OwnedSemaphorePermit;
use types::{PeerId, SessionId, Zxid};
use zab::{Input, Message, Output, PeerMisbehaved, PhaseName};
use znodes::State;

use super::feeding::Masters;
use super::recent::Recent;
use super::reconfig::Configs;
use super::through::{Forwarded, Returning};
use super::{Core, Origin, Outstanding, wire};
use crate::load::words;
use crate::metrics::Stats;
use crate::peers::{Event, Heard, Link, LinkId, Outbox, Peers, put_packet};
use crate::standing::{Learner, Role};
use crate::{EnsembleConfig, MemberFailed};

/// What only a member of an ensemble has.
pub(super) struct Ensemble {
    pub(super) peers: Peers,
    pub(super) configs: Configs,
    pub(super) observer: bool,
    /// Those that called at the leader port.
    pub(super) callers: BTreeMap<LinkId, Caller>,
    pub(super) by_peer: BTreeMap<PeerId, LinkId>,
    /// Whom this member called.
    pub(super) upstream: Option<Upstream>,
    pub(super) masters: Masters,
    /// Outboxes with something new in them.
    pub(super) to_flush: Vec<Arc<Outbox>>,
    /// The leader's state, while it takes the place of this member's, and its copy on the disk, which is not finished.
    pub(super) received: Option<(Box<State>, Option<SnapshotWriter>)>,
    /// Callers without a number of their own get these, downwards.
    nameless: i64,
    /// As a learner: requests on their way through the leader, by session, oldest first.
    pub(super) forwarded: HashMap<SessionId, VecDeque<(Zxid, Forwarded)>>,
    pub(super) forwarded_count: u64,
    /// As a learner: who waits for the leader's SYNC, in order.
    pub(super) syncs: VecDeque<(Origin, Text)>,
    /// As a learner: whom the leader has answered, and what must be applied here before they are, in order.
    pub(super) synced: VecDeque<(Zxid, Origin, Text)>,
    /// As a leader: a learner waits for a transaction that was taken back.
    pub(super) awaited: bool,
    /// As a learner: who came back and waits for the leader's word on it.
    pub(super) returning: HashMap<SessionId, Vec<Returning>>,
    /// Sessions that came back while observers learn from this member: the observer that each speaks through, or `None`: this
    /// member. Its leader does not tell one from the other.
    pub(super) came_back: HashMap<SessionId, Option<LinkId>>,
    /// As a learner: sessions that gave a sign of life and have no connection any more.
    pub(super) touched: HashMap<SessionId, i32>,
    pub(super) touched_at: types::Instant,
    pub(super) last_local: i32,
    /// Those whose packets came with these wait until the log has taken what there was to log then.
    held: VecDeque<(Zxid, OwnedSemaphorePermit)>,
    /// What a learner lacks that is a little behind.
    pub(super) recent: Recent,
    /// The leader before has named its successor: clients of this member wait for that one.
    pub(super) between: bool,
    /// Since when nobody leads; `None` while somebody does.
    pub(super) looking_since: Option<types::Instant>,
}

/// A learner, or one that may become it.
pub(super) struct Caller {
    pub(super) link: Link,
    /// Once it has said who it is.
    pub(super) peer: Option<PeerId>,
    observer: bool,
    /// It takes one commit for all before it.
    kin: bool,
    synced: bool,
    acknowledged: Zxid,
    /// What it knows to be committed.
    told: Zxid,
    /// What its SYNCs wait for, the oldest first.
    syncs: VecDeque<Zxid>,
}

/// The leader, or one that was taken for it.
pub(super) struct Upstream {
    pub(super) leader: PeerId,
    /// Who is at the other end: the leader, or a follower that an observer learns through.
    pub(super) master: PeerId,
    pub(super) link: Link,
    /// This member is in step with it and serves clients.
    pub(super) serving: bool,
    /// It speaks our dialect, as far as that is known.
    pub(super) kin: bool,
}

impl Ensemble {
    pub(super) fn new(peers: Peers, config: &EnsembleConfig, me: PeerId, reconfig: bool) -> Self {
        let members = &config.members;
        for members in config.next.iter().chain([members]) {
            peers.know(members);
        }
        let role = members.servers.get(&me).map(|server| server.role);
        Self {
            peers,
            configs: Configs::new(config, me, reconfig),
            observer: role == Some(ServerRole::Observer),
            callers: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            upstream: None,
            masters: Masters::default(),
            to_flush: Vec::new(),
            received: None,
            nameless: -1,
            forwarded: HashMap::new(),
            forwarded_count: 0,
            syncs: VecDeque::new(),
            synced: VecDeque::new(),
            awaited: false,
            returning: HashMap::new(),
            came_back: HashMap::new(),
            touched: HashMap::new(),
            touched_at: types::Instant::ZERO,
            last_local: 0,
            held: VecDeque::new(),
            recent: Recent::default(),
            between: false,
            looking_since: Some(types::Instant::ZERO),
        }
    }

    /// Nothing is on its way to the log any more that somebody waits for.
    pub(super) fn let_all_come(&mut self) {
        self.held.clear();
    }

    /// The connection with a peer as leader or learner.
    pub(super) fn outbox(&self, peer: PeerId) -> Option<&Arc<Outbox>> {
        if let Some(upstream) = self.upstream.as_ref().filter(|one| one.leader == peer) {
            return Some(&upstream.link.outbox);
        }
        self.caller(peer).map(|caller| &caller.link.outbox)
    }

    /// A peer that has said that it learns from this member.
    fn caller(&self, peer: PeerId) -> Option<&Caller> {
        self.callers.get(self.by_peer.get(&peer)?)
    }

    fn caller_mut(&mut self, learner: PeerId) -> Option<&mut Caller> {
        self.callers.get_mut(self.by_peer.get(&learner)?)
    }

    /// A learner is brought in step up to here.
    pub(super) fn note_told(&mut self, learner: PeerId, zxid: Zxid) {
        if let Some(caller) = self.caller_mut(learner) {
            caller.note_told(zxid);
        }
    }

    /// Answers a learner's SYNC, at once or behind what tells it that `zxid` is committed.
    pub(super) fn sync_behind(&mut self, learner: LinkId, zxid: Zxid) {
        let Some(caller) = self.callers.get_mut(&learner) else { return };
        caller.syncs.push_back(zxid);
        caller.answer_syncs(caller.told);
        send(&caller.link.outbox, &mut self.to_flush, |_| ());
    }

    /// What stood behind `last` was taken back: no SYNC waits for it.
    pub(super) fn forget_behind(&mut self, last: Zxid) {
        for caller in self.callers.values_mut().filter(|caller| !caller.syncs.is_empty()) {
            for awaited in &mut caller.syncs {
                *awaited = last.min(*awaited);
            }
            caller.answer_syncs(caller.told);
            send(&caller.link.outbox, &mut self.to_flush, |_| ());
        }
    }

    /// Whether it is a learner that takes one commit for all before it.
    pub(super) fn is_kin(&self, learner: PeerId) -> bool {
        self.caller(learner).is_some_and(|caller| caller.kin)
    }

    /// Somebody has called who is to say who it is. Where too many have not, the one that came first makes room: those who say
    /// nothing keep nobody out.
    fn take_caller(&mut self, link: Link) {
        let callers = &mut self.callers;
        let strangers = callers.iter().filter(|(_, caller)| caller.peer.is_none());
        let strangers = strangers.map(|(id, _)| *id);
        if strangers.clone().count() >= MAX_STRANGERS
            && let Some(first) = strangers.min()
        {
            callers.remove(&first);
        }
        if callers.len() >= MAX_CALLERS {
            tracing::warn!("learner refused: there are too many");
            return;
        }
        let id = link.id;
        let caller = Caller {
            link,
            peer: None,
            observer: false,
            kin: false,
            synced: false,
            acknowledged: Zxid::ZERO,
            told: Zxid::ZERO,
            syncs: VecDeque::new(),
        };
        callers.insert(id, caller);
    }

    /// How many learners are being brought in step.
    pub(super) fn unsynced(&self) -> usize {
        self.callers.values().filter(|caller| caller.peer.is_some() && !caller.synced).count()
    }

    fn drop_caller(&mut self, link: LinkId) -> Option<PeerId> {
        let peer = self.callers.remove(&link)?.peer?;
        if self.by_peer.get(&peer) == Some(&link) {
            self.by_peer.remove(&peer);
            return Some(peer);
        }
        None
    }
}

impl Caller {
    /// Commits up to `zxid` are told next. A SYNC's place is just behind what it waits for: learners pair what comes with what each
    /// session asked, in order, and one of Apache's waits for ever once a later commit comes first.
    fn answer_syncs_before(&mut self, zxid: Zxid) {
        while let Some(first) = self.syncs.front().copied().filter(|first| *first < zxid) {
            if first > self.told && self.kin && !self.observer {
                // The one that is told next would cover it.
                self.link.outbox.put(|out| put_packet(out, PacketType::Commit, first, None));
            }
            self.note_told(first);
        }
    }

    /// All up to `zxid` was told.
    fn note_told(&mut self, zxid: Zxid) {
        self.told = self.told.max(zxid);
        self.answer_syncs(self.told);
    }

    /// Answers the SYNCs that wait for nothing behind `zxid`.
    fn answer_syncs(&mut self, zxid: Zxid) {
        while self.syncs.front().is_some_and(|first| *first <= zxid) {
            self.syncs.pop_front();
            self.link.outbox.put(|out| put_packet(out, PacketType::Sync, Zxid::ZERO, None));
        }
    }
}

impl Core {
    pub(super) fn on_peer(&mut self, event: Event) {
        let Some(ensemble) = &mut self.ensemble else { return };
        match event {
            Event::Heard { from, heard, permit: _permit } => {
                if let Heard::Vote(vote) = &heard {
                    self.on_told(vote.config.as_ref());
                }
                self.drive(match heard {
                    Heard::Up => Input::Reachable(from),
                    Heard::Down => Input::Unreachable(from),
                    Heard::Vote(vote) => {
                        let message = Message::Notification(wire::notification(&vote));
                        Input::Received { from, message }
                    }
                });
            }
            Event::Called(link) => ensemble.take_caller(link),
            Event::Up { link } => {
                let up = ensemble.upstream.as_ref().filter(|one| one.link.id == link);
                if let Some(leader) = up.map(|one| one.leader) {
                    self.drive(Input::LeaderUp(leader));
                }
            }
            Event::Packets { link, packets, permit } => {
                let from_leader = ensemble.upstream.as_ref().is_some_and(|one| one.link.id == link);
                for packet in packets {
                    match from_leader {
                        true => self.on_leaders_packet(link, packet),
                        false => self.on_learners_packet(link, packet),
                    }
                }
                self.maybe_hold(permit);
            }
            Event::Snapshot { link, state, staged } => self.on_snapshot(link, state, staged),
            Event::Ended { link, error } => self.on_link_ended(link, error),
        }
    }

    /// A history comes as fast as the log takes it, so that any length needs little memory. What is live comes as fast
    /// as clients write, and a disk that hesitates must not keep a leader's signs of life away. Learners ask as fast as
    /// the leader's own log takes it, too, once much waits for that.
    fn maybe_hold(&mut self, permit: OwnedSemaphorePermit) {
        let catches_up = self.zab.phase() == PhaseName::Synchronization;
        let much = self.outstanding.len() > MAX_BACKLOG;
        if let Some(ensemble) = &mut self.ensemble
            && if ensemble.upstream.is_some() { catches_up } else { much }
            && self.appended > self.flushed
        {
            ensemble.held.push_back((self.appended, permit));
        }
    }

    /// The log has taken all up to here.
    pub(super) fn let_more_come(&mut self, flushed: Zxid) {
        if let Some(ensemble) = &mut self.ensemble {
            while ensemble.held.front().is_some_and(|(zxid, _)| *zxid <= flushed) {
                ensemble.held.pop_front();
            }
        }
    }

    fn on_link_ended(&mut self, link: LinkId, error: Option<std::io::Error>) {
        let Some(ensemble) = &mut self.ensemble else { return };
        let upstream = ensemble.upstream.take_if(|one| one.link.id == link).map(|one| one.leader);
        let lost = upstream.or_else(|| ensemble.drop_caller(link));
        if let Some(peer) = lost {
            let error = error.map_or_else(|| "it was closed".to_owned(), |error| words(&error));
            tracing::info!(%peer, error, "connection between leader and learner ended");
            self.drive(Input::LinkLost(peer));
            self.view_learners();
        }
    }

    /// Gives a connection up for what came over it.
    pub(super) fn hang_up(&mut self, link: LinkId, why: &str) {
        let why = std::io::Error::new(std::io::ErrorKind::InvalidData, why);
        self.on_link_ended(link, Some(why));
    }

    /// Learners wait for a transaction that was taken back: they, and their clients, are to come again.
    pub(super) fn maybe_dismiss_learners(&mut self) {
        let Some(ensemble) = self.ensemble.as_mut().filter(|ensemble| ensemble.awaited) else {
            return;
        };
        ensemble.awaited = false;
        let learners: Vec<_> = ensemble.by_peer.values().copied().collect();
        for link in learners {
            let why = std::io::ErrorKind::StorageFull.into();
            self.on_link_ended(link, Some(why));
        }
    }

    fn on_leaders_packet(&mut self, link: LinkId, packet: QuorumPacket) {
        let Some(ensemble) = &self.ensemble else { return };
        let upstream = ensemble.upstream.as_ref().filter(|one| one.link.id == link);
        let Some(from) = upstream.map(|one| one.leader) else { return };
        match packet.kind {
            PacketType::Sync => self.on_synced(),
            PacketType::Revalidate => self.on_revalidated(link, packet.data.as_ref()),
            // The message counts once the state behind it is there.
            PacketType::Snap => {}
            PacketType::Diff | PacketType::Trunc if self.mending.is_damaged() => {
                self.hang_up(link, "it sends a part, and the files here are damaged");
            }
            PacketType::Commit | PacketType::CommitAndActivate => {
                Stats::count(&self.shared.stats.commits_heard);
                self.receive(link, from, packet);
            }
            PacketType::NewLeader => {
                self.on_leaders_members(packet.data.as_deref());
                self.receive(link, from, packet);
            }
            PacketType::Proposal | PacketType::Inform | PacketType::InformAndActivate => {
                // Read before it is logged: what cannot be read must not get there.
                let mut body = packet.data.clone().unwrap_or_default();
                if packet.kind == PacketType::InformAndActivate {
                    wire::named(&mut body);
                }
                match Entry::decode(&body) {
                    Ok(entry) if entry.header.zxid == packet.zxid => {
                        self.foresee_by(&entry);
                        self.note_heard(packet.kind, &entry);
                        let (origin, since) = (Origin::Elsewhere, self.now);
                        self.outstanding.push_back(Outstanding {
                            entry,
                            origin,
                            since,
                            audited: None,
                        });
                        self.receive(link, from, packet);
                    }
                    Ok(_) => self.hang_up(link, "a proposal under another transaction's zxid"),
                    Err(error) => self.hang_up(link, &format!("a proposal that is none: {error}")),
                }
            }
            _ => self.receive(link, from, packet),
        }
    }

    fn on_learners_packet(&mut self, link: LinkId, packet: QuorumPacket) {
        let Some(ensemble) = &mut self.ensemble else { return };
        let Some(caller) = ensemble.callers.get_mut(&link) else { return };
        let Some(from) = caller.peer else {
            return self.on_introduction(link, packet);
        };
        match packet.kind {
            PacketType::Request => self.on_forwarded(link, packet),
            PacketType::Revalidate => self.on_revalidate(link, packet.data.as_ref()),
            PacketType::FollowerInfo | PacketType::ObserverInfo => {
                self.hang_up(link, "it introduced itself twice");
            }
            PacketType::Ping => {
                self.on_touches(packet.data.as_ref());
                self.receive(link, from, packet);
            }
            PacketType::Ack => {
                if packet.zxid.counter() > 0 {
                    caller.acknowledged = packet.zxid;
                }
                self.note_acknowledged(from, packet.zxid);
                self.receive(link, from, packet);
            }
            _ => self.receive(link, from, packet),
        }
    }

    /// The first packet says who called. One that calls again takes the place of its connection before.
    fn on_introduction(&mut self, link: LinkId, packet: QuorumPacket) {
        let observer = packet.kind == PacketType::ObserverInfo;
        if !observer && packet.kind != PacketType::FollowerInfo {
            return self.hang_up(link, "its first packet does not say who it is");
        }
        if let Some(why) = self.no_observer(link, &packet) {
            tracing::info!(why, "observer turned away");
            return self.hang_up(link, why);
        }
        let info = LearnerInfo::decode(packet.data.as_ref());
        let me = self.shared.config.myid;
        let Some(ensemble) = &mut self.ensemble else { return };
        if ensemble.configs.is_behind(info.config_version) {
            return self.hang_up(link, "later members are in force with it than here");
        }
        if info.kin && ensemble.configs.is_ahead(info.config_version) {
            return self
                .hang_up(link, "it has not heard which members are in force, and will by vote");
        }
        let peer = info.peer.unwrap_or_else(|| {
            ensemble.nameless -= 1;
            PeerId(ensemble.nameless)
        });
        if peer == me {
            return self.hang_up(link, "it has this member's own id; each needs a myid of its own");
        }
        let Some(caller) = ensemble.callers.get_mut(&link) else { return };
        caller.peer = Some(peer);
        caller.observer = observer;
        caller.kin = info.kin;
        let before = ensemble.by_peer.insert(peer, link);
        if let Some(before) = before {
            ensemble.callers.remove(&before);
            self.drive(Input::LinkLost(peer));
        }
        self.introduce(link, peer, packet);
    }

    pub(super) fn receive(&mut self, link: LinkId, from: PeerId, packet: QuorumPacket) {
        match wire::message(packet) {
            Some(message) => self.drive(Input::Received { from, message }),
            None => self.hang_up(link, "a packet that has no meaning"),
        }
    }

    /// Carries out what the protocol wants of peers and of the history.
    pub(super) fn on_peers_output(&mut self, output: Output) {
        if self.ensemble.is_none() {
            if !matches!(output, Output::Resigned { .. }) {
                tracing::error!(?output, "this member has no peers: not carried out");
            }
            return;
        }
        match output {
            Output::Send { to, message } => self.send(to, &message),
            Output::HangUp { peer, why } => {
                tracing::info!(%peer, ?why, "connection between leader and learner closed");
                match why {
                    PeerMisbehaved::LogCut => self.see_off(peer),
                    _ => self.let_go(peer),
                }
                self.view_learners();
            }
            Output::Follow(leader) => self.follow(leader),
            Output::Following { leader, epoch, kin } => self.on_following(leader, epoch, kin),
            Output::Resigned { successor } => self.on_resigned(successor),
            Output::Foreseen(config) => self.on_foreseen(&config),
            Output::Unforeseen => self.on_unforeseen(),
            Output::Activate(config) => self.on_activate(&config),
            Output::Locate { learner, last } => self.locate(learner, last),
            Output::Sync { to, plan } => self.sync(to, plan),
            Output::Truncate(to) => {
                tracing::warn!(%to, "the log is cut: the leader does not have what is behind");
                self.leave_clients();
                self.tell_log(LogCommand::Truncate(to));
            }
            Output::Install(zxid) => self.install(zxid),
            Output::HandedOver(successor) => {
                match successor {
                    Some(peer) => tracing::info!(%peer, "leadership handed over"),
                    None => tracing::info!("leadership left to an election"),
                }
                if let Some(waits) = self.handing_over.take() {
                    let finishing = std::mem::take(&mut self.finishing);
                    tokio::spawn(async move {
                        for link in finishing {
                            let _ = link.await;
                        }
                        // When nobody waits any more, the member ends without.
                        let _ = waits.send(());
                    });
                }
            }
            other => tracing::error!(?other, "an output that is not known"),
        }
    }

    pub(super) fn send(&mut self, to: PeerId, message: &Message) {
        let touches = matches!(message, Message::Ping(_)).then(|| self.touches(to)).flatten();
        let (me, shared) = (self.shared.config.myid, &self.shared);
        let Some(ensemble) = &mut self.ensemble else { return };
        if let Message::Notification(notification) = message {
            let vote = wire::vote(notification, ensemble.configs.text());
            return ensemble.peers.vote(to, &vote);
        }
        if matches!(message, Message::UpToDate)
            && let Some(caller) = ensemble.caller_mut(to)
        {
            caller.synced = true;
        }
        let commits = wire::commits(message);
        if let Some(zxid) = commits
            && let Some(caller) = ensemble.caller_mut(to)
        {
            caller.answer_syncs_before(zxid);
        }
        let Some(outbox) = ensemble.outbox(to).cloned() else { return };
        let context = wire::Context {
            me,
            members: ensemble.configs.newest(),
            config_version: ensemble.configs.now().version,
            touches: touches.as_deref(),
        };
        let put = |out: &mut BytesMut| wire::put(message, &context, out);
        if !send(&outbox, &mut ensemble.to_flush, put) {
            // Its job ends, and tells so.
            tracing::debug!(%to, addr = ?shared.client_addr(), "a peer takes too little");
        }
        if let Some(zxid) = commits
            && let Some(caller) = ensemble.caller_mut(to)
        {
            caller.note_told(zxid);
        }
    }

    fn let_go(&mut self, peer: PeerId) {
        let Some(ensemble) = &mut self.ensemble else { return };
        if ensemble.upstream.take_if(|one| one.leader == peer).is_some() {
            return;
        }
        if let Some(link) = ensemble.by_peer.get(&peer).copied() {
            ensemble.drop_caller(link);
        }
    }

    /// Lets a learner go once it has what was said to it.
    fn see_off(&mut self, learner: PeerId) {
        let Some(ensemble) = &mut self.ensemble else { return };
        let link = ensemble.by_peer.remove(&learner);
        if let Some(caller) = link.and_then(|link| ensemble.callers.remove(&link)) {
            drop(caller.link.finish());
        }
    }

    fn follow(&mut self, leader: PeerId) {
        let Some(ensemble) = &mut self.ensemble else { return };
        let config = self.shared.config.ensemble.as_ref();
        ensemble.upstream =
            ensemble.call(leader, config.and_then(|config| config.observer_master_port));
        if ensemble.upstream.is_none() {
            self.lost.push(leader);
        }
    }

    /// The member ends: what is on its disk is not what it must be.
    pub(super) fn fail(&mut self, why: &str) {
        tracing::error!(why, "the member ends");
        self.shared.failed.send_replace(Some(MemberFailed(why.to_owned())));
        self.failed = true;
    }

    /// What is left to do once the present commands are dealt with.
    pub(super) fn settle_peers(&mut self) {
        while let Some(leader) = self.lost.pop() {
            self.drive(Input::LinkLost(leader));
        }
        let at_rest = self.mending.is_at_rest(&self.zab);
        let Some(ensemble) = &mut self.ensemble else { return };
        // Before anybody hears of what it does now.
        ensemble.peers.desk().set_at_rest(at_rest);
        for outbox in ensemble.to_flush.drain(..) {
            outbox.flush();
        }
        let phase = match self.zab.phase() {
            PhaseName::Election => "election",
            PhaseName::Discovery => "discovery",
            PhaseName::Synchronization => "synchronization",
            _ => "broadcast",
        };
        if phase != self.phase {
            self.note_phase(phase);
            self.phase = phase;
            self.shared.standing.update(|view| view.phase = phase);
        }
    }

    /// Tells those who ask how learners stand; now and then.
    pub(super) fn view_learners(&mut self) {
        let Some(ensemble) = &self.ensemble else { return };
        if !matches!(self.shared.standing.role(), Role::Leading | Role::Following) {
            return;
        }
        let members = ensemble.configs.now();
        let learners = ensemble.callers.values().filter_map(|caller| {
            let (synced, acknowledged) = (caller.synced, caller.acknowledged);
            let peer = caller.peer?;
            let votes = !caller.observer && members.is_voter(peer);
            Some(Learner { peer, votes, synced, acknowledged })
        });
        let learners: Vec<_> = learners.collect();
        self.shared.standing.update(|view| view.learners = learners);
    }
}

/// Puts something into an outbox, which is flushed once the present commands are dealt with. False: the peer is too far
/// behind, or gone.
pub(super) fn send(
    outbox: &Arc<Outbox>,
    to_flush: &mut Vec<Arc<Outbox>>,
    put: impl FnOnce(&mut BytesMut),
) -> bool {
    let is_put = outbox.put(put);
    if is_put && outbox.mark() {
        to_flush.push(Arc::clone(outbox));
    }
    is_put
}

/// Connections at the leader port.
const MAX_CALLERS: usize = 1024;
/// Those of them that have not said who they are.
const MAX_STRANGERS: usize = 256;
/// Transactions that wait for the leader's log before its learners wait with their next requests: ten times what a member lets
/// its own clients have outstanding by default.
const MAX_BACKLOG: usize = 10_000;
