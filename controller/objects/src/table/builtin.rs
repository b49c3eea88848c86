//! Columns of the built-in kinds, as the real server has them.
//!
//! Lives here: which columns, and how each cell is made. Start at [`columns`]. Source:
//! `kubernetes/pkg/printers/internalversion/printers.go`.

use jiff::Timestamp;
use serde_json::Value;

use super::{AGE_TEXT, Column, name};
use crate::duration;

/// The columns of a built-in kind.
pub(super) fn columns(kind: &str) -> Vec<Column> {
    let mut columns = match kind {
        "Event" => return event_columns(),
        "Scale" => return scale_columns(),
        _ => vec![Column::made(("Name", "string", "name", 0), "Name of the object.", name)],
    };
    let mut text = |name, wide: bool, what, make| {
        columns.push(Column::made((name, "string", "", i64::from(wide)), what, make));
    };
    match kind {
        "Namespace" => text("Status", false, "Where the namespace is in its life.", phase),
        "ConfigMap" => text("Data", false, "How many entries it has.", data_count),
        "Secret" => {
            text("Type", false, "What kind of secret it is.", |o, _| at(o, "/type"));
            text("Data", false, "How many entries it has.", data_count);
        }
        "ServiceAccount" => text("Secrets", false, "How many secrets it may use.", secret_count),
        "Lease" => {
            text("Holder", false, "Who holds the lease.", |o, _| at(o, "/spec/holderIdentity"))
        }
        "RoleBinding" | "ClusterRoleBinding" => {
            text("Role", false, "The role that is granted.", granted_role);
        }
        _ => {
            let what = "When the object was created.";
            columns.push(Column::made(("Created At", "date", "", 0), what, created_at));
            return columns;
        }
    }
    text("Age", false, AGE_TEXT, age);
    if matches!(kind, "RoleBinding" | "ClusterRoleBinding") {
        text("Users", true, "Users that are granted the role.", |o, _| subjects(o, "User"));
        text("Groups", true, "Groups that are granted the role.", |o, _| subjects(o, "Group"));
        text("ServiceAccounts", true, "Service accounts that are granted the role.", |o, _| {
            subjects(o, "ServiceAccount")
        });
    }
    columns
}

fn scale_columns() -> Vec<Column> {
    let made = |name: &str, kind: &str, format: &str, what: &str, make| {
        Column::made((name, kind, format, 0), what, make)
    };
    vec![
        made("Name", "string", "name", "Name of the object.", name),
        made("Desired", "integer", "", "How many are wanted.", |o, _| number(o, "/spec/replicas")),
        made("Available", "integer", "", "How many there are.", |o, _| {
            number(o, "/status/replicas")
        }),
        made("Age", "date", "", AGE_TEXT, age),
    ]
}

fn event_columns() -> Vec<Column> {
    let text = |name: &str, wide: bool, what: &str, make| {
        Column::made((name, "string", "", i64::from(wide)), what, make)
    };
    vec![
        text("Last Seen", false, "Time since it happened last.", last_seen),
        text("Type", false, "Normal or Warning.", |o, _| at(o, "/type")),
        text("Reason", false, "Why it happened, in one word.", |o, _| at(o, "/reason")),
        text("Object", false, "What it happened to.", event_object),
        text("Subobject", true, "Which part of the object.", |o, _| about(o, "fieldPath").into()),
        text("Source", true, "Who tells.", event_source),
        text("Message", false, "What happened, in words.", |o, _| {
            first_text(o, &["/message", "/note"]).trim().into()
        }),
        text("First Seen", true, "Time since it happened first.", first_seen),
        text("Count", true, "How often it happened.", event_count),
        Column::made(("Name", "string", "name", 1), "Name of the event.", name),
    ]
}

fn at(object: &Value, pointer: &str) -> Value {
    object.pointer(pointer).cloned().unwrap_or_else(|| "".into())
}

fn number(object: &Value, pointer: &str) -> Value {
    object.pointer(pointer).cloned().unwrap_or_else(|| 0.into())
}

fn phase(object: &Value, _: Timestamp) -> Value {
    at(object, "/status/phase")
}

fn age(object: &Value, now: Timestamp) -> Value {
    since(object, &["/metadata/creationTimestamp"], now).into()
}

fn created_at(object: &Value, _: Timestamp) -> Value {
    at(object, "/metadata/creationTimestamp")
}

fn data_count(object: &Value, _: Timestamp) -> Value {
    let count = |field| object.get(field).and_then(Value::as_object).map_or(0, |map| map.len());
    (count("data") + count("binaryData")).into()
}

fn secret_count(object: &Value, _: Timestamp) -> Value {
    object.get("secrets").and_then(Value::as_array).map_or(0, Vec::len).into()
}

fn granted_role(object: &Value, _: Timestamp) -> Value {
    let part = |field: &str| first_text(object, &[&format!("/roleRef/{field}")]).to_owned();
    format!("{}/{}", part("kind"), part("name")).into()
}

fn subjects(object: &Value, kind: &str) -> Value {
    let list = object.get("subjects").and_then(Value::as_array).into_iter().flatten();
    let names: Vec<String> = list
        .filter(|subject| subject["kind"] == kind)
        .map(|subject| {
            let part = |field: &str| subject[field].as_str().unwrap_or_default().to_owned();
            match kind {
                "ServiceAccount" => format!("{}/{}", part("namespace"), part("name")),
                _ => part("name"),
            }
        })
        .collect();
    names.join(", ").into()
}

/// A field of what an event is about, in either shape of events.
fn about<'v>(event: &'v Value, field: &str) -> &'v str {
    first_text(event, &[&format!("/involvedObject/{field}"), &format!("/regarding/{field}")])
}

fn event_object(event: &Value, _: Timestamp) -> Value {
    let kind = about(event, "kind").to_lowercase();
    match about(event, "name") {
        "" => kind.into(),
        name => format!("{kind}/{name}").into(),
    }
}

fn event_source(event: &Value, _: Timestamp) -> Value {
    let component = first_text(
        event,
        &[
            "/source/component",
            "/deprecatedSource/component",
            "/reportingComponent",
            "/reportingController",
        ],
    );
    let host = first_text(event, &["/source/host", "/deprecatedSource/host", "/reportingInstance"]);
    match host {
        "" => component.into(),
        host => format!("{component}, {host}").into(),
    }
}

const FIRST: [&str; 3] = ["/firstTimestamp", "/deprecatedFirstTimestamp", "/eventTime"];

fn first_seen(event: &Value, now: Timestamp) -> Value {
    since(event, &FIRST, now).into()
}

fn last_seen(event: &Value, now: Timestamp) -> Value {
    let last = ["/series/lastObservedTime", "/lastTimestamp", "/deprecatedLastTimestamp"];
    let pointers: Vec<&str> = last.into_iter().chain(FIRST).collect();
    since(event, &pointers, now).into()
}

fn event_count(event: &Value, _: Timestamp) -> Value {
    let counts = ["/series/count", "/count", "/deprecatedCount"];
    let found = counts.iter().find_map(|p| event.pointer(p)?.as_i64().filter(|&n| n > 0));
    found.unwrap_or(1).into()
}

/// The age of the first of these points in time that is there.
fn since(object: &Value, pointers: &[&str], now: Timestamp) -> String {
    match first_text(object, pointers) {
        "" => "<unknown>".into(),
        point => duration::age(point, now),
    }
}

fn first_text<'v>(object: &'v Value, pointers: &[&str]) -> &'v str {
    let texts = pointers.iter().filter_map(|pointer| object.pointer(pointer)?.as_str());
    texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Table;
    use super::*;

    fn check(kind: &str, object: Value, names: &[&str], cells: Value) {
        let now = "2026-01-01T01:00:00Z".parse().expect("valid");
        let table = Table::builtin(kind);
        let found: Vec<Value> = table.definitions().iter().map(|d| d["name"].clone()).collect();
        assert_eq!(found, names, "{kind}");
        assert_eq!(Value::Array(table.cells(&object, now)), cells, "{kind}");
    }

    #[test]
    fn built_in_kinds_have_their_columns() {
        let meta = json!({"name":"x","creationTimestamp":"2026-01-01T00:00:00Z"});
        check(
            "Namespace",
            json!({"metadata":meta,"status":{"phase":"Active"}}),
            &["Name", "Status", "Age"],
            json!(["x", "Active", "60m"]),
        );
        check(
            "ConfigMap",
            json!({"metadata":meta,"data":{"a":"1"},"binaryData":{"b":""}}),
            &["Name", "Data", "Age"],
            json!(["x", 2, "60m"]),
        );
        check(
            "Secret",
            json!({"metadata":meta,"type":"Opaque"}),
            &["Name", "Type", "Data", "Age"],
            json!(["x", "Opaque", 0, "60m"]),
        );
        check(
            "ServiceAccount",
            json!({"metadata":meta}),
            &["Name", "Secrets", "Age"],
            json!(["x", 0, "60m"]),
        );
        check(
            "Lease",
            json!({"metadata":meta,"spec":{"holderIdentity":"me"}}),
            &["Name", "Holder", "Age"],
            json!(["x", "me", "60m"]),
        );
        check(
            "CustomResourceDefinition",
            json!({"metadata":meta}),
            &["Name", "Created At"],
            json!(["x", "2026-01-01T00:00:00Z"]),
        );
        check(
            "ClusterRoleBinding",
            json!({"metadata":meta,"roleRef":{"kind":"ClusterRole","name":"admin"},"subjects":[
                {"kind":"User","name":"u"},{"kind":"User","name":"v"},
                {"kind":"ServiceAccount","namespace":"n","name":"s"}]}),
            &["Name", "Role", "Age", "Users", "Groups", "ServiceAccounts"],
            json!(["x", "ClusterRole/admin", "60m", "u, v", "", "n/s"]),
        );
    }

    #[test]
    fn events_of_both_shapes_read_alike() {
        let names = [
            "Last Seen",
            "Type",
            "Reason",
            "Object",
            "Subobject",
            "Source",
            "Message",
            "First Seen",
            "Count",
            "Name",
        ];
        let cells =
            json!(["5m", "Normal", "Made", "ensemble/e", "", "troupe, a", "it is", "10m", 2, "x"]);
        check(
            "Event",
            json!({"metadata":{"name":"x"},"type":"Normal","reason":"Made","message":"it is\n","count":2,
                "involvedObject":{"kind":"Ensemble","name":"e"},"source":{"component":"troupe","host":"a"},
                "firstTimestamp":"2026-01-01T00:50:00Z","lastTimestamp":"2026-01-01T00:55:00Z"}),
            &names,
            cells.clone(),
        );
        check(
            "Event",
            json!({"metadata":{"name":"x"},"type":"Normal","reason":"Made","note":"it is",
                "regarding":{"kind":"Ensemble","name":"e"},"reportingController":"troupe",
                "reportingInstance":"a","eventTime":"2026-01-01T00:50:00.000000Z",
                "series":{"count":2,"lastObservedTime":"2026-01-01T00:55:00.000000Z"}}),
            &names,
            cells,
        );
    }
}
