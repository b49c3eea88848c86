//! Sessions with declared ensembles: one for each connect string, shared by all ZNodes of it.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::Mutex;
use zookeeper_client::{Client, Error};

/// Sessions by connect string.
#[derive(Default)]
pub(crate) struct Sessions {
    open: Mutex<HashMap<String, Client>>,
}

impl Sessions {
    /// A session that lives, or a new one.
    pub(crate) async fn with(&self, servers: &str) -> Result<Client, Error> {
        let mut open = self.open.lock().await;
        if let Some(client) = open.get(servers)
            && !client.state().is_terminated()
        {
            return Ok(client.clone());
        }
        let connector = Client::connector()
            .with_session_timeout(SESSION_TIMEOUT)
            .with_connection_timeout(CONNECTION_TIMEOUT)
            .with_fail_eagerly();
        let connect = tokio::time::timeout(CONNECTION_TIMEOUT * 2, connector.connect(servers));
        let client = connect.await.map_err(|_| Error::Timeout)??;
        open.retain(|_, client| !client.state().is_terminated());
        open.insert(servers.to_owned(), client.clone());
        Ok(client)
    }
}

const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);
