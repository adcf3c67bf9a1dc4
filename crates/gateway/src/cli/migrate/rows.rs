//! The rows of a database of LiteLLM, each looked at for what would behave otherwise.
//!
//! Called by [`super`]. Always true: tables are read in pages; each finding says the row, the rule and what becomes of it.

use hale_core::tenancy::duration::BudgetDuration;
use hale_core::tenancy::load::{UNSERVED_SHARED, unserved_rules};
use hale_core::tenancy::{Record, Row};
use hale_store::{Database, Error, Find, TenantTable, Unread};
use serde_json::Value;

/// Rows of one read.
const AT_ONCE: u32 = 5_000;

const NOT_ENFORCED: &str = "is not enforced here: it limits and allows nothing";
const STRICTER: &str = "is enforced here, and not by LiteLLM";
const NO_END: &str =
    "is not understood here: this budget never begins anew; write it as '1h', '7d' or '30d'";
const NO_PERIOD: &str =
    "has no period, so that it limits nothing, as in LiteLLM; give it a budget_duration";

/// One thing that would behave otherwise.
pub(super) struct Finding {
    /// The column, or the table.
    pub(super) rule: Box<str>,
    /// What becomes of it.
    pub(super) says: &'static str,
    /// The row.
    pub(super) name: Box<str>,
}

/// What was found.
#[derive(Default)]
pub(super) struct Looked {
    /// Rows that are used as they are.
    pub(super) kept: Vec<(&'static str, u64)>,
    /// What would behave otherwise.
    pub(super) findings: Vec<Finding>,
}

/// What is looked for in the rows of one table.
struct Looks {
    table: TenantTable,
    what: &'static str,
    /// Columns with the names of a row, the first that has one.
    names: &'static [&'static str],
    check: fn(&mut Of<'_>, Row<'_>),
}

const LOOKS: [Looks; 11] = [
    Looks {
        table: TenantTable::Keys,
        what: "keys",
        names: &["key_alias", "key_name", "token"],
        check: of_key,
    },
    Looks {
        table: TenantTable::Teams,
        what: "teams",
        names: &["team_alias", "team_id"],
        check: of_team,
    },
    Looks {
        table: TenantTable::Memberships,
        what: "members",
        names: &["user_id"],
        check: |_, _| {},
    },
    Looks {
        table: TenantTable::Users,
        what: "users",
        names: &["user_email", "user_id"],
        check: of_user,
    },
    Looks { table: TenantTable::Budgets, what: "budgets", names: &["budget_id"], check: of_budget },
    Looks {
        table: TenantTable::Organizations,
        what: "organizations",
        names: &["organization_alias", "organization_id"],
        check: of_organization,
    },
    Looks {
        table: TenantTable::EndUsers,
        what: "end users",
        names: &["alias", "user_id"],
        check: of_end_user,
    },
    Looks { table: TenantTable::Tags, what: "tags", names: &["tag_name"], check: of_tag },
    Looks {
        table: TenantTable::AccessGroups,
        what: "access groups",
        names: &["access_group_name"],
        check: of_group,
    },
    Looks { table: TenantTable::Models, what: "models", names: &["model_name"], check: of_model },
    Looks {
        table: TenantTable::Credentials,
        what: "credentials",
        names: &["credential_name"],
        check: |_, _| {},
    },
];

/// The row that is looked at.
struct Of<'l> {
    findings: &'l mut Vec<Finding>,
    name: Box<str>,
}

impl Of<'_> {
    fn add(&mut self, rule: &str, says: &'static str) {
        self.findings.push(Finding { rule: rule.into(), says, name: self.name.clone() });
    }

    fn all(&mut self, rules: &[Box<str>]) {
        rules.iter().for_each(|rule| self.add(rule, NOT_ENFORCED));
    }

    fn if_set(&mut self, row: Row<'_>, place: &str, columns: &[&str], says: &'static str) {
        for column in columns.iter().filter(|column| row.has(column)) {
            self.add(&format!("{place}.{column}"), says);
        }
    }

    /// Durations of budgets, and budgets without one.
    fn periods(&mut self, row: Row<'_>, place: &str) {
        let understood = |text: &str| BudgetDuration::parse("budget_duration", text).is_ok();
        if row.text("budget_duration").is_some_and(|text| !understood(text)) {
            self.add(&format!("{place}.budget_duration"), NO_END);
        }
        for window in row.items("budget_limits") {
            let period = window.get("budget_duration").and_then(Value::as_str);
            if !period.is_some_and(understood) {
                self.add(&format!("{place}.budget_limits"), NO_PERIOD);
            }
        }
        for (model, entry) in row.object("model_max_budget") {
            let either = |one: &str, other: &str| entry.get(one).or_else(|| entry.get(other));
            let has_max = either("budget_limit", "max_budget").is_some_and(|max| !max.is_null());
            let period = either("time_period", "budget_duration").and_then(Value::as_str);
            if has_max && !period.is_some_and(understood) {
                self.add(&format!("{place}.model_max_budget.{model}"), NO_PERIOD);
            }
        }
    }
}

fn of_key(of: &mut Of<'_>, row: Row<'_>) {
    of.all(&unserved_rules("key.", row.0, &[]));
    of.if_set(row, "key", &["permissions", "allowed_cache_controls", "auto_rotate"], NOT_ENFORCED);
    of.periods(row, "key");
    if row.has("access_group_ids") && row.list("models").is_empty() {
        let says = "allow their models alone here; in LiteLLM a key with groups and without models may use every model";
        of.add("key.access_group_ids", says);
    }
}

fn of_team(of: &mut Of<'_>, row: Row<'_>) {
    of.all(&unserved_rules("team.", row.0, &[]));
    of.periods(row, "team");
    of.if_set(row, "team", &["max_parallel_requests"], STRICTER);
    let says = "lets members use those routes for keys of their own and of no user, and none but those about keys";
    of.if_set(row, "team", &["team_member_permissions"], says);
    if Row(&row.object("metadata")).has("soft_budget_alerting_emails") {
        of.add(
            "team.metadata.soft_budget_alerting_emails",
            "get no e-mail: the alert goes to the gateway's channels",
        );
    }
}

fn of_user(of: &mut Of<'_>, row: Row<'_>) {
    of.all(&unserved_rules("user.", row.0, &[]));
    of.periods(row, "user");
    of.if_set(row, "user", &["max_parallel_requests"], STRICTER);
    of.if_set(
        row,
        "user",
        &["password", "sso_user_id"],
        "signs in nowhere: the dashboard has the master key alone",
    );
}

fn of_budget(of: &mut Of<'_>, row: Row<'_>) {
    of.periods(row, "budget");
    let shared: Vec<&str> = UNSERVED_SHARED.iter().copied().filter(|name| row.has(name)).collect();
    for name in shared {
        let says = "counts for keys alone (model_max_budget: for end users too), not for members and organizations, as in LiteLLM";
        of.add(&format!("budget.{name}"), says);
    }
    of.if_set(row, "budget", &["tpd_limit"], NOT_ENFORCED);
}

fn of_organization(of: &mut Of<'_>, row: Row<'_>) {
    of.all(&unserved_rules("organization.", row.0, &[]));
    of.if_set(row, "organization", &["models"], STRICTER);
}

fn of_end_user(of: &mut Of<'_>, row: Row<'_>) {
    let columns = ["models", "allowed_model_region", "default_model", "object_permission_id"];
    of.if_set(row, "end_user", &columns, NOT_ENFORCED);
    if row.is("blocked") {
        of.add("end_user.blocked", STRICTER);
    }
}

fn of_tag(of: &mut Of<'_>, row: Row<'_>) {
    of.if_set(
        row,
        "tag",
        &["models"],
        "routes nothing here: give deployments their tags in the config",
    );
}

fn of_model(of: &mut Of<'_>, row: Row<'_>) {
    if row.object("litellm_params").is_empty() {
        of.add("model.litellm_params", "is no object with something in it: the model cannot serve");
    }
}

fn of_group(of: &mut Of<'_>, row: Row<'_>) {
    let columns = ["access_mcp_server_ids", "access_agent_ids"];
    of.if_set(row, "access_group", &columns, NOT_ENFORCED);
}

/// Looks at all rows.
pub(super) async fn look(database: &Database) -> Result<Looked, Error> {
    let mut looked = Looked::default();
    for looks in &LOOKS {
        let count = table(database, looks, &mut looked.findings).await?;
        looked.kept.push((looks.what, count));
    }
    for Unread { table, column, rows, names } in database.unread().await? {
        let (rule, says) = match &column {
            Some(column) => (format!("{table}.{column}"), "is not read here"),
            None => (table.to_string(), "is not read here"),
        };
        let names = if names.is_empty() { vec![format!("{rows} rows").into()] } else { names };
        let found =
            names.into_iter().map(|name| Finding { rule: rule.as_str().into(), says, name });
        looked.findings.extend(found);
    }
    Ok(looked)
}

async fn table(
    database: &Database,
    looks: &Looks,
    findings: &mut Vec<Finding>,
) -> Result<u64, Error> {
    let sorted_by = looks.table.columns().first().map(|(name, _)| *name);
    let mut find = Find { sorted_by, limit: AT_ONCE, ..Find::all(looks.table) };
    let mut count = 0;
    loop {
        let rows = database.find(&find).await?;
        for row in &rows {
            let mut of = Of { findings: &mut *findings, name: name_of(row, looks.names) };
            (looks.check)(&mut of, Row(row));
        }
        count += rows.len() as u64;
        if rows.len() < AT_ONCE as usize {
            return Ok(count);
        }
        find.skip += AT_ONCE;
    }
}

/// What a row is called.
fn name_of(row: &Record, names: &[&str]) -> Box<str> {
    let found = names.iter().find_map(|name| Row(row).text(name));
    found
        .unwrap_or("(no name)")
        .chars()
        .filter(|letter| !letter.is_control())
        .collect::<String>()
        .into()
}
