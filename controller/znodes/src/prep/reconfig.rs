//! A change of the ensemble's members.
//!
//! Lives here: what it is refused for, in Apache's order, and the members it makes. Must not: who decides, and when it is in force
//! (`zab`). Source: `PrepRequestProcessor`, case `reconfig`; `QuorumPeerConfig.parseDynamicConfig`; `QuorumServer`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bytes::Bytes;
use jute::{
    Entry, ErrorCode, HostPort, Members, MembersError, Perms, Reconfig, Server, SetDataTxn, Text,
    Txn,
};
use types::PeerId;

use super::overlay::Data;
use super::{Ask, Prep, Requester, Turn, header};
use crate::sessions::Sessions;
use crate::state::CONFIG_PATH;
use crate::{State, config::SHOWN_VERSION};

/// What a leader knows of its ensemble when it is to be changed.
pub struct Ensemble<'a> {
    /// The members in force.
    pub members: &'a Members,
    /// Another change is proposed and not in force.
    pub under_way: bool,
    /// `standaloneEnabled`: fewer than two voters are refused.
    pub standalone: bool,
    /// Whether a quorum of these members is in step with the leader.
    pub in_step: &'a dyn Fn(&Members) -> bool,
}

impl Prep {
    /// The transaction that a change of the members becomes, and the members that it brings; `None`: it was refused, with a
    /// transaction of its own. Otherwise as [`Prep::prepare`].
    pub fn prepare_reconfig(
        &mut self,
        state: &State,
        sessions: &mut Sessions,
        turn: Turn,
        requester: &Requester<'_>,
        request: &Reconfig,
        ensemble: &Ensemble<'_>,
    ) -> (Entry, Option<Members>) {
        let local_sessions = self.rules.local_sessions;
        let mut ask = Ask { state, sessions, requester, turn, local_sessions };
        match self.reconfig(&mut ask, request, ensemble) {
            Ok((set, members)) => {
                let (header, digest) = (header(turn, requester), self.digest());
                (Entry { header, txn: Txn::Reconfig(set), digest }, Some(members))
            }
            Err(code) => (Self::refuse(turn, requester, code), None),
        }
    }

    fn reconfig(
        &mut self,
        ask: &mut Ask<'_>,
        request: &Reconfig,
        ensemble: &Ensemble<'_>,
    ) -> Result<(SetDataTxn, Members), ErrorCode> {
        if !self.rules.reconfig {
            return Err(ErrorCode::ReconfigDisabled);
        }
        ask.check_session()?;
        if ensemble.under_way {
            return Err(ErrorCode::ReconfigInProgress);
        }
        let version = ensemble.members.version;
        if request.config_id != -1 && request.config_id != version.bits() {
            return Err(ErrorCode::BadVersion);
        }
        let mut members = match &request.members {
            Some(whole) => whole_of(whole, ensemble.standalone)?,
            None => changed(ensemble.members, request)?,
        };
        members.version = ask.turn.zxid;
        let least = if ensemble.standalone { 2 } else { 1 };
        if members.voters().count() < least {
            return Err(ErrorCode::BadArguments);
        }
        if !(ensemble.in_step)(&members) {
            return Err(ErrorCode::NewConfigNoQuorum);
        }
        let (place, node) = self.see(ask, CONFIG_PATH)?;
        ask.check_access(node.acl, Perms::WRITE)?;
        let data = Some(Bytes::from(members.to_string()));
        let path = Text::from_static(CONFIG_PATH);
        let turn = ask.turn;
        self.overlay.change(ask.state, turn.zxid, (&path, place), |node| {
            node.stat.version = SHOWN_VERSION;
            node.stat.mzxid = turn.zxid;
            node.stat.mtime = turn.wall_ms;
            node.data = Data::New(data.clone());
        });
        Ok((SetDataTxn { path, data, version: SHOWN_VERSION }, members))
    }
}

/// All the members, in lines or with commas between them.
fn whole_of(text: &str, standalone: bool) -> Result<Members, ErrorCode> {
    let mut members = Members::default();
    let lines = text.split([',', '\n', '\r']).map(str::trim);
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with(['#', '!'])) {
        let at = line.find(|c: char| c == '=' || c == ':' || c.is_whitespace());
        let (key, value) = at.map_or((line, ""), |at| line.split_at(at));
        let value = value.trim_start_matches(|c: char| c == '=' || c == ':' || c.is_whitespace());
        match members.set(key, value) {
            Ok(true) => {}
            Ok(false) if key.starts_with("group") || key.starts_with("weight") => {
                return Err(ErrorCode::MarshallingError);
            }
            Ok(false) => return Err(ErrorCode::BadArguments),
            Err(error) => return Err(refusal(&error, value)),
        }
    }
    let voters = members.voters().count();
    let observers = members.servers.len() - voters;
    // What Apache throws here is for whoever reads a file, and nothing catches it.
    if voters == 0 && (!standalone || observers > 0) || voters == 1 && standalone && observers > 0 {
        return Err(ErrorCode::MarshallingError);
    }
    if voters > 0 {
        members.check().map_err(|_| ErrorCode::BadArguments)?;
    }
    Ok(members)
}

/// The members without those that leave, and with those that join.
fn changed(now: &Members, request: &Reconfig) -> Result<Members, ErrorCode> {
    if !now.groups.is_empty() {
        return Err(ErrorCode::BadArguments);
    }
    let mut members = now.clone();
    for leaving in listed(request.leaving.as_deref()) {
        members.servers.remove(&peer(leaving)?);
    }
    for joining in listed(request.joining.as_deref()) {
        let mut parts = joining.split('=').map(str::trim).filter(|part| !part.is_empty());
        let (Some(key), Some(value), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(ErrorCode::BadArguments);
        };
        let id = peer(key.rsplit('.').next().unwrap_or(key))?;
        let server: Server = value.parse().map_err(|error| refusal(&error, value))?;
        if server.client.is_none() || meets(&members.servers, id, &server) {
            return Err(ErrorCode::BadArguments);
        }
        members.servers.insert(id, server);
    }
    Ok(members)
}

fn listed(text: Option<&str>) -> impl Iterator<Item = &str> {
    let parts = text.unwrap_or_default().split(',').map(str::trim);
    parts.filter(|part| !part.is_empty())
}

/// Java's number that is none is no argument that Apache has thought of.
fn peer(text: &str) -> Result<PeerId, ErrorCode> {
    text.parse().map(PeerId).map_err(|_| ErrorCode::MarshallingError)
}

/// The same for a port beyond all ports.
fn refusal(error: &MembersError, value: &str) -> ErrorCode {
    let beyond =
        |field: &str| field.trim().parse::<i32>().is_ok_and(|port| u16::try_from(port).is_err());
    match error {
        MembersError::Server { .. } if !value.split([':', ';', '|']).any(beyond) => {
            ErrorCode::BadArguments
        }
        _ => ErrorCode::MarshallingError,
    }
}

/// Whether a server has a place that another one has.
fn meets(servers: &BTreeMap<PeerId, Server>, id: PeerId, server: &Server) -> bool {
    let mine = places(server);
    let others = servers.iter().filter(|(other, _)| **other != id);
    others.flat_map(|(_, other)| places(other)).any(|place| mine.contains(&place))
}

/// Where a server can be found, but for addresses that each host has.
fn places(server: &Server) -> Vec<HostPort> {
    let at = |host: &String, port| HostPort { host: host.to_ascii_lowercase(), port };
    let own = server.addresses.iter();
    let peers =
        own.flat_map(|one| [at(&one.host, one.quorum_port), at(&one.host, one.election_port)]);
    let clients = server.client.iter().map(|client| at(&client.host, client.port));
    let told = |place: &HostPort| match place.host.parse::<IpAddr>() {
        Ok(address) => !address.is_loopback() && !address.is_unspecified(),
        Err(_) => place.host != "localhost",
    };
    peers.chain(clients).filter(told).collect()
}

#[cfg(test)]
mod tests {
    use jute::{Id, Reconfig};
    use types::{Instant, SessionId, Zxid};

    use super::*;
    use crate::access::SUPER;
    use crate::{Rules, Speaker};

    const NOW: &str = "server.1=a:1:2:participant;a:3\nserver.2=b:1:2:participant;b:3\n\
        server.3=c:1:2:participant;c:3\nversion=100000002";

    fn asked(joining: &str, leaving: &str, members: Option<&str>, config_id: i64) -> Reconfig {
        let some = |text: &str| (!text.is_empty()).then(|| Text::from(text));
        let members = members.map(Text::from);
        Reconfig { joining: some(joining), leaving: some(leaving), members, config_id }
    }

    /// What becomes of it: the text of the members, or why it is refused.
    fn check(
        request: &Reconfig,
        change: impl FnOnce(&mut Prep, &mut Ensemble<'_>, &mut Vec<Id>),
    ) -> Result<String, ErrorCode> {
        let members = Members::parse(NOW).expect("it is whole");
        let state = State::new(1);
        let rules = Rules { reconfig: true, ..Rules::default() };
        let mut prep = Prep::new(&state).under(rules);
        let in_step = |_: &Members| true;
        let mut ensemble =
            Ensemble { members: &members, under_way: false, standalone: true, in_step: &in_step };
        let mut auth = vec![SUPER];
        change(&mut prep, &mut ensemble, &mut auth);
        let mut sessions = Sessions::new(std::time::Duration::from_secs(2));
        let turn = Turn { zxid: Zxid::from_bits(0x1_0000_0009), wall_ms: 7, now: Instant::ZERO };
        let requester =
            Requester { session: SessionId(0), cxid: 1, auth: &auth, speaker: Speaker(0) };
        let (entry, members) =
            prep.prepare_reconfig(&state, &mut sessions, turn, &requester, request, &ensemble);
        match entry.txn {
            Txn::Error(code) => {
                assert_eq!(members, None);
                Err(code)
            }
            Txn::Reconfig(set) => {
                assert_eq!((&*set.path, set.version), (CONFIG_PATH, -1));
                let text = String::from_utf8(set.data.expect("some").to_vec()).expect("a text");
                assert_eq!(members.map(|members| members.to_string()), Some(text.clone()));
                Ok(text)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn members_join_leave_and_are_replaced() {
        let ok = |request: &Reconfig| check(request, |_, _, _| {}).expect("it is allowed");
        let text = ok(&asked("server.4=d:1:2:observer;d:3, server.2=b:5:6;7", "3,9", None, -1));
        let expected = "server.1=a:1:2:participant;a:3\nserver.2=b:5:6:participant;0.0.0.0:7\n\
            server.4=d:1:2:observer;d:3\nversion=100000009";
        assert_eq!(text, expected);
        let whole = "server.7=a:1:2;3,server.8=b:1:2;3";
        let text = ok(&asked("", "", Some(whole), 0x1_0000_0002));
        assert!(text.starts_with("server.7=a:1:2:participant;0.0.0.0:3\nserver.8="), "{text}");
    }

    #[test]
    fn refusals_come_in_apaches_order() {
        use ErrorCode::{
            BadArguments, BadVersion, MarshallingError, NewConfigNoQuorum, NoAuth,
            ReconfigDisabled, ReconfigInProgress,
        };
        let wrong = asked("nonsense", "", None, 5);
        assert_eq!(check(&wrong, |prep, _, _| prep.rules.reconfig = false), Err(ReconfigDisabled));
        assert_eq!(
            check(&wrong, |_, ensemble, _| ensemble.under_way = true),
            Err(ReconfigInProgress)
        );
        assert_eq!(check(&wrong, |_, _, _| {}), Err(BadVersion));
        let refused = |joining, leaving, members, code| {
            let request = asked(joining, leaving, members, -1);
            let got = check(&request, |_, ensemble, auth| {
                ensemble.in_step = &|_| false;
                auth.clear();
            });
            assert_eq!(got, Err(code), "{request:?}");
        };
        for (joining, leaving, members, code) in [
            ("nonsense", "", None, BadArguments),
            ("server.x=a:1:2;3", "", None, MarshallingError),
            ("", "x", None, MarshallingError),
            ("server.4=d:1:2", "", None, BadArguments),
            ("server.4=d:1:99999;3", "", None, MarshallingError),
            ("server.4=d:1:x;3", "", None, BadArguments),
            ("server.4=a:9:1;3", "", None, BadArguments),
            ("", "2,3", None, BadArguments),
            ("", "", Some("other=1"), BadArguments),
            ("", "", Some(""), BadArguments),
            ("", "", Some("server.1=a:1:2;3"), BadArguments),
            ("", "", Some("server.1=a:1:2:observer;3"), MarshallingError),
            ("", "", Some("server.1=a:1:2;3\nserver.2=b:1:2;3\ngroup.1=1"), BadArguments),
            ("", "3", None, NewConfigNoQuorum),
        ] {
            refused(joining, leaving, members, code);
        }
        let leaves = asked("", "3", None, -1);
        assert_eq!(check(&leaves, |_, _, auth| auth.clear()), Err(NoAuth));
        let one = asked("", "2,3", None, -1);
        check(&one, |_, ensemble, _| ensemble.standalone = false).expect("one may be an ensemble");
    }
}
