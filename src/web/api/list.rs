//! The list of projects over HTTP: its parameters, and its pages as JSON.

use serde::Serialize;

use super::json;
use super::project_json::{Project, of_state};
use crate::config::ServerSettings;
use crate::operations::{ListRequest, ProjectPage, Sort};
use crate::project::{FieldError, Phase};
use crate::web::problem::Problem;

/// One page of the list.
#[derive(Debug, Serialize)]
pub(in crate::web) struct Page {
    pub(in crate::web) items: Vec<Project>,
    pub(in crate::web) page: usize,
    pub(in crate::web) limit: usize,
    /// How many projects match on all pages.
    pub(in crate::web) total: usize,
    pub(in crate::web) pages: usize,
}

impl Page {
    /// The page that was found for `request`.
    pub(in crate::web) fn of(server: &ServerSettings, request: &ListRequest, found: &ProjectPage) -> Self {
        let items = found.items.iter().map(|(name, state)| of_state(server, name, state)).collect();
        Self { items, page: request.page, limit: request.limit, total: found.total, pages: found.pages }
    }
}

/// The most projects on one page.
const MAX_LIMIT: usize = 100;

/// Reads the parameters of a request.
pub(in crate::web) fn parse(parameters: &[(String, String)]) -> Result<ListRequest, Problem> {
    let mut request = ListRequest { page: 1, limit: 10, text: None, phase: None, sort: Sort::Name, descending: false };
    let mut errors = Vec::new();
    let mut seen = Vec::new();
    for (name, value) in parameters {
        let result =
            if seen.contains(&name) { Err("is given twice".to_owned()) } else { set(&mut request, name, value) };
        seen.push(name);
        if let Err(message) = result {
            errors.push(FieldError { field: json::path("", name), message });
        }
    }
    if errors.is_empty() { Ok(request) } else { Err(Problem::fields(errors)) }
}

fn set(request: &mut ListRequest, name: &str, value: &str) -> Result<(), String> {
    match name {
        "page" => request.page = number(value, 1_000_000)?,
        "limit" => request.limit = number(value, MAX_LIMIT)?,
        "q" if value.len() > 200 => return Err("must have at most 200 bytes".to_owned()),
        "q" => request.text = Some(value.trim().to_owned()).filter(|text| !text.is_empty()),
        "phase" => {
            let phase = Phase::ALL.into_iter().find(|phase| phase.as_str().eq_ignore_ascii_case(value));
            request.phase =
                Some(phase.ok_or_else(|| format!("must be one of {}", Phase::ALL.map(Phase::as_str).join(", ")))?);
        }
        "sort" => {
            request.descending = value.starts_with('-');
            request.sort = match value.strip_prefix('-').unwrap_or(value) {
                "name" => Sort::Name,
                "createdAt" => Sort::CreatedAt,
                "updatedAt" => Sort::UpdatedAt,
                "phase" => Sort::Phase,
                _ => {
                    return Err(
                        "must be name, createdAt, updatedAt or phase, with '-' before it to turn it round".to_owned()
                    );
                }
            };
        }
        _ => return Err("is not known here; the parameters are page, limit, q, phase, sort".to_owned()),
    }
    Ok(())
}

fn number(text: &str, most: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=most).contains(&number) => Ok(number),
        _ => Err(format!("must be a number from 1 to {most}")),
    }
}
