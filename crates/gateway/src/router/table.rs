//! The table of endpoints: one row is one thing that a client can ask for.
//!
//! Read by [`super::lookup`] for each request, and by `GET /routes`. Always true: a path and a method are in at
//! most one row, and what is in no row is refused. A new page is a row here and its file in `pages/`.

use std::sync::LazyLock;

use hale_core::operation::Operation;
use http::Response;
use hyper::body::Incoming;

use self::Handler::{Page, WaitingPage};
use super::{backend, routes};
use crate::http::auth::Role;
use crate::http::reply::Reply;
use crate::http::tree::{Longest, PAGE_BYTES};
use crate::pages::{
    PageRequest, Waiting, alerting, budgets, cache, callbacks, customers, dashboard, explain,
    health, home, keys, lists, metrics, model_groups, models, router, router_settings, run_time,
    services, spend, tags, teams, user_update, users,
};

/// One row.
#[derive(Clone, Copy)]
pub struct Endpoint {
    /// What it is called on `GET /routes`.
    pub(super) name: &'static str,
    /// The one method it answers to (`GET` rows of pages also answer `HEAD`).
    pub method: &'static str,
    /// Its paths; at most one `{}` in each stands for a name that may contain slashes.
    pub paths: &'static [&'static str],
    /// Who may use it.
    pub role: Role,
    /// How long a body may be that a page reads.
    pub(super) longest: Longest,
    /// What answers.
    pub(super) handler: Handler,
}

/// What answers at an endpoint.
#[derive(Clone, Copy)]
pub(super) enum Handler {
    /// An upstream.
    Upstream(Operation),
    /// A page, from what the process holds.
    Page(fn(&PageRequest<'_>) -> Response<Reply>),
    /// A page that waits: for the request's body, or for the data that it shows.
    WaitingPage(for<'a> fn(PageRequest<'a>, Incoming) -> Waiting<'a>),
}

impl Endpoint {
    /// A row whose page reads bodies of that length.
    const fn with_bodies(self, longest: Longest) -> Endpoint {
        Endpoint { longest, ..self }
    }

    /// Whether it passes through what is in no other row.
    pub(super) fn is_passed_through(&self) -> bool {
        match self.handler {
            Handler::Upstream(operation) => operation.is_passed_through(),
            Handler::Page(_) | Handler::WaitingPage(_) => false,
        }
    }
}

const fn get(
    name: &'static str,
    paths: &'static [&'static str],
    role: Role,
    handler: Handler,
) -> Endpoint {
    Endpoint { name, method: "GET", paths, role, longest: Longest::Bytes(PAGE_BYTES), handler }
}

const fn post(
    name: &'static str,
    paths: &'static [&'static str],
    role: Role,
    handler: Handler,
) -> Endpoint {
    Endpoint { name, method: "POST", paths, role, longest: Longest::Bytes(PAGE_BYTES), handler }
}

const fn row(
    name: &'static str,
    method: &'static str,
    (paths, role): (&'static [&'static str], Role),
    handler: Handler,
) -> Endpoint {
    Endpoint { name, method, paths, role, longest: Longest::Bytes(PAGE_BYTES), handler }
}

/// What the gateway answers by itself.
#[rustfmt::skip] // A row a line.
const PAGES: &[Endpoint] = &[
    get("models", &["/v1/models", "/models", "/v1beta/models", "/v1alpha/models"], Role::Key, WaitingPage(models::list)),
    get("model", &["/v1/models/{}", "/models/{}", "/v1beta/models/{}", "/v1alpha/models/{}"], Role::Key, Page(models::one)),
    get("modelinfo", &["/v1/model/info", "/model/info"], Role::Key, WaitingPage(models::info)),
    get("modelgroupinfo", &["/model_group/info"], Role::Key, WaitingPage(model_groups::info)),
    get("openapi", &["/openapi.json"], Role::Public, Page(routes::openapi)),
    get("routes", &["/routes"], Role::Public, Page(routes::list)),
    get("liveness", &["/health/liveliness", "/health/liveness"], Role::Public, Page(health::readiness::liveness)),
    get("readiness", &["/health/readiness"], Role::Public, Page(health::readiness::readiness)),
    get("report", &["/health"], Role::Key, WaitingPage(health::report::page)),
    get("readinessdetails", &["/health/readiness/details"], Role::Admin, Page(health::readiness::details)),
    get("sharedstatus", &["/health/shared-status"], Role::Viewer, Page(health::shared::status)),
    get("backlog", &["/health/backlog"], Role::Admin, Page(health::readiness::backlog)),
    get("license", &["/health/license"], Role::Admin, Page(health::readiness::license)),
    get("healthhistory", &["/health/history"], Role::Admin, WaitingPage(health::history::page)),
    get("healthlatest", &["/health/latest"], Role::Admin, Page(health::history::latest)),
    get("services", &["/health/services"], Role::Admin, WaitingPage(services::test)),
    get("activecallbacks", &["/active/callbacks", "/settings"], Role::Admin, Page(callbacks::active)),
    get("configcallbacks", &["/get/config/callbacks"], Role::Admin, Page(callbacks::config)),
    get("drain", &["/health/drain"], Role::Public, WaitingPage(health::drain::page)),
    post("testconnection", &["/health/test_connection"], Role::Admin, WaitingPage(health::test_connection::page)).with_bodies(Longest::Bytes(64 << 10)),
    get("test", &["/test"], Role::Public, Page(home::test)),
    get("metrics", &["/metrics"], Role::Metrics, WaitingPage(metrics::page)),
    get("routerstate", &["/router/state"], Role::Admin, Page(router::state)),
    get("routersettings", &["/router/settings"], Role::Admin, Page(router_settings::page)),
    get("providerbudgets", &["/provider/budgets"], Role::Admin, Page(budgets::of_providers)),
    get("incidents", &["/alerting/incidents"], Role::Viewer, WaitingPage(alerting::incidents)),
    get("alertingsettings", &["/alerting/settings"], Role::Admin, Page(alerting::settings)),
    post("alertingtest", &["/alerting/test"], Role::Admin, WaitingPage(alerting::test)),
    post("alertingreport", &["/alerting/report"], Role::Admin, WaitingPage(alerting::report)),
    get("cacheping", &["/cache/ping"], Role::Admin, WaitingPage(cache::ping)),
    post("cachedelete", &["/cache/delete"], Role::Admin, WaitingPage(cache::delete)),
    post("cacheflush", &["/cache/flushall"], Role::Admin, WaitingPage(cache::flush)),
    post("keygenerate", &["/key/generate"], Role::TeamAdmin, WaitingPage(keys::generate)),
    post("keyupdate", &["/key/update"], Role::TeamAdmin, WaitingPage(keys::update)),
    post("keydelete", &["/key/delete"], Role::TeamAdmin, WaitingPage(keys::delete)),
    post(
        "keyregenerate",
        &["/key/regenerate", "/key/{}/regenerate"],
        Role::TeamAdmin,
        WaitingPage(keys::regenerate),
    ),
    post("keyblock", &["/key/block"], Role::TeamAdmin, WaitingPage(keys::block)),
    post("keyunblock", &["/key/unblock"], Role::TeamAdmin, WaitingPage(keys::unblock)),
    post("teamnew", &["/team/new"], Role::Admin, WaitingPage(teams::new)),
    post("teamupdate", &["/team/update"], Role::Admin, WaitingPage(teams::update)),
    post("teamdelete", &["/team/delete"], Role::Admin, WaitingPage(teams::delete)),
    post("teamblock", &["/team/block"], Role::Admin, WaitingPage(teams::block)),
    post("teamunblock", &["/team/unblock"], Role::Admin, WaitingPage(teams::unblock)),
    post("teammemberadd", &["/team/member_add"], Role::TeamAdmin, WaitingPage(teams::member_add)),
    post("customernew", &["/customer/new", "/end_user/new"], Role::Admin, WaitingPage(customers::new)),
    post("customerupdate", &["/customer/update", "/end_user/update"], Role::Admin, WaitingPage(customers::update)),
    post("customerdelete", &["/customer/delete", "/end_user/delete"], Role::Admin, WaitingPage(customers::delete)),
    post("customerblock", &["/customer/block", "/end_user/block"], Role::Admin, WaitingPage(customers::block)),
    post("customerunblock", &["/customer/unblock", "/end_user/unblock"], Role::Admin, WaitingPage(customers::unblock)),
    get("customerinfo", &["/customer/info", "/end_user/info"], Role::Admin, WaitingPage(customers::info)),
    post("tagnew", &["/tag/new"], Role::Admin, WaitingPage(tags::new)),
    post("tagupdate", &["/tag/update"], Role::Admin, WaitingPage(tags::update)),
    post("tagdelete", &["/tag/delete"], Role::Admin, WaitingPage(tags::delete)),
    post("taginfo", &["/tag/info"], Role::Admin, WaitingPage(tags::info)),
    get("taglist", &["/tag/list"], Role::Admin, WaitingPage(tags::list)),
    get("customerlist", &["/customer/list", "/end_user/list"], Role::Admin, WaitingPage(customers::list)),
    post("modelnew", &["/model/new"], Role::TeamAdmin, WaitingPage(run_time::models::new)),
    post("modelupdate", &["/model/update"], Role::TeamAdmin, WaitingPage(run_time::models::update)),
    row("modelpatch", "PATCH", (&["/model/{}/update"], Role::TeamAdmin), WaitingPage(run_time::models::patch)),
    post("modeldelete", &["/model/delete"], Role::TeamAdmin, WaitingPage(run_time::models::delete)),
    post("credentialnew", &["/credentials"], Role::Admin, WaitingPage(run_time::credentials::new)),
    get("credentiallist", &["/credentials"], Role::Admin, WaitingPage(run_time::credentials::list)),
    get("credentialinfo", &["/credentials/by_name/{}"], Role::Admin, WaitingPage(run_time::credentials::info)),
    row("credentialupdate", "PATCH", (&["/credentials/{}"], Role::Admin), WaitingPage(run_time::credentials::update)),
    row("credentialdelete", "DELETE", (&["/credentials/{}"], Role::Admin), WaitingPage(run_time::credentials::delete)),
    post("configupdate", &["/config/update"], Role::Admin, WaitingPage(run_time::settings::update)),
    get("teaminfo", &["/team/info"], Role::Key, WaitingPage(teams::info)),
    get("teampages", &["/v2/team/list"], Role::Key, WaitingPage(lists::teams)),
    get("userlist", &["/user/list"], Role::Admin, WaitingPage(lists::users)),
    get("teamlist", &["/team/list"], Role::Admin, WaitingPage(teams::list)),
    post("usernew", &["/user/new"], Role::Admin, WaitingPage(users::new)),
    post("userupdate", &["/user/update"], Role::Admin, WaitingPage(user_update::update)),
    get("userinfo", &["/user/info"], Role::Key, WaitingPage(users::info)),
    get("keyinfo", &["/key/info"], Role::Key, WaitingPage(keys::info)),
    get("keylist", &["/key/list"], Role::Key, WaitingPage(keys::list)),
    get("spendlogs", &["/spend/logs"], Role::Key, WaitingPage(spend::logs::logs)),
    get("spendlogspages", &["/spend/logs/v2", "/spend/logs/ui"], Role::Key, WaitingPage(spend::logs::pages)),
    get("spendsession", &["/spend/session", "/spend/logs/session/ui"], Role::Key, WaitingPage(spend::logs::session)),
    get("spendholders", &["/spend/keys", "/spend/users"], Role::Key, WaitingPage(spend::global::holders)),
    get("spendtags", &["/spend/tags"], Role::Admin, WaitingPage(spend::global::tags)),
    post("spendcalculate", &["/spend/calculate"], Role::Key, WaitingPage(spend::calculate::cost)).with_bodies(Longest::AsConfigured),
    get("globalspend", &["/global/spend"], Role::Admin, WaitingPage(spend::global::spend)),
    post("globalspendreset", &["/global/spend/reset"], Role::Admin, WaitingPage(spend::reset::all)),
    get("globalspenddays", &["/global/spend/logs"], Role::Admin, WaitingPage(spend::global::days)),
    get("globalspendkeys", &["/global/spend/keys"], Role::Admin, WaitingPage(spend::global::by_key)),
    get("globalspendmodels", &["/global/spend/models"], Role::Admin, WaitingPage(spend::global::by_model)),
    get("globalspendteams", &["/global/spend/teams"], Role::Admin, WaitingPage(spend::global::by_team)),
    get("globalspendtags", &["/global/spend/tags"], Role::Admin, WaitingPage(spend::global::global_tags)),
    get("globalspendproviders", &["/global/spend/provider"], Role::Admin, WaitingPage(spend::global::by_provider)),
    get("globaltagnames", &["/global/spend/all_tag_names"], Role::Admin, WaitingPage(spend::global::tag_names)),
    post("globalspendendusers", &["/global/spend/end_users"], Role::Admin, WaitingPage(spend::global::end_users)),
    get("globalactivity", &["/global/activity"], Role::Admin, WaitingPage(spend::global::all_activity)),
    get("globalactivitymodel", &["/global/activity/model"], Role::Admin, WaitingPage(spend::global::model_activity)),
    get("spendreport", &["/global/spend/report", "/team/spend/report", "/organization/spend/report"], Role::Admin, WaitingPage(spend::global::report)),
    get("ownspendreport", &["/key/spend/report", "/user/spend/report"], Role::Key, WaitingPage(spend::global::report)),
    get("useractivity", &["/user/daily/activity", "/user/daily/activity/aggregated"], Role::Key, WaitingPage(spend::activity::of_users)),
    get("teamactivity", &["/team/daily/activity", "/team/daily/activity/aggregated"], Role::Key, WaitingPage(spend::activity::of_teams)),
    get("tagactivity", &["/tag/daily/activity"], Role::Admin, WaitingPage(spend::activity::of_tags)),
    get("organizationactivity", &["/organization/daily/activity"], Role::Admin, WaitingPage(spend::activity::of_organizations)),
    get("customeractivity", &["/customer/daily/activity", "/end_user/daily/activity"], Role::Admin, WaitingPage(spend::activity::of_customers)),
    post("explain", &["/router/explain"], Role::Viewer, WaitingPage(explain::page)).with_bodies(Longest::AsConfigured),
    post("resetdeployment", &["/router/deployments/{}/reset"], Role::Admin, Page(router::reset)),
    post("disabledeployment", &["/router/deployments/{}/disable"], Role::Admin, Page(router::disable)),
    post("enabledeployment", &["/router/deployments/{}/enable"], Role::Admin, Page(router::enable)),
    get("dashboard", &["/ui"], Role::Public, Page(dashboard::shell)),
    get("dashboardasset", &["/ui/assets/{}"], Role::Public, Page(dashboard::asset)),
    get("dashboardsession", &["/ui/session"], Role::Public, WaitingPage(dashboard::login::show)),
    post("dashboardlogin", &["/ui/login"], Role::Public, WaitingPage(dashboard::login::login)).with_bodies(Longest::Bytes(16 << 10)),
    post("dashboardlogout", &["/ui/logout"], Role::Public, WaitingPage(dashboard::login::logout)),
    get("dashboardoverview", &["/ui/overview"], Role::Viewer, WaitingPage(dashboard::overview)),
    get("dashboardhistory", &["/ui/history"], Role::Viewer, WaitingPage(dashboard::history)),
    get("dashboardrequests", &["/ui/requests"], Role::Viewer, WaitingPage(dashboard::requests)),
    get("dashboardtraffic", &["/ui/traffic"], Role::Viewer, WaitingPage(dashboard::traffic)),
    get("dashboardreach", &["/ui/reach"], Role::Key, WaitingPage(dashboard::reach)),
    get("dashboardspend", &["/ui/spend"], Role::Key, WaitingPage(spend::over_time::spend)),
    get("dashboardevents", &["/ui/events"], Role::Viewer, Page(dashboard::stream)),
    get("status", &["/status"], Role::Public, Page(dashboard::status::page)),
    get("statusdata", &["/status/data"], Role::Public, WaitingPage(dashboard::status::data)),
    get("home", &["/"], Role::Public, Page(home::home)),
];

/// What is in no row and goes to LiteLLM's own server, if the config has one: for those who hold a key.
pub(super) static BACKEND: Endpoint = get("backend", &[], Role::Key, WaitingPage(backend::forward));
/// The same of what LiteLLM shows without a key.
pub(super) static OPEN_BACKEND: Endpoint =
    get("openbackend", &[], Role::Public, WaitingPage(backend::forward));

/// The methods that are passed through.
const PASSED_METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// All endpoints: the operations, then the pages, and behind them what is passed through, so that every other one under the
/// name of a provider comes first.
static ENDPOINTS: LazyLock<Vec<Endpoint>> = LazyLock::new(|| {
    let endpoint = |method: &'static str, operation: Operation| Endpoint {
        name: operation.name(),
        method,
        paths: operation.paths(),
        // Every operation is for those who hold a key for models.
        role: Role::Key,
        longest: Longest::AsConfigured,
        handler: Handler::Upstream(operation),
    };
    let (passed, operations): (Vec<_>, Vec<_>) =
        Operation::ALL.into_iter().partition(|operation| operation.is_passed_through());
    let operations = operations.into_iter().filter(|operation| !operation.paths().is_empty());
    let operations = operations.map(|operation| endpoint(operation.method().name(), operation));
    let passed = passed
        .into_iter()
        .flat_map(|operation| PASSED_METHODS.map(|method| endpoint(method, operation)));
    operations.chain(PAGES.iter().copied()).chain(passed).collect()
});

/// All endpoints, in the order in which they are tried.
#[must_use]
pub fn endpoints() -> &'static [Endpoint] {
    &ENDPOINTS
}
