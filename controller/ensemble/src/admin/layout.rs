//! JSON as Apache's admin server prints it, for scripts that look for a line such as `"error" : null`.

use serde_json::Value;

/// The value's text, over several lines.
pub(super) fn of(value: &Value) -> String {
    let mut out = String::new();
    put(&mut out, value, 0);
    out
}

/// Elements of a list stand on one line, but for the objects among them.
fn put(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(fields) => {
            out.push('{');
            for (number, (name, value)) in fields.iter().enumerate() {
                out.push_str(if number > 0 { "," } else { "" });
                break_line(out, depth + 1);
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push_str(" : ");
                put(out, value, depth + 1);
            }
            if fields.is_empty() {
                out.push(' ');
            } else {
                break_line(out, depth);
            }
            out.push('}');
        }
        Value::Array(values) => {
            out.push('[');
            for (number, value) in values.iter().enumerate() {
                out.push_str(if number > 0 { ", " } else { " " });
                put(out, value, depth);
            }
            out.push_str(" ]");
        }
        plain => out.push_str(&plain.to_string()),
    }
}

fn break_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_is_spaced_as_apaches() {
        let value =
            json!({ "a": [], "b": [1, "x\""], "c": [{ "d": null }, {}], "e": { "f": 1.5 } });
        let text = "{\n  \"a\" : [ ],\n  \"b\" : [ 1, \"x\\\"\" ],\n  \"c\" : [ {\n    \"d\" : null\n  }, { } ],\n  \
            \"e\" : {\n    \"f\" : 1.5\n  }\n}";
        assert_eq!(of(&value), text);
    }
}
