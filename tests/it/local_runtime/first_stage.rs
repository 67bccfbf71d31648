//! What runs of an overlay before the agent itself does: variables of its pod, by a runtime that no policy stands before.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::api::{Local, claim, set};
use crate::control_plane::skipped;
use crate::manager::PROGRAM;

/// Tries to read the manager's files as soon as it is loaded, and writes down what came of it. `la_version` makes it a
/// library that LD_AUDIT takes.
const LIBRARY: &str = r#"
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static void look(const char *path) {
    char text[200] = "", line[1000];
    int in = open(path, O_RDONLY), out = open(FOUND, O_WRONLY | O_CREAT | O_APPEND, 0600);
    ssize_t got = in < 0 ? -1 : read(in, text, sizeof text - 1);
    int length = snprintf(line, sizeof line, "%d %s %s\n", getpid(), got < 0 ? "refused" : "read", text);
    if (write(out, line, length) < 0) _exit(99);
    close(in);
    close(out);
}

__attribute__((constructor)) static void begin(void) {
    look(DATA "/admin-token");
    look(DATA "/age.key");
}

unsigned int la_version(unsigned int version) { return version; }
"#;

fn compile(data: &Path, found: &Path, library: &Path) {
    let source = data.join("library.c");
    fs::write(&source, LIBRARY).unwrap();
    let compiler = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(library)
        .arg(format!("-DDATA=\"{}\"", data.display()))
        .arg(format!("-DFOUND=\"{}\"", found.display()))
        .arg(source)
        .output()
        .expect("cc, which Rust needs, too");
    assert!(compiler.status.success(), "{}", String::from_utf8_lossy(&compiler.stderr));
}

fn settings(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "env", "namespace": "n"}, "data": data})
}

async fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "never {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_library_that_an_overlay_loads_into_the_agent_finds_the_managers_data_hidden() {
    let mut open = Vec::new();
    // A second place for the workspace, in which a link leads to what is hidden.
    for (variable, second) in [("LD_PRELOAD", None), ("LD_AUDIT", None), ("LD_PRELOAD", Some("/etc"))] {
        let local = Local::with(PathBuf::from(PROGRAM)).await;
        let data = fs::canonicalize(local.data.path()).unwrap();
        fs::write(data.join("admin-token"), "the-token").unwrap();
        fs::write(data.join("age.key"), "AGE-SECRET-KEY-1").unwrap();
        for object in [claim(), settings(json!({})), set(1, "i:1")] {
            local.apply(&object).await;
        }
        local.agent_until("shop-env-0", |agent| agent["ready"] == true).await;

        // The environment puts a library into its volume, and its overlay names it.
        let workspace = data.join("volumes/n/shop-workspace");
        let (library, found) = (workspace.join("library.so"), workspace.join("found"));
        compile(&data, &found, &library);
        fs::create_dir(workspace.join("claude-manager")).unwrap();
        symlink(data.join("age.key"), workspace.join("claude-manager/key")).unwrap();
        symlink(&data, workspace.join("claude-manager/all")).unwrap();
        local.apply(&settings(json!({variable: library.to_str().unwrap()}))).await;
        let mut next = set(1, "i:2");
        if let Some(path) = second {
            let mounts = &mut next["spec"]["template"]["spec"]["containers"][0]["volumeMounts"];
            mounts.as_array_mut().unwrap().push(json!({"name": "workspace", "mountPath": path}));
        }
        local.apply(&next).await;
        let agent = local
            .agent_until("shop-env-0", |agent| agent["image"] == "i:2" && agent["state"]["running"].is_object())
            .await;

        let pid = Local::pid(&agent);
        let told = || fs::read_to_string(&found).ok().filter(|told| told.matches(&format!("{pid} ")).count() >= 2);
        let told = until("loaded into the agent", told).await;
        let log = fs::read_to_string(data.join("pods/n/shop-env-0/agent.log")).unwrap();
        local.stop().await;
        if log.contains("no Landlock") {
            return skipped("this kernel has no Landlock");
        }
        let refused = told.lines().all(|line| line.split(' ').nth(1) == Some("refused"));
        if !refused {
            open.push(format!("{variable} {second:?}:\n{told}\n{log}"));
        }
    }
    assert!(open.is_empty(), "{}", open.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_stage_has_no_variables_and_no_argument_tells_them() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("program");
    // Moved into its place when all is written.
    let script = "#!/bin/sh\ncd \"$(dirname \"$0\")\" || exit 1\n\
                  mkdir draft\ncat /proc/$$/environ > draft/environment\n\
                  printf '%s\\n' \"$@\" > draft/arguments\ncat > draft/input\nmv draft told\n";
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let local = Local::with(program).await;
    // More than a pipe holds: the manager waits for no reader.
    let long = "x".repeat(100_000);
    let values = json!({"LD_PRELOAD": "/workspace/x.so", "KEY": "s3cret\nline", "LONG": long});
    for object in [claim(), settings(values), set(1, "i:1")] {
        local.apply(&object).await;
    }
    let told = directory.path().join("told");
    until("started", || told.exists().then_some(())).await;
    let read = |name: &str| fs::read_to_string(told.join(name)).unwrap();
    assert_eq!(read("environment"), "");
    let arguments = read("arguments");
    assert!(arguments.starts_with("agent\nlaunch\n") && !arguments.contains("s3cret"), "{arguments}");
    let input = read("input");
    for variable in ["LD_PRELOAD=/workspace/x.so", "KEY=s3cret\nline", &format!("LONG={long}")] {
        assert!(input.split_terminator('\0').any(|entry| entry == variable), "{variable}");
    }
    assert!(input.contains("PATH="), "what the manager passes on comes the same way");
    let left = local.data.path().join("pods/n/shop-env-0/variables");
    assert!(!left.exists(), "no file stays");
    local.stop().await;
}
