//! SASL DIGEST-MD5 between members: the one that calls proves who it is, and is shown that the other knows its
//! password too.
//!
//! Source: `SaslQuorumAuthLearner`, `SaslQuorumAuthServer`.

use std::io;

use bytes::{Bytes, BytesMut};
use jute::quorum_auth::{AuthPacket, AuthStatus, MAGIC};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::settings::PeerSaslConfig;
use super::stream::Stream;
use crate::sasl::{Answer, Exchange, MEMBERS, random};

/// Proves to whom was called who this member is. Nothing is said when it need not.
pub(super) async fn prove(stream: &mut Stream, config: &PeerSaslConfig) -> io::Result<()> {
    let Some((user, password)) = &config.login else { return Ok(()) };
    send(stream, AuthStatus::InProgress, Bytes::new()).await?;
    let challenge = expect(stream, AuthStatus::InProgress).await?;
    let answer = Answer::to(&challenge, &MEMBERS, user, password, random()?)
        .map_err(|why| failed(why.why()))?;
    send(stream, AuthStatus::InProgress, answer.token.clone()).await?;
    let proof = expect(stream, AuthStatus::Success).await?;
    if !answer.is_proven_by(&proof) {
        return Err(failed("the other member does not know the password itself"));
    }
    Ok(())
}

/// Has the caller prove who it is, if it begins to or must. Answers with what was read beyond.
pub(super) async fn demand(stream: &mut Stream, config: &PeerSaslConfig) -> io::Result<BytesMut> {
    let mut first = BytesMut::with_capacity(MAGIC.len());
    while first.len() < MAGIC.len() && MAGIC.starts_with(&first) {
        let mut more = (&mut *stream).take((MAGIC.len() - first.len()) as u64);
        if more.read_buf(&mut first).await? == 0 {
            break;
        }
    }
    if first[..] != MAGIC {
        return match config.required {
            true => Err(failed(
                "the caller does not authenticate; set quorum.auth.learnerRequireSasl=true there, or \
                 quorum.auth.serverRequireSasl=false here while the members change over",
            )),
            false => Ok(first),
        };
    }
    let empty = receive(stream, Some(&first)).await?;
    if empty.status != AuthStatus::InProgress {
        return Err(failed("the caller begins with the end of an exchange"));
    }
    let (exchange, challenge) = Exchange::begin(random()?, &MEMBERS);
    send(stream, AuthStatus::InProgress, challenge).await?;
    let answer = receive(stream, None).await?;
    match exchange.finish(&answer.token, &config.users) {
        Ok(proven) => {
            send(stream, AuthStatus::Success, proven.token).await?;
            Ok(BytesMut::new())
        }
        Err(refused) => {
            // It is told that, and not why.
            let _ = send(stream, AuthStatus::Refused, Bytes::new()).await;
            Err(failed(refused.why()))
        }
    }
}

async fn send(stream: &mut Stream, status: AuthStatus, token: Bytes) -> io::Result<()> {
    let mut out = BytesMut::new();
    AuthPacket { status, token }.encode(&mut out);
    stream.write_all(&out).await?;
    stream.flush().await
}

async fn expect(stream: &mut Stream, status: AuthStatus) -> io::Result<Bytes> {
    let packet = receive(stream, None).await?;
    match packet.status {
        is if is == status => Ok(packet.token),
        AuthStatus::Refused => Err(failed(
            "the other member refused; compare user and password of QuorumLearner here with QuorumServer there",
        )),
        _ => Err(failed("a step out of order")),
    }
}

/// One packet, of which the magic may have been read.
async fn receive(stream: &mut Stream, magic: Option<&[u8]>) -> io::Result<AuthPacket> {
    let mut head = [0; AuthPacket::HEAD];
    let read = magic.unwrap_or_default();
    head[..read.len()].copy_from_slice(read);
    stream.read_exact(&mut head[read.len()..]).await?;
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let length = AuthPacket::token_length(&head, MAX_TOKEN).map_err(invalid)?;
    let mut packet = head.to_vec();
    packet.resize(head.len() + length, 0);
    stream.read_exact(&mut packet[head.len()..]).await?;
    AuthPacket::decode(&packet.into()).map_err(invalid)
}

fn failed(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, format!("SASL between members: {why}"))
}

/// No token is as long, in bytes.
const MAX_TOKEN: usize = 16 << 10;
