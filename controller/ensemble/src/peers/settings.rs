//! What a member of an ensemble must know of it before it starts.

use std::time::Duration;

use jute::Members;

use crate::PeerTlsConfig;

/// An ensemble, as one of its members is told of it.
#[derive(Clone, Debug)]
pub struct EnsembleConfig {
    /// Who is a member, this one among them.
    pub members: Members,
    /// Ticks that a follower may take to connect to its leader and to take over its history.
    pub init_limit: u32,
    /// Ticks after which a silent leader or learner is given up.
    pub sync_limit: u32,
    /// How long a connection to a peer may take to be there.
    pub connect_timeout: Duration,
    /// The ports for peers are opened on all addresses of the host, and not on the member's own only.
    pub listen_on_all_addresses: bool,
    /// How often a port for peers that is taken is tried again, a second apart; `None`: for ever.
    pub bind_retries: Option<u32>,
    /// While there is no leader, clients that wish so are served what is there.
    pub read_only_mode: bool,
    /// How members speak TLS with each other; `None`: not at all.
    pub tls: Option<PeerTlsConfig>,
}

impl EnsembleConfig {
    /// These members, with Apache's defaults for the rest.
    pub fn of(members: Members) -> Self {
        Self {
            members,
            init_limit: 10,
            sync_limit: 5,
            connect_timeout: Duration::from_secs(5),
            listen_on_all_addresses: false,
            bind_retries: Some(3),
            read_only_mode: false,
            tls: None,
        }
    }
}
