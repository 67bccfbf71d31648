//! The cluster: whether it answers, lets us do what we do, and has what environments need.

use super::Finding;
use crate::app::wiring;
use crate::cluster::{self, Error, RIGHTS};
use crate::config::Settings;

/// Clocks further apart than this, in seconds, break signed tokens and make ages wrong.
const SKEW: i64 = 30;
/// The oldest API server that is known to be enough: server-side apply, Pod Security admission and optional volumes as
/// they are used here are all settled by then.
const OLDEST: (u32, u32) = (1, 27);

/// All findings about it.
pub(super) async fn check(settings: &Settings) -> Vec<Finding> {
    let Some(target) = wiring::target(settings) else {
        return vec![Finding::fine("cluster", "embedded, in the manager's own process; set KUBECONFIG for a real one")];
    };
    let client = match target.client().await {
        Ok(client) => client,
        Err(error) => return vec![failure("cluster", &error)],
    };
    let mut findings = Vec::new();
    match cluster::version(&client).await {
        Err(error) => return vec![failure("cluster", &error)],
        Ok(version) if (version.major, version.minor) < OLDEST => findings.push(Finding::warning(
            "cluster",
            format!("Kubernetes {}", version.text),
            format!("{}.{} is the oldest that is looked after", OLDEST.0, OLDEST.1),
        )),
        Ok(version) => findings.push(Finding::fine("cluster", format!("Kubernetes {}", version.text))),
    }
    findings.extend(clock(&client).await);
    findings.push(namespace(&client, &settings.namespace).await);
    findings.push(rights(&client, &settings.namespace).await);
    findings.push(storage(&client, settings.defaults.storage_class.as_deref()).await);
    findings
}

fn failure(subject: &'static str, error: &Error) -> Finding {
    Finding::failure(subject, error.to_string(), error.hint().unwrap_or("check the kubeconfig and the network"))
}

async fn clock(client: &kube::Client) -> Option<Finding> {
    let theirs = cluster::clock(client).await.ok().flatten()?;
    let apart = jiff::Timestamp::now().as_second() - theirs.as_second();
    Some(if apart.abs() <= SKEW {
        Finding::fine("clock", "agrees with the API server's")
    } else {
        let side = if apart > 0 { "ahead of" } else { "behind" };
        let message = format!("{} s {side} the API server's", apart.abs());
        Finding::failure("clock", message, "have both machines take their time from the network (NTP)")
    })
}

async fn namespace(client: &kube::Client, name: &str) -> Finding {
    const SUBJECT: &str = "namespace";
    match cluster::enforced_level(client, name).await {
        Ok(level) if level.is_empty() => Finding::fine(SUBJECT, format!("{name}; it enforces no Pod Security level")),
        Ok(level) => Finding::fine(SUBJECT, format!("{name}, Pod Security level {level}")),
        Err(Error::Api { code: 404, .. }) => Finding::failure(
            SUBJECT,
            format!("there is no namespace {name}"),
            format!("kubectl create namespace {name}, or set KUBERNETES_NAMESPACE to the one that is meant"),
        ),
        // A minimal role may not look at namespaces; what counts is what it may do in this one.
        Err(Error::Api { code: 403, .. }) => {
            Finding::fine(SUBJECT, format!("{name} (this account may not look at it)"))
        }
        Err(error) => failure(SUBJECT, &error),
    }
}

async fn rights(client: &kube::Client, namespace: &str) -> Finding {
    const SUBJECT: &str = "permissions";
    let mut missing = Vec::new();
    for right in RIGHTS {
        let mut verbs = Vec::new();
        for verb in right.verbs {
            match cluster::may(client, namespace, right, verb).await {
                Ok(true) => {}
                Ok(false) => verbs.push(*verb),
                Err(error) => return failure(SUBJECT, &error),
            }
        }
        if !verbs.is_empty() {
            let group = if right.group.is_empty() { String::new() } else { format!(".{}", right.group) };
            missing.push(format!("{}{group}: {}", right.resource, verbs.join(", ")));
        }
    }
    if missing.is_empty() {
        return Finding::fine(SUBJECT, format!("everything that is used in {namespace}"));
    }
    let hint = format!("bind a Role in {namespace} with these to the account that the kubeconfig or the pod uses");
    Finding::failure(SUBJECT, format!("missing in {namespace}:\n{}", missing.join("\n")), hint)
}

async fn storage(client: &kube::Client, wanted: Option<&str>) -> Finding {
    const SUBJECT: &str = "storage class";
    let classes = match cluster::storage_classes(client).await {
        Ok(classes) => classes,
        Err(Error::Api { code: 403, .. }) => {
            let hint = "let the account read storageclasses, or make sure by hand that the class exists";
            return Finding::warning(SUBJECT, "this account may not list storage classes", hint);
        }
        Err(error) => return failure(SUBJECT, &error),
    };
    let names = || classes.iter().map(|class| class.name.as_str()).collect::<Vec<_>>().join(", ");
    let class = match wanted {
        Some(wanted) => classes.iter().find(|class| class.name == wanted),
        None => classes.iter().find(|class| class.default),
    };
    match (class, wanted) {
        (Some(class), _) if class.expandable => Finding::fine(SUBJECT, format!("{}, volumes can grow", class.name)),
        (Some(class), _) => Finding::warning(
            SUBJECT,
            format!("volumes of {} cannot grow", class.name),
            "set allowVolumeExpansion in the class where its provisioner can do it",
        ),
        (None, Some(wanted)) => Finding::failure(
            SUBJECT,
            format!("there is no storage class {wanted}, only: {}", names()),
            "set DEFAULT_STORAGE_CLASS to one of them",
        ),
        (None, None) => Finding::warning(
            SUBJECT,
            format!(
                "the cluster has no default storage class (it has {})",
                if classes.is_empty() { "none".to_owned() } else { names() }
            ),
            "set DEFAULT_STORAGE_CLASS, or volumes of new projects stay Pending until an administrator creates them",
        ),
    }
}
