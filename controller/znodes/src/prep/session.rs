//! The beginning and the end of sessions.

use jute::{Text, Txn};

use super::{Ask, Prep};
use crate::path;
use crate::sessions::timeout;

impl Prep {
    pub(super) fn create_session(ask: &mut Ask<'_>, timeout_ms: i32) -> Txn {
        let (session, speaker) = (ask.requester.session, ask.requester.speaker);
        ask.sessions.track(session, timeout(timeout_ms), ask.turn.now);
        // Tracked a line above, so it is there and is not closing.
        let _moved = ask.sessions.move_to(session, speaker);
        Txn::CreateSession { timeout_ms }
    }

    /// From here on nothing of the session is served, so that no ephemeral of it is made after its end.
    pub(super) fn close_session(&mut self, ask: &mut Ask<'_>) -> Txn {
        let session = ask.requester.session;
        ask.sessions.close(session);
        let paths = self.overlay.ephemerals(ask.state, session);
        for path in &paths {
            self.put_ended(ask, path);
        }
        Txn::CloseSession(Some(paths))
    }

    fn put_ended(&mut self, ask: &Ask<'_>, path: &Text) {
        let place = self.overlay.look(ask.state, path);
        if self.overlay.has(place) {
            self.overlay.delete(ask.state, ask.turn.zxid, (path, place));
        }
        let parent_path = path::parent(path).map(|parent| path.slice(parent));
        if let Some(parent_path) = parent_path {
            let place = self.overlay.look(ask.state, &parent_path);
            if self.overlay.has(place) {
                self.put_childless(ask, (&parent_path, place));
            }
        }
    }
}
