//! The form that bodies of built-in kinds must have.
//!
//! The original decodes these kinds into typed structures: a wrong type is an undecodable body (400),
//! not an invalid object. What comes later may rely on the types of what is there.

use serde_json::Value;

use crate::kind::Kind;

use super::Builtin;

/// Drops what the kind does not know, one text for each; refuses wrong types.
pub(crate) fn prune(kind: &Kind, value: &mut Value) -> Result<Vec<String>, String> {
    if kind.builtin() == Some(Builtin::Definition) {
        if let Some(why) = objects::crd::misfit(value) {
            return Err(why);
        }
        let unknown = objects::crd::prune(value);
        let object = |value: &Value| value.is_object();
        if !object(&value["spec"]) || !object(&value["spec"]["names"]) {
            return Err("spec and spec.names must be objects".to_owned());
        }
        return Ok(unknown);
    }
    let form = objects::builtin::kind(&kind.group, &kind.version, &kind.kind);
    form.map_or_else(|| Ok(Vec::new()), |form| form.admit(value))
}
