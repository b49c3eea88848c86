//! One run: keeps requests in flight on many sessions, or sends them at a pace, and measures.
//!
//! Lives here: when what is sent, and what is measured. Must not: bytes (`frames`, `connection`).
//! Start at [`drive`].

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use jute::ErrorCode;
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::fd::OwnedFd;

use crate::connection::{Connection, Incoming};
use crate::figures::{By, Figures, Latencies};
use crate::frames::{Frame, Kind, MAX_NODES};
use crate::process;
use crate::snapshots::Watcher;

/// The servers and the shape of the load.
#[derive(Clone)]
pub(crate) struct Target {
    /// Not empty; the connections go to them in turn.
    pub(crate) addrs: Vec<SocketAddr>,
    pub(crate) pids: Vec<u32>,
    pub(crate) connections: usize,
    pub(crate) depth: usize,
    pub(crate) size: usize,
}

/// What to do to it.
pub(crate) struct Job {
    pub(crate) target: Target,
    /// What each connection asks for.
    pub(crate) kinds: Vec<Kind>,
    /// The first of them, and how many there are to ask for.
    pub(crate) first: u64,
    pub(crate) nodes: u64,
    pub(crate) limit: Limit,
    /// Requests each second over all connections; `None` keeps all connections at their depth.
    pub(crate) rate: Option<f64>,
    /// The folder of the server's snapshots, to tell the latencies while one is written.
    pub(crate) snapshots_in: Option<PathBuf>,
}

/// When it ends.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    /// After so many requests, all of them measured.
    Ops(u64),
    /// After the second span; what is before it is not measured.
    Time { warmup: Duration, measured: Duration },
}

/// Runs `job` to its end. Errors: the server refuses, closes, or says nothing for 60 seconds.
pub(crate) fn drive(job: Job) -> Result<Figures> {
    run(job).map(|(figures, _)| figures)
}

/// As [`drive`], and the sessions are kept open.
pub(crate) fn run(job: Job) -> Result<(Figures, Vec<Connection>)> {
    let target = &job.target;
    ensure!(target.connections > 0, "--connections 0: there must be one at least");
    ensure!(!target.addrs.is_empty(), "there must be one --addr at least");
    ensure!(target.depth > 0, "--depth 0: there must be one request in flight at least");
    let last = job.first.checked_add(job.nodes).filter(|last| job.nodes > 0 && *last <= MAX_NODES);
    ensure!(last.is_some(), "--nodes must be 1 or more, and with --first at most {MAX_NODES}");
    ensure!(job.rate.is_none_or(|rate| rate >= 1.0), "--rate must be 1 or more");
    // Paced requests are due to the microsecond; the default lets a sleep end 50 us late.
    rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1))
        .context("set the timer slack")?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC).context("make an epoll")?;
    let mut lanes = Vec::new();
    let addrs = target.addrs.iter().cycle();
    for ((number, &kind), addr) in (0_u64..).zip(&job.kinds).zip(addrs) {
        let connection = Connection::open(*addr)?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        epoll::add(&poll, &connection, epoll::EventData::new_u64(number), flags)
            .context("watch a socket")?;
        lanes.push(Lane { connection, kind, frame: Frame::new(kind, target.size)?, keys: 0 });
    }
    let mut run = Run::new(&job, poll, lanes)?;
    run.go()?;
    Ok((run.figures()?, run.lanes.into_iter().map(|lane| lane.connection).collect()))
}

/// One connection and what it asks for.
struct Lane {
    connection: Connection,
    kind: Kind,
    frame: Frame,
    /// How many keys it has asked for.
    keys: u64,
}

struct Run<'a> {
    job: &'a Job,
    poll: OwnedFd,
    lanes: Vec<Lane>,
    start: Instant,
    window: Window,
    latencies: By<Latencies>,
    snapshots: Option<Watcher>,
    random: Random,
    /// The next of the keys that are each asked for once.
    next_key: u64,
    issued: u64,
    answered: u64,
    notifications: u64,
    /// When the server last said anything.
    heard: u64,
    /// No request is left to be sent.
    spent: bool,
}

/// What is measured: from one mark to the other.
#[derive(Default)]
struct Window {
    from: Option<Mark>,
    to: Option<Mark>,
    ops: u64,
}

#[derive(Clone, Copy)]
struct Mark {
    at: u64,
    server_cpu: Option<Duration>,
    own_cpu: Duration,
}

impl<'a> Run<'a> {
    fn new(job: &'a Job, poll: OwnedFd, lanes: Vec<Lane>) -> Result<Self> {
        Ok(Self {
            job,
            poll,
            lanes,
            start: Instant::now(),
            window: Window::default(),
            latencies: By::default(),
            snapshots: job.snapshots_in.clone().map(Watcher::new).transpose()?,
            random: Random(0x9e37_79b9_7f4a_7c15),
            next_key: 0,
            issued: 0,
            answered: 0,
            notifications: 0,
            heard: 0,
            spent: false,
        })
    }

    fn go(&mut self) -> Result<()> {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(256);
        self.mark_window(0)?;
        if self.job.rate.is_none() {
            for lane in 0..self.lanes.len() {
                self.refill(lane, 0)?;
            }
        }
        loop {
            let now = self.now();
            self.mark_window(now)?;
            let pause = self.issue_due(now)?;
            if self.answered == self.issued && (self.spent || self.job.rate.is_none()) {
                break;
            }
            self.wait(&mut events, pause)?;
            let writing = self.snapshots.as_mut().map(|s| s.writing(now)).transpose()?;
            for event in events.drain(..) {
                let lane = usize::try_from(event.data.u64()).expect("it was an index");
                self.take(lane, writing)?;
            }
            let missing = self.issued - self.answered;
            ensure!(
                missing == 0 || self.now() < self.heard + STALLED,
                "the server left {missing} requests unanswered for {} s",
                STALLED / 1_000_000_000
            );
        }
        if self.window.to.is_none() {
            self.window.to = Some(self.mark(self.now())?);
        }
        Ok(())
    }

    /// Opens and closes what is measured.
    fn mark_window(&mut self, now: u64) -> Result<()> {
        let (warm, end) = match self.job.limit {
            Limit::Ops(_) => (0, u64::MAX),
            Limit::Time { warmup, measured } => (nanos(warmup), nanos(warmup + measured)),
        };
        if self.window.from.is_none() && now >= warm {
            self.window.from = Some(self.mark(now)?);
        }
        if self.window.to.is_none() && now >= end {
            self.window.to = Some(self.mark(now)?);
            self.spent = true;
        }
        Ok(())
    }

    fn mark(&self, at: u64) -> Result<Mark> {
        let server_cpu = process::cpu_time_of(&self.job.target.pids)?;
        Ok(Mark { at, server_cpu, own_cpu: process::cpu_time(std::process::id())? })
    }

    /// At a pace: sends what is due by `now`; returns how long until the next is. Else a pause in which
    /// nothing is late.
    fn issue_due(&mut self, now: u64) -> Result<u64> {
        let Some(rate) = self.job.rate else { return Ok(QUIET) };
        let count = self.lanes.len() as u64;
        while !self.spent {
            let due = nanos(Duration::from_secs_f64(self.issued as f64 / rate));
            if due > now {
                return Ok(QUIET.min(due - now));
            }
            let lane = usize::try_from(self.issued % count).expect("it is below a length");
            if self.issue(lane, due) {
                self.lanes[lane].connection.flush()?;
            } else {
                self.spent = true;
            }
        }
        Ok(QUIET)
    }

    /// Gives a connection its depth of requests.
    fn refill(&mut self, lane: usize, now: u64) -> Result<()> {
        while self.lanes[lane].connection.in_flight() < self.job.target.depth
            && self.issue(lane, now)
        {}
        self.lanes[lane].connection.flush()
    }

    /// Puts one request on its way; false when there is none left for this connection.
    fn issue(&mut self, number: usize, due: u64) -> bool {
        if self.spent || matches!(self.job.limit, Limit::Ops(most) if self.issued >= most) {
            return false;
        }
        let lane = &mut self.lanes[number];
        let key = match lane.kind {
            Kind::Watch => lane.keys,
            // Over all connections, so that a later run knows which come next.
            kind if kind.in_order() => self.next_key,
            _ => self.random.below(self.job.nodes),
        };
        if key >= self.job.nodes {
            return false;
        }
        lane.keys += 1;
        self.next_key += 1;
        lane.connection.push(&mut lane.frame, self.job.first + key, due);
        self.issued += 1;
        true
    }

    /// Takes what has come on one connection and sends what that makes room for.
    fn take(&mut self, number: usize, writing: Option<bool>) -> Result<()> {
        let now = self.now();
        let measured = self.window.from.is_some() && self.window.to.is_none();
        let before = self.answered;
        let lane = &mut self.lanes[number];
        let kind = lane.kind;
        lane.connection.receive(|incoming| {
            let Incoming::Reply { due, error } = incoming else {
                self.notifications += 1;
                return Ok(());
            };
            self.answered += 1;
            if let Some(error) = error {
                let fine = kind.may_exist() && error == ErrorCode::NodeExists;
                ensure!(
                    fine,
                    "{kind:?} was answered with {error:?}; were the znodes made by `fill`?"
                );
            }
            if measured {
                self.window.ops += 1;
                let latency = now.saturating_sub(due);
                let by_kind = if kind.is_write() {
                    &mut self.latencies.write
                } else {
                    &mut self.latencies.read
                };
                by_kind.record(latency);
                match writing {
                    Some(true) => self.latencies.during_snapshot.record(latency),
                    Some(false) => self.latencies.between_snapshots.record(latency),
                    None => {}
                }
            }
            Ok(())
        })?;
        if self.answered > before {
            self.heard = now;
        }
        if self.job.rate.is_none() {
            self.refill(number, now)
        } else {
            self.lanes[number].connection.flush()
        }
    }

    fn wait(&self, events: &mut Vec<epoll::Event>, pause: u64) -> Result<()> {
        let pause =
            Timespec { tv_sec: 0, tv_nsec: i64::try_from(pause).expect("it is below a second") };
        if self.job.rate.is_some() {
            // Sleeps to the microsecond, which older epolls cannot.
            let mut fds = [PollFd::new(&self.poll, PollFlags::IN)];
            interruptible(poll(&mut fds, Some(&pause)))?;
        }
        let still =
            if self.job.rate.is_some() { Timespec { tv_sec: 0, tv_nsec: 0 } } else { pause };
        interruptible(epoll::wait(&self.poll, spare_capacity(events), Some(&still)))
    }

    fn figures(&self) -> Result<Figures> {
        let ends = self.window.from.zip(self.window.to);
        let (from, to) = ends.filter(|_| self.window.ops > 0).context(
            "nothing was measured: all requests were answered before the warm-up was over; give more --nodes",
        )?;
        let seconds = Duration::from_nanos(to.at - from.at).as_secs_f64();
        let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / self.window.ops as f64;
        Ok(Figures {
            ops: self.window.ops,
            ops_in_all: self.answered,
            seconds,
            rate: self.window.ops as f64 / seconds,
            notifications: self.notifications,
            server_cpu_us: to.server_cpu.zip(from.server_cpu).map(|(to, from)| each(to - from)),
            generator_cpu_us: each(to.own_cpu - from.own_cpu),
            latencies: self.latencies.summaries(),
        })
    }

    fn now(&self) -> u64 {
        nanos(self.start.elapsed())
    }
}

/// xorshift64*: the same keys in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A signal ends a wait early, which is no fault.
fn interruptible(waited: rustix::io::Result<usize>) -> Result<()> {
    match waited {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(failed) => Err(failed).context("wait for the sockets"),
    }
}

/// The longest wait, in nanoseconds: the end of a run is seen that late when nothing comes.
const QUIET: u64 = 50_000_000;

/// So many nanoseconds without an answer are the end of a run.
const STALLED: u64 = 60_000_000_000;
