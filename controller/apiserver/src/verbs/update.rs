//! Update (PUT), of an object or a part of it.

use http::{Response, StatusCode};
use hyper::body::Incoming;
use serde_json::Value;

use crate::api::{Api, Asked};
use crate::builtin::Builtin;
use crate::reply::Body;
use crate::status::{Answer, ApiError};
use crate::verbs::write::{self, Part, Replaced};
use crate::verbs::{body, create, present, scale};

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
        let Some(old) = api.world.get(&key) else {
            return absent(api, asked, value).await;
        };
        let conditional = write::check_version(&asked, &value)?;
        write::check_uid(&asked, &old, &value)?;
        write::check_preconditions(&asked, &old, &value)?;
        match write::replace(api, &mut asked, &old, value.clone(), part).await? {
            Replaced::Done(value) => return Ok(present::one(&asked, StatusCode::OK, value)),
            Replaced::Late if conditional => break,
            Replaced::Late => {}
        }
    }
    Err(write::busy(&asked))
}

/// Only events may come to be by a replacement.
async fn absent(api: &Api, mut asked: Asked, value: Value) -> Answer<Response<Body>> {
    let name = asked.name().to_owned();
    if !matches!(asked.kind.builtin(), Some(Builtin::Event | Builtin::NewEvent)) {
        return Err(ApiError::not_found(&asked.kind, &name));
    }
    write::check_named(&asked, &value)?;
    let value = create::add(api, &mut asked, value).await?;
    Ok(present::one(&asked, StatusCode::CREATED, value))
}
