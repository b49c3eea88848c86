//! Create.

use http::{Response, StatusCode};
use hyper::body::Incoming;
use jiff::Timestamp;
use objects::meta;
use serde_json::Value;

use crate::api::{Api, Asked};
use crate::builtin::{self, Builtin};
use crate::collector::MAX_EVENTS;
use crate::kind::Kind;
use crate::reply::Body;
use crate::status::{Answer, ApiError};
use crate::store::{Key, Resource, StoreError};
use crate::verbs::write::Part;
use crate::verbs::{body, present, review, write};
use crate::world::set_rv;

/// Adds the object in the body.
pub(crate) async fn create(api: &Api, mut asked: Asked, body: Incoming) -> Answer<Response<Body>> {
    let decoded = body::object(&asked, body).await?;
    let value = write::admit(&mut asked, decoded)?;
    if asked.kind.builtin().is_some_and(Builtin::is_review) {
        return review::answer(api, &asked, value);
    }
    let value = add(api, &mut asked, value).await?;
    Ok(present::one(&asked, StatusCode::CREATED, value))
}

/// Adds an admitted object; answers with it as stored.
pub(crate) async fn add(api: &Api, asked: &mut Asked, mut value: Value) -> Answer<Value> {
    let kind = std::sync::Arc::clone(&asked.kind);
    if let Some(rv) = value["metadata"]["resourceVersion"].as_str()
        && !rv.is_empty()
    {
        return Err(ApiError::unreasoned(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    write::settle_namespace(asked, &mut value)?;
    prepare(&kind, &mut value);
    let generated = name_it(&mut value);
    write::validate(asked, &value, None, Part::Main)?;
    check_namespace(api, &kind, &asked.namespace, &value)?;
    if kind.builtin() == Some(Builtin::Definition) {
        builtin::definition::settle(&asked.catalog, &mut value);
    }
    let tries = if generated { GENERATED_TRIES } else { 1 };
    for attempt in 1..=tries {
        let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let key = kind.key(&asked.namespace, &name);
        if api.world.get(&key).is_none() {
            match store(api, asked, &kind, &key, &mut value).await {
                Err(StoreError::Exists) => {}
                Err(error) => return Err(ApiError::from_store(&kind, &name, error)),
                Ok(()) => {
                    let events = matches!(kind.builtin(), Some(Builtin::Event | Builtin::NewEvent));
                    if events && api.world.count(&kind.storage) > MAX_EVENTS / 10 * 11 {
                        api.crowded.notify_one();
                    }
                    return Ok(value);
                }
            }
        }
        if attempt == tries {
            let deleting = api.world.get(&key).is_some_and(|object| object.deleting());
            return Err(ApiError::already_exists(&kind, &name, deleting));
        }
        generate(&mut value);
    }
    Err(ApiError::internal("no name was tried"))
}

async fn store(
    api: &Api,
    asked: &Asked,
    kind: &Kind,
    key: &Key,
    value: &mut Value,
) -> Result<(), StoreError> {
    if !asked.params.dry_run {
        let revision = api.store.create(key, write::to_store(kind, value.clone())).await?;
        set_rv(value, revision.rv);
    }
    Ok(())
}

/// Sets what the server alone sets.
fn prepare(kind: &Kind, value: &mut Value) {
    let metadata = value["metadata"].as_object_mut().expect("admit made metadata an object");
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion"] {
        metadata.remove(field);
    }
    metadata.insert("uid".to_owned(), uuid::Uuid::new_v4().to_string().into());
    metadata.insert("creationTimestamp".to_owned(), write::stamp(Timestamp::now()));
    if write::counts_generations(kind) {
        metadata.insert("generation".to_owned(), 1.into());
    }
    if kind.has("status")
        && let Some(object) = value.as_object_mut()
    {
        object.remove("status");
    }
    builtin::prepare_create(kind, value);
    // A status that the schema gives a default is there from the start.
    if let Some((_, version)) = kind.custom() {
        version.schema.apply_defaults(value);
    }
}

/// Makes a name from `generateName` when there is none; whether it did.
fn name_it(value: &mut Value) -> bool {
    let text = |value: &Value, field: &str| {
        value["metadata"][field].as_str().unwrap_or_default().to_owned()
    };
    if !text(value, "name").is_empty() {
        return false;
    }
    if text(value, "generateName").is_empty() {
        // Validation tells it, with all else.
        return false;
    }
    generate(value);
    true
}

fn generate(value: &mut Value) {
    let base = value["metadata"]["generateName"].as_str().unwrap_or_default();
    let random = uuid::Uuid::new_v4().as_u64_pair();
    value["metadata"]["name"] =
        meta::generate_name(base, random.0 ^ random.1.rotate_left(32)).into();
}

/// Refuses objects in a namespace that does not exist or is on its way out.
pub(crate) fn check_namespace(
    api: &Api,
    kind: &Kind,
    namespace: &str,
    value: &Value,
) -> Answer<()> {
    if !kind.namespaced {
        return Ok(());
    }
    let key = Key::new(&Resource::new("", "namespaces"), "", namespace);
    let Some(found) = api.world.get(&key) else {
        return Err(ApiError::absent("", "namespaces", namespace));
    };
    if !found.deleting() {
        return Ok(());
    }
    let name = value["metadata"]["name"].as_str().unwrap_or_default();
    let why = format!(
        "unable to create new content in namespace {namespace} because it is being terminated"
    );
    let mut error = ApiError::forbidden(kind, name, why);
    let cause = serde_json::json!([{
        "reason": "NamespaceTerminating",
        "message": format!("namespace {namespace} is being terminated"),
        "field": "metadata.namespace",
    }]);
    error.details.insert("causes".to_owned(), cause);
    Err(error)
}

const GENERATED_TRIES: usize = 8;
