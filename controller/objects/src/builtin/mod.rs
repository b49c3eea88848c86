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
            Some(Value::Object(metadata)) => unknown = meta::prune(metadata, "metadata")?,
            Some(_) => return Err(format!("{}.metadata must be an object", self.kind)),
        }
        unknown.extend(self.schema.prune(object));
        self.schema.apply_defaults(object);
        let errors = self.schema.validate(object, None);
        match errors.iter().find(|error| error.reason == Reason::TypeInvalid) {
            None => Ok(unknown),
            Some(error) => Err(self.decode_error(&error.field, &error.message)),
        }
    }

    /// The words of a typed server: a bad base64 text or a wrong type.
    fn decode_error(&self, field: &str, message: &str) -> String {
        let field = field.split('[').next().unwrap_or_default();
        // `… must be of type string: "integer"`
        let mut parts = message.rsplitn(2, "must be of type ");
        let (wanted, found) = parts
            .next()
            .and_then(|end| end.split_once(": "))
            .map_or(("", ""), |(wanted, found)| (wanted, found.trim_matches('"')));
        match wanted {
            "byte" => "illegal base64 data in ".to_owned() + field,
            "date-time" => format!("parsing time {found:?} in {field}: it must be RFC 3339"),
            _ => {
                let found = if found == "integer" { "number" } else { found };
                format!(
                    "json: cannot unmarshal {found} into Go struct field {}.{field} of type {wanted}",
                    self.kind
                )
            }
        }
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
            Err("json: cannot unmarshal number into Go struct field ConfigMap.data.k of type string".to_owned())
        );
        let secret = kind("", "v1", "Secret").expect("built in");
        assert!(secret.admit(&mut json!({"data":{"k":"%"}})).is_err());
        assert_eq!(secret.admit(&mut json!({"data":{"k":"aGk="}})), Ok(vec![]));
    }
}
