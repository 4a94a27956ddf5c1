//! Every route of the two documents, in one list: the server mounts it, and a test holds the
//! OpenAPI document against it.

use actix_web::http::Method;
use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};
use actix_web::{FromRequest, Handler, HttpResponse, Resource, Responder, Route, guard};

use super::error::{ApiError, unknown_route};
use super::gate::gate;
use super::{
    agents, api_keys, body, bulk, calls, campaigns, companies, compat, do_not_call, health, stats,
};

/// What the integration API's paths begin with.
pub(crate) const BASE: &str = "/api/v1";
/// What the call routes' paths begin with.
pub(crate) const CALL_ROUTES: &str = "/api/ultravox-calls";

/// One path, with what each method does.
pub(crate) struct Resourceful {
    pub(crate) path: &'static str,
    pub(crate) methods: Vec<(Method, Route)>,
}

fn at<const N: usize>(path: &'static str, methods: [(Method, Route); N]) -> Resourceful {
    Resourceful { path, methods: methods.into() }
}

fn get<F, Args>(handler: F) -> (Method, Route)
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    // What can be read can be asked for without its body (RFC 9110, section 9.1).
    let either = guard::Any(guard::Get()).or(guard::Head());
    (Method::GET, web::route().guard(either).to(handler))
}

fn on<F, Args>(method: Method, handler: F) -> (Method, Route)
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    (method.clone(), web::method(method).to(handler))
}

/// Routes that anybody may ask, without a limit.
pub(crate) fn open() -> Vec<Resourceful> {
    vec![at("/health", [get(health::basic)]), at("/health/detailed", [get(health::detailed)])]
}

/// Routes of the integration API that need a key.
pub(crate) fn platform() -> Vec<Resourceful> {
    vec![
        at("/agents", [get(agents::list), on(Method::POST, agents::create)]),
        at(
            "/agents/{agent_id}",
            [
                get(agents::read),
                on(Method::PUT, agents::update),
                on(Method::DELETE, agents::delete),
            ],
        ),
        at("/calls", [get(calls::list)]),
        // The parameter of this path means an agent in a POST and a call in a GET.
        at("/calls/{id}", [get(calls::read), on(Method::POST, calls::dial)]),
        at("/calls/{id}/timeline", [get(calls::timeline)]),
        at("/calls/{id}/transcript", [get(calls::transcript)]),
        at("/calls/{id}/hangup", [on(Method::POST, calls::hang_up)]),
        at("/calls/{id}/message", [on(Method::POST, calls::message)]),
        at("/calls/{id}/do-not-call", [on(Method::POST, do_not_call::add_person)]),
        at("/do-not-call", [get(do_not_call::list), on(Method::POST, do_not_call::add)]),
        at(
            "/do-not-call/{phone_number}",
            [get(do_not_call::read), on(Method::DELETE, do_not_call::remove)],
        ),
        at("/campaigns", [get(campaigns::list), on(Method::POST, campaigns::create)]),
        at("/campaigns/{id}", [get(campaigns::read), on(Method::PATCH, campaigns::update)]),
        at("/campaigns/{id}/calls", [get(campaigns::results)]),
        at("/campaigns/{id}/events", [get(campaigns::events)]),
        at("/campaigns/{id}/pause", [on(Method::POST, campaigns::pause)]),
        at("/campaigns/{id}/resume", [on(Method::POST, campaigns::resume)]),
        at("/campaigns/{id}/cancel", [on(Method::POST, campaigns::cancel)]),
        at("/campaigns/{id}/retry", [on(Method::POST, campaigns::retry)]),
        at("/metrics", [get(stats::metrics)]),
        at("/metrics/events", [get(stats::events)]),
        at("/metrics/api-calls", [get(stats::api_calls)]),
        at("/companies", [get(companies::list), on(Method::POST, companies::create)]),
        at(
            "/companies/{company_id}",
            [
                get(companies::read),
                on(Method::PATCH, companies::update),
                on(Method::DELETE, companies::delete),
            ],
        ),
        at("/api-keys", [get(api_keys::list), on(Method::POST, api_keys::create)]),
        at("/api-keys/{key_id}", [on(Method::DELETE, api_keys::revoke)]),
    ]
}

/// The call routes, which need a key too.
pub(crate) fn call_routes() -> Vec<Resourceful> {
    vec![
        at("/initiate-call", [on(Method::POST, compat::initiate_call)]),
        at("/bulk-calls-sequential", [on(Method::POST, bulk::sequential)]),
        at("/bulk-calls", [on(Method::POST, bulk::bulk)]),
        at("/intelligent-bulk-calls", [on(Method::POST, bulk::intelligent)]),
    ]
}

/// A call route that is documented without a base as well.
pub(crate) fn at_root() -> Vec<Resourceful> {
    vec![at("/bulk-calls-sequential", [on(Method::POST, bulk::sequential_at_root)])]
}

/// Mounts all of them.
pub(crate) fn mount(app: &mut ServiceConfig) {
    for open in open() {
        app.service(resource(&format!("{BASE}{}", open.path), open.methods));
    }
    for root in at_root() {
        let resource = resource(root.path, root.methods).app_data(body::payload_limit());
        app.service(resource.wrap(from_fn(gate)));
    }
    for (base, resources) in [(BASE, platform()), (CALL_ROUTES, call_routes())] {
        let scope = web::scope(base).app_data(body::payload_limit());
        let scope = resources.into_iter().fold(scope, |scope, Resourceful { path, methods }| {
            scope.service(resource(path, methods))
        });
        app.service(scope.default_service(web::to(unknown_route)).wrap(from_fn(gate)));
    }
}

fn resource(path: &str, methods: Vec<(Method, Route)>) -> Resource {
    let allowed: Vec<Method> = methods.iter().map(|(method, _)| method.clone()).collect();
    let resource = web::resource(path).default_service(web::to(move || {
        let refusal = ApiError::method_not_allowed(&allowed);
        async move { Err::<HttpResponse, ApiError>(refusal) }
    }));
    methods.into_iter().fold(resource, |resource, (_, route)| resource.route(route))
}
