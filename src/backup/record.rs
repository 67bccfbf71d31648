//! What is remembered of backups across restarts, in one file beside them.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::project::Revision;

/// The file in BACKUP_DIR.
const FILE: &str = "status.json";

/// The record of one directory of backups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Record {
    /// The repository and branch that the rest is about; nothing of it counts for another one.
    pub(super) target: String,
    /// The last backup that succeeded.
    pub(super) last: Option<Success>,
    /// The failures since then.
    pub(super) failure: Option<Failure>,
    /// Set while a backup runs: found at a start, its process was killed.
    pub(super) running: Option<Timestamp>,
}

/// A backup that succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Success {
    /// The name behind `backup/`.
    pub(super) name: String,
    /// When it was complete.
    pub(super) at: Timestamp,
    /// The commit.
    pub(super) revision: Revision,
    /// Whether it was pushed and read back.
    pub(super) pushed: bool,
    /// Why the branch was not moved, and what to do; the tag is there all the same.
    pub(super) branch_refused: Option<String>,
}

/// Backups that failed, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Failure {
    /// When the first failed.
    pub(super) since: Timestamp,
    /// When the last failed.
    pub(super) at: Timestamp,
    /// How many.
    pub(super) attempts: u32,
    /// Why the last failed.
    pub(super) reason: String,
}

impl Record {
    /// Reads the record for `target`. An unreadable one is begun anew: it is worth less than the next backup. Times after
    /// `now` come from a clock that was wrong, and would put the next backup off until then.
    pub(super) fn read(directory: &Path, target: &str, now: Timestamp) -> Self {
        let path = directory.join(FILE);
        let empty = Self { target: target.to_owned(), ..Self::default() };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return empty,
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "the record of backups cannot be read; beginning anew");
                return empty;
            }
        };
        match serde_json::from_str::<Self>(&text) {
            Ok(mut record) if record.target == target => {
                if let Some(last) = &mut record.last {
                    last.at = last.at.min(now);
                }
                if let Some(failure) = &mut record.failure {
                    failure.at = failure.at.min(now);
                }
                record
            }
            Ok(_) => empty,
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "the record of backups is damaged; beginning anew");
                empty
            }
        }
    }

    /// Writes the record, whole or not at all.
    pub(super) fn write(&self, directory: &Path) -> io::Result<()> {
        let (path, draft) = (directory.join(FILE), directory.join("status.json.new"));
        let mut file = File::create(&draft)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&draft, &path)?;
        File::open(directory)?.sync_all()
    }

    /// Records a success.
    pub(super) fn succeeded(&mut self, success: Success) {
        (self.last, self.failure, self.running) = (Some(success), None, None);
    }

    /// Records a failure.
    pub(super) fn failed(&mut self, at: Timestamp, reason: String) {
        let (since, attempts) = self.failure.as_ref().map_or((at, 0), |failure| (failure.since, failure.attempts));
        self.failure = Some(Failure { since, at, attempts: attempts.saturating_add(1), reason });
        self.running = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_record_is_read_back_for_its_own_target_only() {
        let directory = tempfile::tempdir().unwrap();
        let mut record = Record::read(directory.path(), "a#main", at(10));
        record.failed(at(1), "away".to_owned());
        record.failed(at(2), "still away".to_owned());
        record.write(directory.path()).unwrap();
        let read = Record::read(directory.path(), "a#main", at(10));
        assert_eq!(read, record);
        let failure = read.failure.unwrap();
        assert_eq!((failure.since, failure.at, failure.attempts), (at(1), at(2), 2));
        let early = Record::read(directory.path(), "a#main", at(1)).failure.unwrap();
        assert_eq!(early.at, at(1), "a clock that was wrong");
        assert_eq!(Record::read(directory.path(), "b#main", at(10)).failure, None);
        fs::write(directory.path().join(FILE), "{\"target\":").unwrap();
        assert_eq!(Record::read(directory.path(), "a#main", at(10)).failure, None);
    }
}
