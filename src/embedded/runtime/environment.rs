//! The environment of an agent's process: what the pod says, above a few variables of this machine.
//!
//! Pure. **Architecture invariant:** nothing of the manager's own environment gets through but what [`passed`] names; keys
//! and tokens are given to the manager as variables.

use std::collections::BTreeMap;

use serde_json::Value;

use super::objects::Values;
use super::spec::{PodSpec, Reference};
use crate::project::PASSED;

/// Whether a variable of this machine is the agent's business: where programs, certificates and proxies are, and how the
/// person reads.
pub(super) fn passed(name: &str) -> bool {
    const OWN: [&str; 5] = ["HOME", "LANG", "TZ", "TERM", "NODE_EXTRA_CA_CERTS"];
    PASSED.contains(&name) || OWN.contains(&name) || name.starts_with("LC_")
}

/// The variables that the pod's agent container asks for.
///
/// # Errors
/// What the container names and is not there, in the kubelet's words.
pub(super) fn of_pod(
    pod: &PodSpec,
    address: &str,
    values: &dyn Fn(&Reference) -> Option<Values>,
) -> Result<BTreeMap<String, String>, String> {
    let none = Value::Null;
    let container = pod.agent().unwrap_or(&none);
    let mut variables = BTreeMap::new();
    let read = |kind: &'static str, source: &Value| -> Result<Option<Values>, String> {
        let name = source["name"].as_str().unwrap_or_default().to_owned();
        let reference = Reference { kind, namespace: pod.namespace.clone(), name };
        match values(&reference) {
            None if source["optional"] != true => {
                Err(format!("{} \"{}\" not found", kind.to_lowercase(), reference.name))
            }
            found => Ok(found),
        }
    };
    for source in container["envFrom"].as_array().into_iter().flatten() {
        let prefix = source["prefix"].as_str().unwrap_or_default();
        for (kind, field) in [("ConfigMap", "configMapRef"), ("Secret", "secretRef")] {
            if source[field].is_object() {
                let found = read(kind, &source[field])?.unwrap_or_default();
                variables.extend(found.into_iter().map(|(key, value)| (format!("{prefix}{key}"), text(value))));
            }
        }
    }
    for variable in container["env"].as_array().into_iter().flatten() {
        let name = variable["name"].as_str().unwrap_or_default();
        let from = &variable["valueFrom"];
        let value = if let Some(path) = from.pointer("/fieldRef/fieldPath").and_then(Value::as_str) {
            Some(field(pod, address, path)?)
        } else if from["configMapKeyRef"].is_object() || from["secretKeyRef"].is_object() {
            let (kind, source) = match &from["configMapKeyRef"] {
                Value::Null => ("Secret", &from["secretKeyRef"]),
                source => ("ConfigMap", source),
            };
            let key = source["key"].as_str().unwrap_or_default();
            let found = read(kind, source)?.and_then(|mut values| values.remove(key));
            if found.is_none() && source["optional"] != true {
                let object = source["name"].as_str().unwrap_or_default();
                return Err(format!("couldn't find key {key} in {kind} {}/{object}", pod.namespace));
            }
            found.map(text)
        } else if from.is_object() {
            return Err(format!(
                "the variable {name} takes its value from something that there is not on this machine"
            ));
        } else {
            Some(expanded(variable["value"].as_str().unwrap_or_default(), &variables))
        };
        if let Some(value) = value {
            variables.insert(name.to_owned(), value);
        }
    }
    // What no process can be given.
    variables.retain(|name, value| !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0'));
    Ok(variables)
}

fn field(pod: &PodSpec, address: &str, path: &str) -> Result<String, String> {
    let own = |pointer: &str| pod.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let entry = |map: &str| -> Option<String> {
        let key = path.strip_prefix("metadata.")?.strip_prefix(map)?.strip_prefix("['")?.strip_suffix("']")?;
        Some(pod.object["metadata"][map][key].as_str().unwrap_or_default().to_owned())
    };
    Ok(match path {
        "metadata.name" => pod.name.clone(),
        "metadata.namespace" => pod.namespace.clone(),
        "metadata.uid" => pod.uid.clone(),
        "spec.serviceAccountName" => own("/spec/serviceAccountName"),
        "spec.nodeName" => "localhost".to_owned(),
        "status.podIP" | "status.podIPs" => address.to_owned(),
        "status.hostIP" | "status.hostIPs" => "127.0.0.1".to_owned(),
        _ => entry("labels")
            .or_else(|| entry("annotations"))
            .ok_or_else(|| format!("the field {path} of a pod is not known here"))?,
    })
}

/// `$(NAME)` is replaced by a variable that is known before; `$$` is one dollar.
fn expanded(value: &str, known: &BTreeMap<String, String>) -> String {
    let mut result = String::new();
    let mut rest = value;
    while let Some(at) = rest.find('$') {
        result.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            result.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|rest| rest.split_once(')'))
            && let Some(value) = known.get(name)
        {
            result.push_str(value);
            rest = after;
        } else {
            result.push('$');
        }
    }
    result + rest
}

fn text(value: Vec<u8>) -> String {
    String::from_utf8_lossy(&value).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(container: Value) -> PodSpec {
        let mut container = container;
        container["name"] = json!("agent");
        PodSpec::parse(&json!({
            "metadata": {"name": "a-env-0", "namespace": "n", "uid": "u-1", "labels": {"claude-manager.io/project": "a"}},
            "spec": {"containers": [container]},
        }))
        .unwrap()
    }

    fn values(reference: &Reference) -> Option<Values> {
        let config = BTreeMap::from([("HOME".to_owned(), b"/config".to_vec()), ("A".to_owned(), b"1".to_vec())]);
        match (reference.kind, reference.name.as_str()) {
            ("ConfigMap", "env") => Some(config),
            ("Secret", "keys") => Some(BTreeMap::from([("k".to_owned(), b"v".to_vec())])),
            _ => None,
        }
    }

    fn variables(container: Value) -> Result<Vec<String>, String> {
        let found = of_pod(&pod(container), "127.1.2.3", &values)?;
        Ok(found.iter().map(|(name, value)| format!("{name}={value}")).collect())
    }

    #[test]
    fn a_pod_says_its_variables_as_kubernetes_reads_them() {
        let label = "metadata.labels['claude-manager.io/project']";
        let found = variables(json!({
            "envFrom": [{"configMapRef": {"name": "env"}}, {"secretRef": {"name": "gone", "optional": true}}],
            "env": [
                {"name": "A", "value": "two"},
                {"name": "B", "value": "$(A)-$$(A)-$(NOBODY)-$"},
                {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "k"}}},
                {"name": "NO", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "x", "optional": true}}},
                {"name": "PROJECT", "valueFrom": {"fieldRef": {"fieldPath": label}}},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            ],
        }));
        let expected = ["A=two", "B=two-$(A)-$(NOBODY)-$", "HOME=/config", "IP=127.1.2.3", "KEY=v", "PROJECT=a"];
        assert_eq!(found.unwrap(), expected);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let table = [
            (json!({"envFrom": [{"configMapRef": {"name": "x"}}]}), "configmap \"x\" not found"),
            (
                json!({"env": [{"name": "K", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "x"}}}]}),
                "couldn't find key x in Secret n/keys",
            ),
            (
                json!({"env": [{"name": "K", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}]}),
                "the field spec.x of a pod is not known here",
            ),
        ];
        for (container, expected) in table {
            assert_eq!(variables(container).unwrap_err(), expected);
        }
    }

    #[test]
    fn keys_and_settings_of_the_manager_do_not_pass() {
        for name in ["SOPS_AGE_KEY", "DATABASE_URL", "JIRA_API_KEY", "DATA_DIR", "SSH_AUTH_SOCK", "LCX"] {
            assert!(!passed(name), "{name}");
        }
        for name in ["PATH", "LC_ALL", "HTTPS_PROXY", "TZ"] {
            assert!(passed(name), "{name}");
        }
    }
}
