//! Responses.

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use master::Answer;
use serde::Serialize;
use std::convert::Infallible;

use super::media::Media;

pub(super) type Reply = Response<BoxBody<Bytes, Infallible>>;

/// An answer that ends the handling of a request early.
pub(super) type Refusal = Box<Reply>;

pub(super) fn refusal(status: StatusCode, why: impl Into<String>) -> Refusal {
    Box::new(text(status, why))
}

pub(super) fn empty(status: StatusCode) -> Reply {
    with(status, Bytes::new(), None)
}

pub(super) fn text(status: StatusCode, text: impl Into<String>) -> Reply {
    let text = Bytes::from(text.into());
    with(status, text, Some(HeaderValue::from_static("text/plain; charset=utf-8")))
}

pub(super) fn json(body: impl Serialize) -> Reply {
    match serde_json::to_vec(&body) {
        Ok(body) => {
            let kind = HeaderValue::from_static("application/json");
            with(StatusCode::OK, body.into(), Some(kind))
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

pub(super) fn wrong_method(expected: &Method, given: &Method) -> Reply {
    let why = format!(
        "405 Method Not Allowed. Expecting one of {{ '{expected}' }}, but received '{given}'."
    );
    let mut reply = text(StatusCode::METHOD_NOT_ALLOWED, why);
    let allow = HeaderValue::from_str(expected.as_str());
    reply.headers_mut().insert(header::ALLOW, allow.expect("a method's name is a header's value"));
    reply
}

/// The leader ended while it had the call: the connection is about to break too.
pub(super) fn gone() -> Refusal {
    refusal(StatusCode::SERVICE_UNAVAILABLE, "No leader elected")
}

pub(super) fn answer(answer: Answer, media: Media) -> Reply {
    match answer {
        Answer::Accepted => empty(StatusCode::ACCEPTED),
        Answer::Done => empty(StatusCode::OK),
        Answer::Response(response) => {
            with(StatusCode::OK, media.encode(&*response), Some(media.content_type()))
        }
        Answer::Refused { status, why } => {
            text(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST), why)
        }
    }
}

fn with(status: StatusCode, body: Bytes, kind: Option<HeaderValue>) -> Reply {
    let mut reply = Response::new(Full::new(body).boxed());
    *reply.status_mut() = status;
    if let Some(kind) = kind {
        reply.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    reply
}
