//! What the query of a request asks for.
//!
//! Unknown parameters are ignored. A value that cannot be read is refused, not taken for its default.

use objects::field::{FieldError, Path};
use serde_json::{Value, json};

use crate::route::unescape;
use crate::status::{Answer, ApiError};

/// What to do with fields that the schema does not know, and with keys given twice.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// The parameters of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params {
    pub(crate) watch: bool,
    pub(crate) label_selector: String,
    pub(crate) field_selector: String,
    /// 0 is no limit.
    pub(crate) limit: usize,
    pub(crate) continue_token: String,
    /// `None`: not given. `Some(0)`: any.
    pub(crate) resource_version: Option<u64>,
    pub(crate) resource_version_match: Option<String>,
    pub(crate) bookmarks: bool,
    pub(crate) send_initial_events: Option<bool>,
    pub(crate) timeout_seconds: Option<u64>,
    pub(crate) field_manager: Option<String>,
    pub(crate) field_validation: FieldValidation,
    pub(crate) dry_run: bool,
    pub(crate) force: Option<bool>,
    pub(crate) propagation: Option<String>,
    pub(crate) grace_seconds: Option<i64>,
    pub(crate) orphan_dependents: Option<bool>,
    pub(crate) pretty: Option<bool>,
    pub(crate) include_object: Option<String>,
}

impl Params {
    /// Reads a query; `options` is the name of the options object in errors (`CreateOptions`).
    pub(crate) fn parse(query: &str, options: &str) -> Answer<Self> {
        let mut params = Self::default();
        let mut errors = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) =
                (unescape(&name.replace('+', " ")), unescape(&value.replace('+', " ")))
            else {
                return Err(ApiError::bad_request(format!("invalid URL escape in {pair:?}")));
            };
            params.set(&name, value, &mut errors)?;
        }
        if errors.is_empty() {
            Ok(params)
        } else {
            Err(ApiError::invalid_options(options, &errors))
        }
    }

    fn set(&mut self, name: &str, value: String, errors: &mut Vec<FieldError>) -> Answer<()> {
        match name {
            "watch" => self.watch = boolean(name, &value)?,
            "labelSelector" => self.label_selector = value,
            "fieldSelector" => self.field_selector = value,
            "limit" => self.limit = usize::try_from(integer(name, &value)?).unwrap_or(0),
            "continue" => self.continue_token = value,
            "resourceVersion" if value.is_empty() => {}
            "resourceVersion" => {
                let rv = value.parse().map_err(|_| {
                    ApiError::bad_request(format!(
                        "invalid resource version {value:?}: it must be a number this server gave out"
                    ))
                })?;
                self.resource_version = Some(rv);
            }
            "resourceVersionMatch" => {
                self.resource_version_match = (!value.is_empty()).then_some(value);
            }
            "allowWatchBookmarks" => self.bookmarks = boolean(name, &value)?,
            "sendInitialEvents" => self.send_initial_events = Some(boolean(name, &value)?),
            "timeoutSeconds" => {
                self.timeout_seconds =
                    u64::try_from(integer(name, &value)?).ok().filter(|t| *t > 0);
            }
            "fieldManager" => self.set_manager(value, errors),
            "fieldValidation" => match field_validation(&value) {
                Ok(level) => self.field_validation = level,
                Err(error) => errors.push(error),
            },
            "dryRun" => match dry_run([value.as_str()]) {
                Ok(dry) => self.dry_run |= dry,
                Err(error) => errors.push(error),
            },
            "force" => self.force = Some(boolean(name, &value)?),
            "propagationPolicy" => self.propagation = (!value.is_empty()).then_some(value),
            "gracePeriodSeconds" => self.grace_seconds = Some(integer(name, &value)?),
            "orphanDependents" => self.orphan_dependents = Some(boolean(name, &value)?),
            "pretty" => self.pretty = Some(boolean(name, &value).unwrap_or(true)),
            "includeObject" => self.include_object = Some(value),
            _ => {}
        }
        Ok(())
    }

    fn set_manager(&mut self, value: String, errors: &mut Vec<FieldError>) {
        let path = Path::Root;
        let path = path.child("fieldManager");
        if value.len() > MAX_MANAGER {
            errors.push(FieldError::too_long(&path, MAX_MANAGER as u64));
        } else if value.chars().any(char::is_control) {
            let detail = "should not contain non-printable characters";
            errors.push(FieldError::invalid(&path, &Value::from(value), detail));
        } else if !value.is_empty() {
            self.field_manager = Some(value);
        }
    }
}

/// `dryRun`, from the query or from options in a body: only `All` is known.
pub(crate) fn dry_run<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<bool, FieldError> {
    let mut dry = false;
    for value in values {
        match value {
            "" => {}
            "All" => dry = true,
            other => {
                let path = Path::Root;
                let path = path.child("dryRun");
                return Err(FieldError::not_supported(&path, &json!([other]), ["All"]));
            }
        }
    }
    Ok(dry)
}

fn field_validation(value: &str) -> Result<FieldValidation, FieldError> {
    match value {
        "" | "Warn" => Ok(FieldValidation::Warn),
        "Ignore" => Ok(FieldValidation::Ignore),
        "Strict" => Ok(FieldValidation::Strict),
        other => Err(FieldError::not_supported(
            &Path::Root.child("fieldValidation"),
            &other.into(),
            ["Ignore", "Strict", "Warn"],
        )),
    }
}

fn boolean(name: &str, value: &str) -> Answer<bool> {
    match value {
        // A name without a value counts as set, as in `?watch`.
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        other => Err(ApiError::bad_request(format!(
            "query parameter {name:?}: {other:?} is neither true nor false"
        ))),
    }
}

fn integer(name: &str, value: &str) -> Answer<i64> {
    if value.is_empty() {
        return Ok(0);
    }
    value.parse().map_err(|_| {
        ApiError::bad_request(format!(
            "query parameter {name:?}: strconv.ParseInt: parsing {value:?}: invalid syntax"
        ))
    })
}

/// Bytes of a field manager's name.
const MAX_MANAGER: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_and_bad_ones_refused() {
        let p =
            Params::parse("watch=1&limit=5&resourceVersion=0&labelSelector=a%3Db&x=y", "").unwrap();
        assert!(p.watch && p.limit == 5 && p.resource_version == Some(0));
        assert_eq!(p.label_selector, "a=b");
        assert_eq!(Params::parse("limit=-1", "").unwrap().limit, 0);
        assert_eq!(Params::parse("limit=abc", "").unwrap_err().code, 400);
        assert_eq!(Params::parse("resourceVersion=a", "").unwrap_err().code, 400);
        let error = Params::parse("dryRun=Maybe", "CreateOptions").unwrap_err();
        assert_eq!(error.code, 422);
        assert!(error.message.starts_with("CreateOptions.meta.k8s.io \"\" is invalid: dryRun"));
    }
}
