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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Action, Operation};
    use crate::project::{ObjectKey, ProjectName};

    fn unit(name: &str) -> Unit {
        Unit::Project(ProjectName::parse(name).unwrap())
    }

    fn plan(unit: &Unit, has_actions: bool) -> UnitPlan {
        let action = Action {
            key: ObjectKey::new("", "Service", None, "x"),
            api_version: "v1".into(),
            stage: 1,
            operation: Operation::Create(crate::plan::Content::default()),
            reason: String::new(),
            changes: Vec::new(),
        };
        let actions = if has_actions { vec![action] } else { Vec::new() };
        UnitPlan { unit: unit.clone(), actions, held: Vec::new() }
    }

    /// Somebody waits for `names`, each of which was granted.
    struct Wait {
        grants: Grants,
        units: BTreeMap<Unit, UnitState>,
        done: oneshot::Receiver<Vec<(Unit, String)>>,
    }

    impl Wait {
        fn of(names: &[&str]) -> Self {
            let (sender, done) = oneshot::channel();
            let left = names.iter().map(|name| (unit(name), None)).collect();
            let grants = Grants(vec![Waiting { left, failures: Vec::new(), done: sender }]);
            let granted = |name: &&str| {
                let plan = plan(&unit(name), true);
                let hash = crate::plan::plan_hash(std::slice::from_ref(&plan));
                let mut state = UnitState::default();
                state.granted = Some(Granted { hash, drift: None });
                (unit(name), state)
            };
            Self { grants, units: names.iter().map(granted).collect(), done }
        }

        /// The loop looks at a unit, and does this about it.
        fn step(&mut self, name: &str, step: Step, has_actions: bool) {
            let unit = unit(name);
            let state = self.units.get_mut(&unit).unwrap();
            let granted = state.granted.take().unwrap();
            self.grants.stepped(&unit, state, granted, step, &plan(&unit, has_actions));
        }

        fn ends(&mut self, name: &str, run: u64, failures: &[&str]) {
            let failures = failures.iter().map(|failure| (plan(&unit(name), true).actions.remove(0).key, failure));
            let failures = failures.map(|(key, failure)| (key, (*failure).to_owned())).collect();
            self.grants.ended(&unit(name), run, &Applied { failures, complete: true, ..Applied::default() });
        }

        /// What was told by now.
        fn told(&mut self) -> Option<Vec<String>> {
            self.grants.answer(&self.units);
            let told = self.done.try_recv().ok()?;
            Some(told.iter().map(|(unit, failure)| format!("{unit}: {failure}")).collect())
        }
    }

    #[test]
    fn whoever_waits_is_told_when_the_last_of_it_has_ended() {
        let mut wait = Wait::of(&["a", "b", "c"]);
        wait.step("a", Step::Apply(7), true);
        // There is no room for it yet; later there is.
        wait.step("b", Step::Rest, true);
        wait.step("c", Step::Rest, false);
        assert_eq!(wait.told(), None);
        wait.step("b", Step::Apply(3), true);
        wait.ends("a", 7, &["forbidden"]);
        assert_eq!(wait.told(), None);
        wait.ends("b", 3, &[]);
        assert!(wait.grants.is_any_done());
        assert_eq!(wait.told().unwrap(), ["a: Service x: forbidden"]);
    }

    #[test]
    fn the_end_of_another_run_is_not_what_was_waited_for() {
        let mut wait = Wait::of(&["a"]);
        wait.ends("a", 6, &["of an older commit"]);
        wait.step("a", Step::Apply(7), true);
        wait.ends("a", 6, &["of an older commit"]);
        assert_eq!(wait.told(), None);
        wait.ends("a", 7, &[]);
        assert_eq!(wait.told().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn another_plan_and_a_newer_commit_end_the_wait() {
        let mut wait = Wait::of(&["a", "b"]);
        let state = wait.units.get_mut(&unit("a")).unwrap();
        let granted = state.granted.take().unwrap();
        assert!(granted.is_for(&plan(&unit("a"), true)) && !granted.is_for(&plan(&unit("a"), false)));
        wait.grants.refused(&unit("a"));
        assert_eq!(wait.told(), None);
        wait.units.get_mut(&unit("b")).unwrap().want(None, false);
        let told = wait.told().unwrap();
        assert_eq!(told, [format!("a: {CHANGED}"), format!("b: {CHANGED}")]);
    }
}
