//! Strategic merge: a merge patch that knows how the lists of built-in kinds are keyed.
//!
//! Lives here: the directives (`$patch`, `$retainKeys`, `$deleteFromPrimitiveList`,
//! `$setElementOrder`) and which lists merge by what. Must not: be used for custom kinds. Start at
//! [`strategic`]. Source: `k8s.io/apimachinery/pkg/util/strategicpatch`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::PatchError;

/// Applies a strategic merge patch to an object of a built-in `kind`.
///
/// # Errors
/// [`PatchError::Decode`] when the patch is no object, [`PatchError::Directive`] when a directive is
/// wrong.
pub fn strategic(document: &Value, patch: &Value, kind: &str) -> Result<Value, PatchError> {
    let Value::Object(patch) = patch else {
        return Err(PatchError::Decode("a strategic merge patch is an object".into()));
    };
    let original = document.as_object().cloned().unwrap_or_default();
    let mut path = Vec::new();
    merge_map(original, patch, kind, &mut path).map(Value::Object)
}

/// How a list merges.
enum ListMerge {
    /// Whole lists replace each other.
    Replace,
    /// Elements are objects told apart by this field.
    By(&'static str),
    /// Elements are scalars; the list is their union.
    Union,
}

fn list_merge(kind: &str, path: &[&str]) -> ListMerge {
    match (kind, path) {
        (_, ["metadata", "ownerReferences"]) => ListMerge::By("uid"),
        (_, ["metadata", "finalizers"]) => ListMerge::Union,
        ("ServiceAccount", ["secrets" | "imagePullSecrets"]) => ListMerge::By("name"),
        ("Namespace", ["status", "conditions"]) => ListMerge::By("type"),
        ("Service", ["spec", "ports"]) => ListMerge::By("port"),
        _ => ListMerge::Replace,
    }
}

fn merge_map<'p>(
    mut original: Map<String, Value>,
    patch: &'p Map<String, Value>,
    kind: &str,
    path: &mut Vec<&'p str>,
) -> Result<Map<String, Value>, PatchError> {
    match patch.get(PATCH).map(|directive| directive.as_str().unwrap_or_default()) {
        None | Some("merge") => {}
        Some("replace") => {
            original = Map::new();
        }
        Some("delete") => return Ok(Map::new()),
        Some(other) => return Err(unknown_directive(other)),
    }
    if let Some(keys) = patch.get(RETAIN_KEYS) {
        retain(&mut original, keys, patch)?;
    }
    for (key, gone) in directives(patch, DELETE_FROM) {
        if let (Some(Value::Array(list)), Value::Array(gone)) = (original.get_mut(key), gone) {
            let gone: BTreeSet<String> = gone.iter().map(ToString::to_string).collect();
            list.retain(|item| !gone.contains(&item.to_string()));
        }
    }
    for (key, wanted) in patch.iter().filter(|(key, _)| !key.starts_with('$')) {
        path.push(key);
        let order = patch.get(&format!("{SET_ORDER}{key}"));
        let merged = match (original.remove(key), wanted) {
            (_, Value::Null) => None,
            (Some(Value::Object(now)), Value::Object(wanted)) => {
                let deleted = wanted.get(PATCH).and_then(Value::as_str) == Some("delete");
                match deleted {
                    true => None,
                    false => Some(Value::Object(merge_map(now, wanted, kind, path)?)),
                }
            }
            (_, Value::Object(wanted)) => {
                Some(Value::Object(merge_map(Map::new(), wanted, kind, path)?))
            }
            (now, Value::Array(wanted)) => {
                let now = match now {
                    Some(Value::Array(now)) => now,
                    _ => Vec::new(),
                };
                Some(Value::Array(merge_list(now, wanted, order, kind, path)?))
            }
            (_, scalar) => Some(scalar.clone()),
        };
        path.pop();
        if let Some(merged) = merged {
            original.insert(key.clone(), merged);
        }
    }
    for (key, order) in directives(patch, SET_ORDER).filter(|(key, _)| !patch.contains_key(*key)) {
        path.push(key);
        if let Some(Value::Array(list)) = original.get_mut(key) {
            reorder(list, order, &list_merge(kind, path));
        }
        path.pop();
    }
    Ok(original)
}

/// The entries `<prefix><key>`, with the key alone.
fn directives<'p>(
    patch: &'p Map<String, Value>,
    prefix: &'static str,
) -> impl Iterator<Item = (&'p str, &'p Value)> {
    patch.iter().filter_map(move |(key, value)| Some((key.strip_prefix(prefix)?, value)))
}

fn retain(
    original: &mut Map<String, Value>,
    keys: &Value,
    patch: &Map<String, Value>,
) -> Result<(), PatchError> {
    let keys: BTreeSet<&str> =
        keys.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let stray = patch.iter().find(|(key, value)| {
        !key.starts_with('$') && !value.is_null() && !keys.contains(key.as_str())
    });
    if let Some((key, _)) = stray {
        return Err(PatchError::Directive(format!(
            "{RETAIN_KEYS} must list every field of the patch; {key:?} is missing"
        )));
    }
    original.retain(|key, _| keys.contains(key.as_str()));
    Ok(())
}

fn merge_list<'p>(
    now: Vec<Value>,
    wanted: &'p [Value],
    order: Option<&Value>,
    kind: &str,
    path: &mut Vec<&'p str>,
) -> Result<Vec<Value>, PatchError> {
    let how = list_merge(kind, path);
    let mut merged = match how {
        ListMerge::Replace => return Ok(wanted.iter().map(without_directives).collect()),
        ListMerge::Union => {
            let mut seen = BTreeSet::new();
            let all = now.into_iter().chain(wanted.iter().cloned());
            all.filter(|item| seen.insert(item.to_string())).collect()
        }
        ListMerge::By(field) => merge_keyed(now, wanted, field, kind, path)?,
    };
    if let Some(order) = order {
        reorder(&mut merged, order, &how);
    }
    Ok(merged)
}

fn merge_keyed<'p>(
    now: Vec<Value>,
    wanted: &'p [Value],
    field: &str,
    kind: &str,
    path: &mut Vec<&'p str>,
) -> Result<Vec<Value>, PatchError> {
    let directive = |item: &Value| item.get(PATCH).and_then(Value::as_str).map(str::to_owned);
    if wanted.iter().any(|item| directive(item).as_deref() == Some("replace")) {
        let rest = wanted.iter().filter(|item| directive(item).is_none());
        return Ok(rest.map(without_directives).collect());
    }
    let mut index: BTreeMap<String, usize> = BTreeMap::new();
    let mut slots: Vec<Option<Value>> = Vec::with_capacity(now.len() + wanted.len());
    for item in now {
        if let Some(key) = item.get(field) {
            index.entry(key.to_string()).or_insert(slots.len());
        }
        slots.push(Some(item));
    }
    for item in wanted {
        let (Value::Object(fields), Some(key)) = (item, item.get(field)) else {
            return Err(PatchError::Directive(format!(
                "map: {item} does not contain declared merge key: {field}"
            )));
        };
        let found = index.get(&key.to_string()).copied();
        match directive(item).as_deref() {
            Some("delete") => {
                if let Some(at) = found {
                    slots[at] = None;
                    index.remove(&key.to_string());
                }
            }
            None | Some("merge") => {
                let before = found.and_then(|at| slots[at].take());
                let before = before.and_then(|item| item.as_object().cloned()).unwrap_or_default();
                let merged = Some(Value::Object(merge_map(before, fields, kind, path)?));
                match found {
                    Some(at) => slots[at] = merged,
                    None => {
                        index.insert(key.to_string(), slots.len());
                        slots.push(merged);
                    }
                }
            }
            Some(other) => return Err(unknown_directive(other)),
        }
    }
    Ok(slots.into_iter().flatten().collect())
}

/// Puts the elements named in `order` into that order; the others keep their place before the first
/// named element that stood behind them.
fn reorder(list: &mut Vec<Value>, order: &Value, how: &ListMerge) {
    let key = |item: &Value| match how {
        ListMerge::By(field) => item.get(field).map(ToString::to_string),
        ListMerge::Union | ListMerge::Replace => Some(item.to_string()),
    };
    let mut wanted = BTreeMap::new();
    for (place, item) in order.as_array().into_iter().flatten().enumerate() {
        if let Some(key) = key(item) {
            wanted.entry(key).or_insert(place);
        }
    }
    let numbered = std::mem::take(list).into_iter().enumerate();
    let (mut named, others): (Vec<_>, Vec<_>) = numbered
        .map(|(at, item)| (at, key(&item).and_then(|key| wanted.get(&key).copied()), item))
        .partition(|(_, place, _)| place.is_some());
    named.sort_by_key(|(_, place, _)| *place);
    let mut others = others.into_iter().peekable();
    for (at, _, item) in named {
        while let Some((_, _, other)) = others.next_if(|(other_at, _, _)| *other_at < at) {
            list.push(other);
        }
        list.push(item);
    }
    list.extend(others.map(|(_, _, item)| item));
}

/// A value without the directives in it and without the nulls they stand beside.
fn without_directives(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .filter(|(key, value)| !is_directive(key) && !value.is_null())
                .map(|(key, value)| (key.clone(), without_directives(value)))
                .collect(),
        ),
        Value::Array(list) => Value::Array(list.iter().map(without_directives).collect()),
        scalar => scalar.clone(),
    }
}

fn is_directive(key: &str) -> bool {
    key == PATCH || key == RETAIN_KEYS || key.starts_with(DELETE_FROM) || key.starts_with(SET_ORDER)
}

fn unknown_directive(found: &str) -> PatchError {
    PatchError::Directive(format!(
        "unknown value {found:?} of {PATCH}: use merge, replace or delete"
    ))
}

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const SET_ORDER: &str = "$setElementOrder/";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(kind: &str, document: Value, patch: Value, result: Value) {
        assert_eq!(strategic(&document, &patch, kind), Ok(result), "{patch}");
    }

    #[test]
    fn maps_merge_and_nulls_delete() {
        check(
            "ConfigMap",
            json!({"data":{"a":"1","b":"2"}}),
            json!({"data":{"a":null,"c":"3"}}),
            json!({"data":{"b":"2","c":"3"}}),
        );
        check(
            "Secret",
            json!({"data":{"v":"4"}}),
            json!({"data":{"$patch":"replace","v":"5"}}),
            json!({"data":{"v":"5"}}),
        );
        check("Secret", json!({"data":{"v":"4"}}), json!({"data":{"$patch":"delete"}}), json!({}));
        check(
            "ConfigMap",
            json!({"data":{"a":"1","b":"2"}}),
            json!({"data":{"$retainKeys":["a"],"a":"9"}}),
            json!({"data":{"a":"9"}}),
        );
    }

    #[test]
    fn lists_merge_by_key_or_as_sets() {
        check(
            "ServiceAccount",
            json!({"secrets":[{"name":"a"},{"name":"b"}]}),
            json!({"secrets":[{"name":"c"},{"name":"a","$patch":"delete"},{"name":"b","x":1}]}),
            json!({"secrets":[{"name":"b","x":1},{"name":"c"}]}),
        );
        check(
            "ConfigMap",
            json!({"metadata":{"finalizers":["x/a","x/b"]}}),
            json!({"metadata":{"finalizers":["x/c"],"$deleteFromPrimitiveList/finalizers":["x/a"],
                "$setElementOrder/finalizers":["x/c","x/b"]}}),
            json!({"metadata":{"finalizers":["x/c","x/b"]}}),
        );
        check(
            "ServiceAccount",
            json!({"secrets":[{"name":"a"}]}),
            json!({"secrets":[{"$patch":"replace"},{"name":"z"}]}),
            json!({"secrets":[{"name":"z"}]}),
        );
        check(
            "Lease",
            json!({"spec":{"l":[1,2]}}),
            json!({"spec":{"l":[3]}}),
            json!({"spec":{"l":[3]}}),
        );
    }

    #[test]
    fn wrong_directives_are_refused() {
        let bad = [
            json!({"data":{"$patch":"explode"}}),
            json!({"data":{"$retainKeys":["a"],"b":"1"}}),
            json!({"metadata":{"ownerReferences":[{"name":"no uid"}]}}),
            json!([]),
        ];
        for patch in bad {
            assert!(strategic(&json!({"data":{}}), &patch, "ConfigMap").is_err(), "{patch}");
        }
    }
}
