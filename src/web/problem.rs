//! Errors as clients see them: RFC 9457 problem details.
//!
//! A [`Problem`] becomes a response without a body that carries it; the outermost layer writes the body, because only it
//! knows the request's id and is sure to see every answer, also those of other layers.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::chat::{self, ChatError};
use crate::operations::{ErrorCode, OperationError};
use crate::project::{ErrorKind, FieldError};
use crate::store::StoreError;

/// The media type of a problem.
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// The most wrong fields that an answer names.
const MAX_ERRORS: usize = 50;

/// One error answer. Boxed, since it travels in results that are nearly always good.
#[derive(Clone, Debug)]
pub(super) struct Problem(Box<Content>);

#[derive(Clone, Debug)]
struct Content {
    status: StatusCode,
    word: &'static str,
    title: &'static str,
    detail: String,
    errors: Vec<FieldError>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// A member of the body beside those that every problem has.
    member: Option<(&'static str, Value)>,
    /// What the log says where the client is told less.
    cause: Option<String>,
}

impl Problem {
    /// A problem with a stable word for programs, a title for people, and what it is this time.
    pub(super) fn new(status: StatusCode, word: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        let (errors, headers, member) = (Vec::new(), Vec::new(), None);
        Self(Box::new(Content { status, word, title, detail: detail.into(), errors, headers, member, cause: None }))
    }

    /// A problem of a kind; the one table from kinds to statuses.
    pub(super) fn of_kind(kind: ErrorKind, detail: impl Into<String>) -> Self {
        let (status, word, title) = match kind {
            ErrorKind::Invalid => (StatusCode::BAD_REQUEST, "invalid", "The request is not valid"),
            ErrorKind::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated", "Sign in first"),
            ErrorKind::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "Not allowed"),
            ErrorKind::NotFound => (StatusCode::NOT_FOUND, "not-found", "There is no such thing"),
            ErrorKind::Conflict => (StatusCode::CONFLICT, "conflict", "It clashes with what is there"),
            ErrorKind::PreconditionFailed => {
                (StatusCode::PRECONDITION_FAILED, "changed", "It has changed since it was read")
            }
            ErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Try again later"),
            ErrorKind::Internal => return Self::internal(detail.into()),
        };
        let problem = Self::new(status, word, title, detail);
        if kind == ErrorKind::Unavailable {
            return problem.with_header(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        problem
    }

    /// A defect: the client learns the request's id, the log the cause.
    pub(super) fn internal(cause: String) -> Self {
        let detail = "the manager failed; its log says why under this request id";
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "internal", "A defect of the manager", detail).caused_by(cause)
    }

    /// Wrong fields of a request.
    pub(super) fn fields(errors: Vec<FieldError>) -> Self {
        let line = |error: &FieldError| match error.field.as_str() {
            "" => error.message.clone(),
            field => format!("{field} {}", error.message),
        };
        let detail = errors.iter().take(10).map(line).collect::<Vec<_>>().join("; ");
        Self::of_kind(ErrorKind::Invalid, detail).about(errors)
    }

    /// One wrong field of a request.
    pub(super) fn field(field: &str, message: impl Into<String>) -> Self {
        Self::fields(vec![FieldError { field: field.to_owned(), message: message.into() }])
    }

    /// The same problem with a header on its answer.
    pub(super) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// The same problem with one more member in its body, as RFC 9457 lets problems of a type have.
    pub(super) fn with_member(mut self, name: &'static str, value: Value) -> Self {
        self.0.member = Some((name, value));
        self
    }

    fn about(mut self, mut errors: Vec<FieldError>) -> Self {
        if errors.len() > MAX_ERRORS {
            let more = errors.len() - MAX_ERRORS;
            errors.truncate(MAX_ERRORS);
            errors.push(FieldError { field: String::new(), message: format!("and {more} more") });
            errors.shrink_to_fit();
        }
        self.0.errors = errors;
        self
    }

    fn caused_by(mut self, cause: String) -> Self {
        self.0.cause = Some(cause);
        self
    }

    /// The status of the answer.
    pub(super) fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The title, the same for every problem of its word.
    pub(super) fn title(&self) -> &'static str {
        self.0.title
    }

    /// What it is this time, for whoever asked.
    pub(super) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The wrong fields.
    pub(super) fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// The stable word.
    pub(super) fn word(&self) -> &'static str {
        self.0.word
    }

    /// What the log should say.
    pub(super) fn cause(&self) -> &str {
        self.0.cause.as_deref().unwrap_or(&self.0.detail)
    }

    /// The body for the request `request_id` to `path`.
    pub(super) fn body(&self, request_id: &str, path: &str) -> Vec<u8> {
        let mut body = json!({
            "type": format!("tag:claude-manager.io,2026:problem/{}", self.0.word),
            "title": self.0.title,
            "status": self.0.status.as_u16(),
            "detail": self.0.detail,
            "instance": path,
            "requestId": request_id,
        });
        if !self.0.errors.is_empty() {
            body["errors"] = json!(self.0.errors);
        }
        if let Some((name, value)) = &self.0.member {
            body[*name] = value.clone();
        }
        Value::to_string(&body).into_bytes()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.0.status.into_response();
        response.headers_mut().insert(CONTENT_TYPE, MEDIA_TYPE);
        response.headers_mut().extend(self.0.headers.iter().cloned());
        response.extensions_mut().insert(self);
        response
    }
}

/// The one table from an operation's errors to HTTP.
impl From<OperationError> for Problem {
    fn from(error: OperationError) -> Self {
        let OperationError { kind, code, message, fields, cause } = error;
        let mut problem = match code {
            None => Self::of_kind(kind, message).about(fields),
            Some(ErrorCode::NoPod) => Self::new(StatusCode::CONFLICT, "no-pod", "There is no log", message),
            Some(ErrorCode::NoPreviousRun) => {
                Self::new(StatusCode::NOT_FOUND, "no-previous", "There is no log", message)
            }
            Some(ErrorCode::Cluster) => {
                Self::new(StatusCode::BAD_GATEWAY, "cluster", "The cluster gave no log", message)
            }
        };
        problem.0.cause = cause.or(problem.0.cause);
        problem
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        OperationError::from(error).into()
    }
}

impl From<ChatError> for Problem {
    fn from(error: ChatError) -> Self {
        let message = error.to_string();
        match error {
            ChatError::Operation(error) => error.into(),
            ChatError::Store(error) => error.into(),
            ChatError::Agent(problem) => of_agent(&problem.type_, problem.status, problem.detail.clone()),
            ChatError::Unreachable(error) => match error.kind() {
                ErrorKind::Internal => {
                    Self::new(StatusCode::BAD_GATEWAY, "agent", "The environment gave no good answer", message)
                }
                kind => Self::of_kind(kind, message),
            },
            ChatError::Offline(_) => {
                Self::new(StatusCode::CONFLICT, "offline", "The environment does not run", message)
            }
            ChatError::NoConversation | ChatError::NoPrompt => Self::of_kind(ErrorKind::NotFound, message),
            ChatError::PromptConflict => {
                Self::new(StatusCode::CONFLICT, chat::word::PROMPT_CONFLICT, "The prompt's id was used before", message)
            }
            ChatError::Invalid(field, message) => Self::field(field, message),
            ChatError::TooMany(_) => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, chat::word::LIMIT, "A limit is reached", message)
            }
            ChatError::Content(_) => Self::internal(message),
        }
    }
}

/// The agent's own problem: its status, its word where it is one of the protocol's, and its detail.
fn of_agent(type_: &str, status: u16, detail: String) -> Problem {
    use chat::word::{
        INVALID, LIMIT, NO_CREDENTIALS, NO_RULE, NOT_FOUND, NOT_INSTALLED, NOT_WRITABLE, PROMPT_CONFLICT,
        PROMPT_STARTED, REQUEST_CLOSED,
    };
    let table = [
        (NOT_FOUND, "There is no such thing"),
        (INVALID, "The request is not valid"),
        (PROMPT_CONFLICT, "The prompt's id was used before"),
        (PROMPT_STARTED, "The prompt has started"),
        (REQUEST_CLOSED, "The request is closed"),
        (NO_RULE, "No rule can be made of it"),
        (LIMIT, "A limit is reached"),
        (NOT_INSTALLED, "Claude Code is not installed in the environment"),
        (NO_CREDENTIALS, "Claude Code has no credentials"),
        (NOT_WRITABLE, "The log cannot be written"),
    ];
    let word = type_.rsplit('/').next().unwrap_or_default();
    let known = table.into_iter().find(|(known, _)| *known == word);
    let (word, title) = known.unwrap_or(("agent", "The environment refuses"));
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    Problem::new(status, word, title, detail)
}
