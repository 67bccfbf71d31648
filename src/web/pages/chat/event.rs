//! How an event of a conversation looks. Claude's text is Markdown; everything else is written as text.

use maud::{Markup, html};
use serde_json::Value;

use crate::chat::{Answer, Event, EventKind, NoticeLevel, Outcome};
use crate::web::pages::format::span;
use crate::web::pages::markdown::markdown;

/// The longest input and result of a tool on the page in characters; the API has all of it.
const INPUT: usize = 4000;
const RESULT: usize = 4000;

/// An event; empty where it says nothing to a person. The same event always gives the same markup, so that a page that grew
/// is the page that is loaded.
pub(super) fn markup(event: &Event) -> Markup {
    let body = body(event);
    let is_tool = matches!(event.kind, EventKind::ToolUse { .. } | EventKind::ToolResult { .. });
    html! {
        div.event.tools[is_tool].sub[of_subagent(&event.kind)] id=(format!("e{}", event.seq)) data-seq=(event.seq) data-block=[block(&event.kind)] { (body) }
    }
}

fn block(kind: &EventKind) -> Option<&str> {
    match kind {
        EventKind::Text { block, .. } | EventKind::Thinking { block, .. } => Some(block),
        _ => None,
    }
}

fn of_subagent(kind: &EventKind) -> bool {
    match kind {
        EventKind::Text { parent, .. }
        | EventKind::Thinking { parent, .. }
        | EventKind::ToolUse { parent, .. }
        | EventKind::ToolResult { parent, .. } => parent.is_some(),
        _ => false,
    }
}

fn body(event: &Event) -> Markup {
    match &event.kind {
        EventKind::Prompt { text, source, actor, attachments, .. } => html! {
            article.prompt {
                header { (avatar(actor)) b { bdi { (actor) } } span { "by " (source) } span.end { (at(event)) } }
                p.plain-text { (text) }
                @for file in attachments { p.mute { "With " bdi { (file.name) } ", " (file.size) " bytes" } }
            }
        },
        EventKind::PromptCancelled { actor, .. } => {
            html! { p.mute { "A prompt was taken back by " bdi { (actor) } "." } }
        }
        EventKind::TurnStarted { .. } => html! {
            p.turn { span.avatar.claude aria-hidden="true" { "C" } b { "Claude" } span.end { (at(event)) } }
        },
        EventKind::Text { text, partial, .. } => html! {
            div.md { (markdown(text)) }
            @if *partial { p.mute { "Cut off here." } }
        },
        EventKind::Thinking { text, .. } => html! {
            @if !text.is_empty() { details.thinking { summary { "Thought" } p.plain-text { (text) } } }
        },
        EventKind::ToolUse { name, input, truncated, .. } => html! {
            details.tool {
                summary { strong { (name) } " " code.clip { (brief(input)) } }
                pre tabindex="0" { (pretty(input)) }
                @if *truncated { p.mute { "The input is longer." } }
            }
        },
        EventKind::ToolResult { text, is_error, truncated, .. } => html! {
            details.tool.failed[*is_error] {
                summary { strong { @if *is_error { "Failed" } @else { "Result" } } " " code.clip { (line(text)) } }
                pre tabindex="0" { (cut(text, RESULT)) }
                @if *truncated || text.chars().count() > RESULT { p.mute { "The result is longer; the API has more of it." } }
            }
        },
        EventKind::Request { tool, description, .. } => html! {
            p.mute { "Asked about " strong { (tool) } @if let Some(text) = description { ": " (text) } }
        },
        EventKind::RequestAnswered { answer, actor, message, answers, .. } => html! {
            p.mute {
                bdi { (actor) } " " (answered(*answer))
                @if let Some(message) = message { ": " bdi { (message) } }
                @for (question, answer) in answers { "; " bdi { (question) } " " strong { (answer) } }
            }
        },
        EventKind::RequestWithdrawn { .. } => html! { p.mute { "The request was withdrawn." } },
        EventKind::TurnEnded { outcome, cost_usd, duration_ms, message, usage, .. } => html! {
            p.ended {
                strong { (ended(*outcome)) }
                span { "after " (span(i64::try_from(*duration_ms).unwrap_or(i64::MAX))) }
                @if usage.output_tokens > 0 { span { (usage.output_tokens) " tokens written" } }
                @if *cost_usd > 0.0 { span { "$" (format!("{cost_usd:.4}")) } }
                @if let Some(message) = message { span { (message) } }
            }
        },
        EventKind::Notice { level, text, .. } => html! {
            div.notice.bad[matches!(level, NoticeLevel::Error | NoticeLevel::Warning)] role="note" { (text) }
        },
        EventKind::Unknown(_) => html! {},
    }
}

/// When an event happened, as a link to it. Relative times would make the same event another markup.
fn at(event: &Event) -> Markup {
    match event.at.parse::<jiff::Timestamp>() {
        Ok(time) => html! {
            time datetime=(event.at) title=(time.strftime("%Y-%m-%d %H:%M:%S UTC")) { (time.strftime("%-d %b %H:%M")) }
        },
        Err(_) => html! {},
    }
}

/// The first letters of a name.
pub(super) fn avatar(actor: &str) -> Markup {
    let letters: String = actor.chars().filter(|c| c.is_alphanumeric()).take(2).flat_map(char::to_uppercase).collect();
    html! { span.avatar aria-hidden="true" { (letters) } }
}

fn answered(answer: Answer) -> &'static str {
    match answer {
        Answer::Allow => "allowed it once",
        Answer::AllowSession => "allowed it for this conversation",
        Answer::AllowAlways => "allowed it always",
        Answer::Deny => "denied it",
    }
}

fn ended(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "Done",
        Outcome::Failed => "Failed",
        Outcome::Interrupted => "Interrupted",
        Outcome::Limit => "Stopped at a limit",
        Outcome::Unknown => "Ended",
    }
}

/// What a tool is used with, in one line: its most telling field.
pub(super) fn brief(input: &Value) -> String {
    let telling = ["command", "file_path", "pattern", "url", "query", "description", "prompt"];
    let found = telling.into_iter().find_map(|name| input.get(name)?.as_str());
    line(found.unwrap_or_default())
}

fn line(text: &str) -> String {
    cut(text.lines().next().unwrap_or_default(), 120)
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// An input as indented JSON.
pub(super) fn pretty(input: &Value) -> String {
    cut(&serde_json::to_string_pretty(input).unwrap_or_default(), INPUT)
}
