//! Paths that are about no resource: health, version, discovery, documents.

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, HeaderValue, IF_NONE_MATCH, VARY};
use http::{Method, Request, Response, StatusCode};
use objects::openapi::v2;
use serde_json::{Value, json};

use crate::api::Api;
use crate::media::{self, Form, Offers, Shape};
use crate::reply::{self, Body, Warnings, Writing};
use crate::status::{Answer, ApiError};
use crate::verbs::discovery;

/// Answers a request to a path of these parts.
pub(crate) fn answer<B>(api: &Api, parts: &[&str], request: &Request<B>) -> Answer<Response<Body>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(ApiError::no_such_method());
    }
    match parts {
        [which @ ("healthz" | "livez" | "readyz"), rest @ ..] => health(api, which, rest, request),
        ["version"] => plain_value(request, &version()),
        ["openapi", "v3"] => plain_value(request, &discovery::openapi_index(&catalog(api))),
        ["openapi", "v2"] => openapi_v2(api, request),
        ["openapi", "v3", "api", version] => openapi(api, "", version, request),
        ["openapi", "v3", "apis", group, version] => openapi(api, group, version, request),
        [] => plain_value(request, &discovery::root(&catalog(api))),
        ["api"] => groups(api, request, true),
        ["apis"] => groups(api, request, false),
        ["apis", group] => {
            let found =
                discovery::group(&catalog(api), group).ok_or_else(ApiError::no_such_path)?;
            plain_value(request, &found)
        }
        ["api", version] => resources(api, "", version, request),
        ["apis", group, version] => resources(api, group, version, request),
        _ => Err(ApiError::no_such_path()),
    }
}

fn catalog(api: &Api) -> std::sync::Arc<crate::catalog::Catalog> {
    api.catalogs.now(&api.world)
}

fn plain_value<B>(request: &Request<B>, value: &Value) -> Answer<Response<Body>> {
    let form = media::accept(request.headers(), Offers::Plain).unwrap_or_default();
    Ok(reply::value(StatusCode::OK, value, writing(request, form), &Warnings::default()))
}

fn writing<B>(request: &Request<B>, form: Form) -> Writing {
    let asked = request.uri().query().unwrap_or_default();
    let asked = asked.split('&').any(|p| matches!(p, "pretty" | "pretty=true" | "pretty=1"));
    let pretty = media::for_people(request.headers(), asked.then_some(true));
    Writing { syntax: form.syntax, pretty }
}

fn resources<B>(
    api: &Api,
    group: &str,
    version: &str,
    request: &Request<B>,
) -> Answer<Response<Body>> {
    let catalog = catalog(api);
    let found = catalog.group_version(group, version).ok_or_else(|| match group {
        "" => ApiError::no_such_resource(),
        _ => ApiError::no_such_path(),
    })?;
    plain_value(request, &discovery::resources(found))
}

/// `/api` or `/apis`, aggregated when the client asks for that.
fn groups<B>(api: &Api, request: &Request<B>, core: bool) -> Answer<Response<Body>> {
    let catalog = catalog(api);
    let form = media::accept(request.headers(), Offers::Discovery)?;
    let Shape::Discovery(version) = form.shape else {
        let value = if core { discovery::core_versions() } else { discovery::groups(&catalog) };
        return plain_value(request, &value);
    };
    if etag_matches(request, &catalog.hash) {
        return Ok(reply::not_modified(&catalog.hash));
    }
    let value = discovery::aggregated(&catalog, core, version);
    let kind =
        format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
    let bytes = reply::json(&value, writing(request, form).pretty);
    let mut response = reply::bytes_of(StatusCode::OK, &kind, bytes.into());
    reply::set_etag(&mut response, &catalog.hash);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public"));
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

fn openapi<B>(
    api: &Api,
    group: &str,
    version: &str,
    request: &Request<B>,
) -> Answer<Response<Body>> {
    let catalog = catalog(api);
    let found = catalog.group_version(group, version).ok_or_else(ApiError::no_such_path)?;
    if etag_matches(request, &found.hash) {
        return Ok(reply::not_modified(&found.hash));
    }
    let document = found.openapi.get_or_init(|| Bytes::from(discovery::openapi_document(found)));
    let mut response = reply::bytes_of(StatusCode::OK, "application/json", document.clone());
    reply::set_etag(&mut response, &found.hash);
    // Only an address that names the document's hash may be kept for ever.
    let query = request.uri().query().unwrap_or_default();
    let hashed = query.split('&').any(|p| p.strip_prefix("hash=") == Some(&found.hash));
    let cache = if hashed { "public, immutable" } else { "no-cache, private" };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    Ok(response)
}

/// Only the binary form is asked for: what reads JSON reads v3.
fn openapi_v2<B>(api: &Api, request: &Request<B>) -> Answer<Response<Body>> {
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
    if !accept.is_some_and(|accept| accept.contains("openapi.spec.v2")) {
        return Err(ApiError::not_acceptable(v2::MEDIA_TYPE));
    }
    let bytes = discovery::openapi_v2(&catalog(api));
    Ok(reply::bytes_of(StatusCode::OK, v2::MEDIA_TYPE, bytes.into()))
}

fn etag_matches<B>(request: &Request<B>, etag: &str) -> bool {
    let held = request.headers().get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    held.is_some_and(|held| held.split(',').any(|one| one.trim().trim_matches('"') == etag))
}

/// `/livez` is about this process; `/readyz` and `/healthz` also about its store.
fn health<B>(
    api: &Api,
    which: &str,
    rest: &[&str],
    request: &Request<B>,
) -> Answer<Response<Body>> {
    let store_ok = !api.world.ended();
    let checks: &[(&str, bool)] = match which {
        "livez" => &[("ping", true)],
        _ => &[("ping", true), ("store", store_ok)],
    };
    let query = request.uri().query().unwrap_or_default();
    let excluded = |name: &str| query.split('&').any(|p| p.strip_prefix("exclude=") == Some(name));
    let wanted: Vec<&(&str, bool)> = match rest {
        [] => checks.iter().filter(|(name, _)| !excluded(name)).collect(),
        [one] => {
            let one = checks.iter().find(|(name, _)| name == one);
            vec![one.ok_or_else(ApiError::no_such_path)?]
        }
        _ => return Err(ApiError::no_such_path()),
    };
    let healthy = wanted.iter().all(|(_, ok)| *ok);
    let verbose = query.split('&').any(|p| p == "verbose" || p.starts_with("verbose="));
    if healthy && !verbose {
        return Ok(reply::text(StatusCode::OK, "ok"));
    }
    let mut text = String::new();
    for (name, ok) in wanted {
        text.push_str(&match ok {
            true => format!("[+]{name} ok\n"),
            false => format!("[-]{name} failed: reason withheld\n"),
        });
    }
    text.push_str(&format!("{which} check {}\n", if healthy { "passed" } else { "failed" }));
    let code = if healthy { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    Ok(reply::text(code, text))
}

fn version() -> Value {
    json!({
        "major": "1",
        "minor": "34",
        "emulationMajor": "1",
        "emulationMinor": "34",
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "33",
        "gitVersion": concat!("v1.34.0+troupe.", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": concat!("linux/", "amd64"),
    })
}
