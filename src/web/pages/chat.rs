//! The chat of a project: its conversations, one conversation with its history, and the forms that act in it.
//!
//! Everything is rendered here; the script only asks for what is new as a fragment, and shows a block while it grows.

mod event;
mod request;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::format::{badge, moment};
use super::page_request::Visit;
use super::problem::sentence;
use super::see_other;
use crate::chat::{
    Conversation, ConversationDetail, Event, EventKind, Id as ChatId, NewConversation, NewPrompt, State as ChatState,
};
use crate::project::{Action, ProjectName};
use crate::web::AppState;
use crate::web::api::chat::{Place, Within, place_of, within_of};
use crate::web::problem::Problem;
use crate::web::request::{Id, name_of};

/// How many events a page shows.
const EVENTS: u64 = 200;

/// `GET /chat`: the projects, to choose one.
pub(in crate::web) async fn choose(State(state): State<AppState>, visit: Visit) -> Result<Response, Problem> {
    visit.permit(Action::Read)?;
    let snapshot = state.operations.loaded()?;
    let base = state.settings.server.base_path.as_str();
    let content = html! {
        h1 { "Chat" }
        @if snapshot.projects.is_empty() {
            p.empty { "There is no project to talk to. " a href=(format!("{base}/new")) { "Create one" } " first." }
        } @else {
            ul.talks {
                @for (name, project) in &snapshot.projects {
                    li {
                        a href=(format!("{base}/projects/{name}/chat")) { bdi { (project.spec.as_ref().map_or(name.as_str(), |spec| spec.name.as_str())) } }
                        " " (badge(project.status.phase))
                    }
                }
            }
        }
    };
    Ok(visit.page(&state, StatusCode::OK, "Chat", content))
}

/// `GET /projects/{id}/chat`
pub(in crate::web) async fn list(State(state): State<AppState>, id: Id, visit: Visit) -> Result<Response, Problem> {
    visit.permit(Action::Read)?;
    let name = name_of(id)?;
    let conversations = state.chat.list(&name, &visit.actor()).await?;
    let base = state.settings.server.base_path.as_str();
    let content = html! {
        (crumbs(base, &name, false))
        h1 { "Chat with " bdi { (name) } }
        (missing(&state, &name).await)
        @if visit.may(Action::Chat) {
            form.composer method="post" action=(format!("{base}/projects/{name}/chat")) {
                label for="text" { "New conversation" }
                textarea id="text" name="text" rows="3" required placeholder="What shall Claude do?" {}
                div.actions { button type="submit" { "Send" } }
            }
        }
        section aria-labelledby="conversations" {
            h2 id="conversations" { "Conversations" }
            @if conversations.is_empty() { p { "None yet." } }
            ul.talks {
                @for conversation in &conversations {
                    li {
                        a href=(format!("{base}/projects/{name}/chat/{}", conversation.id)) { bdi { (title(conversation)) } }
                        " " (state_of(conversation.state))
                        " " span.small { (moment(Some(&conversation.updated_at))) @if conversation.cost_usd > 0.0 { ", $" (format!("{:.2}", conversation.cost_usd)) } }
                    }
                }
            }
        }
    };
    Ok(visit.page(&state, StatusCode::OK, &format!("Chat with {name}"), content))
}

/// `POST /projects/{id}/chat`: a new conversation with its first prompt.
pub(in crate::web) async fn begin(State(state): State<AppState>, id: Id, visit: Visit) -> Result<Response, Problem> {
    visit.permit(Action::Chat)?;
    let name = name_of(id)?;
    let text = visit.form()?.get("text").replace("\r\n", "\n");
    if text.trim().is_empty() {
        return Err(Problem::field("text", "must not be empty"));
    }
    let actor = visit.actor();
    let title: String =
        text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().chars().take(80).collect();
    let new = NewConversation { title: Some(title), ..NewConversation::default() };
    let made = state.chat.create(&name, new, &actor).await?;
    let conversation = ChatId::parse(&made.id).map_err(|error| Problem::internal(error.to_string()))?;
    let prompt = NewPrompt { id: ChatId::random(), text, attachments: Vec::new(), source: None };
    state.chat.send(&name, &conversation, prompt, &actor).await?;
    Ok(see_other(&state.settings.server, &format!("/projects/{name}/chat/{conversation}")))
}

/// `GET /projects/{id}/chat/{conversation}`
pub(in crate::web) async fn page(
    State(state): State<AppState>,
    place: Place,
    visit: Visit,
) -> Result<Response, Problem> {
    visit.permit(Action::Read)?;
    let (name, conversation) = place_of(place)?;
    let actor = visit.actor();
    let detail = state.chat.detail(&name, &conversation, &actor).await?;
    let newest = detail.conversation.last_seq.saturating_sub(EVENTS);
    let from = visit.query()?.iter().find(|(key, _)| key == "from").map(|(_, value)| value.parse::<u64>());
    let from = from.transpose().map_err(|_| Problem::field("from", "must be a whole number"))?;
    let after = from.map_or(newest, |from| from.saturating_sub(1).min(newest));
    let page = state.chat.events(&name, &conversation, after, EVENTS, &actor).await?;
    let events = read(&page.items);
    let last = events.last().map_or(after, |event| event.seq);
    let base = state.settings.server.base_path.as_str();
    let here = format!("{base}/projects/{name}/chat/{conversation}");
    let panel = panel(&state, &visit, &name, &conversation, &detail).await?;
    let content = html! {
        (crumbs(base, &name, true))
        h1 { bdi { (title(&detail.conversation)) } }
        (missing(&state, &name).await)
        @if after > 0 { p { a href=(format!("{here}?from={}", after.saturating_sub(EVENTS) + 1)) { "Earlier" } } }
        section.chat id="chat" aria-label="Conversation" data-socket=(format!("{base}/api/chat/ws"))
            data-fragment=(format!("{base}/fragments/projects/{name}/chat/{conversation}"))
            data-project=(name) data-conversation=(conversation) data-epoch=(page.epoch) data-last=(last)
            data-live=[(last >= detail.conversation.last_seq).then_some("true")] {
            div id="events" role="log" { @for event in &events { (event::markup(event)) } }
            div.event.open id="open" hidden { div.md { } }
            div id="panel" { (panel) }
        }
        @if last < detail.conversation.last_seq { p { a href=(format!("{here}?from={}", last + 1)) { "Later" } } }
        @if visit.may(Action::Chat) {
            form.composer id="composer" method="post" action=(here) {
                input type="hidden" name="id" value=(ChatId::random());
                label for="text" { "Prompt" }
                textarea id="text" name="text" rows="3" required {}
                div.actions {
                    button type="submit" { "Send" }
                    span.small id="connection" { "Reload the page to see what is new." }
                }
            }
        }
    };
    Ok(visit.page(&state, StatusCode::OK, title(&detail.conversation), content))
}

/// `GET /fragments/projects/{id}/chat/{conversation}?after=SEQ`: the events after that, and the panel.
pub(in crate::web) async fn fragment(
    State(state): State<AppState>,
    place: Place,
    visit: Visit,
) -> Result<Response, Problem> {
    visit.permit(Action::Read)?;
    let (name, conversation) = place_of(place)?;
    let actor = visit.actor();
    let after = visit.query()?.iter().find(|(key, _)| key == "after").and_then(|(_, value)| value.parse().ok());
    let page = state.chat.events(&name, &conversation, after.unwrap_or(0), EVENTS, &actor).await?;
    let detail = state.chat.detail(&name, &conversation, &actor).await?;
    let events = read(&page.items);
    let panel = panel(&state, &visit, &name, &conversation, &detail).await?;
    Ok(visit.fragment(&html! {
        div data-part="events" data-epoch=(page.epoch) data-more=[(events.len() as u64 == EVENTS).then_some("true")] {
            @for event in &events { (event::markup(event)) }
        }
        div data-part="panel" { (panel) }
    }))
}

/// `POST /projects/{id}/chat/{conversation}`: a prompt.
pub(in crate::web) async fn send(
    State(state): State<AppState>,
    place: Place,
    visit: Visit,
) -> Result<Response, Problem> {
    visit.permit(Action::Chat)?;
    let (name, conversation) = place_of(place)?;
    let form = visit.form()?;
    let id = match form.get("id") {
        "" => ChatId::random(),
        text => ChatId::parse(text).map_err(|error| Problem::field("id", error.to_string()))?,
    };
    let text = form.get("text").replace("\r\n", "\n");
    let prompt = NewPrompt { id, text, attachments: Vec::new(), source: None };
    state.chat.send(&name, &conversation, prompt, &visit.actor()).await?;
    Ok(back(&state, &name, &conversation))
}

/// `POST /projects/{id}/chat/{conversation}/interrupt`
pub(in crate::web) async fn interrupt(
    State(state): State<AppState>,
    place: Place,
    visit: Visit,
) -> Result<Response, Problem> {
    visit.permit(Action::Chat)?;
    let (name, conversation) = place_of(place)?;
    state.chat.interrupt(&name, &conversation, &visit.actor()).await?;
    Ok(back(&state, &name, &conversation))
}

/// `POST /projects/{id}/chat/{conversation}/requests/{request}`
pub(in crate::web) async fn answer(
    State(state): State<AppState>,
    within: Within,
    visit: Visit,
) -> Result<Response, Problem> {
    visit.permit(Action::Chat)?;
    let (name, conversation, id) = within_of(within)?;
    let answer = request::answer(&visit.form()?)?;
    state.chat.answer(&name, &conversation, &id, &answer, &visit.actor()).await?;
    Ok(back(&state, &name, &conversation))
}

/// `POST /projects/{id}/chat/{conversation}/cancel/{prompt}`
pub(in crate::web) async fn cancel(
    State(state): State<AppState>,
    within: Result<Path<(String, String, String)>, axum::extract::rejection::PathRejection>,
    visit: Visit,
) -> Result<Response, Problem> {
    visit.permit(Action::Chat)?;
    let (name, conversation, prompt) = within_of(within)?;
    let prompt = ChatId::parse(&prompt).map_err(|error| Problem::field("prompt", error.to_string()))?;
    state.chat.cancel(&name, &conversation, &prompt, &visit.actor()).await?;
    Ok(back(&state, &name, &conversation))
}

fn back(state: &AppState, name: &ProjectName, conversation: &ChatId) -> Response {
    see_other(&state.settings.server, &format!("/projects/{name}/chat/{conversation}#composer"))
}

/// What changes beside the events: the state, open requests, the queue.
async fn panel(
    state: &AppState,
    visit: &Visit,
    name: &ProjectName,
    conversation: &ChatId,
    detail: &ConversationDetail,
) -> Result<Markup, Problem> {
    let mut requests = Vec::new();
    for open in &detail.open_requests {
        // All of a request is in its event, which may be older than the page.
        let page = state.chat.events(name, conversation, open.seq.saturating_sub(1), 1, &visit.actor()).await?;
        requests.extend(read(&page.items));
    }
    let here = format!("{}/projects/{name}/chat/{conversation}", state.settings.server.base_path);
    let (may, now) = (visit.may(Action::Chat), detail.conversation.state);
    Ok(html! {
        @for asked in &requests {
            @if let EventKind::Request { .. } = &asked.kind { (request::card(&here, asked, may)) }
        }
        @if !detail.queue.is_empty() {
            section.queue aria-labelledby="queue" {
                h2 id="queue" { "Queue" }
                ul {
                    @for (number, waiting) in detail.queue.iter().enumerate() {
                        li {
                            bdi { (waiting.text) }
                            @if may {
                                form method="post" action=(format!("{here}/cancel/{}", waiting.prompt_id)) {
                                    button.quiet type="submit" id=(format!("cancel-{number}")) { "Take back" }
                                }
                            }
                        }
                    }
                }
            }
        }
        div.now {
            (state_of(now)) " " span.small { (what_next(now)) }
            @if may && matches!(now, ChatState::Working | ChatState::NeedsYou) {
                form method="post" action=(format!("{here}/interrupt")) { button.quiet type="submit" id="interrupt" { "Interrupt" } }
            }
        }
    })
}

/// What Claude Code lacks in the environment, with the places where it goes.
async fn missing(state: &AppState, name: &ProjectName) -> Markup {
    let Some(problem) = state.chat.claude_problem(name).await else { return html! {} };
    let base = state.settings.server.base_path.as_str();
    html! {
        div.notice.bad role="note" {
            p { strong { "Claude Code cannot work here." } " " (sentence(&problem.message)) }
            @if problem.code == crate::chat::word::NO_CREDENTIALS {
                ul {
                    li { "For this project, by the API: " code { "PUT " (base) "/api/projects/" (name) } " with " code { "anthropicApiKey" } ", " code { "claudeCodeOauthToken" } ", or " code { "anthropicBaseUrl" } " and " code { "anthropicAuthToken" } "." }
                    li { "For this project, in Git: " code { "projects/" (name) "/secrets.sops.yaml" } ", edited with " code { "sops" } "." }
                    li { "For all projects: " code { "secrets.sops.yaml" } " at the top of the state repository, or the setting " code { "DEFAULT_ANTHROPIC_API_KEY" } " before the first start." }
                }
            }
        }
    }
}

fn crumbs(base: &str, name: &ProjectName, in_one: bool) -> Markup {
    html! {
        nav.crumbs aria-label="Breadcrumb" {
            a href=(format!("{base}/projects")) { "Projects" } " / " a href=(format!("{base}/projects/{name}")) { (name) }
            @if in_one { " / " a href=(format!("{base}/projects/{name}/chat")) { "Chat" } }
        }
    }
}

fn title(conversation: &Conversation) -> &str {
    conversation.title.as_deref().filter(|title| !title.trim().is_empty()).unwrap_or("Untitled conversation")
}

fn read(items: &[Box<serde_json::value::RawValue>]) -> Vec<Event> {
    items.iter().filter_map(|item| serde_json::from_str(item.get()).ok()).collect()
}

/// A state: a sign and its word, coloured; either would do without the colour.
fn state_of(state: ChatState) -> Markup {
    let (sign, word, class) = match state {
        ChatState::Idle => ("●", "Idle", "good"),
        ChatState::Working => ("◉", "Working", "wait"),
        ChatState::NeedsYou => ("◆", "Needs you", "needs"),
        ChatState::Queued => ("◐", "Queued", "wait"),
        ChatState::Starting => ("◐", "Starting", "wait"),
        ChatState::Offline => ("■", "Offline", "calm"),
        ChatState::Unknown => ("○", "Unknown", "calm"),
    };
    html! { span.badge.(class) { span aria-hidden="true" { (sign) } " " (word) } }
}

const fn what_next(state: ChatState) -> &'static str {
    match state {
        ChatState::Idle => "A prompt is started at once.",
        ChatState::Working => "A turn runs; further prompts wait for its end.",
        ChatState::NeedsYou => "Claude waits for an answer.",
        ChatState::Queued => "Another conversation of this project works in the same files.",
        ChatState::Starting => "The environment or Claude Code starts; the prompt is kept until then.",
        ChatState::Offline => "The environment does not run. A prompt starts it.",
        ChatState::Unknown => "",
    }
}
