//! The children of an election: labels and sequences.

/// The sequence and name of the leader: the smallest sequence with that label. Children whose name does
/// not end in `_<decimal>` are somebody else's.
pub(crate) fn leader<'a>(children: &'a [String], label: &str) -> Option<&'a str> {
    children
        .iter()
        .filter_map(|child| Some((sequence(child, label)?, child.as_str())))
        .min()
        .map(|(_, child)| child)
}

fn sequence(child: &str, label: &str) -> Option<u64> {
    let (own, sequence) = child.rsplit_once('_')?;
    if own == label { sequence.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_sequence_leads() {
        let children: Vec<String> =
            ["log_replicas", "json.info_0000000010", "json.info_0000000009", "json.info_x", "a_1"]
                .map(Into::into)
                .into();
        assert_eq!(leader(&children, "json.info"), Some("json.info_0000000009"));
        assert_eq!(leader(&[], "json.info"), None);
    }
}
