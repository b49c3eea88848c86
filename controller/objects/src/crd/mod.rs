//! CustomResourceDefinitions: what a custom kind is.
//!
//! Lives here: reading and checking a CRD, its defaults and its status; and, by the parsed CRD, what
//! becomes of an object of the kind on its way in. Must not: store or serve anything. Start at
//! [`Crd::parse`].

mod check;
mod order;
mod scale;

pub use order::{Preference, preference};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::field::{FieldError, Path};
use crate::meta;
use crate::schema::{Schema, blocks_rules};
use crate::table::Table;

/// A custom kind.
#[derive(Debug)]
pub struct Crd {
    /// API group.
    pub group: String,
    /// Plural in lower case, as in URLs.
    pub plural: String,
    /// Singular in lower case.
    pub singular: String,
    /// The kind.
    pub kind: String,
    /// The kind of its lists.
    pub list_kind: String,
    /// Other names that kubectl takes.
    pub short_names: Vec<String>,
    /// Groups of kinds it is in: `all`.
    pub categories: Vec<String>,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Its versions, as declared.
    pub versions: Vec<Version>,
}

/// One version of a custom kind.
#[derive(Debug)]
pub struct Version {
    /// `v1alpha1`.
    pub name: String,
    /// Whether it is offered to clients.
    pub served: bool,
    /// Whether it is the one that is stored.
    pub storage: bool,
    /// The text of the `Warning` header when it is deprecated.
    pub deprecation: Option<String>,
    /// The schema, parsed.
    pub schema: Schema,
    /// The schema as declared, for OpenAPI documents.
    pub declared_schema: Value,
    /// Its columns.
    pub table: Table,
    /// Whether `/status` is a subresource.
    pub status: bool,
    /// Whether `/scale` is one, and where its numbers are.
    pub scale: Option<Scale>,
    /// Fields that field selectors may use, beside name and namespace: `spec.version`.
    pub selectable_fields: Vec<String>,
}

/// Where the numbers of `/scale` are in an object: names of fields from the root.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Scale {
    /// The declared count.
    pub spec_replicas: Vec<String>,
    /// The count there is.
    pub status_replicas: Vec<String>,
    /// The label selector, as text.
    pub label_selector: Option<Vec<String>>,
}

/// What of an object a write may change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    /// All of it (but for a status that is a part of its own).
    Whole,
    /// Its status.
    Status,
}

/// What validation found.
#[derive(Debug, Default)]
pub struct Checked {
    /// What is wrong; empty when the object is right.
    pub errors: Vec<FieldError>,
    /// Texts for `Warning` headers.
    pub warnings: Vec<String>,
}

impl Crd {
    /// Reads a CRD that [`default`] has filled in.
    ///
    /// # Errors
    /// All that is wrong with it, schemas and rules included.
    pub fn parse(crd: &Value) -> Result<Self, Vec<FieldError>> {
        let mut errors = check::crd(crd);
        if !errors.is_empty() {
            return Err(errors);
        }
        let text = |pointer: &str| crd.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let versions = crd.pointer("/spec/versions").and_then(Value::as_array);
        let versions: Vec<&Value> = versions.into_iter().flatten().collect();
        let spec = Path::Root.child("spec");
        let list = spec.child("versions");
        let alone = versions.len() == 1;
        let mut parsed = Vec::with_capacity(versions.len());
        for (index, version) in versions.into_iter().enumerate() {
            let version = Version::parse(version, text("/spec/names/kind"), text("/spec/group"));
            errors.extend(check::at_schema(&list, index, alone, |path| {
                version.schema.check_rules(path)
            }));
            parsed.push(version);
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        name_successors(&mut parsed, text("/spec/group"), text("/spec/names/kind"));
        Ok(Self {
            group: text("/spec/group").to_owned(),
            plural: text("/spec/names/plural").to_owned(),
            singular: text("/spec/names/singular").to_owned(),
            kind: text("/spec/names/kind").to_owned(),
            list_kind: text("/spec/names/listKind").to_owned(),
            short_names: texts(crd.pointer("/spec/names/shortNames")),
            categories: texts(crd.pointer("/spec/names/categories")),
            namespaced: text("/spec/scope") == "Namespaced",
            versions: parsed,
        })
    }

    /// The version of this name, when it is served.
    pub fn served(&self, version: &str) -> Option<&Version> {
        self.versions.iter().find(|v| v.served && v.name == version)
    }

    /// The version that is stored.
    pub fn storage(&self) -> Option<&Version> {
        self.versions.iter().find(|v| v.storage)
    }
}

/// Adds to each warning of ours the version to use instead: the best that is served, not deprecated, and
/// preferred to the deprecated one.
fn name_successors(versions: &mut [Version], group: &str, kind: &str) {
    let good = versions.iter().filter(|v| v.served && v.deprecation.is_none());
    let Some(best) = good.map(|v| v.name.clone()).min_by_key(|v| (preference(v), v.clone())) else {
        return;
    };
    for version in versions {
        let ours = deprecated(group, &version.name, kind);
        if version.deprecation.as_ref() == Some(&ours)
            && preference(&best) < preference(&version.name)
        {
            version.deprecation = Some(format!("{ours}; use {group}/{best} {kind}"));
        }
    }
}

/// The warning of a deprecated version that declares none.
fn deprecated(group: &str, version: &str, kind: &str) -> String {
    format!("{group}/{version} {kind} is deprecated")
}

impl Version {
    fn parse(version: &Value, kind: &str, group: &str) -> Self {
        let text = |name: &str| version.get(name).and_then(Value::as_str).unwrap_or_default();
        let flag = |name: &str| version.get(name) == Some(&Value::Bool(true));
        let list =
            |name: &str| version.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        let declared = version.pointer("/schema/openAPIV3Schema").cloned().unwrap_or_default();
        let deprecation = flag("deprecated").then(|| match text("deprecationWarning") {
            "" => deprecated(group, text("name"), kind),
            told => told.to_owned(),
        });
        let scale = version.pointer("/subresources/scale").map(|scale| {
            let path = |name: &str| {
                // Dots alone separate: an index would be a field of that name.
                let path = scale.get(name).and_then(Value::as_str)?.trim_start_matches('.');
                let names: Vec<String> = path.split('.').map(str::to_owned).collect();
                (!path.is_empty()).then_some(names)
            };
            Scale {
                spec_replicas: path("specReplicasPath").unwrap_or_default(),
                status_replicas: path("statusReplicasPath").unwrap_or_default(),
                label_selector: path("labelSelectorPath"),
            }
        });
        let selectable = list("selectableFields");
        let selectable = selectable.iter().filter_map(|field| field.get("jsonPath")?.as_str());
        Self {
            name: text("name").to_owned(),
            served: flag("served"),
            storage: flag("storage"),
            deprecation,
            schema: Schema::parse(&declared),
            declared_schema: declared,
            table: Table::custom(&list("additionalPrinterColumns")),
            status: version.pointer("/subresources/status").is_some(),
            scale,
            selectable_fields: selectable
                .map(|path| path.trim_start_matches('.').to_owned())
                .collect(),
        }
    }

    /// Brings an object that was just read into shape: drops what the schema does not know and what is
    /// null, fills defaults. Do the same on reading from storage.
    ///
    /// Returns a text for each unknown field.
    ///
    /// # Errors
    /// The metadata cannot be read; the text is for a 400.
    pub fn admit(&self, object: &mut Value) -> Result<Vec<String>, String> {
        let mut unknown = Vec::new();
        if let Value::Object(fields) = object {
            unknown = admit_metadata(fields)?;
        }
        unknown.extend(self.schema.prune(object));
        self.schema.apply_defaults(object);
        Ok(unknown)
    }

    /// Checks an object that [`Version::admit`] brought into shape: schema, scale, then rules. With `old`,
    /// as it is stored, transition rules run and unchanged errors are let through.
    ///
    /// `errors` are those found already: metadata is [`meta::validate`]'s. Some kinds of errors keep the
    /// rules from being evaluated.
    pub fn validate(
        &self,
        mut errors: Vec<FieldError>,
        object: &Value,
        old: Option<&Value>,
        part: Part,
    ) -> Checked {
        let mut found = self.schema.validate(object, old);
        if part == Part::Status {
            found.iter_mut().for_each(as_of_status);
        }
        errors.extend(found);
        if let Some(scale) = &self.scale {
            scale.validate(object, part, &mut errors);
        }
        if errors.iter().any(blocks_rules) && self.schema.has_rules {
            errors.push(FieldError::invalid(&Path::Root, &Value::Null, RULES_SKIPPED));
            return Checked { errors, warnings: Vec::new() };
        }
        let outcome = self.schema.evaluate_rules(object, old);
        errors.extend(outcome.errors);
        Checked { errors, warnings: outcome.warnings }
    }
}

/// The schema of a status is checked by itself: its errors name places from there on.
fn as_of_status(error: &mut FieldError) {
    if let Some(below) = error.field.strip_prefix("status.") {
        let whole = format!("{} in body", error.field);
        error.message = error.message.replacen(&whole, &format!("{below} in body"), 1);
    }
}

/// Drops nulls and unknown fields from `metadata`, and checks the types in it.
fn admit_metadata(fields: &mut Map<String, Value>) -> Result<Vec<String>, String> {
    match fields.get_mut("metadata") {
        None | Some(Value::Null) => {
            fields.insert("metadata".into(), json!({}));
            Ok(Vec::new())
        }
        Some(Value::Object(metadata)) => meta::prune(metadata, "metadata", ""),
        Some(_) => Err("metadata must be an object".into()),
    }
}

/// Fills in what a CRD may leave out: singular, the kind of lists, the conversion.
pub fn default(crd: &mut Value) {
    let Some(spec) = crd.get_mut("spec").and_then(Value::as_object_mut) else { return };
    spec.entry("conversion").or_insert_with(|| json!({"strategy":"None"}));
    if let Some(names) = spec.get_mut("names").and_then(Value::as_object_mut) {
        let kind = names.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
        let fill = |names: &mut Map<String, Value>, field: &str, value: String| {
            if names.get(field).and_then(Value::as_str).is_none_or(str::is_empty) {
                names.insert(field.into(), value.into());
            }
        };
        if !kind.is_empty() {
            fill(names, "singular", kind.to_lowercase());
            fill(names, "listKind", format!("{kind}List"));
        }
    }
}

/// The first field of a CRD, or keyword of its schemas, whose value has another type than it must; the
/// text is for a 400.
pub fn misfit(crd: &Value) -> Option<String> {
    check::misfit(crd)
}

/// Removes what no CRD has; returns one text for each: `unknown field "spec.foo"`.
pub fn prune(crd: &mut Value) -> Vec<String> {
    check::prune(crd)
}

/// What a change of a CRD may not touch.
pub fn validate_update(new: &Value, old: &Value) -> Vec<FieldError> {
    check::update(new, old)
}

/// Fills `status` as the controller of CRDs would: accepted names, conditions, stored versions.
///
/// `conflict` tells which of the names another kind has already. Times of conditions that did not change
/// stay.
pub fn fill_status(crd: &mut Value, conflict: Option<&str>, now: Timestamp) {
    let names = crd.pointer("/spec/names").cloned().unwrap_or_default();
    let storage = crd
        .pointer("/spec/versions")
        .and_then(Value::as_array)
        .and_then(|list| list.iter().find(|version| version["storage"] == true))
        .map(|version| version["name"].clone());
    let was_established = condition(crd, "Established").is_some_and(|c| c["status"] == "True");
    let mut stored = crd
        .pointer("/status/storedVersions")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    stored.extend(storage.filter(|name| !stored.contains(name)));
    let accepted = match conflict {
        None => made("NamesAccepted", true, "NoConflicts", "no conflicts found"),
        Some(which) => made("NamesAccepted", false, "NameConflict", which),
    };
    let established = match (conflict.is_none() || was_established, was_established) {
        (true, _) => made(
            "Established",
            true,
            "InitialNamesAccepted",
            "the initial names have been accepted",
        ),
        (false, _) => made("Established", false, "NotAccepted", "not all names are accepted"),
    };
    let conditions: Vec<Value> =
        [accepted, established].into_iter().map(|made| dated(crd, made, now)).collect();
    let accepted_names = match conflict {
        None => names,
        Some(_) => crd
            .pointer("/status/acceptedNames")
            .cloned()
            .unwrap_or_else(|| json!({"kind":"","plural":""})),
    };
    if let Value::Object(fields) = crd {
        fields.insert(
            "status".into(),
            json!({"conditions":conditions,"acceptedNames":accepted_names,"storedVersions":stored}),
        );
    }
}

fn made(kind: &str, holds: bool, reason: &str, message: &str) -> Value {
    let status = if holds { "True" } else { "False" };
    json!({"type":kind,"status":status,"reason":reason,"message":message})
}

fn condition<'v>(crd: &'v Value, kind: &str) -> Option<&'v Value> {
    crd.pointer("/status/conditions")?.as_array()?.iter().find(|c| c["type"] == kind)
}

/// A condition with the time of its last transition: the old one when its status is the same.
fn dated(crd: &Value, mut made: Value, now: Timestamp) -> Value {
    let before = made["type"].as_str().and_then(|kind| condition(crd, kind));
    let since = before
        .filter(|before| before["status"] == made["status"])
        .and_then(|before| before.get("lastTransitionTime").cloned())
        .unwrap_or_else(|| now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into());
    made["lastTransitionTime"] = since;
    made
}

fn texts(list: Option<&Value>) -> Vec<String> {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

const RULES_SKIPPED: &str = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";

#[cfg(test)]
mod tests;
