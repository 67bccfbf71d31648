//! A private PostgreSQL server for one test: DATABASE_URL_TEST, or one started from the binaries on this machine.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The server, stopped when it goes out of scope.
pub(super) struct Server {
    running: Option<(Child, tempfile::TempDir)>,
    url: String,
}

impl Server {
    /// Starts a server; says loudly why there is none. With CI=true that is a failure.
    #[expect(clippy::print_stderr, reason = "a skip has to be loud")]
    pub(super) async fn start() -> Option<Self> {
        if let Ok(url) = std::env::var("DATABASE_URL_TEST") {
            return Some(Self { url: in_a_schema_of_its_own(&url).await, running: None });
        }
        let Some(binaries) = binaries() else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "PostgreSQL is missing, and CI=true allows no skip");
            eprintln!("\n*** SKIPPED: no PostgreSQL here (set DATABASE_URL_TEST, or install the server) ***\n");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        std::fs::create_dir(&data).unwrap();
        // The server refuses to run as root.
        let user = unprivileged_user();
        if let Some(user) = user {
            for path in [directory.path(), &data] {
                std::os::unix::fs::chown(path, Some(user), None).unwrap();
            }
        }
        let command = |program: &str| {
            let mut command = Command::new(binaries.join(program));
            command.current_dir(directory.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            if let Some(user) = user {
                command.uid(user);
            }
            command
        };
        let mut initdb = command("initdb");
        initdb.arg("-D").arg(&data).args(["-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"]);
        assert!(initdb.status().unwrap().success(), "initdb failed");
        let mut postgres = command("postgres");
        postgres.arg("-D").arg(&data).args(["-c", "listen_addresses=", "-c", "fsync=off", "-k"]).arg(directory.path());
        let child = postgres.spawn().unwrap();
        let url = format!("postgres://postgres@localhost/postgres?host={}", directory.path().display());
        wait_for(&directory.path().join(".s.PGSQL.5432"));
        Some(Self { running: Some((child, directory)), url })
    }

    pub(super) fn url(&self) -> String {
        self.url.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.running {
            // SIGINT lets the server end its own processes; a kill would leave them behind.
            let stopped = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
            if !stopped.is_ok_and(|status| status.success()) {
                let _ = child.kill();
            }
            let _ = child.wait();
        }
    }
}

/// Tests may share a server and run again on it.
async fn in_a_schema_of_its_own(url: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let schema = format!("test_{}_{now}", std::process::id());
    let pool = sqlx::PgPool::connect(url).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE SCHEMA {schema}"))).execute(&pool).await.unwrap();
    pool.close().await;
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}options[search_path]={schema}")
}

fn binaries() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<PathBuf> = versions.flatten().map(|entry| entry.path().join("bin")).collect();
    found.retain(|path| path.join("initdb").is_file());
    found.sort();
    found.pop()
}

fn unprivileged_user() -> Option<u32> {
    let id = |arguments: &[&str]| -> Option<u32> {
        let output = Command::new("id").args(arguments).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    if id(&["-u"]) == Some(0) { Some(id(&["-u", "postgres"]).unwrap_or(65_534)) } else { None }
}

fn wait_for(socket: &Path) {
    let until = Instant::now() + Duration::from_secs(30);
    while std::os::unix::net::UnixStream::connect(socket).is_err() {
        assert!(Instant::now() < until, "PostgreSQL did not start");
        std::thread::sleep(Duration::from_millis(50));
    }
}
