//! Errors as clients know them: the `Status` object with its code, reason and details.
//!
//! Lives here: one constructor for each kind of refusal, with the words that clients and people match
//! on. Must not: decide. In `details.kind`, a plural means the resource and a Kind the type: which of
//! them it is differs by reason, as in the original.

use http::StatusCode;
use objects::field::{FieldError, aggregate};
use serde_json::{Map, Value, json};

use crate::builtin::Builtin;
use crate::kind::Kind;
use crate::store::StoreError;

/// A refusal. Its body is a `Status`.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    pub(crate) code: StatusCode,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    /// `details`, without `retryAfterSeconds`.
    pub(crate) details: Map<String, Value>,
    /// Seconds after which the same request may succeed.
    pub(crate) retry_after: Option<u32>,
    /// The body is this text instead of a `Status`.
    pub(crate) plain: bool,
    /// `details` is there even when it is empty.
    pub(crate) with_details: bool,
    /// A token for going on with a list whose snapshot has expired.
    pub(crate) fresh_continue: Option<String>,
}

pub(crate) type Answer<T> = Result<T, ApiError>;

impl ApiError {
    pub(crate) fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: Map::new(),
            retry_after: None,
            plain: false,
            with_details: false,
            fresh_continue: None,
        }
    }

    fn about(mut self, kind: &str, group: &str, name: &str) -> Self {
        for (key, value) in [("name", name), ("group", group), ("kind", kind)] {
            if !value.is_empty() {
                self.details.insert(key.to_owned(), value.into());
            }
        }
        self
    }

    pub(crate) fn with_causes(mut self, errors: &[FieldError]) -> Self {
        let causes: Vec<Value> = errors
            .iter()
            .map(|e| json!({"reason": e.reason.cause(), "message": e.message, "field": e.field}))
            .collect();
        self.details.insert("causes".to_owned(), causes.into());
        self
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
    }

    pub(crate) fn not_found(kind: &Kind, name: &str) -> Self {
        Self::absent(&kind.group, &kind.plural, name)
    }

    /// NotFound for a resource that is named by group and plural.
    pub(crate) fn absent(group: &str, plural: &str, name: &str) -> Self {
        let message = format!("{} {name:?} not found", qualified(plural, group));
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).about(plural, group, name)
    }

    /// The answer to a path nothing is served at.
    pub(crate) fn no_such_path() -> Self {
        let mut error = Self::new(StatusCode::NOT_FOUND, "NotFound", "404 page not found\n");
        error.plain = true;
        error
    }

    pub(crate) fn method_not_allowed(kind: &Kind, verb: &str) -> Self {
        let resource = qualified(&kind.plural, &kind.group);
        let message = format!("{verb} is not supported on resources of kind {resource:?}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message).about(
            &kind.plural,
            &kind.group,
            "",
        )
    }

    /// Headers that say which groups to act in, and not as whom.
    pub(crate) fn half_impersonated() -> Self {
        let why = "Internal Server Error: groups, extras or a uid requested without impersonating a user\n";
        let mut error = Self::unreasoned(why);
        error.plain = true;
        error
    }

    /// A path below a group and version that are served, with nothing there.
    pub(crate) fn no_such_resource() -> Self {
        let message = "the server could not find the requested resource";
        let mut error = Self::new(StatusCode::NOT_FOUND, "NotFound", message);
        error.with_details = true;
        error
    }

    /// A method that a path of a built-in kind, or of no kind, does not know.
    pub(crate) fn no_such_method() -> Self {
        let message = "the server does not allow this method on the requested resource";
        let mut error = Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message);
        error.with_details = true;
        error
    }

    /// A refusal of the original that has a code and no reason.
    pub(crate) fn unreasoned(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "", message)
    }

    /// A change or replacement that does not say which object it is of.
    pub(crate) fn nameless(name: &str) -> Self {
        Self::bad_request(format!(
            "the name of the object ({name} based on URL) was undeterminable: name must be provided"
        ))
    }

    pub(crate) fn not_acceptable(types: &str) -> Self {
        let message = format!("only the following media types are accepted: {types}");
        Self::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message)
    }

    pub(crate) fn unsupported_media_type(types: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {types}"
        );
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }

    pub(crate) fn forbidden(kind: &Kind, name: &str, why: impl std::fmt::Display) -> Self {
        let message =
            format!("{} {name:?} is forbidden: {why}", qualified(&kind.plural, &kind.group));
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message).about(
            &kind.plural,
            &kind.group,
            name,
        )
    }

    pub(crate) fn forbidden_path(user: &str, verb: &str, path: &str) -> Self {
        let message = format!("forbidden: User {user:?} cannot {verb} path {path:?}");
        let mut error = Self::new(StatusCode::FORBIDDEN, "Forbidden", message);
        error.with_details = true;
        error
    }

    /// Authorization says no to something with objects.
    pub(crate) fn forbidden_resource(group: &str, plural: &str, name: &str, why: &str) -> Self {
        let what = qualified(plural, group);
        let message = match name {
            "" => format!("{what} is forbidden: {why}"),
            name => format!("{what} {name:?} is forbidden: {why}"),
        };
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message).about(plural, group, name)
    }

    pub(crate) fn already_exists(kind: &Kind, name: &str, deleting: bool) -> Self {
        let prefix = if deleting { "object is being deleted: " } else { "" };
        let message =
            format!("{prefix}{} {name:?} already exists", qualified(&kind.plural, &kind.group));
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message).about(
            &kind.plural,
            &kind.group,
            name,
        )
    }

    pub(crate) fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        Self::conflict_on(&kind.plural, &kind.group, name, why)
    }

    /// A precondition of a deletion that does not hold; names the Kind.
    pub(crate) fn precondition(kind: &Kind, name: &str, why: &str) -> Self {
        Self::conflict_on(&kind.kind, &kind.group, name, why)
    }

    fn conflict_on(what: &str, group: &str, name: &str, why: &str) -> Self {
        let message =
            format!("Operation cannot be fulfilled on {} {name:?}: {why}", qualified(what, group));
        Self::new(StatusCode::CONFLICT, "Conflict", message).about(what, group, name)
    }

    /// The write came too late: somebody else's was first.
    pub(crate) fn modified(kind: &Kind, name: &str) -> Self {
        Self::conflict(
            kind,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    pub(crate) fn invalid(kind: &Kind, name: &str, errors: &[FieldError]) -> Self {
        // Events are of the core group, whichever form they were sent in.
        let group = match kind.builtin() {
            Some(Builtin::NewEvent) => "",
            _ => &kind.group,
        };
        Self::invalid_as(&kind.kind, group, name, errors)
    }

    /// A PUT without the resourceVersion that it must have; names the plural.
    pub(crate) fn invalid_resource(kind: &Kind, name: &str, errors: &[FieldError]) -> Self {
        Self::invalid_as(&kind.plural, &kind.group, name, errors)
    }

    /// An object that says it is of another kind or version than its address.
    pub(crate) fn invalid_type(kind: &str, group: &str, name: &str, errors: &[FieldError]) -> Self {
        Self::invalid_as(kind, group, name, errors)
    }

    /// A patch whose outcome, as JSON, cannot be decoded as the kind.
    pub(crate) fn invalid_patch(outcome: &str, why: &str) -> Self {
        let path = objects::field::Path::Root;
        let error = FieldError::invalid(&path.child("patch"), &outcome.into(), why);
        Self::invalid_as("", "", "", &[error])
    }

    /// Options of the request that do not hold, such as `dryRun=Maybe`.
    pub(crate) fn invalid_options(options: &str, errors: &[FieldError]) -> Self {
        Self::invalid_as(options, "meta.k8s.io", "", errors)
    }

    /// A question that cannot be answered as it is asked.
    pub(crate) fn invalid_review(group: &str, errors: &[FieldError]) -> Self {
        Self::invalid_as("", group, "", errors)
    }

    fn invalid_as(kind: &str, group: &str, name: &str, errors: &[FieldError]) -> Self {
        let message =
            format!("{} {name:?} is invalid: {}", qualified(kind, group), aggregate(errors));
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message)
            .about(kind, group, name)
            .with_causes(errors)
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit}");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
    }

    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "Expired", message)
    }

    pub(crate) fn too_old(asked: u64, oldest: u64) -> Self {
        Self::expired(format!("too old resource version: {asked} ({oldest})"))
    }

    /// The resourceVersion lies in the future.
    pub(crate) fn too_new(asked: u64, current: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {asked}, current: {current}");
        let mut error = Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message);
        error.details.insert(
            "causes".to_owned(),
            json!([{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]),
        );
        error.retry_after = Some(1);
        error
    }

    pub(crate) fn too_many_requests() -> Self {
        let mut error = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "TooManyRequests",
            "Too many requests, please try again later.",
        );
        error.retry_after = Some(1);
        error
    }

    pub(crate) fn unavailable(why: impl std::fmt::Display) -> Self {
        let message = format!("the server is currently unable to handle the request: {why}");
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message);
        error.retry_after = Some(1);
        error
    }

    pub(crate) fn internal(message: impl std::fmt::Display) -> Self {
        let message = format!("Internal error occurred: {message}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
    }

    /// A write that the store refused and that is not to be tried again.
    pub(crate) fn from_store(kind: &Kind, name: &str, error: StoreError) -> Self {
        match error {
            StoreError::Exists => Self::already_exists(kind, name, false),
            StoreError::Absent => Self::not_found(kind, name),
            StoreError::Stale => Self::modified(kind, name),
            StoreError::TooLarge { bytes, limit } => {
                let mut error = Self::too_large(limit);
                error.message = format!(
                    "Request entity too large: the object takes {bytes} bytes and the store's limit is {limit}; make it smaller or split it"
                );
                error
            }
            StoreError::Unavailable(why) => Self::unavailable(why),
        }
    }

    /// The `Status` object.
    pub(crate) fn body(&self) -> Value {
        let mut metadata = Map::new();
        if let Some(token) = &self.fresh_continue {
            metadata.insert("continue".to_owned(), token.as_str().into());
        }
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": metadata,
            "status": "Failure",
            "message": self.message,
            "code": self.code.as_u16(),
        });
        if !self.reason.is_empty() {
            status["reason"] = self.reason.into();
        }
        let mut details = self.details.clone();
        if let Some(seconds) = self.retry_after {
            details.insert("retryAfterSeconds".to_owned(), seconds.into());
        }
        let always = self.with_details || self.code == StatusCode::UNPROCESSABLE_ENTITY;
        if !details.is_empty() || always {
            status["details"] = Value::Object(details);
        }
        status
    }
}

/// `plural.group`, or `plural` for the core group.
fn qualified(name: &str, group: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}
