//! By port-forward, as `kubectl port-forward` does it: for a manager outside of the pods' network.

use hyper::body::Bytes;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;

use crate::agent::PORT;

/// One request to the pod's port through the API server.
pub(super) async fn exchange(
    cluster: &kube::Client,
    namespace: &str,
    pod: &str,
    path: &str,
    token: &str,
) -> Result<(u16, Bytes), String> {
    let pods: Api<Pod> = Api::namespaced(cluster.clone(), namespace);
    let mut forwarder = pods.portforward(pod, &[PORT]).await.map_err(|error| error.to_string())?;
    let stream = forwarder.take_stream(PORT).ok_or("the API server opened no stream")?;
    let refused = forwarder.take_error(PORT);
    let answer = super::exchange(stream, path, token).await;
    forwarder.abort();
    match (answer, refused) {
        (Ok(answer), _) => Ok(answer),
        // The API server says on a stream of its own why nobody listens behind it.
        (Err(error), Some(refused)) => {
            let said = tokio::time::timeout(std::time::Duration::from_millis(200), refused).await.ok().flatten();
            Err(said.unwrap_or(error))
        }
        (Err(error), None) => Err(error),
    }
}
