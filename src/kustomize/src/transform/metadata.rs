//! `labels`, `commonLabels` and `commonAnnotations`.

use std::collections::BTreeMap;

use crate::BuildError;
use crate::aliased_values;
use crate::collection::Collection;
use crate::config::{Config, Specs, joined};
use crate::field::{Field, Place};
use crate::field_spec::{self, Create, FieldSpec};
use crate::yaml::{Kind, Node};

use super::FieldError;

/// One entry of `labels`: to the metadata only, to templates too, or to selectors and templates.
#[derive(Clone, Debug, Default)]
pub(crate) struct Labels {
    pairs: BTreeMap<String, String>,
    include_selectors: bool,
    include_templates: bool,
    include_volume_claim_templates: bool,
    fields: Vec<FieldSpec>,
    place: Place,
}

impl Labels {
    pub(crate) fn read(entry: &Field<'_>) -> Result<Self, BuildError> {
        let mut labels = Self { place: entry.place(), ..Self::default() };
        let known = ["pairs", "includeSelectors", "includeTemplates", "includeVolumeClaimTemplates", "fields"];
        for (name, field) in entry.fields(&known)? {
            match name {
                "pairs" => labels.pairs = field.map()?,
                "includeSelectors" => labels.include_selectors = field.boolean()?,
                "includeTemplates" => labels.include_templates = field.boolean()?,
                "includeVolumeClaimTemplates" => labels.include_volume_claim_templates = field.boolean()?,
                _ => labels.fields = field.each(FieldSpec::read)?,
            }
        }
        Ok(labels)
    }

    /// Which fields the labels go to.
    ///
    /// # Errors
    /// When a field of this entry contradicts one of the configuration.
    pub(crate) fn resolve(&self, config: &Config) -> Result<Pairs, BuildError> {
        let conflict = super::conflict(&self.place);
        let mut specs = joined(&self.fields, &config.set("labels")).map_err(&conflict)?;
        let mut more = Vec::new();
        if self.include_selectors {
            more.push(config.set("commonLabels"));
        } else {
            if self.include_templates {
                more.push(config.set("templateLabels"));
            }
            if self.include_volume_claim_templates {
                more.push(config.set("volumeClaimTemplateLabels"));
            }
            more.push(Specs::from([FieldSpec::everywhere("metadata/labels")]));
        }
        for set in more {
            specs = joined(&specs, &set).map_err(&conflict)?;
        }
        Ok(Pairs { pairs: self.pairs.clone(), specs: specs.into() })
    }
}

/// Pairs that are put into mappings.
#[derive(Clone, Debug)]
pub(crate) struct Pairs {
    pub(crate) pairs: BTreeMap<String, String>,
    pub(crate) specs: Specs,
}

impl Pairs {
    pub(crate) fn run(&self, objects: &mut Collection) -> Result<(), BuildError> {
        if self.pairs.is_empty() {
            return Ok(());
        }
        let first = objects.numbers(self.pairs.len());
        objects.change(|resource| {
            let mut changed = Vec::new();
            for spec in self.specs.iter() {
                if !field_spec::is_about(spec, resource) {
                    continue;
                }
                let mut write = |node: &mut Node| match node.kind {
                    Kind::Mapping(_) => {
                        for (number, (key, value)) in (first..).zip(&self.pairs) {
                            let mut new = Node { mark: aliased_values::mark(number), ..Node::string(value.as_str()) };
                            if let Some(old) = node.get(key) {
                                new.mark = old.mark;
                                if aliased_values::is_shared(old) && old.text() != Some(value) {
                                    changed.push(new.clone());
                                }
                            }
                            node.set(key, new);
                        }
                        Ok(())
                    }
                    Kind::Scalar(_) if node.is_null() => Ok(()),
                    Kind::Scalar(_) | Kind::Sequence(_) => Err(FieldError::NotMapping),
                };
                field_spec::visit_object(resource, spec, Create::Mapping, &mut write)
                    .map_err(|error| resource.error(error))?;
            }
            aliased_values::spread(&mut resource.node, &changed);
            Ok(())
        })
    }
}
