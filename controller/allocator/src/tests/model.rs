//! Random histories, checked after every step by sums over all that was handed out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use types::resources::Scalar;
use types::{Instant, Resources, Role};

use crate::*;

#[derive(Clone, Debug)]
enum Step {
    Agent(u8, u16, u16),
    AgentGone(u8),
    AgentActive(u8, bool),
    Framework(u8, u8),
    FrameworkGone(u8),
    Suppress(u8),
    Revive(u8),
    Limit(u8, u16),
    Guarantee(u8, u16),
    Weight(u8, u8),
    GiveBack(u8),
    Decline(u8, u8),
    Round(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..6u8, 1..40u16, 1..400u16).prop_map(|(a, c, m)| Step::Agent(a, c, m)),
        1 => (0..6u8).prop_map(Step::AgentGone),
        1 => (0..6u8, any::<bool>()).prop_map(|(a, on)| Step::AgentActive(a, on)),
        4 => (0..6u8, 0..4u8).prop_map(|(f, r)| Step::Framework(f, r)),
        1 => (0..6u8).prop_map(Step::FrameworkGone),
        1 => (0..6u8).prop_map(Step::Suppress),
        1 => (0..6u8).prop_map(Step::Revive),
        2 => (0..4u8, 0..60u16).prop_map(|(r, c)| Step::Limit(r, c)),
        1 => (0..4u8, 0..60u16).prop_map(|(r, c)| Step::Guarantee(r, c)),
        1 => (0..4u8, 1..5u8).prop_map(|(r, w)| Step::Weight(r, w)),
        3 => any::<u8>().prop_map(Step::GiveBack),
        3 => (any::<u8>(), 0..9u8).prop_map(|(o, s)| Step::Decline(o, s)),
        6 => any::<u64>().prop_map(Step::Round),
    ];
    prop::collection::vec(step, 1..60)
}

const ROLES: [&str; 4] = ["ads", "eng", "eng/dev", "*"];

fn role(at: u8) -> Role {
    Role::parse(ROLES[usize::from(at) % 4]).expect("a role")
}

/// What a plain reader of the offers knows.
#[derive(Default)]
struct Model {
    agents: BTreeMap<AgentId, Resources>,
    inactive: BTreeSet<AgentId>,
    frameworks: BTreeMap<FrameworkId, Role>,
    quiet: BTreeSet<FrameworkId>,
    held: Vec<OfferedResources>,
    limits: BTreeMap<Role, Scalar>,
}

impl Model {
    fn used(&self, role: &Role) -> Scalar {
        let in_role = |o: &&OfferedResources| o.role == *role || o.role.is_below(role);
        self.held
            .iter()
            .filter(in_role)
            .fold(Scalar::ZERO, |sum, o| sum.saturating_add(o.resources.scalar("cpus")))
    }

    fn take(&mut self, round: &Round) {
        let before: BTreeMap<Role, Scalar> =
            self.limits.keys().map(|role| (role.clone(), self.used(role))).collect();
        for offer in &round.offers {
            assert_eq!(self.frameworks.get(&offer.framework), Some(&offer.role), "subscribed");
            assert!(!self.quiet.contains(&offer.framework), "offered to one that is suppressed");
            assert!(!self.inactive.contains(&offer.agent), "offered of an inactive agent");
            assert!(!offer.resources.is_empty());
        }
        self.held.extend(round.offers.iter().cloned());
        for (agent, total) in &self.agents {
            let mut handed = Resources::new();
            self.held.iter().filter(|o| o.agent == *agent).for_each(|o| handed.add(&o.resources));
            assert!(total.contains(&handed), "{agent} has {total}, handed out {handed}");
        }
        for (role, limit) in &self.limits {
            // A limit lowered below what is held lets nothing more out.
            let bound = (*limit).max(before[role]);
            assert!(self.used(role) <= bound, "{role} holds {} of {limit}", self.used(role));
        }
    }
}

proptest! {
    #[test]
    fn nothing_is_handed_out_twice_and_no_limit_is_passed(steps in steps()) {
        let mut a = Allocator::new(Options::default());
        let mut m = Model::default();
        let mut now = Instant::ZERO;
        let mut quotas: BTreeMap<Role, Quota> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Agent(at, cpus, mem) => {
                    let id = AgentId::from(format!("a{at}").as_str());
                    let text = format!("cpus:{cpus};mem:{mem};ports:[1-{cpus}]");
                    let total = Resources::parse(&text).expect("resources");
                    let added = a.add_agent(id.clone(), total.clone(), &[]);
                    prop_assert_eq!(added.is_ok(), !m.agents.contains_key(&id));
                    if added.is_ok() { m.agents.insert(id, total); }
                }
                Step::AgentGone(at) => {
                    let id = AgentId::from(format!("a{at}").as_str());
                    a.remove_agent(&id);
                    m.agents.remove(&id);
                    m.inactive.remove(&id);
                    m.held.retain(|o| o.agent != id);
                }
                Step::AgentActive(at, on) => {
                    let id = AgentId::from(format!("a{at}").as_str());
                    if a.set_agent_active(&id, on).is_ok() {
                        if on { m.inactive.remove(&id); } else { m.inactive.insert(id); }
                    }
                }
                Step::Framework(at, r) => {
                    let id = FrameworkId::from(format!("f{at}").as_str());
                    let spec = FrameworkSpec {
                        roles: BTreeSet::from([role(r)]), active: true, ..FrameworkSpec::default()
                    };
                    if a.add_framework(id.clone(), &spec).is_ok() {
                        m.frameworks.insert(id, role(r));
                    }
                }
                Step::FrameworkGone(at) => {
                    let id = FrameworkId::from(format!("f{at}").as_str());
                    a.remove_framework(&id);
                    m.frameworks.remove(&id);
                    m.quiet.remove(&id);
                    m.held.retain(|o| o.framework != id);
                }
                Step::Suppress(at) => {
                    let id = FrameworkId::from(format!("f{at}").as_str());
                    if a.suppress(&id, &BTreeSet::new()).is_ok() { m.quiet.insert(id); }
                }
                Step::Revive(at) => {
                    let id = FrameworkId::from(format!("f{at}").as_str());
                    if a.revive(&id, &BTreeSet::new()).is_ok() { m.quiet.remove(&id); }
                }
                Step::Limit(r, cpus) => {
                    let quota = quotas.entry(role(r)).or_default();
                    let limit = Scalar::from_milli(i64::from(cpus) * 1000);
                    quota.limits.insert("cpus".into(), limit);
                    if a.set_quota(&role(r), quota.clone()).is_ok() { m.limits.insert(role(r), limit); }
                    else { quota.limits = m.limits.get(&role(r)).map(|l| ("cpus".into(), *l)).into_iter().collect(); }
                }
                Step::Guarantee(r, cpus) => {
                    let quota = quotas.entry(role(r)).or_default();
                    let before = quota.clone();
                    quota.guarantees.insert("cpus".into(), Scalar::from_milli(i64::from(cpus) * 1000));
                    if a.set_quota(&role(r), quota.clone()).is_err() { *quota = before; }
                }
                Step::Weight(r, w) => a.set_weight(&role(r), Weight::new(f64::from(w)).expect("a weight")),
                Step::GiveBack(which) if !m.held.is_empty() => {
                    let o = m.held.remove(usize::from(which) % m.held.len());
                    prop_assert_eq!(
                        a.recover(now, &o.framework, &o.role, &o.agent, &o.resources, None), Ok(()));
                    prop_assert!(a.recover(now, &o.framework, &o.role, &o.agent,
                        &Resources::parse("cpus:1000").expect("resources"), None).is_err());
                }
                Step::Decline(which, seconds) if !m.held.is_empty() => {
                    let o = m.held.remove(usize::from(which) % m.held.len());
                    let declined = Some(Duration::from_secs(u64::from(seconds)));
                    prop_assert_eq!(
                        a.recover(now, &o.framework, &o.role, &o.agent, &o.resources, declined), Ok(()));
                    now = now + Duration::from_millis(700);
                }
                Step::GiveBack(_) | Step::Decline(..) => {}
                Step::Round(seed) => {
                    let mut again = a.clone();
                    let round = a.allocate(now, seed);
                    prop_assert_eq!(&again.allocate(now, seed), &round);
                    m.take(&round);
                    prop_assert_eq!(a.allocate(now, seed).offers, vec![], "a second round has nothing left");
                }
            }
        }
        // Giving everything back leaves clean books.
        for o in std::mem::take(&mut m.held) {
            prop_assert_eq!(a.recover(now, &o.framework, &o.role, &o.agent, &o.resources, None), Ok(()));
        }
        prop_assert!(a.roles().iter().all(|role| role.used.is_empty()));
        for (agent, total) in &m.agents {
            prop_assert_eq!(a.available(agent), Some(total));
        }
    }

    /// Equal agents, each one task's worth: the counts are those of picking, again and again, whoever
    /// has least for its weight, by a plain scan.
    #[test]
    fn hungry_roles_get_what_a_plain_scan_gives(
        weights in prop::collection::vec(1..6u8, 1..6), agents in 1..60usize, seed in any::<u64>()
    ) {
        let mut a = Allocator::new(Options::default());
        for at in 0..agents {
            let total = Resources::parse("cpus:2;mem:64").expect("resources");
            a.add_agent(AgentId::from(format!("a{at}").as_str()), total, &[]).expect("new");
        }
        for (at, weight) in weights.iter().enumerate() {
            let name = Role::parse(&format!("r{at}")).expect("a role");
            a.set_weight(&name, Weight::new(f64::from(*weight)).expect("a weight"));
            let spec = FrameworkSpec { roles: BTreeSet::from([name]), active: true, ..FrameworkSpec::default() };
            a.add_framework(FrameworkId::from(format!("f{at}").as_str()), &spec).expect("new");
        }
        let mut got = vec![0u32; weights.len()];
        for offer in a.allocate(Instant::ZERO, seed).offers {
            let at: usize = offer.framework.as_str()[1..].parse().expect("an index");
            got[at] += 1;
        }
        let mut fair = vec![0u32; weights.len()];
        for _ in 0..agents {
            let next = (0..weights.len()).min_by(|x, y| {
                let share = |at: usize| f64::from(fair[at]) / f64::from(weights[at]);
                share(*x).total_cmp(&share(*y)).then(fair[*x].cmp(&fair[*y])).then(x.cmp(y))
            });
            fair[next.expect("one role at least")] += 1;
        }
        for (have, should) in got.iter().zip(&fair) {
            prop_assert!(have.abs_diff(*should) <= 1, "got {got:?}, fair {fair:?}");
        }
    }
}
