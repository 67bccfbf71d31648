//! One unit's place in the loop: what it wants, what runs for it, when it may try again.
//!
//! A state machine without input or output: the loop tells it what happened and asks what to do next. It never waits;
//! health is read from what was observed, and a newer commit is always taken before the work for an older one goes on.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::desired::DesiredUnit;
use crate::plan::Desired;
use crate::project::{ObjectKey, Revision};

/// The longest wait between two tries of one failing unit.
const LONGEST_RETRY: Duration = Duration::from_secs(300);
/// More heals than this within [`CONTEST_WINDOW`], and somebody else keeps changing the object back.
const CONTEST_LIMIT: usize = 5;
/// The time over which heals are counted, and how long a contested unit is left alone.
const CONTEST_WINDOW: Duration = Duration::from_secs(60);

/// How long a controller may take to make a pod before its events are asked.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// What the loop knows of one unit.
#[derive(Debug, Default)]
pub(super) struct UnitState {
    /// What Git wants; `None` when the unit is not in Git any more.
    pub(super) desired: Option<Arc<DesiredUnit>>,
    /// Whether a tombstone gives the volumes up.
    pub(super) volumes_given_up: bool,
    /// What the last apply could not do.
    pub(super) failures: Vec<(ObjectKey, String)>,
    /// The commit that the cluster was last brought to.
    pub(super) applied_revision: Option<Revision>,
    /// Why the cluster refuses its pod, as far as an event says so.
    pub(super) refusal: Option<String>,
    /// Since when it should have a pod and has none.
    waiting: Option<Waiting>,
    /// What was last written to the inventory.
    pub(super) inventory: BTreeSet<ObjectKey>,
    running: Option<Run>,
    next_run: u64,
    attempts: u32,
    retry_at: Option<Instant>,
    heals: VecDeque<Instant>,
}

/// The wait for a pod.
#[derive(Debug)]
struct Waiting {
    since: Instant,
    asked: bool,
}

/// An apply that runs.
#[derive(Debug)]
struct Run {
    id: u64,
    /// What it works for; a newer one pre-empts it.
    revision: Option<Revision>,
}

/// What the loop is to do for a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing now.
    Rest,
    /// Start applying the plan under this run's id.
    Apply(u64),
    /// Stop the run, it works for an older commit; its end asks again.
    Preempt,
    /// Ask again at this time.
    Later(Instant),
}

impl UnitState {
    /// A unit that was applied before this process began.
    pub(super) fn with_inventory(inventory: BTreeSet<ObjectKey>) -> Self {
        Self { inventory, ..Self::default() }
    }

    /// Every object that is wanted or known to be its own.
    pub(super) fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        let wanted = self.desired.iter().flat_map(|desired| desired.objects.iter().flat_map(|objects| objects.iter()));
        wanted.map(|object| &object.key).chain(&self.inventory)
    }

    /// Takes what a newer revision wants (`None`: nothing any more). Failures of the older one are forgotten.
    pub(super) fn want(&mut self, desired: Option<Arc<DesiredUnit>>, volumes_given_up: bool) {
        self.desired = desired;
        self.volumes_given_up = volumes_given_up;
        self.attempts = 0;
        self.retry_at = None;
        self.heals.clear();
        self.failures.clear();
        self.refusal = None;
        self.waiting = None;
    }

    /// Takes whether it should have a pod and has none. Answers whether it is time to ask the cluster's events why: once
    /// for each wait, and not before a healthy controller would have made the pod.
    pub(super) fn waits_for_pod(&mut self, waits: bool, now: Instant) -> bool {
        if !waits {
            self.waiting = None;
            self.refusal = None;
            return false;
        }
        let waiting = self.waiting.get_or_insert(Waiting { since: now, asked: false });
        let ask = !waiting.asked && now.duration_since(waiting.since) >= PATIENCE;
        waiting.asked |= ask;
        ask
    }

    /// Whether it is in the cluster, but neither in Git nor applied by this manager: the work of another one, whose
    /// repository this is not, or of this one before it lost its store. Deleting it could be the end of somebody's fleet.
    pub(super) fn is_strange(&self) -> bool {
        self.desired.is_none() && self.inventory.is_empty()
    }

    /// What the planner is to compare with; `None` when this unit must not be touched, because it does not build or is
    /// not ours.
    pub(super) fn planned(&self) -> Option<Desired> {
        match &self.desired {
            None if self.is_strange() => None,
            None => Some(Desired::Absent { delete_volumes: self.volumes_given_up }),
            Some(desired) => desired.objects.as_ref().ok().map(|objects| Desired::Objects(Arc::clone(objects))),
        }
    }

    /// The revision that is wanted now.
    pub(super) fn wanted_revision(&self) -> Option<Revision> {
        self.desired.as_ref().map(|desired| desired.revision)
    }

    /// What to do after planning gave `actions`.
    pub(super) fn step(&mut self, actions: bool, now: Instant) -> Step {
        if let Some(run) = &self.running {
            let outdated = run.revision != self.wanted_revision();
            return if outdated { Step::Preempt } else { Step::Rest };
        }
        if !actions {
            self.settle();
            return Step::Rest;
        }
        match self.retry_at {
            Some(at) if at > now => Step::Later(at),
            _ => self.start(now),
        }
    }

    fn start(&mut self, now: Instant) -> Step {
        if self.is_drift() {
            self.heals.push_back(now);
            while self.heals.front().is_some_and(|at| now.duration_since(*at) > CONTEST_WINDOW) {
                self.heals.pop_front();
            }
            if self.heals.len() > CONTEST_LIMIT {
                let until = now + CONTEST_WINDOW;
                self.retry_at = Some(until);
                self.heals.clear();
                return Step::Later(until);
            }
        }
        self.retry_at = None;
        self.next_run += 1;
        self.running = Some(Run { id: self.next_run, revision: self.wanted_revision() });
        Step::Apply(self.next_run)
    }

    /// Whether the cluster had already been brought to what is wanted, and differs again.
    fn is_drift(&self) -> bool {
        self.applied_revision.is_some() && self.applied_revision == self.wanted_revision() && self.attempts == 0
    }

    /// Whether somebody else kept changing it back, and it is left alone for a while.
    pub(super) fn is_contested(&self, now: Instant) -> bool {
        self.attempts == 0 && self.retry_at.is_some_and(|at| at > now)
    }

    /// Takes the end of a run. `failures` is empty when every action was done; `complete` is false when it was
    /// stopped before its end. Answers whether the run was the current one.
    pub(super) fn ended(&mut self, id: u64, failures: Vec<(ObjectKey, String)>, complete: bool, now: Instant) -> bool {
        match &self.running {
            Some(run) if run.id == id => {}
            _ => return false,
        }
        let outdated = self.running.take().is_some_and(|run| run.revision != self.wanted_revision());
        if outdated {
            return true;
        }
        if failures.is_empty() {
            self.failures.clear();
            self.attempts = 0;
            if complete {
                self.applied_revision = self.wanted_revision();
            }
        } else {
            self.failures = failures;
            self.retry_at = Some(now + backoff(self.attempts));
            self.attempts = self.attempts.saturating_add(1);
        }
        true
    }

    /// Nothing differs: whatever failed before is done.
    fn settle(&mut self) {
        self.failures.clear();
        self.attempts = 0;
        self.applied_revision = self.wanted_revision();
    }

    /// Tries again at once, whatever failed before.
    pub(super) fn forget_waits(&mut self) {
        self.retry_at = None;
        self.heals.clear();
    }

    /// Whether an apply runs.
    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }
}

/// 1, 2, 4 … seconds, at most [`LONGEST_RETRY`].
fn backoff(attempts: u32) -> Duration {
    LONGEST_RETRY.min(Duration::from_secs(1_u64.checked_shl(attempts.min(16)).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::{Reason, Revision};
    use crate::reconcile::desired::UnitError;

    fn wants(revision: u8) -> Option<Arc<DesiredUnit>> {
        Some(Arc::new(DesiredUnit {
            revision: Revision::from_bytes([revision; 20]),
            objects: Ok(Arc::default()),
            spec: None,
            overlay_id: None,
        }))
    }

    fn failure() -> Vec<(ObjectKey, String)> {
        let key = ObjectKey { group: String::new(), kind: "Secret".into(), namespace: None, name: "x".into() };
        vec![(key, "refused".into())]
    }

    #[test]
    fn a_newer_commit_preempts_the_work_for_an_older_one() {
        let now = Instant::now();
        let mut unit = UnitState::default();
        unit.want(wants(1), false);
        assert_eq!(unit.step(true, now), Step::Apply(1));
        assert_eq!(unit.step(true, now), Step::Rest, "one run at a time");
        unit.want(wants(2), false);
        assert_eq!(unit.step(true, now), Step::Preempt);
        assert!(unit.ended(1, failure(), false, now));
        assert!(unit.failures.is_empty(), "what failed for the older commit says nothing of the newer");
        assert_eq!(unit.step(true, now), Step::Apply(2));
        assert!(!unit.ended(1, failure(), true, now), "an end is told once");
    }

    #[test]
    fn a_failing_unit_is_tried_again_ever_more_slowly_and_at_once_for_a_new_commit() {
        let mut now = Instant::now();
        let mut unit = UnitState::default();
        unit.want(wants(1), false);
        for seconds in [1, 2, 4, 8] {
            let Step::Apply(run) = unit.step(true, now) else { panic!("has to run") };
            unit.ended(run, failure(), true, now);
            let at = now + Duration::from_secs(seconds);
            assert_eq!(unit.step(true, now), Step::Later(at));
            assert!(!unit.is_contested(now));
            now = at;
        }
        let Step::Apply(run) = unit.step(true, now) else { panic!("has to run") };
        unit.ended(run, failure(), true, now);
        unit.want(wants(2), false);
        assert!(matches!(unit.step(true, now), Step::Apply(_)));
    }

    #[test]
    fn an_object_that_somebody_keeps_changing_back_is_left_alone_for_a_while() {
        let now = Instant::now();
        let mut unit = UnitState::default();
        unit.want(wants(1), false);
        assert_eq!(unit.step(false, now), Step::Rest);
        for _ in 0..CONTEST_LIMIT {
            let Step::Apply(run) = unit.step(true, now) else { panic!("drift is healed") };
            unit.ended(run, Vec::new(), true, now);
        }
        assert_eq!(unit.step(true, now), Step::Later(now + CONTEST_WINDOW));
        assert!(unit.is_contested(now));
        let later = now + CONTEST_WINDOW + Duration::from_secs(1);
        assert!(matches!(unit.step(true, later), Step::Apply(_)));
    }

    #[test]
    fn events_are_asked_once_for_each_wait_that_lasts() {
        let now = Instant::now();
        let mut unit = UnitState::default();
        assert!(!unit.waits_for_pod(true, now));
        assert!(!unit.waits_for_pod(true, now + PATIENCE / 2));
        assert!(unit.waits_for_pod(true, now + PATIENCE));
        assert!(!unit.waits_for_pod(true, now + PATIENCE * 2), "once");
        unit.refusal = Some("quota".into());
        assert!(!unit.waits_for_pod(false, now + PATIENCE * 3));
        assert_eq!(unit.refusal, None);
        assert!(!unit.waits_for_pod(true, now + PATIENCE * 4));
        assert!(unit.waits_for_pod(true, now + PATIENCE * 5), "another wait");
    }

    #[test]
    fn what_is_neither_in_git_nor_in_the_inventory_is_not_touched() {
        let mut unit = UnitState::default();
        unit.want(None, true);
        assert!(unit.planned().is_none());
        let keys = failure().into_iter().map(|(key, _)| key).collect();
        assert!(UnitState::with_inventory(keys).planned().is_some());
    }

    #[test]
    fn a_unit_that_does_not_build_is_not_touched() {
        let mut unit = UnitState::default();
        let error = UnitError { reason: Reason::RenderFailed, message: "broken".into() };
        unit.want(
            Some(Arc::new(DesiredUnit {
                revision: Revision::from_bytes([1; 20]),
                objects: Err(error),
                spec: None,
                overlay_id: None,
            })),
            false,
        );
        assert!(unit.planned().is_none());
    }
}
