//! Conditions: set so that a time changes only when a status does.
//!
//! Lives here: the summary by the words of kstatus (Ready, Reconciling, Stalled) and the kinds' own.
//! Must not: ask what time it is.

use crds::{HasConditions, reasons};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The summary of an object.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Health {
    /// As declared.
    Ready(String),
    /// On the way.
    Reconciling { reason: &'static str, message: String },
    /// A person must do something first.
    Stalled { reason: &'static str, message: String },
}

impl Health {
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self, Self::Ready(_))
    }

    /// Waits for something.
    pub(crate) fn waiting(reason: &'static str, message: impl Into<String>) -> Self {
        Self::Reconciling { reason, message: message.into() }
    }

    /// Waits for a person.
    pub(crate) fn stalled(reason: &'static str, message: impl Into<String>) -> Self {
        Self::Stalled { reason, message: message.into() }
    }

    /// A field that has no effect yet.
    pub(crate) fn unsupported(field: &Unsupported) -> Self {
        Self::stalled(
            reasons::NOT_YET_SUPPORTED,
            format!("{} has no effect yet; {}", field.path, field.remedy),
        )
    }
}

/// A field that has no effect yet, and what to do about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Unsupported {
    pub(crate) path: String,
    pub(crate) remedy: String,
}

impl Unsupported {
    /// The first of the fields that is set.
    pub(crate) fn first(fields: &[(bool, &str)]) -> Option<Self> {
        fields.iter().find(|(is_set, _)| *is_set).map(|(_, path)| Self {
            path: (*path).to_owned(),
            remedy: "remove it (nothing was changed because of it)".to_owned(),
        })
    }
}

/// Writes the summary into a status, and that it speaks of this generation.
pub(crate) fn summarize(
    status: &mut impl HasConditions,
    generation: i64,
    health: &Health,
    now: &Time,
) {
    *status.observed_generation() = generation;
    let (ready, reason, message) = match health {
        Health::Ready(message) => (Truth::True, reasons::AS_DECLARED, message),
        Health::Reconciling { reason, message } | Health::Stalled { reason, message } => {
            (Truth::False, *reason, message)
        }
    };
    set(status, generation, reasons::READY, ready, reason, message, now);
    let reconciling = matches!(health, Health::Reconciling { .. });
    set(status, generation, reasons::RECONCILING, Truth::from(reconciling), reason, message, now);
    let stalled = matches!(health, Health::Stalled { .. });
    set(status, generation, reasons::STALLED, Truth::from(stalled), reason, message, now);
}

/// The value of a condition.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Truth {
    True,
    False,
    Unknown,
}

impl From<bool> for Truth {
    fn from(truth: bool) -> Self {
        if truth { Self::True } else { Self::False }
    }
}

impl Truth {
    fn word(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// Sets one condition.
pub(crate) fn set(
    status: &mut impl HasConditions,
    generation: i64,
    type_: &str,
    truth: Truth,
    reason: &str,
    message: &str,
    now: &Time,
) {
    // The schema's bound; a longer message is cut where a character ends.
    let message: String = message.chars().take(8_000).collect();
    let conditions = status.conditions();
    let before = conditions.iter().position(|condition| condition.type_ == type_);
    let last_transition_time = before
        .map(|at| &conditions[at])
        .filter(|condition| condition.status == truth.word())
        .map_or_else(|| now.clone(), |condition| condition.last_transition_time.clone());
    let condition = Condition {
        type_: type_.to_owned(),
        status: truth.word().to_owned(),
        reason: reason.to_owned(),
        message,
        last_transition_time,
        observed_generation: Some(generation),
    };
    match before {
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
}

/// Whether a condition is True.
pub(crate) fn is_true(status: Option<&impl HasConditions>, type_: &str) -> bool {
    status.is_some_and(|status| {
        status.conditions_ref().iter().any(|c| c.type_ == type_ && c.status == "True")
    })
}

/// The message of Ready, for those that wait for the object.
pub(crate) fn why_not_ready(status: Option<&impl HasConditions>) -> String {
    status
        .and_then(|status| status.conditions_ref().iter().find(|c| c.type_ == reasons::READY))
        .map_or_else(|| "it was not looked at yet".to_owned(), |ready| ready.message.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::jiff::Timestamp;

    fn at(second: i64) -> Time {
        Time(Timestamp::from_second(second).expect("a time"))
    }

    #[test]
    fn a_time_changes_only_with_the_status() {
        let mut status = crds::ZNodeStatus::default();
        summarize(&mut status, 1, &Health::waiting("A", "one"), &at(1));
        summarize(&mut status, 2, &Health::waiting("B", "two"), &at(2));
        let ready = &status.conditions[0];
        assert_eq!((ready.last_transition_time.clone(), ready.reason.as_str()), (at(1), "B"));
        assert_eq!(ready.observed_generation, Some(2));
        summarize(&mut status, 2, &Health::Ready("done".into()), &at(3));
        assert_eq!(status.conditions[0].last_transition_time, at(3));
        assert_eq!(status.observed_generation, 2);
        assert_eq!(status.conditions.len(), 3);
    }
}
