//! Documents under `generators`, `transformers` and `validators`: the built-in kinds, which are the fields of a
//! kustomization with settings of their own. Programs and containers are never run.

use std::cell::RefCell;

use crate::RepoPath;
use crate::yaml::{Node, Repeats};

use super::BuildError;
use super::config::Specs;
use super::field::{Field, Place};
use super::field_spec::FieldSpec;
use super::generate::Generator;
use super::generate::policy::Policy;
use super::load::Loader;
use super::patch::Patch;
use super::resource::Resource;
use super::suggest::nearest;
use super::transform::Transformer;
use super::transform::affix::{Affix, Side};
use super::transform::images::{Change, Image};
use super::transform::metadata::Pairs;
use super::transform::namespace::{Namespace, Subjects};
use super::transform::replacements::Replacements;
use super::transform::replicas::{Counts, Replicas};
use super::transform::value_add::{TargetField, ValueAdd};

const TRANSFORMERS: [&str; 14] = [
    "AnnotationsTransformer",
    "HashTransformer",
    "ImageTagTransformer",
    "LabelTransformer",
    "NamespaceTransformer",
    "PatchJson6902Transformer",
    "PatchStrategicMergeTransformer",
    "PatchTransformer",
    "PrefixSuffixTransformer",
    "PrefixTransformer",
    "ReplacementTransformer",
    "ReplicaCountTransformer",
    "SuffixTransformer",
    "ValueAddTransformer",
];
const GENERATORS: [&str; 3] = ["ConfigMapGenerator", "IAMPolicyGenerator", "SecretGenerator"];

/// A generator that a document describes.
pub(super) enum Made {
    Generator(Box<Generator>),
    Policy(Policy),
}

/// A document, ready to be read as settings: without the fields that every object has.
struct Settings<'a> {
    document: &'a Resource,
    node: Node,
    warnings: &'a RefCell<Vec<String>>,
}

impl<'a> Settings<'a> {
    /// # Errors
    /// When the document is none of the built-in kinds.
    fn of(document: &'a Resource, kinds: &[&'static str], loader: &'a Loader<'_>) -> Result<Self, BuildError> {
        let kind = document.kind();
        if document.api_version() != "builtin" {
            let message = format!("the plugin {kind} ({}) is a program, and none is run", document.api_version());
            let hint = "render its output to a file and list that under resources, or use a built-in kind with \
                        apiVersion: builtin";
            return Err(document.place.error_with_hint(message, hint));
        }
        if kind == "HelmChartInflationGenerator" {
            let hint = "render the chart with `helm template` to a file and list that under resources";
            return Err(document.place.error_with_hint("charts are not rendered", hint));
        }
        if !kinds.contains(&kind) {
            let hint = match nearest(kind, kinds.iter().copied()) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("the kinds here are {}", kinds.join(", ")),
            };
            return Err(document.place.error_with_hint(format!("{kind} is no built-in kind here"), &hint));
        }
        document.node.to_json().map_err(|error| document.place.error(error))?;
        let mut node = document.node.clone();
        for key in ["apiVersion", "kind", "metadata"] {
            node.remove(key);
        }
        Ok(Self { document, node, warnings: loader.warnings() })
    }

    fn root(&self) -> Field<'_> {
        Field::lenient(&self.document.place.file, &self.node, self.warnings)
    }
}

/// Reads a document under `generators`.
///
/// # Errors
/// When it is no built-in generator, or its fields are of the wrong type.
pub(super) fn generator(document: &Resource, loader: &Loader<'_>) -> Result<Made, BuildError> {
    let settings = Settings::of(document, &GENERATORS, loader)?;
    let root = settings.root();
    match document.kind() {
        "IAMPolicyGenerator" => Policy::read(&root).map(Made::Policy),
        kind => {
            let generator = Generator::of_document(&root, kind == "SecretGenerator", document)?;
            settings.warnings.borrow_mut().extend(generator.warning.clone());
            Ok(Made::Generator(Box::new(generator)))
        }
    }
}

/// Reads a document under `transformers` or `validators`; one of them stands for two.
///
/// # Errors
/// When it is no built-in transformer, or its fields are of the wrong type.
pub(super) fn transformers(
    document: &Resource,
    directory: &RepoPath,
    loader: &Loader<'_>,
) -> Result<Vec<Transformer>, BuildError> {
    let settings = Settings::of(document, &TRANSFORMERS, loader)?;
    let root = settings.root();
    let one = match document.kind() {
        "HashTransformer" => Transformer::Hash,
        "AnnotationsTransformer" => Transformer::Annotations(pairs(&root, "annotations")?),
        "LabelTransformer" => Transformer::Labels(pairs(&root, "labels")?),
        "ImageTagTransformer" => {
            let (mut image, mut specs) = (Image::default(), Specs::from([]));
            for (name, field) in root.fields(&["imageTag", "fieldSpecs"])? {
                match name {
                    "imageTag" => image = Image::read(&field)?,
                    _ => specs = field.each(FieldSpec::read)?.into(),
                }
            }
            Transformer::Images(Change { image, specs })
        }
        "ReplicaCountTransformer" => {
            let (mut replicas, mut specs) = (Replicas::default(), Specs::from([]));
            for (name, field) in root.fields(&["replica", "fieldSpecs"])? {
                match name {
                    "replica" => replicas = Replicas::read(&field)?,
                    _ => specs = field.each(FieldSpec::read)?.into(),
                }
            }
            Transformer::Replicas(Counts { replicas, specs })
        }
        "NamespaceTransformer" => Transformer::Namespace(namespace(&root, document)?),
        "PatchTransformer" => Transformer::Patch(Patch::read(&root)?),
        "PatchJson6902Transformer" => Transformer::JsonPatch(Patch::read_json(&root)?),
        "PatchStrategicMergeTransformer" => strategic(&root)?,
        "PrefixTransformer" => Transformer::Affix(affix(&root, Side::Front)?),
        "SuffixTransformer" => Transformer::Affix(affix(&root, Side::Back)?),
        "PrefixSuffixTransformer" => {
            let both = [Side::Front, Side::Back].map(|side| affix(&root, side).map(Transformer::Affix));
            return both.into_iter().collect();
        }
        "ReplacementTransformer" => {
            let mut list = Vec::new();
            for (_, field) in root.fields(&["replacements"])? {
                list = field.each(Replacements::read)?;
            }
            Transformer::Replacements(list)
        }
        _ => Transformer::ValueAdd(value_add(&root, directory, loader)?),
    };
    Ok(vec![one])
}

fn pairs(root: &Field<'_>, name: &'static str) -> Result<Pairs, BuildError> {
    let mut it = Pairs { pairs: std::collections::BTreeMap::new(), specs: Specs::from([]) };
    for (found, field) in root.fields(&[name, "fieldSpecs"])? {
        if found == name {
            it.pairs = field.map()?;
        } else {
            it.specs = field.each(FieldSpec::read)?.into();
        }
    }
    Ok(it)
}

/// The namespace is that of the document itself, in its metadata.
fn namespace(root: &Field<'_>, document: &Resource) -> Result<Namespace, BuildError> {
    let mut it = Namespace {
        name: document.namespace().to_owned(),
        specs: Specs::from([]),
        unset_only: false,
        subjects: Subjects::default(),
        place: document.place.clone(),
    };
    for (name, field) in root.fields(&["fieldSpecs", "unsetOnly", "setRoleBindingSubjects"])? {
        match name {
            "fieldSpecs" => it.specs = field.each(FieldSpec::read)?.into(),
            "unsetOnly" => it.unset_only = field.boolean()?,
            _ => {
                it.subjects = match field.string()?.as_str() {
                    "" | "defaultOnly" => Subjects::NamedDefault,
                    "allServiceAccounts" => Subjects::ServiceAccounts,
                    "none" => Subjects::None,
                    _ => return Err(field.error("must be defaultOnly, allServiceAccounts or none")),
                }
            }
        }
    }
    Ok(it)
}

fn affix(root: &Field<'_>, side: Side) -> Result<Affix, BuildError> {
    let (mut text, mut specs) = (String::new(), None);
    for (name, field) in root.fields(&["prefix", "suffix", "fieldSpecs"])? {
        match (name, side) {
            ("prefix", Side::Front) | ("suffix", Side::Back) => text = field.string()?,
            ("fieldSpecs", _) => specs = Some(field.each(FieldSpec::read)?),
            _ => {}
        }
    }
    let Some(specs) = specs else {
        return Err(root.error("needs fieldSpecs, for example one with path: metadata/name"));
    };
    Ok(Affix { text, side, specs: specs.into() })
}

fn strategic(root: &Field<'_>) -> Result<Transformer, BuildError> {
    let (mut entries, mut inline) = (Vec::new(), None);
    for (name, field) in root.fields(&["paths", "patches"])? {
        match name {
            "paths" => entries = field.strings()?,
            _ => inline = Some((field.string()?, field.place())).filter(|(text, _)| !text.is_empty()),
        }
    }
    if entries.is_empty() && inline.is_none() {
        return Err(root.error("needs paths or patches"));
    }
    Ok(Transformer::StrategicPatches { entries, inline })
}

fn value_add(root: &Field<'_>, directory: &RepoPath, loader: &Loader<'_>) -> Result<ValueAdd, BuildError> {
    let (mut value, mut targets, mut file) = (String::new(), Vec::new(), None);
    for (name, field) in root.fields(&["value", "targets", "targetFilePath"])? {
        match name {
            "value" => field.string()?.trim().clone_into(&mut value),
            "targets" => targets = field.each(TargetField::read)?,
            _ => file = Some((field.string()?, field.place())).filter(|(path, _)| !path.is_empty()),
        }
    }
    if value.is_empty() {
        directory.as_str().rsplit('/').next().unwrap_or_default().clone_into(&mut value);
    }
    if let Some((path, place)) = file {
        targets.extend(more_targets(directory, &path, &place, loader)?);
    }
    Ok(ValueAdd { value, targets, place: root.place() })
}

fn more_targets(
    directory: &RepoPath,
    path: &str,
    place: &Place,
    loader: &Loader<'_>,
) -> Result<Vec<TargetField>, BuildError> {
    let path = loader.file(directory, path, place)?;
    let mut targets = Vec::new();
    if let Some(document) = loader.first_document(&path, Repeats::Refused, place)? {
        for (_, field) in Field::lenient(&path, &document, loader.warnings()).fields(&["targets"])? {
            targets = field.each(TargetField::read)?;
        }
    }
    Ok(targets)
}
