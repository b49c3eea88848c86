//! Looks at an ensemble that keeps its own members, takes one step, and tells how it is now.

use std::collections::BTreeMap;

use crds::{Ensemble, EnsembleStatus};
use futures::future::join_all;

use super::apply::carry_out;
use super::join::{self, Change, Config, Situation, Way};
use super::observe::{self, Heard};
use super::plan::{JoinTarget, Target};
use super::status::{self, View};
use super::steps::{Next, Seen};
use crate::conditions::Health;
use crate::context::Context;
use crate::kind::{now, owner};
use crate::platform::{Part, PartState, PlatformError};

/// What it is about.
pub(super) struct Joined<'a> {
    pub(super) ensemble: &'a Ensemble,
    pub(super) target: &'a Target,
    pub(super) ctx: &'a Context,
}

impl Joined<'_> {
    pub(super) async fn advance(
        &self,
        mut told: EnsembleStatus,
        seen: Vec<Seen>,
        heard: Vec<Heard>,
    ) -> Result<(EnsembleStatus, Health), PlatformError> {
        // Without a word of whom to join, those that are left are left alone.
        let join = self.target.join.clone().unwrap_or_default();
        let mut others = others(&join).await;
        let servers = servers(&join, &heard, &told);
        let asked = join::ask(self.ctx, &owner(self.ensemble), &servers).await;
        let config = match &asked {
            Ok(config) => config.clone(),
            Err(_) => known(&told, &join),
        };
        let lines = heard.iter().filter_map(|(part, _)| Some((part.number, part.line.clone()?)));
        let answers = others.iter().map(|(part, answer)| (part.number, answer.clone())).collect();
        let at = Situation {
            target: self.target,
            join: &join,
            config: &config,
            seen: &seen,
            lines: &lines.collect(),
            others: &answers,
        };
        let decided = match (&self.target.fault, asked) {
            (Some(fault), _) => join::Next::Wait(fault.clone()),
            (None, Err(why)) => join::Next::Wait(why),
            (None, Ok(_)) => join::next(&at),
        };
        let (stays, membership) = (join::stays(&at), join::status_members(&at));
        let (leader, advice) = (join::leads(&at), join::advice(&at));
        others.retain(|(part, _)| join::is_missed(&at, part.number));
        let (next, mut heard) = match decided {
            join::Next::Settled => (Next::Settled, heard),
            join::Next::Wait(why) => (Next::Wait(why), heard),
            join::Next::Do(step) => {
                tracing::info!("Ensemble {}: {}", owner(self.ensemble), step.words());
                let wishes = step.applied(seen.iter().map(|member| member.wish.clone()));
                let heard =
                    carry_out(&step, &wishes, heard, self.ensemble, self.target, self.ctx).await?;
                (Next::Do(step), heard)
            }
            join::Next::Change(change) => {
                let theirs = theirs(&join, &config, &others);
                let servers = [theirs, servers].into_iter().filter(|servers| !servers.is_empty());
                let credentials = join.credentials.as_deref();
                let way = Way { servers: servers.collect(), credentials, leader };
                (self.change(&change, &config, &way).await, heard)
            }
        };
        heard.extend(others);
        heard.sort_by_key(|(part, _)| part.number);
        let view = View {
            target: self.target,
            membership,
            heard: &heard,
            next: &next,
            stays: Some(&stays),
        };
        let generation = self.ensemble.metadata.generation.unwrap_or(0);
        let health = status::status(&mut told, &view, generation, &now());
        let health = match (health, advice) {
            (Health::Ready(message), Some(advice)) => Health::Ready(format!("{message}; {advice}")),
            (health, _) => health,
        };
        Ok((told, health))
    }

    async fn change(&self, change: &Change, config: &Config, way: &Way<'_>) -> Next {
        tracing::info!("Ensemble {}: {}", owner(self.ensemble), change.words());
        Next::Wait(match join::change(change, config, way).await {
            Ok(()) => Health::waiting(crds::reasons::JOINING, change.words()),
            Err(why) => why,
        })
    }
}

/// Those that are not ours, and what they answer.
async fn others(join: &JoinTarget) -> Vec<Heard> {
    let parts = join.clients.iter().map(|(id, endpoint)| Part {
        number: *id,
        endpoint: Some(endpoint.clone()),
        secure_endpoint: None,
        line: None,
        pid: None,
        restarts: 0,
        state: PartState::Elsewhere,
    });
    let parts: Vec<Part> = parts.collect();
    let answers = join_all(parts.iter().map(observe::ask)).await;
    parts.into_iter().zip(answers).collect()
}

/// Where the members in force are asked for, and changed: at ours that vote, once there are. One without a vote may tell
/// what it was started with.
fn servers(join: &JoinTarget, heard: &[Heard], told: &EnsembleStatus) -> String {
    let votes =
        |id: i32| told.members.iter().any(|member| member.id == id && member.votes == Some(true));
    let voters =
        heard.iter().filter(|(part, answer)| votes(part.number) && answer.report().is_some());
    let ours: Vec<String> = voters.filter_map(|(part, _)| part.endpoint.clone()).collect();
    match ours.is_empty() {
        true => join.clients.values().cloned().collect::<Vec<_>>().join(","),
        false => ours.join(","),
    }
}

/// Those of them that are in force and serve.
fn theirs(join: &JoinTarget, config: &Config, others: &[Heard]) -> String {
    let serving = others.iter().filter(|(_, answer)| answer.report().is_some());
    let ids = serving.map(|(part, _)| part.number).filter(|id| config.servers.contains_key(id));
    ids.filter_map(|id| join.clients.get(&id).cloned()).collect::<Vec<_>>().join(",")
}

/// Who voted when the members were told last; before that, those that are declared.
fn known(told: &EnsembleStatus, join: &JoinTarget) -> Config {
    let voters = told.members.iter().filter(|member| member.votes == Some(true));
    let voters: BTreeMap<i32, String> = voters.map(|member| (member.id, String::new())).collect();
    let servers = if voters.is_empty() { join.servers.clone() } else { voters };
    Config { servers, ..Config::default() }
}
