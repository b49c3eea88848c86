//! Role names: paths of components, `eng/dev`.

use std::fmt;
use std::sync::Arc;

/// A Mesos role: `*`, or components joined by `/`, none of them empty.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Role(Arc<str>);

impl Role {
    /// Reads a role name. Refused: empty, a leading, trailing or doubled `/`, a component `.`, `..` or
    /// `*` (except `*` alone), one that starts with `-`, white space, control characters.
    pub fn parse(name: &str) -> Result<Self, BadRole> {
        let bad = |why| Err(BadRole { name: name.chars().take(256).collect(), why });
        if name == "*" {
            return Ok(Self::star());
        }
        if name.is_empty() {
            return bad("it is empty");
        }
        if name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return bad("it has white space or a control character");
        }
        for component in name.split('/') {
            match component {
                "" => return bad("it starts or ends with '/' or has '//'"),
                "." | ".." | "*" => return bad("a component is '.', '..' or '*'"),
                _ if component.starts_with('-') => return bad("a component starts with '-'"),
                _ => {}
            }
        }
        Ok(Self(name.into()))
    }

    /// The default role, `*`, which reserves nothing.
    pub fn star() -> Self {
        Self("*".into())
    }

    /// Whether this is `*`.
    pub fn is_star(&self) -> bool {
        &*self.0 == "*"
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is a strict sub-role of `other`: `eng/dev` is below `eng`.
    pub fn is_below(&self, other: &Self) -> bool {
        self.0.strip_prefix(&*other.0).is_some_and(|rest| rest.starts_with('/'))
    }

    /// The role one level up; `None` for a top-level role.
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.into()))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A role name that no role may have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BadRole {
    /// The name as given, at most 256 characters of it.
    pub name: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl fmt::Display for BadRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "role name {:?} is not valid: {}", self.name, self.why)
    }
}

impl std::error::Error for BadRole {}
