//! Takes away what ended and nobody waits for.
//!
//! In a pod the agent is the first process: whatever loses its parent there becomes the agent's child, and stays in the
//! table of processes as a dead one until the agent asks for it. Many of those leave no room for new processes.
//!
//! The agent's own children are waited for where they were started, at once when they end. So a child that is dead at two
//! looks in a row is nobody's, and this never takes an exit status away from who wants it.

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

/// The time between two looks; nobody looks while no child ends.
const PAUSE: Duration = Duration::from_secs(5);

/// A dead child. Its number may be given again, but not with the same start.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Dead {
    pid: i32,
    started: u64,
}

/// Runs as long as the agent does; does nothing where others look after orphans.
pub(super) async fn keep() {
    let ended = if std::process::id() == 1 { signal(SignalKind::child()).ok() } else { None };
    let Some(mut ended) = ended else { return std::future::pending().await };
    let mut seen = Vec::new();
    loop {
        if seen.is_empty() {
            ended.recv().await;
        }
        sleep(PAUSE).await;
        let (left, new): (Vec<Dead>, Vec<Dead>) = dead_children(1).into_iter().partition(|dead| seen.contains(dead));
        left.iter().for_each(take);
        seen = new;
    }
}

/// Asks for the end of a child, which makes its entry go.
fn take(dead: &Dead) {
    if let Some(pid) = Pid::from_raw(dead.pid) {
        // An error means that it has gone already.
        let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    }
}

/// The children of `parent` that have ended and were not waited for.
fn dead_children(parent: u32) -> Vec<Dead> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbered = entries.filter(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit));
    let stats = numbered.filter_map(|entry| fs::read(entry.path().join("stat")).ok());
    stats.filter_map(|stat| dead(&String::from_utf8_lossy(&stat), parent)).collect()
}

/// Reads a line of `/proc/<pid>/stat`. The name of the program stands in brackets, and may hold some itself.
fn dead(stat: &str, parent: u32) -> Option<Dead> {
    let (pid, rest) = stat.split_once(' ')?;
    let fields: Vec<&str> = rest.rsplit_once(')')?.1.split_whitespace().collect();
    let is_dead = fields.first() == Some(&"Z") && fields.get(1)?.parse() == Ok(parent);
    let started = fields.get(19)?.parse().ok()?;
    is_dead.then_some(Dead { pid: pid.parse().ok()?, started })
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Instant;

    use super::*;

    #[test]
    fn only_dead_children_of_the_parent_are_found() {
        let line = |name: &str, state: &str, parent: u32| {
            format!(
                "41 ({name}) {state} {parent} 41 41 0 -1 4228108 0 0 0 0 0 0 0 0 20 0 1 0 777 0 0 18446744073709551615"
            )
        };
        assert_eq!(dead(&line("git", "Z", 1), 1), Some(Dead { pid: 41, started: 777 }));
        assert_eq!(dead(&line("x) S 9 (", "Z", 1), 1), Some(Dead { pid: 41, started: 777 }));
        for (name, state, parent) in [("git", "S", 1), ("git", "Z", 2), (") Z 1", "S", 2)] {
            assert_eq!(dead(&line(name, state, parent), 1), None, "{name} {state} {parent}");
        }
        for broken in ["", "41", "41 (git", "41 (git) Z", "41 (git) Z 1"] {
            assert_eq!(dead(broken, 1), None, "{broken}");
        }
    }

    #[test]
    #[allow(clippy::zombie_processes, reason = "it is the dead child that this is about")]
    fn a_dead_child_that_nobody_waits_for_is_taken_away() {
        let child = Command::new("true").spawn().unwrap();
        let own = || {
            let all = dead_children(std::process::id());
            all.into_iter().find(|dead| u32::try_from(dead.pid) == Ok(child.id()))
        };
        let began = Instant::now();
        let found = loop {
            assert!(began.elapsed() < Duration::from_secs(10), "never dead");
            if let Some(found) = own() {
                break found;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        take(&found);
        assert_eq!(own(), None);
    }
}
