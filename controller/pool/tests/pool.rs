//! One master over HTTP, with a scheduler and an agent made here: every answer as a client sees it.

mod support;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use support::{Http, Master};

fn subscribe() -> Value {
    json!({ "type": "SUBSCRIBE", "subscribe": { "framework_info": {
        "user": "root", "name": "t", "roles": ["eng"], "checkpoint": true, "failover_timeout": 60,
        "capabilities": [{ "type": "MULTI_ROLE" }, { "type": "PARTITION_AWARE" },
                         { "type": "RESERVATION_REFINEMENT" }],
    } } })
}

fn agent() -> Value {
    json!({ "type": "SUBSCRIBE", "version": "0.1.0", "agent": {
        "hostname": "127.0.0.1", "port": 5051,
        "resources": [
            { "name": "cpus", "type": "SCALAR", "scalar": { "value": 2 } },
            { "name": "mem", "type": "SCALAR", "scalar": { "value": 1024 } },
            { "name": "ports", "type": "RANGES", "ranges": { "range": [{ "begin": 31000, "end": 31009 }] } },
        ],
    } })
}

fn task(agent: &str) -> Value {
    json!({ "name": "t", "task_id": { "value": "t.1" }, "agent_id": { "value": agent },
        "command": { "value": "sleep 100" },
        "resources": [
            { "name": "cpus", "type": "SCALAR", "scalar": { "value": 0.5 } },
            { "name": "mem", "type": "SCALAR", "scalar": { "value": 64 } },
        ] })
}

#[tokio::test]
async fn a_task_from_offer_to_acknowledged_end() -> Result<()> {
    let master = Master::start().await?;
    let mut link = master.stream("/api/v1/troupe/agent", &agent()).await?;
    let subscribed = link.next().await?;
    let agent_id = subscribed["agent_id"]["value"].as_str().context("an id")?.to_owned();
    assert!(agent_id.ends_with("-S0"), "{agent_id}");

    let mut scheduler = master.stream("/api/v1/scheduler", &subscribe()).await?;
    let subscribed = scheduler.next().await?;
    assert_eq!(subscribed["type"], "SUBSCRIBED");
    let framework = subscribed["subscribed"]["framework_id"].clone();
    assert_eq!(scheduler.next().await?, json!({ "type": "HEARTBEAT" }));
    let offers = scheduler.next().await?;
    let offer = &offers["offers"]["offers"][0];
    assert_eq!(offer["allocation_info"], json!({ "role": "eng" }));

    let accept = json!({ "type": "ACCEPT", "framework_id": framework, "accept": {
        "offer_ids": [offer["id"]],
        "operations": [{ "type": "LAUNCH", "launch": { "task_infos": [task(&agent_id)] } }],
    } });
    assert_eq!(scheduler.call(&accept).await?, (202, String::new()));
    let launch = link.next().await?;
    assert_eq!(launch["type"], "LAUNCH");
    assert_eq!(launch["task"]["resources"][0]["allocation_info"], json!({ "role": "eng" }));

    for (state, uuid) in [
        ("TASK_RUNNING", "AAAAAAAAAAAAAAAAAAAAAA=="),
        ("TASK_FINISHED", "AQEBAQEBAQEBAQEBAQEBAQ=="),
    ] {
        let update = json!({ "type": "UPDATE", "framework_id": framework, "latest_state": state,
            "status": { "task_id": { "value": "t.1" }, "state": state, "uuid": uuid } });
        assert_eq!(link.call(&update).await?, (202, String::new()));
        let told = scheduler.next().await?;
        assert_eq!(told["update"]["status"]["state"], state);
        assert_eq!(told["update"]["status"]["executor_id"]["value"], "t.1");
        let acknowledge = json!({ "type": "ACKNOWLEDGE", "framework_id": framework, "acknowledge": {
            "agent_id": { "value": agent_id }, "task_id": { "value": "t.1" }, "uuid": uuid } });
        assert_eq!(scheduler.call(&acknowledge).await?, (202, String::new()));
        let acknowledged = link.next().await?;
        assert_eq!(
            (&acknowledged["type"], &acknowledged["uuid"]),
            (&json!("ACKNOWLEDGE"), &json!(uuid))
        );
    }

    let (status, state) = master.get("/state").await?;
    assert_eq!(status, 200);
    let state: Value = serde_json::from_str(&state)?;
    assert_eq!(state["frameworks"][0]["completed_tasks"][0]["state"], "TASK_FINISHED");
    assert_eq!(state["slaves"][0]["resources"]["ports"], "[31000-31009]");
    let (_, tasks) = master.post("/api/v1", &json!({ "type": "GET_TASKS" })).await?;
    let tasks: Value = serde_json::from_str(&tasks)?;
    assert_eq!(tasks["get_tasks"]["completed_tasks"][0]["task_id"]["value"], "t.1");
    Ok(())
}

#[tokio::test]
async fn losing_an_agents_connection_rescinds_its_offers() -> Result<()> {
    let master = Master::start().await?;
    let mut link = master.stream("/api/v1/troupe/agent", &agent()).await?;
    link.next().await?;
    let mut scheduler = master.stream("/api/v1/scheduler", &subscribe()).await?;
    let offer = scheduler.until("OFFERS").await?["offers"]["offers"][0]["id"].clone();
    drop(link);
    assert_eq!(scheduler.until("RESCIND").await?["rescind"]["offer_id"], offer);
    Ok(())
}

#[tokio::test]
async fn bad_calls_are_answered_as_by_mesos() -> Result<()> {
    let master = Master::start().await?;
    let mut scheduler = master.stream("/api/v1/scheduler", &subscribe()).await?;
    let framework = scheduler.next().await?["subscribed"]["framework_id"]["value"].clone();
    let framework = framework.as_str().context("an id")?.to_owned();
    let cases =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bad_calls.txt"))?;
    let mut checked = 0;
    for case in cases.split("\n\n").filter(|case| !case.starts_with('#')) {
        let case =
            case.trim().replace("<framework>", &framework).replace("<stream>", &scheduler.name);
        let (request, expected) = case.split_once("\n----\n").context("a case has two parts")?;
        let (status, body) = Http::raw(master.addr, request).await?;
        assert_eq!(format!("{status} {body}").trim(), expected, "{request}");
        checked += 1;
    }
    assert!(checked > 50, "{checked} cases");
    Ok(())
}

#[tokio::test]
async fn a_refused_subscription_is_a_stream_with_an_error() -> Result<()> {
    let master = Master::start().await?;
    let mut call = subscribe();
    call["subscribe"]["framework_info"]["roles"] = json!(["a b"]);
    let mut refused = master.stream("/api/v1/scheduler", &call).await?;
    assert_eq!(
        refused.next().await?,
        json!({ "type": "ERROR", "error": { "message":
            "'FrameworkInfo.roles' contains invalid role: Role component 'a b' is invalid because \
             it contains backspace or whitespace" } })
    );
    assert!(refused.ends().await?);
    Ok(())
}

#[tokio::test]
async fn the_next_master_keeps_agents_and_decisions() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut config = ensemble::MemberConfig::in_process(dir.path());
    config.client_addr = Some(std::net::SocketAddr::from(([127, 0, 0, 1], 0)));
    let member = ensemble::Member::start(config).await?;
    let zk = format!("zk://{}/troupe/pools/default/p", member.client_addr().context("a port")?);
    let election: election::Place = format!("{zk}/election").parse()?;
    let detector = election::Detector::start(election::Address::Elected(election));
    let mut leader = detector.leader();

    let first = Master::join(Some(zk.clone())).await?;
    let leads = |port: u16| {
        move |info: &Option<mesos::v1::MasterInfo>| {
            info.as_ref().is_some_and(|info| info.port == u32::from(port))
        }
    };
    leader.wait_for(leads(first.addr.port())).await?;
    let mut link = loop {
        // 503 while it reads the registry.
        match first.stream("/api/v1/troupe/agent", &agent()).await {
            Ok(link) => break link,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let id = link.next().await?["agent_id"].clone();
    let weights = json!({ "type": "UPDATE_WEIGHTS",
        "update_weights": { "weight_infos": [{ "role": "eng", "weight": 2.5 }] } });
    assert_eq!(first.post("/api/v1", &weights).await?, (200, String::new()));

    let second = Master::join(Some(zk)).await?;
    let redirected = loop {
        // 503 while it does not know the leader.
        let answer = Http::raw(second.addr, "GET /master/state?x=1").await?;
        if answer.0 != 503 {
            break answer;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(redirected, (307, String::new()));

    first.stop().await?;
    leader.wait_for(leads(second.addr.port())).await?;
    let again = {
        let mut call = agent();
        call["agent_id"] = id.clone();
        call
    };
    let mut link = loop {
        match second.stream("/api/v1/troupe/agent", &again).await {
            Ok(link) => break link,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    assert_eq!(link.next().await?["agent_id"], id);
    let (_, weights) = second.post("/api/v1", &json!({ "type": "GET_WEIGHTS" })).await?;
    assert!(weights.contains(r#"{"weight":2.5,"role":"eng"}"#), "{weights}");
    second.stop().await?;
    drop(detector);
    member.shutdown().await;
    Ok(())
}
