//! The replicated state: tree, sessions, znode watches and ACLs; requests become transactions, transactions are applied.
//!
//! Lives here: what a znode is, who may touch it, which transaction a write becomes, what a transaction
//! changes, who is told. Must not: sockets, files, clocks, the order of transactions (that is `zab`).
//!
//! Start at [`Prep::prepare`] and [`State::apply`]. The faces, in the order in which a driver meets them:
//!
//! ```text
//! SessionIds::new(peer, chance).next_id() -> SessionId          password(id) -> [u8; 16]
//! Sessions::new(tick): resume(&state, now), touch, check, move_to, next_expiry, expire(now), forget
//! Access { super_digest, .. }.authenticate(scheme, token)        access::{ip_id, permits, SUPER, UNCHECKED}
//! Prep::new(&state).under(Rules { extended_types, enforce_quota, reconfig })
//! Prep::prepare(&state, &mut sessions, Turn { zxid, wall_ms, now }, &Requester { .. }, &Request) -> Entry
//! Prep::refuse(turn, &requester, code) -> Entry                  for a request that cannot be decoded
//! State::apply(&header, &txn) -> Applied { response, changes }   then Prep::applied(zxid)
//! Prep::withdraw(first)                                          for what the log could not take
//! Reaper::new(config, now): next_due(&state), due(&state, now, wall_ms) -> deletes to propose
//! Watches::fire(&changes, &mut fired)                            then whoever may read is told
//! reads::answer(&state, &request, Reading { .. }, &mut |kind, path| .., &mut out)
//! listing::answer_page(&state, PageOf { .. }, Reading { .. }, &mut mark, |place| .., &mut out)
//! State::get(path) -> Option<Node>: stat, data, acl, children    State::below(prefix, visit)
//! State::show_config(text, version, wall_ms) -> Change          without a transaction
//! State::freeze() -> Frozen: zxid, digest, write(&mut io::Write) snapshot::read(&mut io::Read, ..)
//! ```

pub mod access;
mod acls;
mod apply;
mod config;
mod digest;
pub mod listing;
mod owner;
mod path;
mod prep;
mod quota;
pub mod reads;
mod reaper;
mod rules;
mod session_id;
mod session_table;
mod sessions;
pub mod snapshot;
mod state;
mod tree;
mod watches;

pub use access::{Access, DigestAlgorithm};
pub use apply::{Applied, Change, Changes, What};
pub use jute::AclList;
pub use owner::Owner;
pub use path::is_valid as is_valid_path;
pub use prep::{Ensemble, Prep, Requester, Turn};
pub use quota::{Quota, QuotaExcess, QuotaKind};
pub use reaper::{Reaper, ReaperConfig};
pub use rules::Rules;
pub use session_id::{SessionIds, password};
pub use sessions::{Sessions, Speaker};
pub use snapshot::{Frozen, SnapshotError};
pub use state::{CONFIG_PATH, Node, State};
pub use watches::{Fired, Place, WatchCounts, WatchKind, Watcher, Watches};
