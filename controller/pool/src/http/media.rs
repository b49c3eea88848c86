//! JSON or protobuf: what a request is written in, and what its sender wants back.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use mesos::json::{self, FromJson, JsonError};
use serde::Serialize;

use super::reply::{Refusal, refusal};

/// How messages are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Media {
    Json,
    Protobuf,
}

impl Media {
    /// What a body is written in, by its Content-Type. Parameters such as a charset are let through.
    pub(super) fn of_body(headers: &HeaderMap) -> Result<Self, Refusal> {
        if headers.contains_key(header::CONTENT_ENCODING) {
            let why = "'Content-Encoding' is not supported: send the body as it is";
            return Err(refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
        }
        let Some(kind) = headers.get(header::CONTENT_TYPE) else {
            return Err(refusal(StatusCode::BAD_REQUEST, "Expecting 'Content-Type' to be present"));
        };
        let kind = kind.to_str().unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        match kind {
            "application/json" => Ok(Self::Json),
            "application/x-protobuf" => Ok(Self::Protobuf),
            _ => {
                let why = "Expecting 'Content-Type' of application/json or application/x-protobuf";
                Err(refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, why))
            }
        }
    }

    /// What a response may be written in, by Accept; JSON where both will do.
    pub(super) fn wanted(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut given = headers.get_all(header::ACCEPT).iter().peekable();
        if given.peek().is_none() {
            return Ok(Self::Json);
        }
        let ranges: Vec<_> = given
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(acceptable)
            .collect();
        let any = |kind: &str| ranges.iter().any(|range| matches(range, kind));
        if any("application/json") {
            Ok(Self::Json)
        } else if any("application/x-protobuf") {
            Ok(Self::Protobuf)
        } else {
            let why = "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'";
            Err(refusal(StatusCode::NOT_ACCEPTABLE, why))
        }
    }

    /// Reads a call; `Err` has Mesos's words.
    pub(super) fn decode<M>(self, body: &Bytes) -> Result<M, String>
    where
        M: FromJson + prost::Message + Default,
    {
        match self {
            Self::Json => json::from_slice(body).map_err(|error| match error {
                JsonError::Syntax { .. } => format!("Failed to parse body into JSON: {error}"),
                error => format!("Failed to convert JSON into Call protobuf: {error}"),
            }),
            Self::Protobuf => M::decode(body.as_ref())
                .map_err(|_| String::from("Failed to parse body into Call protobuf")),
        }
    }

    pub(crate) fn encode<M: Serialize + prost::Message>(self, message: &M) -> Bytes {
        match self {
            Self::Json => json::to_vec(message).into(),
            Self::Protobuf => message.encode_to_vec().into(),
        }
    }

    pub(super) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/x-protobuf",
        })
    }
}

/// A media range, unless its weight is 0.
fn acceptable(range: &str) -> Option<&str> {
    let mut parts = range.split(';').map(str::trim);
    let range = parts.next()?;
    let refused = parts
        .filter_map(|parameter| parameter.strip_prefix("q="))
        .any(|weight| weight.parse::<f64>().is_ok_and(|weight| weight == 0.0));
    (!refused).then_some(range)
}

fn matches(range: &str, kind: &str) -> bool {
    range == kind || range == "*/*" || range == "application/*"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted() {
        let of = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            Media::wanted(&headers).map_err(|reply| reply.status())
        };
        assert_eq!(of("*/*"), Ok(Media::Json));
        assert_eq!(of("application/x-protobuf"), Ok(Media::Protobuf));
        assert_eq!(of("application/json;q=0, application/x-protobuf"), Ok(Media::Protobuf));
        assert_eq!(of("text/html"), Err(StatusCode::NOT_ACCEPTABLE));
    }
}
