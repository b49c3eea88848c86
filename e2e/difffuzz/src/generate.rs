//! A program from randomness.

use jute::{CreateRequest, OpCode, Request, Text, create_flags, xid};

use crate::program::{Connect, Password, Program, ROOT, SLOTS, Send, Step};
use crate::{Rng, bodies, deviations, names};

/// Makes a program; the same randomness makes the same one.
pub fn generate(rng: &mut Rng) -> Program {
    let mut made = Making { steps: Vec::new(), open: [false; SLOTS], had: [false; SLOTS], xid: 0 };
    let with_quota = rng.once_in(6);
    made.connect(rng, 0, None, Password::Right);
    made.root(rng, with_quota);
    for _ in 0..rng.weighted(&[(2, 4), (4, 8), (4, 14), (1, 30)]) {
        made.step(rng, with_quota);
    }
    Program { steps: made.steps }
}

struct Making {
    steps: Vec<Step>,
    /// Whether the slot has a connection, as far as can be foreseen.
    open: [bool; SLOTS],
    /// Whether the slot ever had a session.
    had: [bool; SLOTS],
    xid: i32,
}

impl Making {
    fn step(&mut self, rng: &mut Rng, with_quota: bool) {
        let slot = rng.weighted(&[(6, 0), (3, 1), (1, 2)]);
        match rng.below(40) {
            0 | 1 => self.reconnect(rng, slot),
            2 => self.drop(slot),
            3 => match rng.below(3) {
                0 => self.raw(rng, slot),
                1 => self.half(rng, slot),
                _ => self.opening(rng, slot),
            },
            4 => self.alone(rng, slot, OpCode::Auth),
            5 => self.alone(rng, slot, OpCode::Ping),
            6 if rng.once_in(2) => self.alone(rng, slot, OpCode::CloseSession),
            6 => self.alone(rng, slot, OpCode::Sasl),
            7 if rng.once_in(2) => self.unknown(rng, slot),
            _ => {
                let most = if with_quota { 1 } else { 6 };
                let mut sends: Vec<_> = (0..1 + rng.below(most))
                    .filter_map(|_| {
                        let op = rng.weighted(OPS);
                        self.send(rng, op)
                    })
                    .collect();
                let changes_acl = |send: &Send| send.op == OpCode::SetAcl.code();
                if let Some(at) = sends.iter().position(changes_acl) {
                    // Of what follows at once Apache lets some pass by the list that was, by chance.
                    sends.truncate(at + 1);
                }
                self.ensure_open(rng, slot);
                if !sends.is_empty() {
                    let bytes = sends.iter().map(|send| 12 + send.body.len()).sum();
                    self.steps.push(match rng.once_in(10) {
                        true => Step::Torn(slot, sends, rng.below(bytes)),
                        false => Step::Send(slot, sends),
                    });
                }
            }
        }
    }

    /// The program's subtree, and sometimes the place of its quotas.
    fn root(&mut self, rng: &mut Rng, with_quota: bool) {
        let mut paths = vec![ROOT.to_owned()];
        if with_quota {
            let limits = format!("/zookeeper/quota{ROOT}");
            paths.push(limits.clone());
            if rng.once_in(2) {
                paths.push(format!("{limits}/a"));
            }
            if !rng.once_in(4) {
                let place = paths[1 + rng.below(paths.len() - 1)].clone();
                paths.push(format!("{place}/zookeeper_limits"));
                paths.push(format!("{place}/zookeeper_stats"));
            }
        }
        for path in paths {
            let data = match path.contains("/zookeeper_") {
                true => Some(names::quota_text(rng).into_bytes()),
                false => names::data(rng),
            };
            let create = CreateRequest {
                path: Text::from(path),
                data: data.map(bytes::Bytes::from),
                acl: names::open(),
                flags: create_flags::PERSISTENT,
            };
            let mut body = bytes::BytesMut::new();
            let request = Request::Create(create);
            request.encode(&mut body);
            self.xid += 1;
            let send = Send { xid: self.xid, op: request.op().code(), body: body.to_vec() };
            self.steps.push(Step::Send(0, vec![send]));
        }
    }

    fn send(&mut self, rng: &mut Rng, op: OpCode) -> Option<Send> {
        let request = bodies::request(rng, op);
        let xid = self.next_xid(rng);
        let send = bodies::encode(rng, xid, &request);
        deviations::why_not(&send).is_none().then_some(send)
    }

    fn next_xid(&mut self, rng: &mut Rng) -> i32 {
        self.xid += 1;
        match rng.below(30) {
            0 => rng.one(&[0, xid::PING, xid::AUTH, xid::SET_WATCHES, i32::MIN, i32::MAX, 1, -100]),
            _ => self.xid,
        }
    }

    /// What may overtake others, or ends the connection, is sent by itself.
    fn alone(&mut self, rng: &mut Rng, slot: usize, op: OpCode) {
        self.ensure_open(rng, slot);
        if let Some(send) = self.send(rng, op) {
            self.steps.push(Step::Send(slot, vec![send]));
        }
        if op == OpCode::CloseSession {
            self.open[slot] = false;
        }
    }

    fn unknown(&mut self, rng: &mut Rng, slot: usize) {
        self.ensure_open(rng, slot);
        let op = rng.one(&[0, -1, 10, 13, 23, 99, 108, 1000, -2, -12, i32::MIN, i32::MAX]);
        let body = vec![0; rng.below(20)];
        let xid = self.next_xid(rng);
        self.steps.push(Step::Send(slot, vec![Send { xid, op, body }]));
        self.open[slot] = false;
    }

    fn raw(&mut self, rng: &mut Rng, slot: usize) {
        self.ensure_open(rng, slot);
        let length: i32 = rng.one(&[-1, i32::MIN, i32::MAX, -0x7f00_0000, 0, 1, 4, 7]);
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend((0..length.clamp(0, 16)).map(|_| 0));
        self.steps.push(Step::Raw(slot, bytes));
        self.open[slot] = false;
    }

    /// A request that never comes to its end.
    fn half(&mut self, rng: &mut Rng, slot: usize) {
        self.ensure_open(rng, slot);
        let op = rng.weighted(OPS);
        if let Some(send) = self.send(rng, op) {
            let frame = [&send.xid.to_be_bytes(), &send.op.to_be_bytes(), &send.body[..]].concat();
            let length = i32::try_from(frame.len()).unwrap_or(i32::MAX);
            let mut bytes = [&length.to_be_bytes(), &frame[..]].concat();
            bytes.truncate(rng.below(bytes.len()));
            self.steps.push(Step::Half(slot, bytes));
            self.open[slot] = false;
        }
    }

    /// A first frame that is none, or an odd one.
    fn opening(&mut self, rng: &mut Rng, slot: usize) {
        self.drop(slot);
        self.steps.push(Step::Opening(slot, bodies::opening(rng)));
        // It may have a session: what comes next finds out by a new one.
        self.had[slot] = false;
    }

    fn drop(&mut self, slot: usize) {
        if self.open[slot] {
            self.steps.push(Step::Drop(slot));
            self.open[slot] = false;
        }
    }

    fn ensure_open(&mut self, rng: &mut Rng, slot: usize) {
        if !self.open[slot] {
            let back = (self.had[slot] && !rng.once_in(3)).then_some(slot);
            self.connect(rng, slot, back, Password::Right);
        }
    }

    fn reconnect(&mut self, rng: &mut Rng, slot: usize) {
        let of = rng.below(SLOTS);
        if !self.had[of] {
            return self.ensure_open(rng, slot);
        }
        let password = rng.weighted(&[
            (6, Password::Right),
            (1, Password::Wrong),
            (1, Password::Short),
            (1, Password::Null),
        ]);
        // See the runner: what has the session ends before somebody claims it wrongly.
        if password != Password::Right {
            (0..SLOTS).for_each(|slot| self.drop(slot));
        }
        self.connect(rng, slot, Some(of), password);
        if of != slot {
            self.open[of] = false;
        }
    }

    fn connect(&mut self, rng: &mut Rng, slot: usize, of: Option<usize>, password: Password) {
        let last_zxid = rng.weighted(&[(30, 0), (1, -1), (1, i64::MIN), (1, i64::MAX)]);
        let password = match (of, password) {
            (None, _) if rng.once_in(4) => {
                rng.one(&[Password::Wrong, Password::Short, Password::Null])
            }
            _ => password,
        };
        self.steps.push(Step::Connect(
            slot,
            Connect {
                session_of: of,
                password,
                timeout_ms: rng.weighted(&[(20, 60_000), (1, 0), (1, -1), (1, i32::MAX)]),
                last_zxid,
                protocol: rng.weighted(&[(20, 0), (1, 1), (1, -1)]),
                read_only: rng.weighted(&[(4, Some(false)), (1, Some(true)), (1, None)]),
            },
        ));
        self.open[slot] = last_zxid != i64::MAX && (of.is_none() || password == Password::Right);
        self.had[slot] |= self.open[slot];
    }
}

const OPS: &[(usize, OpCode)] = &[
    (16, OpCode::Create),
    (6, OpCode::Create2),
    (3, OpCode::CreateContainer),
    (4, OpCode::CreateTtl),
    (8, OpCode::Delete),
    (10, OpCode::SetData),
    (5, OpCode::SetAcl),
    (8, OpCode::Multi),
    (3, OpCode::MultiRead),
    (1, OpCode::Reconfig),
    (6, OpCode::Exists),
    (6, OpCode::GetData),
    (3, OpCode::GetAcl),
    (4, OpCode::GetChildren),
    (4, OpCode::GetChildren2),
    (2, OpCode::GetEphemerals),
    (2, OpCode::GetAllChildrenNumber),
    (1, OpCode::WhoAmI),
    (1, OpCode::Sync),
    (2, OpCode::SetWatches),
    (3, OpCode::SetWatches2),
    (6, OpCode::AddWatch),
    (3, OpCode::CheckWatches),
    (3, OpCode::RemoveWatches),
];
