//! What every request for a key's routes passes: who asks, and how often he has asked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _, ResponseError as _, web};
use ipnet::IpNet;
use jiff::Timestamp;

use crate::client_address::client_address;
use crate::config::RateLimits;
use crate::startup::Context;

use super::auth::caller;
use super::error::ApiError;
use super::limits::{Exceeded, Limiter, Verdict};

/// Whose requests are counted together.
pub(crate) struct RateLimiters {
    keys: Limiter<Arc<str>>,
    strangers: Limiter<IpAddr>,
    trusted_proxies: Vec<IpNet>,
}

impl RateLimiters {
    pub(crate) fn new(limits: &RateLimits, trusted_proxies: Vec<IpNet>) -> Self {
        RateLimiters {
            keys: Limiter::new(limits),
            strangers: Limiter::new(limits),
            trusted_proxies,
        }
    }

    /// Where a request comes from. An IPv6 network of 64 bits is one household, so it counts once.
    fn address(&self, request: &ServiceRequest) -> IpAddr {
        let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
        let forwarded = request.headers().get_all("X-Forwarded-For");
        let forwarded = forwarded.filter_map(|value| value.to_str().ok());
        match client_address(peer, forwarded, &self.trusted_proxies) {
            IpAddr::V6(address) => {
                let network = u128::from(address) & !u128::from(u64::MAX);
                IpAddr::V6(Ipv6Addr::from(network))
            }
            v4 => v4,
        }
    }
}

/// The middleware before every route that needs a key: finds out who asks, counts the request,
/// and writes how the limits stand on the answer, whatever it is.
pub(crate) async fn gate(
    context: web::Data<Context>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let limiters = &context.rate_limiters;
    let who = caller(&context, request.headers()).await;
    let now = Instant::now();
    let (verdict, who) = match who {
        Ok(caller) => (limiters.keys.check(caller.key(), now), Ok(caller)),
        Err(refusal) if refusal.status_code() == StatusCode::UNAUTHORIZED => {
            (limiters.strangers.check(&limiters.address(&request), now), Err(refusal))
        }
        Err(error) => (Verdict { standing: None, exceeded: None }, Err(error)),
    };
    let pass = match verdict.exceeded {
        None => who,
        Some(exceeded) => Err(too_many(exceeded)),
    };
    let mut response = match pass {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.call(request).await?.map_into_boxed_body()
        }
        Err(refusal) => request.into_response(refusal.error_response()),
    };
    if let Some(standing) = verdict.standing {
        standing.write(response.headers_mut(), Timestamp::now());
    }
    Ok(response)
}

fn too_many(Exceeded { which, retry_after }: Exceeded) -> ApiError {
    let seconds = retry_after.as_secs() + 1;
    let message = format!("Rate limit exceeded: {which}; try again in {seconds} s");
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", message)
        .detail("limit", which)
        .retry_after(retry_after)
}
