//! The reconciler's figures on the real API server, beside its peers: `cargo bench --bench reconciler [-- PROJECTS]`
//! (with `--alone`, without the slow peers; with `--only`, the named of the stages `change,all,bad,drift,quiet` several times
//! after the cold apply; with `--only cold`, that one in turns with the plain loops, and with `--only flux`, beside that peer).
//!
//! In one run and against one control plane, each in a namespace of its own: plain loops of concurrent server-side applies
//! of the same objects (the best that the API server gives), the manager, a small program on Flux's libraries
//! (`tests/bench/flux`, built with Go), and `kubectl apply --server-side -k` of up to 100 projects. Prints a table.

#![allow(dead_code, missing_docs, reason = "the harness is shared with the integration tests, which use all of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark whose set-up fails has nothing to say")]

#[path = "../it/control_plane.rs"]
mod control_plane;
#[path = "../it/http.rs"]
mod http;
#[path = "../it/manager.rs"]
mod manager;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use serde_json::{Value, json};

use control_plane::{ControlPlane, MISSING_IMAGE, User};
use manager::{Manager, git_ok};

/// As many requests on their way as the manager has at most.
const AT_ONCE: usize = 128;
/// The plain loops. What a build gives is in the order of kinds, and StatefulSets come late: their controller, which takes a
/// share of the same cores, then begins when a loop is nearly done. Whoever goes project by project, as the manager does,
/// and makes the first environments run while others are still to come, has it beside himself all the time.
const LOOPS: [Loop; 3] = [
    Loop { at_once: 32, by_project: false },
    Loop { at_once: AT_ONCE, by_project: false },
    Loop { at_once: AT_ONCE, by_project: true },
];
/// In fleets of more projects than this each loop takes minutes, and leaves its controllers busy for more: then there are two.
const LARGE: usize = 2000;
/// `kubectl apply -k` is quadratic; more than this would only be waited for.
const KUBECTL: usize = 100;
/// How often one project is changed.
const ROUNDS: usize = 40;
/// How often the bad neighbours come and go.
const TURNS: usize = 3;
/// How often a stage is repeated that is the only one.
const REPEATS: usize = 4;
/// How many objects drift at once.
const DRIFTED: usize = 100;
/// The parts of the control plane, as far as a process's name goes.
const SERVERS: [&str; 5] = ["kube-apiserver", "etcd", "kube-controller", "kube-scheduler", "kwok"];
/// A priority class of which the quota allows no pod: what has it is over quota, and nobody else is.
const OVER_QUOTA: &str = "bench-over-quota";

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let projects = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(100);
    let Some(cluster) = ControlPlane::with_pods() else {
        say("not measured: there is no control plane");
        return;
    };
    let fleet = Fleet::make(cluster, projects).await;
    if let Some(only) = std::env::args().skip_while(|argument| argument != "--only").nth(1) {
        fleet.only(&only).await;
        return;
    }
    fleet.manager().await;
    if std::env::args().any(|argument| argument == "--alone") {
        return;
    }
    fleet.at_rest().await;
    fleet.flux();
    fleet.kubectl();
}

fn say(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A manager at work, with the clone that people push from.
struct Running {
    manager: Manager,
    clone: PathBuf,
    namespace: String,
    user: User,
}

/// How a plain loop goes over the objects of a fleet.
#[derive(Clone, Copy, PartialEq)]
struct Loop {
    /// How many requests it has on their way.
    at_once: usize,
    /// Whether it goes project by project, and not kind by kind.
    by_project: bool,
}

impl std::fmt::Display for Loop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "plain loop of {}, {}",
            self.at_once,
            if self.by_project { "project by project" } else { "kind by kind" }
        )
    }
}

/// Whoever applies objects without looking at anything, in a namespace of his own.
struct Plain {
    how: Loop,
    namespace: String,
    client: kube::Client,
    /// Objects a second.
    rate: f64,
}

impl Plain {
    /// One forced server-side apply.
    fn apply(&self, object: &Value) -> impl Future<Output = ()> + use<> {
        let mut object = object.clone();
        object["metadata"]["namespace"] = json!(self.namespace);
        let api = api_of(&self.client, &object, &self.namespace);
        async move {
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            api.patch(&name, &PatchParams::apply("plain").force(), &Patch::Apply(&object)).await.expect("applied");
        }
    }
}

/// Looks on at the StatefulSets of a namespace by one watch: asking again and again would take one of the cores.
struct Onlooker {
    sets: Api<StatefulSet>,
    /// Up to where it has seen.
    version: String,
    events: BoxStream<'static, kube::Result<WatchEvent<StatefulSet>>>,
}

impl Onlooker {
    async fn new(cluster: &ControlPlane, namespace: &str) -> Self {
        let sets: Api<StatefulSet> = Api::namespaced(cluster.client().await, namespace);
        let list = sets.list_metadata(&ListParams::default().limit(1)).await.unwrap();
        let version = list.metadata.resource_version.unwrap();
        let events = sets.watch(&WatchParams::default(), &version).await.unwrap().boxed();
        Self { sets, version, events }
    }

    /// The next one that was changed. A watch that the server ends goes on where it was.
    async fn next(&mut self) -> StatefulSet {
        loop {
            match self.events.next().await {
                None => {
                    let events = self.sets.watch(&WatchParams::default(), &self.version).await;
                    self.events = events.unwrap().boxed();
                }
                Some(Ok(WatchEvent::Modified(set))) => {
                    self.version = set.metadata.resource_version.clone().unwrap();
                    return set;
                }
                Some(Ok(WatchEvent::Error(status))) => panic!("the watch ends: {status:?}"),
                Some(other) => drop(other.unwrap()),
            }
        }
    }

    /// Waits until one has this display name.
    async fn sees(&mut self, display: &str) {
        while display_name(&self.next().await).map(String::as_str) != Some(display) {}
    }
}

/// The state repository of a fleet, in a clone without a home, and its objects.
struct Fleet {
    cluster: &'static ControlPlane,
    projects: usize,
    directory: tempfile::TempDir,
    objects: Vec<Value>,
}

impl Fleet {
    /// Makes one project through the API and copies its overlay, so that the copies are what the API would have made.
    async fn make(cluster: &'static ControlPlane, projects: usize) -> Self {
        let manager = Manager::embedded();
        let body = json!({"name": "p0000", "shortName": "p0000", "gitRepository": "https://git.example/team/app.git"});
        manager.expect("POST", "/api/projects", Some(body), 201).await;
        manager.expect("POST", "/api/projects/p0000/stop", None, 200).await;
        let clone = manager.clone_state("clone");
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        std::fs::create_dir(&state).unwrap();
        copy(&clone, &state);
        let overlay = std::fs::read_to_string(state.join("projects/p0000/kustomization.yaml")).unwrap();
        let root = std::fs::read_to_string(state.join("kustomization.yaml")).unwrap();
        let mut lines = String::new();
        for number in 0..projects {
            let name = format!("p{number:04}");
            let folder = state.join("projects").join(&name);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("kustomization.yaml"), overlay.replace("p0000", &name)).unwrap();
            lines.push_str(&format!("- projects/{name}\n"));
        }
        std::fs::write(state.join("kustomization.yaml"), root.replace("- projects/p0000\n", &lines)).unwrap();
        let built = manager.command(&["build", &state.display().to_string()]).output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let objects = serde_yaml_documents(&built.stdout);
        say(&format!("{projects} projects, {} objects, {} cores", objects.len(), cores()));
        Self { cluster, projects, directory, objects }
    }

    fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// Every object once by a forced server-side apply.
    async fn plain_loop(&self, how: Loop) -> Plain {
        let namespace = self.cluster.namespace("plain");
        // An account like the manager's: the administrator's requests are neither queued nor noted.
        let client = control_plane::client(&self.cluster.user().kubeconfig).await;
        let mut plain = Plain { how, namespace, client, rate: 0.0 };
        let mut objects: Vec<&Value> = self.objects.iter().collect();
        if how.by_project {
            objects.sort_by_key(|object| object["metadata"]["labels"]["claude-manager.io/project"].as_str());
        }
        let before = cpu("self");
        let servers = self.servers_cpu();
        let began = Instant::now();
        let applies = objects.into_iter().map(|object| plain.apply(object));
        stream::iter(applies).buffer_unordered(how.at_once).collect::<Vec<()>>().await;
        let took = began.elapsed();
        plain.rate = self.objects.len() as f64 / took.as_secs_f64();
        say(&format!(
            "{how}: cold {took:.2?}, {:.0} objects/s, {:.1} CPU s; {}",
            plain.rate,
            cpu("self") - before,
            self.servers(&servers)
        ));
        plain
    }

    /// When the API server had answered this user's last write.
    fn last_write(&self, user: &User) -> jiff::Timestamp {
        let log = std::fs::read_to_string(self.cluster.kubeconfig().with_file_name("audit.log")).unwrap();
        let entries = log.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let is_write = |entry: &Value| {
            entry["user"]["username"] == *user.name && entry["stage"] == "ResponseComplete" && entry["verb"] == "patch"
        };
        entries.filter(is_write).map(|entry| entry["stageTimestamp"].as_str().unwrap().parse().unwrap()).max().unwrap()
    }

    fn servers_cpu(&self) -> Vec<f64> {
        let directory = self.cluster.kubeconfig().parent().unwrap();
        SERVERS.iter().map(|name| processes(name, directory).iter().map(|pid| cpu(pid)).sum()).collect()
    }

    /// The processor time that each part of the control plane has used since.
    fn servers(&self, before: &[f64]) -> String {
        let used = self.servers_cpu();
        let parts = SERVERS.iter().zip(used.iter().zip(before));
        parts.map(|(name, (now, then))| format!("{name} {:.1}", now - then)).collect::<Vec<_>>().join(", ") + " CPU s"
    }

    /// Some stages, as often as it takes to see how much they vary.
    async fn only(&self, stage: &str) {
        match stage {
            "cold" => return self.colds().await,
            "flux" => {
                drop(self.cold().await);
                self.at_rest().await;
                return self.flux();
            }
            _ => {}
        }
        let plain = self.plain_loop(LOOPS[1]).await;
        self.at_rest().await;
        let (mut running, _) = self.cold().await;
        self.at_rest().await;
        for (turn, stage) in (0..REPEATS).flat_map(|turn| stage.split(',').map(move |stage| (turn, stage))) {
            match stage {
                "change" => self.one_change(&running, &plain).await,
                "all" => self.all_changed(&running).await,
                "bad" => self.bad_neighbours(&running).await,
                "drift" => self.drift(&running, &plain, turn % 2 == 1).await,
                "quiet" => self.quiet(&mut running).await,
                _ => panic!("there is no stage {stage}"),
            }
            self.at_rest().await;
        }
    }

    /// Plain loops and managers in turns, each in a namespace of its own: the speed of a shared machine changes within
    /// minutes, and what there is already slows its controllers down.
    async fn colds(&self) {
        let mut before = self.plain_loops(&LOOPS).await;
        let mut shares = vec![Vec::new(); before.len()];
        for _ in 0..REPEATS {
            let (running, rate) = self.cold().await;
            drop(running);
            self.at_rest().await;
            let after = self.plain_loops(&LOOPS).await;
            for (shares, (before, after)) in shares.iter_mut().zip(before.iter().zip(&after)) {
                shares.push(200.0 * rate / (before.rate + after.rate));
            }
            before = after;
        }
        for (Plain { how, .. }, mut shares) in before.iter().zip(shares) {
            shares.sort_by(f64::total_cmp);
            let shown: Vec<String> = shares.iter().map(|share| format!("{share:.0} %")).collect();
            say(&format!("manager: of the {how}, before and after each: {}", shown.join(", ")));
        }
    }

    /// Plain loops, each at rest.
    async fn plain_loops(&self, all: &[Loop]) -> Vec<Plain> {
        let mut loops = Vec::new();
        for how in all {
            loops.push(self.plain_loop(*how).await);
            self.at_rest().await;
        }
        loops
    }

    /// Starts a manager and pushes the fleet; gives the rate of objects a second.
    async fn cold(&self) -> (Running, f64) {
        let namespace = self.cluster.namespace("manager");
        let user = self.cluster.user();
        let kubeconfig = user.kubeconfig.display().to_string();
        let manager =
            Manager::start(&[("KUBECONFIG", &kubeconfig), ("KUBERNETES_NAMESPACE", &namespace), ("LOG_LEVEL", "warn")]);
        let clone = manager.clone_state("clone");
        copy(&self.state().join("projects"), &clone.join("projects"));
        let root = std::fs::read_to_string(self.state().join("kustomization.yaml")).unwrap();
        let own = std::fs::read_to_string(clone.join("kustomization.yaml")).unwrap();
        let line = own.lines().find(|line| line.starts_with("namespace:")).unwrap();
        let root: Vec<&str> =
            root.lines().map(|text| if text.starts_with("namespace:") { line } else { text }).collect();
        std::fs::write(clone.join("kustomization.yaml"), root.join("\n") + "\n").unwrap();
        git_ok(&clone, &["add", "--all"]);
        git_ok(&clone, &["commit", "-q", "-m", "The fleet"]);
        let pushed = Instant::now();
        git_ok(&clone, &["push", "-q"]);
        let judged = pushed.elapsed();
        let servers = self.servers_cpu();
        let before = cpu(&manager.pid().to_string());
        let began = (Instant::now(), jiff::Timestamp::now());
        self.settled(&manager).await;
        let settled = began.0.elapsed();
        // The plain loop ends with its last answer, too.
        let took = self.last_write(&user).duration_since(began.1).unsigned_abs();
        say(&format!(
            "manager cold: {:.1} CPU s, {}",
            cpu(&manager.pid().to_string()) - before,
            self.servers(&servers)
        ));
        let rate = self.objects.len() as f64 / took.as_secs_f64();
        say(&format!(
            "manager: cold {took:.2?} from the push that was accepted (its check took {judged:.2?}) to the last answer, \
             {rate:.0} objects/s; all told as applied after {settled:.2?}"
        ));
        let running = Running { manager, clone, namespace, user };
        self.figures(&running, "after the cold apply");
        (running, rate)
    }

    async fn manager(&self) {
        // Controllers go over all objects that there are again and again: the manager comes to those of some loops, the first
        // loop to none, and the last to those of all.
        let (first, last) = if self.projects <= LARGE { (&LOOPS[..], &LOOPS[..]) } else { (&LOOPS[1..2], &LOOPS[2..]) };
        let before = self.plain_loops(first).await;
        let (mut running, rate) = self.cold().await;
        self.at_rest().await;
        let after = self.plain_loops(last).await;
        for how in LOOPS {
            let same = before.iter().chain(&after).filter(|plain| plain.how == how);
            let shares: Vec<f64> = same.map(|plain| 100.0 * rate / plain.rate).collect();
            if !shares.is_empty() {
                let shown: Vec<String> = shares.iter().map(|share| format!("{share:.0} %")).collect();
                say(&format!("manager: of the {how}, in the same run: {}", shown.join(", ")));
            }
        }
        let plain = before.into_iter().next().unwrap();

        self.one_change(&running, &plain).await;
        self.all_changed(&running).await;
        self.bad_neighbours(&running).await;
        self.drift(&running, &plain, false).await;
        self.quiet(&mut running).await;
    }

    /// What a resync, nothing to do, and a restart cost.
    async fn quiet(&self, running: &mut Running) {
        let Running { manager, user, .. } = running;
        let before = self.writes(user).len();
        let all = self.cluster.requests(&user.name).len();
        manager.expect("POST", "/api/projects/p0000/refresh", None, 200).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        say(&format!(
            "manager: resync and 5 s of quiet: {} requests ({} writes)",
            self.cluster.requests(&user.name).len() - all,
            self.writes(user).len() - before
        ));

        manager.kill();
        let started = Instant::now();
        manager.run();
        let serving = started.elapsed();
        self.settled(manager).await;
        say(&format!(
            "manager: restart: serving after {serving:.2?}, settled after {:.2?}, {} writes",
            started.elapsed(),
            self.writes(user).len() - before
        ));
        tokio::time::sleep(Duration::from_secs(3)).await;
        self.figures(running, "after the restart");
    }

    /// Waits until every project is applied.
    async fn settled(&self, manager: &Manager) {
        loop {
            let page = manager.expect("GET", "/api/projects?limit=1&phase=Stopped", None, 200).await;
            if page["total"] == self.projects {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until the controllers have done with what was made for one measurement, or the next would measure them: they
    /// work for a minute after a thousand StatefulSets.
    async fn at_rest(&self) {
        let controllers = processes("kube-controller", self.cluster.kubeconfig().parent().unwrap());
        let used = || controllers.iter().map(|pid| cpu(pid)).sum::<f64>();
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(600) {
            let before = used();
            tokio::time::sleep(Duration::from_secs(3)).await;
            if used() - before < 0.3 {
                break;
            }
        }
    }

    /// One project changed, in turns with the same write by whoever looks at nothing: what is more, is the manager's.
    async fn one_change(&self, running: &Running, plain: &Plain) {
        let Running { manager, namespace, user, .. } = running;
        let before = self.cluster.requests(&user.name).len();
        let mut ours = Onlooker::new(self.cluster, namespace).await;
        let mut theirs = Onlooker::new(self.cluster, &plain.namespace).await;
        let (mut times, mut writes) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            times.push(self.change(manager, &mut ours, &format!("Round {round}"), round).await);
            let name = format!("{}-env", self.healthy(round));
            let is_it = |object: &&Value| object["kind"] == "StatefulSet" && object["metadata"]["name"] == *name;
            let mut set = self.objects.iter().find(is_it).unwrap().clone();
            let display = format!("Round {round}, {}", jiff::Timestamp::now());
            set["metadata"]["annotations"]["claude-manager.io/display-name"] = json!(display);
            let asked = Instant::now();
            plain.apply(&set).await;
            theirs.sees(&display).await;
            writes.push(asked.elapsed());
        }
        let requests = self.cluster.requests(&user.name).len() - before;
        say(&format!(
            "manager: one project changed, call to applied: {}, {requests} requests for {ROUNDS}; a plain apply of the same, \
             in turns: {}",
            spread(&mut times),
            spread(&mut writes)
        ));
    }

    /// Commits to the base that change every project: one object of each, and then two of each, which are shown to the API
    /// server before they are applied.
    async fn all_changed(&self, running: &Running) {
        let Running { manager, clone, user, .. } = running;
        for (title, files) in [
            ("one object", ["serviceaccount.yaml"].as_slice()),
            ("two objects", ["serviceaccount.yaml", "service.yaml"].as_slice()),
        ] {
            git_ok(clone, &["pull", "-q", "--rebase"]);
            for file in files {
                let path = clone.join("base").join(file);
                let text = std::fs::read_to_string(&path).unwrap();
                let plain =
                    text.lines().filter(|line| !line.contains("{bench: ")).collect::<Vec<_>>().join("\n") + "\n";
                let again = plain.replace(
                    "  name: env\n",
                    &format!("  name: env\n  annotations: {{bench: \"{title}, {}\"}}\n", jiff::Timestamp::now()),
                );
                assert_ne!(again, plain);
                std::fs::write(&path, again).unwrap();
            }
            git_ok(clone, &["commit", "-q", "-a", "-m", title]);
            let head = git_ok(clone, &["rev-parse", "HEAD"]).trim().to_owned();
            let (requests, used) = (self.cluster.requests(&user.name).len(), cpu(&manager.pid().to_string()));
            git_ok(clone, &["push", "-q"]);
            let began = Instant::now();
            for page in 1..=self.projects.div_ceil(100) {
                let path = format!("/api/projects?limit=100&page={page}");
                let is_there = |list: &Value| {
                    list["items"].as_array().unwrap().iter().all(|project| project["appliedRevision"] == *head)
                };
                while !is_there(&manager.expect("GET", &path, None, 200).await) {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            let took = began.elapsed();
            let sent = &self.cluster.requests(&user.name)[requests..];
            let asked = sent.iter().filter(|request| request.uri.contains("dryRun")).count();
            say(&format!(
                "manager: {title} of each project changed by one commit: all applied {took:.2?} after the push, {} requests, \
                 {asked} of them beforehand; {:.1} CPU s",
                sent.len(),
                cpu(&manager.pid().to_string()) - used
            ));
            self.at_rest().await;
        }
    }

    /// Changes one healthy project after the other, and waits for each in the cluster.
    async fn changes(&self, manager: &Manager, namespace: &str, title: &str) -> Vec<Duration> {
        let mut onlooker = Onlooker::new(self.cluster, namespace).await;
        let mut times = Vec::new();
        for round in 0..ROUNDS {
            times.push(self.change(manager, &mut onlooker, &format!("{title} {round}"), round).await);
        }
        times
    }

    async fn change(&self, manager: &Manager, onlooker: &mut Onlooker, title: &str, round: usize) -> Duration {
        let display = format!("{title}, {}", jiff::Timestamp::now());
        let asked = Instant::now();
        let path = format!("/api/projects/{}", self.healthy(round));
        manager.expect("PUT", &path, Some(json!({"name": display})), 200).await;
        onlooker.sees(&display).await;
        asked.elapsed()
    }

    /// The project whose turn it is; the last three are the bad ones.
    fn healthy(&self, round: usize) -> String {
        format!("p{:04}", (round * 7) % (self.projects - 3))
    }

    /// What a project with a broken image, one that is no YAML and one over quota do to the others, and how soon the commit
    /// that mends them is in the cluster.
    async fn bad_neighbours(&self, running: &Running) {
        let Running { manager, clone, namespace, user } = running;
        self.cluster.apply(vec![
            json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": OVER_QUOTA}, "value": 1}),
            json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none", "namespace": namespace},
                "spec": {"hard": {"pods": "0"}, "scopeSelector": {"matchExpressions": [
                    {"scopeName": "PriorityClass", "operator": "In", "values": [OVER_QUOTA]}]}}}),
        ]);
        let [image, quota, yaml] = [3, 2, 1].map(|from_the_end| format!("p{:04}", self.projects - from_the_end));
        // Volumes for their claims alone: those of a thousand stopped projects want some, too.
        let volumes = [&image, &quota]
            .into_iter()
            .flat_map(|name| ["config", "workspace"].map(|volume| format!("{name}-{volume}")));
        let volume = |claim: String| {
            json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": format!("bench-{claim}")}, "spec": {
                "capacity": {"storage": "100Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "",
                "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": format!("/nowhere/{claim}")},
                "claimRef": {"namespace": namespace, "name": claim},
            }})
        };
        self.cluster.apply(volumes.map(volume).collect());
        // The hook would keep the third one out; a remote repository does not have our hook.
        let hook = manager.data().join("state.git/hooks/pre-receive");
        if hook.exists() {
            std::fs::remove_file(hook).unwrap();
        }
        git_ok(clone, &["pull", "-q", "--rebase"]);
        let overlay = |name: &str| clone.join("projects").join(name).join("kustomization.yaml");
        let [good, running] = {
            let stopped = std::fs::read_to_string(overlay(&image)).unwrap();
            let running = stopped.replace("count: 0", "count: 1");
            assert_ne!(stopped, running);
            [stopped, running]
        };
        let write = |name: &str, text: String| std::fs::write(overlay(name), text.replace(&image, name)).unwrap();
        let patch = |field: &str, value: &str| {
            format!(
                "- target: {{kind: StatefulSet}}\n  patch: |-\n    - {{op: add, path: /spec/template/spec/{field}, value: \"{value}\"}}\n"
            )
        };
        let patched = |patch: String| match running.contains("\npatches:\n") {
            true => running.replace("\npatches:\n", &format!("\npatches:\n{patch}")),
            false => format!("{running}patches:\n{patch}"),
        };

        // In turns, the healthy figure on both sides of the broken one, so that what the machine does meanwhile is in both.
        let (mut alone, mut beside, mut requests, mut mended) = (Vec::new(), Vec::new(), 0, Vec::new());
        for turn in 0..TURNS {
            alone.extend(self.changes(manager, namespace, &format!("Alone {turn}")).await);
            git_ok(clone, &["pull", "-q", "--rebase"]);
            write(&image, patched(patch("containers/0/image", MISSING_IMAGE)));
            write(&quota, patched(patch("priorityClassName", OVER_QUOTA)));
            write(&yaml, format!("{good}resources: [\n"));
            git_ok(clone, &["commit", "-q", "-a", "-m", "Three break"]);
            git_ok(clone, &["push", "-q"]);
            for (name, reason) in [(&image, "ImagePullFailed"), (&quota, "PodRefused"), (&yaml, "RenderFailed")] {
                manager.project_until(name, |project| project["reason"] == reason).await;
            }
            let before = self.cluster.requests(&user.name).len();
            beside.extend(self.changes(manager, namespace, &format!("Beside {turn}")).await);
            requests += self.cluster.requests(&user.name).len() - before;
            git_ok(clone, &["pull", "-q", "--rebase"]);
            write(&image, running.clone());
            write(&quota, running.clone());
            write(&yaml, good.clone());
            git_ok(clone, &["commit", "-q", "-a", "-m", "Three are mended"]);
            git_ok(clone, &["push", "-q"]);
            let began = Instant::now();
            for (name, phase) in [(&image, "Running"), (&quota, "Running"), (&yaml, "Stopped")] {
                manager.project_until(name, |project| project["phase"] == phase).await;
            }
            mended.push(began.elapsed());
        }
        alone.extend(self.changes(manager, namespace, "Alone at last").await);
        say(&format!("manager: one project changed, call to applied, alone: {}", spread(&mut alone)));
        say(&format!(
            "manager: the same beside a bad image, bad YAML and one over quota: {}, {requests} requests for {}; mended and \
             healthy after the push: {}",
            spread(&mut beside),
            beside.len(),
            spread(&mut mended)
        ));
        for name in [&image, &quota] {
            manager.expect("POST", &format!("/api/projects/{name}/stop"), None, 200).await;
        }
        self.settled(manager).await;
    }

    /// Many objects changed by somebody else at once, until each is as it was. `heal` is called with the name of each that it sees changed.
    async fn drifted(&self, namespace: &str, heal: impl Fn(&str)) -> String {
        let sets: Api<StatefulSet> = Api::namespaced(self.cluster.client().await, namespace);
        let count = DRIFTED.min(self.projects);
        let mut onlooker = Onlooker::new(self.cluster, namespace).await;
        let servers = self.servers_cpu();
        let began = Instant::now();
        let change = move |number: usize| {
            let sets = sets.clone();
            async move {
                let patch = json!({"metadata": {"annotations": {"claude-manager.io/display-name": "drifted"}}});
                sets.patch(&format!("p{number:04}-env"), &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
            }
        };
        let changed = tokio::spawn(async move {
            stream::iter((0..count).map(change)).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
            began.elapsed()
        });
        let (mut drifted, mut times) = (BTreeMap::new(), Vec::new());
        while times.len() < count {
            let set = onlooker.next().await;
            let name = set.metadata.name.clone().unwrap();
            match display_name(&set).map(String::as_str) {
                Some("drifted") => {
                    heal(&name);
                    drifted.insert(name, Instant::now());
                }
                _ => times.extend(drifted.remove(&name).map(|at: Instant| at.elapsed())),
            }
        }
        let all = began.elapsed();
        format!(
            "drift of {count} objects within {:.2?}, each healed after: {}; all after {all:.2?}; {}",
            changed.await.unwrap(),
            spread(&mut times),
            self.servers(&servers)
        )
    }

    /// Drift and how the manager heals it, before or after the best that the API server gives.
    async fn drift(&self, running: &Running, plain: &Plain, plain_first: bool) {
        let Running { manager, namespace, user, .. } = running;
        if plain_first {
            self.plain_healer(plain).await;
            self.at_rest().await;
        }
        let writes = self.writes(user).len();
        let used = cpu(&manager.pid().to_string());
        let told = self.drifted(namespace, |_| {}).await;
        self.settled(manager).await;
        say(&format!(
            "manager: {told}; {:.1} CPU s of its own, {} writes",
            cpu(&manager.pid().to_string()) - used,
            self.writes(user).len() - writes
        ));
        if !plain_first {
            self.at_rest().await;
            self.plain_healer(plain).await;
        }
    }

    /// Whoever sees a change and writes the object again at once.
    async fn plain_healer(&self, plain: &Plain) {
        let sets = self.objects.iter().filter(|object| object["kind"] == "StatefulSet");
        let sets: BTreeMap<&str, &Value> =
            sets.map(|object| (object["metadata"]["name"].as_str().unwrap(), object)).collect();
        let heal = |name: &str| drop(tokio::spawn(plain.apply(sets[name])));
        say(&format!("plain healer: {}", self.drifted(&plain.namespace, heal).await));
    }

    fn writes(&self, user: &User) -> Vec<String> {
        let all = self.cluster.requests(&user.name).into_iter().map(|request| request.verb);
        all.filter(|verb| !matches!(verb.as_str(), "get" | "list" | "watch")).collect()
    }

    fn figures(&self, running: &Running, when: &str) {
        let pid = running.manager.pid().to_string();
        let mut verbs: BTreeMap<String, usize> = BTreeMap::new();
        for request in self.cluster.requests(&running.user.name) {
            *verbs.entry(request.verb).or_default() += 1;
        }
        say(&format!(
            "manager {when}: {:.1} CPU s, {} now ({} of it its own, the rest the program's file), {} at most, requests {verbs:?}",
            cpu(&pid),
            memory(&pid, "VmRSS"),
            memory(&pid, "RssAnon"),
            memory(&pid, "VmHWM")
        ));
    }

    /// The peer on Flux's libraries, cold and with nothing to do.
    fn flux(&self) {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/flux");
        let program = self.directory.path().join("flux");
        let built = Command::new("go").current_dir(&source).args(["build", "-o"]).arg(&program).arg(".").status();
        if !built.is_ok_and(|status| status.success()) {
            say("peer on Flux's libraries: not measured, it could not be built");
            return;
        }
        let namespace = self.cluster.namespace("flux");
        let user = self.cluster.user();
        for when in ["cold", "again"] {
            let before = self.cluster.requests(&user.name).len();
            let cpu_before = children_cpu();
            let output = Command::new(&program)
                .arg(&user.kubeconfig)
                .args([&namespace, &self.state().display().to_string(), "20"])
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            say(&format!(
                "peer on Flux's libraries, {when}: {} s, {:.1} CPU s, {} requests",
                text.split_whitespace().next().unwrap_or_default(),
                children_cpu() - cpu_before,
                self.cluster.requests(&user.name).len() - before
            ));
        }
    }

    fn kubectl(&self) {
        if self.projects > KUBECTL {
            say(&format!("kubectl apply --server-side -k: not measured with more than {KUBECTL} projects"));
            return;
        }
        let namespace = self.cluster.namespace("kubectl");
        let root = self.state().join("kustomization.yaml");
        let text = std::fs::read_to_string(&root).unwrap();
        let text: Vec<String> = text
            .lines()
            .map(
                |line| if line.starts_with("namespace:") { format!("namespace: {namespace}") } else { line.to_owned() },
            )
            .collect();
        std::fs::write(&root, text.join("\n") + "\n").unwrap();
        for when in ["cold", "again"] {
            let began = Instant::now();
            let path = self.state().display().to_string();
            self.cluster.expect(["apply", "--server-side", "--force-conflicts", "--field-manager=peer", "-k", &path]);
            say(&format!("kubectl apply --server-side -k, {when}: {:.2?}", began.elapsed()));
        }
    }
}

fn display_name(set: &StatefulSet) -> Option<&String> {
    set.metadata.annotations.as_ref()?.get("claude-manager.io/display-name")
}

fn api_of(client: &kube::Client, object: &Value, namespace: &str) -> Api<DynamicObject> {
    let (api_version, kind) = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let plural = match kind {
        "NetworkPolicy" => "networkpolicies".to_owned(),
        kind => kind.to_lowercase() + "s",
    };
    let resource = ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        plural,
    };
    Api::namespaced_with(client.clone(), namespace, &resource)
}

fn serde_yaml_documents(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).unwrap();
    let documents = text.split("\n---\n").map(|text| serde_yaml::from_str::<Value>(text).unwrap());
    documents.filter(|document| !document.is_null()).collect()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true if entry.file_name() == ".git" => {}
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), &target).unwrap()),
        }
    }
}

/// Seconds of processor time of a process so far.
fn cpu(pid: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<f64> =
        stat.rsplit(") ").next().unwrap_or_default().split(' ').map(|field| field.parse().unwrap_or(0.0)).collect();
    // utime and stime, in hundredths of a second on every Linux that this runs on.
    fields.get(11..13).map_or(0.0, |times| times.iter().sum::<f64>() / 100.0)
}

/// Seconds of processor time of the processes that this one started and that have ended.
fn children_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> =
        stat.rsplit(") ").next().unwrap_or_default().split(' ').map(|field| field.parse().unwrap_or(0.0)).collect();
    fields.get(13..15).map_or(0.0, |times| times.iter().sum::<f64>() / 100.0)
}

/// The processes whose name begins so and that were started in this directory.
fn processes(name: &str, directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let comm = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let cwd = |pid: &str| std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
    pids.filter(|pid| comm(pid).starts_with(name) && cwd(pid) == directory).collect()
}

fn memory(pid: &str, field: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap_or_default();
    let kilobytes: u64 = line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
    format!("{} MB", kilobytes / 1024)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Median, 95th percentile and worst.
fn spread(times: &mut [Duration]) -> String {
    times.sort();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)].as_millis();
    format!("p50 {} ms, p95 {} ms, max {} ms", at(50), at(95), at(100))
}
