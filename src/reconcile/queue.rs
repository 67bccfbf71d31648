//! The units that would be applied if there were room: those of a small commit first.
//!
//! What waits is a name and not a plan: the objects of a whole fleet would fill the memory, and would be out of date when
//! their turn came.

use std::collections::BTreeMap;

use crate::project::Unit;

/// How many units the commit changed, then who came first.
type Place = (usize, u64);

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: BTreeMap<Place, Unit>,
    places: BTreeMap<Unit, Place>,
    next: u64,
}

impl Queue {
    /// Takes a unit of a commit that changed so many; one that waits already keeps its place, or comes forward.
    pub(super) fn put(&mut self, unit: &Unit, changed: usize) {
        let number = match self.places.get(unit) {
            Some((known, _)) if *known <= changed => return,
            Some((known, number)) => {
                self.waiting.remove(&(*known, *number));
                *number
            }
            None => {
                self.next += 1;
                self.next
            }
        };
        self.places.insert(unit.clone(), (changed, number));
        self.waiting.insert((changed, number), unit.clone());
    }

    /// The next one, which waits no more.
    pub(super) fn take(&mut self) -> Option<Unit> {
        let (_, unit) = self.waiting.pop_first()?;
        self.places.remove(&unit);
        Some(unit)
    }

    /// Forgets a unit that has nothing to do any more.
    pub(super) fn forget(&mut self, unit: &Unit) {
        if let Some(place) = self.places.remove(unit) {
            self.waiting.remove(&place);
        }
    }

    /// Whether a unit waits.
    pub(super) fn contains(&self, unit: &Unit) -> bool {
        self.places.contains_key(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::ProjectName;

    fn unit(name: &str) -> Unit {
        Unit::Project(ProjectName::parse(name).unwrap())
    }

    fn order(queue: &mut Queue) -> Vec<String> {
        std::iter::from_fn(|| queue.take()).map(|unit| unit.to_string()).collect()
    }

    #[test]
    fn a_small_commit_does_not_wait_behind_one_that_changed_the_fleet() {
        let mut queue = Queue::default();
        for name in ["c", "a", "b"] {
            queue.put(&unit(name), 5000);
        }
        queue.put(&unit("z"), 1);
        queue.put(&unit("c"), 5000);
        assert_eq!(order(&mut queue), ["z", "c", "a", "b"], "whoever asks again keeps the place");
    }

    #[test]
    fn a_unit_comes_forward_with_a_smaller_commit_and_leaves_with_nothing_to_do() {
        let mut queue = Queue::default();
        for name in ["a", "b", "c"] {
            queue.put(&unit(name), 5000);
        }
        queue.put(&unit("b"), 2);
        queue.forget(&unit("a"));
        assert!(queue.contains(&unit("c")) && !queue.contains(&unit("a")));
        assert_eq!(order(&mut queue), ["b", "c"]);
    }
}
