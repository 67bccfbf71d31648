//! Which unit of the tree wants which object, so that none deletes what another one wants; and how the units stand that a
//! live object names.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::{DesiredUnit, WantedUnits};
use crate::plan::{Observation, Standing};
use crate::project::{ObjectKey, Unit};

/// The keys that the units of one tree want. A unit that does not build wants nothing here.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims(BTreeMap<ObjectKey, Unit>);

impl Claims {
    /// Those of a whole tree.
    pub(super) fn of(units: &WantedUnits) -> Self {
        let mut claims = Self::default();
        units.iter().for_each(|(unit, desired)| claims.replace(unit, None, Some(desired)));
        claims
    }

    /// Replaces what a unit wanted by what it wants now. What another unit has claimed meanwhile stays with that one.
    pub(super) fn replace(&mut self, unit: &Unit, before: Option<&DesiredUnit>, after: Option<&DesiredUnit>) {
        for key in keys(before) {
            if self.0.get(key) == Some(unit) {
                self.0.remove(key);
            }
        }
        self.0.extend(keys(after).map(|key| (key.clone(), unit.clone())));
    }

    /// Adds to `observation`, of `unit`, which of its objects other units want, and how the units stand that are named on
    /// its objects.
    pub(super) fn complete(&self, observation: &mut Observation, unit: &Unit, standing: impl Fn(&Unit) -> Standing) {
        let mut named = BTreeSet::new();
        for (key, live) in &observation.objects {
            if let Some(other) = self.0.get(key).filter(|other| *other != unit) {
                observation.wanted_elsewhere.insert(key.clone(), other.clone());
            }
            named.extend(live.label.iter().chain(&live.appliers).filter(|other| *other != unit));
        }
        observation.others = named.into_iter().map(|other| (other.clone(), standing(other))).collect();
    }
}

fn keys(desired: Option<&DesiredUnit>) -> impl Iterator<Item = &ObjectKey> {
    desired.into_iter().flat_map(|desired| desired.objects.iter().flat_map(|all| all.iter())).map(|object| &object.key)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::desired::Packed;
    use crate::plan::{Live, Packer};
    use crate::project::{ProjectName, Revision};
    use kustomize::Object;

    fn unit(name: &str) -> Unit {
        Unit::Project(ProjectName::parse(name).unwrap())
    }

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new("", "Service", None, name)
    }

    fn wants(names: &[&str]) -> Arc<DesiredUnit> {
        let object = |name: &&str| Object { key: key(name), api_version: "v1".into(), value: json!({}) };
        Arc::new(DesiredUnit {
            revision: Revision::from_bytes([1; 20]),
            objects: Ok(Arc::new(Packed::of(&Packer::default(), names.iter().map(object).collect()))),
            spec: None,
            overlay_id: None,
            suspended: None,
        })
    }

    #[test]
    fn an_object_that_moves_is_its_new_units_in_whatever_order_the_units_are_taken() {
        let before = BTreeMap::from([(unit("a"), wants(&["x", "y"])), (unit("b"), wants(&[]))]);
        let (a, b) = (wants(&["y"]), wants(&["x"]));
        let owner = |claims: &Claims, name: &str| claims.0.get(&key(name)).map(Unit::to_string);
        for a_first in [true, false] {
            let mut claims = Claims::of(&before);
            if a_first {
                claims.replace(&unit("a"), before.get(&unit("a")).map(|one| &**one), Some(&a));
            }
            claims.replace(&unit("b"), before.get(&unit("b")).map(|one| &**one), Some(&b));
            if !a_first {
                claims.replace(&unit("a"), before.get(&unit("a")).map(|one| &**one), Some(&a));
            }
            assert_eq!((owner(&claims, "x").as_deref(), owner(&claims, "y").as_deref()), (Some("b"), Some("a")));
            claims.replace(&unit("a"), Some(&a), None);
            assert_eq!(owner(&claims, "y"), None);
        }
    }

    #[test]
    fn an_observation_says_who_wants_its_objects_and_how_those_stand_that_they_name() {
        let claims = Claims::of(&BTreeMap::from([(unit("a"), wants(&["x"])), (unit("b"), wants(&["y"]))]));
        let live = Live::new(json!({"metadata": {"labels": {"claude-manager.io/project": "c"},
            "managedFields": [{"manager": "claude-manager/a", "operation": "Apply"}]}}));
        let mut observation = Observation::default();
        observation.objects.extend(["x", "y"].map(|name| (key(name), live.clone())));
        let standing = |other: &Unit| if *other == unit("a") { Standing::Builds } else { Standing::Unknown };
        claims.complete(&mut observation, &unit("b"), standing);
        assert_eq!(observation.wanted_elsewhere, BTreeMap::from([(key("x"), unit("a"))]));
        let others = BTreeMap::from([(unit("a"), Standing::Builds), (unit("c"), Standing::Unknown)]);
        assert_eq!(observation.others, others);
    }
}
