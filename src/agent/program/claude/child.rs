//! Starts a program that ends with its parent.
//!
//! Claude Code whose agent was killed would work on, unseen. `claude-manager agent child` asks the kernel for a signal at
//! the parent's death and then becomes the program; the wish outlives the exec.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Becomes `program`, which gets SIGTERM when the process `parent` ends. Returns only when that failed.
pub fn run_child(parent: u32, program: &Path, arguments: &[OsString]) -> io::Error {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

        if let Err(error) = set_parent_process_death_signal(Some(Signal::TERM)) {
            return error.into();
        }
        // It may have ended before the wish was told. Inside another PID namespace the number means nothing.
        let parent = i32::try_from(parent).ok().and_then(Pid::from_raw);
        if parent.is_none() || getppid() != parent {
            return io::Error::other("the agent that started this has ended");
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = parent;
    Command::new(program).args(arguments).exec()
}
