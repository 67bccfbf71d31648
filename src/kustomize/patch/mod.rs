//! Patches: strategic merges and JSON patches, inline or from files, with or without a target.

mod json;
mod strategic;
mod target;

use crate::project::RepoPath;
use crate::yaml::{Kind, Node};

use super::BuildError;
use super::build::resources_of;
use super::collection::Collection;
use super::field::Place;
use super::id::Gvk;
use super::kustomization::{Patch, PatchSource};
use super::load::{self, Loader};
use super::resource::{Resource, string_map};
use target::Selector;

/// Where the patches of one kustomization come from.
pub(super) struct Context<'a> {
    pub(super) loader: &'a Loader<'a>,
    pub(super) directory: &'a RepoPath,
    /// Whether a patch may find no object.
    pub(super) lenient: bool,
}

/// A patch as it was read.
enum Loaded {
    Strategic(Vec<Resource>),
    Json(Vec<json::Operation>),
}

impl Context<'_> {
    /// The entries of `patchesStrategicMerge`: paths, or patches themselves.
    pub(super) fn strategic(&self, entries: &[(String, Place)], objects: &mut Collection) -> Result<(), BuildError> {
        let mut patches = Vec::new();
        for (text, place) in entries {
            let inline = load::inline(text, place).ok().filter(|documents| {
                !documents.is_empty() && documents.iter().all(|document| matches!(document.kind, Kind::Mapping(_)))
            });
            let documents = match inline {
                Some(documents) => documents,
                None => {
                    let path = self.loader.file(self.directory, text, place)?;
                    self.loader.documents(&path, place)?.to_vec()
                }
            };
            patches.extend(resources_of(documents, &place.file)?.into_iter().map(|patch| (patch, place)));
        }
        for (patch, place) in patches {
            if let Some(index) = self.find(&patch, place, objects)? {
                self.merge(vec![index], &as_selected(&patch), &Options::default(), place, objects)?;
            }
        }
        Ok(())
    }

    /// One entry of `patches`.
    pub(super) fn patch(&self, patch: &Patch, objects: &mut Collection) -> Result<(), BuildError> {
        let options = Options { name: patch.allow_name_change, kind: patch.allow_kind_change };
        match (self.load(patch)?, &patch.target) {
            (Loaded::Strategic(patches), None) => {
                for merge in &patches {
                    if let Some(index) = self.find(merge, &patch.place, objects)? {
                        self.merge(vec![index], merge, &options, &patch.place, objects)?;
                    }
                }
                Ok(())
            }
            (Loaded::Strategic(patches), Some(target)) => match patches.as_slice() {
                [] => Ok(()),
                [merge] => {
                    let selected = Selector::new(target)?.select(objects);
                    self.merge(selected, &as_selected(merge), &options, &patch.place, objects)
                }
                _ => Err(patch.place.error_with_hint(
                    "has several documents and a target",
                    "make an entry for each document, or remove the target",
                )),
            },
            (Loaded::Json(_), None) => {
                Err(patch.place.error_with_hint("needs a target", "a JSON patch does not say which object it is for"))
            }
            (Loaded::Json(operations), Some(target)) => {
                let selected = Selector::new(target)?.select(objects);
                for index in selected {
                    objects.get_mut(index).remember_id();
                    apply_json(objects.get_mut(index), &operations, &patch.place)?;
                }
                objects.index()
            }
        }
    }

    /// One entry of `patchesJson6902`.
    pub(super) fn json_patch(&self, patch: &Patch, objects: &mut Collection) -> Result<(), BuildError> {
        let Some(target) = patch.target.as_ref().filter(|target| !target.name.is_empty()) else {
            return Err(patch.place.error("needs a target with a name"));
        };
        match self.load(patch)? {
            Loaded::Json(operations) => {
                for index in Selector::new(target)?.select(objects) {
                    apply_json(objects.get_mut(index), &operations, &patch.place)?;
                }
                objects.index()
            }
            Loaded::Strategic(_) => Err(patch.place.error("must be a list of operations")),
        }
    }

    fn load(&self, patch: &Patch) -> Result<Loaded, BuildError> {
        let (documents, file, raw) = match &patch.source {
            PatchSource::Inline(text, place) => {
                (load::inline(text.trim(), place)?, place.file.clone(), text.trim_start().starts_with('['))
            }
            PatchSource::File(text, place) => {
                let path = self.loader.file(self.directory, text, place)?;
                let raw = self.loader.bytes(&path, place)?.first() == Some(&b'[');
                (self.loader.documents(&path, place)?.to_vec(), path, raw)
            }
        };
        match documents.as_slice() {
            [Node { kind: Kind::Sequence(items), .. }] => {
                json::read(items, raw).map(Loaded::Json).map_err(|message| patch.place.error(message))
            }
            _ => {
                // Lines inside an inline patch count from the patch, so they would mislead.
                let relocate = |mut error: BuildError| {
                    if matches!(patch.source, PatchSource::Inline(..)) {
                        error = patch.place.error(error.message);
                    }
                    error
                };
                Ok(Loaded::Strategic(resources_of(documents, &file).map_err(relocate)?))
            }
        }
    }

    /// The one object that a patch without target names; `None` when it may be absent and is.
    fn find(&self, patch: &Resource, place: &Place, objects: &Collection) -> Result<Option<usize>, BuildError> {
        let id = patch.id();
        match objects.by_any_id().get(&id).map(Vec::as_slice) {
            Some([index]) => Ok(Some(*index)),
            None | Some([]) if self.lenient => Ok(None),
            None | Some([]) => Err(place.error_with_hint(
                format!("no object is {id}"),
                "compare apiVersion, kind, name and namespace with the object in its file, or use a target",
            )),
            Some(_) => Err(place.error_with_hint(format!("several objects are or were {id}"), "use a target")),
        }
    }

    fn merge(
        &self,
        selected: Vec<usize>,
        patch: &Resource,
        options: &Options,
        place: &Place,
        objects: &mut Collection,
    ) -> Result<(), BuildError> {
        let mut gone = false;
        for index in selected {
            let resource = objects.get_mut(index);
            let kept = apply_merge(resource, &patch.node, options)
                .map_err(|message| place.error(format!("does not fit {}: {message}", resource.id())))?;
            gone |= !kept;
        }
        if gone {
            let list = std::mem::take(objects).into_list();
            return objects.replace(list.into_iter().filter(|resource| !resource.node.is_empty()).collect());
        }
        objects.index()
    }
}

/// What a patch may change of an identity.
#[derive(Default)]
struct Options {
    name: bool,
    kind: bool,
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
fn apply_merge(resource: &mut Resource, patch: &Node, options: &Options) -> Result<bool, String> {
    let (name, namespace) = (resource.name().to_owned(), resource.namespace().to_owned());
    let kind = resource.kind().to_owned();
    if options.name || options.kind {
        resource.remember_id();
    }
    let mut patch = patch.clone();
    // Types and merge keys are the object's own: a target may take in kinds that the patch does not name.
    if let Some(version) = resource.node.get("apiVersion") {
        patch.set("apiVersion", version.clone());
    }
    let gvk = Gvk::new(resource.api_version(), resource.kind());
    let node = std::mem::replace(&mut resource.node, Node::mapping());
    let Some(node) = strategic::merge(node, patch, &gvk)?.filter(|node| !node.is_empty()) else { return Ok(false) };
    resource.node = node;
    if !options.kind {
        resource.node.set("kind", Node::string(kind));
    }
    if !matches!(resource.node.get("metadata").map(|node| &node.kind), Some(Kind::Mapping(_))) {
        resource.node.set("metadata", Node::mapping());
    }
    if !options.name {
        resource.set_name(&name);
    }
    resource.set_meta("namespace", (!namespace.is_empty()).then(|| Node::string(namespace)));
    Ok(true)
}

fn apply_json(resource: &mut Resource, operations: &[json::Operation], place: &Place) -> Result<(), BuildError> {
    let fail = |message: String| place.error(format!("does not fit {}: {message}", resource.id()));
    let mut value = resource.node.to_json().map_err(|(_, message)| fail(message))?;
    json::apply(&mut value, operations).map_err(fail)?;
    let mark = resource.node.mark;
    resource.node = Node { mark, ..Node::from_json(&value) };
    if resource.kind().is_empty() || resource.name().is_empty() {
        return Err(place.error("takes the kind or the name away"));
    }
    Ok(())
}
