//! How the API server merges the lists and maps of the kinds that we send.
//!
//! The tables follow the `x-kubernetes-list-type`, `x-kubernetes-list-map-keys` and `x-kubernetes-map-type` marks of
//! the built-in kinds. A kind of a group that is not built in has only atomic lists, as a CRD without marks has.

use std::fmt;

use serde_json::{Map, Value};

use crate::project::ObjectKey;

/// One step into an object.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// A member of a map.
    Field(String),
    /// The element of a list whose key fields have these values.
    Keyed(Vec<(String, Value)>),
    /// The element of a set.
    Member(Value),
    /// The element of an atomic list.
    Index(usize),
}

/// A place in an object, for people: `spec.template.spec.containers[name=agent].image`.
pub(super) struct Path<'a>(pub(super) &'a [Step]);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Field(name) if plain(name) => {
                    f.write_str(if position == 0 { "" } else { "." })?;
                    f.write_str(name)?;
                }
                Step::Field(name) => write!(f, "[{name:?}]")?,
                Step::Keyed(keys) => {
                    f.write_str("[")?;
                    for (position, (name, value)) in keys.iter().enumerate() {
                        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                        write!(f, "{}{name}={text}", if position == 0 { "" } else { "," })?;
                    }
                    f.write_str("]")?;
                }
                Step::Member(value) => write!(f, "[{value}]")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Whether a name reads well between dots; label and annotation names, with their own dots, do not.
fn plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$'))
}

/// How the server merges a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    /// Elements are told apart by these fields.
    Map(&'static [&'static str]),
    /// Elements are told apart by their value.
    Set,
    /// The list is one value.
    Atomic,
}

/// How the server merges the list at `path` of an object of this kind.
pub(super) fn list(key: &ObjectKey, path: &[Step]) -> List {
    let Some(Step::Field(name)) = path.last() else { return List::Atomic };
    let name = name.as_str();
    match (name, path.len()) {
        ("finalizers", 2) => return List::Set,
        ("ownerReferences", 2) => return List::Map(&["uid"]),
        _ => {}
    }
    if !built_in(&key.group) {
        return List::Atomic;
    }
    match name {
        "containers" | "initContainers" | "ephemeralContainers" | "volumes" | "env" | "resourceClaims" | "claims" => {
            List::Map(&["name"])
        }
        "volumeMounts" => List::Map(&["mountPath"]),
        "volumeDevices" => List::Map(&["devicePath"]),
        "hostAliases" => List::Map(&["ip"]),
        "topologySpreadConstraints" => List::Map(&["topologyKey", "whenUnsatisfiable"]),
        "imagePullSecrets" if key.kind != "ServiceAccount" => List::Map(&["name"]),
        "secrets" if key.kind == "ServiceAccount" => List::Map(&["name"]),
        "ports" if key.kind == "Service" => List::Map(&["port", "protocol"]),
        "ports" if of_a_container(path) => List::Map(&["containerPort", "protocol"]),
        _ => List::Atomic,
    }
}

/// Whether the map at `path` is one value for the server, owned by one manager as a whole.
pub(super) fn atomic_map(key: &ObjectKey, path: &[Step]) -> bool {
    let Some(Step::Field(name)) = path.last() else { return false };
    built_in(&key.group)
        && match name.as_str() {
            "nodeSelector" | "labelSelector" | "podSelector" | "namespaceSelector" | "objectSelector" => true,
            "secretKeyRef" | "configMapKeyRef" | "fieldRef" | "resourceFieldRef" | "localObjectReference" => true,
            // Of a workload, a claim, a budget or a Service: in each of them one value.
            "selector" => path.len() == 2,
            _ => false,
        }
}

fn of_a_container(path: &[Step]) -> bool {
    let Some(Step::Field(name)) = path.len().checked_sub(3).and_then(|index| path.get(index)) else { return false };
    matches!(name.as_str(), "containers" | "initContainers" | "ephemeralContainers")
}

/// The API groups of Kubernetes itself. Every other group is of custom resources, whatever its name ends in.
const BUILT_IN: [&str; 22] = [
    "",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];

/// Whether a group is one of Kubernetes itself.
pub(super) fn built_in(group: &str) -> bool {
    BUILT_IN.contains(&group)
}

/// The values of an element's key fields, with the server's default where the element leaves one out.
pub(super) fn key_of(element: &Value, fields: &[&str]) -> Vec<(String, Value)> {
    let value_of = |field: &&str| match element.get(*field) {
        Some(value) if !value.is_null() => value.clone(),
        _ if *field == "protocol" => Value::from("TCP"),
        _ => Value::Null,
    };
    fields.iter().map(|field| ((*field).to_owned(), value_of(field))).collect()
}

/// Whether an element of a list has these key values.
pub(super) fn has_key(element: &Value, keys: &Map<String, Value>) -> bool {
    keys.iter().all(|(field, wanted)| match element.get(field) {
        Some(value) if !value.is_null() => value == wanted,
        _ => field == "protocol" && wanted == "TCP",
    })
}
