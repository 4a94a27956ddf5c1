//! How often one key, or one stranger, may ask.

use reqwest::Method;

use crate::harness::requests::Answer;
use crate::harness::{ADMIN_KEY, Setup, TestApp};

fn limited(per_minute: &str, burst: &str) -> Setup {
    Setup::new()
        .set("CALLSPAN_RATE_LIMIT_PER_MINUTE", per_minute)
        .set("CALLSPAN_RATE_LIMIT_PER_HOUR", "1000")
        .set("CALLSPAN_RATE_LIMIT_BURST", burst)
}

fn number(answer: &Answer, name: &str) -> u64 {
    let value = answer.header(name).unwrap_or_else(|| panic!("no {name} in {answer:?}"));
    value.parse().expect("a number")
}

async fn stranger(app: &TestApp, key: &str, forwarded_for: Option<&str>) -> Answer {
    let mut request = app.api(Method::GET, "/agents", key);
    if let Some(address) = forwarded_for {
        request = request.header("X-Forwarded-For", address);
    }
    Answer::to(request).await
}

#[actix_web::test]
async fn a_key_has_its_number_and_every_answer_says_so() {
    let app = limited("5", "0").start().await;
    app.add_key(1, "another-good-key").await;
    let paths = ["/agents", "/nowhere", "/agents?limit=0", "/metrics", "/agents"];
    for (path, left) in paths.into_iter().zip([4, 3, 2, 1, 0]) {
        let answer = app.ask(Method::GET, path).await;
        assert_ne!(answer.status, 429, "{path}");
        assert_eq!(number(&answer, "x-ratelimit-limit"), 5);
        assert_eq!(number(&answer, "x-ratelimit-remaining"), left);
        let now = u64::try_from(jiff::Timestamp::now().as_second()).expect("after 1970");
        let reset = number(&answer, "x-ratelimit-reset");
        assert!((now..=now + 61).contains(&reset), "{reset} at {now}");
    }
    let refused = app.ask(Method::GET, "/agents").await;
    let message = refused.refused(429, "rate_limit_exceeded");
    assert!(message.starts_with("Rate limit exceeded: 5 requests a minute"), "{message}");
    assert_eq!(number(&refused, "x-ratelimit-remaining"), 0);
    assert!((1..=60).contains(&refused.retry_after()));
    let call_route = app.call("+12125550123").await;
    assert_eq!(call_route.status, 429, "document A's routes are counted with the others");
    assert!(call_route.error().starts_with("Rate limit exceeded"));
    assert!((1..=60).contains(&call_route.retry_after()));

    assert_eq!(stranger(&app, "another-good-key", None).await.status, 200, "each has its own");
    for _ in 0..20 {
        let health = app.get("/api/v1/health").await;
        assert_eq!((health.status, health.header("x-ratelimit-limit")), (200, None));
    }
    app.finish().await;
}

#[actix_web::test]
async fn no_more_than_the_burst_passes_at_once() {
    let app = limited("1000", "3").start().await;
    let at_once = (0..30).map(|_| app.ask(Method::GET, "/agents"));
    let answers = futures_util::future::join_all(at_once).await;
    let passed = answers.iter().filter(|answer| answer.status == 200).count();
    let refused = answers.iter().filter(|answer| answer.status == 429).count();
    assert_eq!(passed + refused, 30);
    assert!(passed >= 3 && refused > 0, "{passed} passed");
    let message = answers.iter().find(|answer| answer.status == 429).expect("one");
    assert!(message.api_error().1.contains("3 requests at once"), "{message:?}");
    app.finish().await;
}

#[actix_web::test]
async fn strangers_are_counted_by_an_address_they_cannot_choose() {
    let app = limited("4", "0").start().await;
    for n in 0..4 {
        let answer = stranger(&app, "not-a-good-key", Some(&format!("198.51.100.{n}"))).await;
        assert_eq!(answer.status, 401);
        assert_eq!(number(&answer, "x-ratelimit-remaining"), 3 - n);
    }
    let forged = stranger(&app, "not-a-good-key", Some("198.51.100.9")).await;
    forged.refused(429, "rate_limit_exceeded");
    assert_eq!(stranger(&app, ADMIN_KEY, None).await.status, 200, "a good key is not a stranger");
    app.finish().await;
}

#[actix_web::test]
async fn a_trusted_proxy_says_who_a_stranger_is() {
    let app = limited("2", "0").set("CALLSPAN_TRUSTED_PROXIES", "127.0.0.0/8").start().await;
    let attempt =
        async |address: &str| stranger(&app, "not-a-good-key", Some(address)).await.status;
    assert_eq!([attempt("198.51.100.1").await, attempt("198.51.100.1").await], [401, 401]);
    assert_eq!(attempt("198.51.100.1").await, 429);
    assert_eq!(attempt("198.51.100.2").await, 401, "another stranger");
    assert_eq!(attempt("203.0.113.7, 198.51.100.1").await, 429, "what he adds himself is no help");
    app.finish().await;
}
