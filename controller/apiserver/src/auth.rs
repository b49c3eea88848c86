//! Who asks, and whether they may: users, roles and their bindings.
//!
//! Lives here: the identity of a request and the evaluation of role-based access rules as stored.
//! Must not: read requests or certificates. Start at [`decide`].

use serde_json::Value;

use crate::store::Resource;
use crate::world::World;

/// Who makes a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) groups: Vec<String>,
}

impl User {
    /// A user that proved who they are.
    pub(crate) fn authenticated(name: String, mut groups: Vec<String>) -> Self {
        if !groups.iter().any(|group| group == AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        Self { name, groups }
    }

    /// Somebody.
    pub(crate) fn anonymous() -> Self {
        Self { name: ANONYMOUS.to_owned(), groups: vec!["system:unauthenticated".to_owned()] }
    }

    fn in_group(&self, name: &str) -> bool {
        self.groups.iter().any(|group| group == name)
    }
}

/// What somebody wants to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wish<'a> {
    /// Something with a path that is about no resource.
    Path { verb: &'a str, path: &'a str },
    /// Something with objects.
    Resource {
        verb: &'a str,
        group: &'a str,
        /// Plural, with the subresource after a slash: `things/status`.
        resource: &'a str,
        /// Empty for cluster scope or all namespaces.
        namespace: &'a str,
        /// Empty when no single object is meant.
        name: &'a str,
    },
}

/// Whether `user` may do what they wish; on yes, why.
pub(crate) fn decide(world: &World, user: &User, wish: Wish<'_>) -> Option<String> {
    if user.in_group("system:masters") {
        return Some(String::new());
    }
    if let Wish::Path { verb: "get" | "head", path } = wish {
        let open = path == "/version"
            || path == "/version/"
            || ["/healthz", "/livez", "/readyz"].iter().any(|known| path.starts_with(known));
        let known = path == "/api"
            || path == "/apis"
            || ["/api/", "/apis/", "/openapi"].iter().any(|known| path.starts_with(known));
        if open || (known && user.in_group(AUTHENTICATED)) {
            return Some(String::new());
        }
    }
    if let Wish::Resource { verb: "create", group, resource, .. } = wish
        && user.in_group(AUTHENTICATED)
        && matches!(
            (group, resource),
            ("authorization.k8s.io", "selfsubjectaccessreviews" | "selfsubjectrulesreviews")
                | ("authentication.k8s.io", "selfsubjectreviews")
        )
    {
        return Some(String::new());
    }
    let mut why = None;
    each_rule(world, user, namespace_of(wish), |rule, binding| {
        if why.is_none() && covers(rule, wish) {
            why = Some(format!("RBAC: allowed by {binding}"));
        }
    });
    why
}

fn namespace_of<'a>(wish: Wish<'a>) -> &'a str {
    match wish {
        Wish::Path { .. } => "",
        Wish::Resource { namespace, .. } => namespace,
    }
}

/// Calls `with` for each rule that holds for `user` in `namespace` (and everywhere).
pub(crate) fn each_rule(
    world: &World,
    user: &User,
    namespace: &str,
    mut with: impl FnMut(&Value, &str),
) {
    let mut bindings = world.all(&rbac("clusterrolebindings"), None).1;
    if !namespace.is_empty() {
        bindings.extend(world.all(&rbac("rolebindings"), Some(namespace)).1);
    }
    for binding in bindings {
        let subjects = binding.value["subjects"].as_array();
        if !subjects.into_iter().flatten().any(|s| is_subject(user, s, &binding.key.namespace)) {
            continue;
        }
        let role = &binding.value["roleRef"];
        let name = role["name"].as_str().unwrap_or_default();
        let key = match role["kind"].as_str() {
            Some("Role") => crate::store::Key::new(&rbac("roles"), &binding.key.namespace, name),
            _ => crate::store::Key::new(&rbac("clusterroles"), "", name),
        };
        let Some(role) = world.get(&key) else { continue };
        for rule in role.value["rules"].as_array().into_iter().flatten() {
            with(rule, &format!("{} {:?}", binding.key.resource.plural, &*binding.key.name));
        }
    }
}

fn rbac(plural: &str) -> Resource {
    Resource::new("rbac.authorization.k8s.io", plural)
}

fn is_subject(user: &User, subject: &Value, binding_namespace: &str) -> bool {
    let name = subject["name"].as_str().unwrap_or_default();
    match subject["kind"].as_str() {
        Some("User") => user.name == name,
        Some("Group") => user.in_group(name),
        Some("ServiceAccount") => {
            let namespace = subject["namespace"].as_str().unwrap_or(binding_namespace);
            user.name == format!("system:serviceaccount:{namespace}:{name}")
        }
        _ => false,
    }
}

fn covers(rule: &Value, wish: Wish<'_>) -> bool {
    let has = |field: &str, wanted: &str| {
        let list = rule[field].as_array();
        list.into_iter().flatten().filter_map(Value::as_str).any(|s| s == "*" || s == wanted)
    };
    match wish {
        Wish::Path { verb, path } => {
            let urls = rule["nonResourceURLs"].as_array();
            has("verbs", verb)
                && urls.into_iter().flatten().filter_map(Value::as_str).any(|url| {
                    url.strip_suffix('*').map_or(url == path, |prefix| path.starts_with(prefix))
                })
        }
        Wish::Resource { verb, group, resource, name, .. } => {
            let subresource = resource.split_once('/').map(|(_, sub)| format!("*/{sub}"));
            let names = rule["resourceNames"].as_array().filter(|names| !names.is_empty());
            has("verbs", verb)
                && has("apiGroups", group)
                && (has("resources", resource)
                    || subresource.is_some_and(|any| has("resources", &any)))
                && names.is_none_or(|names| names.iter().any(|n| n.as_str() == Some(name)))
        }
    }
}

pub(crate) const ANONYMOUS: &str = "system:anonymous";
const AUTHENTICATED: &str = "system:authenticated";
