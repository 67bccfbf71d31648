//! The restart budget: of the projects that one commit restarts, only so many at once, and none in the middle of a turn.
//!
//! A project that may restart is first asked, by its agent, whether a turn runs there. One that is idle restarts; one that
//! is busy gives its place to the next and is asked again later: so idle ones come first, and busy ones when their turn has
//! ended, or when the policy's time for that is over: a turn that never ends must not keep an old base for ever. An agent
//! that does not answer holds nothing up, or a broken one would hold its own mending up.
//!
//! A place is kept until the project runs again. One that does not come up keeps it, so that a commit that breaks
//! environments breaks no more than the budget allows; the commit that mends them goes through the places that they have. A
//! commit that touches no more projects than the budget has places waits for nobody, and for no turn.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::plan::Rollout;
use crate::project::Unit;

/// After this time a project in which a turn runs is asked again.
const AGAIN: Duration = Duration::from_secs(10);

/// Who restarts, who waits, and what for.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Those whose last commit touched many.
    bound: BTreeSet<Unit>,
    taken: BTreeSet<Unit>,
    waiting: BTreeSet<Unit>,
    /// Those that are asked whether they are busy; each holds a place meanwhile.
    asking: BTreeSet<Unit>,
    /// Those in which a turn ran.
    busy: BTreeMap<Unit, Busy>,
}

/// A turn that somebody waits for.
#[derive(Clone, Copy, Debug)]
struct Busy {
    /// Since when it is waited for.
    since: Instant,
    /// When to ask again.
    again: Instant,
}

/// Whether a project may restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RestartSlot {
    /// Now.
    Now,
    /// When somebody else is done, or has answered.
    Wait,
    /// Not before this moment: a turn runs.
    Later(Instant),
    /// Its agent has to be asked, once, whether a turn runs.
    Ask,
}

impl Turns {
    /// Takes which units a commit has changed.
    pub(super) fn changed(&mut self, units: &BTreeSet<Unit>, budget: Option<usize>) {
        let projects = units.iter().filter(|unit| **unit != Unit::Base).count();
        let many = budget.is_some_and(|budget| projects > budget);
        for unit in units {
            if many {
                self.bound.insert(unit.clone());
            } else {
                self.bound.remove(unit);
            }
        }
    }

    /// Whether a unit may restart now. `can_answer` says whether it has an agent that can be asked.
    pub(super) fn may_restart(&mut self, unit: &Unit, rollout: Rollout, can_answer: bool, now: Instant) -> RestartSlot {
        let budget = rollout.restarts.filter(|_| self.bound.contains(unit) && !self.taken.contains(unit));
        let Some(budget) = budget else {
            self.waiting.remove(unit);
            return RestartSlot::Now;
        };
        if self.asking.contains(unit) {
            return RestartSlot::Wait;
        }
        let busy = self.busy.get(unit).copied().filter(|_| can_answer);
        let waited = busy.is_some_and(|busy| now.duration_since(busy.since) >= rollout.busy);
        if let Some(busy) = busy.filter(|busy| busy.again > now && !waited) {
            self.waiting.insert(unit.clone());
            return RestartSlot::Later(
                busy.since.checked_add(rollout.busy).map_or(busy.again, |end| end.min(busy.again)),
            );
        }
        if self.taken.len() + self.asking.len() >= budget {
            self.waiting.insert(unit.clone());
            return RestartSlot::Wait;
        }
        if can_answer && !waited {
            self.waiting.insert(unit.clone());
            self.asking.insert(unit.clone());
            return RestartSlot::Ask;
        }
        self.take(unit);
        RestartSlot::Now
    }

    fn take(&mut self, unit: &Unit) {
        self.waiting.remove(unit);
        self.busy.remove(unit);
        self.taken.insert(unit.clone());
    }

    /// Takes what a unit's agent has said: whether a turn runs. Gives whom that may concern.
    pub(super) fn answered(&mut self, unit: &Unit, is_busy: bool, now: Instant) -> BTreeSet<Unit> {
        if !self.asking.remove(unit) {
            return BTreeSet::new();
        }
        if is_busy {
            self.busy.entry(unit.clone()).or_insert(Busy { since: now, again: now }).again = now + AGAIN;
            return self.waiting.clone();
        }
        self.take(unit);
        BTreeSet::from([unit.clone()])
    }

    /// Whether a unit waits.
    pub(super) fn waits(&self, unit: &Unit) -> bool {
        self.waiting.contains(unit)
    }

    /// Whether a turn ran in a unit when it was last asked.
    pub(super) fn is_busy(&self, unit: &Unit) -> bool {
        self.busy.contains_key(unit)
    }

    /// Takes that nothing of a unit has to start (again). Gives whom that may concern.
    pub(super) fn done(&mut self, unit: &Unit) -> BTreeSet<Unit> {
        self.waiting.remove(unit);
        self.busy.remove(unit);
        let asked = self.asking.remove(unit);
        if self.taken.remove(unit) || asked { self.waiting.clone() } else { BTreeSet::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::ProjectName;

    fn units(names: &[&str]) -> BTreeSet<Unit> {
        names.iter().map(|name| unit(name)).collect()
    }

    fn unit(name: &str) -> Unit {
        Unit::Project(ProjectName::parse(name).unwrap())
    }

    /// As if it had no agent.
    fn may(turns: &mut Turns, name: &str, restarts: Option<usize>) -> bool {
        let rollout = Rollout { restarts, ..Rollout::default() };
        turns.may_restart(&unit(name), rollout, false, Instant::now()) == RestartSlot::Now
    }

    fn one_at_a_time() -> Rollout {
        Rollout { restarts: Some(1), ..Rollout::default() }
    }

    #[test]
    fn so_many_restart_at_once_and_the_next_when_one_is_done() {
        let mut turns = Turns::default();
        turns.changed(&units(&["a", "b", "c"]), Some(2));
        assert!(may(&mut turns, "a", Some(2)) && may(&mut turns, "b", Some(2)));
        assert!(!may(&mut turns, "c", Some(2)));
        assert!(may(&mut turns, "a", Some(2)), "a place is kept through tries");
        assert!(turns.waits(&unit("c")));
        assert!(turns.done(&unit("x")).is_empty(), "nobody's place became free");
        assert_eq!(turns.done(&unit("b")), units(&["c"]));
        assert!(may(&mut turns, "c", Some(2)) && !turns.waits(&unit("c")));
    }

    #[test]
    fn a_commit_about_few_waits_for_nobody_and_mends_what_holds_a_place() {
        let mut turns = Turns::default();
        turns.changed(&units(&["a", "b", "c"]), Some(1));
        assert!(may(&mut turns, "a", Some(1)));
        assert!(!may(&mut turns, "b", Some(1)));
        turns.changed(&units(&["b"]), Some(1));
        assert!(may(&mut turns, "b", Some(1)), "somebody changed this one");
        turns.changed(&units(&["a", "b", "c"]), Some(1));
        assert!(may(&mut turns, "a", Some(1)), "it has its place and is mended first");
        assert!(!may(&mut turns, "c", Some(1)));
        assert!(may(&mut turns, "c", None), "without a budget nobody waits");
    }

    #[test]
    fn idle_ones_come_first_and_a_busy_one_when_its_turn_has_ended() {
        let now = Instant::now();
        let mut turns = Turns::default();
        turns.changed(&units(&["a", "b", "c"]), Some(1));
        let ask = |turns: &mut Turns, name: &str, now| turns.may_restart(&unit(name), one_at_a_time(), true, now);
        assert_eq!(ask(&mut turns, "a", now), RestartSlot::Ask);
        assert_eq!(ask(&mut turns, "a", now), RestartSlot::Wait, "one question at a time");
        assert_eq!(ask(&mut turns, "b", now), RestartSlot::Wait, "the question holds the place");
        assert_eq!(turns.answered(&unit("a"), true, now), units(&["a", "b"]));
        assert!(turns.is_busy(&unit("a")) && turns.waits(&unit("a")));
        assert_eq!(ask(&mut turns, "a", now), RestartSlot::Later(now + AGAIN));
        // The next one is idle and restarts, though it came later.
        assert_eq!(ask(&mut turns, "b", now), RestartSlot::Ask);
        assert_eq!(turns.answered(&unit("b"), false, now), units(&["b"]));
        assert_eq!(ask(&mut turns, "b", now), RestartSlot::Now);
        // The busy one is asked again when it is time and a place is free, and not before.
        let later = now + AGAIN;
        assert_eq!(ask(&mut turns, "a", later), RestartSlot::Wait);
        assert_eq!(turns.done(&unit("b")), units(&["a"]));
        assert_eq!(ask(&mut turns, "a", later), RestartSlot::Ask);
        assert_eq!(turns.answered(&unit("a"), false, later), units(&["a"]));
        assert!(!turns.is_busy(&unit("a")));
        assert_eq!(ask(&mut turns, "a", later), RestartSlot::Now);
    }

    #[test]
    fn a_turn_that_never_ends_is_waited_for_as_long_as_the_policy_says() {
        let began = Instant::now();
        let rollout = Rollout { busy: Duration::from_secs(65), ..one_at_a_time() };
        let mut turns = Turns::default();
        turns.changed(&units(&["a", "b"]), Some(1));
        let mut now = began;
        // Asked every ten seconds, and the last time when the wait is over.
        for seconds in [10, 20, 30, 40, 50, 60, 65] {
            assert_eq!(turns.may_restart(&unit("a"), rollout, true, now), RestartSlot::Ask);
            turns.answered(&unit("a"), true, now);
            let next = began + Duration::from_secs(seconds);
            assert_eq!(turns.may_restart(&unit("a"), rollout, true, now), RestartSlot::Later(next));
            now = next;
        }
        // It takes its place like any other, and has to wait for one.
        turns.may_restart(&unit("b"), rollout, false, now);
        assert_eq!(turns.may_restart(&unit("a"), rollout, true, now), RestartSlot::Wait);
        turns.done(&unit("b"));
        assert_eq!(turns.may_restart(&unit("a"), rollout, true, now), RestartSlot::Now);
        assert!(!turns.is_busy(&unit("a")));
        // The next time it is waited for anew.
        turns.done(&unit("a"));
        turns.changed(&units(&["a", "b"]), Some(1));
        assert_eq!(turns.may_restart(&unit("a"), rollout, true, now), RestartSlot::Ask);
    }

    #[test]
    fn a_question_that_is_overtaken_holds_no_place() {
        let now = Instant::now();
        let mut turns = Turns::default();
        turns.changed(&units(&["a", "b"]), Some(1));
        assert_eq!(turns.may_restart(&unit("a"), one_at_a_time(), true, now), RestartSlot::Ask);
        assert_eq!(turns.may_restart(&unit("b"), one_at_a_time(), false, now), RestartSlot::Wait);
        assert_eq!(turns.done(&unit("a")), units(&["b"]), "it needs no restart any more");
        assert!(turns.answered(&unit("a"), false, now).is_empty());
        assert_eq!(turns.may_restart(&unit("b"), one_at_a_time(), false, now), RestartSlot::Now);
        // What cannot be asked any more, because its pod is gone, is not busy.
        turns.changed(&units(&["a", "b"]), Some(1));
        turns.done(&unit("b"));
        assert_eq!(turns.may_restart(&unit("a"), one_at_a_time(), true, now), RestartSlot::Ask);
        turns.answered(&unit("a"), true, now);
        assert_eq!(turns.may_restart(&unit("a"), one_at_a_time(), false, now), RestartSlot::Now);
    }
}
