//! Tokens that are given for other tokens: federation, and acting as a service account.
//!
//! Called by [`super::Google`]. Always true: a proof is read each time, because what writes it replaces it.

use hale_core::google::{External, Proof};
use hale_core::secret::Secret;
use http::{HeaderName, HeaderValue, header};
use serde::Deserialize;
use serde_json::json;

use super::Google;
use super::answer::{ISSUER, SCOPE, token};
use crate::clock;
use crate::files::read_regular;
use crate::upstream::address::Upstream;
use crate::upstream::credential::bearer::{Bearer, bearer};
use crate::upstream::credential::call::{Call, encoded};
use crate::upstream::credential::error::CredentialError;
use crate::upstream::credential::refreshing::Granted;

impl Google {
    /// The token of an identity that another system proves.
    pub(super) async fn of_external(
        &self,
        external: &External,
    ) -> Result<Granted<Bearer>, CredentialError> {
        let proof = self.proof(external).await?;
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("audience", &*external.audience),
            ("scope", SCOPE),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("subject_token", proof.expose()),
            ("subject_token_type", &*external.token_type),
        ];
        let said = self.post_form(&external.token_uri, &fields).await?;
        let sent = Secret::new(&encoded(proof.expose()));
        let federated = token(&said, " for an external account", &sent)?;
        match &external.acts_as {
            Some(address) => self.acting_as(address, &[], &federated.grant).await,
            None => Ok(federated),
        }
    }

    /// What proves the identity.
    async fn proof(&self, external: &External) -> Result<Secret, CredentialError> {
        let unusable = |problem| CredentialError::Unusable { issuer: ISSUER, problem };
        let bytes = match &external.proof {
            Proof::File(file) => {
                let path = std::path::PathBuf::from(&**file);
                let read = tokio::task::spawn_blocking(move || read_regular(&path)).await;
                read.ok()
                    .and_then(Result::ok)
                    .ok_or(unusable("the file that `credential_source` names cannot be read"))?
            }
            Proof::Address(address, headers) => {
                let upstream = Upstream::parse(address).keeping(self.kept);
                let mut call = Call::get(&upstream.base_path);
                for (name, value) in headers {
                    if let (Ok(name), Ok(value)) = (
                        HeaderName::from_bytes(name.as_bytes()),
                        HeaderValue::from_str(value.expose()),
                    ) {
                        call = call.with(name, value);
                    }
                }
                let said = call.send(&upstream, "the source of the external account").await?;
                match said.status.is_success() {
                    true => said.text,
                    false => {
                        return Err(unusable(
                            "the address that `credential_source` names gives no token",
                        ));
                    }
                }
            }
        };
        let text = String::from_utf8(bytes).unwrap_or_default();
        let found = match &external.member {
            None => Some(text.trim().to_owned()),
            Some(name) => serde_json::from_str::<serde_json::Value>(&text)
                .ok()
                .and_then(|json| json.get(&**name)?.as_str().map(str::to_owned)),
        };
        let found = found.filter(|found| !found.is_empty());
        found
            .map(|found| Secret::new(&found))
            .ok_or(unusable("what `credential_source` names has no token"))
    }

    /// The token of the service account at `address`, as which `by` may act.
    pub(super) async fn acting_as(
        &self,
        address: &str,
        delegates: &[Box<str>],
        by: &Bearer,
    ) -> Result<Granted<Bearer>, CredentialError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            access_token: String,
            expire_time: String,
        }
        let mut body = json!({"scope": [SCOPE], "lifetime": "3600s"});
        if let (false, Some(body)) = (delegates.is_empty(), body.as_object_mut()) {
            body.insert("delegates".to_owned(), json!(delegates));
        }
        let upstream = Upstream::parse(address).keeping(self.kept);
        let call = Call::json(&upstream.base_path, body.to_string())
            .with(header::AUTHORIZATION, by.header.clone());
        let said = call.send(&upstream, ISSUER).await?;
        if !said.status.is_success() {
            let error = said.oauth_error(ISSUER, " for an impersonated service account");
            return Err(said.refused(error, &by.secret));
        }
        let answer: Option<Answer> = serde_json::from_slice(&said.text).ok();
        let found = answer.and_then(|answer| {
            let ends: jiff::Timestamp = answer.expire_time.parse().ok()?;
            let ends_ms = u64::try_from(ends.as_millisecond()).ok()?;
            let lifetime_ms = ends_ms.saturating_sub(clock::unix_ms());
            Some(Granted { grant: bearer(&answer.access_token)?, lifetime_ms })
        });
        found.ok_or(CredentialError::NoToken { issuer: ISSUER })
    }
}
