//! Backups: how they are doing, the list, making one, and restoring one with its plan first.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::flash::{Deed, Told};
use super::format::{bounded, commit, moment};
use super::page_request::Visit;
use super::see_other;
use crate::operations::{BackupOutcome, Item, RestoreOrder, RestoreOutcome, Status, VOLUMES_NOTE};
use crate::project::{Action, ProjectName, Revision, Unit};
use crate::web::AppState;
use crate::web::api::backup::page_of;
use crate::web::problem::Problem;

/// `GET /backups?page=…&limit=…`
pub(in crate::web) async fn page(State(state): State<AppState>, visit: Visit) -> Result<Response, Problem> {
    visit.permit(Action::Read)?;
    let (page, limit) = page_of(&visit.query()?)?;
    let status = state.operations.backup_status()?;
    let found = state.operations.list_backups((page - 1) * limit, limit).await?;
    let base = state.settings.server.base_path.as_str();
    let pages = found.total.div_ceil(limit).max(1);
    let content = html! {
        div.head {
            div { h1 { "Backups" } p { (VOLUMES_NOTE) } }
            @if visit.may(Action::BackUp) {
                form method="post" action=(format!("{base}/backups")) {
                    button.primary id="create" type="submit" { "Back up now" }
                }
            }
        }
        (state_of(base, &status))
        section aria-labelledby="list" {
            h2 id="list" { "All backups" }
            @if let Some(why) = &found.stale {
                div.notice.bad role="note" { strong { "The list may be old." } " " (why) }
            }
            @if found.items.is_empty() {
                p { "There is no backup on this page." }
            } @else {
                div.card.holds-table {
                    table.cards {
                        thead { tr {
                            th scope="col" { "Backup" }
                            th.num scope="col" { "Projects" }
                            th scope="col" { "Commit" }
                            th scope="col" { "Kept" }
                            th scope="col" { "Restore" }
                        } }
                        tbody { @for item in &found.items { (row(base, &visit, item)) } }
                    }
                }
            }
            @if pages > 1 {
                nav.pages aria-label="Pages" {
                    @if page > 1 { a href=(format!("{base}/backups?page={}&limit={limit}", page - 1)) { "Newer" } }
                    span { "Page " (page) " of " (pages) }
                    @if page < pages { a href=(format!("{base}/backups?page={}&limit={limit}", page + 1)) { "Older" } }
                }
            }
        }
        @if visit.may(Action::Export) {
            p.small {
                a href=(format!("{base}/api/backup/export")) { "Download the state repository" }
                " as it is now (tar.gz, with the encrypted secrets of all projects)."
            }
        }
    };
    Ok(visit.page(&state, StatusCode::OK, "Backups", content))
}

fn state_of(base: &str, status: &Status) -> Markup {
    let is_bad = matches!(status.state, "failed" | "overdue");
    html! {
        @if is_bad {
            div.notice.bad role="alert" { (status.message) }
        } @else {
            p id="state" { (status.message) }
        }
        div.card { dl.body {
            dt { "Last backup" }
            dd {
                @match &status.last {
                    Some(last) => {
                        (moment(Some(&last.completed_at.to_string())))
                        ", commit " (commit(base, &last.revision))
                        @if last.pushed { ", pushed and read back" }
                    },
                    None => "none yet",
                }
            }
            @if let Some(failure) = &status.failure {
                dt { "Fails since" }
                dd { (moment(Some(&failure.since.to_string()))) ", " (failure.attempts) " tries" }
            }
            dt { "Next backup" }
            dd {
                @match (&status.running_since, &status.next) {
                    (Some(since), _) => { "running since " (moment(Some(&since.to_string()))) },
                    (None, Some(next)) => (moment(Some(&next.to_string()))),
                    (None, None) => "on request only",
                }
            }
            dt { "Repository" }
            dd {
                @match &status.repository {
                    Some(url) => { code { (url) } ", branch " code { (status.branch) } },
                    None => "none: set BACKUP_GIT_REPOSITORY to have backups elsewhere, too",
                }
            }
            dt { "Directory" }
            dd { code { (status.directory) } }
        } }
    }
}

fn row(base: &str, visit: &Visit, item: &Item) -> Markup {
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("timestamp", &item.timestamp).finish();
    html! {
        tr {
            th scope="row" { code { (item.timestamp) } }
            td.num data-label="Projects" { @match item.projects { Some(count) => (count), None => "–" } }
            td { @match &item.revision { Some(revision) => (commit(base, revision)), None => "–" } }
            td {
                @match (item.is_local, item.is_remote) {
                    (true, true) => "here and in the repository",
                    (true, false) => "here only",
                    (false, _) => "in the repository",
                }
            }
            td {
                @match &item.reason {
                    Some(reason) => span.small { (reason) },
                    None if visit.may(Action::Restore) => {
                        a.button.slim href=(format!("{base}/backups/restore?{query}")) { "Show plan" }
                    },
                    None => "by an administrator",
                }
            }
        }
    }
}

/// `POST /backups`
pub(in crate::web) async fn create(State(state): State<AppState>, visit: Visit) -> Result<Response, Problem> {
    visit.permit(Action::BackUp)?;
    Ok(match state.operations.create_backup(&visit.actor()).await? {
        BackupOutcome::Complete(made) => {
            visit.tell(&state, "/backups", &Told::of(Deed::BackedUp, None, made.revision, true))
        }
        // The page says that it runs.
        BackupOutcome::Running => see_other(&state.settings.server, "/backups"),
    })
}

/// `GET /backups/restore?timestamp=…&project=…`
pub(in crate::web) async fn plan(State(state): State<AppState>, visit: Visit) -> Result<Response, Problem> {
    visit.permit(Action::Restore)?;
    let query = visit.query()?;
    let value = |name: &str| query.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value.as_str());
    let order = RestoreOrder { dry_run: true, ..order(value("timestamp"), value("project"))? };
    let project = order.project.clone();
    let outcome = state.operations.restore_backup(&visit.actor(), order).await?;
    let title = format!("Restore {}", outcome.backup);
    let base = state.settings.server.base_path.as_str();
    let content = shown(base, &outcome, project.as_ref());
    Ok(visit.page_below(&state, StatusCode::OK, &title, &[("Backups", "/backups")], content))
}

/// `POST /backups/restore`: only on the head that the plan was looked at for
pub(in crate::web) async fn restore(State(state): State<AppState>, visit: Visit) -> Result<Response, Problem> {
    visit.permit(Action::Restore)?;
    let form = visit.form()?;
    let head = Revision::parse(form.get("head")).map_err(|error| Problem::field("head", error.to_string()))?;
    let order = RestoreOrder { expected_head: Some(head), ..order(form.get("timestamp"), form.get("project"))? };
    let project = order.project.clone();
    let restored = state.operations.restore_backup(&visit.actor(), order).await?.restored;
    let told = Told::of(Deed::Restored, project, restored.revision, restored.changed);
    Ok(visit.tell(&state, "/backups", &told))
}

fn order(timestamp: &str, project: &str) -> Result<RestoreOrder, Problem> {
    let project = match project.trim() {
        "" => None,
        name => Some(ProjectName::parse(name).map_err(|error| Problem::field("project", error.to_string()))?),
    };
    Ok(RestoreOrder { timestamp: timestamp.trim().to_owned(), project, expected_head: None, dry_run: false })
}

fn shown(base: &str, outcome: &RestoreOutcome, project: Option<&ProjectName>) -> Markup {
    let restored = &outcome.restored;
    let name = project.map(ProjectName::as_str).unwrap_or_default();
    html! {
        h1 { "Restore " code { (outcome.backup) } }
        form.filter method="get" action=(format!("{base}/backups/restore")) {
            input type="hidden" name="timestamp" value=(outcome.backup);
            div.field {
                label for="project" { "Project" }
                input id="project" name="project" value=(name) placeholder="all" spellcheck="false" autocapitalize="none";
            }
            button type="submit" { "Show plan" }
        }
        @for note in &restored.notes { p { (note) } }
        @if !restored.changed {
            p { "Nothing to do: the state repository is as it was in this backup." }
        } @else {
            @if !restored.deleted.is_empty() {
                div.notice.bad role="note" {
                    strong { "These projects are not in the backup and are deleted; their volumes stay:" }
                    ul { @for name in &restored.deleted { li { (name) } } }
                }
            }
            section aria-labelledby="files" {
                h2 id="files" { "Files that the commit changes" }
                ul.plan { @for path in &restored.files { li { code { (path) } } } }
            }
            section aria-labelledby="changes" {
                h2 id="changes" { "What it changes in the cluster" }
                @match &outcome.plan {
                    Some(Ok(planned)) => {
                        @for (unit, error) in &planned.report.errors {
                            div.notice.bad role="note" {
                                strong { @match unit { Unit::Base => "The base-wide objects", Unit::Project(name) => (name) } }
                                " " (error)
                            }
                        }
                        (bounded(&planned.text()))
                    },
                    Some(Err(why)) => div.notice.bad role="note" {
                        "The plan cannot be made now: " (why) ". The commit can be made all the same."
                    },
                    None => {},
                }
            }
            form method="post" action=(format!("{base}/backups/restore")) {
                input type="hidden" name="timestamp" value=(outcome.backup);
                input type="hidden" name="project" value=(name);
                input type="hidden" name="head" value=(restored.head);
                div.actions {
                    button.danger.primary id="restore" type="submit" {
                        @match project { Some(name) => { "Restore " (name) }, None => "Restore everything" }
                    }
                    a.button.quiet href=(format!("{base}/backups")) { "Cancel" }
                }
            }
        }
    }
}
