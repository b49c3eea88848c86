//! JSONPath as Kubernetes uses it in printer columns and scale paths.
//!
//! Lives here: `.a.b`, `['a']`, `[0]`, `[-1:]`, `[*]`, `..`, `[?(@.type=="Ready")]`, unions; the simple
//! dotted form. Must not: print templates (`range`). Start at [`JsonPath::parse`].

use serde_json::Value;

/// A parsed path.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath(Vec<Step>);

/// Why a text is not a path.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{why} at byte {at} of {path:?}")]
pub struct JsonPathError {
    /// The text.
    path: String,
    /// Where.
    at: usize,
    /// What.
    why: &'static str,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Fields(Vec<String>),
    Indexes(Vec<i64>),
    Slice { start: Option<i64>, end: Option<i64>, step: i64 },
    Every,
    Descend,
    Filter(Box<Filter>),
}

#[derive(Clone, Debug, PartialEq)]
struct Filter {
    left: Operand,
    /// `None`: it is enough that the left side is there.
    test: Option<(Comparison, Operand)>,
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Path(JsonPath),
    Literal(Value),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Equal,
    Differs,
    Below,
    AtMost,
    Above,
    AtLeast,
}

impl JsonPath {
    /// Reads a path, with or without braces around it.
    ///
    /// # Errors
    /// The text is no path, or nests filters in filters.
    pub fn parse(text: &str) -> Result<Self, JsonPathError> {
        let inner = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(text);
        let mut reader = Reader { text: inner, at: 0, in_filter: false };
        let path = reader.path()?;
        match reader.peek() {
            None => Ok(path),
            Some(_) => Err(reader.error("unexpected character")),
        }
    }

    /// Everything the path leads to, in order; missing keys lead to nothing. A path that would visit
    /// more than a hundred thousand places stops there.
    pub fn find<'v>(&self, root: &'v Value) -> Vec<&'v Value> {
        let mut budget = MAX_VISITS;
        self.find_within(root, &mut budget)
    }

    /// The first of [`JsonPath::find`].
    pub fn first<'v>(&self, root: &'v Value) -> Option<&'v Value> {
        self.find(root).into_iter().next()
    }

    fn find_within<'v>(&self, root: &'v Value, budget: &mut usize) -> Vec<&'v Value> {
        let mut found = vec![root];
        for step in &self.0 {
            let mut next = Vec::new();
            for value in found {
                step.follow(value, &mut next, budget);
            }
            found = next;
        }
        found
    }
}

impl Step {
    fn follow<'v>(&self, value: &'v Value, out: &mut Vec<&'v Value>, budget: &mut usize) {
        let mut push = |value: &'v Value| {
            if *budget > 0 {
                *budget -= 1;
                out.push(value);
            }
        };
        match (self, value) {
            (Self::Fields(names), Value::Object(map)) => {
                names.iter().filter_map(|name| map.get(name)).for_each(push);
            }
            (Self::Indexes(indexes), Value::Array(list)) => {
                indexes.iter().filter_map(|&at| list.get(place(at, list.len())?)).for_each(push);
            }
            (Self::Slice { start, end, step }, Value::Array(list)) => {
                let length = i64::try_from(list.len()).unwrap_or(i64::MAX);
                let clamp = |at: i64| (if at < 0 { at + length } else { at }).clamp(0, length);
                let (start, end) = (clamp(start.unwrap_or(0)), clamp(end.unwrap_or(length)));
                let width = usize::try_from(*step).unwrap_or(1).max(1);
                let range = usize::try_from(start).unwrap_or(0)..usize::try_from(end).unwrap_or(0);
                range.step_by(width).filter_map(|at| list.get(at)).for_each(push);
            }
            (Self::Every, Value::Array(list)) => list.iter().for_each(push),
            (Self::Every, Value::Object(map)) => map.values().for_each(push),
            (Self::Descend, value) => {
                push(value);
                descend(value, out, budget);
            }
            (Self::Filter(filter), Value::Array(list)) => {
                for item in list {
                    if *budget > 0 && filter.passes(item, budget) {
                        *budget = budget.saturating_sub(1);
                        out.push(item);
                    }
                }
            }
            _ => {}
        }
    }
}

fn descend<'v>(value: &'v Value, out: &mut Vec<&'v Value>, budget: &mut usize) {
    let children: Vec<&Value> = match value {
        Value::Array(list) => list.iter().collect(),
        Value::Object(map) => map.values().collect(),
        _ => return,
    };
    for child in children {
        if *budget == 0 {
            return;
        }
        *budget -= 1;
        out.push(child);
        descend(child, out, budget);
    }
}

fn place(at: i64, length: usize) -> Option<usize> {
    match usize::try_from(at) {
        Ok(at) => Some(at),
        Err(_) => length.checked_sub(usize::try_from(at.unsigned_abs()).ok()?),
    }
}

impl Filter {
    fn passes(&self, item: &Value, budget: &mut usize) -> bool {
        *budget = budget.saturating_sub(1);
        let left = self.left.resolve(item, budget);
        let Some((comparison, right)) = &self.test else { return left.is_some() };
        let right = right.resolve(item, budget);
        match (left, right) {
            (Some(left), Some(right)) => comparison.holds(left, right),
            _ => *comparison == Comparison::Differs,
        }
    }
}

impl Operand {
    fn resolve<'v>(&'v self, item: &'v Value, budget: &mut usize) -> Option<&'v Value> {
        match self {
            Self::Path(path) => path.find_within(item, budget).into_iter().next(),
            Self::Literal(value) => Some(value),
        }
    }
}

impl Comparison {
    fn holds(self, left: &Value, right: &Value) -> bool {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let order = match (left, right) {
            (Value::Number(l), Value::Number(r)) => l.as_f64().partial_cmp(&r.as_f64()),
            (Value::String(l), Value::String(r)) => Some(l.cmp(r)),
            _ => (left == right).then_some(Equal),
        };
        match self {
            Self::Equal => order == Some(Equal),
            Self::Differs => order != Some(Equal),
            Self::Below => order == Some(Less),
            Self::AtMost => matches!(order, Some(Less | Equal)),
            Self::Above => order == Some(Greater),
            Self::AtLeast => matches!(order, Some(Greater | Equal)),
        }
    }
}

/// Reads `.spec.replicas`: fields below the root, nothing else. What scale paths and selectable fields
/// must be.
pub fn simple(text: &str) -> Option<Vec<&str>> {
    let names: Vec<&str> = text.strip_prefix('.')?.split('.').collect();
    let plain = |name: &&str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    };
    names.iter().all(plain).then_some(names)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    in_filter: bool,
}

impl Reader<'_> {
    fn path(&mut self) -> Result<JsonPath, JsonPathError> {
        let mut steps = Vec::new();
        if matches!(self.peek(), Some('$' | '@')) {
            self.next();
        }
        loop {
            match self.peek() {
                Some('.') => {
                    self.next();
                    match self.peek() {
                        Some('.') => {
                            steps.push(Step::Descend);
                            // `..name` and `..[0]`: the name follows without another dot.
                            self.next();
                            if !matches!(self.peek(), Some('[')) {
                                steps.push(self.name()?);
                            }
                        }
                        Some('[') | None => {}
                        Some(_) => steps.push(self.name()?),
                    }
                }
                Some('[') => {
                    self.next();
                    steps.push(self.bracket()?);
                }
                // A column may leave the first dot out.
                Some(c) if steps.is_empty() && (c.is_alphanumeric() || c == '_') => {
                    steps.push(self.name()?);
                }
                _ => return Ok(JsonPath(steps)),
            }
            if steps.len() > MAX_STEPS {
                return Err(self.error("too many steps"));
            }
        }
    }

    fn name(&mut self) -> Result<Step, JsonPathError> {
        let mut name = String::new();
        while let Some(c) = self.peek() {
            match c {
                '\\' => {
                    self.next();
                    name.extend(self.next());
                }
                '.' | '[' | ']' | '(' | ')' | '=' | '!' | '<' | '>' | '}' | '{' | ' ' | ','
                | '"' | '\'' => break,
                _ => {
                    name.push(c);
                    self.next();
                }
            }
        }
        match name.as_str() {
            "" => Err(self.error("a field name is missing")),
            "*" => Ok(Step::Every),
            _ => Ok(Step::Fields(vec![name])),
        }
    }

    fn bracket(&mut self) -> Result<Step, JsonPathError> {
        self.spaces();
        let step = match self.peek() {
            Some('*') => {
                self.next();
                Step::Every
            }
            Some('?') => {
                self.next();
                Step::Filter(Box::new(self.filter()?))
            }
            Some('\'' | '"') => {
                let mut names = vec![self.quoted()?];
                while self.comma() {
                    names.push(self.quoted()?);
                }
                Step::Fields(names)
            }
            _ => self.numbers()?,
        };
        self.spaces();
        self.expect(']', "a closing bracket is missing")?;
        Ok(step)
    }

    fn numbers(&mut self) -> Result<Step, JsonPathError> {
        let first = self.integer()?;
        if self.peek() == Some(':') {
            self.next();
            let end = self.integer()?;
            let mut step = 1;
            if self.peek() == Some(':') {
                self.next();
                step = self.integer()?.unwrap_or(1);
            }
            if step < 1 {
                return Err(self.error("a step must be at least 1"));
            }
            return Ok(Step::Slice { start: first, end, step });
        }
        let Some(first) = first else { return Err(self.error("an index is missing")) };
        let mut indexes = vec![first];
        while self.comma() {
            match self.integer()? {
                Some(index) => indexes.push(index),
                None => return Err(self.error("an index is missing")),
            }
        }
        Ok(Step::Indexes(indexes))
    }

    fn filter(&mut self) -> Result<Filter, JsonPathError> {
        if self.in_filter {
            return Err(self.error("a filter inside a filter is not supported"));
        }
        self.in_filter = true;
        self.expect('(', "a filter starts with ?(")?;
        self.spaces();
        let left = self.operand()?;
        self.spaces();
        let test = match self.peek() {
            Some(')') => None,
            _ => {
                let comparison = self.comparison()?;
                self.spaces();
                let right = self.operand()?;
                self.spaces();
                Some((comparison, right))
            }
        };
        self.expect(')', "the filter is not closed")?;
        self.in_filter = false;
        Ok(Filter { left, test })
    }

    fn operand(&mut self) -> Result<Operand, JsonPathError> {
        match self.peek() {
            Some('@' | '$' | '.') => self.path().map(Operand::Path),
            Some('\'' | '"') => self.quoted().map(|text| Operand::Literal(Value::String(text))),
            _ => {
                let start = self.at;
                while self.peek().is_some_and(|c| !matches!(c, ')' | ' ' | '=' | '!' | '<' | '>')) {
                    self.next();
                }
                let word = &self.text[start..self.at];
                match crate::decode::json(word.as_bytes()) {
                    Ok(decoded) if !decoded.value.is_object() && !decoded.value.is_array() => {
                        Ok(Operand::Literal(decoded.value))
                    }
                    _ => {
                        Err(self.error("a value in a filter is a number, a word or a quoted text"))
                    }
                }
            }
        }
    }

    fn comparison(&mut self) -> Result<Comparison, JsonPathError> {
        for (sign, comparison) in [
            ("==", Comparison::Equal),
            ("!=", Comparison::Differs),
            ("<=", Comparison::AtMost),
            (">=", Comparison::AtLeast),
            ("<", Comparison::Below),
            (">", Comparison::Above),
            ("=", Comparison::Equal),
        ] {
            if self.text[self.at..].starts_with(sign) {
                self.at += sign.len();
                return Ok(comparison);
            }
        }
        Err(self.error("an operator is missing"))
    }

    fn quoted(&mut self) -> Result<String, JsonPathError> {
        let Some(quote @ ('\'' | '"')) = self.next() else {
            return Err(self.error("a quoted text is missing"));
        };
        let mut text = String::new();
        loop {
            match self.next() {
                Some(c) if c == quote => return Ok(text),
                Some('\\') => text.extend(self.next()),
                Some(c) => text.push(c),
                None => return Err(self.error("the quoted text is not closed")),
            }
        }
    }

    fn integer(&mut self) -> Result<Option<i64>, JsonPathError> {
        let start = self.at;
        if self.peek() == Some('-') {
            self.next();
        }
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.next();
        }
        match &self.text[start..self.at] {
            "" => Ok(None),
            digits => digits.parse().map(Some).map_err(|_| self.error("this is no index")),
        }
    }

    fn comma(&mut self) -> bool {
        self.spaces();
        let found = self.peek() == Some(',');
        if found {
            self.next();
            self.spaces();
        }
        found
    }

    fn spaces(&mut self) {
        while self.peek() == Some(' ') {
            self.next();
        }
    }

    fn expect(&mut self, wanted: char, why: &'static str) -> Result<(), JsonPathError> {
        match self.peek() == Some(wanted) {
            true => {
                self.next();
                Ok(())
            }
            false => Err(self.error(why)),
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn error(&self, why: &'static str) -> JsonPathError {
        JsonPathError { path: self.text.to_owned(), at: self.at, why }
    }
}

const MAX_VISITS: usize = 100_000;
const MAX_STEPS: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn check(path: &str, expected: Value) {
        let value = json!({
            "metadata":{"labels":{"app.kubernetes.io/name":"x"}},
            "spec":{"replicas":3,"ports":[{"port":1,"n":"a"},{"port":2,"n":"b"},{"port":3}]},
            "status":{"conditions":[{"type":"Ready","status":"True"},{"type":"Other","status":"False"}]}
        });
        let parsed = JsonPath::parse(path).unwrap_or_else(|e| panic!("{e}"));
        let found: Vec<Value> = parsed.find(&value).into_iter().cloned().collect();
        assert_eq!(Value::Array(found), expected, "{path}");
    }

    #[test]
    fn paths_lead_where_kubernetes_says() {
        check(".spec.replicas", json!([3]));
        check("{.spec.replicas}", json!([3]));
        check("spec.replicas", json!([3]));
        check("$.spec['replicas']", json!([3]));
        check(".spec.ports[0].port", json!([1]));
        check(".spec.ports[-1].port", json!([3]));
        check(".spec.ports[-1:].port", json!([3]));
        check(".spec.ports[0:2].port", json!([1, 2]));
        check(".spec.ports[0,2].port", json!([1, 3]));
        check(".spec.ports[*].port", json!([1, 2, 3]));
        check(".spec.ports[*].n", json!(["a", "b"]));
        check(r#".status.conditions[?(@.type=="Ready")].status"#, json!(["True"]));
        check(".status.conditions[?(@.type == 'Other')].status", json!(["False"]));
        check(".spec.ports[?(@.port>1)].port", json!([2, 3]));
        check(".spec.ports[?(@.n)].port", json!([1, 2]));
        check(r".metadata.labels.app\.kubernetes\.io/name", json!(["x"]));
        check(".metadata.labels['app.kubernetes.io/name']", json!(["x"]));
        check("..port", json!([1, 2, 3]));
        check(".missing.deeper", json!([]));
        check(".spec.replicas.deeper", json!([]));
    }

    #[test]
    fn bad_paths_are_refused() {
        for bad in
            [".a[", ".a[?(@.b", ".a['x", ".a[?(@.b==)]", ".a]", ".a[1:2:0]", ".a[?(@.b[?(@.c)])]"]
        {
            assert!(JsonPath::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn simple_paths_are_fields_only() {
        assert_eq!(simple(".spec.replicas"), Some(vec!["spec", "replicas"]));
        for bad in ["spec.replicas", ".spec[0]", ".", "..a", ".a['b']", ""] {
            assert_eq!(simple(bad), None, "{bad}");
        }
    }

    #[test]
    fn greedy_paths_stop() {
        let wide: Value = (0..100).map(|_| json!([[1, 2], [3, 4]])).collect();
        let path = JsonPath::parse(&"..*".repeat(20)).expect("valid");
        assert!(path.find(&wide).len() <= MAX_VISITS);
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "[.a0\\[\\]*?(@)='\":, $\\\\é<{}-]{0,25}") {
            if let Ok(path) = JsonPath::parse(&text) {
                path.find(&json!({"a":[{"a":1},{"a":"0"}],"0":{"a":[]}}));
            }
        }
    }
}
