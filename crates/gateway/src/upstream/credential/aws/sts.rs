//! Takes on roles: the service of AWS that grants keys for a time.
//!
//! Called by [`super::chain`]. Always true: a role is taken on with signed keys, or with the token of another identity, which is not
//! signed; what the service says when it refuses shows no secret that was sent to it.
//!
//! Source: <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>.

use hale_core::aws::{self, Chain, Keys, Role};
use hale_core::health::outcome::ProviderError;
use hale_core::secret::Secret;
use hale_core::settings::KeptConnections;

use super::found::{FoundKeys, signer};
use crate::clock;
use crate::upstream::address::Upstream;
use crate::upstream::credential::call::{Call, Said};
use crate::upstream::credential::error::CredentialError;
use crate::upstream::credential::refreshing::Granted;
use crate::upstream::sigv4::Service;

/// The service's name in messages.
const ISSUER: &str = "AWS STS";
const VERSION: &str = "2011-06-15";
/// How long keys are asked for, seconds.
const DURATION_S: &str = "3600";

/// The service, at one address.
pub(super) struct Sts {
    upstream: Upstream,
    region: Box<str>,
}

impl Sts {
    /// That of `chain`. The name of the host says the region, where it has one.
    pub(super) fn of(chain: &Chain, kept: KeptConnections) -> Sts {
        let own = chain.sts.as_deref().map(str::to_owned);
        let address = own.unwrap_or_else(|| aws::sts_address(&chain.region));
        let upstream = Upstream::parse(&address).keeping(kept);
        let named = upstream.authority.split('.').nth(1).filter(|name| aws::is_region(name));
        let region = named.map_or_else(|| chain.region.clone(), Box::from);
        Sts { region, upstream }
    }

    /// The keys of `role`, taken on with `keys`.
    pub(super) async fn assume(&self, role: &Role, keys: &Keys) -> FoundKeys {
        let mut fields = vec![
            ("Action", "AssumeRole"),
            ("Version", VERSION),
            ("RoleArn", &*role.arn),
            ("RoleSessionName", &*role.session_name),
            ("DurationSeconds", DURATION_S),
        ];
        fields.extend(role.external_id.as_deref().map(|id| ("ExternalId", id)));
        let tags = role.tags.iter().enumerate().flat_map(|(i, (name, value))| {
            let of = |part| format!("Tags.member.{}.{part}", i + 1);
            [(of("Key"), &**name), (of("Value"), &**value)]
        });
        let tags: Vec<(String, &str)> = tags.collect();
        fields.extend(tags.iter().map(|(name, value)| (name.as_str(), *value)));
        let call = Call::form(&self.path(), &fields);
        let call = call.signed(&signer(keys, &self.region, Service::Sts), &self.upstream.authority);
        self.ask(call, role, &keys.secret_key).await
    }

    /// The keys of `role`, taken on with the token of another identity.
    pub(super) async fn with_token(&self, role: &Role, token: &str) -> FoundKeys {
        let fields = [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", VERSION),
            ("RoleArn", &*role.arn),
            ("RoleSessionName", &*role.session_name),
            ("DurationSeconds", DURATION_S),
            ("WebIdentityToken", token),
        ];
        self.ask(Call::form(&self.path(), &fields), role, &Secret::new(token)).await
    }

    fn path(&self) -> String {
        format!("{}/", self.upstream.base_path.trim_end_matches('/'))
    }

    async fn ask(&self, call: Call, role: &Role, secret: &Secret) -> FoundKeys {
        let said = call.send(&self.upstream, ISSUER).await?;
        if !said.status.is_success() {
            return Err(said.refused(refusal(&said, role), secret));
        }
        let text = String::from_utf8_lossy(&said.text);
        granted(&text).ok_or(CredentialError::NoToken { issuer: ISSUER })
    }
}

/// What the service says when it refuses.
fn refusal(said: &Said, role: &Role) -> ProviderError {
    let text = String::from_utf8_lossy(&said.text);
    let (code, words) = (element(&text, "Code"), element(&text, "Message"));
    let message = format!(
        "{ISSUER} does not grant the role {}: {} {}",
        role.arn,
        code.unwrap_or("no code"),
        words.unwrap_or_default()
    );
    ProviderError { message, kind: code.map(str::to_owned), ..ProviderError::default() }
}

/// The text of the first element of that name.
fn element<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, tail) = text.split_once(&format!("<{name}>"))?;
    tail.split_once(&format!("</{name}>")).map(|(inner, _)| inner.trim())
}

/// The keys in the answer `text`.
fn granted(text: &str) -> Option<Granted<Keys>> {
    let keys = Keys {
        access_key: element(text, "AccessKeyId")?.into(),
        secret_key: Secret::new(element(text, "SecretAccessKey")?),
        token: element(text, "SessionToken").map(Secret::new),
    };
    Some(Granted { grant: keys, lifetime_ms: until(element(text, "Expiration")?)? })
}

/// How long it is until that time, milliseconds; `None` if it is none.
pub(super) fn until(expiration: &str) -> Option<u64> {
    let at: jiff::Timestamp = expiration.parse().ok()?;
    let at = u64::try_from(at.as_millisecond()).ok()?;
    Some(at.saturating_sub(clock::unix_ms()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_from_an_answer_and_a_code_from_a_refusal() {
        let text = "<AssumeRoleResponse><Credentials><AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
                    <SessionToken>t</SessionToken><Expiration>2099-01-02T03:04:05Z</Expiration></Credentials>";
        let granted = granted(text).unwrap();
        assert_eq!(&*granted.grant.access_key, "ASIA1");
        assert!(granted.grant.token.is_some() && granted.lifetime_ms > 1_000_000);
        assert_eq!(element("<Error><Code> AccessDenied </Code>", "Code"), Some("AccessDenied"));
        assert_eq!(until("2001-01-01T00:00:00Z"), Some(0));
        assert_eq!(until("soon"), None);
    }
}
