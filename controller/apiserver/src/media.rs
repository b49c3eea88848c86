//! Content negotiation: what form an answer takes, and what a body is written in.

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};

use crate::status::{Answer, ApiError};

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Syntax {
    #[default]
    Json,
    Yaml,
}

/// What an answer about objects shows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Shape {
    #[default]
    Object,
    /// A table, with the version of its group (`v1`, `v1beta1`).
    Table(&'static str),
    /// Only metadata.
    Partial(&'static str),
    PartialList(&'static str),
    /// Aggregated discovery.
    Discovery(&'static str),
}

/// The chosen form of an answer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Form {
    pub(crate) syntax: Syntax,
    pub(crate) shape: Shape,
}

/// Which shapes an endpoint can give beside plain objects.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Offers {
    Objects,
    Discovery,
    Plain,
}

/// The clause of `Accept` that weighs most, and among equals comes first, of those that can be satisfied.
pub(crate) fn accept(headers: &HeaderMap, offers: Offers) -> Answer<Form> {
    let mut any = false;
    let mut best: Option<(f32, Form)> = None;
    for header in headers.get_all(ACCEPT) {
        let Ok(header) = header.to_str() else { continue };
        for clause in header.split(',').map(str::trim).filter(|clause| !clause.is_empty()) {
            any = true;
            let weight = weight(clause);
            if best.is_none_or(|(most, _)| weight > most)
                && let Some(form) = satisfy(clause, offers)
            {
                best = Some((weight, form));
            }
        }
    }
    match best {
        Some((_, form)) => Ok(form),
        None if any => Err(ApiError::not_acceptable("application/json, application/yaml")),
        None => Ok(Form::default()),
    }
}

/// `q` of a clause; 1 when it is not said or cannot be read.
fn weight(clause: &str) -> f32 {
    let q = clause.split(';').filter_map(|part| part.trim().strip_prefix("q=")).next();
    q.and_then(|q| q.parse().ok()).unwrap_or(1.0)
}

fn satisfy(clause: &str, offers: Offers) -> Option<Form> {
    let mut parts = clause.split(';').map(str::trim);
    let syntax = match parts.next()?.to_ascii_lowercase().as_str() {
        "application/json" | "*/*" | "application/*" => Syntax::Json,
        "application/yaml" => Syntax::Yaml,
        _ => return None,
    };
    let (mut wanted, mut version, mut group) = ("", "", "");
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        match name.trim() {
            "as" => wanted = value.trim(),
            "v" => version = value.trim(),
            "g" => group = value.trim(),
            _ => {}
        }
    }
    let meta = match version {
        "v1" => Some("v1"),
        "v1beta1" => Some("v1beta1"),
        _ => None,
    };
    let shape = match (wanted, group, offers) {
        ("", _, _) => Shape::Object,
        ("Table", "meta.k8s.io", Offers::Objects) => Shape::Table(meta?),
        ("PartialObjectMetadata", "meta.k8s.io", Offers::Objects) => Shape::Partial(meta?),
        ("PartialObjectMetadataList", "meta.k8s.io", Offers::Objects) => Shape::PartialList(meta?),
        ("APIGroupDiscoveryList", "apidiscovery.k8s.io", Offers::Discovery) if version == "v2" => {
            Shape::Discovery("v2")
        }
        _ => return None,
    };
    Some(Form { syntax, shape })
}

/// What a body is written in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum BodySyntax {
    Json,
    Yaml,
    Protobuf,
    JsonPatch,
    MergePatch,
    StrategicPatch,
    ApplyPatch,
    Other,
}

/// Reads `Content-Type`; a missing one means JSON, which is what clients that leave it out send.
pub(crate) fn body_syntax(headers: &HeaderMap) -> BodySyntax {
    let Some(text) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return BodySyntax::Json;
    };
    let kind = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        "" | "application/json" => BodySyntax::Json,
        "application/yaml" => BodySyntax::Yaml,
        "application/vnd.kubernetes.protobuf" => BodySyntax::Protobuf,
        "application/json-patch+json" => BodySyntax::JsonPatch,
        "application/merge-patch+json" => BodySyntax::MergePatch,
        "application/strategic-merge-patch+json" => BodySyntax::StrategicPatch,
        "application/apply-patch+yaml" => BodySyntax::ApplyPatch,
        _ => BodySyntax::Other,
    }
}

/// Whether a person reads the answer: tools for people get it indented.
pub(crate) fn for_people(headers: &HeaderMap, asked: Option<bool>) -> bool {
    asked.unwrap_or_else(|| {
        let agent =
            headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        ["curl", "Wget", "Mozilla/5.0"].iter().any(|name| agent.starts_with(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(accept_header: &str, offers: Offers) -> Option<Form> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept_header.parse().unwrap());
        accept(&headers, offers).ok()
    }

    #[test]
    fn the_first_satisfiable_clause_wins() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io, application/json";
        let shape = |accept: &str, offers| choose(accept, offers).map(|form| form.shape);
        assert_eq!(shape(table, Offers::Objects), Some(Shape::Table("v1")));
        assert_eq!(shape(table, Offers::Plain), Some(Shape::Object));
        let proto = "application/vnd.kubernetes.protobuf, application/json";
        assert_eq!(shape(proto, Offers::Objects), Some(Shape::Object));
        assert_eq!(shape("application/vnd.kubernetes.protobuf", Offers::Objects), None);
        assert_eq!(shape("application/json;as=Nonsense;g=meta.k8s.io;v=v1", Offers::Objects), None);
        let discovery = "application/json;g=apidiscovery.k8s.io;v=v2; as=APIGroupDiscoveryList";
        assert_eq!(shape(discovery, Offers::Discovery), Some(Shape::Discovery("v2")));
        let weighed = choose("application/yaml;q=0.1, application/json", Offers::Objects);
        assert_eq!(weighed.unwrap().syntax, Syntax::Json);
        let yaml = choose("application/yaml", Offers::Objects).unwrap();
        assert_eq!(yaml.syntax, Syntax::Yaml);
    }
}
