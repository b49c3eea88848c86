//! The fields that built-in kinds have, and their types.
//!
//! The original decodes these kinds into typed structures: a wrong type is an undecodable body (400),
//! not an invalid object.

use std::sync::LazyLock;

use objects::schema::Schema;
use serde_json::{Value, json};

use crate::kind::Kind;
use crate::status::{Answer, ApiError};

use super::Builtin;

/// Drops what the kind does not know, one text for each; refuses wrong types.
pub(crate) fn prune(kind: &Kind, value: &mut Value) -> Answer<Vec<String>> {
    let schema = match kind.builtin() {
        Some(Builtin::Definition) => {
            let unknown = objects::crd::prune(value);
            if value["spec"].is_object() {
                return Ok(unknown);
            }
            return Err(wrong(kind, "spec must be an object"));
        }
        Some(Builtin::Namespace) => &SCHEMAS.namespace,
        Some(Builtin::ConfigMap) => &SCHEMAS.config_map,
        Some(Builtin::Secret) => &SCHEMAS.secret,
        Some(Builtin::ServiceAccount) => &SCHEMAS.service_account,
        Some(Builtin::Event) => &SCHEMAS.event,
        Some(Builtin::NewEvent) => &SCHEMAS.new_event,
        Some(Builtin::Lease) => &SCHEMAS.lease,
        Some(Builtin::Role) => &SCHEMAS.role,
        Some(_) => &SCHEMAS.review,
        None => return Ok(Vec::new()),
    };
    let unknown = schema.prune(value);
    schema.apply_defaults(value);
    match schema.validate(value, None).into_iter().next() {
        None => Ok(unknown),
        Some(error) => Err(wrong(kind, &format!("json: {error}"))),
    }
}

fn wrong(kind: &Kind, what: &str) -> ApiError {
    let name = &kind.kind;
    ApiError::bad_request(format!(
        "{name} in version {:?} cannot be handled as a {name}: {what}",
        kind.version
    ))
}

struct Schemas {
    namespace: Schema,
    config_map: Schema,
    secret: Schema,
    service_account: Schema,
    event: Schema,
    new_event: Schema,
    lease: Schema,
    role: Schema,
    review: Schema,
}

static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| {
    let text = json!({"type": "string"});
    let int = json!({"type": "integer"});
    let flag = json!({"type": "boolean"});
    let texts = json!({"type": "array", "items": text});
    let map = json!({"type": "object", "additionalProperties": text});
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let list = |fields: Value| json!({"type": "array", "items": object(fields)});
    let reference = object(json!({
        "kind": text, "namespace": text, "name": text, "uid": text, "apiVersion": text,
        "resourceVersion": text, "fieldPath": text,
    }));
    let source = object(json!({"component": text, "host": text}));
    let series = object(json!({"count": int, "lastObservedTime": text}));
    let bytes =
        json!({"type": "object", "additionalProperties": {"type": "string", "format": "byte"}});
    let conditions = list(json!({
        "type": text, "status": text, "lastTransitionTime": text, "reason": text, "message": text,
    }));
    let schema = |fields: Value| Schema::parse(&object(fields));
    Schemas {
        namespace: schema(json!({
            "spec": object(json!({"finalizers": texts})),
            "status": object(json!({"phase": text, "conditions": conditions})),
        })),
        config_map: schema(json!({"data": map, "binaryData": bytes, "immutable": flag})),
        secret: schema(json!({
            "data": bytes, "stringData": map, "type": text, "immutable": flag,
        })),
        service_account: schema(json!({
            "secrets": {"type": "array", "items": reference},
            "imagePullSecrets": list(json!({"name": text})),
            "automountServiceAccountToken": flag,
        })),
        event: schema(json!({
            "involvedObject": reference, "related": reference, "reason": text, "message": text,
            "source": source, "firstTimestamp": text, "lastTimestamp": text, "count": int,
            "type": text, "eventTime": text, "series": series, "action": text,
            "reportingComponent": text, "reportingInstance": text,
        })),
        new_event: schema(json!({
            "regarding": reference, "related": reference, "reason": text, "note": text,
            "deprecatedSource": source, "deprecatedFirstTimestamp": text,
            "deprecatedLastTimestamp": text, "deprecatedCount": int, "type": text,
            "eventTime": text, "series": series, "action": text, "reportingController": text,
            "reportingInstance": text,
        })),
        lease: schema(json!({"spec": object(json!({
            "holderIdentity": text, "leaseDurationSeconds": int, "acquireTime": text,
            "renewTime": text, "leaseTransitions": int, "strategy": text, "preferredHolder": text,
        }))})),
        role: schema(json!({
            "rules": list(json!({
                "verbs": texts, "apiGroups": texts, "resources": texts, "resourceNames": texts,
                "nonResourceURLs": texts,
            })),
            "aggregationRule": open,
            "subjects": list(json!({
                "kind": text, "apiGroup": text, "name": text, "namespace": text,
            })),
            "roleRef": object(json!({"kind": text, "apiGroup": text, "name": text})),
        })),
        review: schema(json!({"spec": open, "status": open})),
    }
});

fn object(fields: Value) -> Value {
    json!({"type": "object", "properties": fields})
}
