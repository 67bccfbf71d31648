use secrecy::ExposeSecret;
use serde_json::json;

use super::*;
use crate::config::Settings;
use crate::project::{Quantity, Storage};

fn defaults() -> ProjectDefaults {
    let vars = [("DEFAULT_GIT_ORG", "https://git.example/team"), ("DEFAULT_STORAGE_CLASS", "fast-ssd")];
    Settings::from_vars(&vars.map(|(name, value)| (name.to_owned(), value.to_owned())).into()).unwrap().defaults
}

fn minimal() -> Value {
    json!({ "name": "Checkout", "shortName": "checkout", "gitRepository": "https://git.example/team/checkout.git" })
}

/// The minimal body with one field set.
fn with(field: &str, value: Value) -> Value {
    let mut body = minimal();
    body[field] = value;
    body
}

fn created(body: &Value) -> Result<NewProject, Vec<String>> {
    create(body.to_string().as_bytes(), &defaults(), "2026-11-24T03:00:00Z".to_owned())
        .map_err(|problem| lines(&problem))
}

fn changed(body: &Value) -> Result<ProjectChange, Vec<String>> {
    let spec = ProjectSpec {
        short_name: ProjectName::parse("checkout").unwrap(),
        name: "Checkout".to_owned(),
        git_repository: "https://git.example/team/checkout.git".to_owned(),
        git_branch: None,
        replicas: 1,
        resources: Resources::default(),
        storage: Storage { size: None, storage_class: Some("fast-ssd".to_owned()) },
        image: "claude-dev-env:latest".to_owned(),
        jira_issue: None,
        suspended: None,
        created_at: None,
    };
    change(body.to_string().as_bytes(), &defaults(), &spec.short_name, Some(&spec)).map_err(|problem| lines(&problem))
}

/// `field: message` for each error.
fn lines(problem: &Problem) -> Vec<String> {
    let body: Value = serde_json::from_slice(&problem.body("id", "/")).unwrap();
    assert_eq!(body["status"], 400);
    let errors = body["errors"].as_array().unwrap();
    errors.iter().map(|e| format!("{}: {}", e["field"].as_str().unwrap(), e["message"].as_str().unwrap())).collect()
}

/// The fields that are wrong in `body`.
fn wrong(body: &Value) -> Vec<String> {
    let fields = |errors: Vec<String>| errors.iter().map(|line| line.split(':').next().unwrap().to_owned()).collect();
    fields(created(body).expect_err(&body.to_string()))
}

fn size(text: &str) -> Quantity {
    Quantity::parse(text).unwrap()
}

const KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk=\n-----END OPENSSH PRIVATE KEY-----";

#[test]
fn three_fields_make_a_project_and_defaults_the_rest() {
    let new = created(&minimal()).unwrap();
    assert_eq!(new.short_name.as_str(), "checkout");
    assert_eq!(new.image.name, "claude-dev-env");
    assert_eq!((new.workspace_size, new.config_size), (size("20Gi"), size("5Gi")));
    assert_eq!(new.storage_class.as_deref(), Some("fast-ssd"));
    assert_eq!(new.resources, Resources::default());
    assert!(new.secrets.is_empty());
}

#[test]
fn every_field_arrives_where_it_belongs() {
    let new = created(&json!({
        "name": " Checkout & Co ",
        "shortName": "checkout",
        "gitRepository": "checkout",
        "gitBranch": "feature/x",
        "gitCredentials": { "sshPrivateKey": KEY.replace('\n', "\r\n"), "knownHosts": "git.example ssh-ed25519 AAAA" },
        "anthropicApiKey": "sk-ant-1",
        "anthropicAuthToken": "token",
        "anthropicBaseUrl": "https://gateway.example/v1",
        "claudeCodeOauthToken": "oauth",
        "codeServerPassword": "pass word",
        "sudoPassword": "ünicode",
        "resources": { "cpu": "500m", "memory": "2Gi" },
        "storage": { "size": "50Gi", "storageClass": "slow" },
        "image": "host:5000/dev:1.2",
        "jiraIssue": "ABC-12",
    }))
    .unwrap();
    assert_eq!(new.name, "Checkout & Co");
    assert_eq!(new.git_repository.as_str(), "https://git.example/team/checkout.git");
    assert_eq!(new.git_branch.as_deref(), Some("feature/x"));
    assert_eq!((new.resources.cpu, new.resources.memory), (Some(size("500m")), Some(size("2Gi"))));
    assert_eq!((new.workspace_size, new.storage_class.as_deref()), (size("50Gi"), Some("slow")));
    assert_eq!((new.image.name.as_str(), new.image.tag.as_deref()), ("host:5000/dev", Some("1.2")));
    assert_eq!(new.jira_issue.as_deref(), Some("ABC-12"));
    let secret = |key| new.secrets[&key].as_ref().unwrap().expose_secret().to_owned();
    assert_eq!(secret(SecretKey::GitSshPrivateKey), format!("{KEY}\n"), "Unix line ends, and one at the end");
    assert_eq!(secret(SecretKey::GitKnownHosts), "git.example ssh-ed25519 AAAA\n");
    assert_eq!(secret(SecretKey::AnthropicApiKey), "sk-ant-1");
    assert_eq!(secret(SecretKey::AnthropicAuthToken), "token");
    assert_eq!(secret(SecretKey::AnthropicBaseUrl), "https://gateway.example/v1");
    assert_eq!(secret(SecretKey::ClaudeCodeOauthToken), "oauth");
    assert_eq!(secret(SecretKey::CodeServerPassword), "pass word");
    assert_eq!(secret(SecretKey::SudoPassword), "ünicode");
    assert_eq!(new.secrets.len(), 8);
}

#[test]
fn all_that_is_wrong_is_said_at_once_under_the_path_of_its_field() {
    let errors = created(&json!({
        "shortName": "Check_Out",
        "gitRepository": 7,
        "gitCredentials": { "tokn": "x" },
        "resources": { "cpu": "0", "memory": 4 },
        "storage": [],
        "color": "red",
    }))
    .unwrap_err();
    assert_eq!(
        errors,
        [
            "shortName: must be lower-case letters, digits and '-', start with a letter and not end with '-'",
            "name: is required",
            "gitRepository: must be a string, not a number",
            "resources.cpu: must be from 1m to 1024 cores",
            "resources.memory: must be a string, not a number",
            "storage: must be an object, not an array",
            "gitCredentials.tokn: is not known here; the fields are knownHosts, sshPrivateKey, token",
            "color: is not known here; the fields are anthropicApiKey, anthropicAuthToken, anthropicBaseUrl, \
             claudeCodeOauthToken, codeServerPassword, gitBranch, gitCredentials, gitRepository, image, jiraIssue, name, \
             resources, shortName, storage, sudoPassword",
        ]
    );
}

#[test]
fn wrong_values_are_refused_by_this_table() {
    for (field, values) in [
        (
            "name",
            vec![
                json!(""),
                json!("  "),
                json!("a\nb"),
                json!("x".repeat(101)),
                json!(null),
                json!(["a"]),
                json!("a\u{0}"),
            ],
        ),
        ("shortName", vec![json!(""), json!("-a"), json!("a.b"), json!("a".repeat(41)), json!("../a"), json!(true)]),
        (
            "gitRepository",
            vec![
                json!("file:///etc/passwd"),
                json!("https://user:pass@host/x"),
                json!("--upload-pack=x"),
                json!("ext::sh"),
                json!("team/app"),
                json!(""),
                json!("https://host/a b"),
            ],
        ),
        (
            "gitBranch",
            vec![json!(""), json!("-f"), json!("a..b"), json!("a b"), json!("a.lock"), json!("/a"), json!("a~1")],
        ),
        ("image", vec![json!(""), json!("a b"), json!(":tag"), json!(1)]),
        ("jiraIssue", vec![json!("abc-1"), json!("ABC"), json!("ABC-"), json!("ABC-1x")]),
        (
            "anthropicApiKey",
            vec![json!(""), json!("a b"), json!("key\n"), json!("k".repeat(65_537)), json!(1), json!({})],
        ),
        ("anthropicBaseUrl", vec![json!("gateway"), json!("ftp://x/"), json!("https://u:p@x/"), json!("https://")]),
        ("codeServerPassword", vec![json!(""), json!("a\nb"), json!(1234)]),
        ("sudoPassword", vec![json!("x\r"), json!([])]),
    ] {
        for value in values {
            assert_eq!(wrong(&with(field, value.clone())), [field], "{field} = {value}");
        }
    }
    for (parent, field, values) in [
        ("resources", "cpu", vec!["", "-1", "0", "0.0001", "1e9", "two", "1025", "1 ", "2cores"]),
        ("resources", "memory", vec!["0", "-1Gi", "4", "1Gb", "65Ti", "99999999999999999999Ei"]),
        ("storage", "size", vec!["0", "20", "-20Gi", "2Pi", "20GiB", "0000000000000000000000000000000020Gi"]),
        ("storage", "storageClass", vec!["", "Fast SSD", "a..b", "-a"]),
        ("gitCredentials", "token", vec!["", "a b", "token\n"]),
        ("gitCredentials", "sshPrivateKey", vec!["key", "-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----"]),
        ("gitCredentials", "knownHosts", vec!["", "host", "# only a comment"]),
    ] {
        for value in values {
            let body = with(parent, json!({ field: value }));
            assert_eq!(wrong(&body), [format!("{parent}.{field}")], "{value}");
        }
    }
}

#[test]
fn keys_that_nobody_could_use_are_refused() {
    let encrypted = KEY.replace("OPENSSH", "ENCRYPTED");
    let errors = created(&with("gitCredentials", json!({ "sshPrivateKey": encrypted }))).unwrap_err();
    assert!(errors[0].contains("without a passphrase"), "{errors:?}");
    let both = json!({ "token": "t", "sshPrivateKey": KEY });
    assert_eq!(wrong(&with("gitCredentials", both)), ["gitCredentials.sshPrivateKey"]);
}

#[test]
fn no_error_repeats_a_secret() {
    let secret = "hunter2 \u{1}";
    let body = json!({
        "anthropicApiKey": secret, "anthropicAuthToken": secret, "anthropicBaseUrl": secret,
        "claudeCodeOauthToken": secret, "codeServerPassword": secret, "sudoPassword": secret,
        "gitCredentials": { "sshPrivateKey": secret, "knownHosts": secret },
    });
    let errors = created(&body).unwrap_err();
    assert_eq!(errors.len(), 3 + 8, "{errors:?}");
    assert!(errors.iter().all(|line| !line.contains("hunter2")), "{errors:?}");
}

#[test]
fn bodies_that_are_no_object_are_refused() {
    for (text, expected) in [
        ("", "the body is not JSON"),
        ("{\"name\":", "the body is not JSON"),
        ("[]", "not an array"),
        ("null", "not null"),
        ("\"x\"", "not a string"),
    ] {
        let problem = create(text.as_bytes(), &defaults(), String::new()).unwrap_err();
        let errors = lines(&problem);
        assert!(errors[0].contains(expected), "{text}: {errors:?}");
    }
    let twice = br#"{"name":"a","name":"b","shortName":"a","gitRepository":"a"}"#;
    assert_eq!(lines(&create(twice, &defaults(), String::new()).unwrap_err()), ["name: is given twice"]);
}

#[test]
fn a_bare_repository_name_needs_an_organisation() {
    let mut defaults = defaults();
    defaults.git_prefix = None;
    let body = with("gitRepository", json!("checkout"));
    let problem = create(body.to_string().as_bytes(), &defaults, String::new()).unwrap_err();
    assert!(lines(&problem)[0].contains("DEFAULT_GIT_ORG"));
}

#[test]
fn a_change_touches_only_the_fields_that_are_given() {
    let change = changed(&json!({ "name": "New" })).unwrap();
    assert_eq!(change.name.as_deref(), Some("New"));
    assert!(change.git_repository.is_none() && change.image.is_none() && change.workspace_size.is_none());
    assert!(change.git_branch.is_none() && change.jira_issue.is_none() && change.secrets.is_empty());
    assert!(changed(&json!({})).is_ok());
}

#[test]
fn null_removes_what_can_be_removed() {
    let change = changed(&json!({
        "gitBranch": null, "jiraIssue": null, "anthropicApiKey": null, "gitCredentials": { "token": null },
    }))
    .unwrap();
    assert_eq!((change.git_branch, change.jira_issue), (Some(None), Some(None)));
    let removed: Vec<_> = change.secrets.iter().map(|(key, value)| (*key, value.is_none())).collect();
    assert_eq!(removed, [(SecretKey::AnthropicApiKey, true), (SecretKey::GitToken, true)]);
    assert_eq!(changed(&json!({ "gitCredentials": null })).unwrap().secrets.len(), 3);

    for (body, field) in [
        (json!({ "name": null }), "name"),
        (json!({ "gitRepository": null }), "gitRepository"),
        (json!({ "image": null }), "image"),
        (json!({ "resources": null }), "resources"),
        (json!({ "resources": { "cpu": null } }), "resources.cpu"),
        (json!({ "storage": { "size": null } }), "storage.size"),
        (json!({ "shortName": null }), "shortName"),
    ] {
        let errors = changed(&body).unwrap_err();
        assert!(errors.len() == 1 && errors[0].starts_with(&format!("{field}: cannot be removed")), "{errors:?}");
    }
}

#[test]
fn a_token_can_be_replaced_by_a_key_in_one_change() {
    let change = changed(&json!({ "gitCredentials": { "token": null, "sshPrivateKey": KEY } })).unwrap();
    assert!(change.secrets[&SecretKey::GitToken].is_none() && change.secrets[&SecretKey::GitSshPrivateKey].is_some());
}

#[test]
fn id_and_storage_class_are_fixed_but_may_be_repeated() {
    assert!(changed(&json!({ "shortName": "checkout", "storage": { "storageClass": "fast-ssd" } })).is_ok());
    let errors = changed(&json!({ "shortName": "other", "storage": { "storageClass": "slow" } })).unwrap_err();
    assert_eq!(errors.len(), 2);
    assert!(errors[0].starts_with("shortName: cannot be changed"));
    assert!(errors[1].starts_with("storage.storageClass: cannot be changed"));
    assert!(changed(&json!({ "storage": { "storageClass": null } })).is_err());
}
