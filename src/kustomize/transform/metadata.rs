//! `labels`, `commonLabels` and `commonAnnotations`.

use std::collections::BTreeMap;

use crate::kustomize::BuildError;
use crate::kustomize::collection::Collection;
use crate::kustomize::field_spec::{self, Create};
use crate::kustomize::kustomization::Labels;
use crate::kustomize::tables::{self, FieldSpec};
use crate::yaml::{Kind, Node};

/// One entry of `labels`: to the metadata only, to templates too, or to selectors and templates.
pub(in crate::kustomize) fn add_labels(objects: &mut Collection, labels: &Labels) -> Result<(), BuildError> {
    let mut specs = labels.fields.clone();
    let more = if labels.include_selectors {
        tables::fields().set("commonLabel").to_vec()
    } else {
        let metadata = FieldSpec { path: "metadata/labels".to_owned(), create: true, ..FieldSpec::default() };
        let templates = if labels.include_templates { tables::fields().set("templateLabel") } else { &[] };
        let claims =
            if labels.include_volume_claim_templates { tables::fields().set("volumeClaimTemplateLabel") } else { &[] };
        templates.iter().chain(claims).cloned().chain([metadata]).collect()
    };
    for spec in more {
        match specs.iter().find(|old| old.path == spec.path && old.gvk.is_selected(&spec.gvk)) {
            None => specs.push(spec),
            Some(old) if old.create == spec.create => {}
            Some(_) => {
                let message = format!("fields: {} has another value of create by default", spec.path);
                return Err(labels.place.error(message));
            }
        }
    }
    add(objects, &labels.pairs, &specs)
}

pub(in crate::kustomize) fn add_common_labels(
    objects: &mut Collection,
    labels: &BTreeMap<String, String>,
) -> Result<(), BuildError> {
    add(objects, labels, tables::fields().set("commonLabel"))
}

pub(in crate::kustomize) fn add_annotations(
    objects: &mut Collection,
    annotations: &BTreeMap<String, String>,
) -> Result<(), BuildError> {
    add(objects, annotations, tables::fields().set("commonAnnotation"))
}

fn add(objects: &mut Collection, pairs: &BTreeMap<String, String>, specs: &[FieldSpec]) -> Result<(), BuildError> {
    if pairs.is_empty() {
        return Ok(());
    }
    objects.change(|resource| {
        for spec in specs {
            if !field_spec::is_about(spec, resource) {
                continue;
            }
            let mut write = |node: &mut Node| match node.kind {
                Kind::Mapping(_) => {
                    for (key, value) in pairs {
                        node.set(key, Node::string(value.as_str()));
                    }
                    Ok(())
                }
                Kind::Scalar(_) | Kind::Sequence(_) => Err("a mapping is expected there".to_owned()),
            };
            field_spec::visit(&mut resource.node, spec, Create::Mapping, &mut write)
                .map_err(|message| resource.error(message))?;
        }
        Ok(())
    })
}
