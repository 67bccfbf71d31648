//! Which objects were applied for which unit. The reconciler prunes an object that leaves Git only if it is in here (or
//! carries the project's label), so a lost inventory loses nothing but some certainty.

use std::collections::{BTreeMap, BTreeSet};

use super::{Store, StoreError, in_transaction, on_pool};
use crate::project::{ObjectKey, ProjectName, Unit};

/// How [`Unit::Base`] is stored; no project can have that name.
const BASE: &str = "(base)";
/// So many objects are written by one statement.
const ROWS: usize = 500;

impl Store {
    /// What was applied for every unit.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails or holds a unit that is none.
    pub async fn inventory(&self) -> Result<BTreeMap<Unit, BTreeSet<ObjectKey>>, StoreError> {
        let rows: Vec<(String, String, String, String, String)> = on_pool!(self, pool => {
            sqlx::query_as("SELECT unit, api_group, kind, namespace, name FROM inventory").fetch_all(pool).await?
        });
        let mut inventory: BTreeMap<Unit, BTreeSet<ObjectKey>> = BTreeMap::new();
        for (unit, group, kind, namespace, name) in rows {
            let namespace = (!namespace.is_empty()).then_some(namespace.as_str());
            inventory.entry(parse_unit(&unit)?).or_default().insert(ObjectKey::new(group, kind, namespace, name));
        }
        Ok(inventory)
    }

    /// Replaces what was applied for `unit`; an empty set forgets it.
    ///
    /// # Errors
    /// [`StoreError::Database`]; the inventory is as before then.
    pub async fn set_inventory(&self, unit: &Unit, keys: &BTreeSet<ObjectKey>) -> Result<(), StoreError> {
        self.set_inventories(&[(unit.clone(), keys.clone())]).await
    }

    /// As [`Store::set_inventory`] for many units in order, all or none.
    ///
    /// # Errors
    /// [`StoreError::Database`]; the inventory is as before then.
    pub async fn set_inventories(&self, all: &[(Unit, BTreeSet<ObjectKey>)]) -> Result<(), StoreError> {
        in_transaction!(self, transaction => {
            for (unit, keys) in all {
                let unit = unit_name(unit);
                sqlx::query("DELETE FROM inventory WHERE unit = $1").bind(unit).execute(&mut *transaction).await?;
                for keys in keys.iter().collect::<Vec<_>>().chunks(ROWS) {
                    let mut insert = sqlx::QueryBuilder::new("INSERT INTO inventory ");
                    insert.push_values(keys, |mut row, key| {
                        row.push_bind(unit)
                            .push_bind(&key.group)
                            .push_bind(&key.kind)
                            .push_bind(key.namespace.as_deref().unwrap_or_default())
                            .push_bind(&key.name);
                    });
                    insert.build().execute(&mut *transaction).await?;
                }
            }
        });
        Ok(())
    }
}

/// How a unit is stored.
pub(super) fn unit_name(unit: &Unit) -> &str {
    match unit {
        Unit::Base => BASE,
        Unit::Project(name) => name.as_str(),
    }
}

/// The unit that is stored so.
pub(super) fn parse_unit(text: &str) -> Result<Unit, StoreError> {
    if text == BASE {
        return Ok(Unit::Base);
    }
    ProjectName::parse(text).map(Unit::Project).map_err(|_| StoreError::Content(format!("the unit {text:?}")))
}
