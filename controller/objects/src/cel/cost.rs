//! How much work a rule can be on an object, before it runs: the interpreter cannot be stopped.
//!
//! Lives here: an upper bound from the expression and from the values it would see. Loops count the real
//! lengths of the lists they would walk where the path to them can be followed, and what they could be at
//! most where it cannot. A unit is about a value copied. Start at [`bound`].

use kube_cel::cel::common::ast::{
    ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators,
};
use serde_json::Value;

use super::compile::Program;
use super::value::escape;

/// What all rules on one object may cost; some tenths of a second.
pub(super) const OBJECT_BUDGET: f64 = 5e7;

/// An upper bound of what the rule costs on these values.
pub(super) fn bound(program: &Program, now: &Value, old: Option<&Value>) -> f64 {
    let (length, weight) = measure(now);
    let (old_length, old_weight) = old.map_or((0.0, 0.0), measure);
    let text = float(program.length);
    // Most rules are cheap beyond doubt; finding out costs little.
    let rounds = (length.max(old_length) + text + 1.0).powi(program.loops.cast_signed());
    let crude = float(program.nodes) * rounds * (weight + old_weight + text);
    if crude < CHEAP {
        return crude;
    }
    let scope = Scope {
        names: vec![
            ("self", Shape::of(vec![now])),
            ("oldSelf", Shape::of(old.into_iter().collect())),
        ],
    };
    scope.cost(&program.expression).0
}

/// What a value may be: some of these parts of the object, or something made that is no larger than this.
#[derive(Clone)]
struct Shape<'v> {
    parts: Option<Vec<&'v Value>>,
    /// Most elements of any one list or map in it.
    length: f64,
    /// Values and eights of bytes in it.
    weight: f64,
}

impl<'v> Shape<'v> {
    fn of(parts: Vec<&'v Value>) -> Self {
        let (mut length, mut weight) = (0.0_f64, 1.0_f64);
        for part in &parts {
            let (one_length, one_weight) = measure(part);
            length = length.max(one_length);
            weight = weight.max(one_weight);
        }
        Self { parts: Some(parts), length, weight }
    }

    fn made(length: f64, weight: f64) -> Self {
        Self { parts: None, length, weight: weight.max(1.0) }
    }

    fn follow(&self, step: impl Fn(&'v Value, &mut Vec<&'v Value>)) -> Self {
        match &self.parts {
            None => Self::made(self.length, self.weight),
            Some(parts) => {
                let mut next = Vec::new();
                parts.iter().for_each(|part| step(part, &mut next));
                Self::of(next)
            }
        }
    }

    fn field(&self, name: &str) -> Self {
        self.follow(|part, next| {
            let Value::Object(fields) = part else { return };
            next.extend(fields.get(name).or_else(|| {
                fields.iter().find(|(known, _)| escape(known) == name).map(|(_, value)| value)
            }));
        })
    }

    fn elements(&self) -> Self {
        self.follow(|part, next| match part {
            Value::Array(list) => next.extend(list),
            Value::Object(fields) => next.extend(fields.values()),
            _ => {}
        })
    }

    /// Rounds of a loop over it.
    fn rounds(&self) -> f64 {
        match &self.parts {
            None => self.length,
            Some(parts) => {
                let own = |part: &&Value| match part {
                    Value::Array(list) => list.len(),
                    Value::Object(fields) => fields.len(),
                    _ => 0,
                };
                float(parts.iter().map(own).max().unwrap_or(0))
            }
        }
    }
}

struct Scope<'e, 'v> {
    names: Vec<(&'e str, Shape<'v>)>,
}

impl<'e, 'v> Scope<'e, 'v> {
    fn cost(&self, expression: &'e IdedExpr) -> (f64, Shape<'v>) {
        match &expression.expr {
            Expr::Literal(literal) => (1.0, literal_shape(literal)),
            Expr::Ident(name) => {
                let found = self.names.iter().rev().find(|(known, _)| known == name);
                let shape = found.map_or_else(|| Shape::made(0.0, 1.0), |(_, shape)| shape.clone());
                (1.0, shape)
            }
            Expr::Select(select) => {
                let (cost, operand) = self.cost(&select.operand);
                let shape = operand.field(&select.field);
                (cost + shape.weight, shape)
            }
            Expr::List(list) => self.gather(list.elements.iter(), float(list.elements.len())),
            Expr::Map(map) => {
                let parts = map.entries.iter().filter_map(|entry| match &entry.expr {
                    EntryExpr::MapEntry(entry) => Some([&entry.key, &entry.value]),
                    EntryExpr::StructField(_) => None,
                });
                self.gather(parts.flatten(), float(map.entries.len()))
            }
            Expr::Comprehension(made) => self.comprehension(made),
            Expr::Call(call) => {
                let parts: Vec<(f64, Shape<'v>)> = call
                    .target
                    .as_deref()
                    .into_iter()
                    .chain(&call.args)
                    .map(|e| self.cost(e))
                    .collect();
                call_cost(&call.func_name, &parts)
            }
            Expr::Struct(_) | Expr::Unspecified => (1.0, Shape::made(0.0, 1.0)),
        }
    }

    fn gather(&self, parts: impl Iterator<Item = &'e IdedExpr>, count: f64) -> (f64, Shape<'v>) {
        let (mut cost, mut length, mut weight) = (1.0, count, 1.0);
        for part in parts {
            let (one, shape) = self.cost(part);
            cost += one + shape.weight;
            weight += shape.weight;
            length = shape.length.max(length);
        }
        (cost, Shape::made(length, weight))
    }

    fn comprehension(&self, made: &'e ComprehensionExpr) -> (f64, Shape<'v>) {
        let (range_cost, range) = self.cost(&made.iter_range);
        let (init_cost, init) = self.cost(&made.accu_init);
        let rounds = range.rounds();
        let with = |accumulated: Shape<'v>| {
            let mut names = self.names.clone();
            names.push((&made.accu_var, accumulated));
            names.push((&made.iter_var, range.elements()));
            Self { names }
        };
        // What one round adds tells what all rounds leave.
        let (_, after_one) = with(init.clone()).cost(&made.loop_step);
        let grown = Shape::made(
            init.length + rounds * (after_one.length - init.length).max(1.0),
            init.weight + rounds * (after_one.weight - init.weight).max(0.0),
        );
        let inner = with(grown.clone());
        let (step_cost, _) = inner.cost(&made.loop_step);
        let (condition_cost, _) = inner.cost(&made.loop_cond);
        let (result_cost, result) = inner.cost(&made.result);
        let each = step_cost + condition_cost + range.elements().weight + grown.weight;
        let total = range_cost + init_cost + range.weight + rounds * each + result_cost;
        (total, Shape::made(result.length.min(grown.length), result.weight))
    }
}

fn call_cost<'v>(name: &str, parts: &[(f64, Shape<'v>)]) -> (f64, Shape<'v>) {
    let paid: f64 = 1.0 + parts.iter().map(|(cost, _)| cost).sum::<f64>();
    let weight: f64 = parts.iter().map(|(_, shape)| shape.weight).sum();
    let length: f64 = parts.iter().map(|(_, shape)| shape.length).sum();
    let made = match name {
        operators::INDEX => {
            let shape = parts.first().map_or_else(|| Shape::made(0.0, 1.0), |(_, s)| s.elements());
            return (paid + shape.weight, shape);
        }
        operators::EQUALS
        | operators::NOT_EQUALS
        | operators::LESS
        | operators::LESS_EQUALS
        | operators::GREATER
        | operators::GREATER_EQUALS
        | operators::IN
        | operators::LOGICAL_AND
        | operators::LOGICAL_OR
        | operators::LOGICAL_NOT
        | operators::NOT_STRICTLY_FALSE => {
            // A comparison may read both sides whole; a text weighs an eighth of its bytes.
            let logical = matches!(
                name,
                operators::LOGICAL_AND
                    | operators::LOGICAL_OR
                    | operators::LOGICAL_NOT
                    | operators::NOT_STRICTLY_FALSE
            );
            return (paid + if logical { 0.0 } else { weight }, Shape::made(0.0, 1.0));
        }
        operators::CONDITIONAL => {
            let (length, weight) = parts.iter().skip(1).fold((0.0_f64, 1.0_f64), |most, (_, s)| {
                (most.0.max(s.length), most.1.max(s.weight))
            });
            return (paid, Shape::made(length, weight));
        }
        operators::ADD => return (paid + weight, Shape::made(length, weight)),
        // Each byte of one may bring in the whole of another.
        "replace" | "join" | "format" => Shape::made(length, 8.0 * weight * weight),
        "split" | "findAll" | "flatten" | "range" => {
            let most = 8.0 * weight + MAX_RANGE_WEIGHT * f64::from(u8::from(name == "range"));
            Shape::made(most.max(length), most)
        }
        "sort" | "distinct" | "contains" | "equivalent" | "intersects" => {
            return (paid + weight * (length + 1.0), Shape::made(length, weight));
        }
        _ => Shape::made(length, weight),
    };
    (paid + weight + made.weight, made)
}

fn literal_shape<'v>(literal: &LiteralValue) -> Shape<'v> {
    let bytes = match literal {
        LiteralValue::String(text) => text.inner().len(),
        LiteralValue::Bytes(bytes) => bytes.inner().len(),
        _ => 0,
    };
    Shape::made(0.0, 1.0 + float(bytes / 8))
}

/// Most elements of a list or map, and values plus eights of bytes.
fn measure(value: &Value) -> (f64, f64) {
    let (mut length, mut weight) = (0.0_f64, 1.0_f64);
    match value {
        Value::String(text) => weight += float(text.len() / 8),
        Value::Array(list) => {
            length = float(list.len());
            for (inner_length, inner_weight) in list.iter().map(measure) {
                length = length.max(inner_length);
                weight += inner_weight;
            }
        }
        Value::Object(fields) => {
            length = float(fields.len());
            for (inner_length, inner_weight) in fields.values().map(measure) {
                length = length.max(inner_length);
                weight += 1.0 + inner_weight;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    (length, weight)
}

#[expect(clippy::cast_precision_loss, reason = "a bound, far below 2^53 where it matters")]
fn float(count: usize) -> f64 {
    count as f64
}

/// Below this a rule is not looked at more closely.
const CHEAP: f64 = 100_000.0;
/// Elements that `lists.range` may make.
const MAX_RANGE_WEIGHT: f64 = 10_000.0;
