//! `troupe status`: every object, whether it is as declared, and if not, why.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;

use super::block_on;
use crate::args::StatusArgs;
use crate::kubeconfig;
use crate::out::say;
use crate::progress::Readiness;

/// Prints a table; exit code 0 when all are Ready, 3 when something is not.
pub(crate) fn main(args: StatusArgs) -> Result<ExitCode> {
    block_on(async {
        let client = kubeconfig::client(args.api.kubeconfig.as_deref()).await?;
        let (kind, name) = match args.what.as_deref().map(|what| what.split_once('/')) {
            Some(Some((kind, name))) => (Some(kind), Some(name)),
            Some(None) => (args.what.as_deref(), None),
            None => (None, None),
        };
        let mut rows = Vec::new();
        for crd in chosen(kind)? {
            rows.extend(objects(&client, &crd, args.namespace.as_deref(), name).await?);
        }
        if rows.is_empty() {
            say!(
                "nothing is declared; try `troupe up manifests/quickstart` or `kubectl apply -f …`"
            );
            return Ok(ExitCode::SUCCESS);
        }
        print(&rows);
        let ready = rows.iter().filter(|row| row.readiness.is_ready()).count();
        if ready == rows.len() {
            return Ok(ExitCode::SUCCESS);
        }
        say!(
            "\n{} of {} are not Ready; `kubectl describe` shows the events",
            rows.len() - ready,
            rows.len()
        );
        Ok(ExitCode::from(3))
    })
}

struct Row {
    object: String,
    namespace: String,
    readiness: Readiness,
}

/// The kinds a word of the user means, by kind, plural, singular or short name; all without a word.
fn chosen(word: Option<&str>) -> Result<Vec<CustomResourceDefinition>> {
    let all = crds::all();
    let Some(word) = word else { return Ok(all) };
    let wanted = word.to_lowercase();
    let names = |crd: &CustomResourceDefinition| {
        let names = &crd.spec.names;
        let mut known = vec![names.kind.to_lowercase(), names.plural.clone()];
        known.extend(names.singular.clone());
        known.extend(names.short_names.clone().unwrap_or_default());
        known
    };
    let found: Vec<_> = all.iter().filter(|crd| names(crd).contains(&wanted)).cloned().collect();
    if found.is_empty() {
        let known: Vec<_> = all.iter().map(|crd| crd.spec.names.kind.to_lowercase()).collect();
        bail!("no kind is called {word:?}; there are {}", known.join(", "));
    }
    Ok(found)
}

async fn objects(
    client: &Client,
    crd: &CustomResourceDefinition,
    namespace: Option<&str>,
    name: Option<&str>,
) -> Result<Vec<Row>> {
    let version = crd.spec.versions.first().map_or("v1alpha1", |v| v.name.as_str());
    let gvk = GroupVersionKind::gvk(&crd.spec.group, version, &crd.spec.names.kind);
    let resource = ApiResource::from_gvk_with_plural(&gvk, &crd.spec.names.plural);
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let mut params = ListParams::default();
    if let Some(name) = name {
        params = params.fields(&format!("metadata.name={name}"));
    }
    let found = api.list(&params).await.with_context(|| format!("list {}", resource.plural))?;
    let row = |object: DynamicObject| -> Result<Row> {
        let readiness = Readiness::of(&serde_json::to_value(&object)?);
        let name = object.metadata.name.unwrap_or_default();
        let namespace = object.metadata.namespace.unwrap_or_default();
        Ok(Row { object: format!("{}/{name}", resource.kind), namespace, readiness })
    };
    found.items.into_iter().map(row).collect()
}

fn print(rows: &[Row]) {
    let width = |text: fn(&Row) -> &str, title: &str| {
        rows.iter().map(|row| text(row).chars().count()).chain([title.len()]).max().unwrap_or(0)
    };
    let object = width(|row| &row.object, "OBJECT");
    let namespace = width(|row| &row.namespace, "NAMESPACE");
    let state = width(|row| row.readiness.words().1, "STATE");
    say!("  {:namespace$}  {:object$}  {:state$}  WHY", "NAMESPACE", "OBJECT", "STATE");
    for row in rows {
        let (sign, word, sentence) = row.readiness.words();
        say!(
            "{sign} {:namespace$}  {:object$}  {word:state$}  {sentence}",
            row.namespace,
            row.object
        );
    }
}
