//! TLS to upstreams: one client config for the process, and failures in plain words.
//!
//! Called by [`super::connect`]. Always true: certificates are verified against the system's roots
//! (`SSL_CERT_FILE` and `SSL_CERT_DIR` hold), or against Mozilla's bundled list if the system has none.

use std::io;
use std::sync::{Arc, LazyLock};

use hale_core::health::Obstacle;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::address::Upstream;
use super::error::SendError;

static ROOTS: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| Arc::new(load_roots()));
static CONFIG: LazyLock<Result<Arc<ClientConfig>, String>> = LazyLock::new(build);

/// Loads the roots before the first request.
pub(crate) fn warm_up() {
    LazyLock::force(&CONFIG);
}

/// A TLS session over `stream`.
///
/// # Errors
/// Why the handshake failed.
pub(crate) async fn handshake(
    upstream: &Upstream,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, SendError> {
    let failed = |reason| SendError::Tls { reason, obstacle: Obstacle::Handshake };
    let config = CONFIG.as_ref().map_err(|reason| failed(reason.clone()))?;
    let name = ServerName::try_from(upstream.host.clone())
        .map_err(|_| failed(format!("{} is no name for a certificate", upstream.host)))?;
    let session = TlsConnector::from(config.clone()).connect(name, stream).await;
    session.map_err(|error| explain(&error))
}

/// The library's reason, and the obstacle that it stands for.
pub(super) fn explain(error: &io::Error) -> SendError {
    use rustls::CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
        NotValidYetContext, UnknownIssuer,
    };
    use rustls::Error::{InvalidCertificate, InvalidMessage};
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    let obstacle = match inner {
        Some(InvalidCertificate(UnknownIssuer)) => Obstacle::Untrusted,
        Some(InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => {
            Obstacle::OtherName
        }
        Some(InvalidCertificate(
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. },
        )) => Obstacle::NotValidNow,
        // The bytes are no TLS message at all.
        Some(InvalidMessage(_)) => Obstacle::NotTls,
        _ => Obstacle::Handshake,
    };
    SendError::Tls { reason: error.to_string(), obstacle }
}

/// The roots that every connection is verified against.
pub(crate) fn roots() -> Arc<RootCertStore> {
    ROOTS.clone()
}

fn load_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, ignored) = roots.add_parsable_certificates(found.certs);
    if ignored > 0 {
        tracing::debug!(ignored, "root certificates that could not be read");
    }
    if added == 0 {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

fn build() -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots())
        .with_no_client_auth();
    Ok(Arc::new(config))
}
