//! What a push may not bring, by the real hook: each kind is refused with the place and the way out, and nothing of it stays.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::change::{Fixture, create};
use crate::git::{git, try_git};

/// Runs git with `input`, and gives what it prints.
fn git_reading(directory: &Path, input: &[u8], arguments: &[&str]) -> String {
    let mut child = Command::new("git")
        .args(arguments)
        .current_dir(directory)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "git {arguments:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

struct Pushing {
    fixture: Fixture,
    clone: PathBuf,
}

impl Pushing {
    async fn start() -> Self {
        let fixture = Fixture::new();
        fixture.submit(create("one")).await.unwrap();
        fixture.install_hook();
        let clone = fixture.clone_state("clone");
        Self { fixture, clone }
    }

    /// Commits the head's tree with one more entry at its top, by its mode and name, as no work tree could have it.
    fn commit_entry(&self, mode: &str, name: &[u8], content: &[u8]) -> String {
        let object = match mode {
            "040000" => git_reading(&self.clone, content, &["mktree", "-z"]),
            _ => git_reading(&self.clone, content, &["hash-object", "-w", "--stdin"]),
        };
        let kind = if mode == "040000" { "tree" } else { "blob" };
        let mut listing = git(&self.clone, &["ls-tree", "-z", "HEAD"]).into_bytes();
        listing.extend(format!("{mode} {kind} {object}\t").into_bytes());
        listing.extend(name);
        listing.push(0);
        let tree = git_reading(&self.clone, &listing, &["mktree", "-z"]);
        git(&self.clone, &["commit-tree", &tree, "-p", "HEAD", "-m", "an entry"]).trim().to_owned()
    }

    /// Pushes, and expects a refusal with these words.
    fn refused(&self, commit: &str, words: &[&str]) {
        let head = self.fixture.head();
        for branch in ["main", "refs/heads/side"] {
            let (taken, said) = try_git(&self.clone, &["push", "origin", &format!("{commit}:{branch}")]);
            assert!(!taken, "{branch} took it: {words:?}");
            for word in words {
                assert!(said.contains(word), "{branch}: {word}: {said}");
            }
        }
        assert_eq!(self.fixture.head(), head);
        assert_eq!(git(&self.fixture.path(), &["for-each-ref", "refs/heads/side"]), "");
    }

    fn taken(&self, commit: &str) {
        let (taken, said) = try_git(&self.clone, &["push", "origin", &format!("{commit}:refs/heads/fine")]);
        assert!(taken, "{said}");
    }
}

#[tokio::test]
async fn names_that_spoil_clones_are_refused() {
    let pushing = Pushing::start().await;
    let long = "x".repeat(256);
    let inner = |name: &str| {
        let blob = git_reading(&pushing.clone, b"x", &["hash-object", "-w", "--stdin"]);
        format!("100644 blob {blob}\t{name}\0").into_bytes()
    };
    for (mode, name, content, words) in [
        ("100644", long.as_bytes(), b"x".to_vec(), "256 bytes"),
        ("100644", b"line\nbreak", b"x".to_vec(), "line break"),
        ("100644", b"bell\x07", b"x".to_vec(), "control character"),
        ("100644", b"back\\slash", b"x".to_vec(), "backslash"),
        ("100644", b"\xff\xfe", b"x".to_vec(), "no UTF-8"),
        ("100644", b"readme.md", b"x".to_vec(), "upper and lower case"),
        ("040000", b"Projects", inner("a"), "upper and lower case"),
        ("120000", b"link", b"/etc/passwd".to_vec(), "outside of the repository"),
        ("120000", b"link", b"../other".to_vec(), "outside of the repository"),
        ("100644", b".gitattributes", b"*.yaml filter=lfs\n".to_vec(), "sets filter=lfs"),
        ("100644", b".GitAttributes", b"* working-tree-encoding=UTF-16\n".to_vec(), "working-tree-encoding"),
    ] {
        let commit = pushing.commit_entry(mode, name, &content);
        pushing.refused(&commit, &[words, " in commit "]);
    }
    // Git's own check of objects knows these.
    for name in ["git~1", ".g\u{200c}it"] {
        pushing.refused(&pushing.commit_entry("040000", name.as_bytes(), &inner("config")), &["git"]);
    }
    // Refused in a commit that a later one mends, too.
    let bad = pushing.commit_entry("100644", long.as_bytes(), b"x");
    let tree = git(&pushing.clone, &["rev-parse", "HEAD^{tree}"]);
    let mended = git(&pushing.clone, &["commit-tree", tree.trim(), "-p", &bad, "-m", "mended"]);
    pushing.refused(mended.trim(), &["256 bytes"]);

    for (mode, name, content) in [
        ("100644", "übung: notes.md".as_bytes(), b"x".to_vec()),
        ("040000", b".github", inner("CODEOWNERS")),
        ("120000", b"link", b"base/service.yaml".to_vec()),
        ("100644", b".gitattributes", b"* text=auto\n*.png -filter\n".to_vec()),
    ] {
        pushing.taken(&pushing.commit_entry(mode, name, &content));
        git(&pushing.fixture.path(), &["update-ref", "-d", "refs/heads/fine"]);
    }
}

#[tokio::test]
async fn only_branches_and_tags_can_be_pushed() {
    let pushing = Pushing::start().await;
    let head = pushing.fixture.head().to_string();
    for (name, words) in [
        (format!("refs/replace/{head}"), "neither a branch nor a tag"),
        ("refs/notes/commits".to_owned(), "neither a branch nor a tag"),
        ("refs/changes/1".to_owned(), "neither a branch nor a tag"),
        ("refs/heads/HEAD".to_owned(), "taken for something else"),
        ("refs/tags/HEAD".to_owned(), "taken for something else"),
        (format!("refs/heads/{head}"), "taken for something else"),
        ("refs/heads/refs/heads/main".to_owned(), "taken for something else"),
    ] {
        let (taken, said) = try_git(&pushing.clone, &["push", "origin", &format!("HEAD:{name}")]);
        assert!(!taken && said.contains(words), "{name}: {said}");
    }
    for name in ["refs/heads/ana/work", "refs/tags/v1"] {
        let (taken, said) = try_git(&pushing.clone, &["push", "origin", &format!("HEAD:{name}")]);
        assert!(taken, "{said}");
    }
    // What came before there was a check can be cleaned up.
    git(&pushing.fixture.path(), &["update-ref", "refs/notes/commits", &head]);
    let (taken, said) = try_git(&pushing.clone, &["push", "origin", ":refs/notes/commits"]);
    assert!(taken, "{said}");
}

/// A body that is put together here, so that no scanner takes this file for a leak.
fn body(length: usize) -> String {
    "aB3dE6gH9kL2mN5pQ8sT1vX4zA7cF0jR".chars().cycle().take(length).collect()
}

#[tokio::test]
async fn a_secret_in_clear_is_refused_in_any_file_and_any_writing() {
    let pushing = Pushing::start().await;
    let utf16 = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let secret = "kind: Secret\napiVersion: v1\nmetadata: {name: x}\nstringData: {a: hunter2}\n";
    let key = format!("-----BEGIN {}PRIVATE KEY-----\n{}\n-----END", "RSA ", body(64));
    let sealed = "ENC[AES256_GCM,data:hunter2,iv:x,tag:x,type:str]";
    for (name, content, words) in [
        ("x.json", br#"{"kind": "\u0053ecret", "stringData": {"a": "hunter2"}}"#.to_vec(), "in clear"),
        ("x.yaml", b"\"k\\x69nd\": Secret\ndata: {a: aHVudGVyMg==}\n".to_vec(), "in clear"),
        ("x.yaml", utf16(secret), "in clear"),
        ("x.txt", secret.as_bytes().to_vec(), "in clear"),
        ("x.yaml", format!("kind: Secret\nstringData: {{a: '{sealed}'}}\n").into_bytes(), "in clear"),
        ("x.yaml", format!("template: |\n  {}\n", secret.replace('\n', "\n  ")).into_bytes(), "in clear"),
        ("id_rsa", key.clone().into_bytes(), "a private key"),
        ("x.json", format!("{{\"key\": \"{}\"}}", key.replace('\n', "\\n")).into_bytes(), "a private key"),
        ("x.txt", utf16(&key), "a private key"),
        ("age.key", format!("AGE-SECRET-KEY-1{}\n", body(58).to_uppercase()).into_bytes(), "an age private key"),
        ("notes.md", format!("ghp_{}\n", body(36)).into_bytes(), "a GitHub token"),
        ("notes.md", format!("glpat-{}\n", body(20)).into_bytes(), "a GitLab token"),
        ("notes.md", format!("ATBB{}\n", body(32)).into_bytes(), "a Bitbucket app password"),
        (".env", format!("ANTHROPIC_API_KEY=sk-ant-api03-{}\n", body(60)).into_bytes(), "an Anthropic key"),
        (".env", format!("AKIA{}\n", "QWERTYUIOPASDFGH").into_bytes(), "an AWS access key"),
        ("x.yaml", format!("url: https://ana:{}@git.example/x\n", body(16)).into_bytes(), "a password in an address"),
        ("x.yaml", format!("url: https://git.example/x?token={}\n", body(16)).into_bytes(), "a token in an address"),
        ("secrets.sops.yaml", b"garbage\n".to_vec(), "the file is not encrypted"),
        ("secrets.sops.yaml", b"a: [\n".to_vec(), "no YAML"),
        (
            "secrets.sops.yaml",
            format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: claude-defaults}}\nstringData: {{a: '{sealed}'}}\nsops:\n  encrypted_regex: ^(data|stringData)$\n  lastmodified: x\n  mac: x\n").into_bytes(),
            "stringData.a is in clear",
        ),
    ] {
        let commit = pushing.commit_entry("100644", name.as_bytes(), &content);
        pushing.refused(&commit, &[words, &format!("{name} in commit ")]);
    }
    for (name, content) in [
        ("NOTES.md", "Set `https://user:password@host`, or -----BEGIN PRIVATE KEY----- …\n".to_owned()),
        ("NOTES.md", format!("ghp_{} # gitleaks:allow\n", body(36))),
        ("x.yaml", "kind: Secret\nmetadata: {name: x}\nstringData: {}\n".to_owned()),
    ] {
        pushing.taken(&pushing.commit_entry("100644", name.as_bytes(), content.as_bytes()));
        git(&pushing.fixture.path(), &["update-ref", "-d", "refs/heads/fine"]);
    }
}

#[tokio::test]
async fn a_write_through_the_api_puts_no_token_into_git() {
    let fixture = Fixture::new();
    fixture.submit(create("one")).await.unwrap();
    let head = fixture.head();
    let error = fixture.submit(crate::change::rename("one", &format!("ghp_{}", body(36)))).await.unwrap_err();
    assert!(error.to_string().contains("looks like a GitHub token"), "{error}");
    assert_eq!(fixture.head(), head);
}
