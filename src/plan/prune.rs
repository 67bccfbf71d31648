//! What is deleted because it is not in Git any more, and what is kept although it is not.
//!
//! **Architecture invariant:** a volume is deleted only when a tombstone says so, a namespace never. Neither rests on
//! anything that a person could take off an object by mistake; the annotation that keeps any other object does.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::unit::waiting_for;
use super::{Action, Desired, Held, Live, Observation, Operation, UnitPlan, order, owner};
use crate::project::{ObjectKey, Unit};

/// The annotation that keeps an object which leaves Git.
const PRUNE_ANNOTATION: &str = "claude-manager.io/prune";

/// Adds the deletes of `unit` to `plan`, which holds its applies already.
///
/// A candidate is in no unit's part of the tree, and was put there for this unit: its field manager or the inventory says
/// so. A label alone makes no candidate: what people or controllers made with it stays, and so does what was relabelled.
pub(super) fn prune(
    unit: &Unit,
    desired: &Desired,
    wanted: &BTreeSet<&ObjectKey>,
    observation: &Observation,
    plan: &mut UnitPlan,
) {
    // Looked into only when something hangs on it.
    let mut rollout = None;
    for (key, live) in &observation.objects {
        let object = &live.object;
        if wanted.contains(key) || is_derived(unit, key, live) || !owner::put_there(unit, key, live, observation) {
            continue;
        }
        // It has moved to the other unit, which takes it over: nothing to say here, and to be forgotten.
        if observation.wanted_elsewhere.contains_key(key) {
            continue;
        }
        let held = if live.is_going {
            Some(format!("is being deleted{}", waiting_for(object)))
        } else {
            kept(unit, desired, key).or_else(|| opted_out(object)).or_else(|| {
                if !is_generated(key) || matches!(desired, Desired::Absent { .. }) {
                    return None;
                }
                let why = rollout.get_or_insert_with(|| unfinished_rollout(unit, wanted, observation, plan));
                why.as_ref().map(|why| format!("still in use: {why}"))
            })
        };
        let uid = object.pointer("/metadata/uid").and_then(Value::as_str);
        match (held, uid) {
            (Some(reason), _) => plan.held.push(Held { key: key.clone(), reason }),
            (None, None) => plan.held.push(Held {
                key: key.clone(),
                reason: "has no uid, so that it cannot be told from a newer object of its name".to_owned(),
            }),
            (None, Some(uid)) => plan.actions.push(Action {
                key: key.clone(),
                api_version: api_version(key, object),
                stage: order::delete_stage(&key.group, &key.kind),
                operation: Operation::Delete { uid: uid.to_owned() },
                reason: "not in Git any more".to_owned(),
                changes: Vec::new(),
            }),
        }
    }
}

/// Whether an object comes from another object and goes with it: a controller has made it. An owner that was added to an
/// object that `unit` has applied changes nothing about whose it is.
pub(super) fn is_derived(unit: &Unit, key: &ObjectKey, live: &Live) -> bool {
    let owners = || live.object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    matches!(key.kind.as_str(), "Pod" | "EndpointSlice" | "Endpoints" | "ControllerRevision" | "Event" | "Node")
        || (!live.appliers.contains(unit)
            && owners().is_some_and(|owners| owners.iter().any(|owner| owner["controller"] == true)))
}

/// Why objects of this kind stay, whatever else holds.
fn kept(unit: &Unit, desired: &Desired, key: &ObjectKey) -> Option<String> {
    match (key.group.as_str(), key.kind.as_str()) {
        ("", "Namespace") => Some("namespaces are never deleted".to_owned()),
        ("", "PersistentVolume") => Some("volumes of the cluster are never deleted".to_owned()),
        ("", "PersistentVolumeClaim") => match (unit, desired) {
            (Unit::Project(_), Desired::Absent { delete_volumes: true }) => None,
            (Unit::Project(name), Desired::Absent { .. }) => {
                Some(format!("volumes are kept; `volumes: delete` in tombstones/{name}.yaml gives it up"))
            }
            _ => Some("volumes are kept; delete it by hand if its data is not wanted any more".to_owned()),
        },
        _ => None,
    }
}

/// Whether somebody wants to keep an object although it leaves Git.
fn opted_out(object: &Value) -> Option<String> {
    let value = object.pointer("/metadata/annotations")?.get(PRUNE_ANNOTATION)?.as_str()?;
    (value == "disabled").then(|| format!("the annotation {PRUNE_ANNOTATION} keeps it"))
}

/// Whether kustomize generated the object under a name that changes with its content.
fn is_generated(key: &ObjectKey) -> bool {
    let hash = key.name.rsplit_once('-').map_or("", |(_, hash)| hash);
    key.group.is_empty()
        && matches!(key.kind.as_str(), "ConfigMap" | "Secret")
        && hash.len() == 10
        // The alphabet of kustomize's name hashes.
        && hash.chars().all(|c| "bcdfghkmt2456789".contains(c))
}

/// Why pods of an earlier template may still start or run: then what that template refers to has to stay.
fn unfinished_rollout(
    unit: &Unit,
    wanted: &BTreeSet<&ObjectKey>,
    observation: &Observation,
    plan: &UnitPlan,
) -> Option<String> {
    let ours = || observation.objects.iter().filter(|(_, live)| live.is_of(unit));
    let mut pods: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for (_, live) in ours().filter(|(key, _)| key.group.is_empty() && key.kind == "Pod") {
        let set = live.object.pointer("/metadata/ownerReferences/0/name").and_then(Value::as_str);
        pods.entry(set.unwrap_or_default()).or_default().push(&live.object);
    }
    for (key, live) in ours().filter(|(key, _)| key.group == "apps" && wanted.contains(*key)) {
        if plan.actions.iter().any(|action| action.key == *key) || live.is_going {
            return Some(format!("{} {} is about to change", key.kind, key.name));
        }
        let pods = pods.get(key.name.as_str()).map(Vec::as_slice).unwrap_or_default();
        if key.kind == "StatefulSet" && !rolled_out(&live.object, pods) {
            return Some(format!("the rollout of StatefulSet {} is not complete", key.name));
        }
    }
    None
}

/// Whether every pod of a StatefulSet runs its newest template.
fn rolled_out(set: &Value, pods: &[&Value]) -> bool {
    let number = |pointer: &str| set.pointer(pointer).and_then(Value::as_i64);
    let text = |pointer: &str| set.pointer(pointer).and_then(Value::as_str);
    if number("/status/observedGeneration") != number("/metadata/generation") {
        return false;
    }
    let newest = text("/status/updateRevision");
    let revision = |pod: &&Value| {
        pod.pointer("/metadata/labels")
            .and_then(|labels| labels.get("controller-revision-hash"))
            .and_then(Value::as_str)
            == newest
    };
    if newest.is_some() && !pods.iter().all(revision) {
        return false;
    }
    let replicas = number("/spec/replicas").unwrap_or(1);
    if replicas == 0 {
        return pods.is_empty() && number("/status/replicas").unwrap_or(0) == 0;
    }
    let updated = number("/status/updatedReplicas").unwrap_or(0);
    updated >= replicas || (newest.is_some() && text("/status/currentRevision") == newest)
}

/// The version in which the object was read; watches leave it out of the objects of a list.
fn api_version(key: &ObjectKey, object: &Value) -> String {
    let known = object.get("apiVersion").and_then(Value::as_str).map(str::to_owned);
    known.unwrap_or_else(|| if key.group.is_empty() { "v1".to_owned() } else { format!("{}/v1", key.group) })
}

#[cfg(test)]
mod tests;
