//! A real Kubernetes control plane for the tests that need one: etcd, API server, controllers, scheduler, and kwok in the
//! place of nodes.
//!
//! Started once for each test process, on first use, on free loopback ports and in a temporary directory. A supervising
//! shell (`tests/control-plane/run.sh`) stops everything when the pipe that this process holds closes, which no way of
//! dying can prevent.
//!
//! The programs come from `KUBEBUILDER_ASSETS` (a directory with at least etcd, kube-apiserver and kubectl), else they are
//! built with Go. With neither, a test prints that it was skipped; where `CI=true`, that is a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// An image that never arrives: pods with it stay in `ErrImagePull`. The kwok stages know it by this name.
pub(crate) const MISSING_IMAGE: &str = "registry.example/does-not-exist:1";

/// How many users [`ControlPlane::user`] can give; `run.sh` makes as many.
const USERS: usize = 64;

/// The running control plane.
pub(crate) struct ControlPlane {
    binaries: PathBuf,
    directory: PathBuf,
    kubeconfig: PathBuf,
    names: AtomicUsize,
    users: AtomicUsize,
    volumes: AtomicUsize,
    /// Its standard input is the pipe whose end stops everything.
    _supervisor: Mutex<Child>,
}

/// An administrator whose requests are counted apart from everybody else's.
pub(crate) struct User {
    /// The name in the audit log.
    pub(crate) name: String,
    /// A kubeconfig with only this user.
    pub(crate) kubeconfig: PathBuf,
}

/// One request that the API server received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// `get`, `list`, `watch`, `patch`, …
    pub(crate) verb: String,
    /// Path and query.
    pub(crate) uri: String,
}

/// What a request wanted to do with which resource, in the words of a Role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Access {
    /// The API group; empty for the core group.
    pub(crate) group: String,
    /// The resource, or `resource/subresource`.
    pub(crate) resource: String,
    /// The verb.
    pub(crate) verb: String,
}

impl Access {
    /// As in `statefulsets.apps`, `get`.
    pub(crate) fn new(group: &str, resource: &str, verb: &str) -> Self {
        Self { group: group.to_owned(), resource: resource.to_owned(), verb: verb.to_owned() }
    }
}

impl ControlPlane {
    /// The control plane, or `None` (said on standard error) where it cannot be had.
    pub(crate) fn get() -> Option<&'static Self> {
        static RUNNING: OnceLock<Result<ControlPlane, String>> = OnceLock::new();
        match RUNNING.get_or_init(|| binaries().clone().and_then(|binaries| Self::start(&binaries))) {
            Ok(running) => Some(running),
            Err(reason) => {
                skipped(reason);
                None
            }
        }
    }

    /// As [`ControlPlane::get`], for tests that want pods: they need the controllers, the scheduler and kwok, which a
    /// bundle of test assets does not have.
    pub(crate) fn with_pods() -> Option<&'static Self> {
        let running = Self::get()?;
        if running.program("kwok").exists() && running.program("kube-controller-manager").exists() {
            return Some(running);
        }
        skipped("these test assets have no kube-controller-manager, kube-scheduler and kwok, so no pod ever starts");
        None
    }

    fn start(binaries: &Path) -> Result<Self, String> {
        // A port that was free a moment ago may be taken by the time a server wants it.
        let mut reason = String::new();
        for _ in 0..3 {
            match Self::try_start(binaries) {
                Ok(running) => return Ok(running),
                Err(error) => reason = error,
            }
        }
        Err(format!("the control plane did not start: {reason}"))
    }

    fn try_start(binaries: &Path) -> Result<Self, String> {
        let directory = tempfile::Builder::new()
            .prefix("control-plane-")
            .tempdir()
            .map_err(|error| format!("no temporary directory: {error}"))?
            // The supervisor removes it: it outlives this process.
            .keep();
        let ports = free_ports::<4>().map_err(|error| format!("no free port: {error}"))?;
        let mut supervisor = Command::new("bash")
            .arg(here().join("run.sh"))
            .arg(&directory)
            .arg(binaries)
            .args(ports.map(|port| port.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("bash: {error}"))?;
        let mut line = String::new();
        if let Some(stdout) = supervisor.stdout.take() {
            let _ = BufReader::new(stdout).read_line(&mut line);
        }
        if line.trim() != "ready" {
            let mut reason = String::new();
            if let Some(mut stderr) = supervisor.stderr.take() {
                let _ = stderr.read_to_string(&mut reason);
            }
            let _ = supervisor.wait();
            return Err(reason);
        }
        Ok(Self {
            binaries: binaries.to_owned(),
            kubeconfig: directory.join("kubeconfig"),
            directory,
            names: AtomicUsize::new(0),
            users: AtomicUsize::new(0),
            volumes: AtomicUsize::new(0),
            _supervisor: Mutex::new(supervisor),
        })
    }

    /// A kubeconfig with the contexts `admin` (the current one) and `m`, whose user `manager` is counted.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The path of one of the programs, whether it exists or not.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    /// Runs kubectl as the administrator.
    pub(crate) fn kubectl<A: AsRef<std::ffi::OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Output {
        self.kubectl_reading("", arguments)
    }

    /// As [`ControlPlane::kubectl`], with `input` on standard input.
    pub(crate) fn kubectl_reading<A: AsRef<std::ffi::OsStr>>(
        &self,
        input: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Output {
        let mut child = Command::new(self.program("kubectl"))
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl starts");
        // A kubectl that does not read its input may close it early; its answer says what happened.
        let _ = child.stdin.take().expect("a pipe was asked for").write_all(input.as_bytes());
        child.wait_with_output().expect("kubectl ends")
    }

    /// Runs kubectl, which has to succeed, and gives what it printed.
    pub(crate) fn expect<A: AsRef<std::ffi::OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> String {
        text_of(self.kubectl(arguments))
    }

    /// One object, or `None` when there is none of that kind and name.
    pub(crate) fn object(&self, namespace: &str, kind: &str, name: &str) -> Option<serde_json::Value> {
        let text = self.expect([
            "-n",
            namespace,
            "get",
            kind,
            name,
            "--ignore-not-found",
            "--show-managed-fields",
            "-o",
            "json",
        ]);
        (!text.is_empty()).then(|| serde_json::from_str(&text).expect("kubectl prints JSON"))
    }

    /// All objects of a kind.
    pub(crate) fn objects(&self, namespace: &str, kind: &str) -> Vec<serde_json::Value> {
        let text = self.expect(["-n", namespace, "get", kind, "-o", "json"]);
        let mut list: serde_json::Value = serde_json::from_str(&text).expect("kubectl prints JSON");
        match list["items"].take() {
            serde_json::Value::Array(items) => items,
            other => panic!("items is {other}"),
        }
    }

    /// Makes a namespace that enforces the restricted Pod Security level.
    pub(crate) fn namespace(&self, prefix: &str) -> String {
        self.namespace_at_level(prefix, "restricted")
    }

    /// Makes a namespace that enforces a Pod Security level.
    pub(crate) fn namespace_at_level(&self, prefix: &str, level: &str) -> String {
        let name = format!("{prefix}-{}", self.names.fetch_add(1, Ordering::Relaxed));
        let manifest = serde_json::json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": level}},
        });
        text_of(self.kubectl_reading(&manifest.to_string(), ["create", "-f", "-"]));
        name
    }

    /// Makes volumes of 100Gi for claims to bind to, as nothing here provisions any. Of class `class`, which is made to
    /// allow growth; an empty one is for claims without a class.
    pub(crate) fn volumes(&self, class: &str, count: usize) {
        let mut manifests = Vec::new();
        if !class.is_empty() {
            manifests.push(serde_json::json!({
                "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": class},
                "provisioner": "kubernetes.io/no-provisioner", "allowVolumeExpansion": true,
            }));
        }
        // Volumes without a class are for whoever comes first, and some tests have claims that they do not wait for: spare
        // ones keep these from taking what another test counts on.
        let spare = if class.is_empty() { 4 } else { 0 };
        for _ in 0..count + spare {
            let number = self.volumes.fetch_add(1, Ordering::Relaxed);
            manifests.push(self.volume(number, class));
        }
        self.apply(manifests);
    }

    fn volume(&self, number: usize, class: &str) -> serde_json::Value {
        serde_json::json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": format!("volume-{number}")},
            "spec": {
                "capacity": {"storage": "100Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": class,
                "persistentVolumeReclaimPolicy": "Retain",
                "hostPath": {"path": self.directory.join("volumes").join(number.to_string())},
            },
        })
    }

    /// Adds a line to what every pod has written.
    pub(crate) fn pods_write(&self, line: &str) {
        use std::io::Write as _;
        let log = std::fs::File::options().append(true).open(self.directory.join("pod.log"));
        writeln!(log.expect("run.sh made it"), "{} stdout F {line}", jiff::Timestamp::now()).expect("written");
    }

    /// Applies these objects.
    pub(crate) fn apply(&self, objects: Vec<serde_json::Value>) {
        let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects});
        text_of(self.kubectl_reading(&list.to_string(), ["apply", "--server-side", "-f", "-"]));
    }

    /// A user of one's own, so that parallel tests can count their requests.
    pub(crate) fn user(&self) -> User {
        let number = self.users.fetch_add(1, Ordering::Relaxed);
        assert!(number < USERS, "run.sh makes {USERS} users, and all are taken");
        let name = format!("counted-{number}");
        let text = std::fs::read_to_string(&self.kubeconfig).expect("run.sh wrote it");
        let text = text.replace("admin-token", &format!("{name}-token"));
        let kubeconfig = self.directory.join(format!("{name}.kubeconfig"));
        std::fs::write(&kubeconfig, text).expect("the directory is writable");
        User { name, kubeconfig }
    }

    /// Every request of a user so far, each once (a watch counts from when it began).
    pub(crate) fn requests(&self, user: &str) -> Vec<Request> {
        let log = std::fs::read_to_string(self.directory.join("audit.log")).unwrap_or_default();
        let mut seen = BTreeMap::new();
        for (order, line) in log.lines().enumerate() {
            // The last line may be half written.
            let Ok(entry) = serde_json::from_str::<serde_json::Value>(line) else { continue };
            if entry["user"]["username"] != user {
                continue;
            }
            let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
            let request = Request { verb: text("verb"), uri: text("requestURI") };
            seen.entry(text("auditID")).or_insert((order, request));
        }
        let mut requests: Vec<_> = seen.into_values().collect();
        requests.sort_by_key(|(order, _)| *order);
        requests.into_iter().map(|(_, request)| request).collect()
    }

    /// What a user was let do so far, and what it was not. A `patch` that made its object is a `create`, too: the API server
    /// asks for both.
    pub(crate) fn accesses(&self, user: &str) -> (BTreeSet<Access>, BTreeSet<Access>) {
        let log = std::fs::read_to_string(self.directory.join("audit.log")).unwrap_or_default();
        let (mut allowed, mut refused) = (BTreeSet::new(), BTreeSet::new());
        let entries = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        for entry in entries.filter(|entry| entry["user"]["username"] == user && entry["objectRef"].is_object()) {
            let text = |pointer: &str| entry.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_default();
            let resource = match (text("/objectRef/resource"), text("/objectRef/subresource")) {
                (resource, "") => resource.to_owned(),
                (resource, subresource) => format!("{resource}/{subresource}"),
            };
            let access = Access::new(text("/objectRef/apiGroup"), &resource, text("/verb"));
            if entry["annotations"]["authorization.k8s.io/decision"] != "allow"
                || entry["responseStatus"]["code"] == 403
            {
                refused.insert(access);
                continue;
            }
            if access.verb == "patch" && entry["responseStatus"]["code"] == 201 {
                allowed.insert(Access { verb: "create".to_owned(), ..access.clone() });
            }
            allowed.insert(access);
        }
        (allowed, refused)
    }

    /// A client as the administrator. It belongs to the calling test's runtime.
    pub(crate) async fn client(&self) -> kube::Client {
        client(&self.kubeconfig).await
    }
}

/// A client for a kubeconfig's current context.
pub(crate) async fn client(kubeconfig: &Path) -> kube::Client {
    let kubeconfig = kube::config::Kubeconfig::read_from(kubeconfig).expect("run.sh wrote it");
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.expect("run.sh wrote it");
    kube::Client::try_from(config).expect("a client of a valid configuration")
}

/// The directory of the programs, or why there is none.
pub(crate) fn binaries() -> &'static Result<PathBuf, String> {
    static BINARIES: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BINARIES.get_or_init(|| {
        if let Some(assets) = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from) {
            let missing = ["etcd", "kube-apiserver", "kubectl"].into_iter().find(|name| !assets.join(name).exists());
            return match missing {
                Some(name) => Err(format!("KUBEBUILDER_ASSETS has no {name}")),
                None => Ok(assets),
            };
        }
        if Command::new("go").arg("version").output().is_err() {
            return Err("there is no Go to build a control plane with, and KUBEBUILDER_ASSETS is not set".to_owned());
        }
        let built = Command::new("bash")
            .arg(here().join("build.sh"))
            // Its progress is worth seeing: a first build takes minutes.
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("bash: {error}"))?;
        if !built.status.success() {
            return Err("tests/control-plane/build.sh failed; see above".to_owned());
        }
        Ok(PathBuf::from(String::from_utf8_lossy(&built.stdout).trim()))
    })
}

/// Says that the running test is skipped; with `CI=true` it fails instead, as nothing may go untested there.
pub(crate) fn skipped(reason: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} cannot run: {reason}");
    // Not by a print macro: the test harness would swallow it.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {reason}");
}

/// Asks again until there is an answer, for at most a minute: servers take their time on a busy machine.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "waited a minute for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What a program that succeeded printed.
pub(crate) fn text_of(output: Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/control-plane")
}

/// Ports that are free now, all different.
fn free_ports<const N: usize>() -> std::io::Result<[u16; N]> {
    let mut listeners = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        *port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    Ok(ports)
}

#[tokio::test]
async fn only_the_requests_of_the_asked_user_are_counted() {
    let Some(cluster) = ControlPlane::get() else { return };
    let (one, other) = (cluster.user(), cluster.user());
    let client = client(&one.kubeconfig).await;

    client.apiserver_version().await.unwrap();
    cluster.client().await.apiserver_version().await.unwrap();

    let expected = Request { verb: "get".to_owned(), uri: "/version".to_owned() };
    assert_eq!(cluster.requests(&one.name), [expected]);
    assert_eq!(cluster.requests(&other.name), []);
}

#[test]
fn a_control_plane_ends_when_the_process_that_wanted_it_does() {
    let Some(running) = ControlPlane::get() else { return };
    let other = ControlPlane::start(&running.binaries).unwrap();
    let (directory, kubeconfig) = (other.directory.clone(), other.kubeconfig().to_owned());
    assert!(kubeconfig.exists());

    // What the kernel does with the pipe of a process that is gone.
    drop(other);

    eventually("the servers to stop", || (!directory.exists()).then_some(()));
}
