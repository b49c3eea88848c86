//! Asks a member how it is by the four-letter words `srvr` and `mntr`.
//!
//! Lives here: the question, and reading the answers. Source: Apache ZooKeeper 3.9, `StatCommand`,
//! `MonitorCommand`.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What a member that serves says of itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Report {
    pub(crate) version: Option<String>,
    /// `leader`, `follower`, `observer` or `standalone`.
    pub(crate) mode: String,
    pub(crate) zxid: u64,
    pub(crate) clients: i64,
    pub(crate) znodes: i64,
    pub(crate) watches: Option<i64>,
    /// It has no room for writes, and takes none.
    pub(crate) disk_full: bool,
    /// Why it does not vote, of our members only.
    pub(crate) mending: Option<String>,
}

/// What a member answers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) enum Answer {
    /// Nothing, in time.
    #[default]
    Silent,
    /// Nobody listens there: it starts, or it is gone.
    Refused,
    /// That it serves nobody now: it looks for a leader.
    Looking,
    /// That its files are damaged, how, and that it looks for what it lost.
    Mending(String),
    /// How it is.
    Serves(Report),
}

impl Answer {
    pub(crate) fn report(&self) -> Option<&Report> {
        match self {
            Self::Serves(report) => Some(report),
            Self::Silent | Self::Refused | Self::Looking | Self::Mending(_) => None,
        }
    }

    /// What is damaged and not mended yet.
    pub(crate) fn mending(&self) -> Option<&str> {
        match self {
            Self::Serves(report) => report.mending.as_deref(),
            Self::Mending(why) => Some(why),
            Self::Silent | Self::Refused | Self::Looking => None,
        }
    }
}

impl Report {
    /// Whether it takes writes by its own authority.
    pub(crate) fn is_leading(&self) -> bool {
        matches!(self.mode.as_str(), "leader" | "standalone")
    }
}

/// Asks.
pub(crate) async fn ask(endpoint: &str) -> Answer {
    let answer = match say(endpoint, "srvr").await {
        Ok(answer) => answer,
        Err(why) if why.kind() == io::ErrorKind::ConnectionRefused => return Answer::Refused,
        Err(_) => return Answer::Silent,
    };
    let Some(mut report) = read_srvr(&answer) else {
        return match read_mending(&answer) {
            Some(why) => Answer::Mending(why),
            None if answer.is_empty() => Answer::Silent,
            None => Answer::Looking,
        };
    };
    if let Ok(answer) = say(endpoint, "mntr").await {
        report.watches = read_figure(&answer, "zk_watch_count");
        // Of our members only.
        report.disk_full = read_figure(&answer, "zk_writes_stopped_disk_full") == Some(1);
    }
    Answer::Serves(report)
}

fn read_srvr(answer: &str) -> Option<Report> {
    let value = |name: &str| {
        answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    };
    Some(Report {
        version: value("Zookeeper version")
            .and_then(|text| text.split([',', ' ']).next())
            .map(|text| text.chars().take(64).collect()),
        mode: value("Mode")?.chars().take(16).collect(),
        zxid: u64::from_str_radix(value("Zxid")?.trim_start_matches("0x"), 16).ok()?,
        // The question is a connection too.
        clients: value("Connections")?.parse::<i64>().ok()?.saturating_sub(1).max(0),
        znodes: value("Node count")?.parse().ok()?,
        mending: read_mending(answer),
        ..Report::default()
    })
}

fn read_mending(answer: &str) -> Option<String> {
    let why = answer.lines().find_map(|line| line.strip_prefix("Mending: "))?;
    Some(why.chars().take(1_024).collect())
}

fn read_figure(answer: &str, name: &str) -> Option<i64> {
    answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t')?.trim().parse().ok())
}

async fn say(endpoint: &str, word: &str) -> io::Result<String> {
    let talk = async {
        let mut stream = TcpStream::connect(endpoint).await?;
        stream.write_all(word.as_bytes()).await?;
        let mut answer = String::new();
        stream.take(LONGEST_ANSWER).read_to_string(&mut answer).await?;
        Ok(answer)
    };
    timeout(PATIENCE, talk).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

const PATIENCE: Duration = Duration::from_secs(2);
const LONGEST_ANSWER: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answers_are_read() {
        let srvr = "Zookeeper version: 3.9.3-c26634f34490bb0ea7a09cc51e05ede3b4e320ee, built on 2024-10-17 23:21 UTC\n\
                    Latency min/avg/max: 0/0.0/0\nReceived: 1\nSent: 0\nConnections: 3\nOutstanding: 0\n\
                    Zxid: 0x10000000a\nMode: standalone\nNode count: 5\n";
        let report = read_srvr(srvr).expect("a report");
        assert_eq!((report.zxid, report.znodes, report.clients), (0x1_0000_000a, 5, 2));
        assert_eq!(report.mode, "standalone");
        let mntr = "zk_version\t3\nzk_watch_count\t7\n";
        assert_eq!(read_figure(mntr, "zk_watch_count"), Some(7));
        assert_eq!(read_figure(mntr, "zk_watch"), None);
        assert_eq!(read_srvr("This ZooKeeper instance is not currently serving requests\n"), None);
        assert_eq!(read_srvr("Mode: \nZxid: 0xzz\n"), None);
        assert_eq!(read_mending(srvr), None);
        assert_eq!(read_mending("Not now\nMending: a file\n").as_deref(), Some("a file"));
    }
}
