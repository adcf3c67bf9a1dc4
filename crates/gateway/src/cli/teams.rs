//! `hale team`: makes, shows, blocks and deletes teams, and adds their members.
//!
//! Called by `main`. Always true: it calls a gateway's admin API and does nothing by itself.

use std::process::ExitCode;

use bytes::Bytes;
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::embedded::Reach;
use super::keys::{encoded, field, finish};
use super::running::Running;

/// Options of `hale team`.
#[derive(Args, Clone, Debug)]
pub(crate) struct TeamOptions {
    #[command(flatten)]
    reach: Reach,
    /// Print what the gateway answers, JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: TeamCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum TeamCommand {
    /// Make a team, and print its id
    New(Box<NewTeam>),
    /// Print the teams
    List,
    /// Print what the gateway knows of a team, its keys and its members
    Info(Named),
    /// Set fields of a team
    Set {
        /// The team's id
        team: String,
        /// A field of /team/update, with its value in JSON: rpm_limit=60
        #[arg(required = true, value_name = "FIELD=JSON", value_parser = field)]
        fields: Vec<(String, Value)>,
    },
    /// Add a member
    Add {
        /// The team's id
        team: String,
        /// The user's id
        user: String,
        /// Let the user manage the team's keys and members
        #[arg(long)]
        admin: bool,
        /// What the user may spend in the team, USD
        #[arg(long, value_name = "USD")]
        max_budget: Option<f64>,
        /// When that begins anew: 1d, 30d [default: never]
        #[arg(long, value_name = "DURATION")]
        budget_duration: Option<String>,
    },
    /// Refuse the keys of a team
    Block(Named),
    /// Let them in again
    Unblock(Named),
    /// Delete teams with their keys, which stay in the archive
    Delete {
        /// The ids of the teams
        #[arg(required = true, value_name = "TEAM")]
        teams: Vec<String>,
    },
}

#[derive(Args, Clone, Debug)]
struct Named {
    /// The team's id
    team: String,
}

#[derive(Args, Clone, Debug)]
struct NewTeam {
    /// Its id [default: one is made]
    #[arg(long)]
    id: Option<String>,
    /// A name
    #[arg(long)]
    alias: Option<String>,
    /// Models, separated by commas [default: every model]
    #[arg(long, value_delimiter = ',')]
    models: Vec<String>,
    /// What it may spend, USD
    #[arg(long, value_name = "USD")]
    max_budget: Option<f64>,
    /// When that begins anew: 1d, 30d [default: never]
    #[arg(long, value_name = "DURATION")]
    budget_duration: Option<String>,
    /// Requests within any minute
    #[arg(long, value_name = "COUNT")]
    rpm_limit: Option<u64>,
    /// Tokens within any minute
    #[arg(long, value_name = "COUNT")]
    tpm_limit: Option<u64>,
    /// Any other field of /team/new, with its value in JSON: tags=["a"]
    #[arg(long, value_name = "FIELD=JSON", value_parser = field)]
    set: Vec<(String, Value)>,
}

impl NewTeam {
    fn body(&self) -> Map<String, Value> {
        let mut body: Map<String, Value> = self.set.iter().cloned().collect();
        let fields = [
            ("team_id", json!(self.id)),
            ("team_alias", json!(self.alias)),
            ("max_budget", json!(self.max_budget)),
            ("budget_duration", json!(self.budget_duration)),
            ("rpm_limit", json!(self.rpm_limit)),
            ("tpm_limit", json!(self.tpm_limit)),
        ];
        let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
        body.extend(fields.map(|(name, value)| (name.to_owned(), value)));
        if !self.models.is_empty() {
            body.insert("models".to_owned(), json!(self.models));
        }
        body
    }
}

/// Does what `options` say.
pub(crate) fn run(options: &TeamOptions) -> ExitCode {
    finish(&options.reach, |running| execute(options, running))
}

fn execute(options: &TeamOptions, running: &Running) -> Result<String, String> {
    let post = |path: &str, body: &Value| {
        running.page(&Method::POST, path, Bytes::from(body.to_string()).into())
    };
    let get = |path: &str| running.page(&Method::GET, path, Bytes::new().into());
    let (page, short) = match &options.command {
        TeamCommand::New(new) => {
            let page = post("/team/new", &Value::Object(new.body()))?;
            let id = page["team_id"].as_str().unwrap_or_default().to_owned();
            (page, id)
        }
        TeamCommand::List => {
            let page = get("/team/list")?;
            let text = listed(&page);
            (page, text)
        }
        TeamCommand::Info(Named { team }) => {
            let page = get(&format!("/team/info?team_id={}", encoded(team)))?;
            let text = format!("{page:#}");
            (page, text)
        }
        TeamCommand::Set { team, fields } => {
            let mut body: Map<String, Value> = fields.iter().cloned().collect();
            body.insert("team_id".to_owned(), json!(team));
            (post("/team/update", &Value::Object(body))?, format!("{team} is set"))
        }
        TeamCommand::Add { team, user, admin, max_budget, budget_duration } => {
            let role = if *admin { "admin" } else { "user" };
            let mut body = json!({"team_id": team, "member": {"user_id": user, "role": role}});
            if let Some(most) = max_budget {
                body["max_budget_in_team"] = json!(most);
            }
            if let Some(duration) = budget_duration {
                body["budget_duration"] = json!(duration);
            }
            (post("/team/member_add", &body)?, format!("{user} is in {team}"))
        }
        TeamCommand::Block(Named { team }) => {
            (post("/team/block", &json!({"team_id": team}))?, format!("{team} is blocked"))
        }
        TeamCommand::Unblock(Named { team }) => {
            (post("/team/unblock", &json!({"team_id": team}))?, format!("{team} is let in"))
        }
        TeamCommand::Delete { teams } => {
            let page = post("/team/delete", &json!({"team_ids": teams}))?;
            (page, format!("{} deleted", teams.len()))
        }
    };
    Ok(if options.json { format!("{page:#}\n") } else { format!("{short}\n") })
}

/// Teams as lines.
fn listed(page: &Value) -> String {
    let teams = page.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut text = String::new();
    for team in teams {
        let field = |name: &str| match &team[name] {
            Value::Null => "-".to_owned(),
            Value::String(text) => text.chars().filter(|letter| !letter.is_control()).collect(),
            other => other.to_string(),
        };
        let count = |name: &str| team[name].as_array().map_or(0, Vec::len);
        let state = if team["blocked"] == json!(true) { "blocked" } else { "-" };
        text.push_str(&format!(
            "{:<24} {:<16} keys {:<4} members {:<4} spent {} of {} {state}\n",
            field("team_id"),
            field("team_alias"),
            count("keys"),
            count("members_with_roles"),
            field("spend"),
            field("max_budget"),
        ));
    }
    format!("{text}{} teams", teams.len())
}
