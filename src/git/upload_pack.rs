//! Serves fetches and clones: what `git upload-pack` answers to one request of the smart HTTP protocol, streamed.
//!
//! *Guarantees.* The program and its children end when the stream is dropped, and at the latest after [`LIMIT`]. Shallow and
//! partial clones work. Refs of the manager itself are not shown.
//!
//! *Caveats.* Unlike the rest of this module, this is asynchronous: the other end is a client that may be slow.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use futures::Stream;
use futures::stream::unfold;
use hyper::body::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::Repository;
use super::process::git;

/// The longest that one answer may take.
const LIMIT: Duration = Duration::from_secs(600);
/// How much is read of an answer at once.
const PART: usize = 32 * 1024;
/// How much is kept of what the program complains about.
const COMPLAINT: u64 = 2048;

/// What a client asks for.
#[derive(Clone, Debug)]
pub enum FetchRequest {
    /// The refs, or with protocol version 2 what the server can do.
    Advertisement,
    /// What stands in the body.
    Pack(Bytes),
}

/// Begins to answer a request. `protocol` is the client's `Git-Protocol` header, as in `version=2`.
///
/// # Errors
/// When the program cannot be started. Later failures are an error of the stream.
pub fn upload_pack(
    repository: &Repository,
    protocol: Option<&str>,
    request: FetchRequest,
) -> io::Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>> {
    let path = repository.path();
    let mut command = Command::from(git(path));
    command
        // The data directory may belong to another user, on a volume.
        .args(["-c", "safe.directory=*"])
        .args(["-c", "uploadpack.allowFilter=true"])
        .args(["-c", "uploadpack.hideRefs=refs/claude-manager"])
        // One fetch does not take the whole machine.
        .args(["-c", "pack.threads=1", "-c", "pack.windowMemory=32m"])
        .args(["upload-pack", "--strict", "--stateless-rpc", "--timeout=60"]);
    if matches!(request, FetchRequest::Advertisement) {
        command.arg("--advertise-refs");
    }
    command.arg(path).stdin(Stdio::piped()).process_group(0).kill_on_drop(true);
    if let Some(protocol) = protocol.filter(|text| is_protocol(text)) {
        command.env("GIT_PROTOCOL", protocol);
    }
    let mut child = command.spawn()?;
    let missing = || io::Error::other("git has no pipes");
    let mut stdin = child.stdin.take().ok_or_else(missing)?;
    let stdout = child.stdout.take().ok_or_else(missing)?;
    let stderr = child.stderr.take().ok_or_else(missing)?;
    if let FetchRequest::Pack(body) = request {
        // Beside the reading: the program may answer before it has read everything. It ends with the program.
        tokio::spawn(async move {
            let _ = stdin.write_all(&body).await;
        });
    }
    let complaint = tokio::spawn(complaint(stderr));
    let running = Running { child, stdout, complaint, deadline: Instant::now() + LIMIT, has_ended: false };
    Ok(unfold(running, |mut running| async move {
        if running.has_ended {
            return None;
        }
        let part = running.next().await;
        running.has_ended = part.is_err();
        match part {
            Ok(None) => None,
            Ok(Some(part)) => Some((Ok(part), running)),
            Err(error) => Some((Err(error), running)),
        }
    }))
}

/// Words that go into an environment variable as they are.
fn is_protocol(text: &str) -> bool {
    text.len() <= 100 && text.chars().all(|c| c.is_ascii_alphanumeric() || "=:.-".contains(c))
}

struct Running {
    child: Child,
    stdout: ChildStdout,
    complaint: JoinHandle<String>,
    deadline: Instant,
    has_ended: bool,
}

impl Running {
    /// The next part of the answer; `None` at its good end.
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let late = |_| {
            tracing::warn!("a fetch from the state repository took longer than {} s and was ended", LIMIT.as_secs());
            io::Error::from(io::ErrorKind::TimedOut)
        };
        let mut part = vec![0; PART];
        let count = timeout_at(self.deadline, self.stdout.read(&mut part)).await.map_err(late)??;
        if count > 0 {
            part.truncate(count);
            return Ok(Some(part.into()));
        }
        let status = timeout_at(self.deadline, self.child.wait()).await.map_err(late)??;
        if status.success() {
            return Ok(None);
        }
        let complaint = (&mut self.complaint).await.unwrap_or_default();
        tracing::warn!(%status, complaint = complaint.trim(), "git upload-pack failed");
        Err(io::Error::other("git upload-pack failed"))
    }
}

impl Drop for Running {
    /// Ends the program with its children; `pack-objects` would go on otherwise.
    fn drop(&mut self) {
        // Not waited for yet, so the id is still its own.
        let id = self.child.id().and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(id) = id {
            let _ = rustix::process::kill_process_group(id, rustix::process::Signal::KILL);
        }
        self.complaint.abort();
    }
}

/// The beginning of what the program says; the rest is read away.
async fn complaint(mut stderr: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let _ = (&mut stderr).take(COMPLAINT).read_to_end(&mut kept).await;
    let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protocol_is_a_few_plain_words() {
        assert!(is_protocol("version=2") && is_protocol("version=2:x=y.z-1"));
        for text in ["version=2\n", "a b", "$(x)", &"x".repeat(101)] {
            assert!(!is_protocol(text), "{text}");
        }
    }
}
