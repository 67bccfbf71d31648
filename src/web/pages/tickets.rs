//! Tickets: how to set JIRA up, how it is doing, and its deliveries with what became of each.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::format::{self, moment};
use super::icon::Glyph;
use super::page_request::Visit;
use super::see_other;
use crate::project::Action;
use crate::store::{Delivery, DeliveryState};
use crate::tickets::{self, Standing};
use crate::web::AppState;
use crate::web::api::project_json::link;
use crate::web::api::tickets::{DeliveryId, page_and_state};
use crate::web::problem::Problem;

/// `GET /tickets?page=…&limit=…&state=…`
pub(in crate::web) async fn page(State(state): State<AppState>, visit: Visit) -> Result<Response, Problem> {
    visit.permit(Action::Read)?;
    let (page, limit, only) = page_and_state(visit.query()?)?;
    let found = state.tickets.deliveries(only, ((page - 1) * limit) as u64, limit as u32).await?;
    let standing = state.tickets.state().await?;
    let base = state.settings.server.base_path.as_str();
    let pages = (found.total as usize).div_ceil(limit).max(1);
    let word = only.map_or("", DeliveryState::as_str);
    let other = |page: usize| format!("{base}/tickets?page={page}&limit={limit}&state={word}");
    let content = html! {
        div.head { div {
            h1 { "Tickets" }
            p { (standing.message) "." }
        } }
        @if standing.standing == Standing::Fails {
            div.notice.bad role="alert" { p { strong { "JIRA cannot be used." } " Answers are written once it can be." } }
        }
        @if standing.dead > 0 {
            div.notice.bad role="note" {
                p { strong { (standing.dead) " failed." } " See why below, correct it, then replay." }
                a href=(format!("{base}/tickets?state=dead")) { "Show" }
            }
        }
        section aria-labelledby="list" {
            h2 id="list" { "Deliveries" }
            form.filter method="get" action=(format!("{base}/tickets")) {
                div {
                    label for="state" { "Outcome" }
                    select id="state" name="state" {
                        option value="" selected[only.is_none()] { "All" }
                        @for one in DeliveryState::ALL {
                            option value=(one.as_str()) selected[only == Some(one)] { (label(one)) }
                        }
                    }
                }
                button type="submit" { "Filter" }
            }
            @if found.items.is_empty() {
                p.empty { "There is no delivery here. JIRA sends one for each event once its webhook is set up." }
            } @else {
                div.card.holds-table { table.cards {
                    thead { tr {
                        th scope="col" { "Received" }
                        th scope="col" { "Event" }
                        th scope="col" { "Outcome" }
                        th.num scope="col" { "Took" }
                        th scope="col" { "Replay" }
                    } }
                    tbody { @for delivery in &found.items { (row(base, &visit, delivery)) } }
                } }
            }
            @if pages > 1 {
                nav.pages aria-label="Pages" {
                    @if page > 1 { a href=(other(page - 1)) { "Newer" } }
                    span { "Page " (page) " of " (pages) }
                    @if page < pages { a href=(other(page + 1)) { "Older" } }
                }
            }
        }
        (set_up(&state, &standing))
    };
    Ok(visit.page(&state, StatusCode::OK, "Tickets", content))
}

const fn label(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Waiting => "Waiting",
        DeliveryState::Parked => "Waiting for the ticket",
        DeliveryState::Done => "Done",
        DeliveryState::Ignored => "Ignored",
        DeliveryState::Dead => "Failed",
    }
}

fn row(base: &str, visit: &Visit, delivery: &Delivery) -> Markup {
    let received = jiff::Timestamp::from_millisecond(delivery.received_at).unwrap_or_default().to_string();
    let (class, shape) = match delivery.state {
        DeliveryState::Waiting | DeliveryState::Parked => ("wait", Glyph::Changing),
        DeliveryState::Done => ("good", Glyph::Done),
        DeliveryState::Ignored => ("calm", Glyph::Cancelled),
        DeliveryState::Dead => ("bad", Glyph::Failed),
    };
    html! {
        tr id=(format!("d-{}", delivery.id)) {
            td.tight data-label="Received" { (moment(Some(&received))) }
            td.wide data-label="Event" {
                @if !delivery.issue_key.is_empty() { span.chip { (delivery.issue_key) } " " }
                (delivery.event)
                @if !delivery.actor.is_empty() { span.sub.small { " by " bdi { (delivery.actor) } } }
            }
            td.wide data-label="Outcome" {
                (format::state(shape, label(delivery.state), class))
                @if !delivery.outcome.is_empty() { span.sub.small { " " (delivery.outcome) } }
                @if delivery.attempts > 0 { span.sub.small { " (" (delivery.attempts) " failed tries)" } }
            }
            td.num data-label="Took" { (delivery.took_ms) " ms" }
            td.tight {
                @if visit.may(Action::Chat) {
                    form method="post" action=(format!("{base}/tickets/{}/replay", delivery.id)) {
                        button.slim type="submit" aria-label=(format!("Replay {} {}", delivery.issue_key, delivery.event)) { "Replay" }
                    }
                }
            }
        }
    }
}

fn set_up(state: &AppState, standing: &tickets::State) -> Markup {
    let server = &state.settings.server;
    let (path, jira) = ("/api/webhooks/jira", &state.settings.jira);
    let is_open = standing.standing == Standing::Off || standing.standing == Standing::Incomplete;
    html! {
        details.card open[is_open] {
            summary { "Set up JIRA" }
            ol.steps {
                li { p {
                    "Make an account for the manager in JIRA, and an API token (Cloud) or a personal access token (Data Center). \
                     Its comments never count as prompts, so it has to be an account that no person uses."
                } }
                li { p {
                    "Set " code { "JIRA_BASE_URL" } ", " code { "jira-api-key" } " and " code { "webhook-secret" }
                    "; for Cloud also " code { "JIRA_EMAIL" } ". "
                    @if let Some(url) = &jira.base_url { "JIRA is " code { (url) } "." }
                } }
                li { p {
                    "In JIRA, open System, WebHooks, and make one with this address and the same secret: "
                    code { (link(server, path)) }
                    @if server.public_url.is_none() {
                        " below the address under which JIRA reaches this manager; set " code { "PUBLIC_URL" } " to see it in full here"
                    }
                    "."
                } }
                li { p { "Choose the events Issue created, updated and deleted, and Comment created and updated. A JQL filter says which issues count." } }
                li { p {
                    "A ticket names its repository in "
                    @match &jira.repository_field {
                        Some(field) => { "the field " code { (field) } " or its description" },
                        None => { "its description, or in the field that " code { "JIRA_REPOSITORY_FIELD" } " names" },
                    }
                    ". Where it names none, a comment asks for it."
                } }
                li { p {
                    @if state.tickets.may_create() {
                        "A new ticket makes a project (" code { "AUTO_CREATE_PROJECTS" } ")."
                    } @else {
                        "Tickets make no projects here: set " code { "AUTO_CREATE_PROJECTS=true" }
                        ", or make a project with the ticket's key as its JIRA issue."
                    }
                } }
            }
        }
    }
}

/// `POST /tickets/{id}/replay`
pub(in crate::web) async fn replay(
    State(state): State<AppState>,
    id: DeliveryId,
    visit: Visit,
) -> Result<Response, Problem> {
    visit.permit(Action::Chat)?;
    let id = id.map(|Path(id)| id).unwrap_or_default();
    state.tickets.replay(&id).await?;
    // The id is one of the store's, so that it fits into an address.
    Ok(see_other(&state.settings.server, &format!("/tickets#d-{id}")))
}
