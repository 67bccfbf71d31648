//! The run of a build: resources, generators, components and transformers of each directory, inner ones first; then,
//! once, what needs all objects: hashes, references, order.

use std::sync::Arc;

use serde_json::Value;

use crate::project::{Entry, Files, ObjectKey, RepoPath};
use crate::yaml::{Kind, Node};

use super::collection::Collection;
use super::field::Place;
use super::kustomization::Kustomization;
use super::load::Loader;
use super::resource::Resource;
use super::transform::{affix, images, metadata, namespace, replicas};
use super::{Build, BuildError, Object, generate, hash, order, patch, references};

/// The longest chain of directories that build on one another.
const MAX_CHAIN: usize = 64;

/// Objects with this annotation (unless `"false"`) are for tools, and left out of the output.
const LOCAL_CONFIG: &str = "config.kubernetes.io/local-config";

/// Annotations that say something about a build, and leave with it.
const BUILD_ANNOTATIONS: [&str; 10] = [
    "alpha.config.kubernetes.io/transformations",
    "config.k8s.io/id",
    "config.kubernetes.io/index",
    "config.kubernetes.io/origin",
    "config.kubernetes.io/path",
    "internal.config.kubernetes.io/annotations-migration-resource-id",
    "internal.config.kubernetes.io/id",
    "internal.config.kubernetes.io/index",
    "internal.config.kubernetes.io/path",
    "internal.config.kubernetes.io/seqindent",
];

/// What of the top directory is built.
pub(super) struct Part<'a> {
    pub(super) keep: &'a dyn Fn(&RepoPath) -> bool,
    pub(super) generators: bool,
}

pub(super) fn run(files: &dyn Files, directory: &RepoPath, part: Option<&Part<'_>>) -> Result<Build, BuildError> {
    let loader = Loader::new(files);
    let mut run = Run { loader: &loader, warnings: Vec::new(), chain: Vec::new() };
    let top = loader.kustomization(directory, None)?;
    let mut objects = run.accumulate(directory, &top, Collection::default(), part)?;
    hash::add_to_names(&mut objects)?;
    references::update(&mut objects)?;
    let mut list: Vec<Resource> = objects.into_list();
    list.retain(|resource| !is_local(resource));
    order::sort(&mut list, top.sort.as_ref());
    let objects = list.iter_mut().map(finish).collect::<Result<_, _>>()?;
    let warnings = run.warnings;
    Ok(Build { objects, inputs: loader.into_inputs(), warnings })
}

/// The paths of the top directory's resources.
pub(super) fn resources(files: &dyn Files, directory: &RepoPath) -> Result<Vec<RepoPath>, BuildError> {
    let loader = Loader::new(files);
    let top = loader.kustomization(directory, None)?;
    top.resources.iter().map(|(text, place)| Ok(loader.resolve(directory, text, place)?.0)).collect()
}

struct Run<'a> {
    loader: &'a Loader<'a>,
    warnings: Vec<String>,
    /// The directories that are being built, outermost first.
    chain: Vec<RepoPath>,
}

impl Run<'_> {
    /// Everything that the kustomization of `directory` says, done to `objects`: those of the caller for a component,
    /// none for others.
    fn accumulate(
        &mut self,
        directory: &RepoPath,
        kustomization: &Kustomization,
        mut objects: Collection,
        part: Option<&Part<'_>>,
    ) -> Result<Collection, BuildError> {
        self.chain.push(directory.clone());
        self.warnings.extend(kustomization.warnings.iter().cloned());
        for (text, place) in &kustomization.resources {
            // A part is resolved by text before anything is looked at, so that it costs what it holds.
            if let Some(part) = part
                && directory.join(text).is_ok_and(|path| !(part.keep)(&path))
            {
                continue;
            }
            match self.loader.resolve(directory, text, place)? {
                (_, Entry::File) => {
                    let path = self.loader.file(directory, text, place)?;
                    let documents = self.loader.documents(&path, place)?;
                    for resource in resources_of(documents.iter().cloned(), &path)? {
                        objects.append(resource)?;
                    }
                }
                (path, _) => {
                    let inner = self.enter(&path, place, false)?;
                    let made = self.accumulate(&path, &inner, Collection::default(), None)?;
                    objects.append_all(made)?;
                }
            }
        }
        if part.is_none_or(|part| part.generators) {
            generate::run(self.loader, directory, kustomization, &mut objects)?;
        }
        for (text, place) in &kustomization.components {
            let (path, entry) = self.loader.resolve(directory, text, place)?;
            if entry == Entry::File {
                return Err(place.error(format!("{path} is a file; a component is a directory")));
            }
            let component = self.enter(&path, place, true)?;
            objects = self.accumulate(&path, &component, objects, None)?;
        }
        self.transform(directory, kustomization, &mut objects, part.is_some())?;
        self.chain.pop();
        Ok(objects)
    }

    fn enter(&self, path: &RepoPath, place: &Place, component: bool) -> Result<Arc<Kustomization>, BuildError> {
        if let Some(visited) = self.chain.iter().find(|visited| visited.is_within(path)) {
            return Err(place.error_with_hint(
                format!("{path} is or holds {visited}, which is being built"),
                "a kustomization cannot build on itself or on a directory around it",
            ));
        }
        if self.chain.len() >= MAX_CHAIN {
            return Err(place.error(format!("more than {MAX_CHAIN} kustomizations build on one another")));
        }
        let kustomization = self.loader.kustomization(path, Some(place))?;
        match (component, kustomization.component) {
            (true, false) => Err(place.error_with_hint(
                format!("{path} is no component"),
                "list it under resources, or give it kind: Component",
            )),
            (false, true) => Err(place.error_with_hint(format!("{path} is a component"), "list it under components")),
            _ => Ok(kustomization),
        }
    }

    /// The transformers in kustomize's own order, which is not that of the file.
    fn transform(
        &self,
        directory: &RepoPath,
        kustomization: &Kustomization,
        objects: &mut Collection,
        lenient: bool,
    ) -> Result<(), BuildError> {
        let context = patch::Context { loader: self.loader, directory, lenient };
        context.strategic(&kustomization.strategic_patches, objects)?;
        for patch in &kustomization.patches {
            context.patch(patch, objects)?;
        }
        if let Some((namespace, place)) = kustomization.namespace.as_ref().filter(|(name, _)| !name.is_empty()) {
            namespace::set(objects, namespace).map_err(|error| in_field(error, place))?;
        }
        if !kustomization.name_prefix.is_empty() {
            affix::add_prefix(objects, &kustomization.name_prefix)?;
        }
        if !kustomization.name_suffix.is_empty() {
            affix::add_suffix(objects, &kustomization.name_suffix)?;
        }
        for labels in &kustomization.labels {
            metadata::add_labels(objects, labels)?;
        }
        metadata::add_common_labels(objects, &kustomization.common_labels)?;
        metadata::add_annotations(objects, &kustomization.common_annotations)?;
        for patch in &kustomization.json_patches {
            context.json_patch(patch, objects)?;
        }
        for replicas in &kustomization.replicas {
            if !replicas::set(objects, replicas)? && !lenient {
                return Err(replicas.place.error(format!("no object with replicas has the name {}", replicas.name)));
            }
        }
        kustomization.images.iter().try_for_each(|image| images::set(objects, image))
    }
}

/// Two objects that only the namespace brought together are the field's fault more than the objects'.
fn in_field(mut error: BuildError, place: &Place) -> BuildError {
    if error.hint.is_some() {
        error.message = format!("{} (after namespace in {})", error.message, place.file);
    }
    error
}

/// The objects of a file; lists are taken apart.
///
/// # Errors
/// For documents that are no objects.
pub(super) fn resources_of(
    documents: impl IntoIterator<Item = Node>,
    file: &RepoPath,
) -> Result<Vec<Resource>, BuildError> {
    let mut queue: std::collections::VecDeque<Node> = documents.into_iter().collect();
    let mut resources = Vec::new();
    while let Some(mut node) = queue.pop_front() {
        if node.is_empty() {
            continue;
        }
        let place = Place { file: file.clone(), line: node.mark.line, field: String::new() };
        let Kind::Mapping(_) = node.kind else {
            return Err(place.error("is no Kubernetes object: a mapping is expected"));
        };
        let kind = node.get("kind").and_then(Node::text).unwrap_or_default();
        if kind.is_empty() {
            return Err(place.error_with_hint("is no Kubernetes object: it has no kind", "add apiVersion and kind"));
        }
        if kind.ends_with("List") {
            match node.remove("items") {
                Some(Node { kind: Kind::Sequence(items), .. }) => {
                    queue.extend(items);
                    continue;
                }
                Some(items) if items.is_null() => continue,
                Some(_) => return Err(place.error("has items that are no list")),
                None => {}
            }
        }
        let resource = Resource::new(node, file);
        if resource.name().is_empty() && !resource.kind().ends_with("List") {
            return Err(place.error(format!("the {} has no metadata.name", resource.kind())));
        }
        if let Some(name) = resource.meta_map("annotations").keys().find(|name| is_note(name)) {
            let hint = "remove it; nobody but kustomize itself writes it";
            return Err(place.error_with_hint(format!("has the annotation {name}, a note of a running build"), hint));
        }
        resources.push(resource);
    }
    Ok(resources)
}

fn is_local(resource: &Resource) -> bool {
    resource.meta_map("annotations").get(LOCAL_CONFIG).is_some_and(|value| value != "false")
}

/// The object as it goes out: annotations of the build are gone and all others are strings.
fn finish(resource: &mut Resource) -> Result<Object, BuildError> {
    if resource.node.at(&["metadata", "annotations"]).is_some() {
        let mut annotations = resource.meta_map("annotations");
        let is_of_build = |name: &str| BUILD_ANNOTATIONS.iter().any(|of_build| name == *of_build);
        annotations.retain(|name, _| !is_of_build(name));
        resource.set_meta_map("annotations", &annotations);
    }
    let value = resource.node.to_json().map_err(|(mark, message)| {
        let line = if mark.line > 0 { mark.line } else { resource.place.line };
        Place { line, ..resource.place.clone() }.error(message)
    })?;
    let gvk = resource.gvk();
    let namespace = Some(resource.namespace()).filter(|name| !name.is_empty() && !gvk.is_cluster_scoped());
    let key = ObjectKey {
        namespace: namespace.map(str::to_owned),
        name: resource.name().to_owned(),
        group: gvk.group,
        kind: gvk.kind,
    };
    let value = match value {
        Value::Object(_) => value,
        _ => return Err(resource.place.error("is no Kubernetes object after all patches")),
    };
    Ok(Object { key, api_version: resource.api_version().to_owned(), value })
}

/// Notes that stock kustomize keeps in annotations while it builds, and that would change what it does.
const NOTES: [&str; 11] = [
    "allowKindChange",
    "allowNameChange",
    "generatorBehavior",
    "helm-generated",
    "needsHashSuffix",
    "prefixes",
    "previousKinds",
    "previousNames",
    "previousNamespaces",
    "refBy",
    "suffixes",
];

fn is_note(annotation: &str) -> bool {
    annotation.strip_prefix("internal.config.kubernetes.io/").is_some_and(|name| NOTES.contains(&name))
}
