//! What changes beside the events: open requests, prompts that wait with the reason, the strip above the composer, the state.

use maud::{Markup, html};

use super::event::{avatar, brief};
use super::{read, request};
use crate::chat::{
    Answer, ConversationDetail, Event, EventKind, Id as ChatId, QueuedPrompt, RequestKind, State, Waiting,
};
use crate::project::{Action, Phase, ProjectName};
use crate::web::AppState;
use crate::web::pages::format::{badge, moment, state as state_badge};
use crate::web::pages::icon::{Glyph, glyph};
use crate::web::pages::page_request::Visit;
use crate::web::problem::Problem;

/// The three parts of a conversation's page that the script replaces.
pub(super) struct Panel {
    /// Cards and the queue; stands at the end of the transcript.
    pub(super) panel: Markup,
    /// The oldest open request again, above the composer.
    pub(super) strip: Markup,
    /// The state, and the way to interrupt.
    pub(super) now: Markup,
}

impl Panel {
    /// Reads and renders them.
    pub(super) async fn of(
        state: &AppState,
        visit: &Visit,
        name: &ProjectName,
        conversation: &ChatId,
        detail: &ConversationDetail,
    ) -> Result<Self, Problem> {
        let actor = visit.actor();
        let mut requests = Vec::new();
        for open in &detail.open_requests {
            // All of a request is in its event, which may be older than the page.
            let page = state.chat.events(name, conversation, open.seq.saturating_sub(1), 1, &actor).await?;
            requests.extend(read(&page.items));
        }
        requests.retain(|event| matches!(event.kind, EventKind::Request { .. }));
        let waiting = state.chat.waiting(name, &actor).await?;
        let project = state.operations.project(name)?;
        let (phase, message) = (project.status.phase, project.status.message.as_str());
        let here = format!("{}/projects/{name}/chat/{conversation}", state.settings.server.base_path);
        let (may, now) = (visit.may(Action::Chat), detail.conversation.state);
        let panel = html! {
            @for asked in &requests { (request::card(&here, asked, may)) }
            @if !detail.queue.is_empty() {
                ul.queue aria-label="Prompts that wait" {
                    @for (number, prompt) in detail.queue.iter().enumerate() {
                        (queued(&here, number, prompt, may, waiting.get(&prompt.prompt_id), now, message))
                    }
                }
            }
        };
        let starts = matches!(now, State::Starting | State::Offline);
        let now = html! {
            (state_of(now)) span.mute { (what_next(now)) }
            @if starts && phase != Phase::Running { span.mute { (badge(phase)) " " (message) } }
            @if may && matches!(now, State::Working | State::NeedsYou) {
                form.end method="post" action=(format!("{here}/interrupt")) { button.slim type="submit" id="interrupt" { "Interrupt" } }
            }
        };
        Ok(Self { panel, strip: strip(&here, &requests, may), now })
    }
}

/// A prompt that has not started, and why. One that the agent has is in the transcript already, so a line is enough; one
/// that is `kept` by the manager is nowhere else.
fn queued(
    here: &str,
    number: usize,
    prompt: &QueuedPrompt,
    may: bool,
    kept: Option<&Waiting>,
    now: State,
    message: &str,
) -> Markup {
    let take_back = html! {
        @if may {
            form method="post" action=(format!("{here}/cancel/{}", prompt.prompt_id)) {
                button.slim type="submit" id=(format!("cancel-{number}")) { "Take back" }
            }
        }
    };
    let Some(kept) = kept else {
        return html! {
            li {
                span.wait { (glyph(Glyph::Pending)) } span.clip { (prompt.text) }
                span.mute {
                    @if now == State::Queued { "waits for another conversation, which works in the same files" }
                    @else { "sent when this turn has ended" }
                }
                (take_back)
            }
        };
    };
    html! {
        li.prompt.queued.unsent[kept.is_refused] {
            header {
                (avatar(&prompt.actor)) b { bdi { (prompt.actor) } }
                span { @if kept.is_refused { "not delivered" } @else { "waits for the environment" } }
                span.end { (moment(Some(&prompt.at))) }
            }
            p.plain-text { (prompt.text) }
            p.mute {
                @if kept.problem.is_empty() { "Kept by the manager until the environment runs. " (message) } @else { (kept.problem) }
            }
            (take_back)
        }
    }
}

/// The oldest open request, in reach wherever the reader has scrolled.
fn strip(here: &str, requests: &[Event], may: bool) -> Markup {
    let Some(event) = requests.first() else { return html! {} };
    let EventKind::Request { request_id, request_kind, tool, input, choices, .. } = &event.kind else {
        return html! {};
    };
    let (verb, what) = match request_kind {
        RequestKind::Question => ("Claude asks a question", String::new()),
        RequestKind::Plan => ("Claude proposes a plan", String::new()),
        RequestKind::Permission | RequestKind::Unknown => (tool.as_str(), brief(input)),
    };
    let is_permission = matches!(request_kind, RequestKind::Permission | RequestKind::Unknown);
    html! {
        form.ask-strip method="post" action=(format!("{here}/requests/{request_id}")) aria-label="Open request" {
            span.needs { (glyph(Glyph::Needs)) }
            a.clip href=(format!("#request-{}", event.seq)) { strong { (verb) } " " code { (what) } }
            @if may && is_permission {
                @if choices.contains(&Answer::Allow) { button.primary.slim type="submit" name="answer" value="allow" { "Allow once" } }
                @if choices.contains(&Answer::Deny) { button.slim type="submit" name="answer" value="deny" { "Deny" } }
            } @else {
                a.button.slim href=(format!("#request-{}", event.seq)) { "Show" }
            }
            @if requests.len() > 1 { span.count.needs title=(format!("{} more", requests.len() - 1)) { "+" (requests.len() - 1) } }
        }
    }
}

/// The shape, the word and the colour of a state.
pub(in crate::web::pages) const fn look_of(state: State) -> (Glyph, &'static str, &'static str) {
    match state {
        State::Idle => (Glyph::Done, "Idle", "calm"),
        State::Working => (Glyph::Working, "Working", "wait"),
        State::NeedsYou => (Glyph::Needs, "Needs you", "needs"),
        State::Queued => (Glyph::Pending, "Queued", "wait"),
        State::Starting => (Glyph::Changing, "Starting", "wait"),
        State::Offline => (Glyph::Stopped, "Offline", "calm"),
        State::Unknown => (Glyph::Pending, "Unknown", "calm"),
    }
}

/// A state.
pub(in crate::web::pages) fn state_of(state: State) -> Markup {
    let (shape, word, class) = look_of(state);
    state_badge(shape, word, class)
}

const fn what_next(state: State) -> &'static str {
    match state {
        State::Idle => "A prompt is started at once.",
        State::Working => "A turn runs; further prompts wait for its end.",
        State::NeedsYou => "Claude waits for an answer.",
        State::Queued => "Another conversation of this project works in the same files.",
        State::Starting => "The environment or Claude Code starts; the prompt is kept until then.",
        State::Offline => "The environment does not run. A prompt starts it.",
        State::Unknown => "",
    }
}
