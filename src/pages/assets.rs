//! Which files do our own pages need?
//!
//! They lie in the program, under names that hold a hash of what is in them, so that browsers may keep them for ever.

use std::sync::LazyLock;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response};

use crate::message::Body;

/// The addresses of the files.
pub(super) struct Assets {
    pub(super) style: String,
    pub(super) script: String,
    pub(super) icon: String,
    /// What goes into MLflow's own page.
    pub(super) menu: String,
    /// How the entry to our pages looks there.
    pub(super) entry: String,
}

struct File {
    name: String,
    kind: &'static str,
    content: &'static str,
}

const WHERE: &str = "/trackgate/assets/";

static FILES: LazyLock<[File; 5]> = LazyLock::new(|| {
    [
        File::new("style", "css", "text/css; charset=utf-8", include_str!("assets/style.css")),
        File::new("fragment", "js", "text/javascript; charset=utf-8", include_str!("assets/fragment.js")),
        File::new("icon", "svg", "image/svg+xml", include_str!("assets/icon.svg")),
        File::new("menu", "js", "text/javascript; charset=utf-8", include_str!("assets/menu.js")),
        File::new("entry", "css", "text/css; charset=utf-8", include_str!("assets/entry.css")),
    ]
});

static ASSETS: LazyLock<Assets> = LazyLock::new(|| {
    let [style, script, icon, menu, entry] = &*FILES;
    let address = |file: &File| format!("{WHERE}{}", file.name);
    Assets {
        style: address(style),
        script: address(script),
        icon: address(icon),
        menu: address(menu),
        entry: address(entry),
    }
});

impl File {
    fn new(stem: &str, ending: &str, kind: &'static str, content: &'static str) -> Self {
        let hash = digest::digest(&digest::SHA256, content.as_bytes());
        // 72 bits, in an alphabet that needs no escaping in a path.
        let hash = URL_SAFE_NO_PAD.encode(&hash.as_ref()[..9]);
        Self { name: format!("{stem}-{hash}.{ending}"), kind, content }
    }
}

pub(super) fn addresses() -> &'static Assets {
    &ASSETS
}

/// The file of that name.
pub(super) fn serve(name: &str) -> Option<Response<Body>> {
    let file = FILES.iter().find(|file| file.name == name)?;
    let mut answer = Response::new(Body::Full(bytes::Bytes::from_static(file.content.as_bytes())));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(file.kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_is_served_under_the_address_that_pages_name() {
        let assets = addresses();
        for address in [&assets.style, &assets.script, &assets.icon, &assets.menu, &assets.entry] {
            let answer = serve(address.strip_prefix(WHERE).unwrap()).unwrap();
            assert!(answer.headers()[CACHE_CONTROL].to_str().unwrap().contains("immutable"));
        }
        assert!(serve("style.css").is_none());
        assert!(serve("../mod.rs").is_none());
    }
}
