//! The reconciler's parts, each as a transcript: commit, reconcile, show, break, heal.

mod all_or_nothing;
mod apply;
mod confinement;
mod deletion;
mod drift;
mod health;
mod history;
mod owners;
mod plan;
mod rollout;
mod sent;
mod stateful;
mod suspension;
mod upgrade;
mod volumes;
mod warning_events;

use std::path::Path;

use serde_json::{Value, json};

use crate::manager::{Manager, git, git_ok};

/// The body that makes a project.
pub(crate) fn project(name: &str) -> Value {
    json!({"name": name, "shortName": name, "gitRepository": "https://git.example/team/app.git", "anthropicApiKey": "x"})
}

/// Adds `text` to the end of a file of a clone.
pub(crate) fn append(clone: &Path, file: &str, text: &str) {
    let path = clone.join(file);
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    std::fs::write(&path, before + text).expect("written");
}

/// Commits everything in a clone.
pub(crate) fn commit(clone: &Path, message: &str) {
    git_ok(clone, &["add", "--all"]);
    git_ok(clone, &["commit", "-q", "-m", message]);
}

/// Commits and pushes.
fn push(clone: &Path, message: &str) {
    commit(clone, message);
    git_ok(clone, &["push", "-q"]);
}

/// Pushes, is refused, and gives what Git says.
pub(crate) fn refused_push(clone: &Path, message: &str) -> String {
    commit(clone, message);
    let output = git(clone, &["push", "-q"]);
    assert!(!output.status.success(), "{message}: the push has to be refused");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Takes a commit over without the checks of a push, as a remote state repository would.
fn smuggle(manager: &Manager, clone: &Path, message: &str) {
    commit(clone, message);
    let state = manager.data().join("state.git");
    let head = git_ok(clone, &["rev-parse", "HEAD"]);
    git_ok(&state, &["fetch", "-q", &clone.display().to_string(), "HEAD"]);
    let branch = git_ok(&state, &["symbolic-ref", "HEAD"]);
    git_ok(&state, &["update-ref", branch.trim(), head.trim()]);
}

/// Brings a clone to the head of the state repository, whatever it has.
pub(crate) fn update(clone: &Path) {
    git_ok(clone, &["fetch", "-q", "origin"]);
    git_ok(clone, &["reset", "-q", "--hard", "@{upstream}"]);
}
