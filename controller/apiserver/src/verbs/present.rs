//! Objects in the shape a client asked for: whole, as a table, as metadata only.

use http::{Response, StatusCode};
use jiff::Timestamp;
use objects::shown::quoted;
use objects::table::Table;
use serde_json::{Map, Value, json};

use crate::api::Asked;
use crate::builtin::{Builtin, event};
use crate::kind::Kind;
use crate::media::Shape;
use crate::reply::{self, Body};
use crate::status::{Answer, ApiError};
use crate::world::Object;

/// An object as this kind's version shows it, with the defaults of today's schema.
pub(crate) fn as_served(kind: &Kind, object: &Object) -> Value {
    served_value(kind, object.value.clone())
}

/// A stored value as this kind's version shows it.
pub(crate) fn served_value(kind: &Kind, mut value: Value) -> Value {
    if matches!(kind.builtin(), Some(Builtin::Event | Builtin::NewEvent)) {
        event::complete(&mut value);
    }
    if kind.builtin() == Some(Builtin::NewEvent) {
        value = event::to_new(&value);
    }
    value["apiVersion"] = kind.api_version().into();
    if let Some((_, version)) = kind.custom() {
        version.schema.apply_defaults(&mut value);
    }
    value
}

/// The answer to a request for one object.
pub(crate) fn one(asked: &Asked, code: StatusCode, value: Value) -> Response<Body> {
    let shaped = shape_one(&asked.kind, asked, value);
    reply::value(code, &shaped, asked.writing(), &asked.warnings)
}

/// One object in the shape asked for.
fn shape_one(kind: &Kind, asked: &Asked, value: Value) -> Value {
    match asked.form.shape {
        Shape::Object | Shape::Discovery(_) => value,
        Shape::Partial(version) | Shape::PartialList(version) => partial(&value, version),
        Shape::Table(version) => {
            let metadata = json!({"resourceVersion": value["metadata"]["resourceVersion"]});
            let table = table_of(kind, asked.target.subresource.as_deref());
            Rows::new(&table, asked, version).table(metadata, std::iter::once(value), true)
        }
    }
}

/// A list in the shape asked for; `metadata` is the list's.
pub(crate) fn list(
    asked: &Asked,
    metadata: Map<String, Value>,
    objects: impl Iterator<Item = Value>,
) -> Response<Body> {
    let kind = &asked.kind;
    let value = match asked.form.shape {
        Shape::Table(version) => {
            let table = table_of(kind, None);
            Rows::new(&table, asked, version).table(metadata.into(), objects, true)
        }
        Shape::Partial(version) | Shape::PartialList(version) => {
            let items: Vec<Value> = objects.map(|object| partial(&object, version)).collect();
            json!({
                "kind": "PartialObjectMetadataList",
                "apiVersion": format!("meta.k8s.io/{version}"),
                "metadata": metadata,
                "items": items,
            })
        }
        Shape::Object | Shape::Discovery(_) => {
            // Items of typed lists say nothing of their kind, which the list says already.
            let typed = kind.builtin().is_some();
            let mut metadata = metadata;
            if !typed {
                metadata.entry("continue").or_insert_with(|| "".into());
            }
            let items: Vec<Value> = objects
                .map(|mut object| {
                    if typed && let Some(object) = object.as_object_mut() {
                        object.remove("kind");
                        object.remove("apiVersion");
                    }
                    object
                })
                .collect();
            json!({
                "kind": kind.list_kind,
                "apiVersion": kind.api_version(),
                "metadata": metadata,
                "items": items,
            })
        }
    };
    reply::value(StatusCode::OK, &value, asked.writing(), &asked.warnings)
}

/// The columns of a kind or of a part of it.
pub(crate) fn table_of(kind: &Kind, subresource: Option<&str>) -> Table {
    match (subresource, kind.custom()) {
        (Some("scale"), _) => Table::builtin("Scale"),
        (_, Some((_, version))) => version.table.clone(),
        (_, None) => Table::builtin(&kind.kind),
    }
}

/// Makes tables.
pub(crate) struct Rows<'a> {
    table: &'a Table,
    version: &'static str,
    include: &'a str,
    now: Timestamp,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(table: &'a Table, asked: &'a Asked, version: &'static str) -> Self {
        let include = asked.params.include_object.as_deref().unwrap_or("Metadata");
        Self { table, version, include, now: Timestamp::now() }
    }

    /// A table with one row for each object.
    pub(crate) fn table(
        &self,
        metadata: Value,
        objects: impl Iterator<Item = Value>,
        with_columns: bool,
    ) -> Value {
        let rows: Vec<Value> = objects
            .map(|object| {
                let cells = self.table.cells(&object, self.now);
                let object = match self.include {
                    "None" => Value::Null,
                    "Object" => object,
                    _ => partial(&object, self.version),
                };
                json!({"cells": cells, "object": object})
            })
            .collect();
        // Only the first table of a stream has columns.
        let columns = with_columns.then(|| self.table.definitions());
        json!({
            "kind": "Table",
            "apiVersion": format!("meta.k8s.io/{}", self.version),
            "metadata": metadata,
            "columnDefinitions": columns,
            "rows": rows,
        })
    }
}

/// Only the metadata of an object.
pub(crate) fn partial(value: &Value, version: &str) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": format!("meta.k8s.io/{version}"),
        "metadata": value["metadata"],
    })
}

/// Checks of the shape that can fail before anything is read: `many` objects cannot be shown as one.
pub(crate) fn check_shape(asked: &Asked, many: bool) -> Answer<()> {
    let (asked_for, found) = match asked.form.shape {
        Shape::Partial(_) if many => ("PartialObjectMetadata", "a list"),
        Shape::PartialList(_) if !many => ("PartialObjectMetadataList", "not a list"),
        Shape::Table(_) => return check_include(asked),
        _ => return Ok(()),
    };
    Err(ApiError::new(
        StatusCode::NOT_ACCEPTABLE,
        "NotAcceptable",
        format!("you requested {asked_for}, but the requested object is {found}"),
    ))
}

fn check_include(asked: &Asked) -> Answer<()> {
    match asked.params.include_object.as_deref() {
        None | Some("" | "None" | "Metadata" | "Object") => Ok(()),
        Some(other) => Err(ApiError::bad_request(format!(
            "Unable to convert to Table as requested: includeObject: Invalid value: {}: must be 'Metadata', 'Object', 'None', or empty",
            quoted(other)
        ))),
    }
}
