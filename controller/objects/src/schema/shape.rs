//! Bringing an object into the shape of its schema.
//!
//! Lives here: pruning what the schema does not know, dropping nulls, filling defaults. Must not: find
//! errors (`validate` does). Start at [`Schema::prune`] and [`Schema::apply_defaults`].

use serde_json::{Map, Value};

use super::{Additional, Kind, Schema};
use crate::meta;

impl Schema {
    /// Removes what the schema does not know from a whole object. `apiVersion`, `kind` and `metadata`
    /// stay as they are.
    ///
    /// Returns one text for each removed field, in order: `unknown field "spec.foo"`.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        let mut pruner = Pruner { path: String::new(), removed: Vec::new() };
        pruner.resource(self, object, true);
        pruner.removed
    }

    /// Drops nulls that the schema does not allow, and fills in defaults, in a whole object.
    /// `apiVersion`, `kind` and `metadata` stay as they are.
    pub fn apply_defaults(&self, object: &mut Value) {
        if let Value::Object(fields) = object {
            self.default_fields(fields, true);
        }
    }

    fn default_fields(&self, fields: &mut Map<String, Value>, is_root: bool) {
        fields.retain(|name, value| {
            if !value.is_null() || (is_root && is_type_meta(name)) {
                return true;
            }
            self.field(name).is_none_or(|schema| schema.nullable || schema.kind == Kind::Any)
        });
        for (name, schema) in &self.properties {
            if is_root && is_type_meta(name) {
                continue;
            }
            if let Some(default) = &schema.default
                && !fields.contains_key(name)
            {
                fields.insert(name.clone(), default.clone());
            }
        }
        for (name, value) in fields.iter_mut() {
            if let Some(schema) = self.field(name)
                && !(is_root && is_type_meta(name))
            {
                schema.default_value(value);
            }
        }
    }

    pub(super) fn default_value(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => self.default_fields(fields, self.embedded_resource),
            Value::Array(list) => {
                for item in list {
                    let Some(schema) = &self.items else { return };
                    if let (Value::Null, false, Some(default)) =
                        (&*item, schema.nullable, &schema.default)
                    {
                        *item = default.clone();
                    }
                    schema.default_value(item);
                }
            }
            _ => {}
        }
    }
}

/// Prunes a value that is no whole object.
pub(super) fn prune_value(schema: &Schema, value: &mut Value) -> Vec<String> {
    let mut pruner = Pruner { path: String::new(), removed: Vec::new() };
    pruner.value(schema, value);
    pruner.removed
}

struct Pruner {
    path: String,
    removed: Vec<String>,
}

impl Pruner {
    fn resource(&mut self, schema: &Schema, value: &mut Value, is_root: bool) {
        let Value::Object(fields) = value else { return };
        if !is_root && let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
            let prefix = self.joined("metadata");
            // Wrong types are told by validation.
            self.removed.extend(meta::prune(metadata, &prefix, "").unwrap_or_default());
        }
        self.fields(schema, fields, true);
    }

    fn value(&mut self, schema: &Schema, value: &mut Value) {
        match value {
            Value::Object(_) if schema.embedded_resource => self.resource(schema, value, false),
            Value::Object(fields) => self.fields(schema, fields, false),
            Value::Array(list) => {
                let Some(items) = &schema.items else { return };
                for (index, item) in list.iter_mut().enumerate() {
                    let length = self.path.len();
                    self.path.push_str(&format!("[{index}]"));
                    self.value(items, item);
                    self.path.truncate(length);
                }
            }
            _ => {}
        }
    }

    fn fields(&mut self, schema: &Schema, fields: &mut Map<String, Value>, is_resource: bool) {
        let open = schema.preserve_unknown || matches!(schema.additional, Some(Additional::Any));
        fields.retain(|name, value| {
            if is_resource && is_type_meta(name) {
                return true;
            }
            if let Some(child) = schema.field(name) {
                let length = self.path.len();
                if !self.path.is_empty() {
                    self.path.push('.');
                }
                self.path.push_str(name);
                self.value(child, value);
                self.path.truncate(length);
                return true;
            }
            if !open {
                self.removed.push(format!("unknown field \"{}\"", self.joined(name)));
            }
            open
        });
    }

    fn joined(&self, name: &str) -> String {
        match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        }
    }
}

fn is_type_meta(name: &str) -> bool {
    matches!(name, "apiVersion" | "kind" | "metadata")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn schema() -> Schema {
        Schema::parse(&json!({"type":"object","properties":{
            "spec":{"type":"object","properties":{
                "plain":{"type":"string"},
                "defaulted":{"type":"string","default":"d"},
                "nullable":{"type":"string","nullable":true,"default":"n"},
                "box":{"type":"object","default":{},"properties":{
                    "inner":{"type":"integer","default":7}}},
                "bare":{"type":"object","properties":{"inner":{"type":"integer","default":7}}},
                "map":{"type":"object","additionalProperties":{"type":"string"}},
                "free":{"type":"object","x-kubernetes-preserve-unknown-fields":true,
                    "properties":{"known":{"type":"object","properties":{}}}},
                "ports":{"type":"array","items":{"type":"object","properties":{
                    "port":{"type":"integer","default":80}}}},
                "template":{"type":"object","x-kubernetes-embedded-resource":true,
                    "x-kubernetes-preserve-unknown-fields":true}
            }},
            "status":{"type":"object","default":{"observedGeneration":-1},
                "properties":{"observedGeneration":{"type":"integer"}}}
        }}))
    }

    fn shaped(spec: Value) -> (Value, Vec<String>) {
        let mut object = json!({"apiVersion":"v1","kind":"X","metadata":{"name":"x"},"spec":spec});
        let removed = schema().prune(&mut object);
        schema().apply_defaults(&mut object);
        (object["spec"].take(), removed)
    }

    #[test]
    fn nulls_and_defaults_end_as_on_the_real_server() {
        let base = json!({"defaulted":"d","nullable":"n","box":{"inner":7}});
        let with = |extra: Value| {
            let mut all = base.clone();
            json_patch::merge(&mut all, &extra);
            all
        };
        let cases = [
            ("null, not nullable, has a default", json!({"defaulted":null}), base.clone()),
            ("null, not nullable, no default", json!({"plain":null}), base.clone()),
            ("object null, default {} with inner defaults", json!({"box":null}), base.clone()),
            ("{} given, inner default", json!({"bare":{}}), with(json!({"bare":{"inner":7}}))),
            ("absent, no default on the object", json!({}), base.clone()),
            ("map value null", json!({"map":{"a":null,"b":"x"}}), with(json!({"map":{"b":"x"}}))),
            ("items", json!({"ports":[{}]}), with(json!({"ports":[{"port":80}]}))),
        ];
        for (what, given, expected) in cases {
            assert_eq!(shaped(given).0, expected, "{what}");
        }
        assert_eq!(shaped(json!({"nullable":null})).0["nullable"], Value::Null);
        let free = shaped(json!({"free":{"a":null,"b":{"c":1}}})).0;
        assert_eq!(free["free"], json!({"a":null,"b":{"c":1}}));
    }

    #[test]
    fn unknown_fields_are_removed_and_told() {
        let (spec, removed) = shaped(json!({"junk":1,"ports":[{"port":1,"zz":2}],
            "free":{"any":1,"known":{"x":1}},
            "template":{"kind":"K","metadata":{"name":"n","bad":1},"data":1}}));
        assert_eq!(spec["ports"], json!([{"port":1}]));
        assert_eq!(spec["free"], json!({"any":1,"known":{}}));
        assert_eq!(spec["template"], json!({"kind":"K","metadata":{"name":"n"},"data":1}));
        assert_eq!(
            removed,
            [
                r#"unknown field "spec.free.known.x""#,
                r#"unknown field "spec.junk""#,
                r#"unknown field "spec.ports[0].zz""#,
                r#"unknown field "spec.template.metadata.bad""#,
            ]
        );
    }

    #[test]
    fn a_status_default_makes_waiters_wait() {
        let mut object = json!({"spec":{}});
        schema().apply_defaults(&mut object);
        assert_eq!(object["status"], json!({"observedGeneration":-1}));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![Just(Value::Null), any::<i8>().prop_map(Value::from), Just(json!("s"))];
        leaf.prop_recursive(4, 40, 5, |inner| {
            let name =
                "(spec|plain|defaulted|box|inner|map|free|known|ports|port|template|metadata|junk)";
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                proptest::collection::btree_map(name, inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn shaping_twice_is_shaping_once(spec in values()) {
            let schema = schema();
            let mut once = json!({"spec": spec});
            schema.prune(&mut once);
            schema.apply_defaults(&mut once);
            let mut twice = once.clone();
            prop_assert_eq!(schema.prune(&mut twice), Vec::<String>::new());
            schema.apply_defaults(&mut twice);
            prop_assert_eq!(once, twice);
        }
    }
}
