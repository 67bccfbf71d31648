//! A project's Config and history tab: its overlay as it is in Git, its commits, and one commit with what it changed.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use similar::{ChangeTag, TextDiff};

use super::credentials;
use super::format::{commit_of, moment, span, state as state_badge};
use super::icon::Glyph;
use super::page_request::Visit;
use super::project::suspension;
use super::project_head::{Tab, head};
use super::thread::{outcome_of, thread};
use crate::operations::{CommitOutcome, Folder, LogEntry};
use crate::project::{Action, ErrorKind, ProjectName, Revision};
use crate::web::AppState;
use crate::web::problem::Problem;
use crate::web::request::{Id, name_of};

/// How many commits are shown.
const COMMITS: usize = 50;
/// How many unchanged lines are shown around a changed one.
const CONTEXT: usize = 3;

/// `GET /projects/{id}/config`
pub(in crate::web) async fn page(State(state): State<AppState>, id: Id, visit: Visit) -> Result<Response, Problem> {
    visit.permit(Action::Read)?;
    let name = name_of(id)?;
    let found = &*state.operations.project(&name)?;
    // Its last change has the same overlay as the head, and spares the way there.
    let folder = match found.revision.or(state.operations.snapshot().head) {
        Some(revision) => state.operations.overlay(revision, &name, COMMITS).await?,
        None => Folder::default(),
    };
    let outcomes = state.operations.history(&name).await?;
    let base = state.settings.server.base_path.as_str();
    let display = found.spec.as_ref().map_or(name.as_str(), |spec| spec.name.as_str());
    let may_change = visit.may(Action::Change) && found.spec.is_some();
    let content = html! {
        (head(base, &name, Tab::Config, &html! { "Config of " bdi { (display) } }, &html! {}))
        (overlay(&name, &folder))
        (commits(base, &name, &folder.commits, &outcomes))
        @if may_change {
            (credentials::form(base, &name))
            (suspension(base, &name, found.spec.as_ref().and_then(|spec| spec.suspended.as_deref())))
        }
        @if visit.may(Action::Delete) && found.overlay_id.is_some() {
            section aria-labelledby="end" {
                h2 id="end" { "Delete" }
                p.small { "The next page shows what is deleted and what is kept." }
                div.actions { a.button.danger href=(format!("{base}/projects/{name}/delete")) { "Delete project…" } }
            }
        }
    };
    let above = [("Projects", "/projects"), (display, &*format!("/projects/{name}"))];
    Ok(visit.page_below(&state, StatusCode::OK, "Config and history", &above, content))
}

fn overlay(name: &ProjectName, folder: &Folder) -> Markup {
    html! {
        section aria-labelledby="overlay" {
            h2 id="overlay" { "Managed in Git" }
            @match &folder.text {
                Some(text) => {
                    p.small { "This file in the state repository defines the project. Edit it here or in Git; the cluster follows." }
                    figure.code {
                        figcaption.unseen { "Overlay" }
                        header { code { "projects/" (name) "/kustomization.yaml" } }
                        pre tabindex="0" { (text) }
                    }
                }
                None => p { "The state repository has no overlay of this project any more." },
            }
        }
    }
}

/// The table of commits, with how each came into the cluster.
pub(super) fn commits(base: &str, name: &ProjectName, commits: &[LogEntry], outcomes: &[CommitOutcome]) -> Markup {
    html! {
        section aria-labelledby="commits" {
            h2 id="commits" { "Commits" }
            @if commits.is_empty() {
                p { "No commit changes this project." }
            } @else {
                div.card.holds-table {
                    table.cards {
                        caption.unseen { "The newest commits of this project" }
                        thead { tr {
                            th scope="col" { "Commit" } th scope="col" { "Subject" } th scope="col" { "Outcome" }
                            th scope="col" { "Author" } th scope="col" { "When" }
                        } }
                        tbody {
                            @for entry in commits {
                                tr {
                                    td.tight { (commit_of(base, name, &entry.revision)) }
                                    th.main scope="row" {
                                        a href=(format!("{base}/projects/{name}/commits/{}", entry.revision)) { bdi { (entry.subject) } }
                                    }
                                    td { (outcome(outcome_of(outcomes, &entry.revision))) }
                                    td data-label="Author" { bdi title=(entry.author.email) { (entry.author.name) } (source(entry)) }
                                    td data-label="When" { (moment(Some(&entry.time.to_string()))) }
                                }
                            }
                        }
                    }
                }
                @if commits.len() == COMMITS { p.small { "Older ones: " code { "git log" } " in the state repository." } }
            }
        }
    }
}

fn outcome(outcome: Option<&CommitOutcome>) -> Markup {
    let Some(outcome) = outcome else { return html! { span.mute { "Not followed" } } };
    html! {
        @if outcome.outcome == "failed" {
            (state_badge(Glyph::Failed, "Failed", "bad"))
        } @else if let Some(ready) = outcome.healthy_ms {
            (state_badge(Glyph::Done, "Ready", "good")) span.sub { "after " (span(ready)) }
        } @else {
            (state_badge(Glyph::Done, "Applied", "calm"))
        }
    }
}

/// By which way a commit came, as its trailer says.
fn source(entry: &LogEntry) -> Markup {
    let source = entry.trailers.iter().find(|(key, _)| key == "Source").map(|(_, value)| value.as_str());
    html! { @if let Some(source) = source { " " span.mute { "by " (source) } } }
}

/// `GET /projects/{id}/commits/{commit}`: a commit of a project that may be gone by now.
pub(in crate::web) async fn commit(
    State(state): State<AppState>,
    place: Result<Path<(String, String)>, PathRejection>,
    visit: Visit,
) -> Result<Response, Problem> {
    visit.permit(Action::Read)?;
    let (name, revision) = place.map(|Path(parts)| parts).unwrap_or_default();
    let name = name_of(Ok(Path(name)))?;
    let unknown = || Problem::of_kind(ErrorKind::NotFound, "there is no such commit of this project");
    let revision = Revision::parse(&revision).map_err(|_| unknown())?;
    let after = state.operations.overlay(revision, &name, 2).await?;
    let entry = after.commits.first().filter(|entry| entry.revision == revision).ok_or_else(unknown)?;
    let before = match after.commits.get(1) {
        Some(earlier) => state.operations.overlay(earlier.revision, &name, 1).await?.text,
        None => None,
    };
    let outcomes = state.operations.history(&name).await?;
    let outcome = outcome_of(&outcomes, &revision);
    let base = state.settings.server.base_path.as_str();
    let committed = entry.time.to_string();
    let content = html! {
        div.head {
            div {
                h1 { bdi { (entry.subject) } }
                p { "By " bdi title=(entry.author.email) { (entry.author.name) } (source(entry)) ", " (moment(Some(&committed))) }
            }
        }
        section.card aria-labelledby="way" {
            header { h2 id="way" { "Into the cluster" } }
            div.body {
                @if outcome.is_some() {
                    (thread(Some(&committed), outcome, None))
                } @else {
                    p.small { "The manager did not follow this commit into the cluster by itself: it was made before the manager's database, or with others that came later." }
                }
            }
        }
        section aria-labelledby="diff" {
            h2 id="diff" { "Change of the overlay" }
            (difference(&name, before.as_deref().unwrap_or_default(), after.text.as_deref().unwrap_or_default()))
            p.small { a href=(format!("{base}/plan?revision={revision}")) { "Plan of this commit" } ": what it would change in the cluster as it is now." }
            p.small { "Other files of the commit: " code { "git show " (revision.short()) } " in the state repository." }
        }
    };
    let (here, config) = (format!("/projects/{name}"), format!("/projects/{name}/config"));
    let above = [("Projects", "/projects"), (name.as_str(), &*here), ("Config and history", &*config)];
    Ok(visit.page_below(&state, StatusCode::OK, &format!("Commit {}", revision.short()), &above, content))
}

/// The lines that differ between two texts.
fn difference(name: &ProjectName, before: &str, after: &str) -> Markup {
    let diff = TextDiff::from_lines(before, after);
    let groups = diff.grouped_ops(CONTEXT);
    html! {
        figure.code {
            figcaption.unseen { "Difference" }
            header { code { "projects/" (name) "/kustomization.yaml" } }
            @if groups.is_empty() {
                p.body { "The overlay itself is as it was before." }
            } @else {
                pre.diff tabindex="0" {
                    @for (position, group) in groups.iter().enumerate() {
                        @if position > 0 { span.mute { "…" } }
                        @for part in group.iter().flat_map(|operation| diff.iter_changes(operation)) {
                            @let text = part.value().trim_end_matches('\n');
                            @match part.tag() {
                                ChangeTag::Equal => span { "  " (text) },
                                ChangeTag::Delete => span.del { "- " (text) },
                                ChangeTag::Insert => span.add { "+ " (text) },
                            }
                        }
                    }
                }
            }
        }
    }
}
