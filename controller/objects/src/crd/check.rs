//! What a CRD must obey.
//!
//! Lives here: names, scope, versions, subresources, columns, selectable fields; what a change may not
//! touch; unknown fields. Must not: look into schemas (`schema::structural` does). Start at [`crd`].
//! Source: `k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation`.

use serde_json::Value;

use crate::builtin;
use crate::field::{FieldError, Path, Reason};
use crate::jsonpath::{self, JsonPath};
use crate::meta;
use crate::schema::{Schema, structural};

/// All that is wrong with a CRD, except its rules.
pub(super) fn crd(crd: &Value) -> Vec<FieldError> {
    let form = form().validate(crd, None);
    if !form.is_empty() {
        // Beyond this point every field has the type it must have.
        return form;
    }
    let mut errors = Vec::new();
    let spec = Path::Root.child("spec");
    names(crd, &spec, &mut errors);
    conversion(crd, &spec, &mut errors);
    let list = spec.child("versions");
    let versions = crd.pointer("/spec/versions").and_then(Value::as_array);
    let versions: &[Value] = versions.map_or(&[], Vec::as_slice);
    let storage = versions.iter().filter(|version| version["storage"] == true).count();
    if storage != 1 {
        let shown = versions.iter().map(|version| version["name"].clone()).collect();
        let why = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid(&list, &shown, why));
    }
    for (index, version) in versions.iter().enumerate() {
        let at = list.index(index);
        if versions[..index].iter().any(|other| other["name"] == version["name"]) {
            errors.push(FieldError::duplicate(&at.child("name"), &version["name"]));
        }
        errors.extend(at_schema(&list, index, versions.len() == 1, |path| {
            match version.pointer("/schema/openAPIV3Schema") {
                Some(schema) => structural::check(schema, path),
                // Told where it must stand.
                None => Vec::new(),
            }
        }));
        if version.pointer("/schema/openAPIV3Schema").is_none() {
            let schema = at.child("schema");
            errors.push(FieldError::required(&schema.child("openAPIV3Schema"), ""));
        }
        version_name(version, &at, &mut errors);
        // Parts of a version alone stand where the first version of the API had them.
        let place = if versions.len() == 1 { spec } else { at };
        self::version(version, &place, &mut errors);
    }
    errors
}

/// Runs `check` with the path that errors in the schema of a version have: a schema alone stands where
/// the first version of the API had it.
pub(super) fn at_schema(
    versions: &Path<'_>,
    index: usize,
    alone: bool,
    check: impl Fn(&Path<'_>) -> Vec<FieldError>,
) -> Vec<FieldError> {
    if alone {
        let spec = Path::Root.child("spec");
        return check(&spec.child("validation").child("openAPIV3Schema"));
    }
    check(&versions.index(index).child("schema").child("openAPIV3Schema"))
}

/// The first field whose value has not the type it must have, in the words of a typed decoder.
pub(super) fn misfit(crd: &Value) -> Option<String> {
    let wrong = form().validate(crd, None);
    if let Some(error) = wrong.iter().find(|error| error.reason == Reason::TypeInvalid) {
        let (_, detail) = error.message.rsplit_once("must be of type ").unwrap_or_default();
        let (wanted, found) = detail.split_once(": ").unwrap_or_default();
        let found = match found.trim_matches('"') {
            "integer" => "number",
            "boolean" => "bool",
            other => other,
        };
        return Some(format!(
            "json: cannot unmarshal {found} into Go struct field CustomResourceDefinition.{} of type {wanted}",
            error.field
        ));
    }
    let versions = crd.pointer("/spec/versions").and_then(Value::as_array);
    versions.into_iter().flatten().find_map(|version| {
        let schema = version.pointer("/schema/openAPIV3Schema").filter(|s| !s.is_null())?;
        structural::misfit(schema, "spec.versions.schema.openAPIV3Schema")
    })
}

/// Removes unknown fields of a CRD.
pub(super) fn prune(crd: &mut Value) -> Vec<String> {
    let mut unknown = form().prune(crd);
    let versions = crd.pointer_mut("/spec/versions").and_then(Value::as_array_mut);
    for (index, version) in versions.into_iter().flatten().enumerate() {
        if let Some(schema) = version.pointer_mut("/schema/openAPIV3Schema") {
            let prefix = format!("spec.versions[{index}].schema.openAPIV3Schema");
            unknown.extend(structural::prune(schema, &prefix));
        }
    }
    form().apply_defaults(crd);
    unknown
}

/// What may not change.
pub(super) fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let spec = Path::Root.child("spec");
    let names = spec.child("names");
    let fixed = [
        ("/spec/group", spec.child("group")),
        ("/spec/scope", spec.child("scope")),
        ("/spec/names/plural", names.child("plural")),
        ("/spec/names/kind", names.child("kind")),
    ];
    let changed = fixed.iter().filter(|(pointer, _)| new.pointer(pointer) != old.pointer(pointer));
    let mut errors: Vec<FieldError> = changed
        .map(|(pointer, path)| {
            let now = new.pointer(pointer).cloned().unwrap_or_default();
            FieldError::invalid(path, &now, "field is immutable")
        })
        .collect();
    let versions = |crd: &Value| -> Vec<Value> {
        let list = crd.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten();
        list.map(|version| version["name"].clone()).collect()
    };
    let kept = versions(new);
    let stored = old.pointer("/status/storedVersions").and_then(Value::as_array);
    for (index, version) in stored.into_iter().flatten().enumerate() {
        if !kept.contains(version) {
            let status = Path::Root.child("status");
            let list = status.child("storedVersions");
            errors.push(FieldError::invalid(
                &list.index(index),
                version,
                format!(
                    "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions",
                    name = version.as_str().unwrap_or_default()
                ),
            ));
        }
    }
    errors
}

fn names(crd: &Value, spec: &Path<'_>, errors: &mut Vec<FieldError>) {
    let text = |pointer: &str| crd.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (group, plural) = (text("/spec/group"), text("/spec/names/plural"));
    let at = spec.child("group");
    match meta::subdomain_error(group) {
        _ if group.is_empty() => errors.push(FieldError::required(&at, "")),
        Some(why) => errors.push(FieldError::invalid(&at, &group.into(), why)),
        None if !group.contains('.') => {
            let why = "should be a domain with at least one dot";
            errors.push(FieldError::invalid(&at, &group.into(), why));
        }
        None => {}
    }
    let names = spec.child("names");
    for field in ["plural", "singular", "kind", "listKind"] {
        let name = text(&format!("/spec/names/{field}"));
        let lowered = name.to_lowercase();
        // Kinds are checked in lower case; plural and singular must be.
        let probe = if matches!(field, "kind" | "listKind") { lowered.as_str() } else { name };
        if let Some(why) = dns1035_error(probe) {
            let why = match field {
                "kind" | "listKind" => {
                    format!("may have mixed case, but should otherwise match: {why}")
                }
                _ => why,
            };
            errors.push(FieldError::invalid(&names.child(field), &name.into(), why));
        }
    }
    if text("/spec/names/kind") == text("/spec/names/listKind") {
        let why = "kind and listKind may not be the same";
        let shown = crd["spec"]["names"]["listKind"].clone();
        errors.push(FieldError::invalid(&names.child("listKind"), &shown, why));
    }
    for (field, list) in
        [("shortNames", "/spec/names/shortNames"), ("categories", "/spec/names/categories")]
    {
        let at = names.child(field);
        for (index, name) in
            crd.pointer(list).and_then(Value::as_array).into_iter().flatten().enumerate()
        {
            if let Some(why) = dns1035_error(name.as_str().unwrap_or_default()) {
                errors.push(FieldError::invalid(&at.index(index), name, why));
            }
        }
    }
    let metadata = Path::Root.child("metadata");
    let name = text("/metadata/name");
    if name != format!("{plural}.{group}") {
        let why = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid(&metadata.child("name"), &name.into(), why));
    }
    let protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group == *domain || group.ends_with(&format!(".{domain}")));
    let approval = "api-approved.kubernetes.io";
    let approved = crd.pointer("/metadata/annotations").and_then(|a| a.get(approval)).is_some();
    if protected && !approved {
        let annotations = metadata.child("annotations");
        let why = format!(
            "protected groups must have approval annotation {approval:?}, see https://github.com/kubernetes/enhancements/pull/1111"
        );
        errors.push(FieldError::required(&annotations.key(approval), &why));
    }
}

fn conversion(crd: &Value, spec: &Path<'_>, errors: &mut Vec<FieldError>) {
    let at = spec.child("conversion");
    match crd.pointer("/spec/conversion/strategy").and_then(Value::as_str) {
        None | Some("None") => {}
        Some("Webhook") => errors.push(FieldError::forbidden(
            &at.child("strategy"),
            "this server calls no webhooks; use strategy None and versions of the same form",
        )),
        Some(other) => {
            let at = at.child("strategy");
            errors.push(FieldError::not_supported(&at, &other.into(), ["None", "Webhook"]));
        }
    }
    if crd.pointer("/spec/preserveUnknownFields") == Some(&Value::Bool(true)) {
        let why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errors.push(FieldError::invalid(&spec.child("preserveUnknownFields"), &true.into(), why));
    }
}

fn version_name(version: &Value, at: &Path<'_>, errors: &mut Vec<FieldError>) {
    let name = version["name"].as_str().unwrap_or_default();
    if let Some(why) = dns1035_error(name) {
        errors.push(FieldError::invalid(&at.child("name"), &name.into(), why));
    }
    if version["deprecated"] != true && version["deprecationWarning"].is_string() {
        let why = "can only be set for deprecated versions";
        let warning = &version["deprecationWarning"];
        errors.push(FieldError::invalid(&at.child("deprecationWarning"), warning, why));
    }
}

fn version(version: &Value, at: &Path<'_>, errors: &mut Vec<FieldError>) {
    let schema = version.pointer("/schema/openAPIV3Schema").map(Schema::parse).unwrap_or_default();
    if let Some(scale) = version.pointer("/subresources/scale") {
        let subresources = at.child("subresources");
        let at = subresources.child("scale");
        let paths = [("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")];
        for (field, below) in paths {
            let path = scale.get(field).and_then(Value::as_str).unwrap_or_default();
            scale_path(path, &[below], &at.child(field), errors);
        }
        if let Some(path) =
            scale.get("labelSelectorPath").and_then(Value::as_str).filter(|p| !p.is_empty())
        {
            scale_path(path, &[".spec.", ".status."], &at.child("labelSelectorPath"), errors);
        }
    }
    let columns = version.get("additionalPrinterColumns").and_then(Value::as_array);
    let list = at.child("additionalPrinterColumns");
    for (index, column) in columns.into_iter().flatten().enumerate() {
        let path = column["jsonPath"].as_str().unwrap_or_default();
        if let Err(why) = JsonPath::parse(path) {
            errors.push(FieldError::invalid(
                &list.index(index).child("JSONPath"),
                &path.into(),
                why,
            ));
        } else if path.is_empty() {
            errors.push(FieldError::required(&list.index(index).child("JSONPath"), ""));
        }
    }
    let fields = version.get("selectableFields").and_then(Value::as_array);
    let fields: &[Value] = fields.map_or(&[], Vec::as_slice);
    let list = at.child("selectableFields");
    if fields.len() > MAX_SELECTABLE {
        errors.push(FieldError::too_many(&list, fields.len(), MAX_SELECTABLE as u64));
    }
    for (index, field) in fields.iter().enumerate() {
        let path = field["jsonPath"].as_str().unwrap_or_default();
        let leaf = jsonpath::simple(path).and_then(|names| schema.at(&names).map(Schema::is_plain));
        if leaf != Some(true) {
            let at = list.index(index);
            let why =
                "must be a simple path to a field of type string, boolean or integer in the schema";
            errors.push(FieldError::invalid(&at.child("jsonPath"), &path.into(), why));
        }
    }
}

fn scale_path(path: &str, below: &[&str], at: &Path<'_>, errors: &mut Vec<FieldError>) {
    if path.is_empty() {
        errors.push(FieldError::required(at, ""));
    } else if !path.starts_with('.') {
        let why = "must be a simple json path starting with .";
        errors.push(FieldError::invalid(at, &path.into(), why));
    } else if !below.iter().any(|start| path.starts_with(start)) {
        let places: Vec<&str> = below.iter().map(|start| start.trim_end_matches('.')).collect();
        let why = format!("should be a json path under {}", places.join(" or "));
        errors.push(FieldError::invalid(at, &path.into(), why));
    }
}

fn dns1035_error(name: &str) -> Option<String> {
    match meta::label_error(name) {
        None if name.starts_with(|c: char| c.is_ascii_lowercase()) => None,
        _ => Some("a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')".into()),
    }
}

/// The form of a CRD, without that of schemas.
fn form() -> &'static Schema {
    let crd = builtin::kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    &crd.expect("it is one of the built-in kinds").schema
}

const MAX_SELECTABLE: usize = 8;
