//! Sessions with declared ensembles: one for each, shared by all ZNodes of it.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::Mutex;
use zookeeper_client::{Client, Error};

/// Sessions by Ensemble.
#[derive(Default)]
pub(crate) struct Sessions {
    open: Mutex<HashMap<String, Session>>,
}

struct Session {
    servers: String,
    client: Client,
}

impl Sessions {
    /// The session with an Ensemble, or a new one: after its end, and when other servers are to be used. The
    /// one before then ends with the last who uses it.
    pub(crate) async fn with(&self, ensemble: &str, servers: &str) -> Result<Client, Error> {
        let mut open = self.open.lock().await;
        if let Some(session) = open.get(ensemble)
            && session.servers == servers
            && !session.client.state().is_terminated()
        {
            return Ok(session.client.clone());
        }
        let connector = Client::connector()
            .with_session_timeout(SESSION_TIMEOUT)
            .with_connection_timeout(CONNECTION_TIMEOUT)
            .with_fail_eagerly();
        let connect = tokio::time::timeout(CONNECTION_TIMEOUT * 2, connector.connect(servers));
        let client = connect.await.map_err(|_| Error::Timeout)??;
        open.retain(|_, session| !session.client.state().is_terminated());
        let session = Session { servers: servers.to_owned(), client: client.clone() };
        open.insert(ensemble.to_owned(), session);
        Ok(client)
    }
}

const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);
