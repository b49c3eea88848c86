//! `POST /api/v1`: operators' calls.

use http::{Request, StatusCode};
use hyper::body::Incoming;
use master::{Answer, validate};
use mesos::v1::master::call::Type;
use mesos::v1::master::response::{
    GetFlags, GetLoggingLevel, GetMetrics, GetVersion, Type as Kind,
};
use mesos::v1::master::{Call, Response};
use mesos::v1::{Flag, Metric, VersionInfo};

use super::media::Media;
use super::reply::{self, Refusal, Reply, refusal};
use super::{Site, body, classic};
use crate::config::MESOS_VERSION;
use crate::leader::{Desk, Message};

/// The largest call, in bytes.
const MOST: usize = 16 << 20;

pub(super) async fn handle(site: &Site, desk: &Desk, request: Request<Incoming>) -> Reply {
    match answer(site, desk, request).await {
        Ok(reply) => reply,
        Err(refusal) => *refusal,
    }
}

async fn answer(site: &Site, desk: &Desk, request: Request<Incoming>) -> Result<Reply, Refusal> {
    let media = Media::of_body(request.headers())?;
    let wanted = Media::wanted(request.headers());
    let body = body::whole(request.into_body(), MOST).await?;
    let bad = |why: String| refusal(StatusCode::BAD_REQUEST, why);
    let call: Call = media.decode(&body).map_err(bad)?;
    drop(body);
    validate::operator(&call).map_err(bad)?;
    let wanted = wanted?;
    let mut answer = match own(site, desk, call.r#type()).await {
        Some(response) => Answer::Response(Box::new(response)),
        None => {
            let call = Box::new(call);
            let asked = desk.ask(|reply| Message::Operator { call, reply }).await;
            asked.map_err(|_| reply::gone())?
        }
    };
    if let Answer::Response(response) = &mut answer
        && let Some(about) = &mut response.get_master
    {
        // The machine knows no time before its election.
        about.start_time = Some(classic::seconds(site));
    }
    Ok(reply::answer(answer, wanted))
}

/// What is known about the process rather than the pool.
async fn own(site: &Site, desk: &Desk, kind: Type) -> Option<Response> {
    let mut out = Response::default();
    let kind = match kind {
        Type::GetVersion => {
            let version_info =
                VersionInfo { version: MESOS_VERSION.into(), ..VersionInfo::default() };
            out.get_version = Some(GetVersion { version_info });
            Kind::GetVersion
        }
        Type::GetFlags => {
            let flags = classic::flag_values(site)
                .into_iter()
                .map(|(name, value)| Flag { name: name.into(), value: Some(value) })
                .collect();
            out.get_flags = Some(GetFlags { flags });
            Kind::GetFlags
        }
        Type::GetLoggingLevel => {
            out.get_logging_level = Some(GetLoggingLevel { level: 0 });
            Kind::GetLoggingLevel
        }
        Type::GetMetrics => {
            let figures = classic::figures(site, desk).await.ok()?;
            let metrics = figures
                .into_iter()
                .map(|(name, value)| Metric { name, value: Some(value) })
                .collect();
            out.get_metrics = Some(GetMetrics { metrics });
            Kind::GetMetrics
        }
        _ => return None,
    };
    out.r#type = Some(kind as i32);
    Some(out)
}
