//! What an agent and its holder say to each other: frames of a little-endian u32 length and that many
//! bytes of JSON.
//!
//! The holder outlives the agents that talk to it, so a change here must keep what an older holder says
//! readable, or raise [`VERSION`].

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::task::Command;

/// Of this protocol. A holder answers [`Reply::Refused`] to a greeting of another version.
pub(crate) const VERSION: u32 = 1;
/// The longest request: an environment of the kernel's largest size does not fit twice.
pub(crate) const MAX_REQUEST: usize = 4 << 20;
/// The longest reply: a greeting with tens of thousands of tasks.
pub(crate) const MAX_REPLY: usize = 64 << 20;

/// From the agent.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Request {
    /// The first request of a connection; answered by [`Reply::Hello`]. From then on exits are pushed.
    Hello { version: u32 },
    /// Start a process; answered by [`Reply::Spawned`] or [`Reply::SpawnFailed`].
    Spawn(Box<Spawn>),
    /// Send a signal to the first process of a container, if it is still there. Not answered.
    Signal { id: String, signal: i32 },
    /// The exits up to and including this number are recorded elsewhere and may be forgotten.
    Collected { through: u64 },
    /// End, unless a task is still running; answered by [`Reply::Refused`] if so.
    Quit,
}

/// From the holder.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Reply {
    /// The whole state: what runs, and the exits not yet collected.
    Hello { version: u32, pid: i32, running: Vec<Running>, exits: Vec<Exit> },
    /// The process runs the command: its exec succeeded.
    Spawned { id: String, pid: i32 },
    /// There is no process.
    SpawnFailed { id: String, step: Step, errno: i32 },
    /// A first process of a container ended.
    Exited(Exit),
    /// The last request was not done.
    Refused { why: String },
}

/// A process to start.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Spawn {
    /// The container, unique among those running.
    pub id: String,
    /// The program's path; a relative one counts from `cwd`.
    pub program: String,
    /// Arguments, from `argv[0]` on.
    pub argv: Vec<String>,
    /// `NAME=value`, the whole environment.
    pub env: Vec<String>,
    pub cwd: PathBuf,
    /// Existing files that output is appended to.
    pub stdout: PathBuf,
    pub stderr: PathBuf,
    /// Whom to become, if not to stay.
    pub user: Option<User>,
    /// The v2 group to be born in.
    pub unified: Option<PathBuf>,
    /// Files to write `0` to before exec: groups of v1.
    pub join: Vec<PathBuf>,
}

/// A user by numbers.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct User {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// A first process of a container that is alive.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Running {
    pub id: String,
    pub pid: i32,
}

/// A first process of a container that ended.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Exit {
    /// Counts up within one holder's life.
    pub number: u64,
    pub id: String,
    pub pid: i32,
    pub status: ExitStatus,
    /// When it was reaped, in nanoseconds since 1970.
    pub at: u64,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum ExitStatus {
    Code(i32),
    Signal(i32),
}

/// Where on the way to exec a child failed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[repr(u8)]
pub(crate) enum Step {
    Output = 1,
    Fork = 2,
    JoinGroup = 3,
    Session = 4,
    WorkingDirectory = 5,
    User = 6,
    Exec = 7,
}

impl Step {
    /// As the child writes it into its pipe.
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        [
            Self::Output,
            Self::Fork,
            Self::JoinGroup,
            Self::Session,
            Self::WorkingDirectory,
            Self::User,
            Self::Exec,
        ]
        .into_iter()
        .find(|&step| step as u8 == byte)
    }

    /// With what of the task it was done, to go behind [`Step::doing`]; empty where nothing helps.
    pub(crate) fn with(self, spec: &crate::task::Spec) -> String {
        match (self, &spec.command, &spec.user) {
            (Self::Exec, Command::Program { path, .. }, _) => format!(" {path}"),
            (Self::Exec, Command::Shell(_), _) => " /bin/sh".to_owned(),
            (Self::User, _, Some(user)) => format!(" to {user}"),
            _ => String::new(),
        }
    }

    /// What was being done, to go before the kernel's words.
    pub(crate) fn doing(self) -> &'static str {
        match self {
            Self::Output => "open stdout and stderr",
            Self::Fork => "make the process",
            Self::JoinGroup => "enter the cgroup",
            Self::Session => "start a session",
            Self::WorkingDirectory => "change to the working directory",
            Self::User => "switch the user",
            Self::Exec => "execute the command",
        }
    }
}

/// One message as a frame.
pub(crate) fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message).expect("these types have string keys only");
    let length = u32::try_from(frame.len() - 4).expect("no message of ours reaches 4 GiB");
    frame[..4].copy_from_slice(&length.to_le_bytes());
    frame
}

/// Why bytes are no message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("a frame of {length} bytes is over the limit of {limit}")]
    TooLong { length: usize, limit: usize },
    #[error("a frame is not a message of version {VERSION}")]
    Malformed(#[from] serde_json::Error),
}

/// Takes one whole message off the front of `buffer`; `None` until all of it is there.
pub(crate) fn take<T: for<'a> Deserialize<'a>>(
    buffer: &mut Vec<u8>,
    limit: usize,
) -> Result<Option<T>, DecodeError> {
    let Some(&header) = buffer.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_le_bytes(header) as usize;
    if length > limit {
        return Err(DecodeError::TooLong { length, limit });
    }
    let Some(body) = buffer.get(4..4 + length) else { return Ok(None) };
    let message = serde_json::from_slice(body)?;
    buffer.drain(..4 + length);
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in_however_the_bytes_arrive() {
        let sent = [Request::Hello { version: 1 }, Request::Spawn(Box::default()), Request::Quit];
        let bytes: Vec<u8> = sent.iter().flat_map(encode).collect();
        let (mut buffer, mut got) = (Vec::new(), Vec::new());
        for byte in bytes {
            buffer.push(byte);
            while let Some(message) = take::<Request>(&mut buffer, MAX_REQUEST).expect("whole") {
                got.push(message);
            }
        }
        assert_eq!(got, sent);
    }

    #[test]
    fn a_hostile_length_is_refused_before_it_is_believed() {
        let mut buffer = vec![0xff; 8];
        let error = take::<Request>(&mut buffer, MAX_REQUEST).expect_err("4 GiB");
        assert!(matches!(error, DecodeError::TooLong { length: 0xffff_ffff, .. }));
        let mut buffer = encode(&"not a request");
        assert!(matches!(
            take::<Request>(&mut buffer, MAX_REQUEST),
            Err(DecodeError::Malformed(_))
        ));
    }

    #[test]
    fn a_step_survives_its_byte() {
        for byte in 0..=255 {
            assert!(Step::from_byte(byte).is_none_or(|step| step as u8 == byte));
        }
        assert_eq!(Step::from_byte(7), Some(Step::Exec));
    }
}
