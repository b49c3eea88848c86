//! What each fault does, and how it ends.

use std::time::Duration;

use types::Instant;
use zab::Input;

use super::{Event, World};
use crate::checkers::Violation;
use crate::crashes::Crash;
use crate::faults::Fault;

impl World {
    pub(super) fn begin(&mut self, fault: Fault) -> Result<(), Violation> {
        let end = fault.clone();
        match fault {
            Fault::Crash { host, part, power, down } => {
                self.stop(host);
                let how = match power {
                    None => Crash::Killed,
                    Some(0) => Crash::AllLost,
                    Some(seed) => Crash::SomeLost(seed),
                };
                let now = self.time(host).now;
                self.hosts[host].disk.crash(how, part, now);
                if power.is_some() {
                    self.hosts[host].clock.wake(self.now + down);
                }
                self.at(self.now + down, Event::Start { host });
            }
            Fault::Rot { host, seed, down } => {
                self.stop(host);
                let now = self.time(host).now;
                self.hosts[host].disk.crash(Crash::AllLost, u8::MAX, now);
                self.hosts[host].clock.wake(self.now + down);
                let me = self.hosts[host].me();
                let mut rng = fastrand::Rng::with_seed(seed);
                self.hosts[host].disk.rot(me, &mut rng)?;
                self.at(self.now + down, Event::Start { host });
            }
            Fault::Broken { host, after } => {
                self.hosts[host].disk.weather.breaks = Some(after);
                self.at(self.now + BROKEN, Event::End(end));
            }
            Fault::Pause { host, stopped } => self.pause(host, self.now + stopped),
            Fault::Suspended { host, stopped } => {
                let until = self.now + stopped;
                self.hosts[host].clock.stand_still(self.now, until);
                self.pause(host, until);
            }
            Fault::ClockSet { host, by_ms } => self.hosts[host].clock.set(by_ms),
            Fault::Cut { from, to, dark, reset } => {
                for (one, other) in pairs(self.hosts.len(), from, to) {
                    self.network.cut(one, other);
                    if reset {
                        for connection in self.network.between(one, other) {
                            self.close(connection, None);
                        }
                        self.tell_reach(one, other);
                    }
                }
                self.at(self.now + dark, Event::End(end));
            }
            Fault::Reset { host } => {
                for id in self.links.of(host) {
                    if let Some(link) = self.links.close(id) {
                        let (at, left) = (self.delay(), self.delay());
                        self.at(at, Event::Dropped { client: link.client, link: id });
                        self.at(left, Event::Left { host, link: id });
                    }
                }
                for connection in self.network.of(host) {
                    self.close(connection, None);
                }
            }
            Fault::Full { host, full } => {
                self.hosts[host].disk.weather.full = Some(self.rng.fork());
                self.at(self.now + full, Event::End(end));
            }
            Fault::Slow { host, by, slow } => {
                self.hosts[host].slow_by = by;
                self.at(self.now + slow, Event::End(end));
            }
            Fault::Stop { host, down } => {
                if let Some(running) = &mut self.hosts[host].running {
                    running.stopping = true;
                }
                self.step(host, Input::HandOver)?;
                self.at(self.now + HAND_OVER, Event::End(end));
                self.at(self.now + HAND_OVER + down, Event::Start { host });
            }
        }
        Ok(())
    }

    pub(super) fn end(&mut self, fault: Fault) -> Result<(), Violation> {
        match fault {
            Fault::Cut { from, to, .. } => {
                for (one, other) in pairs(self.hosts.len(), from, to) {
                    self.network.heal(one, other);
                    self.tell_reach(one, other);
                }
            }
            Fault::Full { host, .. } => self.hosts[host].disk.weather.full = None,
            Fault::Broken { host, .. } => self.hosts[host].disk.weather.breaks = None,
            Fault::Slow { host, .. } => self.hosts[host].slow_by = Duration::ZERO,
            Fault::Stop { host, .. } if self.is_stopping(host) => {
                let now = self.time(host).now;
                self.hosts[host].disk.shut(now)?;
                self.stop(host);
            }
            _ => {}
        }
        Ok(())
    }

    fn pause(&mut self, host: usize, until: Instant) {
        let paused_until = &mut self.hosts[host].paused_until;
        *paused_until = until.max(*paused_until);
    }

    pub(super) fn is_stopping(&self, host: usize) -> bool {
        self.hosts[host].running.as_ref().is_some_and(|running| running.stopping)
    }
}

fn pairs(hosts: usize, from: u32, to: u32) -> Vec<(usize, usize)> {
    let of = |set: u32| (0..hosts).filter(move |host| set >> host & 1 == 1);
    of(from).flat_map(|one| of(to).map(move |other| (one, other))).filter(|(a, b)| a != b).collect()
}

/// How long an orderly stop may take.
const HAND_OVER: Duration = Duration::from_millis(500);
/// How long a disk may fail once.
const BROKEN: Duration = Duration::from_secs(5);
