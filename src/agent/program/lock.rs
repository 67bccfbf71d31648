//! One agent for each workspace, by a lock that ends with the process that holds it, however it ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::layout::Layout;
use super::{AgentError, Options};

/// Who holds a workspace: the content of its lock file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// The agent's process, as it sees itself.
    pub pid: u32,
    /// Its pod.
    #[serde(default)]
    pub pod_uid: Option<String>,
    /// Where it listens.
    pub address: SocketAddr,
    /// The version of its program.
    pub version: String,
    /// When it started, RFC 3339.
    pub started_at: String,
}

/// The lock file of a workspace.
fn lock_file(workspace: &Path) -> PathBuf {
    workspace.join(".claude-manager/agent.lock")
}

/// Who holds `workspace` now; `None` when nobody does. A holder that has not written its name yet is waited for by asking
/// again.
///
/// # Errors
/// When the file is there and cannot be read, or what it says is nothing that an agent wrote.
pub fn holder(workspace: &Path) -> std::io::Result<Option<Holder>> {
    let file = match File::open(lock_file(workspace)) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            (&file).take(4096).read_to_string(&mut text)?;
            serde_json::from_str(&text).map(Some).map_err(std::io::Error::other)
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The held lock.
pub(super) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock of the workspace, or says who has it.
    pub(super) fn take(layout: &Layout) -> Result<Self, AgentError> {
        let directory = layout.own();
        fs::create_dir_all(&directory).map_err(AgentError::file("cannot be made", &directory))?;
        let path = lock_file(&layout.workspace());
        let open = || OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o644).open(&path);
        let file = open().map_err(AgentError::file("cannot be opened", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file, path }),
            Err(TryLockError::WouldBlock) => {
                let mut who = String::new();
                let _ = (&file).take(1024).read_to_string(&mut who);
                let who = who.trim().to_owned();
                let who = if who.is_empty() { "it has not said yet which".to_owned() } else { who };
                Err(AgentError::Held { workspace: layout.workspace(), who })
            }
            Err(TryLockError::Error(error)) => Err(AgentError::file("cannot be locked", path)(error)),
        }
    }

    /// Writes into the file who holds it.
    pub(super) fn sign(&self, options: &Options, address: SocketAddr, started: Timestamp) -> Result<(), AgentError> {
        let holder = Holder {
            pid: std::process::id(),
            pod_uid: options.pod_uid.clone(),
            address,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: started.to_string(),
        };
        let write = || -> std::io::Result<()> {
            let text = serde_json::to_string(&holder).map_err(std::io::Error::other)?;
            self.file.set_len(0)?;
            (&self.file).write_all(text.as_bytes())
        };
        write().map_err(AgentError::file("cannot be written", &self.path))
    }
}
