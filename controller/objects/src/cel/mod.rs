//! Rules of a schema (`x-kubernetes-validations`), written in CEL.
//!
//! Lives here: the rules of a node and how a whole object is held against them: transitions, messages,
//! what is let through on update. Beside it: `compile` (text to program, refusing what cannot work),
//! `value` (JSON to CEL by schema), `cost` (bounds on work, so that no rule and no object can hang the
//! server). Must not: check what schemas can say. Start at [`Schema::evaluate_rules`] and
//! [`Schema::check_rules`].

mod compile;
mod cost;
mod value;

use std::panic::AssertUnwindSafe;
use std::sync::OnceLock;

use kube_cel::cel::Value as CelValue;
use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::schema::{Additional, Kind, ListType, Schema};
use compile::Program;

/// One rule of a schema node.
#[derive(Debug)]
pub struct Rule {
    text: String,
    message: Option<String>,
    message_text: Option<String>,
    reason: Option<String>,
    field_path: Option<String>,
    optional_old: bool,
    program: OnceLock<Result<Program, String>>,
    message_program: OnceLock<Result<Program, String>>,
}

/// What the rules say about an object.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Broken rules.
    pub errors: Vec<FieldError>,
    /// Rules that were broken before and still are: let through with a warning.
    pub warnings: Vec<String>,
}

impl Rule {
    /// Reads `x-kubernetes-validations`; entries of another form are refused by
    /// [`crate::schema::structural`].
    pub(crate) fn all(list: Option<&Value>) -> Vec<Self> {
        let list = list.and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|entry| {
            let text = |name: &str| entry.get(name).and_then(Value::as_str).map(str::to_owned);
            Some(Self {
                text: text("rule")?,
                message: text("message").filter(|m| !m.is_empty()),
                message_text: text("messageExpression").filter(|m| !m.is_empty()),
                reason: text("reason"),
                field_path: text("fieldPath").filter(|p| !p.is_empty()),
                optional_old: entry.get("optionalOldSelf") == Some(&Value::Bool(true)),
                program: OnceLock::new(),
                message_program: OnceLock::new(),
            })
        })
        .collect()
    }

    fn program(&self, schema: &Schema, is_root: bool) -> Result<&Program, &str> {
        let compiled = || compile::compile(&self.text, schema, is_root, self.optional_old);
        self.program.get_or_init(compiled).as_ref().map_err(String::as_str)
    }

    fn message_program(&self, schema: &Schema, is_root: bool) -> Option<Result<&Program, &str>> {
        let text = self.message_text.as_deref()?;
        let compiled = || compile::compile(text, schema, is_root, self.optional_old);
        Some(self.message_program.get_or_init(compiled).as_ref().map_err(String::as_str))
    }
}

impl Schema {
    /// Compiles all rules and tells what is wrong with them. `path` is where the schema stands in the CRD.
    pub fn check_rules(&self, path: &Path<'_>) -> Vec<FieldError> {
        if !self.has_rules {
            return Vec::new();
        }
        if self.rule_bytes() > MAX_RULE_BYTES {
            let why = format!("all rules together are longer than {MAX_RULE_BYTES} bytes");
            return vec![FieldError::invalid(path, &Value::Null, why)];
        }
        compile::on_large_stack(|| {
            let mut errors = Vec::new();
            self.check_rules_at(path, true, None, &mut errors);
            errors
        })
        .unwrap_or_else(|| {
            vec![FieldError::invalid(path, &Value::Null, "the rules cannot be compiled")]
        })
    }

    /// Length of all rules of this node and below.
    fn rule_bytes(&self) -> usize {
        if !self.has_rules {
            return 0;
        }
        let length =
            |rule: &Rule| rule.text.len() + rule.message_text.as_ref().map_or(0, String::len);
        let additional = match &self.additional {
            Some(Additional::Schema(schema)) => Some(&**schema),
            _ => None,
        };
        let below = self.properties.values().chain(self.items.as_deref()).chain(additional);
        self.rules.iter().map(length).sum::<usize>() + below.map(Self::rule_bytes).sum::<usize>()
    }

    /// `unmatched` is the place of the list whose elements cannot be matched with older ones.
    fn check_rules_at(
        &self,
        path: &Path<'_>,
        is_root: bool,
        unmatched: Option<&str>,
        errors: &mut Vec<FieldError>,
    ) {
        if !self.has_rules || errors.len() >= MAX_COMPILE_ERRORS {
            return;
        }
        let list = path.child("x-kubernetes-validations");
        for (index, rule) in self.rules.iter().enumerate() {
            let at = list.index(index);
            let shown = Value::from(rule.text.as_str());
            match rule.program(self, is_root) {
                Err(why) => errors.push(FieldError::invalid(
                    &at.child("rule"),
                    &shown,
                    format!("compilation failed: {why}"),
                )),
                Ok(program) if program.uses_old => {
                    if let Some(place) = unmatched {
                        errors.push(FieldError::invalid(
                            &at.child("rule"),
                            &shown,
                            format!(
                                "oldSelf cannot be used on the uncorrelatable portion of the schema within {place}"
                            ),
                        ));
                    }
                }
                Ok(_) if rule.optional_old => errors.push(FieldError::invalid(
                    &at.child("optionalOldSelf"),
                    &Value::Bool(true),
                    "may not be set if oldSelf is not used in rule",
                )),
                Ok(_) => {}
            }
            if let Some(Err(why)) = rule.message_program(self, is_root) {
                errors.push(FieldError::invalid(
                    &at.child("messageExpression"),
                    &Value::from(rule.message_text.as_deref().unwrap_or_default()),
                    format!("messageExpression compilation failed: {why}"),
                ));
            }
        }
        for (name, schema) in &self.properties {
            let properties = path.child("properties");
            schema.check_rules_at(&properties.key(name), false, unmatched, errors);
        }
        if let Some(items) = &self.items {
            let at = path.child("items");
            let place = at.to_string();
            let unmatched = match self.list_type {
                ListType::Map(_) => unmatched,
                ListType::Set | ListType::Atomic => Some(unmatched.unwrap_or(&place)),
            };
            items.check_rules_at(&at, false, unmatched, errors);
        }
        if let Some(Additional::Schema(schema)) = &self.additional {
            schema.check_rules_at(&path.child("additionalProperties"), false, unmatched, errors);
        }
    }

    /// Holds a whole object, which is right by its schema, against all rules. With `old`, transition
    /// rules run, and rules broken by parts that did not change are let through with a warning.
    ///
    /// Work is bounded: what would cost more is an error.
    pub fn evaluate_rules(&self, object: &Value, old: Option<&Value>) -> Outcome {
        let mut run = Run { outcome: Outcome::default(), budget: cost::OBJECT_BUDGET };
        run.node(self, object, old, &Path::Root, true);
        run.outcome
    }
}

struct Run {
    outcome: Outcome,
    budget: f64,
}

impl Run {
    fn node(
        &mut self,
        schema: &Schema,
        value: &Value,
        old: Option<&Value>,
        path: &Path<'_>,
        is_root: bool,
    ) {
        if !schema.has_rules || value.is_null() || self.outcome.errors.len() >= MAX_ERRORS {
            return;
        }
        if !schema.rules.is_empty() {
            self.rules(schema, value, old, path, is_root);
        }
        match value {
            Value::Object(fields) => {
                for (name, child) in fields {
                    let Some(inner) = schema.field(name) else { continue };
                    let before = old.and_then(|old| old.get(name));
                    let at = match schema.is_map() {
                        true => path.key(name),
                        false => path.child(name),
                    };
                    self.node(inner, child, before, &at, false);
                }
            }
            Value::Array(list) => {
                let Some(items) = schema.items.as_ref().filter(|items| items.has_rules) else {
                    return;
                };
                let old = old.and_then(Value::as_array);
                let matching = old.map(|old| schema.list_type.by_key(old)).unwrap_or_default();
                for (index, item) in list.iter().enumerate() {
                    let before =
                        schema.list_type.key(item).and_then(|key| matching.get(&key).copied());
                    self.node(items, item, before, &path.index(index), false);
                }
            }
            _ => {}
        }
    }

    fn rules(
        &mut self,
        schema: &Schema,
        value: &Value,
        old: Option<&Value>,
        path: &Path<'_>,
        is_root: bool,
    ) {
        let unchanged = old == Some(value);
        let mut bound = None;
        for rule in &schema.rules {
            let program = match rule.program(schema, is_root) {
                Ok(program) => program,
                Err(why) => {
                    let text = format!("rule compile error: {why}");
                    self.outcome.errors.push(FieldError::invalid(
                        path,
                        &Value::from(type_word(schema)),
                        text,
                    ));
                    continue;
                }
            };
            if program.uses_old && old.is_none() && !rule.optional_old {
                continue;
            }
            self.budget -= cost::bound(program, value, old);
            if self.budget < 0.0 {
                self.outcome.errors.push(FieldError::invalid(
                    path,
                    &Value::from(type_word(schema)),
                    "validation failed due to running out of cost budget, no further validation rules will be run; make the object smaller or bound the rule's loops",
                ));
                return;
            }
            let (now, before) = bound.get_or_insert_with(|| {
                let convert = |v| value::to_cel(v, schema, is_root);
                (convert(value), old.map(convert))
            });
            let before = match (rule.optional_old, before.as_ref()) {
                (true, before) => Some(value::optional(before.cloned())),
                (false, before) => before.cloned(),
            };
            let Some(failure) = failure(rule, schema, program, (now, before.as_ref()), is_root)
            else {
                continue;
            };
            let error = match failure {
                Failure::Broken(message) => rule.error(path, type_word(schema), message),
                // What the rule would say of a broken value does not count then.
                Failure::Failed(why) => {
                    FieldError::invalid(path, &Value::from(type_word(schema)), why)
                }
            };
            match unchanged && !program.uses_old {
                true => self.outcome.warnings.push(error.to_string()),
                false => self.outcome.errors.push(error),
            }
        }
    }
}

/// Why a rule does not hold.
enum Failure {
    /// It says no, with this message.
    Broken(String),
    /// It could not be evaluated.
    Failed(String),
}

/// Why the rule does not hold; `None` when it does.
fn failure(
    rule: &Rule,
    schema: &Schema,
    program: &Program,
    values: (&CelValue, Option<&CelValue>),
    is_root: bool,
) -> Option<Failure> {
    let told =
        || rule.message.clone().unwrap_or_else(|| format!("failed rule: {}", rule.text.trim()));
    match execute(program, values) {
        Ok(CelValue::Bool(true)) => None,
        Ok(CelValue::Bool(false)) => {
            let made = rule.message_program(schema, is_root).and_then(Result::ok);
            match made.map(|program| execute(program, values)) {
                Some(Ok(CelValue::String(text)))
                    if !text.trim().is_empty()
                        && !text.contains('\n')
                        && text.len() <= MAX_MESSAGE =>
                {
                    Some(Failure::Broken(text.trim().to_owned()))
                }
                _ => Some(Failure::Broken(told())),
            }
        }
        Ok(_) => {
            let why = format!("the rule does not answer with true or false: {}", told());
            Some(Failure::Failed(why))
        }
        Err(why) => {
            let what = rule.message.as_deref().unwrap_or_else(|| rule.text.trim());
            Some(Failure::Failed(format!("{} evaluating rule: {what}", as_told(&why))))
        }
    }
}

/// An error of the interpreter in the words of the original, where those are known.
fn as_told(why: &str) -> String {
    match why.strip_prefix("No such key: ") {
        Some(key) => format!("no such key: {key}"),
        None => why.to_owned(),
    }
}

fn execute(
    program: &Program,
    (now, before): (&CelValue, Option<&CelValue>),
) -> Result<CelValue, String> {
    let mut context = compile::base_context().new_inner_scope();
    context.add_variable_from_value("self", now.clone());
    if let Some(before) = before {
        context.add_variable_from_value("oldSelf", before.clone());
    }
    let run = || CelValue::resolve(&program.expression, &context);
    // The interpreter is another project's: a panic in it must cost this request only.
    let result = match program.depth > compile::ORDINARY_DEPTH {
        true => compile::on_large_stack(run),
        false => std::panic::catch_unwind(AssertUnwindSafe(run)).ok(),
    };
    match result {
        Some(result) => result.map_err(|e| compile::clip(e.to_string())),
        None => Err("internal error".into()),
    }
}

impl Rule {
    fn error(&self, path: &Path<'_>, word: &str, message: String) -> FieldError {
        // A field path names a place below: `.max`, `.ports['a']`.
        let mut error = match self.reason.as_deref() {
            Some("FieldValueForbidden") => FieldError::forbidden(path, &message),
            Some("FieldValueRequired") => FieldError::required(path, &message),
            Some("FieldValueDuplicate") => FieldError::duplicate(path, &Value::from(word)),
            _ => FieldError::invalid(path, &Value::from(word), message),
        };
        if let Some(below) = &self.field_path {
            error.field = match path {
                Path::Root => below.trim_start_matches('.').to_owned(),
                _ => format!("{}{below}", error.field),
            };
        }
        error
    }
}

fn type_word(schema: &Schema) -> &'static str {
    match schema.kind {
        Kind::IntOrString => "",
        kind => kind.word(),
    }
}

/// Broken rules told for one object.
const MAX_ERRORS: usize = 100;
/// Wrong rules told for one schema.
const MAX_COMPILE_ERRORS: usize = 10;
/// Bytes of all rules of a schema: what bounds the time to compile them.
const MAX_RULE_BYTES: usize = 256 * 1024;
/// Bytes of a message that an expression makes.
const MAX_MESSAGE: usize = 5 * 1024;

#[cfg(test)]
mod tests;
