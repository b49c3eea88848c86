//! The numbers that `/scale` shows: what they must be in an object.
//!
//! Lives here: the checks of the fields that a scale points at, beside the schema's. Must not: read or
//! write a Scale. Start at [`Scale::validate`]. Texts: `k8s.io/apiextensions-apiserver`,
//! `customresource/validator.go`.

use serde_json::Value;

use super::{Part, Scale};
use crate::field::{FieldError, Path};
use crate::shown;

impl Scale {
    /// What is wrong with the counts and the selector of an object.
    pub(super) fn validate(&self, object: &Value, part: Part, errors: &mut Vec<FieldError>) {
        if part == Part::Whole {
            count(object, &self.spec_replicas, errors);
        }
        count(object, &self.status_replicas, errors);
        if let Some(path) = &self.label_selector
            && let Found::Wrong(why) =
                find(object, path, "string", |value| value.as_str().map(|_| 0))
        {
            errors.push(FieldError::invalid(&Path::Root.child(&dotted(path)), &"".into(), why));
        }
    }
}

enum Found {
    Absent,
    Value(i64),
    Wrong(String),
}

fn count(object: &Value, path: &[String], errors: &mut Vec<FieldError>) {
    let at = dotted(path);
    let at = Path::Root.child(&at);
    let refuse = |value: i64, why: String| FieldError::invalid(&at, &value.into(), why);
    match find(object, path, "int64", Value::as_i64) {
        Found::Absent => {}
        Found::Wrong(why) => errors.push(refuse(0, why)),
        Found::Value(value) if value < 0 => {
            errors.push(refuse(value, "should be a non-negative integer".to_owned()));
        }
        Found::Value(value) if value > i64::from(i32::MAX) => {
            errors.push(refuse(value, format!("should be less than or equal to {}", i32::MAX)));
        }
        Found::Value(_) => {}
    }
}

/// The value at a path, as `read` takes it; objects must lead there.
fn find(
    object: &Value,
    path: &[String],
    wanted: &str,
    read: impl Fn(&Value) -> Option<i64>,
) -> Found {
    let wrong = |steps: usize, value: &Value, wanted: &str| {
        Found::Wrong(format!(
            "{} accessor error: {} is of the type {}, expected {wanted}",
            dotted(&path[..steps]),
            shown::plain(value),
            shown::type_name(value)
        ))
    };
    let mut at = object;
    for (steps, name) in path.iter().enumerate() {
        let Some(fields) = at.as_object() else {
            return match at {
                Value::Null => Found::Absent,
                other => wrong(steps + 1, other, "map[string]interface {}"),
            };
        };
        let Some(next) = fields.get(name) else { return Found::Absent };
        at = next;
    }
    read(at).map_or_else(|| wrong(path.len(), at, wanted), Found::Value)
}

fn dotted(path: &[String]) -> String {
    path.iter().fold(String::new(), |text, name| text + "." + name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(object: Value, expected: &[&str]) {
        let words = |path: &str| path.split('.').map(str::to_owned).collect();
        let scale = Scale {
            spec_replicas: words("spec.replicas"),
            status_replicas: words("status.replicas"),
            label_selector: Some(words("status.selector")),
        };
        let mut errors = Vec::new();
        scale.validate(&object, Part::Whole, &mut errors);
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(errors, expected, "{object}");
    }

    #[test]
    fn counts_are_numbers_that_can_be() {
        check(json!({"spec": {"replicas": 3}, "status": {"selector": "a=b"}}), &[]);
        check(json!({}), &[]);
        check(
            json!({"spec": {"replicas": -1}}),
            &[".spec.replicas: Invalid value: -1: should be a non-negative integer"],
        );
        check(
            json!({"spec": {"replicas": "x"}, "status": []}),
            &[
                ".spec.replicas: Invalid value: 0: .spec.replicas accessor error: x is of the type string, expected int64",
                ".status.replicas: Invalid value: 0: .status.replicas accessor error: [] is of the type []interface {}, expected map[string]interface {}",
                r#".status.selector: Invalid value: "": .status.selector accessor error: [] is of the type []interface {}, expected map[string]interface {}"#,
            ],
        );
    }
}
