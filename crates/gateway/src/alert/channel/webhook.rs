//! Messages for any receiver: JSON, signed if there is a secret.
//!
//! The shape is documented in `docs/alerts.md`. Always true: fields are added and never renamed.

use aws_lc_rs::hmac;
use hale_core::incident::Message;
use hale_core::secret::Secret;
use hale_core::time::rfc3339;
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};

/// The header of the signature.
const SIGNATURE: HeaderName = HeaderName::from_static("x-hale-signature");

pub(super) fn body(message: &Message) -> Value {
    let parts: Vec<Value> = message
        .parts
        .iter()
        .map(|part| json!({"name": part.name, "cause": part.cause, "since": rfc3339(part.since)}))
        .collect();
    let seconds = |ms: u64| json!(std::time::Duration::from_millis(ms).as_secs_f64());
    json!({
        "event": message.event.name(),
        "incident_id": Some(&message.incident_id).filter(|id| !id.is_empty()),
        "kind": message.kind.map(hale_core::incident::Kind::name),
        "severity": message.severity.name(),
        "title": message.title,
        "text": message.text(),
        "since": rfc3339(message.since),
        "since_unix_ms": message.since,
        "ended": message.ended.map(rfc3339),
        "ended_unix_ms": message.ended,
        "duration_s": message.duration_ms().map(seconds),
        "provider": message.provider,
        "cause": message.cause,
        "provider_message": message.words,
        "fix": message.fix,
        "requests": {
            "hurt": message.effect.hurt,
            "moved": message.effect.moved,
            "waiting": message.effect.waited,
            "refused": message.effect.refused,
        },
        "model_groups": message.groups,
        "model_groups_down": message.groups_down,
        "deployments": parts,
        "more_deployments": message.more_parts,
        "link": message.link,
    })
}

/// The header that shows that the body is ours: `sha256=` and the HMAC of the body in hexadecimal digits.
pub(super) fn signature(secret: &Secret, body: &[u8]) -> (HeaderName, HeaderValue) {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    let tag = hmac::sign(&key, body);
    let digits: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let value = HeaderValue::try_from(format!("sha256={digits}"));
    (SIGNATURE, value.expect("hexadecimal digits are a header's value"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_signed_as_others_sign() {
        // openssl dgst -sha256 -hmac key
        let (_, value) =
            signature(&Secret::new("key"), b"The quick brown fox jumps over the lazy dog");
        let expected = "sha256=f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8";
        assert_eq!(value.to_str().unwrap(), expected);
    }
}
