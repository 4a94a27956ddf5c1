//! Measures the REST API, route after route.
//!
//! The service runs on the current actix system; requests come from threads of their own, so that
//! they are late only when the service is.

mod fill;
mod history;
mod load;
mod report;
mod routes;
mod service;

use std::sync::Arc;

pub(crate) use crate::database::Database;
pub(crate) use report::Report;

use report::RouteReport;
use routes::Route;
use service::Service;

/// What to measure, and how long.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Where the service keeps its calls.
    pub(crate) database: Database,
    /// How many calls it has.
    pub(crate) calls: u32,
    /// Requests a second.
    pub(crate) rate: u32,
    /// Requests that are measured, of each route.
    pub(crate) requests: u32,
    /// Requests before those.
    pub(crate) warm_up: u32,
    /// Only routes whose name contains this.
    pub(crate) only: Option<String>,
}

impl Plan {
    /// Every route a few times, which says whether it works and not how fast it is.
    pub(crate) fn smoke(database: Database) -> Plan {
        Plan { database, calls: 200, rate: 200, requests: 5, warm_up: 1, only: None }
    }

    fn wants(&self, route: &Route) -> bool {
        self.only.as_ref().is_none_or(|only| route.name.contains(only.as_str()))
    }
}

/// Carries a plan out; `begins` is told of each route.
pub(crate) async fn run(plan: &Plan, begins: impl Fn(&str)) -> Report {
    let home = plan.database.make().await;
    let service = Service::start(&home).await;
    let agent = service.make_agent().await;
    let known = fill::fill(&home, plan.calls, &agent).await;
    let mut routes = Vec::new();
    for route in routes::all(&agent, known).into_iter().filter(|route| plan.wants(route)) {
        begins(route.name);
        routes.push(measure(plan, &service, route).await);
    }
    let complaints = service.finish().await;
    home.delete().await;
    Report {
        database: plan.database.to_string(),
        calls: plan.calls,
        rate: plan.rate,
        routes,
        complaints,
    }
}

async fn measure(plan: &Plan, service: &Service, route: Route) -> RouteReport {
    let (name, dials) = (route.name, route.dials);
    let route = Arc::new(route);
    load::drive(service.base(), route.clone(), plan.rate, plan.warm_up).await;
    service.settle().await;
    let before = service.vendor_seconds().await;
    let answers = load::drive(service.base(), route, plan.rate, plan.requests).await;
    let in_vendors = service.vendor_seconds().await - before;
    service.settle().await;
    RouteReport::of(name, &answers, dials.then_some(in_vendors))
}
