//! Which object: the identities that selectors, patches and references compare.

use super::tables;

/// Stands for the namespace of kinds that have none.
pub(super) const NO_NAMESPACE: &str = "_non_namespaceable_";
/// What an absent namespace means.
const DEFAULT_NAMESPACE: &str = "default";

/// Group, version and kind. As a selector, empty parts match everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Gvk {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
}

impl Gvk {
    /// From the two fields of an object; the core group is empty.
    pub(super) fn new(api_version: &str, kind: &str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() }
    }

    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Whether `selector` takes this.
    pub(super) fn is_selected(&self, selector: &Self) -> bool {
        let takes = |want: &str, have: &str| want.is_empty() || want == have;
        takes(&selector.group, &self.group)
            && takes(&selector.version, &self.version)
            && takes(&selector.kind, &self.kind)
    }

    /// Whether objects of this kind never have a namespace. Unknown kinds may have one.
    pub(super) fn is_cluster_scoped(&self) -> bool {
        tables::schema().is_cluster_scoped(&self.api_version(), &self.kind)
    }
}

/// The identity of an object in one moment of a build: its namespace is the effective one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) gvk: Gvk,
    pub(super) name: String,
    pub(super) namespace: String,
}

/// An identity as it stands in an object, for comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity<'a> {
    pub(super) group: &'a str,
    pub(super) version: &'a str,
    pub(super) kind: &'a str,
    pub(super) name: &'a str,
    /// The effective one.
    pub(super) namespace: &'a str,
}

impl<'a> Identity<'a> {
    /// As [`Id::new`].
    pub(super) fn new(api_version: &'a str, kind: &'a str, name: &'a str, namespace: &'a str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let namespace = if tables::schema().is_cluster_scoped(api_version, kind) {
            NO_NAMESPACE
        } else if namespace.is_empty() {
            DEFAULT_NAMESPACE
        } else {
            namespace
        };
        Self { group, version, kind, name, namespace }
    }
}

impl Id {
    /// `namespace` as written; empty when it is not.
    pub(super) fn new(gvk: Gvk, name: &str, namespace: &str) -> Self {
        let namespace = if gvk.is_cluster_scoped() {
            NO_NAMESPACE
        } else if namespace.is_empty() {
            DEFAULT_NAMESPACE
        } else {
            namespace
        };
        Self { namespace: namespace.to_owned(), name: name.to_owned(), gvk }
    }

    pub(super) fn is_cluster_scoped(&self) -> bool {
        self.namespace == NO_NAMESPACE
    }
}

impl std::fmt::Display for Id {
    /// `Deployment apps/v1 web`, with the namespace in front of the name when it says something.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ", self.gvk.kind, self.gvk.api_version())?;
        if self.namespace != NO_NAMESPACE && self.namespace != DEFAULT_NAMESPACE {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.name)
    }
}
