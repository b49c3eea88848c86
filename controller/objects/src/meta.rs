//! The rules of `metadata` that hold for every kind.
//!
//! Lives here: names, labels, annotations, owners and finalizers; what an update may not change; the
//! generated part of a name. Must not: make uids, times or random numbers. Start at [`validate`] and
//! [`validate_update`]. Texts: `k8s.io/apimachinery/pkg/util/validation`.

use serde_json::{Map, Value};

use crate::field::{FieldError, Path};

/// What names a kind accepts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NameRule {
    /// Lower-case RFC 1123 subdomain, at most 253 characters: nearly all kinds.
    Subdomain,
    /// Lower-case RFC 1123 label, at most 63 characters: Namespace.
    Label,
    /// Anything that is one segment of a URL: RBAC kinds (`system:admin`).
    PathSegment,
}

/// All that is wrong with the metadata of a whole object, on create and on update.
///
/// `namespaced` tells whether a namespace must be there or must not.
pub fn validate(object: &Value, namespaced: bool, rule: NameRule) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let root = Path::Root.child("metadata");
    let Some(meta) = object.get("metadata").and_then(Value::as_object) else {
        return vec![FieldError::required(&root, "")];
    };
    check_name(meta, &root, rule, &mut errors);
    check_namespace(meta, &root, namespaced, &mut errors);
    check_labels(meta, &root, &mut errors);
    check_annotations(meta, &root, &mut errors);
    check_owners(meta, &root, &mut errors);
    check_finalizers(meta, &root, &mut errors);
    errors
}

/// All that an update may not do: change identity, or add finalizers to what is being deleted.
pub fn validate_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let root = Path::Root.child("metadata");
    for field in IMMUTABLE {
        let (now, before) = (in_meta(new, field), in_meta(old, field));
        if now != before {
            let shown = now.cloned().unwrap_or_default();
            errors.push(FieldError::invalid(&root.child(field), &shown, "field is immutable"));
        }
    }
    if in_meta(old, "deletionTimestamp").is_some() {
        let had = finalizers(old);
        let added: Vec<&str> =
            finalizers(new).into_iter().filter(|name| !had.contains(name)).collect();
        if !added.is_empty() {
            errors.push(FieldError::forbidden(
                &root.child("finalizers"),
                &format!(
                    "no new finalizers can be added if the object is being deleted, found new finalizers {added:?}"
                ),
            ));
        }
    }
    errors
}

/// Texts for the `Warning` header about finalizers without a domain.
pub fn finalizer_warnings(object: &Value) -> Vec<String> {
    let unqualified = finalizers(object).into_iter().enumerate().filter(|(_, name)| {
        !name.contains('/') && !matches!(*name, "orphan" | "foregroundDeletion" | "kubernetes")
    });
    unqualified
        .map(|(index, name)| {
            format!(
                "metadata.finalizers[{index}]: prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers: {name:?}"
            )
        })
        .collect()
}

/// Keeps of `metadata` what Kubernetes knows, in its types, and drops the rest; `null` counts as absent.
///
/// Returns one text for each unknown field, `prefix` first: `unknown field "metadata.junk"`.
///
/// # Errors
/// A known field has another type than it must: the decoding error that the client gets.
pub fn prune(metadata: &mut Map<String, Value>, prefix: &str) -> Result<Vec<String>, String> {
    let mut unknown = Vec::new();
    let mut wrong = None;
    metadata.retain(|name, value| {
        if value.is_null() || name == "selfLink" {
            return false;
        }
        let Some((_, form)) = FIELDS.iter().find(|(known, _)| known == name) else {
            unknown.push(format!("unknown field \"{prefix}.{name}\""));
            return false;
        };
        if let Err(found) = form.fit(value) {
            wrong.get_or_insert_with(|| {
                format!(
                    "json: cannot unmarshal {found} into Go struct field ObjectMeta.{prefix}.{name} of type {}",
                    form.go_name()
                )
            });
        }
        // The empty point in time of a typed client.
        !(name == "creationTimestamp" && value.as_str() == Some(""))
    });
    match wrong {
        None => Ok(unknown),
        Some(text) => Err(text),
    }
}

/// A name from `metadata.generateName`: the base, cut to 58 characters, and five drawn from `random`.
pub fn generate_name(base: &str, random: u64) -> String {
    let mut name: String = base.chars().take(MAX_GENERATED_BASE).collect();
    let mut rest = random;
    for _ in 0..5 {
        let alphabet = NAME_ALPHABET.len() as u64;
        let index = usize::try_from(rest % alphabet).unwrap_or_default();
        name.push(char::from(NAME_ALPHABET[index]));
        rest /= alphabet;
    }
    name
}

/// What is wrong with a lower-case RFC 1123 subdomain, if anything.
pub fn subdomain_error(name: &str) -> Option<String> {
    if name.len() > 253 {
        return Some("must be no more than 253 bytes".into());
    }
    let valid = name.split('.').all(is_label);
    (!valid).then(|| SUBDOMAIN_TEXT.into())
}

/// What is wrong with a lower-case RFC 1123 label, if anything.
pub fn label_error(name: &str) -> Option<String> {
    if name.len() > 63 {
        return Some("must be no more than 63 bytes".into());
    }
    (!is_label(name)).then(|| LABEL_TEXT.into())
}

/// What is wrong with the key of a label, an annotation or the like, if anything.
pub fn qualified_name_error(key: &str) -> Option<String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if name.contains('/') {
        return Some(format!(
            "a qualified name {QUALIFIED_TEXT} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        ));
    }
    match prefix {
        Some("") => return Some("prefix part must be non-empty".into()),
        Some(prefix) => {
            if let Some(why) = subdomain_error(prefix) {
                return Some(format!("prefix part {why}"));
            }
        }
        None => {}
    }
    match name.len() {
        0 => Some("name part must be non-empty".into()),
        64.. => Some("name part must be no more than 63 bytes".into()),
        _ if is_free_label(name) => None,
        _ => Some(format!("name part {QUALIFIED_TEXT}")),
    }
}

/// What is wrong with the value of a label, if anything.
pub fn label_value_error(value: &str) -> Option<String> {
    match value.len() {
        64.. => Some("must be no more than 63 bytes".into()),
        0 => None,
        _ if is_free_label(value) => None,
        _ => Some(LABEL_VALUE_TEXT.into()),
    }
}

/// The names in `metadata.finalizers`.
pub fn finalizers(object: &Value) -> Vec<&str> {
    in_meta(object, "finalizers")
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default()
}

fn in_meta<'v>(object: &'v Value, field: &str) -> Option<&'v Value> {
    object.get("metadata")?.get(field).filter(|value| !value.is_null())
}

fn check_name(
    meta: &Map<String, Value>,
    root: &Path<'_>,
    rule: NameRule,
    errors: &mut Vec<FieldError>,
) {
    let text = |field: &str| meta.get(field).and_then(Value::as_str).unwrap_or_default();
    let (name, base) = (text("name"), text("generateName"));
    if !base.is_empty() {
        // What is added makes a trailing dash right.
        let probe = base.strip_suffix('-').map_or_else(|| base.to_owned(), |cut| format!("{cut}a"));
        if let Some(why) = rule.error(&probe) {
            errors.push(FieldError::invalid(&root.child("generateName"), &base.into(), why));
        }
    }
    if name.is_empty() {
        errors.push(FieldError::required(&root.child("name"), "name or generateName is required"));
    } else if let Some(why) = rule.error(name) {
        errors.push(FieldError::invalid(&root.child("name"), &name.into(), why));
    }
}

impl NameRule {
    /// What is wrong with a name under this rule, if anything.
    pub fn error(self, name: &str) -> Option<String> {
        match self {
            Self::Subdomain => subdomain_error(name),
            Self::Label => label_error(name),
            Self::PathSegment => {
                let bad = matches!(name, "." | "..") || name.contains(['/', '%']);
                bad.then(|| "may not be '.' or '..', and may not contain '/' or '%'".to_owned())
            }
        }
    }
}

fn check_namespace(
    meta: &Map<String, Value>,
    root: &Path<'_>,
    namespaced: bool,
    errors: &mut Vec<FieldError>,
) {
    let namespace = meta.get("namespace").and_then(Value::as_str).unwrap_or_default();
    let path = root.child("namespace");
    match (namespaced, namespace.is_empty()) {
        (true, true) => errors.push(FieldError::required(&path, "")),
        (false, false) => {
            errors.push(FieldError::forbidden(&path, "not allowed on this type"));
        }
        (true, false) => {
            if let Some(why) = label_error(namespace) {
                errors.push(FieldError::invalid(&path, &namespace.into(), why));
            }
        }
        (false, true) => {}
    }
}

fn check_labels(meta: &Map<String, Value>, root: &Path<'_>, errors: &mut Vec<FieldError>) {
    let path = root.child("labels");
    for (key, value) in meta.get("labels").and_then(Value::as_object).into_iter().flatten() {
        if let Some(why) = qualified_name_error(key) {
            errors.push(FieldError::invalid(&path, &key.as_str().into(), why));
        }
        if let Some(why) = value.as_str().and_then(label_value_error) {
            errors.push(FieldError::invalid(&path, value, why));
        }
    }
}

fn check_annotations(meta: &Map<String, Value>, root: &Path<'_>, errors: &mut Vec<FieldError>) {
    let path = root.child("annotations");
    let mut total = 0;
    for (key, value) in meta.get("annotations").and_then(Value::as_object).into_iter().flatten() {
        if let Some(why) = qualified_name_error(&key.to_lowercase()) {
            errors.push(FieldError::invalid(&path, &key.as_str().into(), why));
        }
        total += key.len() + value.as_str().map_or(0, str::len);
    }
    if total > MAX_ANNOTATIONS {
        errors.push(FieldError::too_long(&path, MAX_ANNOTATIONS as u64));
    }
}

fn check_owners(meta: &Map<String, Value>, root: &Path<'_>, errors: &mut Vec<FieldError>) {
    let path = root.child("ownerReferences");
    let owners = meta.get("ownerReferences").and_then(Value::as_array);
    let mut controllers = 0;
    for (index, owner) in owners.into_iter().flatten().enumerate() {
        let at = path.index(index);
        for (field, what) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            let value = owner.get(field).cloned().unwrap_or_default();
            if value.as_str().is_none_or(str::is_empty) {
                // The real server leaves the index out here.
                let at = path.child(field);
                errors.push(FieldError::invalid(&at, &"".into(), what));
            }
        }
        if owner.get("controller") == Some(&Value::Bool(true)) {
            controllers += 1;
            if controllers == 2 {
                errors.push(FieldError::invalid(
                    &at,
                    owner,
                    "Only one reference can have Controller set to true",
                ));
            }
        }
    }
}

fn check_finalizers(meta: &Map<String, Value>, root: &Path<'_>, errors: &mut Vec<FieldError>) {
    let path = root.child("finalizers");
    let list = meta.get("finalizers").and_then(Value::as_array);
    for (index, name) in list.into_iter().flatten().enumerate() {
        if let Some(why) = name.as_str().and_then(qualified_name_error) {
            errors.push(FieldError::invalid(&path.index(index), name, why));
        }
    }
}

fn is_label(name: &str) -> bool {
    let bytes = name.as_bytes();
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    bytes.iter().all(inner) && *first != b'-' && *last != b'-'
}

fn is_free_label(name: &str) -> bool {
    let bytes = name.as_bytes();
    let inner = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    bytes.iter().all(inner) && first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric()
}

/// The type of a metadata field.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Integer,
    Texts,
    TextMap,
    Objects,
}

impl Form {
    /// Drops nulls inside; tells in Go's words what was found when it does not fit.
    fn fit(self, value: &mut Value) -> Result<(), &'static str> {
        let found = go_kind(value);
        let fits = match (self, value) {
            (Self::Text, Value::String(_)) => true,
            (Self::Integer, Value::Number(number)) => number.is_i64(),
            (Self::Texts, Value::Array(list)) => list.iter().all(Value::is_string),
            (Self::Objects, Value::Array(list)) => list.iter().all(Value::is_object),
            (Self::TextMap, Value::Object(map)) => {
                // A null in a map of strings reads as the empty string.
                for entry in map.values_mut().filter(|entry| entry.is_null()) {
                    *entry = Value::String(String::new());
                }
                match map.values().find(|entry| !entry.is_string()) {
                    None => true,
                    Some(entry) => return Err(go_kind(entry)),
                }
            }
            _ => false,
        };
        if fits { Ok(()) } else { Err(found) }
    }

    fn go_name(self) -> &'static str {
        match self {
            Self::Text | Self::TextMap | Self::Texts => "string",
            Self::Integer => "int64",
            Self::Objects => "[]v1.OwnerReference",
        }
    }
}

fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

const FIELDS: [(&str, Form); 14] = [
    ("annotations", Form::TextMap),
    ("creationTimestamp", Form::Text),
    ("deletionGracePeriodSeconds", Form::Integer),
    ("deletionTimestamp", Form::Text),
    ("finalizers", Form::Texts),
    ("generateName", Form::Text),
    ("generation", Form::Integer),
    ("labels", Form::TextMap),
    ("managedFields", Form::Objects),
    ("name", Form::Text),
    ("namespace", Form::Text),
    ("ownerReferences", Form::Objects),
    ("resourceVersion", Form::Text),
    ("uid", Form::Text),
];
const IMMUTABLE: [&str; 5] = ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp"];
const MAX_ANNOTATIONS: usize = 262_144;
const MAX_GENERATED_BASE: usize = 58;
/// No vowels and no look-alikes.
const NAME_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUBDOMAIN_TEXT: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_TEXT: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED_TEXT: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE_TEXT: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(meta: Value) -> Vec<String> {
        let object = json!({"metadata": meta});
        validate(&object, true, NameRule::Subdomain).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn good_metadata_passes() {
        let meta = json!({"name":"a.b-c","namespace":"default","labels":{"x.y/z":"A_b.c","e":""},
            "annotations":{"Some.Domain/Key":"any thing"},"finalizers":["troupe.dev/x","orphan"],
            "ownerReferences":[{"apiVersion":"v1","kind":"X","name":"x","uid":"u","controller":true}]});
        assert_eq!(check(meta), [""; 0]);
    }

    #[test]
    fn bad_names_quote_the_expression() {
        let errors = check(json!({"name":"Bad_Name","namespace":"default"}));
        assert_eq!(errors.len(), 1);
        assert!(errors[0].starts_with(
            "metadata.name: Invalid value: \"Bad_Name\": a lowercase RFC 1123 subdomain must consist of"
        ));
        assert!(
            errors[0]
                .ends_with(r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')")
        );
        let object = json!({"metadata":{"name":"a.b"}});
        assert!(!validate(&object, false, NameRule::Label).is_empty());
        assert!(validate(&object, false, NameRule::PathSegment).is_empty());
    }

    #[test]
    fn labels_owners_and_annotations_are_checked() {
        let errors = check(json!({"name":"a","namespace":"d","labels":{"-x":"ok","y":"no space"},
            "ownerReferences":[{"apiVersion":"v1","kind":"X","name":"x","uid":"","controller":true},
                {"apiVersion":"v1","kind":"X","name":"x","uid":"u","controller":true}],
            "annotations":{"big":"x".repeat(262_144)}}));
        assert_eq!(errors.len(), 5, "{errors:#?}");
        assert!(errors[2].contains("metadata.annotations: Too long: may not be more than 262144"));
        assert!(
            errors[3].starts_with(
                "metadata.ownerReferences.uid: Invalid value: \"\": must not be empty"
            )
        );
    }

    #[test]
    fn identity_is_immutable_and_the_dying_get_no_finalizers() {
        let old =
            json!({"metadata":{"name":"a","uid":"1","deletionTimestamp":"t","finalizers":["a/b"]}});
        let mut new = old.clone();
        assert!(validate_update(&new, &old).is_empty());
        new["metadata"]["uid"] = json!("zz");
        new["metadata"]["finalizers"] = json!(["a/b", "c/d"]);
        let errors = validate_update(&new, &old);
        assert_eq!(
            errors[0].to_string(),
            "metadata.uid: Invalid value: \"zz\": field is immutable"
        );
        assert_eq!(errors[1].reason.cause(), "FieldValueForbidden");
    }

    #[test]
    fn metadata_is_pruned() {
        let mut meta = json!({"name":"a","junk":1,"creationTimestamp":null,"labels":{"x":null}});
        let unknown = prune(meta.as_object_mut().expect("object"), "metadata").expect("types fit");
        assert_eq!(unknown, [r#"unknown field "metadata.junk""#]);
        assert_eq!(meta, json!({"name":"a","labels":{"x":""}}));
        let mut wrong = json!({"labels":{"x":1}});
        let error = prune(wrong.as_object_mut().expect("object"), "metadata").expect_err("number");
        assert_eq!(
            error,
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string"
        );
    }

    #[test]
    fn generated_names_have_five_characters_more() {
        let name = generate_name(&"x".repeat(80), u64::MAX);
        assert_eq!(name.len(), 63);
        assert_ne!(generate_name("a-", 1), generate_name("a-", 2));
        assert!(subdomain_error(&generate_name("a-", 12_345)).is_none());
    }

    #[test]
    fn unqualified_finalizers_draw_a_warning() {
        let object = json!({"metadata":{"finalizers":["a/b","plain"]}});
        assert_eq!(finalizer_warnings(&object).len(), 1);
    }
}
