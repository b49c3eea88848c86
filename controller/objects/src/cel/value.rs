//! JSON to CEL, by schema.
//!
//! Lives here: types that only the schema knows (numbers that are doubles, timestamps, durations, bytes),
//! names of fields as CEL can say them, and hiding what the schema does not declare. Start at [`to_cel`].

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta};
use kube_cel::cel::Value as CelValue;
use kube_cel::cel::objects::{Key, Map, OptionalValue};
use serde_json::{Map as JsonMap, Value};

use crate::schema::{Kind, Schema, format};

/// The CEL value of `value`, which is right by `schema`. Of a whole resource, rules also see apiVersion,
/// kind and the names in metadata.
pub(super) fn to_cel(value: &Value, schema: &Schema, is_resource: bool) -> CelValue {
    match (value, schema.kind) {
        (Value::Number(number), Kind::Number) => {
            CelValue::Float(number.as_f64().unwrap_or(f64::NAN))
        }
        (Value::String(text), Kind::String) => formatted(text, schema.format.as_deref()),
        (Value::Array(list), _) => {
            let convert = |item: &Value| match &schema.items {
                Some(items) => to_cel(item, items, false),
                None => plain(item),
            };
            CelValue::List(Arc::new(list.iter().map(convert).collect()))
        }
        (Value::Object(fields), Kind::Any) => {
            map(fields.iter().map(|(k, v)| (k.clone(), plain(v))))
        }
        (Value::Object(fields), _) if schema.is_map() => map(fields.iter().map(|(name, value)| {
            let convert = |schema| to_cel(value, schema, false);
            (name.clone(), schema.field(name).map_or_else(|| plain(value), convert))
        })),
        (Value::Object(fields), _) => {
            object(fields, schema, is_resource || schema.embedded_resource)
        }
        _ => plain(value),
    }
}

/// An optional value, as `oldSelf` is when a rule asks for it.
pub(super) fn optional(value: Option<CelValue>) -> CelValue {
    CelValue::Opaque(Arc::new(value.map_or_else(OptionalValue::none, OptionalValue::of)))
}

/// The name of a field as a rule must write it.
pub(super) fn escape(name: &str) -> String {
    if RESERVED.contains(&name) {
        return format!("__{name}__");
    }
    if !name.contains("__") && !name.contains(['.', '-', '/']) {
        return name.to_owned();
    }
    name.replace("__", "__underscores__")
        .replace('.', "__dot__")
        .replace('-', "__dash__")
        .replace('/', "__slash__")
}

fn object(fields: &JsonMap<String, Value>, schema: &Schema, is_resource: bool) -> CelValue {
    map(fields.iter().filter_map(|(name, value)| {
        if is_resource {
            match name.as_str() {
                "apiVersion" | "kind" => return Some((name.clone(), plain(value))),
                "metadata" => return Some((name.clone(), metadata(value))),
                _ => {}
            }
        }
        let schema = schema.properties.get(name)?;
        // A null that the schema allows counts as absent only where the rule asks with has().
        Some((escape(name), to_cel(value, schema, false)))
    }))
}

fn metadata(value: &Value) -> CelValue {
    let names = ["name", "generateName"].into_iter();
    map(names.filter_map(|name| Some((name.to_owned(), plain(value.get(name)?)))))
}

fn formatted(text: &str, format: Option<&str>) -> CelValue {
    let as_text = || CelValue::String(Arc::new(text.to_owned()));
    match format {
        Some("date-time") => {
            DateTime::parse_from_rfc3339(text).map_or_else(|_| as_text(), CelValue::Timestamp)
        }
        Some("date") => DateTime::parse_from_rfc3339(&format!("{text}T00:00:00Z"))
            .map_or_else(|_| as_text(), CelValue::Timestamp),
        Some("duration") => format::duration(text)
            .map_or_else(as_text, |nanos| CelValue::Duration(TimeDelta::nanoseconds(nanos))),
        Some("byte") => {
            STANDARD.decode(text).map_or_else(|_| as_text(), |b| CelValue::Bytes(Arc::new(b)))
        }
        _ => as_text(),
    }
}

fn plain(value: &Value) -> CelValue {
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(value) => CelValue::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => CelValue::Int(integer),
            None => CelValue::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => CelValue::String(Arc::new(text.clone())),
        Value::Array(list) => CelValue::List(Arc::new(list.iter().map(plain).collect())),
        Value::Object(fields) => {
            map(fields.iter().map(|(name, value)| (name.clone(), plain(value))))
        }
    }
}

fn map(entries: impl Iterator<Item = (String, CelValue)>) -> CelValue {
    let map = entries.map(|(name, value)| (Key::String(Arc::new(name)), value)).collect();
    CelValue::Map(Map { map: Arc::new(map) })
}

const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];
