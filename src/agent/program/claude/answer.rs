//! What is written to Claude Code: prompts, control requests, and answers to its requests.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Ask;
use crate::agent::chat::{Answer, RequestKind};

/// The words that Claude reads when a person gave no reason.
const DENIED: &str = "The user did not allow this. Do not try it in another way; say what you would need, or go on \
                      without it.";
const DISMISSED: &str = "The user dismissed the question.";
const REJECTED: &str = "The user rejected the plan. Ask what should be different.";

/// A person's answer, ready for the program.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::agent::program) struct Reply {
    /// The message.
    pub(in crate::agent::program) message: Value,
    /// The permission mode that it sets.
    pub(in crate::agent::program) mode: Option<&'static str>,
}

/// A control request of ours.
pub(in crate::agent::program) fn control(id: &str, request: Value) -> Value {
    json!({"type": "control_request", "request_id": id, "request": request})
}

/// A refusal of a request that nothing here can answer, so that it is not waited for.
pub(super) fn unanswerable(id: &str) -> Value {
    json!({"type": "control_response", "response": {"subtype": "error", "request_id": id, "error": "not supported"}})
}

/// A prompt with the content blocks of its attachments.
pub(in crate::agent::program) fn prompt(id: &str, text: &str, attachments: &[Value]) -> Value {
    let content = if attachments.is_empty() {
        json!(text)
    } else {
        let text = (!text.is_empty()).then(|| json!({"type": "text", "text": text}));
        Value::Array(attachments.iter().cloned().chain(text).collect())
    };
    json!({"type": "user", "message": {"role": "user", "content": content}, "uuid": id})
}

/// The answer to `ask`. Rules of a session are given for this process; later ones get them at their start.
pub(in crate::agent::program) fn reply(
    ask: &Ask,
    answer: Answer,
    message: Option<&str>,
    answers: &BTreeMap<String, String>,
) -> Reply {
    let message = message.map(str::trim).filter(|text| !text.is_empty());
    let mut mode = None;
    let response = match (answer, ask.kind) {
        (Answer::Deny, kind) => {
            let default = match kind {
                RequestKind::Question => DISMISSED,
                RequestKind::Plan => REJECTED,
                RequestKind::Permission | RequestKind::Unknown => DENIED,
            };
            json!({"behavior": "deny", "message": message.unwrap_or(default)})
        }
        (Answer::Allow, RequestKind::Question) => {
            let mut input = ask.input.clone();
            if let Some(fields) = input.as_object_mut() {
                fields.insert("answers".to_owned(), json!(answers));
            }
            json!({"behavior": "allow", "updatedInput": input})
        }
        (_, RequestKind::Plan) => {
            let set = if answer == Answer::Allow { "default" } else { "acceptEdits" };
            mode = Some(set);
            json!({"behavior": "allow", "updatedInput": ask.input,
                "updatedPermissions": [{"type": "setMode", "mode": set, "destination": "session"}]})
        }
        (Answer::Allow, _) => json!({"behavior": "allow", "updatedInput": ask.input}),
        (Answer::AllowSession | Answer::AllowAlways, _) => {
            let rules: Vec<Value> = ask.rules.iter().map(super::Rule::entry).collect();
            let mut updates =
                vec![json!({"type": "addRules", "rules": rules, "behavior": "allow", "destination": "session"})];
            if !ask.directories.is_empty() {
                updates
                    .push(json!({"type": "addDirectories", "directories": ask.directories, "destination": "session"}));
            }
            json!({"behavior": "allow", "updatedInput": ask.input, "updatedPermissions": updates})
        }
    };
    let message = json!({"type": "control_response",
        "response": {"subtype": "success", "request_id": ask.id, "response": response}});
    Reply { message, mode }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::program::claude::Rule;

    fn ask(kind: RequestKind) -> Ask {
        let suggestion = json!([{"type": "addRules", "behavior": "allow",
            "rules": [{"toolName": "Bash", "ruleContent": "ls *"}]}]);
        Ask {
            id: "r".to_owned(),
            kind,
            tool: "Bash".to_owned(),
            tool_use: None,
            description: None,
            input: json!({"command": "ls"}),
            rules: Rule::suggested("Bash", suggestion.as_array().unwrap()),
            directories: vec!["/d".to_owned()],
        }
    }

    fn response(kind: RequestKind, answer: Answer, message: Option<&str>) -> Value {
        reply(&ask(kind), answer, message, &BTreeMap::new()).message["response"]["response"].clone()
    }

    #[test]
    fn each_answer_is_said_as_the_program_takes_it() {
        let allow = response(RequestKind::Permission, Answer::Allow, None);
        assert_eq!(allow, json!({"behavior": "allow", "updatedInput": {"command": "ls"}}));
        let session = response(RequestKind::Permission, Answer::AllowAlways, None);
        assert_eq!(
            session["updatedPermissions"],
            json!([
                {"type": "addRules", "rules": [{"toolName": "Bash", "ruleContent": "ls *"}], "behavior": "allow",
                    "destination": "session"},
                {"type": "addDirectories", "directories": ["/d"], "destination": "session"},
            ])
        );
        let deny = response(RequestKind::Permission, Answer::Deny, Some(" not now "));
        assert_eq!(deny, json!({"behavior": "deny", "message": "not now"}));
        assert_eq!(response(RequestKind::Question, Answer::Deny, Some(" "))["message"], DISMISSED);
    }

    #[test]
    fn an_accepted_plan_leaves_plan_mode() {
        for (answer, mode) in [(Answer::Allow, "default"), (Answer::AllowSession, "acceptEdits")] {
            let reply = reply(&ask(RequestKind::Plan), answer, None, &BTreeMap::new());
            assert_eq!(reply.mode, Some(mode));
            assert_eq!(reply.message["response"]["response"]["updatedPermissions"][0]["mode"], mode);
        }
        assert_eq!(reply(&ask(RequestKind::Plan), Answer::Deny, None, &BTreeMap::new()).mode, None);
    }

    #[test]
    fn answers_to_questions_go_beside_the_questions() {
        let answers = BTreeMap::from([("Which?".to_owned(), "Blue".to_owned())]);
        let reply = reply(&ask(RequestKind::Question), Answer::Allow, None, &answers);
        let input = &reply.message["response"]["response"]["updatedInput"];
        assert_eq!(*input, json!({"command": "ls", "answers": {"Which?": "Blue"}}));
    }
}
