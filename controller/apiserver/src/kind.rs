//! A kind of objects, in one version, as it is served.
//!
//! Lives here: names, scope, verbs and where the objects are kept. Must not: handle requests. The
//! rules for one object are in `objects` for custom kinds and in `builtin` for the others.

use std::sync::Arc;

use objects::crd::{Crd, Version};

use crate::builtin::Builtin;
use crate::store::{Key, Resource};

/// One kind in one version.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) namespaced: bool,
    pub(crate) verbs: &'static [&'static str],
    pub(crate) subresources: Vec<Subresource>,
    /// Where the objects are kept; several kinds may share it.
    pub(crate) storage: Resource,
    /// The apiVersion that objects are kept in.
    pub(crate) storage_version: String,
    /// What a client is told that uses this version.
    pub(crate) deprecation: Option<String>,
    pub(crate) rules: Rules,
}

/// A part of an object with its own path.
#[derive(Clone, Debug)]
pub(crate) struct Subresource {
    pub(crate) name: &'static str,
    pub(crate) kind: String,
    /// Group and version of the kind, when they differ from the resource's.
    pub(crate) of: Option<(&'static str, &'static str)>,
    pub(crate) verbs: &'static [&'static str],
}

/// Whose rules hold for the objects.
#[derive(Clone, Debug)]
pub(crate) enum Rules {
    Builtin(Builtin),
    /// A custom kind, and which of its versions.
    Custom(Arc<Crd>, usize),
}

impl Kind {
    /// `<group>/<version>`, or the version alone for the core group.
    pub(crate) fn api_version(&self) -> String {
        group_version(&self.group, &self.version)
    }

    /// The key of an object of this kind.
    pub(crate) fn key(&self, namespace: &str, name: &str) -> Key {
        Key::new(&self.storage, namespace, name)
    }

    pub(crate) fn has(&self, subresource: &str) -> bool {
        self.subresources.iter().any(|sub| sub.name == subresource)
    }

    pub(crate) fn builtin(&self) -> Option<Builtin> {
        match self.rules {
            Rules::Builtin(builtin) => Some(builtin),
            Rules::Custom(..) => None,
        }
    }

    /// The version of a custom kind.
    pub(crate) fn custom(&self) -> Option<(&Crd, &Version)> {
        match &self.rules {
            Rules::Builtin(_) => None,
            Rules::Custom(crd, index) => Some((crd, &crd.versions[*index])),
        }
    }
}

pub(crate) fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// Verbs of kinds that are stored.
pub(crate) const STORED: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
/// The same for custom kinds, in the order that discovery shows.
pub(crate) const CUSTOM: &[&str] =
    &["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];
/// Verbs of status and scale.
pub(crate) const PART: &[&str] = &["get", "patch", "update"];
