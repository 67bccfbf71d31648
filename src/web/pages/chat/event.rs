//! How an event of a conversation looks. All text of it is written as text; of Markdown only fences of code are shown as such.

use maud::{Markup, html};
use serde_json::Value;

use crate::chat::{Answer, Event, EventKind, NoticeLevel, Outcome};

/// The longest input of a tool on the page in characters; the API has all of it.
const INPUT: usize = 4000;

/// An event; empty where it says nothing to a person.
pub(super) fn markup(event: &Event) -> Markup {
    let body = body(&event.kind);
    html! { div.event data-seq=(event.seq) data-block=[block(&event.kind)] { (body) } }
}

fn block(kind: &EventKind) -> Option<&str> {
    match kind {
        EventKind::Text { block, .. } | EventKind::Thinking { block, .. } => Some(block),
        _ => None,
    }
}

fn body(kind: &EventKind) -> Markup {
    match kind {
        EventKind::Prompt { text: said, source, actor, attachments, .. } => html! {
            div.said {
                p.small { bdi { (actor) } " by " (source) }
                (text(said))
                @for file in attachments { p.small { "With " bdi { (file.name) } ", " (file.size) " bytes" } }
            }
        },
        EventKind::PromptCancelled { actor, .. } => {
            html! { p.small { "A prompt was taken back by " bdi { (actor) } "." } }
        }
        EventKind::Text { text: said, partial, parent, .. } => html! {
            div.md.sub[parent.is_some()] { (text(said)) }
            @if *partial { p.small { "Cut off here." } }
        },
        EventKind::Thinking { text: thought, .. } => html! {
            @if !thought.is_empty() { details.thinking { summary { "Thought" } (text(thought)) } }
        },
        EventKind::ToolUse { name, input, truncated, .. } => html! {
            details.tool {
                summary { strong { (name) } " " code { (brief(input)) } }
                pre tabindex="0" { (pretty(input)) }
                @if *truncated { p.small { "The input is longer." } }
            }
        },
        EventKind::ToolResult { text: result, is_error, truncated, .. } => html! {
            details.tool.failed[*is_error] {
                summary { @if *is_error { "Failed" } @else { "Result" } " " code { (line(result)) } }
                pre tabindex="0" { (result) }
                @if *truncated { p.small { "The result is longer." } }
            }
        },
        EventKind::Request { tool, description, .. } => html! {
            p.small { "Asked about " strong { (tool) } @if let Some(text) = description { ": " (text) } }
        },
        EventKind::RequestAnswered { answer, actor, message, answers, .. } => html! {
            p.small {
                bdi { (actor) } " " (answered(*answer))
                @if let Some(message) = message { ": " bdi { (message) } }
                @for (question, answer) in answers { "; " bdi { (question) } " " strong { (answer) } }
            }
        },
        EventKind::RequestWithdrawn { .. } => html! { p.small { "The request was withdrawn." } },
        EventKind::TurnEnded { outcome, cost_usd, duration_ms, message, .. } => html! {
            p.end {
                span.small {
                    (ended(*outcome)) " after " (format!("{:.1} s", *duration_ms as f64 / 1000.0))
                    @if *cost_usd > 0.0 { ", $" (format!("{cost_usd:.4}")) }
                    @if let Some(message) = message { ". " (message) }
                }
            }
        },
        EventKind::Notice { level, text, .. } => html! {
            div.notice.bad[matches!(level, NoticeLevel::Error | NoticeLevel::Warning)] role="note" { (text) }
        },
        EventKind::TurnStarted { .. } | EventKind::Unknown(_) => html! {},
    }
}

/// A text in paragraphs as they were written, with fenced code apart.
fn text(text: &str) -> Markup {
    html! {
        @for (index, part) in text.split("\n```").enumerate() {
            @let part = if index == 0 { part.strip_prefix("```").map_or((false, part), |code| (true, code)) } else { (index % 2 == 1, part) };
            @if part.0 {
                pre tabindex="0" { code { (part.1.split_once('\n').map_or("", |(_, code)| code)) } }
            } @else if !part.1.trim().is_empty() {
                p.plain { (part.1.trim_matches('\n')) }
            }
        }
    }
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
fn brief(input: &Value) -> String {
    let telling = ["command", "file_path", "pattern", "url", "query", "description", "prompt"];
    let found = telling.into_iter().find_map(|name| input.get(name)?.as_str());
    line(found.unwrap_or_default())
}

fn line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(120).collect()
}

/// An input as indented JSON.
pub(super) fn pretty(input: &Value) -> String {
    let text = serde_json::to_string_pretty(input).unwrap_or_default();
    text.chars().take(INPUT).collect()
}
