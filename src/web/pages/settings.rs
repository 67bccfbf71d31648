//! The settings of this manager, to read: each with its value and where that comes from. Secrets are masked.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use maud::html;

use super::page_request::Visit;
use crate::config::{Origin, SETTINGS};
use crate::project::Action;
use crate::web::AppState;
use crate::web::problem::Problem;

/// `GET /settings`
pub(in crate::web) async fn page(State(state): State<AppState>, visit: Visit) -> Result<Response, Problem> {
    visit.permit(Action::Read)?;
    let content = html! {
        div.head {
            div {
                h1 { "Settings" }
                p { "Read when the manager starts. To change one, set it in the environment or in " code { ".env" } ", and restart the manager." }
            }
        }
        div.card.holds-table {
            table.cards {
                caption.unseen { "Settings with their values" }
                thead { tr { th scope="col" { "Setting" } th scope="col" { "Value" } th scope="col" { "Source" } } }
                tbody {
                    @for setting in SETTINGS {
                        @let given = state.settings.given.get(setting.name);
                        @let is_from_file = given.is_none() && state.settings.secrets.is_from_file(setting.name);
                        tr {
                            th.main scope="row" { code { (setting.name) } span.sub { (setting.help) } }
                            td.wide {
                                @match given.map(|given| given.value.as_deref()).or(is_from_file.then_some(None)) {
                                    Some(Some(value)) => code { (value) },
                                    Some(None) => span.mute { "•••••• (secret)" },
                                    None if setting.default.is_empty() => span.mute { "not set" },
                                    None => code { (setting.default) },
                                }
                            }
                            td data-label="Source" {
                                span.chip {
                                    @match given.map_or(Origin::Default, |given| given.origin) {
                                        _ if is_from_file => "secret",
                                        Origin::Default => "default",
                                        Origin::DotEnv => ".env",
                                        Origin::Environment => "environment",
                                        Origin::CommandLine => "command line",
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        p.small { "Version " (env!("CARGO_PKG_VERSION")) "." }
    };
    Ok(visit.page(&state, StatusCode::OK, "Settings", content))
}
