//! An agent as a process: started in a group of its own, or found alive after the manager was killed; waited for, ended.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};

use super::address::PORT;
use super::environment;
use super::pod_state::Exit;
use super::spec::PodSpec;
use crate::agent::encode_variables;

/// How to start one.
pub(super) struct Launch<'a> {
    pub(super) program: &'a Path,
    /// Where the agent cannot look.
    pub(super) directory: &'a Path,
    pub(super) root: &'a Path,
    /// The directories of its volumes.
    pub(super) writable: &'a [PathBuf],
    pub(super) hide: &'a Path,
    pub(super) address: Ipv4Addr,
    pub(super) pod: &'a PodSpec,
    pub(super) variables: &'a BTreeMap<String, String>,
    pub(super) log: File,
}

/// A running agent.
pub(super) enum Process {
    /// Our own child.
    Child { pid: u32, child: Child },
    /// Started by an earlier run of the manager.
    Adopted { pid: u32, end: End },
}

impl Process {
    /// Starts an agent: a first stage without any variables, which confines itself and then becomes the agent (see
    /// [`crate::agent::launch`]).
    pub(super) fn start(launch: Launch<'_>) -> io::Result<Self> {
        let variables = variables_file(launch.directory, launch.variables)?;
        let errors = launch.log.try_clone()?;
        let volumes = launch.writable.iter().flat_map(|volume| [OsStr::new("--write"), volume.as_os_str()]);
        let child = Command::new(launch.program)
            .args(["agent", "launch", "--root"])
            .arg(launch.root)
            .arg("--hide")
            .arg(launch.hide)
            .args(volumes)
            .args(["--", "--root"])
            .arg(launch.root)
            .arg("--listen")
            .arg(format!("{}:{PORT}", launch.address))
            .arg("--project")
            .arg(&launch.pod.project)
            .arg("--pod-uid")
            .arg(&launch.pod.uid)
            .env_clear()
            // Not the manager's directory, which may be the data directory or one that is going.
            .current_dir(launch.root)
            .stdin(Stdio::from(variables))
            .stdout(launch.log)
            .stderr(errors)
            // The terminal's Ctrl-C is for the manager, which ends its agents in order.
            .process_group(0)
            .spawn()?;
        let pid = child.id().ok_or_else(|| io::Error::other("it ended at once"))?;
        Ok(Self::Child { pid, child })
    }

    /// Takes over an agent that runs already.
    pub(super) fn adopt(pid: u32) -> io::Result<Self> {
        Ok(Self::Adopted { pid, end: End::of(pid)? })
    }

    /// Its process id, which is that of its group, too.
    pub(super) fn pid(&self) -> u32 {
        match self {
            Self::Child { pid, .. } | Self::Adopted { pid, .. } => *pid,
        }
    }

    /// Waits for its end and ends what it leaves behind in its group.
    pub(super) async fn wait(&mut self) -> Exit {
        let exit = match self {
            Self::Child { child, .. } => match child.wait().await {
                Ok(status) => exit_of(status),
                Err(_) => unknown(),
            },
            Self::Adopted { end, .. } => {
                end.wait().await;
                unknown()
            }
        };
        kill(self.pid());
        exit
    }
}

/// What the agent gets of this machine's variables and all that its pod says, in an open file that has no name any more: a
/// pipe would make the manager wait for a reader when there is more than fits.
fn variables_file(directory: &Path, variables: &BTreeMap<String, String>) -> io::Result<File> {
    let inherited: Vec<_> =
        std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(environment::passed)).collect();
    let inherited = inherited.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()));
    let own = variables.iter().map(|(name, value)| (OsStr::new(name), OsStr::new(value)));
    let text = encode_variables(inherited.chain(own));

    let path = directory.join("variables");
    match fs::remove_file(&path) {
        // Left by a manager that was killed in this moment.
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().create_new(true).read(true).write(true).mode(0o600).open(&path)?;
    fs::remove_file(&path)?;
    file.write_all(&text)?;
    file.rewind()?;
    Ok(file)
}

fn exit_of(status: ExitStatus) -> Exit {
    let signal = status.signal();
    let code = status.code().or_else(|| signal.map(|signal| 128 + signal)).unwrap_or(255);
    Exit { code, signal, known: true }
}

fn unknown() -> Exit {
    Exit { code: 137, signal: None, known: false }
}

/// Asks an agent to end. What it started is its own to end.
pub(super) fn terminate(pid: u32) {
    if let Some(pid) = pid_of(pid) {
        let _ = rustix::process::kill_process(pid, Signal::TERM);
    }
}

/// Ends an agent and everything in its group.
pub(super) fn kill(pid: u32) {
    if let Some(pid) = pid_of(pid) {
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
    }
}

/// Never 0 or 1, which a signal would take for everybody.
fn pid_of(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().filter(|pid| *pid > 1).and_then(Pid::from_raw)
}

/// The end of a process that is no child of ours.
#[cfg(target_os = "linux")]
pub(super) struct End(tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>);

#[cfg(target_os = "linux")]
impl End {
    fn of(pid: u32) -> io::Result<Self> {
        let pid = pid_of(pid).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let fd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe for types that may swap their descriptor, which OwnedFd is not"
        )]
        let fd = tokio::io::unix::AsyncFd::with_interest(fd, tokio::io::Interest::READABLE)?;
        Ok(Self(fd))
    }

    async fn wait(&mut self) {
        // It becomes readable once, when the process ends, and stays so.
        let _ = self.0.readable().await;
    }
}

/// Elsewhere the system tells the end of a stranger to nobody: it is asked for now and then.
#[cfg(not(target_os = "linux"))]
pub(super) struct End(Pid);

#[cfg(not(target_os = "linux"))]
impl End {
    fn of(pid: u32) -> io::Result<Self> {
        let pid = pid_of(pid).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        rustix::process::test_kill_process(pid)?;
        Ok(Self(pid))
    }

    async fn wait(&mut self) {
        while rustix::process::test_kill_process(self.0).is_ok() {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    }
}
