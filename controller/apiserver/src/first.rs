//! Objects that exist from the start.

use std::sync::Arc;

use jiff::Timestamp;
use objects::decode::Decoded;
use serde_json::{Value, json};

use crate::api::{Api, Asked};
use crate::auth::User;
use crate::builtin::namespace;
use crate::media::Form;
use crate::params::Params;
use crate::reply::Warnings;
use crate::route::Target;
use crate::status::ApiError;
use crate::store::StoreError;
use crate::verbs::write::{self, Part, Replaced};
use crate::verbs::{create, present};

/// Writes what is missing; on failure, what and why.
pub(crate) async fn write(api: &Api, definitions: Vec<Value>) -> Result<(), (String, String)> {
    for name in namespace::FIRST {
        let value = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        ensure(api, ("", "v1", "namespaces"), value).await?;
    }
    for definition in definitions {
        let at = ("apiextensions.k8s.io", "v1", "customresourcedefinitions");
        ensure(api, at, definition).await?;
    }
    Ok(())
}

/// Creates the object, or brings the spec of the existing one up to date.
async fn ensure(
    api: &Api,
    (group, version, plural): (&str, &str, &str),
    value: Value,
) -> Result<(), (String, String)> {
    let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let what = format!("{plural} {name:?}");
    let done = put(api, (group, version, plural), &name, value).await;
    done.map_err(|error| (what, error.message))
}

async fn put(
    api: &Api,
    (group, version, plural): (&str, &str, &str),
    name: &str,
    value: Value,
) -> Result<(), ApiError> {
    let catalog = api.catalogs.now(&api.world);
    let kind = catalog.find(group, version, plural).ok_or_else(ApiError::no_such_path)?;
    let mut asked = Asked {
        user: User::anonymous(),
        kind: Arc::clone(&kind),
        catalog,
        namespace: String::new(),
        target: Target { name: Some(name.to_owned()), ..Target::default() },
        params: Params::default(),
        form: Form::default(),
        headers: http::HeaderMap::new(),
        warnings: Warnings::default(),
    };
    let value = write::admit(&mut asked, Decoded { value, duplicates: Vec::new() })?;
    let key = kind.key("", name);
    for _ in 0..write::TRIES {
        let Some(old) = api.world.get(&key) else {
            match create::add(api, &mut asked, value.clone()).await {
                Err(error) if error.reason == "AlreadyExists" => continue,
                Err(error) => return Err(error),
                Ok(_) => return Ok(()),
            }
        };
        if group.is_empty() {
            return Ok(());
        }
        // What others added to the metadata stays; the rest is as this version wants it.
        let mut new = present::as_served(&kind, &old);
        new["spec"] = value["spec"].clone();
        for field in ["labels", "annotations"] {
            for (name, text) in value["metadata"][field].as_object().into_iter().flatten() {
                new["metadata"][field][name] = text.clone();
            }
        }
        match write::replace(api, &mut asked, &old, new, Part::Main).await? {
            Replaced::Done(_) => return Ok(()),
            Replaced::Late => {}
        }
    }
    let late = StoreError::Unavailable(format!("{name} keeps changing at {}", Timestamp::now()));
    Err(ApiError::from_store(&kind, name, late))
}
