//! Sessions with the ensemble: made with a pause between failures, and given up in time.

use std::time::Duration;

use tokio::time::sleep;
use zookeeper_client::{Acl, Acls, Client, Error, Permission, SessionState};

use crate::Place;

/// As Mesos's masters and agents ask for.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// A server that does not answer for so long is left for another: within a session there is time to try three.
const SILENCE: Duration = Duration::from_millis(2_500);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The pause before the next attempt, twice as long each time.
pub(crate) struct Pause(Duration);

impl Pause {
    pub(crate) const fn new() -> Self {
        Self(FIRST_PAUSE)
    }

    pub(crate) const fn reset(&mut self) {
        self.0 = FIRST_PAUSE;
    }

    pub(crate) async fn wait(&mut self) {
        sleep(self.0).await;
        self.0 = (self.0 * 2).min(LONGEST_PAUSE);
    }
}

/// A new session with the servers of a place.
pub(crate) async fn connect(place: &Place) -> Result<Client, Error> {
    let mut connector =
        Client::connector().with_session_timeout(SESSION_TIMEOUT).with_connection_timeout(SILENCE);
    if let Some(credentials) = &place.credentials {
        connector = connector.with_auth("digest", credentials.as_bytes());
    }
    connector.connect(&place.servers).await
}

/// Repeats a read for as long as its answer is lost with a connection: the session goes on with another
/// server, and its end ends this too.
pub(crate) async fn persist<T, F>(mut read: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut pause = Pause::new();
    loop {
        match read().await {
            Err(why) if is_passing(&why) => pause.wait().await,
            answer => return answer,
        }
    }
}

/// Whether only the connection broke, in whatever way: a server that was killed is told of by the system's own
/// error, and one that hangs by the client's.
pub(crate) const fn is_passing(why: &Error) -> bool {
    matches!(why, Error::ConnectionLoss | Error::Custom(_))
}

/// Ends when nobody may rely on the session any more: it expired, or the servers were out of reach for as
/// long as it lasts, so that they may have given it to nobody's benefit.
pub(crate) async fn lost(client: &Client) -> SessionState {
    let mut watcher = client.state_watcher();
    let mut state = client.state();
    loop {
        if state.is_terminated() {
            return state;
        }
        state = if state == SessionState::Disconnected {
            match tokio::time::timeout(client.session_timeout(), watcher.changed()).await {
                Ok(state) => state,
                Err(_) => return SessionState::Disconnected,
            }
        } else {
            watcher.changed().await
        };
    }
}

/// With credentials everybody may read and their owner do all; without, everybody may do all.
pub(crate) fn acls(place: &Place) -> Acls<'static> {
    static OWNED: [Acl; 2] = [
        Acl::new_const(Permission::READ, "world", "anyone"),
        Acl::new_const(Permission::ALL, "auth", ""),
    ];
    if place.credentials.is_some() { Acls::new(&OWNED) } else { Acls::anyone_all() }
}
