//! Where objects come into a build, from the documents of files, and where they leave it.

use std::collections::{BTreeSet, VecDeque};

use serde_json::Value;

use crate::yaml::{Kind, Mark, Node};
use crate::{ObjectKey, RepoPath};

use super::collection::Collection;
use super::field::Place;
use super::load;
use super::origin::{self, Metadata};
use super::resource::Resource;
use super::transform::structured;
use super::{BuildError, Object};

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

/// The objects of a file; lists are taken apart.
///
/// # Errors
/// For documents that are no objects.
pub(super) fn resources_of(
    documents: impl IntoIterator<Item = Node>,
    file: &RepoPath,
) -> Result<Vec<Resource>, BuildError> {
    let mut queue: VecDeque<Node> = documents.into_iter().collect();
    let mut resources = Vec::new();
    let mut is_alone = queue.len() == 1;
    while let Some(mut node) = queue.pop_front() {
        // The items of a `List` that is alone in its file are taken as they stand there.
        let as_written = std::mem::take(&mut is_alone) && node.get("kind").and_then(Node::text) == Some("List");
        if node.is_empty() {
            continue;
        }
        let place = Place { file: file.clone(), line: node.mark.line as usize, field: String::new() };
        let Kind::Mapping(_) = node.kind else {
            return Err(place.error("is no Kubernetes object: a mapping is expected"));
        };
        let kind = node.get("kind").and_then(Node::text).unwrap_or_default();
        if kind.is_empty() {
            return Err(place.error_with_hint("is no Kubernetes object: it has no kind", "add apiVersion and kind"));
        }
        if kind.ends_with("List") {
            match node.remove("items") {
                Some(Node { kind: Kind::Sequence(items), .. }) if as_written => {
                    queue.extend(items);
                    continue;
                }
                Some(Node { kind: Kind::Sequence(items), .. }) => {
                    for item in items {
                        queue.push_back(through_json(&item, &place)?);
                    }
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
            let hint = "remove it; only kustomize itself writes it";
            return Err(place.error_with_hint(format!("has the annotation {name}, a note of a running build"), hint));
        }
        resources.push(resource);
    }
    Ok(resources)
}

/// What stock kustomize reads again after it has written the item of a list as JSON: all texts are in quotes, all
/// collections in brackets.
fn through_json(item: &Node, place: &Place) -> Result<Node, BuildError> {
    let text = structured::json(item, false).map_err(|error| place.error(error))?;
    let read = load::inner(&text).map_err(|error| place.error(error))?;
    let mut read = read.unwrap_or_else(Node::mapping);
    mark_all(&mut read, item.mark);
    Ok(read)
}

/// Says of all that is in a node that it stands at one place.
fn mark_all(node: &mut Node, mark: Mark) {
    node.mark = mark;
    match &mut node.kind {
        Kind::Scalar(_) => {}
        Kind::Sequence(items) => items.iter_mut().for_each(|item| mark_all(item, mark)),
        Kind::Mapping(pairs) => pairs.iter_mut().for_each(|(key, value)| {
            mark_all(key, mark);
            mark_all(value, mark);
        }),
    }
}

/// Leaves out what is for tools. Stock kustomize looks for it by its identity as written, and leaves what shares that with
/// an object that is for the cluster.
pub(super) fn drop_local(objects: &mut Collection) {
    let written = |it: &Resource| [it.api_version(), it.kind(), it.name(), it.namespace()].map(str::to_owned);
    let local: BTreeSet<[String; 4]> = objects.iter().filter(|it| is_local(it)).map(written).collect();
    if !local.is_empty() {
        let others: BTreeSet<[String; 4]> = objects.iter().filter(|it| !is_local(it)).map(written).collect();
        objects.retain(|it| !local.contains(&written(it)) || others.contains(&written(it)));
    }
}

fn is_local(resource: &Resource) -> bool {
    let note = resource.node.at(&["metadata", "annotations", LOCAL_CONFIG]);
    note.is_some_and(|value| value.text() != Some("false"))
}

/// The object as it goes out: annotations of the build are gone and all others are strings.
pub(super) fn finish(resource: &mut Resource, metadata: &Metadata) -> Result<Object, BuildError> {
    if resource.node.at(&["metadata", "annotations"]).is_some() {
        let mut annotations = resource.meta_map("annotations");
        annotations.retain(|name, _| !BUILD_ANNOTATIONS.contains(&name.as_str()));
        if annotations.contains_key("") {
            return Err(resource.error("has an annotation without a name"));
        }
        resource.set_meta_map("annotations", &annotations);
    }
    origin::write(resource, metadata);
    let value = resource.node.to_json().map_err(|error| {
        let line = if error.mark.line > 0 { error.mark.line as usize } else { resource.place.line };
        Place { line, ..resource.place.clone() }.error(error)
    })?;
    let gvk = resource.gvk();
    let namespace = Some(resource.namespace()).filter(|name| !name.is_empty() && !gvk.is_cluster_scoped());
    let key = ObjectKey::new(gvk.group, gvk.kind, namespace, resource.name());
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
