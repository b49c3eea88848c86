//! The body of a request as a value.

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use objects::decode::{self, Decoded};
use objects::protobuf::{self, ProtobufError};
use serde_json::{Map, Value};

use crate::api::Asked;
use crate::media::{self, BodySyntax};
use crate::status::{Answer, ApiError};

/// Reads the whole body, up to the limit.
pub(crate) async fn read(body: Incoming) -> Answer<Bytes> {
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(e) if e.is::<http_body_util::LengthLimitError>() => Err(ApiError::too_large(MAX_BODY)),
        Err(e) => Err(ApiError::bad_request(format!("the body could not be read: {e}"))),
    }
}

/// Reads and decodes an object (not a patch).
pub(crate) async fn object(asked: &Asked, body: Incoming) -> Answer<Decoded> {
    let syntax = media::body_syntax(&asked.headers);
    let bytes = read(body).await?;
    decode_as(asked, syntax, &bytes)
}

/// Decodes an object of the kind asked for.
fn decode_as(asked: &Asked, syntax: BodySyntax, bytes: &[u8]) -> Answer<Decoded> {
    let decoded = decoded(asked, syntax, bytes)?;
    let kind = decoded.value["kind"].as_str().unwrap_or_default();
    if asked.kind.builtin().is_none() && kind.is_empty() {
        return Err(unrecognized(asked, bytes, &without_kind(&decoded.value)));
    }
    Ok(decoded)
}

/// Decodes an object of some kind.
pub(crate) fn decoded(asked: &Asked, syntax: BodySyntax, bytes: &[u8]) -> Answer<Decoded> {
    let bad = |e: decode::DecodeError| {
        unrecognized(asked, bytes, &format!("couldn't get version/kind; parse error: {e}"))
    };
    let decoded = match syntax {
        BodySyntax::Json => decode::json(bytes).map_err(bad)?,
        BodySyntax::Yaml => decode::yaml(bytes).map_err(bad)?,
        BodySyntax::Protobuf if asked.kind.builtin().is_some() => {
            binary(bytes).map_err(|mut error| {
                if error.code == StatusCode::BAD_REQUEST {
                    error = unrecognized(asked, bytes, &error.message);
                }
                error
            })?
        }
        _ => return Err(unsupported(asked)),
    };
    let custom = asked.kind.builtin().is_none();
    match &decoded.value {
        Value::Object(fields) => {
            for name in ["apiVersion", "kind"] {
                if fields.get(name).is_some_and(|value| !value.is_string() && !value.is_null()) {
                    let why = format!("couldn't get version/kind; {name} must be a string");
                    return Err(unrecognized(asked, bytes, &why));
                }
            }
        }
        // Nothing is an object without any field.
        Value::Null if !custom => {
            return Ok(Decoded { value: Value::Object(Map::new()), duplicates: Vec::new() });
        }
        Value::Null => return Err(unrecognized(asked, bytes, &without_kind(&Value::Null))),
        other => {
            let why = format!("couldn't get version/kind; {} is no object", kind_of(other));
            return Err(unrecognized(asked, bytes, &why));
        }
    }
    Ok(decoded)
}

/// What is said of an object that does not say its kind.
pub(crate) fn without_kind(value: &Value) -> String {
    format!("Object 'Kind' is missing in '{value}'")
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "an array",
        Value::String(_) => "a string",
        Value::Number(_) => "a number",
        _ => "a boolean",
    }
}

/// A body that is no object of any kind, with its beginning.
fn unrecognized(asked: &Asked, bytes: &[u8], why: &str) -> ApiError {
    let what = &asked.kind.kind;
    let start = &bytes[..bytes.len().min(SUMMARY)];
    let mut summary = match start.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => String::from_utf8_lossy(start).into_owned(),
        Some(_) => start.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    if bytes.len() > SUMMARY {
        summary.push_str(" ...");
    }
    ApiError::bad_request(format!(
        "the object provided is unrecognized (must be of type {what}): {why} ({summary})"
    ))
}

/// Decodes the binary form that clients use for kinds they have compiled in.
pub(crate) fn binary(bytes: &[u8]) -> Answer<Decoded> {
    match protobuf::decode(bytes) {
        Ok(value) => Ok(Decoded { value, duplicates: Vec::new() }),
        Err(e @ ProtobufError::Unsupported { .. }) => {
            let mut error = ApiError::unsupported_media_type("application/json, application/yaml");
            error.message = e.to_string();
            Err(error)
        }
        Err(e) => Err(ApiError::bad_request(e.to_string())),
    }
}

pub(crate) fn unsupported(asked: &Asked) -> ApiError {
    ApiError::unsupported_media_type(match asked.kind.builtin() {
        Some(_) => "application/json, application/yaml, application/vnd.kubernetes.protobuf",
        // The binary form is read where only options are expected, but not as an object.
        None => "application/json, application/yaml",
    })
}

/// Bytes of a body shown in a message.
const SUMMARY: usize = 30;
/// Bytes of a body: what the original takes.
pub(crate) const MAX_BODY: usize = 3 << 20;
