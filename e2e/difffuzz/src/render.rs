//! Replies and events as lines that two servers can be compared by.
//!
//! What must differ is put aside: times, session ids (numbered as they appear) and zxids, whose order is
//! kept and whose value is not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::deviations;
use bytes::Bytes;
use jute::{MultiResult, OpCode, OpResult, Reader, Request, Response, Stat, Text};

/// What one run of a program showed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    lines: Vec<String>,
    sessions: Vec<i64>,
    zxids: BTreeSet<i64>,
    /// The highest zxid in any reply.
    pub(crate) seen: i64,
}

impl Notes {
    pub(crate) fn line(&mut self, line: String) {
        self.lines.push(line);
    }

    /// The session's number in this run; 0 is none.
    pub(crate) fn session(&mut self, id: i64) -> usize {
        if id == 0 {
            return 0;
        }
        let at = self.sessions.iter().position(|one| *one == id).unwrap_or_else(|| {
            self.sessions.push(id);
            self.sessions.len() - 1
        });
        at + 1
    }

    fn zxid(&mut self, zxid: i64) -> String {
        if zxid <= 0 {
            return zxid.to_string();
        }
        self.zxids.insert(zxid);
        format!("{OPEN}{zxid}{CLOSE}")
    }

    /// The lines, with each zxid in them replaced by its rank.
    pub(crate) fn finish(self, prefix: &str) -> Vec<String> {
        let ranks: BTreeMap<String, usize> = self
            .zxids
            .iter()
            .enumerate()
            .map(|(rank, zxid)| (zxid.to_string(), rank + 1))
            .collect();
        let rank = |line: String| {
            let mut out = String::new();
            let mut rest = &line[..];
            while let Some((before, behind)) = rest.split_once(OPEN) {
                let (zxid, behind) = behind.split_once(CLOSE).unwrap_or((behind, ""));
                let rank = ranks.get(zxid).copied().unwrap_or(0);
                let _ = write!(out, "{before}z{rank}");
                rest = behind;
            }
            out.push_str(rest);
            deviations::as_java_writes(&out.replace(prefix, "/P"))
        };
        let mut lines: Vec<_> = self.lines.into_iter().map(rank).collect();
        // The events of one transaction come in no order that is promised.
        let mut at = 0;
        while at < lines.len() {
            let event = |line: &str| {
                line.split_once(" event ")
                    .map(|(_, rest)| rest[..rest.find(' ').unwrap_or(0)].to_owned())
            };
            let first = event(&lines[at]);
            let same = lines[at..]
                .iter()
                .take_while(|line| first.is_some() && event(line) == first)
                .count();
            lines[at..at + same].sort();
            at += same.max(1);
        }
        lines
    }

    /// A reply to a request; `request` is `None` where the bytes are none.
    pub(crate) fn reply(
        &mut self,
        op: i32,
        request: Option<&Request>,
        is_shared: bool,
        frame: &[u8],
        since: Option<i64>,
    ) -> String {
        let Some((xid, zxid, error)) = header(frame) else {
            return format!("a reply of {} bytes", frame.len());
        };
        self.seen = self.seen.max(zxid);
        let mut line = format!("xid {xid} err {error}");
        match (zxid, since) {
            (..=0, _) => drop(write!(line, " zxid {zxid}")),
            (_, Some(since)) => drop(write!(line, " zxid +{}", zxid - since)),
            _ => {}
        }
        // Apache sends a body behind some errors, which no client reads.
        if error != 0 {
            return line;
        }
        let body = Bytes::copy_from_slice(&frame[16..]);
        let Ok(op) = OpCode::try_from(op) else {
            return line + &format!(" body {}", body.escape_ascii());
        };
        let mut reader = Reader::new(&body);
        match Response::decode(op, &mut reader) {
            Ok(_) if is_shared => line.push_str(" of what is shared"),
            Ok(response) => {
                line.push(' ');
                line.push_str(&self.body(request, &response));
            }
            Err(why) => drop(write!(line, " undecodable, {why}: {}", body.escape_ascii())),
        }
        let left = reader.rest();
        if !left.is_empty() {
            let _ = write!(line, " and {}", left.escape_ascii());
        }
        line
    }

    /// A notification.
    pub(crate) fn event(&mut self, frame: &[u8]) -> String {
        let zxid = header(frame).map_or(0, |(_, zxid, _)| zxid);
        let body = Bytes::copy_from_slice(frame.get(16..).unwrap_or_default());
        let mut reader = Reader::new(&body);
        let mut fields = || Some((reader.i32().ok()?, reader.i32().ok()?, reader.text().ok()?));
        let fields = fields();
        format!(" event {} {fields:?} left {}", self.zxid(zxid), reader.left())
    }

    fn body(&mut self, request: Option<&Request>, response: &Response) -> String {
        match response {
            Response::Created { path, stat } => format!("{path:?} {}", self.stat(stat)),
            Response::Stat(stat) => self.stat(stat),
            Response::Data { data, stat } => {
                format!("{} {}", bytes(data.as_ref()), self.stat(stat))
            }
            Response::Acl { acl, stat } => {
                // The ids that "auth" stands for come in the order of a hash table.
                let mut acl = acl.clone();
                acl.sort();
                format!("{acl:?} {}", self.stat(stat))
            }
            Response::Names(names) => sorted(names),
            Response::Children { names, stat } => {
                format!("{} {}", sorted(names), self.stat(stat))
            }
            Response::Who(ids) => {
                let mut ids = ids.clone();
                ids.sort();
                format!("{ids:?}")
            }
            Response::Multi(results) => self.multi(results),
            Response::Empty
            | Response::Page { .. }
            | Response::Path(_)
            | Response::Number(_)
            | Response::Token(_) => {
                let _ = request;
                format!("{response:?}")
            }
        }
    }

    fn multi(&mut self, results: &MultiResult) -> String {
        let one = |result: &OpResult| match result {
            OpResult::Created2 { path, stat } => format!("{path:?} {}", self.stat(stat)),
            OpResult::Set(stat) => self.stat(stat),
            OpResult::Data { data, stat } => {
                format!("{} {}", bytes(data.as_ref()), self.stat(stat))
            }
            OpResult::Children(names) => sorted(names),
            other => format!("{other:?}"),
        };
        results.iter().map(one).collect::<Vec<_>>().join("; ")
    }

    fn stat(&mut self, stat: &Stat) -> String {
        let time = |ms: i64| if ms == 0 { "0" } else { "t" };
        format!(
            "stat(c {} m {} p {} {}{} v {} {} {} owner {} length {} children {})",
            self.zxid(stat.czxid.bits()),
            self.zxid(stat.mzxid.bits()),
            self.zxid(stat.pzxid.bits()),
            time(stat.ctime),
            time(stat.mtime),
            stat.version,
            stat.cversion,
            stat.aversion,
            self.session(stat.ephemeral_owner.0),
            stat.data_length,
            stat.num_children,
        )
    }
}

/// xid, zxid and error of a frame.
pub(crate) fn header(frame: &[u8]) -> Option<(i32, i64, i32)> {
    let (xid, rest) = frame.split_first_chunk()?;
    let (zxid, rest) = rest.split_first_chunk()?;
    let error = rest.first_chunk()?;
    Some((i32::from_be_bytes(*xid), i64::from_be_bytes(*zxid), i32::from_be_bytes(*error)))
}

fn bytes(data: Option<&Bytes>) -> String {
    match data {
        None => "null".to_owned(),
        Some(data) if data.len() > 60 => format!("{} bytes, {:08x}", data.len(), sum(data)),
        Some(data) => format!("\"{}\"", data.escape_ascii()),
    }
}

/// Enough to tell two from each other.
fn sum(data: &[u8]) -> u32 {
    data.iter().fold(0, |sum: u32, byte| sum.rotate_left(5).wrapping_add(u32::from(*byte)))
}

fn sorted(names: &[Text]) -> String {
    let mut names: Vec<_> = names.iter().collect();
    names.sort();
    format!("{names:?}")
}

const OPEN: char = '\u{2}';
const CLOSE: char = '\u{3}';
