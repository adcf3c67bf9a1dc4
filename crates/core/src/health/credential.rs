//! The id of a credential: which account at which provider, without the secret.
//!
//! Made by [`crate::config`] for each deployment with a key; names the credential in events. Always
//! true: the same provider, host and key give the same id in every process and after every restart;
//! the key cannot be read from the id.

use std::fmt;

use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

/// Bytes of the hash that are kept: enough to make a collision practically impossible.
const LENGTH: usize = 16;

/// A credential's id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CredentialId([u8; LENGTH]);

impl CredentialId {
    /// The id of `key`, which is sent to `host` of `provider`.
    #[must_use]
    pub fn of(provider: &str, host: &str, key: &str) -> CredentialId {
        let mut hash = Sha256::new();
        hash.update("hale credential 1");
        for part in [provider, host, key] {
            // The length in front keeps parts apart: `a` + `bc` differs from `ab` + `c`.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut id = [0; LENGTH];
        let hash = hash.finalize();
        for (to, from) in id.iter_mut().zip(hash) {
            *to = from;
        }
        CredentialId(id)
    }
}

impl fmt::Display for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CredentialId({self})")
    }
}

impl Serialize for CredentialId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_same_everywhere_and_another_one_for_another_account() {
        let id = CredentialId::of("openai", "api.openai.com", "sk-1");
        assert_eq!(id, CredentialId::of("openai", "api.openai.com", "sk-1"));
        assert_eq!(id.to_string().len(), 2 * LENGTH);
        for other in [
            CredentialId::of("openai", "api.openai.com", "sk-2"),
            CredentialId::of("openai", "elsewhere", "sk-1"),
            CredentialId::of("groq", "api.openai.com", "sk-1"),
            CredentialId::of("openai", "api.openai.coms", "k-1"),
        ] {
            assert_ne!(id, other);
        }
    }

    #[test]
    fn an_id_stays_the_same_over_versions() {
        let id = CredentialId::of("openai", "api.openai.com", "sk-1");
        assert_eq!(id.to_string(), "b91c9a66a665d1a39695d0766e90f74d");
    }
}
