//! The state repository: whether it is there, builds, is for this namespace, and its secrets can be read.

use std::sync::Arc;

use super::Finding;
use crate::app::wiring;
use crate::backup;
use crate::config::Settings;
use crate::git::{Remote, Repository};
use crate::project::{Files, RepoPath, Unit};
use crate::reconcile;
use crate::sops::Identity;

const SUBJECT: &str = "state repository";

/// All findings about it.
pub(super) fn check(settings: &Settings, identities: Vec<Identity>) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(settings.state.repository.as_ref().map(|url| remote(settings, url)));
    let path = settings.data_dir.join("state.git");
    if !path.exists() {
        findings.push(Finding::fine(SUBJECT, format!("{} is made at the first start", path.display())));
        return findings;
    }
    let repository = match Repository::open(&path, Some(&settings.state.branch)) {
        Ok(repository) => repository,
        Err(error) => {
            findings.push(Finding::failure(SUBJECT, error.to_string(), "restore it, or move it away to begin anew"));
            return findings;
        }
    };
    let head = match repository.head() {
        Ok(Some(head)) => head,
        Ok(None) => {
            let hint =
                "set STATE_GIT_BRANCH to the branch that is meant; if it was lost, the start says how it comes back";
            let others = repository.branches().unwrap_or_default();
            let others = if others.is_empty() { String::new() } else { format!("; it has {}", others.join(", ")) };
            let message = format!("{} has no branch {}{others}", path.display(), settings.state.branch);
            findings.push(Finding::failure(SUBJECT, message, hint));
            return findings;
        }
        Err(error) => {
            findings.push(Finding::failure(SUBJECT, error.to_string(), "`git fsck` in it says more"));
            return findings;
        }
    };
    findings.push(Finding::fine(SUBJECT, format!("{}, at commit {}", path.display(), head.short())));
    findings.push(connectivity(&repository));
    match reconcile::check_at(&repository, Arc::new(identities), head) {
        Err(error) => findings.push(Finding::failure("overlays", error.to_string(), "correct the root, and push")),
        Ok(report) => {
            if report.errors.is_empty() && report.warnings.is_empty() {
                findings.push(Finding::fine("overlays", "all build, and their secrets can be read"));
            }
            findings.extend(report.errors.into_iter().map(|(unit, error)| {
                let place = match unit {
                    Unit::Base => "the base-wide objects".to_owned(),
                    Unit::Project(name) => format!("projects/{name}"),
                };
                Finding::failure("overlays", format!("{place}: {error}"), "correct it, and push; all others go on")
            }));
            let hint = "see README.md of the state repository";
            findings.extend(report.warnings.into_iter().map(|warning| Finding::warning("overlays", warning, hint)));
        }
    }
    findings.extend(repository.tree(head).ok().map(|tree| namespace(settings, &tree)));
    findings
}

fn remote(settings: &Settings, url: &str) -> Finding {
    let branch = &settings.state.branch;
    let asked = Remote::new(url, wiring::credentials(settings, url))
        .and_then(|remote| remote.branch_tip(&settings.data_dir, branch));
    match asked {
        Ok(Some(tip)) => Finding::fine("remote", format!("{url}, {branch} at {}", tip.get(..10).unwrap_or(&tip))),
        Ok(None) => missing_branch(settings, url),
        Err(error) => {
            let hint = error.hint.unwrap_or("check STATE_GIT_REPOSITORY, and the token or key for it");
            Finding::failure("remote", format!("{}: {}", error.what, error.message), hint)
        }
    }
}

/// A remote without the branch: an empty one gets it at the first start, any other is the wrong one.
fn missing_branch(settings: &Settings, url: &str) -> Finding {
    let branch = &settings.state.branch;
    let others = Remote::new(url, wiring::credentials(settings, url))
        .and_then(|remote| remote.branches(&settings.data_dir))
        .unwrap_or_default();
    if others.is_empty() {
        return Finding::fine("remote", format!("{url} answers; {branch} is made at the first start"));
    }
    let message = format!("{url} has no branch {branch}; it has {}", others.join(", "));
    Finding::failure("remote", message, "set STATE_GIT_BRANCH to the one that is meant")
}

/// Whether everything that the refs name is there.
fn connectivity(repository: &Repository) -> Finding {
    const SUBJECT: &str = "connectivity";
    let path = repository.path().display();
    match repository.fsck() {
        Ok(None) => Finding::fine(SUBJECT, "git fsck finds every object that the refs name"),
        Ok(Some(told)) => {
            let hint = format!("restore it: mv {path} {path}.damaged, and clone a backup there (`git clone --bare`)");
            Finding::failure(SUBJECT, told, hint)
        }
        Err(error) => Finding::failure(SUBJECT, error.to_string(), "run it by hand"),
    }
}

/// Whether backups have somewhere to go.
pub(super) fn backup(settings: &Settings) -> Finding {
    const SUBJECT: &str = "backup";
    let Some(url) = &settings.backup.repository else {
        let directory = wiring::backup_directory(settings);
        let message = format!("kept in {} only; BACKUP_GIT_REPOSITORY takes them elsewhere", directory.display());
        return Finding::fine(SUBJECT, message);
    };
    let state = settings.data_dir.join("state.git").display().to_string();
    let is_state = |address: &String| backup::is_same_repository(url, address);
    if [Some(state), settings.state.repository.clone()].iter().flatten().any(is_state) {
        let hint = "set BACKUP_GIT_REPOSITORY to another repository";
        return Finding::failure(SUBJECT, format!("{url} is the state repository itself"), hint);
    }
    let branch = &settings.backup.branch;
    let asked = Remote::new(url, wiring::credentials(settings, url))
        .and_then(|remote| remote.branch_tip(&settings.data_dir, branch));
    match asked {
        Ok(Some(tip)) => Finding::fine(SUBJECT, format!("{url}, {branch} at {}", tip.get(..10).unwrap_or(&tip))),
        Ok(None) => Finding::fine(SUBJECT, format!("{url} answers; {branch} is made by the first backup")),
        Err(error) => {
            let hint = error.hint.unwrap_or("check BACKUP_GIT_REPOSITORY, and the token or key for it");
            Finding::failure(SUBJECT, format!("{}: {}", error.what, error.message), hint)
        }
    }
}

/// What the manager observes has to be what the root writes to.
fn namespace(settings: &Settings, tree: &dyn Files) -> Finding {
    const SUBJECT: &str = "root namespace";
    let file = RepoPath::parse("kustomization.yaml").unwrap_or_default();
    let fields: Option<serde_yaml::Mapping> =
        tree.read(&file).ok().and_then(|bytes| serde_yaml::from_slice(&bytes).ok());
    let found = fields.as_ref().and_then(|fields| fields.get("namespace")?.as_str());
    match found {
        Some(found) if found == settings.namespace => Finding::fine(SUBJECT, found),
        Some(found) => Finding::failure(
            SUBJECT,
            format!("the root says {found}, KUBERNETES_NAMESPACE says {}", settings.namespace),
            format!("set KUBERNETES_NAMESPACE={found}, or change `namespace:` in the root"),
        ),
        None => Finding::failure(
            SUBJECT,
            "the root's kustomization.yaml names no namespace",
            format!("add `namespace: {}` to it", settings.namespace),
        ),
    }
}
