//! The lock that an agent holds on its workspace, read: who lives there.
//!
//! The file belongs to the agent, and whatever runs in its environment may write to it. So it is believed only about a
//! process that is the leader of its own group and was started for the very pod.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use jiff::Timestamp;
use rustix::process::Pid;
use serde::Deserialize;

/// The lock below a pod's root.
const PATH: &str = "workspace/.claude-manager/agent.lock";
/// What is read of it at most.
const LONGEST: u64 = 4096;

/// Who holds it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Holder {
    pub(super) pid: u32,
    pub(super) pod_uid: Option<String>,
    pub(super) address: Option<String>,
    pub(super) started_at: Option<Timestamp>,
}

/// The living agent in the workspace below `root`, if there is one that this runtime started for a pod.
pub(super) fn holder(root: &Path) -> Option<Holder> {
    let path = root.join(PATH);
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
    let open = || OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(&path).ok();
    let mut file: File = open()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    // Shared, so that two who only look do not see one another.
    if !matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
        return None;
    }
    let mut text = String::new();
    file.by_ref().take(LONGEST).read_to_string(&mut text).ok()?;
    let holder: Holder = serde_json::from_str(&text).ok()?;
    let uid = holder.pod_uid.as_deref().filter(|uid| !uid.is_empty())?;
    is_agent(holder.pid, uid).then_some(holder)
}

/// Whether a process is an agent that was started for the pod `uid`.
fn is_agent(pid: u32, uid: &str) -> bool {
    let Some(pid) = i32::try_from(pid).ok().filter(|pid| *pid > 1).and_then(Pid::from_raw) else { return false };
    if rustix::process::getpgid(Some(pid)).ok() != Some(pid) {
        return false;
    }
    match fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())) {
        Ok(line) => line.split(|byte| *byte == 0).any(|argument| argument == uid.as_bytes()),
        // Not on Linux: the group has to do.
        Err(_) => !cfg!(target_os = "linux"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(content: &str) -> (tempfile::TempDir, File) {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(PATH);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        let file = File::open(path).unwrap();
        (root, file)
    }

    #[test]
    fn a_lock_that_nobody_holds_says_nothing_and_one_that_lies_is_not_believed() {
        let own = std::process::id();
        let (root, file) = place(&format!("{{\"pid\":{own},\"podUid\":\"u\"}}"));
        assert_eq!(holder(root.path()), None, "nobody holds it");
        file.try_lock().unwrap();
        assert_eq!(holder(root.path()), None, "this process was not started for that pod");
        for content in ["", "{", "{\"pid\":1,\"podUid\":\"u\"}", "{\"pid\":0,\"podUid\":\"u\"}", "[]"] {
            let (root, file) = place(content);
            file.try_lock().unwrap();
            assert_eq!(holder(root.path()), None, "{content}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_pipe_in_the_place_of_the_lock_stops_nobody() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(PATH);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert_eq!(holder(root.path()), None);
    }
}
