//! The way around: a pod whose address cannot be reached, through an API server that forwards.
//!
//! The API server is a few lines that speak its WebSocket protocol `v4.channel.k8s.io`: a byte that says which stream, and
//! on each stream the port first.

use claude_manager::agent::{Client, PORT, Reach, Signer};
use claude_manager::project::ProjectName;
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use super::environment::Environment;

/// Forwards one connection to the agent at `address`, as an API server and a kubelet do together.
async fn api_server(agent: std::net::SocketAddr) -> (kube::Client, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut asked = String::new();
        #[allow(clippy::result_large_err, reason = "the library's own type of a refusal")]
        let answer = |request: &Request, mut response: Response| {
            asked = request.uri().to_string();
            response.headers_mut().insert("sec-websocket-protocol", "v4.channel.k8s.io".parse().unwrap());
            Ok(response)
        };
        let mut socket = tokio_tungstenite::accept_hdr_async(stream, answer).await.unwrap();
        for channel in [0, 1] {
            let mut first = vec![channel];
            first.extend(PORT.to_le_bytes());
            socket.send(Message::binary(first)).await.unwrap();
        }
        let mut pod = TcpStream::connect(agent).await.unwrap();
        let mut buffer = vec![0; 4096];
        loop {
            tokio::select! {
                message = socket.next() => match message {
                    Some(Ok(Message::Binary(data))) if data[0] == 0 => pod.write_all(&data[1..]).await.unwrap(),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return asked,
                },
                read = pod.read(&mut buffer) => {
                    let length = read.unwrap_or(0);
                    if length == 0 {
                        let _ = socket.close(None).await;
                        return asked;
                    }
                    let data = [&[0], &buffer[..length]].concat();
                    let _ = socket.send(Message::binary(data)).await;
                }
            }
        }
    });
    let config = kube::Config::new(url.parse().unwrap());
    (kube::Client::try_from(config).unwrap(), served)
}

#[tokio::test]
async fn an_agent_out_of_reach_is_asked_through_the_api_server() {
    let mut environment = Environment::new();
    environment.start(&[]);
    environment.until(|status| status["ready"] == true).await;
    let (cluster, served) = api_server(environment.address()).await;
    let client = Client::new(environment.signer().clone(), Reach::Cluster(cluster.clone()));
    let project = ProjectName::parse("checkout").unwrap();

    // Nobody listens on the pod's own address.
    let nowhere = "127.7.8.254".parse().unwrap();
    let status = client.status("team", "checkout-env-0", Some(nowhere), &project).await.unwrap();

    assert!(status.ready && status.project == "checkout");
    let asked = served.await.unwrap();
    assert!(asked.starts_with("/api/v1/namespaces/team/pods/checkout-env-0/portforward?"), "{asked}");
    assert!(asked.contains("ports=7780"), "{asked}");

    // When neither way leads there, both are told.
    let elsewhere = tempfile::tempdir().unwrap();
    let client = Client::new(Signer::open(elsewhere.path()).unwrap(), Reach::Cluster(cluster));
    let error = client.status("team", "checkout-env-0", Some(nowhere), &project).await.unwrap_err().to_string();
    assert!(error.contains("127.7.8.254:7780") && error.contains("by port-forward"), "{error}");
}
