//! A manager's public key into `agent-keys.yaml`, which says whom environments let in.

use serde_yaml::Value;

use crate::project::{AgentKey, ChangeSet, Files, RepoPath};
use kustomize::yaml::edit::{self, path};

use super::{EditError, exists, fixed, read_text, root, unplaced};

/// The file, beside the root's kustomization.
pub(super) const FILE: &str = "agent-keys.yaml";
/// The file of a new repository.
pub(super) const TEMPLATE: &str = include_str!("../../state-repo-template/agent-keys.yaml");

/// Adds the key, and the file and its line in the root where they are missing. A repository that was made before there
/// were agents gets them so.
pub(super) fn add(files: &dyn Files, key: &AgentKey) -> Result<ChangeSet, EditError> {
    let mut changes = ChangeSet::default();
    let file = fixed(RepoPath::parse(FILE));
    let is_new = !exists(files, &file)?;
    let text = if is_new { TEMPLATE.to_owned() } else { read_text(files, &file)? };
    let name = format!("{}.pem", key.kid);
    let new = edit::set(&text, &path!["data", name.as_str()], &Value::String(key.pem.clone()))
        .map_err(|error| unplaced(&file, &error))?;
    if is_new || new != text {
        changes.write(file.clone(), new);
    }
    root::list_base(files, &file, &mut changes)?;
    Ok(changes)
}
