//! Clients and their connections to members.

use std::time::Duration;

use jute::Request;
use zab::Input;

use super::{Event, World};
use crate::checkers::Violation;
use crate::network::Packet;
use crate::server::{Answer, Call, Errand, Say};

impl World {
    /// Does what a member says.
    pub(super) fn carry(&mut self, host: usize, say: Vec<Say>) -> Result<(), Violation> {
        for say in say {
            match say {
                Say::Client { link, answer } => {
                    if let Answer::Connected(_) = answer
                        && self.hosts[host].running.as_ref().is_some_and(|one| one.fed)
                    {
                        self.fed_sessions += 1;
                    }
                    self.tell_client(link, Some(answer));
                }
                Say::Close { link } => self.tell_client(link, None),
                Say::Leader(errand) => {
                    let up = self.hosts[host].running.as_ref().and_then(|running| running.up);
                    if let Some((_, connection)) = up {
                        self.push(host, connection, Packet::Errand(errand));
                    }
                }
                Say::Learner { connection, errand } => {
                    self.push(host, connection, Packet::Errand(errand));
                }
                Say::Propose(txn) => self.step(host, Input::Propose(txn))?,
            }
        }
        Ok(())
    }

    pub(super) fn tell_client(&mut self, link: u64, answer: Option<Answer>) {
        let at = self.delay();
        if let Some(at) = self.links.answer(link, answer, at) {
            self.at(at, Event::Answer { link });
        }
    }

    fn call(&mut self, link: u64, call: Call) {
        let at = self.delay();
        if let Some(at) = self.links.call(link, call, at) {
            self.at(at, Event::Call { link });
        }
    }

    /// What a learner and its leader say beside the protocol.
    pub(super) fn on_errand(
        &mut self,
        host: usize,
        connection: u64,
        to_leader: bool,
        errand: Errand,
    ) -> Result<(), Violation> {
        let time = self.time(host);
        let mut say = Vec::new();
        let Some(running) = &mut self.hosts[host].running else { return Ok(()) };
        if to_leader {
            running.on_errand_up(time, connection, errand, &mut say);
        } else if running.serves {
            running.on_errand_down(errand, &mut say);
        }
        self.carry(host, say)
    }

    /// Sessions whose time is up.
    pub(super) fn expire(&mut self, host: usize) -> Result<(), Violation> {
        loop {
            let mut say = Vec::new();
            let time = self.time(host);
            let Some(running) = &mut self.hosts[host].running else { return Ok(()) };
            if !running.expire(time, &mut say) {
                return Ok(());
            }
            self.carry(host, say)?;
        }
    }

    /// A member drops its clients: in order, or all at once when it dies.
    pub(super) fn drop_clients(&mut self, host: usize) {
        for id in self.links.of(host) {
            if let Some(link) = self.links.close(id) {
                let at = self.delay();
                self.at(at, Event::Dropped { client: link.client, link: id });
            }
        }
    }

    /// Something that a client said arrives.
    pub(super) fn on_call(&mut self, link: u64) -> Result<(), Violation> {
        let Some(ends) = self.links.get(link) else { return Ok(()) };
        let (host, run, client) = (ends.host, ends.run, ends.client);
        let paused = self.hosts[host].paused_until;
        if paused > self.now {
            self.at(paused, Event::Call { link });
            return Ok(());
        }
        let Some(call) = self.links.next_call(link) else { return Ok(()) };
        let time = self.time(host);
        if !self.lives(host, run) {
            self.links.close(link);
            let at = self.delay();
            self.at(at, Event::Dropped { client, link });
            return Ok(());
        }
        let mut say = Vec::new();
        if let Some(running) = &mut self.hosts[host].running {
            running.on_call(time, link, call, &mut say);
        }
        self.carry(host, say)
    }

    /// A member learns that a client's connection is gone.
    pub(super) fn on_left(&mut self, host: usize, link: u64) {
        if let Some(running) = &mut self.hosts[host].running {
            running.on_gone(link);
        }
    }

    /// Something that a member said arrives.
    pub(super) fn on_answer(&mut self, link: u64) -> Result<(), Violation> {
        let Some(client) = self.links.get(link).map(|link| link.client) else { return Ok(()) };
        let Some(answer) = self.links.next_answer(link) else { return Ok(()) };
        if self.clients[client].link != Some(link) {
            return Ok(());
        }
        let now = self.now;
        let one = &mut self.clients[client];
        one.heard = now;
        match answer {
            None => self.leave(client)?,
            Some(Answer::Pong) => {}
            Some(Answer::Expired) => {
                one.on_expired();
                self.leave(client)?;
            }
            Some(Answer::Connected(session)) => {
                one.session = session;
                one.connected = Some(now);
                if let Some(wanted) = one.watching.again(one.seen) {
                    self.ask(client, Request::SetWatches2(wanted));
                }
            }
            Some(Answer::Event { kind, path, zxid }) => {
                let path = path.to_string();
                one.watching.on_event(crate::watching::Event { kind, path, zxid });
            }
            Some(Answer::Reply { xid, zxid, result }) => {
                let closing = one.is_closing();
                one.on_reply(&self.history, xid, zxid, &result)?;
                self.acked = self.acked.max(zxid);
                if closing && result.is_ok() {
                    self.clients[client].on_expired();
                    self.leave(client)?;
                }
            }
        }
        Ok(())
    }

    /// A client learns that its connection is gone.
    pub(super) fn on_dropped(&mut self, client: usize, link: u64) -> Result<(), Violation> {
        if self.clients[client].link == Some(link) {
            self.clients[client].on_gone(&self.history)?;
        }
        Ok(())
    }

    /// A client closes its connection.
    fn leave(&mut self, client: usize) -> Result<(), Violation> {
        if let Some(link) = self.clients[client].link
            && let Some(ends) = self.links.close(link)
        {
            let at = self.delay();
            self.at(at, Event::Left { host: ends.host, link });
        }
        self.clients[client].on_gone(&self.history)
    }

    fn ask(&mut self, client: usize, request: Request) {
        let one = &mut self.clients[client];
        let Some(link) = one.link else { return };
        let (xid, request) = one.ask(request, self.acked);
        self.call(link, Call::Request { xid, request });
    }

    /// A client does something.
    pub(super) fn on_client(&mut self, client: usize) -> Result<(), Violation> {
        let (calm, quiet) = (self.now > self.calm_from, self.now > self.quiet_from);
        // At the end every other one goes without a word.
        if calm && client % 2 == 1 {
            return self.leave(client);
        }
        let (every, timeout) = (self.clients[client].every, self.clients[client].timeout);
        let mut at = self.soon(1, every);
        let one = &self.clients[client];
        let silent = self.now.saturating_since(one.heard);
        match (one.link, one.connected) {
            (None, _) if !calm && self.rng.u8(..) == 0 => at = self.soon(1, 20_000),
            (None, _) => self.connect(client),
            (Some(_), None) if silent > CONNECTING => self.leave(client)?,
            (Some(_), None) => {}
            (Some(_), Some(_)) if silent > timeout.mul_f64(2.0 / 3.0) => self.leave(client)?,
            (Some(link), Some(_)) => {
                let waits = one.in_flight.len();
                match self.rng.u16(0..512) {
                    0..3 if !calm => self.leave(client)?,
                    3 if !calm && waits == 0 => self.ask(client, Request::CloseSession),
                    _ if waits >= MOST || one.is_closing() || quiet => self.call(link, Call::Ping),
                    _ => {
                        self.writes += 1;
                        let wanted = self.clients[client].draw(&mut self.rng, self.writes);
                        for request in wanted {
                            self.ask(client, request);
                        }
                    }
                }
            }
        }
        self.at(at, Event::Client { client });
        Ok(())
    }

    fn connect(&mut self, client: usize) {
        let host = self.rng.usize(0..self.hosts.len());
        let link = self.links.open(client, host, self.hosts[host].run);
        let now = self.now;
        let one = &mut self.clients[client];
        one.link = Some(link);
        one.heard = now;
        let timeout_ms = i32::try_from(one.timeout.as_millis()).unwrap_or(i32::MAX);
        let (session, seen) = (one.session, one.seen);
        self.call(link, Call::Connect { session, timeout_ms, seen });
    }

    /// Sessions that ended: while all is calm, none whose client speaks.
    pub(super) fn check_ended(&mut self) -> Result<(), Violation> {
        for (session, by_clock) in self.history.take_ended() {
            let speaks = |client: &&crate::client::Client| {
                client.session == session
                    && client
                        .connected
                        .is_some_and(|since| self.now.saturating_since(since) > SETTLED)
            };
            if by_clock
                && self.now > self.calm_from
                && let Some(client) = self.clients.iter().find(speaks)
            {
                let since = self.now.saturating_since(client.heard).as_millis();
                return Err(Violation(format!(
                    "{session} is ended, and its client, which heard of its member {since} ms ago, speaks"
                )));
            }
        }
        Ok(())
    }

    /// Only sessions of clients that are there live.
    pub(super) fn check_sessions(&self) -> Result<(), Violation> {
        for session in self.history.sessions() {
            if !self.clients.iter().any(|client| client.link.is_some() && client.session == session)
            {
                return Err(Violation(format!(
                    "{session} lives, and its client has gone for long"
                )));
            }
        }
        Ok(())
    }
}

/// How long a client waits for a session.
const CONNECTING: Duration = Duration::from_secs(3);
/// A client that is connected for so long is known to its leader.
const SETTLED: Duration = Duration::from_secs(1);
/// Requests of a client that wait.
const MOST: usize = 8;
