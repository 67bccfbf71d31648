//! Which values the API server stores in another form than they are sent: quantities, defaults in the place of empty
//! values, and empty values that it leaves out.
//!
//! Looked up by the whole path of a field in a built-in kind, for the detection of drift alone: a change in Git is told by
//! the hash of what is sent. In a custom resource, and in a map of texts such as the data of a ConfigMap, every value is
//! stored as it is sent, however its name reads.

use serde_json::Value;

use super::field::{self, Step};
use crate::project::{ObjectKey, Quantity};

/// Whether two scalars at `path` are the same to the server.
pub(super) fn is_same(key: &ObjectKey, path: &[Step], desired: &Value, live: &Value) -> bool {
    if desired == live {
        return true;
    }
    if let (Value::Number(desired), Value::Number(live)) = (desired, live) {
        // Whole numbers that differ may still be the same as floating-point ones.
        let is_whole = |number: &serde_json::Number| number.is_i64() || number.is_u64();
        let both = desired.as_f64().zip(live.as_f64());
        return !(is_whole(desired) && is_whole(live))
            && both.is_some_and(|(desired, live)| desired.total_cmp(&live).is_eq());
    }
    matches!((quantity(desired), quantity(live)), (Some(desired), Some(live)) if desired == live)
        && Place::of(key, path).is_some_and(|place| place.is_one_of(QUANTITIES))
}

fn quantity(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => Quantity::parse(text).ok(),
        Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whether the server puts its default in the place of `value` at `path`, as if nothing had been sent.
pub(super) fn as_default(key: &ObjectKey, path: &[Step], value: &Value) -> bool {
    let table = match value {
        Value::String(text) if text.is_empty() => EMPTY_TEXT_IS_DEFAULT,
        Value::Number(number) if number.as_f64() == Some(0.0) => ZERO_IS_DEFAULT,
        _ => return false,
    };
    Place::of(key, path).is_some_and(|place| place.is_one_of(table))
}

/// Whether the server stores nothing for `value` at `path`, because it is the empty value of a field that is left out
/// when empty. An empty value of an optional (pointer) field is stored, and its absence means something else
/// (`automountServiceAccountToken: false`, `emptyDir: {}`), so those are not in the tables.
pub(super) fn as_nothing(key: &ObjectKey, path: &[Step], value: &Value) -> bool {
    if value.is_null() {
        return true;
    }
    let Some(place) = Place::of(key, path) else { return false };
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty() && !place.is_in_map_of_texts(),
        Value::String(text) => text.is_empty() && !place.is_in_map_of_texts() && !place.is_one_of(EMPTY_TEXT_IS_STORED),
        Value::Bool(value) => !value && place.is_one_of(FALSE_IS_NOTHING),
        Value::Number(number) => number.as_f64() == Some(0.0) && place.is_one_of(ZERO_IS_NOTHING),
        Value::Object(map) if map.is_empty() => place.is_map_of_texts() || place.is_one_of(EMPTY_MAP_IS_NOTHING),
        Value::Object(map) => map.iter().all(|(name, value)| {
            let mut path = path.to_vec();
            path.push(Step::Field(name.clone()));
            as_nothing(key, &path, value)
        }),
    }
}

/// A field of a built-in kind, or of the metadata of any: its names from the top, without the elements of lists. A pod's
/// fields begin with `POD`, wherever the kind has its pod.
struct Place<'a> {
    kind: &'a str,
    names: Vec<&'a str>,
}

/// Stands for the way to the spec of a pod.
const POD: &str = "POD";

/// The kinds that make pods, with the way to the spec of the pod.
const POD_SPECS: [(&str, &[&str]); 10] = [
    ("Pod", &["spec"]),
    ("PodTemplate", &["template", "spec"]),
    ("CronJob", &["spec", "jobTemplate", "spec", "template", "spec"]),
    ("DaemonSet", IN_TEMPLATE),
    ("Deployment", IN_TEMPLATE),
    ("Job", IN_TEMPLATE),
    ("ReplicaSet", IN_TEMPLATE),
    ("ReplicationController", IN_TEMPLATE),
    ("StatefulSet", IN_TEMPLATE),
    ("ControllerRevision", &["data", "spec", "template", "spec"]),
];
const IN_TEMPLATE: &[&str] = &["spec", "template", "spec"];

impl<'a> Place<'a> {
    /// `None` where every value is stored as it is sent.
    fn of(key: &'a ObjectKey, path: &'a [Step]) -> Option<Self> {
        let names = path.iter().filter_map(|step| match step {
            Step::Field(name) => Some(name.as_str()),
            Step::Keyed(_) | Step::Member(_) | Step::Index(_) => None,
        });
        let mut names: Vec<&str> = names.collect();
        if !field::built_in(&key.group) && names.first() != Some(&"metadata") {
            return None;
        }
        let pod = POD_SPECS.iter().find(|(kind, _)| *kind == key.kind).map(|(_, way)| *way);
        if let Some(way) = pod.filter(|way| names.starts_with(way)) {
            names.splice(..way.len(), [POD]);
        }
        Some(Self { kind: &key.kind, names })
    }

    /// Whether one of these patterns fits: a kind or `*`, and the names, of which `*` is any one.
    fn is_one_of(&self, patterns: &[(&str, &str)]) -> bool {
        patterns.iter().any(|(kind, pattern)| {
            let mut names = self.names.iter();
            (*kind == "*" || *kind == self.kind)
                && pattern.split('.').all(|wanted| names.next().is_some_and(|name| is_match(wanted, name)))
                && names.next().is_none()
        })
    }

    /// Whether this is a map of texts, whose keys people choose.
    fn is_map_of_texts(&self) -> bool {
        match self.names.as_slice() {
            ["data" | "binaryData" | "stringData"] => matches!(self.kind, "ConfigMap" | "Secret"),
            [.., "metadata", "labels" | "annotations"] | [.., "matchLabels"] => true,
            [POD, "nodeSelector"] | [POD, "volumes", "csi", "volumeAttributes"] => true,
            [POD, "volumes", "flexVolume", "options"] | ["parameters"] => true,
            ["spec", "selector"] => matches!(self.kind, "Service" | "ReplicationController"),
            _ => false,
        }
    }

    fn is_in_map_of_texts(&self) -> bool {
        let above = self.names.split_last().map(|(_, above)| above.to_vec()).unwrap_or_default();
        Self { kind: self.kind, names: above }.is_map_of_texts()
    }
}

/// `*` is any name, and `a|b` one of these.
fn is_match(wanted: &str, name: &str) -> bool {
    wanted == "*" || wanted.split('|').any(|one| one == name)
}

const QUANTITIES: &[(&str, &str)] = &[
    ("*", "POD.containers|initContainers|ephemeralContainers.resources.requests|limits.*"),
    ("*", "POD.containers|initContainers|ephemeralContainers.env.valueFrom.resourceFieldRef.divisor"),
    ("*", "POD.resources.requests|limits.*"),
    ("*", "POD.overhead.*"),
    ("*", "POD.volumes.emptyDir.sizeLimit"),
    ("*", "POD.volumes.downwardAPI.items.resourceFieldRef.divisor"),
    ("*", "POD.volumes.projected.sources.downwardAPI.items.resourceFieldRef.divisor"),
    ("*", "POD.volumes.ephemeral.volumeClaimTemplate.spec.resources.requests|limits.*"),
    ("StatefulSet", "spec.volumeClaimTemplates.spec.resources.requests|limits.*"),
    ("PersistentVolumeClaim", "spec.resources.requests|limits.*"),
    ("PersistentVolume", "spec.capacity.*"),
    ("ResourceQuota", "spec.hard.*"),
    ("LimitRange", "spec.limits.default|defaultRequest|max|min|maxLimitRequestRatio.*"),
    ("HorizontalPodAutoscaler", "spec.metrics.*.target.averageValue|value"),
    ("RuntimeClass", "overhead.podFixed.*"),
];

const EMPTY_TEXT_IS_DEFAULT: &[(&str, &str)] = &[
    ("*", "POD.dnsPolicy|restartPolicy|schedulerName"),
    ("*", "POD.containers|initContainers|ephemeralContainers.imagePullPolicy"),
    ("*", "POD.containers|initContainers|ephemeralContainers.terminationMessagePath|terminationMessagePolicy"),
    ("*", "POD.containers|initContainers|ephemeralContainers.ports.protocol"),
    ("*", "POD.containers|initContainers.livenessProbe|readinessProbe|startupProbe.httpGet.scheme"),
    ("*", "POD.containers|initContainers|ephemeralContainers.env.valueFrom.fieldRef.apiVersion"),
    ("CronJob", "spec.concurrencyPolicy"),
    ("DaemonSet", "spec.updateStrategy.type"),
    ("Deployment", "spec.strategy.type"),
    ("Secret", "type"),
    ("Service", "spec.clusterIP|sessionAffinity|type"),
    ("Service", "spec.ports.protocol"),
    ("StatefulSet", "spec.podManagementPolicy"),
    ("StatefulSet", "spec.updateStrategy.type"),
];

const ZERO_IS_DEFAULT: &[(&str, &str)] = &[
    (
        "*",
        "POD.containers|initContainers.livenessProbe|readinessProbe|startupProbe\
         .failureThreshold|periodSeconds|successThreshold|timeoutSeconds",
    ),
    ("Service", "spec.ports.targetPort"),
];

const ZERO_IS_NOTHING: &[(&str, &str)] = &[
    ("*", "POD.containers|initContainers.livenessProbe|readinessProbe|startupProbe.initialDelaySeconds"),
    ("*", "POD.containers|initContainers|ephemeralContainers.ports.hostPort"),
    ("DaemonSet", "spec.minReadySeconds"),
    ("Deployment", "spec.minReadySeconds"),
    ("Service", "spec.ports.nodePort"),
    ("StatefulSet", "spec.minReadySeconds"),
];

const FALSE_IS_NOTHING: &[(&str, &str)] = &[
    ("*", "POD.hostIPC|hostNetwork|hostPID"),
    ("*", "POD.containers|initContainers|ephemeralContainers.stdin|stdinOnce|tty"),
    ("*", "POD.containers|initContainers|ephemeralContainers.volumeMounts.readOnly"),
    ("*", "POD.volumes.cephfs|flexVolume|gcePersistentDisk|glusterfs|iscsi|nfs|persistentVolumeClaim|rbd.readOnly"),
    ("Deployment", "spec.paused"),
    ("Service", "spec.publishNotReadyAddresses"),
];

const EMPTY_MAP_IS_NOTHING: &[(&str, &str)] = &[
    ("*", "POD.containers|initContainers|ephemeralContainers.resources.requests|limits"),
    ("*", "POD.overhead"),
    ("PersistentVolumeClaim", "spec.resources.requests|limits"),
    ("StatefulSet", "spec.volumeClaimTemplates.spec.resources.requests|limits"),
];

/// Of fields whose absence means another thing than the empty text.
const EMPTY_TEXT_IS_STORED: &[(&str, &str)] = &[
    ("Ingress", "spec.ingressClassName"),
    ("PersistentVolumeClaim", "spec.storageClassName"),
    ("StatefulSet", "spec.volumeClaimTemplates.spec.storageClassName"),
    ("*", "POD.volumes.ephemeral.volumeClaimTemplate.spec.storageClassName"),
];

#[cfg(test)]
mod tests;
