//! A person's push, held to the checks of a write through the API.
//!
//! Called by the pre-receive hook, with the pushed objects still in quarantine: what is refused never becomes part of
//! the repository. It judges as a trusted program does: by the code and the policy that are accepted already, never by
//! what the push brings.

mod cleartext;

use std::collections::BTreeSet;

use super::judge::{Root, policy_in_force};
use crate::git::{GitError, Repository, Tree};
use crate::plan::{POLICY_FILE, Policy};
use crate::project::{Entry, Files, ProjectName, RepoPath, Revision, Unit};

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

/// Judges a push. `updates` is what git gives the hook: a line `old new ref` for each ref.
///
/// Waits for the lock that API writes hold, so that it judges against a head that stands still.
///
/// # Errors
/// The reasons for refusing it, each naming the file and the way out.
pub fn check_push(repository: &Repository, updates: &str) -> Result<(), Vec<String>> {
    let internal = |error: GitError| vec![error.to_string()];
    let _lock = repository.lock().map_err(internal)?;
    let mut reasons = Vec::new();
    for line in updates.lines().filter(|line| !line.is_empty()) {
        let update = parse(line).ok_or_else(|| vec![format!("{line:?} is no update of a ref")])?;
        check_update(repository, &update, &mut reasons).map_err(internal)?;
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
pub(super) fn check_commit(repository: &Repository, head: Revision, commit: Revision) -> Result<Vec<String>, GitError> {
    let update = Update { old: Some(head), new: Some(commit), name: repository.branch().to_owned() };
    let mut reasons = Vec::new();
    check_update(repository, &update, &mut reasons)?;
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

fn check_update(repository: &Repository, update: &Update, reasons: &mut Vec<String>) -> Result<(), GitError> {
    let is_state = update.name == repository.branch();
    let Some(new) = update.new else {
        if is_state {
            reasons.push(format!("{} is the desired state; it cannot be deleted", update.name));
        }
        return Ok(());
    };
    let new = match repository.resolve(&new.to_string()) {
        Ok(commit) => commit,
        Err(GitError::UnknownRevision(_)) => {
            reasons.push(format!("{} would not name a commit", update.name));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let head = repository.head()?;
    clear_secrets(repository, update, new, head, reasons)?;
    if !is_state {
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
    check_tree(repository, head, new, reasons)
}

/// No commit of the push, not only its last one, may hold a secret in clear: history keeps it for ever.
fn clear_secrets(
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
        for path in repository.diff_paths(parent, commit)? {
            match tree.entry(&path) {
                Ok(Entry::File) => {}
                Ok(Entry::Directory) => {
                    reasons.push(format!(
                        "{path} in commit {} holds a name with a backslash or bytes that are no UTF-8; rename it",
                        commit.short()
                    ));
                    continue;
                }
                Ok(Entry::Other | Entry::Missing) => continue,
                Err(error) => {
                    reasons.push(format!("commit {}: {error}", commit.short()));
                    continue;
                }
            }
            match tree.read(&path) {
                Ok(content) => {
                    if let Some(problem) = cleartext::find(path.file_name(), &content) {
                        reasons.push(format!("{path} in commit {}: {problem}", commit.short()));
                    }
                }
                Err(error) => reasons.push(format!("commit {}: {error}", commit.short())),
            }
        }
    }
    Ok(())
}

/// Renders what the push changes, and checks it. A project that was broken before and is not touched is no reason.
fn check_tree(
    repository: &Repository,
    old: Option<Revision>,
    new: Revision,
    reasons: &mut Vec<String>,
) -> Result<(), GitError> {
    let tree = repository.tree(new)?;
    let root = match Root::read(&tree) {
        Ok(root) => root,
        Err(reason) => {
            reasons.push(reason);
            return Ok(());
        }
    };
    let before = match old {
        Some(old) => Some(repository.tree(old)?),
        None => None,
    };
    let root_before = before.as_ref().and_then(|tree| Root::read(tree).ok());
    check_namespace(&root, root_before.as_deref(), reasons);

    let changed = repository.diff_paths(old, new)?;
    if changed.iter().any(|path| path.as_str() == POLICY_FILE)
        && let Err(error) = Policy::read(&tree)
    {
        reasons.push(error.to_string());
    }
    // What the push itself allows counts from the next one on.
    let policy = policy_in_force(repository, old)?;
    let touched: BTreeSet<ProjectName> = changed.iter().filter_map(owner).collect();
    let everything = changed.iter().any(|path| owner(path).is_none());
    let mut units: Vec<Unit> =
        root.projects.iter().filter(|name| everything || touched.contains(*name)).cloned().map(Unit::Project).collect();
    if everything {
        units.insert(0, Unit::Base);
    }
    for unit in units {
        let Err(problems) = root.render(&tree, &unit, &policy) else { continue };
        let is_touched = matches!(&unit, Unit::Project(name) if touched.contains(name));
        if !is_touched && was_broken(before.as_ref(), root_before.as_deref(), &unit, &policy) {
            continue;
        }
        reasons.extend(problems.into_iter().map(|problem| format!("{unit}: {problem}")));
    }
    Ok(())
}

fn was_broken(before: Option<&Tree>, root: Option<&Root>, unit: &Unit, policy: &Policy) -> bool {
    match (before, root) {
        (Some(tree), Some(root)) => root.render(tree, unit, policy).is_err(),
        (Some(_), None) => true,
        (None, _) => false,
    }
}

/// Everything lives in one namespace; another one would leave all of it, volumes included, behind.
fn check_namespace(root: &Root, before: Option<&Root>, reasons: &mut Vec<String>) {
    match (&root.namespace, before.and_then(|before| before.namespace.as_ref())) {
        (None, _) => reasons.push(
            "kustomization.yaml: `namespace` is missing; it says where everything goes, so put it back".to_owned(),
        ),
        (Some(now), Some(before)) if now != before => reasons.push(format!(
            "kustomization.yaml: `namespace` changes from {before} to {now}; that would leave every project and its \
             volumes behind, so put {before} back"
        )),
        _ => {}
    }
}

/// The project whose folder holds `path`.
fn owner(path: &RepoPath) -> Option<ProjectName> {
    let (name, _) = path.as_str().strip_prefix("projects/")?.split_once('/')?;
    ProjectName::parse(name).ok()
}
