//! What a project is, from its rendered objects.
//!
//! Reads what was rendered and not the overlay's text, so that an overlay may be laid out in any way that builds.

use serde_json::Value;

use crate::project::layout::environment_name;
use crate::project::{ANNOTATION_PREFIX, PROJECT_LABEL, ProjectName, ProjectSpec, Quantity, Resources, Storage};
use kustomize::Object;

/// Why objects are no project.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The main object is missing.
    #[error(
        "{0} has no StatefulSet {0}-env with the label claude-manager.io/project: {0}; \
         add it, or the base that has it, to its resources"
    )]
    NoStatefulSet(ProjectName),
    /// The main object has another name than the project's.
    #[error(
        "the StatefulSet {found} has to be {project}-env: set `namePrefix: {project}-` in the overlay, with no \
         nameSuffix; under another name the environment gets new, empty volumes"
    )]
    OtherName {
        /// The project.
        project: ProjectName,
        /// The name that the StatefulSet has.
        found: String,
    },
    /// A value is not what its field takes.
    #[error("{object}: {field} is {value}, which is no {wanted}")]
    Value {
        /// The object's kind and name.
        object: String,
        /// The field's path.
        field: String,
        /// What stands there.
        value: String,
        /// What should.
        wanted: &'static str,
    },
}

/// Reads the project `name` from the objects that its overlay gives.
///
/// # Errors
/// [`ReadError`]; what an overlay may lack (annotations, a repository, a workspace) is absent in the answer instead.
pub fn read_spec(name: &ProjectName, objects: &[Object]) -> Result<ProjectSpec, ReadError> {
    let own: Vec<&Object> = objects.iter().filter(|object| label(object) == Some(name.as_str())).collect();
    let set = stateful_set(name, &own)?;
    let annotation = |key: &str| {
        let text = set.value.get("metadata")?.get("annotations")?.get(format!("{ANNOTATION_PREFIX}{key}"))?.as_str()?;
        Some(text.to_owned()).filter(|text| !text.is_empty())
    };
    let agent = agent(set);
    let setting = |key: &str| setting(&own, agent, key).filter(|text| !text.is_empty());
    Ok(ProjectSpec {
        short_name: name.clone(),
        name: annotation("display-name").unwrap_or_else(|| name.as_str().to_owned()),
        git_repository: setting("GIT_REPOSITORY").unwrap_or_default(),
        git_branch: setting("GIT_BRANCH"),
        replicas: replicas(set)?,
        resources: Resources { cpu: request(set, agent, "cpu")?, memory: request(set, agent, "memory")? },
        storage: storage(name, &own)?,
        image: agent.and_then(|agent| agent.get("image")?.as_str()).unwrap_or_default().to_owned(),
        jira_issue: annotation("jira-issue"),
        suspended: annotation("suspended").filter(|why| why != "false"),
        created_at: annotation("created-at"),
    })
}

fn label(object: &Object) -> Option<&str> {
    object.value.get("metadata")?.get("labels")?.get(PROJECT_LABEL)?.as_str()
}

fn stateful_set<'o>(name: &ProjectName, own: &[&'o Object]) -> Result<&'o Object, ReadError> {
    let exact = environment_name(name);
    let sets = || own.iter().filter(|object| object.key.group == "apps" && object.key.kind == "StatefulSet");
    if let Some(set) = sets().find(|object| object.key.name == exact) {
        return Ok(set);
    }
    // The base's name is `env`: what has it is the environment, whatever was put around it.
    let renamed = |object: &&&Object| object.key.name.split('-').any(|part| part == "env");
    Err(match sets().find(renamed) {
        Some(object) => ReadError::OtherName { project: name.clone(), found: object.key.name.clone() },
        None => ReadError::NoStatefulSet(name.clone()),
    })
}

/// The container that works on the repository.
fn agent(set: &Object) -> Option<&Value> {
    let containers = set.value.pointer("/spec/template/spec/containers")?.as_array()?;
    containers.iter().find(|container| container.get("name").and_then(Value::as_str) == Some("agent"))
}

/// A variable of the agent's environment, from the ConfigMaps that it names; the last one wins, as in Kubernetes.
fn setting(own: &[&Object], agent: Option<&Value>, key: &str) -> Option<String> {
    let sources = agent?.get("envFrom")?.as_array()?;
    sources.iter().rev().find_map(|source| {
        let name = source.pointer("/configMapRef/name")?.as_str()?;
        let map = own.iter().find(|object| object.key.kind == "ConfigMap" && object.key.name == name)?;
        Some(map.value.get("data")?.get(key)?.as_str()?.to_owned())
    })
}

fn replicas(set: &Object) -> Result<u32, ReadError> {
    match set.value.pointer("/spec/replicas") {
        None | Some(Value::Null) => Ok(1),
        Some(value) => value
            .as_u64()
            .and_then(|count| u32::try_from(count).ok())
            .ok_or_else(|| wrong(set, "spec.replicas", value, "count")),
    }
}

fn request(set: &Object, agent: Option<&Value>, what: &str) -> Result<Option<Quantity>, ReadError> {
    let value = agent.and_then(|agent| agent.get("resources")?.get("requests")?.get(what));
    quantity(set, &format!("containers[name=agent].resources.requests.{what}"), value)
}

fn storage(name: &ProjectName, own: &[&Object]) -> Result<Storage, ReadError> {
    let exact = format!("{name}-workspace");
    let claims = || own.iter().filter(|object| object.key.kind == "PersistentVolumeClaim");
    let Some(claim) = claims().find(|claim| claim.key.name == exact) else { return Ok(Storage::default()) };
    let class = claim.value.pointer("/spec/storageClassName").and_then(Value::as_str);
    Ok(Storage {
        size: quantity(
            claim,
            "spec.resources.requests.storage",
            claim.value.pointer("/spec/resources/requests/storage"),
        )?,
        storage_class: class.map(str::to_owned),
    })
}

/// Kubernetes takes numbers for quantities, too.
fn quantity(object: &Object, field: &str, value: Option<&Value>) -> Result<Option<Quantity>, ReadError> {
    let text = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let parsed = Quantity::parse(&text);
    parsed.map(Some).map_err(|_| wrong(object, field, &Value::String(text), "quantity"))
}

fn wrong(object: &Object, field: &str, value: &Value, wanted: &'static str) -> ReadError {
    ReadError::Value {
        object: format!("{} {}", object.key.kind, object.key.name),
        field: field.to_owned(),
        value: value.to_string(),
        wanted,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::project::ObjectKey;

    fn object(group: &str, kind: &str, name: &str, mut value: Value) -> Object {
        value["metadata"]["labels"] = json!({PROJECT_LABEL: "checkout"});
        let key = ObjectKey::new(group, kind, None, name);
        Object { key, api_version: "v1".into(), value }
    }

    fn set() -> Object {
        object(
            "apps",
            "StatefulSet",
            "checkout-env",
            json!({
                "metadata": {"annotations": {
                    "claude-manager.io/display-name": "Check out",
                    "claude-manager.io/jira-issue": "ABC-1",
                    "claude-manager.io/created-at": "2026-11-24T03:00:00Z",
                }},
                "spec": {"replicas": 0, "template": {"spec": {"containers": [
                    {"name": "ide", "image": "other"},
                    {"name": "agent", "image": "host/dev:1.2", "envFrom": [{"configMapRef": {"name": "checkout-env-h"}}],
                     "resources": {"requests": {"cpu": 2, "memory": "4Gi"}}},
                ]}}},
            }),
        )
    }

    fn name() -> ProjectName {
        ProjectName::parse("checkout").unwrap()
    }

    #[test]
    fn a_project_is_read_from_its_objects() {
        let objects = [
            set(),
            object(
                "",
                "ConfigMap",
                "checkout-env-h",
                json!({"data": {"GIT_REPOSITORY": "https://h/x", "GIT_BRANCH": ""}}),
            ),
            object("", "ConfigMap", "checkout-env-old", json!({"data": {"GIT_BRANCH": "old"}})),
            object(
                "",
                "PersistentVolumeClaim",
                "checkout-workspace",
                json!({"spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "20Gi"}}}}),
            ),
        ];
        let spec = read_spec(&name(), &objects).unwrap();
        assert_eq!(spec.name, "Check out");
        assert_eq!((spec.git_repository.as_str(), spec.git_branch), ("https://h/x", None));
        assert_eq!((spec.replicas, spec.image.as_str()), (0, "host/dev:1.2"));
        assert_eq!(spec.resources.cpu, Some(Quantity::parse("2").unwrap()));
        assert_eq!(spec.storage.size, Some(Quantity::parse("20Gi").unwrap()));
        assert_eq!(spec.storage.storage_class.as_deref(), Some("fast"));
        assert_eq!(spec.jira_issue.as_deref(), Some("ABC-1"));
        assert_eq!(spec.created_at.as_deref(), Some("2026-11-24T03:00:00Z"));
    }

    #[test]
    fn what_an_overlay_may_lack_is_absent() {
        let bare = object("apps", "StatefulSet", "checkout-env", json!({"metadata": {}, "spec": {}}));
        let spec = read_spec(&name(), &[bare]).unwrap();
        assert_eq!((spec.name.as_str(), spec.git_repository.as_str(), spec.replicas), ("checkout", "", 1));
        assert_eq!((spec.resources, spec.storage, spec.jira_issue), (Resources::default(), Storage::default(), None));
    }

    #[test]
    fn objects_that_are_no_project_say_why() {
        assert_eq!(read_spec(&name(), &[]), Err(ReadError::NoStatefulSet(name())));
        let other = ProjectName::parse("other").unwrap();
        assert_eq!(read_spec(&other, &[set()]), Err(ReadError::NoStatefulSet(other)));
        let twin = |name: &str| object("apps", "StatefulSet", name, json!({"metadata": {}}));
        for found in ["env", "a-env", "checkout-new-env", "checkout-env-2"] {
            let error = ReadError::OtherName { project: name(), found: found.to_owned() };
            assert_eq!(read_spec(&name(), &[twin("cache"), twin(found)]), Err(error));
            assert!(read_spec(&name(), &[twin(found), twin("checkout-env")]).is_ok());
        }
        assert_eq!(read_spec(&name(), &[twin("cache")]), Err(ReadError::NoStatefulSet(name())));
        let mut broken = set();
        broken.value["spec"]["replicas"] = json!("two");
        let message = read_spec(&name(), &[broken]).unwrap_err().to_string();
        assert_eq!(message, "StatefulSet checkout-env: spec.replicas is \"two\", which is no count");
    }
}
