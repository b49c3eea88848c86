//! Reading: from JSON values to the fields of a message, with the path of what is missing.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{FromJson, JsonError, write};

/// The fields of one JSON object, taken out one by one.
#[derive(Debug)]
pub struct Object(pub(super) Map<String, Value>);

impl Object {
    /// The value of that key; `None` when it is missing or `null`.
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.0.remove(key).filter(|value| !value.is_null())
    }
}

/// Where in a body the reading is, and which required fields it has missed.
#[derive(Debug, Default)]
pub struct Reader {
    path: Vec<Step>,
    missing: Vec<String>,
}

#[derive(Debug)]
enum Step {
    Field(&'static str),
    Item(&'static str, usize),
    Key(&'static str, String),
}

impl Reader {
    pub(super) fn finish<M>(self, message: M) -> Result<M, JsonError> {
        if self.missing.is_empty() { Ok(message) } else { Err(JsonError::Missing(self.missing)) }
    }

    pub(super) fn require(&mut self, object: &Object, field: &'static str) {
        if object.0.get(field).is_none_or(Value::is_null) {
            let mut path = String::new();
            for step in &self.path {
                let _infallible = match step {
                    Step::Field(name) => write!(path, "{name}."),
                    Step::Item(name, at) => write!(path, "{name}[{at}]."),
                    Step::Key(name, key) => write!(path, "{name}[{key}]."),
                };
            }
            path.push_str(field);
            self.missing.push(path);
        }
    }

    pub(super) fn message<M: FromJson>(
        &mut self,
        field: &'static str,
        value: Value,
    ) -> Result<M, JsonError> {
        self.at(Step::Field(field), field, value)
    }

    pub(super) fn element<M: FromJson>(
        &mut self,
        field: &'static str,
        at: usize,
        value: Value,
    ) -> Result<M, JsonError> {
        self.at(Step::Item(field, at), field, value)
    }

    fn at<M: FromJson>(
        &mut self,
        step: Step,
        field: &'static str,
        value: Value,
    ) -> Result<M, JsonError> {
        let Value::Object(object) = value else { return Err(unexpected(field, &value)) };
        self.path.push(step);
        let message = M::read(self, Object(object))?;
        self.path.pop();
        Ok(message)
    }

    pub(super) fn map<V: MapValue>(
        &mut self,
        field: &'static str,
        value: Value,
    ) -> Result<BTreeMap<String, V>, JsonError> {
        let Value::Object(object) = value else { return Err(unexpected(field, &value)) };
        let mut map = BTreeMap::new();
        for (key, value) in object {
            let value = V::read(self, field, &key, value)?;
            map.insert(key, value);
        }
        Ok(map)
    }

    pub(super) fn string(&self, field: &'static str, value: Value) -> Result<String, JsonError> {
        match value {
            Value::String(text) => Ok(text),
            other => Err(unexpected(field, &other)),
        }
    }

    pub(super) fn bytes(&self, field: &'static str, value: Value) -> Result<Vec<u8>, JsonError> {
        let text = self.string(field, value)?;
        write::decode(&text).map_err(|why| JsonError::BadBytes { field, why })
    }

    pub(super) fn boolean(&self, field: &'static str, value: Value) -> Result<bool, JsonError> {
        match &value {
            Value::Bool(value) => Ok(*value),
            Value::String(text) if text == "true" => Ok(true),
            Value::String(text) if text == "false" => Ok(false),
            other => Err(unexpected(field, other)),
        }
    }

    pub(super) fn double(&self, field: &'static str, value: Value) -> Result<f64, JsonError> {
        match &value {
            Value::Number(number) => number.as_f64().ok_or_else(|| bad_number(field, &value)),
            Value::String(text) => match text.as_str() {
                "Infinity" => Ok(f64::INFINITY),
                "-Infinity" => Ok(f64::NEG_INFINITY),
                text => text.parse().map_err(|_| bad_number(field, &value)),
            },
            other => Err(unexpected(field, other)),
        }
    }

    pub(super) fn integer<N>(&self, field: &'static str, value: Value) -> Result<N, JsonError>
    where
        N: TryFrom<i128>,
    {
        let whole = match &value {
            Value::Number(number) => whole(number),
            Value::String(text) => text.parse().ok().and_then(|number| whole(&number)),
            other => return Err(unexpected(field, other)),
        };
        let number = whole.and_then(|whole| N::try_from(whole).ok());
        number.ok_or_else(|| bad_number(field, &value))
    }

    /// The number behind an enum's name; `None` for a name that is not known.
    pub(super) fn name(
        &self,
        field: &'static str,
        value: Value,
        number: impl Fn(&str) -> Option<i32>,
    ) -> Result<Option<i32>, JsonError> {
        Ok(number(&self.string(field, value)?))
    }
}

/// What a map may hold.
pub(super) trait MapValue: Sized {
    fn read(
        cx: &mut Reader,
        field: &'static str,
        key: &str,
        value: Value,
    ) -> Result<Self, JsonError>;
}

impl<M: FromJson> MapValue for M {
    fn read(cx: &mut Reader, field: &'static str, key: &str, value: Value) -> Result<M, JsonError> {
        cx.at(Step::Key(field, key.into()), field, value)
    }
}

impl MapValue for String {
    fn read(
        cx: &mut Reader,
        field: &'static str,
        _: &str,
        value: Value,
    ) -> Result<Self, JsonError> {
        cx.string(field, value)
    }
}

impl<M: FromJson> FromJson for Box<M> {
    fn read(cx: &mut Reader, object: Object) -> Result<Self, JsonError> {
        M::read(cx, object).map(Self::new)
    }
}

/// The items of a list; one value will do for a list of it.
pub(super) fn items(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        single => vec![single],
    }
}

/// A fraction is cut off, as Mesos does.
fn whole(number: &serde_json::Number) -> Option<i128> {
    if let Some(whole) = number.as_i128() {
        return Some(whole);
    }
    let number = number.as_f64().filter(|number| number.abs() < 9.3e18)?;
    #[allow(clippy::cast_possible_truncation, reason = "what is below 2^64 fits an i128")]
    let whole = number.trunc() as i128;
    Some(whole)
}

fn bad_number(field: &'static str, value: &Value) -> JsonError {
    let text = match value {
        Value::String(text) => text.chars().take(80).collect(),
        other => other.to_string(),
    };
    JsonError::BadNumber { text, field }
}

fn unexpected(field: &'static str, value: &Value) -> JsonError {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    JsonError::Unexpected { found, field }
}
