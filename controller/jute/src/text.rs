//! A string that is a slice of the frame it came in.

use std::borrow::Borrow;
use std::fmt;
use std::ops::{Deref, Range};

use bytes::Bytes;
use bytestring::ByteString;

/// Shared, immutable UTF-8. Cheap to clone; keeps the frame it was cut from alive, so what stays (the
/// tree, the watches) copies it.
#[derive(Clone, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Text(ByteString);

impl Text {
    /// A text of the program itself.
    pub const fn from_static(text: &'static str) -> Self {
        Self(ByteString::from_static(text))
    }

    /// A part of a frame as it is when it is UTF-8; otherwise a copy with U+FFFD in place of what is not.
    ///
    /// Java's writer makes surrogate pairs of characters outside the BMP, which are not UTF-8.
    pub(crate) fn from_utf8_lossy(frame: &Bytes, part: Range<usize>) -> Self {
        let lossy = |bytes| ByteString::from(String::from_utf8_lossy(bytes).into_owned());
        let text = ByteString::try_from(frame.slice(part.clone()));
        Self(text.unwrap_or_else(|_| lossy(&frame[part])))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A copy that keeps no frame alive.
    pub fn detached(&self) -> Self {
        Self(ByteString::from(self.as_str()))
    }

    /// The part of this text that `part` is; shares the frame.
    ///
    /// `part` must have been borrowed from this text.
    pub fn slice(&self, part: &str) -> Self {
        Self(self.0.slice_ref(part))
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(ByteString::from(text))
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(ByteString::from(text))
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_utf8_is_replaced_and_the_rest_is_not_copied() {
        let bytes = Bytes::from_static(b"/a");
        assert_eq!(Text::from_utf8_lossy(&bytes, 1..2).as_ptr(), bytes[1..].as_ptr());
        assert_eq!(Text::from_utf8_lossy(&Bytes::from_static(b"-a\xffb-"), 1..4), "a\u{fffd}b");
    }
}
