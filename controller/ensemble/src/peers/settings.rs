//! What a member of an ensemble must know of it before it starts.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use jute::{Members, Server, ServerAddress};

use crate::{PeerTlsConfig, SaslConfig};

/// An ensemble, as one of its members is told of it.
#[derive(Clone, Debug)]
pub struct EnsembleConfig {
    /// Who is a member, this one among them.
    pub members: Members,
    /// Later ones that were proposed, and may be in force elsewhere.
    pub next: Option<Members>,
    /// The `zoo.cfg` that is rewritten when the members change, and beside which their files are; `None`: they are not kept.
    pub zoo_cfg: Option<PathBuf>,
    /// One voter is no ensemble (`standaloneEnabled`): a change that leaves only one is refused.
    pub standalone_enabled: bool,
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
    /// How members prove to each other by SASL who they are; `None`: not at all.
    pub sasl: Option<PeerSaslConfig>,
    /// Where followers take observers, on every member (`observerMasterPort`); an observer learns there and not from the leader.
    /// `None`: observers learn from the leader.
    pub observer_master_port: Option<u16>,
    /// What may wait at a follower for one observer before that is given up, in bytes (`observerMaster.sizeLimit`).
    pub observer_master_limit: usize,
    /// Whether peers are told of all addresses of this member, which releases before 3.6 do not understand,
    /// and not of the first only.
    pub multi_address: bool,
}

/// How members prove to each other by SASL who they are.
#[derive(Clone, Eq, PartialEq)]
pub struct PeerSaslConfig {
    /// Whom this member believes when it is called.
    pub users: SaslConfig,
    /// The name and password by which it proves itself to those that it calls; `None`: it does not.
    pub login: Option<(String, String)>,
    /// Whether those that call must prove themselves.
    pub required: bool,
}

impl fmt::Debug for PeerSaslConfig {
    /// Without the passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let login = self.login.as_ref().map(|(user, _)| user);
        f.debug_struct("PeerSaslConfig")
            .field("users", &self.users)
            .field("login", &login)
            .field("required", &self.required)
            .finish()
    }
}

impl EnsembleConfig {
    /// These members, with Apache's defaults for the rest.
    pub fn of(members: Members) -> Self {
        Self {
            members,
            next: None,
            zoo_cfg: None,
            standalone_enabled: true,
            init_limit: 10,
            sync_limit: 5,
            connect_timeout: Duration::from_secs(5),
            listen_on_all_addresses: false,
            bind_retries: Some(3),
            read_only_mode: false,
            tls: None,
            sasl: None,
            observer_master_port: None,
            observer_master_limit: 32 << 20,
            multi_address: false,
        }
    }

    /// The addresses that peers are told of a member that is there.
    pub(crate) fn told<'a>(&self, server: &'a Server) -> impl Iterator<Item = &'a ServerAddress> {
        let all = if self.multi_address { server.addresses.len() } else { 1 };
        server.addresses.iter().take(all)
    }
}
