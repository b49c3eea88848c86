//! A custom kind, ready to be served: what its definition says, compiled once.

use objects::field::FieldError;
use objects::table::Table;
use serde_json::Value;

/// A definition, compiled.
#[derive(Debug)]
pub(crate) struct Custom {
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) namespaced: bool,
    /// The version that objects are kept in.
    pub(crate) storage_version: String,
    pub(crate) versions: Vec<CustomVersion>,
}

/// One version of a custom kind.
#[derive(Debug)]
pub(crate) struct CustomVersion {
    pub(crate) name: String,
    pub(crate) served: bool,
    pub(crate) status: bool,
    pub(crate) scale: Option<ScalePaths>,
    pub(crate) deprecation: Option<String>,
    /// Fields, beside name and namespace, that selectors may use: `spec.mode`.
    pub(crate) selectable: Vec<String>,
    pub(crate) table: Table,
}

impl CustomVersion {
    /// Fills in what the schema gives when it is absent.
    pub(crate) fn default(&self, _value: &mut Value) {}

    /// Drops what the schema does not know; one text for each.
    pub(crate) fn prune(&self, _value: &mut Value) -> Vec<String> {
        Vec::new()
    }

    /// All that is wrong with an object, and what is only worth a warning.
    pub(crate) fn validate(
        &self,
        _value: &Value,
        _old: Option<&Value>,
        _status: bool,
    ) -> (Vec<FieldError>, Vec<String>) {
        (Vec::new(), Vec::new())
    }
}

/// Where a kind keeps what its Scale shows; JSON pointers.
#[derive(Clone, Debug)]
pub(crate) struct ScalePaths {
    pub(crate) spec: String,
    pub(crate) status: String,
    pub(crate) selector: Option<String>,
}

impl Custom {
    /// Compiles a stored definition.
    pub(crate) fn compile(definition: &Value) -> Result<Self, Vec<FieldError>> {
        let spec = &definition["spec"];
        let names = &spec["names"];
        let kind = text(&names["kind"]);
        let group = text(&spec["group"]);
        let versions = spec["versions"].as_array();
        let versions: Vec<_> =
            versions.into_iter().flatten().map(|v| version(v, &group, &kind)).collect();
        let storage = spec["versions"].as_array().into_iter().flatten();
        let storage = storage.filter(|v| v["storage"] == true).map(|v| text(&v["name"])).next();
        Ok(Self {
            list_kind: Some(text(&names["listKind"]))
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| format!("{kind}List")),
            singular: Some(text(&names["singular"]))
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| kind.to_lowercase()),
            plural: text(&names["plural"]),
            short_names: texts(&names["shortNames"]),
            categories: texts(&names["categories"]),
            namespaced: spec["scope"] == "Namespaced",
            storage_version: storage.unwrap_or_default(),
            group,
            kind,
            versions,
        })
    }
}

fn version(version: &Value, group: &str, kind: &str) -> CustomVersion {
    let name = text(&version["name"]);
    let scale = &version["subresources"]["scale"];
    let deprecation = (version["deprecated"] == true).then(|| {
        let told = text(&version["deprecationWarning"]);
        if told.is_empty() { format!("{group}/{name} {kind} is deprecated") } else { told }
    });
    CustomVersion {
        served: version["served"] == true,
        status: version["subresources"]["status"].is_object(),
        scale: scale.is_object().then(|| ScalePaths {
            spec: pointer(&scale["specReplicasPath"]),
            status: pointer(&scale["statusReplicasPath"]),
            selector: scale["labelSelectorPath"]
                .as_str()
                .map(|_| pointer(&scale["labelSelectorPath"])),
        }),
        deprecation,
        table: Table::custom(
            version["additionalPrinterColumns"].as_array().map_or(&[], Vec::as_slice),
        ),
        selectable: version["selectableFields"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|field| text(&field["jsonPath"]).trim_start_matches('.').to_owned())
            .collect(),
        name,
    }
}

/// `.spec.replicas` as a JSON pointer.
fn pointer(path: &Value) -> String {
    text(path).replace('.', "/")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}
