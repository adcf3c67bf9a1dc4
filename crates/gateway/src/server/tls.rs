//! TLS to clients: the certificate and its key, and the handshake.
//!
//! Loaded at the start, looked at again with the files of the config, used for each connection. Always true: with
//! a certificate nothing is served in plain text; a pair of files that cannot be used replaces none that can.

mod encrypted_key;

use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use arc_swap::ArcSwap;
use hale_core::provider::WireFormat;
use hale_core::secret::Secret;
use http::StatusCode;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::files;
use crate::http::connection::{ClientConn, Command};
use crate::http::refusal::Refusal;

/// The first byte of a client's handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 0x16;

/// The files as the command line names them.
#[derive(Clone, Debug)]
pub(crate) struct TlsFiles {
    /// The certificate in PEM, with those that lead to its root behind it.
    pub(crate) certificate: String,
    /// Its private key in PEM.
    pub(crate) key: String,
    /// What the key is encrypted with.
    pub(crate) password: Option<Secret>,
}

/// The contents of both files.
type Contents = (Vec<u8>, Vec<u8>);

/// What connections are secured with.
pub(crate) struct ClientTls {
    files: TlsFiles,
    config: ArcSwap<ServerConfig>,
    /// What the files held when they were last read.
    seen: Mutex<Contents>,
}

impl ClientTls {
    /// Reads the files.
    ///
    /// # Errors
    /// What is wrong with which file, and the fix.
    pub(crate) fn load(files: TlsFiles) -> Result<ClientTls, String> {
        let contents = files.read()?;
        let config = files.config(&contents)?;
        Ok(ClientTls { files, config: ArcSwap::new(config), seen: Mutex::new(contents) })
    }

    /// Uses the files for new connections if they have changed. A pair that cannot be used is told once.
    pub(crate) fn reload_if_changed(&self) {
        let contents = match self.files.read() {
            Ok(contents) => contents,
            // It may be about to be replaced.
            Err(problem) => {
                tracing::debug!("{problem}");
                return;
            }
        };
        let mut seen = self.seen.lock();
        if *seen == contents {
            return;
        }
        match self.files.config(&contents) {
            Ok(config) => {
                self.config.store(config);
                tracing::info!(file = self.files.certificate, "the certificate was read again");
            }
            Err(problem) => tracing::error!("{problem}; the certificate in use stays"),
        }
        *seen = contents;
    }
}

impl TlsFiles {
    fn read(&self) -> Result<Contents, String> {
        let read = |path: &str| {
            files::read_regular(Path::new(path))
                .map_err(|error| format!("{path} cannot be read: {error}"))
        };
        Ok((read(&self.certificate)?, read(&self.key)?))
    }

    fn config(&self, (certificate, key): &Contents) -> Result<Arc<ServerConfig>, String> {
        let name = &self.certificate;
        let chain: Result<Vec<CertificateDer<'static>>, pem::Error> =
            CertificateDer::pem_slice_iter(certificate).collect();
        let chain = chain.map_err(|error| format!("{name} is no PEM file: {error}"))?;
        if chain.is_empty() {
            let fix =
                "name the PEM file of the certificate, with its chain, by --ssl_certfile_path";
            return Err(format!("{name} has no certificate; {fix}"));
        }
        let key = self.private_key(key)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| format!("{name} and {} do not make a pair: {error}", self.key))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn private_key(&self, content: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
        let name = &self.key;
        if let Some(encrypted) = encrypted_key::section(content) {
            let Some(password) = &self.password else {
                return Err(format!(
                    "{name} is encrypted; give its password by --ssl_keyfile_password"
                ));
            };
            let key = encrypted.and_then(|key| encrypted_key::decrypt(&key, password.expose()));
            return key.map_err(|problem| format!("{name}: {problem}"));
        }
        PrivateKeyDer::from_pem_slice(content).map_err(|error| match error {
            pem::Error::NoItemsFound => format!(
                "{name} has no private key; name the PEM file of the certificate's key by --ssl_keyfile_path"
            ),
            error => format!("{name} is no PEM file: {error}"),
        })
    }
}

/// The session of a client that has just connected; `None` if it speaks no TLS, fails, or is to go. The worker's
/// sweep bounds it as it bounds a head.
pub(super) async fn handshake(
    tls: &ClientTls,
    mut stream: TcpStream,
    state: &ClientConn,
) -> Option<Box<TlsStream<TcpStream>>> {
    state.received();
    let mut first = [0];
    let peeked = unless_closed(state, stream.peek(&mut first)).await?;
    if peeked.is_ok_and(|count| count > 0) && first != [HANDSHAKE] {
        let _gone: Option<io::Result<()>> = unless_closed(state, refuse_plain(&mut stream)).await;
        return None;
    }
    let accepting = TlsAcceptor::from(tls.config.load_full()).accept(stream);
    match unless_closed(state, accepting).await? {
        Ok(session) => {
            state.idle();
            Some(Box::new(session))
        }
        Err(error) => {
            tracing::debug!(%error, "a client's TLS handshake failed");
            None
        }
    }
}

/// Drives `work` until the connection is to be closed.
async fn unless_closed<T>(state: &ClientConn, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    std::future::poll_fn(|cx| {
        state.remember(cx);
        match state.command() {
            Command::Close => Poll::Ready(None),
            Command::Finish | Command::Go => work.as_mut().poll(cx).map(Some),
        }
    })
    .await
}

/// Answers a request in plain text.
async fn refuse_plain(stream: &mut TcpStream) -> io::Result<()> {
    let message = "this port speaks TLS: use https:// in the address of the gateway".to_owned();
    let refusal = Refusal::new(StatusCode::BAD_REQUEST, "tls_required", message);
    let body = refusal.reply.body(WireFormat::OpenAi);
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), &body].concat()).await?;
    stream.shutdown().await?;
    // A connection that is closed with bytes unread is reset, and the answer may be lost.
    let mut unread = [0; 1024];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests;
