//! The documentation's pages in a real browser: they render, they work, and they ask no other host
//! for anything.
//!
//! Needs Chromium: `CHROMIUM` names the program, by default `chromium`.

mod chromium;

#[expect(dead_code, reason = "the whole of it is used by the tests of the service")]
#[path = "../it/harness/mod.rs"]
mod harness;

use chromium::{Browser, Page};
use harness::{ADMIN_KEY, TestApp, soon};

/// Whom the document's example calls.
const CALLEE: &str = "+919398178764";

async fn open(app: &TestApp, path: &str) -> (Browser, Page) {
    let browser = Browser::start().await;
    let mut page = browser.page().await;
    page.go_to(&app.url(path)).await;
    (browser, page)
}

/// Nothing went wrong in the page, and all it loaded came from the service.
fn assert_clean(app: &TestApp, page: &Page) {
    assert!(page.complaints().is_empty(), "{:#?}", page.complaints());
    let ours = app.url("/");
    let foreign: Vec<&String> = page
        .requested()
        .iter()
        .filter(|url| !url.starts_with(&ours))
        .filter(|url| !url.starts_with("data:") && !url.starts_with("blob:"))
        .collect();
    assert!(foreign.is_empty(), "{foreign:#?}");
    assert!(page.requested().contains(&app.url("/openapi.json")), "{:#?}", page.requested());
}

#[actix_web::test]
#[ignore = "needs Chromium: run ./scripts/test"]
async fn redoc_shows_the_document() {
    let app = TestApp::start().await;
    let (browser, mut page) = open(&app, "/redoc").await;
    page.wait_for("document.body.innerText.includes('/api/ultravox-calls/initiate-call')").await;
    page.wait_for("document.querySelector('h1').innerText.includes('Callspan API')").await;
    assert_clean(&app, &page);
    browser.stop().await;
    app.finish().await;
}

#[actix_web::test]
#[ignore = "needs Chromium: run ./scripts/test"]
async fn an_operation_can_be_tried_out_with_a_key() {
    let app = TestApp::start().await;
    let (browser, mut page) = open(&app, "/docs").await;
    let operation = r#"document.querySelector('.opblock-post:has([data-path="/api/ultravox-calls/initiate-call"])')"#;
    page.wait_for("document.querySelector('h1, h2.title').innerText.includes('Callspan API')")
        .await;
    page.wait_for(&format!("{operation} !== null")).await;
    page.run(&format!("window.ui.preauthorizeApiKey('api_key', '{ADMIN_KEY}')")).await;
    page.run(&format!("{operation}.querySelector('.opblock-summary-control').click()")).await;
    page.wait_for(&format!("{operation}.querySelector('.execute') !== null")).await;
    // The example is shown a moment before it is what would be sent; without it nothing is.
    let body =
        "window.ui.oas3Selectors.requestBodyValue('/api/ultravox-calls/initiate-call', 'post')";
    page.wait_for(&format!("{body}?.includes('destinationNumber')")).await;
    page.run(&format!("{operation}.querySelector('.execute').click()")).await;
    let status = format!(
        "{operation}.querySelector('.live-responses-table .response .response-col_status')?.innerText ?? ''"
    );
    page.wait_for(&format!("/[0-9]{{3}}/.test({status})")).await;
    assert!(page.run(&status).await.as_str().expect("text").contains("200"));
    let phone = soon("the call", app.twilio.wait_for_call(CALLEE)).await;
    assert_clean(&app, &page);
    phone.hang_up();
    browser.stop().await;
    app.finish().await;
}
