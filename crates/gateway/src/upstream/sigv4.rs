//! Signs requests to services of AWS, and to what speaks their APIs, by Signature Version 4.
//!
//! Called by what sends to S3. Always true: what is signed is what leaves: the method, the path, the headers given here and the
//! hash of the body.
//!
//! Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>.

use aws_lc_rs::hmac;
use hale_core::secret::Secret;
use hale_core::trace::hex;
use http::{HeaderName, HeaderValue, Method, header};
use sha2::{Digest, Sha256};

/// What a request is signed with.
pub(crate) struct Signer<'s> {
    /// The id of the key.
    pub(crate) access_key: &'s str,
    /// The key.
    pub(crate) secret_key: &'s Secret,
    /// The token of a session, for keys that are granted for a time.
    pub(crate) token: Option<&'s Secret>,
    /// The region.
    pub(crate) region: &'s str,
    /// The service, such as `s3`.
    pub(crate) service: &'s str,
}

/// A request to sign.
pub(crate) struct Unsigned<'s> {
    /// The method.
    pub(crate) method: &'s Method,
    /// The value of `host`.
    pub(crate) host: &'s str,
    /// The path as it is sent, percent escapes included. Services other than S3 want the escapes escaped once more.
    pub(crate) path: &'s str,
    /// The query, in the order of its names.
    pub(crate) query: &'s str,
    /// The body.
    pub(crate) body: &'s [u8],
}

impl Signer<'_> {
    /// The headers that sign `request` at this time, milliseconds since 1970.
    pub(crate) fn sign(
        &self,
        request: &Unsigned<'_>,
        unix_ms: u64,
    ) -> Vec<(HeaderName, HeaderValue)> {
        let at =
            i64::try_from(unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        let time = at.map(|at| at.strftime("%Y%m%dT%H%M%SZ").to_string()).unwrap_or_default();
        let day = time.get(..8).unwrap_or_default();
        let hash = hex(&Sha256::digest(request.body));
        let mut signed =
            vec![("host", request.host), ("x-amz-content-sha256", &hash), ("x-amz-date", &time)];
        signed.extend(self.token.map(|token| ("x-amz-security-token", token.expose())));
        let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let lines: String =
            signed.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let Unsigned { method, path, query, .. } = request;
        let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{hash}");
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let text =
            format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
        let first = format!("AWS4{}", self.secret_key.expose());
        let mut key = mac(first.as_bytes(), day);
        for part in [self.region, self.service, "aws4_request"] {
            key = mac(key.as_ref(), part);
        }
        let signature = hex(mac(key.as_ref(), &text).as_ref());
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            self.access_key
        );
        let sensitive = |text: &str| {
            let mut value = HeaderValue::from_str(text).ok()?;
            value.set_sensitive(true);
            Some(value)
        };
        let mut headers = Vec::new();
        // `host` is a header of every request already.
        for (name, value) in signed.iter().skip(1) {
            headers.extend(sensitive(value).map(|value| (HeaderName::from_static(name), value)));
        }
        headers.extend(sensitive(&authorization).map(|value| (header::AUTHORIZATION, value)));
        headers
    }
}

fn mac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published example of an object that is put: <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>,
    /// with the headers that this signer signs; computed by the vendor's own library.
    #[test]
    fn a_request_is_signed_as_the_vendors_library_signs_it() {
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        let signer = Signer {
            access_key: "AKIAIOSFODNN7EXAMPLE",
            secret_key: &secret,
            token: None,
            region: "us-east-1",
            service: "s3",
        };
        let request = Unsigned {
            method: &Method::GET,
            host: "examplebucket.s3.amazonaws.com",
            path: "/",
            query: "max-keys=2&prefix=J",
            body: b"",
        };
        // 2013-05-24T00:00:00Z, as in the example "GET Bucket (List Objects)".
        let headers = signer.sign(&request, 1_369_353_600_000);
        let authorization = headers.last().unwrap().1.to_str().unwrap();
        let signature = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7";
        assert!(authorization.ends_with(&format!("Signature={signature}")), "{authorization}");
        let token = Secret::new("session");
        let with = Signer { token: Some(&token), ..signer }.sign(&request, 1_369_353_600_000);
        assert!(with.iter().any(|(name, _)| name == "x-amz-security-token"));
        assert!(with.iter().all(|(_, value)| value.is_sensitive()));
    }
}
