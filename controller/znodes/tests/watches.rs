//! The watches against a list of them that is searched from end to end.

use std::collections::BTreeSet;

use jute::{
    Acl, AddWatchMode, CreateTxn, EventType, SetDataTxn, Text, Txn, TxnHeader, WatcherType,
};
use proptest::collection::vec;
use proptest::prelude::*;
use types::{SessionId, Zxid};
use znodes::{State, WatchCounts, WatchKind, Watcher, Watches};

proptest! {
    #[test]
    fn whoever_watches_is_told_and_nobody_else(steps in vec(step(), 1..200)) {
        let (mut world, mut model) = (World::new(), Model::default());
        for step in &steps {
            let World { state, watches, .. } = &mut world;
            match step {
                Step::Watch(watcher, kind, path) => {
                    watches.watch(*watcher, *kind, state.place(path));
                    let table = if *kind == WatchKind::Data { Table::Data } else { Table::Child };
                    model.0.insert((path.clone(), *watcher, table, Life::Once));
                }
                Step::Add(watcher, mode, path) => {
                    watches.add(*watcher, path, *mode);
                    model.add(*watcher, *mode, path);
                }
                Step::Remove(watcher, kind, path) => {
                    let had = model.remove(*watcher, *kind, path);
                    prop_assert_eq!(watches.has(*watcher, state.place(path), *kind), had);
                    prop_assert_eq!(watches.remove(*watcher, state.place(path), *kind), had);
                }
                Step::Drop(watcher) => {
                    watches.drop_watcher(*watcher);
                    model.0.retain(|watch| watch.1 != *watcher);
                }
                Step::Change(kind, path) => {
                    if let Some(told) = world.change(*kind, path) {
                        prop_assert_eq!(told, model.fire(*kind, path));
                    }
                }
            }
            world.check_counts(&model);
        }
        for watcher in (0..WATCHERS).map(Watcher) {
            world.watches.drop_watcher(watcher);
        }
        prop_assert_eq!((world.watches.total(), world.watches.counts(&world.state).all), (0, 0));
    }
}

/// More than are few for one znode.
const WATCHERS: u32 = 14;

struct World {
    state: State,
    watches: Watches,
    zxid: i64,
}

impl World {
    fn new() -> Self {
        Self { state: State::new(1), watches: Watches::new(1, usize::MAX), zxid: 0 }
    }

    /// `None` when the tree does not have it.
    fn change(&mut self, kind: EventType, path: &str) -> Option<Vec<Told>> {
        let text = Text::from(path);
        let txn = match kind {
            EventType::Created => Txn::Create(CreateTxn {
                path: text,
                data: None,
                acl: [Acl::OPEN].into(),
                ephemeral: false,
                parent_cversion: -1,
            }),
            EventType::Deleted if self.state.get(path)?.child_count() > 0 => return None,
            EventType::Deleted => Txn::Delete { path: text },
            _ => Txn::SetData(SetDataTxn { path: text, data: None, version: 1 }),
        };
        self.zxid += 1;
        let zxid = Zxid::from_bits(self.zxid);
        let header = TxnHeader { session: SessionId(0), cxid: 0, zxid, time: 0 };
        let applied = self.state.apply(&header, &txn);
        applied.response.ok()?;
        let mut fired = Vec::new();
        self.watches.fire(&applied.changes, &mut fired);
        let told = fired.into_iter().map(|one| (one.kind, one.path.to_string(), one.watchers));
        Some(told.collect())
    }

    fn check_counts(&self, model: &Model) {
        let rows = |table| {
            let rows = model.0.iter().filter(move |watch| watch.2 == table);
            rows.map(|watch| (watch.0.clone(), watch.1)).collect::<BTreeSet<_>>()
        };
        let (data, child) = (rows(Table::Data), rows(Table::Child));
        let counts = self.watches.counts(&self.state);
        let distinct = |part: fn(&(String, Watcher)) -> String| {
            data.iter().map(part).collect::<BTreeSet<_>>().len()
        };
        let expected = WatchCounts {
            watchers: distinct(|row| row.1.0.to_string()),
            paths: distinct(|row| row.0.clone()),
            data: data.len(),
            all: data.len() + child.len(),
        };
        assert_eq!(counts, expected);
        assert_eq!(self.watches.distinct(&self.state), expected.all);
        let mut shown = BTreeSet::new();
        self.watches.data_watches(&self.state, |path, watchers| {
            shown.extend(watchers.iter().map(|watcher| (path.to_owned(), *watcher)));
        });
        assert_eq!(shown, data);
        for watcher in (0..WATCHERS).map(Watcher) {
            let has_any = model.0.iter().any(|watch| watch.1 == watcher);
            assert_eq!(self.watches.held(watcher) > 0, has_any);
        }
    }
}

/// What happened, where, and who is told.
type Told = (EventType, String, Vec<Watcher>);

#[derive(Clone, Debug)]
enum Step {
    Watch(Watcher, WatchKind, String),
    Add(Watcher, AddWatchMode, String),
    Remove(Watcher, WatcherType, String),
    Drop(Watcher),
    Change(EventType, String),
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Table {
    Data,
    Child,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Life {
    Once,
    Stays,
    Recursive,
}

/// Path, watcher, table and life of each.
#[derive(Default)]
struct Model(BTreeSet<(String, Watcher, Table, Life)>);

impl Model {
    fn add(&mut self, watcher: Watcher, mode: AddWatchMode, path: &str) {
        let rows = match mode {
            AddWatchMode::Persistent => {
                vec![(Table::Data, Life::Stays), (Table::Child, Life::Stays)]
            }
            AddWatchMode::PersistentRecursive => vec![(Table::Data, Life::Recursive)],
        };
        self.0
            .extend(rows.into_iter().map(|(table, life)| (path.to_owned(), watcher, table, life)));
    }

    fn remove(&mut self, watcher: Watcher, kind: WatcherType, path: &str) -> bool {
        let meant = |watch: &(String, Watcher, Table, Life)| {
            let of_kind = match kind {
                WatcherType::Any => true,
                WatcherType::Children => (watch.2, watch.3) == (Table::Child, Life::Once),
                WatcherType::Data => (watch.2, watch.3) == (Table::Data, Life::Once),
                WatcherType::Persistent => watch.3 == Life::Stays,
                WatcherType::PersistentRecursive => watch.3 == Life::Recursive,
            };
            watch.0 == path && watch.1 == watcher && of_kind
        };
        let before = self.0.len();
        self.0.retain(|watch| !meant(watch));
        self.0.len() < before
    }

    fn fire(&mut self, kind: EventType, path: &str) -> Vec<Told> {
        let mut told = Vec::new();
        let mut tell = |kind, path: &str, watchers: BTreeSet<Watcher>| {
            if !watchers.is_empty() {
                told.push((kind, path.to_owned(), watchers.into_iter().collect()));
            }
        };
        let data = self.take(Table::Data, path);
        tell(kind, path, data.clone());
        if kind == EventType::Deleted {
            let child = self.take(Table::Child, path);
            tell(kind, path, child.difference(&data).copied().collect());
        }
        if kind != EventType::DataChanged {
            let parent = match path.rsplit_once('/') {
                Some(("", _)) | None => "/",
                Some((parent, _)) => parent,
            };
            tell(EventType::ChildrenChanged, parent, self.take(Table::Child, parent));
        }
        told
    }

    fn take(&mut self, table: Table, path: &str) -> BTreeSet<Watcher> {
        let above = |ancestor: &str| {
            ancestor == "/" || path.strip_prefix(ancestor).is_some_and(|rest| rest.starts_with('/'))
        };
        let meant = |watch: &&(String, Watcher, Table, Life)| {
            let on_path = watch.0 == path || (watch.3 == Life::Recursive && above(&watch.0));
            watch.2 == table && on_path
        };
        let told = self.0.iter().filter(meant).map(|watch| watch.1).collect();
        self.0.retain(|watch| watch.0 != path || watch.2 != table || watch.3 != Life::Once);
        told
    }
}

fn step() -> impl Strategy<Value = Step> {
    let watcher = || (0..WATCHERS).prop_map(Watcher);
    let path =
        || prop::sample::select(vec!["/", "/a", "/ab", "/a/b", "/a/b/c"]).prop_map(str::to_owned);
    let kind = prop::sample::select(vec![WatchKind::Data, WatchKind::Child]);
    let modes = vec![AddWatchMode::Persistent, AddWatchMode::PersistentRecursive];
    let types = (1..=5).prop_map(|code| WatcherType::try_from(code).expect("a known code"));
    let events = vec![EventType::Created, EventType::Deleted, EventType::DataChanged];
    // The root is neither made nor deleted.
    let below = prop::sample::select(vec!["/a", "/ab", "/a/b", "/a/b/c"]).prop_map(str::to_owned);
    prop_oneof![
        9 => (watcher(), kind, path()).prop_map(|(who, kind, path)| Step::Watch(who, kind, path)),
        2 => (watcher(), prop::sample::select(modes), path())
            .prop_map(|(who, mode, path)| Step::Add(who, mode, path)),
        2 => (watcher(), types, path()).prop_map(|(who, kind, path)| Step::Remove(who, kind, path)),
        1 => watcher().prop_map(Step::Drop),
        6 => (prop::sample::select(events), below).prop_map(|(kind, path)| Step::Change(kind, path)),
    ]
}
