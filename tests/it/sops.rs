//! Files that this program and the real `sops` hand to each other.
//!
//! Uses SOPS_BIN, or `sops` from PATH.

#![allow(clippy::print_stderr, reason = "a skipped test has to be seen")]

use std::path::PathBuf;
use std::process::Command;

use claude_manager::project::SecretKey;
use claude_manager::sops::{Identity, Merged, Secret, decrypt, encrypt, generate, merge};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

/// The program, with a key of its own and a directory to work in.
struct Sops {
    program: PathBuf,
    directory: tempfile::TempDir,
    identity: Identity,
}

impl Sops {
    /// `None`, said loudly, where there is no such program; a failure where all tests have to run.
    fn find() -> Option<Self> {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let on_path = std::env::split_paths(&paths).map(|folder| folder.join("sops")).find(|file| file.is_file());
        let Some(program) = std::env::var_os("SOPS_BIN").map(PathBuf::from).or(on_path) else {
            let message = "SKIPPED: no sops program (set SOPS_BIN, or put sops on PATH)";
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{message}");
            eprintln!("\n==== {message} ====\n");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let (identity, file) = generate(now());
        std::fs::write(directory.path().join("key.txt"), file.expose_secret()).unwrap();
        Some(Self { program, directory, identity })
    }

    /// Runs the program on `text` as a file, and gives what it prints.
    fn run(&self, text: &str, arguments: &[&str]) -> String {
        let file = self.directory.path().join("secret.yaml");
        std::fs::write(&file, text).unwrap();
        let output = Command::new(&self.program)
            .current_dir(self.directory.path())
            .env("SOPS_AGE_KEY_FILE", self.directory.path().join("key.txt"))
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn encrypt(&self, text: &str, arguments: &[&str]) -> String {
        let recipient = self.identity.recipient().to_string();
        let fixed = ["--encrypt", "--age", &recipient];
        self.run(text, &[&fixed[..], arguments, &["secret.yaml"]].concat())
    }

    fn decrypt(&self, text: &str) -> String {
        self.run(text, &["--decrypt", "secret.yaml"])
    }
}

fn now() -> Timestamp {
    "2026-11-24T03:00:00Z".parse().unwrap()
}

fn values(secret: &Secret) -> Vec<(&str, &str)> {
    secret.values.iter().map(|(key, value)| (key.as_str(), value.expose_secret())).collect()
}

const CLEAR: &str = "\
# the project's own
apiVersion: v1
kind: Secret
metadata:
    name: checkout-secrets
    labels:
        claude-manager.io/project: checkout
    annotations:
        count: 5
        weight: 1.50
        big: 12345678901
        right: true
        wrong: false
        nothing: null
        text: \"1e3\"
type: Opaque
data:
    # encoded
    git-known-hosts: aG9zdCBrZXkK
stringData:
    anthropic-api-key: sk-1 # from May
    code-server-password: \"\"
    git-ssh-private-key: |
        -----BEGIN-----
        Ä b
        -----END-----
    # the last one
    git-token: '1e3'
";

const VALUES: [(&str, &str); 5] = [
    ("anthropic-api-key", "sk-1"),
    ("code-server-password", ""),
    ("git-known-hosts", "host key\n"),
    ("git-ssh-private-key", "-----BEGIN-----\nÄ b\n-----END-----\n"),
    ("git-token", "1e3"),
];

#[test]
fn files_that_sops_wrote_are_read() {
    let Some(sops) = Sops::find() else { return };
    for arguments in [
        &["--encrypted-regex", "^(data|stringData)$"][..],
        &[],
        &["--mac-only-encrypted", "--encrypted-regex", "^(data|stringData)$"],
        &["--unencrypted-regex", "^(apiVersion|kind|metadata|type)$"],
        &["--encrypted-suffix", "Data"],
    ] {
        let suffix = arguments.first() == Some(&"--encrypted-suffix");
        let clear = if suffix { CLEAR.replace("\ndata:", "\nother:") } else { CLEAR.to_owned() };
        let text = sops.encrypt(&clear, arguments);
        let secret = decrypt(&text, std::slice::from_ref(&sops.identity))
            .unwrap_or_else(|e| panic!("{arguments:?}: {e}\n{text}"));
        let expected: Vec<_> = VALUES.into_iter().filter(|(key, _)| !suffix || *key != "git-known-hosts").collect();
        assert_eq!(values(&secret), expected, "{arguments:?}");
        assert_eq!(secret.name, "checkout-secrets");
        assert_eq!(secret.labels["claude-manager.io/project"], "checkout");
    }
}

#[test]
fn sops_reads_what_is_written_here() {
    let Some(sops) = Sops::find() else { return };
    let secret = Secret {
        name: "checkout-secrets".into(),
        labels: [("claude-manager.io/project".to_owned(), "checkout".to_owned())].into(),
        values: VALUES.map(|(key, value)| (key.to_owned(), SecretString::from(value))).into(),
        ..Secret::default()
    };
    let text = encrypt(&secret, &[sops.identity.recipient()], now()).unwrap();
    let read: serde_json::Value = serde_yaml::from_str(&sops.decrypt(&text)).unwrap();
    assert_eq!(read["kind"], "Secret");
    assert_eq!(read["metadata"]["labels"]["claude-manager.io/project"], "checkout");
    for (key, value) in VALUES {
        assert_eq!(read["stringData"][key], value, "{key}");
    }
}

#[test]
fn a_file_goes_to_and_fro_with_its_comments() {
    let Some(sops) = Sops::find() else { return };
    let identities = std::slice::from_ref(&sops.identity);
    let text = sops.encrypt(CLEAR, &["--encrypted-regex", "^(data|stringData)$"]);
    let change = [
        (SecretKey::GitKnownHosts, Some(SecretString::from("new host\n"))),
        (SecretKey::GitToken, None),
        (SecretKey::SudoPassword, Some(SecretString::from("yes: #"))),
    ];
    let merged = merge(Some(&text), &Secret::default(), &change.into(), identities, &[], now()).unwrap();
    let Merged::Written(text) = merged else { panic!("{merged:?}") };

    let clear = sops.decrypt(&text);
    let read: serde_json::Value = serde_yaml::from_str(&clear).unwrap();
    assert_eq!(read["stringData"]["sudo-password"], "yes: #");
    assert_eq!(read["data"]["git-known-hosts"], "bmV3IGhvc3QK", "a value stays in its field, encoded");
    assert_eq!(read["stringData"]["git-token"], serde_json::Value::Null);
    for comment in ["# the project's own", "# encoded", "# from May", "# the last one"] {
        assert!(clear.contains(comment), "{comment}\n{clear}");
    }

    let text = {
        sops.run(&text, &["set", "secret.yaml", "[\"stringData\"][\"git-token\"]", "\"back\""]);
        std::fs::read_to_string(sops.directory.path().join("secret.yaml")).unwrap()
    };
    let secret = decrypt(&text, identities).unwrap();
    assert!(values(&secret).contains(&("git-token", "back")) && values(&secret).contains(&("sudo-password", "yes: #")));
}

#[test]
fn sops_too_refuses_what_is_refused_here() {
    let Some(sops) = Sops::find() else { return };
    let text = sops.encrypt(CLEAR, &["--encrypted-regex", "^(data|stringData)$"]);
    let changed = text.replace("checkout-secrets", "other-secrets");
    assert!(decrypt(&changed, std::slice::from_ref(&sops.identity)).is_err());
    let file = sops.directory.path().join("secret.yaml");
    std::fs::write(&file, &changed).unwrap();
    let mut command = Command::new(&sops.program);
    command.env("SOPS_AGE_KEY_FILE", sops.directory.path().join("key.txt")).arg("--decrypt").arg(&file);
    assert!(!command.output().unwrap().status.success());
}
