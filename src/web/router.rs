//! Every address that the manager answers, with who may use it. A new address stands here and nowhere else.
//!
//! This is the one table of roles: REST, pages and sockets alike. `access` holds requests to it, and a test sends a request to
//! every address with every role.

use axum::Router;
use axum::http::StatusCode;

use super::AppState;
use super::access::Access::{Open, OpenIf};
use super::access::{Routes, delete, get, post};
use super::api::{backup, chat, chat_socket, git, history, logs, monitoring, plan, projects, tickets, webhook};
use super::middleware;
use super::pages;
use super::problem::Problem;
use crate::config::Settings;
use crate::project::Role::{Administrator, Operator, Viewer};

/// The manager's HTTP service: all routes below BASE_PATH, with the middleware around them.
pub fn router(state: AppState) -> Router {
    let Routes { router: routes, rules } = routes();
    let placed = match state.settings.server.base_path.as_str() {
        "" => routes,
        // Probes come from the node and know of no prefix.
        prefix => {
            // The prefix itself is an address below it; with a slash at its end it is not.
            Router::new()
                .merge(probes().router)
                .route(&format!("{prefix}/"), axum::routing::get(pages::dashboard::page))
                .nest(prefix, routes)
        }
    };
    let answering = placed.fallback(no_route).method_not_allowed_fallback(no_method);
    middleware::around(answering, &state, rules).with_state(state)
}

fn routes() -> Routes {
    Routes::default().merge(probes()).merge(rest()).merge(for_people())
}

/// The rules of all addresses.
#[cfg(test)]
pub(super) fn rules() -> super::access::Rules {
    routes().rules
}

/// For the node that runs the manager.
fn probes() -> Routes {
    Routes::default().route("/livez", get(Open, monitoring::livez)).route("/readyz", get(Open, monitoring::readyz))
}

/// For programs.
fn rest() -> Routes {
    Routes::default()
        .route("/api/projects", get(Viewer, projects::list).post(Operator, projects::create))
        .route(
            "/api/projects/{id}",
            get(Viewer, projects::read).put(Operator, projects::change).delete(Operator, projects::delete),
        )
        .route("/api/projects/{id}/start", post(Operator, projects::start))
        .route("/api/projects/{id}/stop", post(Operator, projects::stop))
        .route("/api/projects/{id}/logs", get(Viewer, logs::read))
        .route("/api/projects/{id}/refresh", post(Operator, projects::refresh))
        .route("/api/projects/{id}/history", get(Viewer, history::history))
        .route("/api/projects/{id}/plan", get(Viewer, plan::of_project).post(Operator, plan::apply_project))
        .route("/api/projects/{id}/conversations", get(Viewer, chat::list).post(Operator, chat::create))
        .route("/api/projects/{id}/conversations/{conversation}", get(Viewer, chat::detail))
        .route("/api/projects/{id}/conversations/{conversation}/events", get(Viewer, chat::events))
        .route("/api/projects/{id}/conversations/{conversation}/prompts", post(Operator, chat::prompt))
        .route("/api/projects/{id}/conversations/{conversation}/prompts/{prompt}", delete(Operator, chat::cancel))
        .route("/api/projects/{id}/conversations/{conversation}/interrupt", post(Operator, chat::interrupt))
        .route("/api/projects/{id}/conversations/{conversation}/requests/{request}", post(Operator, chat::answer))
        // A viewer reads; what is sent is judged by the chat.
        .route("/api/chat/ws", get(Viewer, chat_socket::open))
        // It takes signatures only, and says so where no secret is set.
        .route("/api/webhooks/jira", post(Open, tickets::receive))
        .route("/api/webhooks/trigger", post(OpenIf(signs_webhooks, Operator), webhook::trigger))
        .route("/api/tickets/deliveries", get(Viewer, tickets::list))
        .route("/api/tickets/deliveries/{id}/replay", post(Operator, tickets::replay))
        .route("/api/plan", get(Viewer, plan::of_commit).post(Operator, plan::apply_head))
        .route("/api/backup/status", get(Viewer, backup::status))
        .route("/api/backup/list", get(Viewer, backup::list))
        .route("/api/backup/export", get(Administrator, backup::export))
        .route("/api/backup/cluster-info", get(Viewer, backup::cluster_info))
        .route("/api/backup/create", post(Operator, backup::create))
        .route("/api/backup/restore", post(Administrator, backup::restore))
        .route(
            "/api/monitoring/health",
            get(OpenIf(|settings| settings.server.health_open, Viewer), monitoring::health),
        )
        .route(
            "/api/monitoring/metrics",
            get(OpenIf(|settings| settings.server.metrics_open, Viewer), monitoring::metrics),
        )
        .route("/api/monitoring/dashboard", get(Viewer, monitoring::dashboard))
        .route("/api/monitoring/logs", get(Viewer, monitoring::logs))
        .route("/api/monitoring/status", get(Viewer, monitoring::status))
        .route("/git/state.git/info/refs", get(Viewer, git::info_refs))
        .route("/git/state.git/git-upload-pack", post(Viewer, git::upload_pack))
        .route("/git/state.git/git-receive-pack", post(Operator, git::receive_pack))
}

/// Pages, and what they are made with.
fn for_people() -> Routes {
    use pages::{
        assets, backups, chat, config, create, credentials, dashboard, delete, list, log, manager_log, plan, project,
        settings, sign_in, tickets, upgrade,
    };
    Routes::default()
        .route("/", get(Viewer, dashboard::page))
        .route("/settings", get(Viewer, settings::page))
        .route("/sign-in", get(Open, sign_in::look).post(Open, sign_in::sign_in))
        .route("/sign-out", post(Viewer, sign_in::sign_out))
        .route("/projects", get(Viewer, list::page).post(Operator, create::create))
        .route("/new", get(Operator, create::page))
        .route("/projects/{id}", get(Viewer, project::page))
        .route("/projects/{id}/start", post(Operator, project::start))
        .route("/projects/{id}/stop", post(Operator, project::stop))
        .route("/projects/{id}/suspend", post(Operator, project::suspend))
        .route("/projects/{id}/resume", post(Operator, project::resume))
        .route("/projects/{id}/delete", get(Operator, delete::page).post(Operator, delete::delete))
        .route("/projects/{id}/logs", get(Viewer, log::page))
        .route("/projects/{id}/config", get(Viewer, config::page))
        .route("/projects/{id}/commits/{commit}", get(Viewer, config::commit))
        .route("/projects/{id}/credentials", post(Operator, credentials::give))
        .route("/chat", get(Viewer, chat::choose))
        .route("/projects/{id}/chat", get(Viewer, chat::list).post(Operator, chat::begin))
        .route("/projects/{id}/chat/{conversation}", get(Viewer, chat::page).post(Operator, chat::send))
        .route("/projects/{id}/chat/{conversation}/interrupt", post(Operator, chat::interrupt))
        .route("/projects/{id}/chat/{conversation}/requests/{request}", post(Operator, chat::answer))
        .route("/projects/{id}/chat/{conversation}/cancel/{prompt}", post(Operator, chat::cancel))
        .route("/fragments/projects/{id}/chat/{conversation}", get(Viewer, chat::fragment))
        .route("/logs", get(Viewer, manager_log::page))
        .route("/tickets", get(Viewer, tickets::page))
        .route("/tickets/{id}/replay", post(Operator, tickets::replay))
        .route("/plan", get(Viewer, plan::page).post(Operator, plan::apply))
        .route("/backups", get(Viewer, backups::page).post(Operator, backups::create))
        .route("/backups/restore", get(Administrator, backups::plan).post(Administrator, backups::restore))
        .route("/upgrade", get(Administrator, upgrade::page).post(Administrator, upgrade::commit))
        .route("/fragments/dashboard", get(Viewer, dashboard::fragment))
        .route("/fragments/projects", get(Viewer, list::fragment))
        .route("/fragments/projects/{id}", get(Viewer, project::fragment))
        .route("/assets/{file}", get(Open, assets::file))
}

/// A webhook shows a signature where it has no token; its handler looks for it.
fn signs_webhooks(settings: &Settings) -> bool {
    settings.secrets.webhook_secret.is_some()
}

async fn no_route() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no-route", "There is nothing at this address", "no such address in this API")
}

async fn no_method() -> Problem {
    let detail = "this address does not know the method; the Allow header lists those that it knows";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "The method is not allowed here", detail)
}
