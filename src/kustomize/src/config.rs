//! Which fields the transformers change: kustomize's defaults, with what `configurations` and `crds` add to them.
//!
//! What one kustomization adds holds for it and for all that build on it.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use super::BuildError;
use super::field::Field;
use super::field_spec::FieldSpec;
use super::id::Gvk;
use super::order;
use super::tables;

static DEFAULT: LazyLock<Arc<Config>> = LazyLock::new(|| Arc::new(Config::of_tables()));

/// The sets, by the names that they have in a configuration file.
const SETS: [&str; 11] = [
    "namePrefix",
    "nameSuffix",
    "namespace",
    "commonLabels",
    "labels",
    "templateLabels",
    "volumeClaimTemplateLabels",
    "commonAnnotations",
    "varReference",
    "images",
    "replicas",
];

/// Field specifications that transformers share without copying them.
pub(super) type Specs = Arc<[FieldSpec]>;

/// The fields of all transformers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Config {
    sets: BTreeMap<&'static str, Specs>,
    /// Ordered by what is named.
    pub(super) references: Vec<References>,
}

/// The fields in which objects name one of this kind.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct References {
    pub(super) target: Gvk,
    pub(super) fields: Vec<FieldSpec>,
}

/// Two specifications of one field of which only one makes it where it is absent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the field {0} is there already with another value of create")]
pub(super) struct Conflict(pub(super) String);

impl Config {
    /// The fields that kustomize knows by itself.
    pub(super) fn default_fields() -> Arc<Self> {
        Arc::clone(&DEFAULT)
    }

    /// Whether this has nothing beside what kustomize knows by itself.
    pub(super) fn adds_nothing(&self) -> bool {
        std::ptr::eq(self, &**DEFAULT) || *self == Self::default() || *self == **DEFAULT
    }

    fn of_tables() -> Self {
        let mut sets: BTreeMap<&'static str, Vec<FieldSpec>> = BTreeMap::new();
        let mut references: Vec<References> = Vec::new();
        for words in tables::default_fields() {
            match words.as_slice() {
                ["reference", group, version, kind, spec @ ..] => {
                    let target = gvk(group, version, kind);
                    let Some(field) = field_spec(spec) else { continue };
                    match references.iter_mut().find(|references| references.target == target) {
                        Some(references) => references.fields.push(field),
                        None => references.push(References { target, fields: vec![field] }),
                    }
                }
                [set, spec @ ..] => {
                    if let Some(field) = field_spec(spec) {
                        sets.entry(set).or_default().push(field);
                    }
                }
                [] => {}
            }
        }
        let sets = sets.into_iter().map(|(name, specs)| (name, Specs::from(specs))).collect();
        references.sort_by_cached_key(|references| order::gvk_key(&references.target));
        Self { sets, references }
    }

    /// The fields of one transformer.
    pub(super) fn set(&self, name: &str) -> Specs {
        self.sets.get(name).map(Arc::clone).unwrap_or_else(|| Specs::from([]))
    }

    /// Reads a file that `configurations` names.
    ///
    /// # Errors
    /// For unknown fields and wrong types; and as [`add`].
    pub(super) fn read(root: &Field<'_>) -> Result<Self, BuildError> {
        let mut config = Self::default();
        let known: Vec<&'static str> = SETS.into_iter().chain(["nameReference"]).collect();
        for (name, field) in root.fields(&known)? {
            if name == "nameReference" {
                for entry in field.items()? {
                    let (mut target, mut fields) = (Gvk::default(), Vec::new());
                    for (name, field) in entry.fields(&["group", "version", "kind", "fieldSpecs"])? {
                        match name {
                            "group" => target.group = field.string()?,
                            "version" => target.version = field.string()?,
                            "kind" => target.kind = field.string()?,
                            _ => fields = field.each(FieldSpec::read)?,
                        }
                    }
                    config.add_references(&target, &fields).map_err(|conflict| entry.error(conflict))?;
                }
            } else {
                let specs = field.each(FieldSpec::read)?;
                config.add(name, &specs).map_err(|conflict| field.error(conflict))?;
            }
        }
        Ok(config)
    }

    /// Adds fields to one set.
    ///
    /// # Errors
    /// [`Conflict`].
    pub(super) fn add(&mut self, set: &'static str, more: &[FieldSpec]) -> Result<(), Conflict> {
        let old = self.set(set);
        self.sets.insert(set, Specs::from(joined(&old, more)?));
        Ok(())
    }

    /// Adds fields in which objects of one kind are named.
    ///
    /// # Errors
    /// [`Conflict`].
    pub(super) fn add_references(&mut self, target: &Gvk, more: &[FieldSpec]) -> Result<(), Conflict> {
        match self.references.iter_mut().find(|references| references.target == *target) {
            Some(references) => references.fields = joined(&references.fields, more)?,
            None => self.references.push(References { target: target.clone(), fields: more.to_vec() }),
        }
        self.references.sort_by_cached_key(|references| order::gvk_key(&references.target));
        Ok(())
    }

    /// Both together.
    ///
    /// # Errors
    /// [`Conflict`].
    pub(super) fn merged(first: &Arc<Self>, second: &Arc<Self>) -> Result<Arc<Self>, Conflict> {
        // Nearly always both are the defaults.
        if Arc::ptr_eq(first, second) || **second == Self::default() {
            return Ok(Arc::clone(first));
        }
        if **first == Self::default() {
            return Ok(Arc::clone(second));
        }
        let mut merged = (**first).clone();
        for (set, specs) in &second.sets {
            merged.add(set, specs)?;
        }
        for references in &second.references {
            merged.add_references(&references.target, &references.fields)?;
        }
        Ok(Arc::new(merged))
    }
}

/// Adds to a list what it does not have: a field that is there for some kinds covers no others, but one that is to be
/// added for all kinds counts as there when it is there for any.
///
/// # Errors
/// [`Conflict`].
pub(super) fn joined(old: &[FieldSpec], more: &[FieldSpec]) -> Result<Vec<FieldSpec>, Conflict> {
    let mut list = old.to_vec();
    for spec in more {
        match list.iter().find(|old| old.path == spec.path && old.gvk.is_selected(&spec.gvk)) {
            None => list.push(spec.clone()),
            Some(old) if old.create == spec.create => {}
            Some(_) => return Err(Conflict(spec.path.to_string())),
        }
    }
    Ok(list)
}

fn field_spec(words: &[&str]) -> Option<FieldSpec> {
    match words {
        [group, version, kind, create, path] => {
            Some(FieldSpec::new(gvk(group, version, kind), path, *create == "create"))
        }
        _ => None,
    }
}

fn gvk(group: &str, version: &str, kind: &str) -> Gvk {
    let word = |text: &str| if text == "-" { String::new() } else { text.to_owned() };
    Gvk { group: word(group), version: word(version), kind: word(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_understood() {
        let config = Config::default_fields();
        let parsed = config.sets.values().map(|specs| specs.len()).sum::<usize>()
            + config.references.iter().map(|references| references.fields.len()).sum::<usize>();
        assert_eq!(tables::default_fields().count(), parsed);
        assert!(config.sets.keys().all(|name| SETS.contains(name)));
    }

    #[test]
    fn the_same_fields_twice_are_the_same_fields() {
        let copy = Arc::new((*Config::default_fields()).clone());
        assert_eq!(Config::merged(&Config::default_fields(), &copy).unwrap(), copy);
    }

    #[test]
    fn a_field_that_is_made_in_one_file_and_not_in_another_is_a_conflict() {
        let spec = |create| FieldSpec::new(Gvk::default(), "spec/image", create);
        let mut config = Config::default();
        config.add("images", &[spec(true)]).unwrap();
        assert_eq!(config.add("images", &[spec(false)]).unwrap_err().0, "spec/image");
    }
}
