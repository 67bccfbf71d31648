//! Patches: strategic merges and JSON patches, inline or from files, with or without a target.

mod json;
mod strategic;
mod target;

use std::fmt::Display;
use std::sync::Arc;

use serde_json::Value;

use crate::yaml::{self, Kind, Node, Repeats};

use super::BuildError;
use super::aliased_values;
use super::collection::Collection;
use super::field::{Field, Place};
use super::id::Gvk;
use super::kustomization::Entry;
use super::load;
use super::objects::resources_of;
use super::origin;
use super::resource::{Resource, in_style_of, string_map};
use super::schema::Schema;
use super::suggest::nearest;
use super::transform::Context;
use json::JsonPatchError;
use strategic::MergeError;
pub(super) use target::{Selector, Target};

/// Where the text of a patch is.
#[derive(Clone, Debug)]
enum Source {
    Inline(String, Place),
    File(String, Place),
}

/// One entry of `patches` or `patchesJson6902`.
#[derive(Clone, Debug)]
pub(super) struct Patch {
    source: Source,
    target: Option<Target>,
    options: Options,
    place: Place,
}

/// A patch as it was read.
enum Loaded {
    Strategic(Vec<Resource>),
    Json(Vec<json::Operation>),
}

impl Patch {
    pub(super) fn read(entry: &Field<'_>) -> Result<Self, BuildError> {
        Self::of_fields(entry, &["path", "patch", "target", "options"])
    }

    /// A document of the kind `PatchJson6902Transformer`.
    pub(super) fn read_json(root: &Field<'_>) -> Result<Self, BuildError> {
        Self::of_fields(root, &["path", "jsonOp", "target"])
    }

    fn of_fields(entry: &Field<'_>, known: &[&'static str]) -> Result<Self, BuildError> {
        let (mut inline, mut path, mut target, mut options) = (None, None, None, Options::default());
        for (name, field) in entry.fields(known)? {
            match name {
                "patch" | "jsonOp" => inline = Some((field.string()?, field.place())),
                "path" => path = Some((field.string()?, field.place())),
                "target" => target = Some(Target::read(&field)?),
                _ => {
                    for (name, field) in field.fields(&["allowNameChange", "allowKindChange"])? {
                        let to = if name == "allowNameChange" { &mut options.name } else { &mut options.kind };
                        *to = field.boolean()?;
                    }
                }
            }
        }
        let inline = inline.filter(|(text, _)| !text.trim().is_empty());
        let path = path.filter(|(text, _)| !text.is_empty());
        let source = match (inline, path) {
            (Some((text, place)), None) => Source::Inline(text, place),
            (None, Some((path, place))) => Source::File(path, place),
            (None, None) => return Err(entry.error("needs a patch or a path")),
            (Some(_), Some(_)) => return Err(entry.error("must not have both a patch and a path")),
        };
        Ok(Self { source, target, options, place: entry.place() })
    }

    /// Carries out an entry of `patches`.
    pub(super) fn run(&self, context: &Context<'_>, objects: &mut Collection) -> Result<(), BuildError> {
        let merging = Merging { context, place: &self.place };
        match (self.load(context)?, &self.target) {
            (Loaded::Strategic(patches), None) => {
                for patch in &patches {
                    if let Some(index) = merging.find(patch, objects)? {
                        merging.merge(vec![index], patch, &self.options, objects)?;
                    }
                }
                Ok(())
            }
            (Loaded::Strategic(patches), Some(target)) => match patches.as_slice() {
                [] => Ok(()),
                [patch] => {
                    let selected = Selector::new(target)?.select(objects);
                    merging.merge(selected, &as_selected(patch), &self.options, objects)?;
                    objects.index()
                }
                _ => Err(self.place.error_with_hint(
                    "has several documents and a target",
                    "make an entry for each document, or remove the target",
                )),
            },
            (Loaded::Json(operations), None) if operations.is_empty() => Ok(()),
            (Loaded::Json(_), None) => {
                Err(self.place.error_with_hint("needs a target", "a JSON patch does not say which object it is for"))
            }
            (Loaded::Json(operations), Some(target)) => {
                let selected = Selector::new(target)?.select(objects);
                for index in selected {
                    objects.get_mut(index).remember_id()?;
                    apply_json(objects.get_mut(index), &operations, &self.place)?;
                }
                objects.index_all();
                Ok(())
            }
        }
    }

    /// Carries out an entry of `patchesJson6902`.
    pub(super) fn run_json(&self, context: &Context<'_>, objects: &mut Collection) -> Result<(), BuildError> {
        let Some(target) = self.target.as_ref().filter(|target| !target.name.is_empty()) else {
            return Err(self.place.error("needs a target with a name"));
        };
        match self.load(context)? {
            Loaded::Json(operations) => {
                for index in Selector::new(target)?.select(objects) {
                    apply_json(objects.get_mut(index), &operations, &self.place)?;
                }
                objects.index_all();
                Ok(())
            }
            Loaded::Strategic(_) => Err(self.place.error("must be a list of operations")),
        }
    }

    /// What begins with a bracket is taken for JSON, and no YAML then.
    fn is_json(&self, text: &[u8]) -> Result<(), BuildError> {
        serde_json::from_slice::<serde::de::IgnoredAny>(text).map(drop).map_err(|error| {
            let hint = "write it as JSON, or as a YAML list with a dash before each operation";
            self.place.error_with_hint(format!("begins with [ but is no JSON: {error}"), hint)
        })
    }

    fn load(&self, context: &Context<'_>) -> Result<Loaded, BuildError> {
        let (bytes, file) = match &self.source {
            Source::Inline(text, place) => (Arc::from(text.as_bytes()), place.file.clone()),
            Source::File(text, place) => {
                let path = context.loader.file(context.directory, text, place)?;
                (context.loader.bytes(&path, place)?, path)
            }
        };
        let start = if matches!(self.source, Source::Inline(..)) { bytes.trim_ascii_start() } else { &bytes };
        let raw = start.first() == Some(&b'[');
        if raw {
            self.is_json(&bytes)?;
        }
        // Of a list of operations only the first document is read, as what stock kustomize reads of objects is thrown away.
        if looks_like_a_list(&bytes)
            && let Ok((Some(Node { kind: Kind::Sequence(items), .. }), notes)) =
                yaml::read_first(bytes.trim_ascii(), Repeats::LastCounts)
        {
            let (operations, more) = json::read(&items, raw).map_err(|error| self.place.error(error))?;
            let notes = notes.into_iter().map(|note| note.message).chain(more);
            let told = notes.map(|note| self.place.error(note).to_string());
            context.loader.warnings().borrow_mut().extend(told);
            return Ok(Loaded::Json(operations));
        }
        let documents = match &self.source {
            Source::Inline(text, place) => load::inline(text.trim(), place)?,
            Source::File(_, place) => context.loader.documents(&file, place)?.to_vec(),
        };
        match documents.as_slice() {
            [Node { kind: Kind::Sequence(_), .. }, ..] => {
                Err(self.place.error("must be a list of operations or objects"))
            }
            _ => {
                // Lines inside an inline patch count from the patch, so they would mislead.
                let relocate = |mut error: BuildError| {
                    if matches!(self.source, Source::Inline(..)) {
                        error = self.place.error(error.message);
                    }
                    error
                };
                Ok(Loaded::Strategic(resources_of(documents, &file).map_err(relocate)?))
            }
        }
    }
}

/// Whether the first line that says something begins a list.
fn looks_like_a_list(text: &[u8]) -> bool {
    let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with(b"#") && !line.starts_with(b"---"));
    first.is_some_and(|line| line.starts_with(b"-") || line.starts_with(b"["))
}

/// Carries out `patchesStrategicMerge`: paths, or patches themselves; and patches that stand in a document beside it.
pub(super) fn strategic(
    context: &Context<'_>,
    entries: &[Entry],
    more: Option<&Entry>,
    objects: &mut Collection,
) -> Result<(), BuildError> {
    let mut patches = Vec::new();
    for (text, place) in entries {
        let documents = match load::inline_objects(text, place)? {
            Some(documents) => documents,
            None => {
                let path = context.loader.file(context.directory, text, place)?;
                context.loader.documents(&path, place)?.to_vec()
            }
        };
        patches.extend(resources_of(documents, &place.file)?.into_iter().map(|patch| (patch, place)));
    }
    if let Some((text, place)) = more {
        let documents = load::inline(text, place)?;
        patches.extend(resources_of(documents, &place.file)?.into_iter().map(|patch| (patch, place)));
    }
    for (patch, place) in patches {
        let merging = Merging { context, place };
        if let Some(index) = merging.find(&patch, objects)? {
            merging.merge(vec![index], &as_selected(&patch), &Options::default(), objects)?;
            objects.index()?;
        }
    }
    Ok(())
}

/// A strategic merge that is asked for at one place.
struct Merging<'a> {
    context: &'a Context<'a>,
    place: &'a Place,
}

impl Merging<'_> {
    /// The one object that a patch without target names; `None` when it may be absent and is.
    fn find(&self, patch: &Resource, objects: &Collection) -> Result<Option<usize>, BuildError> {
        let id = patch.id();
        match objects.with_id(&id).as_slice() {
            [index] => Ok(Some(*index)),
            [] if self.context.lenient => Ok(None),
            [] => {
                let near = objects.iter().filter(|resource| resource.kind() == id.gvk.kind);
                let near = nearest(&id.name, near.map(Resource::name));
                let near = near.and_then(|name| objects.iter().map(Resource::id).find(|id| id.name == name));
                let hint = match near {
                    Some(near) => format!("the nearest object is {near}"),
                    None => "compare apiVersion, kind, name and namespace with the object in its file, or use a target"
                        .to_owned(),
                };
                Err(self.place.error_with_hint(format!("no object is {id}"), &hint))
            }
            _ => Err(self.place.error_with_hint(format!("several objects are or were {id}"), "use a target")),
        }
    }

    fn merge(
        &self,
        selected: Vec<usize>,
        patch: &Resource,
        options: &Options,
        objects: &mut Collection,
    ) -> Result<(), BuildError> {
        if !selected.is_empty() {
            self.context.merged.set(true);
            self.context.types.asked()?;
        }
        let mut gone = false;
        for index in selected {
            let resource = objects.get_mut(index);
            if options.name || options.kind {
                resource.remember_id().map_err(|error| self.misfit(resource, &error.message))?;
            }
            let kept = apply_merge(resource, &patch.node, options, &self.context.types)
                .map_err(|error| self.misfit(resource, &error))?;
            gone |= !kept;
        }
        if gone {
            objects.retain(|resource| !resource.node.is_empty());
        }
        objects.index_all();
        Ok(())
    }

    fn misfit(&self, resource: &Resource, error: &dyn Display) -> BuildError {
        self.place.error(format!("does not fit {}: {error}", resource.id()))
    }
}

/// What a patch may change of an identity.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    pub(super) name: bool,
    pub(super) kind: bool,
}

/// The patch as kustomize applies it to selected objects: its labels and annotations are strings, even null.
fn as_selected(patch: &Resource) -> Resource {
    let mut patch = patch.clone();
    for key in ["labels", "annotations"] {
        if let Some(node) = patch.node.at(&["metadata", key]) {
            let map = super::resource::text_map(Some(node));
            patch.set_meta(key, (!map.is_empty()).then(|| string_map(&map)));
        }
    }
    patch
}

/// Merges; gives whether the object is still there.
fn apply_merge(resource: &mut Resource, patch: &Node, options: &Options, types: &Schema) -> Result<bool, MergeError> {
    let (name, namespace) = (resource.name().to_owned(), resource.namespace().to_owned());
    let kind = resource.kind().to_owned();
    let mut patch = patch.clone();
    if options.name || options.kind {
        // The options are notes in the annotations of the patch, which are a mapping of strings then.
        let annotations = super::resource::text_map(patch.at(&["metadata", "annotations"]));
        if let Some(metadata) = patch.get_mut("metadata") {
            metadata.set("annotations", string_map(&annotations));
        }
    }
    // Stock kustomize keeps what it knows of an object in its annotations. A patch that takes them all away makes it
    // forget the earlier names, so that references to them are not updated.
    if forgets(&patch) {
        resource.forget_notes();
    }
    // The options are among the annotations of the patch, and so they are among those of the object then.
    resource.allowed.name |= options.name;
    resource.allowed.kind |= options.kind;
    // Types and merge keys are the object's own: a target may take in kinds that the patch does not name.
    if let Some(version) = resource.node.get("apiVersion") {
        patch.set("apiVersion", version.clone());
    }
    let gvk = Gvk::new(resource.api_version(), resource.kind());
    let node = std::mem::replace(&mut resource.node, Node::mapping());
    let shared = aliased_values::all(&node);
    let Some(mut node) = strategic::merge(node, patch, &gvk, types)?.filter(|node| !node.is_empty()) else {
        return Ok(false);
    };
    let changed = aliased_values::changed(&node, &shared);
    aliased_values::spread(&mut node, &changed);
    resource.node = node;
    if !options.kind {
        let kind = in_style_of(resource.node.get("kind"), &kind);
        resource.node.set("kind", kind);
    }
    if !matches!(resource.node.get("metadata").map(|node| &node.kind), Some(Kind::Mapping(_))) {
        resource.node.set("metadata", Node::mapping());
    }
    if !options.name {
        resource.set_name(&name);
    }
    match namespace.as_str() {
        "" => resource.set_meta("namespace", None),
        namespace => resource.set_meta_text("namespace", namespace),
    }
    Ok(true)
}

/// Whether a patch replaces or removes the annotations as a whole.
fn forgets(patch: &Node) -> bool {
    let whole =
        |node: &Node| node.is_null() || matches!(node.get("$patch").and_then(Node::text), Some("replace" | "delete"));
    let metadata = patch.get("metadata");
    whole(patch) || metadata.is_some_and(|node| whole(node) || node.get("annotations").is_some_and(whole))
}

fn apply_json(resource: &mut Resource, operations: &[json::Operation], place: &Place) -> Result<(), BuildError> {
    // An object that nothing is done to keeps its numbers as they are written.
    if operations.is_empty() {
        return Ok(());
    }
    let fail = |error: JsonPatchError| place.error(format!("does not fit {}: {error}", resource.id()));
    // Stock kustomize keeps what it knows of an object in annotations, so there are some wherever there is something to
    // keep, and a patch may add to them where the file has none.
    let notes = resource.notes();
    let mut value = resource.noted().to_json().map_err(|error| fail(error.into()))?;
    json::apply(&mut value, operations).map_err(fail)?;
    json::widen(&mut value);
    if value.pointer("/metadata/annotations").and_then(Value::as_array).is_some_and(|it| !it.is_empty()) {
        return Err(fail(JsonPatchError::Annotations));
    }
    let mark = resource.node.mark;
    resource.node = Node { mark, ..Node::from_json(&value) };
    let mut annotations = resource.meta_map("annotations");
    // What a patch takes away of these stays away; all others are put back.
    for (note, forget) in [(origin::ORIGIN, true), (origin::TRANSFORMATIONS, false)] {
        if notes.contains_key(note) && !annotations.contains_key(note) {
            if forget {
                resource.origin = None;
            } else {
                resource.transformations.clear();
            }
        }
    }
    annotations.retain(|key, _| !notes.contains_key(key));
    if resource.node.get("metadata").is_some() {
        resource.set_meta_map("annotations", &annotations);
    }
    // It may still be deleted, or get others.
    if resource.is_nameless() {
        resource.nameless = Some(Box::new(place.error("takes the kind or the name away")));
    }
    Ok(())
}
