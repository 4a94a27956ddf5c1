//! Swagger UI and ReDoc over HTTP. What they look like in a browser is tested in `tests/browser`.

use crate::harness::TestApp;
use crate::harness::requests::Answer;

/// The addresses a page loads files from.
fn loaded(page: &str) -> Vec<&str> {
    let attributes = page.split([' ', '>', '\n']).filter_map(|word| {
        word.strip_prefix("src=\"").or_else(|| word.strip_prefix("href=\""))?.strip_suffix('"')
    });
    attributes.collect()
}

#[actix_web::test]
async fn the_pages_load_everything_from_here() {
    let app = TestApp::start().await;
    for (page, files) in [("/docs", 6), ("/redoc", 2)] {
        let answer = app.get(page).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
        let policy = answer.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(policy.contains("connect-src 'self';"), "{policy}");
        let loaded = loaded(&answer.body);
        assert_eq!(loaded.len(), files, "{loaded:?}");
        for file in loaded {
            assert!(!file.contains(':') && !file.starts_with('/'), "{file} is not relative");
            let answer = app.get_bytes(&format!("/{file}")).await;
            let kind = match file.rsplit_once('.').expect("a file").1 {
                "js" => "text/javascript",
                "css" => "text/css",
                "png" => "image/png",
                other => panic!("what is {other}?"),
            };
            assert_eq!(answer.0, 200, "{file}");
            assert!(answer.1.starts_with(kind), "{file} is {}", answer.1);
            assert!(answer.2 > 100, "{file} has {} bytes", answer.2);
        }
    }
    app.finish().await;
}

#[actix_web::test]
async fn what_a_browser_knows_is_not_sent_again() {
    let app = TestApp::start().await;
    for path in ["/docs", "/docs/swagger-initializer.js", "/redoc", "/redoc/redoc.standalone.js"] {
        let first = app.get(path).await;
        let etag = first.header("etag").expect("an ETag").to_owned();
        assert_eq!(first.header("cache-control"), Some("no-cache"));
        for known in [etag.as_str(), &format!("\"other\", W/{etag}"), "*"] {
            let request = app.http.get(app.url(path)).header("If-None-Match", known);
            let again = Answer::to(request).await;
            assert_eq!((again.status, again.body.as_str()), (304, ""), "{path} {known}");
            assert_eq!(again.header("etag"), Some(etag.as_str()));
        }
        let request = app.http.get(app.url(path)).header("If-None-Match", "\"other\"");
        assert_eq!(Answer::to(request).await.status, 200);
    }
    app.finish().await;
}

#[actix_web::test]
async fn a_slash_at_the_end_leads_to_the_page_and_other_files_are_not_there() {
    let app = TestApp::start().await;
    for page in ["/docs", "/redoc"] {
        let answer = app.get(&format!("{page}/")).await;
        assert_eq!((answer.status, answer.body), (200, app.get(page).await.body));
        for missing in ["/index.html", "/swagger-ui.js.map", "/../Cargo.toml", "/a/b", "/%2e%2e/x"]
        {
            let answer = app.get(&format!("{page}{missing}")).await;
            assert_eq!(answer.status, 404, "{page}{missing}");
        }
    }
    app.finish().await;
}
