//! What recordings of Claude Code come to, without the program: `tests/claude/stand-in.sh` plays them.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::chat::{Chat, count, id, kinds};

fn stand_in() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/claude/stand-in.sh")
}

fn recording(version: &str, name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/claude/recordings/{version}/{name}.txt"))
}

/// An environment in which the recording plays.
async fn playing(recording: &Path) -> Chat {
    let mut chat = Chat::new(&stand_in());
    chat.environment.secret("anthropic-api-key", "sk-test-key");
    chat.variable("STANDIN_RECORDING", recording.to_str().unwrap());
    chat.restart();
    chat.environment.until(|status| status["ready"] == true).await;
    chat
}

/// A recording of one's own.
async fn playing_text(text: &str) -> (tempfile::TempDir, Chat) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("recording");
    std::fs::write(&file, text).unwrap();
    let chat = playing(&file).await;
    (directory, chat)
}

#[tokio::test]
async fn both_versions_come_to_the_same_events() {
    for version in ["2.1.332", "2.1.197"] {
        let chat = playing(&recording(version, "permission")).await;
        let conversation = chat.create(json!({})).await;
        chat.prompt(&conversation, &id(1), "make").await;
        let request = chat.request(&conversation).await;
        assert_eq!(request["rules"].as_array().unwrap().len(), 1, "{version}: {request}");
        chat.answer(&conversation, &request, json!({"answer": "allow"})).await;

        let events = chat.until(&conversation, |events| count(events, "turnEnded") == 1).await;

        assert_eq!(
            kinds(&events),
            [
                "prompt",
                "turnStarted",
                "text",
                "toolUse",
                "request",
                "requestAnswered",
                "toolResult",
                "text",
                "turnEnded"
            ],
            "{version}"
        );
        let end = events.last().unwrap();
        assert_eq!(end["usage"]["inputTokens"], 200, "{version}: {end}");
        assert!(end["costUsd"].as_f64().unwrap() > 0.0, "{version}: {end}");
        assert_eq!(chat.get(&format!("/{conversation}")).await.1["state"], "idle");
    }
}

const BEGIN: &str = r#"> prompt
< {"type":"system","subtype":"session_state_changed","state":"running"}
< {"type":"system","subtype":"init","session_id":"3f2b8c1e-9d4a-4e6f-8a7b-0c1d2e3f4a5b","model":"m","permissionMode":"default"}
"#;

fn end(text: &str) -> String {
    let message = json!({"type": "assistant", "message": {"id": text, "content": [{"type": "text", "text": text}]}});
    let result = json!({"type": "result", "subtype": "success", "is_error": false, "total_cost_usd": 0.5});
    format!(
        "< {message}\n< {result}\n< {{\"type\":\"system\",\"subtype\":\"session_state_changed\",\"state\":\"idle\"}}\n"
    )
}

#[tokio::test]
async fn a_background_task_begins_a_turn_of_its_own() {
    let task = |subtype: &str| json!({"type": "system", "subtype": subtype, "task_id": "t", "is_backgrounded": true});
    let text = format!("{BEGIN}< {}\n{}< {}\n{}", task("task_started"), end("One."), task("task_notification"), {
        let begin = BEGIN.trim_start_matches("> prompt\n");
        format!("{begin}{}", end("Two."))
    });
    let (_directory, chat) = playing_text(&text).await;
    let conversation = chat.create(json!({})).await;
    chat.prompt(&conversation, &id(1), "go").await;

    let events = chat.until(&conversation, |events| count(events, "turnEnded") == 2).await;

    let starts: Vec<&Value> = events.iter().filter(|event| event["kind"] == "turnStarted").collect();
    assert_eq!((&starts[0]["origin"], &starts[1]["origin"]), (&json!("prompt"), &json!("background")));
    assert_eq!(starts[1]["promptIds"], json!([]));
}

#[tokio::test]
async fn a_silent_turn_is_interrupted_and_then_ended() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("recording");
    std::fs::write(&file, BEGIN).unwrap();
    let mut chat = Chat::new(&stand_in());
    chat.environment.secret("anthropic-api-key", "sk-test-key");
    chat.variable("STANDIN_RECORDING", file.to_str().unwrap());
    chat.variable("CLAUDE_SILENT_SECONDS", "1");
    chat.restart();
    let conversation = chat.create(json!({})).await;
    chat.prompt(&conversation, &id(1), "go").await;

    let events = chat.until(&conversation, |events| count(events, "turnEnded") == 1).await;

    assert!(events.iter().any(|event| event["code"] == "silent"), "{events:#?}");
    assert_eq!(events.last().unwrap()["outcome"], "interrupted");
}

#[tokio::test]
async fn an_idle_process_is_ended_and_the_next_prompt_starts_another() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("recording");
    std::fs::write(&file, format!("{BEGIN}{}", end("One."))).unwrap();
    let mut chat = Chat::new(&stand_in());
    chat.environment.secret("anthropic-api-key", "sk-test-key");
    chat.variable("STANDIN_RECORDING", file.to_str().unwrap());
    chat.variable("CLAUDE_IDLE_SECONDS", "1");
    chat.restart();
    let conversation = chat.create(json!({})).await;
    let meta = chat.environment.root().join(format!("config/.claude-manager/conversations/{conversation}/meta.json"));
    for turn in 1..=2 {
        chat.prompt(&conversation, &id(turn), "go").await;
        chat.until(&conversation, |events| count(events, "turnEnded") == turn as usize).await;
        crate::agent::environment::eventually("the process to be ended", || {
            let meta: Value = serde_json::from_str(&std::fs::read_to_string(&meta).ok()?).ok()?;
            meta["process"].is_null().then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_program_that_does_not_start_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("claude");
    std::fs::write(
        &program,
        "#!/bin/sh\n[ \"$1\" = --version ] && echo 2.1.332 && exit\necho 'no such flag sk-test-key' >&2; exit 1\n",
    )
    .unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut chat = Chat::new(&program);
    chat.environment.secret("anthropic-api-key", "sk-test-key");
    chat.restart();
    let conversation = chat.create(json!({})).await;
    chat.prompt(&conversation, &id(1), "go").await;

    let events = chat.until(&conversation, |events| count(events, "turnEnded") == 1).await;

    let end = events.last().unwrap();
    assert_eq!(end["outcome"], "failed");
    let message = end["message"].as_str().unwrap();
    assert!(message.contains("did not start") && message.contains("no such flag ***"), "{message}");
    assert!(!chat.environment.log().contains("sk-test-key"));
}
