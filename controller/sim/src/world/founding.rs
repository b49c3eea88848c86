//! A world before its first event: hosts with empty disks, clients, and all faults that are to come.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use jute::{Members, ServerRole};
use types::{Instant, PeerId, Zxid};
use zab::{Settings, Timing, Voters};

use super::recovery::RECOVERY;
use super::{Event, World, peer};
use crate::agenda::Agenda;
use crate::checkers::Checkers;
use crate::client::Client;
use crate::clock::Clock;
use crate::crashes;
use crate::defect::Planted;
use crate::disk::Disk;
use crate::faults::Schedule;
use crate::history::History;
use crate::host::Host;
use crate::links::Links;
use crate::network::Network;
use crate::roster::{Roster, server};
use crate::shape::Shape;
use crate::tree::Known;

impl World {
    pub(super) fn new(shape: &Shape, schedule: &Schedule) -> Self {
        let ids = 1..=i64::try_from(shape.voters).unwrap_or(1);
        let voters = Voters::majority(ids.map(PeerId));
        let dir = crashes::scratch();
        let known = Rc::<Known>::default();
        let roles =
            [(ServerRole::Participant, shape.voters), (ServerRole::Observer, shape.observers)];
        let roles = roles.into_iter().flat_map(|(role, count)| std::iter::repeat_n(role, count));
        let servers =
            roles.enumerate().map(|(index, role)| (peer(index), server(peer(index), role, false)));
        let first = Arc::new(Members { servers: servers.collect(), ..Members::default() });
        let mut chance = fastrand::Rng::with_seed(shape.seed ^ CHANCE);
        let mut clocks = chance.fork();
        let hosts = (0..shape.voters + shape.observers + shape.spares).map(|index| {
            let settings = Settings {
                me: peer(index),
                voters: voters.clone(),
                observer: (shape.voters..shape.voters + shape.observers).contains(&index),
                timing: Timing::default(),
                counters: shape.counters.unwrap_or(Settings::ALL_COUNTERS),
            };
            let planted = Planted::of(shape);
            let mut disk = Disk::new(dir.path().join(index.to_string()), Rc::clone(&known));
            disk.planted = planted;
            Host {
                #[cfg(feature = "mutants")]
                mutation: shape.mutation,
                planted,
                clock: shape.clocks.map_or(Clock::right(), |ppm| Clock::drawn(&mut clocks, ppm)),
                roster: shape.changes_every.map(|_| Roster::new(Arc::clone(&first))),
                ..Host::new(settings, disk)
            }
        });
        let mut world = Self {
            now: Instant::ZERO,
            agenda: Agenda::default(),
            rng: fastrand::Rng::with_seed(shape.seed ^ 0x5eed),
            chance,
            hosts: hosts.collect(),
            voters: shape.voters,
            network: Network::default(),
            checkers: Checkers::default(),
            history: History::new(),
            proposed: BTreeMap::new(),
            clients: Vec::new(),
            links: Links::default(),
            acked: Zxid::ZERO,
            calm_from: Instant::ZERO + shape.length + RECOVERY.mul_f64(0.6),
            quiet_from: Instant::ZERO + shape.length + RECOVERY,
            writes: 0,
            writes_every: 0,
            steps: 0,
            snapshot_every: 0,
            changes_every: shape.changes_every,
            voting: 4,
            feeding: shape.feeding,
            fed: 0,
            fed_sessions: 0,
            in_force: BTreeMap::new(),
            damaged: 0,
            mended: 0,
            _dir: dir,
            trace: None,
        };
        world.snapshot_every = [40, 200, 1_000, u32::MAX][world.rng.usize(0..4)];
        world.writes_every = [100, 600, 2_000, 8_000][world.rng.usize(0..4)];
        for host in 0..world.hosts.len() {
            let at = world.soon(0, 300);
            world.at(at, Event::Start { host });
        }
        for (at, fault) in schedule {
            world.at(*at, Event::Begin(fault.clone()));
        }
        world.at(Instant::ZERO, Event::Writes);
        if shape.changes_every.is_some() {
            world.voting = [1, 2, 4][world.rng.usize(0..3)];
            world.at(Instant::ZERO, Event::Change);
        }
        for client in 0..shape.clients {
            let one = Client::drawn(&mut world.rng);
            world.clients.push(one);
            let at = world.soon(0, 2_000);
            world.at(at, Event::Client { client });
        }
        world
    }
}

/// Ids of sessions and what clocks show are drawn of other numbers than all else.
const CHANCE: u64 = 0x1d5;
