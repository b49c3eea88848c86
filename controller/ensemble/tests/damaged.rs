//! Members whose files are damaged, one of three, two or all: none serves anything but what was acknowledged, and
//! all serve wherever one good copy is left. `MENDING=all` tries every placement.

#[path = "damaged/apart.rs"]
mod apart;
#[path = "damaged/epochs.rs"]
mod epochs;
mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ensemble::{PeerSaslConfig, Role, SaslConfig};
use support::{Ensemble, OPEN, Tree};

/// What is damaged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Target {
    /// The log of the first reign.
    OldLog,
    /// The log of the second.
    NewLog,
    Snapshot,
    /// One of the small files.
    Beside(&'static str),
    /// All that tells an epoch.
    Epochs,
    /// All that tells how far the log went.
    Watermark,
    /// That, and the log of the second reign.
    End,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fault {
    Flip,
    Zero,
    Truncate,
    Delete,
}

const FAULTS: [Fault; 4] = [Fault::Flip, Fault::Zero, Fault::Truncate, Fault::Delete];
const TARGETS: [Target; 11] = [
    Target::OldLog,
    Target::NewLog,
    Target::Snapshot,
    Target::Beside("acceptedEpoch"),
    Target::Beside("currentEpoch"),
    Target::Beside("troupe.epochs"),
    Target::Beside("troupe.flushed"),
    Target::Beside("troupe.logs"),
    Target::Epochs,
    Target::Watermark,
    Target::End,
];

impl Target {
    /// What nobody has any more where it is damaged everywhere.
    fn record(self) -> Option<Self> {
        match self {
            Self::OldLog | Self::NewLog | Self::Snapshot => Some(self),
            Self::End => Some(Self::NewLog),
            Self::Beside(_) | Self::Epochs | Self::Watermark => None,
        }
    }
}

/// Three members that have stopped, and what was acknowledged.
struct Template {
    ensemble: Ensemble,
    tree: Tree,
}

impl Template {
    async fn new() -> Self {
        let mut ensemble = Ensemble::start(3, 0).await;
        let mut tree = Tree::new();
        for reign in 0..2 {
            if reign > 0 {
                for id in 1..=3 {
                    ensemble.run(id).await;
                }
                ensemble.all_serve().await;
            }
            let client = ensemble.client(&[1, 2, 3]).await;
            for number in 0..4 {
                let path = format!("/reign{reign}-{number}");
                client.create(&path, &[b'x'; 300], OPEN).await.expect("it is new");
            }
            drop(client);
            // A session, what it made, and its end: whoever is halted before that comes lacks it.
            for member in ensemble.running.values() {
                while member.local().applied().counter() < 6 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            tree = ensemble.assert_alike().await;
            for id in 1..=3 {
                ensemble.halt(id).await;
            }
        }
        Self { ensemble, tree }
    }

    fn copy(&self) -> Ensemble {
        let copy = Ensemble::new(3, 0);
        for id in 1..=3 {
            let (from, to) = (version_2(&self.ensemble, id), version_2(&copy, id));
            fs::create_dir_all(&to).expect("it is writable");
            for file in fs::read_dir(from).expect("it is there") {
                let file = file.expect("an entry");
                let to = to.join(file.file_name());
                fs::copy(file.path(), &to).expect("there is room");
                let at = file.metadata().and_then(|file| file.modified()).expect("it is there");
                touch(&to, at);
            }
        }
        copy
    }
}

fn touch(path: &Path, at: std::time::SystemTime) {
    let file = File::options().write(true).open(path).expect("it is there");
    file.set_modified(at).expect("it is ours");
}

fn version_2(ensemble: &Ensemble, id: i64) -> PathBuf {
    ensemble.data_dir(id).join("version-2")
}

fn files(dir: &Path, prefix: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(dir).expect("it is there").map(|file| file.expect("an entry").path());
    let mut found: Vec<_> = all
        .filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(prefix)))
        .collect();
    found.sort();
    found
}

/// As rot does it: no time changes.
fn damage(dir: &Path, target: Target, fault: Fault) {
    let logs = files(dir, "log.");
    let path = match target {
        Target::OldLog => logs[0].clone(),
        Target::NewLog => logs[logs.len() - 1].clone(),
        Target::Snapshot => files(dir, "snapshot.")[0].clone(),
        Target::Beside(name) => dir.join(name),
        Target::Epochs => {
            for name in ["acceptedEpoch", "currentEpoch", "troupe.epochs"] {
                damage(dir, Target::Beside(name), fault);
            }
            return;
        }
        Target::Watermark => {
            for name in ["troupe.flushed", "troupe.flushed.copy"] {
                damage(dir, Target::Beside(name), fault);
            }
            return;
        }
        Target::End => {
            damage(dir, Target::Watermark, Fault::Delete);
            return damage(dir, Target::NewLog, fault);
        }
    };
    if fault == Fault::Delete {
        return fs::remove_file(path).expect("it is there");
    }
    let at = fs::metadata(&path).and_then(|file| file.modified()).expect("it is there");
    let mut bytes = fs::read(&path).expect("it is there");
    // A log may have room behind its records.
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let middle = used / 2;
    match fault {
        Fault::Flip => bytes[middle] ^= 1,
        Fault::Zero => bytes[middle..(middle + 400).min(used)].fill(0),
        Fault::Truncate | Fault::Delete => bytes.truncate(middle),
    }
    fs::write(&path, bytes).expect("it is writable");
    touch(&path, at);
}

async fn within<T>(what: &str, ensemble: &Ensemble, wait: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(120), wait).await {
        Ok(done) => done,
        Err(_) => {
            let views: BTreeMap<_, _> =
                ensemble.running.iter().map(|(id, member)| (id, member.view())).collect();
            panic!("{what}: {views:?}");
        }
    }
}

async fn try_placement(template: &Template, target: Target, fault: Fault, mask: u8) {
    let what = format!("{target:?} {fault:?} on {mask:03b}");
    let mut ensemble = template.copy();
    for id in (1..=3).filter(|id| mask & (1 << (id - 1)) != 0) {
        damage(&version_2(&ensemble, id), target, fault);
    }
    for id in 1..=3 {
        ensemble.run(id).await;
    }
    let lost = mask == 7 && target.record().is_some();
    if lost {
        within(&what, &ensemble, async {
            for member in ensemble.running.values() {
                while !is_stuck(member) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                assert_eq!(member.view().role, Role::Looking, "{what}");
            }
        })
        .await;
    } else {
        all_are_whole(&what, &ensemble).await;
        assert_eq!(ensemble.assert_alike().await, template.tree, "{what}");
    }
    ensemble.shutdown().await;
}

async fn all_are_whole(what: &str, ensemble: &Ensemble) {
    within(what, ensemble, ensemble.all_serve()).await;
    within(what, ensemble, async {
        while ensemble.running.values().any(|member| member.view().mending.is_some()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// It has asked the others, in vain.
fn is_stuck(member: &ensemble::Member) -> bool {
    let mending = member.view().mending.unwrap_or_default();
    mending.contains("whichever member has it") || mending.contains("nobody gives one")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_damaged_comes_back_and_nothing_else_is_served() {
    let template = Template::new().await;
    if std::env::var("MENDING").is_ok_and(|all| all == "all") {
        for target in TARGETS {
            // Where all have lost their end, nobody knows that there was more.
            let masks = if target == Target::End { 1..7 } else { 1..8 };
            for fault in FAULTS {
                for mask in masks.clone() {
                    try_placement(&template, target, fault, mask).await;
                }
            }
        }
        return;
    }
    try_placement(&template, Target::NewLog, Fault::Flip, 1).await;
    try_placement(&template, Target::OldLog, Fault::Delete, 3).await;
    try_placement(&template, Target::NewLog, Fault::Truncate, 6).await;
    try_placement(&template, Target::NewLog, Fault::Zero, 7).await;
    try_placement(&template, Target::Snapshot, Fault::Flip, 5).await;
    try_placement(&template, Target::Beside("currentEpoch"), Fault::Flip, 7).await;
    try_placement(&template, Target::Epochs, Fault::Delete, 7).await;
    try_placement(&template, Target::Watermark, Fault::Delete, 7).await;
    try_placement(&template, Target::End, Fault::Delete, 1).await;
    try_placement(&template, Target::End, Fault::Truncate, 6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_only_one_who_is_down_may_have_is_waited_for() {
    let template = Template::new().await;
    let mut ensemble = template.copy();
    // The third one never had it, and would elect the first if that took itself for whole.
    damage(&version_2(&ensemble, 1), Target::End, Fault::Delete);
    damage(&version_2(&ensemble, 3), Target::NewLog, Fault::Delete);
    for name in ["troupe.flushed", "troupe.flushed.copy", "troupe.logs", "troupe.logs.copy"] {
        damage(&version_2(&ensemble, 3), Target::Beside(name), Fault::Delete);
    }
    for id in [1, 3] {
        ensemble.run(id).await;
    }
    within("it asks in vain", &ensemble, async {
        let first = &ensemble.running[&1];
        while !first.view().mending.unwrap_or_default().contains("not all other voters answer") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(first.view().role, Role::Looking);
    })
    .await;
    ensemble.run(2).await;
    all_are_whole("the one that has it is back", &ensemble).await;
    assert_eq!(ensemble.assert_alike().await, template.tree);
    ensemble.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_with_different_damage_mend_each_other() {
    let template = Template::new().await;
    for prove in [false, true] {
        let mut ensemble = template.copy();
        if prove {
            // They ask before they vote, and must prove who they are then, too.
            ensemble.particular = Some(Box::new(|_, config| {
                let both = || ("member".to_owned(), "word".to_owned());
                let users = SaslConfig { users: [both()].into(), super_users: Vec::new() };
                config.ensemble.as_mut().expect("it is one of three").sasl =
                    Some(PeerSaslConfig { users, login: Some(both()), required: true });
            }));
        }
        damage(&version_2(&ensemble, 1), Target::OldLog, Fault::Delete);
        damage(&version_2(&ensemble, 2), Target::NewLog, Fault::Delete);
        damage(&version_2(&ensemble, 3), Target::Snapshot, Fault::Delete);
        for id in 1..=3 {
            ensemble.run(id).await;
        }
        within("each lacks something else", &ensemble, ensemble.all_serve()).await;
        assert_eq!(ensemble.assert_alike().await, template.tree);
        ensemble.shutdown().await;
    }
}
