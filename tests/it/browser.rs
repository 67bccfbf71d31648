//! The pages in a real browser: Debian's Chromium, driven by its own driver, in front of the real program.

mod chat;
mod frame;

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;

use crate::control_plane::skipped;
use crate::manager::{Manager, git_ok};

/// A browser with an empty profile of its own; it and its driver end with the value.
struct Browser {
    client: Client,
    driver: Child,
    _profile: tempfile::TempDir,
}

/// A driver that listens, its port, and what else it says; `None` when it ended instead.
fn started(driver: &Path, home: &Path) -> Option<(Child, String, impl Iterator<Item = String> + Send + use<>)> {
    let mut driver = Command::new(driver)
        .args(["--port=0", "--log-level=SEVERE"])
        .env("HOME", home)
        // One group with the browser that it starts, so that a test that fails leaves neither behind.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("chromedriver");
    let mut lines = BufReader::new(driver.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let Some(line) = lines.find(|line| line.contains("started successfully on port")) else {
        end(&mut driver);
        return None;
    };
    let port = line.rsplit(' ').next().expect("a port").trim_end_matches('.').to_owned();
    Some((driver, port, lines))
}

impl Browser {
    /// Starts one, or says why the test is skipped.
    async fn start(scripts: bool) -> Option<Self> {
        let Some(chromium) = program("chromium") else {
            skipped("there is no chromium; install the Debian packages chromium and chromium-driver");
            return None;
        };
        let Some(driver) = program("chromedriver") else {
            skipped("there is no chromedriver; install the Debian package chromium-driver");
            return None;
        };
        let profile = tempfile::tempdir().expect("a profile");
        // It takes a free port for IPv4 and wants the same one for IPv6, where another test may have it: then it ends.
        let started = (0..5).find_map(|_| started(&driver, profile.path()));
        let (mut driver, port, lines) = started.expect("a driver that starts in one of five tries");
        // Whatever else it has to say must find a reader.
        std::thread::spawn(move || lines.for_each(drop));

        let user_data = format!("--user-data-dir={}", profile.path().join("profile").display());
        let mut options = json!({
            "binary": chromium,
            "args": [
                "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--window-size=1100,900", user_data,
            ],
        });
        if !scripts {
            options["prefs"] = json!({ "profile.managed_default_content_settings.javascript": 2 });
        }
        let capabilities = json!({ "browserName": "chrome", "goog:chromeOptions": options });
        let serde_json::Value::Object(capabilities) = capabilities else { unreachable!("an object") };
        let connected = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await;
        let client = match connected {
            Ok(client) => client,
            Err(error) => {
                end(&mut driver);
                panic!("the browser does not start: {error}");
            }
        };
        Some(Self { client, driver, _profile: profile })
    }

    /// Whether scripts run in pages, as a page itself would know.
    async fn runs_scripts(&self) -> bool {
        self.client
            .goto("data:text/html,<p>off</p><script>document.querySelector('p').textContent='on'</script>")
            .await
            .expect("a page");
        self.text("p").await == "on"
    }

    async fn goto(&self, manager: &Manager, path: &str) {
        self.client.goto(&manager.url(path)).await.expect("a page");
    }

    /// Where the browser is, below the manager's address.
    async fn path(&self) -> String {
        let url = self.client.current_url().await.expect("an address");
        format!("{}{}", url.path(), url.query().map_or_else(String::new, |query| format!("?{query}")))
    }

    /// Waits until the browser is at `path`: a click is done before the page that it leads to is there.
    async fn arrives(&self, path: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.path().await != path {
            assert!(Instant::now() < deadline, "never at {path}, but at {}", self.path().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn text(&self, css: &str) -> String {
        let found = self.client.find(Locator::Css(css)).await;
        match found {
            Ok(element) => element.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// The markup inside an element.
    async fn html(&self, css: &str) -> String {
        let element = self.client.find(Locator::Css(css)).await.unwrap_or_else(|error| panic!("no {css}: {error}"));
        element.html(true).await.expect("markup")
    }

    /// What an expression is in the page.
    async fn evaluate(&self, expression: &str) -> serde_json::Value {
        self.client.execute(&format!("return {expression};"), Vec::new()).await.expect("an expression")
    }

    async fn click(&self, css: &str) {
        let element = self.client.find(Locator::Css(css)).await;
        element.unwrap_or_else(|error| panic!("no {css}: {error}")).click().await.expect("a click");
    }

    async fn fill(&self, css: &str, text: &str) {
        let element = self.client.find(Locator::Css(css)).await;
        element.unwrap_or_else(|error| panic!("no {css}: {error}")).send_keys(text).await.expect("typing");
    }

    async fn value(&self, css: &str) -> String {
        let element = self.client.find(Locator::Css(css)).await.expect("an input");
        element.prop("value").await.expect("a value").unwrap_or_default()
    }

    /// Looks until `css` shows `text`; `reload` as somebody without scripts would do.
    async fn until(&self, css: &str, text: &str, reload: bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let shown = self.text(css).await;
            if shown.contains(text) {
                return;
            }
            assert!(Instant::now() < deadline, "{css} never showed {text:?}, but {shown:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
            if reload {
                self.client.refresh().await.expect("a reload");
            }
        }
    }

    async fn close(self) {
        let mut this = self;
        let _ = this.client.clone().close().await;
        end(&mut this.driver);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        end(&mut self.driver);
    }
}

/// Ends a driver and the browser that it has started.
fn end(driver: &mut Child) {
    // Once waited for, its number may be another's.
    if matches!(driver.try_wait(), Ok(None)) {
        let _ = rustix::process::kill_process_group(
            rustix::process::Pid::from_child(driver),
            rustix::process::Signal::KILL,
        );
        let _ = driver.wait();
    }
}

/// A repository on a web server of its own, as a team's would be; its address, and what keeps it there.
async fn repository() -> (String, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let (work, bare) = (directory.path().join("work"), directory.path().join("shop.git"));
    std::fs::create_dir(&work).expect("made");
    git_ok(&work, &["init", "-q", "-b", "main"]);
    std::fs::write(work.join("README.md"), "The shop.\n").expect("written");
    git_ok(&work, &["add", "."]);
    git_ok(&work, &["commit", "-q", "-m", "Begin"]);
    git_ok(directory.path(), &["clone", "-q", "--bare", "work", "shop.git"]);
    git_ok(&bare, &["update-server-info"]);
    let files = directory.path().to_owned();
    let answer = move |uri: axum::http::Uri| {
        let path = files.join(uri.path().trim_start_matches('/'));
        async move { std::fs::read(path).map_err(|_| axum::http::StatusCode::NOT_FOUND) }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
    (format!("http://{address}/shop.git"), directory)
}

fn program(name: &str) -> Option<std::path::PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// What a new user does, from the link on the terminal to the last project gone.
async fn first_run(scripts: bool) {
    let Some(browser) = Browser::start(scripts).await else { return };
    assert_eq!(browser.runs_scripts().await, scripts);
    let manager = Manager::embedded();
    let (address, _kept) = repository().await;
    browser.goto(&manager, "/projects").await;
    // Strangers are led here.
    browser.arrives("/sign-in?next=%2Fprojects").await;
    browser.goto(&manager, &format!("/sign-in?token={}", manager.token())).await;
    // The token has left the address.
    browser.arrives("/projects").await;

    browser.click(".empty a.button").await;
    browser.fill("#name", "My Shop").await;
    if scripts {
        assert_eq!(browser.value("#shortName").await, "my-shop", "suggested while somebody types");
    }
    browser.fill("#gitRepository", "nonsense").await;
    browser.click("main button[type=submit]").await;
    browser.until("#gitRepository-error", "Must be", false).await;
    assert_eq!(browser.value("#name").await, "My Shop", "what was typed is there");
    browser.client.find(Locator::Css("#gitRepository")).await.expect("the field").clear().await.expect("cleared");
    browser.fill("#gitRepository", &address).await;
    browser.click("main button[type=submit]").await;
    browser.arrives("/projects/my-shop").await;
    browser.until(".notice.good", "my-shop is made: commit", false).await;
    assert!(browser.text("#commits ~ .card").await.contains("my-shop: create"), "its commits");
    browser.click("#commits ~ .card .sha").await;
    browser.until("h1", "my-shop: create", false).await;
    assert!(browser.text(".diff").await.contains("+ kind: Kustomization"), "what the commit changed");
    browser.goto(&manager, "/projects/my-shop/config").await;
    assert!(browser.text("#overlay + p + figure pre").await.contains("my-shop"), "the overlay as it is in Git");
    browser.goto(&manager, "/projects/my-shop").await;

    // By itself with scripts, by reloads without.
    browser.until("#status .badge", "Running", !scripts).await;
    browser.click("#logs").await;
    browser.until("#log", "the agent runs", !scripts).await;
    if scripts {
        browser.click("#follow").await;
        browser.until("#follow", "Stop following", false).await;
        browser.until("#log", "the agent runs", false).await;
    }
    browser.goto(&manager, "/projects/my-shop").await;

    browser.click("#stop").await;
    browser.until(".notice.good", "my-shop is to stop", false).await;
    browser.until("#status .badge", "Stopped", !scripts).await;
    browser.click("#logs").await;
    browser.until(".notice", "stopped, and its log went with its pod", false).await;
    browser.goto(&manager, "/projects/my-shop").await;

    browser.goto(&manager, "/projects/my-shop/config").await;
    browser.click("a.danger").await;
    browser.until("#goes + ul", "my-shop-env", !scripts).await;
    browser.click("#drop").await;
    browser.fill("#confirm", "my-shop").await;
    browser.click("button.danger").await;
    browser.arrives("/projects").await;
    browser.until(".notice.good", "is to be deleted", false).await;
    browser.until("main .empty", "There is no project yet", true).await;

    let subjects = crate::manager::git_ok(
        &manager.clone_state("look"),
        &["log", "--format=%s|%(trailers:key=Source,valueonly,separator=%x2C)"],
    );
    let made: Vec<&str> = subjects.lines().collect();
    assert_eq!(made[..3].iter().filter(|line| line.ends_with("|ui")).count(), 3, "{made:?}");

    browser.click(".out button").await;
    browser.until("main", "You are signed out", false).await;
    browser.goto(&manager, "/projects").await;
    browser.arrives("/sign-in?next=%2Fprojects").await;
    assert!(!manager.log().contains(&manager.token()), "the token is in no log line");
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_with_a_browser_signs_in_makes_stops_and_deletes_a_project() {
    first_run(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_works_without_scripts() {
    first_run(false).await;
}
