//! `namePrefix` and `nameSuffix`.

use crate::kustomize::BuildError;
use crate::kustomize::collection::Collection;
use crate::kustomize::resource::Resource;
use crate::kustomize::tables;
use crate::yaml::{Kind, Node};

pub(in crate::kustomize) fn add_prefix(objects: &mut Collection, prefix: &str) -> Result<(), BuildError> {
    rename(objects, |resource| {
        resource.prefixes.push(prefix.to_owned());
        format!("{prefix}{}", resource.name())
    })
}

pub(in crate::kustomize) fn add_suffix(objects: &mut Collection, suffix: &str) -> Result<(), BuildError> {
    rename(objects, |resource| {
        resource.suffixes.push(suffix.to_owned());
        format!("{}{suffix}", resource.name())
    })
}

fn rename(objects: &mut Collection, name: impl Fn(&mut Resource) -> String) -> Result<(), BuildError> {
    objects.update(|resource| {
        let original = resource.original_id().gvk;
        let fixed = tables::FIXED_NAMES
            .iter()
            .any(|(group, kind)| *kind == original.kind && (group.is_empty() || *group == original.group));
        if fixed {
            return Ok(());
        }
        resource.remember_id();
        let name = name(resource);
        let old = resource.node.get_mut("metadata").and_then(|metadata| metadata.get_mut("name"));
        // The style stays: a name in quotes stays a string even when it looks like a number.
        if let Some(Node { kind: Kind::Scalar(text), .. }) = old {
            *text = name;
        }
        Ok(())
    })
}
