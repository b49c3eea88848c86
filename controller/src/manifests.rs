//! Manifests: files of objects, read and applied.
//!
//! Lives here: YAML and JSON documents to objects, and objects to the API as `kubectl apply` would send
//! them. Start at [`read`], then [`apply`].

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{GroupVersionKind, Request};
use kube::discovery::{ApiCapabilities, ApiResource, Scope};
use kube::runtime::wait::{await_condition, conditions::is_crd_established};
use kube::{Client, Discovery};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::merge;

/// One object of a manifest and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    /// The file, for messages.
    pub(crate) file: PathBuf,
    /// The object as written.
    pub(crate) body: Value,
}

/// An object that is in the API now.
#[derive(Clone, Debug)]
pub(crate) struct Applied {
    /// Its type.
    pub(crate) resource: ApiResource,
    /// Its namespace; `None` for a cluster-scoped one.
    pub(crate) namespace: Option<String>,
    /// Its name.
    pub(crate) name: String,
    /// `created`, `configured` or `unchanged`.
    pub(crate) outcome: &'static str,
}

/// Reads files, and the `.yaml`, `.yml` and `.json` files of folders in the order of their names.
///
/// # Errors
/// A path that cannot be read, a document that does not parse or has no `kind` and `metadata.name`: the file
/// and the place in it are named.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<Document>> {
    let mut documents = Vec::new();
    for path in paths {
        for file in files(path)? {
            read_file(&file, &mut documents)?;
        }
    }
    Ok(documents)
}

fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let meta = fs::metadata(path).with_context(|| format!("read manifest {}", path.display()))?;
    if !meta.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path).with_context(|| format!("list {}", path.display()))? {
        let file = entry.with_context(|| format!("list {}", path.display()))?.path();
        let named_so = file.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json");
        if named_so && file.is_file() {
            found.push(file);
        }
    }
    if found.is_empty() {
        bail!("{} holds no .yaml, .yml or .json file", path.display());
    }
    found.sort();
    Ok(found)
}

fn read_file(file: &Path, documents: &mut Vec<Document>) -> Result<()> {
    let text =
        fs::read_to_string(file).with_context(|| format!("read manifest {}", file.display()))?;
    for (index, document) in serde_yaml::Deserializer::from_str(&text).enumerate() {
        let at = || format!("{}, document {}", file.display(), index + 1);
        let body = Value::deserialize(document).with_context(at)?;
        match &body {
            Value::Null => {}
            Value::Object(_) if body["kind"] == "List" => {
                let items = body["items"].as_array().cloned().unwrap_or_default();
                documents
                    .extend(items.into_iter().map(|body| Document { file: file.to_owned(), body }));
            }
            Value::Object(_) => documents.push(Document { file: file.to_owned(), body }),
            _ => bail!("{}: expected an object with apiVersion, kind and metadata", at()),
        }
    }
    Ok(())
}

/// The kinds that the API serves; asked for again when a manifest has defined more.
pub(crate) struct Kinds {
    known: Discovery,
    /// Definitions applied since `known` was asked for, by name.
    defined: Vec<String>,
}

impl Kinds {
    /// Asks the API for its kinds.
    ///
    /// # Errors
    /// The API does not answer.
    pub(crate) async fn discover(client: &Client) -> Result<Self> {
        let known = Discovery::new(client.clone()).run().await.context("discover kinds")?;
        Ok(Self { known, defined: Vec::new() })
    }

    async fn find(
        &mut self,
        client: &Client,
        gvk: &GroupVersionKind,
    ) -> Result<Option<(ApiResource, ApiCapabilities)>> {
        if let Some(found) = self.known.resolve_gvk(gvk) {
            return Ok(Some(found));
        }
        if self.defined.is_empty() {
            return Ok(None);
        }
        let definitions = Api::all(client.clone());
        for name in self.defined.drain(..) {
            let served = await_condition(definitions.clone(), &name, is_crd_established());
            tokio::time::timeout(SERVED_WITHIN, served)
                .await
                .map_err(anyhow::Error::from)
                .and_then(|served| served.map_err(anyhow::Error::from))
                .with_context(|| format!("wait until the definition {name} is served"))?;
        }
        *self = Self::discover(client).await?;
        Ok(self.known.resolve_gvk(gvk))
    }
}

/// Makes the API hold what the document says, by creating the object or by a three-way merge patch.
///
/// # Errors
/// An unknown kind, or the API's refusal, with the file and the object named.
pub(crate) async fn apply(
    client: &Client,
    kinds: &mut Kinds,
    document: &Document,
) -> Result<Applied> {
    let body = &document.body;
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
    let file = document.file.display();
    let (Some(api_version), Some(kind)) = (text("/apiVersion"), text("/kind")) else {
        bail!("{file}: an object needs apiVersion and kind");
    };
    let Some(name) = text("/metadata/name") else {
        bail!("{file}: a {kind} needs metadata.name");
    };
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let gvk = GroupVersionKind::gvk(group, version, kind);
    let Some((resource, capabilities)) = kinds.find(client, &gvk).await? else {
        bail!("{file}: the API knows no {kind} in {api_version}; see `kubectl api-resources`");
    };
    let namespace = (capabilities.scope == Scope::Namespaced)
        .then(|| text("/metadata/namespace").unwrap_or("default").to_owned());
    let api: Api<DynamicObject> = match &namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let outcome = send(client, &api, name, namespace.as_deref(), body)
        .await
        .with_context(|| format!("{file}: {kind} {name}"))?;
    if kind == "CustomResourceDefinition" && outcome != "unchanged" {
        kinds.defined.push(name.to_owned());
    }
    Ok(Applied { namespace, name: name.to_owned(), outcome, resource })
}

async fn send(
    client: &Client,
    api: &Api<DynamicObject>,
    name: &str,
    namespace: Option<&str>,
    body: &Value,
) -> Result<&'static str> {
    let wanted = with_last_applied(body, namespace)?;
    let Some(current) = api.get_opt(name).await.map_err(plainly)? else {
        create(client, api, &wanted).await?;
        return Ok("created");
    };
    let current = serde_json::to_value(current)?;
    let last = current
        .pointer(&format!("/metadata/annotations/{}", merge::LAST_APPLIED.replace('/', "~1")))
        .and_then(Value::as_str)
        .and_then(|text| serde_json::from_str::<Value>(text).ok());
    let Some(patch) = merge::patch(last.as_ref(), &wanted, &current) else {
        return Ok("unchanged");
    };
    let strictly = PatchParams::default().validation_strict();
    api.patch(name, &strictly, &Patch::Merge(patch)).await.map_err(plainly)?;
    Ok("configured")
}

/// Creates an object, and refuses fields that its kind does not have, as `kubectl apply` does.
async fn create(client: &Client, api: &Api<DynamicObject>, wanted: &Value) -> Result<()> {
    let data = serde_json::to_vec(wanted)?;
    let mut request = Request::new(api.resource_url()).create(&PostParams::default(), data)?;
    // The parameters of kube have no place for it; the query that they make is empty.
    *request.uri_mut() = format!("{}fieldValidation=Strict", request.uri()).parse()?;
    client.request::<DynamicObject>(request).await.map(drop).map_err(plainly)
}

/// The API's refusal in its own words, with what to do where they do not say it.
fn plainly(why: kube::Error) -> anyhow::Error {
    let kube::Error::Api(status) = why else { return why.into() };
    let about = status.details.as_ref();
    match about.filter(|about| status.code == 404 && about.kind == "namespaces") {
        Some(namespace) => anyhow::anyhow!(
            "{}; create it first: put a Namespace {} before it in the manifests",
            status.message,
            namespace.name
        ),
        None => anyhow::anyhow!("{}", status.message),
    }
}

/// The object with the annotation that `kubectl apply` will look for, in the very bytes that it would write:
/// then an apply of the same file finds nothing to change.
fn with_last_applied(body: &Value, namespace: Option<&str>) -> Result<Value> {
    let mut wanted = body.clone();
    if let Some(namespace) = namespace {
        wanted["metadata"]["namespace"] = json!(namespace);
    }
    let annotations = &mut wanted["metadata"]["annotations"];
    if annotations.is_null() {
        *annotations = json!({});
    }
    let Some(annotations) = annotations.as_object_mut() else {
        bail!("metadata.annotations must be a map of strings");
    };
    annotations.remove(merge::LAST_APPLIED);
    let remembered = go_json(&wanted)?;
    wanted["metadata"]["annotations"][merge::LAST_APPLIED] = Value::String(remembered);
    Ok(wanted)
}

/// JSON as Go's encoder writes it: keys in order, a newline at the end, and HTML's characters escaped.
fn go_json(value: &Value) -> Result<String> {
    let mut text = String::new();
    for c in serde_json::to_string(value)?.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                text += &format!("\\u{:04x}", u32::from(c))
            }
            c => text.push(c),
        }
    }
    text.push('\n');
    Ok(text)
}

/// How long a definition may take until its kind is served.
const SERVED_WITHIN: std::time::Duration = std::time::Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Vec<Document>> {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("a.yaml");
        fs::write(&file, text)?;
        read(&[file])
    }

    #[test]
    fn a_file_may_hold_several_documents_lists_and_nothing() -> Result<()> {
        let documents =
            check("---\n---\nkind: A\n---\nkind: List\nitems: [{kind: B}, {kind: C}]\n")?;
        let kinds: Vec<_> = documents.iter().map(|d| d.body["kind"].clone()).collect();
        assert_eq!(kinds, ["A", "B", "C"]);
        Ok(())
    }

    #[test]
    fn what_was_applied_is_remembered_as_kubectl_writes_it() -> Result<()> {
        let body = json!({"kind": "A", "metadata": {"name": "a"}, "spec": {"x": "<&>"}});
        let wanted = with_last_applied(&body, Some("default"))?;
        assert_eq!(
            wanted["metadata"]["annotations"][merge::LAST_APPLIED],
            "{\"kind\":\"A\",\"metadata\":{\"annotations\":{},\"name\":\"a\",\"namespace\":\"default\"},\
             \"spec\":{\"x\":\"\\u003c\\u0026\\u003e\"}}\n"
        );
        Ok(())
    }

    #[test]
    fn a_wrong_document_is_named_by_file_and_number() {
        let why = check("kind: A\n---\n- 1\n").map(|_| ()).expect_err("a list is no object");
        assert!(format!("{why:#}").contains("a.yaml, document 2"), "{why:#}");
    }
}
