//! One service against a small pool that does what a master and agents do, in random orders.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use types::{Instant, Resources, Role};

use crate::*;

/// A master and its agents, as far as one framework sees them.
struct Pool {
    service: Service,
    now: Instant,
    agents: Vec<(String, Resources)>,
    /// What runs: agent, state told last, resources.
    tasks: BTreeMap<TaskId, (usize, TaskState, Resources)>,
    records: BTreeMap<TaskId, TaskRecord>,
    doomed: BTreeSet<TaskId>,
    wants_offers: bool,
    offers: u64,
    most: usize,
    acknowledged: usize,
}

fn spec(instances: u32, line: &str) -> ServiceSpec {
    ServiceSpec { instances, ..ServiceSpec::new("web", TaskSpec::shell(line)) }
}

impl Pool {
    fn new(spec: ServiceSpec) -> Self {
        let agent = |n: u32| (format!("a{n}"), Resources::parse("cpus:1;mem:320;ports:[1-9]"));
        let agents = (0..3).map(agent).map(|(id, has)| (id, has.expect("resources"))).collect();
        let most = (spec.instances + spec.rolling.max_surge) as usize;
        let mut pool = Self {
            service: Service::new(spec, Vec::new(), 1),
            now: Instant::ZERO,
            agents,
            tasks: BTreeMap::new(),
            records: BTreeMap::new(),
            doomed: BTreeSet::new(),
            wants_offers: true,
            offers: 0,
            most,
            acknowledged: 0,
        };
        pool.step(Input::Subscribed);
        pool
    }

    fn step(&mut self, input: Input) {
        for output in self.service.step(self.now, input) {
            match output {
                Output::Store(record) => drop(self.records.insert(record.id.clone(), record)),
                Output::Forget(id) => drop(self.records.remove(&id).expect("was stored")),
                Output::Accept { launches, .. } => {
                    for launch in launches {
                        let id = launch.record.id.clone();
                        assert!(self.records.contains_key(&id), "stored before it is launched");
                        let at = self.agents.iter().position(|(id, _)| *id == launch.record.agent);
                        let at = at.expect("an agent of ours");
                        self.agents[at].1.subtract(&launch.resources).expect("was offered");
                        let task = (at, TaskState::Starting, launch.resources);
                        assert!(self.tasks.insert(id, task).is_none(), "no id twice");
                    }
                    assert!(self.tasks.len() <= self.most, "{} live", self.tasks.len());
                }
                Output::Kill { task, .. } => drop(self.doomed.insert(task)),
                Output::Revive => self.wants_offers = true,
                Output::Suppress => self.wants_offers = false,
                Output::Acknowledge { .. } => self.acknowledged += 1,
                Output::Decline { .. }
                | Output::Reconcile(_)
                | Output::WakeAt(_)
                | Output::Status(_) => {}
            }
        }
    }

    fn declare(&mut self, spec: ServiceSpec) {
        self.most = self.tasks.len().max((spec.instances + spec.rolling.max_surge) as usize);
        self.step(Input::Spec(Box::new(spec)));
    }

    fn offer(&mut self) {
        if !self.wants_offers {
            return;
        }
        let agents = self.agents.clone();
        let offers = agents.into_iter().filter(|(_, free)| !free.is_empty()).map(|(id, free)| {
            self.offers += 1;
            Offer {
                id: self.offers.to_string(),
                hostname: format!("host-{id}"),
                agent: id,
                resources: free,
                role: Role::star(),
                attributes: BTreeMap::new(),
            }
        });
        let offers = offers.collect();
        self.step(Input::Offers(offers));
    }

    fn tell(&mut self, id: &TaskId, state: TaskState, reason: Option<&str>) {
        let Some((at, held_state, resources)) = self.tasks.get_mut(id) else { return };
        let agent = self.agents[*at].0.clone();
        *held_state = state;
        if !matches!(state, TaskState::Starting | TaskState::Running | TaskState::Unreachable) {
            let back = resources.clone();
            let at = *at;
            self.agents[at].1.add(&back);
            self.tasks.remove(id);
            self.doomed.remove(id);
        }
        let before = self.acknowledged;
        self.step(Input::Update(Update {
            task: id.clone(),
            agent: Some(agent),
            state,
            healthy: None,
            reason: reason.map(Into::into),
            message: Some("Command exited with status 3".into()),
            limitation: Limitation::default(),
            timestamp: Some(1.0),
            uuid: Some(vec![0; 16]),
        }));
        assert_eq!(self.acknowledged, before + 1, "each update is acknowledged once");
    }

    /// Lets everything go well until nothing more happens.
    fn settle(&mut self) {
        for _ in 0..200 {
            for id in self.doomed.clone() {
                self.tell(&id, TaskState::Killed, None);
            }
            for id in self.tasks.keys().cloned().collect::<Vec<_>>() {
                self.tell(&id, TaskState::Running, None);
            }
            self.offer();
            self.now = self.now + Duration::from_secs(2);
            self.step(Input::Tick);
        }
    }

    fn status(&self) -> &ServiceStatus {
        self.service.status().expect("told at the first step")
    }

    fn indexes(&self) -> Vec<u32> {
        let mut all: Vec<u32> = self.status().tasks.values().map(|task| task.index).collect();
        all.sort_unstable();
        all
    }
}

#[test]
fn scales_up_and_down_with_the_newest_first() {
    let mut pool = Pool::new(spec(3, "run"));
    pool.offer();
    assert_eq!(pool.status().staging, 3);
    let agents: BTreeSet<_> = pool.status().tasks.values().map(|t| t.agent.clone()).collect();
    assert_eq!(agents.len(), 3, "spread over the agents");
    pool.settle();
    assert!(pool.status().converged());
    assert!(!pool.wants_offers, "nothing wanted: no offers");
    pool.declare(spec(5, "run"));
    assert!(pool.wants_offers, "asked for at once");
    pool.settle();
    assert_eq!(pool.indexes(), [0, 1, 2, 3, 4]);
    let kept: BTreeSet<TaskId> = pool.tasks.keys().cloned().collect();
    pool.declare(spec(1, "run"));
    assert_eq!(pool.doomed.len(), 4);
    assert_eq!(pool.status().tasks.len(), 5, "known until they have ended");
    pool.settle();
    assert_eq!(pool.indexes(), [0]);
    assert!(pool.tasks.keys().all(|id| kept.contains(id)), "instance 0 was left alone");
    assert_eq!(pool.records.len(), 1);
}

#[test]
fn a_failure_is_told_in_words_and_waits() {
    let mut pool = Pool::new(spec(1, "run"));
    pool.offer();
    let first = pool.tasks.keys().next().expect("launched").clone();
    pool.tell(&first, TaskState::Running, None);
    pool.tell(&first, TaskState::Failed, Some("REASON_CONTAINER_LIMITATION_MEMORY"));
    let failure = pool.status().last_failure.clone().expect("failed");
    assert_eq!(failure.message, "killed at 32Mi by the memory limit (instance web-0)");
    assert_eq!(
        pool.status().waiting.as_deref(),
        Some("instance 0 starts again 1s after its failure (number 1)")
    );
    pool.offer();
    assert!(pool.tasks.is_empty(), "not before its time");
    pool.now = pool.now + Duration::from_secs(1);
    pool.step(Input::Tick);
    pool.offer();
    let second = pool.tasks.keys().next().expect("started again").clone();
    assert_ne!(first, second);
    pool.tell(&second, TaskState::Failed, None);
    let failure = pool.status().last_failure.clone().expect("failed");
    assert_eq!(failure.message, "Command exited with status 3 (instance web-0)");
    assert_eq!(pool.status().failed, 2);
}

#[test]
fn what_has_no_place_is_told_with_figures() {
    let mut big = spec(2, "run");
    big.task.cpus = types::resources::Scalar::from_milli(1500);
    let mut pool = Pool::new(big);
    pool.offer();
    assert_eq!(
        pool.status().waiting.as_deref(),
        Some("2 instances wait for a place: cpus: 1.5 wanted, 1 offered (3 offers)")
    );
    let mut unique = spec(4, "run");
    unique.constraints =
        vec![Constraint { attribute: "hostname".into(), operator: Operator::Unique }];
    pool.declare(unique);
    pool.offer();
    assert_eq!(
        pool.status().waiting.as_deref(),
        Some("1 instance waits for a place: the constraint on hostname (3 offers)")
    );
}

#[test]
fn a_refused_declaration_leaves_what_runs() {
    let mut pool = Pool::new(spec(2, "run"));
    pool.settle();
    let mut unwell = spec(0, "other");
    unwell.health_check = Some(HealthCheck::Tcp { port: None });
    pool.step(Input::Spec(Box::new(unwell)));
    assert!(pool.status().refused.as_deref().expect("refused").contains("leave healthCheck out"));
    assert!(pool.doomed.is_empty());
    pool.declare(spec(2, "run"));
    assert!(pool.status().converged());
}

#[test]
fn a_new_leader_keeps_the_tasks_and_ends_what_has_no_record() {
    let mut pool = Pool::new(spec(2, "run"));
    pool.settle();
    let stored: Vec<TaskRecord> = pool.records.values().cloned().collect();
    pool.service = Service::new(spec(2, "run"), stored, 1 << 20);
    pool.wants_offers = true;
    let before: Vec<TaskId> = pool.tasks.keys().cloned().collect();
    pool.step(Input::Subscribed);
    pool.offer();
    assert!(!pool.wants_offers);
    pool.tasks.insert(TaskId("web-9.1".into()), (0, TaskState::Running, Resources::new()));
    pool.tell(&TaskId("web-9.1".into()), TaskState::Running, None);
    assert!(pool.doomed.contains(&TaskId("web-9.1".into())));
    pool.settle();
    assert_eq!(pool.tasks.keys().cloned().collect::<Vec<_>>(), before);
    assert!(pool.status().converged());
}

#[test]
fn a_rolling_update_keeps_its_bounds() {
    for (unavailable, surge) in [(1, 0), (0, 1), (2, 1), (0, 0)] {
        let mut first = spec(4, "one");
        first.rolling.max_unavailable = unavailable;
        first.rolling.max_surge = surge;
        let mut pool = Pool::new(first.clone());
        pool.settle();
        pool.declare(ServiceSpec { task: TaskSpec::shell("two"), ..first });
        let least = 4 - if surge == 0 { unavailable.max(1) } else { unavailable } as usize;
        for _ in 0..100 {
            for id in pool.doomed.clone() {
                pool.tell(&id, TaskState::Killed, None);
            }
            pool.offer();
            let well = pool.tasks.iter().filter(|(id, (_, state, _))| {
                *state == TaskState::Running && !pool.doomed.contains(id)
            });
            assert!(well.count() >= least, "at least {least} run ({unavailable}/{surge})");
            let starting = pool.tasks.iter().find(|(_, (_, s, _))| *s == TaskState::Starting);
            let Some(id) = starting.map(|(id, _)| id.clone()) else { continue };
            pool.tell(&id, TaskState::Running, None);
        }
        assert!(pool.status().converged(), "{:?}", pool.status());
    }
}

#[derive(Clone, Debug)]
enum Chance {
    Declare(u32, u8, u32, u32),
    Offer,
    Run(usize),
    Fail(usize),
    Finish(usize),
    Lose(usize),
    Kill,
    Pass(u64),
    Resubscribe,
}

fn chances() -> impl Strategy<Value = Vec<Chance>> {
    let chance = prop_oneof![
        2 => (0..7u32, 0..3u8, 0..3u32, 0..3u32).prop_map(|(n, l, u, s)| Chance::Declare(n, l, u, s)),
        5 => Just(Chance::Offer),
        5 => any::<usize>().prop_map(Chance::Run),
        2 => any::<usize>().prop_map(Chance::Fail),
        1 => any::<usize>().prop_map(Chance::Finish),
        1 => any::<usize>().prop_map(Chance::Lose),
        3 => Just(Chance::Kill),
        3 => (0..90u64).prop_map(Chance::Pass),
        1 => Just(Chance::Resubscribe),
    ];
    prop::collection::vec(chance, 0..80)
}

proptest! {
    #[test]
    fn whatever_happens_it_converges_and_never_exceeds_its_bound(chances in chances()) {
        let mut pool = Pool::new(spec(3, "line 0"));
        let mut last = spec(3, "line 0");
        for chance in chances {
            let nth = |pool: &Pool, n: usize| {
                pool.tasks.keys().nth(n.checked_rem(pool.tasks.len()).unwrap_or(0)).cloned()
            };
            match chance {
                Chance::Declare(instances, line, unavailable, surge) => {
                    last = spec(instances, &format!("line {line}"));
                    last.rolling.max_unavailable = unavailable;
                    last.rolling.max_surge = surge;
                    pool.declare(last.clone());
                }
                Chance::Offer => pool.offer(),
                Chance::Run(n) => if let Some(id) = nth(&pool, n) { pool.tell(&id, TaskState::Running, None) },
                Chance::Fail(n) => if let Some(id) = nth(&pool, n) { pool.tell(&id, TaskState::Failed, None) },
                Chance::Finish(n) => if let Some(id) = nth(&pool, n) { pool.tell(&id, TaskState::Finished, None) },
                Chance::Lose(n) => if let Some(id) = nth(&pool, n) { pool.tell(&id, TaskState::Gone, None) },
                Chance::Kill => if let Some(id) = pool.doomed.first().cloned() { pool.tell(&id, TaskState::Killed, None) },
                Chance::Pass(seconds) => {
                    pool.now = pool.now + Duration::from_secs(seconds);
                    pool.step(Input::Tick);
                }
                Chance::Resubscribe => {
                    pool.step(Input::Disconnected);
                    pool.wants_offers = true;
                    pool.step(Input::Subscribed);
                }
            }
        }
        pool.settle();
        prop_assert!(pool.status().converged(), "{:?}", pool.status());
        prop_assert_eq!(pool.indexes(), (0..last.instances).collect::<Vec<_>>());
        prop_assert_eq!(pool.tasks.len(), pool.records.len());
    }
}
