//! Texts that a client keeps for the gateway and cannot read: sealed with a key that is derived from the master key.
//!
//! Called by the formats that give reasoning to clients. Always true: a text opens only with the key and for the use that
//! sealed it; equal texts have equal seals; the gateway stores nothing.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::id::IdKey;

/// Longest sealed text, in bytes as the client sees it.
pub(crate) const SEALED_MAX: usize = 1 << 20;

/// What a text is sealed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// The model's reasoning.
    Reasoning,
    /// A summary of a conversation.
    Summary,
}

impl Use {
    /// What a sealed text begins with.
    pub(crate) const fn prefix(self) -> &'static str {
        match self {
            Use::Reasoning => "hs1.",
            Use::Summary => "hc1.",
        }
    }
}

impl IdKey {
    /// `text`, sealed; `None` if it is too long.
    pub(crate) fn seal_text(&self, for_use: Use, text: &str) -> Option<String> {
        let aad = for_use.prefix().as_bytes();
        // A nonce that is a hash of what it seals, with the key, never belongs to two texts.
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(
            &self.derived_from(&[b"hale seal nonce 1\0", aad, text.as_bytes()])[..NONCE_LEN],
        );
        let mut sealed = Vec::with_capacity(NONCE_LEN + text.len() + 16);
        sealed.extend_from_slice(text.as_bytes());
        let key = self.sealing_key()?;
        key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(aad),
            &mut sealed,
        )
        .ok()?;
        sealed.splice(..0, nonce);
        let written = format!("{}{}", for_use.prefix(), URL_SAFE_NO_PAD.encode(sealed));
        (written.len() <= SEALED_MAX).then_some(written)
    }

    /// The text that was sealed so; `None` if it was not, or for another use.
    pub(crate) fn open_text(&self, for_use: Use, sealed: &str) -> Option<String> {
        let encoded = sealed.strip_prefix(for_use.prefix())?;
        if sealed.len() > SEALED_MAX {
            return None;
        }
        let mut whole = URL_SAFE_NO_PAD.decode(encoded).ok()?;
        let (nonce, content) = whole.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let aad = Aad::from(for_use.prefix().as_bytes());
        let text = self.sealing_key()?.open_in_place(nonce, aad, content).ok()?;
        String::from_utf8(text.to_vec()).ok()
    }

    fn sealing_key(&self) -> Option<LessSafeKey> {
        let key =
            UnboundKey::new(&AES_256_GCM, &self.derived_from(&[b"hale seal key 1\0"])).ok()?;
        Some(LessSafeKey::new(key))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_opens_only_with_its_key_and_for_its_use() {
        let key = IdKey::new(b"secret");
        let sealed = key.seal_text(Use::Reasoning, "let me see").unwrap();
        assert_eq!(key.open_text(Use::Reasoning, &sealed).as_deref(), Some("let me see"));
        assert_eq!(key.seal_text(Use::Reasoning, "let me see").unwrap(), sealed);
        assert_ne!(key.seal_text(Use::Summary, "let me see").unwrap()[4..], sealed[4..]);
        assert_eq!(key.open_text(Use::Summary, &format!("hc1.{}", &sealed[4..])), None);
        assert_eq!(IdKey::new(b"other").open_text(Use::Reasoning, &sealed), None);
        assert_eq!(key.seal_text(Use::Reasoning, &"x".repeat(SEALED_MAX)), None);
        for foreign in ["", "hs1.", "hs1.AAAA", "hs1.!", "gAAAAABo", &sealed[..sealed.len() - 1]] {
            assert_eq!(key.open_text(Use::Reasoning, foreign), None, "{foreign}");
        }
    }

    proptest! {
        #[test]
        fn a_changed_seal_does_not_open(at in 4_usize..40, with in "[A-Za-z0-9_-]") {
            let key = IdKey::new(b"secret");
            let sealed = key.seal_text(Use::Reasoning, "what was thought before").unwrap();
            let mut changed = sealed.clone();
            changed.replace_range(at..=at, &with);
            let opens = key.open_text(Use::Reasoning, &changed).is_some();
            prop_assert_eq!(opens, changed == sealed);
        }
    }
}
