//! The body of a request as a value.

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use objects::decode::{self, Decoded};
use objects::protobuf::{self, ProtobufError};

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

/// Decodes an object.
pub(crate) fn decode_as(asked: &Asked, syntax: BodySyntax, bytes: &[u8]) -> Answer<Decoded> {
    let what = &asked.kind.kind;
    let bad = |e: decode::DecodeError| {
        ApiError::bad_request(format!(
            "{what} in version {:?} cannot be handled as a {what}: {e}",
            asked.kind.version
        ))
    };
    match syntax {
        BodySyntax::Json => decode::json(bytes).map_err(bad),
        BodySyntax::Yaml => decode::yaml(bytes).map_err(bad),
        BodySyntax::Protobuf if asked.kind.builtin().is_some() => binary(bytes),
        _ => Err(unsupported(asked)),
    }
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
        None => "application/json, application/yaml",
    })
}

/// Bytes of a body: what the original takes.
pub(crate) const MAX_BODY: usize = 3 << 20;
