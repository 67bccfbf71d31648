//! What the API server does with the fields of the kinds that we send: which lists it merges by key, which values it
//! compares as quantities, and which empty values it does not store.
//!
//! The tables follow the `x-kubernetes-list-type`, `x-kubernetes-list-map-keys` and `x-kubernetes-map-type` marks of
//! the built-in kinds. A kind of a group that is not built in has only atomic lists, as a CRD without marks has.

use std::fmt;

use serde_json::{Map, Value};

use crate::project::{ObjectKey, Quantity};

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

fn built_in(group: &str) -> bool {
    !group.contains('.') || group.ends_with(".k8s.io")
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

/// Whether two scalars at `path` are the same to the server.
pub(super) fn same_scalar(path: &[Step], desired: &Value, live: &Value) -> bool {
    if desired == live {
        return true;
    }
    if let (Some(desired), Some(live)) = (desired.as_f64(), live.as_f64()) {
        return desired.total_cmp(&live).is_eq();
    }
    is_quantity(path) && matches!((quantity(desired), quantity(live)), (Some(desired), Some(live)) if desired == live)
}

fn quantity(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => Quantity::parse(text).ok(),
        Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn is_quantity(path: &[Step]) -> bool {
    let name = |step: Option<&Step>| match step {
        Some(Step::Field(name)) => name.clone(),
        _ => String::new(),
    };
    if matches!(name(path.last()).as_str(), "sizeLimit" | "divisor" | "averageValue") {
        return true;
    }
    let parent = path.len().checked_sub(2).and_then(|index| path.get(index));
    matches!(
        name(parent).as_str(),
        "requests" | "limits" | "capacity" | "hard" | "overhead" | "default" | "defaultRequest" | "max" | "min"
    )
}

/// Whether the server puts its default in the place of `value` at `path`, as if nothing had been sent.
pub(super) fn stored_as_default(path: &[Step], value: &Value) -> bool {
    let Some(Step::Field(name)) = path.last() else { return false };
    match value {
        Value::String(text) if text.is_empty() => matches!(
            name.as_str(),
            "clusterIP"
                | "concurrencyPolicy"
                | "dnsPolicy"
                | "imagePullPolicy"
                | "podManagementPolicy"
                | "protocol"
                | "restartPolicy"
                | "schedulerName"
                | "sessionAffinity"
                | "terminationMessagePath"
                | "terminationMessagePolicy"
                | "type"
        ),
        Value::Number(number) if number.as_f64() == Some(0.0) => matches!(
            name.as_str(),
            "failureThreshold" | "periodSeconds" | "successThreshold" | "targetPort" | "timeoutSeconds"
        ),
        _ => false,
    }
}

/// Whether the server stores nothing for `value` at `path`, because it is the empty value of a field that is left out
/// when empty. An empty value of an optional (pointer) field is stored, and its absence means something else
/// (`automountServiceAccountToken: false`, `emptyDir: {}`), so those are not in the tables.
pub(super) fn stored_as_nothing(path: &[Step], value: &Value) -> bool {
    let name = match path.last() {
        Some(Step::Field(name)) => name.as_str(),
        _ => "",
    };
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        // A label or a key of a ConfigMap that has an empty value is still there.
        Value::String(text) => {
            text.is_empty() && !matches!(name, "storageClassName" | "ingressClassName") && !of_a_plain_map(path)
        }
        Value::Bool(value) => {
            !value
                && matches!(
                    name,
                    "hostNetwork"
                        | "hostPID"
                        | "hostIPC"
                        | "stdin"
                        | "stdinOnce"
                        | "tty"
                        | "readOnly"
                        | "publishNotReadyAddresses"
                        | "unschedulable"
                )
        }
        Value::Number(number) => {
            number.as_f64() == Some(0.0)
                && matches!(name, "initialDelaySeconds" | "minReadySeconds" | "hostPort" | "nodePort")
        }
        Value::Object(map) if map.is_empty() => {
            is_plain_map(name) || matches!(name, "requests" | "limits" | "overhead" | "selector")
        }
        Value::Object(map) => map.iter().all(|(name, value)| {
            let mut path = path.to_vec();
            path.push(Step::Field(name.clone()));
            stored_as_nothing(&path, value)
        }),
    }
}

fn of_a_plain_map(path: &[Step]) -> bool {
    let parent = path.len().checked_sub(2).and_then(|index| path.get(index));
    matches!(parent, Some(Step::Field(name)) if is_plain_map(name) || name == "selector")
}

/// Whether fields of this name are maps from texts to texts.
fn is_plain_map(name: &str) -> bool {
    matches!(name, "annotations" | "labels" | "matchLabels" | "nodeSelector" | "data" | "binaryData" | "stringData")
}
