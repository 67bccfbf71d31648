//! The bodies of writes become typed intents, or a problem that names every wrong field.

use serde_json::Value;

use super::fields::{Fields, Given};
use super::{json, parse};
use crate::config::ProjectDefaults;
use crate::project::{NewProject, ProjectChange, ProjectName, ProjectSpec, Resources, SecretChange, SecretKey};
use crate::web::problem::Problem;

/// A project to be made. Defaults are filled in here, so that the overlay has them.
pub(in crate::web) fn create(
    body: &[u8],
    defaults: &ProjectDefaults,
    created_at: String,
) -> Result<NewProject, Problem> {
    with_fields(body, |fields| {
        let given = fields.text("shortName", parse::short_name);
        let short_name = fields.required("shortName", given);
        let given = fields.text("name", parse::display_name);
        let name = fields.required("name", given);
        let given = fields.text("gitRepository", |text| parse::repository(text, defaults));
        let git_repository = fields.required("gitRepository", given);
        let git_branch = fields.text("gitBranch", parse::branch).value();
        let image = fields.text("image", parse::image).value();
        let jira_issue = fields.text("jiraIssue", parse::jira_issue).value();
        let mut resources = Resources::default();
        if let Some(mut inner) = fields.object("resources").value() {
            resources.cpu = inner.text("cpu", parse::cpu).value();
            resources.memory = inner.text("memory", parse::memory).value();
            fields.close(inner);
        }
        let (mut size, mut class) = (None, None);
        if let Some(mut inner) = fields.object("storage").value() {
            size = inner.text("size", parse::size).value();
            class = inner.text("storageClass", parse::storage_class).value();
            fields.close(inner);
        }
        let mut secrets = secrets(fields);
        // Nothing is there that null could remove.
        secrets.retain(|_, value| value.is_some());
        Some(NewProject {
            short_name: short_name?,
            name: name?,
            git_repository: git_repository?,
            git_branch,
            image: image.unwrap_or_else(|| defaults.image.clone()),
            resources,
            workspace_size: size.unwrap_or_else(|| defaults.workspace_size.clone()),
            config_size: defaults.config_size.clone(),
            storage_class: class.or_else(|| defaults.storage_class.clone()),
            jira_issue,
            created_at,
            secrets,
        })
    })
}

/// What is to change of the project `id`, which reads as `current` now, where that is known.
pub(in crate::web) fn change(
    body: &[u8],
    defaults: &ProjectDefaults,
    id: &ProjectName,
    current: Option<&ProjectSpec>,
) -> Result<ProjectChange, Problem> {
    with_fields(body, |fields| {
        let mut change = ProjectChange::default();
        // Clients may send back what they have read, so an equal value is no error.
        let fixed = fields.text("shortName", |text| {
            if text == id.as_str() { Ok(()) } else { Err("cannot be changed: it is the project's id".to_owned()) }
        });
        fields.kept("shortName", fixed);
        let given = fields.text("name", parse::display_name);
        change.name = fields.kept("name", given);
        let given = fields.text("gitRepository", |text| parse::repository(text, defaults));
        change.git_repository = fields.kept("gitRepository", given);
        change.git_branch = fields.text("gitBranch", parse::branch).removable();
        let given = fields.text("image", parse::image);
        change.image = fields.kept("image", given);
        change.jira_issue = fields.text("jiraIssue", parse::jira_issue).removable();
        change.suspended = fields.text("suspended", parse::suspended).removable();
        let given = fields.object("resources");
        if let Some(mut inner) = fields.kept("resources", given) {
            let given = inner.text("cpu", parse::cpu);
            change.resources.cpu = inner.kept("cpu", given);
            let given = inner.text("memory", parse::memory);
            change.resources.memory = inner.kept("memory", given);
            fields.close(inner);
        }
        let given = fields.object("storage");
        if let Some(mut inner) = fields.kept("storage", given) {
            let given = inner.text("size", parse::size);
            change.workspace_size = inner.kept("size", given);
            storage_class_is_fixed(&mut inner, current);
            fields.close(inner);
        }
        change.secrets = secrets(fields);
        Some(change)
    })
}

fn storage_class_is_fixed(storage: &mut Fields<'_>, current: Option<&ProjectSpec>) {
    let given = storage.text("storageClass", |text| Ok(text.to_owned())).removable();
    let fixed = "cannot be changed: Kubernetes keeps a volume in the class it was made in";
    if given.is_some_and(|class| current.is_none_or(|spec| spec.storage.storage_class != class)) {
        storage.wrong::<()>("storageClass", fixed);
    }
}

/// All secrets of a body; `null` removes one, and a `null` in place of `gitCredentials` all that is in it.
fn secrets(fields: &mut Fields<'_>) -> SecretChange {
    let mut secrets = SecretChange::new();
    let mut set = |key: SecretKey, given: Given<_>| {
        if let Some(value) = given.removable() {
            secrets.insert(key, value);
        }
    };
    set(SecretKey::AnthropicApiKey, fields.text("anthropicApiKey", parse::token));
    set(SecretKey::AnthropicAuthToken, fields.text("anthropicAuthToken", parse::token));
    set(SecretKey::AnthropicBaseUrl, fields.text("anthropicBaseUrl", parse::base_url));
    set(SecretKey::ClaudeCodeOauthToken, fields.text("claudeCodeOauthToken", parse::token));
    set(SecretKey::CodeServerPassword, fields.text("codeServerPassword", parse::password));
    set(SecretKey::SudoPassword, fields.text("sudoPassword", parse::password));
    match fields.object("gitCredentials") {
        Given::Value(mut inner) => {
            let token = inner.text("token", parse::token);
            let key = inner.text("sshPrivateKey", parse::ssh_private_key);
            if matches!((&token, &key), (Given::Value(_) | Given::Wrong, Given::Value(_) | Given::Wrong)) {
                inner.wrong::<()>("sshPrivateKey", "give either token or sshPrivateKey, not both");
            }
            set(SecretKey::GitToken, token);
            set(SecretKey::GitSshPrivateKey, key);
            set(SecretKey::GitKnownHosts, inner.text("knownHosts", parse::known_hosts));
            fields.close(inner);
        }
        Given::Null => {
            for key in [SecretKey::GitToken, SecretKey::GitSshPrivateKey, SecretKey::GitKnownHosts] {
                secrets.insert(key, None);
            }
        }
        Given::Absent | Given::Wrong => {}
    }
    secrets
}

/// Reads a body with `read`; gives its value only when nothing was wrong.
fn with_fields<T>(body: &[u8], read: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> Result<T, Problem> {
    let (value, duplicates): (Value, _) = json::parse(body).map_err(|message| Problem::field("", message))?;
    let mut fields = Fields::of_body(&value, duplicates).map_err(|error| Problem::fields(vec![error]))?;
    let result = read(&mut fields);
    match (result, fields.finish()) {
        (Some(value), errors) if errors.is_empty() => Ok(value),
        (_, errors) => Err(Problem::fields(errors)),
    }
}

#[cfg(test)]
mod tests;
