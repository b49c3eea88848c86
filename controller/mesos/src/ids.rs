//! Ids made from text and shown as text.

use std::fmt;

use crate::v1::{AgentId, ExecutorId, FrameworkId, OfferId, OperationId, TaskId};

macro_rules! textual {
    ($($name:ident),*) => {$(
        impl From<&str> for $name {
            fn from(value: &str) -> Self {
                Self { value: value.into() }
            }
        }

        impl From<String> for $name {
            fn from(value: String) -> Self {
                Self { value }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.value)
            }
        }
    )*};
}

textual!(AgentId, ExecutorId, FrameworkId, OfferId, OperationId, TaskId);
