//! Passwords of users, as the reference keeps them.
//!
//! Asked when a user signs in to the dashboard, and when a password is set. Always true: what is kept is `scrypt:` and a derivation, from
//! which the password cannot be read; the older form is taken, and says that it should be replaced; a text of another form is no
//! password at all.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use scrypt::Params;
use sha2::{Digest, Sha256};

/// How what is kept begins.
const MARK: &str = "scrypt:";
/// Bytes of the salt, and of what is derived.
const SALT: usize = 16;
const DERIVED: usize = 32;
/// The costs of the derivation: 2^14 rounds, blocks of 8, one lane: 16 MiB.
const LOG_N: u8 = 14;
const R: u32 = 8;
const P: u32 = 1;
/// The shortest and the longest password, bytes.
pub const SHORTEST: usize = 8;
/// See [`SHORTEST`].
pub const LONGEST: usize = 1_024;

/// What becomes of a password that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It is the one.
    Right,
    /// It is the one, and is kept in the older form.
    RightAndOld,
    /// It is not.
    Wrong,
}

/// What is kept of a password. It takes tens of milliseconds and 16 MiB.
#[must_use]
pub fn kept(password: &str, salt: [u8; SALT]) -> String {
    let derived = derived(password, &salt);
    format!("{MARK}{}", STANDARD.encode([&salt[..], &derived].concat()))
}

/// Whether a password is the one of which `kept` is kept. It takes as long if nothing is kept.
#[must_use]
pub fn check(password: &str, kept: Option<&str>) -> Shown {
    let kept = kept.unwrap_or_default();
    let whole = kept.strip_prefix(MARK).and_then(|text| STANDARD.decode(text).ok());
    let split = whole.as_deref().and_then(|whole| whole.split_at_checked(SALT));
    let (salt, expected) = split.filter(|(_, tail)| tail.len() == DERIVED).unwrap_or_default();
    let is_it = are_equal(&derived(password, salt), expected);
    let is_old = is_sha256(kept)
        && are_equal(hex(&Sha256::digest(password.as_bytes())).as_bytes(), kept.as_bytes());
    match (is_it, is_old) {
        _ if password.is_empty() || password.len() > LONGEST => Shown::Wrong,
        (true, _) => Shown::Right,
        (false, true) => Shown::RightAndOld,
        (false, false) => Shown::Wrong,
    }
}

fn derived(password: &str, salt: &[u8]) -> [u8; DERIVED] {
    let mut derived = [0; DERIVED];
    let password = password.get(..LONGEST).unwrap_or(password);
    // The costs are constants that the function takes.
    let done = Params::new(LOG_N, R, P)
        .ok()
        .and_then(|params| scrypt::scrypt(password.as_bytes(), salt, &params, &mut derived).ok());
    debug_assert!(done.is_some(), "the costs are valid");
    derived
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Compares without telling by its time where the first difference is.
fn are_equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the reference's own code, for the salt 00 01 .. 0f.
    const VECTOR: &str = "scrypt:AAECAwQFBgcICQoLDA0ODyWzdoQDZvTTsOIeQUR2Z2480Oia9EMDVqI0zgtloCG1";

    #[test]
    fn what_is_kept_is_what_the_reference_keeps() {
        let salt = std::array::from_fn(|at| u8::try_from(at).unwrap());
        assert_eq!(kept("correct horse", salt), VECTOR);
        assert_eq!(check("correct horse", Some(VECTOR)), Shown::Right);
    }

    #[test]
    fn the_older_form_is_taken_and_no_other_text_is_a_password() {
        let old = hex(&Sha256::digest(b"correct horse"));
        assert_eq!(check("correct horse", Some(&old)), Shown::RightAndOld);
        assert_eq!(check("correct horsf", Some(&old)), Shown::Wrong);
        // What is kept is no password itself, and nothing is kept in clear.
        for kept in [
            None,
            Some(""),
            Some("correct horse"),
            Some("scrypt:"),
            Some("scrypt:AAAA"),
            Some("scrypt:!"),
        ] {
            assert_eq!(check("correct horse", kept), Shown::Wrong, "{kept:?}");
        }
        assert_eq!(check(VECTOR, Some(VECTOR)), Shown::Wrong);
        assert_eq!(check(&old, Some(&old)), Shown::Wrong);
        for wrong in ["", "correct horse ", "Correct horse", "correct hors"] {
            assert_eq!(check(wrong, Some(VECTOR)), Shown::Wrong, "{wrong}");
        }
        assert_eq!(check(&"x".repeat(LONGEST + 1), Some(VECTOR)), Shown::Wrong);
    }
}
