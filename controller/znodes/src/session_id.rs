//! Ids and passwords of sessions.

use jute::PASSWORD_LENGTH;
use types::{PeerId, SessionId};

/// Gives each new session its id; made anew whenever a member takes up a role.
#[derive(Clone, Debug)]
pub struct SessionIds {
    next: i64,
}

impl SessionIds {
    /// The peer's low 8 bits on top, then 40 bits of time, then a counter. `wall_ms`: since 1970.
    ///
    /// Source: `SessionTrackerImpl.initializeNextSessionId`; Apache takes the time since the machine
    /// started, and may give an id twice after a restart of the machine.
    pub fn new(peer: PeerId, wall_ms: i64) -> Self {
        let next = ((wall_ms & 0xff_ffff_ffff) << 16) | (peer.0 << 56);
        // That value stands for a container in the owner field of a znode.
        Self { next: if next == i64::MIN { next + 1 } else { next } }
    }

    /// An id that was not given before.
    pub fn next_id(&mut self) -> SessionId {
        let id = SessionId(self.next);
        self.next = self.next.wrapping_add(1);
        id
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
        let mut ids = SessionIds::new(PeerId(3), 0x12_3456_789a);
        assert_eq!(ids.next_id(), SessionId(0x0312_3456_789a_0000));
        assert_eq!(ids.next_id(), SessionId(0x0312_3456_789a_0001));
        assert_eq!(SessionIds::new(PeerId(0x80), 0).next_id(), SessionId(i64::MIN + 1));
    }
}
