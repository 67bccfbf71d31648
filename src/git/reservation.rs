//! The branch, reserved for a push: between the hook's verdict and git's own move of the branch.
//!
//! Git compares the branch with what the client saw before it moves it, so a write of the manager in between does no harm
//! but to the push, which is refused. One client that writes all the time would refuse all pushes that way. So the hook
//! leaves a note of the head that it judged, and writers wait while that is the head.
//!
//! Guarantees: a note ends when the branch moves, when the hook takes it back, or after its time; a hook that is stopped or
//! killed delays writes by that time once. Safety does not rest on it, only fairness.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::{GitError, Repository};
use crate::project::Revision;

/// How long writes wait for a push that is being judged.
pub(super) const JUDGING: Duration = Duration::from_millis(80);
/// How long they wait for a push that was accepted: git only has to move the branch.
pub(super) const ACCEPTED: Duration = Duration::from_secs(1);
/// The note, in the repository's directory.
const NOTE: &str = "claude-manager.push";
const PAUSE: Duration = Duration::from_millis(2);

/// How far the hook is with a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushStage {
    /// It is being judged.
    Judging,
    /// It may move the branch.
    Accepted,
}

impl Repository {
    /// Reserves the branch at `head` for the push of this process, shortly.
    ///
    /// # Errors
    /// [`GitError::Io`] when the note cannot be written.
    pub fn reserve(&self, head: Revision, stage: PushStage) -> Result<(), GitError> {
        let limit = match stage {
            PushStage::Judging => JUDGING,
            PushStage::Accepted => ACCEPTED,
        };
        let note = self.path().join(NOTE);
        let making = self.path().join(format!("{NOTE}.{}", std::process::id()));
        let failed = |error| GitError::io("writing", &making, &error);
        fs::write(&making, format!("{head} {} {}\n", limit.as_millis(), std::process::id())).map_err(failed)?;
        fs::rename(&making, &note).map_err(failed)
    }

    /// Takes the reservation of this process back.
    pub fn release(&self) {
        let note = self.path().join(NOTE);
        let own = std::process::id().to_string();
        if read(&note).is_some_and(|(_, _, pid)| pid == own) {
            let _ = fs::remove_file(note);
        }
    }

    /// Waits while the branch is reserved for a push. Blocks at most [`ACCEPTED`].
    ///
    /// # Errors
    /// [`GitError::Io`] when the branch cannot be read.
    pub(super) fn wait_for_push(&self) -> Result<(), GitError> {
        let note: PathBuf = self.path().join(NOTE);
        let deadline = Instant::now() + ACCEPTED;
        while Instant::now() < deadline && note.exists() {
            if !is_in_force(&note, self.head()?) {
                let _ = fs::remove_file(&note);
                break;
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }
}

/// Whether the note is young enough, and about the head as it is.
fn is_in_force(note: &Path, head: Option<Revision>) -> bool {
    let age = fs::metadata(note).and_then(|metadata| metadata.modified()).ok();
    let age = age.and_then(|time| SystemTime::now().duration_since(time).ok()).unwrap_or_default();
    read(note).is_some_and(|(of, limit, _)| Some(of) == head && age < limit)
}

fn read(note: &Path) -> Option<(Revision, Duration, String)> {
    let text = fs::read_to_string(note).ok()?;
    let mut words = text.split_whitespace();
    let head = Revision::parse(words.next()?).ok()?;
    let limit = Duration::from_millis(words.next()?.parse().ok()?).min(ACCEPTED);
    Some((head, limit, words.next()?.to_owned()))
}
