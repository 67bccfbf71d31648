//! Ids of conversations and prompts: UUIDs, since Claude Code takes no others.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A UUID in its canonical text: lower-case, with hyphens. It is safe as a file name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id(String);

/// A text is no UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no UUID; give one such as 3f2b8c1e-9d4a-4e6f-8a7b-0c1d2e3f4a5b")]
pub struct NotAnId;

impl Id {
    /// Returns a new random id (RFC 9562, version 4).
    #[must_use]
    pub fn random() -> Self {
        let mut bytes: [u8; 16] = rand::random();
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let mut text = String::with_capacity(36);
        for (index, byte) in bytes.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            text.push_str(&format!("{byte:02x}"));
        }
        Self(text)
    }

    /// Reads an id; capital letters are taken for small ones.
    ///
    /// # Errors
    /// When the text is no UUID.
    pub fn parse(text: &str) -> Result<Self, NotAnId> {
        let fits = |(index, byte): (usize, u8)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        };
        if text.len() == 36 && text.bytes().enumerate().all(fits) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        Err(NotAnId)
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Id {
    type Error = NotAnId;

    fn try_from(text: String) -> Result<Self, NotAnId> {
        Self::parse(&text)
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_ids_are_uuids_of_version_4() {
        let id = Id::random();
        assert_eq!(Id::parse(id.as_str()).as_ref(), Ok(&id));
        assert_eq!(id.as_str().as_bytes()[14], b'4');
        assert_ne!(id, Id::random());
    }

    #[test]
    fn one_id_has_one_text() {
        let id = Id::parse("3F2B8C1E-9D4A-4E6F-8A7B-0C1D2E3F4A5B").unwrap();
        assert_eq!(id.as_str(), "3f2b8c1e-9d4a-4e6f-8a7b-0c1d2e3f4a5b");
        for text in ["", "x", "../../../../../../../../../etc/passwd00", "3f2b8c1e_9d4a-4e6f-8a7b-0c1d2e3f4a5b"] {
            assert_eq!(Id::parse(text), Err(NotAnId), "{text}");
        }
    }
}
