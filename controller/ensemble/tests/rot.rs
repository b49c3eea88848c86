//! Files that changed after they were written: a member alone names the file and does not start, or starts from what
//! is whole with all that it ever acknowledged; it never serves anything else.
//!
//! `EVERY=n` flips a bit of every n-th byte of each file (61 by default).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ensemble::{Member, MemberConfig, Stat};

type Tree = BTreeMap<String, (Vec<u8>, Stat)>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_on_the_disk_is_named_or_not_needed() {
    let every = std::env::var("EVERY").map_or(61, |text| text.parse().expect("a number"));
    let dir = scratch();
    let tree = fill(dir.path()).await;
    let files = files(dir.path());
    let named = |prefix: &str| {
        files.iter().filter(|file| name(file).starts_with(prefix)).collect::<Vec<_>>()
    };
    let (logs, snapshots) = (named("log."), named("snapshot."));
    assert!(logs.len() > 2 && snapshots.len() == 3, "{files:?}");
    let whole = Whole { dir: dir.path(), tree: &tree };
    let mut refused = 0;
    for file in &files {
        let bytes = fs::read(file).expect("it is readable");
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        for at in (0..used + 40).step_by(every).filter(|at| *at < bytes.len()) {
            let mut rotten = bytes.clone();
            rotten[at] ^= 1 << (at % 8);
            refused += whole.with(file, Some(&rotten), &format!("bit flipped at {at}")).await;
        }
        for at in (0..used).step_by(512) {
            let mut rotten = bytes.clone();
            rotten[at..used.min(at + 512)].fill(0);
            refused += whole.with(file, Some(&rotten), &format!("zeros at {at}")).await;
            refused += whole.with(file, Some(&bytes[..at]), &format!("ends at {at}")).await;
        }
        refused += whole.with(file, None, "gone").await;
    }
    for kind in [&logs, &snapshots] {
        for pair in kind.windows(2) {
            let copy = whole.copy();
            let [one, two] =
                [pair[0], pair[1]].map(|path| copy.path().join("version-2").join(name(path)));
            fs::copy(pair[0], &two).expect("it is writable");
            fs::copy(pair[1], &one).expect("it is writable");
            refused += whole.check(&copy, &[name(pair[0]), name(pair[1])], "exchanged").await;
        }
    }
    // How many are not needed depends on when the last snapshot was taken; the end of the log always is.
    assert!(refused > 0, "nothing of it was noticed");
}

/// A directory, and what is in it.
struct Whole<'a> {
    dir: &'a Path,
    tree: &'a Tree,
}

impl Whole<'_> {
    fn copy(&self) -> tempfile::TempDir {
        let copy = scratch();
        fs::create_dir(copy.path().join("version-2")).expect("it is writable");
        for file in files(self.dir) {
            fs::copy(&file, copy.path().join("version-2").join(name(&file)))
                .expect("it is writable");
        }
        copy
    }

    /// One file is another, or none. 1 when the member does not start from it.
    async fn with(&self, file: &Path, bytes: Option<&[u8]>, what: &str) -> u32 {
        let copy = self.copy();
        let path = copy.path().join("version-2").join(name(file));
        match bytes {
            Some(bytes) => fs::write(path, bytes).expect("it is writable"),
            None => fs::remove_file(path).expect("it is there"),
        }
        self.check(&copy, &[name(file)], what).await
    }

    async fn check(&self, dir: &tempfile::TempDir, files: &[String], what: &str) -> u32 {
        let what = format!("{files:?}, {what}");
        match Member::start(config(dir.path())).await {
            Ok(member) => {
                assert_eq!(&tree(&member), self.tree, "{what}");
                member.shutdown().await;
                0
            }
            Err(why) => {
                let why = words(&why);
                // A file that is gone or too short is noticed at the next one, or at the end of the log.
                let told = files.iter().any(|file| why.contains(file.as_str()));
                let lacks = why.contains("what lies between is missing")
                    || why.contains("was on the disk up to");
                assert!(told || lacks, "{what}: {why}");
                assert!(!why.contains("is corrupt") || why.contains("at byte "), "{what}: {why}");
                1
            }
        }
    }
}

/// Several runs, with log files and snapshots of each.
async fn fill(dir: &Path) -> Tree {
    for run in 0..3 {
        let member = Member::start(config(dir)).await.expect("the directory is good");
        let local = member.local();
        for number in 0..25 {
            let path = format!("/r{run}-{number}");
            local.create(&path, vec![b'x'; number * 7].into()).await.expect("it is new");
            local.set(&path, path.clone().into(), None).await.expect("it is there");
        }
        member.shutdown().await;
    }
    // The end of the log is in no snapshot, wherever the ones before were taken.
    let config = MemberConfig { snap_count: 1_000_000, ..config(dir) };
    let member = Member::start(config).await.expect("the directory is good");
    member.local().create("/last", b"x".to_vec().into()).await.expect("it is new");
    let last = tree(&member);
    member.shutdown().await;
    last
}

fn tree(member: &Member) -> Tree {
    let local = member.local();
    let names = local.children("/").expect("the root is there");
    let all = names.into_iter().map(|name| {
        let path = format!("/{name}");
        let (data, stat) = local.get(&path).expect("it is listed");
        (path, (data.to_vec(), stat))
    });
    all.filter(|(path, _)| path != "/zookeeper").collect()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("version-2")).expect("it is there");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    files.sort();
    files
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn config(dir: &Path) -> MemberConfig {
    let mut config = MemberConfig::in_process(dir);
    config.snap_count = 14;
    config.prealloc_bytes = 4 << 10;
    config
}

/// In memory, where flushing costs nothing.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary directory")
}

fn words(error: &dyn std::error::Error) -> String {
    match error.source() {
        None => error.to_string(),
        Some(source) => format!("{error}: {}", words(source)),
    }
}
