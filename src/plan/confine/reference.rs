//! Whose objects a project's objects refer to.
//!
//! Looks for the fields by which Kubernetes objects name Secrets, ConfigMaps, ServiceAccounts, volume claims and Services,
//! wherever they stand in an object: a place that a newer API adds under the same name is found, too.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Problems;
use crate::project::ProjectName;

/// What may be named.
pub(super) struct Names<'a> {
    pub(super) project: &'a ProjectName,
    pub(super) projects: &'a BTreeSet<ProjectName>,
    pub(super) own: &'a BTreeSet<(&'a str, &'a str)>,
    pub(super) shared: &'a BTreeSet<(String, String)>,
}

impl Names<'_> {
    /// Whether the project may refer to this object. What begins with its name is its own although Git does not have it
    /// (a certificate that a controller makes), unless it begins with the longer name of another project.
    fn allows(&self, kind: &str, name: &str) -> bool {
        let is_own = || {
            let rest = name.strip_prefix(self.project.as_str());
            rest.is_some_and(|rest| rest.starts_with('-')) && !self.is_of_longer(name)
        };
        self.own.contains(&(kind, name)) || is_own() || self.shared.contains(&(kind.to_owned(), name.to_owned()))
    }

    /// Whether an object's name begins with the name of a project that is longer than this one's. The parts of the name are
    /// looked up: asking each project would cost a fleet its square.
    fn is_of_longer(&self, name: &str) -> bool {
        let starts = name.match_indices('-').map(|(at, _)| &name[..at]);
        starts.filter(|start| start.len() > self.project.as_str().len()).any(|start| self.projects.contains(start))
    }
}

/// Adds the references that lead out of the project.
pub(super) fn check(names: &Names<'_>, problems: &mut Problems<'_>) {
    let mut found = BTreeSet::new();
    for (field, value) in problems.object.value.as_object().into_iter().flatten() {
        // Content, not references.
        if !matches!(field.as_str(), "metadata" | "data" | "stringData" | "binaryData" | "status") {
            walk(field, value, &mut found);
        }
    }
    for (kind, name) in found {
        if !names.allows(kind, &name) {
            problems.add(
                format!("it refers to {kind} {name}, which is not the project's"),
                "name an object of the overlay (kustomize puts the project's name before it), or have an administrator add it to policy.shared in claude-manager.yaml",
            );
        }
    }
}

/// Collects what the value of `field`, and everything in it, refers to.
fn walk(field: &str, value: &Value, found: &mut BTreeSet<(&'static str, String)>) {
    match value {
        Value::Array(elements) => elements.iter().for_each(|element| walk(field, element, found)),
        Value::Object(members) => {
            if let Some(kind) = kind_by_name(field)
                && let Some(name) = members.get("name").and_then(Value::as_str)
            {
                found.insert((kind, name.to_owned()));
            }
            if matches!(field, "dataSource" | "dataSourceRef" | "scaleTargetRef") {
                target(members, found);
            }
            members.iter().for_each(|(name, value)| walk(name, value, found));
        }
        Value::String(name) if !name.is_empty() => {
            if let Some(kind) = kind_by_text(field) {
                found.insert((kind, name.clone()));
            }
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Fields whose value is an object with the name in `name`.
fn kind_by_name(field: &str) -> Option<&'static str> {
    match field {
        "secretKeyRef" | "secret" | "secrets" | "imagePullSecrets" => Some("Secret"),
        field if field.ends_with("secretRef") || field.ends_with("SecretRef") => Some("Secret"),
        "configMapRef" | "configMapKeyRef" | "configMap" => Some("ConfigMap"),
        "service" => Some("Service"),
        _ => None,
    }
}

/// Fields whose value is the name.
fn kind_by_text(field: &str) -> Option<&'static str> {
    match field {
        "secretName" => Some("Secret"),
        "claimName" => Some("PersistentVolumeClaim"),
        "serviceAccountName" | "serviceAccount" => Some("ServiceAccount"),
        _ => None,
    }
}

/// An object that says its kind.
fn target(members: &serde_json::Map<String, Value>, found: &mut BTreeSet<(&'static str, String)>) {
    let text = |name: &str| members.get(name).and_then(Value::as_str).unwrap_or_default();
    let kind = match text("kind") {
        "PersistentVolumeClaim" => "PersistentVolumeClaim",
        "VolumeSnapshot" => "VolumeSnapshot",
        "StatefulSet" => "StatefulSet",
        "Deployment" => "Deployment",
        _ => return,
    };
    found.insert((kind, text("name").to_owned()));
    if !text("namespace").is_empty() {
        found.insert((kind, format!("{}/{}", text("namespace"), text("name"))));
    }
}
