//! The rules of Mesos's JSON, one by one.

use mesos::json::{from_slice, to_vec};
use mesos::v1::scheduler::Call;
use mesos::v1::{CommandInfo, FrameworkInfo, HealthCheck, TaskInfo};
use proptest::prelude::*;

fn refused(text: &str) -> String {
    from_slice::<Call>(text.as_bytes()).expect_err("refused").to_string()
}

#[test]
fn errors_are_mesoss() {
    for (text, expected) in [
        ("", "syntax error at line 1 near: "),
        ("{not json", "syntax error at line 1 near: not json"),
        ("[]", "Expecting a JSON object"),
        (r#"{"type":1}"#, "Not expecting a JSON number for field 'type'"),
        (r#"{"decline":"x"}"#, "Not expecting a JSON string for field 'decline'"),
        (
            r#"{"decline":{"offer_ids":[{}]}}"#,
            "Missing required fields: decline.offer_ids[0].value",
        ),
        (
            r#"{"subscribe":{"framework_info":{}}}"#,
            "Missing required fields: subscribe.framework_info.user, subscribe.framework_info.name",
        ),
    ] {
        assert_eq!(refused(text), expected, "{text}");
    }
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    assert!(refused(&deep).starts_with("syntax error"), "{deep}");
}

#[test]
fn input_is_taken_kindly() {
    let text = r#"{"type":"NO_SUCH","bogus":1,"decline":null,
        "accept":{"offer_ids":{"value":"o"},"filters":{"refuse_seconds":"2.5"}}}"#;
    let call: Call = from_slice(text.as_bytes()).expect("a call");
    let accept = call.accept.expect("there");
    assert_eq!((call.r#type, call.decline), (None, None));
    assert_eq!(accept.offer_ids.len(), 1);
    assert_eq!(accept.filters.expect("there").refuse_seconds(), 2.5);

    let text = r#"{"name":"t","task_id":{"value":"t"},"agent_id":{"value":"a"},
        "limits":{"cpus":{"value":"Infinity"}}}"#;
    let task: TaskInfo = from_slice(text.as_bytes()).expect("a task");
    assert_eq!(task.limits["cpus"].value, f64::INFINITY);
    let again: TaskInfo = from_slice(&to_vec(&task)).expect("our own JSON");
    assert_eq!(again, task);
}

#[test]
fn defaults_are_written() {
    let written = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let info = FrameworkInfo { user: "u".into(), name: "n".into(), ..FrameworkInfo::default() };
    assert_eq!(
        written(to_vec(&info)),
        r#"{"user":"u","name":"n","failover_timeout":0.0,"checkpoint":false}"#
    );
    assert_eq!(written(to_vec(&CommandInfo::default())), r#"{"shell":true}"#);
    let check = written(to_vec(&HealthCheck::default()));
    assert!(check.contains(r#""delay_seconds":15.0"#), "{check}");
}

proptest! {
    /// No body is a panic.
    #[test]
    fn garbage_is_an_error(text in r#"[\[\]{}",:a-z0-9 ]{0,60}"#) {
        let _either = from_slice::<Call>(text.as_bytes());
    }
}
