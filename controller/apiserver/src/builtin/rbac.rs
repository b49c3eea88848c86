//! Roles and their bindings: what may stand in them.
//!
//! Texts: `kubernetes/pkg/apis/rbac/validation`.

use objects::field::{FieldError, Path};
use objects::meta::NameRule;
use serde_json::{Value, json};

/// The group that roles, users and groups are of when nothing else is said.
const GROUP: &str = "rbac.authorization.k8s.io";

/// Fills in the group of subjects and of the role.
pub(super) fn default(kind: &str, value: &mut Value) {
    if !kind.ends_with("Binding") {
        return;
    }
    let fill = |of: &mut Value| {
        let empty = of["apiGroup"].as_str().unwrap_or_default().is_empty();
        if let Some(fields) = of.as_object_mut().filter(|_| empty) {
            fields.insert("apiGroup".to_owned(), GROUP.into());
        }
    };
    if value["roleRef"].is_null() {
        value["roleRef"] = json!({"kind": "", "name": ""});
    }
    fill(&mut value["roleRef"]);
    for subject in value["subjects"].as_array_mut().into_iter().flatten() {
        if matches!(subject["kind"].as_str(), Some("User" | "Group")) {
            fill(subject);
        }
    }
}

/// All that is wrong with a role or a binding.
pub(super) fn validate(kind: &str, value: &Value, old: Option<&Value>) -> Vec<FieldError> {
    match kind {
        "Role" => rules(value, true),
        "ClusterRole" => {
            let mut errors = rules(value, false);
            let aggregation = &value["aggregationRule"];
            let selectors = &aggregation["clusterRoleSelectors"];
            if aggregation.is_object() && selectors.as_array().is_none_or(Vec::is_empty) {
                let root = Path::Root.child("aggregationRule");
                errors.push(FieldError::required(
                    &root.child("clusterRoleSelectors"),
                    "at least one clusterRoleSelector required if aggregationRule is non-nil",
                ));
            }
            errors
        }
        "RoleBinding" => binding(value, old, &["Role", "ClusterRole"], true),
        _ => binding(value, old, &["ClusterRole"], false),
    }
}

fn rules(value: &Value, namespaced: bool) -> Vec<FieldError> {
    let root = Path::Root;
    let list = root.child("rules");
    let mut errors = Vec::new();
    for (index, rule) in value["rules"].as_array().into_iter().flatten().enumerate() {
        let at = list.index(index);
        let has = |field: &str| rule[field].as_array().is_some_and(|list| !list.is_empty());
        let mut need = |field: &str, why: &str| {
            if !has(field) {
                errors.push(FieldError::required(&at.child(field), why));
            }
        };
        need("verbs", "verbs must contain at least one value");
        if !has("nonResourceURLs") {
            need("apiGroups", "resource rules must supply at least one api group");
            need("resources", "resource rules must supply at least one resource");
            continue;
        }
        let path = at.child("nonResourceURLs");
        let urls = &rule["nonResourceURLs"];
        if namespaced {
            let why = "namespaced rules cannot apply to non-resource URLs";
            errors.push(FieldError::invalid(&path, urls, why));
        }
        if ["apiGroups", "resources", "resourceNames"].into_iter().any(has) {
            let why = "rules cannot apply to both regular resources and non-resource URLs";
            errors.push(FieldError::invalid(&path, urls, why));
        }
    }
    errors
}

fn binding(
    value: &Value,
    old: Option<&Value>,
    kinds: &[&'static str],
    namespaced: bool,
) -> Vec<FieldError> {
    let root = Path::Root;
    let role = root.child("roleRef");
    let given = &value["roleRef"];
    let mut errors = Vec::new();
    if given["apiGroup"] != GROUP {
        let path = role.child("apiGroup");
        errors.push(FieldError::not_supported(&path, &text(given, "apiGroup").into(), [GROUP]));
    }
    if !kinds.contains(&text(given, "kind")) {
        let path = role.child("kind");
        let kind = text(given, "kind").into();
        errors.push(FieldError::not_supported(&path, &kind, kinds.iter().copied()));
    }
    match text(given, "name") {
        "" => errors.push(FieldError::required(&role.child("name"), "")),
        name => {
            if let Some(why) = NameRule::PathSegment.error(name) {
                errors.push(FieldError::invalid(&role.child("name"), &name.into(), why));
            }
        }
    }
    let list = root.child("subjects");
    for (index, given) in value["subjects"].as_array().into_iter().flatten().enumerate() {
        subject(given, namespaced, &list.index(index), &mut errors);
    }
    if let Some(old) = old
        && old["roleRef"] != *given
    {
        let shown = json!({
            "APIGroup": text(given, "apiGroup"),
            "Kind": text(given, "kind"),
            "Name": text(given, "name"),
        });
        errors.push(FieldError::invalid(&role, &shown, "cannot change roleRef"));
    }
    errors
}

fn subject(given: &Value, namespaced: bool, at: &Path<'_>, errors: &mut Vec<FieldError>) {
    let name = text(given, "name");
    if name.is_empty() {
        errors.push(FieldError::required(&at.child("name"), ""));
    }
    let group = text(given, "apiGroup");
    let wanted = match text(given, "kind") {
        "ServiceAccount" => {
            if let Some(why) = NameRule::Subdomain.error(name).filter(|_| !name.is_empty()) {
                errors.push(FieldError::invalid(&at.child("name"), &name.into(), why));
            }
            if !namespaced && text(given, "namespace").is_empty() {
                errors.push(FieldError::required(&at.child("namespace"), ""));
            }
            ""
        }
        "User" | "Group" => GROUP,
        other => {
            let path = at.child("kind");
            let known = ["ServiceAccount", "User", "Group"];
            errors.push(FieldError::not_supported(&path, &other.into(), known));
            return;
        }
    };
    if group != wanted {
        let path = at.child("apiGroup");
        errors.push(FieldError::not_supported(&path, &group.into(), [wanted]));
    }
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: &str, mut value: Value, expected: &[&str]) {
        default(kind, &mut value);
        let errors: Vec<String> =
            validate(kind, &value, None).iter().map(ToString::to_string).collect();
        assert_eq!(errors, expected, "{value}");
    }

    #[test]
    fn rules_name_what_they_are_about() {
        check(
            "Role",
            json!({"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["x"]}]}),
            &[],
        );
        check(
            "Role",
            json!({"rules": [{"verbs": []}, {"verbs": ["get"], "nonResourceURLs": ["/x"]}]}),
            &[
                "rules[0].verbs: Required value: verbs must contain at least one value",
                "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
                "rules[0].resources: Required value: resource rules must supply at least one resource",
                r#"rules[1].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs"#,
            ],
        );
    }

    #[test]
    fn bindings_lead_to_a_role_and_from_subjects() {
        let role = json!({"kind": "ClusterRole", "name": "r"});
        check(
            "RoleBinding",
            json!({"roleRef": role, "subjects": [{"kind": "User", "name": "a"}]}),
            &[],
        );
        check(
            "ClusterRoleBinding",
            json!({"roleRef": {"kind": "Role"}, "subjects": [{"kind": "ServiceAccount", "name": "s"}]}),
            &[
                r#"roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole""#,
                "roleRef.name: Required value",
                "subjects[0].namespace: Required value",
            ],
        );
    }
}
