//! Makes events of Claude Code's lines. Pure: a recording gives the same events each time.
//!
//! *A result is not always the end of a turn.* Lost background tasks give an empty result before the prompt's own turn, and
//! some interrupts give none. So a prompt's turn ends at a result that is its own, or when the session is idle after it was
//! taken up.

use std::collections::{BTreeSet, VecDeque};

use serde_json::Value;

use super::cost::Meter;
use super::line::{Line, SessionState};
use super::{Ask, answer};
use crate::agent::chat::{BlockKind, EventKind, NoticeLevel, Outcome, Usage};
use crate::agent::program::conversations::bounds::{MAX_DETAILS, MAX_INPUT, MAX_RESULT, MAX_TEXT, cut, cut_value};

/// How many messages are remembered, to pass over what a compaction says again.
const REMEMBERED: usize = 512;

/// What the lines come to.
#[derive(Debug)]
pub(in crate::agent::program) enum Output {
    /// An event for the log.
    Event(EventKind),
    /// A text or a thought begins.
    Open {
        /// Its id.
        block: String,
        /// What it is.
        kind: BlockKind,
    },
    /// More of it.
    Delta(String),
    /// What was open is finished, by an event that follows at once or by none.
    Closed,
    /// A person has to answer.
    Ask(Box<Ask>),
    /// The answer is not needed any more.
    Withdrawn(String),
    /// A message to the program.
    Send(Value),
    /// The session's id is another one from now on.
    Session(String),
    /// The permission mode is another one from now on.
    Mode(String),
    /// How many tasks run in the background.
    Tasks(usize),
    /// A turn began without a prompt.
    TurnStarted,
    /// The turn ended.
    TurnEnded(Box<TurnResult>),
}

/// How a turn ended.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::agent::program) struct TurnResult {
    /// In one word.
    pub(in crate::agent::program) outcome: Outcome,
    /// Its tokens.
    pub(in crate::agent::program) usage: Usage,
    /// Its dollars.
    pub(in crate::agent::program) cost_usd: f64,
    /// Why, where it was not done.
    pub(in crate::agent::program) message: Option<String>,
    /// The model that answered.
    pub(in crate::agent::program) model: Option<String>,
    /// Whether the account was refused.
    pub(in crate::agent::program) unauthenticated: bool,
}

/// The state of one process's output.
#[derive(Debug, Default)]
pub(in crate::agent::program) struct Translator {
    turn: Option<Turn>,
    meter: Meter,
    /// The model's message that streams now.
    message: String,
    /// The finished blocks of each message get numbers where none streamed.
    finished: u64,
    open: Option<String>,
    seen: VecDeque<String>,
    tasks: BTreeSet<String>,
    model: Option<String>,
    session: Option<String>,
    limited: bool,
}

#[derive(Debug, Default)]
struct Turn {
    /// `None` for a turn without a prompt.
    prompt: Option<String>,
    /// Whether the program has taken the prompt up.
    heard: bool,
    /// What results of other turns used meanwhile.
    usage: Usage,
    cost_usd: f64,
}

impl Translator {
    /// Takes note that a prompt was sent: what follows is its turn.
    pub(in crate::agent::program) fn sent(&mut self, prompt: &str) {
        self.turn = Some(Turn { prompt: Some(prompt.to_owned()), ..Turn::default() });
        self.limited = false;
    }

    /// Whether a turn runs.
    pub(in crate::agent::program) const fn in_turn(&self) -> bool {
        self.turn.is_some()
    }

    /// Reads a line.
    pub(in crate::agent::program) fn step(&mut self, line: &str) -> Vec<Output> {
        let mut out = Vec::new();
        match Line::parse(line) {
            Line::Init { session, model, mode, prompts } => {
                self.begin(&mut out);
                prompts.iter().for_each(|prompt| self.hear(prompt));
                if session.is_some() && session != self.session {
                    self.session.clone_from(&session);
                    out.extend(session.map(Output::Session));
                }
                self.model = model.or_else(|| self.model.take());
                out.extend(mode.map(Output::Mode));
            }
            Line::State(SessionState::Idle) => self.idle(&mut out),
            Line::State(SessionState::Running | SessionState::RequiresAction) | Line::Other => {}
            Line::Mode(mode) => out.push(Output::Mode(mode)),
            Line::Replay(prompt) => self.hear(&prompt),
            Line::MessageStart { id } => {
                self.begin(&mut out);
                self.message = id;
                self.finished = 0;
            }
            Line::BlockStart { index, kind } => {
                let block = format!("{}:{index}", self.message);
                self.open = Some(block.clone());
                out.push(Output::Open { block, kind });
            }
            Line::Delta(text) if self.open.is_some() && !text.is_empty() => out.push(Output::Delta(text)),
            Line::Delta(_) => {}
            Line::Assistant { id, uuid, parent, content, is_error } => {
                if self.is_new(uuid) {
                    self.begin(&mut out);
                    self.assistant(&mut out, &id, parent.as_deref(), &content, is_error);
                }
            }
            Line::Results { uuid, parent, content, details } => {
                if self.is_new(uuid) {
                    self.results(&mut out, parent.as_deref(), &content, details);
                }
            }
            Line::Ask(ask) => {
                self.begin(&mut out);
                out.push(Output::Ask(Box::new(ask)));
            }
            Line::Withdrawn(id) => out.push(Output::Withdrawn(id)),
            Line::Response { id, error } => {
                if let Some(error) = error {
                    tracing::warn!(id, "Claude Code refuses a request: {error}");
                }
            }
            Line::Unanswerable { id, subtype } => {
                tracing::warn!(subtype, "Claude Code asks for something that this agent does not know");
                out.push(Output::Send(answer::unanswerable(&id)));
            }
            Line::TaskStarted { id, background } => {
                // Older programs do not say; their tasks that end with their tool are gone before the list is read.
                if background != Some(false) {
                    self.tasks.insert(id);
                    out.push(Output::Tasks(self.tasks.len()));
                }
            }
            Line::TaskEnded(id) => {
                self.tasks.remove(&id);
                out.push(Output::Tasks(self.tasks.len()));
            }
            Line::Tasks(ids) => {
                self.tasks = ids.into_iter().collect();
                out.push(Output::Tasks(self.tasks.len()));
            }
            Line::Retry { attempt, of, status, error } => {
                let answered = match status {
                    Some(status) => format!("The model's API answered {status} ({error})"),
                    None => "The model's API cannot be reached".to_owned(),
                };
                let text = format!("{answered}; try {attempt} of {of} follows.");
                out.push(notice(NoticeLevel::Warning, "api-retry", text));
            }
            Line::RateLimit { rejected } => self.limited = rejected,
            Line::Compacted => {
                let text = "The conversation was summarised to make room. What was said before is still in this log.";
                out.push(notice(NoticeLevel::Info, "compacted", text.to_owned()));
            }
            Line::WritesLost => {
                let text = "Claude Code cannot write its session to the volume; look at the room on it. The conversation \
                            may not be resumable.";
                out.push(notice(NoticeLevel::Error, "session-writes-lost", text.to_owned()));
            }
            Line::Result(result) => self.result(&mut out, &result),
        }
        out
    }

    fn begin(&mut self, out: &mut Vec<Output>) {
        if self.turn.is_none() {
            self.turn = Some(Turn::default());
            out.push(Output::TurnStarted);
        }
    }

    fn hear(&mut self, prompt: &str) {
        if let Some(turn) = &mut self.turn
            && turn.prompt.as_deref() == Some(prompt)
        {
            turn.heard = true;
        }
    }

    fn is_new(&mut self, uuid: Option<String>) -> bool {
        let Some(uuid) = uuid else { return true };
        if self.seen.contains(&uuid) {
            return false;
        }
        if self.seen.len() == REMEMBERED {
            self.seen.pop_front();
        }
        self.seen.push_back(uuid);
        true
    }

    fn assistant(&mut self, out: &mut Vec<Output>, id: &str, parent: Option<&str>, content: &[Value], is_error: bool) {
        if self.message != id && parent.is_none() {
            id.clone_into(&mut self.message);
            self.finished = 0;
        }
        for block in content {
            let parent = parent.map(str::to_owned);
            let kind = block["type"].as_str().unwrap_or_default();
            match kind {
                // The end of the turn says the error.
                "text" if is_error => {}
                "text" | "thinking" => {
                    let (text, partial) = cut(block[kind].as_str().unwrap_or_default(), MAX_TEXT);
                    let name = self.name(id, parent.is_some());
                    if name.was_open {
                        out.push(Output::Closed);
                    }
                    if text.is_empty() {
                        continue;
                    }
                    out.push(Output::Event(if kind == "text" {
                        EventKind::Text { block: name.block, text, parent, partial }
                    } else {
                        EventKind::Thinking { block: name.block, text, parent, partial }
                    }));
                }
                "tool_use" => {
                    let (input, truncated) = cut_value(&block["input"], MAX_INPUT);
                    out.push(Output::Event(EventKind::ToolUse {
                        tool_use_id: block["id"].as_str().unwrap_or_default().to_owned(),
                        name: block["name"].as_str().unwrap_or_default().to_owned(),
                        input,
                        parent,
                        truncated,
                    }));
                }
                _ => {}
            }
        }
    }

    /// The name of a finished block: that of the open one, if it belongs to the same message.
    fn name(&mut self, message: &str, is_subagent: bool) -> Name {
        if !is_subagent
            && let Some(open) = self.open.take_if(|open| open.rsplit_once(':').is_some_and(|o| o.0 == message))
        {
            return Name { block: open, was_open: true };
        }
        self.finished += 1;
        Name { block: format!("{message}:f{}", self.finished), was_open: false }
    }

    fn results(&mut self, out: &mut Vec<Output>, parent: Option<&str>, content: &[Value], details: Value) {
        let results = content.iter().filter(|block| block["type"] == "tool_result");
        // The structured form belongs to one result.
        let mut details = Some(details).filter(|details| details.is_object() && size(details) <= MAX_DETAILS);
        for block in results {
            let (text, truncated) = cut(&text_of(&block["content"]), MAX_RESULT);
            out.push(Output::Event(EventKind::ToolResult {
                tool_use_id: block["tool_use_id"].as_str().unwrap_or_default().to_owned(),
                text,
                is_error: block["is_error"] == true,
                details: details.take(),
                parent: parent.map(str::to_owned),
                truncated,
            }));
        }
    }

    fn idle(&mut self, out: &mut Vec<Output>) {
        let over = self.turn.as_ref().is_some_and(|turn| turn.prompt.is_none() || turn.heard);
        if let Some(turn) = self.turn.take_if(|_| over) {
            self.close(out);
            out.push(Output::TurnEnded(Box::new(TurnResult {
                outcome: Outcome::Interrupted,
                usage: turn.usage,
                cost_usd: turn.cost_usd,
                message: None,
                model: self.model.clone(),
                unauthenticated: false,
            })));
        }
    }

    fn result(&mut self, out: &mut Vec<Output>, result: &Value) {
        let (mut usage, mut cost_usd) = self.meter.step(result);
        let is_others = result["origin"].is_object();
        let names = |prompt: &str| {
            let all = result["user_message_uuids"].as_array().into_iter().flatten();
            all.chain([&result["user_message_uuid"]]).any(|named| named == prompt)
        };
        match &mut self.turn {
            // Lost tasks were told of before the prompt's turn; their result is not its end.
            Some(turn) if is_others && turn.prompt.as_deref().is_some_and(|prompt| !names(prompt)) => {
                turn.cost_usd += cost_usd;
                add(&mut turn.usage, usage);
                return;
            }
            Some(turn) => {
                cost_usd += turn.cost_usd;
                add(&mut usage, turn.usage);
            }
            // Neither asked for nor worth telling of.
            None if cost_usd == 0.0 => return,
            None => out.push(Output::TurnStarted),
        }
        self.turn = None;
        self.close(out);
        let outcome = self.outcome(result);
        let message = match outcome {
            Outcome::Done | Outcome::Interrupted => None,
            Outcome::Failed | Outcome::Limit | Outcome::Unknown => Some(reason(result)),
        };
        let unauthenticated = matches!(result["api_error_status"].as_u64(), Some(401 | 403));
        let model = self.model.clone();
        out.push(Output::TurnEnded(Box::new(TurnResult { outcome, usage, cost_usd, message, model, unauthenticated })));
    }

    /// A block that was left open ends with its turn.
    fn close(&mut self, out: &mut Vec<Output>) {
        if self.open.take().is_some() {
            out.push(Output::Closed);
        }
    }

    fn outcome(&self, result: &Value) -> Outcome {
        if result["terminal_reason"].as_str().is_some_and(|reason| reason.starts_with("aborted")) {
            return Outcome::Interrupted;
        }
        match result["subtype"].as_str().unwrap_or_default() {
            "error_max_turns" | "error_max_budget_usd" => Outcome::Limit,
            "success" if result["is_error"] != true => Outcome::Done,
            _ if result["api_error"] == "usage_limit_reached" => Outcome::Limit,
            _ if self.limited && result["api_error_status"] == 429 => Outcome::Limit,
            _ => Outcome::Failed,
        }
    }
}

struct Name {
    block: String,
    was_open: bool,
}

fn notice(level: NoticeLevel, code: &str, text: String) -> Output {
    Output::Event(EventKind::Notice { level, code: code.to_owned(), text })
}

fn add(to: &mut Usage, more: Usage) {
    to.input_tokens = to.input_tokens.saturating_add(more.input_tokens);
    to.output_tokens = to.output_tokens.saturating_add(more.output_tokens);
    to.cache_read_tokens = to.cache_read_tokens.saturating_add(more.cache_read_tokens);
    to.cache_write_tokens = to.cache_write_tokens.saturating_add(more.cache_write_tokens);
}

/// Why a turn was not done, in the program's words.
fn reason(result: &Value) -> String {
    let errors = result["errors"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let errors = errors.collect::<Vec<_>>().join("; ");
    let said = result["result"].as_str().filter(|text| !text.is_empty());
    let text = said.map_or(errors, str::to_owned);
    let text = if text.is_empty() { result["subtype"].as_str().unwrap_or("no reason given").to_owned() } else { text };
    cut(&text, 4096).0
}

fn size(value: &Value) -> usize {
    value.to_string().len()
}

/// The text of a tool's result; what is no text is named.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let texts = blocks.iter().map(|block| match block["type"].as_str() {
                Some("text") => block["text"].as_str().unwrap_or_default().to_owned(),
                other => format!("[{}]", other.unwrap_or("unknown")),
            });
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests;
