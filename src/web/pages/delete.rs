//! Deleting a project: first the plan, then the decision.
//!
//! The plan is the reconciler's own, made against what was observed a moment ago. The form carries the overlay's id, so
//! that a project that somebody changed meanwhile is not deleted on the strength of an older plan.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::flash::{Deed, Told};
use super::form::Form;
use super::format::sentence;
use super::page_request::Visit;
use super::project::operation;
use crate::operations::{Deletion, ProjectState};
use crate::plan::UnitPlan;
use crate::project::{Action, ErrorKind, Intent, ProjectName, Reason, Volumes};
use crate::web::AppState;
use crate::web::problem::Problem;
use crate::web::request::{Id, name_of};

/// What is wrong with the form; empty when nothing is.
#[derive(Default)]
struct Faults {
    volumes: Option<&'static str>,
    confirm: Option<String>,
}

/// `GET /projects/{id}/delete`
pub(in crate::web) async fn page(State(state): State<AppState>, id: Id, visit: Visit) -> Result<Response, Problem> {
    visit.permit(Action::Delete)?;
    show(&state, &visit, &name_of(id)?, &Form::default(), &Faults::default()).await
}

/// `POST /projects/{id}/delete`
pub(in crate::web) async fn delete(State(state): State<AppState>, id: Id, visit: Visit) -> Result<Response, Problem> {
    visit.permit(Action::Delete)?;
    let name = name_of(id)?;
    let form = visit.form()?;
    let mut faults = Faults::default();
    let volumes = match form.get("volumes") {
        "keep" => Some(Volumes::Keep),
        "delete" => Some(Volumes::Delete),
        _ => None,
    };
    if volumes.is_none() {
        faults.volumes = Some("Choose what becomes of the volumes.");
    }
    if form.get("confirm").trim() != name.as_str() {
        faults.confirm = Some(format!("Type {name} to confirm."));
    }
    let (Some(volumes), None) = (volumes, &faults.confirm) else {
        return show(&state, &visit, &name, &form, &faults).await;
    };
    let intent = Intent::Delete(name.clone(), volumes);
    visit.permit(intent.action())?;
    let seen = Some(form.get("overlay").to_owned()).filter(|id| !id.is_empty());
    let made = state.operations.submit(intent, visit.actor(), seen).await?;
    Ok(visit.tell(&state, "/projects", &Told::new(Deed::Deleted, name, made.revision, made.changed)))
}

async fn show(
    state: &AppState,
    visit: &Visit,
    name: &ProjectName,
    form: &Form,
    faults: &Faults,
) -> Result<Response, Problem> {
    let project = state.operations.project(name)?;
    let Some(overlay) = &project.overlay_id else {
        let how = if project.status.reason == Reason::DeletionHeld {
            "is gone from Git already, and its deletion is held; confirm it on the page of the plan"
        } else {
            "is being deleted already"
        };
        return Err(Problem::of_kind(ErrorKind::Conflict, format!("{name} {how}")));
    };
    let deletion = state.operations.preview_deletion(name).await;
    let base = state.settings.server.base_path.as_str();
    let wrong = faults.volumes.is_some() || faults.confirm.is_some();
    let title = format!("Delete {name}");
    let content = html! {
        h1 { "Delete " bdi { (display(name, &project)) } "?" }
        @if wrong {
            div.notice.bad role="alert" {
                p { strong { "Nothing was deleted." } }
                ul {
                    @if let Some(fault) = faults.volumes { li { a href="#keep" { (fault) } } }
                    @if let Some(fault) = &faults.confirm { li { a href="#confirm" { (fault) } } }
                }
            }
        }
        @match &deletion {
            Some(deletion) => (plan(deletion)),
            None => div.notice.bad role="note" {
                "What would be deleted cannot be shown: the cluster has not been seen as a whole, or has nothing of this \
                 project. The commit can be made all the same; it is carried out as soon as the cluster answers."
            },
        }
        form.narrow method="post" action=(format!("{base}/projects/{name}/delete")) {
            input type="hidden" name="overlay" value=(overlay);
            (choice(visit, name, form, deletion.as_ref(), faults))
            div.field {
                label for="confirm" { "Type " code { (name) } " to confirm" }
                input id="confirm" name="confirm" autocomplete="off" autocapitalize="none" spellcheck="false" required
                    value=(form.get("confirm")) aria-invalid=[faults.confirm.as_ref().map(|_| "true")]
                    aria-describedby=[faults.confirm.as_ref().map(|_| "confirm-error")];
                @if let Some(fault) = &faults.confirm { p.error id="confirm-error" { (fault) } }
            }
            div.actions {
                button.danger.primary type="submit" { "Delete project" }
                a.button.quiet href=(format!("{base}/projects/{name}")) { "Cancel" }
            }
        }
    };
    let status = if wrong { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let above = [("Projects", "/projects"), (name.as_str(), &*format!("/projects/{name}"))];
    Ok(visit.page_below(state, status, &title, &above, content))
}

fn display<'p>(name: &'p ProjectName, project: &'p ProjectState) -> &'p str {
    project.spec.as_ref().map_or(name.as_str(), |spec| spec.name.as_str())
}

/// The objects that go in any case, and those that are kept in any case. Volumes are a choice of their own.
fn plan(deletion: &Deletion) -> Markup {
    let (keeping, with) = (&deletion.keeping_volumes, &deletion.with_volumes);
    let held: Vec<_> = keeping.held.iter().filter(|held| with.held.iter().any(|other| other.key == held.key)).collect();
    html! {
        section aria-labelledby="goes" {
            h2 id="goes" { "What goes" }
            @if keeping.actions.is_empty() {
                p { "The cluster has no objects of this project to delete." }
            } @else {
                ul.plan {
                    @for action in &keeping.actions {
                        li { strong { (operation(&action.operation)) } " " (action.key) }
                    }
                }
                p { "One commit removes the overlay from the state repository. Git keeps the history; " code { "git revert" } " restores it." }
            }
        }
        @if !held.is_empty() {
            section aria-labelledby="held" {
                h2 id="held" { "Always kept" }
                ul.plan { @for held in held { li { strong { "keep" } " " (held.key) " " span.small { (sentence(&held.reason)) } } } }
            }
        }
    }
}

/// The volumes that go only if somebody says so.
fn volumes(deletion: &Deletion) -> Vec<String> {
    let kept = |plan: &UnitPlan, key| plan.actions.iter().any(|action| action.key == key);
    let only_then = deletion.with_volumes.actions.iter().map(|action| action.key.clone());
    only_then.filter(|key| !kept(&deletion.keeping_volumes, key.clone())).map(|key| key.to_string()).collect()
}

fn choice(visit: &Visit, name: &ProjectName, form: &Form, deletion: Option<&Deletion>, faults: &Faults) -> Markup {
    let may = visit.may(Action::DeleteVolumes);
    let listed = deletion.map(volumes).unwrap_or_default();
    let chosen = form.get("volumes");
    html! {
        fieldset aria-describedby=[faults.volumes.map(|_| "volumes-error")] {
            legend { "Volumes" }
            @if listed.is_empty() {
                p { "The volumes " code { (name) "-workspace" } " and " code { (name) "-config" } ", where they are there." }
            } @else {
                ul.plan { @for volume in &listed { li { (volume) } } }
            }
            @if let Some(fault) = faults.volumes { p.error id="volumes-error" { (fault) } }
            div.option {
                input type="radio" id="keep" name="volumes" value="keep" required checked[chosen == "keep"];
                label for="keep" { "Keep them. A new project of this name finds them again." }
            }
            div.option {
                input type="radio" id="drop" name="volumes" value="delete" required checked[chosen == "delete"] disabled[!may];
                label for="drop" {
                    "Delete them with everything in them. Nothing brings that back."
                    @if !may { " (Only an administrator may do this.)" }
                }
            }
        }
    }
}
