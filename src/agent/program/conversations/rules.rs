//! The permission rules that a person allowed for every conversation of the project.
//!
//! *Rationale.* Claude Code would keep them in the repository's `.claude/settings.local.json`, which is not read here, or in
//! its own configuration, which each conversation has for itself. So they are kept in one file of the agent's, and each
//! process gets them at its start.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::bounds::MAX_RULES;
use super::meta::replace;

/// The rules, and how often they changed since the agent started.
#[derive(Debug)]
pub(super) struct Rules {
    file: PathBuf,
    kept: Kept,
    version: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    allow: Vec<String>,
    directories: Vec<String>,
}

impl Rules {
    /// Reads the file. One that cannot be read allows nothing.
    pub(super) fn open(file: PathBuf) -> Self {
        let kept = match std::fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| {
                tracing::warn!(file = %file.display(), %error, "this is no list of rules; nothing is allowed by it");
                Kept::default()
            }),
            Err(_) => Kept::default(),
        };
        Self { file, kept, version: 0 }
    }

    /// Adds rules, durably.
    pub(super) fn add(&mut self, rules: &[String], directories: &[String]) -> io::Result<()> {
        let mut kept = self.kept.clone();
        extend(&mut kept.allow, rules);
        extend(&mut kept.directories, directories);
        if kept.allow.len() > MAX_RULES || kept.directories.len() > MAX_RULES {
            let reason = format!("{} has {MAX_RULES} rules; remove some first", self.file.display());
            return Err(io::Error::other(reason));
        }
        replace(&self.file, serde_json::to_string_pretty(&kept)?.as_bytes())?;
        self.kept = kept;
        self.version += 1;
        Ok(())
    }

    /// How often they changed: a process that started before needs to start again.
    pub(super) const fn version(&self) -> u64 {
        self.version
    }

    /// The rules, as settings have them, and the directories.
    pub(super) fn all(&self) -> (Vec<String>, Vec<String>) {
        (self.kept.allow.clone(), self.kept.directories.clone())
    }
}

/// Adds what is not there yet.
pub(super) fn extend(list: &mut Vec<String>, more: &[String]) {
    for item in more {
        if !list.contains(item) {
            list.push(item.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_kept_over_a_restart_and_once() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("rules.json");
        let mut rules = Rules::open(file.clone());
        for _ in 0..2 {
            rules.add(&["Bash(ls)".to_owned()], &["/d".to_owned()]).unwrap();
        }
        assert_eq!(rules.version(), 2);
        assert_eq!(Rules::open(file.clone()).all(), (vec!["Bash(ls)".to_owned()], vec!["/d".to_owned()]));
        let many: Vec<String> = (0..=MAX_RULES).map(|n| format!("Bash({n})")).collect();
        assert!(rules.add(&many, &[]).is_err());
        assert_eq!(rules.all().0.len(), 1);
        std::fs::write(&file, "{").unwrap();
        assert_eq!(Rules::open(file).all(), (vec![], vec![]));
    }
}
