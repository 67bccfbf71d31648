//! `doctor`: what is well is said, and what is not comes with what to do.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::control_plane::ControlPlane;
use crate::manager::{Manager, git_ok};

/// What the doctor says, and whether it is content.
fn doctor(manager: &Manager, more: &[(&str, &str)]) -> (String, bool) {
    let output = manager.command(&["doctor"]).envs(more.iter().copied()).output().expect("the program");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.stderr.is_empty(), "{output:?}");
    (told, output.status.success())
}

/// The line of a subject with its hint.
fn about<'a>(told: &'a str, subject: &str) -> Vec<&'a str> {
    let mut lines = told.lines().skip_while(|line| line.get(6..).is_none_or(|rest| !rest.starts_with(subject)));
    let first = lines.next().unwrap_or_else(|| panic!("nothing about {subject}:\n{told}"));
    std::iter::once(first).chain(lines.take_while(|line| line.starts_with(' '))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_is_well_beside_a_running_manager_and_nothing_is_changed() {
    let manager = Manager::embedded();
    let body =
        json!({"name": "x", "shortName": "shop", "gitRepository": "https://h/x", "anthropicApiKey": "sk-ant-secret"});
    manager.expect("POST", "/api/projects", Some(body), 201).await;
    let (told, content) = doctor(&manager, &[]);
    assert!(content, "{told}");
    assert!(about(&told, "data directory")[0].contains("in use by a running manager"), "{told}");
    assert!(about(&told, "overlays")[0].contains("all build"), "{told}");
    assert!(about(&told, "cluster")[0].contains("embedded"), "{told}");
    assert!(about(&told, "git")[0].starts_with("ok"), "{told}");
    assert!(!told.contains("sk-ant-secret"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_on_this_machine_and_in_git_is_said_with_what_to_do() {
    let mut manager = Manager::embedded();
    let body = json!({"name": "x", "shortName": "shop", "gitRepository": "https://h/x", "anthropicApiKey": "k"});
    manager.expect("POST", "/api/projects", Some(body), 201).await;
    manager.kill();

    let (told, content) = doctor(&manager, &[("KUBERNETES_NAMESPACE", "elsewhere")]);
    assert!(!content, "{told}");
    let said = about(&told, "root namespace").join("\n");
    assert!(
        said.starts_with("FAIL") && said.contains("elsewhere") && said.contains("KUBERNETES_NAMESPACE=claude-manager"),
        "{said}"
    );

    let (told, content) = doctor(&manager, &[("PORT", "many")]);
    assert!(!content && about(&told, "settings").join("\n").contains("PORT"), "{told}");

    let (told, content) = doctor(&manager, &[("DATABASE_URL", "postgres://nobody:hidden-word@127.0.0.1:1/none")]);
    assert!(!content && about(&told, "database")[0].starts_with("FAIL"), "{told}");
    assert!(!told.contains("hidden-word"), "{told}");

    let (told, content) = doctor(&manager, &[("STATE_GIT_REPOSITORY", "/nowhere/state.git")]);
    assert!(!content && about(&told, "remote")[0].contains("/nowhere/state.git"), "{told}");

    // Another key than the one that the secrets are for.
    fs::remove_file(manager.data().join("age.key")).expect("the key");
    let (told, content) = doctor(&manager, &[]);
    assert!(!content && about(&told, "overlays").join("\n").contains("projects/shop"), "{told}");

    fs::set_permissions(manager.data(), fs::Permissions::from_mode(0o755)).expect("opened");
    let (told, _) = doctor(&manager, &[]);
    let said = about(&told, "data directory").join("\n");
    assert!(said.starts_with("WARN") && said.contains("chmod 700"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overlay_that_does_not_build_is_named_and_the_others_are_not() {
    let manager = Manager::embedded();
    for name in ["good", "bad"] {
        let body = json!({"name": "x", "shortName": name, "gitRepository": "https://h/x"});
        manager.expect("POST", "/api/projects", Some(body), 201).await;
    }
    fs::remove_file(manager.data().join("state.git/hooks/pre-receive")).expect("the hook");
    let clone = manager.clone_state("clone");
    let overlay = clone.join("projects/bad/kustomization.yaml");
    let text = fs::read_to_string(&overlay).expect("the overlay");
    fs::write(&overlay, text.replace("../../base", "../../basement")).expect("written");
    git_ok(&clone, &["commit", "-qam", "a typing error"]);
    git_ok(&clone, &["push", "-q"]);
    let (told, content) = doctor(&manager, &[]);
    let said = about(&told, "overlays").join("\n");
    assert!(!content && said.contains("projects/bad") && said.contains("basement"), "{told}");
    assert!(!told.contains("projects/good"), "{told}");
}

#[test]
fn on_a_real_cluster_rights_namespace_classes_and_clock_are_looked_at() {
    let Some(cluster) = ControlPlane::get() else { return };
    let namespace = cluster.namespace("doctor");
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let manager = Manager::start(&[("KUBECONFIG", &kubeconfig), ("KUBERNETES_NAMESPACE", &namespace)]);
    let (told, content) = doctor(&manager, &[]);
    assert!(content, "{told}");
    for subject in ["cluster", "clock", "namespace", "permissions"] {
        assert!(about(&told, subject)[0].starts_with("ok"), "{subject}:\n{told}");
    }

    // Somebody without rights.
    let text = fs::read_to_string(cluster.kubeconfig()).expect("the kubeconfig");
    let mut config: serde_yaml::Value = serde_yaml::from_str(&text).expect("YAML");
    for user in config["users"].as_sequence_mut().expect("users") {
        user["user"]["as"] = "system:serviceaccount:nowhere:nobody".into();
    }
    let nobody = manager.beside("nobody");
    fs::write(&nobody, serde_yaml::to_string(&config).expect("YAML")).expect("written");
    let (told, content) = doctor(&manager, &[("KUBECONFIG", &nobody.display().to_string())]);
    let said = about(&told, "permissions").join("\n");
    assert!(!content && said.contains("statefulsets.apps: get, list, watch, create, patch, delete"), "{told}");
    assert!(said.contains("bind a Role"), "{said}");

    let (told, content) = doctor(&manager, &[("KUBERNETES_NAMESPACE", "no-such-namespace")]);
    assert!(!content && about(&told, "namespace").join("\n").contains("kubectl create namespace"), "{told}");

    let (told, content) = doctor(&manager, &[("DEFAULT_STORAGE_CLASS", "no-such-class")]);
    assert!(!content && about(&told, "storage class")[0].contains("no-such-class"), "{told}");
}

/// A server that says this version and this time, and lets nobody do anything; the kubeconfig for it.
async fn api_server(manager: &Manager, version: (&'static str, &'static str), clock: jiff::Timestamp) -> String {
    let date = clock.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let answer = move |request: axum::extract::Request| {
        let date = date.clone();
        async move {
            let (code, body) = match request.uri().path() {
                "/version" => {
                    let text = format!("v{}.{}.3", version.0, version.1);
                    (200, json!({"major": version.0, "minor": format!("{}+", version.1), "gitVersion": text}))
                }
                _ => (403, json!({"kind": "Status", "code": 403, "reason": "Forbidden", "message": "is forbidden"})),
            };
            axum::http::Response::builder()
                .status(code)
                .header("date", date)
                .header("content-type", "application/json")
                .body(axum::body::Body::from(body.to_string()))
                .expect("an answer")
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let file = manager.beside(&format!("kubeconfig-{}", address.port()));
    let config = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: 'http://{address}'}}}}]\n\
         users: [{{name: u, user: {{}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n"
    );
    fs::write(&file, config).expect("written");
    file.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_api_server_and_clocks_that_differ_are_said_with_what_to_do() {
    let manager = Manager::embedded();
    let now = jiff::Timestamp::now();
    let hours = |hours: i64| now + jiff::SignedDuration::from_hours(hours);
    for (version, clock, cluster, skew) in [
        (("1", "26"), hours(0), "WARN", "ok"),
        (("1", "27"), hours(2), "ok", "FAIL"),
        (("2", "0"), hours(-2), "ok", "FAIL"),
        (("0", "99"), hours(0), "WARN", "ok"),
    ] {
        let kubeconfig = api_server(&manager, version, clock).await;
        let (told, _) = tokio::task::block_in_place(|| doctor(&manager, &[("KUBECONFIG", &kubeconfig)]));
        let said = about(&told, "cluster").join("\n");
        assert!(
            said.starts_with(cluster) && said.contains(&format!("Kubernetes v{}.{}.3", version.0, version.1)),
            "{told}"
        );
        assert_eq!(said.contains("1.27 is the oldest that is looked after"), cluster == "WARN", "{told}");
        let said = about(&told, "clock").join("\n");
        assert!(said.starts_with(skew), "{told}");
        if skew == "FAIL" {
            let side = if clock > now { "s behind the API server's" } else { "s ahead of the API server's" };
            assert!(said.contains(side) && said.contains("NTP"), "{told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubectl_that_builds_other_objects_is_told_apart_from_one_that_does_not() {
    let manager = Manager::embedded();
    let programs = manager.beside("programs");
    fs::create_dir(&programs).expect("a directory");
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let kubectl = programs.join("kubectl");
    for (version, kustomize, verdict, words) in [
        ("v1.31.4", "\"v5.4.2\"", "WARN", "kustomize v5.4.2, which is older than 5.5"),
        ("v1.32.0", "\"v5.5.0\"", "ok", "v1.32.0, kustomize v5.5.0"),
        ("v1.99.0", "\"v5.10.1\"", "ok", "v1.99.0, kustomize v5.10.1"),
        ("v1.20.0", "null", "WARN", "does not name its kustomize"),
    ] {
        let answer = format!(r#"{{"clientVersion": {{"gitVersion": "{version}"}}, "kustomizeVersion": {kustomize}}}"#);
        fs::write(&kubectl, format!("#!/bin/sh\ncat <<'END'\n{answer}\nEND\n")).expect("written");
        fs::set_permissions(&kubectl, fs::Permissions::from_mode(0o755)).expect("a program");
        let (told, content) = doctor(&manager, &[("PATH", &path)]);
        let said = about(&told, "kubectl").join("\n");
        assert!(said.starts_with(verdict) && said.contains(words), "{told}");
        assert_eq!(said.contains("kubectl 1.32 or newer"), verdict == "WARN", "{told}");
        assert!(content, "only a restore by hand needs it: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jira_is_asked_where_it_is_set_up() {
    let manager = Manager::embedded();
    let (told, content) = doctor(&manager, &[]);
    assert!(content && about(&told, "JIRA")[0].contains("not set up"), "{told}");
    let (told, _) = doctor(&manager, &[("JIRA_BASE_URL", "http://127.0.0.1:1")]);
    assert!(about(&told, "JIRA").join("\n").contains("set jira-api-key"), "{told}");
    let set = [("JIRA_BASE_URL", "http://127.0.0.1:1"), ("JIRA_API_KEY", "hidden-word")];
    let (told, _) = doctor(&manager, &set);
    let said = about(&told, "JIRA").join("\n");
    assert!(said.starts_with("WARN") && said.contains("cannot be reached") && said.contains("JIRA_EMAIL"), "{said}");
    assert!(!told.contains("hidden-word"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn claude_code_and_its_default_credentials_are_looked_for() {
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("claude");
    fs::write(&program, "#!/bin/sh\necho '2.1.332 (Claude Code)'\n").expect("a program");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it runs");
    let manager = Manager::embedded();
    let found = program.display().to_string();

    let (told, content) = doctor(&manager, &[("CLAUDE_BIN", &found)]);
    assert!(content, "{told}");
    assert_eq!(about(&told, "Claude Code"), [format!("ok    Claude Code       2.1.332, {found}")]);
    let said = about(&told, "credentials").join(" ");
    assert!(said.starts_with("WARN"), "{told}");
    for way in ["anthropic-api-key", "claude setup-token", "anthropic-base-url", "secrets.sops.yaml"] {
        assert!(said.contains(way), "{way}: {said}");
    }

    let (told, _) = doctor(&manager, &[("CLAUDE_BIN", "/nowhere/claude")]);
    let said = about(&told, "Claude Code").join(" ");
    assert!(said.starts_with("WARN") && said.contains("/nowhere/claude") && said.contains("npm install"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_default_key_is_found_and_not_shown() {
    let manager = Manager::start(&[("DEFAULT_ANTHROPIC_API_KEY", "sk-ant-hidden-word")]);
    let (told, content) = doctor(&manager, &[]);
    assert!(content && !told.contains("hidden-word"), "{told}");
    let said = about(&told, "credentials").join(" ");
    assert!(said.starts_with("ok") && said.contains("anthropic-api-key is the default"), "{said}");
}
