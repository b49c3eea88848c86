//! The znode that shows an ensemble's configuration. Source: `ZKDatabase.initConfigInZKDatabase`.

use bytes::Bytes;
use jute::{Acl, Id, Perms, StatPersisted, Text};
use types::Zxid;

use crate::acls::AclId;
use crate::apply::{Change, What};
use crate::state::CONFIG_PATH;
use crate::tree::{NodeId, Tree};
use crate::{State, path};

impl State {
    /// Shows this configuration to clients, without a transaction: each member does it for itself when
    /// it takes up a role, so stats may differ between members and the sum does not cover it.
    ///
    /// `version` is the transaction that brought the configuration, zero for the first; `wall_ms` is since
    /// 1970. Where the znode is missing, as in a snapshot of before 3.5, it is made. To be called while
    /// nothing is on its way. The change is for watches, as any other.
    pub fn show_config(&mut self, text: Bytes, version: Zxid, wall_ms: i64) -> Change {
        let id = match self.tree.find(CONFIG_PATH) {
            Some(id) => id,
            None => self.add_config(),
        };
        let stat = StatPersisted {
            mzxid: version,
            mtime: wall_ms,
            version: SHOWN_VERSION,
            ..self.tree.stat(id)
        };
        self.tree.set_data(id, &stat, Some(&text));
        let what = What::DataSet { data: Some(text), stat: self.stat(id) };
        let parent = self.tree.parent(id).unwrap_or(id);
        let (path, acl) = (Text::from_static(CONFIG_PATH), self.acl(id).clone());
        Change { path, what, acl, id, parent }
    }

    /// With the stat that it has from the start, and readable to everyone.
    pub(crate) fn add_config(&mut self) -> NodeId {
        let parent_path = path::parent(CONFIG_PATH).expect("it begins with a slash");
        let parent = self.tree.find(parent_path).unwrap_or_else(|| {
            let stat = StatPersisted::default();
            self.add(Tree::ROOT, parent_path, &stat, Some(b""), AclId::OPEN)
        });
        let stat = StatPersisted { aversion: FIRST_AVERSION, ..StatPersisted::default() };
        let read_only = self.acls.take(&[Acl { perms: Perms::READ, id: Id::ANYONE }].into());
        self.add(parent, CONFIG_PATH, &stat, Some(b""), read_only)
    }
}

/// Its version while it shows a configuration that no client set; on a member that is alone, it is 0.
pub(crate) const SHOWN_VERSION: i32 = -1;
/// As Apache makes it: its own setting of the ACL counts down.
const FIRST_AVERSION: i32 = -1;

#[cfg(test)]
mod tests {
    use jute::StatPersisted;

    use super::*;

    #[test]
    fn it_is_rewritten_in_place_and_the_sum_stays() {
        let mut state = State::new(1);
        let sum = state.digest();
        let change = state.show_config("version=5".into(), Zxid::from_bits(5), 77);
        assert_eq!((&*change.path, change.acl[0].perms), (CONFIG_PATH, Perms::READ));
        let node = state.get(CONFIG_PATH).expect("there from the start");
        assert_eq!(node.data(), Some(&b"version=5"[..]));
        let stat = node.stat();
        assert_eq!((stat.czxid, stat.mzxid, stat.mtime), (Zxid::ZERO, Zxid::from_bits(5), 77));
        assert_eq!((stat.version, stat.aversion, stat.data_length), (-1, -1, 9));
        assert_eq!((state.digest(), state.zxid()), (sum, Zxid::ZERO));
    }

    #[test]
    fn a_tree_from_before_there_was_one_gets_it() {
        let mut state = State::bare(1, &StatPersisted::default(), Some(b""), AclId::OPEN);
        state.show_config(Bytes::new(), Zxid::ZERO, 0);
        assert_eq!(state.get(CONFIG_PATH).map(|node| node.stat().aversion), Some(-1));
        assert_eq!(state.node_count(), 4);
    }
}
