//! Webhooks of JIRA as events. Tolerant: what is missing is missing, and unknown fields and kinds are passed over.

use serde_json::{Map, Value};

use super::text::text_of;

/// What a webhook tells.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// JIRA's own word, as in `jira:issue_created`.
    pub name: String,
    /// What happened.
    pub kind: Kind,
    /// When, in milliseconds since 1970; 0 where JIRA does not say.
    pub at: i64,
    /// The issue, as far as the webhook tells it.
    pub issue: Option<Issue>,
    /// Who did it.
    pub actor: Person,
    /// The comment that it is about, or that came with it.
    pub comment: Option<Comment>,
    /// The id of the changes; the same in every webhook about them.
    pub changelog: Option<String>,
    /// The changed fields.
    pub changes: Vec<Change>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An issue was created.
    Created,
    /// Fields of an issue changed; a comment may have come with it.
    Updated,
    /// An issue was deleted.
    Deleted,
    /// A comment was added.
    CommentAdded,
    /// A comment was edited.
    CommentEdited,
    /// A comment was deleted.
    CommentDeleted,
    /// Anything else.
    Other,
}

/// An issue.
#[derive(Clone, Debug, PartialEq)]
pub struct Issue {
    /// Its id, which it keeps when it is moved: digits.
    pub id: String,
    /// Its key, as in `SHOP-311`; empty where the webhook does not tell it.
    pub key: String,
    /// Its title.
    pub summary: String,
    /// Its description as plain text or wiki markup.
    pub description: String,
    /// When it was created, RFC 3339 or JIRA's form of it, in milliseconds since 1970.
    pub created: Option<i64>,
    /// All fields that came, by id.
    pub fields: Map<String, Value>,
}

/// A comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// Its id.
    pub id: String,
    /// Who wrote it, or edited it last.
    pub author: Person,
    /// Its text.
    pub text: String,
}

/// Somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// Every id that JIRA gives: `accountId`, or `key` and `name`.
    pub ids: Vec<String>,
    /// The name for people; may be empty.
    pub name: String,
    /// Whether it is a program.
    pub is_app: bool,
}

/// A changed field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its name for people.
    pub field: String,
    /// Its id; the name where JIRA gives none.
    pub id: String,
    /// The value before, as people read it.
    pub from: String,
    /// The value now.
    pub to: String,
}

/// Why a body is no event. The text is for the person who set the webhook up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEvent {
    /// Nothing was sent.
    #[error("the body is empty; take \"Exclude body\" off the webhook in JIRA")]
    Empty,
    /// It is no JSON object.
    #[error("the body is no JSON object")]
    NotJson,
    /// It does not say what happened.
    #[error("the body has no webhookEvent; JIRA's webhooks have one")]
    NoName,
}

impl Event {
    /// Reads the body of a webhook.
    ///
    /// # Errors
    /// [`NoEvent`].
    pub fn parse(body: &[u8]) -> Result<Self, NoEvent> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(NoEvent::Empty);
        }
        let value: Value = serde_json::from_slice(body).map_err(|_| NoEvent::NotJson)?;
        if !value.is_object() {
            return Err(NoEvent::NotJson);
        }
        let name = value["webhookEvent"].as_str().filter(|name| !name.is_empty()).ok_or(NoEvent::NoName)?;
        let comment = comment(&value["comment"]);
        let issue = Issue::of(&value["issue"]).or_else(|| issue_of_comment(&value["comment"]));
        let user = Person::of(&value["user"]);
        let actor = match (&comment, user.ids.is_empty() && user.name.is_empty()) {
            (Some(comment), true) => comment.author.clone(),
            _ => user,
        };
        Ok(Self {
            name: name.chars().filter(|c| !c.is_control()).take(100).collect(),
            kind: kind(name, value["issue_event_type_name"].as_str().unwrap_or_default(), comment.is_some()),
            at: value["timestamp"].as_i64().unwrap_or(0),
            issue,
            actor,
            changelog: id_of(&value["changelog"]["id"]),
            changes: value["changelog"]["items"].as_array().into_iter().flatten().filter_map(change).collect(),
            comment,
        })
    }
}

fn kind(name: &str, detail: &str, has_comment: bool) -> Kind {
    match name {
        "jira:issue_created" => Kind::Created,
        "jira:issue_deleted" => Kind::Deleted,
        "comment_created" => Kind::CommentAdded,
        "comment_updated" => Kind::CommentEdited,
        "comment_deleted" => Kind::CommentDeleted,
        // Data Center tells of comments so, too.
        "jira:issue_updated" if detail == "issue_comment_deleted" => Kind::CommentDeleted,
        "jira:issue_updated" if has_comment && detail == "issue_commented" => Kind::CommentAdded,
        "jira:issue_updated" if has_comment && detail == "issue_comment_edited" => Kind::CommentEdited,
        "jira:issue_updated" => Kind::Updated,
        _ => Kind::Other,
    }
}

impl Issue {
    /// Reads an issue as webhooks and the REST API give it; `None` where there is none that can be named.
    #[must_use]
    pub fn of(value: &Value) -> Option<Self> {
        let id = id_of(&value["id"])?;
        let key = value["key"].as_str().filter(|key| is_key(key)).unwrap_or_default().to_owned();
        let fields = value["fields"].as_object().cloned().unwrap_or_default();
        let get = |name: &str| fields.get(name).unwrap_or(&Value::Null);
        Some(Self {
            summary: get("summary").as_str().unwrap_or_default().to_owned(),
            description: text_of(get("description")),
            created: get("created").as_str().and_then(moment),
            id,
            key,
            fields,
        })
    }
}

impl Person {
    fn of(value: &Value) -> Self {
        let ids = ["accountId", "key", "name"].into_iter().filter_map(|name| value[name].as_str());
        Self {
            ids: ids.filter(|id| !id.is_empty()).map(str::to_owned).collect(),
            name: value["displayName"].as_str().unwrap_or_default().to_owned(),
            is_app: value["accountType"] == "app",
        }
    }

    /// Whether this is the account with one of these ids.
    #[must_use]
    pub fn is_one_of(&self, ids: &[String]) -> bool {
        self.ids.iter().any(|id| ids.contains(id))
    }
}

fn comment(value: &Value) -> Option<Comment> {
    let id = id_of(&value["id"])?;
    let edited = Person::of(&value["updateAuthor"]);
    let author = if edited.ids.is_empty() { Person::of(&value["author"]) } else { edited };
    Some(Comment { id, author, text: text_of(&value["body"]) })
}

/// Data Center tells of a comment without its issue; the comment's address has the issue's id.
fn issue_of_comment(comment: &Value) -> Option<Issue> {
    let address = comment["self"].as_str()?;
    let (_, rest) = address.split_once("/issue/")?;
    let id = id_of(&Value::from(rest.split('/').next()?))?;
    let (key, summary, description) = (String::new(), String::new(), String::new());
    Some(Issue { id, key, summary, description, created: None, fields: Map::new() })
}

fn change(value: &Value) -> Option<Change> {
    let field = value["field"].as_str()?.to_owned();
    let id = value["fieldId"].as_str().unwrap_or(&field).to_owned();
    // What people read, else the raw value.
    let shown = |name: &str, raw: &str| {
        let text = value[name].as_str().or_else(|| value[raw].as_str());
        text.unwrap_or_default().to_owned()
    };
    Some(Change { from: shown("fromString", "from"), to: shown("toString", "to"), field, id })
}

/// An id: digits, sent as text or as a number.
pub(super) fn id_of(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    (!text.is_empty() && text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

fn is_key(text: &str) -> bool {
    text.len() <= 64
        && text.rsplit_once('-').is_some_and(|(project, number)| {
            project.starts_with(|c: char| c.is_ascii_uppercase())
                && project.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
                && !number.is_empty()
                && number.bytes().all(|byte| byte.is_ascii_digit())
        })
}

/// JIRA writes the offset without a colon: `2026-11-30T13:51:07.123+0000`.
fn moment(text: &str) -> Option<i64> {
    let parsed = jiff::Timestamp::strptime("%Y-%m-%dT%H:%M:%S%.f%z", text).or_else(|_| text.parse());
    parsed.ok().map(|time: jiff::Timestamp| time.as_millisecond())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(value: &Value) -> Event {
        Event::parse(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_comment_of_cloud_has_no_user_and_of_data_center_no_issue() {
        let cloud = parse(&json!({"timestamp": 7, "webhookEvent": "comment_created",
            "issue": {"id": "10002", "key": "TEST-1", "fields": {"summary": "s"}},
            "comment": {"id": "9", "body": "hi", "author": {"accountId": "a", "displayName": "Ana"}}}));
        assert_eq!((cloud.kind, cloud.actor.name.as_str()), (Kind::CommentAdded, "Ana"));
        let bare = parse(&json!({"timestamp": 7, "webhookEvent": "comment_created",
            "comment": {"self": "http://h/rest/api/2/issue/10002/comment/9", "id": "9", "body": "hi",
                "author": {"name": "ana", "key": "JIRAUSER1"}}}));
        let issue = bare.issue.unwrap();
        assert_eq!((issue.id.as_str(), issue.key.as_str()), ("10002", ""));
        assert!(bare.actor.is_one_of(&["JIRAUSER1".to_owned()]));
        let whole = parse(&json!({"webhookEvent": "jira:issue_updated", "issue_event_type_name": "issue_commented",
            "user": {"name": "ana"}, "issue": {"id": 10002, "key": "TEST-1"}, "comment": {"id": "9", "body": "hi"}}));
        assert_eq!((whole.kind, whole.issue.unwrap().id.as_str()), (Kind::CommentAdded, "10002"));
    }

    #[test]
    fn changes_are_read_with_their_odd_names() {
        let event = parse(&json!({"webhookEvent": "jira:issue_updated", "issue_event_type_name": "issue_generic",
            "issue": {"id": "1", "key": "A-1", "fields": {"created": "2026-11-30T13:51:07.123+0000"}},
            "changelog": {"id": "55", "items": [
                {"field": "priority", "fieldId": "priority", "from": "3", "fromString": "Low", "to": "1", "toString": "High"},
                {"field": "Repo", "fieldId": "customfield_1", "fromString": null, "toString": "app"},
                {"broken": true}]}}));
        assert_eq!(event.kind, Kind::Updated);
        assert_eq!(event.changes[0].to, "High");
        assert_eq!((event.changes[1].id.as_str(), event.changes[1].from.as_str()), ("customfield_1", ""));
        assert_eq!(event.changes.len(), 2);
        assert_eq!(event.issue.unwrap().created, Some(1_796_046_667_123));
    }

    #[test]
    fn what_is_no_event_is_told_apart_and_hostile_ids_name_nothing() {
        assert_eq!(Event::parse(b" "), Err(NoEvent::Empty));
        assert_eq!(Event::parse(b"[1]"), Err(NoEvent::NotJson));
        assert_eq!(Event::parse(b"\xff"), Err(NoEvent::NotJson));
        assert_eq!(Event::parse(b"{}"), Err(NoEvent::NoName));
        let deep = format!("{{\"webhookEvent\":\"x\",\"issue\":{}", "[".repeat(100_000));
        assert_eq!(Event::parse(deep.as_bytes()), Err(NoEvent::NotJson));
        for id in [json!("1/../../x"), json!("-1"), json!(""), json!({}), json!("1".repeat(30))] {
            let event = parse(&json!({"webhookEvent": "jira:issue_created", "issue": {"id": id, "key": "A-1"}}));
            assert_eq!(event.issue, None);
        }
        let event =
            parse(&json!({"webhookEvent": "jira:issue_created", "issue": {"id": "1", "key": "A-1\nSource: x"}}));
        assert_eq!(event.issue.unwrap().key, "");
    }
}
