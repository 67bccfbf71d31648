//! Figures for Prometheus, in a registry of their own.
//!
//! **Architecture invariant:** every label value comes from a bounded set (route templates, kinds, phases, the first few
//! field managers), never from a request or a project's name, so that no client can make the registry grow.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
    exponential_buckets,
};

use crate::project::Phase;

/// So many field managers have a name of their own in the figures.
const MANAGERS: usize = 16;
/// The longest such name.
const LONGEST_MANAGER: usize = 64;

/// The figures of this process; cheap to clone, all clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    http_requests: IntCounterVec,
    http_duration: HistogramVec,
    projects: IntGaugeVec,
    operations: IntCounterVec,
    creation: HistogramVec,
    kubernetes_requests: IntCounterVec,
    kubernetes_operations: IntCounterVec,
    kubernetes_resources: IntGaugeVec,
    reconcile: HistogramVec,
    drift: IntCounterVec,
    managers: Arc<Mutex<BTreeSet<String>>>,
    backups: HistogramVec,
    last_backup: IntGauge,
    health: IntGaugeVec,
    errors: IntCounterVec,
    connections_closed: IntCounterVec,
    chat_messages: IntCounterVec,
    chat_connections: IntGaugeVec,
    webhooks: IntCounterVec,
    webhook_processing: HistogramVec,
}

/// How something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Success,
    /// With an error.
    Failure,
}

impl Outcome {
    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }
}

impl<T, E> From<&Result<T, E>> for Outcome {
    fn from(result: &Result<T, E>) -> Self {
        if result.is_ok() { Self::Success } else { Self::Failure }
    }
}

impl Metrics {
    /// All figures at their beginning.
    ///
    /// # Errors
    /// When two figures have one name; a defect.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let vec = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(vec.clone()))?;
            Ok::<_, prometheus::Error>(vec)
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let vec = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(vec.clone()))?;
            Ok::<_, prometheus::Error>(vec)
        };
        let histogram = |name: &str, help: &str, buckets: Vec<f64>, labels: &[&str]| {
            let vec = HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets), labels)?;
            registry.register(Box::new(vec.clone()))?;
            Ok::<_, prometheus::Error>(vec)
        };
        let metrics = Self {
            http_requests: counter(
                "http_requests_total",
                "Requests answered, by method, route template and status code.",
                &["method", "route", "status_code"],
            )?,
            http_duration: histogram(
                "http_request_duration_seconds",
                "Time to answer a request.",
                exponential_buckets(0.001, 2.0, 15)?,
                &["method", "route", "status_code"],
            )?,
            projects: gauge("projects_total", "Projects by phase.", &["phase"])?,
            operations: counter(
                "project_operations_total",
                "Changes of projects that were asked for.",
                &["operation", "status"],
            )?,
            creation: histogram(
                "project_creation_duration_seconds",
                "Time from the request for a project to its commit.",
                exponential_buckets(0.005, 2.0, 14)?,
                &["result"],
            )?,
            kubernetes_requests: counter(
                "kubernetes_requests_total",
                "Requests to the Kubernetes API, reads and watches included, by verb and class of answer.",
                &["verb", "code"],
            )?,
            kubernetes_operations: counter(
                "kubernetes_operations_total",
                "Writes to the Kubernetes API.",
                &["operation", "resource", "result"],
            )?,
            kubernetes_resources: gauge("kubernetes_resources_total", "Managed objects by kind.", &["resource"])?,
            reconcile: histogram(
                "reconcile_duration_seconds",
                "Time from a commit seen to all of it applied, and to its project healthy.",
                exponential_buckets(0.005, 2.0, 18)?,
                &["stage"],
            )?,
            drift: counter("drift_corrections_total", "Objects changed back, by who had changed them.", &["manager"])?,
            managers: Arc::default(),
            backups: histogram(
                "backup_duration_seconds",
                "Time to make a backup, push it and read it back.",
                exponential_buckets(0.1, 2.0, 13)?,
                &["result"],
            )?,
            last_backup: {
                let help = "When the last backup succeeded, in seconds since 1970; 0 when none has.";
                let gauge = IntGauge::new("backup_last_success_timestamp_seconds", help)?;
                registry.register(Box::new(gauge.clone()))?;
                gauge
            },
            health: gauge("system_health_status", "Health of a component: 1 works, 0 does not.", &["component"])?,
            errors: counter("errors_total", "Errors by kind.", &["type"])?,
            connections_closed: counter(
                "http_connections_closed_total",
                "Connections that the manager refused or ended, by reason.",
                &["reason"],
            )?,
            chat_messages: counter(
                "chat_messages_total",
                "Prompts that were accepted and answers that were given, by way.",
                &["kind", "source"],
            )?,
            chat_connections: gauge("active_chat_connections", "Open sockets of the chat.", &[])?,
            webhooks: counter(
                "webhook_requests_total",
                "Webhooks that were answered; a refused one is a failure.",
                &["webhook", "result"],
            )?,
            webhook_processing: histogram(
                "webhook_processing_duration_seconds",
                "Time to do what a webhook asks for, without the time that it waited.",
                exponential_buckets(0.002, 2.0, 14)?,
                &["webhook", "result"],
            )?,
            registry,
        };
        // A phase that no project is in is a zero, not an absent series: an alert can then tell it from no data.
        for phase in Phase::ALL {
            metrics.projects.with_label_values(&[phase.as_str()]).set(0);
        }
        for source in ["api", "chat", "jira", "ui", "webhook"] {
            let _ = metrics.chat_messages.with_label_values(&["prompt", source]);
        }
        metrics.chat_connections.with_label_values::<&str>(&[]).set(0);
        for webhook in ["jira", "trigger"] {
            for outcome in [Outcome::Success, Outcome::Failure] {
                let _ = metrics.webhooks.with_label_values(&[webhook, outcome.as_str()]);
            }
        }
        for reason in ["refused", "evicted", "slow-head", "idle", "stalled"] {
            let _ = metrics.connections_closed.with_label_values(&[reason]);
        }
        Ok(metrics)
    }

    /// Counts an answered webhook: `jira` or `trigger`.
    pub fn webhook(&self, webhook: &'static str, outcome: Outcome) {
        self.webhooks.with_label_values(&[webhook, outcome.as_str()]).inc();
    }

    /// Records how long one try to do what a webhook asks for took.
    pub fn webhook_processed(&self, webhook: &'static str, outcome: Outcome, took: Duration) {
        self.webhook_processing.with_label_values(&[webhook, outcome.as_str()]).observe(took.as_secs_f64());
    }

    /// Counts a message that people or programs sent into a conversation: a `prompt` or an `answer`.
    pub fn chat_message(&self, kind: &'static str, source: &'static str) {
        self.chat_messages.with_label_values(&[kind, source]).inc();
    }

    /// Counts a socket of the chat as open until the guard is dropped.
    #[must_use]
    pub fn chat_connection(&self) -> ChatConnection {
        let gauge = self.chat_connections.with_label_values::<&str>(&[]);
        gauge.inc();
        ChatConnection(gauge)
    }

    /// Counts an answered request. `route` is the template that matched, as in `/api/projects/{id}`.
    pub fn request(&self, method: &str, route: &str, status: u16, took: Duration) {
        let labels = &[known_method(method), route, &status.to_string()];
        self.http_requests.with_label_values(labels).inc();
        self.http_duration.with_label_values(labels).observe(took.as_secs_f64());
    }

    /// Sets how many projects are in each phase; phases that are not named have none.
    pub fn set_projects(&self, phases: impl Iterator<Item = Phase>) {
        let mut counts = Phase::ALL.map(|phase| (phase, 0));
        for phase in phases {
            for (counted, count) in &mut counts {
                *count += i64::from(*counted == phase);
            }
        }
        for (phase, count) in counts {
            self.projects.with_label_values(&[phase.as_str()]).set(count);
        }
    }

    /// Counts a change of a project: `create`, `change`, `delete`, `start`, `stop`, `refresh`.
    pub fn project_operation(&self, operation: &'static str, outcome: Outcome) {
        self.operations.with_label_values(&[operation, outcome.as_str()]).inc();
    }

    /// Records how long the creation of a project took.
    pub fn project_creation(&self, outcome: Outcome, took: Duration) {
        self.creation.with_label_values(&[outcome.as_str()]).observe(took.as_secs_f64());
    }

    /// Counts a request to the Kubernetes API: `get`, `list`, `watch`, `create`, `patch`, `delete`. Without a status nobody
    /// answered.
    pub fn kubernetes_request(&self, verb: &'static str, status: Option<u16>) {
        let class = match status {
            Some(100..200) => "1xx",
            Some(200..300) => "2xx",
            Some(300..400) => "3xx",
            Some(400..500) => "4xx",
            Some(_) => "5xx",
            None => "none",
        };
        self.kubernetes_requests.with_label_values(&[verb, class]).inc();
    }

    /// Counts a write to the Kubernetes API. `resource` is the object's kind.
    pub fn kubernetes_operation(&self, operation: &'static str, resource: &str, outcome: Outcome) {
        self.kubernetes_operations.with_label_values(&[operation, resource, outcome.as_str()]).inc();
    }

    /// Sets how many managed objects there are of each kind; kinds that are not named have none.
    pub fn set_kubernetes_resources<'a>(&self, counts: impl Iterator<Item = (&'a str, i64)>) {
        self.kubernetes_resources.reset();
        for (kind, count) in counts {
            self.kubernetes_resources.with_label_values(&[kind]).set(count);
        }
    }

    /// Records how long a commit took to be `applied`, or its project to be `healthy`.
    pub fn reconciled(&self, stage: &'static str, took: Duration) {
        self.reconcile.with_label_values(&[stage]).observe(took.as_secs_f64());
    }

    /// Counts an object that is changed back, by who had changed it. Field managers name themselves as they like, so only
    /// the first `MANAGERS` have a name here, and kubectl's many are one.
    pub fn drift(&self, manager: Option<&str>) {
        let Some(manager) = manager else { return self.drift.with_label_values(&["unknown"]).inc() };
        if manager.starts_with("kubectl") {
            return self.drift.with_label_values(&["kubectl"]).inc();
        }
        let name: String = manager.chars().filter(|c| !c.is_control()).take(LONGEST_MANAGER).collect();
        let mut named = self.managers.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = named.len() < MANAGERS;
        if has_room && !named.contains(&name) {
            named.insert(name.clone());
        }
        let label = if named.contains(&name) { name.as_str() } else { "other" };
        self.drift.with_label_values(&[label]).inc();
    }

    /// Records a backup that ended.
    pub fn backup(&self, outcome: Outcome, took: Duration) {
        self.backups.with_label_values(&[outcome.as_str()]).observe(took.as_secs_f64());
    }

    /// Sets when the last backup succeeded, in seconds since 1970.
    pub fn set_last_backup(&self, at: i64) {
        self.last_backup.set(at);
    }

    /// Sets whether a component works.
    pub fn set_health(&self, component: &'static str, works: bool) {
        self.health.with_label_values(&[component]).set(i64::from(works));
    }

    /// Counts an error: `internal`, `unavailable`, `apply`, `render` and the like.
    pub fn error(&self, kind: &'static str) {
        self.errors.with_label_values(&[kind]).inc();
    }

    /// Counts a connection that was refused or ended: `refused`, `evicted`, `slow-head`, `idle`, `stalled`.
    pub fn connection_closed(&self, reason: &'static str) {
        self.connections_closed.with_label_values(&[reason]).inc();
    }

    /// Everything in the text format of Prometheus.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics could not be written");
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// An open socket of the chat, in the figures.
#[derive(Debug)]
pub struct ChatConnection(IntGauge);

impl Drop for ChatConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Clients may send any word as a method.
fn known_method(method: &str) -> &str {
    match method {
        "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS" => method,
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_appear_under_their_documented_names() {
        let metrics = Metrics::new().unwrap();
        metrics.request("GET", "/api/projects/{id}", 200, Duration::from_millis(3));
        metrics.set_projects([Phase::Running, Phase::Running].into_iter());
        metrics.project_operation("create", Outcome::Success);
        metrics.project_creation(Outcome::Success, Duration::from_millis(20));
        metrics.kubernetes_operation("apply", "StatefulSet", Outcome::Failure);
        metrics.set_kubernetes_resources([("Service", 2)].into_iter());
        metrics.set_health("store", true);
        metrics.reconciled("applied", Duration::from_millis(20));
        metrics.drift(Some("somebody-with-any-name"));
        metrics.drift(None);
        metrics.kubernetes_request("watch", Some(200));
        metrics.kubernetes_request("patch", None);
        metrics.error("internal");
        metrics.backup(Outcome::Success, Duration::from_secs(1));
        metrics.set_last_backup(1_700_000_000);
        metrics.chat_message("prompt", "api");
        metrics.webhook("jira", Outcome::Failure);
        metrics.webhook_processed("jira", Outcome::Success, Duration::from_millis(20));
        metrics.connection_closed("evicted");
        let _open = metrics.chat_connection();
        drop(metrics.chat_connection());

        let text = metrics.render();
        for line in [
            "http_requests_total{method=\"GET\",route=\"/api/projects/{id}\",status_code=\"200\"} 1",
            "projects_total{phase=\"Running\"} 2",
            "projects_total{phase=\"Failed\"} 0",
            "project_operations_total{operation=\"create\",status=\"success\"} 1",
            "project_creation_duration_seconds_count{result=\"success\"} 1",
            "kubernetes_operations_total{operation=\"apply\",resource=\"StatefulSet\",result=\"failure\"} 1",
            "kubernetes_resources_total{resource=\"Service\"} 2",
            "reconcile_duration_seconds_count{stage=\"applied\"} 1",
            "drift_corrections_total{manager=\"somebody-with-any-name\"} 1",
            "kubernetes_requests_total{code=\"2xx\",verb=\"watch\"} 1",
            "kubernetes_requests_total{code=\"none\",verb=\"patch\"} 1",
            "drift_corrections_total{manager=\"unknown\"} 1",
            "system_health_status{component=\"store\"} 1",
            "errors_total{type=\"internal\"} 1",
            "backup_duration_seconds_count{result=\"success\"} 1",
            "backup_last_success_timestamp_seconds 1700000000",
            "chat_messages_total{kind=\"prompt\",source=\"api\"} 1",
            "active_chat_connections 1",
            "webhook_requests_total{result=\"failure\",webhook=\"jira\"} 1",
            "webhook_processing_duration_seconds_count{result=\"success\",webhook=\"jira\"} 1",
            "http_connections_closed_total{reason=\"evicted\"} 1",
            "http_connections_closed_total{reason=\"refused\"} 0",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert!(text.contains("http_request_duration_seconds_bucket"));
    }

    #[test]
    fn only_so_many_field_managers_have_a_name() {
        let metrics = Metrics::new().unwrap();
        for number in 0..100 {
            metrics.drift(Some(&format!("manager-{number}")));
            metrics.drift(Some(&format!("kubectl-{number}")));
        }
        metrics.drift(Some("manager-0"));
        let text = metrics.render();
        assert!(text.contains("drift_corrections_total{manager=\"manager-0\"} 2"), "{text}");
        assert!(text.contains(&format!("drift_corrections_total{{manager=\"other\"}} {}", 100 - MANAGERS)), "{text}");
        assert!(text.contains("drift_corrections_total{manager=\"kubectl\"} 100"), "{text}");
    }

    #[test]
    fn no_method_can_make_a_new_series() {
        let metrics = Metrics::new().unwrap();
        metrics.request("BREW", "none", 404, Duration::ZERO);
        metrics.request("PROPFIND", "none", 404, Duration::ZERO);
        assert!(
            metrics.render().contains("http_requests_total{method=\"other\",route=\"none\",status_code=\"404\"} 2")
        );
    }
}
