//! `callspan doctor`: finds out why calls would not work, before somebody calls.
//!
//! It looks and changes nothing, so it may run beside a service that is in use. What is found is a
//! list of [`Finding`]s; what a vendor's answer or a clock means is decided by plain functions, and
//! what goes out over the network stays in thin ones around them.

mod clock;
mod database;
mod finding;
mod public;
mod vendors;

use actors::ids::CompanyId;
use actors::ports::{TwilioAccount, UltravoxAccount};

use crate::config::Config;

pub(crate) use finding::{Finding, Verdict};

/// The company whose accounts the configuration may hold.
const COMPANY_FROM_ENVIRONMENT: CompanyId = CompanyId(1);

/// What a company needs for its calls.
#[derive(Default)]
struct Accounts {
    twilio: Option<TwilioAccount>,
    ultravox: Option<UltravoxAccount>,
}

/// Looks at everything a call of this company needs. The configuration itself has been read by
/// now, so it is the first thing that is in order.
pub(crate) async fn examine(config: &Config, company: CompanyId) -> Vec<Finding> {
    let mut findings = vec![Finding::ok("configuration", "every setting can be read")];
    for name in config.unused() {
        let detail = format!("{name} is set, but this version does not act on it yet");
        findings.push(Finding::warning("configuration", detail, "take it out, or leave it"));
    }
    let mut accounts = database::examine(config, company, &mut findings).await;
    if company == COMPANY_FROM_ENVIRONMENT {
        // At its next start the service stores these, so these are what counts.
        accounts.twilio = config.twilio.clone().or(accounts.twilio);
        accounts.ultravox = match &config.ultravox_api_key {
            Some(key) => {
                let api_url = accounts.ultravox.and_then(|account| account.api_url);
                Some(UltravoxAccount { api_key: key.clone(), api_url })
            }
            None => accounts.ultravox,
        };
    }
    let mut clocks = Vec::new();
    clocks.extend(public::examine(config, company, accounts.twilio.as_ref(), &mut findings).await);
    let account = accounts.twilio.as_ref();
    clocks.extend(vendors::twilio(config, company, account, &mut findings).await);
    let account = accounts.ultravox.as_ref();
    clocks.extend(vendors::ultravox(config, company, account, &mut findings).await);
    findings.push(clock::judge(&clocks));
    findings
}
