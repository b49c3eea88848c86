//! What the query of a request asks for.
//!
//! Unknown parameters are ignored. A value that cannot be read is refused, not taken for its default;
//! where a bad one of another form is ignored by the original, it is ignored here.

use objects::field::{FieldError, Path};
use objects::shown::quoted;
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
    /// What was given as a resourceVersion and is none.
    pub(crate) bad_version: Option<String>,
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
        let (mut errors, mut seen) = (Vec::new(), Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            // As in the original, a pair that cannot be read counts as not given, and of several values
            // of one name the first counts.
            let (Some(name), Some(value), false) = (
                unescape(&name.replace('+', " ")),
                unescape(&value.replace('+', " ")),
                pair.contains(';'),
            ) else {
                continue;
            };
            if seen.contains(&name) && name != "dryRun" {
                continue;
            }
            params.set(&name, value, &mut errors)?;
            seen.push(name);
        }
        if errors.is_empty() {
            Ok(params)
        } else {
            Err(ApiError::invalid_options(options, &errors))
        }
    }

    /// What is wrong with the resourceVersion asked for, if anything.
    pub(crate) fn refused_version(&self) -> Option<String> {
        let value = quoted(self.bad_version.as_deref()?);
        Some(format!(
            "resourceVersion: Invalid value: {value}: strconv.ParseUint: parsing {value}: invalid syntax"
        ))
    }

    fn set(&mut self, name: &str, value: String, errors: &mut Vec<FieldError>) -> Answer<()> {
        match name {
            "watch" => self.watch = boolean(&value),
            "labelSelector" => self.label_selector = value,
            "fieldSelector" => self.field_selector = value,
            "limit" => self.limit = usize::try_from(integer(&value)?).unwrap_or(0),
            "continue" => self.continue_token = value,
            "resourceVersion" if value.is_empty() => {}
            "resourceVersion" => match value.parse() {
                Ok(rv) => self.resource_version = Some(rv),
                Err(_) => self.bad_version = Some(value),
            },
            "resourceVersionMatch" => {
                self.resource_version_match = (!value.is_empty()).then_some(value);
            }
            "allowWatchBookmarks" => self.bookmarks = boolean(&value),
            "sendInitialEvents" => self.send_initial_events = Some(boolean(&value)),
            "timeoutSeconds" => {
                self.timeout_seconds = u64::try_from(integer(&value)?).ok().filter(|t| *t > 0);
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
            "force" => self.force = Some(boolean(&value)),
            "propagationPolicy" => self.propagation = (!value.is_empty()).then_some(value),
            "gracePeriodSeconds" => self.grace_seconds = Some(integer(&value)?),
            "orphanDependents" => self.orphan_dependents = Some(boolean(&value)),
            "pretty" => self.pretty = Some(boolean(&value)),
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
        } else if let Some((at, c)) = value.char_indices().find(|(_, c)| c.is_control()) {
            let detail = format!("invalid character U+{:04X} (at position {at})", u32::from(c));
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
            ["", "Ignore", "Strict", "Warn"],
        )),
    }
}

/// Only two words say no; a name without a value counts as set, as in `?watch`.
fn boolean(value: &str) -> bool {
    !matches!(value.to_ascii_lowercase().as_str(), "0" | "false")
}

fn integer(value: &str) -> Answer<i64> {
    value.parse().map_err(|_| {
        let value = quoted(value);
        ApiError::bad_request(format!("strconv.ParseInt: parsing {value}: invalid syntax"))
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
        assert_eq!(Params::parse("limit=", "").unwrap_err().code, 400);
        assert_eq!(Params::parse("limit=1&limit=2&x=%zz", "").unwrap().limit, 1);
        let bad = Params::parse("resourceVersion=a", "").unwrap();
        assert_eq!(
            bad.refused_version().as_deref(),
            Some(
                "resourceVersion: Invalid value: \"a\": strconv.ParseUint: parsing \"a\": invalid syntax"
            )
        );
        let error = Params::parse("dryRun=Maybe", "CreateOptions").unwrap_err();
        assert_eq!(error.code, 422);
        assert!(error.message.starts_with("CreateOptions.meta.k8s.io \"\" is invalid: dryRun"));
    }
}
