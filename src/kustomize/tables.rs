//! Facts about Kubernetes and kustomize that the engine goes by, read once from the files in `tables/`.
//!
//! They are constants in all but form; `tables/README.md` says where they come from and how they are made again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use super::id::Gvk;

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::parse(include_str!("tables/schema.txt")));
static FIELDS: LazyLock<Fields> = LazyLock::new(|| Fields::parse(include_str!("tables/fields.txt")));

/// The merge keys and scopes of Kubernetes v1.21.2.
pub(super) fn schema() -> &'static Schema {
    &SCHEMA
}

/// The default field specifications.
pub(super) fn fields() -> &'static Fields {
    &FIELDS
}

/// How a field of a known type merges.
#[derive(Debug)]
pub(super) enum Property {
    /// A mapping of this type.
    Object(&'static str),
    /// A list whose items are told apart by these keys; no keys for lists of plain values.
    List { keys: Vec<&'static str>, items: &'static str },
}

#[derive(Debug, Default)]
pub(super) struct Schema {
    kinds: BTreeMap<(&'static str, &'static str), &'static str>,
    cluster_scoped: BTreeSet<(&'static str, &'static str)>,
    types: BTreeMap<&'static str, BTreeMap<&'static str, Property>>,
}

impl Schema {
    fn parse(text: &'static str) -> Self {
        let mut schema = Self::default();
        for line in text.lines() {
            let words: Vec<&'static str> = line.split(' ').filter(|word| !word.is_empty()).collect();
            match words.as_slice() {
                ["kind", version, kind, name] => {
                    schema.kinds.insert((version, kind), name);
                }
                ["cluster", version, kind] => {
                    schema.cluster_scoped.insert((version, kind));
                }
                ["type", name, properties @ ..] => {
                    schema.types.insert(name, properties.iter().filter_map(|text| property(text)).collect());
                }
                _ => {}
            }
        }
        schema
    }

    pub(super) fn is_cluster_scoped(&self, api_version: &str, kind: &str) -> bool {
        self.cluster_scoped.contains(&(api_version, kind))
    }

    /// The type of a kind; `None` for kinds that Kubernetes v1.21.2 does not have.
    pub(super) fn kind(&self, api_version: &str, kind: &str) -> Option<&'static str> {
        self.kinds.get(&(api_version, kind)).copied()
    }

    /// How `field` of a type merges; `None` for a value that is replaced.
    pub(super) fn property(&self, name: &str, field: &str) -> Option<&Property> {
        self.types.get(name)?.get(field)
    }
}

/// `field:type` or `field[key,key]type`.
fn property(text: &'static str) -> Option<(&'static str, Property)> {
    match text.split_once('[') {
        Some((field, rest)) => {
            let (keys, items) = rest.split_once(']')?;
            let keys = keys.split(',').filter(|key| !key.is_empty()).collect();
            Some((field, Property::List { keys, items }))
        }
        None => text.split_once(':').map(|(field, name)| (field, Property::Object(name))),
    }
}

/// A field in objects of some kinds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FieldSpec {
    pub(super) gvk: Gvk,
    /// Keys joined by `/`; lists on the way are passed through.
    pub(super) path: String,
    /// Whether an absent field is made.
    pub(super) create: bool,
}

/// Fields that name another object.
#[derive(Debug)]
pub(super) struct Reference {
    /// What is named.
    pub(super) target: Gvk,
    /// Where.
    pub(super) field: FieldSpec,
}

#[derive(Debug, Default)]
pub(super) struct Fields {
    sets: BTreeMap<&'static str, Vec<FieldSpec>>,
    pub(super) references: Vec<Reference>,
}

impl Fields {
    fn parse(text: &'static str) -> Self {
        let mut fields = Self::default();
        for line in text.lines() {
            let words: Vec<&'static str> = line.split(' ').collect();
            match words.as_slice() {
                ["reference", group, version, kind, spec @ ..] => {
                    if let Some(field) = field_spec(spec) {
                        fields.references.push(Reference { target: gvk(group, version, kind), field });
                    }
                }
                [set, spec @ ..] => {
                    if let Some(field) = field_spec(spec) {
                        fields.sets.entry(set).or_default().push(field);
                    }
                }
                [] => {}
            }
        }
        fields
    }

    /// The fields of one transformer, by the name that `tables/fields.txt` gives them.
    pub(super) fn set(&self, name: &str) -> &[FieldSpec] {
        self.sets.get(name).map_or(&[], Vec::as_slice)
    }
}

fn field_spec(words: &[&str]) -> Option<FieldSpec> {
    match words {
        [group, version, kind, create, path] => {
            Some(FieldSpec { gvk: gvk(group, version, kind), path: (*path).to_owned(), create: *create == "create" })
        }
        _ => None,
    }
}

fn gvk(group: &str, version: &str, kind: &str) -> Gvk {
    let word = |text: &str| if text == "-" { String::new() } else { text.to_owned() };
    Gvk { group: word(group), version: word(version), kind: word(kind) }
}

/// Kinds that come first in the output, in this order; all others follow by group, version and kind.
pub(super) const FIRST_KINDS: [&str; 22] = [
    "Namespace",
    "ResourceQuota",
    "StorageClass",
    "CustomResourceDefinition",
    "ServiceAccount",
    "PodSecurityPolicy",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ConfigMap",
    "Secret",
    "Endpoints",
    "Service",
    "LimitRange",
    "PriorityClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
];

/// Kinds that come last.
pub(super) const LAST_KINDS: [&str; 2] = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// Kinds whose names no prefix or suffix changes: (group, kind), an empty group for any.
pub(super) const FIXED_NAMES: [(&str, &str); 3] =
    [("", "CustomResourceDefinition"), ("apiregistration.k8s.io", "APIService"), ("", "Namespace")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_tables_is_understood() {
        let known = |line: &str| line.is_empty() || line.starts_with('#');
        for line in include_str!("tables/schema.txt").lines() {
            assert!(known(line) || ["kind", "cluster", "type"].contains(&line.split(' ').next().unwrap()), "{line}");
        }
        let lines = include_str!("tables/fields.txt").lines().filter(|line| !known(line)).count();
        let parsed = fields().sets.values().map(Vec::len).sum::<usize>() + fields().references.len();
        assert_eq!(lines, parsed);
    }

    #[test]
    fn containers_merge_by_name_and_ports_by_two_keys() {
        let pod = schema().kind("apps/v1", "StatefulSet").unwrap();
        assert_eq!(pod, "apps.v1.StatefulSet");
        let Some(Property::List { keys, items }) = schema().property("core.v1.PodSpec", "containers") else { panic!() };
        assert_eq!((keys.as_slice(), *items), (["name"].as_slice(), "core.v1.Container"));
        let Some(Property::List { keys, .. }) = schema().property("core.v1.Container", "ports") else { panic!() };
        assert_eq!(keys, &["containerPort", "protocol"]);
        assert!(schema().property("core.v1.Container", "args").is_none());
        assert!(schema().property("apps.v1.StatefulSetSpec", "volumeClaimTemplates").is_none());
    }
}
