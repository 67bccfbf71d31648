//! The first start on a machine: what the terminal says, and what is said plainly when something is in the way.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::control_plane::skipped;
use crate::manager::PROGRAM;

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", directory)
        .env("PORT", "0")
        .current_dir(directory)
        .stdin(Stdio::null());
    command
}

/// Runs a command that is to be refused, for as long as that may take: one that is not would serve for ever.
fn refused(mut command: Command) -> String {
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program");
    if !ends_within(&mut process, Duration::from_secs(20)) {
        process.kill().expect("killed");
        panic!("it is not refused: {:?}", process.wait_with_output());
    }
    let output = process.wait_with_output().expect("the output");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.starts_with("error: ") && !told.contains("panicked"), "{told}");
    told
}

/// Waits for the end of a process, at most so long; whether it came.
fn ends_within(process: &mut Child, limit: Duration) -> bool {
    let begun = Instant::now();
    while process.try_wait().expect("a child").is_none() {
        if begun.elapsed() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

#[test]
fn nobody_waits_for_ever_on_a_program_that_does_not_end() {
    let mut process = Command::new("sleep").arg("5").spawn().expect("sleep");
    // Without a limit it would be waited for until it ends by itself.
    assert!(!ends_within(&mut process, Duration::from_millis(100)));
    process.kill().expect("killed");
    assert!(ends_within(&mut process, Duration::from_secs(5)));
}

/// The program at a terminal of its own.
struct AtTerminal {
    process: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl AtTerminal {
    fn start(directory: &Path) -> Option<Self> {
        let mut script = Command::new("script");
        script
            // A shell that stays between would report the interruption in the place of the program's own end.
            .args(["--quiet", "--return", "--flush", "--command", &format!("exec {PROGRAM}"), "/dev/null"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", directory)
            .env("SHELL", "/bin/sh")
            .env("PORT", "0")
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let Ok(mut process) = script.spawn() else {
            skipped("there is no `script` (util-linux), which gives a program a terminal");
            return None;
        };
        let lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        Some(Self { process, lines })
    }

    /// Reads to the line with the link; all lines up to it, and the link.
    fn link(&mut self) -> (String, String) {
        let mut seen = String::new();
        for line in self.lines.by_ref().map_while(Result::ok) {
            seen.push_str(line.trim_end());
            seen.push('\n');
            if let Some(link) = line.trim_end().strip_prefix("Open ") {
                return (seen.clone(), link.to_owned());
            }
        }
        panic!("no link:\n{seen}");
    }

    /// Types Ctrl-C and waits for the end.
    fn interrupt(mut self) {
        use std::io::Write;
        let mut keyboard = self.process.stdin.take().expect("a pipe");
        keyboard.write_all(b"\x03").expect("typed");
        // Whoever does not read lets the program wait at its output.
        let rest: Vec<String> = self.lines.by_ref().map_while(Result::ok).collect();
        let status = self.process.wait().expect("the program");
        // A keyboard that goes away is a hang-up, so it stays to the end.
        drop(keyboard);
        assert!(status.success(), "{status}\n{}", rest.join("\n"));
    }
}

impl Drop for AtTerminal {
    /// A test that fails leaves nothing behind: without its terminal the program is hung up on.
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_shows_a_link_that_opens_and_a_second_start_finds_everything_as_it_was() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(mut first) = AtTerminal::start(directory.path()) else { return };
    let (seen, link) = first.link();
    assert!(seen.contains("cluster     embedded"), "{seen}");
    let (site, token) = link.split_once("/sign-in?token=").expect("a token in the link");
    let http = crate::http::client();
    let list = http.get(format!("{site}/api/projects")).bearer_auth(token).send().await.expect("an answer");
    assert_eq!(list.status().as_u16(), 200);
    let made = http
        .post(format!("{site}/api/projects"))
        .bearer_auth(token)
        .json(&serde_json::json!({"name": "Kept", "shortName": "kept", "gitRepository": "https://git.example/x"}));
    assert_eq!(made.send().await.expect("an answer").status().as_u16(), 201);
    first.interrupt();

    let mut second = AtTerminal::start(directory.path()).expect("as before");
    let (_, again) = second.link();
    let (site, same) = again.split_once("/sign-in?token=").expect("a token in the link");
    assert_eq!(same, token);
    let kept = http.get(format!("{site}/api/projects/kept")).bearer_auth(token).send().await.expect("an answer");
    assert_eq!(kept.status().as_u16(), 200);
    second.interrupt();
}

#[test]
fn a_port_in_use_is_named_and_nothing_is_touched() {
    let directory = tempfile::tempdir().expect("a directory");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let mut serve = command(directory.path(), &["serve"]);
    serve.env("PORT", &port);
    let told = refused(serve);
    assert!(told.contains(&format!("127.0.0.1:{port}")) && told.contains("set PORT"), "{told}");
    assert!(!directory.path().join("data").exists());
}

#[test]
fn a_bad_data_directory_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("file"), "").expect("written");
    let mut serve = command(directory.path(), &["serve"]);
    serve.env("DATA_DIR", "file");
    let told = refused(serve);
    assert!(told.contains("file") && told.contains("DATA_DIR"), "{told}");
}

#[test]
fn a_missing_and_an_old_git_are_said_before_anything_is_made() {
    let directory = tempfile::tempdir().expect("a directory");
    let bin = directory.path().join("bin");
    fs::create_dir(&bin).expect("made");
    let serve = || {
        let mut serve = command(directory.path(), &["serve"]);
        serve.env("PATH", &bin);
        serve
    };
    let told = refused(serve());
    assert!(told.contains("git cannot be started") && told.contains("install git"), "{told}");

    fs::write(bin.join("git"), "#!/bin/sh\necho git version 2.20.1\n").expect("written");
    fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).expect("executable");
    let told = refused(serve());
    assert!(told.contains("git 2.20 is too old") && told.contains("2.32"), "{told}");
    assert!(!directory.path().join("data").exists());
}
