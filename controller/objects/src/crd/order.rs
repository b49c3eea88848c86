//! Which version of a kind is preferred.

/// Sorts versions as clients expect: GA before beta before alpha, then higher numbers first, then
/// anything else, which is then to be sorted by name.
pub type Preference = (u8, std::cmp::Reverse<u64>, std::cmp::Reverse<u64>);

/// Where a version stands: less is preferred.
pub fn preference(version: &str) -> Preference {
    let parse = || {
        let rest = version.strip_prefix('v')?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (major, rest) = rest.split_at(digits);
        let major = major.parse().ok()?;
        let (class, minor) = match rest {
            "" => (0, 0),
            rest => match (rest.strip_prefix("beta"), rest.strip_prefix("alpha")) {
                (Some(minor), _) => (1, minor.parse().ok()?),
                (_, Some(minor)) => (2, minor.parse().ok()?),
                _ => return None,
            },
        };
        Some((class, std::cmp::Reverse(major), std::cmp::Reverse(minor)))
    };
    parse().unwrap_or((3, std::cmp::Reverse(0), std::cmp::Reverse(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_the_order_of_preference() {
        let mut versions =
            ["foo1", "v1alpha1", "v1", "v12alpha1", "v11beta2", "v2", "v10", "v3beta1"];
        versions.sort_by_key(|v| (preference(v), *v));
        assert_eq!(
            versions,
            ["v10", "v2", "v1", "v11beta2", "v3beta1", "v12alpha1", "v1alpha1", "foo1"]
        );
    }
}
