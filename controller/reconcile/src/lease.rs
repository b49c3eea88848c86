//! Leadership by a `Lease`: of several controllers one acts.
//!
//! Every write carries the version that was read, so that of two candidates who saw the same expired Lease
//! one loses. Times are this process's own: a Lease counts as expired when it was not renewed for its
//! duration as seen from here, so clocks need not agree.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, ResourceExt};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::error::{Error, Tried, is_status};

/// Which Lease.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LeaseOptions {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Who holds it, such as the pod's name: no two controllers may say the same.
    pub identity: String,
}

/// A Lease that is held and renewed until it is released or lost.
pub(crate) struct Held {
    api: Api<Lease>,
    options: LeaseOptions,
    lost: watch::Receiver<bool>,
    job: JoinHandle<()>,
}

impl Held {
    /// Ends when the Lease is lost.
    pub(crate) async fn lost(&self) {
        let mut lost = self.lost.clone();
        let _gone = lost.wait_for(|lost| *lost).await;
    }

    /// Gives it back, so that the next controller need not wait.
    pub(crate) async fn release(self) {
        self.job.abort();
        let given_back = async {
            let Some(mut lease) = self.api.get_opt(&self.options.name).await? else {
                return Ok(());
            };
            if holder(&lease) != Some(self.options.identity.as_str()) {
                return Ok(());
            }
            if let Some(spec) = &mut lease.spec {
                spec.holder_identity = None;
            }
            self.api.replace(&self.options.name, &PostParams::default(), &lease).await.map(drop)
        };
        if let Err(why) = given_back.await {
            tracing::warn!("give back the Lease {}: {why}", self.options.name);
        }
    }
}

/// Waits until the Lease is ours.
pub(crate) async fn acquire(client: Client, options: LeaseOptions) -> Result<Held, Error> {
    let api: Api<Lease> = Api::namespaced(client, &options.namespace);
    // What was seen last of another's Lease, and when it was first seen so.
    let mut seen: Option<(Option<String>, Instant)> = None;
    loop {
        let now = api.get_opt(&options.name).await;
        let now = now.tried(|| format!("read Lease {}/{}", options.namespace, options.name))?;
        let version = now.as_ref().and_then(ResourceExt::resource_version);
        if seen.as_ref().is_none_or(|(known, _)| *known != version) {
            seen = Some((version, Instant::now()));
        }
        let is_old = seen.as_ref().is_some_and(|(_, since)| since.elapsed() > DURATION);
        let is_free = now.as_ref().is_none_or(|lease| {
            is_old || holder(lease).is_none_or(|holder| holder == options.identity)
        });
        if is_free && take(&api, &options, now).await? {
            return Ok(keep(api, options));
        }
        sleep(RENEWAL / 2).await;
    }
}

fn keep(api: Api<Lease>, options: LeaseOptions) -> Held {
    let (tell, lost) = watch::channel(false);
    let (their_api, theirs) = (api.clone(), options.clone());
    let job = tokio::spawn(async move {
        let mut renewed = Instant::now();
        // Given up while others still believe in it: they wait for the whole duration.
        while renewed.elapsed() < DEADLINE {
            sleep(RENEWAL).await;
            let began = Instant::now();
            let renewal = async {
                match their_api.get_opt(&theirs.name).await {
                    Ok(Some(lease)) if holder(&lease) == Some(theirs.identity.as_str()) => {
                        take(&their_api, &theirs, Some(lease)).await
                    }
                    Ok(_) => Ok(false),
                    Err(why) => Err(why).tried(|| "read the Lease".into()),
                }
            };
            match tokio::time::timeout(RENEWAL, renewal).await {
                Ok(Ok(true)) => renewed = began,
                Ok(Ok(false)) => break,
                Ok(Err(why)) => tracing::warn!("renew the Lease {}: {why}", theirs.name),
                Err(_) => tracing::warn!("renew the Lease {}: no answer", theirs.name),
            }
        }
        // Nobody is left who must stop when the other end is gone.
        let _told = tell.send(true);
    });
    Held { api, options, lost, job }
}

/// Writes ourselves into it; `false` when somebody else was faster.
async fn take(api: &Api<Lease>, options: &LeaseOptions, now: Option<Lease>) -> Result<bool, Error> {
    let time = MicroTime(Timestamp::now());
    let written = match now {
        None => {
            let spec = LeaseSpec { lease_transitions: Some(0), ..LeaseSpec::default() };
            let metadata = ObjectMeta { name: Some(options.name.clone()), ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(ours(spec, options, time)) };
            api.create(&PostParams::default(), &lease).await
        }
        Some(mut lease) => {
            let spec = lease.spec.take().unwrap_or_default();
            lease.spec = Some(ours(spec, options, time));
            api.replace(&options.name, &PostParams::default(), &lease).await
        }
    };
    match written {
        Ok(_) => Ok(true),
        Err(why) if is_status(&why, 409) => Ok(false),
        Err(why) => {
            Err(why).tried(|| format!("write Lease {}/{}", options.namespace, options.name))
        }
    }
}

fn ours(mut spec: LeaseSpec, options: &LeaseOptions, time: MicroTime) -> LeaseSpec {
    if spec.holder_identity.as_deref() != Some(options.identity.as_str()) {
        spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0).saturating_add(1));
        spec.acquire_time = Some(time.clone());
    }
    spec.holder_identity = Some(options.identity.clone());
    spec.lease_duration_seconds = i32::try_from(DURATION.as_secs()).ok();
    spec.renew_time = Some(time);
    spec
}

fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

const DURATION: Duration = Duration::from_secs(15);
const DEADLINE: Duration = Duration::from_secs(10);
const RENEWAL: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewal_is_no_transition() {
        let options =
            LeaseOptions { namespace: "a".into(), name: "b".into(), identity: "me".into() };
        let at = |second| MicroTime(Timestamp::from_second(second).expect("a time"));
        let taken = ours(
            LeaseSpec { holder_identity: Some("other".into()), ..LeaseSpec::default() },
            &options,
            at(1),
        );
        let renewed = ours(taken.clone(), &options, at(2));
        assert_eq!((taken.lease_transitions, renewed.lease_transitions), (Some(1), Some(1)));
        assert_eq!((renewed.acquire_time, renewed.renew_time), (Some(at(1)), Some(at(2))));
    }
}
