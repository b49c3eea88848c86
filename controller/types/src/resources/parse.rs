//! The text form of resources: `cpus:2;mem(eng):1024;ports:[31000-32000];disks:{a,b}`.

use std::fmt;

use super::value::{BadScalar, RangeSet, Scalar, Value};
use super::{BadRole, ResourceKey, Resources, Role};

/// Why a text is no list of resources. Each names the part at fault.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ParseResourcesError {
    /// A part has no `:` between name and value, or no name.
    NoValue(String),
    /// The role in parentheses is not closed or not a role.
    Role(String, Option<BadRole>),
    /// The value is neither a number nor `[a-b]` nor `{x,y}`.
    Value(String),
    /// The number cannot be an amount.
    Scalar(String, BadScalar),
    /// The same resource is given as two kinds.
    KindDiffers(String),
}

impl fmt::Display for ParseResourcesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoValue(part) => {
                write!(f, "resource {part:?}: write it as name:value, for example cpus:2")
            }
            Self::Role(part, None) => write!(f, "resource {part:?}: the role lacks its ')'"),
            Self::Role(part, Some(bad)) => write!(f, "resource {part:?}: {bad}"),
            Self::Value(part) => write!(
                f,
                "resource {part:?}: the value is a number, ranges such as [31000-32000] or a set such as {{a,b}}"
            ),
            Self::Scalar(part, bad) => write!(f, "resource {part:?}: {bad}"),
            Self::KindDiffers(part) => {
                write!(f, "resource {part:?}: given before as another kind of value")
            }
        }
    }
}

impl std::error::Error for ParseResourcesError {}

pub(super) fn parse(text: &str) -> Result<Resources, ParseResourcesError> {
    let mut all = Resources::new();
    for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let (head, value) = part
            .split_once(':')
            .map(|(head, value)| (head.trim(), value.trim()))
            .filter(|(head, _)| !head.is_empty())
            .ok_or_else(|| ParseResourcesError::NoValue(part.into()))?;
        let key = key(part, head)?;
        let value = self::value(part, value)?;
        all.insert(key, value).map_err(|_| ParseResourcesError::KindDiffers(part.into()))?;
    }
    Ok(all)
}

fn key(part: &str, head: &str) -> Result<ResourceKey, ParseResourcesError> {
    let Some((name, role)) = head.split_once('(') else {
        return Ok(ResourceKey::unreserved(head));
    };
    let role =
        role.strip_suffix(')').ok_or_else(|| ParseResourcesError::Role(part.into(), None))?;
    let role = Role::parse(role.trim())
        .map_err(|bad| ParseResourcesError::Role(part.into(), Some(bad)))?;
    match name.trim() {
        "" => Err(ParseResourcesError::NoValue(part.into())),
        name => Ok(ResourceKey::reserved(name, role)),
    }
}

fn value(part: &str, value: &str) -> Result<Value, ParseResourcesError> {
    let wrong = || ParseResourcesError::Value(part.into());
    if let Some(inner) = value.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or_else(wrong)?;
        let mut ranges = RangeSet::default();
        for range in inner.split(',').map(str::trim).filter(|range| !range.is_empty()) {
            let (begin, end) = range.split_once('-').ok_or_else(wrong)?;
            let begin: u64 = begin.trim().parse().map_err(|_| wrong())?;
            let end: u64 = end.trim().parse().map_err(|_| wrong())?;
            if begin > end {
                return Err(wrong());
            }
            ranges.add(&RangeSet::new(begin, end));
        }
        return Ok(Value::Ranges(ranges));
    }
    if let Some(inner) = value.strip_prefix('{') {
        let inner = inner.strip_suffix('}').ok_or_else(wrong)?;
        let words = inner.split(',').map(str::trim).filter(|word| !word.is_empty());
        return Ok(Value::Set(words.map(Into::into).collect()));
    }
    let number: f64 = value.parse().map_err(|_| wrong())?;
    Scalar::from_f64(number)
        .map(Value::Scalar)
        .map_err(|bad| ParseResourcesError::Scalar(part.into(), bad))
}
