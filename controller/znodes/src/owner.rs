//! The field that says what a znode's life hangs on.

use types::SessionId;

/// What ends a znode's life, beside a delete.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Owner {
    /// Nothing.
    Nobody,
    /// The end of this session: the znode is ephemeral and has no children.
    Session(SessionId),
    /// The end of its last child.
    Container,
    /// This many ms without a change and without children; 1 to 2^40 - 1.
    Ttl(i64),
}

const CONTAINER: i64 = i64::MIN;
const TTL_MARK: i64 = 0xff00_0000_0000_0000_u64.cast_signed();
const TTL_MASK: i64 = 0xff_ffff_ffff;

impl Owner {
    /// From the 64 bits of the disk.
    ///
    /// A time to live is known by its mark whether or not such znodes are switched on: otherwise a restart
    /// would delete them with a session that never was.
    pub const fn from_bits(bits: i64) -> Self {
        if bits == 0 {
            Self::Nobody
        } else if bits == CONTAINER {
            Self::Container
        } else if bits & !TTL_MASK == TTL_MARK {
            Self::Ttl(bits & TTL_MASK)
        } else {
            Self::Session(SessionId(bits))
        }
    }

    /// To the 64 bits of the disk.
    pub const fn bits(self) -> i64 {
        match self {
            Self::Nobody => 0,
            Self::Session(session) => session.0,
            Self::Container => CONTAINER,
            Self::Ttl(ms) => TTL_MARK | (ms & TTL_MASK),
        }
    }

    /// Whether it is a time to live that can be kept, in ms.
    pub const fn is_ttl(ms: i64) -> bool {
        0 < ms && ms <= TTL_MASK
    }

    /// The session, if it is one; 0 otherwise. What a client is told.
    pub const fn session_or_zero(self) -> SessionId {
        match self {
            Self::Session(session) => session,
            _ => SessionId(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_owner_comes_back_from_its_bits() {
        for owner in [
            Owner::Nobody,
            Owner::Session(SessionId(0x1000_0000_0000_0001)),
            Owner::Session(SessionId(-3)),
            Owner::Container,
            Owner::Ttl(1),
            Owner::Ttl(TTL_MASK),
        ] {
            assert_eq!(Owner::from_bits(owner.bits()), owner);
        }
    }
}
