//! What is to be remembered of a pod's agent when the manager is killed.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::pod_state::Terminated;

const NAME: &str = "pod.json";

/// One pod's memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    pub(super) uid: String,
    pub(super) address: Ipv4Addr,
    pub(super) restarts: u32,
    pub(super) ready: bool,
    /// Whether a process was ever started.
    pub(super) ran: bool,
    pub(super) last: Option<Terminated>,
}

/// The record in a pod's directory; `None` when there is none that can be read.
pub(super) fn read(directory: &Path) -> Option<Record> {
    serde_json::from_slice(&fs::read(directory.join(NAME)).ok()?).ok()
}

/// Writes the record, whole or not at all.
pub(super) fn write(directory: &Path, record: &Record) -> io::Result<()> {
    let making = directory.join("pod.json.new");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&making)?;
    file.write_all(&serde_json::to_vec(record)?)?;
    fs::rename(&making, directory.join(NAME))
}
