//! The words of znode watches.

use bytes::BufMut;

use crate::{DecodeError, Put, Reader, Text};

/// What happened to a znode.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum EventType {
    /// It was made.
    Created,
    /// It was deleted.
    Deleted,
    /// Its data was set.
    DataChanged,
    /// A child was made or deleted.
    ChildrenChanged,
}

impl EventType {
    /// The number on the wire.
    pub const fn code(self) -> i32 {
        match self {
            Self::Created => 1,
            Self::Deleted => 2,
            Self::DataChanged => 3,
            Self::ChildrenChanged => 4,
        }
    }
}

impl TryFrom<i32> for EventType {
    type Error = DecodeError;

    fn try_from(code: i32) -> Result<Self, DecodeError> {
        match code {
            1 => Ok(Self::Created),
            2 => Ok(Self::Deleted),
            3 => Ok(Self::DataChanged),
            4 => Ok(Self::ChildrenChanged),
            value => Err(DecodeError::Unknown { what: "event type", value }),
        }
    }
}

/// The body of a notification.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WatcherEvent {
    /// What happened.
    pub kind: EventType,
    /// To which znode.
    pub path: Text,
}

/// `SyncConnected`, the only state a member ever sends.
const STATE: i32 = 3;

impl WatcherEvent {
    /// Reads `type, state, path`.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = EventType::try_from(reader.i32()?)?;
        reader.i32()?;
        Ok(Self { kind, path: reader.text_or_empty()? })
    }

    /// Writes `type, state, path`.
    pub fn encode(&self, out: &mut (impl BufMut + ?Sized)) {
        out.put_i32(self.kind.code());
        out.put_i32(STATE);
        out.put_text(&self.path);
    }
}

/// How long and how far a watch set by `addWatch` reaches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AddWatchMode {
    /// The znode, until removed.
    Persistent,
    /// The znode and all below it, until removed; tells nothing of lists of children.
    PersistentRecursive,
}

impl AddWatchMode {
    /// The number on the wire.
    pub const fn code(self) -> i32 {
        match self {
            Self::Persistent => 0,
            Self::PersistentRecursive => 1,
        }
    }
}

impl TryFrom<i32> for AddWatchMode {
    type Error = DecodeError;

    fn try_from(code: i32) -> Result<Self, DecodeError> {
        match code {
            0 => Ok(Self::Persistent),
            1 => Ok(Self::PersistentRecursive),
            value => Err(DecodeError::Unknown { what: "mode of a watch", value }),
        }
    }
}

/// Which watches are checked for or removed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WatcherType {
    /// One-shot, of children.
    Children,
    /// One-shot, of data or existence.
    Data,
    /// All.
    Any,
    /// Persistent.
    Persistent,
    /// Persistent recursive.
    PersistentRecursive,
}

impl WatcherType {
    /// The number on the wire.
    pub const fn code(self) -> i32 {
        match self {
            Self::Children => 1,
            Self::Data => 2,
            Self::Any => 3,
            Self::Persistent => 4,
            Self::PersistentRecursive => 5,
        }
    }
}

impl TryFrom<i32> for WatcherType {
    type Error = DecodeError;

    fn try_from(code: i32) -> Result<Self, DecodeError> {
        match code {
            1 => Ok(Self::Children),
            2 => Ok(Self::Data),
            3 => Ok(Self::Any),
            4 => Ok(Self::Persistent),
            5 => Ok(Self::PersistentRecursive),
            value => Err(DecodeError::Unknown { what: "type of a watch", value }),
        }
    }
}
