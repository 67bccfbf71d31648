//! The manager's own log on disk: four files of JSON lines, bounded, and reading them from their ends.
//!
//! `combined.log` has every line, `error.log` the errors, `project-operations.log` what was done to projects, and
//! `webhooks.log` what webhooks brought. A line that is too slow to write is dropped and counted; nothing waits for a disk.

mod read;
mod writer;

use std::path::{Path, PathBuf};

pub use read::{Filter, read};
pub use writer::{LineWriter, LogFiles};

/// The part of the manager that a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Requests, and all that has no part of its own.
    Api,
    /// The reconciler and the cluster.
    Kubernetes,
    /// What calls the manager.
    Webhook,
    /// The state repository, its writer, and what was done by it.
    Git,
    /// Conversations, and the way to the agents.
    Chat,
    /// What is said to JIRA.
    Jira,
    /// Backups and restores.
    Backup,
}

impl Service {
    /// All, in the order of the documentation.
    pub const ALL: [Self; 7] =
        [Self::Api, Self::Kubernetes, Self::Webhook, Self::Git, Self::Chat, Self::Jira, Self::Backup];

    /// The word in addresses and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Kubernetes => "kubernetes",
            Self::Webhook => "webhook",
            Self::Git => "git",
            Self::Chat => "chat",
            Self::Jira => "jira",
            Self::Backup => "backup",
        }
    }

    /// The service whose module wrote a line.
    #[must_use]
    pub fn of_target(target: &str) -> Self {
        if target.starts_with("claude_manager::web::api::webhook")
            || target.starts_with("claude_manager::web::api::tickets")
        {
            return Self::Webhook;
        }
        let module = target.strip_prefix("claude_manager::").and_then(|rest| rest.split("::").next());
        match module.unwrap_or(target.split("::").next().unwrap_or_default()) {
            "cluster" | "reconcile" | "embedded" | "kube" | "kube_runtime" => Self::Kubernetes,
            "git" | "change" | "operations" => Self::Git,
            "chat" | "agent" => Self::Chat,
            "tickets" => Self::Webhook,
            "jira" => Self::Jira,
            "backup" => Self::Backup,
            _ => Self::Api,
        }
    }
}

/// One of the four files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum File {
    Combined,
    Error,
    Operations,
    Webhooks,
}

impl File {
    const ALL: [Self; 4] = [Self::Combined, Self::Error, Self::Operations, Self::Webhooks];

    const fn name(self) -> &'static str {
        match self {
            Self::Combined => "combined.log",
            Self::Error => "error.log",
            Self::Operations => "project-operations.log",
            Self::Webhooks => "webhooks.log",
        }
    }

    /// Where the `older`th file before the present one is; 0 is the present one.
    fn path(self, directory: &Path, older: usize) -> PathBuf {
        match older {
            0 => directory.join(self.name()),
            older => directory.join(format!("{}.{older}", self.name())),
        }
    }
}

/// How many bytes a file may have before it is put aside, and how many are kept beside the present one.
const MOST_BYTES: u64 = 10 * 1024 * 1024;
const OLDER_FILES: usize = 4;
