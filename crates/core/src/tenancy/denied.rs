//! Why a request is not admitted: status, words and fields as the reference's clients know them.
//!
//! Made by [`super::access`] and by the gateway's look-up of keys, turned into an answer by the gateway. Always true: a refusal
//! names no key but by its hash or its last four characters.

use jiff::Timestamp;

use super::account::Full;
use super::subject::{Subject, SubjectKind};
use crate::time::{UnixMs, WallClock};

/// The reason while calls in flight reserve the remainder of a budget.
pub const BUDGET_RESERVED: &str = "budget_reserved";

/// The reason where a session has spent or made all that one may.
pub const SESSION_LIMIT: &str = "session_limit";

/// A refusal.
#[derive(Clone, Debug, PartialEq)]
pub struct Denied {
    /// The HTTP status.
    pub status: u16,
    /// `error.type`.
    pub kind: &'static str,
    /// `error.param`.
    pub param: Option<Box<str>>,
    /// `error.message`.
    pub message: String,
    /// What it is for programs.
    pub reason: &'static str,
    /// When the client may come again, seconds; `None` if that is of no use or not known.
    pub retry_after_s: Option<u64>,
    /// Which limit of a minute was reached, and when there is room.
    pub limit: Option<Box<RateLimited>>,
}

/// Which limit was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimited {
    /// `requests`, `tokens` or `max_parallel_requests`.
    pub of: &'static str,
    /// Whose.
    pub kind: SubjectKind,
    /// How much there may be.
    pub limit: u64,
    /// When there is room again.
    pub resets_at: UnixMs,
}

impl Denied {
    fn new(status: u16, kind: &'static str, message: String) -> Denied {
        Denied {
            status,
            kind,
            param: None,
            message,
            reason: kind,
            retry_after_s: None,
            limit: None,
        }
    }

    fn param(self, param: &str) -> Denied {
        Denied { param: Some(param.into()), ..self }
    }

    fn reason(self, reason: &'static str) -> Denied {
        Denied { reason, ..self }
    }

    /// A refusal of the authentication.
    fn unauthorized(reason: &'static str, message: &str) -> Denied {
        let message = format!("Authentication Error, {message}");
        Denied::new(401, "auth_error", message).param("None").reason(reason)
    }

    /// The text is no key.
    #[must_use]
    pub fn no_key_form() -> Denied {
        let message =
            "LiteLLM Virtual Key expected. Received a key that is expected to start with 'sk-'.";
        Denied::unauthorized("invalid_api_key", message)
    }

    /// No key has that text.
    #[must_use]
    pub fn unknown_key(masked: &str, hash: &str) -> Denied {
        let message = format!(
            "Authentication Error, Invalid proxy server token passed. Received API Key = {masked}, Key Hash (Token) ={hash}. \
             Unable to find token in cache or `LiteLLM_VerificationTokenTable`"
        );
        Denied::new(401, "token_not_found_in_db", message).param("key").reason("invalid_api_key")
    }

    /// Whether the key is known cannot be found out.
    #[must_use]
    pub fn no_store(message: &str) -> Denied {
        let denied = Denied::new(503, "no_db_connection", message.to_owned());
        Denied { retry_after_s: Some(1), ..denied.reason("store_unavailable") }
    }

    /// The key has ended.
    #[must_use]
    pub fn expired(masked: &str, ended: UnixMs, now: UnixMs) -> Denied {
        let (ended, now) = (text_of(ended), text_of(now));
        let message = format!(
            "Authentication Error - Expired Key. Key Expiry time {ended} and current time {now}"
        );
        Denied::new(401, "expired_key", message).param(masked).reason("expired_key")
    }

    /// An operator blocked the key.
    #[must_use]
    pub fn key_blocked() -> Denied {
        let message = "Key is blocked. Update via `/key/unblock` if you're an admin.";
        Denied::unauthorized("key_blocked", message)
    }

    /// An operator blocked the team.
    #[must_use]
    pub fn team_blocked(team: &str) -> Denied {
        let message =
            format!("Team={team} is blocked. Update via `/team/unblock` if you're an admin.");
        Denied::unauthorized("team_blocked", &message)
    }

    /// The user was deactivated.
    #[must_use]
    pub fn user_inactive(user: &str) -> Denied {
        Denied::unauthorized("user_inactive", &format!("User={user} is deactivated."))
    }

    /// An operator blocked the end user.
    #[must_use]
    pub fn end_user_blocked(user: &str) -> Denied {
        let denied = Denied::new(403, "auth_error", format!("End User={user} is blocked"));
        denied.reason("end_user_blocked")
    }

    /// The model is not one of those of `kind`.
    #[must_use]
    pub fn model(kind: SubjectKind, model: &str) -> Denied {
        let message = if kind == SubjectKind::EndUser {
            format!(
                "The requested model '{model}' is not in the allowed models for this customer. Check the models this customer \
                 can use and try again."
            )
        } else {
            format!(
                "The requested model '{model}' is not available for this API key, or the model name is invalid. Check the models \
                 available to you and try again."
            )
        };
        let denied = Denied::new(403, kind.model_denied(), message);
        denied.param("model").reason("model_not_allowed")
    }

    /// The key may not call the route.
    #[must_use]
    pub fn route(allowed: &[Box<str>], route: &str) -> Denied {
        let message = format!(
            "Virtual key is not allowed to call this route. Only allowed to call routes: {}. Tried to call route: {route}",
            listed(allowed)
        );
        Denied::new(403, "auth_error", message).param("None").reason("route_not_allowed")
    }

    /// The route is for admins.
    #[must_use]
    pub fn admin_only(route: &str, role: &str, user: &str) -> Denied {
        let message = format!(
            "Only proxy admin can be used to generate, delete, update info for new keys/users/teams. Route={route}. Your \
             role={role}. Your user_id={user}"
        );
        Denied::unauthorized("admin_only", &message)
    }

    /// A viewer may only look.
    #[must_use]
    pub fn viewer_only(route: &str, role: &str) -> Denied {
        let message = format!(
            "user not allowed to access this route, role= {role}. Trying to access: {route}"
        );
        Denied::new(403, "auth_error", message).param("None").reason("route_not_allowed")
    }

    /// What `subject` may use is used up.
    #[must_use]
    pub fn full(subject: &Subject, full: &Full, at: WallClock) -> Denied {
        match *full {
            Full::Requests { limit, free_in_ms } => {
                rate_limited(subject, ("requests", limit), free_in_ms, at)
            }
            Full::Tokens { limit, free_in_ms } => {
                rate_limited(subject, ("tokens", limit), free_in_ms, at)
            }
            Full::Parallel { limit } => {
                rate_limited(subject, ("max_parallel_requests", limit), 1_000, at)
            }
            Full::NeverFits { limit, asked } => {
                let message = format!(
                    "the request may need {asked} tokens, and the limit of {subject} is {limit} a minute; send a smaller \
                     `max_tokens`"
                );
                let denied = Denied::new(400, "invalid_request_error", message);
                denied.param("max_tokens").reason("tokens_beyond_limit")
            }
            Full::Used { limit } => {
                let message = format!(
                    "{subject} has made the {limit} requests that a session may make; begin a new session, or have an admin raise \
                     `max_requests_per_session`"
                );
                Denied::new(422, "budget_exceeded", message).reason(SESSION_LIMIT)
            }
            Full::Spent { known, max, .. } if subject.kind == SubjectKind::Session => {
                let denied = Denied::new(422, "budget_exceeded", subject.over_budget(known, max));
                denied.reason(SESSION_LIMIT)
            }
            Full::Spent { known, max, resets_at } => {
                let denied = Denied::new(422, "budget_exceeded", subject.over_budget(known, max));
                Denied { retry_after_s: resets_at.map(|ends| seconds_until(ends, at)), ..denied }
            }
            Full::Reserved { max, calls } => {
                let message = format!(
                    "the remainder of the budget of {subject} is reserved by {calls} calls in flight, max budget: {max}; try \
                     again when one has ended"
                );
                let denied = Denied::new(429, "throttling_error", message);
                Denied { retry_after_s: Some(1), ..denied.reason(BUDGET_RESERVED) }
            }
        }
    }
}

fn rate_limited(
    subject: &Subject,
    (of, limit): (&'static str, u64),
    free_in_ms: u64,
    at: WallClock,
) -> Denied {
    let seconds = free_in_ms.div_ceil(1_000).max(1);
    let resets_at = UnixMs(at.unix_ms.0.saturating_add(seconds * 1_000));
    let when = moment(resets_at).strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    let message = format!(
        "Rate limit exceeded for {}: {}. Limit type: {of}. Current limit: {limit}, Remaining: 0. Limit resets at: {when}",
        subject.kind.descriptor(),
        if subject.kind == SubjectKind::Member { &subject.name } else { &subject.id }
    );
    Denied {
        retry_after_s: Some(seconds),
        limit: Some(Box::new(RateLimited { of, kind: subject.kind, limit, resets_at })),
        ..Denied::new(429, "throttling_error", message).reason("rate_limited")
    }
}

fn seconds_until(at: UnixMs, clock: WallClock) -> u64 {
    at.0.saturating_sub(clock.unix_ms.0).div_ceil(1_000).max(1)
}

fn moment(at: UnixMs) -> Timestamp {
    let ms = i64::try_from(at.0).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}

/// As Python prints a moment in UTC.
fn text_of(at: UnixMs) -> String {
    moment(at).strftime("%Y-%m-%d %H:%M:%S+00:00").to_string()
}

/// As Python prints a list of texts.
fn listed(names: &[Box<str>]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    format!("[{}]", quoted.join(", "))
}
