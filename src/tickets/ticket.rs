//! What is known of one issue: its project, the acts that Claude was told, and the comment. Pure; kept as JSON.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::chat::Outcome;
use crate::project::ProjectName;

/// The most acts that are remembered, so that the webhooks about one do nothing twice.
const ACTS: usize = 2000;
/// The most prompts whose answers are shown.
const SHOWN: usize = 5;
/// The longest answer that is kept, in bytes.
const ANSWER: usize = 24 * 1024;

/// What is known of one issue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Ticket {
    pub(super) key: String,
    pub(super) summary: String,
    pub(super) description: String,
    pub(super) project: Option<ProjectName>,
    /// What is asked in the issue, while its repository is not known.
    pub(super) question: Option<String>,
    /// Why nothing is done for the issue any more.
    pub(super) closed: Option<String>,
    /// What Claude was told, the oldest first.
    pub(super) acts: Vec<String>,
    pub(super) prompts: Vec<Prompt>,
    /// When each field was last changed, as far as Claude knows.
    pub(super) fields: BTreeMap<String, i64>,
    /// How far the conversation's log was read.
    pub(super) epoch: Option<String>,
    pub(super) after: u64,
    /// What Claude waits for a person for.
    pub(super) needs: Option<String>,
    /// What all answers cost, in US dollars.
    pub(super) cost: f64,
    pub(super) comment: Written,
}

/// One act as a prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Prompt {
    pub(super) id: String,
    /// What it is about, for people.
    pub(super) about: String,
    /// `None` while it is worked on.
    pub(super) answer: Option<Answered>,
}

/// How a prompt ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answered {
    /// What Claude said, in Markdown; may be empty.
    pub(super) text: String,
    /// Why it ended otherwise than done.
    pub(super) problem: Option<String>,
    pub(super) cost: f64,
}

/// The manager's comment in the issue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Written {
    /// Its id, once JIRA has given one.
    pub(super) id: Option<String>,
    /// JIRA may have the comment, and the manager does not know its id.
    pub(super) is_uncertain: bool,
    /// The hash of the text that JIRA has.
    pub(super) hash: String,
    /// How many tries failed since the last that succeeded.
    pub(super) attempts: u32,
    /// Why the last one failed.
    pub(super) problem: Option<String>,
}

impl Ticket {
    /// Whether Claude was told of this act.
    pub(super) fn has(&self, act: &str) -> bool {
        self.acts.iter().any(|known| known == act)
    }

    /// Notes that Claude was told.
    pub(super) fn told(&mut self, act: &str, id: &str, about: &str) {
        if self.has(act) {
            return;
        }
        self.acts.push(act.to_owned());
        let too_many = self.acts.len().saturating_sub(ACTS);
        self.acts.drain(..too_many);
        self.prompts.push(Prompt { id: id.to_owned(), about: about.to_owned(), answer: None });
        let answered = |prompt: &Prompt| prompt.answer.is_some();
        let mut spare = self.prompts.iter().filter(|prompt| answered(prompt)).count().saturating_sub(SHOWN);
        self.prompts.retain(|prompt| {
            let goes = spare > 0 && answered(prompt);
            spare -= usize::from(goes);
            !goes
        });
    }

    /// Whether an answer is awaited.
    pub(super) fn waits(&self) -> bool {
        self.closed.is_none() && self.prompts.iter().any(|prompt| prompt.answer.is_none())
    }

    /// Takes the answer of a turn to some prompts; a turn that answers several is told at the last of them.
    pub(super) fn answered(&mut self, ids: &[String], text: &str, cost: f64, problem: Option<String>) {
        let is_one = |prompt: &&mut Prompt| ids.contains(&prompt.id) && prompt.answer.is_none();
        let mut found: Vec<&mut Prompt> = self.prompts.iter_mut().filter(is_one).collect();
        let Some(last) = found.pop() else { return };
        let text = text[..text.floor_char_boundary(ANSWER)].to_owned();
        last.answer = Some(Answered { text, problem, cost });
        for prompt in found {
            prompt.answer =
                Some(Answered { text: "Answered together with the next one.".into(), problem: None, cost: 0.0 });
        }
        self.cost += cost;
    }

    /// Drops the changes that are older than what Claude knows of their fields.
    pub(super) fn is_news(&self, field: &str, at: i64) -> bool {
        self.fields.get(field).is_none_or(|known| *known <= at)
    }
}

/// Why a turn ended otherwise than done, for people.
pub(super) fn problem(outcome: Outcome, message: Option<&str>) -> Option<String> {
    let what = match outcome {
        Outcome::Done => return None,
        Outcome::Failed => "Claude failed",
        Outcome::Interrupted => "The work was interrupted",
        Outcome::Limit => "A limit was reached",
        Outcome::Unknown => "The work ended",
    };
    Some(match message {
        Some(message) => format!("{what}: {message}"),
        None => format!("{what}."),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_act_is_told_once_and_an_answer_taken_once() {
        let mut ticket = Ticket::default();
        ticket.told("a", "1", "A");
        ticket.told("a", "1", "A");
        ticket.told("b", "2", "B");
        assert_eq!(ticket.prompts.len(), 2);
        assert!(ticket.waits());
        ticket.answered(&["1".into(), "2".into()], "Made.", 0.5, None);
        ticket.answered(&["2".into()], "Again.", 0.5, None);
        assert!(!ticket.waits());
        assert_eq!(ticket.prompts[1].answer.as_ref().unwrap().text, "Made.");
        assert!((ticket.cost - 0.5).abs() < 1e-9);
    }

    #[test]
    fn only_the_newest_answers_are_kept_and_no_open_prompt_is_dropped() {
        let mut ticket = Ticket::default();
        ticket.told("open", "open", "");
        for number in 0..20 {
            ticket.told(&format!("{number}"), &format!("{number}"), "");
            ticket.answered(&[format!("{number}")], "x", 0.0, None);
        }
        assert_eq!(ticket.prompts.len(), 1 + SHOWN + 1);
        assert_eq!(ticket.prompts[0].id, "open");
        assert_eq!(ticket.prompts.last().unwrap().id, "19");
    }
}
