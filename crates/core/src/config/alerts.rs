//! Who is told of incidents, and when: `alerting` and its kin in `general_settings`.
//!
//! Called by [`super::settings`]. Always true: an address of a channel is never shown; a channel without its variables is
//! told of and left out; a name that LiteLLM knows and Hale does not tell is named.

use jiff::Timestamp;

use crate::incident::{
    AlertSettings, Channel, Kind, Maintenance, OTHER_TYPES, Place, Rules, Smtp, SmtpTls, When,
};
use crate::route::AccessWindow;
use crate::route::windows::{time_of_day, zone};
use crate::secret::Secret;

use super::field::{Field, visit};
use super::interpolate::Env;
use super::keys::Section;
use super::problem::{At, Path, Problems, Wrong, shown};
use super::suggest::{did_you_mean, nearest};
use super::tree::{Map, Node};
use super::value;

/// The type of the report of a day.
const REPORTS: &str = "daily_reports";
/// Where PagerDuty takes events.
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";
/// The names that `alerting` may have.
const NAMES: &[&str] = &["slack", "webhook", "ms_teams", "discord", "pagerduty", "email"];
/// Channels for single types, at most.
const OWN_MAX: usize = 100;

/// What the keys say.
#[derive(Default)]
pub(super) struct Written {
    names: Vec<(Box<str>, At)>,
    own: Vec<(Box<str>, Secret)>,
    rules: Rules,
    webhook_secret: Option<Secret>,
    pagerduty_url: Option<Secret>,
    email_to: Vec<Box<str>>,
}

impl Written {
    /// Reads a key; false if it is about something else.
    pub(super) fn setting(&mut self, field: &Field<'_>, problems: &mut Problems) -> bool {
        match field.row.name {
            "alerting" => self.names = names(field, problems),
            "alerting_threshold" => put(&mut self.rules.slow_ms, field.time(problems)),
            "alert_types" => {
                let all = texts(field, problems).into_iter();
                let known = all.filter(|(name, at)| is_type(name, (field, *at), problems));
                self.rules.types = Some(known.map(|(name, _)| name).collect());
            }
            "alert_to_webhook_url" => self.own = own(field, problems),
            "alerting_args" => {
                if let Some(map) = field.map(problems) {
                    self.args(map, &field.path, problems);
                }
            }
            _ => return false,
        }
        true
    }

    fn args<'n>(&mut self, map: &'n Map, path: &'n Path<'n>, problems: &mut Problems) {
        visit(Section::Alerting, map, path, problems, |field, problems| {
            let rules = &mut self.rules;
            match field.row.name {
                "minor_outage_alert_threshold" => {
                    put(&mut rules.min_failures, field.count(problems));
                }
                "major_outage_alert_threshold" => {
                    put(&mut rules.major_failures, field.count(problems));
                }
                "min_affected" => put(&mut rules.min_affected, field.count(problems)),
                "away_s" => put(&mut rules.away_ms, field.time(problems)),
                "collect_s" => put(&mut rules.collect_ms, field.time(problems)),
                "settle_s" => put(&mut rules.settle_ms, field.time(problems)),
                "flap_s" => put(&mut rules.flap_ms, field.time(problems)),
                "quiet_hours" => rules.quiet = quiet(field, problems),
                "maintenance" => rules.maintenance = maintenance(field, problems),
                "webhook_secret" => {
                    self.webhook_secret = field.text(problems).map(Secret::new);
                }
                "pagerduty_url" => {
                    let url = field.text(problems).map(str::trim);
                    match url.map(|text| (text, is_url(text))) {
                        Some((text, true)) => self.pagerduty_url = Some(Secret::new(text)),
                        Some((_, false)) => field.wrong(no_url(), problems),
                        None => {}
                    }
                }
                "email_to" => {
                    self.email_to =
                        texts(field, problems).into_iter().map(|(name, _)| name).collect();
                }
                other => debug_assert!(false, "{other} is in keys.rs but nothing reads it"),
            }
        });
    }

    /// The settings, with the addresses that the environment has.
    pub(super) fn settings(mut self, env: &Env<'_>, problems: &mut Problems) -> AlertSettings {
        let mut channels = Vec::new();
        for (name, at) in std::mem::take(&mut self.names) {
            let is_slack = &*name == "slack";
            if is_slack {
                channels.append(&mut self.own_channels());
            }
            match self.place(&name, env) {
                Ok(place) => channels.push(Channel { name, only: None, place }),
                // Addresses of single types may be all there is.
                Err(_) if is_slack && !channels.is_empty() => {}
                Err(missing) => {
                    let problem = format!("names `{name}`, but {missing}: nothing is sent there");
                    let hint = format!("set it, or remove `{name}` from the list");
                    let general = Path::Root.key("general_settings");
                    problems.warn(at, &general.key("alerting"), Wrong::new(problem, hint));
                }
            }
        }
        let base_url = env.get("PROXY_BASE_URL").filter(|url| is_url(url));
        let base_url = base_url.map(|url| without_user(url.trim().trim_end_matches('/')));
        AlertSettings { rules: self.rules, channels, base_url }
    }

    fn own_channels(&mut self) -> Vec<Channel> {
        let mut channels: Vec<Channel> = Vec::new();
        for (of, url) in std::mem::take(&mut self.own).into_iter().take(OWN_MAX) {
            let alike = channels.iter().filter(|one| one.only.as_ref() == Some(&of)).count();
            let name = match alike {
                0 => format!("slack:{of}"),
                more => format!("slack:{of}:{}", more + 1),
            };
            let (name, place) = (name.into(), Place::Slack(url));
            channels.push(Channel { name, only: Some(of), place });
        }
        channels
    }

    /// The place of that name, or what it lacks.
    fn place(&self, name: &str, env: &Env<'_>) -> Result<Place, String> {
        let url = |variable: &str| {
            let text = env.get(variable).ok_or_else(|| format!("{variable} is not set"))?;
            let text = text.trim();
            match is_url(text) {
                true => Ok(Secret::new(text)),
                false => Err(format!("{variable} is no http:// or https:// address")),
            }
        };
        Ok(match name {
            "slack" => Place::Slack(url("SLACK_WEBHOOK_URL")?),
            "webhook" => {
                let secret = || env.get("WEBHOOK_SECRET").map(|text| Secret::new(&text));
                let secret = self.webhook_secret.clone().or_else(secret);
                Place::Webhook { url: url("WEBHOOK_URL")?, secret }
            }
            "ms_teams" => Place::Teams(url("MS_TEAMS_WEBHOOK_URL")?),
            "discord" => Place::Discord(url("DISCORD_WEBHOOK_URL")?),
            "pagerduty" => {
                let key = env.get("PAGERDUTY_API_KEY");
                let key = key.ok_or("PAGERDUTY_API_KEY is not set")?;
                let url = self.pagerduty_url.clone().unwrap_or_else(|| Secret::new(PAGERDUTY));
                Place::PagerDuty { key: Secret::new(key.trim()), url }
            }
            "email" => Place::Email(self.smtp(env)?),
            other => return Err(format!("`{other}` is unknown")),
        })
    }

    fn smtp(&self, env: &Env<'_>) -> Result<Smtp, String> {
        let need =
            |variable: &str| env.get(variable).ok_or_else(|| format!("{variable} is not set"));
        let port = match env.get("SMTP_PORT") {
            Some(text) => text.trim().parse().map_err(|_| "SMTP_PORT is no port")?,
            None => 587,
        };
        let asked = env.get("SMTP_TLS").unwrap_or_default().trim().to_ascii_lowercase();
        let tls = match (asked.as_str(), port) {
            ("false" | "0" | "no" | "off", _) => SmtpTls::None,
            ("implicit", _) | (_, 465) => SmtpTls::Implicit,
            _ => SmtpTls::StartTls,
        };
        let to = match self.email_to.as_slice() {
            [] => {
                let listed = env.get("ALERT_EMAIL_TO").or_else(|| env.get("TEST_EMAIL_ADDRESS"));
                let listed =
                    listed.ok_or("`alerting_args.email_to` or ALERT_EMAIL_TO is not set")?;
                let each = listed.split(',').map(str::trim).filter(|one| !one.is_empty());
                each.map(Box::from).collect()
            }
            named => named.to_vec(),
        };
        let from: Box<str> = need("SMTP_SENDER_EMAIL")?.trim().into();
        let is_address = |text: &str| {
            let plain = |c: char| c.is_ascii_graphic() && !"<>,;:\\\"()[]".contains(c);
            text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
                && text.chars().all(plain)
        };
        if to.is_empty() || !to.iter().chain([&from]).all(|one| is_address(one)) {
            return Err("SMTP_SENDER_EMAIL or a receiver is no address".to_owned());
        }
        Ok(Smtp {
            host: need("SMTP_HOST")?.trim().into(),
            port,
            tls,
            username: env.get("SMTP_USERNAME").map(|name| name.trim().into()),
            password: env.get("SMTP_PASSWORD").map(|text| Secret::new(&text)),
            from,
            to,
        })
    }
}

fn put<T>(setting: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *setting = value;
    }
}

fn is_url(text: &str) -> bool {
    let text = text.trim();
    let place = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    place.is_some_and(|place| {
        !place.is_empty()
            && !place.starts_with(['/', '?', '#'])
            && place.bytes().all(|b| b.is_ascii_graphic())
    })
}

/// An address without a user and a password in it.
fn without_user(url: &str) -> Box<str> {
    let Some((scheme, place)) = url.split_once("://") else { return url.into() };
    let end = place.find(['/', '?', '#']).unwrap_or(place.len());
    let (authority, path) = place.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}").into()
}

fn no_url() -> Wrong {
    Wrong::new("is no address", "write one that begins with https://")
}

/// Texts of a list; one alone needs no list.
fn texts(field: &Field<'_>, problems: &mut Problems) -> Vec<(Box<str>, At)> {
    if let Some(text) = field.node.text() {
        return vec![(text.trim().into(), field.node.at)];
    }
    let mut all = Vec::new();
    for (i, item) in field.list(problems).unwrap_or(&[]).iter().enumerate() {
        match value::text(item) {
            Ok(text) => all.push((text.trim().into(), item.at)),
            Err(wrong) => field.wrong_in(item.at, &field.path.item(i), wrong, problems),
        }
    }
    all
}

fn names(field: &Field<'_>, problems: &mut Problems) -> Vec<(Box<str>, At)> {
    let mut known: Vec<(Box<str>, At)> = Vec::new();
    for (name, at) in texts(field, problems) {
        if !NAMES.contains(&&*name) {
            let problem = format!("unknown channel `{}`: nothing is sent there", shown(&name));
            let hint = format!("the channels are {}", NAMES.join(", "));
            field.wrong_in(at, &field.path, Wrong::new(problem, hint), problems);
        } else if !known.iter().any(|(one, _)| *one == name) {
            known.push((name, at));
        }
    }
    known
}

/// Whether that is a type of messages that are sent.
fn is_type(name: &str, (field, at): (&Field<'_>, At), problems: &mut Problems) -> bool {
    if name == REPORTS || Kind::ALL.iter().any(|kind| kind.is_of_type(name)) {
        return true;
    }
    let wrong = if OTHER_TYPES.contains(&name) {
        let problem = format!("`{name}` is a type of LiteLLM's that Hale does not tell");
        Wrong::new(problem, "docs/alerts.md lists the types; remove it")
    } else {
        let own = Kind::ALL.map(Kind::name);
        let hint = match nearest(name, own).as_slice() {
            [] => "docs/alerts.md lists the types".to_owned(),
            near => did_you_mean(near),
        };
        Wrong::new(format!("unknown type `{}`", shown(name)), hint)
    };
    problems.warn(at, &field.path, wrong);
    false
}

/// Addresses of Slack by type.
fn own(field: &Field<'_>, problems: &mut Problems) -> Vec<(Box<str>, Secret)> {
    let mut found = Vec::new();
    let Some(map) = field.map(problems) else { return found };
    for entry in &map.entries {
        if entry.value.is_unset() || !is_type(&entry.key, (field, entry.at), problems) {
            continue;
        }
        let one = std::slice::from_ref(&entry.value);
        for item in entry.value.items().unwrap_or(one) {
            match item.text().map(str::trim).filter(|text| is_url(text)) {
                Some(url) => found.push(((&*entry.key).into(), Secret::new(url))),
                None => {
                    let path = field.path.key(&entry.key);
                    field.wrong_in(item.at, &path, no_url(), problems);
                }
            }
        }
    }
    found
}

fn quiet(field: &Field<'_>, problems: &mut Problems) -> Vec<AccessWindow> {
    let mut windows = Vec::new();
    for (i, item) in field.list(problems).unwrap_or(&[]).iter().enumerate() {
        match item.as_map().and_then(daily) {
            Some(window) => windows.push(window),
            None => {
                let hint = "write `{start: \"22:00\", end: \"06:00\", timezone: Europe/Berlin}`";
                let wrong = Wrong::new("is no part of a day", hint);
                field.wrong_in(item.at, &field.path.item(i), wrong, problems);
            }
        }
    }
    windows
}

fn daily(map: &Map) -> Option<AccessWindow> {
    let text = |key: &str| map.get(key).and_then(Node::text);
    let (start, end) = (time_of_day(text("start")?)?, time_of_day(text("end")?)?);
    let zone = zone(text("timezone").unwrap_or("UTC"))?;
    (start != end).then(|| AccessWindow::new(start, end, zone, Vec::new()))
}

fn maintenance(field: &Field<'_>, problems: &mut Problems) -> Vec<Maintenance> {
    let mut all = Vec::new();
    for (i, item) in field.list(problems).unwrap_or(&[]).iter().enumerate() {
        let found = item.as_map().and_then(|map| {
            let when = daily(map).map(When::Daily).or_else(|| once(map))?;
            let groups = match map.get("models").filter(|node| !node.is_unset()) {
                Some(node) => {
                    let names = node.items()?.iter().map(|one| one.text().map(Box::from));
                    names.collect::<Option<Vec<_>>>()?
                }
                None => Vec::new(),
            };
            Some(Maintenance { when, groups })
        });
        match found {
            Some(window) => all.push(window),
            None => {
                let hint = "write `{start: \"2027-01-30T22:00:00Z\", end: ..., models: [gpt-4o]}`, or times of \
                            the day with a `timezone`";
                let wrong = Wrong::new("is no time of maintenance", hint);
                field.wrong_in(item.at, &field.path.item(i), wrong, problems);
            }
        }
    }
    all
}

fn once(map: &Map) -> Option<When> {
    let moment = |key: &str| {
        let at: Timestamp = map.get(key).and_then(Node::text)?.trim().parse().ok()?;
        u64::try_from(at.as_millisecond()).ok()
    };
    let (start, end) = (moment("start")?, moment("end")?);
    (start < end).then_some(When::Once(start, end))
}
