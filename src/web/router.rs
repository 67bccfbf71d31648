//! Every address that the manager answers. A new address stands here and nowhere else.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{delete, get, post};

use super::AppState;
use super::api::{backup, chat, chat_socket, history, logs, monitoring, plan, projects, tickets, webhook};
use super::middleware;
use super::pages;
use super::problem::Problem;

/// The manager's HTTP service: all routes below BASE_PATH, with the middleware around them.
pub fn router(state: AppState) -> Router {
    let routes = routes();
    let placed = match state.settings.server.base_path.as_str() {
        "" => routes,
        // Probes come from the node and know of no prefix.
        prefix => {
            // The prefix itself is an address below it; with a slash at its end it is not.
            Router::new().merge(probes()).route(&format!("{prefix}/"), get(pages::dashboard::page)).nest(prefix, routes)
        }
    };
    let answering = placed.fallback(no_route).method_not_allowed_fallback(no_method);
    middleware::around(answering, &state).with_state(state)
}

fn routes() -> Router<AppState> {
    Router::new().merge(probes()).merge(rest()).merge(for_people())
}

/// For the node that runs the manager.
fn probes() -> Router<AppState> {
    Router::new().route("/livez", get(monitoring::livez)).route("/readyz", get(monitoring::readyz))
}

/// For programs.
fn rest() -> Router<AppState> {
    Router::new()
        .route("/api/projects", get(projects::list).post(projects::create))
        .route("/api/projects/{id}", get(projects::read).put(projects::change).delete(projects::delete))
        .route("/api/projects/{id}/start", post(projects::start))
        .route("/api/projects/{id}/stop", post(projects::stop))
        .route("/api/projects/{id}/logs", get(logs::read))
        .route("/api/projects/{id}/refresh", post(projects::refresh))
        .route("/api/projects/{id}/history", get(history::history))
        .route("/api/projects/{id}/plan", get(plan::of_project).post(plan::apply_project))
        .route("/api/projects/{id}/conversations", get(chat::list).post(chat::create))
        .route("/api/projects/{id}/conversations/{conversation}", get(chat::detail))
        .route("/api/projects/{id}/conversations/{conversation}/events", get(chat::events))
        .route("/api/projects/{id}/conversations/{conversation}/prompts", post(chat::prompt))
        .route("/api/projects/{id}/conversations/{conversation}/prompts/{prompt}", delete(chat::cancel))
        .route("/api/projects/{id}/conversations/{conversation}/interrupt", post(chat::interrupt))
        .route("/api/projects/{id}/conversations/{conversation}/requests/{request}", post(chat::answer))
        .route("/api/chat/ws", get(chat_socket::open))
        .route("/api/webhooks/jira", post(tickets::receive))
        .route("/api/webhooks/trigger", post(webhook::trigger))
        .route("/api/tickets/deliveries", get(tickets::list))
        .route("/api/tickets/deliveries/{id}/replay", post(tickets::replay))
        .route("/api/plan", get(plan::of_commit).post(plan::apply_head))
        .route("/api/backup/status", get(backup::status))
        .route("/api/backup/list", get(backup::list))
        .route("/api/backup/export", get(backup::export))
        .route("/api/backup/cluster-info", get(backup::cluster_info))
        .route("/api/backup/create", post(backup::create))
        .route("/api/backup/restore", post(backup::restore))
        .route("/api/monitoring/health", get(monitoring::health))
        .route("/api/monitoring/metrics", get(monitoring::metrics))
        .route("/api/monitoring/status", get(monitoring::status))
}

/// Pages, and what they are made with.
fn for_people() -> Router<AppState> {
    use pages::{
        assets, backups, chat, config, create, credentials, dashboard, delete, list, log, plan, project, settings,
        sign_in, tickets, upgrade,
    };
    Router::new()
        .route("/", get(dashboard::page))
        .route("/settings", get(settings::page))
        .route("/sign-in", get(sign_in::look).post(sign_in::sign_in))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/projects", get(list::page).post(create::create))
        .route("/new", get(create::page))
        .route("/projects/{id}", get(project::page))
        .route("/projects/{id}/start", post(project::start))
        .route("/projects/{id}/stop", post(project::stop))
        .route("/projects/{id}/suspend", post(project::suspend))
        .route("/projects/{id}/resume", post(project::resume))
        .route("/projects/{id}/delete", get(delete::page).post(delete::delete))
        .route("/projects/{id}/logs", get(log::page))
        .route("/projects/{id}/config", get(config::page))
        .route("/projects/{id}/commits/{commit}", get(config::commit))
        .route("/projects/{id}/credentials", post(credentials::give))
        .route("/chat", get(chat::choose))
        .route("/projects/{id}/chat", get(chat::list).post(chat::begin))
        .route("/projects/{id}/chat/{conversation}", get(chat::page).post(chat::send))
        .route("/projects/{id}/chat/{conversation}/interrupt", post(chat::interrupt))
        .route("/projects/{id}/chat/{conversation}/requests/{request}", post(chat::answer))
        .route("/projects/{id}/chat/{conversation}/cancel/{prompt}", post(chat::cancel))
        .route("/fragments/projects/{id}/chat/{conversation}", get(chat::fragment))
        .route("/tickets", get(tickets::page))
        .route("/tickets/{id}/replay", post(tickets::replay))
        .route("/plan", get(plan::page).post(plan::apply))
        .route("/backups", get(backups::page).post(backups::create))
        .route("/backups/restore", get(backups::plan).post(backups::restore))
        .route("/upgrade", get(upgrade::page).post(upgrade::commit))
        .route("/fragments/dashboard", get(dashboard::fragment))
        .route("/fragments/projects", get(list::fragment))
        .route("/fragments/projects/{id}", get(project::fragment))
        .route("/assets/{file}", get(assets::file))
}

async fn no_route() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no-route", "There is nothing at this address", "no such address in this API")
}

async fn no_method() -> Problem {
    let detail = "this address does not know the method; the Allow header lists those that it knows";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "The method is not allowed here", detail)
}
