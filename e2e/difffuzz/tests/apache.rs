//! Programs sent to Apache ZooKeeper and to this member: all that can be seen must be alike.
//!
//! Most programs are the same every time, some are of a fresh seed. `SEED=n` takes those of one seed,
//! `PROGRAMS=n` more or fewer of them, `PROGRAM=i` only the i-th, which is what a failure prints. Needs Java and the jars of Apache ZooKeeper in the folder that `ZOOKEEPER_LIB`
//! names; without, it says so and does nothing, unless `CI` is set.

use std::hash::{BuildHasher, RandomState};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use difffuzz::{Dumper, Program, Rng, SUPER_DIGEST, Target, generate, run, shrink};
use ensemble::{Member, MemberConfig};

#[test]
fn programs_see_the_same_of_both() {
    let Some(lib) = std::env::var_os("ZOOKEEPER_LIB") else {
        assert!(std::env::var_os("CI").is_none(), "ZOOKEEPER_LIB is not set");
        eprintln!("LEFT OUT: ZOOKEEPER_LIB does not name a folder of Apache ZooKeeper's jars");
        return;
    };
    let most = number_from("PROGRAMS");
    let programs: Vec<(u64, u64)> = match (number_from("SEED"), number_from("PROGRAM")) {
        (seed, Some(one)) => vec![(seed.unwrap_or(SEED), one)],
        (Some(seed), None) => (0..most.unwrap_or(DEFAULT)).map(|at| (seed, at)).collect(),
        (None, None) => {
            let fresh = RandomState::new().hash_one(0) >> 32;
            let known = (0..most.unwrap_or(DEFAULT)).map(|at| (SEED, at));
            known.chain((0..most.unwrap_or(FRESH).min(FRESH)).map(|at| (fresh, at))).collect()
        }
    };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let apache = Apache::start(Path::new(&lib), dir.path());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("threads can be had");
    let file = config(dir.path(), "ours", 0);
    let (config, warnings) = MemberConfig::from_zoo_cfg(&file, None).expect("it is a good file");
    assert_eq!(warnings, []);
    let member = runtime.block_on(Member::start(config)).expect("the directory is new");
    let pair = Pair {
        apache: Target { addr: apache.addr },
        ours: Target { addr: member.client_addr().expect("it was asked for") },
        numbers: AtomicU32::new(1),
    };
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut dumpers = pair.dumpers();
                while let Some(&(seed, at)) = programs.get(next.fetch_add(1, Relaxed)) {
                    if failed.lock().expect("no panic").len() >= MOST_FAILURES {
                        break;
                    }
                    let program = generate(&mut Rng::of_program(seed, at));
                    if let Some(seen) = pair.difference(&program, &mut dumpers, false) {
                        failed.lock().expect("no panic").push((seed, at, program, false, seen));
                    }
                }
            });
        }
    });
    // One at a time, the distance of zxids can be compared too.
    let mut failed = failed.into_inner().expect("no panic");
    for &(seed, at) in programs.iter().take(ALONE) {
        if failed.len() >= MOST_FAILURES {
            break;
        }
        let mut dumpers = pair.dumpers();
        let program = generate(&mut Rng::of_program(seed, at));
        if let Some(seen) = pair.difference(&program, &mut dumpers, true) {
            failed.push((seed, at, program, true, seen));
        }
    }
    let mut report = String::new();
    for (seed, at, program, alone, seen) in &failed {
        if Dumper::open(pair.apache).is_err() || Dumper::open(pair.ours).is_err() {
            report += &format!("\nSEED={seed} PROGRAM={at}\n{seen}of this program:\n{program}");
            continue;
        }
        let mut dumpers = pair.dumpers();
        let short = shrink(program, SHRINKS, |tried| {
            pair.difference(tried, &mut dumpers, *alone).is_some()
        });
        let shown = pair
            .difference(&short, &mut dumpers, *alone)
            .unwrap_or_else(|| format!("it did not fail again; it was:\n{seen}"));
        report += &format!("\nSEED={seed} PROGRAM={at}\n{shown}of this program:\n{short}");
    }
    if !failed.is_empty() {
        let log = std::fs::read_to_string(dir.path().join("apache.log")).unwrap_or_default();
        report +=
            &format!("\nThe end of Apache's log:\n{}", &log[log.len().saturating_sub(3000)..]);
    }
    runtime.block_on(member.shutdown());
    assert!(failed.is_empty(), "{} programs tell the two apart{report}", failed.len());
}

struct Pair {
    apache: Target,
    ours: Target,
    numbers: AtomicU32,
}

impl Pair {
    fn dumpers(&self) -> [Dumper; 2] {
        [self.apache, self.ours].map(|target| Dumper::open(target).expect("the server answers"))
    }

    /// What the two showed, where it differs.
    fn difference(
        &self,
        program: &Program,
        dumpers: &mut [Dumper; 2],
        alone: bool,
    ) -> Option<String> {
        let number = self.numbers.fetch_add(1, Relaxed);
        let [of_apache, of_ours] = dumpers;
        let apache = match run(program, self.apache, number, of_apache, alone) {
            Ok(lines) => lines,
            Err(why) => return Some(format!("Apache does not live on: {why:#}\n")),
        };
        let ours = match run(program, self.ours, number, of_ours, alone) {
            Ok(lines) => lines,
            Err(why) => return Some(format!("the member does not live on: {why:#}\n")),
        };
        if apache == ours {
            return None;
        }
        let same = apache.iter().zip(&ours).take_while(|(one, other)| one == other).count();
        let mut shown = String::new();
        for line in &apache[same.saturating_sub(SHOWN)..same] {
            shown += &format!("  {line}\n");
        }
        for (mark, lines) in [("Apache", &apache), ("  ours", &ours)] {
            for line in lines.iter().skip(same).take(SHOWN) {
                shown += &format!("{mark} {line}\n");
            }
        }
        Some(shown)
    }
}

fn number_from(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, not a number")))
}

/// The same text for both, but for where.
fn config(dir: &Path, name: &str, port: u16) -> std::path::PathBuf {
    let file = dir.join(format!("{name}.cfg"));
    let text = format!(
        "tickTime=20000\ndataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n\
         maxClientCnxns=0\nextendedTypesEnabled=true\nenforceQuota=true\nforceSync=no\n\
         znode.container.checkIntervalMs={NEVER_MS}\n\
         DigestAuthenticationProvider.superDigest={SUPER_DIGEST}\n",
        dir.join(name).display(),
    );
    std::fs::write(&file, text).expect("it is writable");
    file
}

struct Apache {
    process: Child,
    addr: SocketAddr,
}

impl Apache {
    fn start(lib: &Path, dir: &Path) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let addr = free.local_addr().expect("it is bound");
        drop(free);
        let process = Command::new("java")
            .args(["-Xmx512m", "-XX:+UseSerialGC", "-cp", &format!("{}/*", lib.display())])
            .arg(format!("-Dznode.container.checkIntervalMs={NEVER_MS}"))
            .args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=error"])
            .arg("org.apache.zookeeper.server.ZooKeeperServerMain")
            .arg(config(dir, "apache", addr.port()))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(dir.join("apache.log")).expect("it is writable"))
            .spawn()
            .expect("java is installed");
        let mut apache = Self { process, addr };
        // Java takes its time to listen, and then to serve.
        while Dumper::open(Target { addr }).is_err() {
            assert!(!apache.has_ended(), "Apache ended at once");
            std::thread::yield_now();
        }
        apache
    }

    fn has_ended(&mut self) -> bool {
        self.process.try_wait().expect("it was started").is_some()
    }
}

impl Drop for Apache {
    fn drop(&mut self) {
        // It may have died of a program.
        let _ = self.process.kill();
        self.process.wait().expect("it was started");
    }
}

/// Empty containers stay: when they go is chance. Apache takes it as a property of the JVM only.
const NEVER_MS: u32 = 100_000_000;
/// About three minutes of both cores.
const DEFAULT: u64 = 20_000;
const SEED: u64 = 1;
/// Programs that nobody has run before.
const FRESH: u64 = 2_000;
/// So many are run a second time, each with nothing beside it.
const ALONE: usize = 500;
const THREADS: usize = 8;
const MOST_FAILURES: usize = 3;
/// Lines before the first that differs, and from it on.
const SHOWN: usize = 8;
const SHRINKS: usize = 300;
