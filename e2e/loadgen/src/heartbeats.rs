//! Sessions kept alive: each sends a ping three times within its timeout and is given its answer.
//!
//! Pings are spread over the time between two of a session, as those of many clients are.

use std::io::{BufRead, Read, Write, stdin};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use jute::{OpCode, ReplyHeader, xid};
use serde::Serialize;

use crate::report;

/// What keeps the sessions alive as long as the process runs.
pub(crate) struct Heartbeats {
    /// `None`: the server has ended it.
    sessions: Arc<Mutex<Vec<Option<TcpStream>>>>,
    answered: Arc<AtomicU64>,
}

/// The answer to a line of input.
#[derive(Serialize)]
struct Alive {
    /// Sessions that were answered just now.
    alive: usize,
    /// Those that the server has ended.
    ended: usize,
    /// Heartbeats that were answered since the sessions began.
    heartbeats: u64,
}

impl Heartbeats {
    /// Begins the beating of these sessions, which have been granted this timeout.
    pub(crate) fn begin(streams: Vec<TcpStream>, timeout_ms: i32) -> Result<Self> {
        let timeout = Duration::from_millis(u64::try_from(timeout_ms).context("the timeout")?);
        for stream in &streams {
            stream.set_read_timeout(Some(timeout)).context("limit the wait for an answer")?;
        }
        let count = u32::try_from(streams.len()).context("too many sessions")?;
        ensure!(count > 0, "no sessions to keep alive");
        let sessions = Arc::new(Mutex::new(streams.into_iter().map(Some).collect::<Vec<_>>()));
        let answered = Arc::new(AtomicU64::new(0));
        let beats = (Arc::clone(&sessions), Arc::clone(&answered));
        thread::spawn(move || {
            let mut due = Instant::now();
            for number in (0..count as usize).cycle() {
                due += timeout / 3 / count;
                thread::sleep(due.saturating_duration_since(Instant::now()));
                beat(&mut lock(&beats.0)[number], &beats.1);
            }
        });
        Ok(Self { sessions, answered })
    }

    /// Tells for each line of input how many live; returns when input ends.
    pub(crate) fn until_told(&self) -> Result<()> {
        for line in stdin().lock().lines() {
            line.context("wait for the end of input")?;
            let mut sessions = lock(&self.sessions);
            for session in sessions.iter_mut() {
                beat(session, &self.answered);
            }
            let alive = sessions.iter().flatten().count();
            let ended = sessions.len() - alive;
            report(&Alive { alive, ended, heartbeats: self.answered.load(Relaxed) })?;
        }
        Ok(())
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().expect("nobody panics while holding the sessions")
}

/// One ping and its answer; a session that has none is no more.
fn beat(session: &mut Option<TcpStream>, answered: &AtomicU64) {
    let Some(stream) = session else { return };
    if ping(stream).is_ok() {
        answered.fetch_add(1, Relaxed);
    } else {
        *session = None;
    }
}

fn ping(stream: &mut TcpStream) -> Result<()> {
    let op = OpCode::Ping.code();
    let frame = [8_i32, xid::PING, op].map(i32::to_be_bytes).concat();
    stream.write_all(&frame).context("send a ping")?;
    let mut reply = [0; 4 + ReplyHeader::LENGTH];
    stream.read_exact(&mut reply).context("wait for a ping's answer")?;
    let id = i32::from_be_bytes([reply[4], reply[5], reply[6], reply[7]]);
    ensure!(id == xid::PING, "reply {id} came in place of a ping's");
    Ok(())
}
