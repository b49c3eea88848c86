//! The kinds that exist without a definition.
//!
//! Lives here: the list of them, and (one file each) the rules that the general path does not have.
//! Must not: handle requests.

mod data;
pub(crate) mod definition;
pub(crate) mod event;
pub(crate) mod namespace;
mod rbac;
mod rules;
mod shape;

use crate::kind::{Kind, PART, Rules, STORED, Subresource};
use crate::store::Resource;

pub(crate) use rules::{complete, prepare_create, prepare_update, validate};
pub(crate) use shape::prune;

/// Which built-in kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Builtin {
    Namespace,
    ConfigMap,
    Secret,
    ServiceAccount,
    /// Events as the core group shows them, which is also how they are kept.
    Event,
    /// The same events as their own group shows them.
    NewEvent,
    Lease,
    Role,
    Definition,
    SubjectAccess,
    LocalSubjectAccess,
    SelfSubjectAccess,
    SelfSubjectRules,
    SelfSubject,
    TokenReview,
}

impl Builtin {
    /// Kinds that are asked and answered and never kept.
    pub(crate) fn is_review(self) -> bool {
        matches!(
            self,
            Self::SubjectAccess
                | Self::LocalSubjectAccess
                | Self::SelfSubjectAccess
                | Self::SelfSubjectRules
                | Self::SelfSubject
                | Self::TokenReview
        )
    }
}

/// All built-in kinds.
pub(crate) fn kinds() -> Vec<Kind> {
    ROWS.iter().map(kind).collect()
}

struct Row {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
    namespaced: bool,
    builtin: Builtin,
}

fn kind(row: &Row) -> Kind {
    let review = row.builtin.is_review();
    // Both shapes of events are one set of objects.
    let (group, version) = match row.builtin {
        Builtin::NewEvent => ("", "v1"),
        _ => (row.group, row.version),
    };
    let part = |name, verbs| Subresource { name, kind: row.kind.to_owned(), of: None, verbs };
    let subresources = match row.builtin {
        Builtin::Namespace => vec![part("finalize", &["update"]), part("status", PART)],
        Builtin::Definition => vec![part("status", PART)],
        _ => Vec::new(),
    };
    Kind {
        group: row.group.to_owned(),
        version: row.version.to_owned(),
        kind: row.kind.to_owned(),
        list_kind: format!("{}List", row.kind),
        plural: row.plural.to_owned(),
        singular: row.kind.to_lowercase(),
        short_names: row.short.iter().map(|s| (*s).to_owned()).collect(),
        categories: match row.builtin {
            Builtin::Definition => vec!["api-extensions".to_owned()],
            _ => Vec::new(),
        },
        namespaced: row.namespaced,
        verbs: match row.builtin {
            _ if review => &["create"],
            // Not all at once.
            Builtin::Namespace => &["create", "delete", "get", "list", "patch", "update", "watch"],
            _ => STORED,
        },
        subresources,
        storage: Resource::new(group, row.plural),
        storage_version: crate::kind::group_version(group, version),
        deprecation: None,
        rules: Rules::Builtin(row.builtin),
    }
}

const RBAC: &str = "rbac.authorization.k8s.io";
const AUTHZ: &str = "authorization.k8s.io";

macro_rules! row {
    ($group:expr, $kind:literal, $plural:literal, $short:expr, $namespaced:literal, $builtin:ident) => {
        Row {
            group: $group,
            version: "v1",
            kind: $kind,
            plural: $plural,
            short: &$short,
            namespaced: $namespaced,
            builtin: Builtin::$builtin,
        }
    };
}

const ROWS: &[Row] = &[
    row!("", "ConfigMap", "configmaps", ["cm"], true, ConfigMap),
    row!("", "Event", "events", ["ev"], true, Event),
    row!("", "Namespace", "namespaces", ["ns"], false, Namespace),
    row!("", "Secret", "secrets", [], true, Secret),
    row!("", "ServiceAccount", "serviceaccounts", ["sa"], true, ServiceAccount),
    row!("events.k8s.io", "Event", "events", ["ev"], true, NewEvent),
    row!(
        "authentication.k8s.io",
        "SelfSubjectReview",
        "selfsubjectreviews",
        [],
        false,
        SelfSubject
    ),
    row!("authentication.k8s.io", "TokenReview", "tokenreviews", [], false, TokenReview),
    row!(
        AUTHZ,
        "LocalSubjectAccessReview",
        "localsubjectaccessreviews",
        [],
        true,
        LocalSubjectAccess
    ),
    row!(
        AUTHZ,
        "SelfSubjectAccessReview",
        "selfsubjectaccessreviews",
        [],
        false,
        SelfSubjectAccess
    ),
    row!(AUTHZ, "SelfSubjectRulesReview", "selfsubjectrulesreviews", [], false, SelfSubjectRules),
    row!(AUTHZ, "SubjectAccessReview", "subjectaccessreviews", [], false, SubjectAccess),
    row!(RBAC, "ClusterRoleBinding", "clusterrolebindings", [], false, Role),
    row!(RBAC, "ClusterRole", "clusterroles", [], false, Role),
    row!(RBAC, "RoleBinding", "rolebindings", [], true, Role),
    row!(RBAC, "Role", "roles", [], true, Role),
    row!(
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        ["crd", "crds"],
        false,
        Definition
    ),
    row!("coordination.k8s.io", "Lease", "leases", [], true, Lease),
];
