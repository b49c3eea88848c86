//! All kinds that are served now: the built-in ones and those that are defined.
//!
//! Lives here: finding a kind, and the order that discovery shows. Must not: handle requests.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use bytes::Bytes;
use objects::crd::{Crd, Preference, preference};

use crate::builtin;
use crate::kind::{CUSTOM, Kind, PART, Rules, Subresource, group_version};
use crate::store::Resource;
use crate::world::{Object, World};

/// The kinds of one group and version.
pub(crate) struct GroupVersion {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kinds: Vec<Arc<Kind>>,
    /// Changes whenever the document does.
    pub(crate) hash: String,
    /// The OpenAPI document, once it was asked for.
    pub(crate) openapi: OnceLock<Bytes>,
}

/// All kinds at one moment.
pub(crate) struct Catalog {
    /// [`World::definitions`] it was made at.
    epoch: u64,
    /// In the order of discovery: the core group first, then by name; in a group the preferred
    /// version first.
    pub(crate) groups: Vec<GroupVersion>,
    by_path: HashMap<(String, String, String), Arc<Kind>>,
    customs: HashMap<String, (u64, Arc<Crd>)>,
    /// Changes whenever discovery does.
    pub(crate) hash: String,
}

/// The catalog, kept up to date with the definitions.
pub(crate) struct Catalogs(RwLock<Arc<Catalog>>);

impl Catalogs {
    pub(crate) fn new(world: &World) -> Self {
        Self(RwLock::new(Arc::new(Catalog::make(world, None))))
    }

    /// The catalog that holds for a request that starts now.
    pub(crate) fn now(&self, world: &World) -> Arc<Catalog> {
        let epoch = world.definitions();
        let known = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        if known.epoch >= epoch {
            return known;
        }
        let mut slot = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if slot.epoch < epoch {
            *slot = Arc::new(Catalog::make(world, Some(&slot)));
        }
        Arc::clone(&slot)
    }
}

impl Catalog {
    fn make(world: &World, before: Option<&Self>) -> Self {
        // Asked before the definitions are read: they may be newer than it, never older.
        let epoch = world.definitions();
        let (_, definitions) = world.all(&definitions(), None);
        let mut customs = HashMap::new();
        let mut kinds: Vec<Arc<Kind>> = builtin::kinds().into_iter().map(Arc::new).collect();
        for definition in definitions.iter().filter(|d| established(d)) {
            let name = definition.key.name.to_string();
            let rv = definition.revision.rv;
            let kept = before.and_then(|b| b.customs.get(&name)).filter(|(at, _)| *at == rv);
            let custom = match kept {
                Some((_, custom)) => Arc::clone(custom),
                None => match Crd::parse(&definition.value) {
                    Ok(custom) => Arc::new(custom),
                    Err(errors) => {
                        tracing::warn!(name, ?errors, "a stored definition cannot be served");
                        continue;
                    }
                },
            };
            kinds.extend(kinds_of(&custom).into_iter().map(Arc::new));
            customs.insert(name, (rv, custom));
        }
        Self::index(epoch, kinds, customs)
    }

    fn index(epoch: u64, kinds: Vec<Arc<Kind>>, customs: HashMap<String, (u64, Arc<Crd>)>) -> Self {
        let mut groups: BTreeMap<(String, Preference, String), Vec<Arc<Kind>>> = BTreeMap::new();
        let mut by_path = HashMap::new();
        for kind in kinds {
            let path = (kind.group.clone(), kind.version.clone(), kind.plural.clone());
            by_path.insert(path, Arc::clone(&kind));
            let place = (kind.group.clone(), preference(&kind.version), kind.version.clone());
            groups.entry(place).or_default().push(kind);
        }
        let groups: Vec<GroupVersion> = groups
            .into_iter()
            .map(|((group, _, version), mut kinds)| {
                kinds.sort_by(|a, b| a.plural.cmp(&b.plural));
                let hash = hash_of(&kinds, &customs);
                GroupVersion { group, version, kinds, hash, openapi: OnceLock::new() }
            })
            .collect();
        let all: Vec<&str> = groups.iter().map(|group| group.hash.as_str()).collect();
        let hash = digest(&all.join(" "));
        Self { epoch, groups, by_path, customs, hash }
    }

    /// The kind served at this path.
    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Kind>> {
        self.by_path.get(&(group.to_owned(), version.to_owned(), plural.to_owned())).cloned()
    }

    /// Whether anything of this group and version is served.
    pub(crate) fn group_version(&self, group: &str, version: &str) -> Option<&GroupVersion> {
        self.groups.iter().find(|gv| gv.group == group && gv.version == version)
    }

    /// A kind that objects of this resource can be shown as.
    pub(crate) fn of_storage(&self, storage: &Resource) -> Option<Arc<Kind>> {
        let all = self.groups.iter().flat_map(|group| &group.kinds);
        all.into_iter().find(|kind| kind.storage == *storage).cloned()
    }

    /// The kind with this apiVersion and kind, as references name it.
    pub(crate) fn by_reference(&self, api_version: &str, kind: &str) -> Option<Arc<Kind>> {
        let all = self.groups.iter().flat_map(|group| &group.kinds);
        all.into_iter().find(|k| k.kind == kind && k.api_version() == api_version).cloned()
    }
}

fn kinds_of(custom: &Arc<Crd>) -> Vec<Kind> {
    let storage = custom.storage().map_or("", |version| &version.name);
    let served = custom.versions.iter().enumerate().filter(|(_, version)| version.served);
    served
        .map(|(index, version)| {
            let mut subresources = Vec::new();
            if version.status {
                let kind = custom.kind.clone();
                subresources.push(Subresource { name: "status", kind, of: None, verbs: PART });
            }
            if version.scale.is_some() {
                let of = Some(("autoscaling", "v1"));
                let kind = "Scale".to_owned();
                subresources.push(Subresource { name: "scale", kind, of, verbs: PART });
            }
            Kind {
                group: custom.group.clone(),
                version: version.name.clone(),
                kind: custom.kind.clone(),
                list_kind: custom.list_kind.clone(),
                plural: custom.plural.clone(),
                singular: custom.singular.clone(),
                short_names: custom.short_names.clone(),
                categories: custom.categories.clone(),
                namespaced: custom.namespaced,
                verbs: CUSTOM,
                subresources,
                storage: Resource::new(&custom.group, &custom.plural),
                storage_version: group_version(&custom.group, storage),
                deprecation: version.deprecation.clone(),
                rules: Rules::Custom(Arc::clone(custom), index),
            }
        })
        .collect()
}

fn established(definition: &Object) -> bool {
    let conditions = definition.value["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|c| c["type"] == "Established" && c["status"] == "True")
}

fn hash_of(kinds: &[Arc<Kind>], customs: &HashMap<String, (u64, Arc<Crd>)>) -> String {
    let mut text = env!("CARGO_PKG_VERSION").to_owned();
    for kind in kinds {
        let name = format!("{}.{}", kind.plural, kind.group);
        let rv = customs.get(&name).map_or(0, |(rv, _)| *rv);
        text.push_str(&format!(" {name}/{}@{rv}", kind.version));
    }
    digest(&text)
}

fn digest(text: &str) -> String {
    use sha2::Digest;
    let hash = sha2::Sha256::digest(text.as_bytes());
    hash.iter().fold(String::new(), |text, byte| format!("{text}{byte:02X}"))
}

/// Where definitions are kept.
pub(crate) fn definitions() -> Resource {
    Resource::new("apiextensions.k8s.io", "customresourcedefinitions")
}
