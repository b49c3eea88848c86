//! Answers as bytes: values in the form the client chose, errors as `Status`.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde_json::Value;

use crate::media::Syntax;
use crate::status::ApiError;

/// A body: whole, or coming piece by piece.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Warnings for the client, shown by kubectl one a line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Warnings(Vec<String>);

impl Warnings {
    pub(crate) fn add(&mut self, text: impl Into<String>) {
        let text: String = text.into();
        let total: usize = self.0.iter().map(String::len).sum();
        if self.0.len() < MAX_WARNINGS
            && total + text.len() < MAX_WARNING_BYTES
            && !self.0.contains(&text)
        {
            self.0.push(text);
        }
    }
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Writing {
    pub(crate) syntax: Syntax,
    /// Indented, for people.
    pub(crate) pretty: bool,
}

/// A value, with warnings in the headers.
pub(crate) fn value(
    code: StatusCode,
    value: &Value,
    writing: Writing,
    warnings: &Warnings,
) -> Response<Body> {
    let (kind, bytes) = match writing.syntax {
        Syntax::Json => ("application/json", json(value, writing.pretty)),
        Syntax::Yaml => {
            ("application/yaml", serde_yaml::to_string(value).unwrap_or_default().into_bytes())
        }
    };
    let mut response = bytes_of(code, kind, bytes.into());
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    for warning in &warnings.0 {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"").replace(['\r', '\n'], " ");
        if let Ok(line) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            headers.append(HeaderName::from_static("warning"), line);
        }
    }
    response
}

/// A refusal.
pub(crate) fn error(error: &ApiError, writing: Writing) -> Response<Body> {
    if error.plain {
        return text(error.code, error.message.clone());
    }
    let mut response = value(error.code, &error.body(), writing, &Warnings::default());
    if let Some(seconds) = error.retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// Plain text.
pub(crate) fn text(code: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = bytes_of(code, "text/plain; charset=utf-8", text.into());
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Bytes of a type.
pub(crate) fn bytes_of(code: StatusCode, kind: &str, bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(bytes).boxed_unsync());
    *response.status_mut() = code;
    if let Ok(kind) = HeaderValue::from_str(kind) {
        response.headers_mut().insert(CONTENT_TYPE, kind);
    }
    response
}

/// Nothing has changed since the client asked; without any body.
pub(crate) fn not_modified(etag: &str) -> Response<Body> {
    let mut response = Response::new(http_body_util::Empty::new().boxed_unsync());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    set_etag(&mut response, etag);
    response
}

pub(crate) fn set_etag(response: &mut Response<Body>, etag: &str) {
    if let Ok(etag) = HeaderValue::from_str(&format!("\"{etag}\"")) {
        response.headers_mut().insert(ETAG, etag);
    }
}

/// JSON with a line's end.
pub(crate) fn json(value: &Value, pretty: bool) -> Vec<u8> {
    let bytes = if pretty { serde_json::to_vec_pretty(value) } else { serde_json::to_vec(value) };
    let mut bytes = bytes.unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

const MAX_WARNINGS: usize = 32;
const MAX_WARNING_BYTES: usize = 4096;
