//! Update (PUT), of an object or a part of it.

use http::{Response, StatusCode};
use hyper::body::Incoming;
use objects::field::{FieldError, Path};
use serde_json::Value;

use crate::api::{Api, Asked};
use crate::builtin::Builtin;
use crate::kind::Kind;
use crate::reply::Body;
use crate::status::{Answer, ApiError};
use crate::verbs::write::{self, Part, Replaced};
use crate::verbs::{body, present, scale};

/// Replaces the object by the one in the body.
pub(crate) async fn update(api: &Api, mut asked: Asked, body: Incoming) -> Answer<Response<Body>> {
    if asked.target.subresource.as_deref() == Some("scale") {
        return scale::update(api, asked, body).await;
    }
    let decoded = body::object(&asked, body).await?;
    let value = write::admit(&mut asked, decoded)?;
    let part = Part::of(&asked);
    let key = asked.kind.key(&asked.namespace, asked.name());
    for _ in 0..write::TRIES {
        let old = api.world.get(&key);
        let old = old.ok_or_else(|| ApiError::not_found(&asked.kind, asked.name()))?;
        let conditional = check_version(&asked, &value)?;
        check_uid(&asked, old.uid(), &value)?;
        write::check_preconditions(&asked, &old, &value)?;
        match write::replace(api, &mut asked, &old, value.clone(), part).await? {
            Replaced::Done(value) => return Ok(present::one(&asked, StatusCode::OK, value)),
            Replaced::Late if conditional => break,
            Replaced::Late => {}
        }
    }
    Err(write::busy(&asked))
}

/// Whether the body says which version it replaces; refuses when it must and does not.
fn check_version(asked: &Asked, value: &Value) -> Answer<bool> {
    let given = value["metadata"]["resourceVersion"].as_str().is_some_and(|rv| !rv.is_empty());
    if given || !needs_version(&asked.kind) {
        return Ok(given);
    }
    let root = Path::Root;
    let path = root.child("metadata");
    let path = path.child("resourceVersion");
    let error = FieldError::invalid(&path, &0.into(), "must be specified for an update");
    Err(ApiError::invalid_resource(&asked.kind, asked.name(), &[error]))
}

fn needs_version(kind: &Kind) -> bool {
    matches!(kind.builtin(), None | Some(Builtin::Definition | Builtin::Lease))
}

fn check_uid(asked: &Asked, held: &str, value: &Value) -> Answer<()> {
    match value["metadata"]["uid"].as_str() {
        Some(given) if !given.is_empty() && given != held => Err(ApiError::conflict(
            &asked.kind,
            asked.name(),
            &format!(
                "Precondition failed: UID in precondition: {given}, UID in object meta: {held}"
            ),
        )),
        _ => Ok(()),
    }
}
