//! `POST /api/v1/scheduler`: the order of checks is Mesos's.

use http::{Request, StatusCode};
use hyper::body::Incoming;
use master::validate;
use mesos::v1::scheduler::Call;
use mesos::v1::scheduler::call::Type;
use uuid::Uuid;

use super::body;
use super::media::Media;
use super::reply::{self, Refusal, Reply, refusal};
use super::stream::{self, STREAM_ID};
use crate::leader::{Desk, Message};

/// The largest call, in bytes: an ACCEPT with thousands of tasks.
const MOST: usize = 16 << 20;

pub(super) async fn handle(desk: &Desk, request: Request<Incoming>) -> Reply {
    match answer(desk, request).await {
        Ok(reply) => reply,
        Err(refusal) => *refusal,
    }
}

async fn answer(desk: &Desk, request: Request<Incoming>) -> Result<Reply, Refusal> {
    let media = Media::of_body(request.headers())?;
    let wanted = Media::wanted(request.headers());
    let name = stream_name(&request);
    let body = body::whole(request.into_body(), MOST).await?;
    let bad = |why: String| refusal(StatusCode::BAD_REQUEST, why);
    let call: Call = media.decode(&body).map_err(bad)?;
    drop(body);
    validate::call(&call).map_err(bad)?;
    match (call.r#type(), call.subscribe) {
        (Type::Subscribe, Some(subscribe)) => {
            let wanted = wanted?;
            if name.is_some() {
                let why = "Subscribe calls should not include the 'Mesos-Stream-Id' header";
                return Err(bad(why.into()));
            }
            let name = Uuid::new_v4().to_string();
            let (stream, response) = stream::open(desk, &name, wanted);
            let message = Message::Subscribe { name, call: Box::new(subscribe), stream };
            desk.send(message).await.map_err(|_| reply::gone())?;
            Ok(response)
        }
        (_, subscribe) => {
            let call = Box::new(Call { subscribe, ..call });
            let asked = desk.ask(|reply| Message::Call { name, call, reply }).await;
            Ok(reply::answer(asked.map_err(|_| reply::gone())?, Media::Json))
        }
    }
}

pub(super) fn stream_name(request: &Request<Incoming>) -> Option<String> {
    let name = request.headers().get(STREAM_ID)?;
    Some(String::from_utf8_lossy(name.as_bytes()).into_owned())
}
