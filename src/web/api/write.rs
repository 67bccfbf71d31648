//! The way of every write: permission, once per Idempotency-Key, commit, answer.

use axum::http::header::{CONTENT_TYPE, ETAG, LOCATION, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tracing::Instrument;

use super::project_json::{Project, etag, link, of_commit, project_path};
use crate::operations::Committed;
use crate::project::{ErrorKind, Intent, Phase, ProjectName, Revision, Volumes};
use crate::store::{Begun, Fingerprint, StoredAnswer};
use crate::web::problem::Problem;
use crate::web::request::Call;
use crate::web::{AppState, now};

/// A write's answer, as it is sent and as it is kept for a repeated request.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Reply {
    status: u16,
    etag: Option<String>,
    location: Option<String>,
    /// JSON.
    body: String,
}

/// What a write answers: the project or what becomes of it, and the commit.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    #[serde(flatten)]
    subject: Subject,
    commit: Revision,
    /// Whether a commit was made; if not, everything was as wanted, and `commit` is the head.
    changed: bool,
    status_url: String,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Subject {
    There(Box<Project>),
    #[serde(rename_all = "camelCase")]
    Going {
        id: ProjectName,
        short_name: ProjectName,
        phase: Phase,
        volumes: &'static str,
        message: String,
    },
}

/// Commits `intent`.
pub(super) async fn write(state: AppState, call: Call, intent: Intent) -> Result<Response, Problem> {
    call.permit(intent.action())?;
    let if_match = choose(call.if_match()?, &state, intent.project());
    let request = call.idempotency_key()?.map(|key| {
        let target = call.uri.path_and_query().map_or("", |target| target.as_str());
        let parts: [&[u8]; 3] = [call.method.as_str().as_bytes(), target.as_bytes(), &call.body];
        Fingerprint::new(&call.actor.principal.id, key, &parts)
    });
    if let Some(request) = &request {
        match state.store.begin(request, now().as_second()).await? {
            Begun::Execute => {}
            Begun::Answered(answer) => return replayed(&answer),
            Begun::Running => {
                let detail = "a request with this Idempotency-Key is being executed; ask again in a moment";
                let problem = Problem::of_kind(ErrorKind::Conflict, detail);
                return Err(problem.with_header(RETRY_AFTER, HeaderValue::from_static("1")));
            }
            Begun::OtherRequest => {
                let (status, detail) = (
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "this Idempotency-Key was used for another request; take a new one",
                );
                return Err(Problem::new(status, "key-reused", "The Idempotency-Key was used before", detail));
            }
        }
    }
    // A task of its own: a client that goes away, or a timeout, must not leave a commit without its answer being kept.
    let work = execute(state, call, intent, if_match, request).in_current_span();
    match tokio::spawn(work).await {
        Ok(result) => result.map(IntoResponse::into_response),
        Err(error) => Err(Problem::internal(format!("a write ended early: {error}"))),
    }
}

async fn execute(
    state: AppState,
    call: Call,
    intent: Intent,
    if_match: Option<String>,
    request: Option<Fingerprint>,
) -> Result<Reply, Problem> {
    let of_none = || Problem::internal("a change of no project came by the interface of projects".to_owned());
    let (kind, name) = (Kind::of(&intent), intent.project().cloned().ok_or_else(of_none)?);
    let committed = state.operations.submit(intent, call.actor, if_match).await;
    let result = committed.map_err(Problem::from).and_then(|committed| reply(&state, &name, kind, &committed));
    if let Some(request) = request {
        // Only what was done is remembered: after an error nothing was committed, and trying again is the right thing.
        let kept = match &result {
            Ok(reply) => {
                let answer = StoredAnswer { status: reply.status, content: to_json(reply)? };
                state.store.finish(&request, &answer).await
            }
            Err(_) => state.store.abandon(&request).await,
        };
        if let Err(error) = kept {
            tracing::error!(project = %name, %error, "the answer to a request with an Idempotency-Key was not kept");
        }
    }
    result
}

/// What the answer has to say beside the project.
#[derive(Clone, Copy)]
enum Kind {
    Created,
    Changed,
    Deleted(Volumes),
}

impl Kind {
    const fn of(intent: &Intent) -> Self {
        match intent {
            Intent::Create(_) => Self::Created,
            Intent::Delete(_, volumes) => Self::Deleted(*volumes),
            Intent::Change(..) | Intent::Start(_) | Intent::Wake(_) | Intent::Stop(_) | Intent::TrustAgentKey(_) => {
                Self::Changed
            }
        }
    }
}

fn reply(state: &AppState, name: &ProjectName, kind: Kind, committed: &Committed) -> Result<Reply, Problem> {
    let server = &state.settings.server;
    let status_url = link(server, &project_path(name));
    let going = |volumes, message| {
        let (id, short_name) = (name.clone(), name.clone());
        Subject::Going { id, short_name, phase: Phase::Deleting, volumes, message }
    };
    let subject = match kind {
        Kind::Created | Kind::Changed => {
            let snapshot = state.operations.snapshot();
            Subject::There(Box::new(of_commit(server, name, committed, &snapshot, now().to_string())))
        }
        Kind::Deleted(Volumes::Keep) => going(
            "keep",
            format!(
                "{name} is deleted; its volumes {name}-workspace and {name}-config stay in the cluster, and a new \
                 project of that name finds them again"
            ),
        ),
        Kind::Deleted(Volumes::Delete) => {
            going("delete", format!("{name} and its volumes {name}-workspace and {name}-config are deleted"))
        }
    };
    let (status, location) = match kind {
        Kind::Created => (StatusCode::CREATED, Some(status_url.clone())),
        Kind::Changed => (StatusCode::OK, None),
        Kind::Deleted(_) => (StatusCode::ACCEPTED, None),
    };
    let written = Written { subject, commit: committed.revision, changed: committed.changed, status_url };
    let etag = committed.overlay_id.as_deref().map(etag);
    Ok(Reply { status: status.as_u16(), etag, location, body: to_json(&written)? })
}

fn to_json(value: &impl Serialize) -> Result<String, Problem> {
    serde_json::to_string(value).map_err(|error| Problem::internal(format!("an answer cannot be written: {error}")))
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let media_type = HeaderValue::from_static("application/json");
        let mut response = (status, [(CONTENT_TYPE, media_type)], self.body).into_response();
        for (name, value) in [(ETAG, self.etag), (LOCATION, self.location)] {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

fn replayed(answer: &StoredAnswer) -> Result<Response, Problem> {
    let reply: Reply = serde_json::from_str(&answer.content)
        .map_err(|_| Problem::internal("a kept answer cannot be read".to_owned()))?;
    let mut response = reply.into_response();
    let name = HeaderName::from_static("idempotency-replayed");
    response.headers_mut().insert(name, HeaderValue::from_static("true"));
    Ok(response)
}

/// The one overlay id to compare with. Of several, the one that the snapshot has, else any: none will match then.
fn choose(ids: Vec<String>, state: &AppState, name: Option<&ProjectName>) -> Option<String> {
    if ids.len() < 2 {
        return ids.into_iter().next();
    }
    let snapshot = state.operations.snapshot();
    let current = name.and_then(|name| snapshot.projects.get(name)).and_then(|project| project.overlay_id.clone());
    ids.iter().find(|id| Some(*id) == current.as_ref()).or(ids.first()).cloned()
}
