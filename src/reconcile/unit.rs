//! One unit's place in the loop: what it wants, what runs for it, when it may try again.
//!
//! A state machine without input or output: the loop tells it what happened and asks what to do next. It never waits;
//! health is read from what was observed, and a newer commit is always taken before the work for an older one goes on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::contention::Fights;
use super::history::Attempt;
use crate::cluster::Complaint;
use crate::desired::DesiredUnit;
use crate::plan::{self, Awaited, Desired, Drift, POLICY_FILE, Policy, Standing, UnitPlan};
use crate::project::{Inventory, ObjectKey, Reason, Revision};

/// The longest wait between two tries of one failing unit.
const LONGEST_RETRY: Duration = Duration::from_secs(300);
/// How long a controller may take to make a pod before an older complaint is believed.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// What the loop knows of one unit.
#[derive(Debug, Default)]
pub(super) struct UnitState {
    /// What Git wants; `None` when the unit is not in Git any more.
    pub(super) desired: Option<Arc<DesiredUnit>>,
    /// How many units the commit changed that it was last wanted by.
    pub(super) changed_with: usize,
    /// Whether a tombstone gives the volumes up.
    pub(super) volumes_given_up: bool,
    /// What the last apply could not do.
    pub(super) failures: Vec<(ObjectKey, String)>,
    /// Whether these failures were found out beforehand, so that nothing was done.
    pub(super) untouched: bool,
    /// The commit that the cluster was last brought to.
    pub(super) applied_revision: Option<Revision>,
    /// Since when it should have something and has not.
    waiting: Option<Waiting>,
    /// What was applied for it, as it was last given to the store.
    pub(super) inventory: Inventory,
    /// Whether what is wanted was applied before this process began.
    pub(super) applied_before: bool,
    running: Option<Run>,
    next_run: u64,
    attempts: u32,
    retry_at: Option<Instant>,
    fights: Fights,
    /// The failure that was announced last.
    pub(super) announced: Option<Reason>,
    /// How the wanted commit gets on.
    pub(super) attempt: Option<Attempt>,
    /// Why its objects are not deleted although Git does not have it any more.
    pub(super) deletion_held: Option<String>,
    /// Whether somebody has seen what its deletion does, and wants it.
    pub(super) deletion_confirmed: bool,
    /// The plan that somebody has looked at and wants, whatever else it would wait for.
    pub(super) granted: Option<Granted>,
}

/// A plan that somebody has looked at and wants done, once.
#[derive(Debug)]
pub(super) struct Granted {
    /// Its hash.
    pub(super) hash: String,
    /// The rules that it was made with; `None`: those of the policy.
    pub(super) drift: Option<Drift>,
}

impl Granted {
    /// Whether this is the plan.
    pub(super) fn is_for(&self, plan: &UnitPlan) -> bool {
        plan::plan_hash(std::slice::from_ref(plan)) == self.hash
    }
}

/// The wait for what only events explain.
#[derive(Debug)]
struct Waiting {
    what: Awaited,
    since: Instant,
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
    pub(super) fn with_inventory(inventory: Inventory) -> Self {
        Self { inventory, ..Self::default() }
    }

    /// Every object that is wanted or known to be its own.
    pub(super) fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        let wanted = self.desired.iter().flat_map(|desired| desired.objects.iter().flat_map(|objects| objects.iter()));
        wanted.map(|object| &object.key).chain(self.inventory.keys())
    }

    /// What Git and the inventory say of it, for the units whose objects name it.
    pub(super) fn standing(&self) -> Standing {
        match &self.desired {
            Some(desired) if desired.objects.is_ok() => Standing::Builds,
            Some(_) => Standing::Unsettled,
            None if self.inventory.is_empty() => Standing::Unknown,
            None if self.deletion_held.is_some() => Standing::Unsettled,
            None => Standing::Deleted,
        }
    }

    /// Takes what a newer revision wants (`None`: nothing any more). Failures of the older one are forgotten.
    pub(super) fn want(&mut self, desired: Option<Arc<DesiredUnit>>, volumes_given_up: bool) {
        self.attempt = desired.as_ref().and_then(|desired| {
            let objects = desired.objects.as_ref().ok()?;
            Some(Attempt::new(desired.revision, objects.digest()))
        });
        // Whoever confirmed a deletion did not confirm the next one.
        self.deletion_confirmed &= desired.is_none();
        self.desired = desired;
        self.volumes_given_up = volumes_given_up;
        self.attempts = 0;
        self.retry_at = None;
        self.fights.clear();
        self.deletion_held = None;
        self.granted = None;
        self.failures.clear();
        self.waiting = None;
    }

    /// Takes that somebody has looked at the plan and wants it: the deletion, if it is one, waits for nobody's word again.
    pub(super) fn confirm_deletion(&mut self) {
        self.deletion_held = None;
        self.deletion_confirmed = self.desired.is_none();
    }

    /// Takes what it should have and has not.
    pub(super) fn waits_for(&mut self, what: Option<Awaited>, now: Instant) {
        if self.waiting.as_ref().map(|waiting| waiting.what) != what {
            self.waiting = what.map(|what| Waiting { what, since: now });
        }
    }

    /// Why it has to wait, as far as a controller complains of it. A complaint that is older than the wait counts when a
    /// controller that is not hindered would have been done by now; it may be about an earlier try.
    pub(super) fn complaint(
        &self,
        now: Instant,
        complaint: impl FnOnce(Awaited) -> Option<Complaint>,
    ) -> Option<(Awaited, String)> {
        let waiting = self.waiting.as_ref()?;
        let complaint = complaint(waiting.what)?;
        // Nobody can say how soon a disk is larger.
        let lasts = waiting.what != Awaited::Growth && now.duration_since(waiting.since) >= PATIENCE;
        (lasts || complaint.seen >= waiting.since).then_some((waiting.what, complaint.message))
    }

    /// Whether it is in the cluster, but neither in Git nor applied by this manager: the work of another one, whose
    /// repository this is not, or of this one before it lost its store. Deleting it could be the end of somebody's fleet.
    pub(super) fn is_strange(&self) -> bool {
        self.desired.is_none() && self.inventory.is_empty()
    }

    /// What the planner is to compare with; `None` when this unit must not be touched, because it does not build, is not
    /// ours, or is to be deleted with too many others and nobody has said so; `is_meant` says that somebody has.
    pub(super) fn planned(&self, is_meant: bool) -> Option<Desired> {
        match &self.desired {
            None if !(self.is_plannable() || is_meant && !self.is_strange()) => None,
            None => Some(Desired::Absent { delete_volumes: self.volumes_given_up }),
            Some(desired) => desired.objects.as_ref().ok().map(|objects| Desired::Objects(objects.wanted())),
        }
    }

    /// Whether there is something to compare with.
    pub(super) fn is_plannable(&self) -> bool {
        match &self.desired {
            None => !self.is_strange() && self.deletion_held.is_none(),
            Some(desired) => desired.objects.is_ok(),
        }
    }

    /// Where Git says that nothing is to be applied, and why.
    pub(super) fn suspended<'a>(&'a self, policy: &'a Policy) -> Option<(&'a str, &'a str)> {
        let own = self.desired.as_ref().and_then(|desired| desired.suspended.as_deref());
        let all = policy.suspended.as_deref().map(|why| (POLICY_FILE, why));
        all.or_else(|| own.map(|why| ("its overlay", why)))
    }

    /// Whether Git does not have it any more and something of it would be deleted: what is left of an earlier deletion, its
    /// volumes, does not count, unless they are given up.
    pub(super) fn would_delete(&self) -> bool {
        let is_volume = |key: &ObjectKey| key.group.is_empty() && key.kind == "PersistentVolumeClaim";
        self.desired.is_none() && self.inventory.keys().any(|key| self.volumes_given_up || !is_volume(key))
    }

    /// The revision that is wanted now.
    pub(super) fn wanted_revision(&self) -> Option<Revision> {
        self.desired.as_ref().map(|desired| desired.revision)
    }

    /// What to do when nothing may be applied: what runs for an older commit is stopped all the same.
    pub(super) fn pause(&self) -> Step {
        match &self.running {
            Some(run) if run.revision != self.wanted_revision() => Step::Preempt,
            _ => Step::Rest,
        }
    }

    /// What to do about a plan. What somebody else keeps changing back is taken out of it.
    pub(super) fn step(&mut self, plan: &mut UnitPlan, now: Instant) -> Step {
        if self.running.is_some() {
            return self.pause();
        }
        if plan.actions.is_empty() {
            self.settle();
            return Step::Rest;
        }
        if let Some(at) = self.retry_at.filter(|at| *at > now) {
            return Step::Later(at);
        }
        let heals = self.is_drift();
        let contested_until = self.fights.hold(plan, heals, now);
        match contested_until {
            Some(until) if plan.actions.is_empty() => Step::Later(until),
            _ => {
                if heals {
                    self.fights.heal(plan, now);
                }
                self.start()
            }
        }
    }

    fn start(&mut self) -> Step {
        self.retry_at = None;
        self.next_run += 1;
        self.running = Some(Run { id: self.next_run, revision: self.wanted_revision() });
        Step::Apply(self.next_run)
    }

    /// Whether the cluster had already been brought to what is wanted, and differs again.
    pub(super) fn is_drift(&self) -> bool {
        self.was_brought_here() && self.attempts == 0
    }

    /// Whether the cluster had already been brought to what is wanted, however the tries went since.
    pub(super) fn was_brought_here(&self) -> bool {
        self.applied_revision.is_some() && self.applied_revision == self.wanted_revision()
    }

    /// Whether the cluster had been brought to what is wanted, by this process or before it began.
    pub(super) fn was_applied(&self) -> bool {
        self.is_drift() || (self.applied_revision.is_none() && self.attempts == 0 && self.applied_before)
    }

    /// What somebody else kept changing back, so that it is left alone for a while; and who, where that is known.
    pub(super) fn contested(&self, now: Instant) -> Vec<(ObjectKey, Option<String>)> {
        self.fights.contested(now)
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
        self.fights.clear();
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
    use crate::desired::UnitError;
    use crate::plan::{Action, Content, Operation};
    use crate::project::{Revision, Sent, Unit};
    use crate::reconcile::contention;

    fn wants(revision: u8) -> Option<Arc<DesiredUnit>> {
        Some(Arc::new(DesiredUnit {
            revision: Revision::from_bytes([revision; 20]),
            objects: Ok(Arc::default()),
            spec: None,
            overlay_id: None,
            suspended: None,
        }))
    }

    /// A plan with one action for each name.
    fn plan(names: &[&str]) -> UnitPlan {
        let action = |name: &&str| Action {
            key: ObjectKey::new("", "Service", None, *name),
            api_version: "v1".into(),
            stage: 1,
            operation: Operation::Create(Content::default()),
            reason: "drift: spec.ports (by meddler)".into(),
            changes: Vec::new(),
        };
        UnitPlan { unit: Unit::Base, actions: names.iter().map(action).collect(), held: Vec::new() }
    }

    fn step(unit: &mut UnitState, now: Instant) -> Step {
        unit.step(&mut plan(&["x"]), now)
    }

    fn failure() -> Vec<(ObjectKey, String)> {
        let key = ObjectKey::new("", "Secret", None, "x");
        vec![(key, "refused".into())]
    }

    #[test]
    fn a_newer_commit_preempts_the_work_for_an_older_one() {
        let now = Instant::now();
        let mut unit = UnitState::default();
        unit.want(wants(1), false);
        assert_eq!(step(&mut unit, now), Step::Apply(1));
        assert_eq!(step(&mut unit, now), Step::Rest, "one run at a time");
        unit.want(wants(2), false);
        assert_eq!(step(&mut unit, now), Step::Preempt);
        assert!(unit.ended(1, failure(), false, now));
        assert!(unit.failures.is_empty(), "what failed for the older commit says nothing of the newer");
        assert_eq!(step(&mut unit, now), Step::Apply(2));
        assert!(!unit.ended(1, failure(), true, now), "an end is told once");
    }

    #[test]
    fn a_failing_unit_is_tried_again_ever_more_slowly_and_at_once_for_a_new_commit() {
        let mut now = Instant::now();
        let mut unit = UnitState::default();
        unit.want(wants(1), false);
        for seconds in [1, 2, 4, 8] {
            let Step::Apply(run) = step(&mut unit, now) else { panic!("has to run") };
            unit.ended(run, failure(), true, now);
            let at = now + Duration::from_secs(seconds);
            assert_eq!(step(&mut unit, now), Step::Later(at));
            assert!(unit.contested(now).is_empty());
            now = at;
        }
        let Step::Apply(run) = step(&mut unit, now) else { panic!("has to run") };
        unit.ended(run, failure(), true, now);
        unit.want(wants(2), false);
        assert!(matches!(step(&mut unit, now), Step::Apply(_)));
    }

    #[test]
    fn an_object_that_somebody_keeps_changing_back_is_left_alone_for_a_while_and_the_others_are_not() {
        let now = Instant::now();
        let mut unit = UnitState::default();
        unit.want(wants(1), false);
        assert_eq!(unit.step(&mut plan(&[]), now), Step::Rest);
        for _ in 0..contention::LIMIT {
            let Step::Apply(run) = step(&mut unit, now) else { panic!("drift is healed") };
            unit.ended(run, Vec::new(), true, now);
        }
        assert_eq!(step(&mut unit, now), Step::Later(now + contention::WINDOW));
        let contested = unit.contested(now);
        assert_eq!((contested.len(), contested[0].1.as_deref()), (1, Some("meddler")));
        let mut both = plan(&["x", "y"]);
        let Step::Apply(run) = unit.step(&mut both, now) else { panic!("the other object is healed on") };
        assert_eq!((both.actions.len(), both.held.len()), (1, 1));
        assert_eq!(both.actions[0].key.name, "y");
        unit.ended(run, Vec::new(), true, now);
        let later = now + contention::WINDOW + Duration::from_secs(1);
        assert!(unit.contested(later).is_empty());
        assert!(matches!(step(&mut unit, later), Step::Apply(_)));
    }

    #[test]
    fn a_deletion_that_waits_for_somebodys_word_touches_nothing() {
        let keys = failure().into_iter().map(|(key, _)| (key, Sent::Unknown)).collect();
        let mut unit = UnitState::with_inventory(keys);
        unit.deletion_held = Some("too many".into());
        assert!(unit.planned(false).is_none());
        unit.want(None, false);
        assert!(unit.planned(false).is_some(), "the next head is judged anew");

        unit.deletion_held = Some("too many".into());
        unit.confirm_deletion();
        unit.want(None, false);
        assert!(unit.planned(false).is_some() && unit.deletion_confirmed, "a later head asks nobody again");
        unit.want(wants(1), false);
        unit.confirm_deletion();
        unit.want(None, false);
        assert!(!unit.deletion_confirmed, "whoever wanted a change did not want it gone");
    }

    #[test]
    fn a_complaint_counts_for_the_wait_that_it_is_about() {
        let now = Instant::now();
        let mut unit = UnitState::default();
        let says = |unit: &UnitState, at: Instant, seen: Instant| {
            unit.complaint(at, |_| Some(Complaint { message: "quota".into(), seen })).map(|(_, said)| said)
        };
        assert_eq!(says(&unit, now, now), None, "it waits for nothing");
        unit.waits_for(Some(Awaited::Pod), now);
        let (earlier, later) = (now - Duration::from_secs(60), now + Duration::from_millis(1));
        assert_eq!(says(&unit, later, later).as_deref(), Some("quota"), "it was said of this wait, so at once");
        assert_eq!(says(&unit, later, earlier), None, "perhaps of an earlier one");
        unit.waits_for(Some(Awaited::Pod), later);
        assert_eq!(says(&unit, now + PATIENCE, earlier).as_deref(), Some("quota"), "it lasts");
        unit.waits_for(Some(Awaited::Volume), now + PATIENCE);
        let about = std::cell::Cell::new(None);
        unit.complaint(now + PATIENCE, |awaited| {
            about.set(Some(awaited));
            None
        });
        assert_eq!(about.get(), Some(Awaited::Volume));
        assert_eq!(says(&unit, now + PATIENCE, earlier), None, "another wait");
        unit.waits_for(Some(Awaited::Growth), now + PATIENCE * 2);
        assert_eq!(says(&unit, now + PATIENCE * 9, earlier), None, "it was said of an earlier growth");
        assert_eq!(says(&unit, now + PATIENCE * 9, now + PATIENCE * 2).as_deref(), Some("quota"));
        unit.waits_for(None, now + PATIENCE * 2);
        assert_eq!(says(&unit, now + PATIENCE * 9, now + PATIENCE * 9), None);
    }

    #[test]
    fn what_is_neither_in_git_nor_in_the_inventory_is_not_touched() {
        let mut unit = UnitState::default();
        unit.want(None, true);
        assert!(unit.planned(false).is_none());
        let keys = failure().into_iter().map(|(key, _)| (key, Sent::Unknown)).collect();
        assert!(UnitState::with_inventory(keys).planned(false).is_some());
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
                suspended: None,
            })),
            false,
        );
        assert!(unit.planned(false).is_none());
    }
}
