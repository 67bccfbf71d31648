//! The one way to the `git` program.
//!
//! *Rationale.* Transport with all its helpers is what git does best; everything else is done in process. Each setting
//! below is there so that a run depends on nothing but its arguments: no configuration, hooks or prompt of the machine.

use std::io::Read;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::project::PASSED;

/// The most that is kept of an output.
const MAX_OUTPUT: u64 = 64 * 1024;
/// What git may see beside [`PASSED`]: where the person's ssh has its files and its agent.
const OWN: [&str; 4] = ["HOME", "TMPDIR", "USER", "SSH_AUTH_SOCK"];

/// What a run gave.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) success: bool,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Why a run gave nothing.
#[derive(Debug)]
pub(super) enum RunError {
    /// There is no such program, or it cannot be started.
    Start(std::io::Error),
    /// It was ended after this time.
    TimedOut(Duration),
}

/// A git command on the bare repository at `git_dir`.
pub(super) fn git(git_dir: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .env_clear()
        .envs(PASSED.iter().chain(&OWN).filter_map(|name| Some((*name, std::env::var_os(name)?))))
        // Messages are looked at; they must not depend on the machine's language.
        .env("LC_ALL", "C")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        // `ext::` would run any program.
        .env("GIT_ALLOW_PROTOCOL", "https:http:ssh:git:file")
        .arg("--git-dir")
        .arg(git_dir)
        .args(["-c", "core.hooksPath=/dev/null"])
        .args(["-c", "credential.helper="])
        .args(["-c", "core.askPass="])
        // A server that stops sending is given up before the time limit.
        .args(["-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=30"])
        .args(["-c", "maintenance.auto=false", "-c", "gc.auto=0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs a command to its end, at most `limit`.
pub(super) fn run(mut command: Command, limit: Duration) -> Result<Output, RunError> {
    let mut child = command.spawn().map_err(RunError::Start)?;
    let stdout = child.stdout.take().map(reader);
    let stderr = child.stderr.take().map(reader);
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(2);
    let status: ExitStatus = loop {
        match child.try_wait().map_err(RunError::Start)? {
            Some(status) => break status,
            None if Instant::now() >= deadline => {
                // Its helpers end when their pipes to it close. Nobody waits for the readers then.
                let _ = child.kill();
                let _ = child.wait();
                return Err(RunError::TimedOut(limit));
            }
            None => std::thread::sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(50));
    };
    let text = |reader: Option<std::thread::JoinHandle<String>>| {
        reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
    };
    Ok(Output { success: status.success(), stdout: text(stdout), stderr: text(stderr) })
}

fn reader(mut pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        let _ = pipe.by_ref().take(MAX_OUTPUT).read_to_end(&mut kept);
        // The rest is read away, else the child would wait for room in the pipe.
        let _ = std::io::copy(&mut pipe, &mut std::io::sink());
        String::from_utf8_lossy(&kept).into_owned()
    })
}
