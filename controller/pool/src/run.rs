//! The process: listen, contend, lead, end.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use election::{Address, BadAddress, Contender, Detector, MASTER_LABEL, Place, Standing};
use mesos::v1::MasterInfo;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::{BadAdvertised, MasterConfig};
use crate::http::{self, Phase, Site};
use crate::leader::Leader;
use crate::registry::{Folder, Keep, KeepError};

/// Why a master process ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Something else listens there, or it may not.
    #[error("listen on {addr}: give another address, or stop what listens there")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The address in the ensemble is not one.
    #[error("the address of the pool's folder")]
    Zk(#[from] BadAddress),
    /// The advertised address is not one.
    #[error(transparent)]
    Advertised(#[from] BadAdvertised),
    /// It led, and leads no more. Start it again.
    #[error("lost the leadership of the pool: the session with the ensemble ended")]
    Deposed,
    /// It led, and cannot keep what must be kept.
    #[error("the registry of the pool failed")]
    Registry(#[from] KeepError),
}

/// A master that listens, before it takes part in anything.
#[derive(Debug)]
pub struct Server {
    config: MasterConfig,
    info: MasterInfo,
    listener: TcpListener,
    place: Option<(Place, String)>,
}

impl Server {
    /// Listens, and checks the configuration.
    pub async fn bind(config: MasterConfig) -> Result<Self, RunError> {
        let place = match &config.zk {
            Some(zk) => {
                let folder: Place = zk.parse()?;
                let registry = format!("{}/registry", folder.path);
                let path = format!("{}/election", folder.path);
                Some((Place { path, ..folder }, registry))
            }
            None => None,
        };
        let addr = config.addr;
        let listen = |source| RunError::Listen { addr, source };
        let listener = TcpListener::bind(addr).await.map_err(listen)?;
        let info = config.info(listener.local_addr().map_err(listen)?)?;
        Ok(Self { config, info, listener, place })
    }

    /// The address it listens at.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// How it is known.
    pub const fn info(&self) -> &MasterInfo {
        &self.info
    }

    /// Serves until `shutdown` (then `Ok`), or until it can lead no more.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        let Self { config, info, listener, place } = self;
        tracing::info!(pool = config.pool, id = info.id, at = info.pid(), "master");
        let (phase, watched) = watch::channel(Phase::default());
        let site = Arc::new(Site {
            info: info.clone(),
            pool: config.pool,
            started: SystemTime::now(),
            phase: watched,
        });
        // What is advertised may be an address that masters share.
        let bound = listener.local_addr().ok();
        let exclusive =
            config.advertised.is_none() && bound.is_some_and(|addr| !addr.ip().is_unspecified());
        let serve = http::serve(listener, site);
        let part = async {
            match place {
                Some((place, registry)) => {
                    take_part(place, registry, info, exclusive, &phase).await
                }
                None => lead(Keep::Memory, info, &phase).await,
            }
        };
        tokio::select! {
            () = serve => Ok(()),
            ended = part => ended,
            () = shutdown => Ok(()),
        }
    }
}

/// Runs one master: [`Server::bind`] and [`Server::run`].
pub async fn run(config: MasterConfig, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
    Server::bind(config).await?.run(shutdown).await
}

/// Contends until it leads, then leads until it is deposed. `exclusive`: nobody else can have its address.
async fn take_part(
    place: Place,
    registry: String,
    info: MasterInfo,
    exclusive: bool,
    phase: &watch::Sender<Phase>,
) -> Result<(), RunError> {
    let detector = Detector::start(Address::Elected(place.clone()));
    let mut leader = detector.leader();
    // Two processes cannot listen at one address: whoever else is known by ours is dead.
    let own = info.clone();
    let is_dead = move |data: &[u8]| {
        exclusive
            && mesos::json::from_slice::<MasterInfo>(data)
                .is_ok_and(|other| other.id != own.id && other.address == own.address)
    };
    let data = mesos::json::to_vec(&info);
    let contender = Contender::enter_instead_of(place, MASTER_LABEL, data, is_dead);
    let mut standing = contender.standing();
    let leadership = loop {
        let now = standing.borrow_and_update().clone();
        if let Standing::Leading(leadership) = now {
            break leadership;
        }
        phase.send_replace(Phase::Following(leader.borrow_and_update().clone().map(Box::new)));
        tokio::select! {
            changed = standing.changed() => if changed.is_err() { return Err(RunError::Deposed) },
            changed = leader.changed() => if changed.is_err() { return Err(RunError::Deposed) },
        }
    };
    // From here on this process leads or ends; it need not know of other leaders.
    drop(detector);
    phase.send_replace(Phase::Recovering);
    let deposed = async {
        // The sender lives as long as the contender.
        let _ends = standing.wait_for(|standing| !standing.is_leading()).await;
    };
    let keep = Keep::Znodes(Box::new(Folder { leadership, path: registry }));
    tokio::select! {
        ended = lead(keep, info, phase) => ended,
        () = deposed => Err(RunError::Deposed),
    }
}

async fn lead(keep: Keep, info: MasterInfo, phase: &watch::Sender<Phase>) -> Result<(), RunError> {
    let (desk, lead) = Leader::start(master::Config::new(info), keep).await?;
    phase.send_replace(Phase::Leading(desk));
    tracing::info!("this master leads the pool");
    Ok(lead.await?)
}
