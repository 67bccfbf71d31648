//! Does what a delivery leads to. Every step may be done again: after a crash it is.

use std::sync::Arc;
use std::time::Duration;

use super::decision::{CREATED, Decision, Known, Repository, Told, decide};
use super::kept::Write;
use super::ticket::Ticket;
use super::{Inner, answers, names, prompt};
use crate::chat::{ChatError, Id, NewConversation, NewPrompt};
use crate::jira::{Event, Issue, JiraError};
use crate::operations::OperationError;
use crate::project::{
    Actor, ErrorKind, GitUrl, Intent, NewProject, Principal, ProjectName, Resources, Role, SecretChange, Source,
};
use crate::store::{Delivery, DeliveryState, StoreError};

/// The most projects that may have the name of an issue's before.
const NAMES: u32 = 9;
/// The longest title of a conversation, and the longest name of a project, in characters.
const LONGEST_NAME: usize = 100;

/// What became of a delivery.
pub(super) struct Done {
    pub(super) state: DeliveryState,
    /// For people.
    pub(super) outcome: String,
}

/// Why nothing became of it.
pub(super) enum Failure {
    /// It may work later.
    Later(String),
    /// It may work after this time.
    After(String, Duration),
    /// Somebody has to do something first.
    Never(String),
}

impl Failure {
    /// The reason, for people.
    pub(super) fn why(&self) -> &str {
        match self {
            Self::Later(why) | Self::After(why, _) | Self::Never(why) => why,
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Content(_) => Self::Never(error.to_string()),
            _ => Self::Later("the manager's database does not answer".to_owned()),
        }
    }
}

impl From<OperationError> for Failure {
    fn from(error: OperationError) -> Self {
        match error.kind {
            ErrorKind::Unavailable | ErrorKind::Internal | ErrorKind::PreconditionFailed => Self::Later(error.message),
            _ => Self::Never(error.message),
        }
    }
}

impl From<JiraError> for Failure {
    fn from(error: JiraError) -> Self {
        match error.retry_after() {
            Some(wait) => Self::After(error.to_string(), wait),
            None => Self::Later(error.to_string()),
        }
    }
}

impl From<ChatError> for Failure {
    fn from(error: ChatError) -> Self {
        match error {
            ChatError::Operation(error) => error.into(),
            ChatError::Store(error) => error.into(),
            ChatError::Invalid(..) => Self::Never(error.to_string()),
            ChatError::Agent(ref problem) if problem.status < 500 && problem.status != 429 => {
                Self::Never(error.to_string())
            }
            error => Self::Later(error.to_string()),
        }
    }
}

/// Decides what a delivery leads to, and does it.
pub(super) async fn work_off(inner: &Arc<Inner>, delivery: &Delivery, body: &str) -> Result<Done, Failure> {
    let event = Event::parse(body.as_bytes()).map_err(|error| Failure::Never(error.to_string()))?;
    let Some(issue) = event.issue.clone() else { return Ok(ignored("It names no issue.".to_owned())) };
    let (event, issue) = complete(inner, event, issue).await?;
    let ticket = inner.ticket(&issue.id).await?;
    // Without the state repository a project that is there would be made again.
    inner.operations.loaded()?;
    let key = if issue.key.is_empty() { ticket.as_ref().map_or("", |ticket| ticket.key.as_str()) } else { &issue.key };
    let linked = inner.linked(key);
    let (mark, field) = (names::mark(inner.site(), &issue.id), inner.repository_field().await?);
    let account = inner.account().await;
    let decision = decide(
        &event,
        &Known {
            ticket: ticket.as_ref(),
            linked: linked.as_ref(),
            account: account.map_or(&[], |account| account.ids.as_slice()),
            mark: &mark,
            may_create: inner.options.may_create,
            waited: delivery.state == DeliveryState::Parked,
            field: field.as_deref(),
            defaults: &inner.options.defaults,
        },
    );
    let actor = actor(&event, &delivery.id);
    match decision {
        Decision::Ignore(why) => Ok(ignored(why)),
        Decision::Known(what) => {
            answers::follow(inner, issue.id.clone());
            inner.store.unpark_deliveries(&issue.id).await?;
            Ok(done(what))
        }
        Decision::Park => {
            let outcome = "It came before the webhook of its issue's creation, and waits for that.".to_owned();
            Ok(Done { state: DeliveryState::Parked, outcome })
        }
        Decision::Ask(question) => {
            let asked = inner.change_ticket(&issue.id, Write::Now, |ticket| {
                learn(ticket, &issue);
                ticket.question = Some(question.clone());
            });
            asked.await?;
            inner.store.unpark_deliveries(&issue.id).await?;
            Ok(done(format!("Asked in the issue: {question}")))
        }
        Decision::Close(why) => {
            inner.change_ticket(&issue.id, Write::At(0), |ticket| ticket.closed = Some(why.clone())).await?;
            Ok(done(why))
        }
        Decision::Begin(repository) => begin(inner, &event, &issue, linked, repository, &actor).await,
        Decision::Tell(told) => {
            let known = ticket.as_ref().and_then(|ticket| ticket.project.clone());
            let Some(project) = known.or(linked) else { return Ok(ignored("No project belongs to it.".to_owned())) };
            let ticket = inner.change_ticket(&issue.id, Write::Leave, |ticket| {
                learn(ticket, &issue);
                ticket.project.get_or_insert_with(|| project.clone());
            });
            let ticket = ticket.await?;
            tell(inner, &issue.id, &ticket, &project, told, event.at, &actor).await
        }
    }
}

/// Reads the issue from JIRA where the webhook of its creation does not tell it.
async fn complete(inner: &Inner, event: Event, issue: Issue) -> Result<(Event, Issue), Failure> {
    let lacks = event.kind == crate::jira::Kind::Created && (issue.summary.is_empty() || issue.key.is_empty());
    let Some(jira) = inner.options.jira.as_ref().filter(|_| lacks) else { return Ok((event, issue)) };
    match inner.heard(jira.issue(&issue.id).await) {
        Ok(issue) => Ok((Event { issue: Some(issue.clone()), ..event }, issue)),
        Err(error) if error.is_temporary() => Err(error.into()),
        Err(_) => Ok((event, issue)),
    }
}

/// Gives the issue its project, and Claude the issue's text.
async fn begin(
    inner: &Arc<Inner>,
    event: &Event,
    issue: &Issue,
    linked: Option<ProjectName>,
    repository: Repository,
    actor: &Actor,
) -> Result<Done, Failure> {
    // What the prompt is made of is kept first, so that it is the same at every try.
    let ticket = inner.change_ticket(&issue.id, Write::Leave, |ticket| learn(ticket, issue)).await?;
    let (project, is_new) = match (linked, repository) {
        (Some(project), _) => (project, false),
        (None, Repository::Given(url)) => create(inner, &ticket, url, actor).await?,
        (None, Repository::Linked) => return Err(Failure::Later("the project is gone".to_owned())),
    };
    let consumed = event.comment.as_ref().map(|comment| format!("comment/{}", comment.id));
    let ticket = inner.change_ticket(&issue.id, Write::Leave, |ticket| {
        ticket.project = Some(project.clone());
        ticket.question = None;
        // The comment that named the repository is no prompt.
        if let Some(act) = consumed.as_ref().filter(|act| !ticket.has(act)) {
            ticket.acts.push(act.clone());
        }
    });
    let ticket = ticket.await?;
    let text = prompt::first(&ticket.key, &ticket.summary, &ticket.description);
    let told = Told { act: CREATED.to_owned(), about: "Ticket".to_owned(), text, fields: Vec::new() };
    tell(inner, &issue.id, &ticket, &project, vec![told], event.at, actor).await?;
    inner.store.unpark_deliveries(&issue.id).await?;
    let verb = if is_new { "Made" } else { "Found" };
    Ok(done(format!("{verb} the project {project}, and gave Claude the ticket.")))
}

/// Makes the project of an issue by the same operation as every edge. One that is there for the issue is taken.
async fn create(inner: &Inner, ticket: &Ticket, url: GitUrl, actor: &Actor) -> Result<(ProjectName, bool), Failure> {
    let defaults = &inner.options.defaults;
    let title: String = ticket.summary.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
    let title = if title.trim().is_empty() { ticket.key.clone() } else { title.trim().to_owned() };
    for attempt in 1..=NAMES {
        let name = names::project(&ticket.key, attempt)
            .ok_or_else(|| Failure::Never(format!("no name of a project can be made of {}", ticket.key)))?;
        if inner.operations.snapshot().projects.contains_key(&name) {
            continue;
        }
        let new = NewProject {
            short_name: name.clone(),
            name: title.clone(),
            git_repository: url.clone(),
            git_branch: None,
            image: defaults.image.clone(),
            resources: Resources::default(),
            workspace_size: defaults.workspace_size.clone(),
            config_size: defaults.config_size.clone(),
            storage_class: defaults.storage_class.clone(),
            jira_issue: Some(ticket.key.clone()),
            created_at: now_text(),
            secrets: SecretChange::new(),
        };
        match inner.operations.submit(Intent::Create(Box::new(new)), actor.clone(), None).await {
            Ok(_) => return Ok((name, true)),
            // Another writer took the name meanwhile; it may have been for this issue.
            Err(error) if error.kind == ErrorKind::Conflict => match inner.linked(&ticket.key) {
                Some(linked) => return Ok((linked, false)),
                None if inner.operations.snapshot().projects.contains_key(&name) => {}
                None => return Err(Failure::Later(error.message)),
            },
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::Never(format!("{NAMES} projects have the name of {} already; delete one, then replay", ticket.key)))
}

/// Sends acts as prompts into the ticket's conversation, in order; a stopped project is started by it.
async fn tell(
    inner: &Arc<Inner>,
    issue: &str,
    ticket: &Ticket,
    project: &ProjectName,
    told: Vec<Told>,
    at: i64,
    actor: &Actor,
) -> Result<Done, Failure> {
    if inner.operations.project(project).is_err() {
        return Ok(ignored(format!("The project {project} of this issue was deleted.")));
    }
    let conversation = names::conversation(inner.site(), issue);
    let title: String =
        format!("{} {}", ticket.key, ticket.summary).chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
    let new = NewConversation { id: Some(conversation.clone()), title: Some(title), ..NewConversation::default() };
    inner.chat.create(project, new, actor).await?;
    let mut about = Vec::new();
    for act in told {
        let id = names::prompt(inner.site(), issue, &act.act);
        send(inner, project, &conversation, &id, act.text, actor).await?;
        let noted = inner.change_ticket(issue, Write::Now, |ticket| {
            ticket.told(&act.act, id.as_str(), &act.about);
            for field in &act.fields {
                ticket.fields.insert(field.clone(), at);
            }
        });
        noted.await?;
        about.push(act.about);
    }
    answers::follow(inner, issue.to_owned());
    Ok(done(format!("Told Claude in {project}: {}.", about.join("; "))))
}

async fn send(
    inner: &Inner,
    project: &ProjectName,
    conversation: &Id,
    id: &Id,
    text: String,
    actor: &Actor,
) -> Result<(), Failure> {
    let prompt = NewPrompt { id: id.clone(), text, attachments: Vec::new(), source: None };
    match inner.chat.send(project, conversation, prompt, actor).await {
        // The same act, told by another webhook in other words.
        Ok(_) | Err(ChatError::PromptConflict) => Ok(()),
        Err(ChatError::Agent(problem)) if problem.word() == crate::chat::word::PROMPT_CONFLICT => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Keeps what the webhook says of the issue.
fn learn(ticket: &mut Ticket, issue: &Issue) {
    let short = |text: &str, most: usize| text.chars().take(most).collect::<String>();
    for (slot, text) in [
        (&mut ticket.key, short(&issue.key, 64)),
        (&mut ticket.summary, short(&issue.summary, 500)),
        (&mut ticket.description, short(&issue.description, 70_000)),
    ] {
        if slot.is_empty() {
            *slot = text;
        }
    }
}

/// Who acts: the person of the event, with the right to make projects and to send prompts.
fn actor(event: &Event, delivery: &str) -> Actor {
    let fits = |c: &char| c.is_alphanumeric() || " .'-".contains(*c);
    let name: String = event.actor.name.chars().filter(fits).take(80).collect();
    let name = if name.trim().is_empty() { "JIRA".to_owned() } else { format!("{} (JIRA)", name.trim()) };
    let email = "jira@claude-manager.local".to_owned();
    let principal = Principal { id: "jira".to_owned(), name, email, role: Role::Operator };
    Actor { principal, source: Source::Jira, request_id: delivery.to_owned() }
}

impl Inner {
    /// The project whose overlay names this issue.
    pub(super) fn linked(&self, key: &str) -> Option<ProjectName> {
        if key.is_empty() {
            return None;
        }
        let snapshot = self.operations.snapshot();
        let names_it = |state: &crate::operations::ProjectState| {
            state.spec.as_ref().and_then(|spec| spec.jira_issue.as_deref()) == Some(key)
        };
        snapshot.projects.iter().find(|(_, state)| names_it(state)).map(|(name, _)| name.clone())
    }

    /// What tells the issues of one JIRA from those of another.
    pub(super) fn site(&self) -> &str {
        self.options.site.as_deref().unwrap_or_default()
    }
}

fn done(outcome: String) -> Done {
    Done { state: DeliveryState::Done, outcome }
}

fn ignored(outcome: String) -> Done {
    Done { state: DeliveryState::Ignored, outcome }
}

fn now_text() -> String {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}
