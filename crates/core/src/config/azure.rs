//! The Azure part of an entry: version, token, identity.
//!
//! Called by [`super::build`] for entries of providers `azure` and `azure_ai`. Always true: each value is the entry's
//! own, else its credential's, else the environment's.

use crate::azure::{Azure, DEFAULT_AUTHORITY, DEFAULT_SCOPE, Identity, RealtimeForm, Service};
use crate::secret::Secret;

use super::address;
use super::problem::Wrong;

/// Where a value may be: the key in `litellm_params` and `credential_values`, and the variable.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) key: &'static str,
    pub(super) variable: &'static str,
}

/// The version, whose variable is another one beside Azure OpenAI.
const fn api_version(service: Service) -> Place {
    let variable = match service {
        Service::OpenAi => "AZURE_API_VERSION",
        Service::Models | Service::Serverless | Service::Claude => "AZURE_AI_API_VERSION",
    };
    Place { key: "api_version", variable }
}
pub(super) const TOKEN: Place = Place { key: "azure_ad_token", variable: "AZURE_AD_TOKEN" };
const SCOPE: Place = Place { key: "azure_scope", variable: "AZURE_SCOPE" };
const REALTIME: Place =
    Place { key: "realtime_protocol", variable: "LITELLM_AZURE_REALTIME_PROTOCOL" };
const AUTHORITY: Place = Place { key: "azure_authority_host", variable: "AZURE_AUTHORITY_HOST" };
const TENANT: Place = Place { key: "tenant_id", variable: "AZURE_TENANT_ID" };
const CLIENT: Place = Place { key: "client_id", variable: "AZURE_CLIENT_ID" };
pub(super) const CLIENT_SECRET: Place =
    Place { key: "client_secret", variable: "AZURE_CLIENT_SECRET" };

/// What is wrong, and at which key.
pub(super) type Trouble = (&'static str, Wrong);

/// Reads it. `find` returns the value at a place; `has_key` tells whether there is an `api_key`.
pub(super) fn read(
    service: Service,
    has_key: bool,
    find: impl Fn(Place) -> Option<String>,
) -> Result<Azure, Trouble> {
    let version = self::api_version(service);
    let api_version = find(version);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if api_version.as_deref().is_some_and(|text| text.is_empty() || !text.chars().all(plain)) {
        let hint = "write a date such as `2024-10-21`, or `v1`";
        return Err((version.key, Wrong::new("is not a version", hint)));
    }
    let secret = |place: Place, text: String| match address::key(&text) {
        Ok(()) => Ok(Secret::new(&text)),
        Err(wrong) => Err((place.key, wrong)),
    };
    let api_version = api_version.map(Box::from);
    let realtime = match find(REALTIME).map(|text| text.to_ascii_lowercase()).as_deref() {
        None | Some("") => None,
        Some("ga" | "v1") => Some(RealtimeForm::General),
        Some("beta") => Some(RealtimeForm::Beta),
        Some(_) => {
            let hint = "write `GA`, which is the default, or `beta`";
            return Err((REALTIME.key, Wrong::new("is not a protocol of realtime", hint)));
        }
    };
    let mut azure = Azure { service, api_version, realtime, ..Azure::default() };
    if has_key {
        return Ok(azure);
    }
    if let Some(token) = find(TOKEN) {
        if token.starts_with("oidc/") {
            let hint = "write the token itself, or `tenant_id`, `client_id` and `client_secret`";
            return Err((TOKEN.key, Wrong::new("names an OIDC source, which is not served", hint)));
        }
        azure.token = Some(secret(TOKEN, token)?);
        return Ok(azure);
    }
    let [tenant, client, secret_text] = [TENANT, CLIENT, CLIENT_SECRET]
        .map(|place| find(place).filter(|text| !text.is_empty()).ok_or(place));
    let (tenant, client, secret_text) = match (tenant, client, secret_text) {
        (Ok(tenant), Ok(client), Ok(secret)) => (tenant, client, secret),
        // There is nothing of an identity, so the key is what is missing.
        (Err(_), Err(_), Err(_)) => return Ok(azure),
        (tenant, client, secret) => {
            let missing = [tenant.err(), client.err(), secret.err()];
            let missing = missing.into_iter().flatten().next().unwrap_or(CLIENT_SECRET);
            let problem = format!("no {}, which the other values of an identity need", missing.key);
            let hint = format!("set `{}`, or the variable {}", missing.key, missing.variable);
            return Err((missing.key, Wrong::new(problem, hint)));
        }
    };
    for (place, text) in [(TENANT, &tenant), (CLIENT, &client)] {
        if !text.chars().all(plain) {
            return Err((place.key, Wrong::new("has characters that no id has", "copy it again")));
        }
    }
    let authority = find(AUTHORITY).unwrap_or_else(|| DEFAULT_AUTHORITY.to_owned());
    let authority =
        if authority.contains("://") { authority } else { format!("https://{authority}") };
    let authority = address::api_base(&authority).map_err(|wrong| (AUTHORITY.key, wrong))?;
    azure.identity = Some(Identity {
        authority,
        tenant_id: tenant.into(),
        client_id: client.into(),
        client_secret: secret(CLIENT_SECRET, secret_text)?,
        scope: find(SCOPE).unwrap_or_else(|| DEFAULT_SCOPE.to_owned()).into(),
    });
    Ok(azure)
}
