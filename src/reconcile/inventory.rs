//! A unit's inventory before, during and after the execution of a plan.
//!
//! The inventory is what the store remembers: which objects were applied, and which content was sent last of each. A commit
//! is applied when each of its objects was sent, so the record must never say that something was sent that was not; one that
//! is lost costs an apply that changes nothing.

use std::collections::BTreeMap;

use crate::desired::DesiredUnit;
use crate::desired::PackedObject;
use crate::plan::{self, Observation, Operation, UnitPlan};
use crate::project::{Inventory, ObjectKey, Sent};

/// The hash of the desired content of each object that `plan` sends. Where the policy leaves a field to somebody else, less
/// is sent; it counts as sent all the same.
pub(super) fn hashes(desired: Option<&DesiredUnit>, plan: &UnitPlan) -> BTreeMap<ObjectKey, u64> {
    let all: BTreeMap<&ObjectKey, u64> = wanted(desired).map(|object| (&object.key, object.hash)).collect();
    let sends = plan.actions.iter().filter(|action| !matches!(action.operation, Operation::Delete { .. }));
    sends.filter_map(|action| Some((action.key.clone(), *all.get(&action.key)?))).collect()
}

/// The inventory while `plan` is executed, which sends contents with these `hashes`. What it deletes is still there. An
/// object that it creates will be there with this content, or not at all. How an update ends is not known; where there was
/// no record, there is none now, as a comparison decides about such an object before and after.
pub(super) fn during(before: &Inventory, plan: &UnitPlan, hashes: &BTreeMap<ObjectKey, u64>) -> Inventory {
    let mut inventory = before.clone();
    for action in &plan.actions {
        let sent = inventory.entry(action.key.clone()).or_default();
        match action.operation {
            Operation::Delete { .. } => {}
            Operation::Create(_) => *sent = hashes.get(&action.key).map_or(Sent::Unsettled, |hash| Sent::Hash(*hash)),
            Operation::Update { .. } | Operation::Recreate { .. } if *sent == Sent::Unknown => {}
            Operation::Update { .. } | Operation::Recreate { .. } => *sent = Sent::Unsettled,
        }
    }
    inventory
}

/// The inventory once `plan` has nothing to do: what is wanted, but for the objects of others, and what is held. What was
/// found as it is wanted counts as sent, so that a fleet of a program that kept no record is followed without a write.
pub(super) fn at_rest(
    before: &Inventory,
    desired: Option<&DesiredUnit>,
    plan: &UnitPlan,
    observation: &Observation,
) -> Inventory {
    let known = |key: &ObjectKey| before.get(key).copied().unwrap_or_default();
    let mut inventory: Inventory = plan.held.iter().map(|held| (held.key.clone(), known(&held.key))).collect();
    for PackedObject { key, hash, .. } in wanted(desired) {
        if inventory.contains_key(key) && plan::is_foreign(&plan.unit, key, observation) {
            inventory.remove(key);
            continue;
        }
        let live = observation.objects.get(key).filter(|live| !live.is_going);
        let sent = match (known(key), live) {
            (_, Some(live)) if live.applied == Some(*hash) => Sent::Hash(*hash),
            (Sent::Unknown, Some(_)) => Sent::Hash(*hash),
            (sent, _) => sent,
        };
        inventory.insert(key.clone(), sent);
    }
    inventory
}

fn wanted(desired: Option<&DesiredUnit>) -> impl Iterator<Item = &PackedObject> {
    desired.into_iter().flat_map(|desired| desired.objects.iter().flat_map(|objects| objects.iter()))
}

#[cfg(test)]
mod tests;
