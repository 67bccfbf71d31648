//! The conversations of an environment: their logs, their queues, and the turns that run.
//!
//! [`Conversations`] takes requests ([`Conversation::accept`], [`Conversation::answer`], …) and gives views of what
//! happened. A runner per conversation owns its process of Claude Code; it is the only one that starts, feeds and ends it.
//!
//! **Architecture invariant:** a prompt is in the log, durably, before it is acknowledged, and its turn is in the log before
//! Claude Code sees it. So no crash loses a prompt, and none runs one twice.

mod attachments;
pub(in crate::agent::program) mod bounds;
mod conversation;
mod error;
mod fold;
mod log;
mod meta;
mod open;
mod rules;
mod runner;
mod view;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use super::World;
use super::claude::{Credentials, Install, Problem};
use crate::agent::chat::{self, ClaudeProblem, ClaudeStatus, Id, NewConversation, PERMISSION_MODES};
use bounds::{MAX_CONVERSATIONS, MAX_TITLE};
use meta::{Meta, Writer};
use rules::Rules;

pub(super) use conversation::Conversation;
pub(super) use error::ChatError;
pub(super) use view::{Cursor, Now, View};

/// How long a stop waits for processes to end.
const STOP: Duration = Duration::from_secs(12);
/// How often the program is looked for.
const LOOK: Duration = Duration::from_secs(20);

/// All conversations; cheap to clone.
#[derive(Clone)]
pub(super) struct Conversations {
    shared: Arc<Shared>,
}

/// What every runner knows.
struct Shared {
    world: Arc<World>,
    directory: PathBuf,
    install: Install,
    /// One turn at a time in the working tree.
    tree: Arc<Semaphore>,
    signals: Arc<Signals>,
    rules: Mutex<Rules>,
    all: Mutex<BTreeMap<String, Arc<Conversation>>>,
    runners: Mutex<Vec<JoinHandle<()>>>,
    writer: Writer,
    stop: watch::Sender<bool>,
}

/// How readers learn that something is new.
struct Signals {
    /// Counts changes of any conversation.
    changed: watch::Sender<u64>,
    /// The time of the last work: a prompt, an answer, or the end of a turn.
    activity: Mutex<Option<Timestamp>>,
}

impl Signals {
    fn touch(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    fn worked(&self) {
        *lock(&self.activity) = Some(Timestamp::now());
    }
}

impl Conversations {
    /// Opens every conversation of the volume and goes on with what waits. Turns that a crash cut off are told as
    /// interrupted.
    pub(super) fn open(world: Arc<World>) -> Self {
        let own = world.layout.own_config();
        let shared = Arc::new(Shared {
            directory: own.join("conversations"),
            install: Install::new(world.options.claude.program.clone()),
            tree: Arc::new(Semaphore::new(1)),
            signals: Arc::new(Signals { changed: watch::Sender::new(0), activity: Mutex::new(None) }),
            rules: Mutex::new(Rules::open(own.join("rules.json"))),
            all: Mutex::default(),
            runners: Mutex::default(),
            writer: Writer::current(world.options.pod_uid.as_deref()),
            stop: watch::Sender::new(false),
            world,
        });
        let conversations = Self { shared };
        let mut latest = None;
        for directory in conversations.found() {
            match Conversation::open(&conversations.shared, directory.clone()) {
                Ok(conversation) => {
                    latest = latest.max(conversation.updated_at().parse::<Timestamp>().ok());
                    conversations.start(conversation);
                }
                Err(error) => {
                    tracing::error!(directory = %directory.display(), %error, "this conversation cannot be opened");
                }
            }
        }
        *lock(&conversations.shared.signals.activity) = latest;
        conversations
    }

    /// The directories of conversations.
    fn found(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.shared.directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.join("meta.json").is_file() && !is_draft(path)).collect()
    }

    fn start(&self, opened: conversation::Opened) {
        let conversation = Arc::clone(&opened.conversation);
        lock(&self.shared.all).insert(conversation.id().to_owned(), conversation);
        let runner = tokio::spawn(runner::run(Arc::clone(&self.shared), opened));
        lock(&self.shared.runners).push(runner);
    }

    /// Looks for the program now and then, so that a status knows its version without waiting.
    pub(super) async fn look(&self) {
        loop {
            let _ = self.shared.install.ask().await;
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Ends every process in order, and closes the logs.
    pub(super) async fn stop(&self) {
        self.shared.stop.send_replace(true);
        let runners = std::mem::take(&mut *lock(&self.shared.runners));
        if tokio::time::timeout(STOP, futures::future::join_all(runners)).await.is_err() {
            tracing::warn!("Claude Code did not end in time; its turns are told as interrupted at the next start");
        }
    }

    /// Makes a conversation; the same id again gives the same one. Returns it and whether it is new.
    pub(super) fn create(&self, new: NewConversation) -> Result<(Arc<Conversation>, bool), ChatError> {
        let id = new.id.unwrap_or_else(Id::random);
        if let Some(there) = lock(&self.shared.all).get(id.as_str()) {
            return Ok((Arc::clone(there), false));
        }
        let title = new.title.as_deref().map(str::trim).filter(|title| !title.is_empty()).map(str::to_owned);
        if let Some(title) = &title
            && (title.chars().count() > MAX_TITLE || title.chars().any(char::is_control))
        {
            return Err(ChatError::invalid("title", format!("must be one line of at most {MAX_TITLE} characters")));
        }
        if let Some(model) = &new.model
            && !is_model(model)
        {
            return Err(ChatError::invalid("model", "is no name of a model, such as `sonnet` or `claude-opus-4-8`"));
        }
        let permission_mode = new.permission_mode.unwrap_or_else(|| "default".to_owned());
        if !PERMISSION_MODES.contains(&permission_mode.as_str()) {
            let reason = format!("must be one of {}", PERMISSION_MODES.join(", "));
            return Err(ChatError::invalid("permissionMode", reason));
        }
        if lock(&self.shared.all).len() >= MAX_CONVERSATIONS {
            return Err(ChatError::Limit(format!(
                "this environment has {MAX_CONVERSATIONS} conversations; go on in one of them"
            )));
        }
        let meta = Meta {
            id: id.to_string(),
            epoch: Id::random().to_string(),
            session: id.to_string(),
            title,
            model: new.model,
            permission_mode,
            created_at: Timestamp::now().to_string(),
            rules: Vec::new(),
            directories: Vec::new(),
            process: None,
            writer: self.shared.writer.clone(),
            closed: None,
            other: serde_json::Map::new(),
        };
        // It gets its name when it is whole.
        let directory = self.shared.directory.join(id.as_str());
        let draft = directory.with_extension("new");
        let _ = fs::remove_dir_all(&draft);
        fs::create_dir_all(&draft)?;
        meta.write(&draft.join("meta.json"))?;
        fs::rename(&draft, &directory)?;
        File::open(&self.shared.directory)?.sync_all()?;
        let opened = Conversation::open(&self.shared, directory)?;
        let conversation = Arc::clone(&opened.conversation);
        self.start(opened);
        self.shared.signals.touch();
        Ok((conversation, true))
    }

    /// Returns a conversation.
    pub(super) fn get(&self, id: &str) -> Result<Arc<Conversation>, ChatError> {
        let id = id.to_ascii_lowercase();
        let all = lock(&self.shared.all);
        all.get(&id).cloned().ok_or(ChatError::NotFound { what: "conversation", id })
    }

    /// All conversations, the latest used first.
    pub(super) fn list(&self) -> Vec<chat::Conversation> {
        let mut list: Vec<chat::Conversation> = self.all().iter().map(|one| one.summary()).collect();
        list.sort_by(|one, other| other.updated_at.cmp(&one.updated_at).then_with(|| one.id.cmp(&other.id)));
        list
    }

    /// All conversations by their ids.
    pub(super) fn all(&self) -> Vec<Arc<Conversation>> {
        lock(&self.shared.all).values().cloned().collect()
    }

    /// Tells of every change of any conversation.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.shared.signals.changed.subscribe()
    }

    /// Says why no turn could run now.
    pub(super) async fn problem(&self) -> Option<Problem> {
        if let Err(problem) = self.shared.install.ask().await {
            return Some(problem);
        }
        Credentials::read(&self.shared.world.layout).err()
    }

    /// Whether a turn or a background task runs.
    pub(super) fn is_busy(&self) -> bool {
        self.all().iter().any(|conversation| conversation.is_busy())
    }

    /// The time of the last work: a prompt, an answer, or the end of a turn.
    pub(super) fn last_activity(&self) -> Option<Timestamp> {
        *lock(&self.shared.signals.activity)
    }

    /// Claude Code here, as far as it is known without starting it.
    pub(super) fn claude(&self) -> ClaudeStatus {
        let install = self.shared.install.known();
        let credentials = Credentials::read(&self.shared.world.layout);
        let problem = install.as_ref().err().or(credentials.as_ref().err()).map(ClaudeProblem::from);
        let (path, version) = install.map_or((None, None), |(path, version)| (Some(path), version));
        ClaudeStatus {
            version,
            path: path.map(|path| path.display().to_string()),
            credentials: credentials.ok().map(|credentials| credentials.status()),
            problem,
        }
    }
}

fn is_draft(path: &std::path::Path) -> bool {
    path.extension().is_some()
}

/// A name that is no option of a command line.
fn is_model(text: &str) -> bool {
    let first = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    first && text.len() <= 100 && text.chars().all(|c| c.is_ascii_alphanumeric() || "-._:/[]@".contains(c))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
