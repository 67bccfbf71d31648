//! Which objects were applied for which unit, and what was sent last of each. What it lists proves, beside the field manager
//! on an object, whose the object is; a lost inventory costs one comparison of each object.

use std::collections::BTreeMap;

use super::{Store, StoreError, in_transaction, on_pool};
use crate::project::{Inventory, ObjectKey, ProjectName, Sent, Unit};

/// How [`Unit::Base`] is stored; no project can have that name.
const BASE: &str = "(base)";
/// So many objects are written by one statement.
const ROWS: usize = 500;

impl Store {
    /// What was applied for every unit.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails or holds a unit that is none.
    pub async fn inventory(&self) -> Result<BTreeMap<Unit, Inventory>, StoreError> {
        let rows: Vec<(String, String, String, String, String, Option<i64>)> = on_pool!(self, pool => {
            sqlx::query_as("SELECT unit, api_group, kind, namespace, name, sent FROM inventory").fetch_all(pool).await?
        });
        let mut inventory: BTreeMap<Unit, Inventory> = BTreeMap::new();
        for (unit, group, kind, namespace, name, sent) in rows {
            let namespace = (!namespace.is_empty()).then_some(namespace.as_str());
            let key = ObjectKey::new(group, kind, namespace, name);
            inventory.entry(parse_unit(&unit)?).or_default().insert(key, parse_sent(sent));
        }
        Ok(inventory)
    }

    /// Whether anything was ever applied and is not forgotten.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn has_inventory(&self) -> Result<bool, StoreError> {
        let found: Option<String> = on_pool!(self, pool => {
            sqlx::query_scalar("SELECT unit FROM inventory LIMIT 1").fetch_optional(pool).await?
        });
        Ok(found.is_some())
    }

    /// Replaces what was applied for `unit`; an empty set forgets it.
    ///
    /// # Errors
    /// [`StoreError::Database`]; the inventory is as before then.
    pub async fn set_inventory(&self, unit: &Unit, inventory: &Inventory) -> Result<(), StoreError> {
        self.set_inventories(&[(unit.clone(), inventory.clone())]).await
    }

    /// As [`Store::set_inventory`] for many units in order, all or none.
    ///
    /// # Errors
    /// [`StoreError::Database`]; the inventory is as before then.
    pub async fn set_inventories(&self, all: &[(Unit, Inventory)]) -> Result<(), StoreError> {
        in_transaction!(self, transaction => {
            for (unit, keys) in all {
                let unit = unit_name(unit);
                sqlx::query("DELETE FROM inventory WHERE unit = $1").bind(unit).execute(&mut *transaction).await?;
                for keys in keys.iter().collect::<Vec<_>>().chunks(ROWS) {
                    let mut insert =
                        sqlx::QueryBuilder::new("INSERT INTO inventory (unit, api_group, kind, namespace, name, sent) ");
                    insert.push_values(keys, |mut row, &(key, sent)| {
                        row.push_bind(unit)
                            .push_bind(&key.group)
                            .push_bind(&key.kind)
                            .push_bind(key.namespace.as_deref().unwrap_or_default())
                            .push_bind(&key.name)
                            .push_bind(sent_column(*sent));
                    });
                    insert.build().execute(&mut *transaction).await?;
                }
            }
        });
        Ok(())
    }
}

/// How what was sent is stored. A hash of 0, one in 2^64, costs one more apply at each start.
fn sent_column(sent: Sent) -> Option<i64> {
    match sent {
        Sent::Unknown => None,
        Sent::Unsettled => Some(0),
        Sent::Hash(hash) => Some(hash.cast_signed()),
    }
}

fn parse_sent(column: Option<i64>) -> Sent {
    match column {
        None => Sent::Unknown,
        Some(0) => Sent::Unsettled,
        Some(hash) => Sent::Hash(hash.cast_unsigned()),
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
