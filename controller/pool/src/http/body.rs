//! Request bodies, of bounded size and time.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;

use super::reply::{Refusal, refusal};

/// A body must be there by then.
const WITHIN: Duration = Duration::from_secs(60);

/// The whole body, if it has at most `limit` bytes.
pub(super) async fn whole(body: Incoming, limit: usize) -> Result<Bytes, Refusal> {
    match tokio::time::timeout(WITHIN, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(refusal(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("The body is larger than the {limit} bytes that are taken here"),
        )),
        Ok(Err(error)) => {
            Err(refusal(StatusCode::BAD_REQUEST, format!("The body cannot be read: {error}")))
        }
        Err(_) => Err(refusal(
            StatusCode::REQUEST_TIMEOUT,
            format!("The body did not arrive within {} s", WITHIN.as_secs()),
        )),
    }
}
