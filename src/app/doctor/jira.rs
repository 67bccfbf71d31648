//! JIRA: whether it is set up, whole, and answers.

use super::Finding;
use crate::app::wiring;
use crate::config::Settings;

/// Asks JIRA whose credentials these are.
pub(super) async fn check(settings: &Settings) -> Finding {
    const SUBJECT: &str = "JIRA";
    let (jira, secrets) = (&settings.jira, &settings.secrets);
    if jira.base_url.is_none() && secrets.jira_api_key.is_none() && jira.email.is_none() {
        return Finding::fine(SUBJECT, "not set up; the page Tickets says how");
    }
    let Some(base) = &jira.base_url else {
        return Finding::warning(SUBJECT, "JIRA_BASE_URL is not set", "set it to the address of JIRA");
    };
    let client = match wiring::jira(settings) {
        Ok(Some(client)) => client,
        Ok(None) => {
            let hint = "set jira-api-key: an API token (Cloud) or a personal access token (Data Center)";
            return Finding::warning(SUBJECT, format!("there is no key for {base}"), hint);
        }
        Err(error) => return Finding::failure(SUBJECT, format!("{error:#}"), "correct JIRA_BASE_URL and jira-api-key"),
    };
    let account = match client.myself().await {
        Ok(account) => account,
        Err(error) => {
            let hint = "check JIRA_BASE_URL, jira-api-key, and JIRA_EMAIL (set for Cloud, unset for Data Center)";
            return Finding::warning(SUBJECT, format!("{base}: {error}"), hint);
        }
    };
    let kind = if client.is_cloud() { "Cloud" } else { "Data Center" };
    if secrets.webhook_secret.is_none() {
        let hint = "set webhook-secret, and give the webhook in JIRA the same secret";
        return Finding::warning(SUBJECT, format!("{base} answers, but its webhooks are refused"), hint);
    }
    Finding::fine(SUBJECT, format!("{base} ({kind}) answers, as {}", account.name))
}
