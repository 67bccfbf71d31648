//! The projects.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::format::{badge, moment};
use super::page_request::Visit;
use super::project::refreshed;
use crate::project::{Action, Phase};
use crate::web::AppState;
use crate::web::api::list::{Page, parse};
use crate::web::api::project_json::Project;
use crate::web::problem::Problem;

/// How many projects a page shows, unless its address says otherwise.
const LIMIT: usize = 25;

/// What the list is asked for.
struct Asked {
    pairs: Vec<(String, String)>,
    list: Page,
    /// How many projects there are in all.
    all: usize,
}

impl Asked {
    fn of(state: &AppState, visit: &Visit) -> Result<Self, Problem> {
        visit.permit(Action::Read)?;
        let pairs = visit.query()?;
        let mut request = parse(&pairs)?;
        if !pairs.iter().any(|(name, _)| name == "limit") {
            request.limit = LIMIT;
        }
        let found = state.operations.list(&request)?;
        Ok(Self { pairs, list: Page::of(&state.settings.server, &request, &found), all: found.all })
    }

    fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value.as_str())
    }

    /// The query of the same list on another page.
    fn query(&self, page: Option<usize>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.pairs.iter().filter(|(name, _)| page.is_none() || name != "page"));
        if let Some(page) = page {
            query.append_pair("page", &page.to_string());
        }
        let query = query.finish();
        if query.is_empty() { query } else { format!("?{query}") }
    }
}

/// `GET /projects`
pub(in crate::web) async fn page(State(state): State<AppState>, visit: Visit) -> Result<Response, Problem> {
    let asked = Asked::of(&state, &visit)?;
    let base = state.settings.server.base_path.as_str();
    let may_create = visit.may(Action::Create);
    let content = html! {
        div.head {
            h1 { "Projects" }
            @if may_create && asked.all > 0 { a.button.primary href=(format!("{base}/new")) { "New project" } }
        }
        @if asked.all == 0 {
            (none_yet(base, may_create))
        } @else {
            (filter(base, &asked))
            (refreshed("list", &format!("{base}/fragments/projects{}", asked.query(None)), &rows(base, &asked)))
        }
    };
    Ok(visit.page(&state, StatusCode::OK, "Projects", content))
}

/// What a page says before there is a project.
pub(super) fn none_yet(base: &str, may_create: bool) -> Markup {
    html! {
        div.empty {
            p { "There is no project yet. A project is a Claude Code environment for one Git repository." }
            @if may_create {
                a.button.primary href=(format!("{base}/new")) { "Create the first project" }
            } @else {
                p { "Your role can only read. An operator can create a project." }
            }
        }
    }
}

/// `GET /fragments/projects`: the part of the page that changes.
pub(in crate::web) async fn fragment(State(state): State<AppState>, visit: Visit) -> Result<Response, Problem> {
    let asked = Asked::of(&state, &visit)?;
    Ok(visit.fragment(&rows(&state.settings.server.base_path, &asked)))
}

fn filter(base: &str, asked: &Asked) -> Markup {
    html! {
        form.filter role="search" method="get" action=(format!("{base}/projects")) {
            div.field {
                label for="q" { "Name or repository" }
                input id="q" name="q" type="search" value=(asked.get("q"));
            }
            div.field {
                label for="phase" { "Phase" }
                select id="phase" name="phase" {
                    option value="" { "All" }
                    @for phase in Phase::ALL {
                        option value=(phase.as_str()) selected[phase.as_str().eq_ignore_ascii_case(asked.get("phase"))] {
                            (phase.as_str())
                        }
                    }
                }
            }
            button type="submit" { "Filter" }
            @if !asked.pairs.is_empty() { a.button.quiet href=(format!("{base}/projects")) { "Show all" } }
        }
    }
}

fn rows(base: &str, asked: &Asked) -> Markup {
    let list = &asked.list;
    html! {
        @if list.items.is_empty() {
            p.empty { "No project matches." }
        } @else {
            div.card.holds-table {
                table.cards {
                    caption.unseen { "Projects with their phase" }
                    thead {
                        tr {
                            th scope="col" { "Project" } th scope="col" { "Status" } th scope="col" { "Ticket" }
                            th scope="col" { "Last change" }
                        }
                    }
                    tbody {
                        @for project in &list.items { (row(base, project)) }
                    }
                }
            }
        }
        @if list.pages > 1 {
            nav.pages aria-label="Pages" {
                @if list.page > 1 { a rel="prev" href=(format!("{base}/projects{}", asked.query(Some(list.page - 1)))) { "Previous" } }
                span { "Page " (list.page) " of " (list.pages) " (" (list.total) " projects)" }
                @if list.page < list.pages {
                    a rel="next" href=(format!("{base}/projects{}", asked.query(Some(list.page + 1)))) { "Next" }
                }
            }
        }
    }
}

fn row(base: &str, project: &Project) -> Markup {
    let repository = project.git_repository.as_deref().unwrap_or_default();
    html! {
        tr {
            th.main scope="row" {
                a href=(format!("{base}/projects/{}", project.id)) { bdi { (project.name) } }
                span.sub { @if project.name != project.id.as_str() { (project.id) " · " } @if repository.is_empty() { "No repository" } @else { bdi { (short_address(repository)) } } }
            }
            td.wide { (badge(project.phase)) span.sub { (project.message) } }
            td data-label=[project.jira_issue.is_some().then_some("Ticket")] { @if let Some(issue) = &project.jira_issue { span.chip { bdi { (issue) } } } }
            td data-label="Changed" { (moment(project.updated_at.as_deref())) }
        }
    }
}

/// The address of a repository without what is the same in all of them.
fn short_address(address: &str) -> &str {
    let short = address.strip_prefix("https://").unwrap_or(address);
    short.strip_suffix(".git").unwrap_or(short)
}
