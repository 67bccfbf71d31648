//! Ends what a process of Claude Code left behind.
//!
//! Commands that Claude Code runs in the background leave its process group, so they are found by a variable that all of
//! them inherit. Elsewhere than on Linux only the process itself is found.

use serde::{Deserialize, Serialize};

/// The variable that names the conversation to everything that is started for it.
pub(super) const VARIABLE: &str = "CLAUDE_MANAGER_CONVERSATION";

/// A process, told apart from a later one with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::agent::program) struct Mark {
    /// Its number.
    pub(in crate::agent::program) pid: u32,
    /// When it started, in the kernel's ticks; 0 where the system does not tell.
    pub(in crate::agent::program) started: u64,
}

/// Returns the mark of a running process.
pub(in crate::agent::program) fn mark_of(pid: u32) -> Mark {
    Mark { pid, started: started(pid).unwrap_or(0) }
}

/// Kills the process with the mark, if it still runs, and everything that was started for `conversation`. Returns how many
/// processes were killed.
pub(in crate::agent::program) fn end(mark: Option<Mark>, conversation: &str) -> usize {
    let mut found: Vec<u32> = started_for(conversation);
    if let Some(mark) = mark
        && !found.contains(&mark.pid)
        && started(mark.pid).is_some_and(|started| started == mark.started)
    {
        found.push(mark.pid);
    }
    found.into_iter().filter(|pid| kill(*pid)).count()
}

fn kill(pid: u32) -> bool {
    use rustix::process::{Pid, Signal, kill_process};

    if pid <= 1 || pid == std::process::id() {
        return false;
    }
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    match kill_process(pid, Signal::KILL) {
        Ok(()) => true,
        Err(rustix::io::Errno::SRCH) => false,
        Err(error) => {
            tracing::warn!(%error, pid = pid.as_raw_nonzero(), "a process of an earlier conversation cannot be ended");
            false
        }
    }
}

/// When a process started; `None` for one that has ended.
#[cfg(target_os = "linux")]
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // The name of the program stands in brackets and may hold some itself.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    (fields.first() != Some(&"Z")).then_some(())?;
    fields.get(19)?.parse().ok()
}

#[cfg(not(target_os = "linux"))]
fn started(pid: u32) -> Option<u64> {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)?;
    rustix::process::test_kill_process(pid).ok().map(|()| 0)
}

/// The processes that were started for a conversation. One that starts while this looks is found by the second look.
#[cfg(target_os = "linux")]
fn started_for(conversation: &str) -> Vec<u32> {
    let wanted = format!("{VARIABLE}={conversation}");
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbered = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbered
        .filter(|pid| {
            let Ok(variables) = std::fs::read(format!("/proc/{pid}/environ")) else { return false };
            variables.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
        })
        .collect()
}

#[cfg(not(target_os = "linux"))]
fn started_for(_conversation: &str) -> Vec<u32> {
    Vec::new()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn what_left_its_group_is_found_and_a_strangers_process_is_not() {
        let conversation = crate::agent::chat::Id::random();
        let sleeper = |mark: Option<&str>| {
            let mut command = Command::new("setsid");
            command.args(["sleep", "60"]).stdin(Stdio::null()).env_remove(VARIABLE);
            if let Some(mark) = mark {
                command.env(VARIABLE, mark);
            }
            command.spawn().unwrap()
        };
        let (mut own, mut other) = (sleeper(Some(conversation.as_str())), sleeper(None));
        let reused = Mark { pid: other.id(), started: 1 };
        // The variable is there once the exec is done.
        while end(Some(reused), conversation.as_str()) == 0 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(!own.wait().unwrap().success());
        assert!(other.try_wait().unwrap().is_none(), "a number that was given again is not the same process");
        assert_eq!(end(Some(mark_of(other.id())), conversation.as_str()), 1);
        other.wait().unwrap();
    }
}
