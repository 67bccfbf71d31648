//! What containers may not have in their environment: variables that run or read something before the program itself does.
//!
//! On the machine of the manager the agent of an environment confines itself when it starts, and a library that it loads
//! before would be outside. On every cluster such a variable changes all programs of a container, the agent's checks among
//! them, without a trace in its image. The rule holds at each level of `podSecurity`; the one way to lift it is a list of
//! names in the policy, which everybody can read there.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Problems;
use super::pod::{Template, name};
use crate::plan::loader_variables::{has_loader_prefix, is_loader_variable};
use crate::plan::policy::Confinement;
use kustomize::Object;

const WAY_OUT: &str = "remove it and set it in the program's own start script or image, or have an administrator list the \
                       variable in policy.loaderVariables in claude-manager.yaml";

/// Adds each variable of a container that the policy does not allow, also those that it takes over from a ConfigMap or
/// Secret among `objects`.
pub(super) fn check(pod: &Template<'_>, objects: &[Object], confinement: &Confinement, problems: &mut Problems<'_>) {
    let allowed = &confinement.loader_variables;
    let is_refused = |variable: &str| is_loader_variable(variable) && !allowed.contains(variable);
    for container in pod.containers() {
        let who = name(container);
        for variable in list(container, "env").map(name).filter(|variable| is_refused(variable)) {
            problems.add(
                format!("container {who} sets the variable {variable}, which acts before the program starts"),
                WAY_OUT,
            );
        }
        for source in list(container, "envFrom") {
            let prefix = source["prefix"].as_str().unwrap_or_default();
            for (kind, field) in [("ConfigMap", "configMapRef"), ("Secret", "secretRef")] {
                let Some(object) = source[field]["name"].as_str() else { continue };
                let from = format!("from {kind} {object} (envFrom)");
                for key in keys(objects, kind, object) {
                    let variable = format!("{prefix}{key}");
                    if is_refused(&variable) {
                        problems.add(
                            format!(
                                "container {who} takes the variable {variable} {from}, which acts before the program starts"
                            ),
                            WAY_OUT,
                        );
                    }
                }
                // Whatever the keys are, which may change without a commit.
                if has_loader_prefix(prefix) {
                    problems.add(
                        format!(
                            "container {who} takes variables that begin with {prefix} {from}, which act before the program starts"
                        ),
                        "give envFrom another prefix, and name single variables in env",
                    );
                }
            }
        }
    }
}

/// The keys of an object of the project, in clear also where its values are encrypted.
fn keys<'a>(objects: &'a [Object], kind: &str, name: &str) -> BTreeSet<&'a str> {
    let is_it = |object: &&Object| object.key.group.is_empty() && object.key.kind == kind && object.key.name == name;
    let fields = ["data", "stringData", "binaryData"];
    let maps = objects.iter().filter(is_it).flat_map(|object| fields.map(|field| object.value[field].as_object()));
    maps.flatten().flat_map(|map| map.keys().map(String::as_str)).collect()
}

fn list<'a>(container: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    container[field].as_array().into_iter().flatten()
}
