//! Volumes that a change would leave behind.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::project::{ObjectKey, ProjectName};

/// Returns the names of the claims that `objects` make: those that stand there, and those that a StatefulSet makes for its
/// first pod.
pub(super) fn claims<'o>(objects: impl Iterator<Item = (&'o ObjectKey, &'o Value)>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (key, value) in objects {
        match (key.group.as_str(), key.kind.as_str()) {
            ("", "PersistentVolumeClaim") => drop(names.insert(key.name.clone())),
            ("apps", "StatefulSet") => {
                let templates = value.pointer("/spec/volumeClaimTemplates").and_then(Value::as_array);
                let named =
                    templates.into_iter().flatten().filter_map(|claim| claim.pointer("/metadata/name")?.as_str());
                names.extend(named.map(|claim| format!("{claim}-{}-0", key.name)));
            }
            _ => {}
        }
    }
    names
}

/// Returns why a project's change from the claims `before` to those `after` is refused: some go and others come, which is a
/// rename, and the data stays in those that go.
pub(super) fn renamed(project: &ProjectName, before: &BTreeSet<String>, after: &BTreeSet<String>) -> Option<String> {
    let list = |names: Vec<&String>| names.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let gone: Vec<&String> = before.difference(after).collect();
    let new: Vec<&String> = after.difference(before).collect();
    if gone.is_empty() || new.is_empty() {
        return None;
    }
    Some(format!(
        "the claims {} of {project} would be replaced by {}, which are new, empty volumes; put the names back, or keep the \
         old claims in one commit beside the new ones, copy the data, and remove the old ones in a later commit",
        list(gone),
        list(new)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_may_come_and_go_but_not_in_one_change() {
        let project = ProjectName::parse("a").unwrap();
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let told = |before: &[&str], after: &[&str]| renamed(&project, &set(before), &set(after));
        assert_eq!(told(&["a-workspace"], &["a-workspace", "a-cache"]), None);
        assert_eq!(told(&["a-workspace", "a-cache"], &["a-workspace"]), None);
        assert_eq!(told(&[], &["a-workspace"]), None);
        let said = told(&["a-config", "a-workspace"], &["a-config", "a-work"]).unwrap();
        assert!(said.contains("a-workspace of a would be replaced by a-work"), "{said}");
    }
}
