//! The public URL: is it one Twilio can use, does it lead here, and does a signature survive the
//! way?

use std::error::Error as _;
use std::time::Duration;

use actors::ids::CompanyId;
use actors::ports::TwilioAccount;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::DATE;
use reqwest::{Client, Response};
use secrecy::SecretString;
use serde_json::Value;

use crate::clients::client_config;
use crate::config::Config;
use crate::webhooks::{paths, signature};

use super::clock::Clock;
use super::finding::Finding;

const URL: &str = "public URL";
const SIGNATURE: &str = "signed webhook";
/// Twilio waits 15 s for an answer, and the way there is not all of it.
const LIMIT: Duration = Duration::from_secs(10);

/// Gives the clock of whoever answers there.
pub(super) async fn examine(
    config: &Config,
    company: CompanyId,
    account: Option<&TwilioAccount>,
    findings: &mut Vec<Finding>,
) -> Option<Clock> {
    let url = &config.public_url;
    if url.is_secure() {
        findings.push(Finding::ok(URL, format!("{url} is https")));
    } else {
        let detail = format!("{url} is not https: Twilio streams to wss only");
        let advice = "set CALLSPAN_PUBLIC_URL to the https address of the proxy before us, or serve \
                      TLS with CALLSPAN_TLS_CERT; http is for simulators";
        findings.push(Finding::warning(URL, detail, advice));
    }
    let http = match client() {
        Ok(http) => http,
        Err(why) => {
            let advice = "check the certificates of this machine";
            findings.push(Finding::failed(URL, why, advice));
            return None;
        }
    };
    let answer = match http.get(url.http("/healthz")).send().await {
        Ok(answer) => answer,
        Err(error) => {
            let detail = format!("{url} cannot be reached: {}", words(error));
            let advice = "start the service, and check DNS, firewall and proxy; some networks do \
                          not let a machine reach itself by its public name";
            findings.push(Finding::failed(URL, detail, advice));
            return None;
        }
    };
    let clock = clock(&answer);
    let status = answer.status().as_u16();
    let health: Value = answer.json().await.unwrap_or(Value::Null);
    let is_ours = status == 200 && health["status"] == "ok";
    findings.push(reached(is_ours, status, &url.to_string()));
    match account {
        Some(account) if is_ours => {
            findings.extend(echo(&http, config, company, account).await);
        }
        _ => {}
    }
    clock
}

fn client() -> Result<Client, String> {
    let tls = client_config(&[]).map_err(|error| error.to_string())?;
    Client::builder()
        .tls_backend_preconfigured((*tls).clone())
        .user_agent(crate::CLIENT_VERSION)
        .timeout(LIMIT)
        // Twilio would follow one, and then its signature would not fit.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .retry(reqwest::retry::never())
        .build()
        .map_err(words)
}

fn reached(is_ours: bool, status: u16, url: &str) -> Finding {
    if is_ours {
        return Finding::ok(URL, format!("{url} leads to a Callspan"));
    }
    let detail = match status {
        300..=399 => format!("{url} answers with a redirect (HTTP {status})"),
        _ => format!("somebody else answers at {url} (HTTP {status})"),
    };
    let advice = "set CALLSPAN_PUBLIC_URL to the address that leads to this service, its path too";
    Finding::failed(URL, detail, advice)
}

/// Sends a webhook as Twilio would, and one as somebody else would.
async fn echo(
    http: &Client,
    config: &Config,
    company: CompanyId,
    account: &TwilioAccount,
) -> Vec<Finding> {
    let url = config.public_url.http(paths::ECHO);
    let nobody = SecretString::from(format!("not {}", account.account_sid));
    let mut findings = Vec::new();
    for (token, is_genuine) in [(&account.auth_token, true), (&nobody, false)] {
        // Spaces and signs are what a proxy that rewrites bodies gets wrong.
        let form = [
            ("AccountSid", account.account_sid.to_string()),
            ("CompanyId", company.to_string()),
            ("Sample", "a +b & c=\u{e9}".to_owned()),
        ];
        let body = form_body(&form);
        let signature =
            signature::sign(token, &url, &signature::FormParams::parse(body.as_bytes()));
        let request = http
            .post(&url)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .header("X-Twilio-Signature", signature)
            .body(body);
        findings.push(match request.send().await {
            Ok(answer) => heard(is_genuine, answer.status().as_u16()),
            Err(error) => {
                let detail = format!("no answer to it: {}", words(error));
                Finding::failed(SIGNATURE, detail, "look into the logs of service and proxy")
            }
        });
    }
    findings
}

fn form_body(form: &[(&str, String)]) -> String {
    let mut body = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in form {
        body.append_pair(name, value);
    }
    body.finish()
}

/// What the answer to a webhook of ours means.
fn heard(is_genuine: bool, status: u16) -> Finding {
    match (is_genuine, status) {
        (true, 204) => Finding::ok(SIGNATURE, "a webhook of Twilio's is believed"),
        (false, 403) => Finding::ok(SIGNATURE, "a forged webhook is refused"),
        (false, 204) => Finding::failed(
            SIGNATURE,
            "a forged webhook is believed",
            "find out who answers in the service's place: anybody could speak in Twilio's name",
        ),
        (true, 403) => Finding::failed(
            SIGNATURE,
            "a webhook of Twilio's is refused",
            "the running service must have the same CALLSPAN_PUBLIC_URL and auth token as we have \
             here: restart it after a change; and the proxy must leave path, body and \
             X-Twilio-Signature as they are",
        ),
        (_, status) => Finding::failed(
            SIGNATURE,
            format!("a webhook is answered HTTP {status}"),
            "look into the logs of service and proxy; the service must be of this version",
        ),
    }
}

fn clock(answer: &Response) -> Option<Clock> {
    static PARSER: DateTimeParser = DateTimeParser::new().relaxed_weekday(true);
    let date = answer.headers().get(DATE)?.to_str().ok()?;
    let date = PARSER.parse_timestamp(date).ok()?;
    Some(Clock { of: "the public URL", ahead: date.duration_since(Timestamp::now()) })
}

fn words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn only_a_believed_webhook_and_a_refused_forgery_are_well() {
        assert_eq!(heard(true, 204).verdict, Verdict::Ok);
        assert_eq!(heard(false, 403).verdict, Verdict::Ok);
        for (is_genuine, status) in [(true, 403), (false, 204), (true, 404), (false, 404)] {
            assert_eq!(heard(is_genuine, status).verdict, Verdict::Failed, "{status}");
        }
    }

    #[test]
    fn a_redirect_is_called_one() {
        assert!(reached(false, 301, "http://a.b").detail.contains("redirect"));
        assert!(reached(false, 200, "http://a.b").detail.contains("somebody else"));
    }
}
