//! Authenticates a client by its key.
//!
//! Called by the router for every request, before its body is read. Always true: an endpoint without a public
//! role needs the right key; keys are compared in constant time, which reveals at most the length of the
//! right one.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use hale_core::secret::Secret;
use hale_core::settings::GatewaySettings;
use hale_core::tenancy::access::{Identity, KeyAccess, Needed, UserRole};
use hale_core::tenancy::key_text::is_key;
use hale_core::tenancy::rights::Route;
use hale_core::tenancy::{Denied, KeyHash, Owner};
use http::header::AsHeaderName;
use http::{HeaderMap, HeaderName, header};

use super::header_list::list;
use super::refusal::{self, Refusal};
use crate::keys::{self, Keys};

/// The header of the gateway's own: where it is sent, no other decides.
static OWN_HEADER: HeaderName = HeaderName::from_static("x-litellm-api-key");
/// Headers that may carry the key behind `authorization`, in the order in which they count.
static KEY_HEADERS: [HeaderName; 4] = [
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-goog-api-key"),
    HeaderName::from_static("ocp-apim-subscription-key"),
];

/// Prefix of the protocol that carries a browser's key, as a browser cannot set headers of a WebSocket
/// handshake. OpenAI's guide to realtime over WebSocket defines it.
pub(crate) const HIDDEN_KEY: &str = "openai-insecure-api-key.";

/// What a client must be to use an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Any client, without a key.
    Public,
    /// One with a key for models.
    Key,
    /// Like [`Role::Viewer`], unless the config opens the metrics endpoint.
    Metrics,
    /// One with the master key; any client if none is configured. What it shows changes nothing.
    Viewer,
    /// One with the master key, or with the key of an admin of the team that it is about, which the page checks; no client if no master
    /// key is configured.
    TeamAdmin,
    /// One with the master key; no client if none is configured.
    Admin,
}

/// Who sent a request, by its key.
#[derive(Clone, Debug)]
pub(crate) enum Principal {
    /// An operator: the master key.
    Operator,
    /// Anyone: no key is configured, or the endpoint is public.
    Anyone,
    /// The holder of a key.
    Key(Arc<KeyAccess>),
}

impl Principal {
    /// Whether it may do everything.
    pub(crate) fn is_operator(&self) -> bool {
        match self {
            Principal::Operator => true,
            Principal::Anyone => false,
            Principal::Key(access) => access.role == UserRole::ProxyAdmin,
        }
    }

    /// Whether it may see something: everything, or what `is_own` says is its own.
    pub(crate) fn sees(&self, is_own: impl FnOnce(&KeyAccess) -> bool) -> bool {
        match self {
            Principal::Operator => true,
            Principal::Anyone => false,
            Principal::Key(access) => access.role.sees_all() || is_own(access),
        }
    }

    /// Whose key it is.
    pub(crate) fn identity(&self) -> Option<Arc<Identity>> {
        match self {
            Principal::Operator | Principal::Anyone => None,
            Principal::Key(access) => Some(access.identity.clone()),
        }
    }

    /// Whose is what it makes.
    pub(crate) fn owner(&self) -> Owner {
        self.access().map_or(Owner::NONE, |access| Owner::of(&access.identity))
    }

    /// Whether it may read and use what a provider keeps for that owner: its own, its team's and its user's, and an operator
    /// everyone's.
    pub(crate) fn may_use(&self, owner: &Owner) -> bool {
        match self {
            Principal::Operator | Principal::Anyone => true,
            Principal::Key(access) => self.is_operator() || access.may_use(owner),
        }
    }

    /// What the holder of the key may do.
    pub(crate) fn access(&self) -> Option<&Arc<KeyAccess>> {
        match self {
            Principal::Operator | Principal::Anyone => None,
            Principal::Key(access) => Some(access),
        }
    }
}

/// What is known of a client by its headers alone.
#[derive(Debug)]
pub(crate) enum Presents<'h> {
    /// Who it is.
    Known(Principal),
    /// Keys, of which the first that there is counts.
    Keys(Vec<&'h str>),
}

/// Finds what the client presents in its headers, and in `query` where its endpoint allows a key there, and whether the endpoint's role lets it in with that alone.
///
/// # Errors
/// The refusal to send.
pub(crate) fn authenticate<'h>(
    role: Role,
    (headers, query): (&'h HeaderMap, Option<&'h str>),
    settings: &'h GatewaySettings,
) -> Result<Presents<'h>, Refusal> {
    let open = match role {
        Role::Public => true,
        Role::Key | Role::Viewer => false,
        Role::Admin | Role::TeamAdmin if settings.master_key.is_none() => {
            return Err(refusal::no_admin());
        }
        Role::Admin | Role::TeamAdmin => false,
        Role::Metrics => !settings.metrics_need_key,
    };
    if open {
        return Ok(Presents::Known(Principal::Anyone));
    }
    let Some(master) = &settings.master_key else {
        return Ok(Presents::Known(Principal::Anyone));
    };
    Presented { headers, extra: settings.key_header.as_deref(), query }.who(master)
}

/// Who presents these keys, besides the master key: the holder of the first that is known. It may call an endpoint that needs this.
///
/// # Errors
/// The refusal to send.
pub(crate) async fn holder(
    keys: &Keys,
    presented: Vec<&str>,
    (needed, route): (Needed, Route<'_>),
) -> Result<Principal, Refusal> {
    if !keys.are_used() {
        return Err(refusal::wrong_key());
    }
    let mut refused = None;
    for key in presented.into_iter().filter(|key| is_key(key)) {
        let at = keys::now();
        let known = keys.known(KeyHash::of(key), at.now);
        let found = match known {
            Some(access) => Ok(access),
            None => keys.look_up(key).await,
        };
        match found {
            Ok(access) => {
                access.check(needed, route, at.unix_ms).map_err(refusal::denied)?;
                return Ok(Principal::Key(access));
            }
            Err(denied) => refused = refused.or(Some(denied)),
        }
    }
    Err(refusal::denied(refused.unwrap_or_else(Denied::no_key_form)))
}

/// The holder of the key with that hash, which a browser's session stands for. It may call an endpoint that needs this.
///
/// # Errors
/// The refusal to send.
pub(crate) async fn holder_of(
    keys: &Keys,
    hash: KeyHash,
    (needed, route): (Needed, Route<'_>),
) -> Result<Principal, Refusal> {
    let access = key_of(keys, hash).await?;
    access.check(needed, route, keys::now().unix_ms).map_err(refusal::denied)?;
    Ok(Principal::Key(access))
}

/// What the holder of the key with that hash may do, while the key is there, has not ended and is not blocked.
///
/// # Errors
/// The refusal to send.
pub(crate) async fn key_of(keys: &Keys, hash: KeyHash) -> Result<Arc<KeyAccess>, Refusal> {
    if !keys.are_used() {
        return Err(refusal::wrong_key());
    }
    let at = keys::now();
    let access = match keys.known(hash, at.now) {
        Some(access) => access,
        None => keys.look_up_hash(hash, "sk-...").await.map_err(refusal::denied)?,
    };
    access.check_alive(at.unix_ms).map_err(refusal::denied)?;
    Ok(access)
}

/// Whether it may use the dashboard.
///
/// # Errors
/// The refusal to send.
pub(crate) fn check_dashboard(
    settings: &GatewaySettings,
    principal: &Principal,
) -> Result<(), Refusal> {
    let is_refused = settings.dashboard_for_admins && !principal.sees(|_| false);
    if is_refused { Err(refusal::dashboard_for_admins()) } else { Ok(()) }
}

/// Whether that text is the master key.
pub(crate) fn is_master_key(text: &str, master: &Secret) -> bool {
    verify_slices_are_equal(text.as_bytes(), master.expose().as_bytes()).is_ok()
}

/// How the credentials of providers, and of their subscriptions, begin: keys of Anthropic, OpenAI, `OpenRouter`, Groq and xAI,
/// tokens of OpenAI's login (a JSON web token) and of Google.
const FORMS: [&str; 9] =
    ["sk-ant-", "sk-proj-", "sk-svcacct-", "sk-or-v1-", "gsk_", "xai-", "eyJ", "ya29.", "AIza"];

fn has_a_providers_form(key: &str) -> bool {
    FORMS.iter().any(|form| key.starts_with(form))
}

/// A key that a client presents.
struct Key<'h> {
    value: &'h str,
    /// Whether another header may hold the right one.
    yields: bool,
}

/// The keys that a client presents.
struct Presented<'h> {
    headers: &'h HeaderMap,
    /// The configured header.
    extra: Option<&'h str>,
    /// The key in the query, where clients of the endpoint may write it there.
    query: Option<&'h str>,
}

impl<'h> Presented<'h> {
    /// Who presents these keys.
    fn who(&self, master: &Secret) -> Result<Presents<'h>, Refusal> {
        let is_master = |key: &str| is_master_key(key, master);
        let key = self.first()?;
        // An agent fills in its own credential by itself, and its operator can only add another header.
        let may_yield = || key.yields && has_a_providers_form(key.value);
        if is_master(key.value) || (may_yield() && self.behind().any(is_master)) {
            return Ok(Presents::Known(Principal::Operator));
        }
        let mut keys = if may_yield() { self.behind().collect() } else { Vec::new() };
        keys.push(key.value);
        Ok(Presents::Keys(keys))
    }

    /// The key that counts: that of the configured header, of `x-litellm-api-key`, of `authorization`, then of the others in
    /// the order of [`KEY_HEADERS`].
    fn first(&self) -> Result<Key<'h>, Refusal> {
        let configured = self.extra.map_or(Ok(None), |name| self.only(name))?;
        let own = match configured {
            None => self.only(&OWN_HEADER)?,
            Some(value) => Some(value),
        };
        if let Some(value) = own {
            return Ok(Key { value: bearer(value).unwrap_or(value), yields: false });
        }
        if let Some(value) = self.only(header::AUTHORIZATION)? {
            let value = bearer(value).ok_or_else(refusal::malformed_key)?;
            return Ok(Key { value, yields: true });
        }
        for name in &KEY_HEADERS {
            if let Some(value) = self.only(name)? {
                return Ok(Key { value: bearer(value).unwrap_or(value), yields: true });
            }
        }
        match hidden_key(self.headers).or(self.query) {
            Some(value) => Ok(Key { value, yields: false }),
            None => Err(refusal::missing_key()),
        }
    }

    /// The keys of the headers behind `authorization`.
    fn behind(&self) -> impl Iterator<Item = &'h str> {
        let held = KEY_HEADERS.iter().filter_map(|name| self.only(name).ok().flatten());
        let held = held.map(|value| bearer(value).unwrap_or(value));
        held.chain(hidden_key(self.headers)).chain(self.query)
    }

    /// The text of a header; `None` if it is not there or empty.
    fn only(&self, name: impl AsHeaderName) -> Result<Option<&'h str>, Refusal> {
        let mut values = self.headers.get_all(name).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(refusal::malformed_key());
        }
        let text = value.to_str().map_err(|_| refusal::malformed_key())?;
        Ok(Some(text.trim()).filter(|text| !text.is_empty()))
    }
}

/// The key that a browser sends among the protocols of a WebSocket.
pub(crate) fn hidden_key(headers: &HeaderMap) -> Option<&str> {
    list(headers, &header::SEC_WEBSOCKET_PROTOCOL).find_map(|one| one.strip_prefix(HIDDEN_KEY))
}

/// The token of a `Bearer` value; the scheme's case does not matter.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && !token.contains(' '))
        .then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fixture::headers;

    fn key(lines: &[(&str, &str)]) -> Option<String> {
        let headers = headers(lines);
        let presented = Presented { headers: &headers, extra: Some("x-mine"), query: None };
        presented.first().ok().map(|key| key.value.to_owned())
    }

    /// Whether a client with those headers has the master key `sk-1`.
    fn has_master_key(lines: &[(&str, &str)]) -> bool {
        let presented = Presented { headers: &headers(lines), extra: Some("x-mine"), query: None };
        let who = presented.who(&Secret::new("sk-1"));
        matches!(who, Ok(Presents::Known(Principal::Operator)))
    }

    #[test]
    fn the_key_is_found_in_every_documented_header() {
        let others = KEY_HEADERS.iter().map(HeaderName::as_str);
        for name in ["x-mine", "x-litellm-api-key"].into_iter().chain(others) {
            for value in ["sk-1", "Bearer sk-1"] {
                assert_eq!(key(&[(name, value)]).as_deref(), Some("sk-1"), "{name}: {value}");
            }
        }
        assert_eq!(key(&[("authorization", "bEaReR   sk-1")]).as_deref(), Some("sk-1"));
        let hidden = [("sec-websocket-protocol", "realtime, openai-insecure-api-key.sk-1")];
        assert_eq!(key(&hidden).as_deref(), Some("sk-1"));
    }

    #[test]
    fn a_key_in_the_query_counts_where_there_is_no_header() {
        let first = |lines: &[(&str, &str)]| {
            let headers = headers(lines);
            let presented = Presented { headers: &headers, extra: None, query: Some("sk-1") };
            presented.first().ok().map(|key| key.value.to_owned())
        };
        assert_eq!(first(&[]).as_deref(), Some("sk-1"));
        assert_eq!(first(&[("x-goog-api-key", "sk-2")]).as_deref(), Some("sk-2"));
    }

    #[test]
    fn an_empty_header_does_not_count() {
        for empty in ["x-mine", "x-litellm-api-key", "authorization", "api-key"] {
            let lines = [(empty, ""), ("x-api-key", "sk-1")];
            assert_eq!(key(&lines).as_deref(), Some("sk-1"), "{empty}");
        }
    }

    #[test]
    fn the_gateways_own_header_decides_alone() {
        for other in ["authorization", "api-key", "x-api-key"] {
            let foreign = (other, "Bearer sk-ant-oat01-a");
            assert!(has_master_key(&[("x-litellm-api-key", "sk-1"), foreign]), "{other}");
            let wrong = [("x-litellm-api-key", "sk-2"), (other, "Bearer sk-1")];
            assert!(!has_master_key(&wrong), "{other}");
            let foreign = [("x-litellm-api-key", "sk-ant-api03-a"), (other, "Bearer sk-1")];
            assert!(!has_master_key(&foreign), "{other}");
        }
        let garbage = [("x-litellm-api-key", "Bearer sk-1"), ("authorization", "Basic abc")];
        assert!(has_master_key(&garbage));
    }

    #[test]
    fn a_credential_of_a_providers_own_form_yields_to_a_known_key() {
        let own = |form: &str| format!("Bearer {form}0123");
        for form in FORMS {
            let foreign = own(form);
            for name in &KEY_HEADERS {
                let lines = [("authorization", &*foreign), (name.as_str(), "sk-1")];
                assert!(has_master_key(&lines), "{form} before {name}");
                assert!(!has_master_key(&[lines[0], (name.as_str(), "sk-2")]), "{form}: {name}");
            }
            let hidden = ("sec-websocket-protocol", "openai-insecure-api-key.sk-1");
            assert!(has_master_key(&[("authorization", &foreign), hidden]), "{form}");
            assert!(!has_master_key(&[("authorization", &foreign)]), "{form}");
        }
        assert!(has_master_key(&[("api-key", "sk-ant-a"), ("x-api-key", "sk-1")]));
        assert!(has_master_key(&[("authorization", "Bearer sk-1"), ("x-api-key", "sk-ant-a")]));
        // A key without such a form is meant for this gateway, and is wrong.
        assert!(!has_master_key(&[("authorization", "Bearer sk-2"), ("x-api-key", "sk-1")]));
    }

    #[test]
    fn a_malformed_authorization_is_refused_even_beside_a_good_header() {
        for value in ["sk-1", "Basic abc", "Bearer", "Bearer a b"] {
            assert_eq!(key(&[("authorization", value), ("api-key", "sk-1")]), None, "{value}");
        }
        for name in ["authorization", "x-litellm-api-key", "x-mine", "api-key"] {
            assert_eq!(key(&[(name, "Bearer sk-1"), (name, "Bearer sk-1")]), None, "{name} twice");
        }
        assert_eq!(key(&[]), None);
    }
}
