//! Who owns an object that two units want: they would overwrite each other for ever.

use std::collections::BTreeSet;

use super::UnitError;
use crate::project::layout::name_prefix;
use crate::project::{ObjectKey, ProjectName, Unit};

/// Returns the unit that keeps an object which all of `units` want: the one whose name the object carries, the longest of
/// these, else the first. `None` for no units.
pub(super) fn owner<'u>(key: &ObjectKey, units: &[&'u Unit]) -> Option<&'u Unit> {
    let named = |unit: &&&Unit| matches!(unit, Unit::Project(name) if key.name.starts_with(&name_prefix(name)));
    let longest = units.iter().filter(named).max_by_key(|unit| unit.to_string().len());
    longest.or(units.first()).copied()
}

/// Returns why a unit may not have an object that is `owner`'s.
pub(super) fn refusal(key: &ObjectKey, owner: &Unit) -> UnitError {
    UnitError::policy(format!("{key} also belongs to {owner}; rename one of them"))
}

/// Returns the projects, other than `unit`, whose names `name` begins with: no others may have an object of that name. Costs
/// what the name is long.
pub(super) fn named_by<'a>(
    name: &'a str,
    unit: &'a Unit,
    projects: &'a BTreeSet<ProjectName>,
) -> impl Iterator<Item = Unit> + 'a {
    let beginnings = name.match_indices('-').map(|(at, _)| &name[..at]);
    let listed = beginnings.filter_map(|beginning| projects.get(beginning));
    listed.map(|name| Unit::Project(name.clone())).filter(move |other| other != unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_that_an_object_carries_owns_it() {
        let unit = |text: &str| Unit::Project(ProjectName::parse(text).unwrap());
        let (a, ab, other) = (unit("a"), unit("a-b"), unit("c"));
        let key = ObjectKey::new("", "ConfigMap", None, "a-b-note");
        assert_eq!(owner(&key, &[&Unit::Base, &a, &ab, &other]), Some(&ab));
        assert_eq!(owner(&key, &[&Unit::Base, &a]), Some(&a));
        assert_eq!(owner(&key, &[&Unit::Base, &other]), Some(&Unit::Base));

        let projects = ["a", "a-b", "a-b-n", "c"].map(|text| ProjectName::parse(text).unwrap()).into();
        assert_eq!(named_by(&key.name, &a, &projects).collect::<Vec<_>>(), [ab]);
    }
}
