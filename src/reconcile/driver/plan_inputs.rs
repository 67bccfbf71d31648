//! What the loop knows, for whoever compares it beside the loop: the same inputs give the same plans there as here.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Driver;
use crate::cluster;
use crate::desired::WantedUnits;
use crate::plan::UnitPlan;
use crate::project::{Revision, Unit};
use crate::reconcile::on_demand::FleetState;

/// What is known at one moment.
#[derive(Debug)]
pub(in crate::reconcile) struct PlanInputs {
    /// The copy of the cluster.
    pub(in crate::reconcile) observer: cluster::Observer,
    /// The revision that this is known for; `None` while the head was not read, or its root does not build.
    pub(in crate::reconcile) head: Option<Revision>,
    /// What is wanted, and known of it.
    pub(in crate::reconcile) known: FleetState,
}

impl Driver {
    /// What is known of one unit, or of all. Copies no object.
    pub(super) fn seen(&self, only: Option<&Unit>) -> PlanInputs {
        let mut seen = PlanInputs {
            observer: self.observer.clone(),
            head: self.next.head.filter(|_| self.known && self.root_error.is_none()),
            known: FleetState::default(),
        };
        let (known, mut units) = (&mut seen.known, WantedUnits::new());
        known.desired.warnings.clone_from(&self.warnings);
        known.desired.policy = self.policy.clone();
        known.claims = Arc::clone(&self.claims);
        for (unit, state) in self.units.iter().filter(|(unit, _)| only.is_none_or(|only| only == *unit)) {
            match (&state.desired, unit) {
                (Some(desired), _) => drop(units.insert(unit.clone(), desired.clone())),
                (None, Unit::Project(name)) if state.volumes_given_up => {
                    known.desired.volumes_given_up.insert(name.clone());
                }
                (None, _) => {}
            }
            if !state.inventory.is_empty() {
                known.inventory.insert(unit.clone(), state.inventory.clone());
            }
            if state.was_applied() {
                known.was_applied.insert(unit.clone());
            }
            if self.is_settled(unit) {
                known.settled.insert(unit.clone());
            }
        }
        known.desired.units = Arc::new(units);
        // Of one unit's objects few others are named.
        known.standings = match only.and_then(|only| self.units.get(only).map(|state| self.observe(only, state))) {
            Some(observation) => observation.others,
            None if only.is_some() => BTreeMap::new(),
            None => self.units.iter().map(|(unit, state)| (unit.clone(), state.standing())).collect(),
        };
        seen
    }

    /// Whether the loop has planned a unit since anything happened to it, and found nothing to do or to say.
    fn is_settled(&self, unit: &Unit) -> bool {
        let Unit::Project(name) = unit else { return false };
        let is_quiet = |plan: &UnitPlan| plan.actions.is_empty() && plan.held.is_empty();
        self.next.synced
            && !self.dirty.contains(unit)
            && self.next.projects.get(name).is_some_and(|project| is_quiet(&project.plan))
    }
}
