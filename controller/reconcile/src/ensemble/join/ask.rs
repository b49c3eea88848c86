//! The session by which the members in force are read and changed.

use std::time::Duration;

use crds::reasons;
use futures::TryFutureExt;
use tokio::time::timeout;
use zookeeper_client::{Client, EnsembleUpdate, Error};

use super::{Change, Config};
use crate::conditions::Health;
use crate::context::Context;
use crate::platform::Owner;

/// The members in force, from whichever of these servers serves; or why they cannot be told.
pub(crate) async fn ask(ctx: &Context, owner: &Owner, servers: &str) -> Result<Config, Health> {
    let name = format!("members of {owner}");
    let session = ctx.sessions.with(&name, servers);
    let asked = session.and_then(|client| async move { client.get_config().await });
    let unreachable = |why: String| {
        let message = format!(
            "none of {servers} tells the members of the ensemble: {why}; start them, or correct spec.join.servers"
        );
        Health::waiting(reasons::UNREACHABLE, message)
    };
    match timeout(PATIENCE, asked).await {
        Ok(Ok((text, _))) => {
            let config = Config::parse(&String::from_utf8_lossy(&text));
            match config.servers.is_empty() {
                true => Err(Health::stalled(reasons::REFUSED, ALONE)),
                false => Ok(config),
            }
        }
        Ok(Err(Error::NoNode)) => Err(Health::stalled(reasons::REFUSED, ALONE)),
        Ok(Err(why)) => Err(unreachable(why.to_string())),
        Err(_) => Err(unreachable("no answer in time".to_owned())),
    }
}

/// By whom members are changed.
pub(crate) struct Way<'a> {
    /// Lists of servers that are asked one after the other while credentials are refused: who a user is, is said by the
    /// server that a client talks to, and not all need to know the same ones.
    pub(crate) servers: Vec<String>,
    /// `user:password` of one who may; nothing if everybody may.
    pub(crate) credentials: Option<&'a [u8]>,
    /// Who leads, if it is ours.
    pub(crate) leader: Option<i32>,
}

/// Changes them, if they still are of this version.
pub(crate) async fn change(change: &Change, from: &Config, way: &Way<'_>) -> Result<(), Health> {
    let mut told = Ok(());
    for servers in &way.servers {
        told = match change_at(servers, change, from, way.credentials).await {
            Ok(told) => return told,
            Err(NotAllowed) => Err(Health::stalled(
                reasons::REFUSED,
                no_auth(way.credentials.is_some(), way.leader),
            )),
        };
    }
    told
}

struct NotAllowed;

async fn change_at(
    servers: &str,
    change: &Change,
    from: &Config,
    credentials: Option<&[u8]>,
) -> Result<Result<(), Health>, NotAllowed> {
    let connector = Client::connector()
        .with_session_timeout(PATIENCE)
        .with_connection_timeout(PATIENCE)
        .with_fail_eagerly();
    let connector = match credentials {
        Some(credentials) => connector.with_auth("digest", credentials),
        None => connector,
    };
    let (joining, leaving) = match change {
        Change::Add(id, line) => (Some(format!("server.{id}={line}")), None),
        Change::Remove(id) => (None, Some(id.to_string())),
    };
    let update = EnsembleUpdate::Incremental {
        joinings: joining.iter().map(String::as_str),
        leavings: leaving.iter().map(String::as_str),
    };
    let version = i64::try_from(from.version).ok();
    let asked = connector
        .connect(servers)
        .and_then(|client| async move { client.update_ensemble(update, version).await });
    let words = change.words();
    let told = match timeout(PATIENCE, asked).await {
        Ok(Ok(_)) => Ok(()),
        // It may have been done: the next look tells.
        Err(_) | Ok(Err(Error::ConnectionLoss | Error::SessionExpired | Error::Timeout)) => Ok(()),
        Ok(Err(Error::BadVersion | Error::UnexpectedErrorCode(IN_PROGRESS | NO_QUORUM))) => {
            let message = format!("{words}: as soon as enough are in step");
            Err(Health::waiting(reasons::JOINING, message))
        }
        Ok(Err(Error::NoAuth | Error::AuthFailed)) => return Err(NotAllowed),
        Ok(Err(Error::ReconfigDisabled)) => Err(Health::stalled(reasons::REFUSED, NOT_ENABLED)),
        Ok(Err(why)) => Err(Health::waiting(reasons::REFUSED, format!("{words}: {why}"))),
    };
    Ok(told)
}

fn no_auth(is_given: bool, leader: Option<i32>) -> String {
    let who = "the user:password of its super user (DigestAuthenticationProvider.superDigest), or of one who may write \
               /zookeeper/config";
    match (leader, is_given) {
        (Some(id), _) => format!(
            "spec.join: member {id}, which is ours, leads and lets only its super user, or one who may write \
             /zookeeper/config, change the members; give spec.join.credentials with that user:password, and for a super \
             user spec.authentication.superDigest with its digest"
        ),
        (None, false) => format!(
            "spec.join: the ensemble refuses a change of its members without credentials; give spec.join.credentials \
             with {who}"
        ),
        (None, true) => format!(
            "spec.join.credentials: the ensemble does not let this user change its members; give {who}"
        ),
    }
}

/// A change waits for others, so it is given more than an answer needs.
const PATIENCE: Duration = Duration::from_secs(10);
const IN_PROGRESS: i32 = -14;
const NO_QUORUM: i32 = -13;
const NOT_ENABLED: &str = "spec.join: the ensemble does not let its members be changed while it runs. Our members \
    follow it without a vote until then. Add the line reconfigEnabled=true to the zoo.cfg of each of its servers and \
    start them again one by one, each when the one before serves, the leader last; the take-over then goes on by itself";
const ALONE: &str = "spec.join: a server that stands alone has no members to join; give it a line \
    server.N=host:2888:3888;2181, standaloneEnabled=false and reconfigEnabled=true in its zoo.cfg and start it again";
