//! What a StatefulSet needs beyond an apply: fields that the API server never lets anybody change, and a pod that its
//! controller never replaces.
//!
//! Neither ever costs a healthy pod or a volume: a set is made anew *around* its pods (they are orphaned, and adopted by the
//! new one), and only a pod that is not ready and has an outdated template is released.

use serde_json::{Map, Value};

use super::unit::is_going;
use super::{Action, FieldChange, Live, Observation, Operation, UnitPlan, order};
use crate::project::{ObjectKey, Unit};

/// The fields of `spec` that can change in place; every other one is for ever.
const MUTABLE: [&str; 7] = [
    "minReadySeconds",
    "ordinals",
    "persistentVolumeClaimRetentionPolicy",
    "replicas",
    "revisionHistoryLimit",
    "template",
    "updateStrategy",
];

/// Whether this is the kind that is treated here.
pub(super) fn is_set(key: &ObjectKey) -> bool {
    key.group == "apps" && key.kind == "StatefulSet"
}

/// How the set comes to its immutable fields.
pub(super) enum Recreate {
    /// It does not have to be made anew.
    No,
    /// It is deleted without its pods and made anew; the text says what becomes of them.
    AroundPods(String),
    /// Its pods would be lost to it: the change is sent as it is, for the API server to refuse, and the text says why.
    Unsafe(String),
}

/// Judges the changes of a live set.
pub(super) fn remake(
    unit: &Unit,
    key: &ObjectKey,
    desired: &Value,
    changes: &[FieldChange],
    observation: &Observation,
) -> Recreate {
    let Some(field) = changes.iter().find_map(|change| immutable(&change.path)) else { return Recreate::No };
    let pods: Vec<&Value> = pods_of(unit, &key.name, observation).filter(|pod| !is_going(pod)).collect();
    let labels = desired.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
    let selects = |pod: &&Value| labels.is_some_and(|labels| carries(pod, labels));
    match pods.iter().find(|pod| !selects(pod)) {
        Some(pod) => Recreate::Unsafe(format!(
            "{field} cannot be changed while pod {} runs, which the new selector would not find; stop the project first",
            name(pod)
        )),
        None if pods.is_empty() => {
            Recreate::AroundPods(format!("{field} cannot be changed in place: made anew, it has no pod"))
        }
        None => {
            let names: Vec<_> = pods.iter().map(|pod| name(pod)).collect();
            Recreate::AroundPods(format!(
                "{field} cannot be changed in place: made anew around {}, which is not restarted for it",
                names.join(", ")
            ))
        }
    }
}

/// The immutable field that a path is in.
fn immutable(path: &str) -> Option<&str> {
    let below = path.strip_prefix("spec.")?;
    let field = below.split(['.', '[']).next()?;
    (!MUTABLE.contains(&field)).then(|| path.get(..5 + field.len())).flatten()
}

fn carries(pod: &Value, labels: &Map<String, Value>) -> bool {
    let own = pod.pointer("/metadata/labels");
    labels.iter().all(|(key, value)| own.and_then(|own| own.get(key)) == Some(value))
}

fn name(pod: &Value) -> &str {
    pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

fn pods_of<'a>(unit: &'a Unit, set: &'a str, observation: &'a Observation) -> impl Iterator<Item = &'a Value> {
    let own =
        observation.objects.iter().filter(|(key, live)| key.group.is_empty() && key.kind == "Pod" && live.is_of(unit));
    own.map(|(_, live)| &*live.object)
        .filter(move |pod| pod.pointer("/metadata/ownerReferences/0/name").and_then(Value::as_str) == Some(set))
}

/// Adds the release of pods that their set waits for for ever: with the policy OrderedReady a pod that never becomes ready
/// is not replaced by a corrected template (kubernetes#67250).
pub(super) fn release(unit: &Unit, observation: &Observation, plan: &mut UnitPlan) {
    let mut released = Vec::new();
    let own = |(key, live): &(&ObjectKey, &Live)| is_set(key) && live.is_of(unit) && !live.is_going;
    for (key, live) in observation.objects.iter().filter(own) {
        let set = &live.object;
        let text = |pointer: &str| set.pointer(pointer).and_then(Value::as_str);
        let settled = set.pointer("/status/observedGeneration") == set.pointer("/metadata/generation");
        let ordered = text("/spec/podManagementPolicy").unwrap_or("OrderedReady") == "OrderedReady";
        let rolling = text("/spec/updateStrategy/type").unwrap_or("RollingUpdate") == "RollingUpdate";
        let about_to_change = plan.actions.iter().any(|action| action.key == *key);
        let Some(newest) = text("/status/updateRevision") else { continue };
        if !settled || !ordered || !rolling || about_to_change {
            continue;
        }
        for pod in pods_of(unit, &key.name, observation) {
            let revision = pod.pointer("/metadata/labels").and_then(|labels| labels.get("controller-revision-hash"));
            let outdated = revision.and_then(Value::as_str).is_some_and(|revision| revision != newest);
            let uid = pod.pointer("/metadata/uid").and_then(Value::as_str);
            if let Some(uid) = uid.filter(|_| outdated && !is_ready(pod) && !is_going(pod)) {
                released.push(Action {
                    key: ObjectKey::new("", "Pod", key.namespace.as_deref(), name(pod)),
                    api_version: "v1".to_owned(),
                    stage: order::delete_stage("", "Pod"),
                    operation: Operation::Delete { uid: uid.to_owned() },
                    reason: format!(
                        "never became ready and has an earlier template; StatefulSet {} waits for it for ever",
                        key.name
                    ),
                    changes: Vec::new(),
                });
            }
        }
    }
    plan.actions.extend(released);
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// Whether the plan makes pods that run start again: a change of the template of something that has one.
#[must_use]
pub fn restarts(plan: &UnitPlan, observation: &Observation) -> bool {
    let changes_template = |action: &Action| {
        action.key.group == "apps"
            && matches!(action.operation, Operation::Update { .. } | Operation::Recreate { .. })
            && action.changes.iter().any(|change| change.path.starts_with("spec.template."))
    };
    let mut pods = observation.objects.iter().filter(|(key, _)| key.group.is_empty() && key.kind == "Pod");
    plan.actions.iter().any(changes_template) && pods.any(|(_, pod)| pod.is_of(&plan.unit))
}

#[cfg(test)]
mod tests;
