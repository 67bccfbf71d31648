//! The transformers, one file each. They change the objects of a collection in place.
//!
//! A transformer comes from a field of a kustomization or, with settings of its own, from a document under
//! `transformers`; both give the same [`Transformer`].

pub(super) mod affix;
pub(super) mod images;
pub(super) mod metadata;
pub(super) mod namespace;
pub(super) mod path;
pub(super) mod replacements;
pub(super) mod replicas;
pub(super) mod structured;
pub(super) mod value_add;

use std::cell::Cell;
use std::sync::Arc;

use crate::RepoPath;

use super::BuildError;
use super::collection::Collection;
use super::config::{Config, Conflict};
use super::hash;
use super::kustomization::{Entry, Kustomization};
use super::load::Loader;
use super::patch::{self, Patch};
use super::schema::Schema;

/// What a transformer finds in a field where it cannot write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum FieldError {
    #[error("{0} must be plain text")]
    NotText(&'static str),
    #[error("a container must be a mapping")]
    Container,
    #[error("a mapping is expected there")]
    NotMapping,
}

/// What all transformers of one kustomization share.
pub(super) struct Context<'a> {
    pub(super) loader: &'a Loader<'a>,
    pub(super) directory: &'a RepoPath,
    /// Whether a patch or a count may find no object.
    pub(super) lenient: bool,
    pub(super) types: Arc<Schema>,
    /// Whether an object was merged, which asks for the types.
    pub(super) merged: Cell<bool>,
}

/// One change, ready to be made.
#[derive(Clone, Debug)]
pub(super) enum Transformer {
    StrategicPatches { entries: Vec<Entry>, inline: Option<Entry> },
    Patch(Patch),
    JsonPatch(Patch),
    Namespace(namespace::Namespace),
    Affix(affix::Affix),
    Labels(metadata::Pairs),
    Annotations(metadata::Pairs),
    Replicas(replicas::Counts),
    Images(images::Change),
    Replacements(Vec<replacements::Replacements>),
    ValueAdd(value_add::ValueAdd),
    Hash,
}

impl Transformer {
    /// The transformers that the fields of a kustomization ask for, in kustomize's own order, which is not that of the
    /// file.
    ///
    /// # Errors
    /// When the fields of `labels` contradict those of the configuration.
    pub(super) fn of_fields(it: &Kustomization, config: &Config) -> Result<Vec<Self>, BuildError> {
        let mut list = Vec::new();
        if !it.strategic_patches.is_empty() {
            list.push(Self::StrategicPatches { entries: it.strategic_patches.clone(), inline: None });
        }
        list.extend(it.patches.iter().cloned().map(Self::Patch));
        if let Some((name, place)) = it.namespace.as_ref().filter(|(name, _)| !name.is_empty()) {
            let (name, place) = (name.clone(), place.clone());
            let specs = config.set("namespace");
            let subjects = namespace::Subjects::default();
            list.push(Self::Namespace(namespace::Namespace { name, specs, unset_only: false, subjects, place }));
        }
        for (text, side) in [(&it.name_prefix, affix::Side::Front), (&it.name_suffix, affix::Side::Back)] {
            if !text.is_empty() {
                let specs = config.set(side.set());
                list.push(Self::Affix(affix::Affix { text: text.clone(), side, specs }));
            }
        }
        for labels in &it.labels {
            list.push(Self::Labels(labels.resolve(config)?));
        }
        // Stock kustomize labels a second time when there are labels at all, which shows in notes about the build.
        if !it.common_labels.is_empty() || !it.labels.is_empty() {
            let (pairs, specs) = (it.common_labels.clone(), config.set("commonLabels"));
            list.push(Self::Labels(metadata::Pairs { pairs, specs }));
        }
        if !it.common_annotations.is_empty() {
            let (pairs, specs) = (it.common_annotations.clone(), config.set("commonAnnotations"));
            list.push(Self::Annotations(metadata::Pairs { pairs, specs }));
        }
        list.extend(it.json_patches.iter().cloned().map(Self::JsonPatch));
        for replicas in &it.replicas {
            list.push(Self::Replicas(replicas::Counts { replicas: replicas.clone(), specs: config.set("replicas") }));
        }
        for image in &it.images {
            list.push(Self::Images(images::Change { image: image.clone(), specs: config.set("images") }));
        }
        if !it.replacements.is_empty() {
            list.push(Self::Replacements(it.replacements.clone()));
        }
        Ok(list)
    }

    /// The kind by which a plugin document names this, and which notes about the build show.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::StrategicPatches { .. } => "PatchStrategicMergeTransformer",
            Self::Patch(_) => "PatchTransformer",
            Self::JsonPatch(_) => "PatchJson6902Transformer",
            Self::Namespace(_) => "NamespaceTransformer",
            Self::Affix(affix) => affix.side.kind(),
            Self::Labels(_) => "LabelTransformer",
            Self::Annotations(_) => "AnnotationsTransformer",
            Self::Replicas(_) => "ReplicaCountTransformer",
            Self::Images(_) => "ImageTagTransformer",
            Self::Replacements(_) => "ReplacementTransformer",
            Self::ValueAdd(_) => "ValueAddTransformer",
            Self::Hash => "HashTransformer",
        }
    }

    /// Makes the change.
    ///
    /// # Errors
    /// When an object does not fit it, or what it is about is not there.
    pub(super) fn run(&self, context: &Context<'_>, objects: &mut Collection) -> Result<(), BuildError> {
        match self {
            Self::StrategicPatches { entries, inline } => patch::strategic(context, entries, inline.as_ref(), objects),
            Self::Patch(patch) => patch.run(context, objects),
            Self::JsonPatch(patch) => patch.run_json(context, objects),
            Self::Namespace(namespace) => namespace.run(objects),
            Self::Affix(affix) => affix.run(objects),
            Self::Labels(pairs) | Self::Annotations(pairs) => pairs.run(objects),
            Self::Replicas(counts) => counts.run(context, objects),
            Self::Images(change) => change.run(objects),
            Self::Replacements(list) => replacements::run(context, list, objects),
            Self::ValueAdd(value) => value.run(objects),
            Self::Hash => hash::add_to_names(objects),
        }
    }
}

/// A conflict of fields, told where one of them was asked for.
pub(super) fn conflict(place: &super::field::Place) -> impl Fn(Conflict) -> BuildError + '_ {
    move |conflict| place.error(conflict)
}
