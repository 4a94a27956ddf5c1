//! `POST /twilio/echo`: whether a signed request arrives as it was sent.

use crate::harness::TestApp;

const PATH: &str = "/twilio/echo";

#[actix_web::test]
async fn only_a_signature_that_fits_is_answered_well() {
    let app = TestApp::start().await;
    let url = app.url(PATH);
    let sid = app.twilio.account_sid().to_owned();
    let good = [("AccountSid", sid.as_str()), ("CompanyId", "1"), ("Sample", "a +b & c=é")];
    let answer = app.webhook(&url, &good).await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));

    let unsigned = app.post_form(&url, None, &crate::harness::requests::owned(&good)).await;
    assert_eq!((unsigned.status, unsigned.body.as_str()), (403, "missing"));
    assert_eq!((app.rejected("missing").await, app.rejected("wrong").await), (1.0, 0.0));
    app.finish().await;
}

#[actix_web::test]
async fn nobody_learns_which_companies_there_are() {
    let app = TestApp::start().await;
    let url = app.url(PATH);
    let sid = app.twilio.account_sid().to_owned();
    let other = "AC00000000000000000000000000000009";
    let forged = crate::harness::requests::owned(&[("AccountSid", &sid), ("CompanyId", "1")]);
    let wrong = app.post_form(&url, Some("AAAAAAAAAAAAAAAAAAAAAAAAAAA="), &forged).await;
    assert_eq!((wrong.status, wrong.body.as_str()), (403, "wrong"));
    // Signed with company 1's token, which is not the one of whom they name.
    for fields in [
        &[("AccountSid", sid.as_str()), ("CompanyId", "2")][..],
        &[("AccountSid", sid.as_str()), ("CompanyId", "one")],
        &[("AccountSid", sid.as_str())],
        &[("AccountSid", other), ("CompanyId", "1")],
        &[("CompanyId", "1")],
        &[],
    ] {
        let answer = app.webhook(&url, fields).await;
        assert_eq!((answer.status, answer.body), (403, wrong.body.clone()), "{fields:?}");
    }
    assert_eq!(app.rejected("wrong").await, 7.0);
    app.finish().await;
}
