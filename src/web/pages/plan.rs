//! What a commit would change in the cluster, and what differs from the head now.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use maud::html;

use super::visit::Visit;
use super::words::commit;
use crate::plan;
use crate::project::{Action, Unit};
use crate::web::AppState;
use crate::web::plan::Asked;
use crate::web::problem::Problem;

/// `GET /plan?revision=…&server=true`
pub(super) async fn page(State(state): State<AppState>, visit: Visit) -> Result<Response, Problem> {
    visit.permit(Action::Read)?;
    let asked = Asked::parse(&visit.query()?)?;
    let base = state.settings.server.base_path.as_str();
    let (revision, report) = state.backend.plan(asked.revision.clone(), asked.server).await?;
    let content = html! {
        h1 { "Plan" }
        form.filter method="get" action=(format!("{base}/plan")) {
            div.field {
                label for="revision" { "Commit or branch" }
                input id="revision" name="revision" value=(asked.revision.unwrap_or_default()) placeholder="the head" spellcheck="false" autocapitalize="none";
            }
            div.option {
                input type="checkbox" id="server" name="server" value="true" checked[asked.server];
                label for="server" { "Ask the API server what it would say" }
            }
            button.quiet type="submit" { "Show" }
        }
        p { "What commit " (commit(&revision)) " would change in the cluster as it is now; nothing is done by looking." }
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
                "Plan " code id="hash" { (plan::plan_hash(&report.plans)) } ". "
                code { "claude-manager reconcile --once --plan" } " with it does this and nothing else."
            }
        }
    };
    Ok(visit.page(&state, StatusCode::OK, "Plan", content))
}
