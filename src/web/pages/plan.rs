//! What a commit would change in the cluster, and what differs from the head now; the button has just that done.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::flash::Told;
use super::format::commit;
use super::page_request::Visit;
use crate::plan;
use crate::project::{Action, Revision, Unit};
use crate::reconcile::OnceReport;
use crate::web::AppState;
use crate::web::plan::{Asked, Bound, apply_bound, planned};
use crate::web::problem::Problem;

/// `GET /plan?revision=…&project=…&drift=…&server=true`
pub(super) async fn page(State(state): State<AppState>, visit: Visit) -> Result<Response, Problem> {
    visit.permit(Action::Read)?;
    let asked = Asked::parse(&visit.query()?)?;
    let (revision, report) = planned(&state, &asked).await?;
    Ok(shown(&state, &visit, StatusCode::OK, &asked, &revision, &report, &html! {}))
}

/// `POST /plan`: the plan whose hash is in the form, or nothing.
pub(super) async fn apply(State(state): State<AppState>, visit: Visit) -> Result<Response, Problem> {
    visit.permit(Action::Apply)?;
    let form = visit.form()?;
    let given = ["project", "drift"].map(|name| (name.to_owned(), form.get(name).to_owned()));
    let pairs: Vec<(String, String)> = given.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let asked = Asked::parse(&pairs)?;
    let permit = |action| visit.permit(action);
    let hashes = [form.get("plan").to_owned()];
    match apply_bound(&state, &permit, &visit.actor(), &asked, &hashes).await? {
        Bound::Outdated(revision, report) => {
            let notice = html! {
                div.notice.bad role="alert" {
                    "The plan has changed since it was looked at, so nothing was done. This is what it is now."
                }
            };
            Ok(shown(&state, &visit, StatusCode::PRECONDITION_FAILED, &asked, &revision, &report, &notice))
        }
        Bound::Done { revision, failures, .. } if failures.is_empty() => {
            let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
            let told = Told::applied(asked.query.project, revision);
            Ok(visit.tell(&state, &format!("/plan?{query}"), &told))
        }
        Bound::Done { failures, .. } => {
            let notice = html! {
                div.notice.bad role="alert" { "Not everything could be done. This is what is left." }
            };
            let (revision, mut report) = planned(&state, &asked).await?;
            report.errors.splice(0..0, failures);
            Ok(shown(&state, &visit, StatusCode::OK, &asked, &revision, &report, &notice))
        }
    }
}

fn shown(
    state: &AppState,
    visit: &Visit,
    status: StatusCode,
    asked: &Asked,
    revision: &Revision,
    report: &OnceReport,
    notice: &Markup,
) -> Response {
    let base = state.settings.server.base_path.as_str();
    let project = asked.query.project.as_ref().map(|name| name.as_str());
    let hash = plan::plan_hash(&report.plans);
    let has_actions = report.plans.iter().any(|plan| !plan.actions.is_empty());
    let content = html! {
        h1 { "Plan" }
        (notice)
        form.filter method="get" action=(format!("{base}/plan")) {
            div.field {
                label for="revision" { "Commit or branch" }
                input id="revision" name="revision" value=(asked.revision.as_deref().unwrap_or_default()) placeholder="the head" spellcheck="false" autocapitalize="none";
            }
            div.field {
                label for="project" { "Project" }
                input id="project" name="project" value=(project.unwrap_or_default()) placeholder="all" spellcheck="false" autocapitalize="none";
            }
            div.option {
                input type="checkbox" id="drift" name="drift" value="correct" checked[asked.query.corrects];
                label for="drift" { "Correct drift that the policy leaves" }
            }
            div.option {
                input type="checkbox" id="server" name="server" value="true" checked[asked.server];
                label for="server" { "Ask the API server what it would say" }
            }
            button.quiet type="submit" { "Show" }
        }
        p {
            "What commit " (commit(revision)) " would change in the cluster as it is now"
            @if let Some(name) = project { ", for " a href=(format!("{base}/projects/{name}")) { (name) } }
            "; nothing is done by looking."
        }
        @for (unit, error) in &report.errors {
            div.notice.bad role="note" {
                strong { @match unit { Unit::Base => "The base-wide objects", Unit::Project(name) => (name) } }
                " " (error)
            }
        }
        @for warning in &report.warnings { div.notice role="note" { (warning) } }
        section aria-labelledby="changes" {
            h2 id="changes" { "Object by object" }
            pre tabindex="0" { (plan::show(&report.plans)) }
            p.small {
                "Plan " code id="hash" { (hash) } ". "
                code { "claude-manager reconcile --once --plan" } " with it does this and nothing else."
            }
            @if has_actions && asked.revision.is_none() && visit.may(Action::Apply) {
                p {
                    "Commits are applied by themselves. What is here all the same waits for its time, or for somebody: applied \
                     now, it is this plan that is done, or nothing if it has changed meanwhile."
                }
                form method="post" action=(format!("{base}/plan")) {
                    input type="hidden" name="plan" value=(hash);
                    @if let Some(name) = project { input type="hidden" name="project" value=(name); }
                    @if asked.query.corrects { input type="hidden" name="drift" value="correct"; }
                    div.actions { button id="apply" type="submit" { "Apply this plan" } }
                }
            }
        }
    };
    visit.page(state, status, "Plan", content)
}
