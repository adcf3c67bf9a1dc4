//! Tokens of Google, for deployments at Vertex AI.
//!
//! Called by [`super::bearer`] for each new token. Always true: a file of credentials is read again each time, because it is replaced
//! while a process runs; a clock that Google shows to be off is corrected once, and remembered.
//!
//! Sources: <https://developers.google.com/identity/protocols/oauth2/service-account>,
//! <https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token>,
//! <https://cloud.google.com/compute/docs/access/authenticate-workloads>.

mod answer;
mod assertion;
mod exchange;

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use hale_core::google::{AuthorizedUser, Identity, Machine, ServiceAccount, Source};
use hale_core::secret::Secret;
use hale_core::settings::KeptConnections;
use http::{HeaderName, HeaderValue};

use self::answer::{ISSUER, SCOPE, token};
use super::bearer::Bearer;
use super::call::{Call, Said, encoded};
use super::error::CredentialError;
use super::refreshing::Granted;
use crate::clock;
use crate::files::read_regular;
use crate::upstream::address::Upstream;

/// How this issuer is named in messages.
pub(super) const NAME: &str = ISSUER;
/// How long a metadata server may take, and how often it is tried. The values are those of Google's library.
const METADATA_LIMIT: Duration = Duration::from_secs(3);
const METADATA_TRIES: usize = 3;
/// A clock that is off by more is corrected, seconds.
const SKEW_MIN_S: i64 = 60;

/// Whose tokens these are.
pub(super) struct Google {
    source: Source,
    kept: KeptConnections,
    /// What Google's clock is ahead of this one, seconds.
    skew_s: AtomicI64,
}

impl Google {
    /// The issuer of the tokens of `source`; `kept` is how connections to it are used again.
    pub(super) fn new(source: &Source, kept: KeptConnections) -> Google {
        Google { source: source.clone(), kept, skew_s: AtomicI64::new(0) }
    }

    /// Asks for a token.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn request_token(&self) -> Result<Granted<Bearer>, CredentialError> {
        let identity = match &self.source.file {
            Some(file) => read(file).await.unwrap_or_else(|| self.source.identity.clone()),
            None => self.source.identity.clone(),
        };
        self.token_of(&identity).await
    }

    async fn token_of(&self, identity: &Identity) -> Result<Granted<Bearer>, CredentialError> {
        match identity {
            Identity::ServiceAccount(account) => self.of_account(account).await,
            Identity::AuthorizedUser(user) => self.of_user(user).await,
            Identity::Machine(machine) => self.of_machine(machine).await,
            Identity::External(external) => self.of_external(external).await,
            Identity::Impersonated(one) => {
                // One identity within another: at most as many as the parser allows.
                let by = Box::pin(self.token_of(&one.by)).await?;
                self.acting_as(&one.address, &one.delegates, &by.grant).await
            }
        }
    }

    async fn of_account(
        &self,
        account: &ServiceAccount,
    ) -> Result<Granted<Bearer>, CredentialError> {
        let said = self.ask_for_account(account).await?;
        if said.0.status.is_success() || !self.learns_the_time(&said.0) {
            return token(&said.0, " for the key of a service account", &said.1);
        }
        let (said, assertion) = self.ask_for_account(account).await?;
        token(&said, " for the key of a service account", &assertion)
    }

    async fn ask_for_account(
        &self,
        account: &ServiceAccount,
    ) -> Result<(Said, Secret), CredentialError> {
        let now = clock::unix_ms() / 1000;
        let now = now.saturating_add_signed(self.skew_s.load(Ordering::Relaxed));
        let assertion = assertion::signed(account, SCOPE, now)?;
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", assertion.expose()),
        ];
        let said = self.post_form(&account.token_uri, &fields).await?;
        Ok((said, assertion))
    }

    /// Whether the refusal shows that this clock is off, and by how much was not known before.
    fn learns_the_time(&self, said: &Said) -> bool {
        let there = said.headers.get("date").and_then(|date| date.to_str().ok());
        let there = there.and_then(hale_wire::retry_after::unix_ms);
        let Some(there) = there.and_then(|at| i64::try_from(at / 1000).ok()) else { return false };
        let here = i64::try_from(clock::unix_ms() / 1000).unwrap_or(i64::MAX);
        let skew = there.saturating_sub(here);
        let known = self.skew_s.load(Ordering::Relaxed);
        if skew.saturating_sub(known).abs() < SKEW_MIN_S {
            return false;
        }
        tracing::warn!(
            seconds = skew,
            "the clock of this machine differs from Google's: requests for tokens are made by Google's"
        );
        self.skew_s.store(skew, Ordering::Relaxed);
        true
    }

    async fn of_user(&self, user: &AuthorizedUser) -> Result<Granted<Bearer>, CredentialError> {
        let fields = [
            ("grant_type", "refresh_token"),
            ("client_id", &*user.client_id),
            ("client_secret", user.client_secret.expose()),
            ("refresh_token", user.refresh_token.expose()),
        ];
        let said = self.post_form(&user.token_uri, &fields).await?;
        let in_form = Secret::new(&format!(
            "{} {}",
            encoded(user.client_secret.expose()),
            encoded(user.refresh_token.expose())
        ));
        token(&said, " for the login of a user", &in_form)
    }

    async fn of_machine(&self, machine: &Machine) -> Result<Granted<Bearer>, CredentialError> {
        const TOKEN: &str = "/computeMetadata/v1/instance/service-accounts/default/token";
        let upstream = Upstream::parse(&format!("http://{}", machine.host)).keeping(self.kept);
        let flavor =
            (HeaderName::from_static("metadata-flavor"), HeaderValue::from_static("Google"));
        let issuer = "the metadata server";
        let mut last = CredentialError::Silent { issuer };
        for _ in 0..METADATA_TRIES {
            let call = Call::get(TOKEN).with(flavor.0.clone(), flavor.1.clone());
            match tokio::time::timeout(METADATA_LIMIT, call.send(&upstream, issuer)).await {
                Ok(Ok(said)) => {
                    return token(&said, " for this machine", &Secret::new(""));
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = CredentialError::Silent { issuer },
            }
        }
        Err(last)
    }

    async fn post_form(
        &self,
        address: &str,
        fields: &[(&str, &str)],
    ) -> Result<Said, CredentialError> {
        let upstream = Upstream::parse(address).keeping(self.kept);
        Call::form(&upstream.base_path, fields).send(&upstream, ISSUER).await
    }
}

/// The identity in `file`; `None` if it cannot be read, as while it is replaced.
async fn read(file: &str) -> Option<Identity> {
    let path = std::path::PathBuf::from(file);
    let bytes = tokio::task::spawn_blocking(move || read_regular(&path)).await.ok()?.ok()?;
    Identity::parse(std::str::from_utf8(&bytes).ok()?).ok()
}
