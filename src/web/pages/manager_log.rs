//! The manager's own log: its newest lines, by service and level.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::{Map, Value};

use super::format::{moment, state as state_badge};
use super::icon::Glyph;
use super::page_request::Visit;
use crate::log_files::Service;
use crate::project::Action;
use crate::web::AppState;
use crate::web::api::monitoring::{lines, log_filter};
use crate::web::problem::Problem;

const LEVELS: [&str; 4] = ["error", "warn", "info", "debug"];

/// `GET /logs?service=…&level=…&limit=…`
pub(in crate::web) async fn page(State(state): State<AppState>, visit: Visit) -> Result<Response, Problem> {
    visit.permit(Action::Read)?;
    let filter = log_filter(visit.query()?)?;
    let found = lines(&state, filter).await?;
    let base = state.settings.server.base_path.as_str();
    let level = filter.level.as_str().to_lowercase();
    let content = html! {
        div.head { div {
            h1 { "Logs" }
            p { "What the manager itself wrote, the newest first. A project's log is on its page." }
        } }
        form.filter method="get" action=(format!("{base}/logs")) {
            div {
                label for="service" { "Service" }
                select id="service" name="service" {
                    option value="" selected[filter.service.is_none()] { "All" }
                    @for one in Service::ALL {
                        option value=(one.as_str()) selected[filter.service == Some(one)] { (one.as_str()) }
                    }
                }
            }
            div {
                label for="level" { "Level, or worse" }
                select id="level" name="level" {
                    option value="" { "All" }
                    @for one in LEVELS { option value=(one) selected[one == level] { (one) } }
                }
            }
            button type="submit" { "Filter" }
        }
        @if found.is_empty() {
            p { "No line fits. The files are in " code { (state.settings.log_directory().display()) } "." }
        } @else {
            div.card.holds-table { table.cards {
                thead { tr {
                    th scope="col" { "Time" }
                    th scope="col" { "Level" }
                    th scope="col" { "Service" }
                    th scope="col" { "Message" }
                } }
                tbody { @for line in &found { (row(line)) } }
            } }
        }
    };
    Ok(visit.page(&state, StatusCode::OK, "Logs", content))
}

fn row(line: &Map<String, Value>) -> Markup {
    const SHOWN_APART: [&str; 6] = ["timestamp", "level", "service", "message", "target", "span"];
    let text = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or_default();
    let (glyph, class) = match text("level") {
        "ERROR" => (Glyph::Failed, "bad"),
        "WARN" => (Glyph::Needs, "wait"),
        _ => (Glyph::Done, "calm"),
    };
    let span = line.get("span").and_then(Value::as_object);
    let fields = line.iter().chain(span.into_iter().flatten());
    html! {
        tr {
            td.tight data-label="Time" { (moment(Some(text("timestamp")))) }
            td.tight data-label="Level" { (state_badge(glyph, &text("level").to_lowercase(), class)) }
            td.tight data-label="Service" { (text("service")) }
            td.wide data-label="Message" {
                (text("message"))
                @for (name, value) in fields.filter(|(name, _)| !SHOWN_APART.contains(&name.as_str()) && *name != "name") {
                    " " span.small.mute { (name) "=" bdi { @match value { Value::String(text) => (text), other => (other) } } }
                }
            }
        }
    }
}
