//! The replicated state: tree, sessions, znode watches and ACLs; requests become transactions, transactions are applied.
//!
//! Lives here: what a znode is, who may touch it, which transaction a write becomes, what a transaction
//! changes, who is told. Must not: sockets, files, clocks, the order of transactions (that is `zab`).
//!
//! Start at [`Prep::prepare`] and [`State::apply`]. The faces, in the order in which a driver meets them:
//!
//! ```text
//! SessionIds::new(peer, wall_ms).next() -> SessionId             password(id) -> [u8; 16]
//! Sessions::new(tick) · resume(state, now) · track · touch(id, timeout, now) · check(id, owner)
//!     · set_owner · next_expiry() -> Option<Instant> · expire(now) -> Vec<SessionId> · forget(id)
//! Access { .. }.authenticate(scheme, token) -> Result<Vec<Id>, ErrorCode>
//! Prep::new(&state)
//! Prep::prepare(&state, &mut sessions, turn: Turn { zxid, wall_ms, now }, &Requester { session, cxid, auth, owner },
//!     &jute::Request) -> jute::Entry { header, txn, digest }      // a refusal is an Entry too: Txn::Error(code)
//! Prep::refuse(..) -> Entry                                      // for a request that could not be decoded
//! Entry::encode(&mut BytesMut); Entry::decode(&Bytes)            // the bytes of the log and of a PROPOSAL
//! State::apply(&TxnHeader, &Txn) -> Applied { response: Result<jute::Response, ErrorCode>, changes: Vec<Change> }
//! Prep::applied(zxid)                                            // lets the overlay go
//! Watches::fire(&[Change], &mut Vec<Fired>)                      // Fired { zxid, kind, path, acl, watchers }
//! reads::answer(&state, &request, &Reader { session, auth }, &mut |kind, path| register, &mut BytesMut) -> Result<(), ErrorCode>
//! State::get(path) -> Option<Node>: stat(), data(), acl(), children()
//! State::freeze() -> Frozen (cheap, exact, Send): zxid(), digest(), write(&mut impl io::Write)
//! snapshot::read(&mut impl io::Read, zxid, hash_seed) -> Result<State, SnapshotError>
//! ```
