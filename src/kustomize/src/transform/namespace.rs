//! `namespace`: every namespaced object gets it, and with it the places that name the namespace of another object.
//!
//! Role bindings have a rule of their own: of their subjects only those named `default` get the namespace here; others
//! follow the ServiceAccount that they name, with the name references.

use crate::BuildError;
use crate::collection::Collection;
use crate::config::Specs;
use crate::field::Place;
use crate::field_spec::{self, Create, FieldSpec, FieldSpecError};
use crate::resource::Resource;
use crate::yaml::{Kind, Node};

use super::FieldError;

/// Which subjects of role bindings get the namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Subjects {
    #[default]
    NamedDefault,
    ServiceAccounts,
    None,
}

/// Why an object cannot get the namespace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NamespaceError {
    #[error(transparent)]
    Field(#[from] FieldSpecError<FieldError>),
    #[error(transparent)]
    Subject(#[from] FieldError),
}

#[derive(Clone, Debug)]
pub(crate) struct Namespace {
    pub(crate) name: String,
    pub(crate) specs: Specs,
    /// Whether what has a namespace keeps it.
    pub(crate) unset_only: bool,
    pub(crate) subjects: Subjects,
    pub(crate) place: Place,
}

impl Namespace {
    pub(crate) fn run(&self, objects: &mut Collection) -> Result<(), BuildError> {
        if self.name.is_empty() {
            return Ok(());
        }
        let everywhere = FieldSpec::everywhere("metadata/namespace");
        objects.update(|resource| {
            resource.remember_id()?;
            self.apply(resource, &everywhere).map_err(|error| resource.error(error))
        })?;
        objects.index().map_err(|error| in_field(error, &self.place))
    }

    /// Sets it in one object without any note of what was before.
    ///
    /// # Errors
    /// [`NamespaceError`].
    pub(crate) fn apply(&self, resource: &mut Resource, everywhere: &FieldSpec) -> Result<(), NamespaceError> {
        let gvk = resource.gvk();
        let mut write = |node: &mut Node| self.write(node);
        if !gvk.is_cluster_scoped() {
            field_spec::visit(&mut resource.node, everywhere, Create::Text, &mut write)?;
        }
        let is_binding = matches!(gvk.kind.as_str(), "RoleBinding" | "ClusterRoleBinding");
        if is_binding && let Some(Node { kind: Kind::Sequence(subjects), .. }) = resource.node.get_mut("subjects") {
            for subject in subjects {
                let text = |key: &str| subject.get(key).and_then(Node::text);
                let wanted = match self.subjects {
                    Subjects::NamedDefault => text("name") == Some("default"),
                    Subjects::ServiceAccounts => text("kind") == Some("ServiceAccount"),
                    Subjects::None => false,
                };
                if !wanted {
                    continue;
                }
                match subject.get_mut("namespace") {
                    Some(old) => self.write(old)?,
                    None => subject.set("namespace", Node::string(self.name.as_str())),
                }
            }
        }
        for spec in self.specs.iter() {
            let path = &*spec.path;
            // The namespace of the object itself is done above, and so are subjects.
            let done = path == "metadata/namespace"
                || (is_binding && path == "subjects/namespace" && gvk.kind == spec.gvk.kind);
            // The name of a Namespace object is its namespace; no other API group's.
            if done || (path == "metadata/name" && resource.api_version() != "v1") {
                continue;
            }
            if field_spec::is_about(spec, resource) {
                field_spec::visit_object(resource, spec, Create::Text, &mut write)?;
            }
        }
        Ok(())
    }

    fn write(&self, node: &mut Node) -> Result<(), FieldError> {
        match &node.kind {
            Kind::Scalar(text) if self.unset_only && !text.is_empty() && !node.is_null() => Ok(()),
            Kind::Scalar(_) => {
                *node = Node { style: node.style, mark: node.mark, ..Node::string(self.name.as_str()) };
                Ok(())
            }
            Kind::Sequence(_) | Kind::Mapping(_) => Err(FieldError::NotText("a namespace")),
        }
    }
}

/// Two objects that only the namespace brought together are the field's fault more than the objects'.
fn in_field(mut error: BuildError, place: &Place) -> BuildError {
    if error.hint.is_some() {
        error.message = format!("{} (after namespace in {})", error.message, place.file);
    }
    error
}
