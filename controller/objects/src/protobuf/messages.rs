//! The messages that are decoded: numbers, names and forms of their fields.
//!
//! Lives here: tables, nothing else. Start at [`of`]. Source: `generated.proto` of `k8s.io/api` and
//! `k8s.io/apimachinery`.

/// A field of a message.
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) name: &'static str,
    pub(super) form: Form,
}

/// What a field holds, and whether its zero value says anything.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// Text; empty is absent.
    Text,
    /// Text; empty is a value.
    OptionalText,
    /// Whole number; 0 is absent.
    Integer,
    /// Whole number; 0 is a value.
    OptionalInteger,
    /// True, false or absent.
    OptionalFlag,
    /// Seconds.
    Time,
    /// Microseconds.
    MicroTime,
    /// JSON in bytes.
    Json,
    Texts,
    TextMap,
    BytesMap,
    /// Text to list of texts.
    ListMap,
    Message(&'static [Field]),
    Messages(&'static [Field]),
}

/// The fields of the message of a kind, if it is one of those decoded.
pub(super) fn of(api_version: &str, kind: &str) -> Option<&'static [Field]> {
    // Options may come in any version that knows them.
    if kind == "DeleteOptions" {
        return Some(DELETE_OPTIONS);
    }
    KINDS.iter().find(|(v, k, _)| *v == api_version && *k == kind).map(|(_, _, fields)| *fields)
}

/// All versions and kinds that are decoded.
#[cfg(test)]
pub(super) fn known() -> impl Iterator<Item = (&'static str, &'static str)> {
    KINDS.iter().map(|(api_version, kind, _)| (*api_version, *kind))
}

const fn field(number: u32, name: &'static str, form: Form) -> Field {
    Field { number, name, form }
}

#[rustfmt::skip]
const KINDS: &[(&str, &str, &[Field])] = &[
    ("v1", "ConfigMap", CONFIG_MAP),
    ("v1", "Secret", SECRET),
    ("v1", "Namespace", NAMESPACE),
    ("v1", "ServiceAccount", SERVICE_ACCOUNT),
    ("v1", "Event", CORE_EVENT),
    ("events.k8s.io/v1", "Event", EVENT),
    ("coordination.k8s.io/v1", "Lease", LEASE),
    ("rbac.authorization.k8s.io/v1", "Role", ROLE),
    ("rbac.authorization.k8s.io/v1", "ClusterRole", CLUSTER_ROLE),
    ("rbac.authorization.k8s.io/v1", "RoleBinding", BINDING),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", BINDING),
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview", SELF_ACCESS),
    ("authorization.k8s.io/v1", "SubjectAccessReview", SELF_ACCESS),
    ("authorization.k8s.io/v1", "LocalSubjectAccessReview", SELF_ACCESS),
    ("authorization.k8s.io/v1", "SelfSubjectRulesReview", SELF_RULES),
    ("authentication.k8s.io/v1", "SelfSubjectReview", SELF_REVIEW),
    ("authentication.k8s.io/v1", "TokenReview", TOKEN_REVIEW),
];
#[rustfmt::skip]
const OBJECT_META: &[Field] = &[
    field(1, "name", Form::Text),
    field(2, "generateName", Form::Text),
    field(3, "namespace", Form::Text),
    field(5, "uid", Form::Text),
    field(6, "resourceVersion", Form::Text),
    field(7, "generation", Form::Integer),
    field(8, "creationTimestamp", Form::Time),
    field(9, "deletionTimestamp", Form::Time),
    field(10, "deletionGracePeriodSeconds", Form::OptionalInteger),
    field(11, "labels", Form::TextMap),
    field(12, "annotations", Form::TextMap),
    field(13, "ownerReferences", Form::Messages(OWNER_REFERENCE)),
    field(14, "finalizers", Form::Texts),
    field(17, "managedFields", Form::Messages(MANAGED_FIELDS)),
];
#[rustfmt::skip]
const OWNER_REFERENCE: &[Field] = &[
    field(1, "kind", Form::Text),
    field(3, "name", Form::Text),
    field(4, "uid", Form::Text),
    field(5, "apiVersion", Form::Text),
    field(6, "controller", Form::OptionalFlag),
    field(7, "blockOwnerDeletion", Form::OptionalFlag),
];
#[rustfmt::skip]
const MANAGED_FIELDS: &[Field] = &[
    field(1, "manager", Form::Text),
    field(2, "operation", Form::Text),
    field(3, "apiVersion", Form::Text),
    field(4, "time", Form::Time),
    field(6, "fieldsType", Form::Text),
    field(7, "fieldsV1", Form::Json),
    field(8, "subresource", Form::Text),
];
#[rustfmt::skip]
const DELETE_OPTIONS: &[Field] = &[
    field(1, "gracePeriodSeconds", Form::OptionalInteger),
    field(2, "preconditions", Form::Message(PRECONDITIONS)),
    field(3, "orphanDependents", Form::OptionalFlag),
    field(4, "propagationPolicy", Form::OptionalText),
    field(5, "dryRun", Form::Texts),
];
#[rustfmt::skip]
const PRECONDITIONS: &[Field] = &[
    field(1, "uid", Form::OptionalText),
    field(2, "resourceVersion", Form::OptionalText),
];
#[rustfmt::skip]
const CONFIG_MAP: &[Field] = &[
    field(1, "metadata", Form::Message(OBJECT_META)),
    field(2, "data", Form::TextMap),
    field(3, "binaryData", Form::BytesMap),
    field(4, "immutable", Form::OptionalFlag),
];
#[rustfmt::skip]
const SECRET: &[Field] = &[
    field(1, "metadata", Form::Message(OBJECT_META)),
    field(2, "data", Form::BytesMap),
    field(3, "type", Form::Text),
    field(4, "stringData", Form::TextMap),
    field(5, "immutable", Form::OptionalFlag),
];
#[rustfmt::skip]
const NAMESPACE: &[Field] = &[
    field(1, "metadata", Form::Message(OBJECT_META)),
    field(2, "spec", Form::Message(NAMESPACE_SPEC)),
    field(3, "status", Form::Message(NAMESPACE_STATUS)),
];
#[rustfmt::skip]
const NAMESPACE_SPEC: &[Field] = &[
    field(1, "finalizers", Form::Texts),
];
#[rustfmt::skip]
const NAMESPACE_STATUS: &[Field] = &[
    field(1, "phase", Form::Text),
    field(2, "conditions", Form::Messages(NAMESPACE_CONDITION)),
];
#[rustfmt::skip]
const NAMESPACE_CONDITION: &[Field] = &[
    field(1, "type", Form::Text),
    field(2, "status", Form::Text),
    field(4, "lastTransitionTime", Form::Time),
    field(5, "reason", Form::Text),
    field(6, "message", Form::Text),
];
#[rustfmt::skip]
const SERVICE_ACCOUNT: &[Field] = &[
    field(1, "metadata", Form::Message(OBJECT_META)),
    field(2, "secrets", Form::Messages(OBJECT_REFERENCE)),
    field(3, "imagePullSecrets", Form::Messages(LOCAL_REFERENCE)),
    field(4, "automountServiceAccountToken", Form::OptionalFlag),
];
#[rustfmt::skip]
const OBJECT_REFERENCE: &[Field] = &[
    field(1, "kind", Form::Text),
    field(2, "namespace", Form::Text),
    field(3, "name", Form::Text),
    field(4, "uid", Form::Text),
    field(5, "apiVersion", Form::Text),
    field(6, "resourceVersion", Form::Text),
    field(7, "fieldPath", Form::Text),
];
#[rustfmt::skip]
const LOCAL_REFERENCE: &[Field] = &[
    field(1, "name", Form::Text),
];
#[rustfmt::skip]
const CORE_EVENT: &[Field] = &[
    field(1, "metadata", Form::Message(OBJECT_META)),
    field(2, "involvedObject", Form::Message(OBJECT_REFERENCE)),
    field(3, "reason", Form::Text),
    field(4, "message", Form::Text),
    field(5, "source", Form::Message(EVENT_SOURCE)),
    field(6, "firstTimestamp", Form::Time),
    field(7, "lastTimestamp", Form::Time),
    field(8, "count", Form::Integer),
    field(9, "type", Form::Text),
    field(10, "eventTime", Form::MicroTime),
    field(11, "series", Form::Message(EVENT_SERIES)),
    field(12, "action", Form::Text),
    field(13, "related", Form::Message(OBJECT_REFERENCE)),
    field(14, "reportingComponent", Form::Text),
    field(15, "reportingInstance", Form::Text),
];
#[rustfmt::skip]
const EVENT_SOURCE: &[Field] = &[
    field(1, "component", Form::Text),
    field(2, "host", Form::Text),
];
#[rustfmt::skip]
const EVENT_SERIES: &[Field] = &[
    field(1, "count", Form::Integer),
    field(2, "lastObservedTime", Form::MicroTime),
];
#[rustfmt::skip]
const EVENT: &[Field] = &[
    field(1, "metadata", Form::Message(OBJECT_META)),
    field(2, "eventTime", Form::MicroTime),
    field(3, "series", Form::Message(EVENT_SERIES)),
    field(4, "reportingController", Form::Text),
    field(5, "reportingInstance", Form::Text),
    field(6, "action", Form::Text),
    field(7, "reason", Form::Text),
    field(8, "regarding", Form::Message(OBJECT_REFERENCE)),
    field(9, "related", Form::Message(OBJECT_REFERENCE)),
    field(10, "note", Form::Text),
    field(11, "type", Form::Text),
    field(12, "deprecatedSource", Form::Message(EVENT_SOURCE)),
    field(13, "deprecatedFirstTimestamp", Form::Time),
    field(14, "deprecatedLastTimestamp", Form::Time),
    field(15, "deprecatedCount", Form::Integer),
];
#[rustfmt::skip]
const LEASE: &[Field] = &[
    field(1, "metadata", Form::Message(OBJECT_META)),
    field(2, "spec", Form::Message(LEASE_SPEC)),
];
#[rustfmt::skip]
const LEASE_SPEC: &[Field] = &[
    field(1, "holderIdentity", Form::OptionalText),
    field(2, "leaseDurationSeconds", Form::OptionalInteger),
    field(3, "acquireTime", Form::MicroTime),
    field(4, "renewTime", Form::MicroTime),
    field(5, "leaseTransitions", Form::OptionalInteger),
    field(6, "strategy", Form::OptionalText),
    field(7, "preferredHolder", Form::OptionalText),
];
#[rustfmt::skip]
const ROLE: &[Field] = &[
    field(1, "metadata", Form::Message(OBJECT_META)),
    field(2, "rules", Form::Messages(POLICY_RULE)),
];
#[rustfmt::skip]
const CLUSTER_ROLE: &[Field] = &[
    field(1, "metadata", Form::Message(OBJECT_META)),
    field(2, "rules", Form::Messages(POLICY_RULE)),
    field(3, "aggregationRule", Form::Message(AGGREGATION_RULE)),
];
#[rustfmt::skip]
const BINDING: &[Field] = &[
    field(1, "metadata", Form::Message(OBJECT_META)),
    field(2, "subjects", Form::Messages(SUBJECT)),
    field(3, "roleRef", Form::Message(ROLE_REF)),
];
#[rustfmt::skip]
const POLICY_RULE: &[Field] = &[
    field(1, "verbs", Form::Texts),
    field(2, "apiGroups", Form::Texts),
    field(3, "resources", Form::Texts),
    field(4, "resourceNames", Form::Texts),
    field(5, "nonResourceURLs", Form::Texts),
];
#[rustfmt::skip]
const SUBJECT: &[Field] = &[
    field(1, "kind", Form::Text),
    field(2, "apiGroup", Form::Text),
    field(3, "name", Form::Text),
    field(4, "namespace", Form::Text),
];
#[rustfmt::skip]
const ROLE_REF: &[Field] = &[
    field(1, "apiGroup", Form::Text),
    field(2, "kind", Form::Text),
    field(3, "name", Form::Text),
];
#[rustfmt::skip]
const AGGREGATION_RULE: &[Field] = &[
    field(1, "clusterRoleSelectors", Form::Messages(LABEL_SELECTOR)),
];
#[rustfmt::skip]
const LABEL_SELECTOR: &[Field] = &[
    field(1, "matchLabels", Form::TextMap),
    field(2, "matchExpressions", Form::Messages(REQUIREMENT)),
];
#[rustfmt::skip]
const REQUIREMENT: &[Field] = &[
    field(1, "key", Form::Text),
    field(2, "operator", Form::Text),
    field(3, "values", Form::Texts),
];
#[rustfmt::skip]
const SELF_ACCESS: &[Field] = &[
    field(1, "metadata", Form::Message(OBJECT_META)),
    field(2, "spec", Form::Message(ACCESS_SPEC)),
];
#[rustfmt::skip]
const ACCESS_SPEC: &[Field] = &[
    field(1, "resourceAttributes", Form::Message(RESOURCE_ATTRIBUTES)),
    field(2, "nonResourceAttributes", Form::Message(PATH_ATTRIBUTES)),
    field(3, "user", Form::Text),
    field(4, "groups", Form::Texts),
    field(5, "extra", Form::ListMap),
    field(6, "uid", Form::Text),
];
#[rustfmt::skip]
const RESOURCE_ATTRIBUTES: &[Field] = &[
    field(1, "namespace", Form::Text),
    field(2, "verb", Form::Text),
    field(3, "group", Form::Text),
    field(4, "version", Form::Text),
    field(5, "resource", Form::Text),
    field(6, "subresource", Form::Text),
    field(7, "name", Form::Text),
    field(8, "fieldSelector", Form::Message(SELECTOR_ATTRIBUTES)),
    field(9, "labelSelector", Form::Message(SELECTOR_ATTRIBUTES)),
];
#[rustfmt::skip]
const SELECTOR_ATTRIBUTES: &[Field] = &[
    field(1, "rawSelector", Form::Text),
    field(2, "requirements", Form::Messages(REQUIREMENT)),
];
#[rustfmt::skip]
const PATH_ATTRIBUTES: &[Field] = &[
    field(1, "path", Form::Text),
    field(2, "verb", Form::Text),
];
#[rustfmt::skip]
const SELF_RULES: &[Field] = &[
    field(1, "metadata", Form::Message(OBJECT_META)),
    field(2, "spec", Form::Message(RULES_SPEC)),
];
#[rustfmt::skip]
const RULES_SPEC: &[Field] = &[
    field(1, "namespace", Form::Text),
];
#[rustfmt::skip]
const SELF_REVIEW: &[Field] = &[
    field(1, "metadata", Form::Message(OBJECT_META)),
];
#[rustfmt::skip]
const TOKEN_REVIEW: &[Field] = &[
    field(1, "metadata", Form::Message(OBJECT_META)),
    field(2, "spec", Form::Message(TOKEN_SPEC)),
];
#[rustfmt::skip]
const TOKEN_SPEC: &[Field] = &[
    field(1, "token", Form::Text),
    field(2, "audiences", Form::Texts),
];
