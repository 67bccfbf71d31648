//! What is done for every request, around all routes.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL,
    CONTENT_SECURITY_POLICY, HOST, ORIGIN, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, VARY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use tracing::Instrument;

use super::AppState;
use super::access::{Access, Rules};
use super::pages;
use super::problem::Problem;
use super::same_origin::{self, Denied};
use crate::auth::{Caller, Refusal};
use crate::project::{Principal, Role};

/// The longest that a request may take, its body included.
const TIMEOUT: Duration = Duration::from_secs(30);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request: the client's, where it is a good one, or a new one.
#[derive(Clone, Debug)]
pub(super) struct RequestId(pub(super) String);

/// Who asks, for `observe`: a page about a problem has the navigation of its reader, whichever layer answered.
#[derive(Clone, Default)]
struct Reader(Arc<OnceLock<Principal>>);

/// Puts every layer around `routes`. The last one added is the outermost; from the outside in:
///
/// 1. `observe` sees every answer, also those of the layers below: id, log line, figures, security headers, and the
///    bodies of problems. A panic ends here as an answer.
/// 2. `check_host` comes before anything that acts, and before CORS would tell a foreign page that it is welcome.
/// 3. `share` (CORS) answers preflights, which carry no token, so it stands before `authenticate`.
/// 4. `limit_time` leaves the layers above free to report that time ran out.
/// 5. `authenticate` is the innermost: nothing is read from a body before the caller is known, and may use the address.
pub(super) fn around(routes: Router<AppState>, state: &AppState, rules: Rules) -> Router<AppState> {
    let gate = Gate { state: state.clone(), rules: Arc::new(rules) };
    routes
        .layer(from_fn_with_state(gate, authenticate))
        .layer(axum::middleware::from_fn(limit_time))
        .layer(from_fn_with_state(state.clone(), share))
        .layer(from_fn_with_state(state.clone(), check_host))
        .layer(from_fn_with_state(state.clone(), observe))
}

async fn observe(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    request.extensions_mut().insert(RequestId(id.clone()));
    let caller = Reader::default();
    request.extensions_mut().insert(caller.clone());
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = route(&request, &state.settings.server.base_path).unwrap_or("none").to_owned();
    let for_person = pages::is_wanted(&state.settings.server, &request);
    let here = pages::Here::of(&state.settings.server.base_path, &request);
    request.extensions_mut().insert(here.clone());
    let span = tracing::info_span!("request", id = %id);

    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().instrument(span.clone()).await;
    // What a panic says stays in the log, where the panic hook has put it.
    let mut response = answered.unwrap_or_else(|_| Problem::internal("a handler panicked".to_owned()).into_response());

    let _entered = span.enter();
    let status = response.status();
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        if status.is_server_error() {
            state.metrics.error(problem.word());
            tracing::error!(%method, route, status = status.as_u16(), cause = problem.cause(), "request failed");
        }
        if for_person {
            pages::put_problem(&state, &mut response, &problem, &id, &here.0, caller.0.get());
        } else {
            *response.body_mut() = Body::from(problem.body(&id, &path));
        }
        if method == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
    }
    let took = started.elapsed();
    state.metrics.request(method.as_str(), &route, status.as_u16(), took);
    // Probes and scrapes come every few seconds, and say nothing when all is well.
    if status.is_success() && matches!(route.as_str(), "/livez" | "/readyz" | "/api/monitoring/metrics") {
        tracing::debug!(%method, route, status = status.as_u16(), "request");
    } else {
        tracing::info!(%method, route, status = status.as_u16(), milliseconds = took.as_millis() as u64, "request");
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let https = state.settings.server.public_url.as_deref().is_some_and(|url| url.starts_with("https://"));
    secure(response.headers_mut(), https);
    response
}

/// Clients choose ids to find their requests again. What could break a log line, a trailer or a header is replaced.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let fine =
        |id: &&str| (1..=64).contains(&id.len()) && id.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    match given.filter(fine) {
        Some(id) => id.to_owned(),
        None => format!("{:032x}", rand::random::<u128>()),
    }
}

/// The template of the route that matched, without the prefix.
fn route<'r>(request: &'r Request, base_path: &str) -> Option<&'r str> {
    let matched = request.extensions().get::<MatchedPath>()?.as_str();
    let below = matched.strip_prefix(base_path).unwrap_or(matched);
    Some(if below.is_empty() { "/" } else { below })
}

/// Headers for answers that are data. Pages bring a policy of their own, which is kept.
fn secure(headers: &mut HeaderMap, https: bool) {
    let mut default = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    default(X_CONTENT_TYPE_OPTIONS, "nosniff");
    default(X_FRAME_OPTIONS, "DENY");
    default(REFERRER_POLICY, "no-referrer");
    default(CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    // An ETag covers the overlay only, and a cache would keep an old phase beside it.
    default(CACHE_CONTROL, "no-store");
    if https {
        default(STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
}

/// A page in somebody's browser can have its own name resolve to the loopback address and then call what listens there
/// (DNS rebinding). Its requests carry its name in `Host`, so on a loopback address only known names are answered.
async fn check_host(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let server = &state.settings.server;
    if !server.host.is_loopback() {
        return next.run(request).await;
    }
    let given = request.headers().get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let name = host_name(given);
    let public = server.public_url.as_deref().and_then(|url| url.split("://").nth(1)).map(host_name);
    let known = is_loopback_name(&name) || public.as_ref() == Some(&name) || server.allowed_hosts.contains(&name);
    if known {
        return next.run(request).await;
    }
    let detail = "the manager does not answer to this Host name; set PUBLIC_URL or ALLOWED_HOSTS if it should";
    Problem::new(StatusCode::MISDIRECTED_REQUEST, "host", "Unknown host name", detail).into_response()
}

/// The host in `host[:port][/path]`, in lower case, without brackets.
fn host_name(text: &str) -> String {
    let authority = text.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host.to_ascii_lowercase()
}

fn is_loopback_name(name: &str) -> bool {
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Lets the pages of FRONTEND_URL call the API, and no others.
async fn share(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let Some(origin) = &state.settings.server.frontend_origin else { return next.run(request).await };
    let welcome = request.headers().get(ORIGIN).is_some_and(|given| given.as_bytes() == origin.as_bytes());
    let preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response =
        if welcome && preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if !welcome {
        return response;
    }
    if let Ok(value) = HeaderValue::from_str(origin) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, value);
    }
    let mut insert = |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    insert(ACCESS_CONTROL_EXPOSE_HEADERS, "etag, location, x-request-id, retry-after, idempotency-replayed");
    if preflight {
        insert(ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, DELETE");
        insert(ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, if-match, idempotency-key, x-request-id");
        insert(ACCESS_CONTROL_MAX_AGE, "600");
    }
    response
}

async fn limit_time(request: Request, next: Next) -> Response {
    tokio::time::timeout(TIMEOUT, next.run(request)).await.unwrap_or_else(|_| {
        let detail =
            "the request took too long; a write that had begun goes on, so read the project before trying again";
        Problem::new(StatusCode::GATEWAY_TIMEOUT, "timeout", "The request took too long", detail).into_response()
    })
}

/// What a request is judged by.
#[derive(Clone)]
struct Gate {
    state: AppState,
    rules: Arc<Rules>,
}

/// Holds a request to the rule of its address. An address that does not exist, and a method that one does not know, need a
/// caller of any role. People are led to the sign-in page, and back from there.
async fn authenticate(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let Gate { state, rules } = gate;
    let server = &state.settings.server;
    let route = route(&request, &server.base_path);
    let for_git = route.is_some_and(|route| route.starts_with("/git/"));
    // The body of a request cannot be shared between threads, so no reference to the whole crosses an await.
    let (method, headers) = (request.method().clone(), request.headers().clone());
    let access = route.and_then(|route| rules.of(route, &method)).unwrap_or(Access::Needs(Role::Viewer));
    let caller = match for_git {
        true => state.auth.authenticate_git(&headers).map_err(Denied::Refused),
        false => same_origin::caller(&state, &method, &headers).await,
    };
    match caller {
        Ok(Caller { principal, grant }) => {
            if let Some(reader) = request.extensions().get::<Reader>() {
                let _ = reader.0.set(principal.clone());
            }
            if let Err(problem) = access.check(principal.role) {
                return problem.into_response();
            }
            request.extensions_mut().insert(principal);
            request.extensions_mut().insert(grant);
        }
        Err(_) if access.is_open(&state.settings) => {}
        Err(Denied::Refused(_)) if method == Method::GET && pages::is_wanted(server, &request) => {
            return pages::to_sign_in(server, request.uri());
        }
        // An ended session must not cost what was typed.
        Err(Denied::Refused(Refusal::Missing))
            if method == Method::POST && pages::is_wanted(server, &request) && pages::is_kept(&state, &headers) =>
        {
            return pages::sign_in::ask_again(&state, request).await;
        }
        Err(why) => {
            let mut response = same_origin::denied(&state, why).await.into_response();
            if for_git && response.status() == StatusCode::UNAUTHORIZED {
                // Git asks for a password only when Basic is offered.
                let challenge = HeaderValue::from_static("Basic realm=\"claude-manager\", charset=\"UTF-8\"");
                response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            }
            return response;
        }
    }
    next.run(request).await
}
