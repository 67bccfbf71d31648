//! The restart budget: of the projects that one commit restarts, only so many at once.
//!
//! A turn is kept until the project runs again. One that does not come up keeps it, so that a commit that breaks
//! environments breaks no more than the budget allows; the commit that mends them goes through the turns that they have. A
//! commit that touches no more projects than the budget has turns waits for nobody.

use std::collections::BTreeSet;

use crate::project::Unit;

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Those whose last commit touched many.
    bound: BTreeSet<Unit>,
    taken: BTreeSet<Unit>,
    waiting: BTreeSet<Unit>,
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

    /// Whether a unit may restart now; otherwise it waits.
    pub(super) fn may_restart(&mut self, unit: &Unit, budget: Option<usize>) -> bool {
        let free = budget.is_none_or(|budget| self.taken.len() < budget);
        let may = !self.bound.contains(unit) || self.taken.contains(unit) || free;
        if !may {
            self.waiting.insert(unit.clone());
            return false;
        }
        self.waiting.remove(unit);
        if budget.is_some() && self.bound.contains(unit) {
            self.taken.insert(unit.clone());
        }
        true
    }

    /// Whether a unit waits for its turn.
    pub(super) fn waits(&self, unit: &Unit) -> bool {
        self.waiting.contains(unit)
    }

    /// Takes that nothing of a unit has to start (again). Gives whom that may concern.
    pub(super) fn done(&mut self, unit: &Unit) -> BTreeSet<Unit> {
        self.waiting.remove(unit);
        if self.taken.remove(unit) { self.waiting.clone() } else { BTreeSet::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::ProjectName;

    fn units(names: &[&str]) -> BTreeSet<Unit> {
        names.iter().map(|name| Unit::Project(ProjectName::parse(name).unwrap())).collect()
    }

    fn unit(name: &str) -> Unit {
        Unit::Project(ProjectName::parse(name).unwrap())
    }

    #[test]
    fn so_many_restart_at_once_and_the_next_when_one_is_done() {
        let mut turns = Turns::default();
        turns.changed(&units(&["a", "b", "c"]), Some(2));
        assert!(turns.may_restart(&unit("a"), Some(2)) && turns.may_restart(&unit("b"), Some(2)));
        assert!(!turns.may_restart(&unit("c"), Some(2)));
        assert!(turns.may_restart(&unit("a"), Some(2)), "a turn is kept through tries");
        assert!(turns.waits(&unit("c")));
        assert!(turns.done(&unit("x")).is_empty(), "nobody's turn became free");
        assert_eq!(turns.done(&unit("b")), units(&["c"]));
        assert!(turns.may_restart(&unit("c"), Some(2)) && !turns.waits(&unit("c")));
    }

    #[test]
    fn a_commit_about_few_waits_for_nobody_and_mends_what_holds_a_turn() {
        let mut turns = Turns::default();
        turns.changed(&units(&["a", "b", "c"]), Some(1));
        assert!(turns.may_restart(&unit("a"), Some(1)));
        assert!(!turns.may_restart(&unit("b"), Some(1)));
        turns.changed(&units(&["b"]), Some(1));
        assert!(turns.may_restart(&unit("b"), Some(1)), "somebody changed this one");
        turns.changed(&units(&["a", "b", "c"]), Some(1));
        assert!(turns.may_restart(&unit("a"), Some(1)), "it has its turn and is mended first");
        assert!(!turns.may_restart(&unit("c"), Some(1)));
        assert!(turns.may_restart(&unit("c"), None), "without a budget nobody waits");
    }
}
