//! Secrets in rows, encrypted as LiteLLM encrypts them.
//!
//! Used where rows are read, and by the admin API that writes them. Always true: each form that LiteLLM writes is read; what is written
//! can be read by LiteLLM; a text that looks encrypted and does not open is never taken for a secret.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use hale_core::secret::Secret;
use poly1305::Poly1305;
use poly1305::universal_hash::KeyInit;
use salsa20::XSalsa20;
use salsa20::cipher::{KeyIvInit, StreamCipher};
use sha2::{Digest, Sha256};

/// What a text of the newer form begins with.
const GCM: &str = "v2:gcm:";
/// Bytes before and behind what is encrypted in the older form.
const BOX_NONCE: usize = 24;
const TAG: usize = 16;
/// A shorter text is none of the older form.
const BOX_MIN: usize = 56;

/// The key that encrypts secrets in the store.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Salt([u8; 32]);

/// A text of a row.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// What was encrypted, or was not.
    Clear(String),
    /// It is encrypted, and not with this key.
    Undecryptable,
}

impl Salt {
    /// The key that is made of `LITELLM_SALT_KEY`, or of the master key.
    pub(crate) fn of(secret: &Secret) -> Salt {
        Salt(Sha256::digest(secret.expose().as_bytes()).into())
    }

    /// A text, encrypted.
    pub(crate) fn seal(&self, text: &str) -> String {
        let mut nonce = [0; BOX_NONCE];
        aws_lc_rs::rand::fill(&mut nonce).expect("the system's source of randomness does not fail");
        self.seal_with(nonce, text)
    }

    fn seal_with(&self, nonce: [u8; BOX_NONCE], text: &str) -> String {
        let mut body = text.as_bytes().to_vec();
        let (mut cipher, code_key) = self.cipher(nonce);
        cipher.apply_keystream(&mut body);
        let mut sealed = nonce.to_vec();
        sealed.extend_from_slice(&code(&code_key, &body));
        sealed.append(&mut body);
        URL_SAFE.encode(sealed)
    }

    /// A text of a row, as it was before it was encrypted.
    pub(crate) fn open(&self, text: &str) -> Opened {
        if let Some(sealed) = text.strip_prefix(GCM) {
            return self.open_gcm(sealed).map_or(Opened::Undecryptable, Opened::Clear);
        }
        if let Some(clear) = decoded(text).and_then(|sealed| self.open_box(&sealed)) {
            return Opened::Clear(clear);
        }
        match is_sealed(text) {
            true => Opened::Undecryptable,
            false => Opened::Clear(text.to_owned()),
        }
    }

    fn open_box(&self, sealed: &[u8]) -> Option<String> {
        let (nonce, tagged) = sealed.split_first_chunk::<BOX_NONCE>()?;
        let (tag, body) = tagged.split_first_chunk::<TAG>()?;
        let (mut cipher, code_key) = self.cipher(*nonce);
        verify_slices_are_equal(&code(&code_key, body), tag).ok()?;
        let mut body = body.to_vec();
        cipher.apply_keystream(&mut body);
        String::from_utf8(body).ok()
    }

    fn open_gcm(&self, sealed: &str) -> Option<String> {
        let bytes = decoded(sealed)?;
        let (nonce, tagged) = bytes.split_first_chunk::<NONCE_LEN>()?;
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &self.0).ok()?);
        let mut body = tagged.to_vec();
        let clear =
            key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::empty(), &mut body);
        String::from_utf8(clear.ok()?.to_vec()).ok()
    }

    /// The stream that encrypts, behind its first 32 bytes, which are the key of the code.
    fn cipher(&self, nonce: [u8; BOX_NONCE]) -> (XSalsa20, [u8; 32]) {
        let mut cipher = XSalsa20::new(&self.0.into(), &nonce.into());
        let mut code_key = [0; 32];
        cipher.apply_keystream(&mut code_key);
        (cipher, code_key)
    }
}

fn code(key: &[u8; 32], body: &[u8]) -> [u8; TAG] {
    Poly1305::new(&(*key).into()).compute_unpadded(body).into()
}

/// The bytes of a text in either alphabet.
fn decoded(text: &str) -> Option<Vec<u8>> {
    URL_SAFE.decode(text).or_else(|_| STANDARD.decode(text)).ok()
}

/// Whether a text can only be an encrypted one. Keys of providers begin with a form of their own.
fn is_sealed(text: &str) -> bool {
    text.len() >= BOX_MIN && !text.starts_with("sk-") && decoded(text).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: &str = "sk-hale-salt-1234567890";
    const SEALED: &str =
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXqQCYso2bH6KR988EfbhZJoHc8iTNGo5Wy5Yvo7jXgD5Egg==";

    fn salt() -> Salt {
        Salt::of(&Secret::new(SALT))
    }

    fn clear(text: &str) -> Opened {
        Opened::Clear(text.to_owned())
    }

    // Vectors that LiteLLM's own function made.
    #[test]
    fn the_vectors_of_the_reference_open_and_are_made() {
        let hex: String = salt().0.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "a9236cafb5b84c0c9b49a8df993c8d168318992736d1c4f4157e0cda587a8e9f");
        let nonce = std::array::from_fn(|at| u8::try_from(at).unwrap());
        assert_eq!(salt().seal_with(nonce, "sk-upstream-secret"), SEALED);
        let reference = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX9YcInX9mRX9WENgLVQD5Fp3E8TTTH5NWwZltwZv3rQ1oqcQtEW7EVEY=";
        let gcm = "v2:gcm:AAECAwQFBgcICQoLDiswZ7FFLbYuF7KeC1ynXr0GPgDjiOhmrXSk2m4hycXHhw==";
        assert_eq!(salt().open(SEALED), clear("sk-upstream-secret"));
        assert_eq!(salt().open(reference), clear("os.environ/OPENAI_API_KEY"));
        assert_eq!(salt().open(gcm), clear("sk-upstream-secret"));
    }

    #[test]
    fn the_standard_alphabet_is_read_too() {
        for _ in 0..50 {
            let sealed = salt().seal("a text with many characters, so that both alphabets differ");
            let standard = sealed.replace('-', "+").replace('_', "/");
            assert_eq!(salt().open(&standard), salt().open(&sealed));
            assert!(
                matches!(salt().open(&sealed), Opened::Clear(text) if text.starts_with("a text"))
            );
        }
    }

    #[test]
    fn what_does_not_open_is_no_secret() {
        let other = Salt::of(&Secret::new("another"));
        assert_eq!(other.open(SEALED), Opened::Undecryptable);
        let flipped = SEALED.replacen('q', "r", 1);
        assert_eq!(salt().open(&flipped), Opened::Undecryptable);
        assert_eq!(salt().open("v2:gcm:AAEC"), Opened::Undecryptable);
        assert_eq!(salt().open("v2:gcm:no base64"), Opened::Undecryptable);
    }

    #[test]
    fn clear_texts_stay_as_they_are() {
        let long = format!("sk-proj-{}", "Ab1_".repeat(39));
        for text in
            ["", "openai/gpt-4o", "https://h.example/v1?x=1", "os.environ/KEY", &long, "2024-10-21"]
        {
            assert_eq!(salt().open(text), clear(text), "{text}");
        }
        assert_eq!(salt().open(&salt().seal("")), clear(""));
    }
}
