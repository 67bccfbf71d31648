//! What clients ask of a conversation: accept a prompt, take one back, interrupt, answer.

use std::collections::BTreeMap;

use super::{Command, Conversation, write};
use crate::agent::chat::{
    Answer, AnswerAccepted, EventKind, Interrupted, MAX_PROMPT, NewAnswer, NewPrompt, PromptAccepted, PromptCancelled,
    RequestKind,
};
use crate::agent::program::claude::{Problem, reply};
use crate::agent::program::conversations::attachments;
use crate::agent::program::conversations::bounds::{MAX_LOG, MAX_QUEUE, MAX_RULES};
use crate::agent::program::conversations::error::ChatError;
use crate::agent::program::conversations::fold::{Stage, digest};
use crate::agent::program::conversations::{Conversations, lock};

/// The longest reason of a denial, and the longest answer to a question, in bytes.
const MAX_MESSAGE: usize = 32 * 1024;
/// The most answers to the questions of one request.
const MAX_ANSWERS: usize = 20;

impl Conversation {
    /// Accepts a prompt: it is durable when this returns. The same prompt again gives the same answer.
    pub(in crate::agent::program) async fn accept(
        &self,
        all: &Conversations,
        new: NewPrompt,
        actor: &str,
    ) -> Result<PromptAccepted, ChatError> {
        if new.text.len() > MAX_PROMPT {
            return Err(ChatError::invalid("text", format!("must be at most {MAX_PROMPT} bytes long")));
        }
        if new.text.trim().is_empty() && new.attachments.is_empty() {
            return Err(ChatError::invalid("text", "is empty"));
        }
        let source = new.source.unwrap_or_else(|| "api".to_owned());
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if source.is_empty() || source.len() > 32 || !source.chars().all(is_word) {
            return Err(ChatError::invalid("source", "must be a word of small letters, digits and hyphens"));
        }
        let checked = attachments::check(&new.attachments)?;
        let summaries: Vec<_> = checked.iter().map(|(summary, _)| summary.clone()).collect();
        let content = digest(&new.text, &summaries);
        let id = new.id.as_str();
        if !self.inner().fold.prompts.contains_key(id) {
            if let Some(problem) = all.problem().await {
                return Err(ChatError::Claude(problem));
            }
            let directory = self.attachments();
            let stored = tokio::task::spawn_blocking(move || attachments::store(&directory, &checked)).await;
            stored.map_err(|error| ChatError::NotWritable(error.to_string()))??;
        }
        let (seq, epoch, file) = {
            let mut inner = self.inner();
            let seq = match inner.fold.prompts.get(id) {
                Some(there) if there.digest == content => there.seq,
                Some(_) => return Err(ChatError::PromptConflict(id.to_owned())),
                None => {
                    if inner.fold.queue.len() >= MAX_QUEUE {
                        return Err(ChatError::Limit(format!(
                            "{MAX_QUEUE} prompts wait in this conversation; take one back, or wait"
                        )));
                    }
                    if inner.log.bytes() >= MAX_LOG {
                        return Err(ChatError::Limit(
                            "the log of this conversation is full; go on in a new conversation".to_owned(),
                        ));
                    }
                    inner.record(EventKind::Prompt {
                        prompt_id: id.to_owned(),
                        text: new.text,
                        source,
                        actor: actor.to_owned(),
                        attachments: summaries,
                    })?
                }
            };
            (seq, inner.meta.epoch.clone(), inner.log.file())
        };
        write::sync(file).await?;
        self.signals.worked();
        self.wake.notify_one();
        self.touch();
        Ok(PromptAccepted { conversation_id: self.id.clone(), prompt_id: id.to_owned(), epoch, seq })
    }

    /// Takes back a prompt that has not started.
    pub(in crate::agent::program) async fn cancel(&self, id: &str, actor: &str) -> Result<PromptCancelled, ChatError> {
        let id = id.to_ascii_lowercase();
        let file = {
            let mut inner = self.inner();
            match inner.fold.prompts.get(&id).map(|prompt| prompt.stage) {
                None => return Err(ChatError::NotFound { what: "prompt", id }),
                Some(Stage::Started) => return Err(ChatError::PromptStarted(id)),
                Some(Stage::Cancelled) => {}
                Some(Stage::Queued) => {
                    inner.record(EventKind::PromptCancelled { prompt_id: id.clone(), actor: actor.to_owned() })?;
                }
            }
            inner.log.file()
        };
        write::sync(file).await?;
        self.wake.notify_one();
        self.touch();
        Ok(PromptCancelled { prompt_id: id, cancelled: true })
    }

    /// Ends the running turn; its end is an event.
    pub(in crate::agent::program) fn interrupt(&self) -> Result<Interrupted, ChatError> {
        let interrupted = self.inner().fold.turn.is_some();
        if interrupted {
            self.command(Command::Interrupt)?;
        }
        Ok(Interrupted { interrupted })
    }

    /// Answers a request: the answer is durable, and on its way to the program, when this returns.
    pub(in crate::agent::program) async fn answer(
        &self,
        all: &Conversations,
        id: &str,
        new: NewAnswer,
        actor: &str,
    ) -> Result<AnswerAccepted, ChatError> {
        let answers: BTreeMap<String, String> =
            new.answers.iter().map(|(question, choice)| (question.clone(), choice.text())).collect();
        check(&new, &answers)?;
        let (file, message, version) = {
            let mut inner = self.inner();
            let Some(ask) = inner.asks.get(id).cloned() else {
                return match inner.fold.closed.get(id) {
                    Some(Some(answer)) if *answer == new.answer => {
                        Ok(AnswerAccepted { request_id: id.to_owned(), answer: *answer })
                    }
                    Some(Some(_)) => Err(closed(id, "was answered otherwise before")),
                    Some(None) => Err(closed(id, "was withdrawn: its turn ended, or needs no answer any more")),
                    None => Err(ChatError::NotFound { what: "request", id: id.to_owned() }),
                };
            };
            if !ask.choices().contains(&new.answer) {
                return Err(ChatError::NoRule);
            }
            if ask.kind == RequestKind::Question && new.answer == Answer::Allow && answers.is_empty() {
                return Err(ChatError::invalid("answers", "are missing: give one for each question, or deny"));
            }
            let reply = reply(&ask, new.answer, new.message.as_deref(), &answers);
            let mut version = None;
            if ask.kind == RequestKind::Permission && matches!(new.answer, Answer::AllowSession | Answer::AllowAlways) {
                let rules: Vec<String> = ask.rules.iter().map(ToString::to_string).collect();
                if new.answer == Answer::AllowAlways {
                    let mut kept = lock(&all.shared.rules);
                    kept.add(&rules, &ask.directories)?;
                    version = Some(kept.version());
                } else if inner.meta.rules.len() + rules.len() > MAX_RULES {
                    return Err(ChatError::Limit(format!("this conversation has {MAX_RULES} rules; allow it once")));
                }
            }
            inner.record(EventKind::RequestAnswered {
                request_id: id.to_owned(),
                answer: new.answer,
                actor: actor.to_owned(),
                message: new.message,
                answers,
            })?;
            inner.asks.remove(id);
            if let Some(mode) = reply.mode {
                mode.clone_into(&mut inner.meta.permission_mode);
            }
            let file = inner.log.file();
            drop(inner);
            if new.answer == Answer::AllowSession && ask.kind == RequestKind::Permission {
                let rules: Vec<String> = ask.rules.iter().map(ToString::to_string).collect();
                self.keep_rules(&rules, &ask.directories)?;
            } else if reply.mode.is_some() {
                let inner = self.inner();
                inner.meta.write(&self.directory.join("meta.json"))?;
            }
            (file, reply.message, version)
        };
        write::sync(file).await?;
        self.command(Command::Reply(message, version))?;
        self.signals.worked();
        self.touch();
        Ok(AnswerAccepted { request_id: id.to_owned(), answer: new.answer })
    }

    fn command(&self, command: Command) -> Result<(), ChatError> {
        let sent = self.commands.try_send(command);
        sent.map_err(|_| ChatError::Limit("too many requests about this conversation wait; try again".to_owned()))
    }
}

fn closed(id: &str, how: &str) -> ChatError {
    ChatError::RequestClosed { id: id.to_owned(), how: how.to_owned() }
}

fn check(new: &NewAnswer, answers: &BTreeMap<String, String>) -> Result<(), ChatError> {
    if new.message.as_ref().is_some_and(|message| message.len() > MAX_MESSAGE) {
        return Err(ChatError::invalid("message", format!("must be at most {MAX_MESSAGE} bytes long")));
    }
    let size: usize = answers.iter().map(|(question, answer)| question.len() + answer.len()).sum();
    if answers.len() > MAX_ANSWERS || size > MAX_MESSAGE {
        return Err(ChatError::invalid("answers", format!("must be at most {MAX_ANSWERS}, of {MAX_MESSAGE} bytes")));
    }
    Ok(())
}

impl From<Problem> for ChatError {
    fn from(problem: Problem) -> Self {
        Self::Claude(problem)
    }
}
