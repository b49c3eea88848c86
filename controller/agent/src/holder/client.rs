//! The agent's side of the holder: find or start it, then send requests and hear replies.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::server::through;
use super::wire::{self, DecodeError, Exit, MAX_REPLY, Reply, Request, Running, VERSION};
use super::{READY, SOCKET};
use crate::HolderCommand;

/// A holder that does not greet within this time is broken: it does nothing that blocks.
const GREETING: Duration = Duration::from_secs(10);

/// Why there is no holder to work with.
#[derive(Debug, thiserror::Error)]
pub enum HolderStartError {
    /// The holder's program could not be run.
    #[error("run the holder {}", exe.display())]
    Run {
        /// The program.
        exe: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It ended instead of serving.
    #[error("the holder did not start: {}", said.trim())]
    NotReady {
        /// The end of its log.
        said: String,
    },
    /// It serves, but the connection failed.
    #[error("talk to the holder at {}", socket.display())]
    Connect {
        /// Its socket.
        socket: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// It greets in another way than expected.
    #[error(
        "the running holder (pid {pid}) does not fit this agent: {why}; end its tasks with the agent's \
         version that started them, then start this one"
    )]
    Version {
        /// The holder, 0 if it did not say.
        pid: i32,
        /// Its words.
        why: String,
    },
}

/// A connection to a holder. Dropping it leaves the holder running.
pub(crate) struct Client {
    requests: mpsc::UnboundedSender<Request>,
    /// The holder, when this agent started it: reaped when it ends.
    process: Option<Child>,
}

/// What a holder says of itself at the start.
#[derive(Debug)]
pub(crate) struct Greeting {
    pub(crate) pid: i32,
    pub(crate) running: Vec<Running>,
    pub(crate) exits: Vec<Exit>,
    /// It was already running: it belongs to an earlier agent.
    pub(crate) adopted: bool,
}

/// Connects to the holder of `dir`, starting it if none serves there. The receiver brings every later
/// reply; it ends when the holder is gone.
pub(crate) async fn connect_or_start(
    dir: &Path,
    command: &HolderCommand,
) -> Result<(Client, Greeting, mpsc::UnboundedReceiver<Reply>), HolderStartError> {
    let (stream, process) = match connect(dir).await {
        Ok(stream) => (stream, None),
        Err(_) => {
            let process = start(dir, command)?;
            let socket = dir.join(SOCKET);
            let stream = connect(dir)
                .await
                .map_err(|source| HolderStartError::Connect { socket, source })?;
            (stream, Some(process))
        }
    };
    greet(dir, stream, process).await
}

impl Client {
    /// Sends a request. A lost holder shows at the receiver, not here.
    pub(crate) fn send(&self, request: Request) {
        let _ = self.requests.send(request);
    }

    /// Waits for the end of a holder that is known to be ending, if it is ours.
    pub(crate) fn wait(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.wait();
        }
    }

    /// Reaps the holder if it is ours and ended.
    pub(crate) fn reap(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.try_wait();
        }
    }
}

async fn greet(
    dir: &Path,
    mut stream: UnixStream,
    process: Option<Child>,
) -> Result<(Client, Greeting, mpsc::UnboundedReceiver<Reply>), HolderStartError> {
    let socket = dir.join(SOCKET);
    let failed = |source| HolderStartError::Connect { socket: socket.clone(), source };
    let adopted = process.is_none();
    let mut buffer = Vec::new();
    let hello = async {
        stream.write_all(&wire::encode(&Request::Hello { version: VERSION })).await?;
        next(&mut stream, &mut buffer).await
    };
    let hello = tokio::time::timeout(GREETING, hello)
        .await
        .map_err(|_| failed(io::ErrorKind::TimedOut.into()))?
        .map_err(failed)?;
    let greeting = match hello {
        Some(Reply::Hello { version: VERSION, pid, running, exits }) => {
            Greeting { pid, running, exits, adopted }
        }
        Some(Reply::Hello { version, pid, .. }) => {
            return Err(HolderStartError::Version {
                pid,
                why: format!("it speaks version {version}"),
            });
        }
        Some(Reply::Refused { why }) => return Err(HolderStartError::Version { pid: 0, why }),
        _ => return Err(failed(io::ErrorKind::UnexpectedEof.into())),
    };
    let (requests, outgoing) = mpsc::unbounded_channel();
    let (incoming, replies) = mpsc::unbounded_channel();
    let (reading, writing) = stream.into_split();
    tokio::spawn(write_requests(writing, outgoing));
    tokio::spawn(read_replies(reading, buffer, incoming));
    Ok((Client { requests, process }, greeting, replies))
}

async fn write_requests(
    mut stream: tokio::net::unix::OwnedWriteHalf,
    mut requests: mpsc::UnboundedReceiver<Request>,
) {
    while let Some(request) = requests.recv().await {
        // A holder that is gone is noticed by the reading half.
        if stream.write_all(&wire::encode(&request)).await.is_err() {
            return;
        }
    }
}

async fn read_replies(
    mut stream: tokio::net::unix::OwnedReadHalf,
    mut buffer: Vec<u8>,
    replies: mpsc::UnboundedSender<Reply>,
) {
    loop {
        match next(&mut stream, &mut buffer).await {
            Ok(Some(reply)) => {
                if replies.send(reply).is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::error!(%error, "lost the holder");
                return;
            }
        }
    }
}

/// The next reply; `None` at the end of the stream.
async fn next(
    stream: &mut (impl AsyncReadExt + Unpin),
    buffer: &mut Vec<u8>,
) -> io::Result<Option<Reply>> {
    let invalid = |e: DecodeError| io::Error::new(io::ErrorKind::InvalidData, e);
    loop {
        if let Some(reply) = wire::take(buffer, MAX_REPLY).map_err(invalid)? {
            return Ok(Some(reply));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

async fn connect(dir: &Path) -> io::Result<UnixStream> {
    // The path goes through a descriptor because a socket's own path may have 107 bytes only.
    let opened = File::open(dir)?;
    UnixStream::connect(through(&opened)).await
}

/// Runs the program and waits for its word that the socket is there.
fn start(dir: &Path, command: &HolderCommand) -> Result<Child, HolderStartError> {
    let failed = |source| HolderStartError::Run { exe: command.exe.clone(), source };
    fs::create_dir_all(dir).map_err(failed)?;
    let log_path = dir.join("log");
    let log = OpenOptions::new().create(true).append(true).open(&log_path).map_err(failed)?;
    let mut process = Command::new(&command.exe)
        .args(&command.args)
        .arg("--dir")
        .arg(dir)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(failed)?;
    let mut said = String::new();
    if let Some(out) = process.stdout.take() {
        // It closes its end right after the word, and the kernel does if it dies: this cannot hang.
        out.take(4096).read_to_string(&mut said).map_err(failed)?;
    }
    if said.ends_with(READY) {
        return Ok(process);
    }
    let _ = process.wait();
    let log = fs::read_to_string(&log_path).unwrap_or_default();
    let last = log.lines().last().unwrap_or("it said nothing").to_owned();
    Err(HolderStartError::NotReady { said: last })
}
