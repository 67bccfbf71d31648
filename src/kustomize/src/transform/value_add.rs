//! The plugin `ValueAddTransformer`: a value put into a field, or into one part of the path that a field holds.

use crate::BuildError;
use crate::collection::Collection;
use crate::config::Specs;
use crate::field::{Field, Place};
use crate::field_spec::{FieldSpec, split};
use crate::patch::{Selector, Target};
use crate::resource::Resource;
use crate::yaml::Kind;

use super::namespace::{Namespace, NamespaceError, Subjects};
use super::path::{self, FieldPathError, Made};

const NAMESPACE: &str = "metadata/namespace";

#[derive(Clone, Debug)]
pub(crate) struct ValueAdd {
    pub(crate) value: String,
    pub(crate) targets: Vec<TargetField>,
    pub(crate) place: Place,
}

/// Where the value goes.
#[derive(Clone, Debug)]
pub(crate) struct TargetField {
    selector: Option<Target>,
    path: String,
    /// Before which part of a file path, from 1; 0 for the whole text.
    position: usize,
}

/// Why a value cannot be put into an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum ValueAddError {
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    #[error(transparent)]
    Path(#[from] FieldPathError),
    #[error("{0} is no plain text")]
    NotText(String),
}

impl TargetField {
    pub(crate) fn read(entry: &Field<'_>) -> Result<Self, BuildError> {
        let (mut selector, mut path, mut position) = (None, String::new(), 0);
        for (name, field) in entry.fields(&["selector", "fieldPath", "filePathPosition"])? {
            match name {
                "selector" => selector = Some(Target::read(&field)?),
                "fieldPath" => path = field.string()?,
                _ => {
                    position = usize::try_from(field.integer()?).map_err(|_| field.error("must not be negative"))?;
                }
            }
        }
        if path.is_empty() {
            return Err(entry.error("needs a fieldPath"));
        }
        Ok(Self { selector, path, position })
    }
}

impl ValueAdd {
    pub(crate) fn run(&self, objects: &mut Collection) -> Result<(), BuildError> {
        if self.targets.is_empty() {
            return Err(self.place.error("needs at least one target"));
        }
        let namespace = Namespace {
            name: self.value.clone(),
            specs: Specs::from([]),
            unset_only: false,
            subjects: Subjects::default(),
            place: self.place.clone(),
        };
        let everywhere = FieldSpec::everywhere(NAMESPACE);
        for target in &self.targets {
            let selected = match &target.selector {
                Some(selector) => Selector::new(selector)?.select(objects),
                None => (0..objects.iter().len()).collect(),
            };
            for index in selected {
                let resource = objects.get_mut(index);
                let done = if target.path == NAMESPACE {
                    namespace.apply(resource, &everywhere).map_err(ValueAddError::from)
                } else {
                    self.write(resource, target)
                };
                done.map_err(|error| self.place.error(format!("{}: {error}", resource.id())))?;
            }
        }
        objects.index_all();
        Ok(())
    }

    fn write(&self, resource: &mut Resource, target: &TargetField) -> Result<(), ValueAddError> {
        let parts = split(&target.path);
        path::check_length(&parts)?;
        let Some(field) = path::get_or_make(&mut resource.node, &parts, Made::Scalar)? else { return Ok(()) };
        let Kind::Scalar(text) = &field.kind else { return Err(ValueAddError::NotText(target.path.clone())) };
        let text = match target.position {
            0 => self.value.clone(),
            position => inserted(text, position - 1, &self.value),
        };
        *field = field.with_text(text);
        Ok(())
    }
}

/// A file path with one part more; an absolute path stays absolute.
fn inserted(path: &str, position: usize, part: &str) -> String {
    let (root, rest) = path.strip_prefix('/').map_or(("", path), |rest| ("/", rest));
    let mut parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
    parts.insert(position.min(parts.len()), part);
    format!("{root}{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::inserted;

    #[test]
    fn a_part_goes_to_its_position_or_to_the_end() {
        for (path, position, expected) in [
            ("", 0, "PEACH"),
            ("/", 0, "/PEACH"),
            ("pie", 0, "PEACH/pie"),
            ("/pie", 0, "/PEACH/pie"),
            ("raw", 1, "raw/PEACH"),
            ("a/nice/pie", 2, "a/nice/PEACH/pie"),
            ("/a/b", 9998, "/a/b/PEACH"),
        ] {
            assert_eq!(inserted(path, position, "PEACH"), expected);
        }
    }
}
