use secrecy::ExposeSecret;

use super::*;

fn read(pairs: &[(&str, &str)]) -> Result<Settings, Vec<SettingError>> {
    Settings::from_vars(&pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

#[test]
fn with_nothing_set_everything_has_its_documented_default() {
    let settings = read(&[]).unwrap();
    assert_eq!(settings.namespace, "claude-manager");
    assert_eq!((settings.server.host.to_string().as_str(), settings.server.port), ("127.0.0.1", 3000));
    assert_eq!(settings.data_dir, PathBuf::from("./data"));
    assert_eq!(settings.log, LogSettings { format: LogFormat::Text, level: LogLevel::Info });
    assert_eq!(settings.defaults.workspace_size.as_str(), "20Gi");
    assert_eq!(settings.defaults.config_size.as_str(), "5Gi");
    assert_eq!(settings.defaults.storage_class, None);
    assert_eq!(settings.state.branch, "main");
    assert!(settings.server.metrics_open && settings.server.health_open);
}

#[test]
fn all_errors_come_at_once_and_name_variable_value_and_way_out() {
    let errors = read(&[("PORT", "http"), ("LOG_LEVEL", "loud"), ("DEFAULT_WORKSPACE_SIZE", "-1Gi")]).unwrap_err();
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "LOG_LEVEL: \"loud\" must be error, warn, info, debug or trace",
            "PORT: \"http\" must be a port number from 0 to 65535 (0 takes any free one)",
            "DEFAULT_WORKSPACE_SIZE: \"-1Gi\" must be more than nothing",
        ]
    );
}

#[test]
fn wrong_values_are_refused_by_this_table() {
    for (name, value) in [
        ("KUBERNETES_NAMESPACE", "Team_A"),
        ("LOG_LEVEL", "silly"),
        ("HOST", "everywhere"),
        ("PORT", "70000"),
        ("BASE_PATH", "claude"),
        ("BASE_PATH", "/a/../b"),
        ("BASE_PATH", "/a//b"),
        ("BASE_PATH", "/{id}"),
        ("PUBLIC_URL", "claude.example.com"),
        ("PUBLIC_URL", "https://user:secret@host"),
        ("FRONTEND_URL", "https://host/path"),
        ("FRONTEND_URL", "*"),
        ("ALLOWED_HOSTS", "a b"),
        ("METRICS_OPEN", "maybe"),
        ("JIRA_BASE_URL", "example.atlassian.net"),
        ("JIRA_EMAIL", "claude"),
        ("JIRA_REPOSITORY_FIELD", "a\nb"),
        ("AUTO_CREATE_PROJECTS", "sometimes"),
        ("DEFAULT_STORAGE_CLASS", "Fast SSD"),
        ("DEFAULT_CONFIG_SIZE", "5 Gi"),
        ("CLAUDE_DEV_IMAGE", "a b"),
        ("DEFAULT_GIT_ORG", "file:///etc"),
        ("DATABASE_URL", "mysql://host/x"),
        ("STATE_GIT_REPOSITORY", "ext::sh -c id"),
        ("STATE_GIT_REPOSITORY", "https://user:hunter2@host/x"),
        ("STATE_GIT_BRANCH", "-f"),
        ("STATE_GIT_POLL_SECONDS", "0"),
        ("BACKUP_GIT_REPOSITORY", "ext::sh -c id"),
        ("BACKUP_GIT_REPOSITORY", "https://user:hunter2@host/x"),
        ("BACKUP_GIT_BRANCH", "a..b"),
        ("BACKUP_INTERVAL_HOURS", "-1"),
        ("BACKUP_INTERVAL_HOURS", "9000"),
    ] {
        let errors = read(&[(name, value)]).unwrap_err();
        assert_eq!(errors.len(), 1, "{name}={value}");
        assert_eq!(errors[0].name, name);
    }
}

#[test]
fn right_values_are_normalised() {
    let settings = read(&[
        ("BASE_PATH", "/claude/"),
        ("PUBLIC_URL", "https://Claude.Example.com/claude/"),
        ("FRONTEND_URL", "http://localhost:5173/"),
        ("ALLOWED_HOSTS", "One.test, two.test"),
        ("HOST", "localhost"),
        ("NODE_ENV", "production"),
        ("LOG_LEVEL", "DEBUG"),
        ("PORT", " 8080 "),
        ("DEFAULT_STORAGE_CLASS", ""),
    ])
    .unwrap();
    assert_eq!(settings.server.base_path, "/claude");
    assert_eq!(settings.server.public_url.as_deref(), Some("https://claude.example.com/claude"));
    assert_eq!(settings.server.frontend_origin.as_deref(), Some("http://localhost:5173"));
    assert_eq!(settings.server.allowed_hosts, ["one.test", "two.test"]);
    assert_eq!(settings.server.port, 8080);
    assert_eq!(settings.log, LogSettings { format: LogFormat::Json, level: LogLevel::Debug });
    assert_eq!(settings.defaults.storage_class, None);
}

#[test]
fn a_default_organisation_completes_to_an_address() {
    for (value, prefix) in [
        ("acme", "https://github.com/acme/"),
        ("https://git.example/acme/", "https://git.example/acme/"),
        ("git@git.example:acme", "git@git.example:acme/"),
        ("git@git.example:", "git@git.example:"),
    ] {
        let settings = read(&[("DEFAULT_GIT_ORG", value)]).unwrap();
        assert_eq!(settings.defaults.git_prefix.as_deref(), Some(prefix), "{value}");
    }
}

#[test]
fn no_secret_is_in_an_error_or_in_debug_output() {
    let errors = read(&[("DATABASE_URL", "mysql://u:hunter2@host/x")]).unwrap_err();
    assert!(!format!("{errors:?}").contains("hunter2"));
    let settings = read(&[
        ("DATABASE_URL", "postgres://u:hunter2@host/x"),
        ("BACKUP_GIT_TOKEN", "hunter2"),
        ("JIRA_API_KEY", "hunter2"),
    ])
    .unwrap();
    assert!(!format!("{settings:?}").contains("hunter2"));
}

#[test]
fn what_was_given_is_known_with_its_value_unless_that_is_a_secret() {
    let vars = [("PORT", "3001"), ("ADMIN_TOKEN", "a-secret-of-at-least-32-characters"), ("HOST", ""), ("OTHER", "x")];
    let mut given = read(&vars).unwrap().given;
    given.mark(Origin::DotEnv, |name| name == "PORT");
    let told = |name: &str| given.get(name).map(|given| (given.value.clone(), given.origin));
    assert_eq!(told("PORT"), Some((Some("3001".to_owned()), Origin::DotEnv)));
    assert_eq!(told("ADMIN_TOKEN"), Some((None, Origin::Environment)));
    assert_eq!((told("HOST"), told("OTHER")), (None, None));
}

#[test]
fn a_secret_comes_from_its_variable_or_else_from_its_file() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("backup-git-token"), "from-file\n").unwrap();
    std::fs::write(directory.path().join("default-anthropic-api-key"), "from-file").unwrap();
    let path = directory.path().to_str().unwrap();
    let mut secrets = read(&[("SECRETS_DIR", path), ("BACKUP_GIT_TOKEN", "from-variable")]).unwrap().secrets;

    secrets.read_directory().unwrap();

    assert!(secrets.is_from_file("DEFAULT_ANTHROPIC_API_KEY") && !secrets.is_from_file("BACKUP_GIT_TOKEN"));
    assert_eq!(secrets.git_token.unwrap().expose_secret(), "from-variable");
    assert_eq!(secrets.default_anthropic_api_key.unwrap().expose_secret(), "from-file");
    assert!(secrets.git_ssh_private_key.is_none());
}

#[test]
fn age_identities_come_from_the_variable_or_else_from_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("age.key");
    let path = file.to_str().unwrap();
    let identities = |pairs: &[(&str, &str)]| read(pairs).unwrap().secrets.age_identities();
    assert!(identities(&[]).unwrap().is_none());
    let error = identities(&[("SOPS_AGE_KEY_FILE", path)]).unwrap_err().to_string();
    assert!(error.contains("age.key is missing or empty"), "{error}");
    std::fs::write(&file, "AGE-SECRET-KEY-FILE\n").unwrap();
    let from_file = identities(&[("SOPS_AGE_KEY_FILE", path)]).unwrap().unwrap();
    assert_eq!(from_file.expose_secret(), "AGE-SECRET-KEY-FILE");
    let both = identities(&[("SOPS_AGE_KEY", "AGE-SECRET-KEY-VAR"), ("SOPS_AGE_KEY_FILE", path)]).unwrap().unwrap();
    assert_eq!(both.expose_secret(), "AGE-SECRET-KEY-VAR");
}

#[test]
fn the_table_of_settings_is_what_the_code_reads() {
    let source = include_str!("../config.rs");
    let mut read: Vec<&str> = source
        .lines()
        .filter_map(|line| line.split_once("reader."))
        .filter_map(|(_, call)| call.split('"').nth(1))
        .collect();
    let mut listed: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
    read.sort_unstable();
    listed.sort_unstable();
    assert_eq!(read, listed);
    for setting in SETTINGS.iter().filter(|setting| !setting.default.is_empty()) {
        let call = format!("(\"{}\", \"{}\"", setting.name, setting.default);
        assert!(source.contains(&call), "{} has another default in the code", setting.name);
    }
}

#[test]
fn the_example_file_lists_every_setting() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/.env.example");
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(file, env_example()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), env_example(), "run again with UPDATE_EXPECTED=1");
}

#[test]
fn the_example_file_is_read_as_it_stands_once_its_lines_are_uncommented() {
    let example = env_example();
    let lines = example.lines().filter_map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')));
    let text = lines.fold(String::new(), |text, line| format!("{text}{line}\n"));
    let vars: BTreeMap<String, String> = dotenvy::from_read_iter(text.as_bytes()).map(Result::unwrap).collect();
    assert_eq!(vars.len(), SETTINGS.len());
    let settings = Settings::from_vars(&vars).unwrap();
    assert!(settings.secrets.git_ssh_private_key.unwrap().expose_secret().contains("KEY-----\n"));
}
