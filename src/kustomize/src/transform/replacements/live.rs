//! The value of a replacement, read where it stands.
//!
//! Stock kustomize hands on the source's own node: what a replacement writes into it, or makes in it, is there when the
//! next target is written, and when the next field of the same target is. Its notes about the build stand among the
//! annotations of the source then, so they are part of a value that is taken from there.

use crate::collection::Collection;
use crate::resource::Resource;
use crate::transform::path::{self, FieldPathError, Way};
use crate::yaml::Node;

/// A value, and where it is read again.
pub(super) struct Live {
    value: Node,
    source: Option<Source>,
    /// What is known of the source's build, when the value holds that.
    notes: Option<Box<Resource>>,
}

struct Source {
    object: usize,
    way: Way,
    /// Whether the value holds notes about the build.
    noted: bool,
}

impl Source {
    fn read(&self, resource: &Resource) -> Option<Node> {
        if self.noted {
            path::at(&resource.noted(), &self.way).cloned()
        } else {
            path::at(&resource.node, &self.way).cloned()
        }
    }
}

impl Live {
    /// A value that stays as it is.
    pub(super) fn fixed(value: Node) -> Self {
        Self { value, source: None, notes: None }
    }

    /// The value at a path of an object; `None` when there is nothing.
    ///
    /// # Errors
    /// As [`path::way`].
    pub(super) fn of(
        objects: &mut Collection,
        object: usize,
        parts: &[String],
    ) -> Result<Option<Self>, FieldPathError> {
        let resource = objects.get_mut(object);
        let part = |at: usize| parts.get(at).map(|part| part.trim());
        let noted =
            part(0) == Some("metadata") && matches!(part(1), None | Some("annotations")) && resource.has_notes();
        if noted {
            resource.make_annotations();
        }
        let way = if noted { path::way(&resource.noted(), parts)? } else { path::way(&resource.node, parts)? };
        let Some(way) = way else { return Ok(None) };
        let source = Source { object, way, noted };
        let Some(value) = source.read(resource) else { return Ok(None) };
        let notes = noted.then(|| Box::new(Resource { node: Node::mapping(), ..resource.clone() }));
        Ok(Some(Self { value, source: Some(source), notes }))
    }

    /// What is written now.
    pub(super) fn value(&self) -> &Node {
        &self.value
    }

    /// What is known of the build of the object whose metadata or annotations this is, the path of which is given.
    pub(super) fn notes(&self) -> Option<&Resource> {
        self.notes.as_deref()
    }

    /// Whether this stands in an object, so that writing there may change it.
    pub(super) fn is_in(&self, object: usize) -> bool {
        self.source.as_ref().is_some_and(|source| source.object == object)
    }

    /// Reads the value again.
    pub(super) fn refresh(&mut self, resource: &Resource) {
        if let Some(value) = self.source.as_ref().and_then(|source| source.read(resource)) {
            self.value = value;
        }
    }

    /// To be called before something is written at a place of the source's object. What is around the value is replaced as
    /// a whole, and the value is not part of it any more.
    pub(super) fn will_write(&mut self, way: &[usize]) {
        if self.source.as_ref().is_some_and(|source| source.way.len() > way.len() && source.way.starts_with(way)) {
            self.source = None;
        }
    }
}
