//! Whether this is a first start, and the refusals where it is not and something is missing.
//!
//! What is lost is never made anew in silence: a template in the place of a fleet, or a new key in the place of the one that
//! the secrets are for, would look like a manager that works. So a first start is judged by everything in `DATA_DIR` and the
//! database. An age key alone does not count: `init` makes one, and people bring theirs. A first start that was killed has
//! left a marker, and is gone on with.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::wiring;
use crate::config::Settings;
use crate::git::{self, GitError, Repository};
use crate::project::{Entry, Files, Revision, Unit, layout};
use crate::store::Store;

/// There while a first start is under way.
const MARKER: &str = "first-start";

/// What earlier starts have left.
pub(super) struct Past {
    /// Why this is not the first start; empty when it is.
    evidence: Vec<String>,
    /// The last head of the state repository that is remembered.
    last_head: Option<Revision>,
    data: PathBuf,
    /// The bare repository that backups are kept in, and the branch in it.
    backup: (PathBuf, String),
    branch: String,
}

impl Past {
    /// Looks at the data directory and the database.
    pub(super) async fn find(settings: &Settings, store: &Store) -> anyhow::Result<Self> {
        let mut past = Self::of_files(settings);
        past.last_head = store.last_head().await?;
        if past.is_begun() {
            return Ok(past);
        }
        if let Some(head) = past.last_head {
            past.evidence.push(format!("the database remembers the head {head}"));
        } else if store.has_inventory().await? {
            past.evidence.push("the database remembers what was applied to the cluster".to_owned());
        }
        Ok(past)
    }

    /// Looks at the data directory alone.
    pub(super) fn of_files(settings: &Settings) -> Self {
        let data = settings.data_dir.clone();
        let mut past = Self {
            evidence: Vec::new(),
            last_head: None,
            backup: (wiring::backup_directory(settings).join("backup.git"), settings.backup.branch.clone()),
            branch: settings.state.branch.clone(),
            data,
        };
        if !past.is_begun() {
            let has_entries = |path: PathBuf| fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
            let found = [
                ("state.git holds objects", git::has_objects(&past.state())),
                ("cluster/objects.jsonl holds objects", has_second_line(&past.data.join("cluster/objects.jsonl"))),
                ("volumes holds workspaces", has_entries(past.data.join("volumes"))),
                ("an earlier start made admin-token", past.data.join("admin-token").exists()),
            ];
            past.evidence = found.iter().filter(|(_, is_so)| *is_so).map(|(what, _)| (*what).to_owned()).collect();
        }
        past
    }

    /// Whether nothing was ever made here.
    pub(super) fn is_first(&self) -> bool {
        self.evidence.is_empty()
    }

    /// Notes that a first start is under way, before it makes anything.
    pub(super) fn begin(&self) -> anyhow::Result<()> {
        let path = self.data.join(MARKER);
        let write = || File::create(&path)?.sync_all().and_then(|()| File::open(&self.data)?.sync_all());
        write().with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Notes that the state repository has its first commit.
    pub(super) fn end(&self) -> anyhow::Result<()> {
        let path = self.data.join(MARKER);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("{} cannot be removed", path.display()))
            }
            _ => Ok(()),
        }
    }

    fn is_begun(&self) -> bool {
        self.data.join(MARKER).exists()
    }

    fn state(&self) -> PathBuf {
        self.data.join("state.git")
    }

    /// The refusal for a state repository without the branch, or `None` where it may be made. `others` are the branches
    /// that `place` has.
    pub(super) fn branch_missing(&self, place: &str, is_remote: bool, others: &[String]) -> Option<anyhow::Error> {
        let branch = &self.branch;
        if !others.is_empty() {
            let mut text = format!(
                "{place} has no branch {branch}, and nothing is made anew beside other branches. It has: {}.\n\
                 Set STATE_GIT_BRANCH to the one that is meant.",
                others.join(", ")
            );
            if !is_remote {
                text.push_str(&format!("\nIf {branch} was lost: {}", self.ways_to_head()));
            }
            return Some(anyhow::anyhow!(text));
        }
        if self.is_first() {
            return None;
        }
        let missing = if is_remote { "is empty" } else { "is missing or has no branch" };
        let named = if is_remote { String::new() } else { format!(" {branch}") };
        let ways = if is_remote {
            format!(
                "Check STATE_GIT_REPOSITORY, or push what is in {} or in a backup to it; {}",
                self.state().display(),
                self.anew()
            )
        } else {
            self.ways_to_head()
        };
        Some(anyhow::anyhow!(
            "{place} {missing}{named}, but this is not the first start: {}. Nothing was made anew.\n{ways}",
            self.evidence.join("; ")
        ))
    }

    /// The refusal for a head that cannot be read.
    pub(super) fn head_damaged(&self, head: Revision, error: &GitError, is_remote: bool) -> anyhow::Error {
        let state = self.state();
        let state = state.display();
        let ways = if is_remote {
            format!("Fetch it anew from STATE_GIT_REPOSITORY: mv {state} {state}.damaged, and start again.")
        } else {
            self.ways_from_backup()
        };
        anyhow::anyhow!(
            "the head {head} of {state} is damaged: {error}. Nothing was written on top of it.\n{ways}\n\
             `git -C {state} fsck` names everything that is missing."
        )
    }

    /// The refusal for a lost age key, or `None` where a new one may be made.
    pub(super) fn key_missing(&self, repository: Option<(&Repository, Revision)>) -> Option<anyhow::Error> {
        let has_secrets = repository.is_some_and(|(repository, head)| has_secrets(repository, head));
        if self.is_first() && !has_secrets {
            return None;
        }
        let why = if has_secrets { "the state repository has secrets" } else { &self.evidence.join("; ") };
        let recipients = repository.map(|(repository, head)| recipients(repository, head)).unwrap_or_default();
        let whose = if recipients.is_empty() { String::new() } else { format!(" (for {})", recipients.join(", ")) };
        let key = self.data.join(wiring::AGE_KEY);
        Some(anyhow::anyhow!(
            "the age key {} is missing, but this is not the first start: {why}. No new key was made: it could not read the \
             secrets that there are{whose}.\n\
             Put the key back there, or give it as SOPS_AGE_KEY_FILE or SOPS_AGE_KEY.\n\
             If it is lost for good: `claude-manager age-key new` makes a new one; all secrets have to be set again then.",
            key.display()
        ))
    }

    /// How the branch comes back.
    fn ways_to_head(&self) -> String {
        let (state, branch) = (self.state(), &self.branch);
        let state_shown = state.display();
        let found = Repository::open(&state, Some(branch)).map(|repository| repository.lost_heads(self.last_head));
        let found = found.unwrap_or_default();
        let mut ways = Vec::new();
        match (self.last_head, found.as_slice()) {
            (_, [newest, older @ ..]) => {
                let known = match self.last_head {
                    Some(known) if known == *newest => "the last head that is remembered".to_owned(),
                    Some(known) => format!("the newest commit after {known}, the last head that is remembered"),
                    None => "the newest commit that is left".to_owned(),
                };
                ways.push(format!(
                    "Put {known}, back:\n  git -C {state_shown} update-ref refs/heads/{branch} {newest}"
                ));
                if !older.is_empty() {
                    let older: Vec<String> = older.iter().take(5).map(ToString::to_string).collect();
                    ways.push(format!("Other candidates, older: {}.", older.join(", ")));
                }
            }
            (Some(known), []) => {
                ways.push(format!("The last head that is remembered, {known}, is not readable there."))
            }
            (None, []) => {}
        }
        ways.push(self.ways_from_backup());
        ways.push(self.anew());
        ways.join("\n")
    }

    fn ways_from_backup(&self) -> String {
        let (state, branch) = (self.state(), &self.branch);
        let away = if state.exists() { format!("  mv {0} {0}.lost\n", state.display()) } else { String::new() };
        let state = state.display();
        let (place, name) = &self.backup;
        let has_backup = Repository::open(place, Some(name)).is_ok_and(|backup| matches!(backup.head(), Ok(Some(_))));
        if !has_backup {
            return format!(
                "Restore it from a backup (BACKUP: BACKUP_GIT_REPOSITORY, or any clone of the state repository):\n\
                 {away}  git clone --bare --branch {branch} BACKUP {state}"
            );
        }
        let place = place.display();
        let renamed = if name == branch {
            String::new()
        } else {
            format!("\n  git -C {state} branch {branch} {name}\n  git -C {state} symbolic-ref HEAD refs/heads/{branch}")
        };
        format!("Restore it as of the last backup:\n{away}  git clone --bare --branch {name} {place} {state}{renamed}")
    }

    fn anew(&self) -> String {
        format!("To begin anew on purpose, move everything in {} away first.", self.data.display())
    }
}

/// Whether a file has more than its first line: in the journal that is a format.
fn has_second_line(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| BufReader::new(file).split(b'\n').nth(1).is_some_and(|line| line.is_ok()))
}

/// Whether a commit has files with secrets.
fn has_secrets(repository: &Repository, head: Revision) -> bool {
    let Ok(tree) = repository.tree(head) else { return false };
    let is_there = |unit: &Unit| matches!(tree.entry(&layout::secrets_path(unit)), Ok(Entry::File));
    let names = tree.list(&layout::projects()).unwrap_or_default();
    let projects = names.iter().filter_map(|name| crate::project::ProjectName::parse(name).ok()).map(Unit::Project);
    is_there(&Unit::Base) || projects.into_iter().any(|unit| is_there(&unit))
}

/// The age recipients that a commit's rules name.
pub(super) fn recipients(repository: &Repository, head: Revision) -> Vec<String> {
    let rules = || {
        let path = crate::project::RepoPath::parse(layout::SOPS_CONFIG).ok()?;
        Some(String::from_utf8_lossy(&repository.tree(head).ok()?.read(&path).ok()?).into_owned())
    };
    let rules = rules().unwrap_or_default();
    let words = rules.split(|c: char| !c.is_ascii_alphanumeric());
    let mut found: Vec<String> = words.filter(|word| word.starts_with("age1")).map(str::to_owned).collect();
    found.sort();
    found.dedup();
    found
}
