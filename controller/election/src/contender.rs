//! Contending: a znode of one's own in the election, and what it is worth at each moment.

use tokio::sync::watch;
use tokio::task::JoinHandle;
use zookeeper_client::{Client, CreateMode, Error};

use crate::Place;
use crate::leadership::Leadership;
use crate::members;
use crate::session::{self, Pause};

/// The label of Mesos masters, whose znode holds a `MasterInfo` as JSON.
pub const MASTER_LABEL: &str = "json.info";

/// What a contender is at the moment.
#[derive(Clone, Debug)]
pub enum Standing {
    /// Not in the election: joining, or the session was lost and it joins again.
    Outside,
    /// In it, behind the named leader.
    Behind {
        /// The leader's child name.
        leader: String,
    },
    /// First. Ends by itself when the session is lost: whoever led must stop then.
    Leading(Leadership),
}

impl Standing {
    /// Whether it leads.
    pub const fn is_leading(&self) -> bool {
        matches!(self, Self::Leading(_))
    }
}

/// Takes part in an election until it is dropped or withdrawn.
#[derive(Debug)]
pub struct Contender {
    standing: watch::Receiver<Standing>,
    withdraw: watch::Sender<bool>,
    job: JoinHandle<()>,
}

impl Contender {
    /// Joins the election at `place` with a znode `<label>_<sequence>` that holds `data`, and joins again
    /// whenever its session is lost. Servers out of reach are tried until they answer.
    pub fn enter(place: Place, label: &str, data: Vec<u8>) -> Self {
        Self::enter_instead_of(place, label, data, |_| false)
    }

    /// As [`Contender::enter`], and removes the znodes of contenders that are known to be dead by what they
    /// hold, so that nobody waits for their sessions to expire.
    pub fn enter_instead_of(
        place: Place,
        label: &str,
        data: Vec<u8>,
        is_dead: impl Fn(&[u8]) -> bool + Send + Sync + 'static,
    ) -> Self {
        let (told, standing) = watch::channel(Standing::Outside);
        let (withdraw, withdrawn) = watch::channel(false);
        let entry = Entry { place, label: label.into(), data, is_dead: Box::new(is_dead) };
        let job = tokio::spawn(entry.contend(told, withdrawn));
        Self { standing, withdraw, job }
    }

    /// What it is now, and each change.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Leaves the election: the next in line leads at once, without a session timeout.
    pub async fn withdraw(mut self) {
        self.withdraw.send_replace(true);
        if let Err(error) = (&mut self.job).await {
            tracing::warn!(%error, "the election ended in an unexpected way");
        }
    }
}

impl Drop for Contender {
    /// Its session ends with it.
    fn drop(&mut self) {
        self.job.abort();
    }
}

struct Entry {
    place: Place,
    label: String,
    data: Vec<u8>,
    is_dead: IsDead,
}

type IsDead = Box<dyn Fn(&[u8]) -> bool + Send + Sync>;

impl Entry {
    async fn contend(self, told: watch::Sender<Standing>, mut withdrawn: watch::Receiver<bool>) {
        let mut pause = Pause::new();
        loop {
            let one = self.one_session(&told, &mut pause);
            let ended = tokio::select! {
                ended = one => Some(ended),
                _ = withdrawn.wait_for(|withdrawn| *withdrawn) => None,
            };
            let before = told.send_replace(Standing::Outside);
            match ended {
                None => return leave(before).await,
                Some(Ok(())) => {
                    tracing::warn!(place = %self.place, "the session of the election is lost")
                }
                Some(Err(error)) => {
                    tracing::warn!(place = %self.place, %error, "not in the election; trying again");
                }
            }
            pause.wait().await;
        }
    }

    /// One session from its beginning to its loss.
    async fn one_session(
        &self,
        told: &watch::Sender<Standing>,
        pause: &mut Pause,
    ) -> Result<(), Error> {
        let client = session::connect(&self.place).await?;
        // Every error from here on drops the client, which ends the session and its znode with it: so no
        // second znode of ours stays behind, even if the answer to `create` got lost.
        let own = self.join(&client).await?;
        pause.reset();
        tokio::select! {
            ended = self.follow(&client, &own, told) => ended,
            _ = session::lost(&client) => Ok(()),
        }
    }

    async fn join(&self, client: &Client) -> Result<String, Error> {
        let acls = session::acls(&self.place);
        client.mkdir(&self.place.path, &CreateMode::Persistent.with_acls(acls)).await?;
        for child in client.list_children(&self.place.path).await? {
            if members::leader(std::slice::from_ref(&child), &self.label).is_none() {
                continue;
            }
            let path = format!("{}/{child}", self.place.path);
            let dead = match client.get_data(&path).await {
                Ok((data, _)) => (self.is_dead)(&data),
                Err(Error::NoNode) => false,
                Err(error) => return Err(error),
            };
            if dead {
                tracing::info!(path, "the znode of a dead contender is removed");
                match client.delete(&path, None).await {
                    Ok(()) | Err(Error::NoNode) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let prefix = format!("{}/{}_", self.place.path, self.label);
        let options = CreateMode::EphemeralSequential.with_acls(acls);
        let (_, sequence) = client.create(&prefix, &self.data, &options).await?;
        Ok(format!("{}_{sequence}", self.label))
    }

    async fn follow(
        &self,
        client: &Client,
        own: &str,
        told: &watch::Sender<Standing>,
    ) -> Result<(), Error> {
        loop {
            let path = &self.place.path;
            let (children, changed) =
                session::persist(|| client.list_and_watch_children(path)).await?;
            if !children.iter().any(|child| child == own) {
                tracing::warn!(place = %self.place, own, "somebody removed our znode");
                return Ok(());
            }
            let leader = members::leader(&children, &self.label).unwrap_or(own);
            let leads = told.borrow().is_leading();
            if leader != own {
                told.send_replace(Standing::Behind { leader: leader.into() });
            } else if !leads {
                let own = format!("{}/{own}", self.place.path);
                let leadership = Leadership::new(client.clone(), own, self.place.clone());
                told.send_replace(Standing::Leading(leadership));
            }
            changed.changed().await;
        }
    }
}

/// Removes the znode of a contender that goes; the end of its session would do so too, but later.
async fn leave(standing: Standing) {
    if let Standing::Leading(leadership) = standing {
        leadership.resign().await;
    }
}
