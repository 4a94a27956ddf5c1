//! The OpenAPI 3.1 document, made from the handlers.
//!
//! What every route of the integration API has in common is said once, here: the key, the errors,
//! and the headers that say how the limits stand.

use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{HttpMethod, Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi as Document, Ref, RefOr};
use utoipa::{Modify, OpenApi};

use super::auth::COMPANY_HEADER;
use super::{
    agents, api_keys, bulk, calls, campaigns, companies, compat, do_not_call, error, health,
    routes, stats,
};

/// The document.
pub(crate) fn document() -> Document {
    Api::openapi()
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Callspan API",
        version = "1.0.0",
        description = "Phone calls between people and voice agents: Twilio on one side, Ultravox \
            on the other.\n\nEvery route but health needs an API key in `X-API-Key`. A company's \
            key sees its company's objects only; an admin key acts for the company that \
            `X-Company-Id` names, company 1 when it is absent.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/", description = "This service")),
    paths(
        agents::create, agents::list, agents::read, agents::update, agents::delete,
        calls::dial, calls::list, calls::read, calls::timeline, calls::transcript,
        calls::hang_up, calls::message,
        do_not_call::add, do_not_call::list, do_not_call::read, do_not_call::remove,
        do_not_call::add_person,
        campaigns::create, campaigns::list, campaigns::read, campaigns::update,
        campaigns::results, campaigns::events, campaigns::pause, campaigns::resume,
        campaigns::cancel, campaigns::retry,
        health::basic, health::detailed,
        stats::metrics, stats::events, stats::api_calls,
        companies::create, companies::list, companies::read, companies::update, companies::delete,
        api_keys::create, api_keys::list, api_keys::revoke,
        compat::initiate_call, bulk::sequential, bulk::sequential_at_root, bulk::bulk,
        bulk::intelligent,
    ),
    components(schemas(error::ErrorBody, error::CallRoutesErrorBody)),
    tags(
        (name = "agents", description = "What voice agents are told and how they speak"),
        (name = "calls", description = "Phone calls with agents"),
        (name = "do not call", description = "Whom a company must not call"),
        (name = "campaigns", description = "Many numbers, called one after another or several at \
            a time"),
        (name = "call routes", description = "Calls with a company's own agent configuration"),
        (name = "health", description = "Whether the service is well"),
        (name = "metrics", description = "What has happened"),
        (name = "companies", description = "Companies and how each reaches its vendors"),
        (name = "api keys", description = "Who may ask"),
    ),
    modifiers(&Common),
    security(("api_key" = [])),
)]
struct Api;

/// Adds what all routes have in common.
struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        let key = ApiKeyValue::with_description("X-API-Key", "10 to 200 characters");
        components.add_security_scheme("api_key", SecurityScheme::ApiKey(ApiKey::Header(key)));
        for (path, item) in &mut document.paths.paths {
            let is_open = routes::open()
                .iter()
                .any(|open| path.strip_prefix(routes::BASE).is_some_and(|tail| tail == open.path));
            let schema = match path.starts_with(routes::BASE) {
                true => "Error",
                false => "CallRoutesError",
            };
            let slots = [
                (HttpMethod::Get, &mut item.get),
                (HttpMethod::Post, &mut item.post),
                (HttpMethod::Put, &mut item.put),
                (HttpMethod::Patch, &mut item.patch),
                (HttpMethod::Delete, &mut item.delete),
            ];
            for (method, operation) in slots {
                if let Some(operation) = operation {
                    if OF_ONE_COMPANY.iter().any(|tag| operation_has(operation, tag)) {
                        operation.parameters.get_or_insert_default().push(company().into());
                    }
                    complete(operation, schema, is_open, method != HttpMethod::Get);
                }
            }
        }
    }
}

/// Groups of routes that act for a company an admin key may choose.
const OF_ONE_COMPANY: [&str; 5] = ["agents", "calls", "campaigns", "do not call", "metrics"];

fn operation_has(operation: &Operation, tag: &str) -> bool {
    operation.tags.iter().flatten().any(|known| known == tag)
}

/// The header by which it chooses.
fn company() -> Parameter {
    let number = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::Integer))
        .minimum(Some(1))
        .maximum(Some(i64::MAX));
    ParameterBuilder::new()
        .name(COMPANY_HEADER)
        .parameter_in(ParameterIn::Header)
        .description(Some("For which company an admin key acts"))
        .schema(Some(number.build()))
        .build()
}

/// Adds the errors that any request may meet, and the headers that are on every answer.
fn complete(operation: &mut Operation, schema: &str, is_open: bool, changes: bool) {
    let mut errors = vec![];
    if !is_open {
        errors.extend([
            ("400", "The request is not valid; the message says which field and what is allowed"),
            ("401", "The API key is missing or not valid"),
            ("404", "There is no such object, or it is another company's"),
            ("429", "Too many requests; `Retry-After` says when to come again"),
            ("500", "Something failed here or at a vendor"),
            ("503", "Not now; `Retry-After` says when to come again"),
        ]);
    }
    if changes {
        errors.push(("409", "Not as things stand: the message says what is in the way"));
    }
    if operation.request_body.is_some() {
        errors.push(("413", "The body has more than 1 MiB"));
        errors.push(("415", "The body is not sent as JSON"));
    }
    let responses = &mut operation.responses.responses;
    for (status, description) in errors {
        responses.entry(status.to_owned()).or_insert_with(|| error(schema, description).into());
    }
    for (status, response) in responses.iter_mut() {
        let RefOr::T(response) = response else { continue };
        let mut add = |name: &str, header: Header| {
            response.headers.insert(name.to_owned(), header.into());
        };
        add("X-Request-Id", text("The request's id, which is in every log line of it too"));
        if !is_open {
            add("X-RateLimit-Limit", number("Maximum requests allowed in the window"));
            add("X-RateLimit-Remaining", number("Remaining requests in the current window"));
            add("X-RateLimit-Reset", number("When the window is over, in seconds since 1970"));
        }
        if matches!(status.as_str(), "429" | "503") && !is_open {
            add("Retry-After", number("Seconds to wait before trying again"));
        }
    }
}

fn error(schema: &str, description: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
    ResponseBuilder::new().description(description).content("application/json", content).build()
}

fn text(description: &str) -> Header {
    header(Type::String, description)
}

fn number(description: &str) -> Header {
    header(Type::Integer, description)
}

fn header(kind: Type, description: &str) -> Header {
    let schema = ObjectBuilder::new().schema_type(SchemaType::Type(kind)).build();
    HeaderBuilder::new().schema(Some(schema)).description(Some(description)).build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let document = serde_json::to_value(document()).expect("plain data");
        assert_eq!(document["openapi"], "3.1.0");
        let mut described = BTreeSet::new();
        for (path, item) in document["paths"].as_object().expect("an object") {
            for method in item.as_object().expect("an object").keys() {
                described.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
        let mut mounted = BTreeSet::new();
        let open = routes::open();
        for (base, resources) in [
            (routes::BASE, open),
            (routes::BASE, routes::platform()),
            (routes::CALL_ROUTES, routes::call_routes()),
            ("", routes::at_root()),
        ] {
            for resource in resources {
                for (method, _) in resource.methods {
                    mounted.insert(format!("{method} {base}{}", resource.path));
                }
            }
        }
        assert_eq!(described, mounted);
    }

    #[test]
    fn every_answer_is_complete() {
        let document = serde_json::to_value(document()).expect("plain data");
        let agents = &document["paths"]["/api/v1/agents"]["post"];
        for status in ["201", "400", "401", "413", "415", "429", "500", "503"] {
            let headers = &agents["responses"][status]["headers"];
            assert!(headers["X-RateLimit-Remaining"].is_object(), "{status}");
        }
        let schema = &agents["responses"]["400"]["content"]["application/json"]["schema"];
        assert_eq!(schema["$ref"], "#/components/schemas/Error");
        let health = &document["paths"]["/api/v1/health"]["get"];
        assert_eq!(health["security"], serde_json::json!([{}]));
        assert_eq!(document["security"], serde_json::json!([{"api_key": []}]));
    }
}
