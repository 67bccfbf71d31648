//! What a webhook leads to. Pure: the event and what is known in, a decision out.

use super::names::hash;
use super::prompt;
use super::repository::{self, Found};
use super::ticket::Ticket;
use crate::config::ProjectDefaults;
use crate::jira::{Change, Event, Issue, Kind};
use crate::project::{GitUrl, ProjectName};

/// An event that comes so long after its issue was created, in milliseconds, does not wait for the issue's own webhook.
const FRESH: i64 = 60 * 60 * 1000;

/// Fields whose changes say nothing about the task: JIRA's own bookkeeping.
const BOOKKEEPING: [&str; 12] = [
    "rank",
    "workflow",
    "worklogid",
    "timespent",
    "timeestimate",
    "timeoriginalestimate",
    "remoteissuelink",
    "remoteworkitemlink",
    "lastviewed",
    "watches",
    "votes",
    "parent association",
];

/// What is known beside the event.
pub(super) struct Known<'a> {
    /// What is known of the issue.
    pub(super) ticket: Option<&'a Ticket>,
    /// The project whose overlay names the issue.
    pub(super) linked: Option<&'a ProjectName>,
    /// The ids of the manager's own account; empty while they are not known.
    pub(super) account: &'a [String],
    /// What marks the manager's comment in this issue.
    pub(super) mark: &'a str,
    /// Whether tickets may make projects.
    pub(super) may_create: bool,
    /// The webhook waited for its issue's own in vain.
    pub(super) waited: bool,
    /// The id of the field with the repository.
    pub(super) field: Option<&'a str>,
    pub(super) defaults: &'a ProjectDefaults,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Decision {
    /// Nothing, and why.
    Ignore(String),
    /// Nothing more: it was done already, for this webhook or another one about the same.
    Known(String),
    /// Wait for the webhook that tells of the issue's creation.
    Park,
    /// Give the issue a project (the linked one, or a new one with this repository) and Claude the issue's text.
    Begin(Repository),
    /// Ask in the issue for the repository.
    Ask(String),
    /// Tell Claude.
    Tell(Vec<Told>),
    /// Nothing more is done for the issue, and why.
    Close(String),
}

/// Which repository a project is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Repository {
    /// That of the project that is there.
    Linked,
    /// This one.
    Given(GitUrl),
}

/// One act for Claude.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// Names the act; every webhook about it has the same.
    pub(super) act: String,
    /// What it is, for people.
    pub(super) about: String,
    /// The prompt.
    pub(super) text: String,
    /// The fields that it tells of.
    pub(super) fields: Vec<String>,
}

/// The act of an issue's creation.
pub(super) const CREATED: &str = "created";

/// Decides.
pub(super) fn decide(event: &Event, known: &Known<'_>) -> Decision {
    let ignore = |text: &str| Decision::Ignore(text.to_owned());
    if event.kind == Kind::Other {
        return Decision::Ignore(format!("Webhooks of the kind {} are not used.", event.name));
    }
    let Some(issue) = &event.issue else { return ignore("It names no issue.") };
    if is_own(event, known) && event.changes.is_empty() {
        return ignore("It is a comment of the manager's own JIRA account.");
    }
    if let Some(why) = known.ticket.and_then(|ticket| ticket.closed.as_ref()) {
        return Decision::Ignore(why.clone());
    }
    match (event.kind, known.ticket) {
        (Kind::CommentDeleted, _) => ignore("A comment was deleted. What Claude was told stays told."),
        (Kind::Deleted, None) => ignore("The issue was deleted; no project belongs to it."),
        (Kind::Deleted, Some(ticket)) => Decision::Close(match &ticket.project {
            Some(project) => format!(
                "The issue was deleted. The project {project} and its volumes stay; delete the project if it is not needed."
            ),
            None => "The issue was deleted; it had no project.".to_owned(),
        }),
        (Kind::Created, Some(ticket)) if ticket.has(CREATED) => {
            Decision::Known("Claude has this ticket already.".to_owned())
        }
        (Kind::Created, _) => begin(issue, known),
        (_, None) if known.linked.is_some() => tell(event, issue, known),
        (_, None) => without_project(event, issue, known),
        (_, Some(ticket)) if ticket.project.is_none() => answer(event, issue, known),
        (_, Some(_)) => tell(event, issue, known),
    }
}

/// The manager's account, or another program, or the mark of the manager's comment where the account is not known.
fn is_own(event: &Event, known: &Known<'_>) -> bool {
    let Some(comment) = &event.comment else { return false };
    let is_written = known.ticket.and_then(|ticket| ticket.comment.id.as_ref()) == Some(&comment.id);
    let is_marked = comment.text.contains(known.mark) && known.account.is_empty();
    is_written || comment.author.is_app || comment.author.is_one_of(known.account) || is_marked
}

fn begin(issue: &Issue, known: &Known<'_>) -> Decision {
    if known.linked.is_some() {
        return Decision::Begin(Repository::Linked);
    }
    if issue.key.is_empty() {
        return Decision::Ignore("The webhook does not tell the issue's key.".to_owned());
    }
    if !known.may_create {
        return Decision::Ignore(format!(
            "Tickets make no projects here (AUTO_CREATE_PROJECTS). Make one with {} as its JIRA issue, then replay this.",
            issue.key
        ));
    }
    match repository::of_issue(issue, known.field, known.defaults) {
        Found::One(url) => Decision::Begin(Repository::Given(url)),
        found => Decision::Ask(question(&found, known.defaults)),
    }
}

fn question(found: &Found, defaults: &ProjectDefaults) -> String {
    let why = match found {
        Found::One(_) | Found::None => "This ticket names no repository.".to_owned(),
        Found::Several(all) => format!("This ticket names several repositories: {all}."),
        Found::Wrong(why) => format!("The repository cannot be used: {why}."),
    };
    let bare = if defaults.git_prefix.is_some() { ", or its bare name" } else { "" };
    format!(
        "{why} Which one is it about? Answer with a comment that has its address, as in https://host/team/app.git{bare}."
    )
}

fn without_project(event: &Event, issue: &Issue, known: &Known<'_>) -> Decision {
    let is_late = issue.created.is_some_and(|created| event.at - created > FRESH);
    if known.may_create && !known.waited && !is_late {
        return Decision::Park;
    }
    Decision::Ignore("No project belongs to this issue.".to_owned())
}

/// The answer to the question for the repository: a comment, or a field that was filled in.
fn answer(event: &Event, issue: &Issue, known: &Known<'_>) -> Decision {
    if known.linked.is_some() {
        return Decision::Begin(Repository::Linked);
    }
    let found = match &event.comment {
        Some(comment) => repository::of_answer(&comment.text, known.defaults),
        None => repository::of_issue(issue, known.field, known.defaults),
    };
    match (found, &event.comment) {
        (Found::One(url), _) => Decision::Begin(Repository::Given(url)),
        (found, Some(_)) => Decision::Ask(question(&found, known.defaults)),
        (_, None) => Decision::Ignore("The repository of this ticket is not known yet.".to_owned()),
    }
}

fn tell(event: &Event, issue: &Issue, known: &Known<'_>) -> Decision {
    let key = known.ticket.map_or(issue.key.as_str(), |ticket| ticket.key.as_str());
    let who = if event.actor.name.is_empty() { "a person" } else { &event.actor.name };
    let mut told = Vec::new();
    let mut had_any = false;
    let comment = event.comment.as_ref().filter(|_| !is_own(event, known));
    if let Some(comment) = comment.filter(|comment| !comment.text.trim().is_empty()) {
        had_any = true;
        let was_edited = event.kind == Kind::CommentEdited;
        let version = hash(&[comment.text.as_bytes()]);
        let act = match was_edited {
            true => format!("comment/{}/{}", comment.id, &version[..12]),
            false => format!("comment/{}", comment.id),
        };
        let text = prompt::comment(key, &comment.author.name, &comment.text, was_edited);
        let verb = if was_edited { "Edited comment" } else { "Comment" };
        told.push(Told { act, about: format!("{verb} by {who}"), text, fields: Vec::new() });
    }
    let is_task = |change: &&Change| {
        let is_comment = change.field.eq_ignore_ascii_case("comment");
        !is_comment && !BOOKKEEPING.iter().any(|field| change.field.eq_ignore_ascii_case(field))
    };
    let changes: Vec<Change> = event.changes.iter().filter(is_task).cloned().collect();
    let is_news = |change: &Change| known.ticket.is_none_or(|ticket| ticket.is_news(&change.id, event.at));
    let news: Vec<Change> = changes.iter().filter(|change| is_news(change)).cloned().collect();
    if !news.is_empty() && event.kind == Kind::Updated {
        let id = event.changelog.clone().unwrap_or_else(|| {
            let all = changes.iter().map(|change| format!("{}\n{}\n{}", change.id, change.from, change.to));
            hash(&[all.collect::<Vec<_>>().join("\n").as_bytes(), &event.at.to_be_bytes()])[..16].to_owned()
        });
        let names: Vec<&str> = news.iter().map(|change| change.field.as_str()).take(5).collect();
        told.push(Told {
            act: format!("change/{id}"),
            about: format!("Change of {} by {who}", names.join(", ")),
            text: prompt::changes(key, who, &news),
            fields: news.iter().map(|change| change.id.clone()).collect(),
        });
    }
    let count = told.len();
    told.retain(|told| known.ticket.is_none_or(|ticket| !ticket.has(&told.act)));
    match (told.is_empty(), count > 0) {
        (false, _) => Decision::Tell(told),
        (true, true) => Decision::Known("Claude knows of this already.".to_owned()),
        (true, false) if had_any || changes.is_empty() => Decision::Ignore("Nothing of the task changed.".to_owned()),
        (true, false) => Decision::Ignore("Claude knows a newer value of what changed.".to_owned()),
    }
}

#[cfg(test)]
mod tests;
