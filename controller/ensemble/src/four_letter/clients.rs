//! The lines of `stat` and `cons`: one for each connection.

use super::put;
use crate::report::{self, Client};
use crate::shared::Shared;

/// One line a connection.
pub(super) fn short(shared: &Shared) -> String {
    let mut out = String::new();
    for client in report::clients(shared) {
        put_short(&mut out, &client);
        out.push_str(")\n");
    }
    out
}

/// One longer line a connection, and an empty one.
pub(super) fn long(shared: &Shared) -> String {
    let mut out = String::new();
    for client in report::clients(shared) {
        put_short(&mut out, &client);
        if client.session.0 != 0 {
            put_session(&mut out, &client);
        }
        out.push_str(")\n");
    }
    out.push('\n');
    out
}

fn put_short(out: &mut String, client: &Client) {
    let Client { remote, queued, received, sent, .. } = client;
    put(out, format_args!(" /{remote}[1](queued={queued},recved={received},sent={sent}"));
}

fn put_session(out: &mut String, client: &Client) {
    let Client { session, talk, .. } = client;
    put(
        out,
        format_args!(
            ",sid={session},lop={},est={},to={}",
            talk.last_word(),
            talk.since_ms,
            client.timeout_ms
        ),
    );
    if talk.last_cxid >= 0 {
        put(out, format_args!(",lcxid={:#x}", talk.last_cxid));
    }
    put(
        out,
        format_args!(
            ",lzxid={:#x},lresp={},llat={},minlat={},avglat={},maxlat={}",
            talk.last_zxid,
            talk.last_response_ms,
            talk.last_latency_ms,
            talk.min_latency(),
            talk.average_latency(),
            talk.max_latency_ms,
        ),
    );
}
