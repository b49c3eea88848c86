//! A client's own account of its watches: what it must be told, exactly and in which order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jute::{AddWatchMode, ErrorCode, EventType, Request, Response, SetWatches, Text};
use types::Zxid;

use crate::checkers::Violation;
use crate::history::{Changed, History};

/// The watches of one session, and the events that came and were not looked at.
#[derive(Debug, Default)]
pub(crate) struct Watching {
    /// One-shot, of data: whether the znode was there.
    data: BTreeMap<String, bool>,
    /// One-shot, of children.
    child: BTreeSet<String>,
    persistent: BTreeSet<String>,
    recursive: BTreeSet<String>,
    /// All up to here was told; `None` until the watches are set again on a new connection.
    told: Option<Zxid>,
    events: VecDeque<Event>,
}

/// What a client was told; without a zxid it was missed before.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Event {
    pub(crate) kind: EventType,
    pub(crate) path: String,
    pub(crate) zxid: Option<Zxid>,
}

impl Watching {
    pub(crate) fn on_event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// A reply came that shows all up to `zxid`: exactly what it implies was told before it.
    pub(crate) fn on_shown(&mut self, history: &History, zxid: Zxid) -> Result<(), Violation> {
        let after = *self.told.get_or_insert(zxid);
        for (at, changed) in history.changes(after, zxid) {
            for event in self.fired(changed, at) {
                let told = self.events.pop_front();
                if told.as_ref() != Some(&event) {
                    return Err(Violation(format!(
                        "a client that is shown {zxid} is told {told:?} and not {event:?}"
                    )));
                }
            }
        }
        self.told = Some(zxid.max(after));
        match self.events.pop_front() {
            None => Ok(()),
            Some(event) => Err(Violation(format!(
                "a client that is shown {zxid} is told {event:?}, which it does not watch"
            ))),
        }
    }

    /// The connection is gone: what it told must be the beginning of what there was to tell.
    pub(crate) fn on_gone(&mut self, history: &History) -> Result<(), Violation> {
        let events = std::mem::take(&mut self.events);
        let Some(after) = self.told.take() else { return Ok(()) };
        let mut events = events.into_iter().peekable();
        for (at, changed) in history.changes_after(after) {
            if events.peek().is_none() {
                break;
            }
            // Those of this change that were not told stay, and are told with the next connection.
            let before = (self.data.clone(), self.child.clone());
            for event in self.fired(changed, at) {
                match events.next() {
                    None => {
                        self.keep_untold(before.clone(), &event);
                    }
                    Some(told) if told == event => {}
                    Some(told) => {
                        return Err(Violation(format!(
                            "a client is told {told:?} and not {event:?}"
                        )));
                    }
                }
            }
        }
        match events.next() {
            None => Ok(()),
            Some(event) => {
                Err(Violation(format!("a client is told {event:?}, which it does not watch")))
            }
        }
    }

    /// One-shot watches that an event which never came would have spent.
    fn keep_untold(
        &mut self,
        (data, child): (BTreeMap<String, bool>, BTreeSet<String>),
        event: &Event,
    ) {
        if event.kind != EventType::ChildrenChanged
            && let Some(there) = data.get(&event.path)
        {
            self.data.insert(event.path.clone(), *there);
        }
        if matches!(event.kind, EventType::ChildrenChanged | EventType::Deleted)
            && child.contains(&event.path)
        {
            self.child.insert(event.path.clone());
        }
    }

    /// A read or a watch was answered, with all up to `zxid` applied.
    pub(crate) fn on_answered(&mut self, request: &Request, result: &Result<Response, ErrorCode>) {
        match (request, result) {
            (Request::Exists { path, watch: true }, Ok(_)) => {
                self.data.insert(path.to_string(), true);
            }
            (Request::Exists { path, watch: true }, Err(ErrorCode::NoNode)) => {
                self.data.insert(path.to_string(), false);
            }
            (Request::GetData { path, watch: true }, Ok(_)) => {
                self.data.insert(path.to_string(), true);
            }
            (Request::GetChildren { path, watch: true }, Ok(_)) => {
                self.child.insert(path.to_string());
            }
            (Request::AddWatch { path, mode: AddWatchMode::Persistent }, Ok(_)) => {
                self.persistent.insert(path.to_string());
            }
            (Request::AddWatch { path, mode: AddWatchMode::PersistentRecursive }, Ok(_)) => {
                self.recursive.insert(path.to_string());
            }
            _ => {}
        }
    }

    /// What is asked for first on a new connection; `None` without watches.
    pub(crate) fn again(&self, seen: Zxid) -> Option<SetWatches> {
        let texts = |paths: &BTreeSet<String>| paths.iter().map(|path| text(path)).collect();
        let data = |there: bool| {
            let some = self.data.iter().filter(move |(_, was)| **was == there);
            some.map(|(path, _)| text(path)).collect::<Vec<_>>()
        };
        let wanted = SetWatches {
            relative_zxid: seen,
            data: data(true),
            exist: data(false),
            child: texts(&self.child),
            persistent: texts(&self.persistent),
            recursive: texts(&self.recursive),
        };
        let none = SetWatches { relative_zxid: seen, ..SetWatches::default() };
        (wanted != none).then_some(wanted)
    }

    /// The watches are set again, on a tree as of `zxid`: what changed meanwhile was told before.
    pub(crate) fn on_set_again(
        &mut self,
        history: &History,
        wanted: &SetWatches,
        zxid: Zxid,
    ) -> Result<(), Violation> {
        let (mut touched, mut populated) = (BTreeSet::new(), BTreeSet::new());
        for (_, changed) in history.changes(wanted.relative_zxid, zxid) {
            touched.insert(changed.path.as_str());
            if changed.kind != EventType::DataChanged {
                populated.insert(changed.path.as_str());
                populated.insert(parent(&changed.path));
            }
        }
        let mut missed = BTreeSet::new();
        let there = |path: &str| history.at(path, zxid).is_some();
        let lists = [
            (&wanted.data, &touched, EventType::DataChanged),
            (&wanted.child, &populated, EventType::ChildrenChanged),
        ];
        for (paths, changed, kind) in lists {
            for path in paths.iter().filter(|path| changed.contains(&***path)) {
                let kind = if there(path) { kind } else { EventType::Deleted };
                missed.insert((kind, path.to_string()));
            }
        }
        for path in wanted.exist.iter().filter(|path| there(path)) {
            missed.insert((EventType::Created, path.to_string()));
        }
        let told = std::mem::take(&mut self.events);
        let told: BTreeSet<_> = told.into_iter().map(|event| (event.kind, event.path)).collect();
        if told != missed {
            return Err(Violation(format!(
                "between {} and {zxid} a client missed {missed:?}, and is told {told:?}",
                wanted.relative_zxid
            )));
        }
        for (kind, path) in &missed {
            if *kind != EventType::ChildrenChanged {
                self.data.remove(path);
            }
            if matches!(kind, EventType::ChildrenChanged | EventType::Deleted) {
                self.child.remove(path);
            }
        }
        self.told = Some(zxid);
        Ok(())
    }

    /// The events of a change, in the order in which they are told; one-shot watches are spent.
    fn fired(&mut self, changed: &Changed, zxid: Zxid) -> Vec<Event> {
        let path = &changed.path;
        let event = |kind, path: &str| Event { kind, path: path.to_owned(), zxid: Some(zxid) };
        let mut events = Vec::new();
        let above =
            std::iter::successors(Some(path.as_str()), |path| (*path != "/").then(|| parent(path)));
        let data = self.data.remove(path).is_some()
            || self.persistent.contains(path)
            || above.into_iter().any(|path| self.recursive.contains(path));
        if data {
            events.push(event(changed.kind, path));
        }
        if changed.kind == EventType::DataChanged {
            return events;
        }
        if changed.kind == EventType::Deleted {
            let child = self.child.remove(path) || self.persistent.contains(path);
            if child && !data {
                events.push(event(EventType::Deleted, path));
            }
        }
        let parent = parent(path);
        if self.child.remove(parent) || self.persistent.contains(parent) {
            events.push(event(EventType::ChildrenChanged, parent));
        }
        events
    }
}

fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(at) => &path[..at],
    }
}

fn text(path: &str) -> Text {
    Text::from(path)
}
