//! A project's log as a page; with scripts it can be followed.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use futures::StreamExt as _;
use maud::html;

use super::format::sentence;
use super::page_request::Visit;
use super::project_head::{Tab, head};
use crate::operations::{LogQuery, LogStream};
use crate::project::{Action, ErrorKind};
use crate::web::AppState;
use crate::web::api::logs;
use crate::web::problem::Problem;
use crate::web::request::{Id, name_of};

/// How many lines a page shows, unless its address says otherwise.
const LINES: u32 = 200;
/// The most bytes on one page; of a longer log the end counts.
const MAX_PAGE: usize = 64 * 1024;

/// `GET /projects/{id}/logs`
pub(in crate::web) async fn page(State(state): State<AppState>, id: Id, visit: Visit) -> Result<Response, Problem> {
    visit.permit(Action::Read)?;
    let name = name_of(id)?;
    let pairs = visit.query()?;
    let mut query = logs::parse(&pairs)?;
    if !pairs.iter().any(|(name, _)| name == "lines") {
        query.lines = LINES;
    }
    // A page has an end; the script follows by the API.
    query.follow = false;
    let log = match state.operations.logs(&name, &query).await {
        Ok(stream) => Ok(text(stream).await),
        // There is no such project. That there is no log has a code, and is said on the page.
        Err(error) if error.kind == ErrorKind::NotFound && error.code.is_none() => return Err(error.into()),
        Err(error) => Err(Problem::from(error)),
    };
    let base = state.settings.server.base_path.as_str();
    let content = html! {
        (head(base, &name, Tab::Logs, &html! { "Log of " bdi { (name) } }, &html! {}))
        form.filter method="get" action=(format!("{base}/projects/{name}/logs")) {
            div.field {
                label for="lines" { "Last lines" }
                input id="lines" name="lines" type="number" min="1" max="10000" value=(query.lines);
            }
            div.field {
                label for="container" { "Container" }
                input id="container" name="container" value=(query.container) autocomplete="off" autocapitalize="none" spellcheck="false";
            }
            div.option {
                input id="previous" name="previous" type="checkbox" value="true" checked[query.previous];
                label for="previous" { "Of the run before" }
            }
            button type="submit" { "Show log" }
            button type="button" id="follow" hidden { "Follow" }
        }
        @match &log {
            Ok(text) => {
                @if text.is_empty() { p id="log-empty" { "The log is empty." } }
                pre.log id="log" tabindex="0" aria-label="Log" data-follow=(follow(base, name.as_str(), &query)) { (text) }
            }
            Err(problem) => div.notice role="note" { strong { (problem.title()) } " " (sentence(problem.detail())) },
        }
    };
    let above = [("Projects", "/projects"), (name.as_str(), &*format!("/projects/{name}"))];
    Ok(visit.page_below(&state, StatusCode::OK, "Logs", &above, content))
}

/// Where the script reads on: only what is new, since the page has the rest.
fn follow(base: &str, name: &str, query: &LogQuery) -> String {
    format!("{base}/api/projects/{name}/logs?follow=true&lines={}&container={}", query.lines, query.container)
}

/// The end of a log, as text whatever is in it.
async fn text(mut stream: LogStream) -> String {
    let mut bytes = Vec::new();
    let mut fault = None;
    while let Some(part) = stream.next().await {
        match part {
            Ok(part) => bytes.extend_from_slice(&part),
            Err(error) => {
                fault = Some(error);
                break;
            }
        }
        if bytes.len() > 2 * MAX_PAGE {
            bytes.drain(..bytes.len() - MAX_PAGE);
        }
    }
    let start = bytes.len().saturating_sub(MAX_PAGE);
    let mut text = String::from_utf8_lossy(&bytes[start..]).into_owned();
    if let Some(error) = fault {
        text.push_str(&format!("\n(the log broke off here: {error})\n"));
    }
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}
