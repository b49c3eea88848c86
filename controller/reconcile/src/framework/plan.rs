//! What to do about a Framework.

use crds::{Framework, reasons};
use kube::ResourceExt;

use super::Run;
use super::observe::Observed;
use super::service::{Refused, service};
use crate::conditions::Health;
use crate::kind::{is_deleting, owner, restarted_at};

/// The next step; leaves no choice.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Plan {
    /// Nothing may be done, or nothing can be. What runs stays as it is.
    Rest(Health),
    /// Nothing of it is left: let the object go.
    Release,
    /// Tear it down, then let the object go.
    TearDown(Box<Run>),
    /// Run it so.
    Run(Box<Run>),
}

/// Decides. Pure and total.
pub(crate) fn plan(framework: &Framework, observed: &Observed) -> Plan {
    if observed.paused {
        let message = format!("paused: remove the annotation {} to go on", crds::PAUSED);
        return Plan::Rest(Health::stalled(reasons::PAUSED, message));
    }
    let deleting = is_deleting(framework);
    let never_ran = !framework.finalizers().iter().any(|held| held == crds::FINALIZER);
    if deleting && never_ran {
        return Plan::Release;
    }
    let name = framework.name_any();
    let declared = service(&name, &framework.spec, restarted_at(framework).as_deref());
    let declared = match declared {
        Ok(declared) => declared,
        // To tear it down it need not make sense.
        Err(_) if deleting => {
            frameworks::ServiceSpec::new(&name, frameworks::TaskSpec::shell("true"))
        }
        Err(Refused::Unsupported(field)) => return Plan::Rest(Health::unsupported(&field)),
        Err(Refused::Invalid(message)) => {
            return Plan::Rest(Health::stalled(reasons::INVALID_SPEC, message));
        }
    };
    let Some(failover_timeout) = framework.spec.failover_timeout.value() else {
        let written = &framework.spec.failover_timeout.0;
        let message =
            format!("spec.failoverTimeout: {written:?} is no duration; write it like 168h");
        return Plan::Rest(Health::stalled(reasons::INVALID_SPEC, message));
    };
    let Some(pool) = &observed.pool else {
        // A pool goes only after its frameworks: without it there are no tasks.
        if deleting {
            return Plan::Release;
        }
        let message = format!(
            "ResourcePool {} does not exist in this namespace; create it, or delete this Framework and name another",
            framework.spec.pool_ref.name
        );
        return Plan::Rest(Health::stalled(reasons::REFERENCE_NOT_FOUND, message));
    };
    let waiting = |pool_trouble: Option<&String>| {
        let message = pool_trouble.cloned().unwrap_or_else(|| "its pool has no masters yet".into());
        Plan::Rest(Health::waiting(reasons::WAITING_FOR_REFERENCE, message))
    };
    let Some(detector) = pool.detector.clone() else { return waiting(pool.trouble.as_ref()) };
    let Some(servers) = servers(&detector) else { return waiting(pool.trouble.as_ref()) };
    let run = Box::new(Run {
        owner: owner(framework),
        servers,
        detector,
        role: framework.spec.role.clone(),
        failover_timeout,
        service: declared,
    });
    if deleting { Plan::TearDown(run) } else { Plan::Run(run) }
}

/// The hosts of `zk://hosts/path`.
fn servers(detector: &str) -> Option<String> {
    let (servers, _) = detector.strip_prefix("zk://")?.split_once('/')?;
    (!servers.is_empty()).then(|| servers.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framework::observe::Pool;
    use serde_json::json;

    fn framework() -> Framework {
        serde_json::from_value(json!({
            "apiVersion": "troupe.dev/v1alpha1", "kind": "Framework",
            "metadata": { "name": "f", "namespace": "default", "uid": "1" },
            "spec": { "poolRef": { "name": "p" }, "task": { "shell": "true" }, "service": {} },
        }))
        .expect("a Framework")
    }

    fn with_pool() -> Observed {
        let pool = Pool { detector: Some("zk://h:1,i:2/x/election".into()), ..Pool::default() };
        Observed { paused: false, pool: Some(pool) }
    }

    #[test]
    fn it_runs_in_its_pool() {
        let Plan::Run(run) = plan(&framework(), &with_pool()) else { panic!("it should run") };
        assert_eq!((run.servers.as_str(), run.role.as_str()), ("h:1,i:2", "*"));
    }

    #[test]
    fn without_its_pool_it_says_so() {
        let missing = plan(&framework(), &Observed::default());
        let Plan::Rest(Health::Stalled { reason, message }) = missing else {
            panic!("{missing:?}")
        };
        assert_eq!(reason, reasons::REFERENCE_NOT_FOUND);
        assert!(message.contains("ResourcePool p"), "{message}");
    }

    #[test]
    fn deletion_tears_down_what_may_have_run_even_if_the_spec_makes_no_sense_any_more() {
        let mut gone = framework();
        gone.metadata.deletion_timestamp = Some(crate::kind::now());
        assert_eq!(plan(&gone, &with_pool()), Plan::Release, "it never ran");
        gone.metadata.finalizers = Some(vec![crds::FINALIZER.into()]);
        gone.spec.task.image = Some("x".into());
        assert!(matches!(plan(&gone, &with_pool()), Plan::TearDown(_)));
        assert_eq!(plan(&gone, &Observed::default()), Plan::Release, "no pool, no tasks");
    }
}
