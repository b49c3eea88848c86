//! Messages of a real Mesos master: read and written again, they are the same bytes.

use mesos::json::{FromJson, from_slice, to_vec};
use mesos::v1::{master, scheduler};
use prost::Message;
use serde::Serialize;

#[test]
fn what_mesos_wrote_is_written_again() {
    let mut seen = 0;
    for line in include_str!("captures.txt").lines().filter(|line| !line.starts_with('#')) {
        let (kind, text) = line.split_once(' ').expect("a kind and a message");
        match kind {
            "scheduler" => check::<scheduler::Event>(text),
            "operator" => check::<master::Event>(text),
            "response" => check::<master::Response>(text),
            other => panic!("{other}?"),
        }
        seen += 1;
    }
    assert!(seen > 40, "{seen} messages");
}

fn check<M>(text: &str)
where
    M: FromJson + Serialize + Message + Default + PartialEq + std::fmt::Debug,
{
    let message: M = from_slice(text.as_bytes()).expect("Mesos's JSON");
    assert_eq!(String::from_utf8_lossy(&to_vec(&message)), text);
    let again = M::decode(message.encode_to_vec().as_slice()).expect("our own protobuf");
    assert_eq!(again, message);
}
