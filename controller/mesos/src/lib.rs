//! Mesos v1 messages: RecordIO, JSON and protobuf; and the link between our masters and agents.
