//! The replicated state: tree, sessions, znode watches and ACLs; requests become transactions, transactions are applied.
