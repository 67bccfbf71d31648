//! Confinement: a project's objects stay a project's objects.
//!
//! Takes the objects of one project and what the policy allows; gives every violation. What an overlay could do with a
//! cluster beyond its own environment (reach the node, read another project's Secret, take traffic that is meant for the
//! manager) is refused before anything of it is applied.

mod pod;
mod reference;
mod variables;

use std::collections::BTreeSet;

use serde_json::Value;

use super::check::{Context, Violation};
use super::policy::Confinement;
use crate::project::layout::DEFAULT_SECRET;
use crate::project::{PROJECT_LABEL, ProjectName};
use kustomize::Object;

/// The objects that the manager itself runs on begin with this.
const MANAGER: &str = "claude-manager";
/// Further names that no project may take.
const RESERVED: [&str; 2] = [DEFAULT_SECRET, "kube-root-ca.crt"];
/// Labels by which Services find the manager's own pods.
const MANAGER_LABELS: [&str; 2] = ["app", "app.kubernetes.io/name"];

/// Every rule of confinement that the objects of `project` break.
pub(super) fn confine(project: &ProjectName, objects: &[Object], context: &Context<'_>) -> Vec<Violation> {
    let confinement = context.policy.confinement_of(project);
    let own: BTreeSet<(&str, &str)> =
        objects.iter().map(|object| (object.key.kind.as_str(), object.key.name.as_str())).collect();
    let names = reference::Names { project, projects: context.projects, own: &own, shared: &confinement.shared };
    let mut found = Vec::new();
    for object in objects {
        let mut problems = Problems { object, found: &mut found };
        if !kind(&confinement, &mut problems) {
            continue;
        }
        name(&mut problems);
        secret_type(&object.value, &mut problems);
        selectors(project, &mut problems);
        service(&mut problems);
        if let Some(pod) = pod::Template::of(object) {
            pod::check(&pod, &confinement, &mut problems);
            variables::check(&pod, objects, &confinement, &mut problems);
            template_labels(project, &pod, &mut problems);
        }
        reference::check(&names, &mut problems);
    }
    found
}

/// Violations of one object.
struct Problems<'a> {
    object: &'a Object,
    found: &'a mut Vec<Violation>,
}

impl Problems<'_> {
    fn add(&mut self, problem: impl Into<String>, hint: &'static str) {
        self.found.push(Violation { key: self.object.key.clone(), problem: problem.into(), hint });
    }
}

/// Whether the policy has the kind, which it writes as `StatefulSet.apps`.
fn kind(confinement: &Confinement, problems: &mut Problems<'_>) -> bool {
    let key = &problems.object.key;
    let kind = if key.group.is_empty() { key.kind.clone() } else { format!("{}.{}", key.kind, key.group) };
    let allowed = confinement.kinds.contains(&kind);
    if !allowed {
        problems.add(
            format!("projects may not have objects of the kind {kind}"),
            "remove it, or have an administrator add the kind to policy.kinds in claude-manager.yaml",
        );
    }
    allowed
}

fn name(problems: &mut Problems<'_>) {
    let name = &problems.object.key.name;
    if name.starts_with(MANAGER) || RESERVED.contains(&name.as_str()) {
        problems.add(
            format!("the name {name} is kept for the manager's own objects"),
            "give it another name; with the overlay's namePrefix it begins with the project's",
        );
    }
}

/// Why a Secret is not allowed by its type: some make the cluster hand out credentials of others.
#[must_use]
pub fn secret_type_problem(secret: &Value) -> Option<String> {
    let kind = secret.get("type")?.as_str()?;
    matches!(kind, "kubernetes.io/service-account-token" | "bootstrap.kubernetes.io/token")
        .then(|| format!("a Secret of the type {kind} would hold credentials for the cluster"))
}

fn secret_type(value: &Value, problems: &mut Problems<'_>) {
    let key = &problems.object.key;
    if key.kind == "Secret"
        && key.group.is_empty()
        && let Some(problem) = secret_type_problem(value)
    {
        problems.add(problem, "remove it");
    }
}

/// Objects that select pods select the project's own: by the label that the overlay gives.
fn selectors(project: &ProjectName, problems: &mut Problems<'_>) {
    let object = problems.object;
    let key = &object.key;
    let labels = |pointer: &str| object.value.pointer(pointer).and_then(Value::as_object);
    let selected = match (key.group.as_str(), key.kind.as_str()) {
        // Without a selector nothing is selected.
        ("", "Service") => match labels("/spec/selector") {
            None => return,
            Some(selector) if selector.is_empty() => return,
            selector => selector,
        },
        ("networking.k8s.io", "NetworkPolicy") => labels("/spec/podSelector/matchLabels"),
        ("policy", "PodDisruptionBudget") => labels("/spec/selector/matchLabels"),
        ("apps", _) => labels("/spec/selector/matchLabels"),
        _ => return,
    };
    let selected = selected.and_then(|labels| labels.get(PROJECT_LABEL)).and_then(Value::as_str);
    if selected != Some(project.as_str()) {
        let which = selected.map_or_else(|| "all pods".to_owned(), |other| format!("the pods of {other}"));
        problems.add(
            format!("its selector is not bound to {PROJECT_LABEL}: {project}, so that it is about {which}"),
            "let the overlay's `labels` set the label with includeSelectors: true, and change no selector",
        );
    }
}

fn template_labels(project: &ProjectName, pod: &pod::Template<'_>, problems: &mut Problems<'_>) {
    let label = |key: &str| pod.metadata.and_then(|metadata| metadata.get("labels")?.get(key)?.as_str());
    if label(PROJECT_LABEL) != Some(project.as_str()) {
        problems.add(
            format!("its pods do not carry the label {PROJECT_LABEL}: {project}, so that no network policy holds them"),
            "let the overlay's `labels` set it with includeSelectors: true",
        );
    }
    if let Some(key) = MANAGER_LABELS.into_iter().find(|key| label(key) == Some(MANAGER)) {
        problems.add(
            format!("its pods carry the label {key}: {MANAGER}, by which the manager's own are found"),
            "take the label off the pod template",
        );
    }
}

fn service(problems: &mut Problems<'_>) {
    let key = &problems.object.key;
    if !(key.group.is_empty() && key.kind == "Service") {
        return;
    }
    let spec = &problems.object.value["spec"];
    if spec["externalIPs"].as_array().is_some_and(|addresses| !addresses.is_empty()) {
        problems.add("spec.externalIPs would take traffic that is meant for others", "remove spec.externalIPs");
    }
    if spec["type"] == "ExternalName" {
        problems.add(
            "a Service of the type ExternalName leads out of the project",
            "remove it, and use the name that it stands for",
        );
    }
}

#[cfg(test)]
mod tests;
