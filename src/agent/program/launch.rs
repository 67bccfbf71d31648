//! `agent launch`: the first of two stages in which the manager starts an agent on its own machine.
//!
//! Takes the directories to hide and, on standard input, the variables of the pod. Confines this process and then executes
//! the agent with those variables: the process id, the group, the log and the confinement stay.
//!
//! *Rationale.* Variables such as `LD_PRELOAD` make the dynamic loader run code before `main`, so a program that was started
//! with the variables of an overlay cannot confine itself in time. This stage is started with an empty environment. It gets
//! the variables on standard input as they are secrets, too: arguments can be read by every user of the machine, a variable
//! under another name would be what the first stage must not have, and a file with a name would have to be removed again
//! after a crash.
//!
//! **Architecture invariant:** between the start of this stage and its confinement, nothing that comes from an overlay or a
//! volume is read: not even the variables are.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::layout::Layout;
use super::{AgentError, access};

/// How an agent is launched.
#[derive(Clone, Debug)]
pub struct LaunchOptions {
    /// The agent's root. It can be read as a whole.
    pub root: PathBuf,
    /// Directories to take away from the agent and all that it starts.
    pub hide: Vec<PathBuf>,
    /// The directories of the agent's volumes, links resolved. They stay writable although they may lie in a hidden one.
    pub write: Vec<PathBuf>,
    /// What the agent is started with.
    pub arguments: Vec<OsString>,
}

/// Hides directories and becomes the agent, with the variables that [`encode`] wrote into `variables`.
///
/// # Errors
/// [`AgentError`] when the directories cannot be hidden, the variables cannot be read, or the agent cannot be executed.
pub fn launch(options: LaunchOptions, variables: impl Read) -> Result<Infallible, AgentError> {
    let layout = Layout::new(&options.root)?;
    // The root cannot be written afterwards.
    access::temporary(&layout)?;
    #[cfg(target_os = "linux")]
    super::hide::hide(&options.hide, &layout, &options.write)?;
    #[cfg(not(target_os = "linux"))]
    if !options.hide.is_empty() {
        tracing::warn!("directories can be hidden on Linux only; what runs here can read all that this user can");
    }
    let variables = read(variables).map_err(AgentError::Variables)?;
    let program = std::env::current_exe().map_err(AgentError::System)?;
    let error = Command::new(&program)
        .arg("agent")
        .args(options.arguments)
        .env_clear()
        .envs(variables)
        // The agent's children have no use for the variables a second time.
        .stdin(Stdio::null())
        .exec();
    Err(AgentError::Execute { program, source: error })
}

/// Writes variables as the first stage reads them: `NAME=VALUE`, each with a NUL at its end, as in `/proc/<pid>/environ`.
/// Of two with one name the later counts.
#[must_use]
pub fn encode<'a>(variables: impl IntoIterator<Item = (&'a OsStr, &'a OsStr)>) -> Vec<u8> {
    let mut text = Vec::new();
    for (name, value) in variables {
        text.extend_from_slice(name.as_bytes());
        text.push(b'=');
        text.extend_from_slice(value.as_bytes());
        text.push(0);
    }
    text
}

fn read(mut input: impl Read) -> io::Result<Vec<(OsString, OsString)>> {
    let mut text = Vec::new();
    input.read_to_end(&mut text)?;
    let Some(text) = text.strip_suffix(&[0]) else {
        let whole = text.is_empty();
        return if whole { Ok(Vec::new()) } else { Err(io::Error::other("the last one does not end with a NUL")) };
    };
    let pair = |entry: &[u8]| {
        let at = entry.iter().position(|byte| *byte == b'=').filter(|at| *at > 0)?;
        Some((OsString::from_vec(entry[..at].to_vec()), OsString::from_vec(entry[at + 1..].to_vec())))
    };
    let pairs: Option<Vec<_>> = text.split(|byte| *byte == 0).map(pair).collect();
    pairs.ok_or_else(|| io::Error::other("each has to be NAME=VALUE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_arrive_as_they_were_written() {
        let given = [("A", "1"), ("EMPTY", ""), ("LINES", "a\nb = c"), ("A", "2")];
        let text = encode(given.iter().map(|(name, value)| (OsStr::new(*name), OsStr::new(*value))));
        let found = read(text.as_slice()).unwrap();
        let found: Vec<_> =
            found.iter().map(|(name, value)| (name.to_str().unwrap(), value.to_str().unwrap())).collect();
        assert_eq!(found, given);
        assert!(read(&b""[..]).unwrap().is_empty());
        // Cut off, or nothing that the manager wrote.
        for broken in ["A=1", "A=1\0B=", "A\0", "=1\0", "\0"] {
            assert!(read(broken.as_bytes()).is_err(), "{broken:?}");
        }
    }
}
