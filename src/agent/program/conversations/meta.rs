//! What is kept of a conversation beside its log: `meta.json`, replaced whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::agent::program::claude::Mark;

/// The content of `meta.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta {
    /// The conversation's id.
    pub(super) id: String,
    /// The name of its log.
    pub(super) epoch: String,
    /// Claude Code's session, which is another one after `/clear`.
    pub(super) session: String,
    /// The title that a person gave.
    #[serde(default)]
    pub(super) title: Option<String>,
    /// The model that is asked for.
    #[serde(default)]
    pub(super) model: Option<String>,
    /// The permission mode of the next turn.
    pub(super) permission_mode: String,
    /// When it was made.
    pub(super) created_at: String,
    /// Rules that a person allowed for this conversation, as settings have them.
    #[serde(default)]
    pub(super) rules: Vec<String>,
    /// Directories that such rules need.
    #[serde(default)]
    pub(super) directories: Vec<String>,
    /// The process that runs, to end it after a crash of the agent.
    #[serde(default)]
    pub(super) process: Option<Mark>,
    /// Who writes the log.
    #[serde(default)]
    pub(super) writer: Writer,
    /// The newest event when the log was closed; `None` while it is open. Only what was closed is known to be whole on
    /// another machine.
    #[serde(default)]
    pub(super) closed: Option<u64>,
    /// What a newer agent keeps.
    #[serde(flatten)]
    pub(super) other: Map<String, Value>,
}

/// One run of a machine and one pod: a log that either of them left open is whole as long as both are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Writer {
    /// The kernel's id of its boot.
    pub(super) boot: String,
    /// The pod.
    pub(super) pod: String,
}

impl Writer {
    /// This run.
    pub(super) fn current(pod: Option<&str>) -> Self {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self { boot: boot.trim().to_owned(), pod: pod.unwrap_or_default().to_owned() }
    }
}

impl Meta {
    /// Reads a file.
    pub(super) fn read(file: &Path) -> io::Result<Self> {
        serde_json::from_slice(&fs::read(file)?).map_err(io::Error::other)
    }

    /// Whether the log may have lost events that a reader has: it was left open elsewhere, or ends before its mark.
    pub(super) fn is_doubtful(&self, writer: &Writer, last_seq: u64) -> bool {
        match self.closed {
            Some(closed) => closed != last_seq,
            None => self.writer != *writer,
        }
    }

    /// Replaces a file, durably.
    pub(super) fn write(&self, file: &Path) -> io::Result<()> {
        replace(file, serde_json::to_string(self)?.as_bytes())
    }
}

/// Replaces a file whole and durably, readable by its owner alone.
pub(super) fn replace(file: &Path, content: &[u8]) -> io::Result<()> {
    let draft = file.with_extension("new");
    let mut open = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&draft)?;
    open.write_all(content)?;
    open.sync_all()?;
    fs::rename(&draft, file)?;
    match file.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> Meta {
        serde_json::from_str(
            r#"{"id":"i","epoch":"e","session":"s","permissionMode":"plan","createdAt":"t","writer":{"boot":"b","pod":"p"},"later":1}"#,
        )
        .unwrap()
    }

    #[test]
    fn what_a_newer_agent_keeps_stays() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("meta.json");
        meta().write(&file).unwrap();
        assert_eq!(Meta::read(&file).unwrap(), meta());
        assert_eq!(Meta::read(&file).unwrap().other["later"], 1);
    }

    #[test]
    fn a_log_is_doubtful_when_it_was_left_open_elsewhere_or_is_older_than_its_mark() {
        let here = Writer { boot: "b".to_owned(), pod: "p".to_owned() };
        let elsewhere = Writer { boot: "c".to_owned(), pod: "p".to_owned() };
        assert!(!meta().is_doubtful(&here, 7), "kill -9 loses nothing that was written");
        assert!(meta().is_doubtful(&elsewhere, 7), "a power cut may");
        let closed = Meta { closed: Some(7), ..meta() };
        assert!(!closed.is_doubtful(&elsewhere, 7));
        assert!(closed.is_doubtful(&here, 6));
    }
}
