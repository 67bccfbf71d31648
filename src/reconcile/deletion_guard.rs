//! The breaker before mass deletion: which of the projects that are gone from Git somebody has deleted knowingly.
//!
//! A merge that went wrong or a root that lost its list must not take a fleet away. So when more projects are gone at once
//! than the policy allows, each has to be meant: deleted through the API (its commit says so), or confirmed by a commit
//! that carries the trailer `Confirm-Deletions`. Nothing of the others is deleted until then.
//!
//! *Assumption.* The inventory names every project that was applied, so that the question is the same after a restart.

use std::collections::BTreeSet;

use crate::git::{GitError, LogEntry, Repository};
use crate::project::{Entry, Files, ProjectName, RepoPath, Revision, layout};

/// The trailer by which a person confirms every deletion up to its commit.
const CONFIRM: &str = "Confirm-Deletions";
/// A confirmation that is older than so many commits is not found.
const LOOK_BACK: usize = 1000;
/// The sources whose commits delete one project each, by somebody's explicit wish.
const KNOWING: [&str; 4] = ["api", "ui", "jira", "restore"];

/// Those of `projects`, none of which `head` lists, that somebody has deleted knowingly. Reads history; blocks.
///
/// # Errors
/// [`GitError`] when the history cannot be read.
pub(super) fn meant(
    repository: &Repository,
    head: Revision,
    projects: &BTreeSet<ProjectName>,
) -> Result<BTreeSet<ProjectName>, GitError> {
    let recent = repository.log(head, None, LOOK_BACK)?;
    let confirmed = recent.iter().position(|entry| trailer(entry, CONFIRM).is_some_and(|value| value != "no"));
    let tree = repository.tree(head)?;
    let mut meant = BTreeSet::new();
    for name in projects {
        let folder = layout::directory(name);
        let is_there = !matches!(tree.entry(&folder), Ok(Entry::Missing));
        // A folder that is still there was taken off the root's list.
        let touched = if is_there { RepoPath::parse("kustomization.yaml").unwrap_or_default() } else { folder };
        let Some(removal) = repository.log(head, Some(&touched), 1)?.pop() else { continue };
        let knowing = !is_there && trailer(&removal, "Source").is_some_and(|source| KNOWING.contains(&source));
        let place = recent.iter().position(|entry| entry.revision == removal.revision);
        let is_confirmed = confirmed.is_some_and(|confirmed| place.is_none_or(|place| confirmed <= place));
        if knowing || is_confirmed {
            meant.insert(name.clone());
        }
    }
    Ok(meant)
}

fn trailer<'e>(entry: &'e LogEntry, key: &str) -> Option<&'e str> {
    let found = entry.trailers.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
    found.map(|(_, value)| value.as_str())
}

/// What is said of a project whose deletion waits for somebody's word.
pub(super) fn held(count: usize, all: usize, head: Option<Revision>) -> String {
    let head = head.map(|head| format!(" (head {})", head.short())).unwrap_or_default();
    format!(
        "{count} of {all} projects are gone from Git at once{head}, more than policy.prune in claude-manager.yaml allows. \
         Revert the commit, or confirm: git commit --allow-empty -m \"Confirm the deletions\" --trailer \
         \"{CONFIRM}: yes\", and push"
    )
}
