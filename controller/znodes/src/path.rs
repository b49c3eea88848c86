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
    let is_good = |name: &str| !matches!(name, "" | "." | "..");
    is_plain(path.as_bytes()) || names.split('/').all(is_good) && path.chars().all(is_valid_char)
}

/// Whether a path that begins with a slash has plain characters only, and no name that is empty: it is valid
/// then, and most are. Without a branch for each byte, so that many are looked at together.
fn is_plain(path: &[u8]) -> bool {
    let is_plain = |byte: u8| (b'/'..=b'~').contains(&byte) | (byte == b'-');
    let is_odd = |one: u8, next: u8| !is_plain(next) | (one == b'/') & (next == b'/');
    let pairs = path.iter().zip(&path[1..]);
    let is_any_odd = pairs.fold(false, |odd, (one, next)| odd | is_odd(*one, *next));
    !is_any_odd & !path.ends_with(b"/")
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
        for good in ["/", "/a", "/a-/b_0/~", "/...", "/.a", "/a b", "/ü/日本"] {
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
