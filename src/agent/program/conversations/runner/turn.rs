//! One turn: its start, what it says, its end.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Phase, RETRY, Runner, Running};
use crate::agent::Readiness;
use crate::agent::chat::{AttachmentSummary, EventKind, Id, NoticeLevel, Origin};
use crate::agent::program::Condition;
use crate::agent::program::claude::{
    Credentials, Exit, Home, Output, Process, Start, Translator, TurnResult, control, end_tree, prompt_message,
};
use crate::agent::program::conversations::bounds::INTERRUPT;
use crate::agent::program::conversations::conversation::{Stream, TurnEnd};
use crate::agent::program::conversations::{attachments, lock};

/// What a refused account needs.
const REFUSED: &str =
    "The credentials were refused: renew them in the project's secrets or in the defaults of all projects.";
/// What the program says when the session that it is to resume is not there.
const NO_SESSION: &str = "No conversation found";

impl Runner {
    /// Begins the turn of a prompt. It is in the log before the program sees it.
    pub(super) async fn begin(&mut self, prompt: &str) {
        let prepared = self.prepare().await;
        // It may have been taken back meanwhile.
        let head = self.conversation.inner().fold.queue.first().map(|head| head.prompt_id.clone());
        if head.as_deref() != Some(prompt) {
            return;
        }
        let message = prepared.and_then(|()| self.message(prompt));
        let started = EventKind::TurnStarted { prompt_ids: vec![prompt.to_owned()], origin: Origin::Prompt };
        let recorded = self.conversation.record(started).map(drop);
        if !self.or_retry(recorded) {
            return self.release();
        }
        let synced = self.conversation.sync().await;
        if let Err(error) = synced {
            // Not known to be durable, so not run: after a power cut it would still wait, and run twice.
            return self.fail(format!("The log cannot be written ({error}), so the prompt was not run."));
        }
        self.shared.signals.worked();
        let message = match message {
            Ok(message) => message,
            Err(reason) => return self.fail(reason),
        };
        if let Some(running) = &mut self.running {
            running.translator.sent(prompt);
        }
        self.last = Instant::now();
        self.send(&message).await;
    }

    /// Sees to a process that has what a turn needs now.
    async fn prepare(&mut self) -> Result<(), String> {
        let (program, version) = self.shared.install.ask().await.map_err(|problem| problem.message())?;
        let credentials = Credentials::read(&self.shared.world.layout).map_err(|problem| problem.message())?;
        let rules = lock(&self.shared.rules).version();
        let fits = |running: &Running| {
            running.program == program
                && running.version == version
                && running.credentials == credentials
                && running.rules == rules
        };
        if self.running.as_ref().is_some_and(|running| !fits(running)) {
            self.finish().await;
        }
        if self.running.is_some() {
            return Ok(());
        }
        let process = self.spawn(&program, &credentials).map_err(|error| {
            format!("{} cannot be started: {error}; look at the program and at the volumes.", program.display())
        })?;
        self.running = Some(Running {
            process,
            translator: Translator::default(),
            program,
            version,
            credentials,
            rules,
            began: false,
        });
        Ok(())
    }

    fn spawn(&self, program: &Path, credentials: &Credentials) -> io::Result<Process> {
        let (meta, home) = (self.conversation.inner().meta.clone(), self.home());
        // Whatever an earlier process left must not write to the same session.
        end_tree(meta.process, &meta.id);
        let directory = self.working_tree();
        let (mut allow, mut directories) = lock(&self.shared.rules).all();
        allow.extend(meta.rules.iter().cloned());
        directories.extend(meta.directories.iter().cloned());
        home.prepare(&directory, &allow, &directories)?;
        let process = Process::start(&Start {
            program,
            layout: &self.shared.world.layout,
            home: &home,
            directory: &directory,
            conversation: &meta.id,
            session: &meta.session,
            resume: home.has_session(&meta.session),
            model: meta.model.as_deref(),
            mode: &meta.permission_mode,
            credentials,
        })?;
        self.conversation.mark(Some(process.mark()))?;
        Ok(process)
    }

    pub(super) fn home(&self) -> Home {
        Home::new(&self.shared.world.layout, self.conversation.directory(), self.conversation.id())
    }

    /// The clone, or the workspace where there is no repository.
    fn working_tree(&self) -> PathBuf {
        let workspace = self.shared.world.layout.workspace();
        match &self.shared.world.source {
            Ok(Some(source)) => workspace.join(&source.folder),
            Ok(None) | Err(_) => workspace,
        }
    }

    /// The prompt as the program takes it.
    fn message(&self, id: &str) -> Result<Value, String> {
        let lost = || "The prompt cannot be read from the log; send it again.".to_owned();
        let seq = self.conversation.inner().fold.prompts.get(id).map(|prompt| prompt.seq).ok_or_else(lost)?;
        let (_, lines) = self.conversation.page(seq - 1, 1).map_err(|_| lost())?;
        let read: Option<(String, Vec<AttachmentSummary>)> =
            lines.first().and_then(|line| match serde_json::from_str::<crate::agent::chat::Event>(line).ok()?.kind {
                EventKind::Prompt { prompt_id, text, attachments, .. } if prompt_id == id => Some((text, attachments)),
                _ => None,
            });
        let (text, summaries) = read.ok_or_else(lost)?;
        let blocks = attachments::blocks(&self.conversation.attachments(), &summaries)
            .map_err(|error| format!("An attachment cannot be read ({error}); send the prompt again."))?;
        Ok(prompt_message(id, &text, &blocks))
    }

    /// Ends a turn that could not run.
    fn fail(&mut self, reason: String) {
        let ended = self.conversation.end_turn(TurnEnd::failed(reason));
        self.or_retry(ended);
        self.after_turn();
    }

    fn after_turn(&mut self) {
        self.interrupting = None;
        self.last = Instant::now();
        self.release();
        self.phase(Phase::Settled);
    }

    /// Sends a message.
    pub(super) async fn send(&mut self, message: &Value) {
        let Some(running) = &mut self.running else { return };
        let Err(error) = running.process.send(message).await else { return };
        tracing::warn!(conversation = self.conversation.id(), %error, "Claude Code takes no input");
        if error.kind() == io::ErrorKind::TimedOut {
            return self.kill("Claude Code took no input any more, and was ended.").await;
        }
        // It has ended, and what it said before comes with its end; or it is ended when that takes too long.
        self.interrupting = Some(Instant::now() + INTERRUPT);
    }

    /// Asks the program to end the turn.
    pub(super) async fn interrupt(&mut self) {
        if self.running.as_ref().is_some_and(|running| running.translator.in_turn()) && self.interrupting.is_none() {
            self.interrupting = Some(Instant::now() + INTERRUPT);
            self.send(&control(&format!("interrupt-{}", Id::random()), json!({"subtype": "interrupt"}))).await;
        }
    }

    /// Ends a turn that has been silent for too long.
    pub(super) async fn silent(&mut self) {
        let minutes = self.shared.world.options.claude.silent.as_secs() / 60;
        let text = format!("Claude Code said nothing for {minutes} minutes, so the turn is interrupted.");
        let (level, code) = (NoticeLevel::Warning, "silent".to_owned());
        let recorded = self.conversation.record(EventKind::Notice { level, code, text }).map(drop);
        self.or_retry(recorded);
        self.last = Instant::now();
        self.interrupt().await;
    }

    /// Writes down what a line says.
    pub(super) async fn line(&mut self, line: &str) {
        self.last = Instant::now();
        self.phase(Phase::Settled);
        let Some(running) = &mut self.running else { return };
        let outputs = running.translator.step(line);
        for message in self.keep(outputs) {
            self.send(&message).await;
        }
        if self.retry.is_some() {
            self.kill("The log cannot be written, so Claude Code was ended.").await;
        }
    }

    /// Writes outputs down; returns messages for the program.
    pub(super) fn keep(&mut self, outputs: Vec<Output>) -> Vec<Value> {
        let mut messages = Vec::new();
        let mut outputs = outputs.into_iter().peekable();
        while let Some(output) = outputs.next() {
            let kept = match output {
                Output::Event(kind) => self.conversation.record(kind).map(drop),
                Output::Open { block, kind } => {
                    self.conversation.stream(Stream::Open(block, kind));
                    Ok(())
                }
                Output::Delta(text) => {
                    self.conversation.stream(Stream::Text(text));
                    Ok(())
                }
                Output::Closed => {
                    let finished = outputs.next_if(|next| {
                        matches!(next, Output::Event(EventKind::Text { .. } | EventKind::Thinking { .. }))
                    });
                    self.conversation.finish(finished.and_then(|next| match next {
                        Output::Event(kind) => Some(kind),
                        _ => None,
                    }))
                }
                Output::Ask(ask) => self.conversation.ask(*ask),
                Output::Withdrawn(id) => self.conversation.withdraw(&id),
                Output::Send(message) => {
                    messages.push(message);
                    Ok(())
                }
                Output::Session(id) => {
                    if let Some(running) = &mut self.running {
                        running.began = true;
                    }
                    // The command line takes it again.
                    match Id::parse(&id) {
                        Ok(id) => self.conversation.change(|inner| inner.meta.session = id.into()),
                        Err(_) => Ok(()),
                    }
                }
                Output::Mode(mode) => self.mode(mode),
                Output::Tasks(count) => {
                    self.conversation.inner().tasks = count;
                    self.conversation.touch();
                    Ok(())
                }
                Output::TurnStarted => self.unasked(),
                Output::TurnEnded(result) => self.turn_ended(*result),
            };
            if !self.or_retry(kept) {
                break;
            }
        }
        messages
    }

    fn mode(&self, mode: String) -> io::Result<()> {
        // What this agent would not start with is not kept.
        if !crate::agent::chat::PERMISSION_MODES.contains(&mode.as_str()) {
            return Ok(());
        }
        self.conversation.change(|inner| inner.meta.permission_mode = mode)
    }

    /// A turn that the program began by itself. It has the working tree when nobody else has.
    fn unasked(&mut self) -> io::Result<()> {
        if self.permit.is_none() {
            self.permit = std::sync::Arc::clone(&self.shared.tree).try_acquire_owned().ok();
        }
        let (prompt_ids, origin) = (Vec::new(), Origin::Background);
        self.conversation.record(EventKind::TurnStarted { prompt_ids, origin }).map(drop)
    }

    fn turn_ended(&mut self, result: TurnResult) -> io::Result<()> {
        if result.message.as_ref().is_some_and(|message| message.contains(NO_SESSION)) {
            self.renew_session();
        }
        let message = match result.message {
            Some(message) if result.unauthenticated => Some(format!("{message}. {REFUSED}")),
            message => message,
        };
        let ended = self.conversation.end_turn(TurnEnd {
            outcome: result.outcome,
            usage: result.usage,
            cost_usd: result.cost_usd,
            message,
            model: result.model,
            restarted: false,
        });
        self.after_turn();
        ended
    }

    /// The process has ended by itself, or was ended by a stranger.
    pub(super) fn ended(&mut self, exit: &Exit) {
        let Some(running) = self.running.take() else { return };
        if !exit.clean || running.translator.in_turn() {
            end_tree(None, self.conversation.id());
        }
        let errors = if exit.errors.is_empty() { String::new() } else { format!(" It said: {}", exit.errors) };
        if running.began {
            return self.gone(&format!(
                "Claude Code ended during the turn ({}). Nothing of it runs again by itself.{errors}",
                exit.text
            ));
        }
        // It never took the prompt.
        if exit.errors.contains(NO_SESSION) {
            self.renew_session();
        }
        let marked = self.conversation.mark(None);
        self.or_retry(marked);
        self.fail(format!("Claude Code did not start ({}).{errors}", exit.text));
    }

    /// The session cannot be resumed, so the next turn begins another.
    fn renew_session(&mut self) {
        let renewed = self.conversation.change(|inner| inner.meta.session = Id::random().into());
        self.or_retry(renewed);
    }

    /// Ends the turn of a process that is gone.
    pub(super) fn gone(&mut self, message: &str) {
        let settled = self.conversation.settle(message);
        self.or_retry(settled);
        let marked = self.conversation.mark(None);
        self.or_retry(marked);
        self.after_turn();
    }

    /// Writes down, once for each reason, that a prompt waits for the environment.
    pub(super) fn tell_waiting(&mut self, condition: &Condition) {
        if condition.reason == Readiness::Cloning || self.told == Some(condition.reason) {
            return;
        }
        self.told = Some(condition.reason);
        let text = format!("The prompt waits for the environment: {}", condition.message);
        let (level, code) = (NoticeLevel::Warning, "waiting-for-environment".to_owned());
        let recorded = self.conversation.record(EventKind::Notice { level, code, text }).map(drop);
        if !self.or_retry(recorded) {
            self.retry = Some(Instant::now() + RETRY);
        }
    }
}
