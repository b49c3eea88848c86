//! The file that kubectl reads.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::pki::Pair;

/// A kubeconfig with one cluster, one user (a client certificate) and one context, everything inline.
pub(crate) fn render(addr: SocketAddr, ca: &Pair, admin: &Pair) -> String {
    // A server that listens on every address is reached on loopback.
    let host = match addr.ip() {
        ip if !ip.is_unspecified() => ip.to_string(),
        _ => "127.0.0.1".to_owned(),
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: troupe
  cluster:
    server: https://{host}:{port}
    certificate-authority-data: {ca}
users:
- name: admin
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
contexts:
- name: troupe
  context:
    cluster: troupe
    user: admin
    namespace: default
current-context: troupe
",
        port = addr.port(),
        ca = STANDARD.encode(&ca.certificate),
        certificate = STANDARD.encode(&admin.certificate),
        key = STANDARD.encode(&admin.key),
    )
}
