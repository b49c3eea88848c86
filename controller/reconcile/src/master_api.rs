//! The operator API of the leading master: `POST /api/v1` with JSON.
//!
//! Lives here: the calls that a pool needs, and reading their answers. Source: Mesos 1.11,
//! `v1/master/master.proto`.

use std::collections::BTreeMap;
use std::fmt::Write;

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::http;

/// Why a master gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum MasterError {
    /// It cannot be reached, or its answer makes no sense.
    #[error("master {0} does not answer: {1}")]
    Silent(String, String),
    /// It is not the leading one.
    #[error("master {0} does not lead")]
    NotLeading(String),
    /// It says no.
    #[error("master {0} refuses {1}: {2}")]
    Refused(String, String, String),
}

/// One call; `None` for an answer without a body.
pub(crate) async fn call(endpoint: &str, body: &Value) -> Result<Option<Value>, MasterError> {
    let silent =
        |why: &dyn std::fmt::Display| MasterError::Silent(endpoint.to_owned(), why.to_string());
    let answer = http::ask(endpoint, "/api/v1", Some(body)).await;
    let (status, answer) = answer.map_err(|why| silent(&why))?;
    if status.is_redirection() || status == StatusCode::SERVICE_UNAVAILABLE {
        return Err(MasterError::NotLeading(endpoint.to_owned()));
    }
    if !status.is_success() {
        let what = body["type"].as_str().unwrap_or("a call").to_owned();
        let why: String = String::from_utf8_lossy(&answer).chars().take(500).collect();
        return Err(MasterError::Refused(endpoint.to_owned(), what, format!("{status}: {why}")));
    }
    if answer.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&answer).map(Some).map_err(|why| silent(&why))
}

/// How many tasks of a framework the leading master knows that have not ended.
pub(crate) async fn live_tasks(endpoint: &str, framework: &str) -> Result<usize, MasterError> {
    let answer = call(endpoint, &json!({ "type": "GET_TASKS" })).await?.unwrap_or_default();
    let tasks = &answer["get_tasks"];
    let of = |list: &Value| {
        let list = list.as_array().into_iter().flatten();
        list.filter(|task| task["framework_id"]["value"].as_str() == Some(framework)).count()
    };
    Ok(of(&tasks["tasks"]) + of(&tasks["pending_tasks"]))
}

/// Agents as the leading master knows them.
pub(crate) async fn agents(endpoint: &str) -> Result<Vec<AgentReport>, MasterError> {
    let answer = call(endpoint, &json!({ "type": "GET_AGENTS" })).await?.unwrap_or_default();
    let agents = answer["get_agents"]["agents"].as_array().cloned().unwrap_or_default();
    Ok(agents.iter().map(AgentReport::read).collect())
}

/// One agent as the master knows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AgentReport {
    pub(crate) id: String,
    pub(crate) hostname: String,
    pub(crate) address: Option<String>,
    pub(crate) active: bool,
    pub(crate) deactivated: bool,
    pub(crate) registered: Option<i64>,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) total: Figures,
    pub(crate) allocated: Figures,
    pub(crate) offered: Figures,
    /// What each role has of `allocated`.
    pub(crate) by_role: BTreeMap<String, Figures>,
}

impl AgentReport {
    fn read(agent: &Value) -> Self {
        let info = &agent["agent_info"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut by_role: BTreeMap<String, Figures> = BTreeMap::new();
        for resource in agent["allocated_resources"].as_array().into_iter().flatten() {
            let role = text(&resource["allocation_info"]["role"]);
            by_role.entry(role).or_default().add(resource);
        }
        let attributes = info["attributes"].as_array().into_iter().flatten().map(|attribute| {
            let value = match &attribute["text"]["value"] {
                Value::String(text) => text.clone(),
                _ => attribute["scalar"]["value"].to_string(),
            };
            (text(&attribute["name"]), value)
        });
        Self {
            id: text(&info["id"]["value"]),
            hostname: text(&info["hostname"]),
            address: agent["pid"].as_str().and_then(|pid| Some(pid.rsplit_once('@')?.1.to_owned())),
            active: agent["active"].as_bool().unwrap_or(false),
            deactivated: agent["deactivated"].as_bool().unwrap_or(false),
            registered: agent["reregistered_time"]["nanoseconds"]
                .as_i64()
                .or_else(|| agent["registered_time"]["nanoseconds"].as_i64()),
            attributes: attributes.collect(),
            total: Figures::read(&agent["total_resources"]),
            allocated: Figures::read(&agent["allocated_resources"]),
            offered: Figures::read(&agent["offered_resources"]),
            by_role,
        }
    }
}

/// Amounts by resource, in thousandths; a range counts its numbers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Figures(pub(crate) BTreeMap<String, i64>);

impl Figures {
    pub(crate) fn read(resources: &Value) -> Self {
        let mut figures = Self::default();
        resources.as_array().into_iter().flatten().for_each(|resource| figures.add(resource));
        figures
    }

    fn add(&mut self, resource: &Value) {
        let Some(name) = resource["name"].as_str() else { return };
        let amount = match resource["type"].as_str() {
            Some("SCALAR") => millis(resource["scalar"]["value"].as_f64().unwrap_or(0.0)),
            Some("RANGES") => {
                let ranges = resource["ranges"]["range"].as_array().into_iter().flatten();
                let numbers = ranges.map(|range| {
                    let (begin, end) = (range["begin"].as_i64(), range["end"].as_i64());
                    end.zip(begin).map_or(0, |(end, begin)| {
                        end.saturating_sub(begin).saturating_add(1).max(0)
                    })
                });
                numbers.fold(0_i64, i64::saturating_add).saturating_mul(1_000)
            }
            _ => return,
        };
        let sum = self.0.entry(name.to_owned()).or_default();
        *sum = sum.saturating_add(amount);
    }

    /// Adds another's amounts.
    pub(crate) fn plus(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let sum = self.0.entry(name.clone()).or_default();
            *sum = sum.saturating_add(*amount);
        }
    }

    pub(crate) fn of(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// `cpus:0.3; mem:96`.
    pub(crate) fn words(&self) -> String {
        let mut text = String::new();
        for (name, amount) in self.0.iter().filter(|(_, amount)| **amount != 0) {
            let separator = if text.is_empty() { "" } else { "; " };
            write!(text, "{separator}{name}:{}", decimal(*amount)).expect("a String takes all");
        }
        text
    }
}

/// Thousandths as a decimal number without needless zeros.
pub(crate) fn decimal(millis: i64) -> String {
    let sign = if millis < 0 { "-" } else { "" };
    let text =
        format!("{sign}{}.{:03}", millis.unsigned_abs() / 1_000, millis.unsigned_abs() % 1_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "a float cast saturates, and no host has so much"
)]
fn millis(value: f64) -> i64 {
    (value * 1_000.0).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_read_as_masters_write_it() {
        let agent = AgentReport::read(&json!({
            "agent_info": {
                "hostname": "p-0", "id": { "value": "x-S0" },
                "attributes": [{ "name": "rack", "type": "TEXT", "text": { "value": "r1" } }],
            },
            "active": true, "pid": "slave(1)@127.0.0.1:5051",
            "registered_time": { "nanoseconds": 7 },
            "total_resources": [
                { "name": "cpus", "type": "SCALAR", "scalar": { "value": 1.5 } },
                { "name": "ports", "type": "RANGES", "ranges": { "range": [{ "begin": 10, "end": 19 }] } },
            ],
            "allocated_resources": [
                { "name": "cpus", "type": "SCALAR", "scalar": { "value": 0.1 }, "allocation_info": { "role": "web" } },
                { "name": "cpus", "type": "SCALAR", "scalar": { "value": 0.2 }, "allocation_info": { "role": "web" } },
            ],
        }));
        assert_eq!(agent.address.as_deref(), Some("127.0.0.1:5051"));
        assert_eq!((agent.total.of("cpus"), agent.total.of("ports")), (1_500, 10_000));
        assert_eq!(agent.by_role["web"].of("cpus"), 300);
        assert_eq!(agent.allocated.words(), "cpus:0.3");
        assert_eq!(agent.attributes["rack"], "r1");
    }

    #[test]
    fn rubbish_is_read_as_nothing() {
        assert_eq!(AgentReport::read(&json!([1, "x"])), AgentReport::default());
        assert_eq!(Figures::read(&json!({ "name": 3 })), Figures::default());
    }
}
