//! What an agent says of itself: `GET /state`.
//!
//! Read from it: `tasks` (a list) and `enforcement` with `enforced` (whether limits are), `hierarchy` (`v1`,
//! `v2`, `hybrid`, `none`) and `message` (why not, in words).

use serde_json::Value;

use crate::http;

/// Its account; `None` when it does not answer.
pub(crate) async fn state(endpoint: &str) -> Option<Value> {
    let (status, answer) = http::ask(endpoint, "/state", None).await.ok()?;
    if !status.is_success() {
        return None;
    }
    serde_json::from_slice(&answer).ok()
}
