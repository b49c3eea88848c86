//! OpenAPI v3 documents, as kubectl, Helm and generators read them.
//!
//! Lives here: the document of one group and version, from the kinds served in it; the shared schemas of
//! metadata (`meta.yaml`). Must not: decide what is served, or make hashes. Start at [`document`].

pub mod v2;

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::decode;

/// A kind as a document tells of it.
#[derive(Clone, Copy, Debug)]
pub struct Described<'a> {
    /// The kind.
    pub kind: &'a str,
    /// Plural, as in URLs.
    pub plural: &'a str,
    /// The kind of its lists.
    pub list_kind: &'a str,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// What can be done with it, in discovery's words: `get`, `list`, `create`…
    pub verbs: &'a [&'a str],
    /// The form of its body, `openAPIV3Schema` of a CRD.
    pub schema: &'a Value,
    /// Whether it is a kind that clients have compiled in: strategic merge works on it.
    pub builtin: bool,
    /// Whether `/status` is a subresource.
    pub status: bool,
    /// Whether `/scale` is one.
    pub scale: bool,
}

/// The document of `group` (empty for core) and `version`.
pub fn document(group: &str, version: &str, kinds: &[Described<'_>]) -> Value {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    for kind in kinds {
        let place = Place { group, version, kind };
        place.paths(&mut paths);
        place.schemas(&mut schemas);
    }
    if let Value::Object(shared) = &*SHARED {
        schemas.extend(shared.clone());
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Troupe", "version": "v1"},
        "paths": paths,
        "components": {"schemas": schemas},
    })
}

struct Place<'a> {
    group: &'a str,
    version: &'a str,
    kind: &'a Described<'a>,
}

impl Place<'_> {
    fn paths(&self, paths: &mut Map<String, Value>) {
        let root = match self.group {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        };
        let plural = self.kind.plural;
        let list = match self.kind.namespaced {
            true => format!("{root}/namespaces/{{namespace}}/{plural}"),
            false => format!("{root}/{plural}"),
        };
        if self.kind.namespaced && self.can("list") {
            let everywhere = self.operation("list", "ForAllNamespaces", "", self.list_schema());
            paths.insert(format!("{root}/{plural}"), json!({"get": everywhere}));
        }
        let mut collection = Map::new();
        for (verb, method) in [("list", "get"), ("create", "post"), ("deletecollection", "delete")]
        {
            if self.can(verb) {
                let answer = if verb == "list" { self.list_schema() } else { self.schema_name() };
                collection.insert(method.into(), self.operation(verb, "", "", answer));
            }
        }
        if !collection.is_empty() {
            paths.insert(list.clone(), self.item(collection, false));
        }
        let one = format!("{list}/{{name}}");
        let mut item = Map::new();
        for (verb, method) in
            [("get", "get"), ("update", "put"), ("delete", "delete"), ("patch", "patch")]
        {
            if self.can(verb) {
                item.insert(method.into(), self.operation(verb, "", "", self.schema_name()));
            }
        }
        if !item.is_empty() {
            paths.insert(one.clone(), self.item(item, true));
        }
        for (name, served, schema) in [
            ("status", self.kind.status, self.schema_name()),
            ("scale", self.kind.scale, SCALE.to_owned()),
        ] {
            if served {
                let methods = [("get", "get"), ("update", "put"), ("patch", "patch")];
                let operations = methods.into_iter().map(|(verb, method)| {
                    (method.to_owned(), self.operation(verb, "", name, schema.clone()))
                });
                paths.insert(format!("{one}/{name}"), self.item(operations.collect(), true));
            }
        }
    }

    fn can(&self, verb: &str) -> bool {
        self.kind.verbs.contains(&verb)
    }

    /// A path's operations, with the parameters that stand in the path.
    fn item(&self, mut operations: Map<String, Value>, named: bool) -> Value {
        let parameter = |name: &str, what: &str| {
            json!({"name": name, "in": "path", "required": true, "description": what,
                "schema": {"type": "string", "uniqueItems": true}})
        };
        let mut parameters = Vec::new();
        if named {
            parameters.push(parameter("name", "Name of the object."));
        }
        if self.kind.namespaced {
            parameters.push(parameter("namespace", "Namespace of the object."));
        }
        operations.insert("parameters".into(), parameters.into());
        Value::Object(operations)
    }

    fn operation(&self, verb: &str, scope: &str, subresource: &str, schema: String) -> Value {
        let schema = reference(&schema);
        let action = match verb {
            "create" => "post",
            "update" => "put",
            other => other,
        };
        let query = |name: &str, kind: &str, what: &str| {
            json!({"name": name, "in": "query", "description": what,
                "schema": {"type": kind, "uniqueItems": true}})
        };
        let mut parameters = Vec::new();
        match verb {
            "list" | "deletecollection" => {
                parameters.push(query("labelSelector", "string", "Labels the objects must have."));
                parameters.push(query("fieldSelector", "string", "Fields the objects must have."));
                parameters.push(query("limit", "integer", "Most objects in one answer."));
                parameters.push(query("continue", "string", "Where the last answer stopped."));
                parameters.push(query(
                    "resourceVersion",
                    "string",
                    "How fresh the answer must be.",
                ));
                parameters.push(query("watch", "boolean", "Whether to go on with changes."));
                parameters.push(query("timeoutSeconds", "integer", "How long to go on."));
            }
            "create" | "update" | "patch" => {
                parameters.push(query("dryRun", "string", "All: do everything but keep it."));
                parameters.push(query("fieldManager", "string", "Who makes the change."));
                parameters.push(query(
                    "fieldValidation",
                    "string",
                    "Ignore, Warn or Strict: what to do about unknown and duplicate fields.",
                ));
            }
            "delete" => {
                parameters.push(query("dryRun", "string", "All: do everything but keep it."));
                parameters.push(query("gracePeriodSeconds", "integer", "How long it may take."));
                parameters.push(query(
                    "propagationPolicy",
                    "string",
                    "Orphan, Background or Foreground.",
                ));
            }
            _ => {}
        }
        let answer =
            json!({"description": "OK", "content": {"application/json": {"schema": schema}}});
        let mut operation = json!({
            "operationId": self.operation_id(action, scope, subresource),
            "tags": [self.tag()],
            "parameters": parameters,
            "responses": {"200": answer},
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": self.gvk(),
        });
        match verb {
            "create" | "update" => {
                operation["requestBody"] =
                    json!({"required": true, "content": {"application/json": {"schema": schema}}});
            }
            "patch" => operation["requestBody"] = self.patch_body(),
            "delete" | "deletecollection" => {
                let options = reference(DELETE_OPTIONS);
                operation["requestBody"] =
                    json!({"content": {"application/json": {"schema": options}}});
            }
            _ => {}
        }
        operation
    }

    /// What a patch may be sent as; strategic merge only where it is known how lists merge.
    fn patch_body(&self) -> Value {
        let schema = reference(PATCH);
        let mut content = Map::new();
        for media in ["application/json-patch+json", "application/merge-patch+json"] {
            content.insert(media.into(), json!({"schema": schema}));
        }
        if self.kind.builtin {
            content
                .insert("application/strategic-merge-patch+json".into(), json!({"schema": schema}));
        }
        json!({"required": true, "content": content})
    }

    fn operation_id(&self, action: &str, scope: &str, subresource: &str) -> String {
        let verb = match action {
            "get" => "read",
            "post" => "create",
            "put" => "replace",
            "deletecollection" => "deleteCollection",
            other => other,
        };
        let scoped = match (scope, self.kind.namespaced) {
            ("", true) => "Namespaced",
            _ => "",
        };
        let group = match self.group {
            "" => "Core".to_owned(),
            group => group.split('.').map(capital).collect(),
        };
        format!(
            "{verb}{group}{}{scoped}{}{}{scope}",
            capital(self.version),
            self.kind.kind,
            capital(subresource)
        )
    }

    fn tag(&self) -> String {
        let group = if self.group.is_empty() { "core" } else { self.group };
        format!("{}_{}", group.replace('.', "_"), self.version)
    }

    fn gvk(&self) -> Value {
        json!({"group": self.group, "version": self.version, "kind": self.kind.kind})
    }

    /// The name of the kind's schema: the group backwards for custom kinds, Kubernetes' own for built-in.
    fn schema_name(&self) -> String {
        self.named(self.kind.kind)
    }

    fn list_schema(&self) -> String {
        self.named(self.kind.list_kind)
    }

    fn named(&self, kind: &str) -> String {
        if self.kind.builtin {
            let group = match self.group.split('.').next() {
                None | Some("") => "core",
                Some(first) => first,
            };
            return match group {
                "apiextensions" => format!("{APIEXTENSIONS}.{}.{kind}", self.version),
                group => format!("io.k8s.api.{group}.{}.{kind}", self.version),
            };
        }
        let mut parts: Vec<&str> = self.group.split('.').collect();
        parts.reverse();
        format!("{}.{}.{kind}", parts.join("."), self.version)
    }

    fn schemas(&self, schemas: &mut Map<String, Value>) {
        let mut schema = self.kind.schema.clone();
        if !schema.is_object() {
            schema = json!({"type": "object"});
        }
        let properties = schema["properties"].take();
        let mut properties = match properties {
            Value::Object(properties) => properties,
            _ => Map::new(),
        };
        add_type_meta(&mut properties, OBJECT_META);
        schema["properties"] = Value::Object(properties);
        schema["x-kubernetes-group-version-kind"] = json!([self.gvk()]);
        schemas.insert(self.schema_name(), schema);
        if !self.can("list") {
            return;
        }
        let mut properties = Map::new();
        add_type_meta(&mut properties, LIST_META);
        let items = json!({"type": "array", "description": "The objects.",
            "items": {"allOf": [reference(&self.schema_name())]}});
        properties.insert("items".into(), items);
        let list = json!({"type": "object", "description": format!("A list of {}.", self.kind.kind),
            "required": ["items"], "properties": properties,
            "x-kubernetes-group-version-kind": [{"group": self.group, "version": self.version,
                "kind": self.kind.list_kind}]});
        schemas.insert(self.list_schema(), list);
    }
}

fn add_type_meta(properties: &mut Map<String, Value>, metadata: &str) {
    let about = if metadata == LIST_META { "list" } else { "object" };
    for (name, what) in [("apiVersion", API_VERSION_TEXT), ("kind", KIND_TEXT)] {
        properties.insert(name.into(), json!({"type": "string", "description": what}));
    }
    let what = METADATA_TEXT.replace("object", about);
    let described = json!({"description": what, "allOf": [reference(metadata)]});
    properties.insert("metadata".into(), described);
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// The schemas that all documents share.
static SHARED: LazyLock<Value> = LazyLock::new(|| {
    decode::yaml(include_bytes!("meta.yaml"))
        .expect("the file is part of the program and read by a test")
        .value
});

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
const SCALE: &str = "io.k8s.api.autoscaling.v1.Scale";
const APIEXTENSIONS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions";
// What `kubectl explain` prints for these fields of every kind on every server.
const API_VERSION_TEXT: &str = "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const KIND_TEXT: &str = "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
const METADATA_TEXT: &str = "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [&str; 8] =
        ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

    fn widget(schema: &Value) -> Value {
        let kind = Described {
            kind: "Widget",
            plural: "widgets",
            list_kind: "WidgetList",
            namespaced: true,
            verbs: &ALL,
            schema,
            builtin: false,
            status: true,
            scale: true,
        };
        document("example.dev", "v1", &[kind])
    }

    #[test]
    fn clients_find_what_they_look_for() {
        let schema = json!({"type":"object","properties":{"spec":{"type":"object","description":"S.",
            "x-kubernetes-validations":[{"rule":"true"}]}}});
        let document = widget(&schema);
        let base = "/apis/example.dev/v1/namespaces/{namespace}/widgets";
        let patch = &document["paths"][format!("{base}/{{name}}")]["patch"];
        let gvk = json!({"group":"example.dev","version":"v1","kind":"Widget"});
        assert_eq!(patch["x-kubernetes-group-version-kind"], gvk);
        assert_eq!(patch["operationId"], "patchExampleDevV1NamespacedWidget");
        let parameters = patch["parameters"].as_array().expect("list");
        assert!(parameters.iter().any(|p| p["name"] == "fieldValidation" && p["in"] == "query"));
        let content = patch["requestBody"]["content"].as_object().expect("object");
        assert!(!content.contains_key("application/strategic-merge-patch+json"));
        for path in ["/apis/example.dev/v1/widgets", base] {
            assert!(document["paths"][path]["get"].is_object(), "{path}");
        }
        for subresource in ["status", "scale"] {
            assert!(
                document["paths"][format!("{base}/{{name}}/{subresource}")]["patch"].is_object()
            );
        }
        let widget = &document["components"]["schemas"]["dev.example.v1.Widget"];
        assert_eq!(widget["x-kubernetes-group-version-kind"], json!([gvk]));
        assert_eq!(widget["properties"]["spec"]["description"], "S.");
        assert!(widget["properties"]["metadata"]["allOf"][0]["$ref"].is_string());
    }

    #[test]
    fn every_reference_leads_to_a_schema() {
        let schema = json!({"type":"object"});
        let mut described: Vec<Value> = vec![widget(&schema)];
        for kind in crate::builtin::kinds() {
            let list_kind = format!("{}List", kind.kind);
            let told = Described {
                kind: &kind.kind,
                plural: &kind.plural,
                list_kind: &list_kind,
                namespaced: kind.namespaced,
                verbs: &ALL,
                schema: &kind.declared_schema,
                builtin: true,
                status: false,
                scale: false,
            };
            described.push(document(&kind.group, &kind.version, &[told]));
        }
        for document in described {
            let schemas = document["components"]["schemas"].as_object().expect("object");
            for name in references(&document) {
                assert!(schemas.contains_key(&name), "{name}");
            }
        }
    }

    fn references(value: &Value) -> Vec<String> {
        match value {
            Value::Object(fields) => fields
                .iter()
                .flat_map(|(name, value)| match (name.as_str(), value.as_str()) {
                    ("$ref", Some(to)) => {
                        vec![to.trim_start_matches("#/components/schemas/").to_owned()]
                    }
                    _ => references(value),
                })
                .collect(),
            Value::Array(list) => list.iter().flat_map(references).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn built_in_kinds_are_explained() {
        let kind = crate::builtin::kind("", "v1", "ConfigMap").expect("built in");
        let told = Described {
            kind: "ConfigMap",
            plural: "configmaps",
            list_kind: "ConfigMapList",
            namespaced: true,
            verbs: &ALL,
            schema: &kind.declared_schema,
            builtin: true,
            status: false,
            scale: false,
        };
        let document = document("", "v1", &[told]);
        let schema = &document["components"]["schemas"]["io.k8s.api.core.v1.ConfigMap"];
        assert!(schema["properties"]["data"]["description"].is_string());
        let path = "/api/v1/namespaces/{namespace}/configmaps/{name}";
        let content = &document["paths"][path]["patch"]["requestBody"]["content"];
        assert!(content["application/strategic-merge-patch+json"].is_object());
    }
}
