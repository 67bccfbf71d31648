//! From a kind to its place in the API.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use kube::Client;

use super::{Error, request};

/// A kind, whatever its version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    /// The API group; empty for the core group.
    pub group: String,
    /// The kind, as in `StatefulSet`.
    pub kind: String,
}

impl Kind {
    /// A kind of a group.
    #[must_use]
    pub fn new(group: &str, kind: &str) -> Self {
        Self { group: group.to_owned(), kind: kind.to_owned() }
    }
}

impl std::fmt::Display for Kind {
    /// `StatefulSet.apps`, `Pod`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.kind)?;
        if self.group.is_empty() { Ok(()) } else { write!(f, ".{}", self.group) }
    }
}

/// Where the objects of a kind are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The API group; empty for the core group.
    pub group: String,
    /// The version that the server prefers.
    pub version: String,
    /// The kind.
    pub kind: String,
    /// The name in paths, as in `statefulsets`.
    pub plural: String,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
}

impl Resource {
    /// `v1`, `apps/v1`.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The path of the collection, under another version than the preferred one if `api_version` names it.
    pub(super) fn collection(&self, api_version: &str, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() { "/api" } else { "/apis" };
        match namespace.filter(|_| self.namespaced) {
            Some(namespace) => format!("{root}/{api_version}/namespaces/{namespace}/{}", self.plural),
            None => format!("{root}/{api_version}/{}", self.plural),
        }
    }
}

/// Kinds that every cluster has, so that nobody has to be asked: group, version, kind, plural, namespaced.
const BUILT_IN: &[(&str, &str, &str, &str, bool)] = &[
    ("", "v1", "ConfigMap", "configmaps", true),
    ("", "v1", "Event", "events", true),
    ("", "v1", "LimitRange", "limitranges", true),
    ("", "v1", "Namespace", "namespaces", false),
    ("", "v1", "Node", "nodes", false),
    ("", "v1", "PersistentVolume", "persistentvolumes", false),
    ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", true),
    ("", "v1", "Pod", "pods", true),
    ("", "v1", "ResourceQuota", "resourcequotas", true),
    ("", "v1", "Secret", "secrets", true),
    ("", "v1", "Service", "services", true),
    ("", "v1", "ServiceAccount", "serviceaccounts", true),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", false),
    ("apps", "v1", "ControllerRevision", "controllerrevisions", true),
    ("apps", "v1", "DaemonSet", "daemonsets", true),
    ("apps", "v1", "Deployment", "deployments", true),
    ("apps", "v1", "ReplicaSet", "replicasets", true),
    ("apps", "v1", "StatefulSet", "statefulsets", true),
    ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", true),
    ("batch", "v1", "CronJob", "cronjobs", true),
    ("batch", "v1", "Job", "jobs", true),
    ("coordination.k8s.io", "v1", "Lease", "leases", true),
    ("networking.k8s.io", "v1", "Ingress", "ingresses", true),
    ("networking.k8s.io", "v1", "IngressClass", "ingressclasses", false),
    ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", true),
    ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", true),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", false),
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", false),
    ("rbac.authorization.k8s.io", "v1", "Role", "roles", true),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", true),
    ("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", false),
    ("storage.k8s.io", "v1", "StorageClass", "storageclasses", false),
];

/// Resolves kinds; asks the cluster once for those that are not built in. Cheap to clone.
#[derive(Clone)]
pub struct Kinds {
    client: Client,
    found: Arc<Mutex<BTreeMap<Kind, Arc<Resource>>>>,
}

impl Kinds {
    /// A resolver for the cluster behind `client`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, found: Arc::default() }
    }

    /// The resource of a kind.
    ///
    /// # Errors
    /// [`Error::UnknownKind`], which is not remembered, as a CustomResourceDefinition may come any time; or why the
    /// cluster could not be asked.
    pub async fn resolve(&self, kind: &Kind) -> Result<Arc<Resource>, Error> {
        if let Some(known) = self.found.lock().unwrap_or_else(PoisonError::into_inner).get(kind) {
            return Ok(Arc::clone(known));
        }
        let resource = match built_in(kind) {
            Some(resource) => resource,
            None => self.discover(kind).await?,
        };
        let resource = Arc::new(resource);
        self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(kind.clone(), Arc::clone(&resource));
        Ok(resource)
    }

    async fn discover(&self, kind: &Kind) -> Result<Resource, Error> {
        let unknown = || Error::UnknownKind {
            group: if kind.group.is_empty() { "the core group".to_owned() } else { kind.group.clone() },
            kind: kind.kind.clone(),
        };
        let missing = |error| match error {
            Error::Api { code: 404, .. } => unknown(),
            other => other,
        };
        let (root, version) = if kind.group.is_empty() {
            ("/api/v1".to_owned(), "v1".to_owned())
        } else {
            let group = request::get(&self.client, &format!("/apis/{}", kind.group)).await.map_err(missing)?;
            let version = group["preferredVersion"]["version"].as_str().ok_or_else(unknown)?.to_owned();
            (format!("/apis/{}/{version}", kind.group), version)
        };
        let list = request::get(&self.client, &root).await.map_err(missing)?;
        let resources = list["resources"].as_array().map(Vec::as_slice).unwrap_or_default();
        let found = resources
            .iter()
            // Subresources have the kind of what they carry.
            .find(|entry| entry["kind"] == kind.kind.as_str() && !entry["name"].as_str().unwrap_or("/").contains('/'))
            .ok_or_else(unknown)?;
        Ok(Resource {
            group: kind.group.clone(),
            version,
            kind: kind.kind.clone(),
            plural: found["name"].as_str().unwrap_or_default().to_owned(),
            namespaced: found["namespaced"].as_bool().unwrap_or(true),
        })
    }
}

fn built_in(kind: &Kind) -> Option<Resource> {
    BUILT_IN.iter().find(|entry| entry.0 == kind.group && entry.2 == kind.kind).map(|entry| Resource {
        group: entry.0.to_owned(),
        version: entry.1.to_owned(),
        kind: entry.2.to_owned(),
        plural: entry.3.to_owned(),
        namespaced: entry.4,
    })
}
