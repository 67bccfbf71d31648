//! Facts about Kubernetes and kustomize that the engine goes by, read once from the files in `tables/`.
//!
//! They are constants in all but form; `tables/README.md` says where they come from and how they are made again.

use std::sync::{Arc, LazyLock};

use super::schema::Schema;

static SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| Arc::new(Schema::of_table(include_str!("tables/schema.txt"))));

/// The merge keys and scopes of Kubernetes v1.21.2.
pub(super) fn schema() -> &'static Schema {
    &SCHEMA
}

/// As [`schema`], to be kept.
pub(super) fn shared_schema() -> Arc<Schema> {
    Arc::clone(&SCHEMA)
}

/// The lines of the default field specifications, in the words of `tables/README.md`.
pub(super) fn default_fields() -> impl Iterator<Item = Vec<&'static str>> {
    let lines = include_str!("tables/fields.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split(' ').collect())
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
    #[test]
    fn every_line_of_the_tables_is_understood() {
        let known = |line: &str| line.is_empty() || line.starts_with('#');
        for line in include_str!("tables/schema.txt").lines() {
            assert!(known(line) || ["kind", "cluster", "type"].contains(&line.split(' ').next().unwrap()), "{line}");
        }
    }
}
