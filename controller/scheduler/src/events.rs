//! What the master says, as a framework takes it.

use std::collections::BTreeMap;

use frameworks::{Limitation, Offer, TaskId, TaskState, Update};
use mesos::resources::read;
use mesos::v1::task_status::Reason;
use mesos::v1::{self, Attribute};
use types::Role;
use types::resources::Scalar;

/// `None` for an offer of what cannot be used (volumes, say): it is to be declined.
pub(crate) fn offer(offer: v1::Offer, role: &Role) -> Option<Offer> {
    let read = read(&offer.resources).ok()?;
    Some(Offer {
        id: offer.id.value,
        agent: offer.agent_id.value,
        hostname: offer.hostname,
        resources: read.resources,
        role: read.allocated_to.into_iter().next().unwrap_or_else(|| role.clone()),
        attributes: offer.attributes.into_iter().map(attribute).collect(),
    })
}

pub(crate) fn update(status: v1::TaskStatus) -> Update {
    let mut limitation = Limitation::default();
    if let Some(told) = &status.limitation {
        let hit: BTreeMap<&str, Scalar> = told
            .resources
            .iter()
            .filter_map(|hit| {
                Some((hit.name.as_str(), Scalar::from_f64(hit.scalar.as_ref()?.value).ok()?))
            })
            .collect();
        limitation = Limitation { mem: hit.get("mem").copied(), disk: hit.get("disk").copied() };
    }
    let reason = status.reason.and_then(|reason| Reason::try_from(reason).ok());
    Update {
        state: state(status.state()),
        task: TaskId(status.task_id.value),
        agent: status.agent_id.map(|id| id.value),
        healthy: status.healthy,
        reason: reason.map(|reason| reason.as_str_name().to_owned()),
        message: status.message,
        limitation,
        timestamp: status.timestamp,
        uuid: status.uuid.filter(|uuid| !uuid.is_empty()),
    }
}

fn state(state: v1::TaskState) -> TaskState {
    match state {
        v1::TaskState::TaskStaging | v1::TaskState::TaskStarting => TaskState::Starting,
        v1::TaskState::TaskRunning => TaskState::Running,
        v1::TaskState::TaskKilling => TaskState::Killing,
        v1::TaskState::TaskUnreachable => TaskState::Unreachable,
        v1::TaskState::TaskFinished => TaskState::Finished,
        v1::TaskState::TaskFailed => TaskState::Failed,
        v1::TaskState::TaskKilled => TaskState::Killed,
        v1::TaskState::TaskError => TaskState::Error,
        v1::TaskState::TaskLost
        | v1::TaskState::TaskDropped
        | v1::TaskState::TaskGone
        | v1::TaskState::TaskGoneByOperator
        | v1::TaskState::TaskUnknown => TaskState::Gone,
    }
}

fn attribute(attribute: Attribute) -> (String, String) {
    let Attribute { name, scalar, ranges, text, set, .. } = attribute;
    let scalar = || Some(Scalar::from_f64(scalar?.value).ok()?.to_string());
    let ranges = || {
        let all = ranges?.range;
        let all: Vec<String> = all.iter().map(|r| format!("{}-{}", r.begin, r.end)).collect();
        Some(format!("[{}]", all.join(", ")))
    };
    let set = || Some(format!("{{{}}}", set?.item.join(", ")));
    let value = text.map(|text| text.value).or_else(scalar).or_else(ranges).or_else(set);
    (name, value.unwrap_or_default())
}
