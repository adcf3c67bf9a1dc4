//! The fields of a key as clients of the admin API write them, and the columns that they become.
//!
//! Used when a key is made or changed. Always true: a field that limits something and is not served is refused by its name; a
//! number that is negative or not finite is refused; what is not named stays as it is.

use hale_core::tenancy::duration::BudgetDuration;
use hale_core::tenancy::load::FORMER_KEYS;
use hale_core::tenancy::{Record, Row};
use hale_core::time::UnixMs;
use hale_store::TenantTable;
use http::StatusCode;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::budgets;
use crate::clock;
use crate::http::refusal::{self, Refusal};
use crate::pages::admin::BAD_REQUEST;
use crate::pages::managers::{OF_MEMBERS as ROUTES_OF_MEMBERS, permission};

/// Longest field, bytes of JSON: a row is copied for the audit log, the archive and the answer, and is held as long as its key is in
/// use.
const FIELD_MAX: usize = 64 << 10;

/// What a field becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A column of texts.
    List,
    /// A column of routes that members of a team may use.
    Permissions,
    /// A column of text; an empty one is none.
    Text,
    /// A column of a count.
    Count,
    /// A column of dollars.
    Money,
    /// A column of yes or no.
    Flag,
    /// A column with an object.
    Object,
    /// A member of `metadata`: texts.
    InMetadata,
    /// A member of `metadata`: counts by name.
    CountsInMetadata,
    /// A column with budgets by the names of models.
    ModelBudgets,
    /// A column with budgets of several periods.
    Windows,
    /// A column with lists of models by the names of models.
    Fallbacks,
}

const OF_KEYS: &[(&str, Kind)] = &[
    ("key_alias", Kind::Text),
    ("user_id", Kind::Text),
    ("team_id", Kind::Text),
    ("organization_id", Kind::Text),
    ("budget_id", Kind::Text),
    ("models", Kind::List),
    ("allowed_routes", Kind::List),
    ("access_group_ids", Kind::List),
    ("aliases", Kind::Object),
    ("metadata", Kind::Object),
    ("max_budget", Kind::Money),
    ("spend", Kind::Money),
    ("rpm_limit", Kind::Count),
    ("tpm_limit", Kind::Count),
    ("max_parallel_requests", Kind::Count),
    ("blocked", Kind::Flag),
    ("tags", Kind::InMetadata),
    ("model_rpm_limit", Kind::CountsInMetadata),
    ("model_tpm_limit", Kind::CountsInMetadata),
    ("model_max_budget", Kind::ModelBudgets),
    ("budget_limits", Kind::Windows),
    ("budget_fallbacks", Kind::Fallbacks),
];

/// Fields of the reference that limit or change something, and are not served yet.
const NOT_OF_KEYS: &[&str] = &[
    "project_id",
    "agent_id",
    "tpd_limit",
    "rpm_limit_type",
    "tpm_limit_type",
    "tag_rpm_limit",
    "config",
    "permissions",
    "allowed_cache_controls",
    "guardrails",
    "policies",
    "prompts",
    "enforced_params",
    "router_settings",
    "object_permission",
    "auto_rotate",
    "rotation_interval",
    "end_user_budget_id",
    "send_invite_email",
    "allowed_passthrough_routes",
    "denied_passthrough_routes",
    "temp_budget_increase",
    "temp_budget_expiry",
];

const OF_TEAMS: &[(&str, Kind)] = &[
    ("team_alias", Kind::Text),
    ("organization_id", Kind::Text),
    ("models", Kind::List),
    ("access_group_ids", Kind::List),
    ("metadata", Kind::Object),
    ("max_budget", Kind::Money),
    ("rpm_limit", Kind::Count),
    ("tpm_limit", Kind::Count),
    ("max_parallel_requests", Kind::Count),
    ("blocked", Kind::Flag),
    ("tags", Kind::InMetadata),
    ("model_rpm_limit", Kind::CountsInMetadata),
    ("model_tpm_limit", Kind::CountsInMetadata),
    ("model_max_budget", Kind::ModelBudgets),
    ("budget_limits", Kind::Windows),
    ("soft_budget", Kind::Money),
    ("team_member_permissions", Kind::Permissions),
];

const NOT_OF_TEAMS: &[&str] = &[
    "members_with_roles",
    "admins",
    "members",
    "tpd_limit",
    "rpm_limit_type",
    "tpm_limit_type",
    "model_aliases",
    "router_settings",
    "default_team_member_models",
    "team_member_budget",
    "team_member_budget_duration",
    "team_member_rpm_limit",
    "team_member_tpm_limit",
    "team_member_key_duration",
    "guardrails",
    "policies",
    "prompts",
    "object_permission",
];

const OF_USERS: &[(&str, Kind)] = &[
    ("user_email", Kind::Text),
    ("user_alias", Kind::Text),
    ("user_role", Kind::Text),
    ("models", Kind::List),
    ("metadata", Kind::Object),
    ("max_budget", Kind::Money),
    ("rpm_limit", Kind::Count),
    ("tpm_limit", Kind::Count),
    ("max_parallel_requests", Kind::Count),
    ("model_max_budget", Kind::ModelBudgets),
];

const NOT_OF_USERS: &[&str] = &[
    "password",
    "organizations",
    "send_invite_email",
    "sso_user_id",
    "soft_budget",
    "model_rpm_limit",
    "model_tpm_limit",
    "duration",
    "key_alias",
    "aliases",
    "config",
    "permissions",
    "allowed_cache_controls",
    "guardrails",
    "policies",
    "prompts",
    "object_permission",
];

const OF_MEMBERS: &[(&str, Kind)] =
    &[("max_budget", Kind::Money), ("soft_budget", Kind::Money), ("allowed_models", Kind::List)];

const OF_END_USERS: &[(&str, Kind)] = &[
    ("alias", Kind::Text),
    ("blocked", Kind::Flag),
    ("budget_id", Kind::Text),
    ("spend", Kind::Money),
    ("max_budget", Kind::Money),
    ("soft_budget", Kind::Money),
    ("rpm_limit", Kind::Count),
    ("tpm_limit", Kind::Count),
    ("max_parallel_requests", Kind::Count),
    ("model_max_budget", Kind::ModelBudgets),
];

const OF_TAGS: &[(&str, Kind)] = &[
    ("description", Kind::Text),
    ("budget_id", Kind::Text),
    ("max_budget", Kind::Money),
    ("soft_budget", Kind::Money),
    ("rpm_limit", Kind::Count),
    ("tpm_limit", Kind::Count),
    ("max_parallel_requests", Kind::Count),
];

const NOT_OF_TAGS: &[&str] = &["models", "model_info", "model_max_budget"];

const NOT_OF_END_USERS: &[&str] =
    &["models", "allowed_model_region", "default_model", "tpd_limit", "object_permission"];

/// The fields of a kind of row.
pub(crate) struct Fields {
    /// Where the rows are.
    table: TenantTable,
    served: &'static [(&'static str, Kind)],
    not_served: &'static [&'static str],
}

impl Fields {
    /// Those of a key.
    pub(crate) const KEY: Fields =
        Fields { table: TenantTable::Keys, served: OF_KEYS, not_served: NOT_OF_KEYS };
    /// Those of a team.
    pub(crate) const TEAM: Fields =
        Fields { table: TenantTable::Teams, served: OF_TEAMS, not_served: NOT_OF_TEAMS };
    /// Those of a user.
    pub(crate) const USER: Fields =
        Fields { table: TenantTable::Users, served: OF_USERS, not_served: NOT_OF_USERS };
    /// Those of an end user, and of a budget of its own.
    pub(crate) const END_USER: Fields =
        Fields { table: TenantTable::EndUsers, served: OF_END_USERS, not_served: NOT_OF_END_USERS };
    /// Those of a tag, and of a budget of its own.
    pub(crate) const TAG: Fields =
        Fields { table: TenantTable::Tags, served: OF_TAGS, not_served: NOT_OF_TAGS };
    /// Those of the budget of a member of a team.
    pub(crate) const MEMBER: Fields =
        Fields { table: TenantTable::Budgets, served: OF_MEMBERS, not_served: &[] };
}

/// Refuses a field.
pub(super) fn wrong(field: &str, expected: &str) -> Refusal {
    let message = format!("`{field}` must be {expected}");
    let kind = "invalid_request_error";
    refusal::of_admin(StatusCode::UNPROCESSABLE_ENTITY, kind, message).param(field)
}

/// The columns that the fields of `body` set; `before` is its row, if it is there.
pub(crate) fn columns(
    body: &Record,
    before: Option<&Record>,
    fields: &Fields,
) -> Result<Record, Refusal> {
    let is_set = |name: &&&str| Row(body).has(name);
    if let Some(name) = fields.not_served.iter().find(is_set) {
        let message = format!("`{name}` is not served yet; leave it out");
        let refusal = refusal::of_admin(StatusCode::BAD_REQUEST, BAD_REQUEST, message);
        return Err(refusal.param(name));
    }
    let mut row = Record::new();
    let mut metadata = before.map(|before| Row(before).object("metadata")).unwrap_or_default();
    let mut has_metadata = false;
    for (name, kind) in fields.served {
        let Some(value) = body.get(*name) else { continue };
        let value = read(name, *kind, value)?;
        match kind {
            Kind::InMetadata | Kind::CountsInMetadata => {
                has_metadata = true;
                metadata.insert((*name).to_owned(), value);
            }
            Kind::Object if *name == "metadata" => {
                has_metadata = true;
                // The gateway's own member is not a client's to set.
                let former = metadata.remove(FORMER_KEYS);
                metadata = Row(body).object("metadata");
                metadata.remove(FORMER_KEYS);
                metadata.extend(former.map(|former| (FORMER_KEYS.to_owned(), former)));
            }
            Kind::List
            | Kind::Permissions
            | Kind::Text
            | Kind::Count
            | Kind::Money
            | Kind::Flag
            | Kind::Object
            | Kind::ModelBudgets
            | Kind::Windows
            | Kind::Fallbacks => {
                row.insert((*name).to_owned(), value);
            }
        }
    }
    if has_metadata {
        row.insert("metadata".to_owned(), Value::Object(metadata));
    }
    times(body, &mut row, fields.table)?;
    if fields.table.column("key_type").is_some() {
        key_type(body, &mut row)?;
    }
    Ok(row)
}

fn read(name: &str, kind: Kind, value: &Value) -> Result<Value, Refusal> {
    if value.to_string().len() > FIELD_MAX {
        return Err(wrong(name, "at most 64 KiB of JSON"));
    }
    let is_none = value.is_null() || value.as_str() == Some("");
    Ok(match kind {
        Kind::List | Kind::Permissions | Kind::InMetadata if is_none => json!([]),
        Kind::Object | Kind::CountsInMetadata | Kind::ModelBudgets | Kind::Fallbacks if is_none => {
            json!({})
        }
        _ if is_none => Value::Null,
        Kind::List | Kind::InMetadata => {
            let texts = value.as_array().filter(|items| items.iter().all(is_clean));
            json!(texts.ok_or_else(|| wrong(name, "a list of texts without control characters"))?)
        }
        Kind::Permissions => {
            let is_known = |one: &Value| {
                one.as_str().is_some_and(|route| ROUTES_OF_MEMBERS.contains(&permission(route)))
            };
            let routes = value.as_array().filter(|routes| routes.iter().all(is_known));
            let known = ROUTES_OF_MEMBERS.join(", ");
            json!(routes.ok_or_else(|| wrong(name, &format!("a list of {known}")))?)
        }
        Kind::Text => {
            let text = Some(value).filter(|value| is_clean(value));
            text.ok_or_else(|| wrong(name, "a text without control characters"))?.clone()
        }
        Kind::Count => {
            let count = value.as_i64().filter(|count| *count >= 0);
            let count = count.ok_or_else(|| wrong(name, "a whole number, 0 or more"))?;
            // The column has four bytes in the reference's tables.
            if name == "max_parallel_requests" && count > i64::from(i32::MAX) {
                return Err(wrong(name, "at most 2147483647"));
            }
            json!(count)
        }
        Kind::Money => json!(budgets::usd(name, Some(value))?),
        Kind::ModelBudgets => budgets::of_models(name, value)?,
        Kind::Windows => budgets::windows(name, value)?,
        Kind::Fallbacks => budgets::fallbacks(name, value)?,
        Kind::Flag => json!(value.as_bool().ok_or_else(|| wrong(name, "true or false"))?),
        Kind::Object => {
            let object = value.as_object().ok_or_else(|| wrong(name, "an object"))?;
            let is_names = name != "aliases" || object.values().all(Value::is_string);
            json!(
                Some(object)
                    .filter(|_| is_names)
                    .ok_or_else(|| wrong(name, "an object of names"))?
            )
        }
        Kind::CountsInMetadata => {
            let counts = value.as_object();
            let is_count = |count: &Value| count.as_u64().is_some();
            let counts = counts.filter(|counts| counts.values().all(is_count));
            json!(counts.ok_or_else(|| wrong(name, "an object of whole numbers, 0 or more"))?)
        }
    })
}

pub(super) fn is_clean(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.len() <= 1_000 && !text.chars().any(char::is_control))
}

/// `duration` and `budget_duration`.
fn times(body: &Record, row: &mut Record, table: TenantTable) -> Result<(), Refusal> {
    let read = |name: &str, text: &str| {
        let refuse = |message| refusal::of_admin(StatusCode::BAD_REQUEST, BAD_REQUEST, message);
        BudgetDuration::parse(name, text).map_err(|message| refuse(message).param(name))
    };
    let text = |name: &str, value: &Value| match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        _ => Err(wrong(name, "a duration such as '30d'")),
    };
    let now = clock::unix_ms();
    let lasts = table.column("expires").is_some();
    if let Some(value) = body.get("duration").filter(|_| lasts) {
        let ends = match text("duration", value)?.as_deref() {
            None | Some("-1") => Value::Null,
            Some(text) => json!(now.saturating_add(read("duration", text)?.seconds() * 1_000)),
        };
        row.insert("expires".to_owned(), ends);
    }
    if let Some(value) = body.get("budget_duration") {
        let written = text("budget_duration", value)?;
        let duration = written.as_deref().map(|text| read("budget_duration", text)).transpose()?;
        let ends = duration.map(|duration| duration.next(UnixMs(now), &TimeZone::UTC).0);
        row.insert("budget_duration".to_owned(), json!(written));
        row.insert("budget_reset_at".to_owned(), json!(ends));
    }
    Ok(())
}

/// The shorthands for routes.
fn key_type(body: &Record, row: &mut Record) -> Result<(), Refusal> {
    let Some(kind) = Row(body).text("key_type") else { return Ok(()) };
    let routes: &[&str] = match kind {
        "default" => &[],
        "llm_api" => &["llm_api_routes"],
        "management" => &["management_routes"],
        "read_only" => &["info_routes"],
        _ => return Err(wrong("key_type", "default, llm_api, management or read_only")),
    };
    row.insert("key_type".to_owned(), json!(kind));
    row.insert("allowed_routes".to_owned(), json!(routes));
    Ok(())
}
