//! The kinds that the embedded cluster has.

/// One kind.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Resource {
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    pub(super) kind: &'static str,
    pub(super) plural: &'static str,
    pub(super) namespaced: bool,
    /// Whether `metadata.generation` counts the changes of `spec`.
    pub(super) generation: bool,
    /// Whether a deletion is answered with the object instead of a status.
    pub(super) returns_deleted: bool,
}

const fn resource(group: &'static str, kind: &'static str, plural: &'static str) -> Resource {
    Resource { group, version: "v1", kind, plural, namespaced: true, generation: false, returns_deleted: false }
}

/// All kinds.
pub(super) static RESOURCES: [Resource; 9] = [
    resource("", "ConfigMap", "configmaps"),
    Resource { namespaced: false, ..resource("", "Namespace", "namespaces") },
    Resource { returns_deleted: true, ..resource("", "PersistentVolumeClaim", "persistentvolumeclaims") },
    Resource { returns_deleted: true, generation: true, ..resource("", "Pod", "pods") },
    resource("", "Secret", "secrets"),
    Resource { returns_deleted: true, ..resource("", "Service", "services") },
    Resource { returns_deleted: true, ..resource("", "ServiceAccount", "serviceaccounts") },
    Resource { generation: true, ..resource("apps", "StatefulSet", "statefulsets") },
    Resource { generation: true, ..resource("networking.k8s.io", "NetworkPolicy", "networkpolicies") },
];

impl Resource {
    /// `v1`, `apps/v1`.
    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The kind as messages about invalid objects name it: `Service`, `StatefulSet.apps`.
    pub(super) fn kind_and_group(&self) -> String {
        if self.group.is_empty() { self.kind.to_owned() } else { format!("{}.{}", self.kind, self.group) }
    }

    /// The collection as messages about missing objects name it: `services`, `statefulsets.apps`.
    pub(super) fn plural_and_group(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }
}

/// The resource with this name in paths.
pub(super) fn by_plural(group: &str, version: &str, plural: &str) -> Option<&'static Resource> {
    RESOURCES.iter().find(|resource| (resource.group, resource.version, resource.plural) == (group, version, plural))
}

/// The resource of this kind.
pub(super) fn by_kind(group: &str, kind: &str) -> Option<&'static Resource> {
    RESOURCES.iter().find(|resource| (resource.group, resource.kind) == (group, kind))
}

/// The groups beside the core group.
pub(super) fn groups() -> impl Iterator<Item = &'static str> {
    ["apps", "networking.k8s.io"].into_iter()
}
