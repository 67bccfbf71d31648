//! The plan of one unit.

use std::collections::BTreeSet;

use serde_json::Value;

use super::diff::diff;
use super::drift::Rules;
use super::policy::{Drift, DriftMode, POLICY_FILE};
use super::stateful::{self, Recreate};
use super::{Action, Content, Desired, Held, Observation, Operation, UnitPlan, WantedObject, order, owner, prune};
use crate::project::{Sent, Unit};

/// Plans what brings `unit` to `desired`.
///
/// Objects of another unit are left alone and named as held; so is what the policy's `drift` says to leave. An object is
/// sent when its content is not the one that was sent last, whatever the API server stores of it. An object that is gone altogether is drift, too, once it was applied: it is made again for the next commit, and
/// before that only where drift is corrected. Actions are sorted by stage, then by
/// kind and name.
#[must_use]
pub fn unit(unit: &Unit, desired: &Desired, observation: &Observation, drift: &Drift) -> UnitPlan {
    let mut plan = UnitPlan { unit: unit.clone(), actions: Vec::new(), held: Vec::new() };
    let mut wanted = BTreeSet::new();
    if let Desired::Objects(objects) = desired {
        let rules = Rules::of(unit, drift, observation.was_applied);
        for object in objects {
            wanted.insert(&object.key);
            apply(unit, object, observation, &rules, &mut plan);
        }
    }
    prune::prune(unit, desired, &wanted, observation, &mut plan);
    stateful::release(unit, observation, &mut plan);
    plan.actions.sort_by(|a, b| (a.stage, &a.key).cmp(&(b.stage, &b.key)));
    plan.held.sort_by(|a, b| a.key.cmp(&b.key));
    plan
}

/// Whether nothing of a deleted unit is left but what is kept on purpose, so that it needs no more looking after.
#[must_use]
pub fn is_gone(plan: &UnitPlan, observation: &Observation) -> bool {
    plan.actions.is_empty()
        && !observation.objects.iter().any(|(key, live)| {
            live.is_of(&plan.unit)
                && (key.kind == "Pod" || (live.is_going && !prune::is_derived(&plan.unit, key, live)))
        })
}

/// Whether somebody has asked the API server to delete the object.
pub(super) fn is_going(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null())
}

fn apply(unit: &Unit, wanted: &WantedObject, observation: &Observation, rules: &Rules<'_>, plan: &mut UnitPlan) {
    let (key, content) = (&wanted.key, &wanted.content);
    let action = |operation, reason: String, changes| Action {
        key: key.clone(),
        api_version: wanted.api_version.clone(),
        stage: order::apply_stage(&key.group, &key.kind),
        operation,
        reason,
        changes,
    };
    let Some(live) = observation.objects.get(key) else {
        if observation.was_applied {
            // Somebody has deleted it: drift of the whole object.
            match rules.mode(key, "", "") {
                DriftMode::Correct => {}
                DriftMode::Warn => {
                    let reason = format!(
                        "was deleted and is not made again, as drift in {POLICY_FILE} says; a commit that changes {} does",
                        plan.unit
                    );
                    plan.held.push(Held { key: key.clone(), reason });
                    return;
                }
                DriftMode::Ignore => return,
            }
        }
        plan.actions.push(action(Operation::Create(content.clone()), "not in the cluster".to_owned(), Vec::new()));
        return;
    };
    if let Some(reason) = owner::foreign(unit, key, live, observation) {
        plan.held.push(Held { key: key.clone(), reason });
        return;
    }
    if live.is_going {
        let reason = format!("is being deleted{}; it is made again when it is gone", waiting_for(&live.object));
        plan.held.push(Held { key: key.clone(), reason });
        return;
    }
    if live.applied.is_some_and(|hash| hash == content.hash()) {
        return;
    }
    let diff = diff(key, content, &live.object, rules);
    if !diff.left.is_empty() {
        let reason = format!("differs in {} and is left so, as drift in {POLICY_FILE} says", diff.left.join(", "));
        plan.held.push(Held { key: key.clone(), reason });
    }
    let sent = observation.inventory.get(key).copied().unwrap_or_default();
    let unseen = sent.is_outdated(content.hash()).then(|| unseen_change(sent));
    if let Some(reason) = diff.reason.or(unseen) {
        let value = diff.reduced.map_or_else(|| content.clone(), Content::new);
        let uid = live.object.pointer("/metadata/uid").and_then(Value::as_str);
        let remake = match stateful::is_set(key) {
            true => stateful::remake(unit, key, &value, &diff.changes, observation),
            false => Recreate::No,
        };
        let update = |object| Operation::Update { object, take_over: diff.take_over };
        let (operation, reason) = match (remake, uid) {
            (Recreate::AroundPods(why), Some(uid)) => (Operation::Recreate { uid: uid.to_owned(), object: value }, why),
            (Recreate::Unsafe(why) | Recreate::AroundPods(why), _) => (update(value), why),
            (Recreate::No, _) => (update(value), reason),
        };
        plan.actions.push(action(operation, reason, diff.changes));
    }
}

/// Why an object is sent in which no difference is seen.
fn unseen_change(sent: Sent) -> String {
    match sent {
        Sent::Unsettled => "sent again: how the last write ended is not known".to_owned(),
        Sent::Unknown | Sent::Hash(_) => "changed in Git; the API server may store the same".to_owned(),
    }
}

/// What keeps an object that is being deleted, for the end of a sentence.
pub(super) fn waiting_for(object: &Value) -> String {
    let finalizers = object.pointer("/metadata/finalizers").and_then(Value::as_array);
    let names: Vec<_> = finalizers.into_iter().flatten().filter_map(Value::as_str).collect();
    if names.is_empty() { String::new() } else { format!(" (waits for {})", names.join(", ")) }
}
