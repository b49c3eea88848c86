//! What a schema itself must obey to be structural; checked when a CRD is created or changed.
//!
//! Lives here: types everywhere, keywords and their forms, where logic may stand and what it may say,
//! lists and their keys, patterns, defaults that fit. Must not: compile rules (`cel` does). Start at
//! [`check`]. Source: `k8s.io/apiextensions-apiserver/pkg/apiserver/schema`.

use serde_json::{Map, Value};

use super::{ListType, Schema, compile_pattern, list_type, shape};
use crate::field::{FieldError, Path};
use crate::jsonpath;
use crate::shown;

/// All that is wrong with the schema of a CRD version, without its rules. `path` is where it stands.
pub fn check(schema: &Value, path: &Path<'_>) -> Vec<FieldError> {
    let mut checker = Checker { errors: Vec::new() };
    let Value::Object(fields) = schema else {
        return vec![FieldError::wrong_type(path, schema, "a schema is an object")];
    };
    match fields.get("type").and_then(Value::as_str) {
        Some("object") => {}
        None => checker.require(&path.child("type"), "must not be empty at the root"),
        Some(other) => {
            checker.refuse(&path.child("type"), &other.into(), "must be object at the root")
        }
    }
    if has_flag(fields, "nullable") {
        checker.forbid(&path.child("nullable"), "nullable cannot be true at the root");
    }
    let properties = path.child("properties");
    for (name, wanted) in [("apiVersion", "string"), ("kind", "string"), ("metadata", "object")] {
        let found = fields.get("properties").and_then(|p| p.get(name)?.get("type")?.as_str());
        if let Some(found) = found.filter(|found| *found != wanted) {
            let at = properties.key(name);
            let why = format!("must be {wanted}");
            checker.refuse(&at.child("type"), &found.into(), &why);
        }
    }
    checker.node(fields, path, Place::Root);
    checker.errors
}

/// The first keyword whose value has not the type it must have, in the words of a typed decoder.
pub fn misfit(schema: &Value, path: &str) -> Option<String> {
    let Value::Object(fields) = schema else {
        return Some(wrong_type(schema, path, "v1.JSONSchemaProps"));
    };
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        let below = format!("{path}.{name}");
        match form_of(name) {
            Some(form) if !form.fits(value) => {
                return Some(wrong_type(value, &below, form.words()));
            }
            Some(Form::Object) => {
                let children = value.as_object().into_iter().flat_map(|map| map.values());
                if let Some(found) = children.filter_map(|child| misfit(child, &below)).next() {
                    return Some(found);
                }
            }
            Some(Form::Schema | Form::SchemaOrFlag) if value.is_object() => {
                if let Some(found) = misfit(value, &below) {
                    return Some(found);
                }
            }
            Some(Form::Schemas) if name != "x-kubernetes-validations" => {
                let children = value.as_array().into_iter().flatten();
                if let Some(found) = children.filter_map(|child| misfit(child, &below)).next() {
                    return Some(found);
                }
            }
            _ => {}
        }
    }
    None
}

fn wrong_type(value: &Value, place: &str, wanted: &str) -> String {
    let found = shown::json_kind(value);
    format!(
        "json: cannot unmarshal {found} into Go struct field JSONSchemaProps.{place} of type {wanted}"
    )
}

/// Removes what is no keyword of a schema, in all of it; returns one text for each:
/// `unknown field "spec.versions[0].schema.openAPIV3Schema.tipe"`.
pub fn prune(schema: &mut Value, prefix: &str) -> Vec<String> {
    let mut removed = Vec::new();
    prune_node(schema, prefix, &mut removed);
    removed
}

fn prune_node(schema: &mut Value, path: &str, removed: &mut Vec<String>) {
    let Value::Object(fields) = schema else { return };
    fields.retain(|name, value| {
        if value.is_null() && name != "default" && name != "example" {
            return false;
        }
        let known = form_of(name).is_some();
        if !known {
            removed.push(format!("unknown field \"{path}.{name}\""));
        }
        known
    });
    for (name, value) in fields.iter_mut() {
        match (name.as_str(), value) {
            ("properties", Value::Object(children)) => {
                for (child, schema) in children {
                    prune_node(schema, &format!("{path}.properties.{child}"), removed);
                }
            }
            ("allOf" | "anyOf" | "oneOf", Value::Array(list)) => {
                for (index, schema) in list.iter_mut().enumerate() {
                    prune_node(schema, &format!("{path}.{name}[{index}]"), removed);
                }
            }
            ("items" | "not" | "additionalProperties", schema) => {
                prune_node(schema, &format!("{path}.{name}"), removed);
            }
            _ => {}
        }
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Place {
    Root,
    Field,
    Items,
    Values,
}

struct Checker {
    errors: Vec<FieldError>,
}

impl Checker {
    fn node(&mut self, fields: &Map<String, Value>, path: &Path<'_>, place: Place) {
        if self.errors.len() >= MAX_ERRORS {
            return;
        }
        self.keywords(fields, path);
        self.type_of(fields, path, place);
        self.extensions(fields, path);
        self.list(fields, path);
        self.pattern(fields, path);
        self.children(fields, path, place);
        self.logic(fields, fields, path, is_int_or_string(fields));
        self.default(fields, path);
        self.rules(fields, path);
    }

    fn keywords(&mut self, fields: &Map<String, Value>, path: &Path<'_>) {
        for name in
            ["$ref", "definitions", "dependencies", "id", "patternProperties", "additionalItems"]
        {
            if fields.contains_key(name) {
                self.forbid(&path.child(name), &format!("{name} is not supported"));
            }
        }
        if fields.get("uniqueItems") == Some(&Value::Bool(true)) {
            self.forbid(
                &path.child("uniqueItems"),
                "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
            );
        }
        match fields.get("additionalProperties") {
            Some(_)
                if fields
                    .get("properties")
                    .and_then(Value::as_object)
                    .is_some_and(|p| !p.is_empty()) =>
            {
                self.forbid(
                    &path.child("additionalProperties"),
                    "additionalProperties and properties are mutual exclusive",
                );
            }
            _ => {}
        }
    }

    fn type_of(&mut self, fields: &Map<String, Value>, path: &Path<'_>, place: Place) {
        let at = path.child("type");
        let free = has_flag(fields, "x-kubernetes-int-or-string")
            || has_flag(fields, "x-kubernetes-preserve-unknown-fields");
        match fields.get("type").and_then(Value::as_str) {
            None if free || place == Place::Root => {}
            None => {
                let what = match place {
                    Place::Items => "must not be empty for specified array items",
                    _ => "must not be empty for specified object fields",
                };
                self.require(&at, what);
            }
            Some(kind) if !TYPES.contains(&kind) => {
                self.errors.push(FieldError::not_supported(&at, &kind.into(), TYPES));
            }
            Some("array") if !fields.contains_key("items") => {
                self.require(&path.child("items"), "must be specified");
            }
            Some(_) => {}
        }
    }

    fn extensions(&mut self, fields: &Map<String, Value>, path: &Path<'_>) {
        let preserve = "x-kubernetes-preserve-unknown-fields";
        if fields.get(preserve) == Some(&Value::Bool(false)) {
            self.refuse(&path.child(preserve), &false.into(), "must be true or undefined");
        }
        if has_flag(fields, "x-kubernetes-embedded-resource") {
            if fields.get("type") != Some(&Value::from("object")) {
                let found = fields.get("type").cloned().unwrap_or_else(|| "".into());
                self.refuse(
                    &path.child("type"),
                    &found,
                    "must be object if x-kubernetes-embedded-resource is true",
                );
            }
            if !has_flag(fields, preserve) && !fields.contains_key("properties") {
                self.require(
                    &path.child("properties"),
                    "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
                );
            }
        }
    }

    fn list(&mut self, fields: &Map<String, Value>, path: &Path<'_>) {
        let at = path.child("x-kubernetes-list-type");
        let keys_at = path.child("x-kubernetes-list-map-keys");
        match fields.get("x-kubernetes-list-type").and_then(Value::as_str) {
            None => {}
            Some(kind) if !["atomic", "set", "map"].contains(&kind) => {
                self.errors.push(FieldError::not_supported(
                    &at,
                    &kind.into(),
                    ["atomic", "set", "map"],
                ));
            }
            Some(_) if fields.get("type") != Some(&Value::from("array")) => {
                self.refuse(
                    &path.child("type"),
                    &fields.get("type").cloned().unwrap_or_else(|| "".into()),
                    "must be array if x-kubernetes-list-type is specified",
                );
            }
            Some(_) => {}
        }
        if let Some(kind) = fields.get("x-kubernetes-map-type").and_then(Value::as_str) {
            let at = path.child("x-kubernetes-map-type");
            if !["atomic", "granular"].contains(&kind) {
                let known = ["atomic", "granular"];
                self.errors.push(FieldError::not_supported(&at, &kind.into(), known));
            } else if fields.get("type") != Some(&Value::from("object")) {
                self.refuse(
                    &path.child("type"),
                    &fields.get("type").cloned().unwrap_or_else(|| "".into()),
                    "must be object if x-kubernetes-map-type is specified",
                );
            }
        }
        let items = fields.get("items").and_then(Value::as_object);
        match (list_type(fields), items) {
            (ListType::Map(keys), items) => {
                if keys.is_empty() {
                    self.require(&keys_at, "must not be empty if x-kubernetes-list-type is map");
                }
                let shown = Value::from(keys.clone());
                if keys.iter().enumerate().any(|(index, key)| keys[..index].contains(key)) {
                    self.refuse(&keys_at, &shown, "must not contain duplicate entries");
                }
                let kind = items.and_then(|items| items.get("type")?.as_str());
                if kind.is_some_and(|kind| kind != "object") {
                    let items_at = path.child("items");
                    self.refuse(
                        &items_at.child("type"),
                        &kind.into(),
                        "must be object if parent array's x-kubernetes-list-type is map",
                    );
                    return;
                }
                for key in &keys {
                    self.map_key(key, &keys_at, &shown, items, path);
                }
            }
            (_, _) if fields.contains_key("x-kubernetes-list-map-keys") => {
                self.require(&at, "must be map if x-kubernetes-list-map-keys is non-empty");
            }
            (ListType::Set, Some(items)) => {
                let compound = match items.get("type").and_then(Value::as_str) {
                    Some("object") => items.get("x-kubernetes-map-type") != Some(&"atomic".into()),
                    Some("array") => {
                        items.get("x-kubernetes-list-type").is_some_and(|kind| kind != "atomic")
                    }
                    _ => false,
                };
                if compound {
                    let list = items.get("type") == Some(&"array".into());
                    let keyword =
                        if list { "x-kubernetes-list-type" } else { "x-kubernetes-map-type" };
                    let items_at = path.child("items");
                    self.refuse(
                        &items_at.child(keyword),
                        &items.get(keyword).cloned().unwrap_or_default(),
                        "must be atomic as item of a list with x-kubernetes-list-type=set",
                    );
                }
            }
            _ => {}
        }
    }

    fn map_key(
        &mut self,
        key: &str,
        at: &Path<'_>,
        keys: &Value,
        items: Option<&Map<String, Value>>,
        path: &Path<'_>,
    ) {
        let property = items.and_then(|items| items.get("properties")?.get(key)?.as_object());
        let Some(property) = property else {
            self.refuse(at, keys, "entries must all be names of item properties");
            return;
        };
        let kind = property.get("type").and_then(Value::as_str);
        if matches!(kind, Some("object" | "array")) {
            let items_at = path.child("items");
            let properties = items_at.child("properties");
            self.refuse(
                &properties.key(key).child("type"),
                &kind.into(),
                "must be a scalar type if parent array's x-kubernetes-list-type is map",
            );
        }
        let required = items
            .and_then(|items| items.get("required")?.as_array())
            .is_some_and(|names| names.iter().any(|name| name == key));
        if !required && !property.contains_key("default") {
            let items = path.child("items");
            let properties = items.child("properties");
            self.require(
                &properties.key(key).child("default"),
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            );
        }
    }

    fn pattern(&mut self, fields: &Map<String, Value>, path: &Path<'_>) {
        if let Some(pattern) = fields.get("pattern").and_then(Value::as_str)
            && let Err(why) = compile_pattern(pattern)
        {
            let why = why.to_string();
            let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
            let detail = format!("must be a valid regular expression, but isn't: {why}");
            self.refuse(&path.child("pattern"), &pattern.into(), &detail);
        }
    }

    fn children(&mut self, fields: &Map<String, Value>, path: &Path<'_>, place: Place) {
        let properties_at = path.child("properties");
        for (name, schema) in
            fields.get("properties").and_then(Value::as_object).into_iter().flatten()
        {
            let at = properties_at.key(name);
            let Some(schema) = schema.as_object() else { continue };
            if place == Place::Root && name == "metadata" {
                let allowed = schema.get("properties").and_then(Value::as_object);
                let only_names = allowed
                    .is_none_or(|p| p.keys().all(|key| key == "name" || key == "generateName"));
                let plain = schema.keys().all(|key| {
                    matches!(key.as_str(), "type" | "properties" | "description" | "title")
                });
                if !only_names || !plain {
                    self.forbid(
                        &at,
                        "must not specify anything other than name and generateName, but metadata is implicitly specified",
                    );
                }
            }
            self.node(schema, &at, Place::Field);
        }
        if let Some(items) = fields.get("items").and_then(Value::as_object) {
            self.node(items, &path.child("items"), Place::Items);
        }
        if let Some(values) = fields.get("additionalProperties").and_then(Value::as_object) {
            self.node(values, &path.child("additionalProperties"), Place::Values);
        }
    }

    /// Logic may narrow what `shape` declares, and declare nothing.
    fn logic(
        &mut self,
        fields: &Map<String, Value>,
        shape: &Map<String, Value>,
        path: &Path<'_>,
        types_allowed: bool,
    ) {
        for name in ["allOf", "anyOf", "oneOf"] {
            let at = path.child(name);
            let list = fields.get(name).and_then(Value::as_array).into_iter().flatten();
            for (index, schema) in list.enumerate() {
                if let Some(schema) = schema.as_object() {
                    self.narrowing(schema, shape, &at.index(index), types_allowed);
                }
            }
        }
        if let Some(schema) = fields.get("not").and_then(Value::as_object) {
            self.narrowing(schema, shape, &path.child("not"), false);
        }
    }

    fn narrowing(
        &mut self,
        schema: &Map<String, Value>,
        shape: &Map<String, Value>,
        path: &Path<'_>,
        types_allowed: bool,
    ) {
        if self.errors.len() >= MAX_ERRORS {
            return;
        }
        self.pattern(schema, path);
        for name in SHAPING {
            if schema.contains_key(name) && !(name == "type" && types_allowed) {
                let must = if name == "default" { "undefined" } else { "empty" };
                self.forbid(&path.child(name), &format!("must be {must} to be structural"));
            }
        }
        let at = path.child("properties");
        for (name, inner) in
            schema.get("properties").and_then(Value::as_object).into_iter().flatten()
        {
            let declared = shape.get("properties").and_then(|p| p.get(name)?.as_object());
            match (inner.as_object(), declared) {
                (Some(inner), Some(declared)) => {
                    self.narrowing(inner, declared, &at.key(name), false);
                }
                // What is not declared is pruned: there is nothing to narrow.
                (Some(_), None) => {}
                (None, _) => {}
            }
        }
        let declared = shape.get("items").and_then(Value::as_object);
        if let (Some(inner), Some(declared)) =
            (schema.get("items").and_then(Value::as_object), declared)
        {
            self.narrowing(inner, declared, &path.child("items"), false);
        }
        self.logic(schema, shape, path, types_allowed);
    }

    fn default(&mut self, fields: &Map<String, Value>, path: &Path<'_>) {
        let Some(default) = fields.get("default") else { return };
        let at = path.child("default");
        let schema = Schema::parse(&Value::Object(fields.clone()));
        let mut value = default.clone();
        if !shape::prune_value(&schema, &mut value).is_empty() {
            self.refuse(&at, default, "must not have unknown fields");
            return;
        }
        schema.default_value(&mut value);
        for error in schema.validate(&value, None) {
            let field = match error.field.as_str() {
                "<nil>" => at.to_string(),
                below => format!("{at}.{below}"),
            };
            self.errors.push(FieldError { field, ..error });
        }
    }

    fn rules(&mut self, fields: &Map<String, Value>, path: &Path<'_>) {
        let at = path.child("x-kubernetes-validations");
        let list = fields.get("x-kubernetes-validations").and_then(Value::as_array);
        for (index, entry) in list.into_iter().flatten().enumerate() {
            let at = at.index(index);
            let text = |name: &str| entry.get(name).and_then(Value::as_str);
            if text("rule").is_none_or(|rule| rule.trim().is_empty()) {
                self.require(&at.child("rule"), "rule is not specified");
            }
            if text("message").is_some_and(|m| m.contains('\n')) {
                self.refuse(
                    &at.child("message"),
                    &text("message").unwrap_or_default().into(),
                    "must not contain line breaks",
                );
            }
            if let Some(reason) = text("reason")
                && !REASONS.contains(&reason)
            {
                self.errors.push(FieldError::not_supported(
                    &at.child("reason"),
                    &reason.into(),
                    REASONS,
                ));
            }
            if let Some(below) = text("fieldPath").filter(|path| !path.is_empty()) {
                let schema = Schema::parse(&Value::Object(fields.clone()));
                let found =
                    jsonpath::simple(below).is_some_and(|names| schema.at(&names).is_some());
                // Quoted keys and such are beyond the simple form and are taken as they are.
                if !below.contains('[') && !found {
                    self.refuse(&at.child("fieldPath"), &below.into(), "must be a valid path");
                }
            }
        }
    }

    fn require(&mut self, path: &Path<'_>, what: &str) {
        self.errors.push(FieldError::required(path, what));
    }

    fn forbid(&mut self, path: &Path<'_>, why: &str) {
        self.errors.push(FieldError::forbidden(path, why));
    }

    fn refuse(&mut self, path: &Path<'_>, value: &Value, why: &str) {
        self.errors.push(FieldError::invalid(path, value, why));
    }
}

fn has_flag(fields: &Map<String, Value>, name: &str) -> bool {
    fields.get(name) == Some(&Value::Bool(true))
}

fn is_int_or_string(fields: &Map<String, Value>) -> bool {
    has_flag(fields, "x-kubernetes-int-or-string")
}

/// What the value of a keyword must be.
#[derive(Clone, Copy)]
enum Form {
    Any,
    Text,
    Texts,
    Flag,
    Number,
    Count,
    List,
    Object,
    Schema,
    Schemas,
    SchemaOrFlag,
}

impl Form {
    fn fits(self, value: &Value) -> bool {
        match self {
            Self::Any => true,
            Self::Text => value.is_string(),
            Self::Texts => value.as_array().is_some_and(|list| list.iter().all(Value::is_string)),
            Self::Flag => value.is_boolean(),
            Self::Number => value.is_number(),
            Self::Count => value.as_i64().is_some(),
            Self::List => value.is_array(),
            Self::Object => value.as_object().is_some_and(|map| map.values().all(Value::is_object)),
            Self::Schema => value.is_object(),
            Self::Schemas => value.as_array().is_some_and(|list| list.iter().all(Value::is_object)),
            Self::SchemaOrFlag => value.is_object() || value.is_boolean(),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Any => "anything",
            Self::Text => "string",
            Self::Texts => "[]string",
            Self::Flag => "bool",
            Self::Number => "float64",
            Self::Count => "int64",
            Self::List => "[]v1.JSON",
            Self::Object => "map[string]v1.JSONSchemaProps",
            Self::Schema => "v1.JSONSchemaProps",
            Self::Schemas => "[]v1.JSONSchemaProps",
            Self::SchemaOrFlag => "v1.JSONSchemaPropsOrBool",
        }
    }
}

fn form_of(keyword: &str) -> Option<Form> {
    KEYWORDS.iter().find(|(name, _)| *name == keyword).map(|(_, form)| *form)
}

const KEYWORDS: [(&str, Form); 47] = [
    ("$ref", Form::Text),
    ("$schema", Form::Text),
    ("additionalItems", Form::SchemaOrFlag),
    ("additionalProperties", Form::SchemaOrFlag),
    ("allOf", Form::Schemas),
    ("anyOf", Form::Schemas),
    ("default", Form::Any),
    ("definitions", Form::Object),
    ("dependencies", Form::Any),
    ("description", Form::Text),
    ("enum", Form::List),
    ("example", Form::Any),
    ("exclusiveMaximum", Form::Flag),
    ("exclusiveMinimum", Form::Flag),
    ("externalDocs", Form::Any),
    ("format", Form::Text),
    ("id", Form::Text),
    ("items", Form::Schema),
    ("maxItems", Form::Count),
    ("maxLength", Form::Count),
    ("maxProperties", Form::Count),
    ("maximum", Form::Number),
    ("minItems", Form::Count),
    ("minLength", Form::Count),
    ("minProperties", Form::Count),
    ("minimum", Form::Number),
    ("multipleOf", Form::Number),
    ("not", Form::Schema),
    ("nullable", Form::Flag),
    ("oneOf", Form::Schemas),
    ("pattern", Form::Text),
    ("patternProperties", Form::Object),
    ("properties", Form::Object),
    ("required", Form::Texts),
    ("title", Form::Text),
    ("type", Form::Text),
    ("uniqueItems", Form::Flag),
    ("x-kubernetes-embedded-resource", Form::Flag),
    ("x-kubernetes-int-or-string", Form::Flag),
    ("x-kubernetes-list-map-keys", Form::Texts),
    ("x-kubernetes-list-type", Form::Text),
    ("x-kubernetes-map-type", Form::Text),
    ("x-kubernetes-preserve-unknown-fields", Form::Flag),
    ("x-kubernetes-validations", Form::Schemas),
    ("x-kubernetes-group-version-kind", Form::Any),
    ("x-kubernetes-patch-merge-key", Form::Text),
    ("x-kubernetes-patch-strategy", Form::Text),
];
const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const REASONS: [&str; 4] =
    ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
/// What may not stand in logic, because it declares.
const SHAPING: [&str; 11] = [
    "type",
    "default",
    "nullable",
    "title",
    "description",
    "additionalProperties",
    "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-list-type",
    "x-kubernetes-validations",
];
const MAX_ERRORS: usize = 100;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(spec: Value, expected: &[&str]) {
        let schema = json!({"type":"object","properties":{"spec": spec}});
        let errors: Vec<String> =
            check(&schema, &Path::Root).iter().map(ToString::to_string).collect();
        assert_eq!(errors, expected, "{schema}");
    }

    #[test]
    fn structural_schemas_pass() {
        refused(
            json!({"type":"object","required":["a"],"default":{"a":"x"},"properties":{
                "a":{"type":"string","pattern":"^a|x$","minLength":1},
                "b":{"x-kubernetes-int-or-string":true,"anyOf":[{"type":"integer"},{"type":"string"}]},
                "c":{"x-kubernetes-preserve-unknown-fields":true},
                "d":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["k"],
                    "items":{"type":"object","required":["k"],"properties":{"k":{"type":"string"}}}},
                "e":{"type":"object","additionalProperties":{"type":"integer"}}},
                "oneOf":[{"required":["a"]},{"properties":{"a":{"minLength":3}}}]}),
            &[],
        );
    }

    #[test]
    fn what_is_not_structural_is_named() {
        refused(
            json!({"properties":{"a":{"type":"string"}}}),
            &[
                "properties[spec].type: Required value: must not be empty for specified object fields",
            ],
        );
        refused(
            json!({"type":"text"}),
            &[
                r#"properties[spec].type: Unsupported value: "text": supported values: "array", "boolean", "integer", "number", "object", "string""#,
            ],
        );
        refused(
            json!({"type":"string","$ref":"#/x"}),
            &["properties[spec].$ref: Forbidden: $ref is not supported"],
        );
        refused(
            json!({"type":"string","pattern":"(?=x)"}),
            &[
                r#"properties[spec].pattern: Invalid value: "(?=x)": must be a valid regular expression, but isn't: look-around, including look-ahead and look-behind, is not supported"#,
            ],
        );
        refused(
            json!({"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":{"type":"string"}}),
            &[
                "properties[spec].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
            ],
        );
        refused(
            json!({"type":"array","items":{"type":"object","properties":{"k":{"type":"string"}}},
                "x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["k"]}),
            &[
                "properties[spec].items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            ],
        );
        refused(
            json!({"type":"object","properties":{"a":{"type":"string"}},"anyOf":[{"type":"object"},
                {"properties":{"b":{"minLength":1}}}]}),
            &["properties[spec].anyOf[0].type: Forbidden: must be empty to be structural"],
        );
        refused(
            json!({"type":"integer","default":"x"}),
            &[
                r#"properties[spec].default: Invalid value: "string":  in body must be of type integer: "string""#,
            ],
        );
        let wrong = json!({"type":"object","properties":{"a":{"type":"string","maxLength":"x"}}});
        assert_eq!(
            misfit(&wrong, "s").as_deref(),
            Some(
                "json: cannot unmarshal string into Go struct field JSONSchemaProps.s.properties.maxLength of type int64"
            )
        );
        refused(
            json!({"type":"object","x-kubernetes-validations":[{"rule":"true","reason":"Because","fieldPath":".no"}]}),
            &[
                r#"properties[spec].x-kubernetes-validations[0].reason: Unsupported value: "Because": supported values: "FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired""#,
                r#"properties[spec].x-kubernetes-validations[0].fieldPath: Invalid value: ".no": must be a valid path"#,
            ],
        );
    }

    #[test]
    fn roots_are_objects_and_leave_metadata_alone() {
        let error = |schema: Value| check(&schema, &Path::Root)[0].to_string();
        assert_eq!(error(json!({})), "type: Required value: must not be empty at the root");
        assert_eq!(
            error(json!({"type":"object","properties":{"metadata":{"type":"object",
                "properties":{"labels":{"type":"object"}}}}})),
            "properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified"
        );
    }

    #[test]
    fn unknown_keywords_are_removed_and_told() {
        let mut schema =
            json!({"type":"object","tipe":1,"properties":{"tipe":{"type":"string","oops":2}}});
        assert_eq!(
            prune(&mut schema, "schema"),
            [r#"unknown field "schema.tipe""#, r#"unknown field "schema.properties.tipe.oops""#]
        );
        assert_eq!(schema, json!({"type":"object","properties":{"tipe":{"type":"string"}}}));
    }
}
