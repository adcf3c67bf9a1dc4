//! Private keys that are encrypted with a password: PKCS #8 with PBES2, PBKDF2 and AES-CBC (RFC 8018), as
//! `openssl genpkey -aes256` and `openssl pkcs8 -topk8` write them.
//!
//! Called by [`super`] when the certificate is loaded. Always true: a key in another form is refused with the
//! command that converts it.

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{
    AES_128, AES_128_KEY_LEN, AES_192, AES_192_KEY_LEN, AES_256, AES_256_KEY_LEN, Algorithm,
    DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::pbkdf2;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

const LABEL: &str = "ENCRYPTED PRIVATE KEY";
/// How an older form marks itself, in the head of its section.
const OLDER: &str = "Proc-Type: 4,ENCRYPTED";
const WRONG: &str = "its password is wrong; correct --ssl_keyfile_password";

const PBES2: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d";
const PBKDF2: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0c";
/// `hmacWithSHA1` and its kin, without the last byte.
const HMAC: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x02";
/// `aes128-CBC` and its kin, without the last byte.
const AES: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x01";

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OBJECT: u8 = 0x06;

/// The encrypted key of a PEM file; `None` if it has none.
pub(super) fn section(pem: &[u8]) -> Option<Result<Vec<u8>, String>> {
    let text = String::from_utf8_lossy(pem);
    if text.contains(OLDER) {
        return Some(Err(unknown()));
    }
    if !text.contains(LABEL) {
        return None;
    }
    // Under the label of a plain key its bytes are decoded, and not looked at.
    let relabelled = text.replace(LABEL, "PRIVATE KEY");
    let decoded = PrivatePkcs8KeyDer::from_pem_slice(relabelled.as_bytes());
    Some(match decoded {
        Ok(key) => Ok(key.secret_pkcs8_der().to_vec()),
        Err(error) => Err(format!("it is no PEM file: {error}")),
    })
}

/// The key that `password` opens.
pub(super) fn decrypt(key: &[u8], password: &str) -> Result<PrivateKeyDer<'static>, String> {
    let scheme = Scheme::read(key).ok_or_else(unknown)?;
    let plain = scheme.open(password).ok_or(WRONG)?;
    Ok(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(plain)))
}

fn unknown() -> String {
    "it is encrypted in a form that is not served; convert it: openssl pkcs8 -topk8 -v2 aes256 -v2prf \
     hmacWithSHA256 -in KEY -out NEW"
        .to_owned()
}

/// How a key is encrypted.
struct Scheme<'k> {
    salt: &'k [u8],
    rounds: NonZeroU32,
    hash: pbkdf2::Algorithm,
    /// The cipher, and the length of its key.
    cipher: (&'static Algorithm, usize),
    iv: [u8; 16],
    data: &'k [u8],
}

impl<'k> Scheme<'k> {
    /// Reads an `EncryptedPrivateKeyInfo` (RFC 5958, section 3).
    fn read(key: &'k [u8]) -> Option<Scheme<'k>> {
        let mut info = Der(Der(key).take(SEQUENCE)?);
        let (mut algorithm, data) = (Der(info.take(SEQUENCE)?), info.take(OCTETS)?);
        if algorithm.take(OBJECT)? != PBES2 {
            return None;
        }
        let mut parameters = Der(algorithm.take(SEQUENCE)?);
        let mut derivation = Der(parameters.take(SEQUENCE)?);
        let mut cipher = Der(parameters.take(SEQUENCE)?);
        if derivation.take(OBJECT)? != PBKDF2 {
            return None;
        }
        let mut derivation = Der(derivation.take(SEQUENCE)?);
        let salt = derivation.take(OCTETS)?;
        let rounds = derivation.take(INTEGER)?.iter().try_fold(0_u32, |number, byte| {
            number.checked_mul(256)?.checked_add(u32::from(*byte))
        })?;
        // The length of the derived key may follow.
        let _length: Option<&[u8]> = derivation.take(INTEGER);
        let hash = match derivation.take(SEQUENCE) {
            Some(hash) => Der(hash).take(OBJECT)?.strip_prefix(HMAC)?,
            None => b"\x07",
        };
        Some(Scheme {
            salt,
            rounds: NonZeroU32::new(rounds)?,
            hash: match hash {
                b"\x07" => pbkdf2::PBKDF2_HMAC_SHA1,
                b"\x09" => pbkdf2::PBKDF2_HMAC_SHA256,
                b"\x0a" => pbkdf2::PBKDF2_HMAC_SHA384,
                b"\x0b" => pbkdf2::PBKDF2_HMAC_SHA512,
                _ => return None,
            },
            cipher: match cipher.take(OBJECT)?.strip_prefix(AES)? {
                b"\x02" => (&AES_128, AES_128_KEY_LEN),
                b"\x16" => (&AES_192, AES_192_KEY_LEN),
                b"\x2a" => (&AES_256, AES_256_KEY_LEN),
                _ => return None,
            },
            iv: cipher.take(OCTETS)?.try_into().ok()?,
            data,
        })
    }

    /// The plain key; `None` if the password is wrong.
    fn open(&self, password: &str) -> Option<Vec<u8>> {
        let (cipher, length) = self.cipher;
        let mut key = vec![0; length];
        pbkdf2::derive(self.hash, self.rounds, self.salt, password.as_bytes(), &mut key);
        let key = UnboundCipherKey::new(cipher, &key).ok()?;
        let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).ok()?;
        let mut data = self.data.to_vec();
        let context = DecryptionContext::Iv128(FixedLength::from(self.iv));
        let plain = key.decrypt(&mut data, context).ok()?.to_vec();
        // A wrong password may leave a padding that is valid by chance.
        let is_key = Der(&plain).take(SEQUENCE).is_some();
        is_key.then_some(plain)
    }
}

/// The elements of a DER text, one after the other.
struct Der<'d>(&'d [u8]);

impl<'d> Der<'d> {
    /// The content of the next element, if it has that tag.
    fn take(&mut self, tag: u8) -> Option<&'d [u8]> {
        let (&first, tail) = self.0.split_first()?;
        let (&length, tail) = tail.split_first()?;
        let (length, tail) = match length {
            0..=0x7f => (usize::from(length), tail),
            // 0x80 is a length that only BER has.
            0x81..=0x84 => {
                let (digits, tail) = tail.split_at_checked(usize::from(length & 0x7f))?;
                (digits.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)), tail)
            }
            _ => return None,
        };
        let (content, tail) = tail.split_at_checked(length)?;
        if first != tag {
            return None;
        }
        self.0 = tail;
        Some(content)
    }
}
