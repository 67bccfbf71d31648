//! The dashboard: what a person has to do something about, what runs, what ended last, and the fleet.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::chat::panel::state_of;
use super::format::{badge, commit, moment, sentence, shape, state as state_badge};
use super::icon::{Glyph, glyph};
use super::list::none_yet;
use super::page_request::Visit;
use super::project::refreshed;
use crate::chat::{Answer, Event, EventKind, Glance, RequestKind};
use crate::operations::{Component, Health, Snapshot};
use crate::project::{Action, Phase, Reason};
use crate::web::AppState;
use crate::web::problem::Problem;

/// How many of the ended conversations and how many failed projects are shown.
const ENDED: usize = 10;
const FAILED: usize = 20;

/// `GET /`
pub(in crate::web) async fn page(State(state): State<AppState>, visit: Visit) -> Result<Response, Problem> {
    let content = content(&state, &visit).await?;
    let address = format!("{}/fragments/dashboard", state.settings.server.base_path);
    Ok(visit.page(&state, StatusCode::OK, "Dashboard", refreshed("dashboard", &address, &content)))
}

/// `GET /fragments/dashboard`: the part of the page that changes, which is all of it.
pub(in crate::web) async fn fragment(State(state): State<AppState>, visit: Visit) -> Result<Response, Problem> {
    Ok(visit.fragment(&content(&state, &visit).await?))
}

async fn content(state: &AppState, visit: &Visit) -> Result<Markup, Problem> {
    visit.permit(Action::Read)?;
    let base = state.settings.server.base_path.as_str();
    let snapshot = state.operations.loaded()?;
    let glances = state.chat.overview(Glance::MOST, &visit.actor()).await?;
    let health = state.health().await;
    let inbox = Inbox::of(base, visit, &snapshot, &glances, &health);
    let (working, ended): (Vec<&Glance>, Vec<&Glance>) = glances.iter().partition(|glance| !glance.is_over());
    let starting = snapshot.projects.iter().filter(|(_, project)| {
        matches!(project.status.phase, Phase::Starting | Phase::Pending | Phase::Stopping | Phase::Deleting)
    });
    let starting: Vec<_> = starting.take(FAILED).collect();
    let heading = match inbox.count {
        0 => "Nothing needs you".to_owned(),
        1 => "1 thing needs you".to_owned(),
        count => format!("{count} things need you"),
    };
    Ok(html! {
        div.head {
            div {
                h1 { (heading) }
                p {
                    (snapshot.projects.len()) @if snapshot.projects.len() == 1 { " project" } @else { " projects" }
                    @if let Some(head) = &snapshot.head { ", the cluster follows " (commit(base, head)) }
                }
            }
            @if visit.may(Action::Create) && !snapshot.projects.is_empty() { a.button.primary href=(format!("{base}/new")) { "New project" } }
        }
        div.split {
            div.stack {
                @if snapshot.projects.is_empty() { (none_yet(base, visit.may(Action::Create))) }
                section aria-labelledby="needs" {
                    h2 id="needs" { "Needs you" }
                    @if inbox.count == 0 {
                        p.small { "No request is open, no project has failed, and no deletion waits." }
                    } @else {
                        ul.card.inbox { @for item in &inbox.items { (item) } }
                    }
                }
                section aria-labelledby="runs" {
                    h2 id="runs" { "Running now" }
                    @if working.is_empty() && starting.is_empty() { p.small { "No conversation works, and no project changes its state." } }
                    @if !working.is_empty() || !starting.is_empty() {
                        ul.card.talks {
                            @for glance in &working { (conversation(base, glance)) }
                            @for (name, project) in &starting {
                                li {
                                    a href=(format!("{base}/projects/{name}")) { bdi { (project.spec.as_ref().map_or(name.as_str(), |spec| spec.name.as_str())) } }
                                    (badge(project.status.phase)) span.mute { (project.status.message) }
                                }
                            }
                        }
                    }
                }
                section aria-labelledby="finished" {
                    h2 id="finished" { "Finished" }
                    @if ended.is_empty() { p.small { "No conversation has ended yet." } }
                    @else { ul.card.talks { @for glance in ended.iter().take(ENDED) { (conversation(base, glance)) } } }
                }
            }
            div.stack {
                (fleet(base, &snapshot))
                (parts(base, &health))
            }
        }
    })
}

/// What a person has to do something about; counted whole, listed up to a bound.
struct Inbox {
    count: usize,
    items: Vec<Markup>,
}

impl Inbox {
    fn of(base: &str, visit: &Visit, snapshot: &Snapshot, glances: &[Glance], health: &[Component]) -> Self {
        let mut items = Vec::new();
        for glance in glances {
            items.extend(glance.requests.iter().map(|event| request(base, visit, glance, event)));
        }
        let projects = || snapshot.projects.iter();
        let held: Vec<_> = projects().filter(|(_, project)| project.status.reason == Reason::DeletionHeld).collect();
        if !held.is_empty() {
            let title = match held.len() {
                1 => "1 deletion is held".to_owned(),
                count => format!("{count} deletions are held"),
            };
            let why = held.first().map(|(_, project)| project.status.message.as_str()).unwrap_or_default();
            items.push(item(
                Glyph::Needs,
                "needs",
                &html! { strong { (title) } },
                why,
                &format!("{base}/plan"),
                "Show held deletions",
            ));
        }
        for part in health.iter().filter(|part| part.health != Health::Ok) {
            let address = if part.name == "backup" { format!("{base}/backups") } else { format!("{base}/settings") };
            let title = html! { strong { (part.name) } " is " (part.health.as_str()) };
            items.push(item(Glyph::Failed, "bad", &title, &part.message, &address, "Show"));
        }
        let failed: Vec<_> = projects().filter(|(_, project)| project.status.phase == Phase::Failed).collect();
        let count = items.len() + failed.len();
        for (name, project) in failed.into_iter().take(FAILED) {
            let display = project.spec.as_ref().map_or(name.as_str(), |spec| spec.name.as_str());
            let title =
                html! { strong { "Failed" } " " a href=(format!("{base}/projects/{name}")) { bdi { (display) } } };
            let logs = format!("{base}/projects/{name}/logs");
            items.push(item(Glyph::Failed, "bad", &title, &project.status.message, &logs, "Logs"));
        }
        Self { count, items }
    }
}

fn item(shape: Glyph, class: &str, title: &Markup, text: &str, address: &str, verb: &str) -> Markup {
    html! {
        li {
            span.(class) { (glyph(shape)) }
            div { p { (title) } p.small { (sentence(text)) } }
            div.actions { a.button.slim href=(address) { (verb) } }
        }
    }
}

/// An open request; a permission can be answered here.
fn request(base: &str, visit: &Visit, glance: &Glance, event: &Event) -> Markup {
    let EventKind::Request { request_id, request_kind, tool, description, input, choices, .. } = &event.kind else {
        return html! {};
    };
    let here = format!("{base}/projects/{}/chat/{}", glance.project, glance.conversation.id);
    let title = glance.conversation.title.as_deref().unwrap_or("Untitled conversation");
    let word = match request_kind {
        RequestKind::Question => "Question",
        RequestKind::Plan => "Plan",
        RequestKind::Permission | RequestKind::Unknown => "Permission",
    };
    let is_permission = matches!(request_kind, RequestKind::Permission | RequestKind::Unknown);
    html! {
        li {
            span.needs { (glyph(Glyph::Needs)) }
            div {
                p { strong { (word) } " in " a href=(here) { (glance.project) } " · " bdi { (title) } }
                @if is_permission {
                    code.ask { (input["command"].as_str().unwrap_or(tool)) }
                } @else if let Some(text) = description { p { (text) } }
                p.mute { "asked " (moment(Some(&event.at))) }
            }
            @if is_permission && visit.may(Action::Chat) {
                form.actions method="post" action=(format!("{here}/requests/{request_id}")) {
                    @if choices.contains(&Answer::Allow) { button.primary.slim type="submit" name="answer" value="allow" { "Allow once" } }
                    @if choices.contains(&Answer::Deny) { button.slim type="submit" name="answer" value="deny" { "Deny" } }
                    a.button.quiet.slim href=(here) { "Open" }
                }
            } @else {
                div.actions { a.button.slim href=(here) { "Open" } }
            }
        }
    }
}

fn conversation(base: &str, glance: &Glance) -> Markup {
    let one = &glance.conversation;
    let title = one.title.as_deref().filter(|title| !title.trim().is_empty()).unwrap_or("Untitled conversation");
    html! {
        li {
            a href=(format!("{base}/projects/{}/chat/{}", glance.project, one.id)) { bdi { (title) } }
            span.mute { (glance.project) }
            (state_of(one.state))
            span.mute { (moment(Some(&one.updated_at))) @if one.cost_usd > 0.0 { ", $" (format!("{:.2}", one.cost_usd)) } }
        }
    }
}

/// The projects by phase: a bar, and the numbers.
fn fleet(base: &str, snapshot: &Snapshot) -> Markup {
    let count = |phase| snapshot.projects.values().filter(|project| project.status.phase == phase).count();
    let counts: Vec<(Phase, usize)> =
        Phase::ALL.into_iter().map(|phase| (phase, count(phase))).filter(|(_, count)| *count > 0).collect();
    let all = snapshot.projects.len().max(1);
    let share = |count: usize| count * 1000 / all;
    html! {
        section aria-labelledby="fleet" {
            h2 id="fleet" { "Fleet" }
            svg.series viewBox="0 0 1000 8" preserveAspectRatio="none" role="img" aria-label="Projects by phase" {
                @for (index, (phase, count)) in counts.iter().enumerate() {
                    @let before: usize = counts.iter().take(index).map(|(_, count)| share(*count)).sum();
                    rect.(shape(*phase).1) x=(before) y="0" width=(share(*count).saturating_sub(4).max(2)) height="8" {}
                }
            }
            ul.legend {
                @for (phase, count) in &counts {
                    li { a href=(format!("{base}/projects?phase={}", phase.as_str())) { (badge(*phase)) } b { (count) } }
                }
            }
        }
    }
}

/// How the manager's own parts are.
fn parts(base: &str, health: &[Component]) -> Markup {
    html! {
        section aria-labelledby="health" {
            h2 id="health" { "Manager" }
            dl {
                @for part in health {
                    dt { @if part.name == "backup" { a href=(format!("{base}/backups")) { (part.name) } } @else { (part.name) } }
                    dd {
                        @match part.health {
                            Health::Ok => (state_badge(Glyph::Done, "ok", "good")),
                            Health::Degraded => (state_badge(Glyph::Failed, "degraded", "needs")),
                            Health::Down => (state_badge(Glyph::Failed, "down", "bad")),
                        }
                        span.sub { (part.message) }
                    }
                }
            }
        }
    }
}
