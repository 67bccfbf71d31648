//! The way of one commit into the cluster, for one unit: when it was seen, what was done, how it ended. Nothing is
//! recorded of a commit that needed nothing to be done, so that a restart writes nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::plan::{Operation, UnitPlan};
use crate::project::{ObjectKey, Revision, Unit};
use crate::store::CommitOutcome;

/// A commit on its way.
#[derive(Debug)]
pub(super) struct Attempt {
    revision: Revision,
    author: Arc<str>,
    seen: Instant,
    seen_at: Timestamp,
    digest: String,
    created: usize,
    changed: usize,
    deleted: usize,
    message: String,
    applied: Option<Duration>,
    healthy: Option<Duration>,
}

impl Attempt {
    /// A commit that was just seen.
    pub(super) fn new(revision: Revision, digest: String) -> Self {
        Self {
            revision,
            author: Arc::default(),
            seen: Instant::now(),
            seen_at: Timestamp::now(),
            digest,
            created: 0,
            changed: 0,
            deleted: 0,
            message: String::new(),
            applied: None,
            healthy: None,
        }
    }

    /// Takes who made it.
    pub(super) fn by(&mut self, author: &Arc<str>) {
        self.author = Arc::clone(author);
    }

    /// A short name of what it rendered to.
    pub(super) fn digest(&self) -> &str {
        &self.digest
    }

    /// Takes what is about to be done for it; what comes after it was applied is healing, and not its own.
    pub(super) fn begins(&mut self, plan: &UnitPlan) {
        if self.applied.is_some() {
            return;
        }
        let count =
            |wanted: fn(&Operation) -> bool| plan.actions.iter().filter(|action| wanted(&action.operation)).count();
        self.created = self.created.max(count(|operation| matches!(operation, Operation::Create(_))));
        self.changed = self
            .changed
            .max(count(|operation| matches!(operation, Operation::Update { .. } | Operation::Recreate { .. })));
        self.deleted = self.deleted.max(count(|operation| matches!(operation, Operation::Delete { .. })));
    }

    /// Takes the end of a run. Gives how long it took, when this was the end of the way.
    pub(super) fn ended(&mut self, failures: &[(ObjectKey, String)], complete: bool) -> Option<Duration> {
        if self.applied.is_some() {
            return None;
        }
        let all: Vec<_> = failures.iter().map(|(key, message)| format!("{key}: {message}")).collect();
        self.message = all.join("; ");
        if failures.is_empty() && complete {
            self.applied = Some(self.seen.elapsed());
        }
        self.applied
    }

    /// Takes that there was nothing to do for it. Says whether that is news.
    pub(super) fn is_there(&mut self) -> bool {
        let news = self.applied.is_none() && self.message.is_empty();
        if news {
            self.applied = Some(self.seen.elapsed());
        }
        news
    }

    /// Takes that the project is as it should be. Gives how long that took, the first time.
    pub(super) fn is_healthy(&mut self) -> Option<Duration> {
        if self.applied.is_none() || self.healthy.is_some() {
            return None;
        }
        self.healthy = Some(self.seen.elapsed());
        self.healthy
    }

    /// What is to be remembered of it.
    pub(super) fn passage(&self, unit: &Unit) -> CommitOutcome {
        let parts = [(self.created, "created"), (self.changed, "changed"), (self.deleted, "deleted")];
        let summary: Vec<_> =
            parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        let milliseconds = |time: Option<Duration>| time.and_then(|time| i64::try_from(time.as_millis()).ok());
        CommitOutcome {
            unit: unit.clone(),
            revision: self.revision.to_string(),
            author: self.author.to_string(),
            seen_at: self.seen_at.as_millisecond(),
            digest: self.digest.clone(),
            summary: summary.join(", "),
            outcome: if self.message.is_empty() { "applied" } else { "failed" }.to_owned(),
            message: self.message.clone(),
            applied_ms: milliseconds(self.applied),
            healthy_ms: milliseconds(self.healthy),
        }
    }
}
