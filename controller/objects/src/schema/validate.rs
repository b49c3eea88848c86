//! Checking an object against its schema.
//!
//! Lives here: types, bounds, choices, lists, logic; on update, what was wrong before and did not change
//! is let through. Must not: change the object. Start at [`Schema::validate`]. Texts:
//! `k8s.io/kube-openapi/pkg/validation/errors`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{Additional, Checks, Kind, ListType, Schema, format};
use crate::decode;
use crate::field::{FieldError, Path, Reason};
use crate::meta::{self, NameRule};
use crate::shown;

impl Schema {
    /// All that is wrong with a whole object. With `old` (the object as it is stored), errors in parts
    /// that did not change are left out.
    pub fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut errors = Vec::new();
        self.check(object, old, &Path::Root, &mut errors);
        errors
    }

    fn check(
        &self,
        value: &Value,
        old: Option<&Value>,
        path: &Path<'_>,
        out: &mut Vec<FieldError>,
    ) {
        if old == Some(value) || out.len() >= MAX_ERRORS {
            return;
        }
        if value.is_null() && (self.nullable || self.kind == Kind::Any) {
            return;
        }
        if !self.kind.fits(value) {
            // What else can be said about the value is said too.
            out.push(type_error(path, self.kind.word(), value));
        }
        if let Some(format) = &self.format
            && let Value::String(text) = value
            && self.kind == Kind::String
            && !format::holds(format, text)
        {
            let detail = format!("{} in body must be of type {format}: {text:?}", in_body(path));
            out.push(FieldError::wrong_type(path, value, detail));
        }
        if let Some(checks) = &self.checks {
            checks.check(value, path, out);
        }
        match value {
            Value::Object(fields) => self.check_object(fields, old, path, out),
            Value::Array(list) => self.check_list(list, old, path, out),
            _ => {}
        }
    }

    fn check_object(
        &self,
        fields: &Map<String, Value>,
        old: Option<&Value>,
        path: &Path<'_>,
        out: &mut Vec<FieldError>,
    ) {
        for name in self.required.iter().filter(|name| !fields.contains_key(*name)) {
            out.push(FieldError::required(&path.child(name), ""));
        }
        if self.embedded_resource {
            check_embedded(fields, path, out);
        }
        for (name, value) in fields {
            let before = old.and_then(|old| old.get(name));
            if let Some(schema) = self.properties.get(name) {
                schema.check(value, before, &path.child(name), out);
            } else if let Some(Additional::Schema(schema)) = &self.additional {
                schema.check(value, before, &path.child(name), out);
            }
        }
    }

    fn check_list(
        &self,
        list: &[Value],
        old: Option<&Value>,
        path: &Path<'_>,
        out: &mut Vec<FieldError>,
    ) {
        let old = old.and_then(Value::as_array);
        if matches!(self.list_type, ListType::Map(_))
            && let Some((index, item)) =
                list.iter().enumerate().find(|(_, item)| !item.is_object() && !item.is_null())
        {
            let detail = "must be an object for an array of list-type map";
            out.push(FieldError::invalid(&path.index(index), item, detail));
        }
        // Duplicates that were there before are let through.
        if old.is_none_or(|old| self.list_type.duplicates(old).next().is_none()) {
            for (index, shown) in self.list_type.duplicates(list) {
                out.push(FieldError::duplicate(&path.index(index), &shown));
            }
        }
        let Some(items) = &self.items else { return };
        let matching = old.map(|old| self.list_type.by_key(old)).unwrap_or_default();
        for (index, item) in list.iter().enumerate() {
            let before = self.list_type.key(item).and_then(|key| matching.get(&key).copied());
            items.check(item, before, &path.index(index), out);
        }
    }
}

impl ListType {
    /// What tells one element from another in a list that has such keys.
    pub(crate) fn key(&self, item: &Value) -> Option<String> {
        match self {
            Self::Map(keys) => {
                let values: Vec<&Value> =
                    keys.iter().map(|key| item.get(key).unwrap_or(&Value::Null)).collect();
                serde_json::to_string(&values).ok()
            }
            Self::Set | Self::Atomic => None,
        }
    }

    /// The elements by their key; empty for lists without keys.
    pub(crate) fn by_key<'v>(&self, list: &'v [Value]) -> BTreeMap<String, &'v Value> {
        list.iter().filter_map(|item| Some((self.key(item)?, item))).collect()
    }

    /// Elements that are there already, with what a message shows of them.
    fn duplicates<'v>(&'v self, list: &'v [Value]) -> impl Iterator<Item = (usize, Value)> + 'v {
        let mut seen = BTreeSet::new();
        list.iter().enumerate().filter_map(move |(index, item)| {
            let (key, shown) = match self {
                Self::Atomic => return None,
                Self::Set => (item.to_string(), item.clone()),
                Self::Map(keys) => {
                    let named = keys.iter().filter_map(|k| Some((k.clone(), item.get(k)?.clone())));
                    (self.key(item)?, Value::Object(named.collect()))
                }
            };
            (!seen.insert(key)).then_some((index, shown))
        })
    }
}

impl Kind {
    fn fits(self, value: &Value) -> bool {
        match self {
            Self::Any => true,
            Self::Object => value.is_object(),
            Self::Array => value.is_array(),
            Self::String => value.is_string(),
            Self::Integer => value.is_i64(),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::IntOrString => value.is_i64() || value.is_string(),
        }
    }
}

impl Checks {
    fn check(&self, value: &Value, path: &Path<'_>, out: &mut Vec<FieldError>) {
        if let Some(choices) = &self.choices
            && !choices.contains(value)
        {
            let texts: Vec<String> = choices
                .iter()
                .map(|choice| choice.as_str().map_or_else(|| choice.to_string(), str::to_owned))
                .collect();
            out.push(FieldError::not_supported(path, value, texts.iter().map(String::as_str)));
        }
        match value {
            Value::Number(number) => {
                if let Some(number) = number.as_f64() {
                    self.check_number(number, value, path, out);
                }
            }
            Value::String(text) => self.check_text(text, value, path, out),
            Value::Array(list) => self.check_list(list, value, path, out),
            Value::Object(fields) => self.check_size(fields.len(), path, out),
            Value::Null | Value::Bool(_) => {}
        }
        self.check_logic(value, path, out);
    }

    fn check_number(&self, number: f64, value: &Value, path: &Path<'_>, out: &mut Vec<FieldError>) {
        let mut say = |detail: String| out.push(FieldError::invalid(path, value, detail));
        let place = || in_body(path);
        // Whole numbers are held against whole bounds.
        let bound = |bound: f64| match decode::float(bound) {
            Value::Number(whole) if value.is_i64() && whole.is_i64() => whole.to_string(),
            _ => shown::number(bound),
        };
        match self.maximum {
            Some(max) if self.exclusive_maximum && number >= max => {
                say(format!("{} in body should be less than {}", place(), bound(max)));
            }
            Some(max) if number > max => {
                say(format!(
                    "{} in body should be less than or equal to {}",
                    place(),
                    shown::number(max)
                ));
            }
            _ => {}
        }
        match self.minimum {
            Some(min) if self.exclusive_minimum && number <= min => {
                say(format!("{} in body should be greater than {}", place(), bound(min)));
            }
            Some(min) if number < min => {
                say(format!(
                    "{} in body should be greater than or equal to {}",
                    place(),
                    shown::number(min)
                ));
            }
            _ => {}
        }
        if let Some(factor) = self.multiple_of
            && factor > 0.0
            && (number / factor).fract() != 0.0
        {
            say(format!("{} in body should be a multiple of {}", place(), bound(factor)));
        }
    }

    fn check_text(&self, text: &str, value: &Value, path: &Path<'_>, out: &mut Vec<FieldError>) {
        let length = text.chars().count() as u64;
        if let Some(max) = self.max_length.filter(|max| length > *max) {
            out.push(FieldError::too_long(path, max));
            // One thing at a time: a text that is too long or too short is not held against a pattern.
            return;
        }
        if let Some(min) = self.min_length.filter(|min| length < *min) {
            let detail = format!("{} in body should be at least {min} chars long", in_body(path));
            out.push(FieldError::invalid(path, value, detail));
            return;
        }
        if let Some(pattern) = self.pattern.as_ref().filter(|pattern| !pattern.matches(text)) {
            let detail = format!("{} in body should match '{}'", in_body(path), pattern.source);
            out.push(FieldError::invalid(path, value, detail));
        }
    }

    fn check_list(
        &self,
        list: &[Value],
        value: &Value,
        path: &Path<'_>,
        out: &mut Vec<FieldError>,
    ) {
        let length = list.len() as u64;
        if let Some(max) = self.max_items.filter(|max| length > *max) {
            out.push(FieldError::too_many(path, list.len(), max));
        }
        if let Some(min) = self.min_items.filter(|min| length < *min) {
            let detail = format!("{} in body should have at least {min} items", in_body(path));
            out.push(FieldError::invalid(path, &length.into(), detail));
        }
        if self.unique_items && ListType::Set.duplicates(list).next().is_some() {
            let detail = format!("{} in body shouldn't contain duplicates", in_body(path));
            out.push(FieldError::invalid(path, value, detail));
        }
    }

    fn check_size(&self, size: usize, path: &Path<'_>, out: &mut Vec<FieldError>) {
        if let Some(max) = self.max_properties.filter(|max| size as u64 > *max) {
            out.push(FieldError::too_many(path, size, max));
        }
        if let Some(min) = self.min_properties.filter(|min| (size as u64) < *min) {
            let detail = format!("{} in body should have at least {min} properties", in_body(path));
            out.push(FieldError::invalid(path, &size.into(), detail));
        }
    }

    fn check_logic(&self, value: &Value, path: &Path<'_>, out: &mut Vec<FieldError>) {
        let run = |schema: &Schema| {
            let mut errors = Vec::new();
            schema.check(value, None, path, &mut errors);
            errors
        };
        let mut say = |detail: &str, mut more: Vec<FieldError>| {
            let detail = format!("{} must {detail}", shown::quoted(&in_body(path)));
            // The error about the choice stands for no field.
            out.push(FieldError::invalid(&Path::Root, &Value::from(""), detail));
            out.append(&mut more);
        };
        let failed: Vec<FieldError> = self.all_of.iter().flat_map(run).collect();
        if !failed.is_empty() {
            say("validate all the schemas (allOf)", failed);
        }
        if !self.any_of.is_empty() {
            let tries: Vec<Vec<FieldError>> = self.any_of.iter().map(run).collect();
            if tries.iter().all(|errors| !errors.is_empty()) {
                let best = tries.into_iter().min_by_key(Vec::len).unwrap_or_default();
                say("validate at least one schema (anyOf)", best);
            }
        }
        if !self.one_of.is_empty() {
            let tries: Vec<Vec<FieldError>> = self.one_of.iter().map(run).collect();
            match tries.iter().filter(|errors| errors.is_empty()).count() {
                1 => {}
                0 => {
                    let best = tries.into_iter().min_by_key(Vec::len).unwrap_or_default();
                    say("validate one and only one schema (oneOf). Found none valid", best);
                }
                many => {
                    let detail = format!(
                        "validate one and only one schema (oneOf). Found {many} valid alternatives"
                    );
                    say(&detail, Vec::new());
                }
            }
        }
        if self.not.as_ref().is_some_and(|schema| run(schema).is_empty()) {
            say("not validate the schema (not)", Vec::new());
        }
    }
}

/// Whether an error of this kind means that rules cannot be evaluated.
pub(crate) fn blocks_rules(error: &FieldError) -> bool {
    matches!(
        error.reason,
        Reason::NotSupported
            | Reason::Required
            | Reason::TooLong
            | Reason::TooMany
            | Reason::TypeInvalid
    )
}

fn type_error(path: &Path<'_>, wanted: &str, found: &Value) -> FieldError {
    let word = match found {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let detail = format!("{} in body must be of type {wanted}: {word:?}", in_body(path));
    FieldError::wrong_type(path, &Value::from(word), detail)
}

/// The path as it stands in "… in body": empty for the root.
fn in_body(path: &Path<'_>) -> String {
    match path {
        Path::Root => String::new(),
        path => path.to_string(),
    }
}

fn check_embedded(fields: &Map<String, Value>, path: &Path<'_>, out: &mut Vec<FieldError>) {
    for name in ["apiVersion", "kind"] {
        if fields.get(name).and_then(Value::as_str).is_none_or(str::is_empty) {
            out.push(FieldError::required(&path.child(name), "must not be empty"));
        }
    }
    let named = fields.get("metadata").is_some_and(|meta| meta.get("name").is_some());
    if named {
        let object = Value::Object(fields.clone());
        let namespaced = object.pointer("/metadata/namespace").is_some();
        for mut error in meta::validate(&object, namespaced, NameRule::Subdomain) {
            error.field = format!("{}.{}", path, error.field);
            out.push(error);
        }
    }
}

/// Errors kept for one object: more help nobody.
const MAX_ERRORS: usize = 200;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Schema {
        Schema::parse(&json!({"type":"object","required":["spec"],"properties":{"spec":{
        "type":"object","required":["name"],"properties":{
            "name":{"type":"string"},
            "mode":{"type":"string","enum":["A","B"]},
            "replicas":{"type":"integer","minimum":0,"maximum":9},
            "memory":{"type":"string","pattern":"^[0-9]+(Mi|Gi)?$"},
            "version":{"type":"string","maxLength":20,"minLength":2},
            "timeout":{"type":"string","format":"duration"},
            "port":{"x-kubernetes-int-or-string":true,"anyOf":[{"type":"integer"},{"type":"string"}]},
            "tags":{"type":"array","x-kubernetes-list-type":"set","items":{"type":"string"},"maxItems":3},
            "ports":{"type":"array","x-kubernetes-list-type":"map",
                "x-kubernetes-list-map-keys":["name"],"items":{"type":"object","required":["name"],
                "properties":{"name":{"type":"string"},"port":{"type":"integer","maximum":9}}}},
            "one":{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"string"}},
                "oneOf":[{"required":["a"]},{"required":["b"]}]}
        }}}}))
    }

    fn check(spec: Value, expected: &[&str]) {
        let object = json!({"spec": spec});
        let errors: Vec<String> =
            schema().validate(&object, None).iter().map(ToString::to_string).collect();
        assert_eq!(errors, expected, "{object}");
    }

    #[test]
    fn errors_read_as_on_the_real_server() {
        check(json!({"name":"a","mode":"A","replicas":9,"port":"http","tags":["a","b"]}), &[]);
        check(json!({}), &["spec.name: Required value"]);
        check(
            json!({"name":"a","mode":"Z"}),
            &[r#"spec.mode: Unsupported value: "Z": supported values: "A", "B""#],
        );
        check(
            json!({"name":"a","replicas":12}),
            &[
                "spec.replicas: Invalid value: 12: spec.replicas in body should be less than or equal to 9",
            ],
        );
        check(
            json!({"name":"a","replicas":"x"}),
            &[
                r#"spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string""#,
            ],
        );
        check(
            json!({"name":"a","memory":"x"}),
            &[
                r#"spec.memory: Invalid value: "x": spec.memory in body should match '^[0-9]+(Mi|Gi)?$'"#,
            ],
        );
        check(
            json!({"name":"a","timeout":"zz"}),
            &[
                r#"spec.timeout: Invalid value: "zz": spec.timeout in body must be of type duration: "zz""#,
            ],
        );
        check(
            json!({"name":"a","version":"123456789012345678901"}),
            &["spec.version: Too long: may not be more than 20 bytes"],
        );
        check(json!({"name":"a","tags":["a","a"]}), &[r#"spec.tags[1]: Duplicate value: "a""#]);
        check(
            json!({"name":"a","tags":["a","b","c","d"]}),
            &["spec.tags: Too many: 4: must have at most 3 items"],
        );
        check(
            json!({"name":"a","ports":[{"name":"a"},{"name":"a"},{}]}),
            &[
                r#"spec.ports[1]: Duplicate value: {"name":"a"}"#,
                "spec.ports[2].name: Required value",
            ],
        );
        check(
            json!({"name":"a","one":{"a":"1","b":"2"}}),
            &[
                r#"<nil>: Invalid value: "": "spec.one" must validate one and only one schema (oneOf). Found 2 valid alternatives"#,
            ],
        );
        check(
            json!({"name":"a","port":true}),
            &[
                r#"spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean""#,
                r#"<nil>: Invalid value: "": "spec.port" must validate at least one schema (anyOf)"#,
                r#"spec.port: Invalid value: "boolean": spec.port in body must be of type integer: "boolean""#,
            ],
        );
    }

    #[test]
    fn what_was_wrong_before_and_did_not_change_is_let_through() {
        let old =
            json!({"spec":{"name":"a","mode":"Z","ports":[{"name":"x","port":99},{"name":"y"}]}});
        let mut new = old.clone();
        new["spec"]["replicas"] = json!(3);
        new["spec"]["ports"] = json!([{"name":"y","port":1},{"name":"x","port":99}]);
        assert_eq!(schema().validate(&new, Some(&old)), []);
        new["spec"]["ports"][0]["port"] = json!(77);
        assert_eq!(schema().validate(&new, Some(&old)).len(), 1);
    }

    #[test]
    fn some_errors_stop_the_rules() {
        let errors = schema().validate(&json!({"spec":{"name":1}}), None);
        assert!(errors.iter().any(blocks_rules));
        let errors = schema().validate(&json!({"spec":{"name":"a","replicas":99}}), None);
        assert!(!errors.iter().any(blocks_rules));
    }
}
