//! One object as the store has it.

use serde_json::Value;

use crate::store::{Key, Revision, Stored};

/// An object with its resourceVersion in place. Never changed once made.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) key: Key,
    pub(crate) revision: Revision,
    /// As stored (in the storage version, without the defaults of today's schema).
    pub(crate) value: Value,
    /// Bytes of the stored body; what it costs to keep.
    pub(crate) size: usize,
}

impl Object {
    /// `None` (with a warning in the log) when the body is no object: somebody else wrote it.
    pub(crate) fn read(stored: Stored) -> Option<Self> {
        let Stored { key, revision, body } = stored;
        let mut value: Value = match serde_json::from_slice(&body) {
            Ok(value @ Value::Object(_)) => value,
            Ok(_) => {
                tracing::warn!(?key, "a stored body is no JSON object; it is ignored");
                return None;
            }
            Err(error) => {
                tracing::warn!(?key, %error, "a stored body is no JSON; it is ignored");
                return None;
            }
        };
        set_rv(&mut value, revision.rv);
        Some(Self { key, revision, value, size: body.len() })
    }

    pub(crate) fn uid(&self) -> &str {
        self.value["metadata"]["uid"].as_str().unwrap_or_default()
    }

    pub(crate) fn deleting(&self) -> bool {
        self.value["metadata"]["deletionTimestamp"].is_string()
    }

    pub(crate) fn finalizers(&self) -> impl Iterator<Item = &str> {
        let list = self.value["metadata"]["finalizers"].as_array();
        list.into_iter().flatten().filter_map(Value::as_str)
    }

    /// `metadata.ownerReferences`.
    pub(crate) fn owners(&self) -> impl Iterator<Item = &Value> {
        self.value["metadata"]["ownerReferences"].as_array().into_iter().flatten()
    }
}

/// Writes `metadata.resourceVersion`; 0 removes it.
pub(crate) fn set_rv(value: &mut Value, rv: u64) {
    let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    if rv == 0 {
        metadata.remove("resourceVersion");
    } else {
        metadata.insert("resourceVersion".to_owned(), rv.to_string().into());
    }
}
