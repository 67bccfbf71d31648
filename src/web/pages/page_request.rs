//! One request for a page: who asks, what is in the form, and the page around the answer.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::form::Form;
use super::layout::{Frame, put_headers};
use super::project::tag;
use super::{flash, see_other};
use crate::operations::Snapshot;
use crate::project::{Action, Actor, Principal, Source};
use crate::web::AppState;
use crate::web::middleware::RequestId;
use crate::web::problem::Problem;
use crate::web::request::Call;

/// A request of somebody who is signed in.
pub(in crate::web) struct Visit {
    call: Call,
    /// The address below BASE_PATH.
    here: String,
}

impl FromRequest<AppState> for Visit {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        let here = request.extensions().get::<Here>().map(|here| here.0.clone()).unwrap_or_default();
        let mut call = Call::from_request(request, state).await?;
        call.actor.source = Source::Ui;
        Ok(Self { call, here })
    }
}

impl Visit {
    /// The visit of a person who has just signed in, to the page `here` below BASE_PATH.
    pub(super) fn begun(principal: Principal, here: &str, parts: &Parts) -> Self {
        let request_id = parts.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
        let call = Call {
            actor: Actor { principal, source: Source::Ui, request_id },
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            headers: HeaderMap::new(),
            extensions: axum::http::Extensions::new(),
            body: Bytes::new(),
        };
        Self { call, here: here.to_owned() }
    }

    /// Whether the policy lets the visitor do this; a problem that says so when not.
    pub(super) fn permit(&self, action: Action) -> Result<(), Problem> {
        self.call.permit(action)
    }

    /// Whether the policy lets the visitor do this: what nobody may do is not offered.
    pub(super) const fn may(&self, action: Action) -> bool {
        self.call.actor.principal.may(action)
    }

    /// Who acts, by way of a page.
    pub(super) fn actor(&self) -> Actor {
        self.call.actor.clone()
    }

    /// The parameters of the address, without the empty ones: a form that is sent with GET sends them all.
    pub(super) fn query(&self) -> Result<Vec<(String, String)>, Problem> {
        let mut query = self.call.query()?;
        query.retain(|(_, value)| !value.trim().is_empty());
        Ok(query)
    }

    /// The fields of the form that was sent.
    pub(super) fn form(&self) -> Result<Form, Problem> {
        let content_type = self.call.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        Form::parse(content_type.unwrap_or_default(), &self.call.body)
    }

    /// The page with `content`. Tells once what the page before has done.
    pub(super) fn page(&self, state: &AppState, status: StatusCode, title: &str, content: Markup) -> Response {
        self.page_below(state, status, title, &[], content)
    }

    /// The same with the pages above it, by their labels and their addresses below BASE_PATH.
    pub(super) fn page_below(
        &self,
        state: &AppState,
        status: StatusCode,
        title: &str,
        above: &[(&str, &str)],
        content: Markup,
    ) -> Response {
        self.frame(state, status, Frame { title, above, content, ..Frame::default() })
    }

    /// The same for a page that fills the window; its content has to show [`Visit::notices`].
    pub(super) fn chat_page(&self, state: &AppState, title: &str, above: &[(&str, &str)], content: Markup) -> Response {
        self.frame(state, StatusCode::OK, Frame { title, above, content, is_chat: true, ..Frame::default() })
    }

    fn frame(&self, state: &AppState, status: StatusCode, frame: Frame<'_>) -> Response {
        let server = &state.settings.server;
        let (principal, notices) = (Some(&self.call.actor.principal), self.notices(state));
        let frame = Frame { base: &server.base_path, here: &self.here, principal, notices, ..frame };
        let mut response = frame.answer(status);
        if flash::read(&self.call.headers).is_some()
            && let Some(header) = flash::take_away(server)
        {
            response.headers_mut().append(SET_COOKIE, header);
        }
        response
    }

    /// What was just done, and what is wrong with everything.
    pub(super) fn notices(&self, state: &AppState) -> Vec<Markup> {
        let told = flash::read(&self.call.headers);
        let mut notices: Vec<Markup> = told.iter().map(|told| told.notice(&state.settings.server.base_path)).collect();
        notices.extend(troubles(&state.operations.snapshot()));
        notices
    }

    /// A part of a page, for the script; 304 when it is what the script has.
    pub(super) fn fragment(&self, content: &Markup) -> Response {
        let tag = tag(content);
        let same = self.call.headers.get(IF_NONE_MATCH).is_some_and(|given| given.as_bytes() == tag.as_bytes());
        let mut response = if same {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let mut response = content.0.clone().into_response();
            put_headers(response.headers_mut());
            response
        };
        response.headers_mut().extend(HeaderValue::from_str(&tag).ok().map(|tag| (ETAG, tag)));
        response
    }

    /// A redirect to a page that tells what was done.
    pub(super) fn tell(&self, state: &AppState, path: &str, told: &flash::Told) -> Response {
        let server = &state.settings.server;
        let mut response = see_other(server, path);
        if let Some(header) = told.header(server) {
            response.headers_mut().append(SET_COOKIE, header);
        }
        response
    }
}

/// The path of a request below BASE_PATH. The outermost layer sets it: nested routers see less of the address.
#[derive(Clone, Default)]
pub(in crate::web) struct Here(pub(in crate::web) String);

impl Here {
    /// Of a request whose address is whole.
    pub(in crate::web) fn of(base: &str, request: &Request) -> Self {
        let path = request.uri().path();
        let below = path.strip_prefix(base).unwrap_or(path);
        Self(if below.is_empty() { "/".to_owned() } else { below.to_owned() })
    }
}

/// What is wrong with everything at once, and has to be known on every page.
fn troubles(snapshot: &Snapshot) -> Vec<Markup> {
    let notice = |title: &str, text: &str| {
        html! { div.notice.bad role="note" { strong { (title) } " " (text) } }
    };
    let mut notices = Vec::new();
    if let Some(error) = &snapshot.cluster {
        notices.push(notice("The cluster does not answer; what is shown may be old.", error));
    }
    if let Some(error) = &snapshot.base_error {
        notices.push(notice("The state repository has a fault.", error));
    }
    notices
}
