//! Sets of fields, as `managedFields` has them: who owns what.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::schema::{Identity, Schema, Type};

/// A set of fields of an object, as a tree. The names are those of `fieldsV1`: `f:spec`, `k:{"name":"agent"}`, `v:"x"`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct FieldSet {
    /// Whether the value at this place is in the set, beside what is below.
    member: bool,
    below: BTreeMap<String, FieldSet>,
}

impl FieldSet {
    /// The fields that somebody owns who applies `object`. What every object has (its kind, name and the server's
    /// bookkeeping) is owned by nobody, and so is `status`.
    pub(super) fn of_applied(schema: &Schema, ty: &Type, object: &Value) -> Self {
        let mut set = Self::default();
        set.add(schema, ty, object);
        for name in ["f:apiVersion", "f:kind", "f:status"] {
            set.below.remove(name);
        }
        if let Some(metadata) = set.below.get_mut("f:metadata") {
            for name in [
                "name",
                "namespace",
                "uid",
                "resourceVersion",
                "generation",
                "creationTimestamp",
                "managedFields",
                "selfLink",
                "deletionTimestamp",
                "deletionGracePeriodSeconds",
            ] {
                metadata.below.remove(&format!("f:{name}"));
            }
            if metadata.below.is_empty() {
                set.below.remove("f:metadata");
            }
        }
        set
    }

    fn add(&mut self, schema: &Schema, ty: &Type, value: &Value) {
        if ty.is_leaf() {
            self.member = true;
            return;
        }
        match (ty, value) {
            (Type::Struct { .. } | Type::Map { .. }, Value::Object(map)) => {
                for (key, value) in map {
                    let Some(inner) = schema.below(ty, key) else { continue };
                    let below = self.below.entry(format!("f:{key}")).or_default();
                    // An empty map has nothing below to be known by; an entry of a free map is known by its key.
                    let empty = value.as_object().is_some_and(Map::is_empty);
                    below.member |= empty || value.is_null() || matches!(ty, Type::Map { .. });
                    below.add(schema, &inner, value);
                    if !below.member && below.below.is_empty() {
                        self.below.remove(&format!("f:{key}"));
                    }
                }
            }
            (Type::List { item, by }, Value::Array(list)) => {
                for value in list {
                    let Some(step) = step(schema, item, by, value) else { continue };
                    let below = self.below.entry(step).or_default();
                    below.member = true;
                    if matches!(by, Identity::Keys(_)) {
                        below.add(schema, item, value);
                    }
                }
            }
            _ => {}
        }
    }

    /// The fields in which `new` differs from `old`, as leaves.
    pub(super) fn of_difference(schema: &Schema, ty: &Type, old: &Value, new: &Value) -> Self {
        let mut set = Self::default();
        set.compare(schema, ty, old, new);
        set
    }

    fn compare(&mut self, schema: &Schema, ty: &Type, old: &Value, new: &Value) {
        if old == new {
            return;
        }
        if ty.is_leaf() || old.is_null() || new.is_null() {
            self.member = true;
            if !ty.is_leaf() {
                self.add(schema, ty, if new.is_null() { old } else { new });
            }
            return;
        }
        match ty {
            Type::Struct { .. } | Type::Map { .. } => {
                for key in keys(old).chain(keys(new)) {
                    let Some(inner) = schema.below(ty, key) else { continue };
                    let mut below = Self::default();
                    below.compare(schema, &inner, &old[key], &new[key]);
                    if below.member || !below.below.is_empty() {
                        self.below.insert(format!("f:{key}"), below);
                    }
                }
            }
            Type::List { item, by } => {
                let index = |list: &Value| -> BTreeMap<String, Value> {
                    let items = list.as_array().into_iter().flatten();
                    items.filter_map(|value| Some((step(schema, item, by, value)?, value.clone()))).collect()
                };
                let (old, new) = (index(old), index(new));
                for name in old.keys().chain(new.keys()) {
                    let mut below = Self::default();
                    let none = Value::Null;
                    below.compare(schema, item, old.get(name).unwrap_or(&none), new.get(name).unwrap_or(&none));
                    if below.member || !below.below.is_empty() {
                        self.below.insert(name.clone(), below);
                    }
                }
            }
            Type::Scalar(_) | Type::Quantity | Type::IntOrString | Type::Any => {}
        }
    }

    /// What is below one step.
    pub(super) fn at(&self, step: &str) -> Option<&Self> {
        self.below.get(step)
    }

    /// Whether the value at this place is in the set.
    pub(super) fn is_member(&self) -> bool {
        self.member
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        !self.member && self.below.values().all(Self::is_empty)
    }

    /// The paths that are in both, as the API server writes them in messages.
    pub(super) fn common(&self, other: &Self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect_common(other, "", &mut paths);
        paths
    }

    /// In the API server's order: what is at one level first, then what is below.
    fn collect_common(&self, other: &Self, path: &str, paths: &mut Vec<String>) {
        let both: Vec<(String, &Self, &Self)> = self
            .below
            .iter()
            .filter_map(|(step, below)| Some((format!("{path}{}", readable(step)), below, other.below.get(step)?)))
            .collect();
        paths.extend(both.iter().filter(|(_, one, two)| one.member && two.member).map(|(path, _, _)| path.clone()));
        for (path, one, two) in both {
            one.collect_common(two, &path, paths);
        }
    }

    /// Takes out what is in `other`.
    pub(super) fn remove(&mut self, other: &Self) {
        self.member &= !other.member;
        for (step, below) in &other.below {
            if let Some(own) = self.below.get_mut(step) {
                own.remove(below);
                if own.is_empty() {
                    self.below.remove(step);
                }
            }
        }
    }

    /// Leaves out what is nowhere in `existing`.
    pub(super) fn retain(&mut self, existing: &Self) {
        self.below.retain(|step, below| match existing.below.get(step) {
            Some(existing) => {
                below.retain(existing);
                !below.is_empty()
            }
            None => false,
        });
    }

    /// Adds what is in `other`.
    pub(super) fn unite(&mut self, other: &Self) {
        self.member |= other.member;
        for (step, below) in &other.below {
            self.below.entry(step.clone()).or_default().unite(below);
        }
    }

    /// Reads `fieldsV1`.
    pub(super) fn from_json(value: &Value) -> Self {
        let Some(map) = value.as_object() else { return Self::default() };
        let below: BTreeMap<String, Self> = map
            .iter()
            .filter(|(step, _)| *step != ".")
            .map(|(step, value)| (step.clone(), Self::from_json(value)))
            .collect();
        Self { member: map.contains_key(".") || below.is_empty(), below }
    }

    /// Writes `fieldsV1`.
    pub(super) fn to_json(&self) -> Value {
        let mut map = Map::new();
        if self.member && !self.below.is_empty() {
            map.insert(".".to_owned(), Value::Object(Map::new()));
        }
        for (step, below) in &self.below {
            map.insert(step.clone(), below.to_json());
        }
        Value::Object(map)
    }
}

/// The name of an item in a set.
pub(super) fn step(schema: &Schema, item: &Type, by: &Identity, value: &Value) -> Option<String> {
    match by {
        Identity::Atomic => None,
        Identity::Value => Some(format!("v:{value}")),
        Identity::Keys(keys) => {
            let identity = schema.identity(item, keys, value);
            let parts: Vec<String> = identity.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
            Some(format!("k:{{{}}}", parts.join(",")))
        }
    }
}

/// `f:spec` as `.spec`, `k:{"name":"x"}` as `[name="x"]`.
fn readable(step: &str) -> String {
    if let Some(name) = step.strip_prefix("f:") {
        return format!(".{name}");
    }
    if let Some(value) = step.strip_prefix("v:") {
        return format!("[={value}]");
    }
    let keys: Map<String, Value> =
        step.strip_prefix("k:").and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    let parts: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("[{}]", parts.join(","))
}

fn keys(value: &Value) -> impl Iterator<Item = &str> {
    value.as_object().into_iter().flat_map(|map| map.keys().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(value: &Value) -> FieldSet {
        FieldSet::of_applied(&Schema::new(), &Type::named("StatefulSet"), value)
    }

    #[test]
    fn a_set_is_written_and_read_as_the_api_server_does() {
        let object = json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "x", "labels": {"a": "b"}},
            "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"spec": {
                "containers": [{"name": "agent", "args": ["x"], "ports": [{"containerPort": 1}]}],
                "volumes": [{"name": "tmp", "emptyDir": {}}]}}},
        });
        let json = set(&object).to_json();
        assert_eq!(
            json,
            json!({
                "f:metadata": {"f:labels": {"f:a": {}}},
                "f:spec": {"f:selector": {}, "f:template": {"f:spec": {
                    "f:containers": {"k:{\"name\":\"agent\"}": {".": {}, "f:name": {}, "f:args": {},
                        "f:ports": {"k:{\"containerPort\":1,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}}},
                    "f:volumes": {"k:{\"name\":\"tmp\"}": {".": {}, "f:name": {}, "f:emptyDir": {}}}}}},
            })
        );
        assert_eq!(FieldSet::from_json(&json), set(&object));
    }

    #[test]
    fn a_difference_names_the_leaves_that_changed() {
        let old = json!({"spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b"}]}}}});
        let new = json!({"spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "b"}, {"name": "a", "image": "2"}]}}}});
        let difference = FieldSet::of_difference(&Schema::new(), &Type::named("StatefulSet"), &old, &new);
        assert_eq!(difference.common(&set(&new)), [".spec.template.spec.containers[name=\"a\"].image"]);
    }
}
