//! How the way to JIRA is doing: who the manager is there, which field has the repository, and how the last call went.

use std::sync::PoisonError;
use std::time::Duration;

use super::act::Failure;
use super::{Inner, Tickets, now};
use crate::jira::{Account, JiraError};
use crate::store::StoreError;

/// How long after a failure JIRA is asked again, and how long after a success.
const LOOKS: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(600));

/// How tickets are doing, for health and pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// In one word.
    pub standing: Standing,
    /// The same for people, with what to do.
    pub message: String,
    /// Since when, in milliseconds since 1970; `None` where JIRA was not asked yet.
    pub since: Option<i64>,
    /// Deliveries that wait.
    pub waiting: u64,
    /// Deliveries that failed for good.
    pub dead: u64,
}

/// How tickets are doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Neither webhooks nor answers are set up.
    Off,
    /// Something is missing in the settings: webhooks are refused, or answers are not written.
    Incomplete,
    /// JIRA takes what it is sent.
    Works,
    /// JIRA does not answer, or refuses.
    Fails,
}

/// How the last call went.
#[derive(Debug, Default)]
pub(super) struct Reached {
    problem: Option<String>,
    since: Option<i64>,
}

impl Tickets {
    /// Tells how tickets are doing. JIRA is not asked: what counts is how the last call went.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn state(&self) -> Result<State, StoreError> {
        let inner = &self.inner;
        let (waiting, dead) = inner.store.count_deliveries().await?;
        let (problem, since) = {
            let reached = inner.reached.lock().unwrap_or_else(PoisonError::into_inner);
            (reached.problem.clone(), reached.since)
        };
        let (standing, message) = match (inner.options.has_secret, &inner.options.jira, problem) {
            (false, None, _) => (Standing::Off, "JIRA is not set up; the page Tickets says how".to_owned()),
            (false, Some(_), _) => {
                (Standing::Incomplete, "webhook-secret is not set, so that JIRA's webhooks are refused".to_owned())
            }
            (true, None, _) => {
                let missing = "JIRA_BASE_URL or jira-api-key is not set, so that answers are not written into tickets";
                (Standing::Incomplete, missing.to_owned())
            }
            (true, Some(_), Some(problem)) => (Standing::Fails, problem),
            (true, Some(_), None) => (
                Standing::Works,
                match inner.account.get() {
                    Some(account) => format!("JIRA answers, as {}", account.name),
                    None => "JIRA was not asked yet".to_owned(),
                },
            ),
        };
        Ok(State { standing, message, since, waiting, dead })
    }
}

/// Asks JIRA from time to time, so that a wrong setting is known before a ticket comes.
pub(super) async fn watch(inner: &Inner) {
    let Some(jira) = &inner.options.jira else { return };
    loop {
        let wait = match inner.heard(jira.myself().await) {
            Ok(account) => {
                let _ = inner.account.set(account);
                LOOKS.1
            }
            Err(error) => error.retry_after().unwrap_or(LOOKS.0).max(LOOKS.0),
        };
        tokio::time::sleep(wait).await;
    }
}

impl Inner {
    /// Remembers how a call of JIRA went.
    pub(super) fn heard<T>(&self, result: Result<T, JiraError>) -> Result<T, JiraError> {
        // What is missing or refused in one issue says nothing about JIRA.
        let is_about_one = matches!(result, Err(JiraError::NotFound | JiraError::Refused { .. }));
        let problem = result.as_ref().err().filter(|_| !is_about_one).map(ToString::to_string);
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        if reached.since.is_none() || reached.problem != problem {
            if let Some(problem) = &problem {
                tracing::warn!(problem, "JIRA cannot be used");
            } else if reached.problem.is_some() {
                tracing::info!("JIRA can be used again");
            }
            *reached = Reached { problem, since: Some(now()) };
        }
        result
    }

    /// The manager's account in JIRA; `None` while JIRA has not said it.
    pub(super) async fn account(&self) -> Option<&Account> {
        if let (None, Some(jira)) = (self.account.get(), &self.options.jira) {
            let is_failing = self.reached.lock().unwrap_or_else(PoisonError::into_inner).problem.is_some();
            // While it fails, `watch` asks; a delivery does not wait for that.
            if !is_failing && let Ok(account) = self.heard(jira.myself().await) {
                let _ = self.account.set(account);
            }
        }
        self.account.get()
    }

    /// The id of the field with the repository: as it is set, or by its name from JIRA.
    pub(super) async fn repository_field(&self) -> Result<Option<String>, Failure> {
        let Some(named) = &self.options.repository_field else { return Ok(None) };
        if named.starts_with("customfield_") {
            return Ok(Some(named.clone()));
        }
        let Some(jira) = &self.options.jira else { return Ok(Some(named.clone())) };
        let find = async || {
            let fields = self.heard(jira.fields().await)?;
            let found: Vec<_> = fields.into_iter().filter(|field| field.name == *named || field.id == *named).collect();
            match &found[..] {
                [one] => Ok(one.id.clone()),
                [] => Err(Failure::Later(format!("JIRA has no field {named:?}; correct JIRA_REPOSITORY_FIELD"))),
                several => {
                    let ids: Vec<&str> = several.iter().map(|field| field.id.as_str()).collect();
                    let ids = ids.join(", ");
                    Err(Failure::Later(format!(
                        "JIRA has several fields {named:?} ({ids}); set JIRA_REPOSITORY_FIELD to one of these ids"
                    )))
                }
            }
        };
        Ok(Some(self.field.get_or_try_init(find).await?.clone()))
    }
}
