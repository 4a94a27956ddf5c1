//! The API's documentation for people: Swagger UI at `/docs`, to read and to try, and ReDoc at
//! `/redoc`, to read. Both show `/openapi.json`.
//!
//! Everything they need comes with the binary. A Content-Security-Policy keeps the pages from
//! asking any other host for anything, whatever their scripts would like to load. All addresses in
//! them are relative, so they work behind a proxy that puts a path before ours.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, EntityTag, Header as _, IfNoneMatch, LOCATION,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use utoipa_swagger_ui::Config;

use super::document;

/// Both are drawn by scripts that write styles into the page; Swagger UI has images as data, ReDoc
/// searches in a worker it makes itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; worker-src 'self' blob:; \
     style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The files of Swagger UI that its page loads. The rest of what the crate ships is other builds
/// of the same.
const SWAGGER_FILES: [&str; 6] = [
    "favicon-32x32.png",
    "index.css",
    "swagger-initializer.js",
    "swagger-ui-bundle.js",
    "swagger-ui-standalone-preset.js",
    "swagger-ui.css",
];

/// The name under which a folder keeps its page.
const PAGE: &str = "index.html";

struct File {
    content_type: String,
    bytes: Bytes,
    etag: EntityTag,
}

impl File {
    fn new(content_type: impl Into<String>, bytes: Bytes) -> Self {
        let hash: String =
            Sha256::digest(&bytes)[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        File { content_type: content_type.into(), bytes, etag: EntityTag::new_strong(hash) }
    }

    fn html(text: &'static str) -> Self {
        File::new("text/html; charset=utf-8", Bytes::from_static(text.as_bytes()))
    }
}

type Folder = BTreeMap<&'static str, File>;

static SWAGGER: LazyLock<Folder> = LazyLock::new(|| {
    let config = Config::from("openapi.json")
        .try_it_out_enabled(true)
        .persist_authorization(true)
        .display_request_duration(true)
        // Its default asks a server of Swagger's about every document that is shown.
        .validator_url("none");
    let config = Arc::new(config);
    let file = |name| {
        let file = utoipa_swagger_ui::serve(name, Arc::clone(&config))
            .ok()
            .flatten()
            .expect("the crate ships this file, which a test reads");
        (name, File::new(file.content_type, Bytes::from(file.bytes.into_owned())))
    };
    let page = File::html(include_str!("../../assets/swagger/index.html"));
    SWAGGER_FILES.into_iter().map(file).chain([(PAGE, page)]).collect()
});

static REDOC: LazyLock<Folder> = LazyLock::new(|| {
    let script = include_bytes!("../../assets/redoc/redoc.standalone.js");
    BTreeMap::from([
        (PAGE, File::html(include_str!("../../assets/redoc/index.html"))),
        ("redoc.standalone.js", File::new("text/javascript", Bytes::from_static(script))),
    ])
});

static DOCUMENT: LazyLock<File> = LazyLock::new(|| {
    let json = document().to_json().expect("the document is plain data");
    File::new("application/json", Bytes::from(json))
});

/// Serves `GET /openapi.json`.
pub(crate) async fn openapi(request: HttpRequest) -> HttpResponse {
    respond(&DOCUMENT, &request)
}

/// Serves `GET /docs` and `GET /docs/{file}`: Swagger UI.
pub(crate) async fn swagger(request: HttpRequest) -> HttpResponse {
    serve(&SWAGGER, "docs", &request)
}

/// Serves `GET /redoc` and `GET /redoc/{file}`: ReDoc.
pub(crate) async fn redoc(request: HttpRequest) -> HttpResponse {
    serve(&REDOC, "redoc", &request)
}

fn serve(folder: &Folder, name: &str, request: &HttpRequest) -> HttpResponse {
    let file = match request.match_info().get("file") {
        None => folder.get(PAGE),
        // The addresses in the page are relative to its own without the slash.
        Some("") => {
            let page = (LOCATION, format!("../{name}"));
            return HttpResponse::PermanentRedirect().insert_header(page).finish();
        }
        Some(PAGE) => None,
        Some(file) => folder.get(file),
    };
    match file {
        Some(file) => respond(file, request),
        None => HttpResponse::NotFound().body("not found"),
    }
}

fn respond(file: &File, request: &HttpRequest) -> HttpResponse {
    let is_known = match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|tag| tag.weak_eq(&file.etag)),
        Err(_) => false,
    };
    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header((ETAG, file.etag.to_string()))
        // Another version of this program has other files at the same addresses.
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((REFERRER_POLICY, "no-referrer"));
    match is_known {
        true => response.finish(),
        false => response.content_type(file.content_type.as_str()).body(file.bytes.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(folder: &Folder, name: &str) -> String {
        String::from_utf8(folder[name].bytes.to_vec()).expect("text")
    }

    #[test]
    fn every_file_is_there_and_none_is_compressed() {
        assert_eq!(SWAGGER.len(), SWAGGER_FILES.len() + 1);
        assert!(text(&SWAGGER, "swagger-ui-bundle.js").contains("SwaggerUIBundle"));
        assert!(text(&SWAGGER, "swagger-ui-standalone-preset.js").contains("StandalonePreset"));
        assert!(text(&SWAGGER, "swagger-ui.css").contains(".swagger-ui"));
        assert!(text(&REDOC, "redoc.standalone.js").contains("Redoc"));
    }

    #[test]
    fn swagger_ui_is_set_up_to_try_things_out_and_to_ask_nobody_else() {
        let setup = text(&SWAGGER, "swagger-initializer.js");
        for expected in [
            r#""url": "openapi.json""#,
            r#""tryItOutEnabled": true"#,
            r#""persistAuthorization": true"#,
            r#""validatorUrl": "none""#,
        ] {
            assert!(setup.contains(expected), "{expected} is not in {setup}");
        }
        assert!(!setup.contains("http"), "{setup}");
    }

    #[test]
    fn the_logo_of_redoc_is_not_loaded_from_the_network() {
        assert!(!text(&REDOC, "redoc.standalone.js").contains("cdn.redoc.ly"));
    }
}
