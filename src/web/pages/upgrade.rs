//! The base of the environments: what a newer program would write into the state repository, and the commit that does.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use maud::html;

use super::page_request::Visit;
use super::see_other;
use crate::project::Action;
use crate::web::AppState;
use crate::web::problem::Problem;

/// `GET /upgrade`
pub(in crate::web) async fn page(State(state): State<AppState>, visit: Visit) -> Result<Response, Problem> {
    visit.permit(Action::Upgrade)?;
    let base = state.settings.server.base_path.as_str();
    let found = state.operations.preview_upgrade(&visit.actor()).await?;
    let content = html! {
        h1 { "Base of the environments" }
        p {
            "Every environment stands on " code { "base/" } " and " code { "components/" } " of the state repository. \
             This program brings version " code { (env!("CARGO_PKG_VERSION")) } " of them."
        }
        @if found.written.is_empty() {
            p { "Nothing to do: the repository already has the base of this version." }
        } @else {
            section aria-labelledby="written" {
                h2 id="written" { "Files that the commit writes" }
                ul.plan { @for path in &found.written { li { code { (path) } } } }
                p {
                    "Environments whose template changes by it are restarted, as many at once as "
                    code { "rollout.restarts" } " in " code { "claude-manager.yaml" } " says, idle ones first."
                }
                form method="post" action=(format!("{base}/upgrade")) {
                    div.actions { button.primary type="submit" { "Commit new base" } }
                }
            }
        }
        @if !found.kept.is_empty() {
            section aria-labelledby="kept" {
                h2 id="kept" { "Files that are kept although the new base differs" }
                ul.plan { @for (path, why) in &found.kept { li { code { (path) } " " span.small { (why) } } } }
                p { code { "claude-manager init" } " into an empty directory shows the new files." }
            }
        }
    };
    Ok(visit.page(&state, StatusCode::OK, "Base of the environments", content))
}

/// `POST /upgrade`
pub(in crate::web) async fn commit(State(state): State<AppState>, visit: Visit) -> Result<Response, Problem> {
    visit.permit(Action::Upgrade)?;
    state.operations.upgrade(visit.actor()).await?;
    Ok(see_other(&state.settings.server, "/upgrade"))
}
