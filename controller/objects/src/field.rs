//! Where in an object something is wrong, and how.
//!
//! Lives here: field paths and field errors with the texts that clients know. Must not: decide what is
//! an error. Start at [`FieldError`].

use std::fmt;

use serde_json::Value;

use crate::shown;

/// A place in an object; the root prints as `<nil>`.
///
/// A linked list on the stack: extending borrows, so walking a valid object allocates nothing.
#[derive(Clone, Copy, Debug)]
pub enum Path<'a> {
    /// The object itself.
    Root,
    /// A field of an object.
    Child(&'a Self, &'a str),
    /// A key of a map, or a key that is no identifier: printed in brackets.
    Key(&'a Self, &'a str),
    /// An element of a list.
    Index(&'a Self, usize),
}

impl<'a> Path<'a> {
    /// The place of the field `name` below this one.
    pub fn child(&'a self, name: &'a str) -> Self {
        Path::Child(self, name)
    }

    /// The place of the map entry `key` below this one, printed `path[key]`.
    pub fn key(&'a self, key: &'a str) -> Self {
        Path::Key(self, key)
    }

    /// The place of element `index` below this one.
    pub fn index(&'a self, index: usize) -> Self {
        Path::Index(self, index)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => f.write_str("<nil>"),
            Path::Child(Path::Root, name) => f.write_str(name),
            Path::Child(parent, name) => write!(f, "{parent}.{name}"),
            Path::Key(Path::Root, key) => write!(f, "[{key}]"),
            Path::Key(parent, key) => write!(f, "{parent}[{key}]"),
            Path::Index(Path::Root, index) => write!(f, "[{index}]"),
            Path::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// What kind of thing is wrong; the `reason` of a cause in a `Status`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Reason {
    /// A reference leads nowhere.
    NotFound,
    /// A field must be there.
    Required,
    /// A value is there twice.
    Duplicate,
    /// A value is wrong.
    Invalid,
    /// A value is not in the list of allowed ones.
    NotSupported,
    /// A value is not allowed here or now.
    Forbidden,
    /// A text is too long.
    TooLong,
    /// A list is too long.
    TooMany,
    /// A value has the wrong type.
    TypeInvalid,
    /// The server could not decide.
    Internal,
}

impl Reason {
    /// The word in `details.causes[].reason`.
    pub fn cause(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::Internal => "InternalError",
        }
    }

    /// The words that open the message.
    fn words(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Internal => "Internal error",
        }
    }
}

/// One thing that is wrong with an object.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FieldError {
    /// What kind of thing.
    pub reason: Reason,
    /// Where: `spec.ports[2].name`, `<nil>` for the whole object.
    pub field: String,
    /// In words, without the field: `Invalid value: 12: spec.replicas in body should be …`.
    pub message: String,
}

impl FieldError {
    /// `<field>: Invalid value: <value>: <detail>`.
    pub fn invalid(path: &Path<'_>, value: &Value, detail: impl fmt::Display) -> Self {
        Self::with_value(Reason::Invalid, path, value, detail)
    }

    /// `<field>: Invalid value: <value>: <detail>`, with the reason for a wrong type.
    pub fn wrong_type(path: &Path<'_>, value: &Value, detail: impl fmt::Display) -> Self {
        Self::with_value(Reason::TypeInvalid, path, value, detail)
    }

    /// `<field>: Required value: <detail>`; no detail when it is empty.
    pub fn required(path: &Path<'_>, detail: &str) -> Self {
        Self::without_value(Reason::Required, path, detail)
    }

    /// `<field>: Forbidden: <detail>`.
    pub fn forbidden(path: &Path<'_>, detail: &str) -> Self {
        Self::without_value(Reason::Forbidden, path, detail)
    }

    /// `<field>: Duplicate value: <value>`.
    pub fn duplicate(path: &Path<'_>, value: &Value) -> Self {
        Self::with_value(Reason::Duplicate, path, value, "")
    }

    /// `<field>: Unsupported value: <value>: supported values: "A", "B"`.
    pub fn not_supported<'v>(
        path: &Path<'_>,
        value: &Value,
        supported: impl IntoIterator<Item = &'v str>,
    ) -> Self {
        let supported: Vec<String> = supported.into_iter().map(shown::quoted).collect();
        let detail = match supported.is_empty() {
            true => String::new(),
            false => format!("supported values: {}", supported.join(", ")),
        };
        Self::with_value(Reason::NotSupported, path, value, detail)
    }

    /// `<field>: Too long: may not be more than <max> bytes`.
    pub fn too_long(path: &Path<'_>, max: u64) -> Self {
        let detail = format!("may not be more than {max} bytes");
        Self::without_value(Reason::TooLong, path, &detail)
    }

    /// `<field>: Too many: <actual>: must have at most <max> items`.
    pub fn too_many(path: &Path<'_>, actual: usize, max: u64) -> Self {
        let value = Value::from(actual);
        Self::with_value(
            Reason::TooMany,
            path,
            &value,
            format!("must have at most {max} {}", if max == 1 { "item" } else { "items" }),
        )
    }

    fn with_value(
        reason: Reason,
        path: &Path<'_>,
        value: &Value,
        detail: impl fmt::Display,
    ) -> Self {
        let mut message = format!("{}: {}", reason.words(), shown(value));
        let detail = detail.to_string();
        if !detail.is_empty() {
            message.push_str(": ");
            message.push_str(&detail);
        }
        Self { reason, field: path.to_string(), message }
    }

    fn without_value(reason: Reason, path: &Path<'_>, detail: &str) -> Self {
        let mut message = reason.words().to_owned();
        if !detail.is_empty() {
            message.push_str(": ");
            message.push_str(detail);
        }
        Self { reason, field: path.to_string(), message }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// All errors in one text as a `Status` message has them: one alone, several in brackets, each once.
pub fn aggregate(errors: &[FieldError]) -> String {
    let mut texts: Vec<String> = Vec::with_capacity(errors.len());
    for error in errors {
        let text = error.to_string();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    match texts.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

/// A value in a message, cut when it is long: a message is for a person.
fn shown(value: &Value) -> String {
    let mut text = match value {
        Value::String(text) => shown::quoted(text),
        Value::Number(n) if n.is_f64() => shown::plain(value),
        value => value.to_string(),
    };
    if text.len() > MAX_SHOWN {
        let end = (0..=MAX_SHOWN).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Bytes of a value shown in a message.
const MAX_SHOWN: usize = 512;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_are_those_clients_know() {
        let spec = Path::Root.child("spec");
        let ports = spec.child("ports");
        let port = ports.index(2);
        let cases = [
            (FieldError::required(&port.child("name"), ""), "spec.ports[2].name: Required value"),
            (
                FieldError::not_supported(&spec.child("mode"), &json!("Z"), ["A", "B"]),
                r#"spec.mode: Unsupported value: "Z": supported values: "A", "B""#,
            ),
            (
                FieldError::duplicate(&spec.child("tags").index(1), &json!("a")),
                r#"spec.tags[1]: Duplicate value: "a""#,
            ),
            (
                FieldError::too_long(&spec.child("version"), 20),
                "spec.version: Too long: may not be more than 20 bytes",
            ),
            (
                FieldError::invalid(&Path::Root, &Value::Null, "some rules were not checked"),
                "<nil>: Invalid value: null: some rules were not checked",
            ),
        ];
        for (error, text) in cases {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn one_error_stands_alone_and_several_in_brackets() {
        let a = FieldError::required(&Path::Root.child("a"), "");
        let b = FieldError::required(&Path::Root.child("b"), "");
        assert_eq!(aggregate(std::slice::from_ref(&a)), "a: Required value");
        assert_eq!(aggregate(&[a.clone(), b, a]), "[a: Required value, b: Required value]");
    }

    #[test]
    fn long_values_are_cut_at_a_character() {
        let error = FieldError::invalid(&Path::Root, &json!("é".repeat(2000)), "x");
        assert!(error.message.len() < 600);
    }
}
