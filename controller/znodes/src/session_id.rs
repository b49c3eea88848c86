//! Ids and passwords of sessions.

use jute::PASSWORD_LENGTH;
use types::{PeerId, SessionId};

/// Gives each new session its id; made anew whenever a member takes up a role.
#[derive(Clone, Debug)]
pub struct SessionIds {
    peer: i64,
    /// Below 2^56.
    next: i64,
}

impl SessionIds {
    /// The peer's low 8 bits on top, and a number below them that begins where `chance` has it.
    ///
    /// Source: `SessionTrackerImpl.initializeNextSessionId`, which begins at the time since the machine started, as we did at the
    /// day's: both give an id twice when that clock shows the same again, and the two clients are one session.
    pub fn new(peer: PeerId, chance: u64) -> Self {
        Self { peer: peer.0 << BITS, next: chance.cast_signed() & NUMBERS }
    }

    /// An id that was not given before.
    pub fn next_id(&mut self) -> SessionId {
        let id = self.peer | self.next;
        self.next = (self.next + 1) & NUMBERS;
        // That value stands for a container in the owner field of a znode.
        if id == i64::MIN { self.next_id() } else { SessionId(id) }
    }
}

/// The password of a session, the same on every member. It guards against mistakes, not malice.
///
/// Source: `ZooKeeperServer.generatePasswd`: 16 bytes of `java.util.Random` seeded with the id.
pub fn password(session: SessionId) -> [u8; PASSWORD_LENGTH] {
    const SECRET: u64 = 0xb341_5c00;
    const MULTIPLIER: u64 = 0x5_deec_e66d;
    const MASK: u64 = (1 << 48) - 1;
    let mut state = (session.0.cast_unsigned() ^ SECRET ^ MULTIPLIER) & MASK;
    let mut password = [0; PASSWORD_LENGTH];
    for chunk in password.chunks_exact_mut(4) {
        state = state.wrapping_mul(MULTIPLIER).wrapping_add(0xb) & MASK;
        chunk.copy_from_slice(&(state >> 16).to_le_bytes()[..4]);
    }
    password
}

/// Of an id, below the peer's.
const BITS: u32 = 56;
const NUMBERS: i64 = (1 << BITS) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_those_of_the_captures() {
        for (id, expected) in [
            (0x1, "054cc74a37327db215e702e20c73f005"),
            (0xff00_0000_0000_0001_u64.cast_signed(), "054cc74a37327db215e702e20c73f005"),
            (0x1_0000_0000_0000, "f22acd4a97e69d6d20a49bb638eadb38"),
            (0x0100_0001_2345_0000, "11131215ca951454d70e903523c481f1"),
            (0x0100_001b_587d_0000, "d9d36d73f25ab918dff0b9698b31ca17"),
            (0x0100_001b_587d_0001, "ecf4677392a6985dd43321955fbadee4"),
        ] {
            let hex: String = password(SessionId(id)).iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(hex, expected, "{id:#x}");
        }
    }

    #[test]
    fn ids_carry_their_peer_and_are_never_that_of_a_container() {
        let mut ids = SessionIds::new(PeerId(3), 0xab12_3456_789a_bcde);
        assert_eq!(ids.next_id(), SessionId(0x0312_3456_789a_bcde));
        assert_eq!(ids.next_id(), SessionId(0x0312_3456_789a_bcdf));
        assert_eq!(SessionIds::new(PeerId(0x80), 0).next_id(), SessionId(i64::MIN + 1));
        let mut last = SessionIds::new(PeerId(3), u64::MAX);
        assert_eq!(last.next_id(), SessionId(0x03ff_ffff_ffff_ffff));
        assert_eq!(last.next_id(), SessionId(0x0300_0000_0000_0000));
    }
}
