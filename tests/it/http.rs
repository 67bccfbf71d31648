//! The HTTP client of the tests.

/// Makes a client that asks no proxy.
pub(crate) fn client() -> reqwest::Client {
    builder().build().expect("a client")
}

/// The same before it is built. reqwest comes without a TLS provider of its own, so that one is installed before.
pub(crate) fn builder() -> reqwest::ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy()
}
