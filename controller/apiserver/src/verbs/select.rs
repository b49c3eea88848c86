//! Which objects a request is about.

use objects::select::{FieldSelector, LabelSelector};
use serde_json::Value;

use crate::api::Asked;
use crate::builtin::Builtin;
use crate::kind::Kind;
use crate::status::{Answer, ApiError};
use crate::world::Object;

/// Labels and fields that objects must have.
pub(crate) struct Selection {
    labels: LabelSelector,
    fields: FieldSelector,
    /// Fields are named as the served version has them, and objects are kept otherwise.
    renamed: bool,
}

impl Selection {
    /// Reads the selectors of a request; a name in the path (of a watch) is one too.
    pub(crate) fn of(asked: &Asked) -> Answer<Self> {
        let bad = |e: objects::select::SelectorError| ApiError::bad_request(e.to_string());
        let labels = LabelSelector::parse(&asked.params.label_selector).map_err(bad)?;
        let mut text = asked.params.field_selector.clone();
        if let Some(name) = &asked.target.name {
            text = format!("metadata.name={name},{text}");
        }
        let fields = FieldSelector::parse(&text).map_err(bad)?;
        fields.check(|field| offered(&asked.kind, field)).map_err(bad)?;
        Ok(Self { labels, fields, renamed: asked.kind.builtin() == Some(Builtin::NewEvent) })
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    pub(crate) fn matches(&self, object: &Object) -> bool {
        if !self.labels.matches(&object.value) {
            return false;
        }
        if self.fields.is_everything() {
            return true;
        }
        if self.renamed {
            return self.fields.matches(&crate::builtin::event::to_new(&object.value));
        }
        self.fields.matches(&object.value) || self.by_source(&object.value)
    }

    /// `source` is short for the source's component.
    fn by_source(&self, value: &Value) -> bool {
        let Some(wanted) = self.fields.required("source") else { return false };
        let Some(component) = value["source"]["component"].as_str() else { return false };
        let mut plain = value.clone();
        plain["source"] = component.into();
        component == wanted && self.fields.matches(&plain)
    }
}

fn offered(kind: &Kind, field: &str) -> bool {
    if field == "metadata.name" || (field == "metadata.namespace" && kind.namespaced) {
        return true;
    }
    match kind.builtin() {
        Some(Builtin::Event) => EVENT.contains(&field),
        Some(Builtin::NewEvent) => NEW_EVENT.contains(&field),
        Some(Builtin::Secret) => field == "type",
        Some(Builtin::Namespace) => field == "status.phase",
        Some(_) => false,
        None => kind
            .custom()
            .is_some_and(|(_, v)| v.selectable_fields.iter().any(|known| known == field)),
    }
}

const EVENT: [&str; 11] = [
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
];
const NEW_EVENT: [&str; 7] = [
    "regarding.kind",
    "regarding.namespace",
    "regarding.name",
    "regarding.uid",
    "reason",
    "reportingController",
    "type",
];
