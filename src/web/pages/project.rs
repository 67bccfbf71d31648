//! One project: how it does, what can be done, what Git says.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::flash::{Deed, Told};
use super::format::{badge, commit_of, moment};
use super::icon::{Icon, icon};
use super::page_request::Visit;
use super::project_head::{Tab, head};
use super::thread::{outcome_of, thread};
use super::{config, credentials};
use crate::operations::{CommitOutcome, Folder, ProjectState};
use crate::plan::{self, Operation};
use crate::project::{Action, Intent, Phase, ProjectChange, ProjectName, Reason};
use crate::web::AppState;
use crate::web::api::parse;
use crate::web::api::project_json::{Project, of_state};
use crate::web::problem::Problem;
use crate::web::request::{Id, name_of};

/// How many commits are shown.
const COMMITS: usize = 8;
/// How many differing objects are listed.
const DIFFERENCES: usize = 50;

/// `GET /projects/{id}`
pub(in crate::web) async fn page(State(state): State<AppState>, id: Id, visit: Visit) -> Result<Response, Problem> {
    visit.permit(Action::Read)?;
    let name = name_of(id)?;
    let found = &*state.operations.project(&name)?;
    let project = of_state(&state.settings.server, &name, found);
    let folder = match found.revision.or(state.operations.snapshot().head) {
        Some(revision) => state.operations.overlay(revision, &name, COMMITS).await?,
        None => Folder::default(),
    };
    let outcomes = state.operations.history(&name).await?;
    let base = state.settings.server.base_path.as_str();
    let heading = html! { bdi { (project.name) } };
    let beside = html! {
        @if project.name != name.as_str() { span.mute { (name) } }
        @if let Some(issue) = &project.jira_issue { span.chip { bdi { (issue) } } }
        @if found.spec.is_some() { a.button.primary href=(format!("{base}/projects/{name}/chat")) { (icon(Icon::Chat)) "Chat" } }
    };
    let now = status(base, &visit, &name, &project, found, &outcomes);
    let content = html! {
        (head(base, &name, Tab::Overview, &heading, &beside))
        (credentials::missing(&state, &visit, &name).await)
        div.split {
            div.stack {
                (refreshed("status", &format!("{base}/fragments/projects/{name}"), &now))
                (config::commits(base, &name, &folder.commits, &outcomes))
            }
            div.stack {
                (managed(base, &name, &folder, found))
                (facts(base, &name, &project))
            }
        }
    };
    let above = [("Projects", "/projects")];
    Ok(visit.page_below(&state, StatusCode::OK, &project.name, &above, content))
}

/// `GET /fragments/projects/{id}`: the part of the page that changes.
pub(in crate::web) async fn fragment(State(state): State<AppState>, id: Id, visit: Visit) -> Result<Response, Problem> {
    visit.permit(Action::Read)?;
    let name = name_of(id)?;
    let found = &*state.operations.project(&name)?;
    let server = &state.settings.server;
    let (project, outcomes) = (of_state(server, &name, found), state.operations.history(&name).await?);
    Ok(visit.fragment(&status(&server.base_path, &visit, &name, &project, found, &outcomes)))
}

/// `POST /projects/{id}/start`
pub(in crate::web) async fn start(State(state): State<AppState>, id: Id, visit: Visit) -> Result<Response, Problem> {
    scale(state, id, visit, Intent::Start, Deed::Started).await
}

/// `POST /projects/{id}/stop`
pub(in crate::web) async fn stop(State(state): State<AppState>, id: Id, visit: Visit) -> Result<Response, Problem> {
    scale(state, id, visit, Intent::Stop, Deed::Stopped).await
}

async fn scale(
    state: AppState,
    id: Id,
    visit: Visit,
    intent: fn(ProjectName) -> Intent,
    deed: Deed,
) -> Result<Response, Problem> {
    visit.permit(Action::Scale)?;
    let name = name_of(id)?;
    let made = state.operations.submit(intent(name.clone()), visit.actor(), None).await?;
    let told = Told::new(deed, name.clone(), made.revision, made.changed);
    Ok(visit.tell(&state, &format!("/projects/{name}"), &told))
}

/// `POST /projects/{id}/suspend`
pub(in crate::web) async fn suspend(State(state): State<AppState>, id: Id, visit: Visit) -> Result<Response, Problem> {
    visit.permit(Action::Change)?;
    let why = visit.form()?.get("why").trim().to_owned();
    let why = parse::suspended(&why).map_err(|message| Problem::field("why", message))?;
    suspend_as(state, id, visit, Some(why), Deed::Suspended).await
}

/// `POST /projects/{id}/resume`
pub(in crate::web) async fn resume(State(state): State<AppState>, id: Id, visit: Visit) -> Result<Response, Problem> {
    visit.permit(Action::Change)?;
    suspend_as(state, id, visit, None, Deed::Resumed).await
}

async fn suspend_as(
    state: AppState,
    id: Id,
    visit: Visit,
    suspended: Option<String>,
    deed: Deed,
) -> Result<Response, Problem> {
    let name = name_of(id)?;
    let change = ProjectChange { suspended: Some(suspended), ..ProjectChange::default() };
    let intent = Intent::Change(name.clone(), Box::new(change));
    let made = state.operations.submit(intent, visit.actor(), None).await?;
    let told = Told::new(deed, name.clone(), made.revision, made.changed);
    Ok(visit.tell(&state, &format!("/projects/{name}"), &told))
}

/// Leaving a project alone, and looking after it again.
pub(super) fn suspension(base: &str, name: &ProjectName, suspended: Option<&str>) -> Markup {
    html! {
        section aria-labelledby="suspension" {
            h2 id="suspension" { "Suspend" }
            @match suspended {
                Some(why) => {
                    p { "Suspended: no changes are applied. Reason: " bdi { (why) } }
                    form method="post" action=(format!("{base}/projects/{name}/resume")) {
                        div.actions { button id="resume" type="submit" { "Resume" } }
                    }
                }
                None => {
                    form.narrow method="post" action=(format!("{base}/projects/{name}/suspend")) {
                        div.field {
                            label for="why" { "Reason for suspending (commits and drift repair stop until you resume)" }
                            input id="why" name="why" required maxlength="200";
                        }
                        div.actions { button id="suspend" type="submit" { "Suspend" } }
                    }
                }
            }
        }
    }
}

/// A part of a page that the script keeps up to date from `address`. The tag is that of the content as it is now, so that
/// the first look after the page costs nothing.
pub(super) fn refreshed(id: &str, address: &str, content: &Markup) -> Markup {
    html! {
        div id=(id) data-refresh=(address) data-tag=(tag(content)) { (content) }
    }
}

/// The strong tag of a fragment.
pub(super) fn tag(content: &Markup) -> String {
    let digest = Sha256::digest(content.0.as_bytes());
    format!("\"{}\"", digest[..12].iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

fn status(
    base: &str,
    visit: &Visit,
    name: &ProjectName,
    project: &Project,
    state: &ProjectState,
    outcomes: &[CommitOutcome],
) -> Markup {
    let wants_pod = project.replicas.unwrap_or(0) > 0;
    let may_scale = visit.may(Action::Scale) && project.replicas.is_some() && project.phase != Phase::Deleting;
    let verb = if wants_pod { "stop" } else { "start" };
    let held = project.reason == Reason::DeletionHeld;
    html! {
        section.status aria-labelledby="now" {
            h2.unseen id="now" { "Status" }
            p.phase data-news=(format!("{}: {}", project.phase.as_str(), project.message)) {
                (badge(project.phase)) " " span { (project.message) }
            }
            div.actions {
                @if may_scale {
                    span.commits { (icon(Icon::Commit)) "commits " code { (name) ": " (verb) } }
                    form method="post" action=(format!("{base}/projects/{name}/{verb}")) {
                        button id=(verb) type="submit" { @if wants_pod { "Stop" } @else { "Start" } }
                    }
                }
                a.button.quiet id="logs" href=(format!("{base}/projects/{name}/logs")) { "Logs" }
                a.button.quiet id="plan" href=(format!("{base}/plan?project={name}")) { "Plan" }
            }
        }
        @if held {
            div.notice.needs role="note" {
                p { strong { "The deletion of this project is held." } " Nothing is deleted until a person confirms it." }
                a.button href=(format!("{base}/plan")) { "Show held deletions" }
            }
        }
        @if let Some(revision) = &project.revision {
            section.card aria-labelledby="change" {
                header { h2 id="change" { "Last change" } (commit_of(base, name, revision)) }
                div.body { (thread(project.updated_at.as_deref(), outcome_of(outcomes, revision), Some(project.phase))) }
            }
        }
        (differences(state))
    }
}

/// What the reconciler still has to do, or cannot.
fn differences(state: &ProjectState) -> Markup {
    let actions = &state.plan.actions;
    if actions.is_empty() {
        return PreEscaped(String::new());
    }
    html! {
        section aria-labelledby="differs" {
            h2 id="differs" { "Differences from Git" }
            ul.plan {
                @for action in actions.iter().take(DIFFERENCES) {
                    li { strong { (operation(&action.operation)) } " " (action.key) " " span.small { (action.reason) } }
                }
            }
            @if actions.len() > DIFFERENCES { p { "And " (actions.len() - DIFFERENCES) " more." } }
            details id="differs-fields" {
                summary { "Field by field" }
                pre tabindex="0" { (plan::show(std::slice::from_ref(&*state.plan))) }
            }
        }
    }
}

/// What is to be done with an object, in a word.
pub(super) const fn operation(operation: &Operation) -> &'static str {
    match operation {
        Operation::Create(_) => "make",
        Operation::Update { .. } => "change",
        Operation::Recreate { .. } => "make anew",
        Operation::Delete { .. } => "delete",
    }
}

/// The source of truth, in short.
fn managed(base: &str, name: &ProjectName, folder: &Folder, state: &ProjectState) -> Markup {
    html! {
        section.card.git aria-labelledby="managed" {
            header { h2 id="managed" { "Managed in Git" } }
            div.body {
                @if folder.text.is_some() {
                    p.small { "This file defines the project. Edit it here or in Git; the cluster follows." }
                    code { "projects/" (name) "/kustomization.yaml" }
                    p.small {
                        @match state.plan.actions.len() {
                            0 => "The cluster is as Git says.",
                            1 => "1 object differs from Git.",
                            count => { (count) " objects differ from Git." }
                        }
                    }
                } @else {
                    p.small { "The state repository has no overlay of this project any more." }
                }
                div.actions { a.button.slim href=(format!("{base}/projects/{name}/config")) { "Config and history" } }
            }
        }
    }
}

fn facts(base: &str, name: &ProjectName, project: &Project) -> Markup {
    let quantity = |quantity: Option<&crate::project::Quantity>| {
        quantity.map_or_else(|| "the template's".to_owned(), ToString::to_string)
    };
    let (resources, storage) = (project.resources.as_ref(), project.storage.as_ref());
    html! {
        section aria-labelledby="facts" {
            h2 id="facts" { "Project" }
            dl {
                @if let Some(repository) = project.git_repository.as_deref().filter(|text| !text.is_empty()) {
                    dt { "Repository" } dd { bdi { (repository) } }
                }
                @if let Some(branch) = &project.git_branch { dt { "Branch" } dd { bdi { (branch) } } }
                @if let Some(image) = &project.image { dt { "Image" } dd { code { bdi { (image) } } } }
                @if let Some(resources) = resources {
                    dt { "CPU, memory" } dd { (quantity(resources.cpu.as_ref())) ", " (quantity(resources.memory.as_ref())) }
                }
                @if let Some(storage) = storage {
                    dt { "Workspace" }
                    dd {
                        (quantity(storage.size.as_ref()))
                        @if let Some(class) = &storage.storage_class { " of the class " bdi { (class) } }
                    }
                }
                @if let Some(created) = &project.created_at { dt { "Created" } dd { (moment(Some(created))) } }
                dt { "Last change" }
                dd { (moment(project.updated_at.as_deref())) }
                @if let Some(revision) = &project.applied_revision { dt { "Applied" } dd { (commit_of(base, name, revision)) } }
            }
        }
    }
}
