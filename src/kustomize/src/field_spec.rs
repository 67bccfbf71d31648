//! Walking an object along the path of a field specification.

use std::sync::Arc;

use crate::yaml::{self, Kind, Node, Tag};

use super::BuildError;
use super::field::Field;
use super::id::Gvk;
use super::resource::Resource;

/// A field in objects of some kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FieldSpec {
    pub(super) gvk: Gvk,
    /// Keys joined by `/`; lists on the way are passed through.
    pub(super) path: Arc<str>,
    /// Whether an absent field is made.
    pub(super) create: bool,
    parts: Arc<[String]>,
}

impl FieldSpec {
    pub(super) fn new(gvk: Gvk, path: &str, create: bool) -> Self {
        Self { gvk, path: path.into(), create, parts: split(path).into() }
    }

    /// In objects of all kinds, and made where it is absent.
    pub(super) fn everywhere(path: &str) -> Self {
        Self::new(Gvk::default(), path, true)
    }

    pub(super) fn read(entry: &Field<'_>) -> Result<Self, BuildError> {
        let (mut gvk, mut path, mut create) = (Gvk::default(), String::new(), false);
        for (name, field) in entry.fields(&["path", "group", "version", "kind", "create"])? {
            match name {
                "group" => gvk.group = field.string()?,
                "version" => gvk.version = field.string()?,
                "kind" => gvk.kind = field.string()?,
                "path" => path = field.string()?,
                _ => create = field.boolean()?,
            }
        }
        Ok(Self::new(gvk, &path, create))
    }
}

/// Why the fields of a specification cannot be changed; `E` is what the change of one field gives.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum FieldSpecError<E> {
    #[error("a path has more than {} parts", yaml::MAX_DEPTH)]
    PathTooLong,
    #[error("{0}: a mapping or a list is expected on the way there")]
    Scalar(Arc<str>),
    #[error("{0}: the path has an empty part")]
    EmptyPart(Arc<str>),
    #[error("{0}: {1}")]
    Field(Arc<str>, E),
}

/// What is made where a field specification asks for a field that is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Create {
    Nothing,
    Text,
    Count,
    Mapping,
}

/// Whether `spec` is about objects of this kind.
pub(super) fn is_about(spec: &FieldSpec, resource: &Resource) -> bool {
    resource.is_selected(&spec.gvk)
}

/// Calls `set` for every node at the path of `spec`.
///
/// # Errors
/// [`FieldSpecError`], with what `set` gives.
pub(super) fn visit<E>(
    node: &mut Node,
    spec: &FieldSpec,
    create: Create,
    set: &mut dyn FnMut(&mut Node) -> Result<(), E>,
) -> Result<(), FieldSpecError<E>> {
    if spec.parts.len() > yaml::MAX_DEPTH {
        return Err(FieldSpecError::PathTooLong);
    }
    let create = if spec.create { create } else { Create::Nothing };
    Walk { path: &spec.path, create, set }.walk(node, &spec.parts)
}

/// As [`visit`], in a whole object: one that has notes about the build has annotations, whatever its file says, so that a
/// specification that makes no fields finds them.
///
/// # Errors
/// As [`visit`].
pub(super) fn visit_object<E>(
    resource: &mut Resource,
    spec: &FieldSpec,
    create: Create,
    set: &mut dyn FnMut(&mut Node) -> Result<(), E>,
) -> Result<(), FieldSpecError<E>> {
    if spec.path.starts_with("metadata/annotations") && resource.has_notes() {
        resource.make_annotations();
    }
    visit(&mut resource.node, spec, create, set)
}

/// Parts between slashes; `\/` is a slash inside a part.
pub(super) fn split(path: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut chars = path.strip_prefix('/').unwrap_or(path).chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some('/')) => {
                chars.next();
                if let Some(part) = parts.last_mut() {
                    part.push('/');
                }
            }
            ('/', _) => parts.push(String::new()),
            (c, _) => {
                if let Some(part) = parts.last_mut() {
                    part.push(c);
                }
            }
        }
    }
    parts
}

/// What is done at the ends of one path.
struct Walk<'a, E> {
    path: &'a Arc<str>,
    create: Create,
    set: &'a mut dyn FnMut(&mut Node) -> Result<(), E>,
}

impl<E> Walk<'_, E> {
    fn walk(&mut self, node: &mut Node, parts: &[String]) -> Result<(), FieldSpecError<E>> {
        let Some((first, rest)) = parts.split_first() else {
            return (self.set)(node).map_err(|error| FieldSpecError::Field(Arc::clone(self.path), error));
        };
        if node.is_null() {
            return Ok(());
        }
        match &mut node.kind {
            Kind::Sequence(items) => items.iter_mut().try_for_each(|item| self.walk(item, parts)),
            Kind::Scalar(_) => Err(FieldSpecError::Scalar(Arc::clone(self.path))),
            Kind::Mapping(_) => {
                let name = first.strip_suffix("[]").unwrap_or(first);
                let is_list = name != first;
                if name.is_empty() {
                    return Err(FieldSpecError::EmptyPart(Arc::clone(self.path)));
                }
                let made = match (self.create, rest.is_empty()) {
                    (Create::Nothing, _) => None,
                    _ if is_list => None,
                    (Create::Text, true) => Some(Node { tag: Tag::Str, ..Node::plain("") }),
                    (Create::Count, true) => Some(Node { tag: Tag::Int, ..Node::plain("") }),
                    (Create::Text | Create::Count | Create::Mapping, _) => Some(Node::mapping()),
                };
                if let Some(made) = &made
                    && node.get(name).is_none()
                {
                    node.set(name, made.clone());
                }
                let Some(field) = node.get_mut(name) else { return Ok(()) };
                if field.is_null() {
                    match made {
                        // The word for nothing stays as text, and is what a prefix is put before.
                        Some(made) if made.text().is_some() => field.tag = made.tag,
                        Some(made) => *field = made,
                        None if is_list => *field = Node::sequence(),
                        None => {}
                    }
                }
                self.walk(field, rest)
            }
        }
    }
}
