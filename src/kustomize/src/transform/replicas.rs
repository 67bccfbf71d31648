//! `replicas`.

use crate::BuildError;
use crate::collection::Collection;
use crate::config::Specs;
use crate::field::{Field, Place};
use crate::field_spec::{self, Create};
use crate::suggest::nearest;
use crate::yaml::{Node, Style, Tag};

use super::{Context, FieldError};

/// One entry of `replicas`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replicas {
    name: String,
    count: i64,
    place: Place,
}

impl Replicas {
    pub(crate) fn read(entry: &Field<'_>) -> Result<Self, BuildError> {
        let mut replicas = Self { place: entry.place(), ..Self::default() };
        for (name, field) in entry.fields(&["name", "count"])? {
            match name {
                "name" => replicas.name = field.string()?,
                _ => replicas.count = field.integer()?,
            }
        }
        Ok(replicas)
    }
}

/// A count, and the fields that it goes to.
#[derive(Clone, Debug)]
pub(crate) struct Counts {
    pub(crate) replicas: Replicas,
    pub(crate) specs: Specs,
}

impl Counts {
    /// Sets the count of all objects that have or had the name.
    pub(crate) fn run(&self, context: &Context<'_>, objects: &mut Collection) -> Result<(), BuildError> {
        let Replicas { name, count, place } = &self.replicas;
        let mut found = false;
        objects.change(|resource| {
            if resource.name() != *name && resource.previous.iter().all(|(_, previous, _)| previous != name) {
                return Ok(());
            }
            for spec in self.specs.iter() {
                let named = resource
                    .previous_ids()
                    .chain([resource.id()])
                    .any(|id| id.name == *name && id.gvk.is_selected(&spec.gvk));
                if !named {
                    continue;
                }
                found = true;
                if !field_spec::is_about(spec, resource) {
                    continue;
                }
                let mut write = |node: &mut Node| {
                    if node.text().is_none() {
                        return Err(FieldError::NotText("a count"));
                    }
                    // A count in quotes, or in a block, stays a string, unless a tag says that it is none.
                    let is_text = matches!(node.tag, Tag::None | Tag::Str) && node.style != Style::Plain;
                    let tag = if is_text { Tag::Str } else { Tag::Int };
                    *node = Node { tag, style: node.style, mark: node.mark, ..Node::plain(count.to_string()) };
                    Ok(())
                };
                field_spec::visit_object(resource, spec, Create::Count, &mut write)
                    .map_err(|error| resource.error(error))?;
            }
            Ok(())
        })?;
        if found || context.lenient {
            return Ok(());
        }
        let mut error = place.error(format!("no object with replicas has the name {name}"));
        let counted =
            objects.iter().filter(|resource| self.specs.iter().any(|spec| field_spec::is_about(spec, resource)));
        error.hint = nearest(name, counted.map(|resource| resource.name())).map(|near| format!("did you mean {near}?"));
        Err(error)
    }
}
