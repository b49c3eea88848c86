//! Values that serde would write in another way than Mesos does.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};

/// Bytes as base64 with padding.
pub(super) struct Base64<'a>(pub(super) &'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&base64::display::Base64Display::new(self.0, &STANDARD))
    }
}

/// A number with a fraction; infinity is a word.
pub(super) struct Double(pub(super) f64);

impl Serialize for Double {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_finite() {
            serializer.serialize_f64(self.0)
        } else if self.0.is_nan() {
            serializer.serialize_str("NaN")
        } else if self.0 > 0.0 {
            serializer.serialize_str("Infinity")
        } else {
            serializer.serialize_str("-Infinity")
        }
    }
}

/// The bytes of a base64 text, or what is wrong with it.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, String> {
    use base64::DecodeError;
    STANDARD.decode(text).map_err(|error| match error {
        DecodeError::InvalidByte(_, byte) => format!("Invalid character '{}'", char::from(byte)),
        other => other.to_string(),
    })
}
