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

use hale_core::aws::{Aws, Chain, Keys, Source};
use hale_core::secret::Secret;
use hale_core::settings::KeptConnections;
use http::header;

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
        let signed = signer(keys, &self.region, Service::Bedrock).sign(&unsigned, clock::unix_ms());
        for (name, value) in signed {
            request.put(name, value);
        }
    }
}
