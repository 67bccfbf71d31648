//! The list of projects: filtered, sorted, in pages.

use std::cmp::Ordering;

use serde::Serialize;

use super::problem::Problem;
use super::project_json::{Project, of_state};
use crate::config::ServerSettings;
use crate::project::{FieldError, Phase, ProjectName};
use crate::reconcile::{ProjectState, Snapshot};

/// What part of the list is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ListQuery {
    page: usize,
    pub(super) limit: usize,
    /// In lower case.
    text: Option<String>,
    phase: Option<Phase>,
    sort: Sort,
    descending: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Name,
    CreatedAt,
    UpdatedAt,
    Phase,
}

/// One page of the list.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    pub(super) items: Vec<Project>,
    pub(super) page: usize,
    pub(super) limit: usize,
    /// How many projects match on all pages.
    pub(super) total: usize,
    pub(super) pages: usize,
}

/// The most projects on one page.
const MAX_LIMIT: usize = 100;

impl ListQuery {
    /// Reads the parameters of a request.
    pub(super) fn parse(parameters: &[(String, String)]) -> Result<Self, Problem> {
        let mut query = Self { page: 1, limit: 10, text: None, phase: None, sort: Sort::Name, descending: false };
        let mut errors = Vec::new();
        let mut seen = Vec::new();
        for (name, value) in parameters {
            let result = if seen.contains(&name) { Err("is given twice".to_owned()) } else { query.set(name, value) };
            seen.push(name);
            if let Err(message) = result {
                errors.push(FieldError { field: super::json::path("", name), message });
            }
        }
        if errors.is_empty() { Ok(query) } else { Err(Problem::fields(errors)) }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "page" => self.page = number(value, 1_000_000)?,
            "limit" => self.limit = number(value, MAX_LIMIT)?,
            "q" if value.len() > 200 => return Err("must have at most 200 bytes".to_owned()),
            "q" => self.text = Some(value.trim().to_lowercase()).filter(|text| !text.is_empty()),
            "phase" => {
                let phase = Phase::ALL.into_iter().find(|phase| phase.as_str().eq_ignore_ascii_case(value));
                self.phase =
                    Some(phase.ok_or_else(|| format!("must be one of {}", Phase::ALL.map(Phase::as_str).join(", ")))?);
            }
            "sort" => {
                self.descending = value.starts_with('-');
                self.sort = match value.strip_prefix('-').unwrap_or(value) {
                    "name" => Sort::Name,
                    "createdAt" => Sort::CreatedAt,
                    "updatedAt" => Sort::UpdatedAt,
                    "phase" => Sort::Phase,
                    _ => {
                        return Err("must be name, createdAt, updatedAt or phase, with '-' before it to turn it round"
                            .to_owned());
                    }
                };
            }
            _ => return Err("is not known here; the parameters are page, limit, q, phase, sort".to_owned()),
        }
        Ok(())
    }

    /// The page of `snapshot` that was asked for.
    pub(super) fn answer(&self, server: &ServerSettings, snapshot: &Snapshot) -> Page {
        let mut found: Vec<(&ProjectName, &ProjectState)> = snapshot
            .projects
            .iter()
            .map(|(name, state)| (name, state.as_ref()))
            .filter(|(name, state)| self.matches(name, state))
            .collect();
        // The sort is stable and the map is in the order of the ids, so equal values stay in that order: pages never
        // overlap.
        found.sort_by(|left, right| {
            let order = self.compare(*left, *right);
            if self.descending { order.reverse() } else { order }
        });
        let total = found.len();
        let start = (self.page - 1).saturating_mul(self.limit);
        let items = found.into_iter().skip(start).take(self.limit).map(|(name, state)| of_state(server, name, state));
        Page { items: items.collect(), page: self.page, limit: self.limit, total, pages: total.div_ceil(self.limit) }
    }

    fn matches(&self, name: &ProjectName, state: &ProjectState) -> bool {
        let phase_fine = self.phase.is_none_or(|phase| phase == state.status.phase);
        let text_fine = self.text.as_ref().is_none_or(|text| {
            let spec = state.spec.as_ref();
            name.as_str().contains(text)
                || spec.is_some_and(|spec| spec.name.to_lowercase().contains(text))
                || spec.is_some_and(|spec| spec.git_repository.to_lowercase().contains(text))
        });
        phase_fine && text_fine
    }

    fn compare(&self, left: (&ProjectName, &ProjectState), right: (&ProjectName, &ProjectState)) -> Ordering {
        let display = |(name, state): (&ProjectName, &ProjectState)| {
            state.spec.as_ref().map_or_else(|| name.as_str().to_lowercase(), |spec| spec.name.to_lowercase())
        };
        let (a, b) = (left.1, right.1);
        match self.sort {
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
}

fn number(text: &str, most: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=most).contains(&number) => Ok(number),
        _ => Err(format!("must be a number from 1 to {most}")),
    }
}
