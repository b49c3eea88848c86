//! Patch: JSON, merge and strategic merge.

use http::{Response, StatusCode};
use hyper::body::Incoming;
use objects::decode::{self, Decoded};
use objects::field::{FieldError, Path};
use objects::patch::{self, PatchError};
use serde_json::Value;

use crate::api::{Api, Asked};
use crate::media::{self, BodySyntax};
use crate::reply::Body;
use crate::status::{Answer, ApiError};
use crate::verbs::write::{self, Part, Replaced, Unfit};
use crate::verbs::{body, present, scale};

/// A patch, read.
pub(crate) struct Patch {
    syntax: BodySyntax,
    value: Value,
    duplicates: Vec<String>,
}

/// Changes the object as the body says.
pub(crate) async fn patch(api: &Api, mut asked: Asked, body: Incoming) -> Answer<Response<Body>> {
    let patch = read(&asked, body).await?;
    if asked.target.subresource.as_deref() == Some("scale") {
        return scale::patch(api, asked, &patch).await;
    }
    let part = Part::of(&asked);
    let key = asked.kind.key(&asked.namespace, asked.name());
    for _ in 0..write::TRIES {
        let old = api.world.get(&key);
        let old = old.ok_or_else(|| ApiError::not_found(&asked.kind, asked.name()))?;
        let before = present::as_served(&asked.kind, &old);
        let value = patch.apply(&asked, &before)?;
        let changed_version =
            value["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"];
        let outcome = value.to_string();
        let decoded = Decoded { value, duplicates: patch.duplicates.clone() };
        let value = write::shape(&mut asked, decoded).map_err(|unfit| match unfit {
            Unfit::Refused(error) => error,
            Unfit::Form(why) => ApiError::invalid_patch(&outcome, &why),
        })?;
        write::check_named(&asked, &value)?;
        let conditional = changed_version && write::check_version(&asked, &value)?;
        write::check_preconditions(&asked, &old, &value)?;
        match write::replace(api, &mut asked, &old, value, part).await? {
            Replaced::Done(value) => return Ok(present::one(&asked, StatusCode::OK, value)),
            Replaced::Late if conditional => break,
            Replaced::Late => {}
        }
    }
    Err(write::busy(&asked))
}

async fn read(asked: &Asked, body: Incoming) -> Answer<Patch> {
    let syntax = media::body_syntax(&asked.headers);
    let builtin = asked.kind.builtin().is_some();
    let known = match syntax {
        BodySyntax::JsonPatch | BodySyntax::MergePatch => true,
        BodySyntax::StrategicPatch => builtin,
        BodySyntax::ApplyPatch => {
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UnsupportedMediaType",
                "server-side apply is not supported by this server; apply without --server-side, or send application/merge-patch+json",
            ));
        }
        _ => false,
    };
    if !known {
        let mut types = "application/json-patch+json, application/merge-patch+json".to_owned();
        if builtin {
            types.push_str(", application/strategic-merge-patch+json");
        }
        return Err(ApiError::unsupported_media_type(&types));
    }
    if asked.params.force.is_some() {
        let root = Path::Root;
        let error =
            FieldError::forbidden(&root.child("force"), "may not be specified for non-apply patch");
        return Err(ApiError::invalid_options("PatchOptions", &[error]));
    }
    let bytes = body::read(body).await?;
    let Decoded { value, mut duplicates } = decode::json(&bytes)
        .map_err(|e| ApiError::bad_request(format!("error decoding patch: {e}")))?;
    if syntax == BodySyntax::JsonPatch {
        duplicates = duplicates.into_iter().map(|text| format!("json patch {text}")).collect();
        duplicates.extend(patch::unknown_fields(&value));
    }
    Ok(Patch { syntax, value, duplicates })
}

impl Patch {
    /// The object with the changes.
    pub(crate) fn apply(&self, asked: &Asked, before: &Value) -> Answer<Value> {
        let patched = match self.syntax {
            BodySyntax::JsonPatch => patch::json(before, &self.value),
            BodySyntax::StrategicPatch => patch::strategic(before, &self.value, &asked.kind.kind),
            _ if self.value.is_object() => {
                let mut value = before.clone();
                patch::merge(&mut value, &self.value);
                Ok(value)
            }
            // Nothing to merge is no patch, and says so in other words.
            _ if self.value.is_null() => {
                return Err(ApiError::bad_request("Invalid JSON Patch"));
            }
            _ => Err(PatchError::Decode(format!(
                "json: cannot unmarshal {} into an object",
                objects::shown::json_kind(&self.value)
            ))),
        };
        patched.map_err(|error| match error {
            PatchError::Rejected { .. } => {
                let mut refused = ApiError::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "Invalid",
                    "the server rejected our request due to an error in our request",
                );
                tracing::debug!(%error, "patch rejected");
                refused.details.clear();
                refused
            }
            PatchError::TooManyOperations(_) | PatchError::TooLarge => ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "RequestEntityTooLarge",
                error.to_string(),
            ),
            other => ApiError::bad_request(other.to_string()),
        })
    }
}
