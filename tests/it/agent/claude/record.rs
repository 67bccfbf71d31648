//! Makes the recordings that the stand-in plays, with the real programs:
//! `cargo test --test it -- --ignored claude::record`.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::chat::{Chat, count, id};
use super::model::{Model, text, tool};
use super::{NEWEST, OLDEST, installed};

#[tokio::test]
#[ignore = "writes files of the repository"]
async fn a_permission_that_is_given() {
    for version in [NEWEST, OLDEST] {
        let Some(program) = installed(version) else { return };
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/claude");
        let directory = own.join("recordings").join(version);
        fs::create_dir_all(&directory).unwrap();
        let file = directory.join("permission.txt");
        let _ = fs::remove_file(&file);
        let model = Model::start().await;
        let touch = tool("Bash", json!({"command": "touch made.txt", "description": "Make a file"}));
        model.script("make", vec![vec![text("Making."), touch], vec![text("Made.")]]);
        let mut chat = Chat::new(&own.join("record.sh"));
        chat.variable("CLAUDE_RECORDED", program.to_str().unwrap());
        chat.variable("RECORDING", file.to_str().unwrap());
        chat.environment.secret("anthropic-api-key", "sk-test-key");
        chat.environment.secret("anthropic-base-url", model.address());
        chat.restart();
        let conversation = chat.create(json!({})).await;
        chat.prompt(&conversation, &id(1), "make").await;
        let request = chat.request(&conversation).await;
        chat.answer(&conversation, &request, json!({"answer": "allow"})).await;
        chat.until(&conversation, |events| count(events, "turnEnded") == 1).await;
        chat.environment.stop();
    }
}
