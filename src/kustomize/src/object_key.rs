//! The identity of a Kubernetes object.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// The identity of a Kubernetes object; the version of its API is no part of it. Cheap to clone: what is rendered, seen,
/// applied and noted of a fleet is kept by key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(Arc<KeyParts>);

/// What an [`ObjectKey`] consists of.
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyParts {
    /// The API group; empty for the core group.
    pub group: String,
    /// The kind, as in `StatefulSet`.
    pub kind: String,
    /// The namespace; `None` for cluster-scoped objects.
    pub namespace: Option<String>,
    /// The object's name.
    pub name: String,
}

impl ObjectKey {
    /// The key of an object of this API group (empty for the core group) and kind.
    pub fn new(
        group: impl Into<String>,
        kind: impl Into<String>,
        namespace: Option<&str>,
        name: impl Into<String>,
    ) -> Self {
        let (group, kind, name) = (group.into(), kind.into(), name.into());
        Self(Arc::new(KeyParts { group, kind, namespace: namespace.map(Into::into), name }))
    }
}

impl Deref for ObjectKey {
    type Target = KeyParts;

    fn deref(&self) -> &KeyParts {
        &self.0
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl fmt::Display for ObjectKey {
    /// `StatefulSet.apps claude-manager/checkout-env`, `Namespace team-a`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        match &self.namespace {
            Some(namespace) => write!(f, " {namespace}/{}", self.name),
            None => write!(f, " {}", self.name),
        }
    }
}
