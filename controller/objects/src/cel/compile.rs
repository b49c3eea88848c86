//! Rule text to program.
//!
//! Lives here: parsing on a stack that deep texts cannot exhaust, and refusing names, fields and
//! constructs that could never work, before an object is ever held against them. Must not: evaluate.
//! Start at [`compile`].

use std::sync::LazyLock;

use kube_cel::KubeCelExt;
use kube_cel::cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators,
};
use kube_cel::cel::parser::Parser;
use kube_cel::cel::{Context, ExecutionError, Value as CelValue};

use super::value::escape;
use crate::schema::{Additional, Kind, Schema};

/// A rule that can run.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) expression: IdedExpr,
    /// Whether it speaks of `oldSelf`.
    pub(super) uses_old: bool,
    /// Nodes of the expression.
    pub(super) nodes: usize,
    /// Deepest nesting of loops.
    pub(super) loops: u32,
    /// Levels of the expression; the interpreter recurses as deep.
    pub(super) depth: usize,
    /// Bytes of the text: what constants can amount to.
    pub(super) length: usize,
}

/// Compiles a rule on a node of `schema`; the error is for the author of the rule.
pub(super) fn compile(
    text: &str,
    schema: &Schema,
    is_root: bool,
    optional_old: bool,
) -> Result<Program, String> {
    if text.trim().is_empty() {
        return Err("the rule is empty".into());
    }
    if text.len() > MAX_TEXT {
        return Err(format!("the rule is longer than {MAX_TEXT} bytes"));
    }
    // The parser's work grows faster than the text where brackets pile up.
    if text.bytes().filter(|b| matches!(b, b'(' | b'[' | b'{')).count() > MAX_BRACKETS {
        return Err(format!("the rule has more than {MAX_BRACKETS} brackets"));
    }
    let compiled = || {
        let mut expression = Parser::default()
            .enable_optional_syntax(true)
            .parse(text)
            .map_err(|errors| clip(errors.to_string()))?;
        let mut check = Check {
            uses_old: false,
            nodes: 0,
            depth: 0,
            loops: 0,
            most_loops: 0,
            scope: Vec::new(),
        };
        check.scope.push(("self".into(), Type::Node(schema, is_root)));
        let old = if optional_old { Type::Unknown } else { Type::Node(schema, is_root) };
        check.scope.push(("oldSelf".into(), old));
        check.walk(&mut expression, 0)?;
        Ok(Program {
            expression,
            uses_old: check.uses_old,
            nodes: check.nodes,
            depth: check.depth,
            loops: check.most_loops,
            length: text.len(),
        })
    };
    on_large_stack(compiled).unwrap_or_else(|| Err("the rule cannot be parsed".into()))
}

/// The beginning of a message that quotes a very long rule.
pub(super) fn clip(mut message: String) -> String {
    if message.len() > MAX_MESSAGE {
        let end = (0..=MAX_MESSAGE).rev().find(|&at| message.is_char_boundary(at)).unwrap_or(0);
        message.truncate(end);
        message.push('…');
    }
    message
}

/// Runs what recurses as deep as a hostile text makes it, on a stack large enough for the longest text
/// accepted; `None` when it panicked.
pub(super) fn on_large_stack<T: Send>(run: impl FnOnce() -> T + Send) -> Option<T> {
    if std::thread::current().name() == Some(LARGE_STACK_THREAD) {
        return Some(run());
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name(LARGE_STACK_THREAD.into())
            .stack_size(LARGE_STACK)
            .spawn_scoped(scope, run);
        thread.ok()?.join().ok()
    })
}

/// All functions and type names; variables go into scopes below.
pub(super) fn base_context() -> &'static Context<'static> {
    static BASE: LazyLock<Context<'static>> = LazyLock::new(|| {
        let mut context = Context::default().with_all();
        context.add_function("type", type_of);
        context.add_function("dyn", dynamic);
        for name in TYPES {
            context.add_variable_from_value(name, CelValue::from(format!("type:{name}")));
        }
        context
    });
    &BASE
}

fn type_of(value: CelValue) -> Result<CelValue, ExecutionError> {
    Ok(CelValue::from(format!("type:{}", type_name(&value))))
}

fn dynamic(value: CelValue) -> Result<CelValue, ExecutionError> {
    Ok(value)
}

fn type_name(value: &CelValue) -> &'static str {
    match value {
        CelValue::List(_) => "list",
        CelValue::Map(_) => "map",
        CelValue::Int(_) => "int",
        CelValue::UInt(_) => "uint",
        CelValue::Float(_) => "double",
        CelValue::String(_) => "string",
        CelValue::Bytes(_) => "bytes",
        CelValue::Bool(_) => "bool",
        CelValue::Null => "null_type",
        _ => "dyn",
    }
}

/// What is known of the type of an expression.
#[derive(Clone, Copy)]
enum Type<'s> {
    Unknown,
    /// A value of this schema; whether it is a whole resource.
    Node(&'s Schema, bool),
    /// The metadata that rules may see.
    Metadata,
}

struct Check<'s> {
    uses_old: bool,
    nodes: usize,
    depth: usize,
    loops: u32,
    most_loops: u32,
    scope: Vec<(String, Type<'s>)>,
}

impl<'s> Check<'s> {
    fn walk(&mut self, expression: &mut IdedExpr, depth: usize) -> Result<Type<'s>, String> {
        self.nodes += 1;
        self.depth = self.depth.max(depth);
        if depth > MAX_DEPTH {
            return Err(format!("the expression nests deeper than {MAX_DEPTH} levels"));
        }
        let depth = depth + 1;
        match &mut expression.expr {
            Expr::Unspecified => Err("the expression is empty".into()),
            Expr::Struct(made) => Err(format!("unknown type: {}", made.type_name)),
            Expr::Literal(_) => Ok(Type::Unknown),
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => {
                let operand = self.walk(&mut select.operand, depth)?;
                field(operand, &select.field)
            }
            Expr::List(list) => {
                for element in &mut list.elements {
                    self.walk(element, depth)?;
                }
                Ok(Type::Unknown)
            }
            Expr::Map(map) => {
                for entry in &mut map.entries {
                    match &mut entry.expr {
                        EntryExpr::MapEntry(entry) => {
                            self.walk(&mut entry.key, depth)?;
                            self.walk(&mut entry.value, depth)?;
                        }
                        EntryExpr::StructField(_) => return Err("unknown type".into()),
                    }
                }
                Ok(Type::Unknown)
            }
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, depth),
            Expr::Call(call) => self.call(call, depth),
        }
    }

    fn name(&mut self, name: &str) -> Result<Type<'s>, String> {
        self.uses_old |= name == "oldSelf";
        if let Some((_, found)) = self.scope.iter().rev().find(|(known, _)| known == name) {
            return Ok(*found);
        }
        match TYPES.contains(&name) {
            true => Ok(Type::Unknown),
            false => Err(format!("undeclared reference to '{name}' (in container '')")),
        }
    }

    fn comprehension(
        &mut self,
        made: &mut ComprehensionExpr,
        depth: usize,
    ) -> Result<Type<'s>, String> {
        let range = self.walk(&mut made.iter_range, depth)?;
        self.walk(&mut made.accu_init, depth)?;
        self.loops += 1;
        self.most_loops = self.most_loops.max(self.loops);
        if self.loops > MAX_LOOPS {
            return Err(format!("loops nest deeper than {MAX_LOOPS} levels"));
        }
        let element = match range {
            Type::Node(schema, _) if schema.kind == Kind::Array => match &schema.items {
                Some(items) => Type::Node(items, false),
                None => Type::Unknown,
            },
            Type::Node(schema, _)
                if matches!(
                    schema.kind,
                    Kind::String | Kind::Integer | Kind::Number | Kind::Boolean
                ) =>
            {
                return Err(format!(
                    "expression of type '{}' cannot be range of a comprehension (must be list, map, or dynamic)",
                    schema.kind.word()
                ));
            }
            _ => Type::Unknown,
        };
        let known = self.scope.len();
        self.scope.push((made.accu_var.clone(), Type::Unknown));
        self.scope.push((made.iter_var.clone(), element));
        if let Some(second) = &made.iter_var2 {
            self.scope.push((second.clone(), Type::Unknown));
        }
        self.walk(&mut made.loop_cond, depth)?;
        self.walk(&mut made.loop_step, depth)?;
        self.walk(&mut made.result, depth)?;
        self.scope.truncate(known);
        self.loops -= 1;
        Ok(Type::Unknown)
    }

    fn call(&mut self, call: &mut CallExpr, depth: usize) -> Result<Type<'s>, String> {
        let mut is_qualified = false;
        if let Some(target) = &mut call.target {
            is_qualified = match &target.expr {
                Expr::Ident(space) => {
                    FUNCTIONS.contains(&format!("{space}.{}", call.func_name).as_str())
                }
                _ => false,
            };
            if !is_qualified {
                self.walk(target, depth)?;
            }
        }
        let is_operator = call.func_name.contains(['_', '@', '!', '-']);
        if !is_operator && !is_qualified && !FUNCTIONS.contains(&call.func_name.as_str()) {
            return Err(format!("undeclared reference to '{}' (in container '')", call.func_name));
        }
        let mut types = Vec::with_capacity(call.args.len());
        for argument in &mut call.args {
            types.push(self.walk(argument, depth)?);
        }
        let literal_text = |at: usize| match call.args.get(at).map(|a| &a.expr) {
            Some(Expr::Literal(LiteralValue::String(text))) => Some(text.inner().to_owned()),
            _ => None,
        };
        match call.func_name.as_str() {
            operators::OPT_SELECT => {
                if let (Some(operand), Some(name)) = (types.first(), literal_text(1)) {
                    field(*operand, &name)?;
                }
                // The interpreter's own form fails on an absent field instead of answering with none.
                call.func_name = operators::OPT_INDEX.into();
                Ok(Type::Unknown)
            }
            operators::INDEX => Ok(match types.first() {
                Some(Type::Node(schema, _)) => element(schema),
                _ => Type::Unknown,
            }),
            "matches" | "find" | "findAll" => {
                let pattern = literal_text(if call.target.is_some() { 0 } else { 1 });
                if let Some(pattern) = pattern
                    && crate::schema::compile_pattern(&pattern).is_err()
                {
                    return Err(format!(
                        "invalid matches argument: {pattern:?} is no regular expression"
                    ));
                }
                Ok(Type::Unknown)
            }
            "range" if is_qualified => match call.args.first().map(|a| &a.expr) {
                Some(Expr::Literal(LiteralValue::Int(count))) if *count.inner() <= MAX_RANGE => {
                    Ok(Type::Unknown)
                }
                _ => Err(format!(
                    "lists.range takes a number of at most {MAX_RANGE}, not an expression"
                )),
            },
            _ => Ok(Type::Unknown),
        }
    }
}

/// The type of the field `name` of an operand; an error when there can be no such field.
fn field<'s>(operand: Type<'s>, name: &str) -> Result<Type<'s>, String> {
    let undefined = || Err(format!("undefined field '{name}'"));
    match operand {
        Type::Unknown => Ok(Type::Unknown),
        Type::Metadata if matches!(name, "name" | "generateName") => Ok(Type::Unknown),
        Type::Metadata => undefined(),
        Type::Node(schema, is_resource) => match schema.kind {
            Kind::Any | Kind::IntOrString => Ok(Type::Unknown),
            Kind::Object if schema.is_map() => Ok(element(schema)),
            Kind::Object => {
                if is_resource || schema.embedded_resource {
                    match name {
                        "apiVersion" | "kind" => return Ok(Type::Unknown),
                        "metadata" => return Ok(Type::Metadata),
                        _ => {}
                    }
                }
                let found = schema.properties.iter().find(|(known, _)| escape(known) == name);
                found.map_or_else(undefined, |(_, schema)| Ok(Type::Node(schema, false)))
            }
            other => Err(format!("type '{}' does not support field selection", other.word())),
        },
    }
}

fn element(schema: &Schema) -> Type<'_> {
    match (&schema.items, &schema.additional) {
        (Some(items), _) => Type::Node(items, false),
        (None, Some(Additional::Schema(values))) => Type::Node(values, false),
        _ => Type::Unknown,
    }
}

const TYPES: [&str; 10] =
    ["int", "uint", "double", "bool", "string", "bytes", "list", "map", "null_type", "type"];
/// The functions of the interpreter and of Kubernetes' libraries.
#[rustfmt::skip]
const FUNCTIONS: &[&str] = &[
    "contains", "size", "max", "min", "startsWith", "endsWith", "string", "bytes", "double", "int",
    "uint", "matches", "duration", "timestamp", "getFullYear", "getMonth", "getDayOfYear",
    "getDayOfMonth", "getDate", "getDayOfWeek", "getHours", "getMinutes", "getSeconds",
    "getMilliseconds", "type", "dyn",
    "optional.none", "optional.of", "optional.ofNonZeroValue", "value", "hasValue", "or", "orValue",
    "quantity", "isQuantity", "isInteger", "asInteger", "asApproximateFloat", "sign", "add", "sub",
    "isSorted", "sum", "slice", "sort", "flatten", "distinct", "first", "last", "lists.range",
    "jsonpatch.escapeKey", "sets.contains", "sets.equivalent", "sets.intersects", "base64.decode",
    "base64.encode", "url", "isURL", "getScheme", "getHost", "getHostname", "getPort",
    "getEscapedPath", "getQuery", "find", "findAll", "format", "charAt", "lowerAscii", "upperAscii",
    "replace", "split", "substring", "trim", "join", "strings.quote", "indexOf", "lastIndexOf",
    "isGreaterThan", "isLessThan", "compareTo", "ip", "reverse", "format.dns1123Label",
    "format.dns1123Subdomain", "format.dns1035Label", "format.dns1035LabelPrefix",
    "format.dns1123LabelPrefix", "format.dns1123SubdomainPrefix", "format.qualifiedName",
    "format.labelValue", "format.uri", "format.uuid", "format.byte", "format.date",
    "format.datetime", "format.named", "validate", "semver", "isSemver", "major", "minor", "patch",
    "isIP", "ip.isCanonical", "family", "isLoopback", "isUnspecified", "isLinkLocalMulticast",
    "isLinkLocalUnicast", "isGlobalUnicast", "cidr", "isCIDR", "containsIP", "containsCIDR",
    "prefixLength", "masked", "math.ceil", "math.floor", "math.round", "math.trunc", "math.abs",
    "math.sign", "math.isInf", "math.isNaN", "math.isFinite", "math.bitAnd", "math.bitOr",
    "math.bitXor", "math.bitNot", "math.bitShiftLeft", "math.bitShiftRight", "math.sqrt",
    "math.greatest", "math.least",
];
const MAX_TEXT: usize = 10_000;
const MAX_BRACKETS: usize = 500;
/// Bytes of an error's text.
const MAX_MESSAGE: usize = 1000;
/// Levels of an expression.
const MAX_DEPTH: usize = 100;
/// Levels that an ordinary stack holds, with much to spare.
pub(super) const ORDINARY_DEPTH: usize = 24;
const MAX_LOOPS: u32 = 6;
const MAX_RANGE: i64 = 10_000;
const LARGE_STACK_THREAD: &str = "compile-rules";
/// Address space only: pages are touched when a text nests that deep.
const LARGE_STACK: usize = 128 << 20;
