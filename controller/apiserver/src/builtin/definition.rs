//! Definitions of custom kinds: the status that tells whether a kind is served.

use jiff::Timestamp;
use objects::crd::{self, Crd};
use objects::field::FieldError;
use serde_json::Value;

use crate::catalog::Catalog;

/// The finalizer that lives until the objects of the kind are gone.
pub(crate) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Accepts the names, unless another definition has them, and tells so in the status.
///
/// The kind is served as soon as this is stored; nothing has to happen in between.
pub(crate) fn settle(catalog: &Catalog, value: &mut Value) {
    let clash = clash(catalog, value);
    crd::fill_status(value, clash.as_deref(), Timestamp::now());
}

/// All that is wrong with a definition.
pub(crate) fn validate(value: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Crd::parse(value).err().unwrap_or_default();
    if let Some(old) = old {
        errors.extend(crd::validate_update(value, old));
    }
    errors
}

/// The first name that another definition of the group has already.
fn clash(catalog: &Catalog, value: &Value) -> Option<String> {
    let spec = &value["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (group, plural) = (text(&spec["group"]), text(&spec["names"]["plural"]));
    let mut own: Vec<String> = vec![text(&spec["names"]["singular"])];
    own.extend(spec["names"]["shortNames"].as_array().into_iter().flatten().map(text));
    let kinds = [text(&spec["names"]["kind"]), text(&spec["names"]["listKind"])];
    let others = catalog.groups.iter().filter(|gv| gv.group == group).flat_map(|gv| &gv.kinds);
    for other in others.filter(|other| other.plural != plural) {
        let mut taken: Vec<&String> = vec![&other.plural, &other.singular];
        taken.extend(&other.short_names);
        if let Some(name) = own.iter().find(|name| taken.contains(name)) {
            return Some(format!("{name:?} is already in use"));
        }
        if let Some(kind) = kinds.iter().find(|k| **k == other.kind || **k == other.list_kind) {
            return Some(format!("{kind:?} is already in use"));
        }
    }
    None
}
