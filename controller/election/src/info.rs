//! What a candidate's znode holds.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// A master, as others find it. Source: `MasterInfo` in Mesos 1.11, in its JSON form.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct MasterInfo {
    /// Unique for each run of a master.
    pub id: String,
    /// The IPv4 address as its bytes lie in memory on a little-endian machine; old clients read it.
    pub ip: u32,
    /// The port.
    pub port: u32,
    /// `master@ip:port`; native drivers read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<String>,
    /// The name or address to reach it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The version of Mesos that it speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Name, address and port together; newer clients read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Endpoint>,
    /// What it can do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<Capability>,
}

/// A place in the network.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Endpoint {
    /// A name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// An address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// A port.
    pub port: i32,
}

/// Something that a master can do.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Capability {
    /// Its name.
    #[serde(rename = "type")]
    pub kind: String,
}

impl MasterInfo {
    /// A master of ours at this address.
    pub fn new(id: String, hostname: &str, ip: Ipv4Addr, port: u16) -> Self {
        let capabilities = ["AGENT_UPDATE", "AGENT_DRAINING"];
        Self {
            id,
            ip: u32::from_le_bytes(ip.octets()),
            port: port.into(),
            pid: Some(format!("master@{ip}:{port}")),
            hostname: Some(hostname.to_owned()),
            version: Some("1.11.0".to_owned()),
            address: Some(Endpoint {
                hostname: Some(hostname.to_owned()),
                ip: Some(ip.to_string()),
                port: port.into(),
            }),
            capabilities: capabilities.map(|kind| Capability { kind: kind.to_owned() }).into(),
        }
    }

    /// A master that is known by its `host:port` only.
    pub(crate) fn fixed(host: &str, port: u16) -> Self {
        let ip = host.parse().unwrap_or(Ipv4Addr::UNSPECIFIED);
        Self { version: None, ..Self::new(String::new(), host, ip, port) }
    }

    /// `host:port` to connect to: the name where there is one, else the address.
    pub fn authority(&self) -> String {
        let address = self.address.as_ref();
        let host = address
            .and_then(|a| a.hostname.clone())
            .or_else(|| self.hostname.clone())
            .or_else(|| address.and_then(|a| a.ip.clone()))
            .unwrap_or_else(|| Ipv4Addr::from(self.ip.to_le_bytes()).to_string());
        let port = address.and_then(|a| u32::try_from(a.port).ok()).unwrap_or(self.port);
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_znode_reads_as_mesos_writes_it() {
        let info = MasterInfo::new("m".into(), "localhost", Ipv4Addr::LOCALHOST, 5050);
        assert_eq!(info.ip, 16_777_343);
        let text = serde_json::to_string(&info).expect("JSON");
        assert!(text.contains(r#""pid":"master@127.0.0.1:5050""#), "{text}");
        assert_eq!(serde_json::from_str::<MasterInfo>(&text).expect("the same"), info);
        assert_eq!(info.authority(), "localhost:5050");
    }

    #[test]
    fn an_old_master_is_found_by_its_number() {
        let old = r#"{"id":"x","ip":16777226,"port":5050,"domain":{}}"#;
        let info: MasterInfo = serde_json::from_str(old).expect("an old master");
        assert_eq!(info.authority(), "10.0.0.1:5050");
    }
}
