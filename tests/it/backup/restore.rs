//! Restores: a commit that brings a tree back, its plan first.

use serde_json::{Value, json};

use super::{Target, back_up, create_project, head, tree_of};
use crate::manager::{Manager, git_ok};

async fn restore(manager: &Manager, order: Value) -> Value {
    manager.expect("POST", "/api/backup/restore", Some(order), 200).await
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_or_one_project_comes_back_by_a_commit_after_its_plan() {
    let target = Target::new();
    let manager = target.manager(&[]);
    let state = manager.data().join("state.git");
    create_project(&manager, "one").await;
    create_project(&manager, "two").await;
    let made = back_up(&manager).await;
    let (name, backed_up) = (made["timestamp"].as_str().unwrap(), head(&manager));
    manager
        .expect("PUT", "/api/projects/one", Some(json!({"name": "Renamed", "anthropicApiKey": "sk-ant-new"})), 200)
        .await;
    manager.expect("DELETE", "/api/projects/two?volumes=delete", None, 202).await;
    create_project(&manager, "three").await;
    let before = head(&manager);

    // A dry run of one project: the plan, and nothing else.
    let rfc3339 = format!("{}:{}:{}.{}", &name[..13], &name[14..16], &name[17..19], &name[20..]);
    let dry = restore(&manager, json!({"timestamp": rfc3339, "project": "two", "dryRun": true})).await;
    assert_eq!(
        (&dry["dryRun"], &dry["backup"], &dry["changed"]),
        (&json!(true), &json!(name), &json!(true)),
        "{dry:#}"
    );
    assert!(dry["plan"]["created"].as_u64().unwrap() > 0, "{dry:#}");
    assert!(dry["plan"]["text"].as_str().unwrap().contains("two-env"), "{dry:#}");
    assert!(!dry.to_string().contains("sk-ant"), "{dry:#}");
    assert_eq!(head(&manager), before);

    // One project: its folder, its line, no tombstone; the others stay.
    let one = restore(&manager, json!({"timestamp": name, "project": "two"})).await;
    assert_eq!(one["commit"], head(&manager).as_str());
    let show = |path: &str| git_ok(&state, &["show", &format!("main:{path}")]);
    let then = |path: &str| git_ok(&state, &["show", &format!("{backed_up}:{path}")]);
    for file in ["projects/two/kustomization.yaml", "projects/two/secrets.sops.yaml"] {
        assert_eq!(show(file), then(file));
    }
    assert!(
        show("kustomization.yaml").contains("projects/two") && show("kustomization.yaml").contains("projects/three")
    );
    assert!(!git_ok(&state, &["ls-tree", "-r", "--name-only", "main"]).contains("tombstones/two"));
    let log = git_ok(
        &state,
        &[
            "log",
            "-1",
            "--format=%s|%(trailers:key=Source,valueonly,separator=)|%(trailers:key=Backup,valueonly,separator=)",
            "main",
        ],
    );
    assert_eq!(log.trim(), format!("two: restore from the backup {name}|restore|backup/{name}"));
    manager.project_until("two", |project| project["shortName"] == "two").await;

    // Everything, on the head whose plan was looked at.
    let http = crate::http::client();
    let send = |body: Value, if_match: Option<String>| {
        let mut request = http.post(manager.url("/api/backup/restore")).bearer_auth(manager.token()).json(&body);
        if let Some(tag) = if_match {
            request = request.header("if-match", tag);
        }
        request.send()
    };
    let dry = send(json!({"timestamp": name, "dryRun": true}), None).await.unwrap();
    let tag = dry.headers()["etag"].to_str().unwrap().to_owned();
    let dry: Value = dry.json().await.unwrap();
    assert_eq!(dry["deletedProjects"], json!(["three"]), "{dry:#}");
    assert!(dry["notes"].to_string().contains("Volumes are no part"), "{dry:#}");
    create_project(&manager, "four").await;
    let stale = send(json!({"timestamp": name}), Some(tag)).await.unwrap();
    assert_eq!(stale.status(), 412);
    let tag = format!("\"{}\"", head(&manager));
    let done = send(json!({"timestamp": name}), Some(tag)).await.unwrap();
    assert_eq!(done.status(), 200);
    assert_eq!(tree_of(&state, "main"), tree_of(&state, &backed_up));
    let again = restore(&manager, json!({"timestamp": name})).await;
    assert_eq!(again["changed"], false, "{again:#}");
    let one = manager.project_until("one", |project| project["name"] == "one").await;
    assert_eq!(one["shortName"], "one");
    git_ok(&state, &["fsck", "--full", "--strict"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_of_everything_deletes_no_volume() {
    let target = Target::new();
    let manager = target.manager(&[]);
    create_project(&manager, "gone").await;
    manager.expect("DELETE", "/api/projects/gone?volumes=delete", None, 202).await;
    let state = manager.data().join("state.git");
    assert!(git_ok(&state, &["ls-tree", "-r", "--name-only", "main"]).contains("tombstones/gone.yaml"));
    let name = back_up(&manager).await["timestamp"].clone();
    create_project(&manager, "gone").await;

    let restored = restore(&manager, json!({"timestamp": name})).await;

    assert!(restored["notes"].to_string().contains("tombstones/gone.yaml of the backup is left out"), "{restored:#}");
    assert_eq!(restored["deletedProjects"], json!(["gone"]));
    assert!(!git_ok(&state, &["ls-tree", "-r", "--name-only", "main"]).contains("tombstones/gone"));
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_for_other_keys_are_refused_and_come_with_the_key_of_that_time() {
    let target = Target::new();
    let first = target.manager(&[]);
    create_project(&first, "shop").await;
    let name = back_up(&first).await["timestamp"].clone();
    let age_key = std::fs::read_to_string(first.data().join("age.key")).unwrap();
    let key = age_key.lines().find(|line| line.starts_with("AGE-SECRET-KEY")).unwrap().to_owned();
    drop(first);

    let mut second = target.manager(&[]);
    let before = head(&second);
    let order = json!({"timestamp": name});
    let refused = second.expect("POST", "/api/backup/restore", Some(order.clone()), 409).await;
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("projects/shop/secrets.sops.yaml cannot be decrypted"), "{detail}");
    assert!(detail.contains("SOPS_AGE_KEY"), "{detail}");
    assert_eq!(head(&second), before);

    second.interrupt();
    let own = std::fs::read_to_string(second.data().join("age.key")).unwrap();
    let own = own.lines().find(|line| line.starts_with("AGE-SECRET-KEY")).unwrap().to_owned();
    second.set("SOPS_AGE_KEY", &format!("{own}\n{key}"));
    second.run();
    let kid_of_second = git_ok(&second.data().join("state.git"), &["show", "main:agent-keys.yaml"]);
    let restored = restore(&second, order).await;
    assert_eq!(restored["changed"], true, "{restored:#}");
    second.project_until("shop", |project| project["shortName"] == "shop").await;
    // Environments still let this manager in.
    let keys = git_ok(&second.data().join("state.git"), &["show", "main:agent-keys.yaml"]);
    let own_kid = kid_of_second.lines().find(|line| line.contains(".pem")).unwrap().trim().to_owned();
    assert!(keys.contains(&own_kid), "{own_kid} is missing in {keys}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_timestamps_and_refs_are_told_and_harm_nothing() {
    let target = Target::new();
    let manager = target.manager(&[]);
    let name = back_up(&manager).await["timestamp"].as_str().unwrap().to_owned();
    let foreign = target.commit(&[("index.html", "hi\n")], None);
    let blob = git_ok(&target.path(), &["rev-parse", &format!("{foreign}:index.html")]).trim().to_owned();
    for (tag, id) in [
        ("backup/<script>alert(1)</script>", &foreign),
        ("backup/a/b/c", &foreign),
        ("backup/2001-01-01T00-00-00-000Z", &foreign),
        ("backup/2002-01-01T00-00-00-000Z", &blob),
        ("backup/latest", &foreign),
    ] {
        git_ok(&target.path(), &["update-ref", &format!("refs/tags/{tag}"), id]);
    }
    back_up(&manager).await;
    let listed = manager.expect("GET", "/api/backup/list", None, 200).await;
    let items = listed["items"].as_array().unwrap();
    assert_eq!(items.len(), 7, "{listed:#}");
    for item in items {
        let is_ours = item["timestamp"].as_str().unwrap() >= name.as_str()
            && item["timestamp"].as_str().unwrap().starts_with("20");
        assert_eq!(item["restorable"], is_ours, "{item:#}");
        assert_eq!(item["reason"].is_null(), is_ours, "{item:#}");
    }
    for (timestamp, status) in [
        ("", 400),
        ("latest", 400),
        ("../../../../etc/passwd", 400),
        ("--upload-pack=touch /tmp/x", 400),
        ("refs/heads/main", 400),
        ("<script>", 400),
        ("2001-01-01T00-00-00-000Z", 409),
        ("2002-01-01T00-00-00-000Z", 409),
        ("2003-01-01T00-00-00-000Z", 404),
        ("9990-12-31T23:59:59.999Z", 404),
        ("9999-12-31T23:59:59.999Z", 400),
    ] {
        let order = json!({"timestamp": timestamp});
        manager.expect("POST", "/api/backup/restore", Some(order), status).await;
    }
    let unknown = json!({"timestamp": name, "project": "nobody"});
    manager.expect("POST", "/api/backup/restore", Some(unknown), 404).await;
    let page = crate::http::client().get(manager.url("/backups")).bearer_auth(manager.token());
    let page = page.header("accept", "text/html").send().await.unwrap();
    assert_eq!(page.status(), 200);
    let page = page.text().await.unwrap();
    assert!(page.contains("&lt;script&gt;alert(1)") && !page.contains("<script>alert"), "{page}");
    assert!(page.contains("Volumes are no part of them"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_makes_a_backup_and_restores_it_after_its_plan() {
    let target = Target::new();
    let manager = target.manager(&[]);
    create_project(&manager, "shop").await;
    let http = crate::http::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let send = |method: &str, path: &str, form: Option<&str>| {
        let method = method.parse().unwrap();
        let mut request =
            http.request(method, manager.url(path)).bearer_auth(manager.token()).header("accept", "text/html");
        if let Some(form) = form {
            request = request.header("content-type", "application/x-www-form-urlencoded").body(form.to_owned());
        }
        request.send()
    };
    let made = send("POST", "/backups", Some("")).await.unwrap();
    assert_eq!((made.status().as_u16(), made.headers()["location"].to_str().unwrap()), (303, "/backups"));
    let page = send("GET", "/backups", None).await.unwrap().text().await.unwrap();
    let link = page.split("href=\"").find(|part| part.starts_with("/backups/restore?")).expect("a link");
    let link = link.split('"').next().unwrap().to_owned();
    manager.expect("DELETE", "/api/projects/shop", None, 202).await;
    let plan = send("GET", &format!("{link}&project=shop"), None).await.unwrap();
    assert_eq!(plan.status(), 200);
    let plan = plan.text().await.unwrap();
    assert!(plan.contains("projects/shop/kustomization.yaml") && plan.contains("shop-env"), "{plan}");
    let value = |name: &str| {
        let input = plan
            .split("<input")
            .find(|input| input.contains(&format!("name=\"{name}\" value=")) && input.contains("hidden"));
        input
            .and_then(|input| input.split("value=\"").nth(1))
            .and_then(|rest| rest.split('"').next())
            .unwrap()
            .to_owned()
    };
    let form = format!("timestamp={}&project=shop&head={}", value("timestamp"), value("head"));
    create_project(&manager, "other").await;
    let outdated = send("POST", "/backups/restore", Some(&form)).await.unwrap();
    assert_eq!(outdated.status(), 412);
    let form = format!("timestamp={}&project=shop&head={}", value("timestamp"), head(&manager));
    let done = send("POST", "/backups/restore", Some(&form)).await.unwrap();
    assert_eq!(done.status(), 303);
    manager.project_until("shop", |project| project["shortName"] == "shop").await;
}
