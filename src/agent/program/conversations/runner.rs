//! Runs the turns of one conversation: waits for a prompt, for the environment and for the working tree, starts the program
//! or takes the warm one, and writes down what it says.
//!
//! *One turn, one prompt.* Prompts wait here and not in the program, so that each can be taken back until it starts, and
//! ends exactly once.

mod turn;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::Shared;
use super::conversation::{Command, Conversation, Opened, Phase};
use crate::agent::Readiness;
use crate::agent::program::Condition;
use crate::agent::program::claude::{Credentials, Ending, Input, Process, Translator, end_tree};

/// How long a failed write is waited after.
const RETRY: Duration = Duration::from_secs(5);
/// Far away.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// Runs until the agent stops.
pub(super) async fn run(shared: Arc<Shared>, opened: Opened) {
    let mut runner = Runner {
        stop: shared.stop.subscribe(),
        condition: shared.world.condition.subscribe(),
        shared,
        conversation: opened.conversation,
        commands: opened.commands,
        running: None,
        permit: None,
        waiting: None,
        interrupting: None,
        retry: None,
        last: Instant::now(),
        told: None,
    };
    runner.run().await;
}

struct Runner {
    shared: Arc<Shared>,
    conversation: Arc<Conversation>,
    commands: mpsc::Receiver<Command>,
    stop: watch::Receiver<bool>,
    condition: watch::Receiver<Condition>,
    running: Option<Running>,
    /// The working tree, while a turn runs.
    permit: Option<OwnedSemaphorePermit>,
    waiting: Option<Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>>,
    /// When an interrupt has taken too long.
    interrupting: Option<Instant>,
    /// When a write is tried again.
    retry: Option<Instant>,
    /// When the program last said something, or a turn last ended.
    last: Instant,
    /// The reason for waiting that was written down last.
    told: Option<Readiness>,
}

/// A process and what it was started with.
struct Running {
    process: Process,
    translator: Translator,
    program: PathBuf,
    version: String,
    credentials: Credentials,
    rules: u64,
    /// Whether it has begun a turn ever.
    began: bool,
}

enum Next {
    Stop,
    Input(Input),
    Command(Option<Command>),
    Permit(Option<OwnedSemaphorePermit>),
    Look,
}

impl Runner {
    async fn run(&mut self) {
        loop {
            if *self.stop.borrow_and_update() {
                return self.stop().await;
            }
            self.queue().await;
            let deadline = self.deadline();
            let next = tokio::select! {
                biased;
                _ = self.stop.changed() => Next::Stop,
                input = next(&mut self.running), if self.running.is_some() => Next::Input(input),
                command = self.commands.recv() => Next::Command(command),
                permit = wait(&mut self.waiting), if self.waiting.is_some() => Next::Permit(permit),
                () = self.conversation.wake.notified() => Next::Look,
                _ = self.condition.changed() => Next::Look,
                () = sleep_until(deadline) => Next::Look,
            };
            match next {
                Next::Stop => return self.stop().await,
                Next::Input(Input::Line(line)) => self.line(&line).await,
                Next::Input(Input::End(exit)) => self.ended(&exit),
                Next::Command(Some(Command::Interrupt)) => self.interrupt().await,
                Next::Command(Some(Command::Reply(message, rules))) => {
                    // The answer gives the process what the rules say; no other change came between.
                    if let (Some(running), Some(rules)) = (&mut self.running, rules)
                        && running.rules + 1 == rules
                    {
                        running.rules = rules;
                    }
                    self.send(&message).await;
                }
                // The conversation holds the other end.
                Next::Command(None) => return,
                Next::Permit(permit) => {
                    self.waiting = None;
                    self.permit = permit;
                }
                Next::Look => self.time().await,
            }
        }
    }

    /// Begins the next turn, when all that it needs is there.
    async fn queue(&mut self) {
        if self.retry.is_some_and(|at| Instant::now() < at) {
            return;
        }
        self.retry = None;
        let (in_turn, head) = {
            let inner = self.conversation.inner();
            (inner.fold.turn.is_some(), inner.fold.queue.first().map(|prompt| prompt.prompt_id.clone()))
        };
        if in_turn {
            if self.running.is_none() {
                // Its end could not be written before.
                let message = "Claude Code ended, and the end could not be written down at once.";
                let settled = self.conversation.settle(message);
                self.or_retry(settled);
            }
            return;
        }
        let Some(prompt) = head else {
            self.release();
            self.phase(Phase::Settled);
            return;
        };
        let ready = self.condition.borrow_and_update().clone();
        if ready.reason != Readiness::Ready {
            self.phase(Phase::Starting);
            self.tell_waiting(&ready);
            return;
        }
        self.told = None;
        if self.permit.is_none() && self.waiting.is_none() {
            match Arc::clone(&self.shared.tree).try_acquire_owned() {
                Ok(permit) => self.permit = Some(permit),
                Err(_) => {
                    let tree = Arc::clone(&self.shared.tree);
                    self.waiting = Some(Box::pin(async move { tree.acquire_owned().await.ok() }));
                    self.phase(Phase::Queued);
                }
            }
        }
        if self.permit.is_some() {
            self.waiting = None;
            self.phase(Phase::Starting);
            self.begin(&prompt).await;
        }
    }

    /// Gives the working tree back.
    fn release(&mut self) {
        self.permit = None;
        self.waiting = None;
    }

    fn phase(&self, phase: Phase) {
        let changed = {
            let mut inner = self.conversation.inner();
            std::mem::replace(&mut inner.phase, phase) != phase
        };
        if changed {
            self.conversation.touch();
        }
    }

    fn deadline(&self) -> Instant {
        let all = [self.quiet(), self.interrupting, self.retry];
        all.into_iter().flatten().min().unwrap_or_else(|| Instant::now() + NEVER)
    }

    /// When the process has been without a word for too long: in a turn, or between turns.
    fn quiet(&self) -> Option<Instant> {
        let timing = &self.shared.world.options.claude;
        let (waits, tasks) = {
            let inner = self.conversation.inner();
            (!inner.fold.requests.is_empty(), inner.tasks)
        };
        match &self.running {
            Some(running) if running.translator.in_turn() => (!waits).then_some(self.last + timing.silent),
            Some(_) if tasks == 0 => Some(self.last + timing.idle),
            _ => None,
        }
    }

    /// Does what is due.
    async fn time(&mut self) {
        let now = Instant::now();
        if self.interrupting.is_some_and(|at| at <= now) {
            return self.kill("Claude Code did not stop when it was told to, and was ended.").await;
        }
        if self.interrupting.is_some() || self.quiet().is_none_or(|at| at > now) {
            return;
        }
        match &self.running {
            Some(running) if running.translator.in_turn() => self.silent().await,
            Some(_) => self.finish().await,
            None => {}
        }
    }

    /// Ends a warm process in order.
    async fn finish(&mut self) {
        if let Some(running) = self.running.take() {
            let (_, exit) = running.process.end(Ending::Orderly).await;
            if !exit.clean {
                end_tree(None, self.conversation.id());
            }
            let marked = self.conversation.mark(None);
            self.or_retry(marked);
            self.home().clear();
            self.conversation.touch();
        }
    }

    /// Ends the process at once, and its turn.
    async fn kill(&mut self, message: &str) {
        if let Some(running) = self.running.take() {
            let _ = running.process.end(Ending::Kill).await;
            end_tree(None, self.conversation.id());
            self.gone(message);
        }
    }

    /// The agent stops.
    async fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            let in_turn = running.translator.in_turn();
            let (lines, exit) = running.process.end(Ending::Orderly).await;
            if in_turn {
                let outputs: Vec<_> = lines.iter().flat_map(|line| running.translator.step(line)).collect();
                self.keep(outputs);
            }
            if !exit.clean {
                end_tree(None, self.conversation.id());
            }
            self.home().clear();
        }
        let settled =
            self.conversation.settle("The environment stopped during this turn. Nothing of it runs again by itself.");
        if let Err(error) = settled.and_then(|()| self.conversation.close()) {
            tracing::error!(conversation = self.conversation.id(), %error, "the log cannot be closed");
        }
    }

    /// Takes note of a failed write, which is tried again.
    fn or_retry(&mut self, result: std::io::Result<()>) -> bool {
        match result {
            Ok(()) => true,
            Err(error) => {
                let id = self.conversation.id();
                tracing::error!(conversation = id, %error, "the log cannot be written; trying again");
                self.retry = Some(Instant::now() + RETRY);
                false
            }
        }
    }
}

async fn next(running: &mut Option<Running>) -> Input {
    match running {
        Some(running) => running.process.next().await,
        None => std::future::pending().await,
    }
}

async fn wait(
    waiting: &mut Option<Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>>,
) -> Option<OwnedSemaphorePermit> {
    match waiting {
        Some(waiting) => waiting.await,
        None => std::future::pending().await,
    }
}
