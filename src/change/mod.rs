//! The only writer of desired state: an intent in, a commit out.
//!
//! *Flow.* policy (pure) → edit on the head → render the changed project and check its objects → secrets encrypted →
//! commit with compare-and-swap → nudge. When the head moved meanwhile the edit is made again on the new head.

use crate::project::{Actor, ErrorKind, FieldError, Intent, ProjectSpec, Revision};

/// A commit that was made and is durable.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The commit; the head as it was when nothing had to change.
    pub revision: Revision,
    /// Whether a commit was made.
    pub changed: bool,
    /// The project as it reads in that commit; `None` after a delete.
    pub project: Option<ProjectSpec>,
    /// The blob id of its overlay, the ETag.
    pub overlay_id: Option<String>,
}

/// Why nothing was committed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct ChangeError {
    /// What it means to the caller.
    pub kind: ErrorKind,
    /// What is wrong, where, and what to do.
    pub message: String,
    /// The fields at fault.
    pub fields: Vec<FieldError>,
}

/// A handle on the queue of writes; cheap to clone.
#[derive(Clone)]
pub struct Changes {}

impl Changes {
    /// Commits `intent` for `actor`. `if_match` is the overlay id that the caller has read.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing was committed then.
    pub async fn submit(
        &self,
        intent: Intent,
        actor: Actor,
        if_match: Option<String>,
    ) -> Result<Committed, ChangeError> {
        let _ = (intent, actor, if_match);
        todo!()
    }
}
