//! What Claude asks of a person, as a card with a form: a permission, questions, a plan.

use maud::{Markup, html};
use serde_json::{Value, json};

use super::event::pretty;
use crate::chat::{Answer, Event, EventKind, NewAnswer, RequestKind};
use crate::web::pages::form::Form;
use crate::web::pages::format::moment;
use crate::web::pages::icon::{Glyph, glyph};
use crate::web::pages::markdown::markdown;
use crate::web::problem::Problem;

/// The most questions of a request that a form takes.
const QUESTIONS: usize = 8;

/// The card of an open request.
pub(super) fn card(here: &str, event: &Event, may: bool) -> Markup {
    let EventKind::Request { request_id, request_kind, tool, description, input, choices, rules, .. } = &event.kind
    else {
        return html! {};
    };
    let place = format!("request-{}", event.seq);
    let title = match request_kind {
        RequestKind::Question => "Claude asks a question",
        RequestKind::Plan => "Claude proposes a plan",
        RequestKind::Permission | RequestKind::Unknown => "Claude asks for permission",
    };
    let details = format!("{place}-more");
    let (first, further): (Vec<&Answer>, Vec<&Answer>) = choices.iter().partition(|choice| **choice == Answer::Allow);
    html! {
        section.card.needs aria-labelledby=(place) {
            header { span.needs { (glyph(Glyph::Needs)) } h2 id=(place) { (title) } span.end { (moment(Some(&event.at))) } }
            form.body method="post" action=(format!("{here}/requests/{request_id}")) {
                @match request_kind {
                    RequestKind::Question => (questions(event.seq, input)),
                    RequestKind::Plan => div.md { (markdown(input["plan"].as_str().unwrap_or_default())) },
                    RequestKind::Permission | RequestKind::Unknown => {
                        p { strong { (tool) } @if let Some(text) = description { ": " (text) } }
                        pre tabindex="0" { (input["command"].as_str().map_or_else(|| pretty(input), str::to_owned)) }
                        @if !rules.is_empty() { p.mute { "Allowing it more than once adds: " @for rule in rules { code { (rule) } " " } } }
                    }
                }
                @if may {
                    @if choices.contains(&Answer::Deny) {
                        div.field {
                            label for=(format!("{place}-message")) { "Reason for a denial" }
                            input id=(format!("{place}-message")) name="message" autocomplete="off" aria-describedby=(details);
                            p.hint id=(details) { "Claude reads it." }
                        }
                    }
                    div.actions {
                        @for choice in first.iter().chain(&further) {
                            button.primary[**choice == Answer::Allow].danger[**choice == Answer::Deny] type="submit" name="answer" value=(word(**choice)) {
                                (label(**choice, *request_kind))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn questions(seq: u64, input: &Value) -> Markup {
    let asked = input["questions"].as_array().cloned().unwrap_or_default();
    html! {
        @for (number, question) in asked.iter().take(QUESTIONS).enumerate() {
            @let several = question["multiSelect"] == true;
            @let text = question["question"].as_str().unwrap_or_default();
            fieldset {
                legend { (text) }
                input type="hidden" name=(format!("q{number}")) value=(text);
                @for (at, option) in question["options"].as_array().into_iter().flatten().enumerate() {
                    @let id = format!("q{seq}-{number}-{at}");
                    div.option {
                        input id=(id) type=(if several { "checkbox" } else { "radio" }) name=(format!("a{number}"))
                            value=(option["label"].as_str().unwrap_or_default());
                        label for=(id) {
                            (option["label"].as_str().unwrap_or_default())
                            @if let Some(text) = option["description"].as_str() { " " span.sub { (text) } }
                        }
                    }
                }
                div.field {
                    label for=(format!("q{seq}-{number}-other")) { "Or in your own words" }
                    input id=(format!("q{seq}-{number}-other")) name=(format!("o{number}")) autocomplete="off";
                }
            }
        }
    }
}

/// The answer in a form.
pub(super) fn answer(form: &Form) -> Result<NewAnswer, Problem> {
    let mut answers = serde_json::Map::new();
    for number in 0..QUESTIONS {
        let question = form.get(&format!("q{number}"));
        let (mut chosen, other) = (form.all(&format!("a{number}")), form.get(&format!("o{number}")).trim());
        if !other.is_empty() {
            chosen = vec![other];
        }
        match chosen.as_slice() {
            _ if question.is_empty() => {}
            [] => {}
            [one] => drop(answers.insert(question.to_owned(), json!(one))),
            several => drop(answers.insert(question.to_owned(), json!(several))),
        }
    }
    let message = Some(form.get("message").trim()).filter(|message| !message.is_empty());
    let answer = json!({"answer": form.get("answer"), "message": message, "answers": answers});
    serde_json::from_value(answer).map_err(|_| Problem::field("answer", "must be one of the buttons"))
}

const fn word(answer: Answer) -> &'static str {
    match answer {
        Answer::Allow => "allow",
        Answer::AllowSession => "allowSession",
        Answer::AllowAlways => "allowAlways",
        Answer::Deny => "deny",
    }
}

const fn label(answer: Answer, kind: RequestKind) -> &'static str {
    match (answer, kind) {
        (Answer::Allow, RequestKind::Question) => "Answer",
        (Answer::Allow, RequestKind::Plan) => "Approve, ask before edits",
        (Answer::AllowSession, RequestKind::Plan) => "Approve, edit without asking",
        (Answer::Deny, RequestKind::Plan) => "Reject with the reason",
        (Answer::Allow, _) => "Allow once",
        (Answer::AllowSession, _) => "Allow for this conversation",
        (Answer::AllowAlways, _) => "Allow always",
        (Answer::Deny, _) => "Deny",
    }
}
