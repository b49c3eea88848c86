//! Who leads: contender and detector over an ensemble, in Mesos's znode format; and seats for frameworks.
//!
//! Lives here: addresses (`zk://…`), candidates' znodes, the rule that the smallest number leads, and what
//! happens when a session ends. Must not: know what a leader does. Start at [`Address`], then [`detect`] for
//! those who follow, [`contend`] for masters, [`Seat`] for frameworks. Source: Apache Mesos 1.11,
//! `src/master/{contender,detector}/zookeeper.cpp`, `src/zookeeper/group.cpp`.

mod address;
mod contender;
mod detector;
mod info;
mod seat;
mod session;

pub use address::{Address, AddressError, ZkAddress};
pub use contender::{Membership, contend};
pub use detector::detect;
pub use info::{Endpoint, MasterInfo};
pub use seat::Seat;
pub use session::{ElectionError, connect};

/// The label of candidates' znodes: `json.info_0000000007`.
const LABEL: &str = "json.info_";

/// The number of a candidate's znode; `None` for other children of the group.
fn number(name: &str) -> Option<u64> {
    name.strip_prefix(LABEL)?.parse().ok()
}

/// The leader among a group's children: the candidate with the smallest number.
fn leader<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let candidates = names.into_iter().filter_map(|name| Some((number(name)?, name)));
    candidates.min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_number_leads_and_strangers_do_not_count() {
        let names =
            ["log_replicas", "json.info_0000000012", "json.info_0000000009", "info_0000000001"];
        assert_eq!(leader(names), Some("json.info_0000000009"));
        assert_eq!(leader(["log_replicas"]), None);
    }
}
