//! The stylesheet, the script and the icon, built into the program. Their addresses carry a hash of their content, so that
//! browsers may keep them for ever and a newer program is never met by an older script.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::web::problem::Problem;

/// One file.
pub(super) struct Asset {
    stem: &'static str,
    extension: &'static str,
    media_type: &'static str,
    content: &'static str,
}

/// How all pages look.
pub(super) static STYLE: LazyLock<Named> = LazyLock::new(|| {
    Named::of(Asset {
        stem: "style",
        extension: "css",
        media_type: "text/css; charset=utf-8",
        content: concat!(
            include_str!("assets/tokens.css"),
            include_str!("assets/base.css"),
            include_str!("assets/components.css"),
            include_str!("assets/frame.css"),
            include_str!("assets/chat.css"),
        ),
    })
});

/// The comfort that pages do without.
pub(super) static SCRIPT: LazyLock<Named> = LazyLock::new(|| {
    Named::of(Asset {
        stem: "script",
        extension: "js",
        media_type: "text/javascript; charset=utf-8",
        content: concat!(include_str!("assets/script.js"), include_str!("assets/chat.js")),
    })
});

/// The icon of the window.
pub(super) static ICON: LazyLock<Named> = LazyLock::new(|| {
    Named::of(Asset {
        stem: "icon",
        extension: "svg",
        media_type: "image/svg+xml",
        content: include_str!("assets/icon.svg"),
    })
});

/// A file with its name, which is computed once.
pub(super) struct Named {
    asset: Asset,
    name: String,
}

impl Named {
    fn of(asset: Asset) -> Self {
        let digest = Sha256::digest(asset.content.as_bytes());
        let mut name = format!("{}-", asset.stem);
        for byte in &digest[..8] {
            let _ = write!(name, "{byte:02x}");
        }
        name.push('.');
        name.push_str(asset.extension);
        Self { asset, name }
    }

    /// The last part of its address.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// `GET /assets/{file}`
pub(in crate::web) async fn file(Path(file): Path<String>) -> Result<Response, Problem> {
    let found = [&*STYLE, &*SCRIPT, &*ICON].into_iter().find(|named| named.name == file);
    let Some(Named { asset, .. }) = found else {
        let detail = "no such file; it belongs to another version of the manager: load the page again";
        return Err(Problem::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing", detail));
    };
    let mut response = asset.content.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(asset.media_type));
    let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
    response.headers_mut().insert(CACHE_CONTROL, forever);
    Ok(response)
}
