//! The connections between clients and members.

use std::collections::BTreeMap;

use types::Instant;

use crate::network::Lane;
use crate::server::{Answer, Call};

/// A client's connection to a host; both are indices.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) client: usize,
    pub(crate) host: usize,
    /// Which run of the host.
    pub(crate) run: u64,
    calls: Lane<Call>,
    answers: Lane<Option<Answer>>,
}

/// All of them by number, which is given once.
#[derive(Debug, Default)]
pub(crate) struct Links {
    links: BTreeMap<u64, Link>,
    made: u64,
}

impl Links {
    pub(crate) fn open(&mut self, client: usize, host: usize, run: u64) -> u64 {
        self.made += 1;
        let (calls, answers) = (Lane::default(), Lane::default());
        self.links.insert(self.made, Link { client, host, run, calls, answers });
        self.made
    }

    pub(crate) fn get(&self, id: u64) -> Option<&Link> {
        self.links.get(&id)
    }

    /// Puts something on its way to the host; returns when it arrives.
    pub(crate) fn call(&mut self, id: u64, call: Call, at: Instant) -> Option<Instant> {
        Some(self.links.get_mut(&id)?.calls.push(call, at))
    }

    pub(crate) fn next_call(&mut self, id: u64) -> Option<Call> {
        self.links.get_mut(&id)?.calls.pop()
    }

    /// Puts something on its way to the client; nothing is the end, behind all that was said.
    pub(crate) fn answer(
        &mut self,
        id: u64,
        answer: Option<Answer>,
        at: Instant,
    ) -> Option<Instant> {
        Some(self.links.get_mut(&id)?.answers.push(answer, at))
    }

    pub(crate) fn next_answer(&mut self, id: u64) -> Option<Option<Answer>> {
        self.links.get_mut(&id)?.answers.pop()
    }

    /// Breaks one: what is on its way is lost.
    pub(crate) fn close(&mut self, id: u64) -> Option<Link> {
        self.links.remove(&id)
    }

    /// Those of a host.
    pub(crate) fn of(&self, host: usize) -> Vec<u64> {
        self.links.iter().filter(|(_, link)| link.host == host).map(|(id, _)| *id).collect()
    }
}
