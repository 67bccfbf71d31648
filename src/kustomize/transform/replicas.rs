//! `replicas`.

use crate::kustomize::BuildError;
use crate::kustomize::collection::Collection;
use crate::kustomize::field_spec::{self, Create};
use crate::kustomize::kustomization::Replicas;
use crate::kustomize::tables;
use crate::yaml::{Node, Tag};

/// Sets the count of all objects that have or had the name. Gives whether there was one.
pub(in crate::kustomize) fn set(objects: &mut Collection, replicas: &Replicas) -> Result<bool, BuildError> {
    let specs = tables::fields().set("replicas");
    let mut found = false;
    objects.change(|resource| {
        for spec in specs {
            let named = resource
                .previous_ids()
                .chain([resource.id()])
                .any(|id| id.name == replicas.name && id.gvk.is_selected(&spec.gvk));
            if !named {
                continue;
            }
            found = true;
            if !field_spec::is_about(spec, resource) {
                continue;
            }
            let mut write = |node: &mut Node| {
                *node = Node { tag: Tag::Int, mark: node.mark, ..Node::plain(replicas.count.to_string()) };
                Ok(())
            };
            field_spec::visit(&mut resource.node, spec, Create::Scalar, &mut write)
                .map_err(|message| resource.error(message))?;
        }
        Ok(())
    })?;
    Ok(found)
}
