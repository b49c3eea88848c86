//! `POST /api/v1/troupe/agent`: the link to our agents. JSON only.

use http::{Request, StatusCode};
use hyper::body::Incoming;
use master::validate;
use mesos::link::{AgentCall, MAX_BYTES};
use uuid::Uuid;

use super::body;
use super::media::Media;
use super::reply::{self, Refusal, Reply, refusal};
use super::scheduler::stream_name;
use super::stream;
use crate::leader::{Desk, Message};

pub(super) async fn handle(desk: &Desk, request: Request<Incoming>) -> Reply {
    match answer(desk, request).await {
        Ok(reply) => reply,
        Err(refusal) => *refusal,
    }
}

async fn answer(desk: &Desk, request: Request<Incoming>) -> Result<Reply, Refusal> {
    let name = stream_name(&request);
    let body = body::whole(request.into_body(), MAX_BYTES).await?;
    let bad = |why: String| refusal(StatusCode::BAD_REQUEST, why);
    let call: AgentCall = serde_json::from_slice(&body)
        .map_err(|error| bad(format!("The call of an agent cannot be read: {error}")))?;
    drop(body);
    match call {
        AgentCall::Subscribe(call) => {
            if name.is_some() {
                return Err(bad("Subscribe without the header 'Mesos-Stream-Id'".into()));
            }
            validate::agent(&call)
                .map_err(|why| bad(format!("This agent cannot register: {why}")))?;
            let name = Uuid::new_v4().to_string();
            let (stream, response) = stream::open(desk, &name, Media::Json);
            let message = Message::AgentSubscribe { name, call, stream };
            desk.send(message).await.map_err(|_| reply::gone())?;
            Ok(response)
        }
        call => {
            let call = Box::new(call);
            let asked = desk.ask(|reply| Message::AgentCall { name, call, reply }).await;
            Ok(reply::answer(asked.map_err(|_| reply::gone())?, Media::Json))
        }
    }
}
