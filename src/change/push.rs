//! A person's push, held to the checks of a write through the API.
//!
//! Called by the pre-receive hook, with the pushed objects still in quarantine: what is refused never becomes part of
//! the repository. It judges as a trusted program does: by the code and the policy that are accepted already, never by
//! what the push brings.

mod names;
mod refs;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::cleartext;
use crate::desired::{self, Reader, Root, Verdicts, judge_change};
use crate::git::{GitError, NewEntry, NewKind, PushStage, Repository, Tree};
use crate::plan::{POLICY_FILE, Policy};
use crate::project::layout::project_of;
use crate::project::{Files, ProjectName, RepoPath, Revision, Unit};
use crate::sops::{self, Identity};

/// More new commits than this are not looked at in one push.
const MAX_COMMITS: usize = 5000;
/// More reasons than this help nobody.
const MAX_REASONS: usize = 20;

/// One line of the hook's input.
struct Update {
    old: Option<Revision>,
    new: Option<Revision>,
    name: String,
}

/// Judges a push. `updates` is what git gives the hook: a line `old new ref` for each ref. With `identities` encrypted files
/// have to be readable by them; without any, what can be seen of the files is judged.
///
/// Takes no lock: git moves the branch only if it still is where the client saw it, and that is what the push is judged
/// against. The branch is reserved meanwhile, within bounds, so that writes do not outrun every push.
///
/// # Errors
/// The reasons for refusing it, each naming the file and the way out.
pub fn check_push(repository: &Repository, updates: &str, identities: &Arc<Vec<Identity>>) -> Result<(), Vec<String>> {
    let internal = |error: GitError| vec![error.to_string()];
    let head = repository.head().map_err(internal)?;
    let moves = |line: &str| line.ends_with(&format!(" {}", repository.branch()));
    let reserved = head.filter(|_| updates.lines().any(moves));
    if let Some(head) = reserved {
        repository.reserve(head, PushStage::Judging).map_err(internal)?;
    }
    let reasons = judge_updates(repository, updates, identities);
    match (&reasons, reserved) {
        (Ok(()), Some(head)) => repository.reserve(head, PushStage::Accepted).map_err(internal)?,
        (Err(_), Some(_)) => repository.release(),
        (_, None) => {}
    }
    reasons
}

fn judge_updates(repository: &Repository, updates: &str, identities: &Arc<Vec<Identity>>) -> Result<(), Vec<String>> {
    let internal = |error: GitError| vec![error.to_string()];
    let mut reasons = Vec::new();
    for line in updates.lines().filter(|line| !line.is_empty()) {
        let update = parse(line).ok_or_else(|| vec![format!("{line:?} is no update of a ref")])?;
        check_update(repository, &update, identities, &mut reasons).map_err(internal)?;
    }
    if reasons.len() > MAX_REASONS {
        let more = reasons.len() - MAX_REASONS;
        reasons.truncate(MAX_REASONS);
        reasons.push(format!("and {more} more"));
    }
    if reasons.is_empty() { Ok(()) } else { Err(reasons) }
}

/// Judges a commit on the head that no person pushes: the objects are stored already, and the branch does not name it yet.
/// Returns the reasons for refusing it.
///
/// # Errors
/// [`GitError`] when the repository cannot be read.
pub(super) fn check_commit(
    repository: &Repository,
    head: Revision,
    commit: Revision,
    identities: &Arc<Vec<Identity>>,
) -> Result<Vec<String>, GitError> {
    let update = Update { old: Some(head), new: Some(commit), name: repository.branch().to_owned() };
    let mut reasons = Vec::new();
    check_update(repository, &update, identities, &mut reasons)?;
    Ok(reasons)
}

fn parse(line: &str) -> Option<Update> {
    let mut words = line.splitn(3, ' ');
    let mut revision = || {
        let revision = Revision::parse(words.next()?).ok()?;
        // Git writes zeroes for "there is none".
        Some(Some(revision).filter(|revision| *revision != Revision::from_bytes([0; 20])))
    };
    Some(Update { old: revision()?, new: revision()?, name: words.next()?.to_owned() })
}

fn check_update(
    repository: &Repository,
    update: &Update,
    identities: &Arc<Vec<Identity>>,
    reasons: &mut Vec<String>,
) -> Result<(), GitError> {
    let is_state = update.name == repository.branch();
    let Some(new) = update.new else {
        if is_state {
            reasons.push(format!("{} is the desired state; it cannot be deleted", update.name));
        }
        return Ok(());
    };
    if !is_state && let Some(problem) = refs::problem(&update.name) {
        reasons.push(problem);
        return Ok(());
    }
    let new = match repository.resolve(&new.to_string()) {
        Ok(commit) => commit,
        Err(GitError::UnknownRevision(_)) => {
            reasons.push(format!("{} would not name a commit", update.name));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let head = repository.head()?;
    check_commits(repository, update, new, head, reasons)?;
    if !is_state {
        return Ok(());
    }
    if update.old != head {
        reasons.push(format!("{} has moved during the push; fetch, rebase or merge, and push again", update.name));
        return Ok(());
    }
    if let Some(head) = head
        && !repository.is_ancestor(head, new)?
    {
        reasons.push(format!(
            "{} is ahead of the push, and its history is never rewritten; fetch, rebase or merge, and push again \
             (to undo a commit, use `git revert`)",
            update.name
        ));
        return Ok(());
    }
    check_tree(repository, head, new, identities, reasons)
}

/// Looks at what each commit of the push brings, not only its last one: history keeps a secret for ever, and a name that
/// spoils a clone can be checked out at any time.
fn check_commits(
    repository: &Repository,
    update: &Update,
    new: Revision,
    head: Option<Revision>,
    reasons: &mut Vec<String>,
) -> Result<(), GitError> {
    let old = update.old.and_then(|old| repository.resolve(&old.to_string()).ok());
    let known: Vec<Revision> = head.into_iter().chain(old).collect();
    let commits = repository.new_commits(new, &known, MAX_COMMITS + 1)?;
    if commits.len() > MAX_COMMITS {
        reasons.push(format!("{} has more than {MAX_COMMITS} new commits; push them in parts", update.name));
        return Ok(());
    }
    for (commit, parent) in commits {
        let tree = repository.tree(commit)?;
        for entry in repository.new_entries(parent, commit)? {
            if let Some(problem) = entry_problem(&tree, &entry) {
                let path = entry.path.escape_debug();
                reasons.push(format!("{path} in commit {}: {problem}", commit.short()));
            }
        }
    }
    Ok(())
}

/// What is wrong with a new entry: its name, or a secret in it.
fn entry_problem(tree: &Tree, entry: &NewEntry) -> Option<String> {
    if let Some(problem) = names::problem(entry) {
        return Some(problem);
    }
    if entry.kind != NewKind::File {
        return None;
    }
    // A path whose directories were told has no such file.
    let path = RepoPath::parse(&entry.path).ok().filter(|path| path.as_str() == entry.path)?;
    match tree.read(&path) {
        Ok(content) if names::is_attributes(path.file_name()) => names::attributes_problem(&content),
        Ok(content) => cleartext::find(path.file_name(), &content),
        Err(error) => Some(error.to_string()),
    }
}

/// Renders what the push changes, and checks it. A project that was broken before and is not touched is no reason.
fn check_tree(
    repository: &Repository,
    old: Option<Revision>,
    new: Revision,
    identities: &Arc<Vec<Identity>>,
    reasons: &mut Vec<String>,
) -> Result<(), GitError> {
    let reader = Reader::new(Arc::default());
    let tree = repository.tree(new)?;
    let before = match old {
        Some(old) => Some(repository.tree(old)?),
        None => None,
    };
    let root_before = before.as_ref().map(|tree| reader.root(tree));
    let namespace = root_before.as_ref().and_then(|root| root.as_ref().ok()?.namespace());
    let root = match reader.root(&tree).and_then(|root| root.keeps_namespace(namespace).map(|()| root)) {
        Ok(root) => root,
        Err(error) => {
            reasons.push(error.to_string());
            return Ok(());
        }
    };
    let changed = repository.diff_paths(old, new)?;
    if changed.iter().any(|path| path.as_str() == POLICY_FILE)
        && let Err(error) = Policy::read(&tree)
    {
        reasons.push(error.to_string());
    }
    // What the push itself allows counts from the next one on.
    let policy = policy_in_force(repository, old)?;
    let with_keys = sops::reader(Arc::clone(identities));
    let read = |text: &str| if identities.is_empty() { sops::read_without_key(text) } else { with_keys(text) };
    let judged_before = match (&before, &root_before) {
        (Some(tree), Some(Ok(root))) => Some(Verdicts::new(&reader, tree, root, &policy, &read)),
        _ => None,
    };
    let mut units = units(&root, &changed);
    if matches!(root_before, Some(Err(_))) {
        // Nothing can be known of what was: only what the push touches is its own fault.
        units.retain(|_, touched| *touched);
    }
    let after = Verdicts::new(&reader, &tree, &root, &policy, &read);
    let refused = judge_change(judged_before.as_ref(), &after, &units);
    reasons.extend(refused.into_iter().map(|(unit, error)| format!("{unit}: {error}")));
    Ok(())
}

/// The units that changed paths may alter, each with whether its own directory is touched.
fn units(root: &Root, changed: &BTreeSet<RepoPath>) -> BTreeMap<Unit, bool> {
    let touched: BTreeSet<ProjectName> = changed.iter().filter_map(project_of).collect();
    let everything = changed.iter().any(|path| project_of(path).is_none());
    let projects = root.projects().iter().filter(|name| everything || touched.contains(*name));
    let mut units: BTreeMap<Unit, bool> =
        projects.map(|name| (Unit::Project(name.clone()), touched.contains(name))).collect();
    if everything {
        units.insert(Unit::Base, false);
    }
    units
}

/// The policy that judges what comes after `head`.
pub(super) fn policy_in_force(repository: &Repository, head: Option<Revision>) -> Result<Policy, GitError> {
    match head {
        None => Ok(Policy::default()),
        Some(head) => {
            let versions = |file: &RepoPath, limit| repository.versions(head, file, limit);
            desired::policy_in_force(&repository.tree(head)?, versions)
        }
    }
}
