//! Offers taken and declined.

use std::collections::BTreeMap;
use std::time::Duration;

use types::Instant;

use super::{FIRST_RECONCILE, Live, Reconcile, Service};
use crate::io::{Launch, Offer, Output};
use crate::place::{Misfit, Place, Room};
use crate::{Phase, TaskId, TaskRecord};

impl Service {
    /// Places what is pending, evenly over the agents; everything else goes back at once.
    pub(super) fn on_offers(&mut self, now: Instant, offers: &[Offer]) {
        let pending = self.pending(now);
        let mut rooms: Vec<Room<'_>> = offers.iter().map(Room::new).collect();
        let mut launches: BTreeMap<usize, Vec<Launch>> = BTreeMap::new();
        let mut living: Vec<TaskRecord> =
            self.tasks.values().map(|live| live.record.clone()).collect();
        let mut placed = 0;
        for index in &pending {
            match best(&rooms, self, &living) {
                Ok((at, place)) => {
                    rooms[at].take(&place);
                    let record = self.new_record(*index, rooms[at].offer, &place);
                    living.push(record.clone());
                    let name = format!("{}-{index}", self.spec.name);
                    let task = self.spec.task.clone();
                    let launch = Launch { record, name, resources: place.resources, task };
                    launches.entry(at).or_default().push(launch);
                    placed += 1;
                }
                Err(why) => {
                    // Instances are alike: what does not fit now fits none of the rest.
                    self.misfits = Some(why);
                    break;
                }
            }
        }
        let refuse = if placed < pending.len() { LOOK_AGAIN } else { NOT_NEEDED };
        self.take(now, offers, launches, refuse);
    }

    fn take(
        &mut self,
        now: Instant,
        offers: &[Offer],
        launches: BTreeMap<usize, Vec<Launch>>,
        refuse: Duration,
    ) {
        let declined: Vec<String> = (0..offers.len())
            .filter(|at| !launches.contains_key(at))
            .map(|at| offers[at].id.clone())
            .collect();
        if !launches.is_empty() {
            self.reconcile = Some(Reconcile { at: now + FIRST_RECONCILE, delay: FIRST_RECONCILE });
        }
        for (at, launches) in launches {
            for launch in &launches {
                let record = launch.record.clone();
                self.out.push(Output::Store(record.clone()));
                let live = Live {
                    record,
                    running_since: None,
                    unreachable_since: None,
                    confirmed: false,
                    kill_sent: None,
                };
                self.tasks.insert(live.record.id.clone(), live);
            }
            self.out.push(Output::Accept { offer: offers[at].id.clone(), launches, refuse });
        }
        if !declined.is_empty() {
            self.out.push(Output::Decline { offers: declined, refuse });
        }
    }

    fn new_record(&mut self, index: u32, offer: &Offer, place: &Place) -> TaskRecord {
        let run = self.next_run;
        self.next_run += 1;
        TaskRecord {
            id: TaskId::new(&self.spec.name, index, run),
            index,
            revision: self.revision.clone(),
            phase: Phase::Staging,
            killing: false,
            agent: offer.agent.clone(),
            hostname: offer.hostname.clone(),
            attributes: offer.attributes.clone(),
            ports: place.ports.clone(),
            healthy: None,
        }
    }
}

/// The offer on whose agent fewest instances live, of those that have a place; or why none has.
fn best(
    rooms: &[Room<'_>],
    service: &Service,
    living: &[TaskRecord],
) -> Result<(usize, Place), String> {
    let living: Vec<&TaskRecord> = living.iter().collect();
    let mut found: Option<(usize, usize, Place)> = None;
    let mut misfits: BTreeMap<Misfit, u32> = BTreeMap::new();
    for (at, room) in rooms.iter().enumerate() {
        match room.try_place(&service.spec, &living) {
            Ok(place) => {
                let beside = living.iter().filter(|t| t.agent == room.offer.agent).count();
                if found.as_ref().is_none_or(|(fewest, ..)| beside < *fewest) {
                    found = Some((beside, at, place));
                }
            }
            Err(misfit) => *misfits.entry(misfit).or_default() += 1,
        }
    }
    match found {
        Some((_, at, place)) => Ok((at, place)),
        None => Err(in_words(&misfits)),
    }
}

fn in_words(misfits: &BTreeMap<Misfit, u32>) -> String {
    let mut said: Vec<String> = misfits
        .iter()
        .take(SAID)
        .map(|(misfit, offers)| match offers {
            1 => misfit.to_string(),
            offers => format!("{misfit} ({offers} offers)"),
        })
        .collect();
    if misfits.len() > SAID {
        said.push(format!("{} more reasons", misfits.len() - SAID));
    }
    said.join("; ")
}

/// How long an offer is refused that has no place for what waits; the agent may change meanwhile, and
/// more than what was refused is offered at once.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How long an offer is refused that is not needed. Reviving forgets it.
const NOT_NEEDED: Duration = Duration::from_secs(3600);
/// How many different reasons are told.
const SAID: usize = 3;
