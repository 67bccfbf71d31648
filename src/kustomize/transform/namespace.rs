//! `namespace`: every namespaced object gets it, and with it the places that name the namespace of another object.
//!
//! Role bindings have a rule of their own: of their subjects only those named `default` get the namespace here; others
//! follow the ServiceAccount that they name, with the name references.

use crate::kustomize::BuildError;
use crate::kustomize::collection::Collection;
use crate::kustomize::field_spec::{self, Create};
use crate::kustomize::resource::Resource;
use crate::kustomize::tables::{self, FieldSpec};
use crate::yaml::{Kind, Node};

pub(in crate::kustomize) fn set(objects: &mut Collection, namespace: &str) -> Result<(), BuildError> {
    objects.update(|resource| {
        resource.remember_id();
        apply(resource, namespace).map_err(|message| resource.error(message))
    })
}

fn apply(resource: &mut Resource, namespace: &str) -> Result<(), String> {
    let gvk = resource.gvk();
    let mut write = |node: &mut Node| match node.kind {
        Kind::Scalar(_) => {
            *node = Node { style: node.style, mark: node.mark, ..Node::string(namespace) };
            Ok(())
        }
        Kind::Sequence(_) | Kind::Mapping(_) => Err("a namespace must be plain text".to_owned()),
    };
    if !gvk.is_cluster_scoped() {
        let spec = FieldSpec { path: "metadata/namespace".to_owned(), create: true, ..FieldSpec::default() };
        field_spec::visit(&mut resource.node, &spec, Create::Scalar, &mut write)?;
    }
    if matches!(gvk.kind.as_str(), "RoleBinding" | "ClusterRoleBinding")
        && let Some(Node { kind: Kind::Sequence(subjects), .. }) = resource.node.get_mut("subjects")
    {
        for subject in subjects {
            if subject.get("name").and_then(Node::text) == Some("default") {
                subject.set("namespace", Node::string(namespace));
            }
        }
    }
    for spec in tables::fields().set("namespace") {
        // The name of a Namespace object is its namespace; no other API group's.
        if spec.path == "metadata/name" && resource.api_version() != "v1" {
            continue;
        }
        if field_spec::is_about(spec, resource) {
            field_spec::visit(&mut resource.node, spec, Create::Scalar, &mut write)?;
        }
    }
    Ok(())
}
