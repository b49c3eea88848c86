//! Questions and answers as the data of a packet.

use bytes::{BufMut, Bytes};
use jute::{DecodeError, Put, Reader};
use storage::{Answer, Question, Told};
use types::Epoch;

pub(super) fn put_question(question: &Question, out: &mut Vec<u8>) {
    match question {
        Question::Holdings => out.put_i32(HOLDINGS),
        Question::End => out.put_i32(END),
        Question::Before(epoch) => {
            out.put_i32(BEFORE);
            out.put_u32(epoch.0);
        }
        Question::Entries { from, to } => {
            out.put_i32(ENTRIES);
            out.put_zxid(*from);
            out.put_zxid(*to);
        }
        Question::Snapshot { zxid, at } => {
            out.put_i32(SNAPSHOT);
            out.put_zxid(*zxid);
            out.put_u64(*at);
        }
    }
}

pub(super) fn question(data: &Bytes) -> Result<Question, DecodeError> {
    let mut reader = Reader::new(data);
    Ok(match reader.i32()? {
        HOLDINGS => Question::Holdings,
        END => Question::End,
        BEFORE => Question::Before(Epoch(reader.i32()?.cast_unsigned())),
        ENTRIES => Question::Entries { from: reader.zxid()?, to: reader.zxid()? },
        SNAPSHOT => Question::Snapshot { zxid: reader.zxid()?, at: reader.i64()?.cast_unsigned() },
        value => return Err(DecodeError::Unknown { what: "question of files", value }),
    })
}

pub(super) fn put_told(told: &Told, out: &mut Vec<u8>) {
    out.put_bool(told.at_rest);
    match &told.answer {
        Answer::Unknown => out.put_i32(UNKNOWN),
        Answer::Lacks => out.put_i32(LACKS),
        Answer::Before(zxid) => {
            out.put_i32(BEFORE);
            out.put_zxid(*zxid);
        }
        Answer::Holdings { accepted, snapshots } => {
            out.put_i32(HOLDINGS);
            put_epoch(*accepted, out);
            out.put_vector(snapshots, |out, zxid| out.put_zxid(*zxid));
        }
        Answer::End { accepted, current, last } => {
            out.put_i32(END);
            put_epoch(*accepted, out);
            put_epoch(*current, out);
            out.put_zxid(*last);
        }
        Answer::Entries(entries) => {
            out.put_i32(ENTRIES);
            out.put_vector(entries, |out, (zxid, body)| {
                out.put_zxid(*zxid);
                out.put_buffer(Some(body));
            });
        }
        Answer::Snapshot { suffix, size, part } => {
            out.put_i32(SNAPSHOT);
            out.put_text(suffix);
            out.put_u64(*size);
            out.put_buffer(Some(part));
        }
    }
}

pub(super) fn told(data: &Bytes) -> Result<Told, DecodeError> {
    let mut reader = Reader::new(data);
    let at_rest = reader.bool()?;
    let answer = match reader.i32()? {
        UNKNOWN => Answer::Unknown,
        LACKS => Answer::Lacks,
        BEFORE => Answer::Before(reader.zxid()?),
        HOLDINGS => Answer::Holdings {
            accepted: epoch(&mut reader)?,
            snapshots: reader.vector(Reader::zxid)?,
        },
        END => Answer::End {
            accepted: epoch(&mut reader)?,
            current: epoch(&mut reader)?,
            last: reader.zxid()?,
        },
        ENTRIES => Answer::Entries(
            reader.vector(|reader| Ok((reader.zxid()?, reader.buffer()?.unwrap_or_default())))?,
        ),
        SNAPSHOT => Answer::Snapshot {
            suffix: reader.text_or_empty()?.to_string(),
            size: reader.i64()?.cast_unsigned(),
            part: reader.buffer()?.unwrap_or_default(),
        },
        value => return Err(DecodeError::Unknown { what: "answer of files", value }),
    };
    Ok(Told { answer, at_rest })
}

/// One that is not known is negative.
fn put_epoch(epoch: Option<Epoch>, out: &mut Vec<u8>) {
    out.put_i64(epoch.map_or(-1, |epoch| epoch.0.into()));
}

fn epoch(reader: &mut Reader) -> Result<Option<Epoch>, DecodeError> {
    Ok(u32::try_from(reader.i64()?).ok().map(Epoch))
}

const UNKNOWN: i32 = 0;
const LACKS: i32 = 1;
const HOLDINGS: i32 = 2;
const BEFORE: i32 = 3;
const ENTRIES: i32 = 4;
const SNAPSHOT: i32 = 5;
const END: i32 = 6;

#[cfg(test)]
mod tests {
    use types::Zxid;

    use super::*;

    #[test]
    fn what_is_put_is_read() {
        let zxid = Zxid::from_bits(0x3_0000_0002);
        let questions = [
            Question::Holdings,
            Question::End,
            Question::Before(Epoch(u32::MAX)),
            Question::Entries { from: zxid, to: zxid },
            Question::Snapshot { zxid, at: 7 << 40 },
        ];
        for asked in questions {
            let mut out = Vec::new();
            put_question(&asked, &mut out);
            assert_eq!(question(&out.into()).expect("just put"), asked);
        }
        let part = Bytes::from_static(b"part");
        let answers = [
            Answer::Unknown,
            Answer::Lacks,
            Answer::Before(zxid),
            Answer::End { accepted: None, current: Some(Epoch(u32::MAX)), last: zxid },
            Answer::Holdings { accepted: None, snapshots: vec![zxid] },
            Answer::Holdings { accepted: Some(Epoch(u32::MAX)), snapshots: Vec::new() },
            Answer::Entries(vec![(zxid, part.clone())]),
            Answer::Snapshot { suffix: ".gz".to_owned(), size: 7 << 40, part },
        ];
        for answer in answers {
            let mut out = Vec::new();
            put_told(&Told { answer: answer.clone(), at_rest: true }, &mut out);
            for end in 0..out.len() {
                assert!(told(&Bytes::copy_from_slice(&out[..end])).is_err(), "{answer:?} {end}");
            }
            let read = told(&out.into()).expect("just put");
            assert!(read.at_rest && read.answer == answer, "{read:?}");
        }
    }
}
