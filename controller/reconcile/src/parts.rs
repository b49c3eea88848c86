//! What is wrong with parts, as a condition.

use crds::reasons;

use crate::conditions::Health;
use crate::platform::{Part, PartState};

/// The worst of the parts that do not serve; `None` when they are only starting.
pub(crate) fn trouble<'a>(
    word: &str,
    port_field: &str,
    parts: impl Iterator<Item = &'a Part> + Clone,
) -> Option<Health> {
    let port = parts.clone().find_map(|part| match &part.state {
        PartState::PortInUse { port, holder, declared } => {
            let who = holder.clone().unwrap_or_else(|| "another process".into());
            let remedy = if *declared {
                format!("end it, or set {port_field} to a free port or remove it")
            } else {
                "another port will be chosen".to_owned()
            };
            let message =
                format!("{word} {} needs port {port}, which {who} has; {remedy}", part.number);
            Some(if *declared {
                Health::stalled(reasons::PORT_IN_USE, message)
            } else {
                Health::waiting(reasons::PORT_IN_USE, message)
            })
        }
        _ => None,
    });
    port.or_else(|| {
        parts.clone().find_map(|part| match &part.state {
            PartState::Failed { why } => {
                let message = format!("{word} {} {why}; it will be started again", part.number);
                Some(Health::waiting(reasons::PROCESS_FAILED, message))
            }
            PartState::Suspended => {
                Some(Health::stalled(reasons::PROCESS_SUSPENDED, suspended(word, part)))
            }
            _ => None,
        })
    })
}

/// What is with a part whose process a signal stopped, and the remedy.
pub(crate) fn suspended(word: &str, part: &Part) -> String {
    let pid = part.pid.map_or_else(String::new, |pid| pid.to_string());
    format!("process {pid} of {word} {} is stopped; continue it with kill -CONT {pid}", part.number)
}
