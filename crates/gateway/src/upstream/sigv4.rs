//! Signs requests to services of AWS, and to what speaks their APIs, by Signature Version 4.
//!
//! Called by what sends to S3, and by the credential of Bedrock. Always true: what is signed is what leaves: the method, the
//! path, the headers given here and the hash of the body.
//!
//! Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>.

use aws_lc_rs::{digest, hmac};
use hale_core::aws;
use hale_core::secret::Secret;
use hale_core::trace::hex;
use http::{HeaderName, HeaderValue, Method, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What is escaped once more in the path that is signed, segment by segment.
const SIGNED: AsciiSet =
    NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// A service, which has a rule of its own for paths and for the hash of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Objects: the path is signed as it is sent, and the hash of the body is a header.
    S3,
    /// Models.
    Bedrock,
    /// Keys for a time.
    Sts,
}

impl Service {
    const fn name(self) -> &'static str {
        match self {
            Service::S3 => "s3",
            Service::Bedrock => aws::SERVICE,
            Service::Sts => "sts",
        }
    }
}

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
    /// The service.
    pub(crate) service: Service,
}

/// A request to sign.
pub(crate) struct Unsigned<'s> {
    /// The method.
    pub(crate) method: &'s Method,
    /// The value of `host`.
    pub(crate) host: &'s str,
    /// The path as it is sent, percent escapes included.
    pub(crate) path: &'s str,
    /// The query, in the order of its names.
    pub(crate) query: &'s str,
    /// Further headers to sign: names in small letters, and values.
    pub(crate) headers: &'s [(&'s str, &'s str)],
    /// The hash of the body: see [`hash_of`].
    pub(crate) hash: String,
}

/// The hash of a body in these pieces.
pub(crate) fn hash_of<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    pieces.into_iter().for_each(|piece| hash.update(piece));
    hex(hash.finish().as_ref())
}

/// A value with no spaces around it and one between its words.
fn collapsed(value: &str) -> String {
    value.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
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
        let mut own = vec![("x-amz-date", &*time)];
        if self.service == Service::S3 {
            own.insert(0, ("x-amz-content-sha256", &request.hash));
        }
        own.extend(self.token.map(|token| ("x-amz-security-token", token.expose())));
        let authorization = self.authorization(&canonical(self.service, request, &own), &time);
        let sensitive = |text: &str| {
            let mut value = HeaderValue::from_str(text).ok()?;
            value.set_sensitive(true);
            Some(value)
        };
        let mut headers = Vec::with_capacity(own.len() + 1);
        for (name, value) in &own {
            headers.extend(sensitive(value).map(|value| (HeaderName::from_static(name), value)));
        }
        headers.extend(sensitive(&authorization).map(|value| (header::AUTHORIZATION, value)));
        headers
    }

    fn authorization(&self, canonical: &Canonical, time: &str) -> String {
        let day = time.get(..8).unwrap_or_default();
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service.name());
        let hash = hash_of([canonical.text.as_bytes()]);
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}");
        let first = format!("AWS4{}", self.secret_key.expose());
        let mut key = mac(first.as_bytes(), day);
        for part in [self.region, self.service.name(), "aws4_request"] {
            key = mac(key.as_ref(), part);
        }
        let signature = hex(mac(key.as_ref(), &text).as_ref());
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={}, Signature={signature}",
            self.access_key, canonical.names
        )
    }
}

/// A request in the form that is hashed and signed.
struct Canonical {
    text: String,
    /// The names of the signed headers.
    names: String,
}

fn canonical(service: Service, request: &Unsigned<'_>, own: &[(&str, &str)]) -> Canonical {
    let mut signed: Vec<(&str, &str)> = vec![("host", request.host)];
    signed.extend_from_slice(request.headers);
    signed.extend_from_slice(own);
    signed.sort_unstable_by_key(|(name, _)| *name);
    let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let Unsigned { method, path, query, hash, .. } = request;
    let path = match service {
        Service::S3 => path.to_string(),
        Service::Bedrock | Service::Sts => utf8_percent_encode(path, &SIGNED).to_string(),
    };
    let mut text = format!("{method}\n{path}\n{query}\n");
    for (name, value) in signed {
        text.push_str(name);
        text.push(':');
        text.push_str(&collapsed(value));
        text.push('\n');
    }
    text.push_str(&format!("\n{names}\n{hash}"));
    Canonical { text, names }
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
            service: Service::S3,
        };
        let request = Unsigned {
            method: &Method::GET,
            host: "examplebucket.s3.amazonaws.com",
            path: "/",
            query: "max-keys=2&prefix=J",
            headers: &[],
            hash: hash_of([]),
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

    const BODY: &[u8] =
        br#"{"messages":[{"role":"user","content":[{"text":"Hi"}]}],"inferenceConfig":{"maxTokens":16}}"#;
    /// 2026-01-02T03:04:05Z.
    const TIME: u64 = 1_767_323_045_000;

    /// What the vendor's own library signs for the same request (botocore 1.44.8).
    #[test]
    fn requests_to_bedrock_are_signed_as_the_vendors_library_signs_them() {
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let session = Secret::new("IQoJb3JpZ2luX2VjEXAMPLE");
        let model = "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse";
        let raw = "/model/us.anthropic.claude-sonnet-4-5-20250929-v1:0/converse";
        let arn = "/model/arn%3Aaws%3Abedrock%3Aeu-central-1%3A111122223333%3Aapplication-inference-profile%2Fabc123def456/converse-stream";
        let json = ("content-type", "application/json");
        let accept = ("accept", "application/vnd.amazon.eventstream");
        for (region, path, token, headers, signature) in [
            (
                "us-east-1",
                model,
                None,
                &[json][..],
                "103e8284402402e8c57a0f4cc628a9e1804ad8147303c66203b4f6e4a64a6979",
            ),
            (
                "us-east-1",
                model,
                Some(&session),
                &[json],
                "f2b26704190ad6a7a8b9b6878f18754c2f2cb958416356d350e3dc0b324f9b9a",
            ),
            (
                "us-east-1",
                raw,
                None,
                &[json],
                "5c1a28cc98e71ce64a0fdb53535407accf9484b89f247d32028edf52c0c38ec7",
            ),
            (
                "eu-central-1",
                arn,
                None,
                &[json, accept],
                "0676a1c9efe7d33839d37b4c198583e78ceb61eca9c01554578093916f4ee836",
            ),
        ] {
            let signer = Signer {
                access_key: "AKIDEXAMPLE",
                secret_key: &secret,
                token,
                region,
                service: Service::Bedrock,
            };
            let host = format!("bedrock-runtime.{region}.amazonaws.com");
            // The body may leave in several pieces.
            let hash = hash_of([&BODY[..7], &BODY[7..]]);
            let request =
                Unsigned { method: &Method::POST, host: &host, path, query: "", headers, hash };
            let signed = signer.sign(&request, TIME);
            let authorization = signed.last().unwrap().1.to_str().unwrap();
            assert!(authorization.ends_with(&format!("Signature={signature}")), "{authorization}");
            let names: Vec<&str> = signed.iter().map(|(name, _)| name.as_str()).collect();
            let has_token = names.contains(&"x-amz-security-token");
            assert_eq!(has_token, token.is_some());
            assert!(!names.contains(&"x-amz-content-sha256"));
        }
    }

    #[test]
    fn what_is_signed_is_written_byte_for_byte_as_the_format_says() {
        let request = Unsigned {
            method: &Method::POST,
            host: "bedrock-runtime.us-east-1.amazonaws.com",
            path: "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse",
            query: "",
            headers: &[("content-type", " application/json   x ")],
            hash: hash_of([BODY]),
        };
        let found = canonical(Service::Bedrock, &request, &[("x-amz-date", "20260102T030405Z")]);
        let expected = "POST\n/model/us.anthropic.claude-sonnet-4-5-20250929-v1%253A0/converse\n\n\
            content-type:application/json x\nhost:bedrock-runtime.us-east-1.amazonaws.com\n\
            x-amz-date:20260102T030405Z\n\ncontent-type;host;x-amz-date\n\
            9086f5ed72696dae888c64846e3db151bb80e2483eba722648ee71231780c823";
        assert_eq!(found.text, expected);
    }
}
