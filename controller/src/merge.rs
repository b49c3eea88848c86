//! Three-way merge: what to send so that an object becomes as its file says.
//!
//! Lives here: the rule of `kubectl apply` for custom resources, so that both can be used on one object in
//! turn. Must not: know any kind. Start at [`patch`].

use serde_json::{Map, Value};

/// The annotation that keeps what was applied last, for the next merge.
pub(crate) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The JSON merge patch (RFC 7396) that turns `current` into what `wanted` says; `None` when it already is.
///
/// A field that `last` had and `wanted` has no more is removed; a field neither names is left alone.
pub(crate) fn patch(last: Option<&Value>, wanted: &Value, current: &Value) -> Option<Value> {
    let (Value::Object(wanted), Value::Object(current)) = (wanted, current) else {
        return (wanted != current).then(|| wanted.clone());
    };
    let last = last.and_then(Value::as_object);
    let mut changes = Map::new();
    for (key, value) in wanted {
        match current.get(key) {
            None if value.is_null() => {}
            None => {
                changes.insert(key.clone(), value.clone());
            }
            Some(now) => {
                if let Some(change) = patch(last.and_then(|last| last.get(key)), value, now) {
                    changes.insert(key.clone(), change);
                }
            }
        }
    }
    for key in last.into_iter().flat_map(Map::keys) {
        if !wanted.contains_key(key) && current.contains_key(key) {
            changes.insert(key.clone(), Value::Null);
        }
    }
    (!changes.is_empty()).then_some(Value::Object(changes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_differs_is_sent() {
        let wanted = json!({"spec": {"a": 1, "list": [1, 2]}});
        let current = json!({"spec": {"a": 1, "list": [1], "defaulted": true}, "status": {}});
        assert_eq!(patch(None, &wanted, &current), Some(json!({"spec": {"list": [1, 2]}})));
        assert_eq!(patch(None, &json!({"spec": {"a": 1}}), &current), None);
    }

    #[test]
    fn what_left_the_file_leaves_the_object_and_the_rest_stays() {
        let last = json!({"spec": {"a": 1, "gone": 2}});
        let wanted = json!({"spec": {"a": 1}});
        let current = json!({"spec": {"a": 1, "gone": 3, "theirs": 4}});
        assert_eq!(patch(Some(&last), &wanted, &current), Some(json!({"spec": {"gone": null}})));
    }
}
