//! Which thing a path means.
//!
//! Lives here: the grammar of paths. Must not: know which kinds exist.

/// What a path names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Route {
    /// A path that is about no resource, such as `/version`.
    Plain(Vec<String>),
    /// Objects of one resource, one of them, or a part of one.
    Resource(Target),
}

/// Objects of one resource, one of them, or a part of one.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Target {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
    /// From `/namespaces/<namespace>/`.
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) subresource: Option<String>,
    /// The old form `/watch/…`.
    pub(crate) watch: bool,
}

/// Reads a path; `None` when its escapes are broken or a part of it is empty.
pub(crate) fn parse(path: &str) -> Option<Route> {
    let path = path.strip_prefix('/')?;
    let path = path.strip_suffix('/').unwrap_or(path);
    let parts: Vec<String> = match path {
        "" => Vec::new(),
        path => path.split('/').map(unescape).collect::<Option<_>>()?,
    };
    let words: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (group, version, rest) = match words.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return Some(Route::Plain(parts)),
    };
    if rest.iter().any(|part| part.is_empty() || *part == "." || *part == "..") {
        return None;
    }
    let (watch, rest) = match rest {
        ["watch", rest @ ..] if !rest.is_empty() => (true, rest),
        rest => (false, rest),
    };
    let mut target =
        Target { group: group.to_owned(), version: version.to_owned(), watch, ..Target::default() };
    let rest = match rest {
        // `/namespaces/<name>/<status or finalize>` are parts of the namespace itself.
        ["namespaces", _, "status" | "finalize"] => rest,
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => {
            target.namespace = Some((*namespace).to_owned());
            rest
        }
        rest => rest,
    };
    let mut rest = rest.iter().map(|part| (*part).to_owned());
    target.plural = rest.next()?;
    target.name = rest.next();
    target.subresource = rest.next();
    if rest.next().is_some() {
        return Some(Route::Plain(parts));
    }
    Some(Route::Resource(target))
}

/// Undoes `%41`; `None` when it is broken or gives no UTF-8 or a control character.
pub(crate) fn unescape(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let (code, tail) = tail.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok()?);
            rest = tail;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.contains('\0')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: &str) -> Target {
        match parse(path) {
            Some(Route::Resource(target)) => target,
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn paths_name_resources() {
        let t = target("/api/v1/namespaces/a");
        assert_eq!((t.plural.as_str(), t.name.as_deref()), ("namespaces", Some("a")));
        let t = target("/api/v1/namespaces/a/finalize");
        assert_eq!((t.plural.as_str(), t.subresource.as_deref()), ("namespaces", Some("finalize")));
        let t = target("/api/v1/namespaces/a/configmaps");
        assert_eq!((t.namespace.as_deref(), t.plural.as_str()), (Some("a"), "configmaps"));
        let t = target("/apis/g.x/v1/namespaces/a/things/b%2Ec/scale");
        assert_eq!(t.name.as_deref(), Some("b.c"));
        assert_eq!(t.subresource.as_deref(), Some("scale"));
        assert!(target("/apis/g/v1/watch/things").watch);
    }

    #[test]
    fn other_paths_are_plain() {
        assert_eq!(parse("/version/"), Some(Route::Plain(vec!["version".to_owned()])));
        assert_eq!(parse("/"), Some(Route::Plain(vec![])));
        assert!(matches!(parse("/apis/g/v1"), Some(Route::Plain(_))));
        assert_eq!(parse("/api/v1//x"), None);
        assert_eq!(parse("/api/v1/things/%2"), None);
        assert_eq!(parse("/api/v1/things/%ff"), None);
        assert_eq!(parse("/api/v1/things/.."), None);
    }
}
