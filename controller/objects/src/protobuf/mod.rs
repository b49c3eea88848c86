//! The binary form of bodies that clients send for kinds compiled into them.
//!
//! Lives here: the envelope and the wire format, turned into JSON values by tables of messages
//! (`messages`). Must not: encode; answers are JSON, which every client takes. Start at [`decode`].

mod messages;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use messages::{Field, Form};

/// Why a body was not decoded.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProtobufError {
    /// The body does not start as Kubernetes' envelope does: 400.
    #[error("the body is not in the binary form of Kubernetes")]
    NoEnvelope,
    /// The kind is not one of those that are decoded: 415.
    #[error(
        "{kind} in version {api_version:?} cannot be sent as application/vnd.kubernetes.protobuf to this server; send it as application/json"
    )]
    Unsupported {
        /// Group and version in the envelope.
        api_version: String,
        /// Kind in the envelope.
        kind: String,
    },
    /// The bytes break the wire format: 400.
    #[error("the body breaks the protobuf format: {0}")]
    Malformed(&'static str),
}

/// Decodes an enveloped message into the value that the same object has in JSON, `apiVersion` and `kind`
/// included.
///
/// # Errors
/// See [`ProtobufError`]; lengths are checked before anything is kept.
pub fn decode(body: &[u8]) -> Result<Value, ProtobufError> {
    let message = body.strip_prefix(MAGIC).ok_or(ProtobufError::NoEnvelope)?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    let mut reader = Reader(message);
    while let Some((number, wire)) = reader.field()? {
        match (number, wire) {
            (1, Wire::Bytes(type_meta)) => {
                let mut reader = Reader(type_meta);
                while let Some(field) = reader.field()? {
                    match field {
                        (1, Wire::Bytes(bytes)) => api_version = text(bytes)?,
                        (2, Wire::Bytes(bytes)) => kind = text(bytes)?,
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            (3, Wire::Bytes(encoding)) if !encoding.is_empty() => {
                return Err(ProtobufError::Malformed("the body has an unknown content encoding"));
            }
            _ => {}
        }
    }
    let Some(fields) = messages::of(&api_version, &kind) else {
        return Err(ProtobufError::Unsupported { api_version, kind });
    };
    let mut object = self::message(raw, fields)?;
    object.insert("apiVersion".into(), api_version.into());
    object.insert("kind".into(), kind.into());
    Ok(Value::Object(object))
}

fn message(bytes: &[u8], fields: &[Field]) -> Result<Map<String, Value>, ProtobufError> {
    let mut object = Map::new();
    let mut reader = Reader(bytes);
    while let Some((number, wire)) = reader.field()? {
        let Some(field) = fields.iter().find(|field| field.number == number) else { continue };
        match field.form {
            Form::Texts | Form::Messages(_) => {
                let item = match field.form {
                    Form::Messages(inner) => Value::Object(message(wire.bytes()?, inner)?),
                    _ => text(wire.bytes()?)?.into(),
                };
                let list = object.entry(field.name).or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(list) = list {
                    list.push(item);
                }
            }
            Form::TextMap | Form::BytesMap | Form::ListMap => {
                let (key, value) = entry(wire.bytes()?, field.form)?;
                let map = object.entry(field.name).or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(map) = map {
                    map.insert(key, value);
                }
            }
            form => {
                if let Some(value) = single(wire, form)? {
                    object.insert(field.name.into(), value);
                }
            }
        }
    }
    Ok(object)
}

/// A field that is there once; `None` for the zero values that JSON leaves out.
fn single(wire: Wire<'_>, form: Form) -> Result<Option<Value>, ProtobufError> {
    Ok(match form {
        Form::Text => Some(text(wire.bytes()?)?).filter(|t| !t.is_empty()).map(Value::from),
        Form::OptionalText => Some(text(wire.bytes()?)?.into()),
        Form::Integer => Some(wire.integer()?).filter(|n| *n != 0).map(Value::from),
        Form::OptionalInteger => Some(wire.integer()?.into()),
        Form::OptionalFlag => Some((wire.integer()? != 0).into()),
        Form::Time => time(wire.bytes()?, "%Y-%m-%dT%H:%M:%SZ")?,
        Form::MicroTime => time(wire.bytes()?, "%Y-%m-%dT%H:%M:%S.%6fZ")?,
        Form::Json => {
            let mut reader = Reader(wire.bytes()?);
            let mut found = None;
            while let Some((number, wire)) = reader.field()? {
                if number == 1 {
                    let decoded = crate::decode::json(wire.bytes()?);
                    let value =
                        decoded.map_err(|_| ProtobufError::Malformed("a JSON field is not JSON"));
                    found = Some(value?.value);
                }
            }
            found
        }
        Form::Message(fields) => Some(Value::Object(message(wire.bytes()?, fields)?)),
        Form::Texts | Form::Messages(_) | Form::TextMap | Form::BytesMap | Form::ListMap => None,
    })
}

fn entry(bytes: &[u8], form: Form) -> Result<(String, Value), ProtobufError> {
    let mut key = String::new();
    let mut value = match form {
        Form::ListMap => Value::Array(Vec::new()),
        _ => Value::from(""),
    };
    let mut reader = Reader(bytes);
    while let Some((number, wire)) = reader.field()? {
        match (number, form) {
            (1, _) => key = text(wire.bytes()?)?,
            (2, Form::BytesMap) => value = STANDARD.encode(wire.bytes()?).into(),
            (2, Form::ListMap) => {
                let mut items = Reader(wire.bytes()?);
                let mut list = Vec::new();
                while let Some((number, wire)) = items.field()? {
                    if number == 1 {
                        list.push(text(wire.bytes()?)?.into());
                    }
                }
                value = Value::Array(list);
            }
            (2, _) => value = text(wire.bytes()?)?.into(),
            _ => {}
        }
    }
    Ok((key, value))
}

/// A point in time; the empty message is none.
fn time(bytes: &[u8], form: &str) -> Result<Option<Value>, ProtobufError> {
    let (mut seconds, mut nanos) = (None, 0);
    let mut reader = Reader(bytes);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => seconds = Some(wire.integer()?),
            2 => nanos = wire.integer()?,
            _ => {}
        }
    }
    let Some(seconds) = seconds else { return Ok(None) };
    let nanos =
        i32::try_from(nanos).map_err(|_| ProtobufError::Malformed("a time is out of range"))?;
    let point = Timestamp::new(seconds, nanos)
        .map_err(|_| ProtobufError::Malformed("a time is out of range"))?;
    Ok(Some(point.strftime(form).to_string().into()))
}

fn text(bytes: &[u8]) -> Result<String, ProtobufError> {
    let text = std::str::from_utf8(bytes);
    text.map(str::to_owned).map_err(|_| ProtobufError::Malformed("a text is not UTF-8"))
}

/// The value of a field on the wire.
#[derive(Clone, Copy)]
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Wire<'a> {
    fn bytes(self) -> Result<&'a [u8], ProtobufError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Number(_) => Err(ProtobufError::Malformed("a field has the wrong wire type")),
        }
    }

    fn integer(self) -> Result<i64, ProtobufError> {
        match self {
            Self::Number(number) => Ok(number.cast_signed()),
            Self::Bytes(_) => Err(ProtobufError::Malformed("a field has the wrong wire type")),
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next field; `None` at the end.
    fn field(&mut self) -> Result<Option<(u32, Wire<'a>)>, ProtobufError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3)
            .map_err(|_| ProtobufError::Malformed("a field number is out of range"))?;
        let wire = match tag & 7 {
            0 => Wire::Number(self.varint()?),
            1 => Wire::Bytes(self.take(8)?),
            2 => {
                let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                Wire::Bytes(self.take(length)?)
            }
            5 => Wire::Bytes(self.take(4)?),
            _ => return Err(ProtobufError::Malformed("a field has an unknown wire type")),
        };
        Ok(Some((number, wire)))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], ProtobufError> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(ProtobufError::Malformed("a length is beyond the end"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, ProtobufError> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let (&byte, rest) =
                self.0.split_first().ok_or(ProtobufError::Malformed("a number is cut off"))?;
            self.0 = rest;
            if shift < 64 {
                value |= u64::from(byte & 0x7f) << shift;
            }
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ProtobufError::Malformed("a number is too long"))
    }
}

/// "k8s" and a NUL.
const MAGIC: &[u8] = b"k8s\0";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// A field that holds bytes.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        let mut length = bytes.len();
        while length >= 0x80 {
            out.push(u8::try_from(length & 0x7f).expect("seven bits") | 0x80);
            length >>= 7;
        }
        out.push(u8::try_from(length).expect("seven bits"));
        out.extend(bytes);
        out
    }

    fn number(number: u8, value: u8) -> Vec<u8> {
        vec![number << 3, value]
    }

    fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let type_meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), field(1, &type_meta), field(2, raw), field(3, b""), field(4, b"")].concat()
    }

    #[test]
    fn a_secret_becomes_its_json() {
        let owner = [
            field(1, b"Ensemble"),
            field(3, b"e"),
            field(4, b"u"),
            field(5, b"x/v1"),
            number(6, 1),
        ];
        let meta = [
            field(1, b"s"),
            field(2, b""),
            field(3, b"default"),
            number(7, 0),
            field(8, b""),
            field(11, &[field(1, b"owner"), field(2, b"helm")].concat()),
            field(13, &owner.concat()),
            field(14, b"a/b"),
        ];
        let raw = [
            field(1, &meta.concat()),
            field(2, &[field(1, b"k"), field(2, b"hi")].concat()),
            field(3, b"Opaque"),
            number(5, 0),
            field(15, b"unknown"),
        ];
        assert_eq!(
            decode(&envelope("v1", "Secret", &raw.concat())),
            Ok(json!({"apiVersion":"v1","kind":"Secret","type":"Opaque","immutable":false,
                "metadata":{"name":"s","namespace":"default","labels":{"owner":"helm"},"finalizers":["a/b"],
                    "ownerReferences":[{"kind":"Ensemble","name":"e","uid":"u","apiVersion":"x/v1","controller":true}]},
                "data":{"k":"aGk="}}))
        );
    }

    #[test]
    fn presence_and_times_are_kept() {
        let micro = [number(1, 5), vec![2 << 3, 0xc0, 0x84, 0x3d]].concat();
        let spec = [field(1, b""), number(2, 15), field(4, &micro)].concat();
        assert_eq!(
            decode(&envelope("coordination.k8s.io/v1", "Lease", &field(2, &spec))),
            Ok(json!({"apiVersion":"coordination.k8s.io/v1","kind":"Lease","spec":{
                "holderIdentity":"","leaseDurationSeconds":15,"renewTime":"1970-01-01T00:00:05.001000Z"}}))
        );
        let options = [number(1, 0), field(4, b"Background"), field(2, &field(1, b"uid"))].concat();
        assert_eq!(
            decode(&envelope("v1", "DeleteOptions", &options)),
            Ok(json!({"apiVersion":"v1","kind":"DeleteOptions","gracePeriodSeconds":0,
                "propagationPolicy":"Background","preconditions":{"uid":"uid"}}))
        );
    }

    #[test]
    fn what_cannot_be_decoded_is_told() {
        assert_eq!(decode(b"{}"), Err(ProtobufError::NoEnvelope));
        assert!(matches!(
            decode(&envelope("autoscaling/v2", "HorizontalPodAutoscaler", b"")),
            Err(ProtobufError::Unsupported { .. })
        ));
        let huge = [MAGIC, &[2 << 3 | 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]].concat();
        assert!(matches!(decode(&huge), Err(ProtobufError::Malformed(_))));
        assert!(matches!(
            decode(&envelope("v1", "Secret", &number(1, 1))),
            Err(ProtobufError::Malformed(_))
        ));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
            for (api_version, kind) in messages::known() {
                let _ = decode(&envelope(api_version, kind, &raw));
            }
            let _ = decode(&[MAGIC, &raw].concat());
        }
    }
}
