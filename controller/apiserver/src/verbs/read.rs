//! Get and list.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Response, StatusCode};
use objects::field::{FieldError, Path};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::api::{Api, Asked};
use crate::reply::Body;
use crate::status::{Answer, ApiError};
use crate::verbs::present;
use crate::verbs::scale;
use crate::verbs::select::Selection;
use crate::world::{Object, Page};

/// Answers with one object or a part of it.
pub(crate) async fn get(api: &Api, asked: Asked) -> Answer<Response<Body>> {
    present::check_shape(&asked, false)?;
    if let Some(why) = asked.params.refused_version() {
        return Err(ApiError::unreasoned(why));
    }
    wait_for(api, asked.params.resource_version).await?;
    let key = asked.kind.key(&asked.namespace, asked.name());
    let object = api.world.get(&key);
    let object = object.ok_or_else(|| ApiError::not_found(&asked.kind, asked.name()))?;
    let mut value = present::as_served(&asked.kind, &object);
    if asked.target.subresource.as_deref() == Some("scale") {
        value = scale::read(&asked.kind, &value)?;
    }
    Ok(present::one(&asked, StatusCode::OK, value))
}

/// Answers with all objects that are selected, or a page of them.
pub(crate) async fn list(api: &Api, asked: Asked) -> Answer<Response<Body>> {
    present::check_shape(&asked, true)?;
    let selection = Selection::of(&asked)?;
    let page = read_page(api, &asked).await?;
    let limit = asked.params.limit;
    let mut chosen = page.objects.iter().filter(|object| selection.matches(object));
    let shown: Vec<&Arc<Object>> = match limit {
        0 => chosen.by_ref().collect(),
        limit => chosen.by_ref().take(limit).collect(),
    };
    let mut metadata = Map::new();
    metadata.insert("resourceVersion".to_owned(), page.rv.to_string().into());
    if let (Some(_), Some(last)) = (chosen.next(), shown.last()) {
        metadata.insert("continue".to_owned(), Token::after(page.rv, last).encode().into());
        if selection.is_everything() {
            let rest = page.objects.len() - shown.len();
            metadata.insert("remainingItemCount".to_owned(), rest.into());
        }
    }
    let objects = shown.into_iter().map(|object| present::as_served(&asked.kind, object));
    Ok(present::list(&asked, metadata, objects))
}

async fn read_page(api: &Api, asked: &Asked) -> Answer<Page> {
    let params = &asked.params;
    let namespace = asked.kind.namespaced.then_some(asked.namespace.as_str());
    let namespace = namespace.filter(|namespace| !namespace.is_empty());
    check_match(asked)?;
    if let Some(why) = params.refused_version() {
        return Err(ApiError::bad_request(format!("invalid resource version: {why}")));
    }
    let storage = &asked.kind.storage;
    if params.continue_token.is_empty() {
        wait_for(api, params.resource_version).await?;
        let exact = params.resource_version_match.as_deref() == Some("Exact");
        let at = params.resource_version.filter(|_| exact);
        return api.world.page(storage, namespace, at, None).map_err(|_| {
            ApiError::expired("The resourceVersion for the provided list is too old.")
        });
    }
    let token = Token::decode(&params.continue_token)?;
    if params.resource_version.is_some_and(|rv| rv != 0) {
        return Err(ApiError::bad_request(
            "specifying resource version is not allowed when using continue",
        ));
    }
    let after = Some((token.namespace.as_str(), token.name.as_str()));
    let at = (token.rv > 0).then_some(token.rv);
    api.world.page(storage, namespace, at, after).map_err(|_| {
        let mut error = ApiError::expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
        );
        error.fresh_continue = Some(Token { rv: 0, ..token }.encode());
        error
    })
}

fn check_match(asked: &Asked) -> Answer<()> {
    let params = &asked.params;
    let root = Path::Root;
    if params.send_initial_events.is_some() {
        let path = root.child("sendInitialEvents");
        let error = FieldError::forbidden(&path, "sendInitialEvents is forbidden for list");
        return Err(ApiError::invalid_options("ListOptions", &[error]));
    }
    let Some(rule) = params.resource_version_match.as_deref() else { return Ok(()) };
    let path = root.child("resourceVersionMatch");
    let mut errors = Vec::new();
    let given = params.resource_version.is_some() || params.bad_version.is_some();
    if !given {
        let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
        errors.push(FieldError::forbidden(&path, why));
    }
    if !params.continue_token.is_empty() {
        let why = "resourceVersionMatch is forbidden when continue is provided";
        errors.push(FieldError::forbidden(&path, why));
    }
    if !matches!(rule, "Exact" | "NotOlderThan") {
        let known = ["Exact", "NotOlderThan", ""];
        errors.push(FieldError::not_supported(&path, &rule.into(), known));
    }
    if rule == "Exact" && params.resource_version == Some(0) {
        let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
        errors.push(FieldError::forbidden(&path, why));
    }
    if errors.is_empty() { Ok(()) } else { Err(ApiError::invalid_options("ListOptions", &errors)) }
}

/// Waits a little for a resourceVersion that has not been seen yet.
async fn wait_for(api: &Api, rv: Option<u64>) -> Answer<()> {
    match rv {
        None | Some(0) => Ok(()),
        Some(rv) => {
            let seen = api.world.at_least(rv, PATIENCE).await;
            seen.map_err(|current| ApiError::too_new(rv, current))
        }
    }
}

/// Where the next page goes on.
#[derive(Deserialize, Serialize)]
struct Token {
    #[serde(rename = "v")]
    version: String,
    /// The list's resourceVersion; 0 goes on with what there is now.
    rv: u64,
    #[serde(rename = "ns")]
    namespace: String,
    name: String,
}

impl Token {
    fn after(rv: u64, last: &Object) -> Self {
        let (namespace, name) = (last.key.namespace.to_string(), last.key.name.to_string());
        Self { version: TOKEN_VERSION.to_owned(), rv, namespace, name }
    }

    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn decode(text: &str) -> Answer<Self> {
        let bad = |what: &str| {
            ApiError::bad_request(format!(
                "invalid continue token: continue key is not valid: {what}"
            ))
        };
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| bad("it is no base64"))?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|_| bad("it is no JSON"))?;
        let token = Self::deserialize(value).map_err(|e| bad(&e.to_string()))?;
        if token.version == TOKEN_VERSION { Ok(token) } else { Err(bad("its version is unknown")) }
    }
}

const TOKEN_VERSION: &str = "meta.k8s.io/v1";
const PATIENCE: Duration = Duration::from_secs(3);
