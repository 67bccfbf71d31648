//! The REST client: timeouts, bounded answers, no redirects (they would carry the credentials elsewhere).

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Method, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::document::Document;
use super::error::JiraError;
use super::payload::{Issue, id_of};

/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 4 * 1024 * 1024;
const CONNECT: Duration = Duration::from_secs(5);
const WHOLE: Duration = Duration::from_secs(20);
/// How long to wait where JIRA limits requests and does not say for how long.
const UNSAID: Duration = Duration::from_secs(30);
/// The longest wait that JIRA may ask for.
const LONGEST: Duration = Duration::from_secs(3600);

/// A client of one JIRA; cheap to clone.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    /// Set for Cloud.
    email: Option<String>,
    key: SecretString,
}

/// The account whose credentials are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Every id that JIRA gives it: `accountId` on Cloud, `key` and `name` on Data Center.
    pub ids: Vec<String>,
    /// Its name for people.
    pub name: String,
}

/// A field of issues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its id, as in `customfield_10079`.
    pub id: String,
    /// Its name for people; several fields may have the same.
    pub name: String,
}

impl Client {
    /// Makes a client of the JIRA at `base`: Cloud where an `email` is given, else Data Center.
    ///
    /// # Errors
    /// [`JiraError::Settings`] when the machine has no usable TLS.
    pub fn new(base: &str, email: Option<&str>, key: &SecretString) -> Result<Self, JiraError> {
        // The first provider of this process stays; one that is there already is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .timeout(WHOLE)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("claude-manager/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| JiraError::Settings(format!("no HTTP client can be made: {error}")))?;
        let base = base.trim_end_matches('/').to_owned();
        Ok(Self { http, base, email: email.map(str::to_owned), key: key.clone() })
    }

    /// Whether this is JIRA Cloud.
    #[must_use]
    pub const fn is_cloud(&self) -> bool {
        self.email.is_some()
    }

    /// Asks whose credentials these are.
    ///
    /// # Errors
    /// [`JiraError`].
    pub async fn myself(&self) -> Result<Account, JiraError> {
        let answer = self.call(Method::GET, "/myself", None).await?;
        let ids = ["accountId", "key", "name"].into_iter().filter_map(|name| answer[name].as_str());
        let ids: Vec<String> = ids.filter(|id| !id.is_empty()).map(str::to_owned).collect();
        if ids.is_empty() {
            return Err(JiraError::Answer("it names no account".to_owned()));
        }
        let name = answer["displayName"].as_str().unwrap_or(&ids[0]).to_owned();
        Ok(Account { ids, name })
    }

    /// Lists the fields of issues.
    ///
    /// # Errors
    /// [`JiraError`].
    pub async fn fields(&self) -> Result<Vec<Field>, JiraError> {
        let answer = self.call(Method::GET, "/field", None).await?;
        let fields = answer.as_array().ok_or_else(|| JiraError::Answer("it is no list of fields".to_owned()))?;
        let field = |field: &Value| {
            Some(Field { id: field["id"].as_str()?.to_owned(), name: field["name"].as_str()?.to_owned() })
        };
        Ok(fields.iter().filter_map(field).collect())
    }

    /// Reads an issue with all its fields.
    ///
    /// # Errors
    /// [`JiraError`].
    pub async fn issue(&self, id: &str) -> Result<Issue, JiraError> {
        let answer = self.call(Method::GET, &format!("/issue/{id}?fields=*all"), None).await?;
        Issue::of(&answer).ok_or_else(|| JiraError::Answer("it is no issue".to_owned()))
    }

    /// Adds a comment to an issue, and returns its id.
    ///
    /// # Errors
    /// [`JiraError`]. After [`JiraError::Unreachable`] the comment may be there all the same; see [`Client::find_comment`].
    pub async fn add_comment(&self, issue: &str, text: &Document) -> Result<String, JiraError> {
        let body = json!({ "body": self.body(text) });
        let answer = self.call(Method::POST, &format!("/issue/{issue}/comment"), Some(body)).await?;
        id_of(&answer["id"]).ok_or_else(|| JiraError::Answer("the comment has no id".to_owned()))
    }

    /// Replaces the text of a comment.
    ///
    /// # Errors
    /// [`JiraError`]; [`JiraError::NotFound`] when the comment or the issue is gone.
    pub async fn edit_comment(&self, issue: &str, comment: &str, text: &Document) -> Result<(), JiraError> {
        let body = json!({ "body": self.body(text) });
        self.call(Method::PUT, &format!("/issue/{issue}/comment/{comment}"), Some(body)).await.map(drop)
    }

    /// Returns the id of the newest comment that has `mark` in its text, of the last hundred.
    ///
    /// # Errors
    /// [`JiraError`].
    pub async fn find_comment(&self, issue: &str, mark: &str) -> Result<Option<String>, JiraError> {
        let path = format!("/issue/{issue}/comment?orderBy=-created&maxResults=100");
        let answer = self.call(Method::GET, &path, None).await?;
        let comments = answer["comments"].as_array().map(Vec::as_slice).unwrap_or_default();
        let found = comments.iter().find(|comment| super::text_of(&comment["body"]).contains(mark));
        Ok(found.and_then(|comment| id_of(&comment["id"])))
    }

    fn body(&self, text: &Document) -> Value {
        if self.is_cloud() { text.to_adf() } else { Value::String(text.to_wiki()) }
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, JiraError> {
        let version = if self.is_cloud() { 3 } else { 2 };
        let request = self.http.request(method, format!("{}/rest/api/{version}{path}", self.base));
        let key = self.key.expose_secret();
        let request = match &self.email {
            Some(email) => request.basic_auth(email, Some(key)),
            None => request.bearer_auth(key),
        };
        let request = request.header("accept", "application/json");
        // Data Center refuses writes of what looks like a browser without it.
        let request = request.header("x-atlassian-token", "no-check");
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let response = request.send().await.map_err(|error| unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            let text = read(response).await?;
            if text.is_empty() {
                return Ok(Value::Null);
            }
            return serde_json::from_slice(&text).map_err(|_| JiraError::Answer("it is no JSON".to_owned()));
        }
        Err(refusal(status, response).await)
    }
}

async fn refusal(status: StatusCode, response: Response) -> JiraError {
    let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let after = after.map(|seconds| Duration::from_secs(seconds).min(LONGEST));
    match (status.as_u16(), after) {
        (429, after) => JiraError::RateLimited { after: after.unwrap_or(UNSAID) },
        (503, Some(after)) => JiraError::RateLimited { after },
        (401, _) => JiraError::Unauthorized,
        (404 | 410, _) => JiraError::NotFound,
        (status @ 500.., _) => JiraError::Failed(status),
        (status @ 300..=399, _) => {
            let message = "it leads elsewhere; set JIRA_BASE_URL to the address that answers".to_owned();
            JiraError::Refused { status, message }
        }
        (status, _) => {
            let message = read(response).await.map(|text| said(&text)).unwrap_or_default();
            if status == 403 { JiraError::Forbidden(message) } else { JiraError::Refused { status, message } }
        }
    }
}

/// What JIRA says in an error: `errorMessages`, and `errors` by field.
fn said(text: &[u8]) -> String {
    let value: Value = serde_json::from_slice(text).unwrap_or_default();
    let general = value["errorMessages"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    let by_field = value["errors"].as_object().into_iter().flatten();
    let by_field = by_field.map(|(name, message)| format!("{name}: {}", message.as_str().unwrap_or_default()));
    let all: Vec<String> = general.chain(by_field).collect();
    if all.is_empty() {
        return "it says no reason".to_owned();
    }
    all.join("; ").chars().filter(|c| !c.is_control()).take(300).collect()
}

async fn read(mut response: Response) -> Result<Vec<u8>, JiraError> {
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(&error))? {
        if text.len() + chunk.len() > MAX_ANSWER {
            return Err(JiraError::Answer(format!("it has more than {MAX_ANSWER} bytes")));
        }
        text.extend_from_slice(&chunk);
    }
    Ok(text)
}

/// The innermost cause says most; the address is known from the settings.
fn unreachable(error: &reqwest::Error) -> JiraError {
    if error.is_timeout() {
        return JiraError::Unreachable("no answer in time".to_owned());
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    JiraError::Unreachable(cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_jira_says_is_kept_short_and_on_one_line() {
        assert_eq!(
            said(br#"{"errorMessages":["No\nreason"],"errors":{"comment":"Comment body is not valid!"}}"#),
            "Noreason; comment: Comment body is not valid!"
        );
        assert_eq!(said(b"<html>"), "it says no reason");
        assert!(said(format!(r#"{{"errorMessages":["{}"]}}"#, "x".repeat(5000)).as_bytes()).len() <= 300);
    }
}
