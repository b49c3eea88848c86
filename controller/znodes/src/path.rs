//! Paths: which are valid, and their parts.

/// Deleting these is refused. Source: `PrepRequestProcessor`.
const RESERVED: [&str; 4] = ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"];

/// Whether a znode may have this path. Source: `PathUtils.validatePath`.
pub fn is_valid(path: &str) -> bool {
    if path == "/" {
        return true;
    }
    let Some(names) = path.strip_prefix('/') else {
        return false;
    };
    let is_good = |name: &[u8]| !matches!(name, b"" | b"." | b"..");
    let names = names.as_bytes();
    // In one pass, as most are of ASCII alone.
    let (mut start, mut is_ascii) = (0, true);
    for (at, byte) in names.iter().enumerate() {
        match byte {
            b'/' if !is_good(&names[start..at]) => return false,
            b'/' => start = at + 1,
            b' '..=b'~' => {}
            _ => is_ascii = false,
        }
    }
    is_good(&names[start..]) && (is_ascii || path.chars().all(is_valid_char))
}

/// Everything before the last slash: "" for the root's children and for "/" itself; `None` without a slash.
pub(crate) fn parent(path: &str) -> Option<&str> {
    split(path).map(|(parent, _)| parent)
}

/// Everything after the last slash.
pub(crate) fn name(path: &str) -> &str {
    split(path).map_or(path, |(_, name)| name)
}

/// [`parent`] and [`name`]. By hand: names are short, and a search in words is not quick before it has begun.
pub(crate) fn split(path: &str) -> Option<(&str, &str)> {
    let slash = path.bytes().rposition(|byte| byte == b'/')?;
    Some((&path[..slash], &path[slash + 1..]))
}

/// The one form in which the root is looked up: it has two.
pub(crate) fn canonical(path: &str) -> &str {
    if path == "/" { "" } else { path }
}

/// The form in which clients know the root.
pub(crate) fn public(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}

/// Whether deleting it is refused.
pub(crate) fn is_reserved(path: &str) -> bool {
    RESERVED.contains(&path)
}

fn is_valid_char(c: char) -> bool {
    !matches!(c,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_neither_empty_nor_dots() {
        for good in ["/", "/a", "/a/b", "/...", "/.a", "/a b", "/ü/日本"] {
            assert!(is_valid(good), "{good}");
        }
        for bad in ["", "a", "a/b", "//", "/a/", "/a//b", "/.", "/a/..", "/a/./b"] {
            assert!(!is_valid(bad), "{bad}");
        }
    }

    #[test]
    fn characters_outside_the_plane_of_java_and_controls_are_refused() {
        for bad in
            ["/\u{0}", "/\u{1f}", "/\u{7f}", "/\u{9f}", "/\u{e000}", "/\u{fff0}", "/\u{1f600}"]
        {
            assert!(!is_valid(bad), "{bad:?}");
        }
        assert!(is_valid("/\u{a0}\u{f900}\u{ffef}"));
    }

    #[test]
    fn a_path_is_its_parent_and_its_name() {
        let parts = |path| (parent(path), name(path));
        assert_eq!(parts("/a"), (Some(""), "a"));
        assert_eq!(parts("/a/b"), (Some("/a"), "b"));
        assert_eq!(parts("/"), (Some(""), ""));
        assert_eq!(parts("a"), (None, "a"));
    }
}
