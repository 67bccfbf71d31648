//! The commit that last changed each project. Git says it, too, but only to whoever walks through its history; here it is
//! remembered up to one head, so that a start has to look at what came after that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::{Store, StoreError, in_transaction, on_pool};
use crate::project::{LastChange, ProjectName, Revision};

/// The row that names the head; no project can have that name.
const HEAD: &str = "(head)";
/// So many rows are written by one statement.
const ROWS: usize = 500;

impl Store {
    /// The last change of each project as of a head; `None` when nothing is remembered.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails or holds what nobody wrote.
    pub async fn last_changes(&self) -> Result<Option<(Revision, BTreeMap<ProjectName, LastChange>)>, StoreError> {
        let rows: Vec<(String, String, i64, String)> = on_pool!(self, pool => {
            sqlx::query_as("SELECT project, revision, made_at, author FROM last_changes").fetch_all(pool).await?
        });
        let (mut head, mut changes, mut authors) = (None, BTreeMap::new(), BTreeSet::<Arc<str>>::new());
        for (project, revision, made_at, author) in rows {
            let strange = || StoreError::Content(format!("the last change of {project:?}"));
            let revision = Revision::parse(&revision).map_err(|_| strange())?;
            if project == HEAD {
                head = Some(revision);
                continue;
            }
            // A fleet has more projects than people who change them.
            let author = match authors.get(author.as_str()) {
                Some(known) => Arc::clone(known),
                None => {
                    let author: Arc<str> = author.into();
                    authors.insert(Arc::clone(&author));
                    author
                }
            };
            let time = Timestamp::from_second(made_at).map_err(|_| strange())?;
            let name = ProjectName::parse(&project).map_err(|_| strange())?;
            changes.insert(name, LastChange { revision, time, author });
        }
        Ok(head.map(|head| (head, changes)))
    }

    /// The head of the state repository that was remembered last.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails or holds what nobody wrote.
    pub async fn last_head(&self) -> Result<Option<Revision>, StoreError> {
        let found: Option<String> = on_pool!(self, pool => {
            let query = sqlx::query_scalar("SELECT revision FROM last_changes WHERE project = $1").bind(HEAD);
            query.fetch_optional(pool).await?
        });
        let strange = |_| StoreError::Content("a head that is no commit".to_owned());
        found.map(|text| Revision::parse(&text).map_err(strange)).transpose()
    }

    /// Takes what has changed from `since` to `head`, with `None` for a project that is gone; without `since` this is all
    /// there is. When something else than `since` is remembered, everything is forgotten: nobody could tell what it is worth.
    ///
    /// # Errors
    /// [`StoreError::Database`]; what is remembered is as before then.
    pub async fn set_last_changes(
        &self,
        since: Option<Revision>,
        head: Revision,
        changes: &BTreeMap<ProjectName, Option<LastChange>>,
    ) -> Result<(), StoreError> {
        in_transaction!(self, transaction => {
            let follows = match since {
                None => false,
                Some(since) => {
                    let moved = sqlx::query("UPDATE last_changes SET revision = $1 WHERE project = $2 AND revision = $3")
                        .bind(head.to_string())
                        .bind(HEAD)
                        .bind(since.to_string())
                        .execute(&mut *transaction)
                        .await?;
                    moved.rows_affected() > 0
                }
            };
            if follows {
                for name in changes.keys() {
                    let forget = sqlx::query("DELETE FROM last_changes WHERE project = $1").bind(name.as_str());
                    forget.execute(&mut *transaction).await?;
                }
            } else {
                sqlx::query("DELETE FROM last_changes").execute(&mut *transaction).await?;
            }
            if follows || since.is_none() {
                let mut rows: Vec<(&str, Revision, i64, &str)> = changes
                    .iter()
                    .filter_map(|(name, change)| change.as_ref().map(|change| (name, change)))
                    .map(|(name, change)| (name.as_str(), change.revision, change.time.as_second(), &*change.author))
                    .collect();
                if since.is_none() {
                    rows.push((HEAD, head, 0, ""));
                }
                for rows in rows.chunks(ROWS) {
                    let mut insert = sqlx::QueryBuilder::new("INSERT INTO last_changes ");
                    insert.push_values(rows, |mut row, (project, revision, made_at, author)| {
                        row.push_bind(*project).push_bind(revision.to_string()).push_bind(*made_at).push_bind(*author);
                    });
                    insert.build().execute(&mut *transaction).await?;
                }
            }
        });
        Ok(())
    }
}
