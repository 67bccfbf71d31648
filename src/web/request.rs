//! One request to the API, read in full: who, what, under which conditions.

use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, Path, Query, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, IF_MATCH};
use axum::http::{Extensions, HeaderMap, HeaderName, Method, StatusCode, Uri};

use super::api::json;
use super::middleware::RequestId;
use super::problem::Problem;
use crate::operations::{OperationError, permit};
use crate::project::{Action, Actor, ErrorKind, Principal, ProjectName, Source};

/// The most bytes that a body may have, where the address has no limit of its own.
pub(super) const MAX_BODY: usize = 1024 * 1024;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A request, with its body.
pub(super) struct Call {
    pub(super) actor: Actor,
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    /// What the layers know of the request.
    pub(super) extensions: Extensions,
    pub(super) body: Bytes,
}

impl<S: Sync> FromRequest<S> for Call {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        Self::read(request, MAX_BODY).await
    }
}

impl Call {
    /// Reads a request whose body may have `limit` bytes.
    pub(super) async fn read(request: Request, limit: usize) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        // The layers set both; without them a route would be open, and must not answer.
        let principal = parts.extensions.get::<Principal>().cloned();
        let request_id = parts.extensions.get::<RequestId>().cloned();
        let (Some(principal), Some(request_id)) = (principal, request_id) else {
            return Err(Problem::internal("a route is outside the layers that know the caller".to_owned()));
        };
        let body = read_body_of(&parts.headers, body, limit).await?;
        Ok(Self {
            actor: Actor { principal, source: Source::Api, request_id: request_id.0 },
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
            extensions: parts.extensions,
            body,
        })
    }
}

/// Reads a body of at most [`MAX_BODY`] bytes.
pub(super) async fn read_body(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    read_body_of(headers, body, MAX_BODY).await
}

/// Reads a body of at most `limit` bytes.
pub(super) async fn read_body_of(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("the body must have at most {limit} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request is too large", detail)
    };
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    axum::body::to_bytes(body, limit).await.map_err(|error| {
        let limited =
            std::error::Error::source(&error).is_some_and(|source| source.is::<http_body_util::LengthLimitError>());
        if limited { too_large() } else { Problem::of_kind(ErrorKind::Invalid, "the body did not arrive whole") }
    })
}

impl Call {
    /// Refuses what the caller's role does not allow, before anything of the request is looked at.
    pub(super) fn permit(&self, action: Action) -> Result<(), Problem> {
        Ok(permit(&self.actor, action)?)
    }

    /// The body, which must be sent as JSON. A page of another site can make a browser send forms and plain text, but
    /// not this type without asking first.
    pub(super) fn json(&self) -> Result<&[u8], Problem> {
        let unsupported = |detail: &str| {
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", "The body has the wrong type", detail)
        };
        let content_type = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            return Err(unsupported("send the body with Content-Type: application/json"));
        }
        if self.headers.get(CONTENT_ENCODING).is_some_and(|value| value != "identity") {
            return Err(unsupported("send the body without Content-Encoding"));
        }
        Ok(&self.body)
    }

    /// Calls that take no body get none, or an empty JSON object.
    pub(super) fn no_body(&self) -> Result<(), Problem> {
        if self.body.is_empty() {
            return Ok(());
        }
        let (value, _) = json::parse(self.json()?).map_err(|message| Problem::field("", message))?;
        if value.as_object().is_some_and(serde_json::Map::is_empty) {
            return Ok(());
        }
        Err(Problem::field("", "this call takes no body"))
    }

    /// The parameters of the query.
    pub(super) fn query(&self) -> Result<Vec<(String, String)>, Problem> {
        let query = Query::<Vec<(String, String)>>::try_from_uri(&self.uri);
        query.map(|Query(pairs)| pairs).map_err(|_| Problem::field("", "the query cannot be read"))
    }

    /// The Idempotency-Key, if there is one.
    pub(super) fn idempotency_key(&self) -> Result<Option<&str>, Problem> {
        let Some(value) = self.headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
        match value.to_str() {
            Ok(key) if (1..=255).contains(&key.len()) => Ok(Some(key)),
            _ => Err(Problem::field("Idempotency-Key", "must be 1 to 255 ASCII characters")),
        }
    }

    /// The overlay ids of If-Match; none when everything matches.
    pub(super) fn if_match(&self) -> Result<Vec<String>, Problem> {
        let mut ids = Vec::new();
        for value in self.headers.get_all(IF_MATCH) {
            for tag in value.to_str().unwrap_or("?").split(',').map(str::trim) {
                match tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
                    Some(id) => ids.push(id.to_owned()),
                    None if tag == "*" => return Ok(Vec::new()),
                    // A weak tag never matches here (RFC 9110, 13.1.1), which no overlay's id does either.
                    None if tag.starts_with("W/") => ids.push(tag.to_owned()),
                    None => return Err(Problem::field("If-Match", "must be an ETag in double quotes, or *")),
                }
            }
        }
        Ok(ids)
    }
}

/// The `{id}` of a path; what does not decode is no project either.
pub(super) type Id = Result<Path<String>, PathRejection>;

/// The project that a path names. What can be no project's name is a project that does not exist.
pub(super) fn name_of(id: Id) -> Result<ProjectName, Problem> {
    let text = id.map(|Path(text)| text).unwrap_or_default();
    Ok(ProjectName::parse(&text).map_err(|_| OperationError::no_such_project(&text))?)
}
