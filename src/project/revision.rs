//! A commit of the state repository.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A Git commit id: 40 lower-case hexadecimal digits (SHA-1 repositories).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Revision([u8; 20]);

/// The text is not 40 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a full commit id of 40 hexadecimal digits")]
pub struct RevisionError(String);

impl Revision {
    /// A revision from the raw bytes of its id.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// The raw bytes of the id.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }

    /// Parses a full commit id.
    ///
    /// # Errors
    /// [`RevisionError`] unless the text is exactly 40 hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, RevisionError> {
        let error = || RevisionError(text.to_owned());
        let digits = text.as_bytes();
        if digits.len() != 40 {
            return Err(error());
        }
        let mut bytes = [0; 20];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16).ok_or_else(error)?;
            let low = char::from(pair[1]).to_digit(16).ok_or_else(error)?;
            *byte = u8::try_from(high * 16 + low).map_err(|_| error())?;
        }
        Ok(Self(bytes))
    }

    /// The first ten digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string()[..10].to_owned()
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Revision {
    type Error = RevisionError;
    fn try_from(text: String) -> Result<Self, RevisionError> {
        Self::parse(&text)
    }
}

impl From<Revision> for String {
    fn from(revision: Revision) -> Self {
        revision.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_id_survives_the_round_trip_and_nothing_else_is_one() {
        let id = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(Revision::parse(id).unwrap().to_string(), id);
        for text in ["", "0123", "g123456789abcdef0123456789abcdef01234567", "ä"] {
            assert!(Revision::parse(text).is_err(), "{text}");
        }
    }
}
