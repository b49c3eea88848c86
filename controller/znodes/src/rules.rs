//! What a member allows beside what every member does.

/// Switches of Apache's; all members of an ensemble had better agree on them. The default is Apache's.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Rules {
    /// `extendedTypesEnabled`: znodes may be made with a time to live.
    pub extended_types: bool,
    /// `enforceQuota`: what would exceed a znode quota's hard limit is refused, and what exceeds a soft
    /// one is told to the driver.
    pub enforce_quota: bool,
    /// `reconfigEnabled`: whether a change of the members is refused as switched off, or as nothing that
    /// this member can do alone.
    pub reconfig: bool,
    /// `localSessionsEnabled`: a session may be known to its own member alone, and then has no ephemerals.
    pub local_sessions: bool,
    /// `localSessionsUpgradingEnabled`: such a session becomes everybody's at its first ephemeral.
    pub session_upgrades: bool,
    /// `digest.enabled=false`: transactions tell no digest of the tree after them.
    pub no_digests: bool,
    /// `DigestAuthenticationProvider.enabled=false`: nobody is known by a user and password, and no ACL may name such
    /// an id.
    pub no_digest_ids: bool,
    /// Whether an ACL may name ids that are proven by SASL.
    pub sasl_ids: bool,
    /// Whether an ACL may name ids that are proven by a client's certificate.
    pub x509_ids: bool,
}
