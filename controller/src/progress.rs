//! Whether an object is as declared, in one line.
//!
//! Lives here: the reading of conditions, pure, and a table of them. Must not: talk to the API.
//! Start at [`Readiness::of`].

use serde_json::Value;

/// Where an object stands, by the conditions that `kubectl wait` and Helm read too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// As declared.
    Ready {
        /// What its `Ready` condition says.
        message: String,
    },
    /// On the way.
    Waiting {
        /// The condition's reason, a word.
        reason: String,
        /// The condition's message, a sentence.
        message: String,
    },
    /// It will not get further without somebody's help.
    Stalled {
        /// The condition's reason, a word.
        reason: String,
        /// The condition's message, a sentence.
        message: String,
    },
}

impl Readiness {
    /// Reads `metadata.generation`, `status.observedGeneration` and `status.conditions`.
    pub(crate) fn of(object: &Value) -> Self {
        let condition = |kind: &str| {
            let all = object.pointer("/status/conditions").and_then(Value::as_array);
            all.into_iter().flatten().find(|c| c["type"] == kind)
        };
        let words = |condition: &Value| {
            let text = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
            (text("reason"), text("message"))
        };
        if let Some(state) = Self::of_others(object) {
            return state;
        }
        if !Self::observed(object) {
            return Self::unseen();
        }
        if let Some(stalled) = condition("Stalled").filter(|c| c["status"] == "True") {
            let (reason, message) = words(stalled);
            return Self::Stalled { reason, message };
        }
        match condition("Ready") {
            Some(ready) if ready["status"] == "True" => Self::Ready { message: words(ready).1 },
            Some(not_ready) => {
                let (reason, message) = words(not_ready);
                Self::Waiting { reason, message }
            }
            None => Self::waiting("NoStatus", "the controller has not told its state yet"),
        }
    }

    /// Before its controller has looked at an object.
    pub(crate) fn unseen() -> Self {
        Self::waiting("NotObserved", "the controller has not looked at it yet")
    }

    /// Objects that no controller of ours looks at: a ConfigMap or another's custom resource is as declared
    /// once it exists, a definition once it is served. Their conditions count if they have any.
    fn of_others(object: &Value) -> Option<Self> {
        let api_version = object["apiVersion"].as_str().unwrap_or_default();
        if api_version.split('/').next() == Some(crds::GROUP) {
            return None;
        }
        let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
        let is_definition = object["kind"] == "CustomResourceDefinition";
        let wanted = if is_definition { "Established" } else { "Ready" };
        match conditions.into_iter().flatten().find(|c| c["type"] == wanted) {
            Some(condition) if condition["status"] != "True" => {
                let text = |key: &str| condition[key].as_str().unwrap_or_default();
                Some(Self::waiting(text("reason"), text("message")))
            }
            None if is_definition => Some(Self::waiting("NotEstablished", "it is not served yet")),
            _ => Some(Self::Ready { message: "it exists".to_owned() }),
        }
    }

    fn observed(object: &Value) -> bool {
        object["metadata"]["generation"] == object["status"]["observedGeneration"]
    }

    fn waiting(reason: &str, message: &str) -> Self {
        Self::Waiting { reason: reason.to_owned(), message: message.to_owned() }
    }

    /// Is it as declared?
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self, Self::Ready { .. })
    }

    /// A sign, a word and a sentence for one line.
    pub(crate) fn words(&self) -> (&'static str, &str, &str) {
        match self {
            Self::Ready { message } => ("✓", "Ready", message),
            Self::Waiting { reason, message } => ("…", reason, message),
            Self::Stalled { reason, message } => ("✗", reason, message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(status: Value) -> Readiness {
        let api_version = format!("{}/v1alpha1", crds::GROUP);
        let metadata = json!({"generation": 2});
        Readiness::of(&json!({"apiVersion": api_version, "metadata": metadata, "status": status}))
    }

    #[test]
    fn what_no_controller_of_ours_looks_at_is_ready_once_it_exists() {
        assert!(Readiness::of(&json!({"apiVersion": "v1", "kind": "ConfigMap"})).is_ready());
        let theirs =
            json!({"apiVersion": "example.org/v1", "kind": "Gear", "metadata": {"generation": 1}});
        assert!(Readiness::of(&theirs).is_ready());
        let definition = |status: &str| {
            let conditions =
                json!([{"type": "Established", "status": status, "reason": "Installing"}]);
            let kind = "CustomResourceDefinition";
            Readiness::of(&json!({
                "apiVersion": "apiextensions.k8s.io/v1", "kind": kind, "status": {"conditions": conditions},
            }))
        };
        assert!(definition("True").is_ready());
        assert_eq!(definition("False").words().1, "Installing");
    }

    #[test]
    fn a_status_of_an_older_generation_says_nothing() {
        let ready =
            json!([{"type": "Ready", "status": "True", "reason": "Up", "message": "all up"}]);
        assert!(check(json!({"observedGeneration": 2, "conditions": ready})).is_ready());
        assert!(!check(json!({"observedGeneration": 1, "conditions": ready})).is_ready());
        assert!(!check(json!({"observedGeneration": -1})).is_ready());
    }

    #[test]
    fn stalled_is_told_before_not_ready() {
        let conditions = json!([
            {"type": "Ready", "status": "False", "reason": "Waiting", "message": "w"},
            {"type": "Stalled", "status": "True", "reason": "PortInUse", "message": "port 1 is taken"},
        ]);
        let readiness = check(json!({"observedGeneration": 2, "conditions": conditions}));
        assert_eq!(readiness.words(), ("✗", "PortInUse", "port 1 is taken"));
    }
}
