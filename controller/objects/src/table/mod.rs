//! Tables: what `kubectl get` shows.
//!
//! Lives here: columns of custom kinds (from their CRD) and of built-in kinds, and the cells of one
//! object. Must not: wrap rows into an answer (the server's work), read a clock. Start at
//! [`Table::custom`] and [`Table::builtin`].

mod builtin;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::duration;
use crate::jsonpath::JsonPath;

/// The columns of a kind.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Column>,
}

#[derive(Clone, Debug)]
struct Column {
    definition: Value,
    cell: Cell,
}

#[derive(Clone, Debug)]
enum Cell {
    /// The place in the object and what to print there.
    Path(JsonPath, CellType),
    /// A built-in column.
    Made(fn(&Value, Timestamp) -> Value),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum CellType {
    Text,
    Integer,
    Number,
    Boolean,
    Date,
}

impl Table {
    /// The columns that a CRD version declares in `additionalPrinterColumns`: Name first; Age alone when
    /// it declares none. Columns whose path is broken are left out (a CRD with such is refused).
    pub fn custom(columns: &[Value]) -> Self {
        let mut all = vec![Column::made(
            ("Name", "string", "name", 0),
            "Name of the object, unique in its namespace.",
            name,
        )];
        if columns.is_empty() {
            let path = JsonPath::parse(".metadata.creationTimestamp");
            let definition = definition(("Age", "date", "", 0), AGE_TEXT);
            all.extend(path.map(|p| Column { definition, cell: Cell::Path(p, CellType::Date) }));
        }
        all.extend(columns.iter().filter_map(Column::declared));
        Self { columns: all }
    }

    /// The columns of a built-in kind; Name and Created At for those that have no columns of their own.
    pub fn builtin(kind: &str) -> Self {
        Self { columns: builtin::columns(kind) }
    }

    /// `columnDefinitions` of the answer.
    pub fn definitions(&self) -> Vec<Value> {
        self.columns.iter().map(|column| column.definition.clone()).collect()
    }

    /// The cells of one object, one for each column; ages are those at `now`.
    pub fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let cell = |column: &Column| match &column.cell {
            Cell::Made(make) => make(object, now),
            Cell::Path(path, cell_type) => {
                path.first(object).map_or(Value::Null, |value| cell_type.show(value, now))
            }
        };
        self.columns.iter().map(cell).collect()
    }
}

impl Column {
    fn declared(spec: &Value) -> Option<Self> {
        let text = |field: &str| spec.get(field).and_then(Value::as_str).unwrap_or_default();
        let path = JsonPath::parse(text("jsonPath")).ok()?;
        let cell_type = match text("type") {
            "integer" => CellType::Integer,
            "number" => CellType::Number,
            "boolean" => CellType::Boolean,
            "date" => CellType::Date,
            _ => CellType::Text,
        };
        let priority = spec.get("priority").and_then(Value::as_i64).unwrap_or(0);
        let described = match text("description") {
            "" => {
                "Custom resource definition column (in JSONPath format): ".to_owned()
                    + text("jsonPath")
            }
            told => told.to_owned(),
        };
        let head = (text("name"), text("type"), text("format"), priority);
        Some(Self { definition: definition(head, &described), cell: Cell::Path(path, cell_type) })
    }

    fn made(
        head: (&str, &str, &str, i64),
        description: &str,
        make: fn(&Value, Timestamp) -> Value,
    ) -> Self {
        Self { definition: definition(head, description), cell: Cell::Made(make) }
    }
}

impl CellType {
    fn show(self, value: &Value, now: Timestamp) -> Value {
        match (self, value) {
            (Self::Text, Value::String(_))
            | (Self::Number, Value::Number(_))
            | (Self::Boolean, Value::Bool(_)) => value.clone(),
            (Self::Text, Value::Null) => "<no value>".into(),
            (Self::Text, other) => other.to_string().into(),
            (Self::Integer, Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
                (Some(_), _) => value.clone(),
                #[expect(clippy::cast_possible_truncation, reason = "cut as the real server does")]
                (None, Some(float)) => Value::from(float as i64),
                (None, None) => Value::Null,
            },
            (Self::Date, Value::String(point)) => duration::age(point, now).into(),
            _ => Value::Null,
        }
    }
}

fn definition((name, kind, format, priority): (&str, &str, &str, i64), text: &str) -> Value {
    json!({"name":name,"type":kind,"format":format,"description":text,"priority":priority})
}

fn name(object: &Value, _: Timestamp) -> Value {
    object.pointer("/metadata/name").cloned().unwrap_or_default()
}

const AGE_TEXT: &str = "Time since the object was created.";

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-01-01T01:00:00Z".parse().expect("valid")
    }

    #[test]
    fn declared_columns_show_their_type_or_null() {
        let columns = json!([
            {"name":"Replicas","type":"integer","jsonPath":".spec.replicas"},
            {"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"},
            {"name":"Ports","type":"string","jsonPath":".spec.ports","priority":1},
            {"name":"Port","type":"integer","jsonPath":".spec.ports[*].port"},
            {"name":"Wrong","type":"integer","jsonPath":".spec.mode"},
            {"name":"On","type":"boolean","jsonPath":".spec.on"},
            {"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}
        ]);
        let table = Table::custom(columns.as_array().expect("list"));
        let object = json!({"metadata":{"name":"x","creationTimestamp":"2026-01-01T00:51:52Z"},
            "spec":{"replicas":3,"mode":"a","ports":[{"port":1},{"port":2}],"on":true},
            "status":{"conditions":[{"type":"Ready","status":"True"}]}});
        assert_eq!(
            Value::Array(table.cells(&object, now())),
            json!(["x", 3, "True", "[{\"port\":1},{\"port\":2}]", 1, null, true, "8m8s"])
        );
        assert_eq!(table.definitions()[3]["priority"], 1);
        assert_eq!(
            table.cells(&json!({"metadata":{"name":"y"}}), now())[1..],
            [const { Value::Null }; 7]
        );
    }

    #[test]
    fn a_kind_without_columns_has_an_age() {
        let table = Table::custom(&[]);
        let names: Vec<Value> = table.definitions().iter().map(|d| d["name"].clone()).collect();
        assert_eq!(names, ["Name", "Age"]);
    }
}
