//! Definitions of custom kinds: the status that tells whether a kind is served.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::catalog::Catalog;
use crate::verbs::write::stamp;

/// The finalizer that lives until the objects of the kind are gone.
pub(crate) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Fills in names that are derived from others.
pub(crate) fn complete(value: &mut Value) {
    let names = &mut value["spec"]["names"];
    let Some(kind) = names["kind"].as_str().map(str::to_owned) else { return };
    if names["listKind"].as_str().unwrap_or_default().is_empty() {
        names["listKind"] = format!("{kind}List").into();
    }
    if names["singular"].as_str().unwrap_or_default().is_empty() {
        names["singular"] = kind.to_lowercase().into();
    }
    if value["spec"]["conversion"]["strategy"].is_null() {
        value["spec"]["conversion"] = json!({"strategy": "None"});
    }
}

/// Accepts the names, unless another definition has them, and tells so in the status.
///
/// The kind is served as soon as this is stored; nothing has to happen in between.
pub(crate) fn settle(catalog: &Catalog, value: &mut Value, now: Timestamp) {
    let clash = clash(catalog, value);
    let names = value["spec"]["names"].clone();
    let mut status = value["status"].take();
    if !status.is_object() {
        status = json!({});
    }
    let mut stored: Vec<Value> = status["storedVersions"].as_array().cloned().unwrap_or_default();
    for version in value["spec"]["versions"].as_array().into_iter().flatten() {
        if version["storage"] == true && !stored.contains(&version["name"]) {
            stored.push(version["name"].clone());
        }
    }
    status["storedVersions"] = stored.into();
    let mut conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let established =
        conditions.iter().any(|c| c["type"] == "Established" && c["status"] == "True");
    match &clash {
        None => {
            status["acceptedNames"] = names;
            set(&mut conditions, "NamesAccepted", "True", "NoConflicts", "no conflicts found", now);
            if !established {
                let told = "the initial names have been accepted";
                set(&mut conditions, "Established", "True", "InitialNamesAccepted", told, now);
            }
        }
        Some(why) => {
            if status["acceptedNames"].is_null() {
                status["acceptedNames"] = json!({"kind": "", "plural": ""});
            }
            set(&mut conditions, "NamesAccepted", "False", "NamesConflict", why, now);
            if !established {
                let told = "not all names are accepted";
                set(&mut conditions, "Established", "False", "NotAccepted", told, now);
            }
        }
    }
    status["conditions"] = conditions.into();
    value["status"] = status;
}

/// The first name that another definition of the group has already.
fn clash(catalog: &Catalog, value: &Value) -> Option<String> {
    let spec = &value["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (group, plural) = (text(&spec["group"]), text(&spec["names"]["plural"]));
    let mut own: Vec<String> = vec![text(&spec["names"]["singular"])];
    own.extend(spec["names"]["shortNames"].as_array().into_iter().flatten().map(text));
    let kinds = [text(&spec["names"]["kind"]), text(&spec["names"]["listKind"])];
    let others = catalog.groups.iter().filter(|gv| gv.group == group).flat_map(|gv| &gv.kinds);
    for other in others.filter(|other| other.plural != plural) {
        let mut taken: Vec<&String> = vec![&other.plural, &other.singular];
        taken.extend(&other.short_names);
        if let Some(name) = own.iter().find(|name| taken.contains(name)) {
            return Some(format!("{name:?} is already in use"));
        }
        if let Some(kind) = kinds.iter().find(|k| **k == other.kind || **k == other.list_kind) {
            return Some(format!("{kind:?} is already in use"));
        }
    }
    None
}

/// Sets a condition; its time moves only when its status does.
fn set(
    conditions: &mut Vec<Value>,
    name: &str,
    status: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) {
    let old = conditions.iter().position(|condition| condition["type"] == name);
    let mut fresh = json!({
        "type": name,
        "status": status,
        "lastTransitionTime": stamp(now),
        "reason": reason,
        "message": message,
    });
    match old {
        None => conditions.push(fresh),
        Some(index) => {
            let old = &mut conditions[index];
            if old["status"] == status {
                fresh["lastTransitionTime"] = old["lastTransitionTime"].take();
            }
            *old = fresh;
        }
    }
}
