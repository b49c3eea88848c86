//! What objects name: values in ConfigMaps and Secrets.

use std::collections::BTreeMap;

use crds::{ValueSource, reasons};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::Api;

use crate::conditions::Health;
use crate::context::Context;
use crate::error::{Error, Tried};

/// All values of a Secret, by key; `None` if there is no such Secret.
pub(crate) async fn secret(
    name: &str,
    namespace: &str,
    ctx: &Context,
) -> Result<Option<BTreeMap<String, Vec<u8>>>, Error> {
    let secrets: Api<Secret> = Api::namespaced(ctx.client.clone(), namespace);
    let secret = secrets.get_opt(name).await;
    let secret = secret.tried(|| format!("read Secret {namespace}/{name}"))?;
    let values = |secret: Secret| secret.data.unwrap_or_default().into_iter();
    Ok(secret.map(|secret| values(secret).map(|(key, value)| (key, value.0)).collect()))
}

/// The value of a ConfigMap's or Secret's key that `field` names, or the condition that tells which is missing.
pub(crate) async fn value(
    source: &ValueSource,
    field: &str,
    namespace: &str,
    ctx: &Context,
) -> Result<Result<Vec<u8>, Health>, Error> {
    let (kind, key_ref, value) = if let Some(key_ref) = &source.config_map_key_ref {
        let maps: Api<ConfigMap> = Api::namespaced(ctx.client.clone(), namespace);
        let map = maps.get_opt(&key_ref.name).await;
        let map = map.tried(|| format!("read ConfigMap {namespace}/{}", key_ref.name))?;
        let value = map.map(|map| {
            let text = map.data.unwrap_or_default().remove(&key_ref.key).map(String::into_bytes);
            text.or_else(|| map.binary_data.unwrap_or_default().remove(&key_ref.key).map(|b| b.0))
        });
        ("ConfigMap", key_ref, value)
    } else if let Some(key_ref) = &source.secret_key_ref {
        let values = secret(&key_ref.name, namespace, ctx).await?;
        ("Secret", key_ref, values.map(|mut values| values.remove(&key_ref.key)))
    } else {
        let message = format!("{field} names neither configMapKeyRef nor secretKeyRef; name one");
        return Ok(Err(Health::stalled(reasons::INVALID_SPEC, message)));
    };
    let missing = |what: String| Err(Health::stalled(reasons::REFERENCE_NOT_FOUND, what));
    Ok(match value {
        None => missing(format!(
            "{kind} {namespace}/{} does not exist; create it, with the key {}",
            key_ref.name, key_ref.key
        )),
        Some(None) => missing(format!(
            "{kind} {namespace}/{} has no key {}; add it, or name another in {field}",
            key_ref.name, key_ref.key
        )),
        Some(Some(value)) => Ok(value),
    })
}
