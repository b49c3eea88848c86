//! One process: started apart from its parent, known again by pid and start time, awaited by pidfd.
//!
//! Source of the fields of `/proc/<pid>/stat`: proc_pid_stat(5).

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Which process: a pid alone may be reused.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    /// Clock ticks since boot.
    pub(crate) start_time: u64,
}

impl Identity {
    /// The process that has this pid now and has not ended.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        Self::read(pid)
            .and_then(|(state, identity)| (state != "Z" && state != "X").then_some(identity))
    }

    /// The same, ended or not, with the letter of its state.
    fn read(pid: i32) -> Option<(String, Self)> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may hold anything; what follows the last one is regular.
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ');
        let state = fields.next()?.to_owned();
        let start_time = fields.nth(18)?.parse().ok()?;
        Some((state, Self { pid, start_time }))
    }
}

/// A process that runs, or ran until a moment ago.
pub(crate) struct Process {
    pub(crate) identity: Identity,
    pidfd: AsyncFd<OwnedFd>,
    /// Ours to reap; an adopted process is reaped by init.
    child: Option<Child>,
}

/// Whether a signal stopped it, so that it runs on only when it is told to.
pub(crate) fn is_suspended(pid: i32) -> bool {
    Identity::read(pid).is_some_and(|(state, _)| state == "T")
}

/// How a process ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ending {
    /// As its parent knows.
    Known(ExitStatus),
    /// It was adopted: its exit code went to init.
    Unknown,
}

impl Process {
    /// Starts `argv` in a session of its own, so that nothing meant for this one reaches it. Its output
    /// is appended to `log`.
    pub(crate) fn spawn(argv: &[OsString], mark: &str, log: &Path) -> io::Result<Self> {
        let (program, arguments) =
            argv.split_first().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let output = open_log(log)?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env(MARK, mark)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        own_session(&mut command);
        let mut child = command.spawn()?;
        let pid = i32::try_from(child.id()).expect("a pid is an i32");
        // The child cannot be reaped by anybody else, so its pid is its own until `try_wait`.
        let opened = Identity::read(pid).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound));
        match opened.and_then(|(_, identity)| Ok((identity, open_pidfd(pid)?))) {
            Ok((identity, pidfd)) => Ok(Self { identity, pidfd, child: Some(child) }),
            Err(why) => {
                // Unwatched it must not run: nobody would know of it.
                child.kill()?;
                child.wait()?;
                Err(why)
            }
        }
    }

    /// Takes over a process that somebody else started; `None` when it is gone or the pid is another's.
    pub(crate) fn adopt(identity: Identity) -> Option<Self> {
        let pidfd = open_pidfd(identity.pid).ok()?;
        // Checked after the pidfd is held: from here on it cannot become another process.
        (Identity::of(identity.pid) == Some(identity)).then_some(Self {
            identity,
            pidfd,
            child: None,
        })
    }

    /// Waits until it has ended. May be dropped and called again.
    pub(crate) async fn ended(&mut self) -> Ending {
        // The one error is that the runtime ends, and then nobody reads the answer.
        let _ready = self.pidfd.ready(Interest::READABLE).await;
        match self.child.as_mut().map(Child::try_wait) {
            Some(Ok(Some(status))) => Ending::Known(status),
            _ => Ending::Unknown,
        }
    }

    /// Sends a signal; a process that is gone needs none.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Err(why) = pidfd_send_signal(self.pidfd.get_ref(), signal)
            && why != rustix::io::Errno::SRCH
        {
            tracing::warn!("signal {signal:?} to process {}: {why}", self.identity.pid);
        }
    }
}

impl Ending {
    /// In words, with the last line of the log.
    pub(crate) fn words(self, log: &Path) -> String {
        let how = match self {
            Self::Unknown => "ended".to_owned(),
            Self::Known(status) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("ended with exit code {code}"),
                (None, Some(signal)) => format!("was killed by signal {signal}"),
                (None, None) => "ended".to_owned(),
            },
        };
        match last_line(log) {
            Some(line) => format!("{how}: {line} (log: {})", log.display()),
            None => format!("{how} (log: {})", log.display()),
        }
    }
}

/// The variable that marks our processes, so that one whose record was never written is found too.
pub(crate) const MARK: &str = "TROUPE_PART";

/// All processes of this user that carry a mark and were started with the verb it begins with. Holders
/// and tasks inherit the variable from their agent, and have another verb.
pub(crate) fn marked() -> Vec<(String, Identity)> {
    let Ok(folders) = fs::read_dir("/proc") else { return Vec::new() };
    let pids =
        folders.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| {
        let identity = Identity::of(pid)?;
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let prefix = format!("{MARK}=");
        let mark = environment
            .split(|byte| *byte == 0)
            .find_map(|variable| variable.strip_prefix(prefix.as_bytes()))?;
        let mark = String::from_utf8(mark.to_vec()).ok()?;
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let verb = mark.rsplit('/').next()?.split('.').next()?;
        let has_verb =
            arguments.split(|byte| *byte == 0).skip(1).any(|word| word == verb.as_bytes());
        has_verb.then_some((mark, identity))
    })
    .collect()
}

#[allow(unsafe_code, reason = "tokio asks for a promise about the descriptor")]
fn open_pidfd(pid: i32) -> io::Result<AsyncFd<OwnedFd>> {
    let pid = Pid::from_raw(pid).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let pidfd = pidfd_open(pid, PidfdFlags::NONBLOCK)?;
    // SAFETY: the AsyncFd owns the descriptor, and an `OwnedFd` stays open and the same until it is dropped.
    Ok(unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }?)
}

#[allow(unsafe_code, reason = "setsid must run between fork and exec")]
fn own_session(command: &mut Command) {
    // SAFETY: setsid is async-signal-safe and the closure allocates nothing.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            Ok(())
        });
    }
}

fn open_log(path: &Path) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|log| log.len() > LOG_LIMIT) {
        fs::rename(path, path.with_extension("log.old"))?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

fn last_line(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(1_024))).ok()?;
    let mut tail = Vec::new();
    file.take(1_024).read_to_end(&mut tail).ok()?;
    let text = String::from_utf8_lossy(&tail);
    let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(line.trim().to_owned())
}

/// A log longer than this is set aside when its process starts again.
const LOG_LIMIT: u64 = 16 << 20;
