//! Roles as declared, and what the master is told so that it has them.
//!
//! Only roles that are declared are touched: others are an operator's, who may have set them by hand.

use crds::{Amounts, PoolRole};
use serde_json::{Map, Value, json};

use crate::master_api::{MasterError, call};

/// Tells the master of what differs. Weights and quotas of declared roles only.
pub(crate) async fn settle(endpoint: &str, roles: &[PoolRole]) -> Result<(), MasterError> {
    if roles.is_empty() {
        return Ok(());
    }
    let weights = call(endpoint, &json!({ "type": "GET_WEIGHTS" })).await?.unwrap_or_default();
    let infos = differing_weights(roles, &weights);
    if !infos.is_empty() {
        let update =
            json!({ "type": "UPDATE_WEIGHTS", "update_weights": { "weight_infos": infos } });
        call(endpoint, &update).await?;
    }
    let kept = call(endpoint, &json!({ "type": "GET_QUOTA" })).await?.unwrap_or_default();
    // A spec that cannot be read was refused by the plan.
    let differing: Vec<Value> = quotas(roles)
        .unwrap_or_default()
        .into_iter()
        .filter(|wanted| !has_quota(&kept, wanted))
        .collect();
    if !differing.is_empty() {
        let update = json!({
            "type": "UPDATE_QUOTA",
            // The capacity may come later, when agents have registered.
            "update_quota": { "force": true, "quota_configs": differing },
        });
        call(endpoint, &update).await?;
    }
    Ok(())
}

fn differing_weights(roles: &[PoolRole], kept: &Value) -> Vec<Value> {
    let kept = kept["get_weights"]["weight_infos"].as_array().cloned().unwrap_or_default();
    let weight_of = |role: &str| {
        let info = kept.iter().find(|info| info["role"].as_str() == Some(role));
        info.and_then(|info| info["weight"].as_f64()).unwrap_or(1.0)
    };
    roles
        .iter()
        .map(|role| (role, role.weight.unwrap_or(1.0)))
        .filter(|(role, weight)| (weight_of(&role.name) - weight).abs() > f64::EPSILON)
        .map(|(role, weight)| json!({ "role": role.name, "weight": weight }))
        .collect()
}

/// The quota of every declared role, as `QuotaConfig`; a role without one has none of either.
///
/// An error names the amount that is no quantity.
pub(crate) fn quotas(roles: &[PoolRole]) -> Result<Vec<Value>, String> {
    roles
        .iter()
        .map(|role| {
            let quota = role.quota.clone().unwrap_or_default();
            let path = |part: &str| format!("spec.roles[{}].quota.{part}", role.name);
            let guarantees = amounts(&path("guarantee"), quota.guarantee.as_ref())?;
            let limits = amounts(&path("limit"), quota.limit.as_ref())?;
            Ok(json!({ "role": role.name, "guarantees": guarantees, "limits": limits }))
        })
        .collect()
}

fn amounts(path: &str, amounts: Option<&Amounts>) -> Result<Value, String> {
    let mut map = Map::new();
    let Some(amounts) = amounts else { return Ok(Value::Object(map)) };
    let given = [
        ("cpu", "cpus", &amounts.cpu, 1.0),
        ("memory", "mem", &amounts.memory, MIB),
        ("disk", "disk", &amounts.disk, MIB),
        ("gpus", "gpus", &amounts.gpus, 1.0),
    ];
    for (field, name, quantity, unit) in given {
        let Some(quantity) = quantity else { continue };
        let millis = quantity
            .millis()
            .ok_or_else(|| format!("{path}.{field}: {:?} is no quantity", quantity.0))?;
        #[allow(
            clippy::cast_precision_loss,
            reason = "Mesos has floats; 53 bits hold thousandths of a host"
        )]
        let value = millis as f64 / 1_000.0 / unit;
        map.insert(name.to_owned(), json!({ "value": value }));
    }
    Ok(Value::Object(map))
}

/// Whether the master keeps just this quota. It answers with `configs` as they were set.
fn has_quota(kept: &Value, wanted: &Value) -> bool {
    let configs = kept["get_quota"]["status"]["configs"].as_array().cloned().unwrap_or_default();
    let none = json!({ "role": wanted["role"], "guarantees": {}, "limits": {} });
    let found = configs.into_iter().find(|config| config["role"] == wanted["role"]).unwrap_or(none);
    ["guarantees", "limits"].iter().all(|part| same_amounts(&found[*part], &wanted[*part]))
}

fn same_amounts(a: &Value, b: &Value) -> bool {
    let value = |map: &Value, name: &str| map[name]["value"].as_f64();
    let names = |map: &Value| map.as_object().map(Map::len).unwrap_or_default();
    names(a) == names(b)
        && b.as_object().into_iter().flatten().all(|(name, _)| {
            let (a, b) = (value(a, name), value(b, name));
            matches!((a, b), (Some(a), Some(b)) if (a - b).abs() < 0.001)
        })
}

const MIB: f64 = 1_048_576.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(value: Value) -> Vec<PoolRole> {
        serde_json::from_value(value).expect("roles")
    }

    #[test]
    fn only_weights_that_differ_are_sent() {
        let declared =
            roles(json!([{ "name": "web", "weight": 2.0 }, { "name": "batch", "weight": 1.0 }]));
        assert_eq!(
            differing_weights(&declared, &json!({})),
            [json!({ "role": "web", "weight": 2.0 })]
        );
        let kept = json!({ "get_weights": { "weight_infos": [{ "role": "web", "weight": 2.0 }] } });
        assert!(differing_weights(&declared, &kept).is_empty());
    }

    #[test]
    fn quotas_are_in_mesos_units_and_compared_by_value() {
        let declared = roles(json!([
            { "name": "web", "quota": { "guarantee": { "cpu": 1, "memory": "256Mi" } } }, { "name": "batch" },
        ]));
        let quotas = quotas(&declared).expect("quantities");
        assert_eq!(quotas[0]["guarantees"]["mem"]["value"], 256.0);
        let kept = json!({ "get_quota": { "status": { "configs": [
            { "role": "web", "guarantees": { "cpus": { "value": 1 }, "mem": { "value": 256.0 } } },
        ] } } });
        assert!(quotas.iter().all(|quota| has_quota(&kept, quota)));
        assert!(!has_quota(&json!({}), &quotas[0]));
    }
}
