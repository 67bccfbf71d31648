//! How the manager itself is doing, part by part.

use super::Operations;
use super::services::ask;
use crate::project::Reason;

/// A part of the manager, or something that it needs.
#[derive(Clone, Debug)]
pub struct Component {
    /// Its name in answers and metrics.
    pub name: &'static str,
    /// How it is doing.
    pub health: Health,
    /// The same for people.
    pub message: String,
}

/// From good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// It works.
    Ok,
    /// The manager serves, with less.
    Degraded,
    /// The manager cannot do its own part.
    Down,
}

impl Health {
    /// The word in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }

    /// The health of the whole: that of its worst part.
    #[must_use]
    pub fn of_all(components: &[Component]) -> Self {
        components.iter().map(|component| component.health).max().unwrap_or(Self::Ok)
    }
}

impl Operations {
    /// Checks each part: the database is asked now, the others are as the reconciler saw them last.
    pub async fn health(&self) -> Vec<Component> {
        let snapshot = self.snapshot();
        let store = match self.store.ping().await {
            Ok(()) => (Health::Ok, format!("{} answers", self.store.dialect())),
            Err(error) => {
                tracing::error!(%error, "the database does not answer");
                (Health::Down, "the database does not answer".to_owned())
            }
        };
        let repository = match (&snapshot.head, &snapshot.base_error) {
            (None, _) => (Health::Down, "the state repository has not been read yet".to_owned()),
            (Some(head), None) => (Health::Ok, format!("at commit {}", head.short())),
            (Some(_), Some(error)) => (Health::Degraded, error.clone()),
        };
        let repository = match ask!(self, services => services.write_obstacle()) {
            Some(obstacle) => (Health::Down, obstacle),
            None => repository,
        };
        let kubernetes = match &snapshot.cluster {
            None => (Health::Ok, "the cluster answers".to_owned()),
            Some(error) => (Health::Degraded, error.clone()),
        };
        let mut parts = vec![("store", store), ("repository", repository), ("kubernetes", kubernetes)];
        let unreadable: Vec<&str> = snapshot
            .projects
            .iter()
            .filter(|(_, project)| project.status.reason == Reason::SecretsUnreadable)
            .map(|(name, _)| name.as_str())
            .collect();
        if let Some(first) = unreadable.first() {
            let message = format!(
                "the secrets of {} of {} projects cannot be read with the age keys here (the first is {first}); give the \
                 key that they are encrypted for as SOPS_AGE_KEY",
                unreadable.len(),
                snapshot.projects.len()
            );
            // One file for another key, which anybody may push, must not take the API away from all.
            parts.push(("secrets", (Health::Degraded, message)));
        }
        if let Ok(status) = self.backup_status() {
            let health = if matches!(status.state, "failed" | "overdue") { Health::Degraded } else { Health::Ok };
            parts.push(("backup", (health, status.message)));
        }
        parts.into_iter().map(|(name, (health, message))| Component { name, health, message }).collect()
    }
}
