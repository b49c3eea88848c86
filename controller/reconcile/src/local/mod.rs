//! The local platform: members, masters and agents as processes of this machine, on loopback.
//!
//! Lives here: which processes a wish means, their folders and ports, and taking over those of an
//! earlier controller. Must not: decide what is wished. Start at [`LocalPlatform::open`].
//!
//! Below the data folder: `ensembles/<namespace>/<name>/<id>`, `pools/<namespace>/<name>/…`, `logs`,
//! and `platform` with the records of processes and ports.

mod argv;
mod files;
mod home;
mod ports;
mod process;
mod record;
mod supervise;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use rustix::process::Signal;
use tokio::sync::broadcast;

use self::files::Files;
use self::home::Home;
use self::ports::{Ports, file_error};
use self::process::Process;
use self::record::{Record, Records};
use self::supervise::{ProcessSpec, Supervised};
use crate::platform::{
    Agents, DataFate, Masters, MemberWish, Members, Owner, Part, PartState, Platform,
    PlatformError, PortWish, Sort, Wait,
};

/// Processes on this machine.
pub struct LocalPlatform {
    root: PathBuf,
    exe: PathBuf,
    records: Records,
    changes: broadcast::Sender<Owner>,
    inner: Mutex<Inner>,
}

struct Inner {
    ports: Ports,
    parts: BTreeMap<String, Entry>,
    /// Processes of an earlier controller that nobody has asked for yet.
    found: BTreeMap<String, (Process, Record)>,
    /// Nothing is started any more.
    ending: bool,
}

struct Entry {
    owner: Owner,
    sort: Sort,
    number: i32,
    addresses: Addresses,
    supervised: Supervised,
}

/// Where a part is found: see [`Part`].
#[derive(Clone, Default)]
struct Addresses {
    endpoint: Option<String>,
    secure_endpoint: Option<String>,
    line: Option<String>,
}

impl Addresses {
    fn of(port: Option<u16>, secure: Option<u16>, line: Option<String>) -> Self {
        let at = |port: u16| format!("127.0.0.1:{port}");
        Self { endpoint: port.map(at), secure_endpoint: secure.map(at), line }
    }
}

impl LocalPlatform {
    /// Opens the data folder and takes over what runs. Programs are this very one.
    ///
    /// Must be called within a tokio runtime.
    pub fn open(root: PathBuf) -> Result<Self, PlatformError> {
        let exe = std::env::current_exe().map_err(|source| {
            file_error("find this program", Path::new("/proc/self/exe"), source)
        })?;
        Self::open_with(root, exe)
    }

    /// The same with another program.
    pub fn open_with(root: PathBuf, exe: PathBuf) -> Result<Self, PlatformError> {
        let records = Records(root.join("platform/parts"));
        for folder in [&records.0, &root.join("logs")] {
            fs::create_dir_all(folder).map_err(|source| file_error("make", folder, source))?;
        }
        // One name for one folder, however it was written: it is part of the processes' mark.
        let root = root.canonicalize().map_err(|source| file_error("open", &root, source))?;
        let records = Records(root.join("platform/parts"));
        let found = find(&root, &records);
        let ports = Ports::open(root.join("platform/ports.json"));
        let inner = Inner { ports, parts: BTreeMap::new(), found, ending: false };
        let (changes, _) = broadcast::channel(1_024);
        Ok(Self { root, exe, records, changes, inner: Mutex::new(inner) })
    }

    /// Ends everything: agents with their tasks, then masters, then members. Data stays.
    pub async fn shutdown_all(&self) {
        for sort in [Sort::Agent, Sort::Master, Sort::Member] {
            let (parts, found) = {
                let mut inner = self.lock();
                inner.ending = true;
                let keys: Vec<String> = keys_of(&inner.parts, sort);
                let parts: Vec<Entry> =
                    keys.iter().filter_map(|key| inner.parts.remove(key)).collect();
                let word = format!("{}.", sort.word());
                let orphans: Vec<String> =
                    inner.found.keys().filter(|key| key.starts_with(&word)).cloned().collect();
                let found: Vec<_> =
                    orphans.iter().filter_map(|key| inner.found.remove_entry(key)).collect();
                (parts, found)
            };
            let orphans = found.into_iter().map(|(key, found)| self.supervise_orphan(&key, found));
            let supervised = parts.into_iter().map(|entry| entry.supervised).chain(orphans);
            join_all(supervised.map(Supervised::ended)).await;
        }
    }

    /// Stops watching everything; the processes run on, and the next controller takes them over.
    pub async fn leave_all(&self) {
        let parts = {
            let mut inner = self.lock();
            inner.ending = true;
            inner.found.clear();
            std::mem::take(&mut inner.parts)
        };
        join_all(parts.into_values().map(|entry| entry.supervised.leave())).await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // A panic while it was held can have left a part out, and the next wish puts it in again.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn want_members(&self, want: &Members) -> Result<Vec<Part>, PlatformError> {
        let mut inner = self.open_inner()?;
        let folder = self.folder(&want.owner, Sort::Member);
        let files = Files(folder.join("files"));
        files.keep(&want.files)?;
        for wish in &want.members {
            let id = wish.id;
            let key = key(Sort::Member, &want.owner, id);
            let home = Home(folder.join(id.to_string()));
            let runs = |entry: &Entry| entry.supervised.known().pid.is_some();
            if home.needs_fresh_data(wish) && inner.parts.get(&key).is_some_and(runs) {
                // Its folder is not moved under its feet: it is started when it has ended.
                self.end_parts(&mut inner, &[key], DataFate::Keep)?;
                continue;
            }
            let declared = wish.settings.client_port;
            let port = inner.port(&key, declared, id - 1)?;
            let quorum = inner.quorum(&want.owner, wish)?;
            let listens = inner.listens(&key, wish, port)?;
            let text = argv::zoo_cfg(wish, &listens, &quorum, &home.data(), &files.0);
            let own = quorum.iter().find(|peer| peer.id == id);
            let line = own.map(|Peer { quorum, election, .. }| {
                format!("127.0.0.1:{quorum}:{election}:participant;127.0.0.1:{port}")
            });
            match &line {
                Some(line) if wish.membership.others.is_some() => {
                    home.keep_reconfigured(wish, &text, line)?;
                }
                _ => home.keep(wish, &text)?,
            }
            let mut spec = self.spec(&key, argv::member(&self.exe, &home.config()), Signal::TERM);
            spec.ports = vec![(port, declared.is_some())];
            let is_declared = !matches!(wish.settings.secure_port, Some(PortWish::Chosen));
            spec.ports.extend(listens.secure.map(|port| (port, is_declared)));
            spec.ports.extend(
                [listens.admin, listens.metrics].into_iter().flatten().map(|port| (port, true)),
            );
            // A follower listens for the election only; whoever leads needs the other too.
            spec.ports.extend(quorum.iter().filter(|peer| peer.id == id).flat_map(|own| {
                let declared = wish.membership.ports;
                let (quorum, election) = (declared.quorum.is_some(), declared.election.is_some());
                [(own.quorum, quorum), (own.election, election)]
            }));
            spec.data = Some(home.guard(wish));
            let restarted_at = wish.settings.restarted_at.as_deref().unwrap_or_default();
            spec.also = format!("{text}{restarted_at}\n{} {}", wish.again, wish.data);
            let addresses = Addresses::of(Some(port), listens.secure, line);
            self.run(&mut inner, spec, &want.owner, Sort::Member, id, addresses);
        }
        files.drop_all_but(&want.members)?;
        let over = inner.beyond(&want.owner, Sort::Member, |number| {
            !want.members.iter().any(|wish| wish.id == number)
        });
        for id in over.iter().filter_map(|key| key.rsplit('.').next()) {
            Home(folder.join(id)).forget()?;
        }
        self.end_parts(&mut inner, &over, DataFate::Keep)?;
        Ok(inner.told(&want.owner, Sort::Member))
    }

    fn want_masters(&self, want: &Masters) -> Result<Vec<Part>, PlatformError> {
        let mut inner = self.open_inner()?;
        for number in 0..want.count {
            let key = key(Sort::Master, &want.owner, number);
            let port = inner.port(&key, want.port, number)?;
            let home = self.folder(&want.owner, Sort::Master).join(number.to_string());
            make_folder(&home)?;
            let argv = argv::master(&self.exe, want, port, &home);
            let mut spec = self.spec(&key, argv, Signal::TERM);
            spec.ports = vec![(port, want.port.is_some())];
            spec.also = want.restarted_at.clone().unwrap_or_default();
            let addresses = Addresses::of(Some(port), None, None);
            self.run(&mut inner, spec, &want.owner, Sort::Master, number, addresses);
        }
        let over = inner.beyond(&want.owner, Sort::Master, |number| number >= want.count);
        self.end_parts(&mut inner, &over, DataFate::Delete)?;
        Ok(inner.told(&want.owner, Sort::Master))
    }

    fn want_agents(&self, want: &Agents) -> Result<Vec<Part>, PlatformError> {
        let mut inner = self.open_inner()?;
        for wish in &want.agents {
            let key = key(Sort::Agent, &want.owner, wish.ordinal);
            let home = self.folder(&want.owner, Sort::Agent).join(wish.ordinal.to_string());
            make_folder(&home)?;
            let argv = argv::agent(&self.exe, want, wish, &home);
            let mut spec = self.spec(&key, argv, Signal::USR1);
            spec.also = want.restarted_at.clone().unwrap_or_default();
            let addresses = Addresses::default();
            self.run(&mut inner, spec, &want.owner, Sort::Agent, wish.ordinal, addresses);
        }
        let over = inner.beyond(&want.owner, Sort::Agent, |number| {
            !want.agents.iter().any(|wish| wish.ordinal == number)
        });
        self.end_parts(&mut inner, &over, DataFate::Delete)?;
        Ok(inner.told(&want.owner, Sort::Agent))
    }

    fn want_none(&self, owner: &Owner, sort: Sort, data: DataFate) -> Result<bool, PlatformError> {
        let mut inner = self.lock();
        let over = inner.beyond(owner, sort, |_| true);
        self.end_parts(&mut inner, &over, data)?;
        let prefix = prefix(sort, owner);
        let none_left = !inner.parts.keys().any(|key| is_below(key, &prefix));
        if none_left && data == DataFate::Delete {
            remove_folder(&self.folder(owner, sort))?;
        }
        Ok(none_left)
    }

    fn open_inner(&self) -> Result<std::sync::MutexGuard<'_, Inner>, PlatformError> {
        let inner = self.lock();
        if inner.ending { Err(PlatformError::Ending) } else { Ok(inner) }
    }

    /// Starts, adopts or re-wishes one process.
    fn run(
        &self,
        inner: &mut Inner,
        spec: ProcessSpec,
        owner: &Owner,
        sort: Sort,
        number: i32,
        addresses: Addresses,
    ) {
        if let Some(entry) = inner.parts.get_mut(&spec.key).filter(|e| !e.supervised.is_gone()) {
            entry.owner = owner.clone();
            entry.addresses = addresses;
            entry.supervised.wish(spec);
            return;
        }
        let key = spec.key.clone();
        let found = inner.found.remove(&key);
        let supervised = self.supervise(spec, found, owner.clone());
        let owner = owner.clone();
        inner.parts.insert(key, Entry { owner, sort, number, addresses, supervised });
    }

    fn supervise(
        &self,
        spec: ProcessSpec,
        found: Option<(Process, Record)>,
        owner: Owner,
    ) -> Supervised {
        let changes = self.changes.clone();
        let notify = move || {
            // Nobody listens while the controller starts or ends, and then nobody needs to know.
            let _heard = changes.send(owner.clone());
        };
        Supervised::start(spec, found, self.records.clone(), notify)
    }

    /// A process of an earlier controller that nobody wishes.
    fn supervise_orphan(&self, key: &str, found: (Process, Record)) -> Supervised {
        let mut spec = self.spec(key, Vec::new(), Signal::TERM);
        spec.also = String::new();
        let nobody = Owner { namespace: String::new(), name: String::new(), uid: String::new() };
        let (process, record) = found;
        // Its own revision, so that it is adopted as it is and then ended as told.
        let record = Record { revision: spec.revision(), ..record };
        self.supervise(spec, Some((process, record)), nobody)
    }

    /// Tells parts to end; those that have ended are forgotten, with their files if so wished.
    fn end_parts(
        &self,
        inner: &mut Inner,
        keys: &[String],
        data: DataFate,
    ) -> Result<(), PlatformError> {
        for key in keys {
            if let Some(found) = inner.found.remove(key) {
                let Some((owner, sort, number)) = parse(key) else { continue };
                let supervised = self.supervise_orphan(key, found);
                let addresses = Addresses::default();
                let entry = Entry { owner, sort, number, addresses, supervised };
                inner.parts.insert(key.clone(), entry);
            }
            let Some(entry) = inner.parts.get(key) else { continue };
            entry.supervised.end();
            if !entry.supervised.is_gone() {
                continue;
            }
            let (owner, sort, number) = (entry.owner.clone(), entry.sort, entry.number);
            inner.parts.remove(key);
            if data == DataFate::Delete {
                for key in [key.clone(), secure_key(key), quorum_key(key), election_key(key)] {
                    inner.ports.forget(&key)?;
                }
                remove_folder(&self.folder(&owner, sort).join(number.to_string()))?;
            }
        }
        Ok(())
    }

    fn spec(
        &self,
        key: &str,
        argv: Vec<std::ffi::OsString>,
        restart_signal: Signal,
    ) -> ProcessSpec {
        ProcessSpec {
            key: key.to_owned(),
            mark: mark(&self.root, key),
            argv,
            also: String::new(),
            log: self.root.join(format!("logs/{key}.log")),
            ports: Vec::new(),
            data: None,
            restart_signal,
            grace: GRACE,
            needs: parse(key).filter(|(_, sort, _)| *sort == Sort::Agent).map(
                |(owner, sort, number)| {
                    self.folder(&owner, sort).join(number.to_string()).join("meta/grace")
                },
            ),
        }
    }

    fn folder(&self, owner: &Owner, sort: Sort) -> PathBuf {
        let (kind, below) = match sort {
            Sort::Member => ("ensembles", ""),
            Sort::Master => ("pools", "masters"),
            Sort::Agent => ("pools", "agents"),
        };
        self.root.join(kind).join(&owner.namespace).join(&owner.name).join(below)
    }
}

impl Platform for LocalPlatform {
    fn wished<'a>(&'a self, owner: &'a Owner) -> Wait<'a, Result<Vec<MemberWish>, PlatformError>> {
        Box::pin(async move { home::wishes(&self.folder(owner, Sort::Member)) })
    }

    fn members<'a>(&'a self, want: &'a Members) -> Wait<'a, Result<Vec<Part>, PlatformError>> {
        Box::pin(async move { self.want_members(want) })
    }

    fn masters<'a>(&'a self, want: &'a Masters) -> Wait<'a, Result<Vec<Part>, PlatformError>> {
        Box::pin(async move { self.want_masters(want) })
    }

    fn agents<'a>(&'a self, want: &'a Agents) -> Wait<'a, Result<Vec<Part>, PlatformError>> {
        Box::pin(async move { self.want_agents(want) })
    }

    fn remove<'a>(
        &'a self,
        owner: &'a Owner,
        sort: Sort,
        data: DataFate,
    ) -> Wait<'a, Result<bool, PlatformError>> {
        Box::pin(async move { self.want_none(owner, sort, data) })
    }

    fn has_pods(&self) -> bool {
        false
    }

    fn changes(&self) -> broadcast::Receiver<Owner> {
        self.changes.subscribe()
    }
}

impl Inner {
    /// The declared port with the part's place added, or a chosen one.
    fn port(&mut self, key: &str, declared: Option<u16>, place: i32) -> Result<u16, PlatformError> {
        if let Some(port) = declared {
            return counted(port, place);
        }
        let runs = self.runs(key);
        self.ports.of(key, runs)
    }

    /// Where a member listens for everybody but its peers; for clients on `client`.
    fn listens(
        &mut self,
        key: &str,
        wish: &MemberWish,
        client: u16,
    ) -> Result<Listens, PlatformError> {
        let settings = &wish.settings;
        let place = wish.id - 1;
        let secure = match settings.secure_port {
            None => None,
            Some(PortWish::From(port)) => Some(counted(port, place)?),
            // Its own while it runs; before that others may have taken it.
            Some(PortWish::Chosen) => {
                let runs = self.runs(key);
                Some(self.ports.of(&secure_key(key), runs)?)
            }
        };
        let at = |port: Option<u16>| port.map(|port| counted(port, place)).transpose();
        let (admin, metrics) = (at(settings.admin_port)?, at(settings.metrics_port)?);
        Ok(Listens { client, secure, admin, metrics })
    }

    /// Whether a part's ports are its own now.
    fn runs(&self, key: &str) -> bool {
        self.found.contains_key(key)
            || self.parts.get(key).is_some_and(|entry| {
                let known = entry.supervised.known();
                known.pid.is_some() || matches!(known.state, PartState::Starting)
            })
    }

    /// Where a member and those it counts listen for each other; none if it is alone.
    fn quorum(&mut self, owner: &Owner, wish: &MemberWish) -> Result<Vec<Peer>, PlatformError> {
        let own = BTreeSet::from([wish.id]);
        let is_kept = wish.membership.others.is_some();
        let voters = if is_kept { &own } else { &wish.membership.voters };
        if !is_kept && voters.len() == 1 && voters.contains(&wish.id) && !wish.membership.observed {
            return Ok(Vec::new());
        }
        let mut peers = Vec::new();
        let ids = voters.iter().copied().chain((!voters.contains(&wish.id)).then_some(wish.id));
        for id in ids {
            let key = key(Sort::Member, owner, id);
            let declared = wish.membership.ports;
            let mut port = |declared: Option<u16>, key: String| match declared {
                Some(_) => self.port(&key, declared, id - 1),
                // Kept even while somebody else has it: all other members know it.
                None => self.ports.of(&key, true),
            };
            let quorum = port(declared.quorum, quorum_key(&key))?;
            let election = port(declared.election, election_key(&key))?;
            peers.push(Peer { id, quorum, election, votes: voters.contains(&id) });
        }
        Ok(peers)
    }

    fn beyond(&self, owner: &Owner, sort: Sort, is_over: impl Fn(i32) -> bool) -> Vec<String> {
        let prefix = prefix(sort, owner);
        let all = self.parts.keys().chain(self.found.keys());
        all.filter(|key| {
            is_below(key, &prefix)
                && key.rsplit('.').next().and_then(|n| n.parse().ok()).is_some_and(&is_over)
        })
        .cloned()
        .collect()
    }

    fn told(&self, owner: &Owner, sort: Sort) -> Vec<Part> {
        let prefix = prefix(sort, owner);
        let mut parts: Vec<Part> = self
            .parts
            .iter()
            .filter(|(key, _)| is_below(key, &prefix))
            .map(|(_, entry)| {
                let known = entry.supervised.known();
                let is_suspended = known.state == PartState::Running
                    && known.pid.is_some_and(process::is_suspended);
                Part {
                    number: entry.number,
                    endpoint: entry.addresses.endpoint.clone(),
                    secure_endpoint: entry.addresses.secure_endpoint.clone(),
                    line: entry.addresses.line.clone(),
                    pid: known.pid,
                    restarts: known.restarts,
                    state: if is_suspended { PartState::Suspended } else { known.state },
                }
            })
            .collect();
        parts.sort_by_key(|part| part.number);
        parts
    }
}

/// Where one member listens for everybody else.
struct Listens {
    client: u16,
    secure: Option<u16>,
    admin: Option<u16>,
    metrics: Option<u16>,
}

/// A declared port with the part's place added.
fn counted(port: u16, place: i32) -> Result<u16, PlatformError> {
    let place = u16::try_from(place).ok();
    place
        .and_then(|place| port.checked_add(place))
        .ok_or(PlatformError::PortBeyond { port, number: place.map_or(-1, i32::from) })
}

/// Where one member listens for the others.
struct Peer {
    id: i32,
    quorum: u16,
    election: u16,
    votes: bool,
}

/// The processes of an earlier controller, by their records and, where one is missing, by their marks.
fn find(root: &Path, records: &Records) -> BTreeMap<String, (Process, Record)> {
    let mut found = BTreeMap::new();
    for (key, record) in records.all() {
        if let Some(process) = Process::adopt(record.identity) {
            found.insert(key, (process, record));
        }
    }
    let prefix = mark(root, "");
    for (mark, identity) in process::marked() {
        let Some(key) = mark.strip_prefix(&prefix) else { continue };
        let known = |(process, _): &(Process, Record)| process.identity == identity;
        if found.values().any(known) {
            continue;
        }
        if let Some(process) = Process::adopt(identity)
            && !found.contains_key(key)
        {
            // What it was started with is not known, so it is started again as wished.
            let record = Record { identity, revision: String::new(), restarts: 0 };
            found.insert(key.to_owned(), (process, record));
        }
    }
    found
}

/// Ours and nobody else's: the data folder and the key.
fn mark(root: &Path, key: &str) -> String {
    format!("{}/{key}", root.display())
}

fn prefix(sort: Sort, owner: &Owner) -> String {
    format!("{}.{}.{}.", sort.word(), owner.namespace, owner.name)
}

fn key(sort: Sort, owner: &Owner, number: i32) -> String {
    format!("{}{number}", prefix(sort, owner))
}

/// The names of a member's further ports.
fn secure_key(key: &str) -> String {
    format!("{key}/secure")
}

fn quorum_key(key: &str) -> String {
    format!("{key}/quorum")
}

fn election_key(key: &str) -> String {
    format!("{key}/election")
}

/// Whether a key is the prefix and a number: a name may contain dots, so another's may begin alike.
fn is_below(key: &str, prefix: &str) -> bool {
    key.strip_prefix(prefix).is_some_and(|number| number.parse::<i32>().is_ok())
}

/// What a key was made of.
fn parse(key: &str) -> Option<(Owner, Sort, i32)> {
    let mut parts = key.splitn(3, '.');
    let sort = match parts.next()? {
        "member" => Sort::Member,
        "master" => Sort::Master,
        "agent" => Sort::Agent,
        _ => return None,
    };
    let namespace = parts.next()?.to_owned();
    let (name, number) = parts.next()?.rsplit_once('.')?;
    let owner = Owner { namespace, name: name.to_owned(), uid: String::new() };
    Some((owner, sort, number.parse().ok()?))
}

fn keys_of(parts: &BTreeMap<String, Entry>, sort: Sort) -> Vec<String> {
    parts.iter().filter(|(_, entry)| entry.sort == sort).map(|(key, _)| key.clone()).collect()
}

fn make_folder(path: &Path) -> Result<(), PlatformError> {
    fs::create_dir_all(path).map_err(|source| file_error("make", path, source))
}

fn remove_folder(path: &Path) -> Result<(), PlatformError> {
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(file_error("remove", path, source))
        }
        _ => Ok(()),
    }
}

fn write_if_other(path: &Path, text: &str) -> Result<(), PlatformError> {
    if fs::read(path).is_ok_and(|kept| kept == text.as_bytes()) {
        return Ok(());
    }
    record::write_whole(path, text.as_bytes()).map_err(|source| file_error("write", path, source))
}

/// The longest that a part may take to end in order; an agent's tasks have what they were promised on top.
const GRACE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
