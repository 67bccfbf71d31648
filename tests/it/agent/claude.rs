//! Conversations end to end: the agent as its own process, the real Claude Code, a scripted model on loopback.
//!
//! `tests/claude/install.sh` installs the programs. Without them these tests are skipped loudly; with `CI=true` that is a
//! failure. `CLAUDE_TEST_VERSION` names another version than the newest one that is tested by default.

mod chat;
mod crash;
mod hostile;
pub(crate) mod model;
mod record;
mod requests;
mod standin;

use std::path::PathBuf;

use serde_json::{Value, json};

use self::chat::{Chat, id, kinds};
use self::model::{Model, text, tool};
use crate::control_plane::skipped;

/// The newest version that is tested by default, and the oldest.
const NEWEST: &str = "2.1.332";
const OLDEST: &str = "2.1.197";

/// The program of a version; `None`, loudly, where it is not installed.
fn installed(version: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
    let path = cache.join(format!("claude-manager/claude-{version}/claude"));
    if path.is_file() {
        return Some(path);
    }
    skipped(&format!("Claude Code {version} is not installed; run tests/claude/install.sh"));
    None
}

fn newest() -> Option<PathBuf> {
    installed(&std::env::var("CLAUDE_TEST_VERSION").unwrap_or_else(|_| NEWEST.to_owned()))
}

#[tokio::test]
async fn a_prompt_is_answered_in_a_stream_and_kept() {
    let Some(program) = newest() else { return };
    let model = Model::start().await;
    model.script("greet", vec![vec![model::thinking("A greeting."), model::slow(40, 30)]]);
    let chat = Chat::start(&program, &model).await;
    let conversation = chat.create(json!({})).await;
    let mut socket = chat.socket().await;
    socket.send(json!({"type": "subscribe", "ref": "s", "conversation": conversation})).await;
    assert_eq!(socket.next().await["ref"], "s");

    let prompt = id(1);
    let (status, accepted) = chat.prompt(&conversation, &prompt, "greet").await;

    assert_eq!((status, &accepted["promptId"], &accepted["seq"]), (202, &json!(prompt), &json!(1)));
    let frames = socket.until(|frame| frame["event"]["kind"] == "turnEnded").await;
    let whole: String = (0..40).map(|n| format!("word{n} ")).collect();
    let end = &frames.last().unwrap()["event"];
    assert_eq!((&end["outcome"], &end["promptIds"]), (&json!("done"), &json!([prompt])));
    assert!(end["costUsd"].as_f64().unwrap() > 0.0 && end["usage"]["outputTokens"].as_u64().unwrap() > 0, "{end}");
    let spoken = frames.iter().find(|frame| frame["event"]["kind"] == "text").unwrap();
    assert_eq!(spoken["event"]["text"], whole);
    // The deltas come before, one after the other, and are the same text.
    let deltas: Vec<&Value> =
        frames.iter().filter(|frame| frame["type"] == "delta" && frame["kind"] == "text").collect();
    let mut told = String::new();
    for delta in &deltas {
        assert_eq!(delta["block"], spoken["event"]["block"]);
        assert_eq!(delta["offset"], told.chars().count());
        told.push_str(delta["text"].as_str().unwrap());
    }
    assert!(deltas.len() >= 2 && whole.starts_with(&told), "{deltas:?}");
    let events: Vec<Value> = chat.events(&conversation).await;
    assert_eq!(kinds(&events), ["prompt", "turnStarted", "thinking", "text", "turnEnded"]);
    assert_eq!(events.iter().map(|event| event["seq"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    // The same id again gives the same answer and runs nothing; another text is a conflict.
    assert_eq!(chat.prompt(&conversation, &prompt, "greet").await, (202, accepted));
    assert_eq!(chat.prompt(&conversation, &prompt, "other").await.0, 409);
    assert_eq!(model.requests(), 1);
    let status = chat.environment.until(|status| status["busy"] == false).await;
    assert!(status["lastActivityAt"].is_string() && status["claude"]["problem"].is_null(), "{status}");
    assert_eq!(status["claude"]["credentials"]["key"], "anthropic-api-key");
    assert!(status["claude"]["version"].as_str().unwrap().starts_with("2."), "{status}");
}

#[tokio::test]
async fn prompts_run_in_their_order_and_one_that_waits_can_be_taken_back() {
    let Some(program) = newest() else { return };
    let model = Model::start().await;
    model.script("long", vec![vec![model::slow(20, 50)]]);
    for name in ["two", "three"] {
        model.script(name, vec![vec![text(name)]]);
    }
    let chat = Chat::start(&program, &model).await;
    let conversation = chat.create(json!({"title": "Order"})).await;
    for (number, name) in [(1, "long"), (2, "two"), (3, "three"), (4, "four")] {
        assert_eq!(chat.prompt(&conversation, &id(number), name).await.0, 202);
    }
    let (status, taken) = chat.delete(&conversation, &id(4)).await;
    assert_eq!((status, &taken["cancelled"]), (200, &json!(true)));
    assert_eq!(chat.delete(&conversation, &id(4)).await.0, 200, "again");
    assert_eq!(chat.delete(&conversation, &id(9)).await.0, 404);

    let events = chat.until(&conversation, |events| chat::count(events, "turnEnded") == 3).await;

    assert_eq!(chat.delete(&conversation, &id(1)).await.1["type"], "tag:claude-manager.io,2026:problem/prompt-started");
    let started: Vec<&Value> =
        events.iter().filter(|event| event["kind"] == "turnStarted").map(|event| &event["promptIds"]).collect();
    assert_eq!(started, [&json!([id(1)]), &json!([id(2)]), &json!([id(3)])]);
    let ends = events.iter().filter(|event| event["kind"] == "turnEnded");
    assert!(ends.into_iter().all(|event| event["outcome"] == "done"), "{events:?}");
    assert_eq!(model.requests(), 3);
    let list = chat.get("").await.1;
    assert_eq!((&list["items"][0]["title"], &list["items"][0]["state"]), (&json!("Order"), &json!("idle")));
}

#[tokio::test]
async fn an_interrupt_ends_the_turn_and_the_next_prompt_runs() {
    let Some(program) = newest() else { return };
    let model = Model::start().await;
    model.script("long", vec![vec![model::slow(400, 50)]]);
    model.script("next", vec![vec![text("Here I am.")]]);
    let chat = Chat::start(&program, &model).await;
    let conversation = chat.create(json!({})).await;
    assert_eq!(chat.post(&conversation, "/interrupt", json!({})).await, (202, json!({"interrupted": false})));
    let mut socket = chat.socket().await;
    socket.send(json!({"type": "subscribe", "conversation": conversation})).await;
    chat.prompt(&conversation, &id(1), "long").await;
    socket.until(|frame| frame["type"] == "delta").await;

    assert_eq!(chat.post(&conversation, "/interrupt", json!({})).await, (202, json!({"interrupted": true})));

    let events = chat.until(&conversation, |events| chat::count(events, "turnEnded") == 1).await;
    assert_eq!(events.last().unwrap()["outcome"], "interrupted");
    let spoken = events.iter().find(|event| event["kind"] == "text").expect("what was said is kept");
    assert!(spoken["text"].as_str().unwrap().starts_with("word0 "));
    chat.prompt(&conversation, &id(2), "next").await;
    let events = chat.until(&conversation, |events| chat::count(events, "turnEnded") == 2).await;
    assert_eq!(events.last().unwrap()["outcome"], "done");
}

#[tokio::test]
async fn one_conversation_waits_for_anothers_turn() {
    let Some(program) = newest() else { return };
    let model = Model::start().await;
    model.script("ask", vec![vec![tool("Bash", json!({"command": "touch made.txt"}))], vec![text("Made.")]]);
    model.script("next", vec![vec![text("Next.")]]);
    let chat = Chat::start(&program, &model).await;
    let (first, second) = (chat.create(json!({})).await, chat.create(json!({})).await);
    chat.prompt(&first, &id(1), "ask").await;
    let request = chat.request(&first).await;

    chat.prompt(&second, &id(2), "next").await;

    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let waiting = chat.get(&format!("/{second}")).await.1;
    assert_eq!((&waiting["state"], &waiting["queue"][0]["promptId"]), (&json!("queued"), &json!(id(2))));
    assert_eq!(chat.get(&format!("/{first}")).await.1["state"], "needsYou");
    chat.answer(&first, &request, json!({"answer": "allow"})).await;
    chat.until(&second, |events| chat::count(events, "turnEnded") == 1).await;
}

#[tokio::test]
async fn the_oldest_version_streams_asks_stops_and_resumes() {
    let Some(program) = installed(OLDEST) else { return };
    let model = Model::start().await;
    model.script(
        "make",
        vec![vec![text("Making."), tool("Bash", json!({"command": "touch made.txt"}))], vec![text("Made.")]],
    );
    model.script("long", vec![vec![model::slow(400, 50)]]);
    model.script("after", vec![vec![text("After.")]]);
    let mut chat = Chat::start(&program, &model).await;
    let conversation = chat.create(json!({})).await;
    chat.prompt(&conversation, &id(1), "make").await;
    let request = chat.request(&conversation).await;
    assert_eq!(chat.answer(&conversation, &request, json!({"answer": "allow"})).await.0, 200);
    let events = chat.until(&conversation, |events| chat::count(events, "turnEnded") == 1).await;
    let end = events.last().unwrap();
    assert!(end["outcome"] == "done" && end["costUsd"].as_f64().unwrap() > 0.0, "{end}");
    assert!(chat.workspace().join("made.txt").exists());

    chat.prompt(&conversation, &id(2), "long").await;
    chat.until(&conversation, |events| chat::count(events, "turnStarted") == 2).await;
    model.until_streaming(3).await;
    chat.post(&conversation, "/interrupt", json!({})).await;
    let events = chat.until(&conversation, |events| chat::count(events, "turnEnded") == 2).await;
    assert_eq!(events.last().unwrap()["outcome"], "interrupted");

    chat.environment.stop();
    chat.restart();
    chat.prompt(&conversation, &id(3), "after").await;
    let events = chat.until(&conversation, |events| chat::count(events, "turnEnded") == 3).await;
    assert_eq!(events.last().unwrap()["outcome"], "done");
    assert!(model.last().to_string().contains("Made."), "the resumed session remembers");
}
