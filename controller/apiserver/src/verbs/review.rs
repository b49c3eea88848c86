//! Questions about rights and identity: answered and not kept.

use http::{Response, StatusCode};
use objects::field::{FieldError, Path};
use serde_json::{Value, json};

use crate::api::{Api, Asked};
use crate::auth::{User, Wish, decide, each_rule};
use crate::builtin::Builtin;
use crate::reply::Body;
use crate::status::{Answer, ApiError};
use crate::verbs::present;

/// Answers the question in `value`.
pub(crate) fn answer(api: &Api, asked: &Asked, mut value: Value) -> Answer<Response<Body>> {
    check(asked, &value)?;
    let spec = &value["spec"];
    let status = match asked.kind.builtin() {
        Some(Builtin::SelfSubject) => json!({"userInfo": {
            "username": asked.user.name,
            "groups": asked.user.groups,
        }}),
        Some(Builtin::SelfSubjectRules) => {
            rules(api, &asked.user, spec["namespace"].as_str().unwrap_or_default())
        }
        // No tokens are given out, so none is valid.
        Some(Builtin::TokenReview) => json!({"user": {}}),
        Some(Builtin::SelfSubjectAccess) => access(api, &asked.user, spec)?,
        _ => {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let groups = spec["groups"].as_array().into_iter().flatten().map(text).collect();
            let user = User { name: text(&spec["user"]), groups };
            access(api, &user, spec)?
        }
    };
    value["status"] = status;
    if asked.kind.namespaced {
        value["metadata"]["namespace"] = asked.namespace.clone().into();
    }
    if let Some(metadata) = value["metadata"].as_object_mut() {
        metadata.retain(|name, _| name != "managedFields" && name != "resourceVersion");
    }
    Ok(present::one(asked, StatusCode::CREATED, value))
}

/// Refuses questions that leave out what they are about.
fn check(asked: &Asked, value: &Value) -> Answer<()> {
    let spec = &value["spec"];
    let text = |value: &'_ Value| value.as_str().unwrap_or_default().to_owned();
    let kind = asked.kind.builtin();
    match kind {
        Some(Builtin::TokenReview) if text(&spec["token"]).is_empty() => {
            return Err(ApiError::bad_request(
                "token is required for TokenReview in authentication",
            ));
        }
        Some(Builtin::SelfSubjectRules) if text(&spec["namespace"]).is_empty() => {
            return Err(ApiError::bad_request("no namespace on request"));
        }
        Some(Builtin::SelfSubjectAccess | Builtin::SubjectAccess | Builtin::LocalSubjectAccess) => {
        }
        _ => return Ok(()),
    }
    let root = Path::Root;
    let at = root.child("spec");
    let mut errors = Vec::new();
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    if resource.is_object() && path.is_object() {
        let why = "cannot be specified in combination with resourceAttributes";
        let shown = json!({"Path": text(&path["path"]), "Verb": text(&path["verb"])});
        errors.push(FieldError::invalid(&at.child("nonResourceAttributes"), &shown, why));
    }
    if !resource.is_object() && !path.is_object() {
        let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        errors.push(FieldError::invalid(&at.child("resourceAttributes"), &Value::Null, why));
    }
    let somebody = kind == Some(Builtin::SelfSubjectAccess)
        || !text(&spec["user"]).is_empty()
        || spec["groups"].as_array().is_some_and(|groups| !groups.is_empty());
    if !somebody {
        let why = "at least one of user or group must be specified";
        errors.push(FieldError::invalid(&at.child("user"), &"".into(), why));
    }
    if kind == Some(Builtin::LocalSubjectAccess) && text(&resource["namespace"]) != asked.namespace
    {
        let resource_at = at.child("resourceAttributes");
        let shown = resource["namespace"].as_str().unwrap_or_default().into();
        let why = "must match metadata.namespace";
        errors.push(FieldError::invalid(&resource_at.child("namespace"), &shown, why));
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(ApiError::invalid_review(&asked.kind.group, &errors))
    }
}

fn access(api: &Api, user: &User, spec: &Value) -> Answer<Value> {
    let text = |value: &'_ Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let reason = match (resource.is_object(), path.is_object()) {
        (true, false) => {
            let mut name = text(resource, "resource");
            let sub = text(resource, "subresource");
            if !sub.is_empty() {
                name = format!("{name}/{sub}");
            }
            decide(
                &api.world,
                user,
                Wish::Resource {
                    verb: &text(resource, "verb"),
                    group: &text(resource, "group"),
                    resource: &name,
                    namespace: &text(resource, "namespace"),
                    name: &text(resource, "name"),
                },
            )
        }
        (false, true) => {
            let wish = Wish::Path { verb: &text(path, "verb"), path: &text(path, "path") };
            decide(&api.world, user, wish)
        }
        // `check` has refused what is neither or both.
        _ => None,
    };
    Ok(match reason {
        None => json!({"allowed": false}),
        Some(reason) if reason.is_empty() => json!({"allowed": true}),
        Some(reason) => json!({"allowed": true, "reason": reason}),
    })
}

fn rules(api: &Api, user: &User, namespace: &str) -> Value {
    let mut resources = Vec::new();
    let mut paths = Vec::new();
    if decide(&api.world, user, Wish::Path { verb: "*", path: "*" }).is_some() {
        resources.push(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
        paths.push(json!({"verbs": ["*"], "nonResourceURLs": ["*"]}));
    }
    resources.push(json!({
        "verbs": ["create"],
        "apiGroups": ["authorization.k8s.io"],
        "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
    }));
    paths.push(json!({
        "verbs": ["get"],
        "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version", "/version/"],
    }));
    each_rule(&api.world, user, namespace, |rule, _| {
        if rule["nonResourceURLs"].is_array() {
            paths.push(rule.clone());
        } else {
            resources.push(rule.clone());
        }
    });
    json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false})
}
