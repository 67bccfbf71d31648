//! What a commit would change in the cluster, and what differs from the head now; the button has just that done.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::flash::Told;
use super::format::commit;
use super::page_request::Visit;
use crate::operations::{PlanOutcome, PlanRequest, Planned};
use crate::project::{Action, Unit};
use crate::web::AppState;
use crate::web::api::plan::parse;
use crate::web::problem::Problem;

/// `GET /plan?revision=…&project=…&drift=…&server=true`
pub(in crate::web) async fn page(State(state): State<AppState>, visit: Visit) -> Result<Response, Problem> {
    visit.permit(Action::Read)?;
    let request = parse(&visit.query()?)?;
    let planned = state.operations.plan(&request).await?;
    Ok(shown(&state, &visit, StatusCode::OK, &request, &planned, &html! {}))
}

/// `POST /plan`: the plan whose hash is in the form, or nothing.
pub(in crate::web) async fn apply(State(state): State<AppState>, visit: Visit) -> Result<Response, Problem> {
    visit.permit(Action::Apply)?;
    let form = visit.form()?;
    let given = ["project", "drift"].map(|name| (name.to_owned(), form.get(name).to_owned()));
    let pairs: Vec<(String, String)> = given.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let request = parse(&pairs)?;
    let hashes = [form.get("plan").to_owned()];
    match state.operations.apply_plan(&visit.actor(), &request, &hashes).await? {
        PlanOutcome::Outdated(planned) => {
            let notice = html! {
                div.notice.bad role="alert" {
                    "The plan has changed since it was looked at, so nothing was done. This is what it is now."
                }
            };
            Ok(shown(&state, &visit, StatusCode::PRECONDITION_FAILED, &request, &planned, &notice))
        }
        PlanOutcome::Applied { planned, failures } if failures.is_empty() => {
            let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
            let told = Told::applied(request.query.project, planned.revision);
            Ok(visit.tell(&state, &format!("/plan?{query}"), &told))
        }
        PlanOutcome::Applied { failures, .. } => {
            let notice = html! {
                div.notice.bad role="alert" { "Some actions failed. The remaining ones are listed below." }
            };
            let mut planned = state.operations.plan(&request).await?;
            planned.report.errors.splice(0..0, failures);
            Ok(shown(&state, &visit, StatusCode::OK, &request, &planned, &notice))
        }
    }
}

fn shown(
    state: &AppState,
    visit: &Visit,
    status: StatusCode,
    request: &PlanRequest,
    planned: &Planned,
    notice: &Markup,
) -> Response {
    let base = state.settings.server.base_path.as_str();
    let project = request.query.project.as_ref().map(|name| name.as_str());
    let hash = planned.hash();
    let content = html! {
        h1 { "Plan" }
        (notice)
        form.filter method="get" action=(format!("{base}/plan")) {
            div.field {
                label for="revision" { "Commit or branch" }
                input id="revision" name="revision" value=(request.revision.as_deref().unwrap_or_default()) placeholder="the head" spellcheck="false" autocapitalize="none";
            }
            div.field {
                label for="project" { "Project" }
                input id="project" name="project" value=(project.unwrap_or_default()) placeholder="all" spellcheck="false" autocapitalize="none";
            }
            div.option {
                input type="checkbox" id="drift" name="drift" value="correct" checked[request.query.corrects];
                label for="drift" { "Repair drift that the policy only reports" }
            }
            div.option {
                input type="checkbox" id="server" name="server" value="true" checked[request.server];
                label for="server" { "Ask the API server for a dry run" }
            }
            button.quiet type="submit" { "Show" }
        }
        p {
            "What commit " (commit(&planned.revision)) " would change in the cluster as it is now"
            @if let Some(name) = project { ", for " a href=(format!("{base}/projects/{name}")) { (name) } }
            "; nothing is done by looking."
        }
        @for (unit, error) in &planned.report.errors {
            div.notice.bad role="note" {
                strong { @match unit { Unit::Base => "The base-wide objects", Unit::Project(name) => (name) } }
                " " (error)
            }
        }
        @for warning in &planned.report.warnings { div.notice role="note" { (warning) } }
        section aria-labelledby="changes" {
            h2 id="changes" { "Object by object" }
            pre tabindex="0" { (planned.text()) }
            p.small {
                "Plan " code id="hash" { (hash) } ". "
                code { "claude-manager reconcile --once --plan" } " with it does this and nothing else."
            }
            @if planned.has_actions() && request.revision.is_none() && visit.may(Action::Apply) {
                p {
                    "Commits are applied automatically. The actions above are waiting: for a retry, or for approval. Approving \
                     applies exactly this plan, or nothing if the plan has changed."
                }
                form method="post" action=(format!("{base}/plan")) {
                    input type="hidden" name="plan" value=(hash);
                    @if let Some(name) = project { input type="hidden" name="project" value=(name); }
                    @if request.query.corrects { input type="hidden" name="drift" value="correct"; }
                    div.actions { button id="apply" type="submit" { "Apply this plan" } }
                }
            }
        }
    };
    visit.page(state, status, "Plan", content)
}
