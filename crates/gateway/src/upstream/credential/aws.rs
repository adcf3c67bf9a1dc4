//! Signs requests to Amazon Bedrock, where a deployment has keys in place of a bearer key.
//!
//! Called by [`super::Credential`]. Always true: what is signed is the body that leaves; few headers are signed, so that a proxy on
//! the way may add its own.

use hale_core::aws::{Aws, Keys};
use http::header;

use crate::clock;
use crate::upstream::request::UpstreamRequest;
use crate::upstream::sigv4::{Service, Signer, Unsigned, hash_of};

/// The keys of a deployment, and the region that it is called in.
pub(crate) struct AwsKeys {
    region: Box<str>,
    keys: Keys,
}

impl AwsKeys {
    /// The credential of a deployment with these settings; `None` if it has a bearer key.
    pub(super) fn of(aws: &Aws) -> Option<AwsKeys> {
        let keys = aws.keys.clone()?;
        Some(AwsKeys { region: aws.region.clone(), keys })
    }

    /// Signs the finished `request`.
    pub(super) fn authorize(&self, request: &mut UpstreamRequest<'_>) {
        let template = request.headers.map();
        let text = |name: header::HeaderName| {
            let own = request.more.iter().find(|(own, _)| *own == name).map(|(_, value)| value);
            own.or_else(|| template.get(name)).and_then(|value| value.to_str().ok())
        };
        let content_type = text(header::CONTENT_TYPE).map(|value| ("content-type", value));
        let host = text(header::HOST).unwrap_or_default();
        let signer = Signer {
            access_key: &self.keys.access_key,
            secret_key: &self.keys.secret_key,
            token: self.keys.token.as_ref(),
            region: &self.region,
            service: Service::Bedrock,
        };
        let unsigned = Unsigned {
            method: request.method,
            host,
            path: request.path.path(),
            query: request.path.query().unwrap_or_default(),
            headers: content_type.as_slice(),
            hash: hash_of(request.body.pieces().map(|piece| &piece[..])),
        };
        let signed = signer.sign(&unsigned, clock::unix_ms());
        for (name, value) in signed {
            request.put(name, value);
        }
    }
}
