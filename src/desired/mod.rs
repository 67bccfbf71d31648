//! The one reading of a state repository's tree: its root, its units, the policy in force, who claims which object, and the
//! encrypted files.
//!
//! Takes [`Files`], gives each unit's objects or the reason why it has none. A write through the API
//! ([`Verdicts`]), a push ([`Verdicts`]), a plan and the reconciler (`Renderer`) read trees through this module alone, so
//! that each bad tree gets the same verdict in the same words on every way into Git and out of it.
//!
//! `Renderer` reads whole trees one after another and renders what changed. [`Verdicts`] renders single units of one tree:
//! what a write costs must not grow with the fleet.
//!
//! **Architecture invariant:** pure. Decryption is the caller's, as a function ([`ReadSecret`]); history is the caller's,
//! as trees ([`policy_in_force`]).

mod claims;
mod fleet;
mod known;
mod packed;
mod parallel;
mod root;
mod secret;
mod unit;
mod verdicts;
mod volumes;

use crate::plan::{POLICY_FILE, Policy};
use crate::project::{Files, Reason, RepoPath};
use kustomize::BuildError;

pub(crate) use fleet::{DesiredTree, DesiredUnit, Renderer, WantedUnits};
#[cfg(test)]
pub(crate) use packed::Packed;
pub(crate) use packed::PackedObject;
pub use root::{Root, RootError};
pub use secret::{ReadSecret, SecretFile};
pub use unit::Accepted;
pub use verdicts::{Reader, Verdicts, judge_change};

/// Why a unit cannot be applied. Nothing of it is touched then: neither changed nor pruned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct UnitError {
    /// The stable word.
    pub reason: Reason,
    /// What is wrong, where, and what to do.
    pub message: String,
}

impl UnitError {
    fn policy(message: String) -> Self {
        Self { reason: Reason::PolicyViolation, message }
    }
}

impl From<&BuildError> for UnitError {
    fn from(error: &BuildError) -> Self {
        Self { reason: Reason::RenderFailed, message: sentence(error) }
    }
}

/// Returns an error of the engine with its hint.
fn sentence(error: &BuildError) -> String {
    match &error.hint {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_string(),
    }
}

/// How many versions of the policy file are tried for one that reads.
const POLICY_LOOK_BACK: usize = 100;

/// Returns the policy that judges what comes after `head`: its own, or while that does not read, the newest of `versions`
/// that does. A broken file lifts no rule. `versions` is asked for the trees of the commits that changed a file, the newest
/// first, at most so many.
///
/// # Errors
/// Those of `versions`.
pub fn policy_in_force<T: Files, E>(
    head: &dyn Files,
    versions: impl FnOnce(&RepoPath, usize) -> Result<Vec<T>, E>,
) -> Result<Policy, E> {
    if let Ok(policy) = Policy::read(head) {
        return Ok(policy);
    }
    let file = RepoPath::parse(POLICY_FILE).unwrap_or_default();
    Ok(Policy::newest_valid(versions(&file, POLICY_LOOK_BACK)?).unwrap_or_default())
}
