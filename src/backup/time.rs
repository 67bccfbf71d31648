//! When a backup was made, which is also its name.

use std::fmt;

use jiff::Timestamp;

/// The longest text that is looked at.
const MAX_LENGTH: usize = 64;

/// The time of a backup, to the millisecond; as text `2023-12-01T10-30-00-000Z`, which Git and file systems take as a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BackupTime(Timestamp);

/// The text is no time of a backup.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a time as in 2023-12-01T10-30-00-000Z or 2023-12-01T10:30:00Z")]
pub struct BackupTimeError;

impl BackupTime {
    /// Returns `time` without what is shorter than a millisecond.
    #[must_use]
    pub fn at(time: Timestamp) -> Self {
        Self(Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(Timestamp::UNIX_EPOCH))
    }

    /// Parses the name of a backup, with or without `backup/` before it.
    ///
    /// # Errors
    /// [`BackupTimeError`] unless the text is exactly such a name.
    pub fn parse_name(text: &str) -> Result<Self, BackupTimeError> {
        let text = text.strip_prefix("backup/").unwrap_or(text);
        let bytes = text.as_bytes();
        if bytes.len() != 24 || !text.is_ascii() || bytes[13] != b'-' || bytes[16] != b'-' || bytes[19] != b'-' {
            return Err(BackupTimeError);
        }
        let rfc3339 = format!("{}:{}:{}.{}", &text[..13], &text[14..16], &text[17..19], &text[20..]);
        let time: Timestamp = rfc3339.parse().map_err(|_| BackupTimeError)?;
        let time = Self::at(time);
        // Other spellings of one time would be other names.
        if time.to_string() == text { Ok(time) } else { Err(BackupTimeError) }
    }

    /// Parses a name or an RFC 3339 time.
    ///
    /// # Errors
    /// [`BackupTimeError`] when the text is neither.
    pub fn parse(text: &str) -> Result<Self, BackupTimeError> {
        if text.len() > MAX_LENGTH {
            return Err(BackupTimeError);
        }
        Self::parse_name(text).or_else(|_| text.parse().map(Self::at).map_err(|_| BackupTimeError))
    }

    /// Returns the point in time.
    #[must_use]
    pub const fn timestamp(self) -> Timestamp {
        self.0
    }

    /// Whether it names a whole second, as a time without fraction does.
    #[must_use]
    pub fn is_whole_second(self) -> bool {
        self.0.subsec_millisecond() == 0
    }
}

impl fmt::Display for BackupTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.0.strftime("%Y-%m-%dT%H-%M-%S");
        write!(f, "{time}-{:03}Z", self.0.subsec_millisecond())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_its_name_and_back() {
        let time = BackupTime::parse("2023-12-01T10:30:00.123456Z").unwrap();
        assert_eq!(time.to_string(), "2023-12-01T10-30-00-123Z");
        for text in ["2023-12-01T10-30-00-123Z", "backup/2023-12-01T10-30-00-123Z", "2023-12-01T11:30:00.123+01:00"] {
            assert_eq!(BackupTime::parse(text), Ok(time), "{text}");
        }
        assert!(BackupTime::parse("2023-12-01T10:30:00Z").unwrap().is_whole_second());
    }

    #[test]
    fn other_texts_are_no_times() {
        let long = "2".repeat(5000);
        for text in [
            "",
            "latest",
            "../../../etc/passwd",
            "--upload-pack=id",
            "backup/",
            "2023-13-01T10-30-00-000Z",
            "2023-12-01T10-30-60-000Z",
            "2023-12-01T10-30-00-000",
            "2023-12-01t10-30-00-000Z",
            "2023-12-01T10-30-00-000é",
            "2023-12-01T10:30:00",
            "refs/tags/backup/2023-12-01T10-30-00-000Z",
            "2023-12-01T10-30-00-000Z\n",
            &long,
        ] {
            assert_eq!(BackupTime::parse(text), Err(BackupTimeError), "{text}");
        }
    }
}
