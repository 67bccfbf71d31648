//! Why JIRA did not do what it was asked, by cause.

use std::time::Duration;

/// Why JIRA did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JiraError {
    /// The address or the credentials cannot be used as they are.
    #[error("{0}")]
    Settings(String),
    /// 401.
    #[error("JIRA refuses the credentials; check jira-api-key, and JIRA_EMAIL (set for Cloud, unset for Data Center)")]
    Unauthorized,
    /// 403.
    #[error("JIRA's account may not do this ({0}); give it the permission to browse the project and to comment")]
    Forbidden(String),
    /// 404 or 410.
    #[error("JIRA has no such issue or comment, or its account may not see it")]
    NotFound,
    /// 429, or 503 with a time to wait.
    #[error("JIRA takes no more requests for {} s", after.as_secs())]
    RateLimited {
        /// How long to wait.
        after: Duration,
    },
    /// Another 4xx.
    #[error("JIRA refuses the request ({status}): {message}")]
    Refused {
        /// The status.
        status: u16,
        /// What JIRA says.
        message: String,
    },
    /// 5xx.
    #[error("JIRA fails with status {0}")]
    Failed(u16),
    /// No answer.
    #[error("JIRA cannot be reached: {0}")]
    Unreachable(String),
    /// The answer is too large, or is not what the documentation says.
    #[error("JIRA's answer cannot be used: {0}")]
    Answer(String),
}

impl JiraError {
    /// How long JIRA asks to wait, where it says so.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { after } => Some(*after),
            _ => None,
        }
    }

    /// Whether the same request may succeed later without a change of settings or rights.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::Failed(_) | Self::Unreachable(_) | Self::Answer(_))
    }
}
