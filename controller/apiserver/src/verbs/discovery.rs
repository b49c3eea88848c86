//! What is served, told to clients: groups, versions, resources, documents.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use objects::builtin;
use objects::openapi::{self, Described};
use serde_json::{Map, Value, json};

use crate::catalog::{Catalog, GroupVersion};
use crate::kind::{Kind, Subresource, group_version};
use crate::reply;

/// `/`: the paths there are.
pub(crate) fn root(catalog: &Catalog) -> Value {
    let mut paths = vec!["/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned()];
    let mut last = "";
    for gv in catalog.groups.iter().filter(|gv| !gv.group.is_empty()) {
        if gv.group != last {
            paths.push(format!("/apis/{}", gv.group));
            last = &gv.group;
        }
        paths.push(format!("/apis/{}/{}", gv.group, gv.version));
    }
    paths.extend(["/healthz", "/livez", "/openapi/v3", "/readyz", "/version"].map(String::from));
    json!({ "paths": paths })
}

/// `/api`.
pub(crate) fn core_versions() -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
}

/// `/apis`.
pub(crate) fn groups(catalog: &Catalog) -> Value {
    let mut names: Vec<&str> = catalog.groups.iter().map(|gv| gv.group.as_str()).collect();
    names.dedup();
    let groups: Vec<Value> = names
        .into_iter()
        .filter(|name| !name.is_empty())
        .filter_map(|name| {
            let mut group = group(catalog, name)?;
            let fields = group.as_object_mut()?;
            fields.remove("kind");
            fields.remove("apiVersion");
            Some(group)
        })
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/<group>`.
pub(crate) fn group(catalog: &Catalog, name: &str) -> Option<Value> {
    let versions: Vec<Value> = catalog
        .groups
        .iter()
        .filter(|gv| gv.group == name && !name.is_empty())
        .map(|gv| json!({"groupVersion": group_version(name, &gv.version), "version": gv.version}))
        .collect();
    let preferred = versions.first()?.clone();
    Some(json!({
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": name,
        "versions": versions,
        "preferredVersion": preferred,
    }))
}

/// `/api/v1` and `/apis/<group>/<version>`.
pub(crate) fn resources(gv: &GroupVersion) -> Value {
    let mut resources = Vec::new();
    for kind in &gv.kinds {
        let mut resource = json!({
            "name": kind.plural,
            "singularName": kind.singular,
            "namespaced": kind.namespaced,
            "kind": kind.kind,
            "verbs": kind.verbs,
        });
        add_names(&mut resource, kind);
        if kind.verbs.contains(&"list") {
            resource["storageVersionHash"] = storage_hash(kind).into();
        }
        resources.push(resource);
        for sub in &kind.subresources {
            let mut resource = json!({
                "name": format!("{}/{}", kind.plural, sub.name),
                "singularName": "",
                "namespaced": kind.namespaced,
                "kind": sub.kind,
                "verbs": sub.verbs,
            });
            if let Some((group, version)) = sub.of {
                resource["group"] = group.into();
                resource["version"] = version.into();
            }
            resources.push(resource);
        }
    }
    json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version(&gv.group, &gv.version),
        "resources": resources,
    })
}

/// Changes when objects are kept in another version.
fn storage_hash(kind: &Kind) -> String {
    use sha2::Digest;
    let (group, version) =
        kind.storage_version.split_once('/').unwrap_or(("", &kind.storage_version));
    let hash = sha2::Sha256::digest(format!("{group}/{version}/{}", kind.kind));
    STANDARD.encode(&hash[..8])
}

/// `/api` and `/apis` in the aggregated form.
pub(crate) fn aggregated(catalog: &Catalog, core: bool, version: &str) -> Value {
    let mut items: Vec<Value> = Vec::new();
    let mut last = None;
    for gv in catalog.groups.iter().filter(|gv| gv.group.is_empty() == core) {
        if last != Some(&gv.group) {
            let metadata = if core { json!({}) } else { json!({"name": gv.group}) };
            items.push(json!({"metadata": metadata, "versions": []}));
            last = Some(&gv.group);
        }
        let resources: Vec<Value> = gv.kinds.iter().map(|kind| aggregated_kind(kind)).collect();
        if let Some(Value::Array(versions)) = items.last_mut().map(|item| &mut item["versions"]) {
            versions.push(
                json!({"version": gv.version, "resources": resources, "freshness": "Current"}),
            );
        }
    }
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {},
        "items": items,
    })
}

fn aggregated_kind(kind: &Kind) -> Value {
    let builtin = kind.builtin().is_some();
    let (group, version) =
        if builtin { ("", "") } else { (kind.group.as_str(), kind.version.as_str()) };
    let mut resource = json!({
        "resource": kind.plural,
        "responseKind": {"group": group, "version": version, "kind": kind.kind},
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": kind.verbs,
    });
    add_names(&mut resource, kind);
    if !kind.subresources.is_empty() {
        let part = |sub: &Subresource| {
            let (group, version) = sub.of.unwrap_or((group, version));
            json!({
                "subresource": sub.name,
                "responseKind": {"group": group, "version": version, "kind": sub.kind},
                "verbs": sub.verbs,
            })
        };
        resource["subresources"] = kind.subresources.iter().map(part).collect();
    }
    resource
}

fn add_names(resource: &mut Value, kind: &Kind) {
    if !kind.short_names.is_empty() {
        resource["shortNames"] = kind.short_names.clone().into();
    }
    if !kind.categories.is_empty() {
        resource["categories"] = kind.categories.clone().into();
    }
}

/// `/openapi/v3`: where the documents are, each with a hash in its address.
pub(crate) fn openapi_index(catalog: &Catalog) -> Value {
    let mut paths = Map::new();
    for gv in &catalog.groups {
        let path = match gv.group.as_str() {
            "" => format!("api/{}", gv.version),
            group => format!("apis/{group}/{}", gv.version),
        };
        let url = format!("/openapi/v3/{path}?hash={}", gv.hash);
        paths.insert(path, json!({"serverRelativeURL": url}));
    }
    json!({ "paths": paths })
}

/// The document of one group and version.
pub(crate) fn openapi_document(gv: &GroupVersion) -> Vec<u8> {
    let kinds: Vec<Described<'_>> = gv.kinds.iter().filter_map(|kind| described(kind)).collect();
    reply::json(&openapi::document(&gv.group, &gv.version, &kinds), false)
}

/// The document of everything, as older clients need it.
pub(crate) fn openapi_v2(catalog: &Catalog) -> Vec<u8> {
    let kinds = catalog.groups.iter().flat_map(|gv| &gv.kinds);
    openapi::v2::document(
        kinds.filter_map(|kind| Some((&*kind.group, &*kind.version, described(kind)?))),
    )
}

fn described(kind: &Kind) -> Option<Described<'_>> {
    let schema = match kind.custom() {
        Some((_, version)) => &version.declared_schema,
        None => &builtin::kind(&kind.group, &kind.version, &kind.kind)?.declared_schema,
    };
    Some(Described {
        kind: &kind.kind,
        plural: &kind.plural,
        list_kind: &kind.list_kind,
        namespaced: kind.namespaced,
        verbs: kind.verbs,
        schema,
        builtin: kind.builtin().is_some(),
        status: kind.has("status"),
        scale: kind.has("scale"),
    })
}
