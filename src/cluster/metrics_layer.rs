//! Counts the requests to the API server by verb, reads and watches included. Around the client, so that none is missed.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Method, Request, Response, Uri};
use tower::Service;

use crate::metrics::Metrics;

/// A service whose requests are counted.
pub(super) struct Counted<S> {
    pub(super) inner: S,
    pub(super) metrics: Metrics,
}

impl<S, B, R> Service<Request<B>> for Counted<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (metrics, verb) = (self.metrics.clone(), verb(request.method(), request.uri()));
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            metrics.kubernetes_request(verb, answer.as_ref().ok().map(|response| response.status().as_u16()));
            answer
        })
    }
}

/// The verb of a request, in the words of Kubernetes' own rules and audit log.
fn verb(method: &Method, uri: &Uri) -> &'static str {
    let flag = |name: &str| {
        let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        pairs.into_iter().any(|(key, value)| key == name && matches!(value.as_ref(), "1" | "true"))
    };
    match *method {
        Method::GET if flag("watch") => "watch",
        Method::GET if is_collection(uri.path()) => "list",
        Method::GET => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    }
}

/// Whether a path names all objects of a kind rather than one.
fn is_collection(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let below = match parts.as_slice() {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
        _ => return false,
    };
    match below {
        ["namespaces", _, rest @ ..] if !rest.is_empty() => rest.len() == 1,
        rest => rest.len() == 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_are_those_of_the_audit_log() {
        for (method, uri, expected) in [
            (Method::GET, "/api/v1/namespaces/n/pods?labelSelector=a", "list"),
            (Method::GET, "/api/v1/namespaces/n/pods?labelSelector=a&watch=1", "watch"),
            (Method::GET, "/apis/apps/v1/namespaces/n/statefulsets", "list"),
            (Method::GET, "/apis/apps/v1/namespaces/n/statefulsets/watch", "get"),
            (Method::GET, "/api/v1/namespaces/n/pods/p/log?tailLines=1", "get"),
            (Method::GET, "/api/v1/namespaces/n", "get"),
            (Method::GET, "/api/v1/namespaces", "list"),
            (Method::GET, "/apis/storage.k8s.io/v1/storageclasses", "list"),
            (Method::GET, "/version", "get"),
            (Method::PATCH, "/api/v1/namespaces/n/services/s?force=true", "patch"),
            (Method::POST, "/api/v1/namespaces/n/events", "create"),
            (Method::DELETE, "/api/v1/namespaces/n/services/s", "delete"),
            (Method::OPTIONS, "/", "other"),
        ] {
            assert_eq!(verb(&method, &uri.parse().unwrap()), expected, "{method} {uri}");
        }
    }
}
