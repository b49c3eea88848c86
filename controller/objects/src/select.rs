//! Label and field selectors.
//!
//! Lives here: reading a selector from a query string, and matching. Must not: know which fields a kind
//! offers (the caller passes them). Start at [`LabelSelector::parse`] and [`FieldSelector::parse`].

use serde_json::{Map, Value};

use crate::meta;

/// Why a selector cannot be used; the text goes to the client in a 400.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SelectorError {
    /// A label requirement is not of any known form.
    #[error("unable to parse requirement: {0}")]
    Requirement(String),
    /// Something else stands where a label requirement or the end must be.
    #[error("{0}")]
    Syntax(String),
    /// A field term has no operator.
    #[error("invalid selector: '{selector}'; can't understand '{term}'")]
    Term {
        /// The whole text.
        selector: String,
        /// The part at fault.
        term: String,
    },
    /// A field value has an escape that does not exist.
    #[error("invalid field selector: {0}")]
    Escape(String),
    /// The kind does not offer this field.
    #[error("field label not supported: {0}")]
    Unsupported(String),
}

/// Requirements on labels, all of which must hold.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LabelSelector(Vec<Requirement>);

#[derive(Clone, Debug, Eq, PartialEq)]
struct Requirement {
    key: String,
    test: LabelTest,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum LabelTest {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
    Above(i64),
    Below(i64),
}

impl LabelSelector {
    /// Reads `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>5`; an empty text selects everything.
    ///
    /// # Errors
    /// A requirement is of no known form, or its key or value can be no label.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut words = Words { rest: text };
        let mut requirements = Vec::new();
        loop {
            let syntax = |found: Word<'_>, expected: &str| {
                SelectorError::Syntax(format!("found '{}', expected: {expected}", found.text()))
            };
            match words.peek() {
                Word::End => return Ok(Self(requirements)),
                Word::Text(_) | Word::Not => requirements.push(words.requirement()?),
                other => return Err(syntax(other, "!, identifier, or 'end of string'")),
            }
            match words.take() {
                Word::End => return Ok(Self(requirements)),
                Word::Comma => match words.peek() {
                    Word::Text(_) | Word::Not => {}
                    other => return Err(syntax(other, "identifier after ','")),
                },
                other => return Err(syntax(other, "',' or 'end of string'")),
            }
        }
    }

    /// Whether there is no requirement.
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an object's labels (`metadata.labels`, absent counts as none) meet every requirement.
    pub fn matches(&self, object: &Value) -> bool {
        let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
        self.0.iter().all(|requirement| requirement.matches(labels))
    }
}

impl Requirement {
    fn matches(&self, labels: Option<&Map<String, Value>>) -> bool {
        let value = labels.and_then(|labels| labels.get(&self.key)).and_then(Value::as_str);
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match &self.test {
            LabelTest::Exists => value.is_some(),
            LabelTest::Absent => value.is_none(),
            LabelTest::In(values) => value.is_some_and(|value| values.iter().any(|v| v == value)),
            LabelTest::NotIn(values) => value.is_none_or(|value| values.iter().all(|v| v != value)),
            LabelTest::Above(bound) => number().is_some_and(|number| number > *bound),
            LabelTest::Below(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Word<'a> {
    End,
    Comma,
    Open,
    Close,
    Not,
    Equals,
    Differs,
    Above,
    Below,
    Text(&'a str),
}

impl<'a> Word<'a> {
    fn text(self) -> &'a str {
        match self {
            Word::End => "",
            Word::Comma => ",",
            Word::Open => "(",
            Word::Close => ")",
            Word::Not => "!",
            Word::Equals => "=",
            Word::Differs => "!=",
            Word::Above => ">",
            Word::Below => "<",
            Word::Text(text) => text,
        }
    }
}

struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    fn peek(&self) -> Word<'a> {
        Words { rest: self.rest }.take()
    }

    fn take(&mut self) -> Word<'a> {
        self.rest = self.rest.trim_start();
        for (sign, word) in SIGNS {
            if let Some(rest) = self.rest.strip_prefix(sign) {
                self.rest = rest;
                return word;
            }
        }
        let is_end = |c: char| c.is_whitespace() || "=!(),<>".contains(c);
        let (text, rest) = self.rest.split_at(self.rest.find(is_end).unwrap_or(self.rest.len()));
        self.rest = rest;
        if text.is_empty() { Word::End } else { Word::Text(text) }
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        if self.peek() == Word::Not {
            self.take();
            return Ok(Requirement { key: self.key()?, test: LabelTest::Absent });
        }
        let key = self.key()?;
        let test = match self.peek() {
            Word::End | Word::Comma => LabelTest::Exists,
            Word::Equals => {
                self.take();
                LabelTest::In(vec![self.value(&key)?])
            }
            Word::Differs => {
                self.take();
                LabelTest::NotIn(vec![self.value(&key)?])
            }
            Word::Above => {
                self.take();
                LabelTest::Above(self.number(&key)?)
            }
            Word::Below => {
                self.take();
                LabelTest::Below(self.number(&key)?)
            }
            Word::Text("in") => {
                self.take();
                LabelTest::In(self.values(&key)?)
            }
            Word::Text("notin") => {
                self.take();
                LabelTest::NotIn(self.values(&key)?)
            }
            _ => return Err(self.unexpected("in, notin, =, ==, !=, gt, lt")),
        };
        Ok(Requirement { key, test })
    }

    fn key(&mut self) -> Result<String, SelectorError> {
        match self.take() {
            Word::Text(key) => match meta::qualified_name_error(key) {
                None => Ok(key.to_owned()),
                Some(why) => Err(requirement_error(format!("key: Invalid value: {key:?}: {why}"))),
            },
            other => {
                Err(requirement_error(format!("found '{}', expected: identifier", other.text())))
            }
        }
    }

    /// A value may be empty: `a=` and `a=,b=c`.
    fn value(&mut self, key: &str) -> Result<String, SelectorError> {
        match self.peek() {
            Word::End | Word::Comma | Word::Close => Ok(String::new()),
            Word::Text(value) => {
                self.take();
                match meta::label_value_error(value) {
                    None => Ok(value.to_owned()),
                    Some(why) => Err(requirement_error(format!(
                        "values[0][{key}]: Invalid value: {value:?}: {why}"
                    ))),
                }
            }
            _ => Err(self.unexpected("identifier")),
        }
    }

    fn values(&mut self, key: &str) -> Result<Vec<String>, SelectorError> {
        let opening = self.take();
        if opening != Word::Open {
            return Err(requirement_error(format!("found '{}' expected: '('", opening.text())));
        }
        if !matches!(self.peek(), Word::Text(_) | Word::Comma | Word::Close) {
            return Err(self.unexpected("',', ')' or identifier"));
        }
        let mut values = Vec::new();
        loop {
            values.push(self.value(key)?);
            match self.take() {
                Word::Comma => {}
                Word::Close => return Ok(values),
                other => {
                    return Err(requirement_error(format!(
                        "found '{}', expected: ',' or ')'",
                        other.text()
                    )));
                }
            }
        }
    }

    fn number(&mut self, key: &str) -> Result<i64, SelectorError> {
        let value = self.value(key)?;
        value.parse().map_err(|_| {
            requirement_error(format!(
                "values[0]: Invalid value: {value:?}: for 'Gt', 'Lt' operators, the value must be an integer"
            ))
        })
    }

    fn unexpected(&self, expected: &str) -> SelectorError {
        requirement_error(format!("found '{}', expected: {expected}", self.peek().text()))
    }
}

fn requirement_error(why: String) -> SelectorError {
    SelectorError::Requirement(why)
}

/// Requirements on fields, all of which must hold.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FieldSelector(Vec<FieldTerm>);

/// One requirement on a field.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FieldTerm {
    /// The field as the client names it: `metadata.name`.
    pub field: String,
    /// What it must be, or must not be.
    pub value: String,
    /// Whether it must be `value` (or must not).
    pub equal: bool,
}

impl FieldSelector {
    /// Reads `a=b,c==d,e!=f`, with `\\`, `\,` and `\=` in values; an empty text selects everything.
    ///
    /// # Errors
    /// A term has no operator, or an escape does not exist.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut terms = Vec::new();
        for term in split_unescaped(text) {
            if term.is_empty() {
                continue;
            }
            let found = term.char_indices().find_map(|(at, _)| {
                let rest = &term[at..];
                [("!=", false), ("==", true), ("=", true)]
                    .into_iter()
                    .find_map(|(sign, equal)| Some((&term[..at], rest.strip_prefix(sign)?, equal)))
            });
            let Some((field, value, equal)) = found else {
                return Err(SelectorError::Term { selector: text.into(), term: term.into() });
            };
            terms.push(FieldTerm { field: field.into(), value: unescape(value)?, equal });
        }
        Ok(Self(terms))
    }

    /// The requirements.
    pub fn terms(&self) -> &[FieldTerm] {
        &self.0
    }

    /// Whether there is no requirement.
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses fields the kind does not offer.
    ///
    /// # Errors
    /// The first field that `supported` says no to.
    pub fn check(&self, supported: impl Fn(&str) -> bool) -> Result<(), SelectorError> {
        match self.0.iter().find(|term| !supported(&term.field)) {
            None => Ok(()),
            Some(term) => Err(SelectorError::Unsupported(term.field.clone())),
        }
    }

    /// Whether the object meets every requirement; a missing field compares as empty, numbers and
    /// booleans as their text.
    pub fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|term| {
            let found = term.field.split('.').try_fold(object, |value, name| value.get(name));
            let equal = match found {
                None | Some(Value::Null) => term.value.is_empty(),
                Some(Value::String(text)) => *text == term.value,
                Some(other) => {
                    let text = other.to_string();
                    text == term.value
                }
            };
            equal == term.equal
        })
    }

    /// The value that `field` must have, if the selector says so: a get of one object in disguise.
    pub fn required(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|term| term.equal && term.field == field).map(|t| t.value.as_str())
    }
}

fn split_unescaped(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn unescape(value: &str) -> Result<String, SelectorError> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match (c, chars.clone().next()) {
            ('\\', Some(next @ ('\\' | ',' | '='))) => {
                out.push(next);
                chars.next();
            }
            ('\\', other) => {
                let other = other.map(String::from).unwrap_or_default();
                return Err(SelectorError::Escape(format!(
                    "invalid escape sequence: \\{other} in {value:?}"
                )));
            }
            (',' | '=', _) => {
                return Err(SelectorError::Escape(format!(
                    "unescaped character {c:?} in {value:?}"
                )));
            }
            _ => out.push(c),
        }
    }
    Ok(out)
}

/// Longer signs first.
const SIGNS: [(&str, Word<'static>); 9] = [
    ("!=", Word::Differs),
    ("==", Word::Equals),
    ("=", Word::Equals),
    ("!", Word::Not),
    ("(", Word::Open),
    (")", Word::Close),
    (",", Word::Comma),
    (">", Word::Above),
    ("<", Word::Below),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_select() {
        let object = json!({"metadata":{"labels":{"a":"b","n":"7","x.y/z":"", "in":"k"}}});
        let cases = [
            ("", true),
            ("a=b", true),
            ("a==b", true),
            ("a!=b", false),
            ("other!=b", true),
            ("a in (x, b)", true),
            ("a in (x)", false),
            ("a notin (x,y)", true),
            ("other notin (x)", true),
            ("a", true),
            ("!a", false),
            ("!other", true),
            ("n>5", true),
            ("n<5", false),
            ("a=b,n>5", true),
            ("a=b, n>9", false),
            ("x.y/z=", true),
            ("x.y/z=,a=b", true),
            ("x.y/z in (,q)", true),
            ("in=k", true),
        ];
        for (text, selected) in cases {
            let selector = LabelSelector::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(selector.matches(&object), selected, "{text}");
        }
        assert!(LabelSelector::parse("!a").expect("valid").matches(&json!({})));
    }

    #[test]
    fn bad_label_selectors_are_refused() {
        for bad in
            ["a=b=c", "a in b", "a in (b", ",", "a,", "a,,b", "=b", "a b", "n>x", "-a=b", "a=b c"]
        {
            let error = LabelSelector::parse(bad).expect_err(bad).to_string();
            assert!(error.contains("found '") || error.contains("Invalid value"), "{error}");
        }
    }

    #[test]
    fn fields_select() {
        let object = json!({"metadata":{"name":"x"},"spec":{"n":3,"on":true,"t":"a,b=c\\"}});
        let cases = [
            ("metadata.name=x", true),
            ("metadata.name!=x", false),
            ("metadata.name==x,spec.n=3", true),
            ("spec.on=true", true),
            ("spec.missing=", true),
            ("spec.missing!=", false),
            (r"spec.t=a\,b\=c\\", true),
        ];
        for (text, selected) in cases {
            let selector = FieldSelector::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(selector.matches(&object), selected, "{text}");
        }
    }

    #[test]
    fn fields_not_offered_are_named() {
        let selector = FieldSelector::parse("spec.mode=x").expect("valid");
        let error = selector.check(|field| field == "metadata.name").expect_err("not offered");
        assert_eq!(error.to_string(), "field label not supported: spec.mode");
        assert_eq!(
            FieldSelector::parse("abc").expect_err("no operator").to_string(),
            "invalid selector: 'abc'; can't understand 'abc'"
        );
        assert!(FieldSelector::parse(r"a=\q").is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "[a-z!=<>(), \\\\é]{0,30}") {
            let _ = LabelSelector::parse(&text);
            let _ = FieldSelector::parse(&text);
        }
    }
}
