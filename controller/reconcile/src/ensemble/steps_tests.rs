//! A model of members that do as they are told, elect, write, fail and lose disks, brought along by [`next`].
//!
//! After every step: memberships are at most one change apart, and every majority that could elect a leader,
//! by anybody's list, holds every acknowledged write.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::four_letters::Report;

#[derive(Clone, Debug)]
struct Model {
    wish: MemberWish,
    state: PartState,
    /// Writes that its disk holds.
    log: u64,
    serves: bool,
}

#[derive(Default)]
struct World {
    target: Target,
    members: BTreeMap<i32, Model>,
    leader: Option<i32>,
    /// Acknowledged writes.
    committed: u64,
    since_loss: Option<u64>,
    steps: Vec<Step>,
}

impl World {
    fn new(voters: usize) -> Self {
        Self { target: Target { voters, ..Target::default() }, ..Self::default() }
    }

    fn seen(&self) -> Vec<Seen> {
        let seen = |(id, model): (&i32, &Model)| {
            let mode = if self.leader == Some(*id) { "leader" } else { "follower" };
            let report = Report { mode: mode.into(), zxid: model.log, ..Report::default() };
            let answer = match (&model.state, model.serves) {
                (PartState::Running, true) => Answer::Serves(report),
                (PartState::Running, false) => Answer::Looking,
                _ => Answer::Silent,
            };
            Seen { wish: model.wish.clone(), state: model.state.clone(), answer }
        };
        self.members.iter().map(seen).collect()
    }

    /// One look and what follows; what was waited for, if anything.
    fn tick(&mut self, lags: &[bool]) -> Next {
        self.elect();
        self.write(lags);
        let seen = self.seen();
        let next = next(&self.target, &seen, self.since_loss);
        let is_lost = |member: &Seen| matches!(member.state, PartState::DataLost { .. });
        let zxid = self.leader.map(|id| self.members[&id].log);
        self.since_loss = if seen.iter().any(is_lost) { zxid } else { None };
        // What was on its way has arrived.
        for model in self.members.values_mut() {
            if matches!(model.state, PartState::Starting | PartState::Failed { .. }) {
                model.state = PartState::Running;
            }
        }
        if let Next::Do(step) = &next {
            self.carry_out(step);
        }
        self.check();
        next
    }

    fn carry_out(&mut self, step: &Step) {
        self.steps.push(step.clone());
        let wishes = step.applied(self.members.values().map(|model| model.wish.clone()));
        self.members.retain(|id, _| wishes.iter().any(|wish| wish.id == *id));
        for wish in wishes {
            let id = wish.id;
            let known = self.members.get(&id);
            if known.is_some_and(|known| known.wish == wish) {
                continue;
            }
            let log =
                known.filter(|known| known.wish.data == wish.data).map_or(0, |known| known.log);
            let state = PartState::Starting;
            self.members.insert(id, Model { wish, state, log, serves: false });
            if self.leader == Some(id) {
                self.leader = None;
            }
        }
        self.elect();
    }

    /// Who leads: the one that did, while a majority by its own list follows it; else the best of one.
    fn elect(&mut self) {
        let follows = |model: &Model, leader: i32| {
            model.state == PartState::Running && model.wish.membership.voters.contains(&leader)
        };
        let can_lead = |id: i32| {
            let Some(model) = self.members.get(&id) else { return false };
            let voters = &model.wish.membership.voters;
            let own = voters.contains(&id) && model.state == PartState::Running;
            let behind = voters.iter().filter_map(|voter| self.members.get(voter));
            let behind = behind.filter(|voter| {
                follows(voter, id) && (voter.log <= model.log || self.leader == Some(id))
            });
            own && behind.count() > voters.len() / 2
        };
        let stays = self.leader.is_some_and(can_lead);
        if !stays {
            let able = self.members.keys().copied().filter(|id| can_lead(*id));
            self.leader = able.max_by_key(|id| (self.members[id].log, *id));
        }
        let leader = self.leader;
        let log = leader.map_or(0, |id| self.members[&id].log);
        let before: Vec<i32> =
            self.members.iter().filter(|(_, model)| model.serves).map(|(id, _)| *id).collect();
        for (id, model) in &mut self.members {
            // Who returns to a leader that others follow takes the word of a majority of those it counts.
            let voters = &model.wish.membership.voters;
            let told = voters.iter().filter(|voter| *voter != id && before.contains(voter)).count();
            let finds = !stays || model.serves || told > voters.len() / 2 || leader == Some(*id);
            let was_serving = model.serves;
            model.serves = finds && leader.is_some_and(|leader| follows(model, leader));
            // Who follows has first been brought into step.
            if model.serves && !was_serving {
                model.log = log;
            }
        }
    }

    /// One write, which some do not get in time; a majority by the leader's list acknowledges it.
    fn write(&mut self, lags: &[bool]) {
        let Some(leader) = self.leader else { return };
        let log = self.members[&leader].log + 1;
        let voters = self.members[&leader].wish.membership.voters.clone();
        let mut slow = voters.len().div_ceil(2) - 1;
        let mut acknowledged = 0;
        for (id, model) in self.members.iter_mut().filter(|(_, model)| model.serves) {
            let lags = usize::try_from(*id).ok().and_then(|id| lags.get(id)) == Some(&true);
            if lags && *id != leader && slow > 0 {
                slow -= 1;
                continue;
            }
            model.log = log;
            acknowledged += usize::from(voters.contains(id));
        }
        if acknowledged > voters.len() / 2 {
            self.committed = log;
        }
    }

    fn check(&self) {
        let versions = self.members.values().map(|model| model.wish.membership.version);
        let (low, high) = (versions.clone().min().unwrap_or(0), versions.max().unwrap_or(0));
        assert!(high - low <= 1, "memberships {low} to {high}: {:?}", self.steps);
        for model in self.members.values() {
            let voters = &model.wish.membership.voters;
            let logs: Vec<u64> = voters
                .iter()
                .filter_map(|id| self.members.get(id))
                .filter(|voter| !matches!(voter.state, PartState::DataLost { .. }))
                .map(|voter| voter.log)
                .collect();
            // The worst majority: those that know least.
            let mut least = logs;
            least.sort_unstable();
            if let Some(best) = least.get(voters.len() / 2) {
                let committed = self.committed;
                assert!(
                    *best >= committed,
                    "{committed} is lost: {:?} {:?}",
                    self.members,
                    self.steps
                );
            }
        }
    }

    fn settle(&mut self) {
        for _ in 0..200 {
            if self.tick(&[]) == Next::Settled && self.members.values().all(|model| model.serves) {
                return;
            }
        }
        panic!("not settled: {:?} {:?}", self.members, self.steps);
    }

    fn ids(&self) -> Vec<i32> {
        self.members.keys().copied().collect()
    }

    /// The steps since the last call, in short.
    fn told(&mut self) -> Vec<String> {
        self.steps.drain(..).map(|step| step.words()).collect()
    }
}

fn settled(voters: usize) -> World {
    let mut world = World::new(voters);
    world.settle();
    world.told();
    world
}

#[test]
fn members_are_founded_at_once() {
    let mut world = World::new(3);
    world.settle();
    assert_eq!(world.told(), ["starting 3 members"]);
    assert_eq!(world.ids(), [1, 2, 3]);
}

#[test]
fn a_member_joins_before_it_is_counted_and_the_leader_is_last() {
    let mut world = settled(3);
    assert_eq!(world.leader, Some(3));
    world.target.voters = 4;
    world.settle();
    let steps =
        ["adding member 4", "restarting member 1", "restarting member 2", "restarting member 3"];
    assert_eq!(world.told(), steps);
}

#[test]
fn a_leader_that_leaves_hands_over_first_and_ends_last() {
    let mut world = settled(3);
    world.target.voters = 2;
    world.settle();
    let steps = [
        "having member 3 hand over the lead",
        "restarting member 1",
        "restarting member 2",
        "ending member 3, which is no longer counted",
    ];
    assert_eq!(world.told(), steps);
}

#[test]
fn from_one_to_five_and_back() {
    let mut world = settled(1);
    for voters in [3, 5, 3, 1] {
        world.target.voters = voters;
        world.settle();
        assert_eq!(world.members.len(), voters);
    }
    assert_eq!(world.ids(), [1]);
}

#[test]
fn a_changed_setting_comes_to_those_that_fail_first_and_to_the_leader_last() {
    let mut world = settled(3);
    world.target.settings.restarted_at = Some("now".into());
    world.members.get_mut(&2).expect("it is there").state = PartState::Suspended;
    // While one is away no other is taken.
    assert!(matches!(world.tick(&[]), Next::Wait(_)));
    world.members.get_mut(&2).expect("it is there").state = PartState::Failed { why: "bad".into() };
    world.settle();
    let steps = ["restarting member 2", "restarting member 1", "restarting member 3"];
    assert_eq!(world.told(), steps);
}

#[test]
fn observers_come_and_go_without_the_voters() {
    let mut world = settled(3);
    world.target.observers = 2;
    world.settle();
    assert_eq!(world.told(), ["adding member 101", "adding member 102"]);
    world.target.voters = 4;
    world.settle();
    assert_eq!(world.told().len(), 1 + 2 + 3, "the list of voters comes to observers too");
    world.target.observers = 0;
    world.settle();
    assert_eq!(world.ids(), [1, 2, 3, 4]);
}

#[test]
fn ports_between_members_stay_until_one_is_alone() {
    let mut world = settled(3);
    world.target.ports.quorum = Some(2888);
    let next = world.tick(&[]);
    let Next::Wait(Health::Stalled { message, .. }) = next else { panic!("{next:?}") };
    assert!(message.contains("set them to unset and unset again"), "{message}");
    let mut world = settled(1);
    world.target.ports.quorum = Some(2888);
    world.target.voters = 2;
    world.settle();
    assert!(world.members.values().all(|m| m.wish.membership.ports.quorum == Some(2888)));
}

#[test]
fn the_only_copy_is_never_replaced_by_nothing() {
    let mut world = settled(1);
    world.members.get_mut(&1).expect("it is there").state =
        PartState::DataLost { path: "/d".into() };
    let next = world.tick(&[]);
    let Next::Wait(Health::Stalled { reason, message }) = next else { panic!("{next:?}") };
    assert_eq!(reason, reasons::DATA_LOST);
    assert!(message.contains("/d") && message.contains("create it again"), "{message}");
}

#[test]
fn a_member_without_its_data_waits_until_the_others_have_everything() {
    let mut world = settled(3);
    // Member 1 did not get the last write, and the disk of member 2, which did, is gone.
    world.tick(&[false, true]);
    let lost = world.members.get_mut(&2).expect("it is there");
    (lost.state, lost.log) = (PartState::DataLost { path: "/d".into() }, 0);
    // It is seen; from here on what the leader has is what member 1 must have.
    assert!(matches!(world.tick(&[false, true]), Next::Wait(_)));
    world.settle();
    assert_eq!(world.told(), ["filling member 2 again from the others"]);
}

#[test]
fn two_of_five_without_their_data_are_filled_while_the_others_serve() {
    let mut world = settled(5);
    world.tick(&[false, true]);
    for id in [2, 5] {
        let lost = world.members.get_mut(&id).expect("it is there");
        (lost.state, lost.log) = (PartState::DataLost { path: "/d".into() }, 0);
    }
    world.settle();
    let filled = [2, 5].map(|id| format!("filling member {id} again from the others"));
    assert_eq!(world.told(), filled);
}

#[test]
fn where_too_few_have_their_data_a_person_is_told_what_to_do() {
    let mut world = settled(3);
    for (lost, words) in [(1, ""), (2, "the rest (member 3) has all"), (3, "create it again")] {
        world.members.get_mut(&lost).expect("it is there").state =
            PartState::DataLost { path: "/d".into() };
        let next = world.tick(&[]);
        match next {
            Next::Wait(Health::Reconciling { .. }) => assert_eq!(lost, 1),
            Next::Wait(Health::Stalled { reason, message }) => {
                assert_eq!(reason, reasons::DATA_LOST);
                assert!(lost > 1 && message.contains(words), "{message}");
            }
            next => panic!("{next:?}"),
        }
    }
}

/// What happens between two looks.
#[derive(Clone, Debug)]
enum Event {
    Nothing,
    Voters(usize),
    Observers(usize),
    Settings(u8),
    Kill(i32),
    Suspend(i32),
    Continue(i32),
    LoseDisk(i32),
    LoseDisks(i32, i32),
}

impl World {
    fn happen(&mut self, event: &Event) {
        let healthy = self.members.values().all(|model| model.serves);
        let change = |world: &mut Self, id: i32, state: PartState| {
            if let Some(model) = world.members.get_mut(&id) {
                // Data that is lost comes back by nothing but a rebuild.
                if !matches!(model.state, PartState::DataLost { .. }) {
                    model.state = state;
                }
            }
        };
        let lose = |world: &mut Self, id: i32| {
            change(world, id, PartState::DataLost { path: "/d".into() });
            if let Some(model) = world.members.get_mut(&id) {
                model.log = 0;
            }
        };
        match event {
            Event::Nothing => {}
            Event::Voters(voters) => self.target.voters = *voters,
            Event::Observers(observers) => self.target.observers = *observers,
            Event::Settings(number) => {
                self.target.settings.restarted_at = Some(number.to_string());
            }
            Event::Kill(id) => change(self, *id, PartState::Failed { why: "killed".into() }),
            Event::Suspend(id) => change(self, *id, PartState::Suspended),
            Event::Continue(id) => change(self, *id, PartState::Running),
            // Only where others are left: nothing brings back what nobody has.
            Event::LoseDisk(id) if healthy && self.has_copies(*id) => lose(self, *id),
            Event::LoseDisks(one, other) if healthy && self.do_without(&[*one, *other]) => {
                lose(self, *one);
                lose(self, *other);
            }
            Event::LoseDisk(_) | Event::LoseDisks(..) => {}
        }
        self.elect();
    }
}

impl World {
    /// Whether others are told that this one is not alone.
    fn has_copies(&self, id: i32) -> bool {
        self.members.get(&id).is_some_and(|model| {
            let voters = &model.wish.membership.voters;
            voters.len() > 1 || !voters.contains(&id)
        })
    }

    /// Whether a majority is left without these, whatever list counts.
    fn do_without(&self, ids: &[i32]) -> bool {
        self.members.values().all(|model| {
            let voters = &model.wish.membership.voters;
            voters.iter().filter(|voter| !ids.contains(voter)).count() > voters.len() / 2
        })
    }
}

fn event() -> impl Strategy<Value = Event> {
    let id = || prop_oneof![1..=6, 101..=102];
    prop_oneof![
        6 => Just(Event::Nothing),
        2 => (1_usize..=5).prop_map(Event::Voters),
        1 => (0_usize..=2).prop_map(Event::Observers),
        1 => any::<u8>().prop_map(Event::Settings),
        2 => id().prop_map(Event::Kill),
        1 => id().prop_map(Event::Suspend),
        1 => id().prop_map(Event::Continue),
        1 => id().prop_map(Event::LoseDisk),
        1 => (1..=5, prop_oneof![1..=5, 101..=102]).prop_map(|(one, other)| Event::LoseDisks(one, other)),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_nothing_acknowledged_is_lost_and_it_settles(
        voters in 1_usize..=5,
        events in prop::collection::vec((event(), prop::collection::vec(any::<bool>(), 7)), 1..60),
    ) {
        let mut world = World::new(voters);
        for (event, lags) in &events {
            world.happen(event);
            world.tick(lags);
        }
        for id in world.ids() {
            world.happen(&Event::Continue(id));
        }
        world.settle();
        let wanted = world.target.members();
        prop_assert_eq!(world.members.len(), wanted);
    }
}
