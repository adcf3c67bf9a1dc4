//! What a service account signs to get a token: a JWT with RS256.
//!
//! Called by [`super::Google`] for each token. Always true: it can be used for an hour.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hale_core::google::ServiceAccount;
use hale_core::secret::Secret;
use serde_json::json;

use super::answer::ISSUER;
use crate::upstream::credential::error::CredentialError;

/// How long it can be used, seconds.
const LIFETIME_S: u64 = 3600;

/// The signed assertion of `account` at that time, seconds since 1970.
///
/// # Errors
/// If the key cannot be used.
pub(super) fn signed(
    account: &ServiceAccount,
    scope: &str,
    now_s: u64,
) -> Result<Secret, CredentialError> {
    let mut header = json!({"alg": "RS256", "typ": "JWT"});
    if let (Some(id), Some(header)) = (&account.key_id, header.as_object_mut()) {
        header.insert("kid".to_owned(), json!(id));
    }
    let claims = json!({
        "iss": account.email,
        "scope": scope,
        "aud": account.token_uri,
        "iat": now_s,
        "exp": now_s.saturating_add(LIFETIME_S),
    });
    let part = |text: String| URL_SAFE_NO_PAD.encode(text);
    let text = format!("{}.{}", part(header.to_string()), part(claims.to_string()));
    let key = key(account.key.expose()).ok_or(CredentialError::Unusable {
        issuer: ISSUER,
        problem: "the private_key of the service account is no RSA key in PEM",
    })?;
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).map_err(
        |_| CredentialError::Unusable { issuer: ISSUER, problem: "the private_key cannot sign" },
    )?;
    Ok(Secret::new(&format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))))
}

/// The key in a PEM text, in either of the forms that exist.
fn key(pem: &str) -> Option<RsaKeyPair> {
    // A key that went through a variable of the environment may have its line breaks as two characters.
    let pem = pem.replace("\\n", "\n");
    let (_, tail) = pem.split_once("-----BEGIN ")?;
    let (label, tail) = tail.split_once("-----")?;
    let (body, _) = tail.split_once("-----END ")?;
    let body: String = body.split_whitespace().collect();
    let der = STANDARD.decode(body).ok()?;
    match label {
        "PRIVATE KEY" => RsaKeyPair::from_pkcs8(&der).ok(),
        "RSA PRIVATE KEY" => RsaKeyPair::from_der(&der).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use serde_json::Value;

    use super::*;

    /// A key that was made for these tests.
    const KEY: &str = include_str!("../../../../../../testdata/google/service_account_key.pem");

    fn account(pem: &str) -> ServiceAccount {
        ServiceAccount {
            email: "a@p.iam.gserviceaccount.com".into(),
            key: Secret::new(pem),
            key_id: Some("k1".into()),
            token_uri: "https://oauth2.googleapis.com/token".into(),
            project: None,
        }
    }

    #[test]
    fn an_assertion_has_the_claims_and_the_signature_that_google_checks() {
        for pem in [KEY.to_owned(), KEY.replace('\n', "\\n")] {
            let signed = signed(&account(&pem), "scope-1", 1000).unwrap();
            let parts: Vec<&str> = signed.expose().split('.').collect();
            let read = |part: &str| -> Value {
                serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
            };
            assert_eq!(read(parts[0]), json!({"alg": "RS256", "typ": "JWT", "kid": "k1"}));
            let claims = json!({"iss": "a@p.iam.gserviceaccount.com", "scope": "scope-1",
                "aud": "https://oauth2.googleapis.com/token", "iat": 1000, "exp": 4600});
            assert_eq!(read(parts[1]), claims);
            let public = key(KEY).unwrap().public_key().as_ref().to_vec();
            let text = format!("{}.{}", parts[0], parts[1]);
            let signature = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
            let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public);
            public.verify(text.as_bytes(), &signature).unwrap();
        }
    }

    #[test]
    fn a_key_that_is_none_is_named() {
        for pem in ["", "secret", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
        {
            let error = signed(&account(pem), "s", 1).unwrap_err().to_string();
            assert!(error.contains("private_key"), "{error}");
        }
    }
}
