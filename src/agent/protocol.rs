//! What manager and agent say to each other under `/agent/v1`.
//!
//! Either side may be older than the other: what is unknown is passed over, and what may be missing has a default.

pub mod chat;

use serde::{Deserialize, Serialize};

use crate::project::Reason;

/// The number of the protocol that this program speaks.
pub const PROTOCOL: u32 = 1;
/// The port that an agent listens on.
pub const PORT: u16 = 7780;

/// How an agent is doing: the answer of `GET /agent/v1/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The number of the protocol that the agent speaks.
    pub protocol: u32,
    /// The version of its program.
    pub version: String,
    /// The project's short name.
    pub project: String,
    /// Whether the environment can be worked in.
    pub ready: bool,
    /// Whether a turn runs, which a restart would cut off. An agent that knows of no turns is not busy.
    #[serde(default)]
    pub busy: bool,
    /// The stable word for why, or why not.
    pub reason: Readiness,
    /// A sentence for people.
    pub message: String,
    /// The repository of the environment; `None` when it has none.
    #[serde(default)]
    pub repository: Option<Repository>,
    /// When the agent started, RFC 3339.
    pub started_at: String,
    /// When somebody last worked here, RFC 3339; `None` while nobody has.
    #[serde(default)]
    pub last_activity_at: Option<String>,
    /// Claude Code in this environment; `None` from an agent that does not look after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claude: Option<chat::ClaudeStatus>,
}

/// The repository of an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// Where it is cloned from.
    pub url: String,
    /// The branch that is checked out; before the clone the one that is asked for.
    #[serde(default)]
    pub branch: Option<String>,
    /// The commit that is checked out.
    #[serde(default)]
    pub commit: Option<String>,
}

/// Whether an environment can be worked in, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Readiness {
    /// The repository is there, and the volumes can be written.
    Ready,
    /// The repository is being cloned.
    Cloning,
    /// The repository's server asks for credentials, and there are none (yet).
    WaitingForCredentials,
    /// The repository cannot be cloned, or the volumes cannot be written.
    CloneFailed,
    /// A word of a newer agent.
    #[serde(other)]
    Unknown,
}

impl Readiness {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Cloning => "Cloning",
            Self::WaitingForCredentials => "WaitingForCredentials",
            Self::CloneFailed => "CloneFailed",
            Self::Unknown => "Unknown",
        }
    }

    /// The same as a project's reason; `None` for a word that this manager does not know.
    #[must_use]
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Self::Ready => Some(Reason::Ready),
            Self::Cloning => Some(Reason::Cloning),
            Self::WaitingForCredentials => Some(Reason::WaitingForCredentials),
            Self::CloneFailed => Some(Reason::CloneFailed),
            Self::Unknown => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_on_the_wire_are_these() {
        let status = Status {
            protocol: PROTOCOL,
            version: "0.1.0".to_owned(),
            project: "checkout".to_owned(),
            ready: false,
            busy: false,
            reason: Readiness::WaitingForCredentials,
            message: "m".to_owned(),
            repository: Some(Repository { url: "u".to_owned(), branch: None, commit: None }),
            started_at: "2026-11-24T21:31:03Z".to_owned(),
            last_activity_at: None,
            claude: None,
        };
        let text = serde_json::to_string(&status).unwrap();
        assert_eq!(
            text,
            r#"{"protocol":1,"version":"0.1.0","project":"checkout","ready":false,"busy":false,"reason":"WaitingForCredentials","message":"m","repository":{"url":"u","branch":null,"commit":null},"startedAt":"2026-11-24T21:31:03Z","lastActivityAt":null}"#
        );
        assert_eq!(serde_json::from_str::<Status>(&text).unwrap(), status);
    }

    #[test]
    fn an_older_and_a_newer_agent_are_both_understood() {
        let older =
            r#"{"protocol":1,"version":"0","project":"a","ready":true,"reason":"Ready","message":"","startedAt":"x"}"#;
        let read = serde_json::from_str::<Status>(older).unwrap();
        assert_eq!((read.repository, read.busy), (None, false));
        let newer = older.replace("\"Ready\"", "\"Hibernating\"").replace("{", "{\"mood\":{},");
        let newer = serde_json::from_str::<Status>(&newer).unwrap();
        assert_eq!((newer.reason, newer.reason.reason()), (Readiness::Unknown, None));
    }

    #[test]
    fn each_word_is_written_as_it_is_read() {
        for word in [Readiness::Ready, Readiness::Cloning, Readiness::WaitingForCredentials, Readiness::CloneFailed] {
            assert_eq!(serde_json::to_value(word).unwrap(), word.as_str());
            assert_eq!(format!("{:?}", word.reason().unwrap()), word.as_str());
        }
    }
}
