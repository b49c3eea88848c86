//! Bytes to values: JSON and YAML, strict about what must be told to the client.
//!
//! Lives here: one visitor for both formats that keeps duplicate keys to report, bounds depth and size
//! (so that YAML aliases cannot grow without end) and reads numbers as Kubernetes does. Must not: know
//! schemas. Start at [`json`] and [`yaml`].

use std::cell::RefCell;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// What a body held.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The value; of keys given twice the last one won.
    pub value: Value,
    /// One text for each key given twice, in order: `duplicate field "spec.junk"`.
    pub duplicates: Vec<String>,
}

/// Why a body is not a value.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON.
    #[error("invalid JSON: {0}")]
    Json(String),
    /// Not YAML.
    #[error("invalid YAML: {0}")]
    Yaml(String),
    /// YAML with more than one document.
    #[error("the body holds more than one YAML document; send one object in each request")]
    ManyDocuments,
}

/// Reads one JSON value; nothing may follow it but white space.
///
/// # Errors
/// The text is not JSON, or nests deeper than 127 levels.
pub fn json(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let mut state = State::new(bytes.len());
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = seed(&mut state)
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|e| DecodeError::Json(e.to_string()))?;
    Ok(state.finish(value))
}

/// Reads one YAML document; an empty text is `null`. JSON is YAML too.
///
/// # Errors
/// The text is not YAML, has tags, nests too deep, unfolds (by aliases) into far more than was sent, or
/// holds more than one document.
pub fn yaml(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let text = std::str::from_utf8(bytes).map_err(|e| DecodeError::Yaml(e.to_string()))?;
    if text.trim_start().starts_with('{')
        && let Ok(decoded) = json(bytes)
    {
        return Ok(decoded);
    }
    // The reader's work grows with the square of how deep braces nest, before the visitor sees any.
    if text.bytes().filter(|b| matches!(b, b'{' | b'[')).count() > MAX_YAML_BRACES {
        return Err(DecodeError::Yaml(format!(
            "more than {MAX_YAML_BRACES} braces and brackets; send it as JSON"
        )));
    }
    let mut found: Option<Decoded> = None;
    for document in serde_yaml::Deserializer::from_str(text) {
        let mut state = State::new(bytes.len());
        let value = seed(&mut state)
            .deserialize(document)
            .map_err(|e| DecodeError::Yaml(end_of(e.to_string())))?;
        let decoded = state.finish(value);
        match &found {
            Some(first) if !first.value.is_null() => {
                if !decoded.value.is_null() {
                    return Err(DecodeError::ManyDocuments);
                }
            }
            _ => found = Some(decoded),
        }
    }
    Ok(found.unwrap_or(Decoded { value: Value::Null, duplicates: Vec::new() }))
}

/// The end of a message that starts with a very long path.
fn end_of(message: String) -> String {
    match message.len().checked_sub(MAX_MESSAGE) {
        None => message,
        Some(cut) => {
            let start = (cut..message.len()).find(|&at| message.is_char_boundary(at));
            format!("…{}", &message[start.unwrap_or(cut)..])
        }
    }
}

/// A float as Kubernetes keeps it: whole ones that an `i64` holds exactly become integers, since that is
/// how they are written and read again.
pub fn float(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() <= MAX_EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 53 bits")]
        return Value::from(value as i64);
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

/// What the visitor carries along.
struct State {
    /// Nodes and bytes that may still be made.
    budget: usize,
    path: RefCell<Vec<Step>>,
    duplicates: Vec<String>,
}

enum Step {
    Field(String),
    Index(usize),
}

impl State {
    fn new(sent: usize) -> Self {
        let budget = sent.saturating_mul(MAX_GROWTH).clamp(MIN_BUDGET, MAX_BUDGET.max(sent));
        Self { budget, path: RefCell::default(), duplicates: Vec::new() }
    }

    fn finish(self, value: Value) -> Decoded {
        Decoded { value, duplicates: self.duplicates }
    }

    fn spend<E: de::Error>(&mut self, amount: usize) -> Result<(), E> {
        self.budget = self.budget.checked_sub(amount).ok_or_else(|| {
            E::custom("the document unfolds into far more than was sent; use fewer aliases")
        })?;
        Ok(())
    }

    fn note_duplicate(&mut self, key: &str) {
        if self.duplicates.len() >= MAX_DUPLICATES {
            return;
        }
        let mut path = String::new();
        for step in self.path.borrow().iter() {
            match step {
                Step::Field(name) if path.is_empty() => path.push_str(name),
                Step::Field(name) => {
                    path.push('.');
                    path.push_str(name);
                }
                Step::Index(index) => path.push_str(&format!("[{index}]")),
            }
        }
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key);
        let text = format!("duplicate field {path:?}");
        if !self.duplicates.contains(&text) {
            self.duplicates.push(text);
        }
    }
}

fn seed(state: &mut State) -> Build<'_> {
    Build { state, depth: 0 }
}

struct Build<'a> {
    state: &'a mut State,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Build<'_> {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Build<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plain value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        // Kubernetes knows no unsigned numbers: what an i64 cannot hold is a float.
        #[expect(clippy::cast_precision_loss, reason = "what Kubernetes does with such numbers")]
        Ok(i64::try_from(value).map_or_else(
            |_| Number::from_f64(value as f64).map_or(Value::Null, Value::Number),
            Value::from,
        ))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        if !value.is_finite() {
            return Err(E::custom("numbers must be finite"));
        }
        Ok(float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        self.state.spend(value.len())?;
        Ok(Value::from(value))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        self.state.spend(value.len())?;
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        check_depth(self.depth)?;
        let mut list = Vec::new();
        loop {
            self.state.spend(NODE_COST)?;
            self.state.path.borrow_mut().push(Step::Index(list.len()));
            let item =
                items.next_element_seed(Build { state: self.state, depth: self.depth + 1 })?;
            self.state.path.borrow_mut().pop();
            match item {
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        check_depth(self.depth)?;
        let mut map = Map::new();
        while let Some(Key(key)) = entries.next_key()? {
            self.state.spend(NODE_COST + key.len())?;
            if map.contains_key(&key) {
                self.state.note_duplicate(&key);
            }
            self.state.path.borrow_mut().push(Step::Field(key));
            let value =
                entries.next_value_seed(Build { state: self.state, depth: self.depth + 1 })?;
            if let Some(Step::Field(key)) = self.state.path.borrow_mut().pop() {
                map.insert(key, value);
            }
        }
        Ok(Value::Object(map))
    }

    fn visit_enum<A: de::EnumAccess<'de>>(self, _: A) -> Result<Value, A::Error> {
        Err(de::Error::custom("YAML tags are not supported"))
    }
}

fn check_depth<E: de::Error>(depth: usize) -> Result<(), E> {
    match depth < MAX_DEPTH {
        true => Ok(()),
        false => Err(E::custom(format!("the value nests deeper than {MAX_DEPTH} levels"))),
    }
}

/// A key: YAML may have numbers and booleans there, which become their text.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key that is a string")
            }

            fn visit_str<E>(self, value: &str) -> Result<Key, E> {
                Ok(Key(value.to_owned()))
            }

            fn visit_string<E>(self, value: String) -> Result<Key, E> {
                Ok(Key(value))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Key, E> {
                Ok(Key(value.to_string()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Key, E> {
                Ok(Key(value.to_string()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Key, E> {
                Ok(Key(value.to_string()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Key, E> {
                Ok(Key(value.to_string()))
            }
        }
        deserializer.deserialize_any(KeyVisitor)
    }
}

/// Deepest nesting of lists and maps; what the JSON reader itself allows.
const MAX_DEPTH: usize = 127;
/// Integers up to here are exact in a float.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
/// What a list element or a map entry costs.
const NODE_COST: usize = 8;
/// How many times larger than the text the value may be: the densest honest text is `[[],[]…]`.
const MAX_GROWTH: usize = 16;
/// Small documents may unfold up to here.
const MIN_BUDGET: usize = 1 << 20;
/// No document unfolds beyond this unless it was sent so large.
const MAX_BUDGET: usize = 64 << 20;
/// Flow collections that YAML, as opposed to JSON, may have.
const MAX_YAML_BRACES: usize = 10_000;
/// Bytes of an error's text.
const MAX_MESSAGE: usize = 200;
/// Duplicates reported for one body.
const MAX_DUPLICATES: usize = 100;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_read_as_kubernetes_reads_them() {
        let read = json(br#"{"a":2.0,"b":2.5,"c":9223372036854775807,"d":18446744073709551615}"#);
        let value = read.expect("valid").value;
        assert_eq!(value["a"].as_i64(), Some(2));
        assert_eq!(value["b"], json!(2.5));
        assert_eq!(value["c"].as_i64(), Some(i64::MAX));
        assert!(value["d"].is_f64());
    }

    #[test]
    fn keys_given_twice_are_told_with_their_path() {
        let read = json(br#"{"spec":{"a":1,"a":2,"l":[{"x":1,"x":2}]}}"#).expect("valid");
        assert_eq!(read.value["spec"]["a"], 2);
        assert_eq!(
            read.duplicates,
            [r#"duplicate field "spec.a""#, r#"duplicate field "spec.l[0].x""#]
        );
        let read = yaml(b"spec:\n  a: 1\n  a: 2\n").expect("valid");
        assert_eq!(read.duplicates, [r#"duplicate field "spec.a""#]);
    }

    #[test]
    fn yaml_becomes_the_same_value_as_json() {
        let text = b"a: 1\nb: [x, 2.0, null, true]\n1: one\nc: &c {d: e}\nf: *c\n";
        let value = yaml(text).expect("valid").value;
        assert_eq!(
            value,
            json!({"a":1,"b":["x",2,null,true],"1":"one","c":{"d":"e"},"f":{"d":"e"}})
        );
    }

    #[test]
    fn yaml_streams_of_several_documents_are_refused() {
        assert_eq!(yaml(b"a: 1\n---\nb: 2\n"), Err(DecodeError::ManyDocuments));
        assert_eq!(yaml(b"---\na: 1\n---\n").expect("one").value, json!({"a":1}));
        assert_eq!(yaml(b"").expect("none").value, Value::Null);
    }

    #[test]
    fn alias_bombs_and_deep_nests_are_refused() {
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for i in 1..12 {
            let refs = vec![format!("*a{}", i - 1); 10].join(",");
            bomb.push_str(&format!("a{i}: &a{i} [{refs}]\n"));
        }
        assert!(yaml(bomb.as_bytes()).is_err());
        let wide = format!("a: &a [{}]\nb: [{}]\n", "xy,".repeat(50_000), "*a,".repeat(50_000));
        assert!(yaml(wide.as_bytes()).is_err());
        let deep = "[".repeat(100_000);
        assert!(json(deep.as_bytes()).is_err());
        assert!(yaml(deep.as_bytes()).is_err());
        let nest = "{a: ".repeat(2000);
        let error = yaml(nest.as_bytes()).expect_err("too deep").to_string();
        assert!(error.len() < 300 && error.contains("nests deeper"), "{error}");
    }

    #[test]
    fn dense_honest_text_is_read() {
        let dense = format!("[{}[]]", "[],".repeat(200_000));
        assert!(json(dense.as_bytes()).is_ok());
    }

    #[test]
    fn what_is_no_value_is_an_error() {
        for bad in ["", "{", "{}x", "nul", "1e999"] {
            assert!(json(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(yaml(b"a: !tag b").is_err());
        assert!(yaml(b"a: [").is_err());
        assert!(yaml(&[0xff, 0xfe, 0x00]).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = json(&bytes);
            let _ = yaml(&bytes);
        }
    }
}
