//! What controllers do in a real cluster, as far as environments need it: claims are bound, a StatefulSet has its pods.
//!
//! They run within the write that concerns them, one change after the other, each under its own version as if somebody
//! else had made it.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::errors::Refusal;
use super::resources::{self, Resource};
use super::state::{Id, State};
use super::{defaults, now, uid};

/// Why pods wait while nobody runs them; project status is read from it.
const NO_RUNTIME: &str = "NoRuntime";

/// Brings everything into order that depends on the objects in `changed`.
pub(super) fn settle(state: &mut State, changed: impl IntoIterator<Item = Id>) -> Result<(), Refusal> {
    let mut queue: VecDeque<Id> = changed.into_iter().collect();
    while let Some(id) = queue.pop_front() {
        match id.resource.kind {
            "PersistentVolumeClaim" => bind(state, &id)?,
            "StatefulSet" => stateful_set(state, &id)?,
            "Pod" => {
                if let Some(set) = owner_of(state, &id) {
                    queue.push_back(set);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Removes an object, and what belongs to it unless that is to be left an `orphan`.
pub(super) fn delete(state: &mut State, id: &Id, orphan: bool) -> Result<Option<Arc<Value>>, Refusal> {
    if id.resource.kind == "Pod" && state.has_runtime {
        return begin_deletion(state, id);
    }
    let last = state.remove(id)?;
    if let Some(last) = &last {
        let owner = &last["metadata"]["uid"];
        let owned: Vec<Id> = state
            .list(pods(), Some(&id.namespace))
            .filter(|(_, pod)| {
                pod["metadata"]["ownerReferences"]
                    .as_array()
                    .is_some_and(|all| all.iter().any(|one| one["uid"] == *owner))
            })
            .map(|(id, _)| id.clone())
            .collect();
        for id in owned {
            match state.get(&id).filter(|_| orphan).cloned() {
                Some(pod) => {
                    let mut pod = (*pod).clone();
                    if let Some(metadata) = pod["metadata"].as_object_mut() {
                        metadata.remove("ownerReferences");
                    }
                    state.put(&id, pod)?;
                }
                None => drop(delete(state, &id, false)?),
            }
        }
    }
    Ok(last)
}

/// A pod that runs goes only when its runtime has ended it.
fn begin_deletion(state: &mut State, id: &Id) -> Result<Option<Arc<Value>>, Refusal> {
    let Some(pod) = state.get(id).cloned() else { return Ok(None) };
    if pod["metadata"]["deletionTimestamp"].is_string() {
        return Ok(Some(pod));
    }
    let mut pod = (*pod).clone();
    pod["metadata"]["deletionTimestamp"] = now().into();
    pod["metadata"]["deletionGracePeriodSeconds"] = pod["spec"]["terminationGracePeriodSeconds"].clone();
    state.put(id, pod).map(Some)
}

/// Sets the status of every pod to "waiting" that nobody runs (`without` a runtime), or lets it be started.
pub(super) fn reset_pods(state: &mut State) -> Result<(), Refusal> {
    let pods: Vec<(Id, Arc<Value>)> = state.list(pods(), None).map(|(id, pod)| (id.clone(), Arc::clone(pod))).collect();
    for (id, pod) in pods {
        if pod["metadata"]["deletionTimestamp"].is_string() && !state.has_runtime {
            state.remove(&id)?;
        } else {
            let mut pod = (*pod).clone();
            let before = pod["status"].clone();
            pod["status"] = waiting(state.has_runtime, &before);
            if pod["status"] != before {
                state.put(&id, pod)?;
            }
        }
        settle(state, [id])?;
    }
    Ok(())
}

/// A claim has its volume at once: volumes are directories that the runtime makes.
fn bind(state: &mut State, id: &Id) -> Result<(), Refusal> {
    let Some(claim) = state.get(id) else { return Ok(()) };
    let mut bound = (**claim).clone();
    let storage = bound["spec"]["resources"]["requests"]["storage"].clone();
    bound["status"] =
        json!({"phase": "Bound", "accessModes": bound["spec"]["accessModes"], "capacity": {"storage": storage}});
    if bound["spec"]["volumeName"].is_null() {
        bound["spec"]["volumeName"] = format!("pvc-{}", bound["metadata"]["uid"].as_str().unwrap_or_default()).into();
        bound["metadata"]["annotations"]["pv.kubernetes.io/bind-completed"] = "yes".into();
        bound["metadata"]["annotations"]["pv.kubernetes.io/bound-by-controller"] = "yes".into();
    }
    if bound != **claim {
        state.put(id, bound)?;
    }
    Ok(())
}

fn stateful_set(state: &mut State, id: &Id) -> Result<(), Refusal> {
    let Some(set) = state.get(id).cloned() else { return Ok(()) };
    let wanted = set["spec"]["replicas"].as_u64().unwrap_or(1);
    let revision = revision_of(id, &set["spec"]["template"]);
    adopt(state, id, &set)?;
    // Pods of another set with the same name, of another template, and those above the wanted number go.
    for (pod_id, pod) in pods_of(state, id) {
        let ordinal = ordinal_of(id, &pod_id).unwrap_or(u64::MAX);
        let current = pod["metadata"]["labels"]["controller-revision-hash"] == revision.as_str();
        if (ordinal >= wanted || !current) && pod["metadata"]["deletionTimestamp"].is_null() {
            delete(state, &pod_id, false)?;
        }
    }
    for ordinal in 0..wanted {
        let pod_id = Id { resource: pods(), namespace: id.namespace.clone(), name: format!("{}-{ordinal}", id.name) };
        if state.get(&pod_id).is_none() {
            let pod = new_pod(&set, &pod_id, ordinal, &revision, state.has_runtime);
            state.put(&pod_id, pod)?;
        }
    }
    report(state, id, &revision)
}

/// Takes in pods that nobody owns, have a name of the set's and the labels that it looks for.
fn adopt(state: &mut State, id: &Id, set: &Value) -> Result<(), Refusal> {
    let Some(wanted) = set["spec"]["selector"]["matchLabels"].as_object() else { return Ok(()) };
    let orphans: Vec<(Id, Arc<Value>)> = (state.list(pods(), Some(&id.namespace)))
        .filter(|(pod_id, _)| ordinal_of(id, pod_id).is_some())
        .filter(|(_, pod)| pod["metadata"]["ownerReferences"].as_array().is_none_or(Vec::is_empty))
        .filter(|(_, pod)| wanted.iter().all(|(key, value)| pod["metadata"]["labels"][key] == *value))
        .map(|(id, pod)| (id.clone(), Arc::clone(pod)))
        .collect();
    for (pod_id, pod) in orphans {
        let mut pod = (*pod).clone();
        pod["metadata"]["ownerReferences"] = json!([owner(set)]);
        state.put(&pod_id, pod)?;
    }
    Ok(())
}

/// A set as its pods name it.
fn owner(set: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "name": set["metadata"]["name"], "uid": set["metadata"]["uid"],
        "controller": true, "blockOwnerDeletion": true,
    })
}

/// Writes the status of a set as its pods are.
fn report(state: &mut State, id: &Id, revision: &str) -> Result<(), Refusal> {
    let Some(set) = state.get(id).cloned() else { return Ok(()) };
    let pods = pods_of(state, id);
    let count = |holds: &dyn Fn(&Value) -> bool| pods.iter().filter(|(_, pod)| holds(pod)).count();
    let updated = count(&|pod| pod["metadata"]["labels"]["controller-revision-hash"] == revision);
    let ready = count(&is_ready);
    let before = &set["status"];
    let current = match before["currentRevision"].as_str() {
        Some(current) if updated < pods.len() => current.to_owned(),
        _ => revision.to_owned(),
    };
    let on_current = count(&|pod| pod["metadata"]["labels"]["controller-revision-hash"] == current.as_str());
    let mut status = Map::new();
    for (key, number) in [("readyReplicas", ready), ("currentReplicas", on_current), ("updatedReplicas", updated)] {
        if number > 0 {
            status.insert(key.to_owned(), number.into());
        }
    }
    status.insert("availableReplicas".to_owned(), ready.into());
    status.insert("collisionCount".to_owned(), 0.into());
    status.insert("currentRevision".to_owned(), current.into());
    status.insert("observedGeneration".to_owned(), set["metadata"]["generation"].clone());
    status.insert("replicas".to_owned(), pods.len().into());
    status.insert("updateRevision".to_owned(), revision.into());
    let status = Value::Object(status);
    if *before != status {
        let mut set = (*set).clone();
        set["status"] = status;
        state.put(id, set)?;
    }
    Ok(())
}

fn new_pod(set: &Value, id: &Id, ordinal: u64, revision: &str, has_runtime: bool) -> Value {
    let template = &set["spec"]["template"];
    let set_name = &set["metadata"]["name"];
    let mut labels = template["metadata"]["labels"].as_object().cloned().unwrap_or_default();
    labels.insert("apps.kubernetes.io/pod-index".to_owned(), ordinal.to_string().into());
    labels.insert("controller-revision-hash".to_owned(), revision.into());
    labels.insert("statefulset.kubernetes.io/pod-name".to_owned(), id.name.clone().into());
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": id.name, "generateName": format!("{}-", set_name.as_str().unwrap_or_default()), "namespace": id.namespace,
            "uid": uid(), "creationTimestamp": now(), "generation": 1, "labels": labels, "ownerReferences": [owner(set)],
        },
        "spec": template["spec"],
        "status": waiting(has_runtime, &Value::Null),
    });
    if let Some(annotations) = template["metadata"].get("annotations") {
        pod["metadata"]["annotations"] = annotations.clone();
    }
    pod["spec"]["hostname"] = id.name.clone().into();
    pod["spec"]["subdomain"] = set["spec"]["serviceName"].clone();
    defaults::fill(pods(), &mut pod);
    pod
}

/// The status of a pod that does not run. The time of an equal condition in `before` is kept.
fn waiting(has_runtime: bool, before: &Value) -> Value {
    let mut condition = if has_runtime {
        json!({"type": "PodScheduled", "status": "True"})
    } else {
        json!({
            "type": "PodScheduled", "status": "False", "reason": NO_RUNTIME,
            "message": "nothing runs environments in the embedded cluster now; claude-manager serve does",
        })
    };
    let known = before["conditions"].as_array().into_iter().flatten().find(|known| {
        known["type"] == "PodScheduled"
            && known["status"] == condition["status"]
            && known["reason"] == condition["reason"]
    });
    condition["lastTransitionTime"] = known.map_or_else(|| now().into(), |known| known["lastTransitionTime"].clone());
    json!({"phase": "Pending", "conditions": [condition]})
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn pods() -> &'static Resource {
    // The table is ours, and has pods at this place; the test below holds it.
    &resources::RESOURCES[3]
}

fn pods_of(state: &State, set: &Id) -> Vec<(Id, Arc<Value>)> {
    let all = state.list(pods(), Some(&set.namespace));
    let own = all.filter(|(id, _)| owner_of(state, id).as_ref() == Some(set));
    own.map(|(id, pod)| (id.clone(), Arc::clone(pod))).collect()
}

/// The set that a pod belongs to; also for a pod that has just gone, by its name.
fn owner_of(state: &State, pod: &Id) -> Option<Id> {
    let name = match state.get(pod) {
        Some(pod) => pod["metadata"]["ownerReferences"][0]["name"].as_str()?.to_owned(),
        None => pod.name.rsplit_once('-')?.0.to_owned(),
    };
    let resource = resources::by_kind("apps", "StatefulSet")?;
    Some(Id { resource, namespace: pod.namespace.clone(), name })
}

fn ordinal_of(set: &Id, pod: &Id) -> Option<u64> {
    pod.name.strip_prefix(&set.name)?.strip_prefix('-')?.parse().ok()
}

/// The name of a template's revision: equal templates, equal names.
fn revision_of(set: &Id, template: &Value) -> String {
    let digest = Sha256::digest(template.to_string().as_bytes());
    let text: String = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{text}", set.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_where_they_are_looked_for() {
        assert_eq!(pods().kind, "Pod");
    }
}
