//! Structural schemas: what an object of a custom kind may look like.
//!
//! Lives here: the parsed schema; beside it what is done with it: `shape` (prune, drop nulls, default),
//! `validate`, `format`, and `structural` (what a schema itself must obey). Must not: evaluate rules
//! (`cel` does). Start at [`Schema::parse`].

pub(crate) mod format;
mod shape;
pub mod structural;
mod validate;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use regex::Regex;
use serde_json::{Map, Value};

use crate::cel::Rule;
pub(crate) use validate::blocks_rules;

/// One node of a structural schema.
#[derive(Debug, Default)]
pub struct Schema {
    pub(crate) kind: Kind,
    pub(crate) nullable: bool,
    pub(crate) preserve_unknown: bool,
    pub(crate) embedded_resource: bool,
    pub(crate) default: Option<Value>,
    pub(crate) properties: BTreeMap<String, Self>,
    pub(crate) additional: Option<Additional>,
    pub(crate) items: Option<Box<Self>>,
    pub(crate) required: Vec<String>,
    pub(crate) list_type: ListType,
    pub(crate) format: Option<String>,
    /// Checks that few nodes have.
    checks: Option<Box<Checks>>,
    pub(crate) rules: Vec<Rule>,
    /// Whether this node or one below has rules: subtrees without are not walked.
    pub(crate) has_rules: bool,
}

/// The type of a value.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Kind {
    /// No type said: anything.
    #[default]
    Any,
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    IntOrString,
}

impl Kind {
    /// The word for it in a schema; several are joined as in the messages of the real server.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Any => "",
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::IntOrString => "integer,string",
        }
    }
}

/// What entries besides the declared properties may be.
#[derive(Debug)]
pub(crate) enum Additional {
    /// Anything.
    Any,
    /// Values of this form: the object is a map.
    Schema(Box<Schema>),
}

/// How the elements of a list relate.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) enum ListType {
    /// The list is one value.
    #[default]
    Atomic,
    /// No two are equal.
    Set,
    /// No two have equal values in all of these fields.
    Map(Vec<String>),
}

#[derive(Debug, Default)]
struct Checks {
    choices: Option<Vec<Value>>,
    minimum: Option<f64>,
    maximum: Option<f64>,
    exclusive_minimum: bool,
    exclusive_maximum: bool,
    multiple_of: Option<f64>,
    min_length: Option<u64>,
    max_length: Option<u64>,
    pattern: Option<Pattern>,
    min_items: Option<u64>,
    max_items: Option<u64>,
    unique_items: bool,
    min_properties: Option<u64>,
    max_properties: Option<u64>,
    all_of: Vec<Schema>,
    any_of: Vec<Schema>,
    one_of: Vec<Schema>,
    not: Option<Box<Schema>>,
}

/// A pattern, compiled when it is first needed: most are never.
#[derive(Debug)]
struct Pattern {
    source: String,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// Whether the text matches; a pattern that cannot be compiled (refused with the CRD) matches all.
    fn matches(&self, text: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| compile_pattern(&self.source).ok());
        compiled.as_ref().is_none_or(|regex| regex.is_match(text))
    }
}

/// A pattern within bounds of size, so that no schema can claim much memory.
pub(crate) fn compile_pattern(source: &str) -> Result<Regex, regex::Error> {
    regex::RegexBuilder::new(source).size_limit(1 << 20).dfa_size_limit(1 << 20).build()
}

impl Schema {
    /// Reads a schema that [`structural::check`] found right; what is wrong in another one is ignored.
    pub fn parse(schema: &Value) -> Self {
        match schema {
            Value::Object(fields) => Self::from_fields(fields),
            _ => Self::default(),
        }
    }

    fn from_fields(fields: &Map<String, Value>) -> Self {
        let flag = |name: &str| fields.get(name) == Some(&Value::Bool(true));
        let child = |name: &str| fields.get(name).filter(|v| v.is_object()).map(Self::parse);
        let properties: BTreeMap<String, Self> = fields
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(name, schema)| (name.clone(), Self::parse(schema)))
            .collect();
        let additional = match fields.get("additionalProperties") {
            Some(schema @ Value::Object(_)) => {
                Some(Additional::Schema(Box::new(Self::parse(schema))))
            }
            Some(Value::Bool(true)) => Some(Additional::Any),
            _ => None,
        };
        let items = child("items").map(Box::new);
        let rules = Rule::all(fields.get("x-kubernetes-validations"));
        let has_rules = !rules.is_empty()
            || properties.values().any(|p| p.has_rules)
            || items.as_ref().is_some_and(|i| i.has_rules)
            || matches!(&additional, Some(Additional::Schema(s)) if s.has_rules);
        Self {
            kind: kind(fields),
            nullable: flag("nullable"),
            preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
            embedded_resource: flag("x-kubernetes-embedded-resource"),
            default: fields.get("default").cloned(),
            properties,
            additional,
            items,
            required: texts(fields.get("required")),
            list_type: list_type(fields),
            format: fields.get("format").and_then(Value::as_str).map(str::to_owned),
            checks: Checks::parse(fields).map(Box::new),
            rules,
            has_rules,
        }
    }

    /// The schema of the field `name`, of a map's values, or none.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        self.properties.get(name).or(match &self.additional {
            Some(Additional::Schema(schema)) => Some(schema),
            _ => None,
        })
    }

    /// The node that a simple path (`spec`, `replicas`) leads to.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |schema, name| schema.field(name))
    }

    /// Whether it is a string, a boolean or an integer.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.kind, Kind::String | Kind::Boolean | Kind::Integer)
    }

    /// The type that a typed decoder has for it, as its errors name it.
    pub(crate) fn go_type(&self) -> &'static str {
        match (self.kind, &self.additional, &self.items) {
            (Kind::String, ..) => "string",
            (Kind::Integer, ..) if self.format.as_deref() == Some("int32") => "int32",
            (Kind::Integer, ..) => "int64",
            (Kind::Boolean, ..) => "bool",
            (Kind::Object, Some(Additional::Schema(values)), _)
                if values.format.as_deref() == Some("byte") =>
            {
                "map[string][]uint8"
            }
            (Kind::Object, Some(_), _) => "map[string]string",
            (Kind::Array, _, Some(items)) if items.kind == Kind::String => "[]string",
            (Kind::Array, ..) => "[]v1.Object",
            _ => "v1.Object",
        }
    }

    /// Whether it is a map: keys are data and not names of fields.
    pub(crate) fn is_map(&self) -> bool {
        self.additional.is_some()
    }
}

fn kind(fields: &Map<String, Value>) -> Kind {
    if fields.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        return Kind::IntOrString;
    }
    match fields.get("type").and_then(Value::as_str) {
        Some("object") => Kind::Object,
        Some("array") => Kind::Array,
        Some("string") => Kind::String,
        Some("integer") => Kind::Integer,
        Some("number") => Kind::Number,
        Some("boolean") => Kind::Boolean,
        _ => Kind::Any,
    }
}

fn list_type(fields: &Map<String, Value>) -> ListType {
    match fields.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("set") => ListType::Set,
        Some("map") => ListType::Map(texts(fields.get("x-kubernetes-list-map-keys"))),
        _ => ListType::Atomic,
    }
}

fn texts(list: Option<&Value>) -> Vec<String> {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

impl Checks {
    fn parse(fields: &Map<String, Value>) -> Option<Self> {
        if !CHECKS.iter().any(|name| fields.contains_key(*name)) {
            return None;
        }
        let number = |name: &str| fields.get(name).and_then(Value::as_f64);
        let count = |name: &str| fields.get(name).and_then(Value::as_u64);
        let flag = |name: &str| fields.get(name) == Some(&Value::Bool(true));
        let schemas = |name: &str| -> Vec<Schema> {
            let list = fields.get(name).and_then(Value::as_array).into_iter().flatten();
            list.map(Schema::parse).collect()
        };
        Some(Self {
            choices: fields.get("enum").and_then(Value::as_array).cloned(),
            minimum: number("minimum"),
            maximum: number("maximum"),
            exclusive_minimum: flag("exclusiveMinimum"),
            exclusive_maximum: flag("exclusiveMaximum"),
            multiple_of: number("multipleOf"),
            min_length: count("minLength"),
            max_length: count("maxLength"),
            pattern: fields
                .get("pattern")
                .and_then(Value::as_str)
                .map(|source| Pattern { source: source.to_owned(), compiled: OnceLock::new() }),
            min_items: count("minItems"),
            max_items: count("maxItems"),
            unique_items: flag("uniqueItems"),
            min_properties: count("minProperties"),
            max_properties: count("maxProperties"),
            all_of: schemas("allOf"),
            any_of: schemas("anyOf"),
            one_of: schemas("oneOf"),
            not: fields.get("not").map(|schema| Box::new(Schema::parse(schema))),
        })
    }
}

const CHECKS: [&str; 18] = [
    "enum",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
];
