//! `namePrefix` and `nameSuffix`.

use crate::BuildError;
use crate::collection::Collection;
use crate::config::Specs;
use crate::field_spec::{self, Create};
use crate::resource::Resource;
use crate::tables;
use crate::yaml::{Kind, Node};

use super::FieldError;

/// The field in which the name of an object is; other fields may be changed with it.
const NAME: &str = "metadata/name";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Front,
    Back,
}

impl Side {
    pub(crate) fn set(self) -> &'static str {
        match self {
            Self::Front => "namePrefix",
            Self::Back => "nameSuffix",
        }
    }

    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Front => "PrefixTransformer",
            Self::Back => "SuffixTransformer",
        }
    }
}

/// A text that goes in front of or behind names.
#[derive(Clone, Debug)]
pub(crate) struct Affix {
    pub(crate) text: String,
    pub(crate) side: Side,
    pub(crate) specs: Specs,
}

impl Affix {
    pub(crate) fn run(&self, objects: &mut Collection) -> Result<(), BuildError> {
        objects.update(|resource| self.rename(resource))
    }

    fn rename(&self, resource: &mut Resource) -> Result<(), BuildError> {
        let original = resource.original_id().gvk;
        let fixed = tables::FIXED_NAMES
            .iter()
            .any(|(group, kind)| *kind == original.kind && (group.is_empty() || *group == original.group));
        if fixed {
            return Ok(());
        }
        for spec in self.specs.iter().filter(|spec| original.is_selected(&spec.gvk)) {
            // A document without a text still makes the fields that it asks for.
            if &*spec.path == NAME && !self.text.is_empty() {
                match self.side {
                    Side::Front => resource.prefixes.push(self.text.clone()),
                    Side::Back => resource.suffixes.push(self.text.clone()),
                }
                resource.remember_id()?;
            }
            if !field_spec::is_about(spec, resource) {
                continue;
            }
            let mut write = |node: &mut Node| self.write(node);
            field_spec::visit_object(resource, spec, Create::Text, &mut write)
                .map_err(|error| resource.error(error))?;
        }
        Ok(())
    }

    fn write(&self, node: &mut Node) -> Result<(), FieldError> {
        let Kind::Scalar(text) = &node.kind else { return Err(FieldError::NotText("a name")) };
        *node = node.with_text(match self.side {
            Side::Front => format!("{}{text}", self.text),
            Side::Back => format!("{text}{}", self.text),
        });
        Ok(())
    }
}
