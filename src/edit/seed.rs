//! The first commit of a state repository.

use super::EditError;
use crate::project::{AgentKey, ChangeSet, MemoryFiles, Overlaid, RepoPath};

/// The files of a new state repository: the template's and the environment base's.
const FILES: &[(&str, &str)] = &[
    (".sops.yaml", include_str!("../../state-repo-template/.sops.yaml")),
    ("README.md", include_str!("../../state-repo-template/README.md")),
    (super::agent_keys::FILE, super::agent_keys::TEMPLATE),
    ("claude-manager.yaml", include_str!("../../state-repo-template/claude-manager.yaml")),
    ("kustomization.yaml", include_str!("../../state-repo-template/kustomization.yaml")),
    ("base/kustomization.yaml", include_str!("../../kustomize/base/kustomization.yaml")),
    ("base/networkpolicy.yaml", include_str!("../../kustomize/base/networkpolicy.yaml")),
    ("base/service.yaml", include_str!("../../kustomize/base/service.yaml")),
    ("base/serviceaccount.yaml", include_str!("../../kustomize/base/serviceaccount.yaml")),
    ("base/statefulset.yaml", include_str!("../../kustomize/base/statefulset.yaml")),
    ("base/volumes.yaml", include_str!("../../kustomize/base/volumes.yaml")),
    ("components/sudo/kustomization.yaml", include_str!("../../kustomize/components/sudo/kustomization.yaml")),
    (
        "components/without-ide/kustomization.yaml",
        include_str!("../../kustomize/components/without-ide/kustomization.yaml"),
    ),
];

/// What the template has in the place of the namespace and of the age recipient.
const NAMESPACE: &str = "namespace: claude-manager";
const RECIPIENT: &str = "AGE_RECIPIENT";

/// The tree of a new state repository for `namespace`, whose secrets `recipient` (`age1…`) can read.
#[must_use]
pub fn seed(namespace: &str, recipient: &str) -> ChangeSet {
    let mut changes = ChangeSet::default();
    for (path, text) in FILES {
        let text = match *path {
            "kustomization.yaml" => {
                text.replace(NAMESPACE, &format!("namespace: {}", kustomize::yaml::edit::scalar(namespace)))
            }
            ".sops.yaml" => text.replace(RECIPIENT, recipient),
            _ => (*text).to_owned(),
        };
        changes.write(RepoPath::parse(path).unwrap_or_default(), text);
    }
    changes
}

/// The files of the environment base and its components, which an upgrade renews.
pub(super) fn base() -> impl Iterator<Item = (RepoPath, String)> {
    let is_base = |path: &str| path.starts_with("base/") || path.starts_with("components/");
    let base = FILES.iter().filter(move |(path, _)| is_base(path));
    base.map(|(path, text)| (RepoPath::parse(path).unwrap_or_default(), (*text).to_owned()))
}

/// The seed with a manager's key in it, so that a new repository needs no second commit.
///
/// # Errors
/// [`EditError`] when the key is none.
pub fn with_agent_key(mut seed: ChangeSet, key: &AgentKey) -> Result<ChangeSet, EditError> {
    let nothing = MemoryFiles::default();
    let added = super::agent_keys::add(&Overlaid { base: &nothing, changes: &seed }, key)?;
    seed.0.extend(added.0);
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_is_the_template_and_the_base() {
        let changes = seed("team-a", "age1example");
        let text = |path: &str| {
            let content = changes.0.get(&RepoPath::parse(path).unwrap()).unwrap().clone().unwrap();
            String::from_utf8(content).unwrap()
        };
        assert!(text("kustomization.yaml").contains("\nnamespace: team-a\n"));
        assert!(text(".sops.yaml").contains("age1example") && !text(".sops.yaml").contains(RECIPIENT));
        assert_eq!(changes.0.len(), FILES.len());
    }
}
