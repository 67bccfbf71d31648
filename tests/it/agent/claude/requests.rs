//! Permissions, questions and plans, each answer.

use serde_json::{Value, json};

use super::chat::{Chat, count, id, kinds};
use super::model::{Model, plan, text, tool};
use super::newest;

fn touch(name: &str) -> Vec<Vec<super::model::Block>> {
    vec![
        vec![tool("Bash", json!({"command": format!("touch {name}"), "description": "Make a file"}))],
        vec![text("Went on.")],
    ]
}

#[tokio::test]
async fn a_tool_runs_when_it_is_allowed_and_not_when_it_is_denied() {
    let Some(program) = newest() else { return };
    let model = Model::start().await;
    model.script("one", touch("one.txt"));
    model.script("two", touch("two.txt"));
    let chat = Chat::start(&program, &model).await;
    let conversation = chat.create(json!({})).await;
    chat.prompt(&conversation, &id(1), "one").await;
    let request = chat.request(&conversation).await;
    assert_eq!((&request["requestKind"], &request["tool"]), (&json!("permission"), &json!("Bash")));
    assert_eq!(request["choices"], json!(["allow", "allowSession", "allowAlways", "deny"]));
    assert_eq!(request["input"]["command"], "touch one.txt");
    assert!(!chat.workspace().join("one.txt").exists());

    let answered = chat.answer(&conversation, &request, json!({"answer": "allow"})).await;

    assert_eq!(answered, (200, json!({"requestId": request["requestId"], "answer": "allow"})));
    let events = chat.until(&conversation, |events| count(events, "turnEnded") == 1).await;
    assert_eq!(
        kinds(&events),
        ["prompt", "turnStarted", "toolUse", "request", "requestAnswered", "toolResult", "text", "turnEnded"]
    );
    assert_eq!(events[4]["actor"], "user:ada");
    assert!(chat.workspace().join("one.txt").exists());
    // The same answer again is the same; another one comes too late.
    assert_eq!(chat.answer(&conversation, &request, json!({"answer": "allow"})).await.0, 200);
    let (status, late) = chat.answer(&conversation, &request, json!({"answer": "deny"})).await;
    assert_eq!((status, &late["type"]), (409, &json!("tag:claude-manager.io,2026:problem/request-closed")));

    chat.prompt(&conversation, &id(2), "two").await;
    let request = chat.request(&conversation).await;
    chat.answer(&conversation, &request, json!({"answer": "deny", "message": "Use the other folder."})).await;
    let events = chat.until(&conversation, |events| count(events, "turnEnded") == 2).await;
    let result = events.iter().rfind(|event| event["kind"] == "toolResult").unwrap();
    assert_eq!((&result["isError"], &result["text"]), (&json!(true), &json!("Use the other folder.")));
    assert!(!chat.workspace().join("two.txt").exists());
    assert_eq!(events.last().unwrap()["outcome"], "done");
}

#[tokio::test]
async fn a_rule_holds_for_the_session_or_for_every_conversation_also_after_a_restart() {
    let Some(program) = newest() else { return };
    let model = Model::start().await;
    for name in ["session", "always", "bracket"] {
        model.script(name, touch(name));
    }
    model.script("bracket", vec![vec![tool("Bash", json!({"command": "touch $(echo bracket)"}))], vec![text("On.")]]);
    let mut chat = Chat::start(&program, &model).await;
    let first = chat.create(json!({})).await;
    for (number, name, answer) in [(1, "session", "allowSession"), (2, "always", "allowAlways")] {
        chat.prompt(&first, &id(number), name).await;
        let request = chat.request(&first).await;
        assert!(request["rules"][0].as_str().unwrap().starts_with("Bash("), "{request}");
        assert_eq!(chat.answer(&first, &request, json!({"answer": answer})).await.0, 200);
        chat.until(&first, |events| count(events, "turnEnded") == number as usize).await;
    }
    chat.environment.stop();
    chat.restart();

    // Asks no more: what was allowed for the session in its conversation, and what was allowed always in any.
    for (number, name) in [(3, "session"), (4, "always")] {
        chat.prompt(&first, &id(number), name).await;
        let events = chat.until(&first, |events| count(events, "turnEnded") == number as usize).await;
        assert_eq!(count(&events, "request"), 2, "{events:#?}");
    }
    let second = chat.create(json!({})).await;
    chat.prompt(&second, &id(5), "always").await;
    let events = chat.until(&second, |events| count(events, "turnEnded") == 1).await;
    assert_eq!(count(&events, "request"), 0, "{events:#?}");
    chat.prompt(&second, &id(6), "session").await;
    let request = chat.request(&second).await;
    chat.answer(&second, &request, json!({"answer": "deny"})).await;
    chat.until(&second, |events| count(events, "turnEnded") == 2).await;
    assert!(!chat.workspace().join(".claude").exists(), "nothing is written into the repository");
}

#[tokio::test]
async fn an_attached_image_and_an_attached_text_reach_the_model() {
    let Some(program) = newest() else { return };
    let model = Model::start().await;
    model.script("look", vec![vec![text("A dot.")]]);
    let chat = Chat::start(&program, &model).await;
    let conversation = chat.create(json!({})).await;
    // One pixel.
    let image = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    let attachments = json!([
        {"name": "dot.png", "mediaType": "image/png", "data": image},
        {"name": "notes.md", "mediaType": "text/markdown", "data": "VmVybWlsaW9uLTM="},
    ]);
    let body = json!({"id": id(1), "text": "look", "attachments": attachments, "source": "ui"});
    assert_eq!(chat.post(&conversation, "/prompts", body.clone()).await.0, 202);

    let events = chat.until(&conversation, |events| count(events, "turnEnded") == 1).await;

    assert_eq!(events.last().unwrap()["outcome"], "done", "{events:#?}");
    let heard = model.last()["messages"].to_string();
    assert!(heard.contains(image) && heard.contains("Attached file notes.md:\\nVermilion-3"), "{heard}");
    assert_eq!((&events[0]["attachments"][0]["mediaType"], &events[0]["source"]), (&json!("image/png"), &json!("ui")));
    // Another file under the same id is another prompt.
    let mut other = body.clone();
    other["attachments"][1]["data"] = json!("QW5vdGhlcg==");
    assert_eq!(chat.post(&conversation, "/prompts", other).await.0, 409);
    assert_eq!(chat.post(&conversation, "/prompts", body).await.0, 202);
}

#[tokio::test]
async fn a_question_gets_its_answers_and_may_be_dismissed() {
    let Some(program) = newest() else { return };
    let model = Model::start().await;
    let question = |name: &str, several: bool| {
        json!({"question": name, "header": "H", "multiSelect": several,
            "options": [{"label": "Red", "description": "r"}, {"label": "Blue", "description": "b"}]})
    };
    let questions = json!({"questions": [question("Which colour?", false), question("Which others?", true)]});
    model.script("ask", vec![vec![tool("AskUserQuestion", questions.clone())], vec![text("Thanks.")]]);
    model.script("again", vec![vec![tool("AskUserQuestion", questions)], vec![text("Then not.")]]);
    let chat = Chat::start(&program, &model).await;
    let conversation = chat.create(json!({})).await;
    chat.prompt(&conversation, &id(1), "ask").await;
    let request = chat.request(&conversation).await;
    assert_eq!((&request["requestKind"], &request["choices"]), (&json!("question"), &json!(["allow", "deny"])));
    assert_eq!(request["input"]["questions"][0]["question"], "Which colour?");
    assert_eq!(chat.answer(&conversation, &request, json!({"answer": "allow"})).await.0, 422, "without answers");
    assert_eq!(chat.answer(&conversation, &request, json!({"answer": "allowAlways"})).await.0, 409);

    let answers = json!({"Which colour?": "A mild green", "Which others?": ["Red", "Blue"]});
    assert_eq!(chat.answer(&conversation, &request, json!({"answer": "allow", "answers": answers})).await.0, 200);

    chat.until(&conversation, |events| count(events, "turnEnded") == 1).await;
    let heard = model.last().to_string();
    assert!(heard.contains("A mild green") && heard.contains("Red, Blue"), "{heard}");
    chat.prompt(&conversation, &id(2), "again").await;
    let request = chat.request(&conversation).await;
    chat.answer(&conversation, &request, json!({"answer": "deny"})).await;
    chat.until(&conversation, |events| count(events, "turnEnded") == 2).await;
    assert!(model.last().to_string().contains("dismissed"));
}

#[tokio::test]
async fn a_plan_is_rejected_with_a_comment_and_then_accepted() {
    let Some(program) = newest() else { return };
    let model = Model::start().await;
    let show = || vec![tool("ExitPlanMode", json!({}))];
    let (first, second) = (vec![plan("# Rewrite all")], vec![plan("# Fix one line")]);
    model.script("plan", vec![first, show(), second, show(), vec![text("Fixing.")]]);
    let chat = Chat::start(&program, &model).await;
    let conversation = chat.create(json!({"permissionMode": "plan"})).await;
    chat.prompt(&conversation, &id(1), "plan").await;
    let request = chat.request(&conversation).await;
    assert_eq!((&request["requestKind"], &request["input"]["plan"]), (&json!("plan"), &json!("# Rewrite all")));
    chat.answer(&conversation, &request, json!({"answer": "deny", "message": "Too much."})).await;
    let second = loop {
        let next = chat.request(&conversation).await;
        if next["requestId"] != request["requestId"] {
            break next;
        }
    };
    assert!(model.last().to_string().contains("Too much."));
    assert_eq!(chat.get(&format!("/{conversation}")).await.1["permissionMode"], "plan");

    assert_eq!(second["input"]["plan"], "# Fix one line");
    chat.answer(&conversation, &second, json!({"answer": "allowSession"})).await;

    let events = chat.until(&conversation, |events| count(events, "turnEnded") == 1).await;
    assert_eq!(events.last().unwrap()["outcome"], "done");
    assert_eq!(chat.get(&format!("/{conversation}")).await.1["permissionMode"], "acceptEdits");
}

#[tokio::test]
async fn an_interrupt_withdraws_an_open_request() {
    let Some(program) = newest() else { return };
    let model = Model::start().await;
    model.script("one", touch("one.txt"));
    let chat = Chat::start(&program, &model).await;
    let conversation = chat.create(json!({})).await;
    chat.prompt(&conversation, &id(1), "one").await;
    let request = chat.request(&conversation).await;

    chat.post(&conversation, "/interrupt", json!({})).await;

    let events = chat.until(&conversation, |events| count(events, "turnEnded") == 1).await;
    let withdrawn: Vec<&Value> = events.iter().filter(|event| event["kind"] == "requestWithdrawn").collect();
    assert_eq!((withdrawn.len(), &withdrawn[0]["requestId"]), (1, &request["requestId"]));
    assert_eq!(events.last().unwrap()["outcome"], "interrupted");
    assert_eq!(chat.answer(&conversation, &request, json!({"answer": "allow"})).await.0, 409);
}
