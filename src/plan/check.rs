//! What an overlay may put into the cluster: pure checks of rendered objects.
//!
//! Takes the objects of one unit, gives every violation with its way out. The same checks judge a write through the
//! API, a push, and what the reconciler is about to apply, so that no way into Git leads around them.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::confine::confine;
use super::policy::Policy;
use crate::project::layout::name_prefix;
use crate::project::{ObjectKey, PROJECT_LABEL, ProjectName, SCOPE_LABEL, Unit};
use kustomize::Object;

/// One rule that an object breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The object at fault.
    pub key: ObjectKey,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub hint: &'static str,
}

impl fmt::Display for Violation {
    /// `Secret team/a-x: its values stand in clear; encrypt them …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.key, self.problem, self.hint)
    }
}

/// Kinds that live outside every namespace, whatever namespace somebody writes into them. Kinds of custom resources
/// cannot be known here: one without a namespace is refused by that, and the API server refuses the rest.
const CLUSTER_SCOPED: [(&str, &str); 22] = [
    ("", "ComponentStatus"),
    ("", "Namespace"),
    ("", "Node"),
    ("", "PersistentVolume"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("apiregistration.k8s.io", "APIService"),
    ("certificates.k8s.io", "CertificateSigningRequest"),
    ("certificates.k8s.io", "ClusterTrustBundle"),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"),
    ("networking.k8s.io", "IngressClass"),
    ("node.k8s.io", "RuntimeClass"),
    ("policy", "PodSecurityPolicy"),
    ("scheduling.k8s.io", "PriorityClass"),
    ("storage.k8s.io", "CSIDriver"),
    ("storage.k8s.io", "CSINode"),
    ("storage.k8s.io", "StorageClass"),
    ("storage.k8s.io", "VolumeAttachment"),
];

/// The group whose objects hand out rights.
const RBAC: &str = "rbac.authorization.k8s.io";

/// What objects are judged by.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The namespace that the root's kustomization sets; where it sets none (the empty text), objects are to have none
    /// either.
    pub namespace: &'a str,
    /// The policy of the branch that is already accepted.
    pub policy: &'a Policy,
    /// Every project that the root lists.
    pub projects: &'a BTreeSet<ProjectName>,
}

/// Every rule that `objects`, rendered for `unit`, break.
#[must_use]
pub fn check(unit: &Unit, objects: &[Object], context: &Context<'_>) -> Vec<Violation> {
    let mut found: Vec<_> = objects.iter().flat_map(|object| check_object(unit, object, context.namespace)).collect();
    if let Unit::Project(project) = unit {
        let known: BTreeSet<ObjectKey> = found.iter().map(|violation| violation.key.clone()).collect();
        // What breaks a first rule is not in a state to be judged by more.
        found
            .extend(confine(project, objects, context).into_iter().filter(|violation| !known.contains(&violation.key)));
        let known: BTreeSet<ObjectKey> = found.iter().map(|violation| violation.key.clone()).collect();
        let others = objects.iter().filter(|object| !known.contains(&object.key));
        found.extend(others.filter_map(|object| name_problem(project, &object.key)));
    }
    found
}

fn check_object(unit: &Unit, object: &Object, namespace: &str) -> Vec<Violation> {
    let key = &object.key;
    let mut found = Vec::new();
    let mut add = |problem: String, hint| found.push(Violation { key: key.clone(), problem, hint });

    if key.group == RBAC {
        add(
            "overlays may not hand out rights".to_owned(),
            "remove it; rights are given outside this repository by the cluster's administrators",
        );
    } else if key.kind == "Namespace" {
        add(
            "the tree holds no namespaces".to_owned(),
            "remove it; the root's `namespace:` says where everything goes, and it has to exist",
        );
    } else if CLUSTER_SCOPED.contains(&(key.group.as_str(), key.kind.as_str()))
        || (key.namespace.is_none() && !namespace.is_empty())
    {
        add(
            "objects that belong to no namespace are not allowed".to_owned(),
            "remove it; such objects are installed by the cluster's administrators",
        );
    } else if key.namespace.as_deref().unwrap_or_default() != namespace {
        let there = key.namespace.as_deref().unwrap_or_default();
        add(
            format!("it is in the namespace {there:?}, not in {namespace:?}"),
            "remove the `namespace` of the overlay or patch; only the root's counts",
        );
    }
    if let Some((problem, hint)) = label_problem(unit, &object.value) {
        add(problem, hint);
    }
    if key.group.is_empty() && key.kind == "Secret" {
        match secret_values(&object.value) {
            SecretValues::None => {}
            SecretValues::Clear => add(
                "its values stand in clear".to_owned(),
                "put them into the project's secrets.sops.yaml with `sops`, or set them through the API",
            ),
            SecretValues::Encrypted => add(
                "an encrypted file is built as if it were a plain object".to_owned(),
                "take secrets.sops.yaml out of `resources`; it is decrypted and applied without being listed",
            ),
        }
    }
    found
}

/// Returns what is wrong with the name of a project's object. Names are how projects are kept apart: without the prefix an
/// object may be another project's, now or once that is made, and an environment's volumes are found by their names.
fn name_problem(project: &ProjectName, key: &ObjectKey) -> Option<Violation> {
    let prefix = name_prefix(project);
    (!key.name.starts_with(&prefix)).then(|| Violation {
        key: key.clone(),
        problem: format!("its name does not begin with {prefix:?}"),
        hint: "set `namePrefix` in the overlay to the directory's name and '-'; other names belong to other projects, and \
               would give the environment new, empty volumes",
    })
}

/// What is wrong with an object's ownership labels.
fn label_problem(unit: &Unit, object: &Value) -> Option<(String, &'static str)> {
    let label = |key: &str| object.get("metadata")?.get("labels")?.get(key)?.as_str();
    let (project, scope) = (label(PROJECT_LABEL), label(SCOPE_LABEL));
    match unit {
        Unit::Project(name) => match project {
            Some(value) if value != name.as_str() => Some((
                format!("its label {PROJECT_LABEL} is {value:?}, its folder is {:?}", name.as_str()),
                "set the label to the folder's name in `labels` of the overlay",
            )),
            None => Some((
                format!("it has no label {PROJECT_LABEL}"),
                "add the label in `labels` of the overlay, with includeSelectors",
            )),
            Some(_) if scope.is_some() => Some((
                format!("it has the label {SCOPE_LABEL} beside its project's"),
                "remove that label; it is for objects that belong to no project",
            )),
            Some(_) => None,
        },
        Unit::Base => match (project, scope) {
            (Some(_), _) => Some((
                format!("it has the label {PROJECT_LABEL}, but stands outside projects/"),
                "move it into the project's folder, or remove the label",
            )),
            (None, Some("base")) => None,
            (None, _) => Some((
                format!("it has no label {SCOPE_LABEL}: base"),
                "add the label; it says that the object belongs to the whole tree",
            )),
        },
    }
}

/// What a Secret holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretValues {
    /// Nothing to hide.
    None,
    /// SOPS values only.
    Encrypted,
    /// At least one value that anybody can read.
    Clear,
}

/// What the `data` and `stringData` of a Secret hold. SOPS leaves the frame and writes `ENC[…]` for each value.
#[must_use]
pub fn secret_values(secret: &Value) -> SecretValues {
    let mut found = SecretValues::None;
    for field in ["data", "stringData"] {
        match secret.get(field) {
            None | Some(Value::Null) => {}
            Some(Value::Object(values)) => {
                for value in values.values() {
                    match value {
                        Value::Null => {}
                        Value::String(text) if text.is_empty() => {}
                        Value::String(text) if text.starts_with("ENC[") && text.ends_with(']') => {
                            found = SecretValues::Encrypted;
                        }
                        _ => return SecretValues::Clear,
                    }
                }
            }
            Some(_) => return SecretValues::Clear,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::project::ProjectName;

    fn object(group: &str, kind: &str, namespace: Option<&str>, value: Value) -> Object {
        let key = ObjectKey::new(group, kind, namespace, "a-x");
        Object { key, api_version: "v1".to_owned(), value }
    }

    fn labelled(key: &str, value: &str) -> Value {
        json!({"metadata": {"labels": {key: value}}})
    }

    fn problems(unit: &Unit, object: Object) -> Vec<String> {
        let projects = BTreeSet::from([ProjectName::parse("a").unwrap()]);
        let context = Context { namespace: "team", policy: &Policy::default(), projects: &projects };
        check(unit, &[object], &context).into_iter().map(|violation| violation.problem).collect()
    }

    #[test]
    fn kinds_and_namespaces_are_judged_by_this_table() {
        let unit = Unit::Project(ProjectName::parse("a").unwrap());
        let fine = labelled(PROJECT_LABEL, "a");
        for (group, kind, namespace, expected) in [
            ("", "Service", Some("team"), None),
            ("batch", "Job", Some("team"), None),
            ("example.org", "Widget", Some("team"), Some("of the kind Widget.example.org")),
            ("", "Namespace", None, Some("no namespaces")),
            ("", "PersistentVolume", Some("team"), Some("belong to no namespace")),
            ("storage.k8s.io", "StorageClass", None, Some("belong to no namespace")),
            (RBAC, "Role", Some("team"), Some("hand out rights")),
            (RBAC, "ClusterRoleBinding", None, Some("hand out rights")),
            ("", "Service", Some("other"), Some("not in \"team\"")),
            ("", "Service", None, Some("belong to no namespace")),
        ] {
            let found = problems(&unit, object(group, kind, namespace, fine.clone()));
            match expected {
                None => assert!(found.is_empty(), "{kind}: {found:?}"),
                Some(text) => assert!(found.len() == 1 && found[0].contains(text), "{kind}: {found:?}"),
            }
        }
    }

    #[test]
    fn every_object_says_whose_it_is() {
        let project = Unit::Project(ProjectName::parse("a").unwrap());
        for (unit, value, fine) in [
            (&project, labelled(PROJECT_LABEL, "a"), true),
            (&project, labelled(PROJECT_LABEL, "b"), false),
            (&project, json!({}), false),
            (&project, json!({"metadata": {"labels": {PROJECT_LABEL: "a", SCOPE_LABEL: "base"}}}), false),
            (&Unit::Base, labelled(SCOPE_LABEL, "base"), true),
            (&Unit::Base, labelled(SCOPE_LABEL, "x"), false),
            (&Unit::Base, labelled(PROJECT_LABEL, "a"), false),
            (&Unit::Base, json!({}), false),
        ] {
            let found = problems(unit, object("", "Service", Some("team"), value.clone()));
            assert_eq!(found.is_empty(), fine, "{unit} {value}: {found:?}");
        }
    }

    #[test]
    fn a_secret_with_values_is_refused_clear_or_not() {
        for (data, expected) in [
            (json!({}), SecretValues::None),
            (json!({"data": {"a": ""}}), SecretValues::None),
            (json!({"stringData": {"a": "ENC[AES256_GCM,data:x]"}}), SecretValues::Encrypted),
            (json!({"stringData": {"a": "ENC[x]"}, "data": {"b": "c2VjcmV0"}}), SecretValues::Clear),
            (json!({"data": "x"}), SecretValues::Clear),
            (json!({"data": {"a": 1}}), SecretValues::Clear),
        ] {
            assert_eq!(secret_values(&data), expected, "{data}");
        }
    }
}
