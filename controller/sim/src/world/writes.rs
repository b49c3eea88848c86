//! Writes of no session, at whoever takes proposals.

use bytes::Bytes;
use jute::{Acl, CreateRequest, MultiOp, Request, create_flags};
use zab::Input;

use super::{Event, World};
use crate::checkers::Violation;

impl World {
    /// Some writes at a time.
    pub(super) fn on_writes(&mut self) -> Result<(), Violation> {
        if self.now > self.quiet_from {
            return Ok(());
        }
        for host in 0..self.hosts.len() {
            let busy = self.rng.u8(1..5);
            for _ in 0..busy {
                if self.hosts[host].paused_until > self.now {
                    break;
                }
                self.writes += 1;
                let request = draw(&mut self.rng, self.writes);
                let time = self.time(host);
                let Some(running) = &mut self.hosts[host].running else { break };
                let Some(txn) = running.prepare(time, &request) else { break };
                self.step(host, Input::Propose(txn))?;
            }
        }
        let at = self.soon(1, self.writes_every);
        self.at(at, Event::Writes);
        Ok(())
    }
}

/// A write of few znodes, so that many meet: some are refused, for what others did before them.
fn draw(rng: &mut fastrand::Rng, count: u64) -> Request {
    let data = Some(Bytes::copy_from_slice(&count.to_be_bytes()));
    let path = PATHS[rng.usize(0..PATHS.len())];
    let version = [-1, -1, -1, 0, 1, 2][rng.usize(0..6)];
    match rng.u8(0..16) {
        0..8 => Request::SetData { path: path.into(), data, version },
        8..12 => Request::Create(create(path, data, create_flags::PERSISTENT)),
        12..14 => Request::Delete { path: path.into(), version },
        14 => Request::Create2(create("/a", data, create_flags::PERSISTENT_SEQUENTIAL)),
        _ => {
            let other = PATHS[rng.usize(0..PATHS.len())];
            Request::Multi(vec![
                MultiOp::Create(create(path, data.clone(), create_flags::PERSISTENT)),
                MultiOp::SetData { path: path.into(), data, version: 0 },
                MultiOp::Delete { path: other.into(), version },
            ])
        }
    }
}

fn create(path: &str, data: Option<Bytes>, flags: i32) -> CreateRequest {
    CreateRequest { path: path.into(), data, acl: [Acl::OPEN].into(), flags }
}

const PATHS: [&str; 6] = ["/a", "/b", "/a/x", "/a/y", "/b/x", "/c"];
