use serde_json::json;

use super::*;

/// Reads lines and writes what comes of them, one word or two each.
fn told(translator: &mut Translator, lines: &[Value]) -> Vec<String> {
    lines.iter().flat_map(|line| translator.step(&line.to_string())).map(|output| word(&output)).collect()
}

fn word(output: &Output) -> String {
    match output {
        Output::Event(EventKind::Text { block, text, .. }) => format!("text {block} {text}"),
        Output::Event(EventKind::Thinking { block, text, .. }) => format!("thinking {block} {text}"),
        Output::Event(EventKind::ToolUse { name, .. }) => format!("use {name}"),
        Output::Event(EventKind::ToolResult { text, is_error, .. }) => format!("result {text} {is_error}"),
        Output::Event(EventKind::Notice { code, .. }) => format!("notice {code}"),
        Output::Event(other) => format!("{other:?}"),
        Output::Open { block, .. } => format!("open {block}"),
        Output::Delta(text) => format!("delta {text}"),
        Output::Closed => "closed".to_owned(),
        Output::Ask(ask) => format!("ask {}", ask.tool),
        Output::Withdrawn(id) => format!("withdrawn {id}"),
        Output::Send(message) => format!("send {}", message["response"]["subtype"]),
        Output::Session(id) => format!("session {id}"),
        Output::Mode(mode) => format!("mode {mode}"),
        Output::Tasks(count) => format!("tasks {count}"),
        Output::TurnStarted => "started".to_owned(),
        Output::TurnEnded(result) => format!("ended {:?} ${}", result.outcome, result.cost_usd),
    }
}

fn state(state: &str) -> Value {
    json!({"type": "system", "subtype": "session_state_changed", "state": state})
}

fn stream(event: Value) -> Value {
    json!({"type": "stream_event", "event": event})
}

fn text(id: &str, uuid: &str, text: &str) -> Value {
    json!({"type": "assistant", "uuid": uuid, "message": {"id": id, "content": [{"type": "text", "text": text}]}})
}

fn result(total: f64) -> Value {
    json!({"type": "result", "subtype": "success", "is_error": false, "total_cost_usd": total})
}

#[test]
fn a_streamed_block_and_its_event_have_one_name() {
    let mut translator = Translator::default();
    translator.sent("p");
    let lines = [
        state("running"),
        json!({"type": "system", "subtype": "init", "session_id": "s", "permissionMode": "default", "model": "m"}),
        stream(json!({"type": "message_start", "message": {"id": "m1"}})),
        stream(json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking"}})),
        stream(json!({"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "hm"}})),
        json!({"type": "assistant", "uuid": "u1", "message": {"id": "m1", "content": [
            {"type": "thinking", "thinking": "hm"}]}}),
        stream(json!({"type": "content_block_stop", "index": 0})),
        stream(json!({"type": "content_block_start", "index": 1, "content_block": {"type": "text"}})),
        stream(json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}})),
        text("m1", "u2", "Hi there"),
        // A compaction says it again.
        text("m1", "u2", "Hi there"),
        result(0.25),
        state("idle"),
    ];
    assert_eq!(
        told(&mut translator, &lines),
        [
            "session s",
            "mode default",
            "open m1:0",
            "delta hm",
            "closed",
            "thinking m1:0 hm",
            "open m1:1",
            "delta Hi",
            "closed",
            "text m1:1 Hi there",
            "ended Done $0.25"
        ]
    );
    assert!(!translator.in_turn());
}

#[test]
fn the_result_of_lost_tasks_is_not_the_end_of_a_prompts_turn() {
    let mut translator = Translator::default();
    translator.sent("p");
    let mut lost = result(0.0);
    lost["origin"] = json!({"kind": "task-notification"});
    let replay = json!({"type": "user", "uuid": "p", "isReplay": true, "message": {"content": "x"}});
    let lines = [state("running"), lost, state("idle"), replay, text("m", "u", "late")];
    assert_eq!(told(&mut translator, &lines), ["text m:f1 late"]);
    assert_eq!(told(&mut translator, &[result(0.5), state("idle")]), ["ended Done $0.5"]);
}

#[test]
fn a_turn_without_a_result_ends_when_the_session_is_idle() {
    let mut translator = Translator::default();
    translator.sent("p");
    assert_eq!(told(&mut translator, &[state("idle")]), [""; 0], "an idle of the turn before");
    let taken_up = json!({"type": "command_lifecycle", "command_uuid": "p", "state": "started"});
    assert_eq!(told(&mut translator, &[taken_up, state("idle")]), ["ended Interrupted $0"]);
}

#[test]
fn what_nobody_asked_for_is_a_turn_of_its_own() {
    let mut translator = Translator::default();
    let mut end = result(1.0);
    end["origin"] = json!({"kind": "task-notification"});
    let lines = [json!({"type": "system", "subtype": "init"}), text("m", "u", "Built."), end];
    assert_eq!(told(&mut translator, &lines), ["started", "text m:f1 Built.", "ended Done $1"]);
    assert_eq!(told(&mut translator, &[result(1.0)]), [""; 0], "a result that says nothing");
}

#[test]
fn outcomes_are_told_apart() {
    let of = |change: Value| {
        let mut translator = Translator::default();
        translator.sent("p");
        let mut end = result(0.0);
        for (key, value) in change.as_object().unwrap() {
            end[key] = value.clone();
        }
        let out = translator.step(&end.to_string());
        let Some(Output::TurnEnded(result)) = out.into_iter().next() else { panic!("{end}") };
        (result.outcome, result.message, result.unauthenticated)
    };
    assert_eq!(of(json!({})), (Outcome::Done, None, false));
    assert_eq!(
        of(json!({"subtype": "error_during_execution", "terminal_reason": "aborted_tools"})).0,
        Outcome::Interrupted
    );
    assert_eq!(
        of(json!({"subtype": "error_max_budget_usd", "errors": ["over"]})),
        (Outcome::Limit, Some("over".into()), false)
    );
    let refused = of(json!({"is_error": true, "api_error_status": 401, "result": "no"}));
    assert_eq!(refused, (Outcome::Failed, Some("no".into()), true));
    assert_eq!(of(json!({"is_error": true, "api_error": "usage_limit_reached"})).0, Outcome::Limit);
    assert_eq!(of(json!({"subtype": "error_of_tomorrow"})).1.as_deref(), Some("error_of_tomorrow"));
}

#[test]
fn tools_tasks_and_requests_are_told_of() {
    let mut translator = Translator::default();
    translator.sent("p");
    let lines = [
        json!({"type": "assistant", "message": {"id": "m", "content": [
            {"type": "tool_use", "id": "t", "name": "Bash", "input": {"command": "ls"}}]}}),
        json!({"type": "control_request", "request_id": "r", "request": {"subtype": "can_use_tool", "tool_name": "Bash",
            "input": {}}}),
        json!({"type": "control_cancel_request", "request_id": "r"}),
        json!({"type": "control_request", "request_id": "h", "request": {"subtype": "hook_callback"}}),
        json!({"type": "user", "message": {"content": [{"type": "tool_result", "tool_use_id": "t", "is_error": true,
            "content": [{"type": "text", "text": "no"}, {"type": "image"}]}]}}),
        json!({"type": "system", "subtype": "task_started", "task_id": "a", "is_backgrounded": true}),
        json!({"type": "system", "subtype": "task_started", "task_id": "b", "is_backgrounded": false}),
        json!({"type": "system", "subtype": "background_tasks_changed", "tasks": []}),
        json!({"type": "system", "subtype": "api_retry", "attempt": 1, "max_retries": 10, "error_status": null}),
    ];
    assert_eq!(
        told(&mut translator, &lines),
        [
            "use Bash",
            "ask Bash",
            "withdrawn r",
            "send \"error\"",
            "result no\n[image] true",
            "tasks 1",
            "tasks 0",
            "notice api-retry"
        ]
    );
}

#[test]
fn unknown_and_broken_lines_are_passed_over() {
    let mut translator = Translator::default();
    translator.sent("p");
    for line in [
        "",
        "not json",
        "[]",
        "null",
        "{}",
        r#"{"type":7}"#,
        r#"{"type":"hologram"}"#,
        r#"{"type":"system","subtype":"tomorrow"}"#,
        r#"{"type":"stream_event"}"#,
        r#"{"type":"stream_event","event":{"type":"content_block_delta","delta":{"type":"text_delta","text":"x"}}}"#,
        r#"{"type":"assistant","message":{"content":"text"}}"#,
        r#"{"type":"user","message":{}}"#,
    ] {
        let out = translator.step(line);
        assert!(out.is_empty(), "{line}: {out:?}");
    }
    assert!(translator.in_turn());
}

#[test]
fn what_is_long_is_cut() {
    let mut translator = Translator::default();
    translator.sent("p");
    let long = "é".repeat(MAX_TEXT);
    let out = translator.step(&text("m", "u", &long).to_string());
    let Some(Output::Event(EventKind::Text { text, partial: true, .. })) = out.first() else { panic!() };
    assert!(text.len() <= MAX_TEXT && text.len() > MAX_TEXT - 4);
}
