//! The rules of `metadata` that hold for every kind.
//!
//! Lives here: names, labels, annotations, owners and finalizers; what an update may not change; the
//! generated part of a name. Must not: make uids, times or random numbers. Start at [`validate`] and
//! [`validate_update`]. Texts: `k8s.io/apimachinery/pkg/util/validation`.

use serde_json::{Map, Value};

use crate::field::{FieldError, Path};
use crate::shown;

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
                    "no new finalizers can be added if the object is being deleted, found new finalizers {}",
                    shown::texts(&added)
                ),
            ));
        }
    }
    errors
}

/// Texts for the `Warning` header about finalizers without a domain.
pub fn finalizer_warnings(object: &Value) -> Vec<String> {
    let unqualified = finalizers(object)
        .into_iter()
        .filter(|name| !name.contains('/') && !is_standard_finalizer(name));
    unqualified
        .map(|name| {
            let path = if name.contains('.') { " including a path (/)" } else { "" };
            format!(
                "metadata.finalizers: {}: prefer a domain-qualified finalizer name{path} to avoid accidental conflicts with other finalizer writers",
                shown::quoted(name)
            )
        })
        .collect()
}

/// What built-in kinds refuse and custom kinds only warn of: finalizers without a domain.
pub fn unqualified_finalizers(object: &Value) -> Vec<FieldError> {
    let root = Path::Root.child("metadata");
    let path = root.child("finalizers");
    let unqualified = finalizers(object)
        .into_iter()
        .enumerate()
        .filter(|(_, name)| !name.contains('/') && !is_standard_finalizer(name));
    let detail = "name is neither a standard finalizer name nor is it fully qualified";
    unqualified
        .map(|(index, name)| FieldError::invalid(&path.index(index), &name.into(), detail))
        .collect()
}

/// Keeps the first of several references to one owner; a text for the client when there were several.
pub fn dedup_owners(metadata: &mut Map<String, Value>) -> Option<String> {
    let owners = metadata.get_mut("ownerReferences").and_then(Value::as_array_mut)?;
    let mut kept: Vec<Value> = Vec::with_capacity(owners.len());
    let mut doubled: Vec<String> = Vec::new();
    for owner in owners.drain(..) {
        match kept.contains(&owner) {
            true => doubled.push(shown::plain(&owner["uid"])),
            false => kept.push(owner),
        }
    }
    *owners = kept;
    doubled.dedup();
    (!doubled.is_empty()).then(|| {
        format!(
            ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
            doubled.join(", ")
        )
    })
}

/// Keeps of `metadata` what Kubernetes knows, in its types, and drops the rest; `null` and what is empty
/// count as absent.
///
/// `place` is where the metadata stand in what is decoded: empty for custom kinds, `metadata.` for
/// built-in ones. Returns one text for each unknown field, `prefix` first:
/// `unknown field "metadata.junk"`.
///
/// # Errors
/// A known field has another type than it must: the decoding error that the client gets.
pub fn prune(
    metadata: &mut Map<String, Value>,
    prefix: &str,
    place: &str,
) -> Result<Vec<String>, String> {
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
        if let Err(why) = form.fit(value, &format!("{place}{name}")) {
            wrong.get_or_insert(why);
        }
        if matches!(form, Form::Owners) {
            prune_owners(value, &format!("{prefix}.{name}"), &mut unknown);
        }
        !is_empty(value)
    });
    match wrong {
        None => Ok(unknown),
        Some(text) => Err(text),
    }
}

fn prune_owners(owners: &mut Value, path: &str, unknown: &mut Vec<String>) {
    let list = owners.as_array_mut().into_iter().flatten();
    for (index, owner) in list.enumerate() {
        let Some(fields) = owner.as_object_mut() else { continue };
        fields.retain(|name, value| {
            let known = OWNER_FIELDS.iter().any(|(known, _)| known == name);
            if !known {
                unknown.push(format!("unknown field \"{path}[{index}].{name}\""));
            }
            known && !value.is_null()
        });
        for name in ["apiVersion", "kind", "name", "uid"] {
            fields.entry(name).or_insert_with(|| "".into());
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

fn is_standard_finalizer(name: &str) -> bool {
    matches!(name, "orphan" | "foregroundDeletion" | "kubernetes")
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
        return Some("must be no more than 253 characters".into());
    }
    let valid = name.split('.').all(is_label);
    (!valid).then(|| SUBDOMAIN_TEXT.into())
}

/// What is wrong with a lower-case RFC 1123 label, if anything.
pub fn label_error(name: &str) -> Option<String> {
    if name.len() > 63 {
        return Some("must be no more than 63 characters".into());
    }
    match is_label(name) {
        true => None,
        false if subdomain_error(name).is_none() => Some("must not contain dots".into()),
        false => Some(LABEL_TEXT.into()),
    }
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
        64.. => Some("name part must be no more than 63 characters".into()),
        _ if is_free_label(name) => None,
        _ => Some(format!("name part {QUALIFIED_TEXT}")),
    }
}

/// What is wrong with the value of a label, if anything.
pub fn label_value_error(value: &str) -> Option<String> {
    match value.len() {
        64.. => Some("must be no more than 63 characters".into()),
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
                let wrong = match name {
                    "." => "may not be '.'",
                    ".." => "may not be '..'",
                    name if name.contains('/') => "may not contain '/'",
                    name if name.contains('%') => "may not contain '%'",
                    _ => return None,
                };
                Some(wrong.to_owned())
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

/// As on the real server, errors name the list and not the element.
fn check_owners(meta: &Map<String, Value>, root: &Path<'_>, errors: &mut Vec<FieldError>) {
    let path = root.child("ownerReferences");
    let Some(owners) = meta.get("ownerReferences") else { return };
    let mut controller: Option<String> = None;
    for owner in owners.as_array().into_iter().flatten() {
        let text = |field: &str| owner.get(field).and_then(Value::as_str).unwrap_or_default();
        let (version, kind) = (text("apiVersion"), text("kind"));
        for (field, what) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            let value = text(field);
            // A version with more than one slash reads as none.
            if value.is_empty() || (field == "apiVersion" && value.matches('/').count() > 1) {
                errors.push(FieldError::invalid(&path.child(field), &value.into(), what));
            }
        }
        if kind == "Event" && matches!(version, "v1" | "events.k8s.io/v1") {
            let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
            let why = format!("{group}/{version}, Kind={kind} is disallowed from being an owner");
            errors.push(FieldError::invalid(&path, owner, why));
        }
        if owner.get("controller") == Some(&Value::Bool(true)) {
            let this = format!("{kind}/{}", text("name"));
            match &controller {
                None => controller = Some(this),
                Some(first) => {
                    let why = format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                    );
                    errors.push(FieldError::invalid(&path, owners, why));
                }
            }
        }
    }
}

fn check_finalizers(meta: &Map<String, Value>, root: &Path<'_>, errors: &mut Vec<FieldError>) {
    let path = root.child("finalizers");
    let list = meta.get("finalizers").and_then(Value::as_array);
    let names: Vec<&str> = list.into_iter().flatten().filter_map(Value::as_str).collect();
    for name in &names {
        if let Some(why) = qualified_name_error(name) {
            errors.push(FieldError::invalid(&path, &(*name).into(), why));
        }
    }
    if names.contains(&"orphan") && names.contains(&"foregroundDeletion") {
        let why = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(FieldError::invalid(&path, &names.into(), why));
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
    Flag,
    Time,
    Integer,
    Texts,
    TextMap,
    Owners,
    Objects,
}

impl Form {
    /// Refuses a value that does not fit, in the words of a typed decoder; `place` is where it stands.
    fn fit(self, value: &mut Value, place: &str) -> Result<(), String> {
        let found = shown::json_kind(value);
        let wrong = |found: &str, wanted: &str| {
            Err(format!(
                "json: cannot unmarshal {found} into Go struct field ObjectMeta.{place} of type {wanted}"
            ))
        };
        match (self, value) {
            (Self::Text, Value::String(_)) | (Self::Flag, Value::Bool(_)) => Ok(()),
            (Self::Text, _) => wrong(found, "string"),
            (Self::Flag, _) => wrong(found, "bool"),
            (Self::Integer, Value::Number(number)) if number.is_i64() => Ok(()),
            (Self::Integer, _) => wrong(found, "int64"),
            (Self::Time, Value::String(text)) => check_time(text),
            (Self::Time, _) => {
                Err(format!("json: cannot unmarshal {found} into Go value of type string"))
            }
            (Self::Texts, Value::Array(list)) => match list.iter().find(|item| !item.is_string()) {
                None => Ok(()),
                Some(item) => wrong(shown::json_kind(item), "string"),
            },
            (Self::Texts, _) => wrong(found, "[]string"),
            (Self::TextMap, Value::Object(map)) => {
                // A null in a map of strings reads as the empty string.
                for entry in map.values_mut().filter(|entry| entry.is_null()) {
                    *entry = Value::String(String::new());
                }
                match map.values().find(|entry| !entry.is_string()) {
                    None => Ok(()),
                    Some(entry) => wrong(shown::json_kind(entry), "string"),
                }
            }
            (Self::TextMap, _) => wrong(found, "map[string]string"),
            (Self::Owners, Value::Array(list)) => {
                for item in list {
                    let kind = shown::json_kind(item);
                    let Some(fields) = item.as_object_mut() else {
                        return wrong(kind, "v1.OwnerReference");
                    };
                    for (name, form) in OWNER_FIELDS {
                        if let Some(value) = fields.get_mut(name).filter(|value| !value.is_null()) {
                            form.fit(value, &format!("{place}.{name}")).map_err(|why| {
                                why.replacen("field ObjectMeta.", "field OwnerReference.", 1)
                            })?;
                        }
                    }
                }
                Ok(())
            }
            (Self::Owners, _) => wrong(found, "[]v1.OwnerReference"),
            (Self::Objects, Value::Array(list)) if list.iter().all(Value::is_object) => Ok(()),
            (Self::Objects, _) => wrong(found, "[]v1.ManagedFieldsEntry"),
        }
    }
}

/// Times are RFC 3339; an empty text is the time that is not set.
fn check_time(text: &str) -> Result<(), String> {
    if text.is_empty() || text.parse::<jiff::Timestamp>().is_ok() {
        return Ok(());
    }
    let year = text.get(..4).is_some_and(|year| year.bytes().all(|b| b.is_ascii_digit()));
    let rest = if year {
        "it must be RFC 3339".to_owned()
    } else {
        format!("cannot parse {} as \"2006\"", shown::quoted(text))
    };
    Err(format!("parsing time {} as \"2006-01-02T15:04:05Z07:00\": {rest}", shown::quoted(text)))
}

const FIELDS: [(&str, Form); 14] = [
    ("annotations", Form::TextMap),
    ("creationTimestamp", Form::Time),
    ("deletionGracePeriodSeconds", Form::Integer),
    ("deletionTimestamp", Form::Time),
    ("finalizers", Form::Texts),
    ("generateName", Form::Text),
    ("generation", Form::Integer),
    ("labels", Form::TextMap),
    ("managedFields", Form::Objects),
    ("name", Form::Text),
    ("namespace", Form::Text),
    ("ownerReferences", Form::Owners),
    ("resourceVersion", Form::Text),
    ("uid", Form::Text),
];
const OWNER_FIELDS: [(&str, Form); 6] = [
    ("apiVersion", Form::Text),
    ("blockOwnerDeletion", Form::Flag),
    ("controller", Form::Flag),
    ("kind", Form::Text),
    ("name", Form::Text),
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
        let unknown = prune(meta.as_object_mut().expect("object"), "metadata", "metadata.")
            .expect("types fit");
        assert_eq!(unknown, [r#"unknown field "metadata.junk""#]);
        assert_eq!(meta, json!({"name":"a","labels":{"x":""}}));
        let mut wrong = json!({"labels":{"x":1}});
        let error = prune(wrong.as_object_mut().expect("object"), "metadata", "metadata.")
            .expect_err("number");
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
