//! kill -9 of Claude Code and of the agent, in the middle of a turn.

use std::process::Command;

use serde_json::{Value, json};

use super::chat::{Chat, count, id};
use super::model::{Model, slow, text, tool};
use super::newest;
use crate::agent::environment::eventually;

/// The processes that were started for a conversation.
fn processes(conversation: &str) -> Vec<u32> {
    let wanted = format!("CLAUDE_MANAGER_CONVERSATION={conversation}");
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let numbered = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbered
        .filter(|pid| {
            let variables = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            variables.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
        })
        .collect()
}

fn kill(pid: u32) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
}

/// The process of Claude Code itself, as the conversation's record names it.
fn claude(chat: &Chat, conversation: &str) -> u32 {
    let file = chat.environment.root().join(format!("config/.claude-manager/conversations/{conversation}/meta.json"));
    let meta: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    u32::try_from(meta["process"]["pid"].as_u64().expect("a process runs")).unwrap()
}

#[tokio::test]
async fn a_killed_claude_is_told_as_interrupted_and_the_queue_goes_on() {
    let Some(program) = newest() else { return };
    let model = Model::start().await;
    // A command in the background, which leaves the process group.
    let background = json!({"command": "sleep 300", "description": "Wait", "run_in_background": true});
    model.script("long", vec![vec![tool("Bash", background)], vec![slow(400, 50)]]);
    model.script("next", vec![vec![text("Still here.")]]);
    let chat = Chat::start(&program, &model).await;
    let conversation = chat.create(json!({"permissionMode": "acceptEdits"})).await;
    chat.prompt(&conversation, &id(1), "long").await;
    let events = chat.until(&conversation, |events| count(events, "request") + count(events, "toolResult") > 0).await;
    if count(&events, "request") == 1 {
        let request = chat.request(&conversation).await;
        chat.answer(&conversation, &request, json!({"answer": "allow"})).await;
    }
    model.until_streaming(5).await;
    chat.prompt(&conversation, &id(2), "next").await;
    assert!(processes(&conversation).len() >= 2, "the program and its command");

    kill(claude(&chat, &conversation));

    let events = chat.until(&conversation, |events| count(events, "turnEnded") == 2).await;
    let ends: Vec<&Value> = events.iter().filter(|event| event["kind"] == "turnEnded").collect();
    assert_eq!((&ends[0]["outcome"], &ends[0]["promptIds"]), (&json!("interrupted"), &json!([id(1)])));
    assert!(ends[0]["message"].as_str().unwrap().contains("signal: 9"), "{}", ends[0]);
    let partial = events.iter().find(|event| event["partial"] == true).expect("what was said is kept");
    assert!(partial["text"].as_str().unwrap().starts_with("word0 "));
    assert_eq!((&ends[1]["outcome"], &ends[1]["promptIds"]), (&json!("done"), &json!([id(2)])));
    let starts = events.iter().filter(|event| event["kind"] == "turnStarted" && event["promptIds"] == json!([id(1)]));
    assert_eq!(starts.count(), 1, "nothing runs twice");
    let left = processes(&conversation);
    assert!(left.len() == 1 && left[0] == claude(&chat, &conversation), "the old command is gone: {left:?}");
}

#[tokio::test]
async fn a_killed_agent_tells_the_turn_as_interrupted_and_runs_what_waited() {
    let Some(program) = newest() else { return };
    let model = Model::start().await;
    model.script(
        "ask",
        vec![vec![text("Asking."), tool("Bash", json!({"command": "touch made.txt"}))], vec![text("Made.")]],
    );
    model.script("next", vec![vec![text("Next.")]]);
    let mut chat = Chat::start(&program, &model).await;
    let conversation = chat.create(json!({})).await;
    chat.prompt(&conversation, &id(1), "ask").await;
    let request = chat.request(&conversation).await;
    let (status, accepted) = chat.prompt(&conversation, &id(2), "next").await;
    assert_eq!(status, 202);
    let before = chat.get(&format!("/{conversation}")).await.1;
    let old = claude(&chat, &conversation);
    let mut socket = chat.socket().await;
    socket.send(json!({"type": "subscribe", "conversation": conversation})).await;
    let seen = socket.until(|frame| frame["event"]["kind"] == "request").await;

    chat.environment.kill();

    eventually("the program to end with its agent", || (!processes(&conversation).contains(&old)).then_some(())).await;
    chat.restart();
    let events = chat.until(&conversation, |events| count(events, "turnEnded") == 2).await;
    let after = chat.get(&format!("/{conversation}")).await.1;
    assert_eq!(after["epoch"], before["epoch"], "kill -9 loses nothing that was written");
    let ends: Vec<&Value> = events.iter().filter(|event| event["kind"] == "turnEnded").collect();
    assert_eq!((&ends[0]["outcome"], &ends[0]["promptIds"]), (&json!("interrupted"), &json!([id(1)])));
    assert_eq!((&ends[1]["outcome"], &ends[1]["promptIds"]), (&json!("done"), &json!([id(2)])));
    let withdrawn = events.iter().find(|event| event["kind"] == "requestWithdrawn").unwrap();
    assert_eq!((&withdrawn["requestId"], &withdrawn["reason"]), (&request["requestId"], &json!("restarted")));
    assert!(!chat.workspace().join("made.txt").exists(), "what was not allowed did not run");
    assert_eq!(chat.answer(&conversation, &request, json!({"answer": "allow"})).await.0, 409);
    // A reader goes on where it was: no gap, nothing twice.
    let last = seen.last().unwrap()["event"]["seq"].as_u64().unwrap();
    let mut socket = chat.socket().await;
    let subscribe = json!({"type": "subscribe", "conversation": conversation, "epoch": before["epoch"], "after": last});
    socket.send(subscribe).await;
    let frames = socket
        .until(|frame| frame["event"]["promptIds"] == json!([id(2)]) && frame["event"]["outcome"] == "done")
        .await;
    assert!(frames.iter().all(|frame| frame["type"] != "reset"), "{frames:#?}");
    let numbers: Vec<u64> = frames.iter().filter_map(|frame| frame["event"]["seq"].as_u64()).collect();
    assert_eq!(numbers, (last + 1..=after["lastSeq"].as_u64().unwrap()).collect::<Vec<_>>());
    // The prompt that was accepted before the crash is the same one.
    assert_eq!(chat.prompt(&conversation, &id(2), "next").await, (202, accepted));
}

#[tokio::test]
async fn a_stop_ends_the_turn_and_loses_nothing() {
    let Some(program) = newest() else { return };
    let model = Model::start().await;
    model.script("long", vec![vec![slow(400, 50)]]);
    let mut chat = Chat::start(&program, &model).await;
    let conversation = chat.create(json!({})).await;
    chat.prompt(&conversation, &id(1), "long").await;
    model.until_streaming(5).await;

    assert_eq!(chat.environment.stop(), Some(0));

    assert_eq!(processes(&conversation), [0; 0]);
    chat.restart();
    let events = chat.events(&conversation).await;
    assert_eq!(count(&events, "turnEnded"), 1);
    assert!(["interrupted", "failed"].contains(&events.last().unwrap()["outcome"].as_str().unwrap()), "{events:#?}");
    assert!(events.iter().any(|event| event["text"].as_str().is_some_and(|text| text.starts_with("word0 "))));
}
