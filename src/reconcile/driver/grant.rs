//! Plans that somebody has looked at and wants done: exactly these, once, whatever else would let them wait.
//!
//! A grant names units by the hashes of their plans. A unit whose plan is another one by now is left as it is, and the
//! others go on. A grant is for what waits for a person: a suspended project, drift that is left, a deletion that is held,
//! a try that comes later. It lifts none of the limits on how much is done at once.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use super::Driver;
use crate::plan::{Drift, UnitPlan};
use crate::project::Unit;
use crate::reconcile::execute::Applied;
use crate::reconcile::unit::{Granted, Step, UnitState};

/// What somebody wants.
#[derive(Debug)]
pub(in crate::reconcile) struct Grant {
    /// The units, each with the hash of its plan.
    pub(in crate::reconcile) plans: BTreeMap<Unit, String>,
    /// The rules that the plans were made with; `None`: those of the policy.
    pub(in crate::reconcile) drift: Option<Drift>,
    /// Takes what could not be done, when all is done.
    pub(in crate::reconcile) done: oneshot::Sender<Vec<(Unit, String)>>,
}

/// Those who wait for the end of what they wanted.
#[derive(Debug, Default)]
pub(super) struct Grants(Vec<Waiting>);

#[derive(Debug)]
struct Waiting {
    /// What is not done yet, with the run that does it.
    left: BTreeMap<Unit, Option<u64>>,
    failures: Vec<(Unit, String)>,
    done: oneshot::Sender<Vec<(Unit, String)>>,
}

impl Driver {
    /// Takes what somebody wants; each unit is planned again before anything is done for it.
    pub(super) fn grant(&mut self, grant: Grant) {
        let mut waiting = Waiting { left: BTreeMap::new(), failures: Vec::new(), done: grant.done };
        for (unit, hash) in grant.plans {
            match self.units.get_mut(&unit) {
                Some(state) => {
                    state.forget_waits();
                    state.granted = Some(Granted { hash, drift: grant.drift.clone() });
                    self.dirty.insert(unit.clone());
                    waiting.left.insert(unit, None);
                }
                None => waiting.failures.push((unit, CHANGED.to_owned())),
            }
        }
        self.grants.0.push(waiting);
    }
}

/// What is said of a unit whose plan was not the one that was looked at.
const CHANGED: &str = "its plan has changed while it was looked at; nothing was done for it";

impl Grants {
    /// Takes what the loop does about a granted plan.
    pub(super) fn stepped(
        &mut self,
        unit: &Unit,
        state: &mut UnitState,
        granted: Granted,
        step: Step,
        plan: &UnitPlan,
    ) {
        match step {
            Step::Apply(run) => self.waiting_for(unit).for_each(|place| *place = Some(run)),
            Step::Rest | Step::Preempt | Step::Later(_) if plan.actions.is_empty() => self.leave(unit, None, &[]),
            // No room yet, or what runs has to end first.
            Step::Rest | Step::Preempt | Step::Later(_) => state.granted = Some(granted),
        }
    }

    /// Takes that a unit's plan is another one by now.
    pub(super) fn refused(&mut self, unit: &Unit) {
        self.leave(unit, None, &[CHANGED.to_owned()]);
    }

    /// Takes the end of a run.
    pub(super) fn ended(&mut self, unit: &Unit, run: u64, applied: &Applied) {
        let mut failures: Vec<String> =
            applied.failures.iter().map(|(key, message)| format!("{key}: {message}")).collect();
        if !applied.complete && failures.is_empty() {
            failures.push("a newer commit came in between; what is left of it is in the next plan".to_owned());
        }
        self.leave(unit, Some(run), &failures);
    }

    /// The places of those who wait for a unit and whose run has not begun.
    fn waiting_for(&mut self, unit: &Unit) -> impl Iterator<Item = &mut Option<u64>> {
        self.0.iter_mut().filter_map(|waiting| waiting.left.get_mut(unit)).filter(|place| place.is_none())
    }

    fn leave(&mut self, unit: &Unit, run: Option<u64>, failures: &[String]) {
        for waiting in self.0.iter_mut().filter(|waiting| waiting.left.get(unit) == Some(&run)) {
            waiting.left.remove(unit);
            waiting.failures.extend(failures.iter().map(|failure| (unit.clone(), failure.clone())));
        }
    }

    /// Whether somebody waits who need not any more.
    pub(super) fn is_any_done(&self) -> bool {
        self.0.iter().any(|waiting| waiting.left.is_empty())
    }

    /// Tells whoever need not wait any more.
    pub(super) fn answer(&mut self, units: &BTreeMap<Unit, UnitState>) {
        for waiting in std::mem::take(&mut self.0) {
            let Waiting { mut left, mut failures, done } = waiting;
            // A newer commit takes back what was granted for an older one.
            let is_granted = |unit: &Unit| units.get(unit).is_some_and(|state| state.granted.is_some());
            left.retain(|unit, run| {
                let stays = run.is_some() || is_granted(unit);
                if !stays {
                    failures.push((unit.clone(), CHANGED.to_owned()));
                }
                stays
            });
            if left.is_empty() {
                let _ = done.send(failures);
            } else if !done.is_closed() || left.values().any(Option::is_some) {
                self.0.push(Waiting { left, failures, done });
            }
        }
    }
}
