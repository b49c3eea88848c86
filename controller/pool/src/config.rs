//! What one master process is told.

use std::net::{IpAddr, SocketAddr};

use mesos::v1::master_info::{Capability, capability::Type};
use mesos::v1::{Address, MasterInfo};

/// The release of Mesos whose API this is: clients compare versions.
pub(crate) const MESOS_VERSION: &str = "1.11.0";

/// All that one master needs to know.
#[derive(Clone, Debug)]
pub struct MasterConfig {
    /// Where to listen; port 0 takes a free one.
    pub addr: SocketAddr,
    /// `host:port` at which others reach it, if that is not where it listens.
    pub advertised: Option<String>,
    /// `zk://host:port,…/path`: the pool's folder in its ensemble. `election` and `registry` are below.
    /// `None`: it leads alone, and what operators decide is gone with it.
    pub zk: Option<String>,
    /// The pool's name, for people.
    pub pool: String,
}

/// `advertised` is not `host:port`.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the advertised address '{0}' is not host:port, for example master-0.example:5050")]
pub struct BadAdvertised(pub String);

impl MasterConfig {
    /// How this process is known, listening at `bound`.
    pub(crate) fn info(&self, bound: SocketAddr) -> Result<MasterInfo, BadAdvertised> {
        let (host, port) = match &self.advertised {
            Some(text) => advertised(text)?,
            None => (bound.ip().to_string(), bound.port()),
        };
        let ip = match host.parse::<IpAddr>() {
            Ok(ip) => ip,
            Err(_) => bound.ip(),
        };
        // Four bytes in network order, read as this machine reads integers: so Mesos does it.
        let as_number = match ip {
            IpAddr::V4(ip) => u32::from_ne_bytes(ip.octets()),
            IpAddr::V6(_) => 0,
        };
        let capabilities = [Type::AgentUpdate, Type::AgentDraining, Type::QuotaV2]
            .map(|kind| Capability { r#type: Some(kind as i32) })
            .to_vec();
        Ok(MasterInfo {
            id: uuid::Uuid::new_v4().to_string(),
            ip: as_number,
            port: u32::from(port),
            pid: Some(format!("master@{ip}:{port}")),
            hostname: Some(host.clone()),
            version: Some(MESOS_VERSION.into()),
            address: Some(Address {
                hostname: Some(host),
                ip: Some(ip.to_string()),
                port: i32::from(port),
            }),
            domain: None,
            capabilities,
        })
    }
}

fn advertised(text: &str) -> Result<(String, u16), BadAdvertised> {
    let bad = || BadAdvertised(text.to_owned());
    let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port: u16 = port.parse().map_err(|_| bad())?;
    if host.is_empty() || port == 0 { Err(bad()) } else { Ok((host.into(), port)) }
}
