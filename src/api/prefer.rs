//! `Prefer` (RFC 7240): how long a client wants to wait for an answer that may take hours.

use std::future::{Ready, ready};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::{HeaderMap, HeaderName};
use actix_web::{FromRequest, HttpRequest};
use utoipa::IntoParams;

use super::error::ApiError;

const HEADER: HeaderName = HeaderName::from_static("prefer");
/// Says which preferences were honoured.
pub(crate) const APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// What a client prefers. What it says that is no preference of these, or makes no sense, is as if
/// it were not said (section 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prefer {
    respond_async: bool,
    wait_seconds: Option<u32>,
}

/// The same for the document.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct PreferParam {
    /// `respond-async` is answered with 202 as soon as the numbers are stored, `wait=N` after N
    /// seconds unless all calls are over by then; the calls go on either way (RFC 7240).
    #[expect(dead_code, reason = "only described")]
    #[param(rename = "Prefer", example = "respond-async")]
    prefer: Option<String>,
}

impl Prefer {
    fn of(headers: &HeaderMap) -> Self {
        let mut prefer = Prefer::default();
        let given = headers.get_all(HEADER).filter_map(|value| value.to_str().ok());
        for preference in given.flat_map(|value| value.split(',')) {
            let (preference, _parameters) = preference.split_once(';').unwrap_or((preference, ""));
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            let (name, value) = (name.trim(), value.trim().trim_matches('"'));
            if name.eq_ignore_ascii_case("respond-async") {
                prefer.respond_async = true;
            } else if name.eq_ignore_ascii_case("wait") && prefer.wait_seconds.is_none() {
                prefer.wait_seconds = value.parse().ok();
            }
        }
        prefer
    }

    /// How long to wait with the answer; `None` is as long as it takes.
    pub(crate) fn wait(self) -> Option<Duration> {
        let wait = self.wait_seconds.map(|seconds| Duration::from_secs(seconds.into()));
        wait.or(self.respond_async.then_some(Duration::ZERO))
    }

    /// What is honoured when the answer comes before the work is done; `None` when nothing was
    /// said.
    pub(crate) fn applied(self) -> Option<String> {
        let wait = self.wait_seconds.map(|seconds| format!("wait={seconds}"));
        let said = self.respond_async.then(|| "respond-async".to_owned()).into_iter().chain(wait);
        let said: Vec<String> = said.collect();
        (!said.is_empty()).then(|| said.join(", "))
    }
}

impl FromRequest for Prefer {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Prefer::of(request.headers())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn prefer(values: &[&str]) -> Prefer {
        let request = TestRequest::default();
        let request =
            values.iter().fold(request, |request, value| request.append_header((HEADER, *value)));
        Prefer::of(request.to_http_request().headers())
    }

    #[test]
    fn reads_what_the_rfc_shows() {
        let now = Some(Duration::ZERO);
        assert_eq!(prefer(&["respond-async"]).wait(), now);
        assert_eq!(prefer(&["Respond-Async; foo=bar"]).wait(), now);
        let ten = Some(Duration::from_secs(10));
        for both in [
            &["respond-async, wait=10"][..],
            &["wait = 10", "respond-async"],
            &["wait=\"10\", respond-async"],
        ] {
            assert_eq!(prefer(both).wait(), ten, "{both:?}");
            assert_eq!(prefer(both).applied().as_deref(), Some("respond-async, wait=10"));
        }
        assert_eq!(prefer(&["wait=10, wait=20"]).applied().as_deref(), Some("wait=10"));
    }

    #[test]
    fn what_makes_no_sense_was_not_said() {
        for nonsense in ["", "wait", "wait=soon", "wait=-1", "return=minimal", "wait=1.5", ",;="] {
            assert_eq!(prefer(&[nonsense]), Prefer::default(), "{nonsense:?}");
        }
        assert_eq!((prefer(&[]).wait(), prefer(&[]).applied()), (None, None));
    }
}
