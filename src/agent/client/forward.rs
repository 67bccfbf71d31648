//! By port-forward, as `kubectl port-forward` does it: for a manager outside of the pods' network.

use futures::FutureExt;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;

use super::connection::{Connection, Forward};
use crate::agent::PORT;

/// Opens a stream to the pod's port through the API server. Whether the agent listens there shows at the first exchange.
pub(super) async fn open(cluster: &kube::Client, namespace: &str, pod: &str) -> Result<Connection, String> {
    let pods: Api<Pod> = Api::namespaced(cluster.clone(), namespace);
    let mut forwarder = pods.portforward(pod, &[PORT]).await.map_err(|error| error.to_string())?;
    let stream = forwarder.take_stream(PORT).ok_or("the API server opened no stream")?;
    // The API server says on a stream of its own why nothing listens behind it.
    let refused = forwarder.take_error(PORT).map(FutureExt::boxed);
    Ok(Connection { stream: Box::new(stream), forward: Some(Forward::new(forwarder, refused)) })
}
