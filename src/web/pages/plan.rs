//! What a commit would change in the cluster, and what differs from the head now; the button has just that done.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::flash::Told;
use super::format::{bounded, commit, sentence};
use super::held_deletions::HeldDeletions;
use super::page_request::Visit;
use crate::operations::{PlanOutcome, PlanRequest, Planned};
use crate::plan::{self, Operation};
use crate::project::{Action, Unit};
use crate::web::AppState;
use crate::web::api::plan::parse;
use crate::web::problem::Problem;

/// How many objects are shown one by one, how many fields of each, and how much of a value.
const OBJECTS: usize = 100;
const FIELDS: usize = 20;
const VALUE: usize = 200;

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
    let planned = state.operations.plan(&request).await?;
    let held = HeldDeletions::of(&planned, &state.operations.snapshot());
    if hashes.contains(&planned.hash()) && !held.is_confirmed(&form) {
        let notice = html! { div.notice.bad role="alert" { (held.refusal()) } };
        return Ok(shown(&state, &visit, StatusCode::BAD_REQUEST, &request, &planned, &notice));
    }
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
    let held = HeldDeletions::of(planned, &state.operations.snapshot());
    let is_head = request.revision.is_none();
    let action = format!("{base}/plan");
    let hidden = html! {
        input type="hidden" name="plan" value=(hash);
        @if let Some(name) = project { input type="hidden" name="project" value=(name); }
        @if request.query.corrects { input type="hidden" name="drift" value="correct"; }
    };
    let fault = (status == StatusCode::BAD_REQUEST).then_some("Not confirmed.");
    let content = html! {
        div.head {
            div {
                h1 { "Plan" }
                p {
                    "What commit " (commit(base, &planned.revision)) " would change in the cluster as it is now"
                    @if let Some(name) = project { ", for " a href=(format!("{base}/projects/{name}")) { (name) } }
                    ". Nothing is done by looking."
                }
            }
        }
        (notice)
        form.filter method="get" action=(action) {
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
            button type="submit" { "Show plan" }
        }
        (tally(planned))
        @for (unit, error) in &planned.report.errors {
            div.notice.bad role="note" {
                strong { @match unit { Unit::Base => "The base-wide objects", Unit::Project(name) => (name) } }
                " " (error)
            }
        }
        @for warning in &planned.report.warnings { div.notice.needs role="note" { (warning) } }
        @if !held.is_empty() && is_head { (held.card(&action, &hidden, visit.may(Action::Apply), fault)) }
        (objects(planned))
        section aria-labelledby="text" {
            h2 id="text" { "As text" }
            details { summary.small { "All of it, as " code { "claude-manager plan" } " prints it" } (bounded(&planned.text())) }
            p.small {
                "Plan " code id="hash" { (hash) } ". "
                code { "claude-manager reconcile --once --plan" } " with it does this and nothing else."
            }
        }
        @if planned.has_actions() && held.is_empty() && is_head && visit.may(Action::Apply) {
            section aria-labelledby="approve" {
                h2 id="approve" { "Approve" }
                p.small {
                    "Commits are applied automatically. The actions above are waiting: for a retry, or for approval. Approving \
                     applies exactly this plan, or nothing if the plan has changed."
                }
                form method="post" action=(action) {
                    (hidden)
                    div.actions { button.primary id="apply" type="submit" { "Apply this plan" } }
                }
            }
        }
    };
    visit.page(state, status, "Plan", content)
}

fn tally(planned: &Planned) -> Markup {
    let (mut created, mut changed, mut deleted, mut kept) = (0, 0, 0, 0);
    for plan in &planned.report.plans {
        kept += plan.held.len();
        for action in &plan.actions {
            match action.operation {
                Operation::Create(_) => created += 1,
                Operation::Update { .. } | Operation::Recreate { .. } => changed += 1,
                Operation::Delete { .. } => deleted += 1,
            }
        }
    }
    html! {
        p.tally {
            span.good { b { "+ " (created) } "create" }
            span.wait { b { "~ " (changed) } "update" }
            span.bad { b { "− " (deleted) } "delete" }
            span.calm { b { (kept) } "left as they are" }
        }
    }
}

/// Each object with the fields that change; values of Secrets are masked in the plan itself.
fn objects(planned: &Planned) -> Markup {
    let units: Vec<_> =
        (planned.report.plans.iter()).filter(|plan| !plan.actions.is_empty() || !plan.held.is_empty()).collect();
    let mut left = OBJECTS;
    html! {
        section aria-labelledby="changes" {
            h2 id="changes" { "Object by object" }
            @if units.is_empty() {
                p.small { "Nothing to do: the cluster is as Git says." }
            } @else {
                div.card {
                    @for plan in units {
                        @if left > 0 {
                            p.unit { strong { @match &plan.unit { Unit::Base => "Base", Unit::Project(name) => (name) } } }
                            @for action in plan.actions.iter().take(left) { (object(action)) }
                            @for held in plan.held.iter().take(left) {
                                details.object {
                                    summary { span.op.calm { "=" } span { strong { (held.key.kind) } " " (held.key.name) } span.chip { "left" } }
                                    div { p { (sentence(&held.reason)) } }
                                }
                            }
                            ({ left = left.saturating_sub(plan.actions.len() + plan.held.len()); "" })
                        }
                    }
                }
                @if left == 0 { p.small { "Further objects are in the text below." } }
            }
        }
    }
}

fn object(action: &plan::Action) -> Markup {
    let (sign, class, word) = match action.operation {
        Operation::Create(_) => ("+", "good", "create"),
        Operation::Update { .. } => ("~", "wait", "update"),
        Operation::Recreate { .. } => ("±", "wait", "make anew"),
        Operation::Delete { .. } => ("−", "bad", "delete"),
    };
    let value = |value: &Option<serde_json::Value>| {
        let text = value.as_ref().map_or_else(|| "absent".to_owned(), ToString::to_string);
        if text.chars().count() > VALUE { format!("{}…", text.chars().take(VALUE).collect::<String>()) } else { text }
    };
    html! {
        details.object {
            summary {
                span.op.(class) { (sign) }
                span { strong { (action.key.kind) } " " (action.key.name) " " @if let Some(namespace) = &action.key.namespace { span.mute { (namespace) } } }
                span.chip { (word) }
            }
            div.group {
                p { (sentence(&action.reason)) }
                @if !action.changes.is_empty() {
                    div.scroll tabindex="0" role="region" aria-label="Fields" {
                        table {
                            thead { tr { th scope="col" { "Field" } th scope="col" { "Before" } th scope="col" { "After" } } }
                            tbody {
                                @for change in action.changes.iter().take(FIELDS) {
                                    tr {
                                        td { code { (change.path) } }
                                        td { del { code { (value(&change.before)) } } }
                                        td { ins { code { (value(&change.after)) } } }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
