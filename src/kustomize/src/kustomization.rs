//! What a kustomization file says. Every field is read or refused; none is passed over.

use std::collections::BTreeMap;

use crate::RepoPath;
use crate::yaml::Node;

use super::BuildError;
use super::field::{Field, Place};
use super::generate::{Generator, GeneratorOptions};
use super::order::Sort;
use super::origin::Metadata;
use super::patch::Patch;
use super::transform::images::Image;
use super::transform::metadata::Labels;
use super::transform::replacements::Replacements;
use super::transform::replicas::Replicas;
use super::vars::Var;

/// The names that a kustomization file may have.
pub const FILE_NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

const API_VERSION: &str = "kustomize.config.k8s.io/v1beta1";
const COMPONENT_API_VERSION: &str = "kustomize.config.k8s.io/v1alpha1";

/// Fields of stock kustomize that this engine refuses, with what to do instead.
const REFUSED: [(&str, &str); 3] =
    [("helmChartInflationGenerator", RENDER), ("helmCharts", RENDER), ("helmGlobals", RENDER)];
const RENDER: &str = "a chart needs a program and the network; render the chart with `helm template` to a file and list that \
                      under resources";

const KNOWN: [&str; 37] = [
    "apiVersion",
    "bases",
    "buildMetadata",
    "commonAnnotations",
    "commonLabels",
    "components",
    "configMapGenerator",
    "configurations",
    "crds",
    "generatorOptions",
    "generators",
    "imageTags",
    "images",
    "kind",
    "labels",
    "metadata",
    "namePrefix",
    "nameSuffix",
    "namespace",
    "openapi",
    "patches",
    "patchesJson6902",
    "patchesStrategicMerge",
    "replacements",
    "replicas",
    "resources",
    "secretGenerator",
    "sortOptions",
    "transformers",
    "validators",
    "vars",
    // Known, and refused with a way out.
    "helmChartInflationGenerator",
    "helmCharts",
    "helmGlobals",
    // Mistakes that are better answered with the right name than with all of them.
    "patchesStrategicMerges",
    "patchesJson6902s",
    "varReference",
];

/// A text in a list, and where it stands.
pub(super) type Entry = (String, Place);

/// A kustomization file, as far as builds need it.
#[derive(Clone, Debug, Default)]
pub(super) struct Kustomization {
    pub(super) component: bool,
    /// The file.
    pub(super) place: Place,
    pub(super) resources: Vec<Entry>,
    pub(super) components: Vec<Entry>,
    pub(super) configurations: Vec<Entry>,
    pub(super) crds: Vec<Entry>,
    pub(super) openapi: Option<OpenApi>,
    pub(super) generators: Vec<Entry>,
    pub(super) transformers: Vec<Entry>,
    pub(super) validators: Vec<Entry>,
    pub(super) namespace: Option<Entry>,
    pub(super) name_prefix: String,
    pub(super) name_suffix: String,
    pub(super) labels: Vec<Labels>,
    pub(super) common_labels: BTreeMap<String, String>,
    pub(super) common_annotations: BTreeMap<String, String>,
    pub(super) images: Vec<Image>,
    pub(super) replicas: Vec<Replicas>,
    pub(super) strategic_patches: Vec<Entry>,
    pub(super) patches: Vec<Patch>,
    pub(super) json_patches: Vec<Patch>,
    pub(super) replacements: Vec<Replacements>,
    pub(super) vars: Vec<Var>,
    pub(super) config_maps: Vec<Generator>,
    pub(super) secrets: Vec<Generator>,
    pub(super) generator_options: GeneratorOptions,
    pub(super) sort: Option<Sort>,
    pub(super) metadata: Metadata,
    pub(super) warnings: Vec<String>,
}

impl Kustomization {
    /// Reads the document of `file`.
    ///
    /// # Errors
    /// For each field that is unknown, not supported, or of the wrong type.
    pub(super) fn read(file: &RepoPath, node: &Node) -> Result<Self, BuildError> {
        let root = Field::root(file, node);
        let mut it = Self { place: Place { field: String::new(), ..root.place() }, ..Self::default() };
        let mut api_version = None;
        let (mut bases, mut image_tags) = (Vec::new(), Vec::new());
        let mut says_something = false;
        if node.get("inventory").is_some() {
            let place = Place { field: "inventory".to_owned(), ..root.place() };
            return Err(place.error_with_hint("is no field any more", "remove it; nothing reads it"));
        }
        for (name, field) in root.fields(&KNOWN)? {
            // A list counts even when it is empty, unless it is another's old name.
            says_something |= match name {
                "apiVersion" | "kind" => false,
                "bases" | "imageTags" => !field.node.is_empty(),
                _ => field.node.text().is_none_or(|text| !text.is_empty()),
            };
            it.read_field(name, &field, &mut api_version, &mut bases, &mut image_tags)?;
        }
        let expected = if it.component { COMPONENT_API_VERSION } else { API_VERSION };
        match api_version {
            Some((version, place)) if !version.is_empty() && version != expected => {
                return Err(place.error(format!("must be {expected}")));
            }
            _ => {}
        }
        if !says_something {
            return Err(it.place.error_with_hint("is empty", "list at least one resource"));
        }
        it.resources.extend(bases);
        it.images.extend(image_tags);
        Ok(it)
    }

    /// Why what this makes of a part of its resources may not be what it makes of all; `None` when each part can be built
    /// for itself. A component, a plugin or a file is not looked into: it counts as if it did reach further.
    pub(super) fn reaches_over_parts(&self) -> Option<BuildError> {
        let first = |list: &[Entry]| list.first().map(|(_, place)| place.clone());
        let generator = || self.config_maps.iter().chain(&self.secrets).find_map(Generator::changes_others);
        let place = (self.replacements.iter().find_map(Replacements::reads_objects))
            .or_else(|| first(&self.components))
            .or_else(|| first(&self.generators))
            .or_else(|| first(&self.transformers))
            .or_else(|| first(&self.validators))
            .or_else(generator)?;
        Some(place.error_with_hint(
            "may reach over all projects, which are built apart",
            "move it into the overlay that it is about",
        ))
    }

    fn read_field(
        &mut self,
        name: &'static str,
        field: &Field<'_>,
        api_version: &mut Option<Entry>,
        bases: &mut Vec<Entry>,
        image_tags: &mut Vec<Image>,
    ) -> Result<(), BuildError> {
        match name {
            "apiVersion" => *api_version = Some((field.string()?, field.place())),
            "kind" => self.component = component(field)?,
            // A name and labels for the file itself; nothing is done with them.
            "metadata" => metadata(field)?,
            "resources" => self.resources = field.strings()?,
            "bases" => *bases = field.strings()?,
            "components" => self.components = field.strings()?,
            "configurations" => self.configurations = field.strings()?,
            "crds" => self.crds = field.strings()?,
            "openapi" => self.openapi = Some(self.openapi(field)?),
            "generators" => self.generators = field.strings()?,
            "transformers" => self.transformers = field.strings()?,
            "validators" => self.validators = field.strings()?,
            "namespace" => self.namespace = Some((field.string()?, field.place())),
            "namePrefix" => self.name_prefix = field.string()?,
            "nameSuffix" => self.name_suffix = field.string()?,
            "labels" => self.labels = field.each(Labels::read)?,
            "commonLabels" => self.common_labels = field.map()?,
            "commonAnnotations" => self.common_annotations = field.map()?,
            "images" => self.images = field.each(Image::read)?,
            "imageTags" => *image_tags = field.each(Image::read)?,
            "replicas" => self.replicas = field.each(Replicas::read)?,
            "patches" => self.patches = field.each(Patch::read)?,
            "patchesJson6902" => self.json_patches = field.each(Patch::read)?,
            "patchesStrategicMerge" => self.strategic_patches = field.strings()?,
            "replacements" => self.replacements = field.each(Replacements::read)?,
            "vars" => self.vars = field.each(Var::read)?,
            "configMapGenerator" => self.config_maps = field.each(|field| Generator::read(field, false))?,
            "secretGenerator" => self.secrets = field.each(|field| Generator::read(field, true))?,
            "generatorOptions" => self.generator_options = GeneratorOptions::read(field)?,
            "sortOptions" => self.sort = Some(Sort::read(field)?),
            "buildMetadata" => self.metadata = Metadata::read(field)?,
            other => match REFUSED.iter().find(|(refused, _)| *refused == other) {
                Some(_) if field.node.is_empty() => {}
                Some((_, hint)) => return Err(field.place().error_with_hint("is not supported", hint)),
                None => {
                    let hint = "did you mean patchesStrategicMerge, patchesJson6902, or a file under configurations?";
                    return Err(field.place().error_with_hint("is no field that is known here", hint));
                }
            },
        }
        let instead = match name {
            "bases" => "resources",
            "commonLabels" => "labels",
            "imageTags" => "images",
            "patchesJson6902" | "patchesStrategicMerge" => "patches",
            "vars" => "replacements",
            _ => return Ok(()),
        };
        self.warnings.push(format!("{}: '{name}' is deprecated; use '{instead}' instead", field.file));
        Ok(())
    }

    /// Any text is a key here, and case counts.
    fn openapi(&mut self, field: &Field<'_>) -> Result<OpenApi, BuildError> {
        let mut entries = BTreeMap::new();
        for (name, value) in field.map()? {
            let place = field.get(&name).map_or_else(|| field.place(), |value| value.place());
            if !["path", "version"].contains(&name.as_str()) {
                self.warnings.push(format!(
                    "{}:{}: {}: has no effect; there are path and version",
                    place.file, place.line, place.field
                ));
            }
            entries.insert(name, (value, place));
        }
        Ok(OpenApi { path: entries.remove("path"), version: entries.remove("version") })
    }
}

/// Where the types of a build come from.
#[derive(Clone, Debug)]
pub(super) struct OpenApi {
    /// A file.
    pub(super) path: Option<Entry>,
    /// The name of the types that are built in, as it is written.
    pub(super) version: Option<Entry>,
}

fn component(field: &Field<'_>) -> Result<bool, BuildError> {
    match field.string()?.as_str() {
        "Component" => Ok(true),
        "Kustomization" | "" => Ok(false),
        _ => Err(field.error("must be Kustomization or Component")),
    }
}

fn metadata(field: &Field<'_>) -> Result<(), BuildError> {
    for (name, field) in field.fields(&["name", "namespace", "labels", "annotations"])? {
        match name {
            "name" | "namespace" => drop(field.string()?),
            _ => drop(field.map()?),
        }
    }
    Ok(())
}
