//! What a kustomization file says. Every field is read or refused; none is passed over.

use std::collections::BTreeMap;

use crate::project::RepoPath;
use crate::yaml::Node;

use super::BuildError;
use super::field::{Field, Place};
use super::id::Gvk;
use super::tables::FieldSpec;

/// The names that a kustomization file may have.
pub(super) const FILE_NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

const API_VERSION: &str = "kustomize.config.k8s.io/v1beta1";
const COMPONENT_API_VERSION: &str = "kustomize.config.k8s.io/v1alpha1";

/// Fields of stock kustomize that this engine refuses, with what to do instead.
const REFUSED: [(&str, &str); 16] = [
    ("buildMetadata", "remove it; it only adds annotations about the build"),
    ("configurations", "remove it; the default fields are built in"),
    ("crds", "remove it; set references to custom resources by patches"),
    ("generators", "use configMapGenerator or secretGenerator"),
    ("helmChartInflationGenerator", "render the chart to a file and list it under resources"),
    ("helmCharts", "render the chart to a file and list it under resources"),
    ("helmGlobals", "render the chart to a file and list it under resources"),
    ("imageTags", "use images"),
    ("inventory", "remove it"),
    ("openapi", "remove it; merges go by the types of Kubernetes"),
    ("patchesStrategicMerges", "use patches"),
    ("replacements", "write the value where it belongs, or use patches"),
    ("transformers", "use the fields of the kustomization itself"),
    ("validators", "remove it"),
    ("vars", "write the value where it belongs, or use patches"),
    ("varReference", "remove it"),
];

const KNOWN: [&str; 24] = [
    "apiVersion",
    "bases",
    "commonAnnotations",
    "commonLabels",
    "components",
    "configMapGenerator",
    "generatorOptions",
    "images",
    "kind",
    "labels",
    "metadata",
    "namePrefix",
    "nameSuffix",
    "namespace",
    "patches",
    "patchesJson6902",
    "patchesStrategicMerge",
    "replicas",
    "resources",
    "secretGenerator",
    "sortOptions",
    "buildMetadata",
    "replacements",
    "vars",
];

/// A kustomization file, as far as builds need it.
#[derive(Clone, Debug, Default)]
pub(super) struct Kustomization {
    pub(super) component: bool,
    pub(super) resources: Vec<(String, Place)>,
    pub(super) components: Vec<(String, Place)>,
    pub(super) namespace: Option<(String, Place)>,
    pub(super) name_prefix: String,
    pub(super) name_suffix: String,
    pub(super) labels: Vec<Labels>,
    pub(super) common_labels: BTreeMap<String, String>,
    pub(super) common_annotations: BTreeMap<String, String>,
    pub(super) images: Vec<Image>,
    pub(super) replicas: Vec<Replicas>,
    pub(super) strategic_patches: Vec<(String, Place)>,
    pub(super) patches: Vec<Patch>,
    pub(super) json_patches: Vec<Patch>,
    pub(super) config_maps: Vec<Generator>,
    pub(super) secrets: Vec<Generator>,
    pub(super) generator_options: GeneratorOptions,
    pub(super) sort: Option<Sort>,
    pub(super) warnings: Vec<String>,
}

/// One entry of `labels`.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels {
    pub(super) pairs: BTreeMap<String, String>,
    pub(super) include_selectors: bool,
    pub(super) include_templates: bool,
    pub(super) include_volume_claim_templates: bool,
    pub(super) fields: Vec<FieldSpec>,
    pub(super) place: Place,
}

/// One entry of `images`.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) name: String,
    pub(super) new_name: String,
    pub(super) new_tag: String,
    pub(super) tag_suffix: String,
    pub(super) digest: String,
    pub(super) place: Place,
}

/// One entry of `replicas`.
#[derive(Clone, Debug)]
pub(super) struct Replicas {
    pub(super) name: String,
    pub(super) count: i64,
    pub(super) place: Place,
}

/// One entry of `patches`, or of its older forms.
#[derive(Clone, Debug)]
pub(super) struct Patch {
    pub(super) source: PatchSource,
    pub(super) target: Option<Target>,
    pub(super) allow_name_change: bool,
    pub(super) allow_kind_change: bool,
    pub(super) place: Place,
}

/// Where the text of a patch is.
#[derive(Clone, Debug)]
pub(super) enum PatchSource {
    Inline(String, Place),
    File(String, Place),
}

/// Which objects a patch is for; empty parts take all.
#[derive(Clone, Debug, Default)]
pub(super) struct Target {
    pub(super) gvk: Gvk,
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) label_selector: String,
    pub(super) annotation_selector: String,
    pub(super) place: Place,
}

/// What happens when a generated object exists already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Behavior {
    #[default]
    Create,
    Replace,
    Merge,
}

/// One entry of `configMapGenerator` or `secretGenerator`.
#[derive(Clone, Debug)]
pub(super) struct Generator {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) behavior: Behavior,
    pub(super) literals: Vec<(String, Place)>,
    pub(super) files: Vec<(String, Place)>,
    pub(super) envs: Vec<(String, Place)>,
    /// The `type` of a Secret.
    pub(super) kind: String,
    pub(super) options: GeneratorOptions,
    pub(super) place: Place,
}

/// `generatorOptions`, or the `options` of one generator.
#[derive(Clone, Debug, Default)]
pub(super) struct GeneratorOptions {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) disable_name_suffix_hash: bool,
    pub(super) immutable: bool,
}

/// `sortOptions`.
#[derive(Clone, Debug)]
pub(super) enum Sort {
    Fifo,
    /// Kinds that come first and last; `None` for the usual ones.
    Legacy(Option<(Vec<String>, Vec<String>)>),
}

impl Kustomization {
    /// Reads the document of `file`.
    ///
    /// # Errors
    /// For each field that is unknown, not supported, or of the wrong type.
    pub(super) fn read(file: &RepoPath, node: &Node) -> Result<Self, BuildError> {
        let root = Field::root(file, node);
        let mut it = Self::default();
        let mut api_version = None;
        let mut bases = Vec::new();
        let mut says_something = false;
        for (name, field) in root.pairs()? {
            let known = KNOWN.iter().find(|known| known.eq_ignore_ascii_case(name)).copied();
            says_something |= !matches!(known, Some("apiVersion" | "kind")) && !field.node.is_empty();
            match known.unwrap_or(name) {
                "apiVersion" => api_version = Some((field.string()?, field.place())),
                "kind" => it.component = component(&field)?,
                // A name and labels for the file itself; nothing is done with them.
                "metadata" => metadata(&field)?,
                "resources" => it.resources = field.strings()?,
                "bases" => {
                    bases = field.strings()?;
                    it.deprecated(&field, "resources");
                }
                "components" => it.components = field.strings()?,
                "namespace" => it.namespace = Some((field.string()?, field.place())),
                "namePrefix" => it.name_prefix = field.string()?,
                "nameSuffix" => it.name_suffix = field.string()?,
                "labels" => it.labels = each(&field, labels)?,
                "commonLabels" => {
                    it.common_labels = field.map()?;
                    it.deprecated(&field, "labels");
                }
                "commonAnnotations" => it.common_annotations = field.map()?,
                "images" => it.images = each(&field, image)?,
                "replicas" => it.replicas = each(&field, replicas)?,
                "patches" => it.patches = each(&field, patch)?,
                "patchesJson6902" => {
                    it.json_patches = each(&field, patch)?;
                    it.deprecated(&field, "patches");
                }
                "patchesStrategicMerge" => {
                    it.strategic_patches = field.strings()?;
                    it.deprecated(&field, "patches");
                }
                "configMapGenerator" => it.config_maps = each(&field, |field| generator(field, false))?,
                "secretGenerator" => it.secrets = each(&field, |field| generator(field, true))?,
                "generatorOptions" => it.generator_options = generator_options(&field)?,
                "sortOptions" => it.sort = Some(sort(&field)?),
                other => match REFUSED.iter().find(|(refused, _)| refused.eq_ignore_ascii_case(other)) {
                    Some(_) if field.node.is_empty() => {}
                    Some((_, hint)) => return Err(field.place().error_with_hint("is not supported", hint)),
                    None => return Err(field.unknown(&KNOWN[..21])),
                },
            }
        }
        let expected = if it.component { COMPONENT_API_VERSION } else { API_VERSION };
        match api_version {
            Some((version, place)) if !version.is_empty() && version != expected => {
                return Err(place.error(format!("must be {expected}")));
            }
            _ => {}
        }
        if !says_something {
            let hint = "list at least one resource";
            return Err(Place { field: String::new(), ..root.place() }.error_with_hint("is empty", hint));
        }
        it.resources.extend(bases);
        Ok(it)
    }

    fn deprecated(&mut self, field: &Field<'_>, instead: &str) {
        self.warnings.push(format!("{}: '{}' is deprecated; use '{instead}' instead", field.file, field.path));
    }
}

fn each<T>(field: &Field<'_>, read: impl Fn(&Field<'_>) -> Result<T, BuildError>) -> Result<Vec<T>, BuildError> {
    field.items()?.iter().map(read).collect()
}

fn component(field: &Field<'_>) -> Result<bool, BuildError> {
    match field.string()?.as_str() {
        "Component" => Ok(true),
        "Kustomization" | "" => Ok(false),
        _ => Err(field.error("must be Kustomization or Component")),
    }
}

fn metadata(field: &Field<'_>) -> Result<(), BuildError> {
    for (name, field) in field.pairs()? {
        match name {
            "name" | "namespace" => drop(field.string()?),
            "labels" | "annotations" => drop(field.map()?),
            _ => return Err(field.unknown(&["name", "namespace", "labels", "annotations"])),
        }
    }
    Ok(())
}

fn labels(entry: &Field<'_>) -> Result<Labels, BuildError> {
    let mut labels = Labels { place: entry.place(), ..Labels::default() };
    for (name, field) in entry.pairs()? {
        match name {
            "pairs" => labels.pairs = field.map()?,
            "includeSelectors" => labels.include_selectors = field.boolean()?,
            "includeTemplates" => labels.include_templates = field.boolean()?,
            "includeVolumeClaimTemplates" => labels.include_volume_claim_templates = field.boolean()?,
            "fields" => labels.fields = each(&field, field_spec)?,
            _ => {
                let known = ["pairs", "includeSelectors", "includeTemplates", "includeVolumeClaimTemplates", "fields"];
                return Err(field.unknown(&known));
            }
        }
    }
    Ok(labels)
}

fn field_spec(entry: &Field<'_>) -> Result<FieldSpec, BuildError> {
    let mut spec = FieldSpec::default();
    for (name, field) in entry.pairs()? {
        match name {
            "group" => spec.gvk.group = field.string()?,
            "version" => spec.gvk.version = field.string()?,
            "kind" => spec.gvk.kind = field.string()?,
            "path" => spec.path = field.string()?,
            "create" => spec.create = field.boolean()?,
            _ => return Err(field.unknown(&["path", "group", "version", "kind", "create"])),
        }
    }
    Ok(spec)
}

fn image(entry: &Field<'_>) -> Result<Image, BuildError> {
    let [mut name, mut new_name, mut new_tag, mut tag_suffix, mut digest] = [const { String::new() }; 5];
    for (key, field) in entry.pairs()? {
        match key {
            "name" => name = field.string()?,
            "newName" => new_name = field.string()?,
            "newTag" => new_tag = field.string()?,
            "tagSuffix" => tag_suffix = field.string()?,
            "digest" => digest = field.string()?,
            _ => return Err(field.unknown(&["name", "newName", "newTag", "tagSuffix", "digest"])),
        }
    }
    Ok(Image { name, new_name, new_tag, tag_suffix, digest, place: entry.place() })
}

fn replicas(entry: &Field<'_>) -> Result<Replicas, BuildError> {
    let mut replicas = Replicas { name: String::new(), count: 0, place: entry.place() };
    for (name, field) in entry.pairs()? {
        match name {
            "name" => replicas.name = field.string()?,
            "count" => replicas.count = field.integer()?,
            _ => return Err(field.unknown(&["name", "count"])),
        }
    }
    Ok(replicas)
}

fn patch(entry: &Field<'_>) -> Result<Patch, BuildError> {
    let (mut inline, mut path, mut target) = (None, None, None);
    let (mut allow_name_change, mut allow_kind_change) = (false, false);
    for (name, field) in entry.pairs()? {
        match name {
            "patch" => inline = Some((field.string()?, field.place())),
            "path" => path = Some((field.string()?, field.place())),
            "target" => target = Some(patch_target(&field)?),
            "options" => {
                for (name, field) in field.pairs()? {
                    match name {
                        "allowNameChange" => allow_name_change = field.boolean()?,
                        "allowKindChange" => allow_kind_change = field.boolean()?,
                        _ => return Err(field.unknown(&["allowNameChange", "allowKindChange"])),
                    }
                }
            }
            _ => return Err(field.unknown(&["path", "patch", "target", "options"])),
        }
    }
    let inline = inline.filter(|(text, _)| !text.trim().is_empty());
    let path = path.filter(|(text, _)| !text.is_empty());
    let source = match (inline, path) {
        (Some((text, place)), None) => PatchSource::Inline(text, place),
        (None, Some((path, place))) => PatchSource::File(path, place),
        (None, None) => return Err(entry.error("needs a patch or a path")),
        (Some(_), Some(_)) => return Err(entry.error("must not have both a patch and a path")),
    };
    Ok(Patch { source, target, allow_name_change, allow_kind_change, place: entry.place() })
}

fn patch_target(entry: &Field<'_>) -> Result<Target, BuildError> {
    let mut target = Target { place: entry.place(), ..Target::default() };
    for (name, field) in entry.pairs()? {
        match name {
            "group" => target.gvk.group = field.string()?,
            "version" => target.gvk.version = field.string()?,
            "kind" => target.gvk.kind = field.string()?,
            "name" => target.name = field.string()?,
            "namespace" => target.namespace = field.string()?,
            "labelSelector" => target.label_selector = field.string()?,
            "annotationSelector" => target.annotation_selector = field.string()?,
            _ => {
                let known = ["group", "version", "kind", "name", "namespace", "labelSelector", "annotationSelector"];
                return Err(field.unknown(&known));
            }
        }
    }
    Ok(target)
}

fn generator(entry: &Field<'_>, secret: bool) -> Result<Generator, BuildError> {
    let mut generator = Generator {
        name: String::new(),
        namespace: String::new(),
        behavior: Behavior::Create,
        literals: Vec::new(),
        files: Vec::new(),
        envs: Vec::new(),
        kind: String::new(),
        options: GeneratorOptions::default(),
        place: entry.place(),
    };
    let mut env = None;
    for (name, field) in entry.pairs()? {
        match name {
            "name" => generator.name = field.string()?,
            "namespace" => generator.namespace = field.string()?,
            "behavior" => {
                generator.behavior = match field.string()?.as_str() {
                    "create" | "" => Behavior::Create,
                    "replace" => Behavior::Replace,
                    "merge" => Behavior::Merge,
                    _ => return Err(field.error("must be create, replace or merge")),
                }
            }
            "literals" => generator.literals = field.strings()?,
            "files" => generator.files = field.strings()?,
            "envs" => generator.envs = field.strings()?,
            "env" => env = Some((field.string()?, field.place())),
            "options" => generator.options = generator_options(&field)?,
            "type" if secret => generator.kind = field.string()?,
            _ => {
                let known = ["name", "namespace", "behavior", "literals", "files", "envs", "options", "env", "type"];
                return Err(field.unknown(&known[..if secret { 9 } else { 8 }]));
            }
        }
    }
    generator.envs.extend(env.filter(|(path, _)| !path.is_empty()));
    if generator.name.is_empty() {
        return Err(entry.error("needs a name"));
    }
    Ok(generator)
}

fn generator_options(entry: &Field<'_>) -> Result<GeneratorOptions, BuildError> {
    let mut options = GeneratorOptions::default();
    for (name, field) in entry.pairs()? {
        match name {
            "labels" => options.labels = field.map()?,
            "annotations" => options.annotations = field.map()?,
            "disableNameSuffixHash" => options.disable_name_suffix_hash = field.boolean()?,
            "immutable" => options.immutable = field.boolean()?,
            _ => return Err(field.unknown(&["labels", "annotations", "disableNameSuffixHash", "immutable"])),
        }
    }
    Ok(options)
}

fn sort(entry: &Field<'_>) -> Result<Sort, BuildError> {
    let (mut order, mut legacy) = (String::new(), None);
    for (name, field) in entry.pairs()? {
        match name {
            "order" => order = field.string()?,
            "legacySortOptions" => {
                let (mut first, mut last) = (Vec::new(), Vec::new());
                for (name, field) in field.pairs()? {
                    let kinds = || Ok::<_, BuildError>(field.strings()?.into_iter().map(|(kind, _)| kind).collect());
                    match name {
                        "orderFirst" => first = kinds()?,
                        "orderLast" => last = kinds()?,
                        _ => return Err(field.unknown(&["orderFirst", "orderLast"])),
                    }
                }
                legacy = Some((first, last));
            }
            _ => return Err(field.unknown(&["order", "legacySortOptions"])),
        }
    }
    match (order.as_str(), legacy) {
        ("legacy", legacy) => Ok(Sort::Legacy(legacy)),
        ("fifo", None) => Ok(Sort::Fifo),
        ("fifo", Some(_)) => Err(entry.error("legacySortOptions go with the order legacy only")),
        _ => Err(entry.error("the order must be legacy or fifo")),
    }
}
