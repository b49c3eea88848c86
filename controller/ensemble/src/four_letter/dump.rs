//! `dump`, `wchc`, `wchp` and `hash`: who holds what.

use std::collections::BTreeMap;

use time::OffsetDateTime;
use types::{Instant, SessionId};

use super::put;
use crate::report::{self, Client};
use crate::shared::Shared;

/// Sessions by when they end, ephemerals by session, connections by when they end.
pub(super) fn sessions(shared: &Shared) -> String {
    let clients: Vec<_> =
        report::clients(shared).into_iter().filter(|client| client.session.0 != 0).collect();
    let mut by_expiry: BTreeMap<Instant, Vec<&Client>> = BTreeMap::new();
    for client in &clients {
        by_expiry.entry(client.expires).or_default().push(client);
    }
    let all: Vec<_> = shared.tree().sessions().map(|(session, _)| session).collect();
    let connected = |session: &SessionId| clients.iter().any(|client| client.session == *session);
    let gone: Vec<_> = all.iter().filter(|session| !connected(session)).collect();
    let mut out = String::from("SessionTracker dump:\n");
    let buckets = by_expiry.len() + usize::from(!gone.is_empty());
    put(&mut out, format_args!("Session Sets ({buckets})/({}):\n", all.len()));
    if !gone.is_empty() {
        // Who has no connection ends within its timeout; only the core knows when exactly.
        put(&mut out, format_args!("{} expire without a connection:\n", gone.len()));
        for session in gone {
            put(&mut out, format_args!("\t{session}\n"));
        }
    }
    for (at, clients) in &by_expiry {
        put(&mut out, format_args!("{} expire at {}:\n", clients.len(), date(shared, *at)));
        for client in clients {
            put(&mut out, format_args!("\t{}\n", client.session));
        }
    }
    let ephemerals = report::ephemerals(shared);
    out.push_str("ephemeral nodes dump:\n");
    put(&mut out, format_args!("Sessions with Ephemerals ({}):\n", ephemerals.len()));
    for (session, paths) in ephemerals {
        put(&mut out, format_args!("{session}:\n"));
        for path in paths {
            put(&mut out, format_args!("\t{path}\n"));
        }
    }
    out.push_str("Connections dump:\n");
    put(&mut out, format_args!("Connections Sets ({})/({}):\n", by_expiry.len(), clients.len()));
    for (at, clients) in &by_expiry {
        put(&mut out, format_args!("{} expire at {}:\n", clients.len(), date(shared, *at)));
        for Client { remote, session, .. } in clients {
            put(&mut out, format_args!("\tip: /{remote} sessionId: {session}\n"));
        }
    }
    out
}

pub(super) fn watches_by_path(shared: &Shared) -> String {
    let mut out = String::new();
    for (path, sessions) in report::watches(shared) {
        put(&mut out, format_args!("{path}\n"));
        for session in sessions {
            put(&mut out, format_args!("\t{session}\n"));
        }
    }
    out.push('\n');
    out
}

pub(super) fn watches_by_session(shared: &Shared) -> String {
    let mut out = String::new();
    for (session, paths) in report::watches_by_session(shared) {
        put(&mut out, format_args!("{session}\n"));
        for path in paths {
            put(&mut out, format_args!("\t{path}\n"));
        }
    }
    out.push('\n');
    out
}

/// The tree's digest now and then, oldest first.
pub(super) fn digests(shared: &Shared) -> String {
    let mut out = String::new();
    for (zxid, digest) in shared.digests() {
        put(&mut out, format_args!("{:x}: {digest}\n", zxid.bits()));
    }
    out
}

/// As Java prints a date, in UTC.
fn date(shared: &Shared, at: Instant) -> String {
    let now = OffsetDateTime::from(std::time::SystemTime::now());
    let date = now + at.saturating_since(shared.now());
    let month = &date.month().to_string()[..3];
    let weekday = &date.weekday().to_string()[..3];
    let (hour, minute, second) = date.to_hms();
    let (day, year) = (date.day(), date.year());
    format!("{weekday} {month} {day:02} {hour:02}:{minute:02}:{second:02} UTC {year}")
}
