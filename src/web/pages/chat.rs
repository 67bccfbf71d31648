//! The chat of a project: its conversations, one conversation with its history, and the forms that act in it.
//!
//! Everything is rendered here; the script only asks for what is new as a fragment, and shows a block while it grows.

mod event;
pub(super) mod panel;
mod request;
mod window;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::credentials::missing;
use super::format::{badge, moment};
use super::icon::glyph;
use super::list::none_yet;
use super::page_request::Visit;
use super::project_head::{Tab, head};
use super::see_other;
use crate::chat::{Conversation, Event, Id as ChatId, NewConversation, NewPrompt};
use crate::project::{Action, ProjectName};
use crate::web::AppState;
use crate::web::api::chat::{Place, Within, place_of, within_of};
use crate::web::problem::Problem;
use crate::web::request::{Id, name_of};
use panel::{Panel, look_of, state_of};
use window::{EVENTS, Keep, Window};

/// How many conversations and projects `/chat` lists, and how many conversations stand beside the one that is read.
const GLANCES: u32 = 50;
const PROJECTS: usize = 100;
const BESIDE: usize = 40;

/// `GET /chat`: what runs and what was used last, and the projects, to begin in one.
pub(in crate::web) async fn choose(State(state): State<AppState>, visit: Visit) -> Result<Response, Problem> {
    visit.permit(Action::Read)?;
    let snapshot = state.operations.loaded()?;
    let glances = state.chat.overview(GLANCES, &visit.actor()).await?;
    let base = state.settings.server.base_path.as_str();
    let content = html! {
        h1 { "Chat" }
        @if snapshot.projects.is_empty() {
            (none_yet(base, visit.may(Action::Create)))
        } @else {
            @if !glances.is_empty() {
                section aria-labelledby="recent" {
                    h2 id="recent" { "Conversations" }
                    ul.card.talks { @for glance in &glances { (line(base, &glance.project, &glance.conversation, true)) } }
                }
            }
            section aria-labelledby="projects" {
                h2 id="projects" { "Projects" }
                ul.card.talks {
                    @for (name, project) in snapshot.projects.iter().take(PROJECTS) {
                        li {
                            a href=(format!("{base}/projects/{name}/chat")) { bdi { (project.spec.as_ref().map_or(name.as_str(), |spec| spec.name.as_str())) } }
                            (badge(project.status.phase))
                        }
                    }
                }
                @if snapshot.projects.len() > PROJECTS {
                    p.small { a href=(format!("{base}/projects")) { "Find another project" } " of " (snapshot.projects.len()) "." }
                }
            }
        }
    };
    Ok(visit.page(&state, StatusCode::OK, "Chat", content))
}

/// A conversation in a list.
fn line(base: &str, name: &ProjectName, conversation: &Conversation, with_project: bool) -> Markup {
    html! {
        li {
            a href=(format!("{base}/projects/{name}/chat/{}", conversation.id)) { bdi { (title(conversation)) } }
            @if with_project { span.mute { bdi { (name) } } }
            (state_of(conversation.state))
            span.mute { (moment(Some(&conversation.updated_at))) @if conversation.cost_usd > 0.0 { ", $" (format!("{:.2}", conversation.cost_usd)) } }
        }
    }
}

/// `GET /projects/{id}/chat`
pub(in crate::web) async fn list(State(state): State<AppState>, id: Id, visit: Visit) -> Result<Response, Problem> {
    visit.permit(Action::Read)?;
    let name = name_of(id)?;
    let conversations = state.chat.list(&name, &visit.actor()).await?;
    let base = state.settings.server.base_path.as_str();
    let content = html! {
        (head(base, &name, Tab::Chat, &html! { "Chat with " bdi { (name) } }, &html! {}))
        (missing(&state, &visit, &name).await)
        @if visit.may(Action::Chat) {
            form.composer method="post" action=(format!("{base}/projects/{name}/chat")) {
                label for="text" { "New conversation" }
                textarea id="text" name="text" rows="3" required placeholder="Prompt" {}
                div.actions { span.hint { "A stopped project is started by a commit." } button.primary type="submit" { "Send" } }
            }
        }
        section aria-labelledby="conversations" {
            h2 id="conversations" { "Conversations" }
            @if conversations.is_empty() {
                p.small { "There is no conversation yet." }
            } @else {
                ul.card.talks { @for conversation in &conversations { (line(base, &name, conversation, false)) } }
            }
        }
    };
    let above = [("Projects", "/projects"), (name.as_str(), &*format!("/projects/{name}"))];
    Ok(visit.page_below(&state, StatusCode::OK, "Chat", &above, content))
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

/// `GET /projects/{id}/chat/{conversation}?from=SEQ` or `?before=SEQ`
pub(in crate::web) async fn page(
    State(state): State<AppState>,
    place: Place,
    visit: Visit,
) -> Result<Response, Problem> {
    visit.permit(Action::Read)?;
    let (name, conversation) = place_of(place)?;
    let actor = visit.actor();
    let detail = state.chat.detail(&name, &conversation, &actor).await?;
    let last_seq = detail.conversation.last_seq;
    let query = visit.query()?;
    let number = |key: &str| {
        let given = query.iter().find(|(name, _)| name == key).map(|(_, value)| value.parse::<u64>());
        given.transpose().map_err(|_| Problem::field(key, "must be a whole number"))
    };
    let (after, keep) = match (number("from")?, number("before")?) {
        (Some(from), _) => (from.saturating_sub(1).min(last_seq), Keep::First),
        (None, Some(before)) => (before.min(last_seq + 1).saturating_sub(EVENTS + 1), Keep::Last),
        (None, None) => (last_seq.saturating_sub(EVENTS), Keep::Last),
    };
    let end = number("before")?.unwrap_or(u64::MAX).max(1);
    let page = state.chat.events(&name, &conversation, after, EVENTS, &actor).await?;
    let events: Vec<Event> = read(&page.items).into_iter().filter(|event| event.seq < end).collect();
    let window = Window::of(&events, after, keep);
    let base = state.settings.server.base_path.as_str();
    let here = format!("{base}/projects/{name}/chat/{conversation}");
    let parts = Panel::of(&state, &visit, &name, &conversation, &detail).await?;
    let is_live = window.last >= last_seq;
    let others = state.chat.list(&name, &actor).await?;
    let content = html! {
        (conversations(base, &name, &others, &detail.conversation))
        section.talk aria-label="Conversation" {
            header {
                h1.clip { bdi { (title(&detail.conversation)) } }
                @if let Some(model) = &detail.conversation.model { span.chip { bdi { (model) } } }
                @if detail.conversation.cost_usd > 0.0 { span.mute { "$" (format!("{:.2}", detail.conversation.cost_usd)) } }
                a.button.quiet.slim href=(format!("{base}/projects/{name}/chat")) { "New conversation" }
            }
            div.transcript tabindex="0" {
                div id="chat" data-socket=(format!("{base}/api/chat/ws"))
                    data-fragment=(format!("{base}/fragments/projects/{name}/chat/{conversation}"))
                    data-project=(name) data-conversation=(conversation) data-epoch=(page.epoch) data-last=(window.last)
                    data-live=[is_live.then_some("true")] {
                    h2.unseen { "Transcript" }
                    @for notice in visit.notices(&state) { (notice) }
                    (missing(&state, &visit, &name).await)
                    @if window.after > 0 { p { a.button.slim href=(format!("{here}?before={}", window.after + 1)) { "Show earlier" } } }
                    div id="events" role="log" aria-label="Transcript" { @for event in &window.shown { (event) } }
                    @if !is_live { p { a.button.slim href=(format!("{here}?from={}", window.last + 1)) { "Show later" } " " a.button.slim href=(here) { "Show latest" } } }
                    div.open id="open" hidden { div.md { } }
                    div id="panel" { (parts.panel) }
                }
            }
            div.composer-bar {
                div id="strip" { (parts.strip) }
                @if visit.may(Action::Chat) {
                    form.composer id="composer" method="post" action=(here) {
                        input type="hidden" name="id" value=(ChatId::random());
                        label for="text" { "Prompt" }
                        textarea id="text" name="text" rows="2" required data-draft=(conversation) {}
                        div.actions {
                            span.hint id="keys" { "Reload the page to see what is new." }
                            button.primary type="submit" { "Send" }
                        }
                    }
                }
                div.now id="now" { (parts.now) }
            }
        }
    };
    let (project, list) = (format!("/projects/{name}"), format!("/projects/{name}/chat"));
    let above = [("Projects", "/projects"), (name.as_str(), &*project), ("Chat", &*list)];
    Ok(visit.chat_page(&state, title(&detail.conversation), &above, content))
}

/// The other conversations of the project, beside the one that is read.
fn conversations(base: &str, name: &ProjectName, all: &[Conversation], this: &Conversation) -> Markup {
    html! {
        nav.convos aria-label="Conversations" {
            p.group-name { bdi { (name) } }
            ul {
                @for one in all.iter().take(BESIDE) {
                    @let (shape, word, class) = look_of(one.state);
                    li {
                        a href=(format!("{base}/projects/{name}/chat/{}", one.id)) aria-current=[(one.id == this.id).then_some("page")] {
                            span.(class) { (glyph(shape)) } span.clip { bdi { (title(one)) } } (moment(Some(&one.updated_at)))
                            small { (word) @if one.cost_usd > 0.0 { ", $" (format!("{:.2}", one.cost_usd)) } }
                        }
                    }
                }
            }
        }
    }
}

/// `GET /fragments/projects/{id}/chat/{conversation}?after=SEQ`: the events after that, and the parts beside them.
pub(in crate::web) async fn fragment(
    State(state): State<AppState>,
    place: Place,
    visit: Visit,
) -> Result<Response, Problem> {
    visit.permit(Action::Read)?;
    let (name, conversation) = place_of(place)?;
    let actor = visit.actor();
    let after = visit.query()?.iter().find(|(key, _)| key == "after").and_then(|(_, value)| value.parse().ok());
    let after = after.unwrap_or(0);
    let page = state.chat.events(&name, &conversation, after, EVENTS, &actor).await?;
    let detail = state.chat.detail(&name, &conversation, &actor).await?;
    let events = read(&page.items);
    let window = Window::of(&events, after, Keep::First);
    let has_more = window.is_cut || events.len() as u64 == EVENTS;
    let parts = Panel::of(&state, &visit, &name, &conversation, &detail).await?;
    Ok(visit.fragment(&html! {
        div data-part="events" data-epoch=(page.epoch) data-more=[has_more.then_some("true")] {
            @for event in &window.shown { (event) }
        }
        div data-part="panel" { (parts.panel) }
        div data-part="strip" { (parts.strip) }
        div data-part="now" { (parts.now) }
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

fn title(conversation: &Conversation) -> &str {
    conversation.title.as_deref().filter(|title| !title.trim().is_empty()).unwrap_or("Untitled conversation")
}

fn read(items: &[Box<serde_json::value::RawValue>]) -> Vec<Event> {
    items.iter().filter_map(|item| serde_json::from_str(item.get()).ok()).collect()
}
