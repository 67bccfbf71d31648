//! The variables of this machine that the programs started here may see.

/// Where programs, certificates and proxies are. The manager is given keys and tokens as variables, too, so each program sees
/// these, the few that its starter names beside them, and nothing else.
pub const PASSED: [&str; 14] = [
    "PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
];
