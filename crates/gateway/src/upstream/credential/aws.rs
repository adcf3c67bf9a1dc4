//! Signs requests to Amazon Bedrock, where a deployment has keys of AWS in place of a bearer key.
//!
//! Called by [`super::Credential`]. Always true: what is signed is the body that leaves; few headers are signed, so that a proxy on
//! the way may add its own; keys that are granted for a time are kept by [`super::refreshing`], one grant for all deployments with
//! the same chain.

mod chain;
mod found;
mod metadata;
mod profile;
mod sts;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use hale_core::aws::{Aws, Chain, Keys, Source};
use hale_core::secret::Secret;
use hale_core::settings::KeptConnections;
use http::header::{self, HeaderMap};

use self::chain::ChainIssuer;
use self::found::signer;
use super::error::CredentialError;
use super::refreshing::{Refreshing, Registry, Replaced};
use crate::clock;
use crate::upstream::request::UpstreamRequest;
use crate::upstream::sigv4::{Service, Unsigned, hash_of};

/// The keys of a deployment, and the region that it is called in.
pub(crate) struct AwsKeys {
    region: Box<str>,
    held: Held,
}

/// Where its keys are.
enum Held {
    /// In the config.
    Fixed(Keys),
    /// With what grants them.
    Granted(Arc<Refreshing<ChainIssuer>>),
}

/// A chain, and how connections to what grants keys are used again.
type Key = (Chain, KeptConnections);

/// How far AWS's clock is ahead of this machine's, seconds, as far as it was off enough to matter.
static SKEW_S: AtomicI64 = AtomicI64::new(0);
/// From how much on it is corrected: AWS refuses what differs by five minutes.
const SKEW_MIN_S: i64 = 60;
/// Refusals of a signature that is made at a wrong time, or wrong for another reason.
const TIMED: [&str; 4] = [
    "InvalidSignatureException",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
];

/// The time by AWS's clock, milliseconds since 1970.
fn now_ms() -> u64 {
    clock::unix_ms().saturating_add_signed(SKEW_S.load(Ordering::Relaxed).saturating_mul(1000))
}

/// Whether the refusal of a signature shows that this clock is off, and by how much was not known before.
pub(super) fn learns_the_time(headers: &HeaderMap) -> Replaced {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let class = text("x-amzn-errortype").unwrap_or_default();
    if !TIMED.iter().any(|known| class.starts_with(known)) {
        return Replaced::No;
    }
    let there = text("date").and_then(hale_wire::retry_after::unix_ms);
    let Some(there) = there.and_then(|at| i64::try_from(at / 1000).ok()) else {
        return Replaced::No;
    };
    let here = i64::try_from(clock::unix_ms() / 1000).unwrap_or(i64::MAX);
    let skew = there.saturating_sub(here);
    if skew.saturating_sub(SKEW_S.load(Ordering::Relaxed)).abs() < SKEW_MIN_S {
        return Replaced::No;
    }
    tracing::warn!(
        seconds = skew,
        "the clock of this machine differs from that of AWS: requests are signed by theirs; fix: set the clock"
    );
    SKEW_S.store(skew, Ordering::Relaxed);
    Replaced::Yes
}

static ALL: Registry<Key, ChainIssuer> = Registry::new();

impl AwsKeys {
    /// The credential of a deployment with these settings; `None` if it has a bearer key.
    pub(super) fn of(aws: &Aws, kept: KeptConnections) -> Option<AwsKeys> {
        let held = match aws.source.clone()? {
            Source::Keys(keys) => Held::Fixed(keys),
            Source::Chain(chain) => {
                let make = || ChainIssuer::new((*chain).clone(), kept);
                Held::Granted(ALL.of(((*chain).clone(), kept), make))
            }
        };
        Some(AwsKeys { region: aws.region.clone(), held })
    }

    /// Signs the finished `request`.
    ///
    /// # Errors
    /// Why there are no keys.
    pub(super) async fn authorize(
        &self,
        request: &mut UpstreamRequest<'_>,
    ) -> Result<(), CredentialError> {
        match &self.held {
            Held::Fixed(keys) => self.sign(keys, request),
            Held::Granted(granted) => {
                let keys = granted.grant().await?;
                self.sign(&keys, request);
                request.granted = Some(keys.token.unwrap_or(keys.secret_key));
            }
        }
        Ok(())
    }

    /// An upstream refused the keys that `secret` is part of.
    pub(super) fn refused(&self, secret: &Secret) -> Replaced {
        match &self.held {
            Held::Fixed(_) => Replaced::No,
            Held::Granted(granted) => {
                granted.refused(|keys| keys.token.as_ref().unwrap_or(&keys.secret_key) == secret)
            }
        }
    }

    fn sign(&self, keys: &Keys, request: &mut UpstreamRequest<'_>) {
        let template = request.headers.map();
        let text = |name: header::HeaderName| {
            let own = request.more.iter().find(|(own, _)| *own == name).map(|(_, value)| value);
            own.or_else(|| template.get(name)).and_then(|value| value.to_str().ok())
        };
        let content_type = text(header::CONTENT_TYPE).map(|value| ("content-type", value));
        let host = text(header::HOST).unwrap_or_default();
        let unsigned = Unsigned {
            method: request.method,
            host,
            path: request.path.path(),
            query: request.path.query().unwrap_or_default(),
            headers: content_type.as_slice(),
            hash: hash_of(request.body.pieces().map(|piece| &piece[..])),
        };
        let signed = signer(keys, &self.region, Service::Bedrock).sign(&unsigned, now_ms());
        for (name, value) in signed {
            request.put(name, value);
        }
    }
}
