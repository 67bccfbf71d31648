//! A new project: its overlay, its line in the root, its secrets.

use crate::project::layout::{name_prefix, secret_name, secrets_path, tombstone_path};
use crate::project::{ChangeSet, Files, Image, NewProject, Overlaid, ProjectSpec, Quantity, Storage, Unit};
use kustomize::Memo;
use kustomize::yaml::edit::scalar;

use super::check::Checks;
use super::{EditError, current, exists, overlay_path, root};

pub(super) fn create(
    files: &dyn Files,
    new: &NewProject,
    secrets: Option<Vec<u8>>,
    memo: &Memo,
) -> Result<ChangeSet, EditError> {
    let name = &new.short_name;
    check(new)?;
    if exists(files, &overlay_path(name))? {
        return Err(EditError::AlreadyExists(name.clone()));
    }
    let mut changes = ChangeSet::default();
    changes.write(overlay_path(name), overlay(new));
    root::list(files, name, &mut changes)?;
    if let Some(secrets) = secrets.filter(|secrets| !secrets.is_empty()) {
        changes.write(secrets_path(&Unit::Project(name.clone())), secrets);
    }
    // The volumes of an earlier project of this name are this one's now.
    if exists(files, &tombstone_path(name))? {
        changes.remove(tombstone_path(name));
    }
    let made = current(&Overlaid { base: files, changes: &changes }, name, memo)?;
    let mut wanted = spec(new);
    // Resources that are not given are the base's.
    wanted.resources.cpu = wanted.resources.cpu.or_else(|| made.resources.cpu.clone());
    wanted.resources.memory = wanted.resources.memory.or_else(|| made.resources.memory.clone());
    if made == wanted {
        return Ok(changes);
    }
    let fields = super::change::differences(&made, &wanted).join(", ");
    Err(EditError::conflict(&overlay_path(name), format!("with this base, a new project would not get its {fields}")))
}

fn check(new: &NewProject) -> Result<(), EditError> {
    let mut checks = Checks::default();
    checks.name(&new.name);
    if let Some(branch) = &new.git_branch {
        checks.branch(branch);
    }
    if let Some(ticket) = &new.jira_issue {
        checks.ticket(ticket);
    }
    if let Some(class) = &new.storage_class {
        checks.storage_class(class);
    }
    checks.resources(&new.resources);
    checks.size("storage.size", &new.workspace_size);
    checks.size("storage.configSize", &new.config_size);
    checks.done()
}

/// What the overlay is to read back as.
fn spec(new: &NewProject) -> ProjectSpec {
    ProjectSpec {
        short_name: new.short_name.clone(),
        name: new.name.clone(),
        git_repository: new.git_repository.as_str().to_owned(),
        git_branch: new.git_branch.clone(),
        replicas: 1,
        resources: new.resources.clone(),
        storage: Storage { size: Some(new.workspace_size.clone()), storage_class: new.storage_class.clone() },
        image: reference(&new.image),
        jira_issue: new.jira_issue.clone(),
        suspended: None,
        created_at: Some(new.created_at.clone()),
    }
}

/// An image as a container names it.
pub(super) fn reference(image: &Image) -> String {
    let tag = image.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
    let digest = image.digest.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
    format!("{}{tag}{digest}", image.name)
}

/// The text of the overlay. Every value from outside passes through `scalar`.
fn overlay(new: &NewProject) -> String {
    let name = &new.short_name;
    let mut lines: Vec<String> = Vec::new();
    let mut push = |line: String| lines.push(line);
    push(format!("# Project {name}. Edit here or through Claude Manager: comments and layout are kept."));
    push("apiVersion: kustomize.config.k8s.io/v1beta1".to_owned());
    push("kind: Kustomization".to_owned());
    push("resources:\n- ../../base".to_owned());
    push(format!("namePrefix: {}", scalar(&name_prefix(name))));
    push("labels:\n- includeSelectors: true\n  pairs:".to_owned());
    push(format!("    claude-manager.io/project: {}", scalar(name.as_str())));
    push("images:\n- name: claude-dev-env".to_owned());
    push(format!("  newName: {}", scalar(&new.image.name)));
    if let Some(tag) = &new.image.tag {
        push(format!("  newTag: {}", scalar_text(tag)));
    }
    if let Some(digest) = &new.image.digest {
        push(format!("  digest: {}", scalar(digest)));
    }
    push("replicas:\n- name: env\n  count: 1".to_owned());
    push("configMapGenerator:\n- name: env\n  behavior: merge\n  literals:".to_owned());
    push(format!("  - {}", scalar(&format!("GIT_REPOSITORY={}", new.git_repository))));
    if let Some(branch) = &new.git_branch {
        push(format!("  - {}", scalar(&format!("GIT_BRANCH={branch}"))));
    }
    push("patches:".to_owned());
    push("- target:\n    kind: StatefulSet\n    name: env\n  patch: |-".to_owned());
    push(
        "    apiVersion: apps/v1\n    kind: StatefulSet\n    metadata:\n      name: env\n      annotations:".to_owned(),
    );
    push(format!("        claude-manager.io/display-name: {}", scalar(&new.name)));
    push(format!("        claude-manager.io/created-at: {}", scalar(&new.created_at)));
    if let Some(ticket) = &new.jira_issue {
        push(format!("        claude-manager.io/jira-issue: {}", scalar(ticket)));
    }
    push("    spec:\n      template:\n        spec:".to_owned());
    let amounts = [("cpu", &new.resources.cpu), ("memory", &new.resources.memory)];
    if amounts.iter().any(|(_, amount)| amount.is_some()) {
        push("          containers:\n          - name: agent\n            resources:".to_owned());
        for group in ["requests", "limits"] {
            push(format!("              {group}:"));
            for (what, amount) in amounts {
                if let Some(amount) = amount {
                    push(format!("                {what}: {}", scalar(amount.as_str())));
                }
            }
        }
    }
    push("          volumes:\n          - name: project-secrets\n            secret:".to_owned());
    push(format!("              secretName: {}", scalar(&secret_name(&Unit::Project(name.clone())))));
    push(claim("workspace", &new.workspace_size, new.storage_class.as_deref()));
    push(claim("config", &new.config_size, new.storage_class.as_deref()));
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

/// A tag is always quoted: most look like numbers, and the next one may.
fn scalar_text(tag: &str) -> String {
    let plain = scalar(tag);
    if plain == tag { format!("\"{tag}\"") } else { plain }
}

fn claim(volume: &str, size: &Quantity, class: Option<&str>) -> String {
    let class = class.map(|class| format!("      storageClassName: {}\n", scalar(class))).unwrap_or_default();
    format!(
        "- target:\n    kind: PersistentVolumeClaim\n    name: {volume}\n  patch: |-\n    apiVersion: v1\n    \
         kind: PersistentVolumeClaim\n    metadata:\n      name: {volume}\n    spec:\n{class}      resources:\n        \
         requests:\n          storage: {}",
        scalar(size.as_str())
    )
}
