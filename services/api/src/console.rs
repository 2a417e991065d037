//! The console: a page that talks to this API like any other client. Its files are part of the program; here is only how
//! they are served. It knows nothing of what they show.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use sha2::{Digest as _, Sha256};

use crate::problem::Problem;

/// Nothing from elsewhere, nothing inline, and no text that becomes markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";
const PERMISSIONS: &str = "camera=(), geolocation=(), microphone=(), payment=(), usb=()";
/// The page every address of the console is answered with: which view it shows is its own affair.
const PAGE: &str = "index.html";

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../console/", $name)))),+]
    };
}

/// All of them; a test compares this with the directory.
const FILES: &[(&str, &str)] = files![
    "app.js",
    "core/api.js",
    "core/chart.js",
    "core/dialog.js",
    "core/dom.js",
    "core/filters.js",
    "core/freezes.js",
    "core/icons.js",
    "core/jobs.js",
    "core/keys.js",
    "core/live.js",
    "core/names.js",
    "core/page.js",
    "core/recurrence.js",
    "core/router.js",
    "core/session.js",
    "core/status.js",
    "core/table.js",
    "core/theme.js",
    "core/time.js",
    "icon.svg",
    "index.html",
    "style/base.css",
    "style/parts.css",
    "style/tokens.css",
    "style/views.css",
    "views/agents.js",
    "views/approvals.js",
    "views/audit.js",
    "views/dead.js",
    "views/freeze.js",
    "views/job.js",
    "views/jobs.js",
    "views/login.js",
    "views/matrix.js",
    "views/overview.js",
    "views/policies.js",
    "views/resources.js",
    "views/triggers.js",
    "views/why.js",
    "views/workflows.js",
];

struct File {
    content: &'static str,
    kind: &'static str,
    etag: HeaderValue,
}

static BY_NAME: LazyLock<HashMap<&'static str, File>> = LazyLock::new(|| {
    let file = |(name, content): &(&'static str, &'static str)| {
        let digest = hex::encode(&Sha256::digest(content.as_bytes())[..16]);
        let etag = HeaderValue::from_str(&format!("\"{digest}\""))
            .expect("hexadecimal digits in quotes are a header");
        (*name, File { content, kind: media_type(name), etag })
    };
    FILES.iter().map(file).collect()
});

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some(_) | None => "application/octet-stream",
    }
}

/// The console's addresses. They need no key: what they show does.
pub(crate) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(async || Redirect::temporary("/console/")))
        .route("/console", get(async || Redirect::permanent("/console/")))
        .route("/console/", get(page))
        .route("/console/{*view}", get(page))
        .route("/console/static/{*name}", get(file))
}

async fn page(headers: HeaderMap) -> Response {
    serve(PAGE, &headers)
}

async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    serve(&name, &headers)
}

/// The file, or that the client has it already. A new version of the program is seen at once: every use asks.
fn serve(name: &str, asked: &HeaderMap) -> Response {
    let Some(file) = BY_NAME.get(name) else {
        return Problem::not_found(format_args!("file {name} of the console")).into_response();
    };
    let mut response = if is_known(asked, &file.etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(CONTENT_TYPE, file.kind)], file.content).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, file.etag.clone());
    for (name, value) in [
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), PERMISSIONS),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// RFC 9110 §13.1.2: weak comparison of a list.
fn is_known(asked: &HeaderMap, etag: &HeaderValue) -> bool {
    let lists = asked.get_all(IF_NONE_MATCH).iter().filter_map(|list| list.to_str().ok());
    lists
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    fn below(dir: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] }).collect()
    }

    #[test]
    fn every_file_of_the_console_is_part_of_the_program() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("console");
        let there = below(&dir);
        let there: BTreeSet<&str> =
            there.iter().map(|path| path.strip_prefix(&dir).unwrap().to_str().unwrap()).collect();
        let listed: BTreeSet<&str> = FILES.iter().map(|(name, _)| *name).collect();
        assert_eq!(listed, there);
        assert!(FILES.is_sorted());
    }

    #[test]
    fn a_script_imports_what_is_there_and_nothing_from_elsewhere() {
        for (name, content) in FILES {
            assert!(!content.contains("innerHTML"), "{name} makes markup of text");
            for line in content.lines().filter(|line| name.ends_with(".js") && line.starts_with("import ")) {
                let from = line.split('"').nth(1).unwrap_or_else(|| panic!("{name}: {line}"));
                let known =
                    from.strip_prefix("/console/static/").is_some_and(|file| BY_NAME.contains_key(file));
                assert!(known, "{name} imports {from}");
            }
        }
    }

    #[test]
    fn a_client_that_has_the_file_is_not_sent_it_again() {
        let first = serve("app.js", &HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        let etag = first.headers()[ETAG].clone();
        let asking =
            |tags: &str| HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_str(tags).unwrap())]);
        let tag = etag.to_str().unwrap();
        for (tags, status) in [
            (tag.to_owned(), StatusCode::NOT_MODIFIED),
            (format!("\"other\", W/{tag}"), StatusCode::NOT_MODIFIED),
            ("*".to_owned(), StatusCode::NOT_MODIFIED),
            ("\"other\"".to_owned(), StatusCode::OK),
        ] {
            let answer = serve("app.js", &asking(&tags));
            assert_eq!(answer.status(), status, "{tags}");
            assert_eq!(answer.headers()[ETAG], etag);
            assert!(answer.headers().contains_key(CONTENT_SECURITY_POLICY));
        }
        assert_eq!(serve("../Cargo.toml", &HeaderMap::new()).status(), StatusCode::NOT_FOUND);
    }
}
