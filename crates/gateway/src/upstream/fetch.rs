//! Fetches what a client's request names by its address, for a provider that needs the data itself.
//!
//! Used by `proxy::fetching`. Always true: a connection leads only to where the config allows, at each step of a redirect; nothing of
//! the client's request and no credential is sent; what comes is bounded in size and time and counted in the memory for bodies.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hale_core::settings::{FetchFrom, FetchSettings};
use hale_wire::payload::Payload;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use url::Url;

use super::error::SendError;
use super::reach::Reach;
use super::{Answer, Reuse, Upstream, UpstreamRequest, send};
use crate::limits::{Added, Buffered, Collected, Held};

/// Most bytes at an address.
const BYTES_MAX: usize = 20 << 20;
/// Most steps from one address to the next.
const REDIRECTS_MAX: usize = 3;
/// How long one address may take with all its steps.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest address.
const LENGTH_MAX: usize = 8 << 10;

/// What may be fetched, and where it is counted.
#[derive(Clone, Copy)]
pub(crate) struct Fetch<'f> {
    /// Where addresses may be.
    pub(crate) settings: &'f FetchSettings,
    /// The memory for bodies.
    pub(crate) memory: &'f Arc<Buffered>,
    /// How many bytes all bodies may have together.
    pub(crate) limit: usize,
}

/// What is at an address.
pub(crate) struct Found {
    /// The bytes.
    pub(crate) bytes: Bytes,
    /// The type that its server says.
    pub(crate) label: Option<String>,
    /// Its place in the memory for bodies.
    pub(crate) held: Held,
}

/// Why there is nothing at an address that a provider could be given. Messages go on from "it cannot be read: ".
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// It is no address of the web.
    #[error("it is not an address of http or https: {0}")]
    NoAddress(String),
    /// It holds a credential.
    #[error("an address with a user or a password is not fetched; send the data itself in base64")]
    Credential,
    /// It leads to where the config does not allow.
    #[error(
        "{host} is {what}, and only addresses of the public internet are fetched; send the data itself in base64, or \
         set general_settings.fetch_urls"
    )]
    Barred { host: String, what: &'static str },
    /// It leads on and on.
    #[error("it leads on more than {REDIRECTS_MAX} times")]
    Redirects,
    /// No answer, or half of one.
    #[error("{host}: {why}")]
    Unreached { host: String, why: String },
    /// Another answer than the data.
    #[error("{host} answered {status}")]
    Status { host: String, status: StatusCode },
    /// Too much.
    #[error("what is there is larger than {} MiB; send less", BYTES_MAX >> 20)]
    TooLarge,
    /// Too slow.
    #[error("what is there did not come within {} s", PATIENCE.as_secs())]
    Late,
    /// Nothing that a provider reads; what it is.
    #[error("{0}")]
    Useless(String),
    /// The gateway has no memory for it.
    #[error("the gateway's memory for bodies is full (max_buffered_mb)")]
    NoRoom,
}

impl Fetch<'_> {
    /// What is at `address`.
    ///
    /// # Errors
    /// Why there is nothing.
    pub(crate) async fn get(self, address: &str) -> Result<Found, FetchError> {
        let fetched = tokio::time::timeout(PATIENCE, self.followed(address)).await;
        fetched.unwrap_or(Err(FetchError::Late))
    }

    /// The same, without a bound in time.
    async fn followed(self, address: &str) -> Result<Found, FetchError> {
        let mut at = parsed(address, None)?;
        for _ in 0..=REDIRECTS_MAX {
            let mut answer = self.ask(&at).await?;
            let host = || shown_host(&at);
            if answer.status.is_redirection()
                && let Some(next) = answer.headers.get(header::LOCATION)
            {
                let next = next.to_str().map_err(|why| FetchError::NoAddress(why.to_string()))?;
                at = parsed(next, Some(&at))?;
                continue;
            }
            if answer.status != StatusCode::OK {
                return Err(FetchError::Status { host: host(), status: answer.status });
            }
            if answer.headers.contains_key(header::CONTENT_ENCODING) {
                let why = "the answer is compressed in a way that is not known".to_owned();
                return Err(FetchError::Unreached { host: host(), why });
            }
            let (bytes, held) = self.body(&mut answer, &host).await?;
            let label = answer.headers.get(header::CONTENT_TYPE);
            let label = label.and_then(|label| label.to_str().ok()).map(str::to_owned);
            return Ok(Found { bytes, label, held });
        }
        Err(FetchError::Redirects)
    }

    /// The head of the answer of `at`.
    async fn ask(self, at: &Url) -> Result<Answer, FetchError> {
        let host = shown_host(at);
        let upstream = Upstream::parse(&at[..url::Position::BeforePath]).within(self.reach(at));
        let unreached = |why: String| FetchError::Unreached { host: host.clone(), why };
        let path: PathAndQuery =
            at[url::Position::BeforePath..url::Position::AfterQuery]
                .parse()
                .map_err(|why: http::uri::InvalidUri| FetchError::NoAddress(why.to_string()))?;
        let mut headers = HeaderMap::new();
        let authority = HeaderValue::from_str(&upstream.authority);
        headers.insert(header::HOST, authority.map_err(|why| unreached(why.to_string()))?);
        let agent = concat!("hale/", env!("CARGO_PKG_VERSION"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        // A client's addresses fill no pool.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        let request = UpstreamRequest {
            method: &Method::GET,
            path: &path,
            headers: &headers.into(),
            more: Vec::new(),
            body: &Payload::default(),
            reuse: Reuse::Never,
            granted: None,
        };
        send(&upstream, &request).await.map_err(|why| match why {
            SendError::Barred { what, .. } => FetchError::Barred { host: host.clone(), what },
            other => unreached(other.to_string()),
        })
    }

    async fn body(
        self,
        answer: &mut Answer,
        host: &impl Fn() -> String,
    ) -> Result<(Bytes, Held), FetchError> {
        if answer.body.declared().is_some_and(|length| length > BYTES_MAX as u64) {
            return Err(FetchError::TooLarge);
        }
        let mut held = Held::none(self.memory);
        let mut all = Collected::none(BYTES_MAX);
        while let Some(piece) = answer.body.piece().await {
            let piece = piece.map_err(|why| FetchError::Unreached {
                host: host(),
                why: format!("the answer was cut: {why}"),
            })?;
            match all.push(piece, &mut held, self.limit).await {
                Added::Yes => {}
                Added::TooLarge => return Err(FetchError::TooLarge),
                Added::NoRoom => return Err(FetchError::NoRoom),
            }
        }
        Ok((all.whole(), held))
    }

    /// Where a connection to the host of `at` may lead.
    fn reach(self, at: &Url) -> Reach {
        let host = at.host_str().unwrap_or_default();
        let with_port = || format!("{host}:{}", at.port_or_known_default().unwrap_or_default());
        let is_named = |named: &str| *named == *host || *named == *with_port();
        match self.settings.from {
            FetchFrom::Anywhere => Reach::Anywhere,
            FetchFrom::Public | FetchFrom::Nowhere
                if self.settings.hosts.iter().any(|named| is_named(named)) =>
            {
                Reach::Anywhere
            }
            FetchFrom::Public | FetchFrom::Nowhere => Reach::Public,
        }
    }
}

/// `address`, which may be relative to `base`.
fn parsed(address: &str, base: Option<&Url>) -> Result<Url, FetchError> {
    let no_address = |why: &str| FetchError::NoAddress(why.to_owned());
    if address.len() > LENGTH_MAX {
        return Err(no_address("it is longer than 8 KiB"));
    }
    let at = Url::options().base_url(base).parse(address);
    let at = at.map_err(|why| no_address(&why.to_string()))?;
    if !matches!(at.scheme(), "http" | "https") {
        return Err(no_address("its scheme is another one"));
    }
    if !at.username().is_empty() || at.password().is_some() {
        return Err(FetchError::Credential);
    }
    Ok(at)
}

/// The host of an address, as messages name it.
fn shown_host(at: &Url) -> String {
    hale_wire::errors::clean(at.host_str().unwrap_or_default(), 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_browsers_read_them() {
        let of = |text: &str| parsed(text, None).map(String::from).map_err(|why| why.to_string());
        for (text, expected) in [
            ("https://x.example/a b?c#d", "https://x.example/a%20b?c#d"),
            ("HTTP://X.Example", "http://x.example/"),
            ("https://b\u{fc}cher.example/", "https://xn--bcher-kva.example/"),
            // Other forms of loopback are what they are.
            ("http://0x7f000001/", "http://127.0.0.1/"),
            ("http://2130706433/", "http://127.0.0.1/"),
            ("http://127.1/", "http://127.0.0.1/"),
            ("http://[::ffff:169.254.169.254]/", "http://[::ffff:a9fe:a9fe]/"),
        ] {
            assert_eq!(of(text).as_deref(), Ok(expected), "{text}");
        }
        for (text, why) in [
            ("file:///etc/passwd", "its scheme is another one"),
            ("gopher://x.example/", "its scheme is another one"),
            ("/etc/passwd", "relative URL"),
            ("https://", "empty host"),
            ("https://me:pw@x.example/", "a user or a password"),
        ] {
            assert!(of(text).unwrap_err().contains(why), "{text}: {:?}", of(text));
        }
        let base = parsed("https://x.example/a/b?c", None).unwrap();
        for (next, expected) in [
            ("/d", "https://x.example/d"),
            ("e", "https://x.example/a/e"),
            ("//127.0.0.1/", "https://127.0.0.1/"),
        ] {
            assert_eq!(parsed(next, Some(&base)).unwrap().as_str(), expected);
        }
        assert!(parsed("file:///etc/passwd", Some(&base)).is_err());
        assert!(parsed(&format!("https://x/{}", "a".repeat(LENGTH_MAX)), None).is_err());
    }

    #[test]
    fn a_host_that_is_named_may_be_anywhere() {
        let memory = Arc::new(Buffered::default());
        let reach = |from, at: &str| {
            let hosts = vec!["files.corp".into(), "127.0.0.1:8080".into()];
            let settings = FetchSettings { from, hosts };
            let fetch = Fetch { settings: &settings, memory: &memory, limit: 1 };
            fetch.reach(&parsed(at, None).unwrap())
        };
        for (at, expected) in [
            ("https://files.corp/x", Reach::Anywhere),
            ("http://FILES.corp:81/x", Reach::Anywhere),
            ("http://127.0.0.1:8080/", Reach::Anywhere),
            ("http://127.0.0.1:8081/", Reach::Public),
            ("http://evil.files.corp/", Reach::Public),
        ] {
            assert_eq!(reach(FetchFrom::Public, at), expected, "{at}");
            assert_eq!(reach(FetchFrom::Anywhere, at), Reach::Anywhere, "{at}");
        }
    }
}
