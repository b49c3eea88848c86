//! The kinds that every server has: Namespace, ConfigMap, Secret, Lease, Event…
//!
//! Lives here: their names and forms (`kinds.yaml`), and bringing a body of such a kind into shape as a
//! typed server would. Must not: hold the rules of a kind beyond its form. Start at [`kind`].

use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::decode;
use crate::field::Reason;
use crate::meta;
use crate::schema::Schema;
use crate::shown;

/// A built-in kind.
#[derive(Debug)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: String,
    /// API version.
    pub version: String,
    /// The kind.
    pub kind: String,
    /// Plural, as in URLs.
    pub plural: String,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// The form of its body, for OpenAPI documents.
    pub declared_schema: Value,
    /// The same, parsed.
    pub schema: Schema,
}

/// All built-in kinds.
pub fn kinds() -> &'static [Kind] {
    &KINDS
}

/// The built-in kind of this name.
pub fn kind(group: &str, version: &str, kind: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|k| k.kind == kind && k.group == group && k.version == version)
}

impl Kind {
    /// Brings a body into shape: drops nulls and unknown fields.
    ///
    /// Returns a text for each unknown field.
    ///
    /// # Errors
    /// A field has another type than it must; the text is for a 400.
    pub fn admit(&self, object: &mut Value) -> Result<Vec<String>, String> {
        let mut unknown = Vec::new();
        let Value::Object(fields) = object else { return Err("the body must be an object".into()) };
        match fields.get_mut("metadata") {
            None | Some(Value::Null) => {
                fields.insert("metadata".into(), Value::Object(Map::new()));
            }
            Some(Value::Object(metadata)) => {
                unknown = meta::prune(metadata, "metadata", "metadata.")?
            }
            Some(other) => {
                let found = shown::json_kind(other);
                return Err(format!(
                    "json: cannot unmarshal {found} into Go struct field {}.metadata of type v1.ObjectMeta",
                    self.kind
                ));
            }
        }
        unknown.extend(self.schema.prune(object));
        self.fill_maps(object);
        self.schema.apply_defaults(object);
        let errors = self.schema.validate(object, None);
        match errors.iter().find(|error| error.reason == Reason::TypeInvalid) {
            None => Ok(unknown),
            Some(error) => Err(self.decode_error(object, &error.field, &error.message)),
        }
    }

    /// A null in a map of texts reads as the empty text.
    fn fill_maps(&self, object: &mut Value) {
        let maps = self.schema.properties.iter().filter(|(_, schema)| schema.is_map());
        for (name, _) in maps {
            let entries = object.get_mut(name).and_then(Value::as_object_mut).into_iter().flatten();
            for (_, entry) in entries.filter(|(_, entry)| entry.is_null()) {
                *entry = Value::String(String::new());
            }
        }
    }

    /// The words of a typed server: a bad base64 text or a wrong type.
    fn decode_error(&self, object: &Value, field: &str, message: &str) -> String {
        let (place, found, declared) = self.declared(object, field);
        let wanted = message.rsplit("must be of type ").next().unwrap_or_default();
        if wanted.starts_with("byte") {
            let text = found.as_str().unwrap_or_default();
            return format!("illegal base64 data at input byte {}", bad_base64(text));
        }
        if wanted.starts_with("date-time") {
            let text = shown::quoted(found.as_str().unwrap_or_default());
            return format!(
                "parsing time {text} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text} as \"2006\""
            );
        }
        let found = shown::json_kind(found);
        let wanted = declared.map_or("", Schema::go_type);
        format!(
            "json: cannot unmarshal {found} into Go struct field {}.{place} of type {wanted}",
            self.kind
        )
    }

    /// Where an error at `field` stands for a typed decoder, which names fields and no keys or indices;
    /// with the value and the form it should have.
    fn declared<'v>(&self, object: &'v Value, field: &str) -> (String, &'v Value, Option<&Schema>) {
        let (mut place, mut value, mut schema) = (String::new(), object, Some(&self.schema));
        let field = field.replace('[', ".[");
        let mut steps = field.split('.').filter(|step| !step.is_empty());
        while let (Some(at), Some(step)) = (schema, steps.next()) {
            if let Some(index) = step.strip_prefix('[') {
                value = &value[index.trim_end_matches(']').parse::<usize>().unwrap_or_default()];
                schema = at.items.as_deref();
            } else if at.is_map() {
                // A key may hold dots: all that is left belongs to it.
                let rest: Vec<&str> = std::iter::once(step).chain(steps.by_ref()).collect();
                value = &value[rest.join(".")];
                schema = at.field("");
            } else {
                if !place.is_empty() {
                    place.push('.');
                }
                place.push_str(step);
                value = &value[step];
                schema = at.field(step);
            }
        }
        (place, value, schema)
    }
}

/// Where a text stops being base64.
fn bad_base64(text: &str) -> usize {
    use base64::DecodeError::{InvalidByte, InvalidLastSymbol};
    use base64::Engine;
    match base64::engine::general_purpose::STANDARD.decode(text) {
        Err(InvalidByte(at, _) | InvalidLastSymbol(at, _)) => at,
        _ => text.len() / 4 * 4,
    }
}

static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    let decoded = decode::yaml(include_bytes!("kinds.yaml"))
        .expect("the file is part of the program and read by a test");
    let mut root = merged(decoded.value);
    let Value::Array(kinds) = root["kinds"].take() else { return Vec::new() };
    kinds.into_iter().map(Kind::read).collect()
});

impl Kind {
    fn read(mut entry: Value) -> Self {
        let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let (group, version) = (text("group"), text("version"));
        let (kind, plural) = (text("kind"), text("plural"));
        let namespaced = entry["namespaced"] == true;
        let declared_schema = entry["schema"].take();
        let schema = Schema::parse(&declared_schema);
        Self { group, version, kind, plural, namespaced, declared_schema, schema }
    }
}

/// Takes in what stands under the merge key `<<`; what stands beside it wins.
fn merged(value: Value) -> Value {
    match value {
        Value::Object(mut fields) => {
            let base = fields.remove("<<").map(merged);
            let own = fields.into_iter().map(|(name, value)| (name, merged(value)));
            match base {
                Some(Value::Object(mut base)) => {
                    base.extend(own);
                    Value::Object(base)
                }
                _ => Value::Object(own.collect()),
            }
        }
        Value::Array(list) => Value::Array(list.into_iter().map(merged).collect()),
        scalar => scalar,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::field::Path;
    use crate::schema::structural;

    #[test]
    fn every_form_is_a_structural_schema() {
        assert_eq!(kinds().len(), 18);
        for kind in kinds() {
            let errors = structural::check(&kind.declared_schema, &Path::Root);
            assert_eq!(errors, [], "{}", kind.kind);
            let mut pruned = kind.declared_schema.clone();
            assert_eq!(structural::prune(&mut pruned, ""), [""; 0], "{}", kind.kind);
        }
    }

    #[test]
    fn bodies_are_shaped_as_by_a_typed_server() {
        let config = kind("", "v1", "ConfigMap").expect("built in");
        let mut body = json!({"metadata":{"name":"a","creationTimestamp":null},"data":{"k":"v"},
            "binaryData":null,"junk":1});
        assert_eq!(config.admit(&mut body), Ok(vec![r#"unknown field "junk""#.to_owned()]));
        assert_eq!(body, json!({"metadata":{"name":"a"},"data":{"k":"v"}}));
        let mut wrong = json!({"data":{"k":1}});
        assert_eq!(
            config.admit(&mut wrong),
            Err("json: cannot unmarshal number into Go struct field ConfigMap.data of type string"
                .to_owned())
        );
        let secret = kind("", "v1", "Secret").expect("built in");
        assert_eq!(
            secret.admit(&mut json!({"data":{"k.x":"aG%"}})),
            Err("illegal base64 data at input byte 2".to_owned())
        );
        assert_eq!(secret.admit(&mut json!({"data":{"k":"aGk="}})), Ok(vec![]));
    }
}
