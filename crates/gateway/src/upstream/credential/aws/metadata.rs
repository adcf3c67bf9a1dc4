//! Keys that the surroundings of the process give: those of a container, and those of an instance.
//!
//! Called by [`super::chain`]. Always true: an instance is asked in the second version of its interface, with a token, for a second at
//! most; the address of a container's keys comes from its environment.
//!
//! Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html>.

use std::time::Duration;

use hale_core::aws::{Keys, Machine};
use hale_core::health::outcome::ProviderError;
use hale_core::secret::Secret;
use hale_core::settings::KeptConnections;
use hale_wire::without_mark;
use http::{HeaderName, HeaderValue, Method, header};
use serde::Deserialize;

use super::found::{FoundKeys, unusable};
use super::sts::until;
use crate::upstream::address::Upstream;
use crate::upstream::credential::call::{Call, Said};
use crate::upstream::credential::error::CredentialError;
use crate::upstream::credential::refreshing::Granted;

const INSTANCE: &str = "the metadata of the instance";
const CONTAINER: &str = "the keys of the container";
/// How long an instance may take for one answer: away from AWS nothing answers.
const PATIENCE: Duration = Duration::from_secs(1);
const TOKEN: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");
const TOKEN_LIFE: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

/// The keys of the instance whose metadata are at `address`.
pub(super) async fn of_instance(address: &str, kept: KeptConnections) -> FoundKeys {
    let upstream = Upstream::parse(address).keeping(kept);
    let life = HeaderValue::from_static("21600");
    let token = Call::bare(Method::PUT, "/latest/api/token").with(TOKEN_LIFE, life);
    let token = text(asked(token, &upstream).await?)?;
    let mut token = HeaderValue::try_from(token.trim())
        .map_err(|_| CredentialError::NoToken { issuer: INSTANCE })?;
    token.set_sensitive(true);
    let get = |path: &str| Call::bare(Method::GET, path).with(TOKEN, token.clone());
    let roles = text(asked(get(ROLES), &upstream).await?)?;
    let Some(role) = roles.lines().next().filter(|role| !role.trim().is_empty()) else {
        return Err(unusable("the instance has no role".to_owned()));
    };
    let said = asked(get(&format!("{ROLES}{}", role.trim())), &upstream).await?;
    granted(&said, INSTANCE)
}

async fn asked(call: Call, upstream: &Upstream) -> Result<Said, CredentialError> {
    let asked = tokio::time::timeout(PATIENCE, call.send(upstream, INSTANCE)).await;
    match asked {
        Ok(said) => said,
        Err(_) => Err(CredentialError::Silent { issuer: INSTANCE }),
    }
}

fn text(said: Said) -> Result<String, CredentialError> {
    if !said.status.is_success() {
        return Err(refused(&said, INSTANCE));
    }
    String::from_utf8(said.text).map_err(|_| CredentialError::NoToken { issuer: INSTANCE })
}

/// The keys of the container, which are at `address`.
pub(super) async fn of_container(
    address: &str,
    machine: &Machine,
    kept: KeptConnections,
) -> FoundKeys {
    let upstream = Upstream::parse(address).keeping(kept);
    let mut call = Call::bare(Method::GET, &upstream.base_path);
    let token = match &machine.container_token_file {
        Some(path) => {
            let path = path.to_string();
            let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(path)).await;
            let text = read.ok().and_then(Result::ok);
            let text = text.ok_or_else(|| {
                unusable(
                    "the file of AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE cannot be read".to_owned(),
                )
            })?;
            Some(Secret::new(text.trim()))
        }
        None => machine.container_token.clone(),
    };
    if let Some(token) = token {
        let mut value = HeaderValue::try_from(token.expose())
            .map_err(|_| unusable("the token of the container is no header".to_owned()))?;
        value.set_sensitive(true);
        call = call.with(header::AUTHORIZATION, value);
    }
    let said = call.send(&upstream, CONTAINER).await?;
    granted(&said, CONTAINER)
}

fn refused(said: &Said, issuer: &str) -> CredentialError {
    let message = format!("{issuer} were refused with {}", said.status);
    let error = ProviderError { message, ..ProviderError::default() };
    said.refused(error, &Secret::new(""))
}

fn granted(said: &Said, issuer: &'static str) -> FoundKeys {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        access_key_id: String,
        secret_access_key: String,
        token: Option<String>,
        expiration: Option<String>,
    }
    if !said.status.is_success() {
        return Err(refused(said, issuer));
    }
    let answer: Option<Answer> = serde_json::from_slice(without_mark(&said.text)).ok();
    let answer = answer.ok_or(CredentialError::NoToken { issuer })?;
    let keys = Keys {
        access_key: answer.access_key_id.into(),
        secret_key: Secret::new(&answer.secret_access_key),
        token: answer.token.map(|token| Secret::new(&token)),
    };
    let lifetime_ms = answer.expiration.as_deref().and_then(until).unwrap_or(900_000);
    Ok(Granted { grant: keys, lifetime_ms })
}
