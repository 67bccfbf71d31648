//! `configMapGenerator` and `secretGenerator`, and the kinds of documents under `generators`.

pub(super) mod policy;
mod sources;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::RepoPath;
use crate::yaml::{Node, Tag};

use super::BuildError;
use super::collection::Collection;
use super::field::{Field, Place};
use super::id::Id;
use super::kustomization::Entry;
use super::load::Loader;
use super::origin::Origin;
use super::resource::{Resource, data_map, string_map};
use super::suggest::nearest;

/// What happens when a generated object exists already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Behavior {
    #[default]
    Create,
    Replace,
    Merge,
}

/// One entry of `configMapGenerator` or `secretGenerator`, or a document of one of these kinds.
#[derive(Clone, Debug, Default)]
pub(super) struct Generator {
    secret: bool,
    name: String,
    namespace: String,
    behavior: Behavior,
    literals: Vec<Entry>,
    files: Vec<Entry>,
    envs: Vec<Entry>,
    /// The `type` of a Secret.
    kind: String,
    pub(super) options: GeneratorOptions,
    /// A word that is no behaviour, which stock kustomize takes for `create`.
    pub(super) warning: Option<String>,
    place: Place,
}

/// `generatorOptions`, or the `options` of one generator.
#[derive(Clone, Debug, Default)]
pub(super) struct GeneratorOptions {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    disable_name_suffix_hash: bool,
    immutable: bool,
}

const FIELDS: [&str; 9] = ["name", "namespace", "behavior", "literals", "files", "envs", "options", "env", "type"];

impl Generator {
    pub(super) fn read(entry: &Field<'_>, secret: bool) -> Result<Self, BuildError> {
        let generator = Self::read_any(entry, secret)?;
        if generator.name.is_empty() {
            return Err(entry.error("needs a name"));
        }
        Ok(generator)
    }

    /// Reads a document of its own, whose name may stand in its metadata.
    pub(super) fn of_document(root: &Field<'_>, secret: bool, document: &Resource) -> Result<Self, BuildError> {
        let mut generator = Self::read_any(root, secret)?;
        if generator.name.is_empty() {
            document.name().clone_into(&mut generator.name);
        }
        if generator.namespace.is_empty() {
            document.namespace().clone_into(&mut generator.namespace);
        }
        Ok(generator)
    }

    /// Where this stands, when it is about an object that is there already.
    pub(super) fn changes_others(&self) -> Option<Place> {
        (self.behavior != Behavior::Create).then(|| self.place.clone())
    }

    fn read_any(entry: &Field<'_>, secret: bool) -> Result<Self, BuildError> {
        let mut generator = Self { secret, place: entry.place(), ..Self::default() };
        let mut env = None;
        for (name, field) in entry.fields(&FIELDS[..if secret { 9 } else { 8 }])? {
            match name {
                "name" => generator.name = field.string()?,
                "namespace" => generator.namespace = field.string()?,
                "behavior" => match field.string()?.as_str() {
                    "create" | "" => {}
                    "replace" => generator.behavior = Behavior::Replace,
                    "merge" => generator.behavior = Behavior::Merge,
                    _ => {
                        let message = "is not create, replace or merge, and counts as create";
                        generator.warning = Some(field.warning(message));
                    }
                },
                "literals" => generator.literals = field.strings()?,
                "files" => generator.files = field.strings()?,
                "envs" => generator.envs = field.strings()?,
                "env" => env = Some((field.string()?, field.place())),
                "options" => generator.options = GeneratorOptions::read(&field)?,
                _ => generator.kind = field.string()?,
            }
        }
        generator.envs.extend(env.filter(|(path, _)| !path.is_empty()));
        Ok(generator)
    }

    /// Makes the object, and adds it or lays it over what is there.
    pub(super) fn run(
        &self,
        loader: &Loader<'_>,
        directory: &RepoPath,
        all: &GeneratorOptions,
        origin: Option<Origin>,
        objects: &mut Collection,
    ) -> Result<(), BuildError> {
        let options = merged(&self.options, all);
        let pairs = sources::load(loader, directory, self)?;
        let mut made = if self.secret { make_secret(self, &pairs) } else { make_config_map(self, &pairs) };
        made.set_meta_map("labels", &options.labels);
        made.set_meta_map("annotations", &options.annotations);
        if options.immutable {
            made.node.set("immutable", Node { tag: Tag::Bool, ..Node::plain("true") });
        }
        made.generated = true;
        made.needs_hash = !options.disable_name_suffix_hash;
        made.place = self.place.clone();
        made.origin = origin;
        absorb(objects, made, self)
    }
}

impl GeneratorOptions {
    pub(super) fn read(entry: &Field<'_>) -> Result<Self, BuildError> {
        let mut options = Self::default();
        for (name, field) in entry.fields(&["labels", "annotations", "disableNameSuffixHash", "immutable"])? {
            match name {
                "labels" => options.labels = field.map()?,
                "annotations" => options.annotations = field.map()?,
                "disableNameSuffixHash" => options.disable_name_suffix_hash = field.boolean()?,
                _ => options.immutable = field.boolean()?,
            }
        }
        Ok(options)
    }
}

/// The options of one generator, with those for all where it has none of its own.
fn merged(own: &GeneratorOptions, all: &GeneratorOptions) -> GeneratorOptions {
    let over = |all: &BTreeMap<String, String>, own: &BTreeMap<String, String>| {
        all.iter().chain(own).map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    GeneratorOptions {
        labels: over(&all.labels, &own.labels),
        annotations: over(&all.annotations, &own.annotations),
        disable_name_suffix_hash: own.disable_name_suffix_hash || all.disable_name_suffix_hash,
        immutable: own.immutable || all.immutable,
    }
}

fn base(generator: &Generator, kind: &str) -> Resource {
    let mut node = Node::mapping();
    node.set("apiVersion", Node::plain("v1"));
    node.set("kind", Node::plain(kind));
    let mut metadata = Node::mapping();
    metadata.set("name", Node::string(generator.name.as_str()));
    if !generator.namespace.is_empty() {
        metadata.set("namespace", Node::string(generator.namespace.as_str()));
    }
    node.set("metadata", metadata);
    Resource::new(node, &generator.place.file)
}

fn make_config_map(generator: &Generator, pairs: &BTreeMap<String, Vec<u8>>) -> Resource {
    let mut made = base(generator, "ConfigMap");
    let (mut data, mut binary) = (BTreeMap::new(), BTreeMap::new());
    for (key, value) in pairs {
        match std::str::from_utf8(value) {
            Ok(text) => data.insert(key.clone(), text.to_owned()),
            Err(_) => binary.insert(key.clone(), encode(value)),
        };
    }
    set_map(&mut made.node, "data", &data);
    set_map(&mut made.node, "binaryData", &binary);
    made
}

fn make_secret(generator: &Generator, pairs: &BTreeMap<String, Vec<u8>>) -> Resource {
    let mut made = base(generator, "Secret");
    let kind = if generator.kind.is_empty() { "Opaque" } else { &generator.kind };
    made.node.set("type", Node::string(kind));
    let data: BTreeMap<String, String> = pairs.iter().map(|(key, value)| (key.clone(), encode(value))).collect();
    // Unlike a ConfigMap, a Secret has data even when it is empty.
    made.node.set("data", string_map(&data));
    made
}

fn set_map(node: &mut Node, key: &str, map: &BTreeMap<String, String>) {
    node.remove(key);
    if !map.is_empty() {
        node.set(key, string_map(map));
    }
}

/// Base64 in lines of 70, each with a line break when there is more than one.
fn encode(bytes: &[u8]) -> String {
    let text = STANDARD.encode(bytes);
    if text.len() / 70 == 0 {
        return text;
    }
    let mut lines = String::with_capacity(text.len() + text.len() / 70 + 1);
    for (at, c) in text.chars().enumerate() {
        if at > 0 && at % 70 == 0 {
            lines.push('\n');
        }
        lines.push(c);
    }
    lines.push('\n');
    lines
}

/// Adds what was generated, or lays it over what is there.
fn absorb(objects: &mut Collection, mut made: Resource, generator: &Generator) -> Result<(), BuildError> {
    let id: Id = made.id();
    let place = &generator.place;
    let at = match (objects.with_id(&id).as_slice(), generator.behavior) {
        ([], Behavior::Create) => return objects.append(made),
        ([], Behavior::Merge | Behavior::Replace) => {
            let names = objects.iter().filter(|resource| resource.kind() == id.gvk.kind).map(Resource::name);
            let hint = match nearest(&id.name, names) {
                Some(near) if near != id.name => format!("did you mean {near}?"),
                _ => "compare the name and namespace with the generator below, or use behavior: create".to_owned(),
            };
            return Err(place.error_with_hint(format!("there is no {id} to merge with or replace"), &hint));
        }
        ([_], Behavior::Create) => {
            return Err(place.error_with_hint(format!("{id} is there already"), "use behavior: merge or replace"));
        }
        ([at], Behavior::Merge | Behavior::Replace) => *at,
        _ => return Err(place.error(format!("several objects are or were {id}"))),
    };
    let old = objects.get(at);
    for key in ["labels", "annotations"] {
        let mut map = old.meta_map(key);
        map.extend(made.meta_map(key));
        made.set_meta_map(key, &map);
    }
    let namespace = old.namespace().to_owned();
    made.set_name(old.name());
    made.set_meta("namespace", (!namespace.is_empty()).then(|| Node::string(namespace)));
    if generator.behavior == Behavior::Merge {
        for key in ["data", "binaryData"] {
            let mut map = data_map(old.node.get(key));
            if key == "data" && old.kind() == "Secret" {
                // As the API server does: what is written as text wins over what is encoded.
                let text = data_map(old.node.get("stringData"));
                if !text.is_empty() && old.node.get("data").is_some_and(Node::is_null) {
                    let hint = "give the data an entry, or take the field away";
                    return Err(place.error_with_hint(format!("{id} has stringData beside data that is nothing"), hint));
                }
                map.extend(text.into_iter().map(|(key, value)| (key, encode(value.as_bytes()))));
            }
            map.extend(data_map(made.node.get(key)));
            set_map(&mut made.node, key, &map);
        }
    }
    if generator.behavior == Behavior::Merge && old.origin.is_some() {
        made.origin.clone_from(&old.origin);
    }
    made.transformations.clone_from(&old.transformations);
    made.variables.clone_from(&old.variables);
    made.previous.clone_from(&old.previous);
    made.allowed.clone_from(&old.allowed);
    made.prefixes.clone_from(&old.prefixes);
    made.suffixes.clone_from(&old.suffixes);
    made.needs_hash &= old.needs_hash;
    made.entry = old.entry;
    made.generated = old.generated;
    if made.gvk() != objects.get(at).gvk() {
        let message = format!("{} was {id} once, and cannot take its content back", objects.get(at).id());
        return Err(
            place.error_with_hint(message, "generate it after the patch that changes its kind, or under another name")
        );
    }
    *objects.get_mut(at) = made;
    objects.index()
}
