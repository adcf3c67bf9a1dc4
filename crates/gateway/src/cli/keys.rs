//! `hale key`: makes, shows, blocks and deletes keys.
//!
//! Called by `main`. Always true: it calls a gateway's admin API and does nothing by itself; a key that is made is printed once, alone, so that a script can keep it.

use std::process::ExitCode;

use bytes::Bytes;
use clap::{Args, Subcommand};
use hale_core::tenancy::KeyHash;
use http::Method;
use serde_json::{Map, Value, json};

use super::embedded::Reach;
use super::running::Running;
use crate::console::{complain, print};

/// Options of `hale key`.
#[derive(Args, Clone, Debug)]
pub(crate) struct KeyOptions {
    #[command(flatten)]
    reach: Reach,
    /// Print what the gateway answers, JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum KeyCommand {
    /// Make a key, and print it: this once
    New(Box<NewKey>),
    /// Print keys, the newest first
    List {
        /// Those of this team
        #[arg(long)]
        team: Option<String>,
        /// Those of this user
        #[arg(long)]
        user: Option<String>,
        /// The page, of 100 keys
        #[arg(long, default_value_t = 1)]
        page: u32,
    },
    /// Print what the gateway knows of a key
    Info(Named),
    /// Refuse a key
    Block(Named),
    /// Let a key in again
    Unblock(Named),
    /// Delete keys; they stay in the archive
    Delete {
        /// The keys: their aliases, their hashes, or the keys themselves
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
}

#[derive(Args, Clone, Debug)]
struct Named {
    /// The key: its alias, its hash, or the key itself
    #[arg(value_name = "KEY")]
    name: String,
}

#[derive(Args, Clone, Debug)]
struct NewKey {
    /// A name, which no other key has
    #[arg(long)]
    alias: Option<String>,
    /// Models, separated by commas [default: every model]
    #[arg(long, value_delimiter = ',')]
    models: Vec<String>,
    /// Its team
    #[arg(long)]
    team: Option<String>,
    /// Its user
    #[arg(long)]
    user: Option<String>,
    /// How long it lasts: 12h, 30d [default: for ever]
    #[arg(long)]
    duration: Option<String>,
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
    /// Any other field of /key/generate, with its value in JSON: tags=["a"]
    #[arg(long, value_name = "FIELD=JSON", value_parser = field)]
    set: Vec<(String, Value)>,
}

pub(super) fn field(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("write FIELD=JSON")?;
    let value = serde_json::from_str(value);
    let value = value.map_err(|error| format!("the value of {name} is not JSON: {error}"))?;
    Ok((name.to_owned(), value))
}

/// Does what `options` say.
pub(crate) fn run(options: &KeyOptions) -> ExitCode {
    finish(&options.reach, |running| execute(options, running))
}

/// Runs a command at the gateway that is meant, and prints what it says.
pub(super) fn finish(
    reach: &Reach,
    execute: impl FnOnce(&Running) -> Result<String, String>,
) -> ExitCode {
    let done = reach.reach().and_then(|reached| {
        let done = execute(reached.gateway());
        reached.end();
        done
    });
    match done {
        Ok(text) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(problem) => {
            complain(&problem);
            ExitCode::from(1)
        }
    }
}

fn execute(options: &KeyOptions, running: &Running) -> Result<String, String> {
    let post = |path: &str, body: &Value| {
        running.page(&Method::POST, path, Bytes::from(body.to_string()).into())
    };
    let (page, short) = match &options.command {
        KeyCommand::New(new) => {
            let page = post("/key/generate", &Value::Object(new.body()))?;
            let key = page["key"].as_str().unwrap_or_default().to_owned();
            (page, key)
        }
        KeyCommand::List { team, user, page } => {
            let mut path = format!("/key/list?return_full_object=true&size=100&page={page}");
            for (name, value) in [("team_id", team), ("user_id", user)] {
                if let Some(value) = value {
                    path.push_str(&format!("&{name}={}", encoded(value)));
                }
            }
            let page = running.page(&Method::GET, &path, Bytes::new().into())?;
            let text = listed(&page);
            (page, text)
        }
        KeyCommand::Info(named) => {
            let path = format!("/key/info?key={}", named.hash(running)?);
            let page = running.page(&Method::GET, &path, Bytes::new().into())?;
            let text = format!("{:#}", page["info"]);
            (page, text)
        }
        KeyCommand::Block(named) => {
            let page = post("/key/block", &json!({"key": named.hash(running)?}))?;
            (page, format!("{} is blocked", named.shown()))
        }
        KeyCommand::Unblock(named) => {
            let page = post("/key/unblock", &json!({"key": named.hash(running)?}))?;
            (page, format!("{} is let in", named.shown()))
        }
        KeyCommand::Delete { keys } => {
            let named = keys.iter().map(|name| Named { name: name.clone() }.hash(running));
            let hashes: Vec<String> = named.collect::<Result<_, _>>()?;
            let page = post("/key/delete", &json!({"keys": hashes}))?;
            (page, format!("{} deleted", hashes.len()))
        }
    };
    Ok(if options.json { format!("{page:#}\n") } else { format!("{short}\n") })
}

impl NewKey {
    fn body(&self) -> Map<String, Value> {
        let mut body: Map<String, Value> = self.set.iter().cloned().collect();
        let fields = [
            ("key_alias", json!(self.alias)),
            ("team_id", json!(self.team)),
            ("user_id", json!(self.user)),
            ("duration", json!(self.duration)),
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

impl Named {
    /// Its hash: of an alias that of the key that has it.
    fn hash(&self, running: &Running) -> Result<String, String> {
        if self.name.starts_with("sk-") || KeyHash::parse(&self.name).is_some() {
            return Ok(KeyHash::named(&self.name).to_string());
        }
        let path = format!("/key/list?key_alias={}", encoded(&self.name));
        let page = running.page(&Method::GET, &path, Bytes::new().into())?;
        match page["keys"].as_array().map(Vec::as_slice) {
            Some([hash]) => Ok(hash.as_str().unwrap_or_default().to_owned()),
            _ => Err(format!("{}: no key has the alias {}", running.url, self.name)),
        }
    }

    /// How it is shown: never the key itself.
    fn shown(&self) -> String {
        match self.name.starts_with("sk-") {
            true => hale_core::tenancy::key_text::masked(&self.name),
            false => self.name.clone(),
        }
    }
}

pub(super) fn encoded(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

/// Keys as lines.
fn listed(page: &Value) -> String {
    let mut text = String::new();
    let keys = page["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    for key in keys {
        let field = |name: &str| match &key[name] {
            Value::Null => "-".to_owned(),
            Value::String(text) => text.chars().filter(|letter| !letter.is_control()).collect(),
            other => other.to_string(),
        };
        let state = if key["blocked"] == json!(true) { "blocked" } else { "-" };
        text.push_str(&format!(
            "{:<24} {:<12} team {:<16} user {:<16} spent {} of {} {state} ends {}\n",
            field("key_alias"),
            field("key_name"),
            field("team_id"),
            field("user_id"),
            field("spend"),
            field("max_budget"),
            field("expires")
        ));
    }
    let all = page["total_count"].as_u64().unwrap_or(0);
    format!("{text}{} of {all} keys", keys.len())
}
