//! What the loop knows, for whoever compares it beside the loop: the same inputs give the same plans there as here.

use std::collections::{BTreeMap, BTreeSet};

use super::Driver;
use crate::cluster;
use crate::project::{ObjectKey, Revision, Unit};
use crate::reconcile::desired::DesiredTree;

/// What is known at one moment.
#[derive(Debug)]
pub(in crate::reconcile) struct Seen {
    /// The copy of the cluster.
    pub(in crate::reconcile) observer: cluster::Observer,
    /// The revision that `desired` belongs to; `None` while the head was not read, or its root does not build.
    pub(in crate::reconcile) head: Option<Revision>,
    /// What that revision wants.
    pub(in crate::reconcile) desired: DesiredTree,
    /// What was applied for each unit.
    pub(in crate::reconcile) inventory: BTreeMap<Unit, BTreeSet<ObjectKey>>,
    /// The units that were brought to what is wanted before.
    pub(in crate::reconcile) was_applied: BTreeSet<Unit>,
}

impl Driver {
    /// What is known of one unit, or of all. Copies no object.
    pub(super) fn seen(&self, only: Option<&Unit>) -> Seen {
        let mut seen = Seen {
            observer: self.observer.clone(),
            head: self.next.head.filter(|_| self.known && self.root_error.is_none()),
            desired: DesiredTree {
                warnings: self.warnings.clone(),
                policy: self.policy.clone(),
                ..DesiredTree::default()
            },
            inventory: BTreeMap::new(),
            was_applied: BTreeSet::new(),
        };
        for (unit, state) in self.units.iter().filter(|(unit, _)| only.is_none_or(|only| only == *unit)) {
            match (&state.desired, unit) {
                (Some(desired), _) => drop(seen.desired.units.insert(unit.clone(), desired.clone())),
                (None, Unit::Project(name)) if state.volumes_given_up => {
                    seen.desired.volumes_given_up.insert(name.clone());
                }
                (None, _) => {}
            }
            if !state.inventory.is_empty() {
                seen.inventory.insert(unit.clone(), state.inventory.clone());
            }
            if state.was_applied() {
                seen.was_applied.insert(unit.clone());
            }
        }
        seen
    }
}
