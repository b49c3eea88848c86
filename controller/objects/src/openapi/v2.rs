//! The OpenAPI v2 document that older clients insist on, in the one form they take: protobuf.
//!
//! Lives here: of each kind, that it can be patched, in which forms, and that the server checks fields.
//! kubectl 1.27 asks for no more of it (the rest it reads from v3) and does not work without. Must not:
//! describe the forms of objects. Start at [`document`]. Source: `gnostic-models/openapiv2/OpenAPIv2.proto`.

use super::Described;

/// The type of the document's bytes.
pub const MEDIA_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// The document of all kinds: group, version and kind of each.
pub fn document<'a>(kinds: impl Iterator<Item = (&'a str, &'a str, Described<'a>)>) -> Vec<u8> {
    let mut paths = Vec::new();
    for (group, version, kind) in kinds.filter(|(_, _, kind)| kind.verbs.contains(&"patch")) {
        let root = match group {
            "" => format!("/api/{version}"),
            group => format!("/apis/{group}/{version}"),
        };
        let place = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
        let path = format!("{root}{place}/{}/{{name}}", kind.plural);
        let item = message(&[(8, &patch(group, version, &kind))]);
        // Paths.path: a NamedPathItem.
        put(&mut paths, 2, &message(&[(1, path.as_bytes()), (2, &item)]));
    }
    let info = message(&[(1, b"Troupe"), (2, b"v1")]);
    message(&[(1, b"2.0"), (2, &info), (8, &paths)])
}

/// An Operation.
fn patch(group: &str, version: &str, kind: &Described<'_>) -> Vec<u8> {
    let mut operation = Vec::new();
    let forms = ["application/json-patch+json", "application/merge-patch+json"];
    let strategic = kind.builtin.then_some("application/strategic-merge-patch+json");
    for form in forms.into_iter().chain(strategic) {
        put(&mut operation, 7, form.as_bytes());
    }
    for name in ["dryRun", "fieldManager", "fieldValidation"] {
        // QueryParameterSubSchema in NonBodyParameter in Parameter in ParametersItem.
        let query = message(&[(2, b"query"), (4, name.as_bytes()), (6, b"string")]);
        let parameter = message(&[(1, &message(&[(2, &message(&[(3, &query)]))]))]);
        put(&mut operation, 8, &parameter);
    }
    let kind =
        format!("{{\"group\":\"{group}\",\"kind\":\"{}\",\"version\":\"{version}\"}}", kind.kind);
    let extension: [(&str, &str); 2] =
        [("x-kubernetes-action", "patch"), ("x-kubernetes-group-version-kind", &kind)];
    for (name, yaml) in extension {
        let value = message(&[(2, yaml.as_bytes())]);
        put(&mut operation, 13, &message(&[(1, name.as_bytes()), (2, &value)]));
    }
    operation
}

fn message(fields: &[(u8, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, bytes) in fields {
        put(&mut out, *number, bytes);
    }
    out
}

/// Appends a field of bytes; numbers are below 16.
fn put(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(length.to_le_bytes()[0] | 0x80);
        length >>= 7;
    }
    out.push(length.to_le_bytes()[0]);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_kind_is_told_by_its_patch() {
        let schema = Value::Null;
        let kind = Described {
            kind: "Widget",
            plural: "widgets",
            list_kind: "WidgetList",
            namespaced: true,
            verbs: &["get", "patch"],
            schema: &schema,
            builtin: false,
            status: false,
            scale: false,
        };
        let bytes = document([("e2e.test", "v1", kind)].into_iter());
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.starts_with("\n\u{3}2.0\u{12}"), "{text:?}");
        for part in [
            "/apis/e2e.test/v1/namespaces/{namespace}/widgets/{name}",
            r#"{"group":"e2e.test","kind":"Widget","version":"v1"}"#,
            "fieldValidation",
            "application/merge-patch+json",
        ] {
            assert!(text.contains(part), "{part} in {text:?}");
        }
        assert!(!text.contains("strategic"));
    }

    #[test]
    fn lengths_are_written_in_groups_of_seven_bits() {
        let mut out = Vec::new();
        put(&mut out, 1, &[0; 300]);
        assert_eq!(out[..3], [0x0a, 0xac, 0x02]);
    }
}
