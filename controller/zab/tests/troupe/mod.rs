//! Peers with model disks and connections, for stories, and for what chance makes of them.

#![allow(dead_code, reason = "each test file uses its part")]

mod ledger;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use types::{Epoch, Instant, PeerId, Zxid};
use zab::{
    Config, Durable, Input, Located, Message, Output, PeerMisbehaved, SavedEpoch, Settings,
    SyncStart, Txn, Voters, Zab,
};

use ledger::Ledger;

/// All peers, and what is on its way between them.
#[derive(Default)]
pub(crate) struct Troupe {
    now: Instant,
    voters: BTreeSet<PeerId>,
    /// Reconfiguration is on.
    reconfig: bool,
    /// By the transaction that brings it; what drivers read out of transactions.
    configs: BTreeMap<Zxid, Arc<Config>>,
    /// The one that is in force with each peer; what drivers keep in a file.
    active: BTreeMap<PeerId, Arc<Config>>,
    /// The last of them that each peer has seen.
    seen: BTreeMap<PeerId, Zxid>,
    peers: BTreeMap<PeerId, Peer>,
    /// Inputs that follow, in order.
    due: VecDeque<(PeerId, Input)>,
    /// Calls that find nobody, by when they are given up.
    vain: VecDeque<(Instant, PeerId, PeerId)>,
    /// Pairs that cannot hear each other.
    cut: BTreeSet<(PeerId, PeerId)>,
    said: Vec<String>,
    votes: bool,
    /// They come as Apache's do: nobody's kin.
    apaches: BTreeSet<PeerId>,
    calls_take_time: bool,
    ledger: Ledger,
}

struct Peer {
    observer: bool,
    disk: Disk,
    /// The process, when it runs.
    zab: Option<Zab>,
    /// The tree: what was delivered or absorbed.
    tree: Vec<Zxid>,
    /// Whom it is connected with as leader or learner.
    links: BTreeSet<PeerId>,
    /// The state that came with a snapshot.
    received: Vec<Zxid>,
}

#[derive(Default)]
struct Disk {
    accepted: Epoch,
    current: Epoch,
    log: Vec<Txn>,
    /// Where the log begins; what is before is in a snapshot only.
    purged: usize,
    /// Not flushed: answered by nothing, lost in a crash.
    held: bool,
    waiting: Vec<Txn>,
    /// The same of `currentEpoch`.
    epoch_held: bool,
    unsaved: Option<Epoch>,
}

impl Troupe {
    /// Does what a line says.
    pub(crate) fn command(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        let peers = || words[1].split(',').map(|id| PeerId(id.parse().expect("a peer's id")));
        match words[0] {
            "voters" => self.voters = peers().collect(),
            "observers" => {
                for peer in peers() {
                    self.add(peer).observer = true;
                }
            }
            "reconfiguration" => self.reconfig = words[1] == "on",
            "reconfigure" => {
                self.reconfigure(peers().next().expect("a leader"), words[2], words[3])
            }
            "apache" => self.apaches = peers().collect(),
            "calls-take-time" => self.calls_take_time = true,
            "votes" => self.votes = words[1] == "on",
            "start" => peers().for_each(|peer| self.start(peer)),
            "crash" => peers().for_each(|peer| self.crash(peer)),
            "propose" => {
                for peer in peers() {
                    for body in &words[2..] {
                        self.propose(peer, body);
                    }
                }
            }
            "hold-epoch" => peers().for_each(|peer| self.add(peer).disk.epoch_held = true),
            "hold" => peers().for_each(|peer| self.add(peer).disk.held = true),
            "release" => peers().for_each(|peer| self.release(peer)),
            "purge" => peers().for_each(|peer| {
                let disk = &mut self.add(peer).disk;
                disk.purged = disk.log.len();
            }),
            "cut" => self.cut(words[1], words[2]),
            "heal" => self.heal(),
            "hand-over" => peers().for_each(|peer| self.due.push_back((peer, Input::HandOver))),
            "full" => peers().for_each(|peer| self.refuse(peer)),
            "wait" => self.wait(Duration::from_millis(words[1].parse().expect("milliseconds"))),
            "settle" => {}
            other => panic!("no command {other}"),
        }
    }

    /// Carries out all that follows, and tells it; then how the peers stand.
    pub(crate) fn settle(&mut self) -> Vec<String> {
        self.run();
        let mut said = std::mem::take(&mut self.said);
        let mut line = Vec::new();
        for (id, peer) in &self.peers {
            if let Some(zab) = &peer.zab {
                let last = peer.tree.last().copied().unwrap_or_default();
                line.push(format!("{id} {:?} {last}", zab.phase()));
            }
        }
        said.push(format!("= {}", line.join(" | ")));
        said
    }

    /// Peers that run, and of those that may propose.
    pub(crate) fn running(&self) -> (Vec<PeerId>, Vec<PeerId>) {
        let zabs = self.peers.iter().filter_map(|(id, peer)| Some((*id, peer.zab.as_ref()?)));
        let leads = |(id, zab): (PeerId, &Zab)| zab.next_zxid().map(|_| id);
        (zabs.clone().map(|(id, _)| id).collect(), zabs.filter_map(leads).collect())
    }

    /// All run and hear each other: one leads, all have what anybody delivered, and the members are those of the last change.
    pub(crate) fn check_whole(&self) {
        let (running, leaders) = self.running();
        assert_eq!(leaders.len(), 1, "somebody leads: {leaders:?}");
        let committed: Vec<_> = self.ledger.committed.iter().copied().collect();
        let last = self.active.values().map(|config| config.version).max();
        for id in running {
            let peer = &self.peers[&id];
            let phase = peer.zab.as_ref().map(Zab::phase);
            assert_eq!(phase, Some(zab::PhaseName::Broadcast), "{id}");
            assert_eq!(peer.tree, committed, "{id}");
            assert_eq!(self.active.get(&id).map(|config| config.version), last, "{id}");
        }
        let lost = self.ledger.in_force().find(|version| !self.ledger.committed.contains(version));
        assert_eq!(lost, None, "in force, and not delivered");
    }

    fn add(&mut self, id: PeerId) -> &mut Peer {
        self.peers.entry(id).or_insert_with(|| Peer {
            observer: false,
            disk: Disk::default(),
            zab: None,
            tree: Vec::new(),
            links: BTreeSet::new(),
            received: Vec::new(),
        })
    }

    fn start(&mut self, id: PeerId) {
        let voters = Voters::majority(self.voters.iter().copied());
        let peer = self.add(id);
        let settings = Settings { voters, observer: peer.observer, ..Settings::alone(id) };
        let disk = &peer.disk;
        peer.tree = disk.log.iter().map(|txn| txn.zxid).collect();
        let last_logged = peer.tree.last().copied().unwrap_or_default();
        let durable = Durable { accepted: disk.accepted, current: disk.current, last_logged };
        let zab = Zab::new(settings, durable);
        // What was in force when it was stopped, and what was proposed.
        let of = |zxid: &Zxid| self.configs.get(zxid).cloned();
        let seen: Vec<_> = self.peers[&id].tree.iter().filter_map(of).collect();
        let watching = self.peers.iter().filter(|(_, peer)| peer.observer).map(|(id, _)| *id);
        let first = Arc::new(config(&self.voters, &watching.collect(), Zxid::ZERO));
        let active = self.active.get(&id).cloned().unwrap_or(first);
        let newest = seen.last().map_or(active.version, |seen| seen.version.max(active.version));
        self.seen.insert(id, newest);
        let zab = match self.reconfig {
            true => zab.reconfigurable(active, seen.last().cloned()),
            false => zab,
        };
        let peer = self.peers.get_mut(&id).expect("it was added");
        peer.zab = Some(zab);
        let others: Vec<_> = self.peers.keys().copied().filter(|other| *other != id).collect();
        for other in others {
            self.tell_reach(id, other);
        }
        self.due.push_back((id, Input::Tick));
    }

    fn crash(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.zab = None;
        peer.disk.waiting.clear();
        peer.disk.unsaved = None;
        for other in std::mem::take(&mut peer.links) {
            self.unlink(id, other);
        }
        let others: Vec<_> = self.peers.keys().copied().filter(|other| *other != id).collect();
        for other in others {
            self.tell_reach(id, other);
        }
    }

    fn hears(&self, one: PeerId, other: PeerId) -> bool {
        let runs = |id: &PeerId| self.peers.get(id).is_some_and(|peer| peer.zab.is_some());
        runs(&one) && runs(&other) && !self.cut.contains(&(one.min(other), one.max(other)))
    }

    fn tell_reach(&mut self, one: PeerId, other: PeerId) {
        let up = self.hears(one, other);
        for (to, peer) in [(one, other), (other, one)] {
            let input = if up { Input::Reachable(peer) } else { Input::Unreachable(peer) };
            self.due.push_back((to, input));
        }
    }

    fn unlink(&mut self, one: PeerId, other: PeerId) {
        for (to, peer) in [(one, other), (other, one)] {
            if self.peers.get_mut(&to).is_some_and(|it| it.links.remove(&peer)) || to == other {
                self.due.push_back((to, Input::LinkLost(peer)));
            }
        }
    }

    fn propose(&mut self, id: PeerId, body: &str) {
        self.run();
        let zab = self.peers.get(&id).and_then(|peer| peer.zab.as_ref());
        let Some(zxid) = zab.and_then(Zab::next_zxid) else {
            return self.said.push(format!("{id} takes no proposal"));
        };
        self.due.push_back((id, Input::Propose(Txn { zxid, body: body.to_owned().into() })));
    }

    /// `reconfigure LEADER VOTERS OBSERVERS`, where `-` is nobody.
    fn reconfigure(&mut self, id: PeerId, voters: &str, observers: &str) {
        self.run();
        let zab = self.peers.get(&id).and_then(|peer| peer.zab.as_ref());
        let Some((zab, zxid)) = zab.and_then(|zab| Some((zab, zab.next_zxid()?))) else {
            return self.said.push(format!("{id} takes no proposal"));
        };
        let ids = |text: &str| -> BTreeSet<PeerId> {
            let ids = text.split(',').filter(|id| *id != "-");
            ids.map(|id| PeerId(id.parse().expect("a peer's id"))).collect()
        };
        let config = Arc::new(config(&ids(voters), &ids(observers), zxid));
        if !zab.may_reconfigure(&config) {
            return self.said.push(format!("{id} may not: no quorum of the new voters is in step"));
        }
        self.configs.insert(zxid, Arc::clone(&config));
        self.seen.insert(id, zxid);
        let body = format!("voters={voters}").into();
        self.due.push_back((id, Input::Reconfigure { txn: Txn { zxid, body }, config }));
    }

    /// Tells of the configuration that a message carries, as a driver does.
    fn foretell(&mut self, from: PeerId, to: PeerId, message: &Message) {
        let (zxid, input): (_, fn(_) -> _) = match message {
            Message::Proposal(txn)
            | Message::Inform(txn)
            | Message::InformAndActivate { txn, .. } => (txn.zxid, Input::Foreseen),
            Message::NewLeader(_) => (self.seen[&from], Input::LeaderHas),
            Message::Snap(_) => return self.tell_history(to, &self.peers[&to].received.clone()),
            Message::Notification(_) => {
                let told =
                    self.active.get(&from).map(|config| Input::Committed(Arc::clone(config)));
                return self.due.extend(told.map(|told| (to, told)));
            }
            _ => return,
        };
        if let Some(config) = self.configs.get(&zxid) {
            self.due.push_back((to, input(Arc::clone(config))));
        }
    }

    /// Tells of the last configuration that a history brings, as a driver does that reads it in the tree.
    fn tell_history(&mut self, id: PeerId, tree: &[Zxid]) {
        let last = tree.iter().rev().find_map(|zxid| self.configs.get(zxid));
        let active = self.active.get(&id);
        let version = active.map_or(Zxid::ZERO, |config| config.version);
        if let Some(config) = last.filter(|last| last.version > version).or(active).cloned() {
            self.due.push_back((id, Input::LogHas(config)));
        }
    }

    fn release(&mut self, id: PeerId) {
        let disk = &mut self.add(id).disk;
        disk.held = false;
        disk.epoch_held = false;
        let waiting = std::mem::take(&mut disk.waiting);
        let last = waiting.last().map(|txn| txn.zxid);
        disk.log.extend(waiting);
        let saved = disk.unsaved.take();
        disk.current = saved.unwrap_or(disk.current);
        self.due.extend(saved.map(|saved| (id, Input::EpochSaved(SavedEpoch::Current(saved)))));
        self.due.extend(last.map(|last| (id, Input::Flushed(last))));
    }

    fn refuse(&mut self, id: PeerId) {
        let disk = &mut self.add(id).disk;
        disk.held = false;
        let Some(first) = std::mem::take(&mut disk.waiting).first().map(|txn| txn.zxid) else {
            return;
        };
        self.due.push_back((id, Input::AppendRefused { first }));
    }

    fn cut(&mut self, from: &str, to: &str) {
        let ids = |text: &str| -> Vec<PeerId> {
            text.split(',').map(|id| PeerId(id.parse().expect("a peer's id"))).collect()
        };
        for one in ids(from) {
            for other in ids(to) {
                self.cut.insert((one.min(other), one.max(other)));
                if self.peers.get(&one).is_some_and(|peer| peer.links.contains(&other)) {
                    self.unlink(one, other);
                }
                self.tell_reach(one, other);
            }
        }
    }

    fn heal(&mut self) {
        for (one, other) in std::mem::take(&mut self.cut) {
            self.tell_reach(one, other);
        }
    }

    /// Time goes on, from one peer's alarm to the next.
    fn wait(&mut self, length: Duration) {
        self.run();
        let end = self.now + length;
        loop {
            let alarms =
                self.peers.iter().filter_map(|(id, peer)| Some((peer.zab.as_ref()?.alarm()?, *id)));
            let alarm =
                alarms.map(|(at, id)| (at, id, Input::Tick)).min_by_key(|(at, id, _)| (*at, *id));
            let vain = self.vain.front();
            let vain = vain.map(|(at, id, leader)| (*at, *id, Input::LinkLost(*leader)));
            let next = alarm.into_iter().chain(vain).min_by_key(|(at, ..)| *at);
            let Some((at, id, input)) = next.filter(|(at, ..)| *at <= end) else { break };
            self.now = self.now.max(at);
            if let Input::LinkLost(leader) = input {
                self.vain.pop_front();
                if self.peers[&id].links.contains(&leader) {
                    continue;
                }
            }
            self.due.push_back((id, input));
            self.run();
        }
        self.now = end;
    }

    fn run(&mut self) {
        let mut steps = 0;
        while let Some((id, input)) = self.due.pop_front() {
            steps += 1;
            assert!(
                steps < 100_000,
                "it never ends: {:#?}",
                self.said.iter().rev().take(40).collect::<Vec<_>>()
            );
            let now = self.now;
            let Some(zab) = self.peers.get_mut(&id).and_then(|peer| peer.zab.as_mut()) else {
                continue;
            };
            match &input {
                Input::Foreseen(config) if config.version < self.seen[&id] => {}
                Input::Foreseen(config) | Input::LeaderHas(config) | Input::LogHas(config) => {
                    self.seen.insert(id, config.version);
                }
                _ => {}
            }
            let outputs: Vec<_> = zab.step(now, input).collect();
            for output in outputs {
                self.carry_out(id, output);
            }
        }
    }

    fn carry_out(&mut self, id: PeerId, output: Output) {
        let peer = self.peers.get_mut(&id).expect("it was stepped");
        match output {
            Output::Append(txn) if peer.disk.held => {
                self.ledger.logs(id, &txn);
                peer.disk.waiting.push(txn);
            }
            Output::Append(txn) => {
                self.ledger.logs(id, &txn);
                let zxid = txn.zxid;
                peer.disk.log.push(txn);
                self.due.push_back((id, Input::Flushed(zxid)));
            }
            Output::SaveEpoch(saved) => {
                match saved {
                    SavedEpoch::Current(epoch) if peer.disk.epoch_held => {
                        peer.disk.unsaved = Some(epoch);
                        return;
                    }
                    SavedEpoch::Accepted(epoch) => peer.disk.accepted = epoch,
                    SavedEpoch::Current(epoch) => peer.disk.current = epoch,
                }
                self.due.push_back((id, Input::EpochSaved(saved)));
            }
            Output::Deliver(txn) => {
                peer.tree.push(txn.zxid);
                // Before it is in step, nobody is told, and a later leader may cut it.
                if peer.zab.as_ref().map(Zab::phase) == Some(zab::PhaseName::Broadcast) {
                    self.ledger.delivers(id, &peer.tree);
                }
                let body = String::from_utf8_lossy(&txn.body).into_owned();
                self.said.push(format!("{id} delivers {} {body}", txn.zxid));
            }
            Output::Absorb(txn) => {
                peer.tree.push(txn.zxid);
                self.said.push(format!("{id} absorbs {}", txn.zxid));
            }
            Output::Truncate(to)
                if peer.disk.log[..peer.disk.purged].last().is_some_and(|txn| txn.zxid > to) =>
            {
                self.said.push(format!("{id} cannot cut its log behind {to}"));
                let tree = peer.tree.clone();
                self.due.push_back((id, Input::TruncateRefused(to)));
                self.tell_history(id, &tree);
            }
            Output::Truncate(to) => {
                peer.disk.log.retain(|txn| txn.zxid <= to);
                peer.tree.retain(|zxid| *zxid <= to);
                self.said.push(format!("{id} cuts its log behind {to}"));
                self.due.push_back((id, Input::Truncated(to)));
            }
            Output::Install(zxid) => {
                peer.tree = std::mem::take(&mut peer.received);
                let snapshot = peer.tree.iter().map(|zxid| Txn { zxid: *zxid, body: "".into() });
                peer.disk.log = snapshot.collect();
                peer.disk.purged = peer.disk.log.len();
                self.said.push(format!("{id} installs {zxid}"));
                self.due.push_back((id, Input::Installed(zxid)));
            }
            Output::Send { to, message } => self.send(id, to, message),
            Output::HangUp { peer: other, why } => {
                self.said.push(format!("{id} hangs up on {other}: {why:?}"));
                match why {
                    // Whoever calls again at once takes a while for it.
                    PeerMisbehaved::NotLeading => self.send_away(id, other),
                    _ => self.let_go(id, other),
                }
            }
            Output::Follow(leader) => self.follow(id, leader),
            Output::Locate { learner, last } => {
                let found = peer.disk.locate(last);
                self.due.push_back((id, Input::Located { learner, found }));
            }
            Output::Sync { to, plan } => {
                let start = match plan.start {
                    SyncStart::Diff => Message::Diff(plan.upto),
                    SyncStart::Trunc(zxid) => Message::Trunc(zxid),
                    SyncStart::Snap(zxid) => {
                        let tree = peer.tree.clone();
                        self.peers.get_mut(&to).expect("it called").received = tree;
                        Message::Snap(zxid)
                    }
                };
                let peer = self.peers.get(&id).expect("it was stepped");
                let range = |txn: &&Txn| txn.zxid > plan.after && txn.zxid <= plan.upto;
                let txns: Vec<_> = peer.disk.log.iter().filter(range).cloned().collect();
                self.send(id, to, start);
                for txn in txns {
                    let zxid = txn.zxid;
                    self.send(id, to, Message::Proposal(txn));
                    self.send(id, to, Message::Commit(zxid));
                }
            }
            Output::Activate(config) => {
                let voters: Vec<_> = config.voters.iter().map(|peer| peer.to_string()).collect();
                let (version, voters) = (config.version, voters.join(","));
                self.said.push(format!("{id} activates {version}: voters {voters}"));
                self.ledger.activates(id, self.active.get(&id).map(|before| &**before), &config);
                self.active.insert(id, config);
            }
            Output::Foreseen(config) => {
                self.seen.insert(id, config.version);
                self.configs.insert(config.version, config);
            }
            Output::Unforeseen => {
                let now = self.active.get(&id).map_or(Zxid::ZERO, |config| config.version);
                self.seen.insert(id, now);
                self.said.push(format!("{id} forgets whom it foresaw"));
            }
            Output::Leading(epoch) => {
                self.ledger.leads(id, epoch);
                self.ledger.delivers(id, &peer.tree);
                self.said.push(format!("{id} leads epoch {}", epoch.0));
            }
            Output::Following { leader, epoch, .. } => {
                self.ledger.delivers(id, &peer.tree);
                self.said.push(format!("{id} follows {leader} in epoch {}", epoch.0));
            }
            Output::Resigned { successor } => {
                let successor = successor.map_or_else(String::new, |peer| format!(" for {peer}"));
                self.said.push(format!("{id} resigns{successor}"));
                for other in std::mem::take(&mut peer.links) {
                    self.let_go(id, other);
                }
            }
            Output::Withdrawn { first } => {
                self.said.push(format!("{id} takes back all from {first} on"));
                self.ledger.takes_back(id, first);
                let mut disks = self.peers.values().map(|peer| &peer.disk);
                let kept =
                    |disk: &Disk| disk.log.iter().chain(&disk.waiting).any(|txn| txn.zxid >= first);
                assert!(!disks.any(kept), "{id} takes back from {first} on what others have");
                self.configs.split_off(&first);
            }
            other => self.said.push(format!("{id} {other:?}")),
        }
    }

    fn unlink_from(&mut self, id: PeerId, other: PeerId) {
        for (one, other) in [(id, other), (other, id)] {
            if let Some(peer) = self.peers.get_mut(&one) {
                peer.links.remove(&other);
            }
        }
    }

    fn send_away(&mut self, id: PeerId, caller: PeerId) {
        if self.calls_take_time {
            self.unlink_from(id, caller);
            self.vain.push_back((self.now + VAIN_CALL, caller, id));
        } else {
            self.let_go(id, caller);
        }
    }

    fn let_go(&mut self, id: PeerId, other: PeerId) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.links.remove(&other);
        }
        if self.peers.get_mut(&other).is_some_and(|peer| peer.links.remove(&id)) {
            self.due.push_back((other, Input::LinkLost(id)));
        }
    }

    fn follow(&mut self, id: PeerId, leader: PeerId) {
        let up = self.hears(id, leader);
        if up {
            self.peers.get_mut(&id).expect("it was stepped").links.insert(leader);
            self.peers.get_mut(&leader).expect("it is heard").links.insert(id);
        }
        match up {
            true => self.due.push_back((id, Input::LeaderUp(leader))),
            false if self.calls_take_time => {
                self.vain.push_back((self.now + VAIN_CALL, id, leader));
            }
            false => self.due.push_back((id, Input::LinkLost(leader))),
        }
    }

    fn send(&mut self, from: PeerId, to: PeerId, mut message: Message) {
        if self.apaches.contains(&from) || self.apaches.contains(&to) {
            match &mut message {
                Message::Introduction(introduction) => introduction.kin = false,
                Message::LeaderInfo { kin, .. } => *kin = false,
                _ => {}
            }
        }
        let vote = matches!(message, Message::Notification(_));
        let linked = self.peers.get(&from).is_some_and(|peer| peer.links.contains(&to));
        if !self.hears(from, to) || !vote && !linked {
            return;
        }
        let words = show(&message);
        if !matches!(message, Message::Ping(_)) && (!vote || self.votes) {
            self.said.push(format!("{from}>{to} {words}"));
        }
        let later = |id| self.active.get(&id).map(|config| config.version);
        if matches!(message, Message::Introduction(_)) && later(from) != later(to) {
            // As drivers do: it cannot learn from one that knows less, and is told by vote of what it does not know.
            return self.send_away(to, from);
        }
        self.foretell(from, to, &message);
        self.due.push_back((to, Input::Received { from, message }));
    }
}

impl Disk {
    fn locate(&self, last: Zxid) -> Located {
        let log = &self.log[self.purged..];
        match log.iter().rev().map(|txn| txn.zxid).find(|zxid| *zxid <= last) {
            Some(zxid) if zxid == last || last.counter() == 0 => Located::Here,
            Some(zxid) => Located::After(zxid),
            None => Located::Gone,
        }
    }
}

/// How long it takes to learn that nobody is there.
const VAIN_CALL: Duration = Duration::from_millis(20);

fn config(voters: &BTreeSet<PeerId>, observers: &BTreeSet<PeerId>, version: Zxid) -> Config {
    let address = |peer: &PeerId| (*peer, Arc::from(format!("host{peer}")));
    Config {
        version,
        voters: Voters::majority(voters.iter().copied()),
        observers: observers.clone(),
        addresses: voters.iter().chain(observers).map(address).collect(),
    }
}

fn show(message: &Message) -> String {
    match message {
        Message::Notification(vote) => {
            let candidate = vote.candidate.map_or_else(
                || "nobody".to_owned(),
                |it| format!("{} (epoch {} last {})", it.leader, it.epoch.0, it.last),
            );
            format!("{:?} round {} for {candidate}", vote.state, vote.round)
        }
        Message::Introduction(it) => {
            let what = if it.observer { "OBSERVERINFO" } else { "FOLLOWERINFO" };
            format!("{what} accepted={}", it.accepted.0)
        }
        Message::LeaderInfo { epoch, .. } => format!("LEADERINFO epoch={}", epoch.0),
        Message::AckEpoch { current, last } => {
            let current = current.map_or_else(|| "-".to_owned(), |epoch| epoch.0.to_string());
            format!("ACKEPOCH current={current} last={last}")
        }
        Message::Diff(zxid) => format!("DIFF {zxid}"),
        Message::Trunc(zxid) => format!("TRUNC {zxid}"),
        Message::Snap(zxid) => format!("SNAP {zxid}"),
        Message::Proposal(txn) => format!("PROPOSAL {}", txn.zxid),
        Message::Commit(zxid) => format!("COMMIT {zxid}"),
        Message::Inform(txn) => format!("INFORM {}", txn.zxid),
        Message::NewLeader(epoch) => format!("NEWLEADER epoch={}", epoch.0),
        Message::Ack(zxid) => format!("ACK {zxid}"),
        Message::UpToDate => "UPTODATE".to_owned(),
        Message::Ping(zxid) => format!("PING {zxid}"),
        Message::HandOver(peer) => format!("HANDOVER to {peer}"),
        Message::CommitAndActivate { zxid, leader } => {
            format!("COMMITANDACTIVATE {zxid} leader={leader}")
        }
        Message::InformAndActivate { txn, leader } => {
            format!("INFORMANDACTIVATE {} leader={leader}", txn.zxid)
        }
        other => format!("{other:?}"),
    }
}
