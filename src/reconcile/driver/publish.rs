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
const SHARE: u32 = 100;
/// While there is always something left to plan, a snapshot of what is planned so far is made after this time.
const LONGEST_WITHOUT: Duration = Duration::from_secs(1);

/// When the next snapshot is due.
#[derive(Debug, Default)]
pub(super) struct Publishing {
    /// Whether the last one shows what is known.
    is_newest: bool,
    /// When it was made.
    at: Option<Instant>,
    /// How long that took.
    took: Duration,
    /// When to come back, since the next one was asked for too early.
    due: Option<Instant>,
}

impl Publishing {
    /// Takes that there is something new to show.
    pub(super) fn changed(&mut self) {
        self.is_newest = false;
    }

    /// When to come back.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether readers have had to do with the same snapshot for long, though there is something new.
    fn is_overdue(&self, now: Instant) -> bool {
        !self.is_newest && self.at.is_some_and(|at| now.duration_since(at) > LONGEST_WITHOUT)
    }

    /// Whether the next one is to be made now; `is_wanted` when somebody waits for it.
    fn begins(&mut self, is_wanted: bool, now: Instant) -> bool {
        if self.is_newest {
            return false;
        }
        let due = self.at.map(|at| at + BETWEEN_SNAPSHOTS.max(self.took * SHARE));
        self.due = due.filter(|due| *due > now && !is_wanted);
        self.due.is_none()
    }

    /// Takes that it was made.
    fn ended(&mut self, began: Instant, took: Duration) {
        *self = Self { is_newest: true, at: Some(began), took, due: None };
    }
}

impl Driver {
    /// Whether a snapshot is due before everything is planned. It waits for the first look at each project all the same: a
    /// list of the head's projects that lacks some would look as if they had been deleted.
    pub(super) fn is_overdue(&self) -> bool {
        let is_shown = |unit: &Unit| matches!(unit, Unit::Project(name) if self.next.projects.contains_key(name));
        let mut wanted = self.units.iter().filter(|(unit, state)| **unit != Unit::Base && state.desired.is_some());
        self.publishing.is_overdue(Instant::now()) && wanted.all(|(unit, _)| is_shown(unit))
    }

    pub(super) fn publish(&mut self, publish: &watch::Sender<Arc<Snapshot>>) {
        let is_wanted = !self.loading.is_empty() || !self.refreshing.is_empty() || self.grants.is_any_done();
        let began = Instant::now();
        if self.publishing.begins(is_wanted, began) {
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
            self.publishing.ended(began, began.elapsed());
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

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_snapshot_follows_another_at_once_only_when_somebody_waits_and_costs_a_small_share_of_the_time() {
        let start = Instant::now();
        let mut publishing = Publishing::default();
        assert!(publishing.begins(false, start), "the first");
        publishing.ended(start, ms(1));
        assert!(!publishing.begins(true, start + ms(500)), "nothing is new");
        publishing.changed();
        assert!(!publishing.begins(false, start + ms(99)));
        assert_eq!(publishing.due(), Some(start + ms(100)), "a hundred times what it took");
        assert!(publishing.begins(true, start + ms(99)), "somebody waits");
        assert!(publishing.begins(false, start + ms(100)));
        publishing.ended(start + ms(100), Duration::ZERO);
        publishing.changed();
        assert!(
            !publishing.begins(false, start + ms(119)) && publishing.begins(false, start + ms(120)),
            "no more often"
        );
    }

    #[test]
    fn what_is_planned_so_far_is_shown_when_there_is_always_something_left_to_plan() {
        let start = Instant::now();
        let mut publishing = Publishing::default();
        publishing.changed();
        assert!(!publishing.is_overdue(start + ms(5000)), "before the first, nobody reads");
        publishing.ended(start, ms(1));
        assert!(!publishing.is_overdue(start + ms(5000)), "nothing is new");
        publishing.changed();
        assert!(!publishing.is_overdue(start + ms(1000)) && publishing.is_overdue(start + ms(1001)));
    }
}
