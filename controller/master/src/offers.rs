//! Offers: made from the allocator's rounds, given back to it, rescinded.

use std::collections::BTreeMap;
use std::time::Duration;

use allocator::{AgentId, AllocatorError, FrameworkId};
use mesos::resources;
use mesos::v1::framework_info::capability::Type as Capability;
use mesos::v1::resource::AllocationInfo;
use mesos::v1::scheduler::Event;
use mesos::v1::scheduler::event::{Offers, Rescind, Type as EventType};
use mesos::v1::{Address, Filters, Offer as Wire, Url};
use types::{Resources, Role};

use crate::master::Timer;
use crate::{Master, Now};

/// A filter lives for a year at most.
const LONGEST_REFUSAL: Duration = Duration::from_secs(365 * 24 * 3600);
/// What a filter that says nothing means.
const USUAL_REFUSAL: Duration = Duration::from_secs(5);

/// Resources that a framework may take or leave.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) framework: FrameworkId,
    pub(crate) agent: AgentId,
    pub(crate) role: Role,
    pub(crate) resources: Resources,
}

impl Master {
    pub(crate) fn make_offers(&mut self, now: Now) {
        if !self.allocator.has_work(now.instant) {
            return;
        }
        self.counters.rounds += 1;
        let round = self.allocator.allocate(now.instant, self.counters.rounds);
        let mut by_framework: BTreeMap<FrameworkId, Vec<Wire>> = BTreeMap::new();
        for made in round.offers {
            let offer = Offer {
                framework: made.framework,
                agent: made.agent,
                role: made.role,
                resources: made.resources,
            };
            let id = format!("{}-O{}", self.id(), self.counters.offer);
            self.counters.offer += 1;
            let Some(wire) = self.offer_message(&id, &offer) else { continue };
            by_framework.entry(offer.framework.clone()).or_default().push(wire);
            if let Some(framework) = self.frameworks.get_mut(&offer.framework) {
                framework.offers.insert(id.clone());
            }
            if let Some(agent) = self.agents.get_mut(&offer.agent) {
                agent.offers.insert(id.clone());
            }
            if let Some(timeout) = self.config.offer_timeout {
                self.arm(now.instant + timeout, Timer::Offer(id.clone()));
            }
            self.offers.insert(id, offer);
        }
        for (framework, offers) in by_framework {
            if let Some(stream) = self.frameworks.get(&framework).and_then(|f| f.stream()) {
                let event = Event {
                    r#type: Some(EventType::Offers as i32),
                    offers: Some(Offers { offers }),
                    ..Event::default()
                };
                self.event(stream, event);
            }
        }
    }

    /// The offer as its framework sees it.
    pub(crate) fn offer_message(&self, id: &str, offer: &Offer) -> Option<Wire> {
        let framework = self.frameworks.get(&offer.framework)?;
        let agent = self.agents.get(&offer.agent)?;
        let multi_role = framework.can(Capability::MultiRole);
        let role = multi_role.then_some(&offer.role);
        let hostname = agent.info.hostname.clone();
        let address =
            Address { hostname: Some(hostname.clone()), ip: agent.ip(), port: agent.info.port() };
        Some(Wire {
            id: id.into(),
            framework_id: framework.id.as_str().into(),
            agent_id: agent.id.as_str().into(),
            hostname,
            url: Some(Url {
                scheme: "http".into(),
                address,
                path: Some("/slave(1)".into()),
                ..Url::default()
            }),
            domain: agent.info.domain.clone(),
            resources: resources::write(&offer.resources, role, framework.form()),
            attributes: agent.info.attributes.clone(),
            allocation_info: role.map(|role| AllocationInfo { role: Some(role.as_str().into()) }),
            ..Wire::default()
        })
    }

    /// Removes an offer; its resources stay held by the framework.
    pub(crate) fn take_offer(&mut self, id: &str) -> Option<Offer> {
        let offer = self.offers.remove(id)?;
        if let Some(framework) = self.frameworks.get_mut(&offer.framework) {
            framework.offers.remove(id);
        }
        if let Some(agent) = self.agents.get_mut(&offer.agent) {
            agent.offers.remove(id);
        }
        Some(offer)
    }

    /// Gives an offer's resources back.
    pub(crate) fn recover(&mut self, now: Now, offer: &Offer, declined: Option<Duration>) {
        let Offer { framework, agent, role, resources } = offer;
        sure(self.allocator.recover(now.instant, framework, role, agent, resources, declined));
    }

    /// Takes an offer back from its framework.
    pub(crate) fn rescind(&mut self, now: Now, id: &str) {
        let Some(offer) = self.take_offer(id) else { return };
        self.recover(now, &offer, None);
        if let Some(stream) = self.frameworks.get(&offer.framework).and_then(|f| f.stream()) {
            let event = Event {
                r#type: Some(EventType::Rescind as i32),
                rescind: Some(Rescind { offer_id: id.into() }),
                ..Event::default()
            };
            self.event(stream, event);
        }
    }

    pub(crate) fn rescind_offers_of_agent(&mut self, now: Now, agent: &AgentId) {
        let Some(agent) = self.agents.get(agent) else { return };
        for id in agent.offers.clone() {
            self.rescind(now, &id);
        }
    }

    /// Gives all offers of a framework back without telling it.
    pub(crate) fn drop_offers(&mut self, now: Now, framework: &FrameworkId) {
        let Some(framework) = self.frameworks.get(framework) else { return };
        for id in framework.offers.clone() {
            if let Some(offer) = self.take_offer(&id) {
                self.recover(now, &offer, None);
            }
        }
    }

    pub(crate) fn offer_timer(&mut self, now: Now, id: &str) {
        self.rescind(now, id);
    }
}

/// How long a framework refuses what it declines. Mesos's rules: nothing said or nonsense is 5 s.
pub(crate) fn refusal(filters: Option<&Filters>) -> Duration {
    let seconds = filters.map_or(USUAL_REFUSAL.as_secs_f64(), Filters::refuse_seconds);
    if seconds.is_nan() || seconds < 0.0 {
        return USUAL_REFUSAL;
    }
    Duration::try_from_secs_f64(seconds).map_or(LONGEST_REFUSAL, |time| time.min(LONGEST_REFUSAL))
}

/// The allocator refuses only what the master's own books do not hold.
pub(crate) fn sure(done: Result<(), AllocatorError>) {
    debug_assert!(done.is_ok(), "the allocator's books differ: {done:?}");
}
