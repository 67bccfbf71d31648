//! The list of projects: filtered, sorted, in pages.

use std::cmp::Ordering;
use std::sync::Arc;

use super::{OperationError, Operations};
use crate::project::{Phase, ProjectName};
use crate::reconcile::ProjectState;

/// Which part of the list is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListRequest {
    /// The page, from 1.
    pub page: usize,
    /// The most projects on a page.
    pub limit: usize,
    /// What the id, the name or the repository's address contains, in either case.
    pub text: Option<String>,
    /// The phase.
    pub phase: Option<Phase>,
    /// The order.
    pub sort: Sort,
    /// Whether the order is turned round.
    pub descending: bool,
}

/// What a list is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// The name that people read.
    Name,
    /// When the project was made.
    CreatedAt,
    /// When its overlay changed last.
    UpdatedAt,
    /// The phase.
    Phase,
}

/// One page of the list.
#[derive(Clone, Debug)]
pub struct ProjectPage {
    /// The projects on the page.
    pub items: Vec<(ProjectName, Arc<ProjectState>)>,
    /// How many projects match on all pages.
    pub total: usize,
    /// How many pages there are of them.
    pub pages: usize,
    /// How many projects there are, matching or not.
    pub all: usize,
}

impl Operations {
    /// The page of the list that `request` names.
    ///
    /// # Errors
    /// An [`OperationError`] of the kind `Unavailable` until the state repository was read.
    pub fn list(&self, request: &ListRequest) -> Result<ProjectPage, OperationError> {
        let snapshot = self.loaded()?;
        let text = request.text.as_deref().map(str::to_lowercase);
        let matching = |(name, state): &(&ProjectName, &Arc<ProjectState>)| {
            request.phase.is_none_or(|phase| phase == state.status.phase)
                && text.as_deref().is_none_or(|text| contains(name, state, text))
        };
        let mut found: Vec<_> = snapshot.projects.iter().filter(matching).collect();
        // The sort is stable and the map is in the order of the ids, so equal values stay in that order: pages never
        // overlap.
        found.sort_by(|left, right| {
            let order = compare(request.sort, *left, *right);
            if request.descending { order.reverse() } else { order }
        });
        let total = found.len();
        let start = request.page.saturating_sub(1).saturating_mul(request.limit);
        let items = found.into_iter().skip(start).take(request.limit);
        let items = items.map(|(name, state)| (name.clone(), Arc::clone(state))).collect();
        Ok(ProjectPage { items, total, pages: total.div_ceil(request.limit.max(1)), all: snapshot.projects.len() })
    }
}

/// Whether the id, the name or the repository's address contains `text`, which is in lower case.
fn contains(name: &ProjectName, state: &ProjectState, text: &str) -> bool {
    let spec = state.spec.as_ref();
    name.as_str().contains(text)
        || spec.is_some_and(|spec| spec.name.to_lowercase().contains(text))
        || spec.is_some_and(|spec| spec.git_repository.to_lowercase().contains(text))
}

type Entry<'a> = (&'a ProjectName, &'a Arc<ProjectState>);

fn compare(sort: Sort, left: Entry<'_>, right: Entry<'_>) -> Ordering {
    let display = |(name, state): Entry<'_>| {
        state.spec.as_ref().map_or_else(|| name.as_str().to_lowercase(), |spec| spec.name.to_lowercase())
    };
    let (a, b) = (left.1, right.1);
    match sort {
        Sort::Name => display(left).cmp(&display(right)),
        // RFC 3339 in UTC sorts as text.
        Sort::CreatedAt => {
            let created = |state: &ProjectState| state.spec.as_ref().and_then(|spec| spec.created_at.clone());
            created(a).cmp(&created(b))
        }
        Sort::UpdatedAt => a.updated_at.cmp(&b.updated_at),
        Sort::Phase => a.status.phase.cmp(&b.status.phase),
    }
}
