//! The snapshots that everybody else reads, and the answers to those who wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::super::Snapshot;
use super::super::unit::UnitState;
use super::Driver;
use crate::project::Unit;

/// Snapshots that nobody waits for are this far apart, or so many times what one takes: each is a copy of the list of all
/// projects.
const BETWEEN_SNAPSHOTS: Duration = Duration::from_millis(20);
const SHARE: u32 = 50;
/// While there is always something left to plan, a snapshot of what is planned so far is made after this time.
const LONGEST_WITHOUT: Duration = Duration::from_secs(1);

impl Driver {
    /// Whether readers have had to do with the same snapshot for long, though there is a newer state.
    pub(super) fn is_overdue(&self) -> bool {
        !self.published && self.published_at.is_some_and(|at| at.elapsed() > LONGEST_WITHOUT)
    }

    pub(super) fn publish(&mut self, publish: &watch::Sender<Arc<Snapshot>>) {
        if !self.published {
            let due = self.published_at.map(|at| at + BETWEEN_SNAPSHOTS.max(self.publishing * SHARE));
            let is_wanted = !self.loading.is_empty() || !self.refreshing.is_empty() || self.grants.is_any_done();
            if let Some(due) = due.filter(|due| *due > Instant::now() && !is_wanted) {
                self.publish_at = Some(due);
                return;
            }
            self.published = true;
            self.publish_at = None;
            let began = Instant::now();
            self.published_at = Some(began);
            let strange = self.units.iter().filter(|(unit, state)| **unit != Unit::Base && state.is_strange());
            let told = strange.map(|(unit, _)| {
                format!(
                    "the cluster has objects of {unit}, which is neither in Git nor known to this manager; they are left \
                     alone: add the project, or delete them by hand"
                )
            });
            self.next.base_error = self.root_error.clone().or_else(|| self.base_error.clone());
            self.next.warnings = self.warnings.iter().cloned().chain(told).collect();
            self.parts.metrics.set_projects(self.next.projects.values().map(|project| project.status.phase));
            publish.send_replace(Arc::new(self.next.clone()));
            self.publishing = began.elapsed();
        }
    }

    /// Tells whoever waits for what is now so.
    pub(super) fn answer(&mut self) {
        for done in self.loading.drain(..) {
            let _ = done.send(());
        }
        self.grants.answer(&self.units);
        let (units, runs, queue) = (&self.units, &self.runs, &self.queue);
        let busy =
            |unit: &Unit, state: &UnitState| runs.contains_key(unit) || state.is_running() || queue.contains(unit);
        for (project, done) in std::mem::take(&mut self.refreshing) {
            let still = match &project {
                Some(name) => {
                    let unit = Unit::Project(name.clone());
                    units.get(&unit).is_some_and(|state| busy(&unit, state))
                }
                None => units.iter().any(|(unit, state)| busy(unit, state)),
            };
            if still && !done.is_closed() {
                self.refreshing.push((project, done));
            } else {
                let _ = done.send(());
            }
        }
    }
}
