//! The fields that built-in kinds have.

use serde_json::Value;

use crate::kind::Kind;
use crate::status::Answer;

/// Drops what the kind does not know; one text for each.
pub(crate) fn prune(_kind: &Kind, _value: &mut Value) -> Answer<Vec<String>> {
    Ok(Vec::new())
}
