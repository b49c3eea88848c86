//! The YAML beside the types is what the types say, and what Kubernetes accepts.

use std::fs;
use std::path::PathBuf;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

#[test]
fn the_yaml_is_current() {
    for crd in crds::all() {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join(format!("{}.yaml", crd.spec.names.plural));
        let yaml = serde_yaml::to_string(&crd).expect("a CRD is plain data");
        assert!(yaml.len() <= 250_000, "{} is too big for client-side apply", path.display());
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, &yaml).expect("write the YAML");
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == yaml,
            "{} is not what the types say; run UPDATE=1 cargo test -p crds",
            path.display()
        );
    }
}

#[test]
fn schemas_are_structural() {
    for crd in crds::all() {
        let value = serde_json::to_value(&crd).expect("a CRD is plain data");
        no_empty_lists(&value, &crd.spec.names.kind);
        each_schema(&crd, &|path, schema| {
            let has = |key: &str| schema.get(key).is_some();
            assert!(
                has("type")
                    || has("x-kubernetes-int-or-string")
                    || has("x-kubernetes-preserve-unknown-fields"),
                "{path} has no type: {schema}"
            );
            assert!(
                !has("$ref") && !has("nullable") && !has("oneOf") && !has("allOf"),
                "{path}: {schema}"
            );
            assert!(!(has("properties") && has("additionalProperties")), "{path}");
            let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
            assert!(!format.starts_with("uint"), "{path}: {format}");
        });
    }
}

#[test]
fn everything_is_bounded_and_described() {
    for crd in crds::all() {
        each_schema(&crd, &|path, schema| {
            let has = |key: &str| schema.get(key).is_some();
            let wished = path.contains(".spec.") && !path.ends_with("[]") && !path.ends_with("{}");
            if wished {
                assert!(has("description"), "{path} is not described");
            }
            if !path.contains(".spec.") {
                return;
            }
            match schema.get("type").and_then(Value::as_str) {
                Some("array") => assert!(has("maxItems"), "{path} has no maxItems"),
                Some("string") => assert!(
                    has("maxLength") || has("enum") || has("pattern"),
                    "{path} is unbounded"
                ),
                Some("object") if has("additionalProperties") => {
                    assert!(has("maxProperties"), "{path} has no maxProperties");
                }
                Some("integer" | "number") => assert!(has("minimum"), "{path} has no minimum"),
                _ => {}
            }
        });
    }
}

#[test]
fn columns_begin_with_what_matters() {
    for crd in crds::all() {
        for version in crd.spec.versions {
            let columns: Vec<_> = version.additional_printer_columns.unwrap_or_default();
            let shown: Vec<_> = columns
                .iter()
                .filter(|c| c.priority.unwrap_or(0) == 0)
                .map(|c| c.name.as_str())
                .collect();
            assert!(shown.len() <= 6, "{shown:?}");
            assert_eq!(shown.first(), Some(&"Ready"));
            assert_eq!(shown.last(), Some(&"Age"));
        }
    }
}

fn no_empty_lists(value: &Value, path: &str) {
    match value {
        Value::Array(list) => {
            assert!(!list.is_empty(), "{path} is empty");
            list.iter().for_each(|item| no_empty_lists(item, path));
        }
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| no_empty_lists(value, &format!("{path}.{key}")));
        }
        _ => {}
    }
}

fn each_schema(crd: &CustomResourceDefinition, check: &dyn Fn(&str, &Value)) {
    let value = serde_json::to_value(crd).expect("a CRD is plain data");
    for version in value["spec"]["versions"].as_array().expect("versions") {
        walk(&crd.spec.names.kind, &version["schema"]["openAPIV3Schema"], check);
    }
}

fn walk(path: &str, schema: &Value, check: &dyn Fn(&str, &Value)) {
    check(path, schema);
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        for (name, property) in properties {
            walk(&format!("{path}.{name}"), property, check);
        }
    }
    if let Some(items) = schema.get("items") {
        walk(&format!("{path}[]"), items, check);
    }
    if let Some(values) = schema.get("additionalProperties") {
        walk(&format!("{path}{{}}"), values, check);
    }
}
