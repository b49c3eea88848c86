//! The holder's loop: one `poll` over signals, the socket, connections and children on their way.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, set_child_subreaper, setsid, wait};

use super::child::{self, Starting};
use super::connection::{Connection, HangUp};
use super::exits::Exits;
use super::wire::{ExitStatus, Reply, Request, Running, Spawn, Step, VERSION};
use super::{READY, SOCKET};

/// How many agents may be connected at once: one, and one that is being replaced.
const MAX_CONNECTIONS: usize = 4;
/// Without tasks, without exits to be collected and without an agent for so long, a holder ends.
const IDLE: Duration = Duration::from_secs(60);

/// Why a holder could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum HolderError {
    /// Another holder has the directory.
    #[error("another holder runs in {}", dir.display())]
    Busy {
        /// The directory.
        dir: PathBuf,
    },
    /// A file of the directory could not be made or opened.
    #[error("open {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A system call that cannot fail on a sound system did.
    #[error("{call}")]
    System {
        /// The call.
        call: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// Serves the agents that connect to `<dir>/socket` until one says [`Request::Quit`], or nobody needs it.
pub(crate) fn serve(dir: &Path) -> Result<(), HolderError> {
    let mut holder = Holder::start(dir)?;
    announce();
    while !holder.done {
        holder.turn()?;
    }
    // A later agent must not find a socket that nobody serves.
    let _ = fs::remove_file(dir.join(SOCKET));
    Ok(())
}

struct Holder {
    signals: rustix::fd::OwnedFd,
    listener: UnixListener,
    connections: Vec<Connection>,
    children: BTreeMap<i32, Child>,
    exits: Exits,
    done: bool,
    /// Held as long as the process lives.
    _lock: File,
}

struct Child {
    id: String,
    /// `None` once exec succeeded.
    starting: Option<Starting>,
}

impl Holder {
    fn start(dir: &Path) -> Result<Self, HolderError> {
        let system = |call| move |source: io::Error| HolderError::System { call, source };
        make_directory(dir)?;
        let lock = lock(dir)?;
        let exits = dir.join("exits");
        let exits =
            Exits::open(&exits).map_err(|source| HolderError::File { path: exits, source })?;
        // A session of its own, so that no signal to the agent's group or terminal comes here. It fails
        // for a process that leads a group already, which is as good.
        let _ = setsid();
        set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(|e| system("become the reaper of orphaned children")(e.into()))?;
        let which = [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGHUP];
        let signals = child::signals(&which).map_err(system("take signals from a descriptor"))?;
        let listener = listen(dir)?;
        Ok(Self {
            signals,
            listener,
            connections: Vec::new(),
            children: BTreeMap::new(),
            exits,
            done: false,
            _lock: lock,
        })
    }

    /// Waits for something to happen and does what follows from it.
    fn turn(&mut self) -> Result<(), HolderError> {
        let Some(ready) = self.wait()? else {
            self.done = true;
            return Ok(());
        };
        // A child's report comes before its exit is looked at, also when both came at once.
        self.look_at_starts();
        if ready.signals {
            self.take_signals();
        }
        if ready.listener {
            self.accept();
        }
        for at in (0..self.connections.len()).rev() {
            if ready.connections.get(at).copied().unwrap_or(false)
                && let Err(why) = self.serve_connection(at)
            {
                if !matches!(why, HangUp::Closed) {
                    note(&format!("hang up: {why}"));
                }
                self.connections.remove(at);
            }
        }
        Ok(())
    }

    /// `None` when nobody needs this holder any more.
    fn wait(&self) -> Result<Option<Ready>, HolderError> {
        let mut fds = vec![
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(&self.listener, PollFlags::IN),
        ];
        for connection in &self.connections {
            let write =
                if connection.wants_to_write() { PollFlags::OUT } else { PollFlags::empty() };
            fds.push(PollFd::new(&connection.stream, PollFlags::IN | write));
        }
        let starting = self.children.values().filter_map(|c| c.starting.as_ref());
        fds.extend(starting.map(|s| PollFd::from_borrowed_fd(s.report.as_fd(), PollFlags::IN)));

        let alone =
            self.connections.is_empty() && self.children.is_empty() && self.exits.is_empty();
        let timeout = Timespec::try_from(IDLE).expect("a minute fits");
        let events = match poll(&mut fds, alone.then_some(&timeout)) {
            Ok(0) => return Ok(None),
            Ok(_) => fds,
            Err(rustix::io::Errno::INTR) => return Ok(Some(Ready::default())),
            Err(e) => return Err(HolderError::System { call: "poll", source: e.into() }),
        };
        let ready = |at: usize| !events[at].revents().is_empty();
        Ok(Some(Ready {
            signals: ready(0),
            listener: ready(1),
            connections: (0..self.connections.len()).map(|at| ready(at + 2)).collect(),
        }))
    }

    fn take_signals(&mut self) {
        while let Some(signal) = child::next_signal(&self.signals) {
            match signal {
                libc::SIGCHLD => {}
                libc::SIGTERM if self.children.is_empty() => self.done = true,
                _ => note(&format!(
                    "signal {signal} is ignored while tasks run; end the agent with its tasks instead"
                )),
            }
        }
        // One signal may stand for many children.
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_nonzero().get();
            let status = match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => ExitStatus::Code(code),
                (None, Some(signal)) => ExitStatus::Signal(signal),
                (None, None) => continue,
            };
            self.on_exit(pid, status);
        }
    }

    /// An orphan of a task is only reaped; a first process is told to the agents.
    fn on_exit(&mut self, pid: i32, status: ExitStatus) {
        let Some(child) = self.children.remove(&pid) else { return };
        if let Some(starting) = &child.starting {
            // Its pipe is closed by now, so the outcome is there.
            let outcome = child::outcome(&starting.report).unwrap_or(Ok(()));
            self.tell_start(&child.id, pid, outcome);
            if outcome.is_err() {
                return;
            }
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        let (exit, logged) = self.exits.push(child.id, pid, status, at);
        if let Err(error) = logged {
            note(&format!("{}: {error}; the exit is kept in memory", self.exits.path().display()));
        }
        self.broadcast(&Reply::Exited(exit));
    }

    fn look_at_starts(&mut self) {
        let mut decided = Vec::new();
        for (&pid, child) in &mut self.children {
            let outcome = child.starting.as_ref().and_then(|s| child::outcome(&s.report));
            if let Some(outcome) = outcome {
                decided.push((pid, child.id.clone(), outcome));
            }
        }
        for (pid, id, outcome) in decided {
            match outcome {
                Ok(()) => {
                    if let Some(child) = self.children.get_mut(&pid) {
                        child.starting = None;
                    }
                }
                // It exits by itself; nobody is to hear of that.
                Err(_) => drop(self.children.remove(&pid)),
            }
            self.tell_start(&id, pid, outcome);
        }
    }

    fn tell_start(&mut self, id: &str, pid: i32, outcome: Result<(), child::Failure>) {
        let id = id.to_owned();
        self.broadcast(&match outcome {
            Ok(()) => Reply::Spawned { id, pid },
            Err((step, errno)) => Reply::SpawnFailed { id, step, errno },
        });
    }

    fn broadcast(&mut self, reply: &Reply) {
        self.connections.retain_mut(|connection| {
            !connection.greeted || connection.push(reply).and_then(|()| connection.flush()).is_ok()
        });
    }

    fn accept(&mut self) {
        let Ok((stream, _)) = self.listener.accept() else { return };
        if self.connections.len() >= MAX_CONNECTIONS {
            note("a connection is refused: there are too many");
            return;
        }
        match Connection::new(stream) {
            Ok(connection) => self.connections.push(connection),
            Err(error) => note(&format!("a connection is lost: {error}")),
        }
    }

    fn serve_connection(&mut self, at: usize) -> Result<(), HangUp> {
        let filled = self.connections[at].fill();
        while let Some(request) = self.connections[at].next()? {
            if let Some(reply) = self.on_request(at, request) {
                self.connections[at].push(&reply)?;
            }
        }
        self.connections[at].flush()?;
        filled
    }

    fn on_request(&mut self, at: usize, request: Request) -> Option<Reply> {
        match request {
            Request::Hello { version: VERSION } => {
                self.connections[at].greeted = true;
                Some(self.hello())
            }
            Request::Hello { version } => Some(Reply::Refused {
                why: format!("this holder speaks version {VERSION}, the agent {version}"),
            }),
            Request::Spawn(spawn) => self.spawn(*spawn),
            Request::Signal { id, signal } => {
                self.signal(&id, signal);
                None
            }
            Request::Collected { through } => {
                if let Err(error) = self.exits.collected(through) {
                    note(&format!("{}: {error}", self.exits.path().display()));
                }
                None
            }
            Request::Quit if self.children.is_empty() => {
                self.done = true;
                None
            }
            Request::Quit => Some(Reply::Refused {
                why: format!("{} tasks are still running", self.children.len()),
            }),
        }
    }

    fn hello(&self) -> Reply {
        let started = self.children.iter().filter(|(_, child)| child.starting.is_none());
        Reply::Hello {
            version: VERSION,
            pid: rustix::process::getpid().as_raw_nonzero().get(),
            running: started.map(|(&pid, c)| Running { id: c.id.clone(), pid }).collect(),
            exits: self.exits.waiting(),
        }
    }

    fn spawn(&mut self, spawn: Spawn) -> Option<Reply> {
        if self.children.values().any(|child| child.id == spawn.id) {
            return Some(Reply::SpawnFailed {
                id: spawn.id,
                step: Step::Fork,
                errno: libc::EEXIST,
            });
        }
        match child::start(&spawn) {
            Ok(starting) => {
                let pid = starting.pid;
                self.children.insert(pid, Child { id: spawn.id, starting: Some(starting) });
                None
            }
            Err((step, errno)) => Some(Reply::SpawnFailed { id: spawn.id, step, errno }),
        }
    }

    /// A pid is not given out again before it is reaped here, so this cannot hit a stranger.
    fn signal(&self, id: &str, signal: i32) {
        let pid = self.children.iter().find(|(_, child)| child.id == id).map(|(&pid, _)| pid);
        if let (Some(pid), Some(signal)) =
            (pid.and_then(Pid::from_raw), Signal::from_named_raw(signal))
        {
            let _ = kill_process(pid, signal);
        }
    }
}

#[derive(Default)]
struct Ready {
    signals: bool,
    listener: bool,
    connections: Vec<bool>,
}

fn make_directory(dir: &Path) -> Result<(), HolderError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| HolderError::File { path: dir.to_owned(), source })
}

fn lock(dir: &Path) -> Result<File, HolderError> {
    let path = dir.join("lock");
    let failed = |source| HolderError::File { path: path.clone(), source };
    let mut options = OpenOptions::new();
    let file =
        options.write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(HolderError::Busy { dir: dir.to_owned() }),
        Err(e) => Err(failed(e.into())),
    }
}

/// Listens on `<dir>/socket`, by a path through a descriptor: a socket's own path may have 107 bytes only.
fn listen(dir: &Path) -> Result<UnixListener, HolderError> {
    let path = dir.join(SOCKET);
    let failed = |source| HolderError::File { path: path.clone(), source };
    match fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
        _ => {}
    }
    let opened = File::open(dir).map_err(failed)?;
    let listener = UnixListener::bind(through(&opened)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

/// The socket's path by way of an open directory.
pub(crate) fn through(dir: &File) -> PathBuf {
    use std::os::fd::AsRawFd;
    PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd()))
}

/// Tells whoever started us that the socket is there, and lets go of its pipe.
fn announce() {
    let mut out = io::stdout();
    let _ = out.write_all(READY.as_bytes()).and_then(|()| out.flush());
    if let Ok(null) = OpenOptions::new().write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(&null);
    }
}

/// Standard error is the holder's log file.
fn note(text: &str) {
    eprintln!("holder: {text}");
}
