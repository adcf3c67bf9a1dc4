//! How to serve, as the command line says it.
//!
//! Filled in by the command line, read at start and at each reload. Always true: the command line wins over the
//! config.

use clap::Args;
use hale_core::secret::Secret;
use hale_core::snapshot::Snapshot;

use crate::limits;
use crate::logging::Detail;
use crate::server::TlsFiles;

/// How to serve.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ServeOptions {
    /// The config file
    #[arg(short, long, env = "CONFIG_FILE_PATH", value_name = "FILE")]
    pub(crate) config: Option<String>,
    /// The address to listen on [default: 0.0.0.0 with a strong master key, else 127.0.0.1]
    #[arg(long, env = "HOST")]
    pub(crate) host: Option<String>,
    /// The port to listen on; 0 takes a free one
    #[arg(long, env = "PORT", default_value_t = 4000)]
    pub(crate) port: u16,
    /// Threads that serve [default: one per core]
    #[arg(long = "num_workers", alias = "num-workers", env = "NUM_WORKERS", value_name = "N")]
    pub(crate) num_workers: Option<usize>,
    /// Serves this one model without a config file
    #[arg(short, long, value_name = "PROVIDER/MODEL")]
    pub(crate) model: Option<String>,
    /// The base URL of --model
    #[arg(long = "api_base", alias = "api-base", value_name = "URL")]
    pub(crate) api_base: Option<String>,
    /// Bounds every request, seconds
    #[arg(long = "request_timeout", alias = "request-timeout", value_name = "SECONDS")]
    pub(crate) request_timeout: Option<f64>,
    /// Leaves out parameters that a provider does not know
    #[arg(long = "drop_params", alias = "drop-params")]
    pub(crate) drop_params: bool,
    /// Serves TLS with the certificate in this PEM file, with its chain
    #[arg(
        long = "ssl_certfile_path",
        alias = "ssl-certfile-path",
        env = "SSL_CERTFILE_PATH",
        value_name = "FILE"
    )]
    pub(crate) ssl_certfile_path: Option<String>,
    /// The private key of the certificate, a PEM file
    #[arg(
        long = "ssl_keyfile_path",
        alias = "ssl-keyfile-path",
        env = "SSL_KEYFILE_PATH",
        value_name = "FILE"
    )]
    pub(crate) ssl_keyfile_path: Option<String>,
    /// The password of that key, if it is encrypted
    #[arg(
        long = "ssl_keyfile_password",
        alias = "ssl-keyfile-password",
        env = "SSL_KEYFILE_PASSWORD",
        hide_env_values = true,
        value_name = "PASSWORD",
        value_parser = secret
    )]
    pub(crate) ssl_keyfile_password: Option<Secret>,
    /// Refused: LiteLLM's flag for cipher suites
    #[arg(long, hide = true, value_name = "SUITES")]
    pub(crate) ciphers: Option<String>,
    /// Makes unknown and duplicate keys of the config errors
    #[arg(long)]
    pub(crate) strict: bool,
    /// Prints the health of the gateway that runs at --host and --port; see `hale health`
    #[arg(long)]
    pub(crate) health: bool,
    /// Logs each request
    #[arg(long, env = "DEBUG", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) debug: bool,
    /// Logs everything
    #[arg(
        long = "detailed_debug",
        alias = "detailed-debug",
        env = "DETAILED_DEBUG",
        value_parser = clap::builder::FalseyValueParser::new()
    )]
    pub(crate) detailed_debug: bool,
}

#[allow(clippy::unnecessary_wraps, reason = "the form of clap's parsers")]
fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text))
}

impl ServeOptions {
    /// The files of TLS to clients; `None` if plain text is served.
    ///
    /// # Errors
    /// What is missing, or cannot be chosen.
    pub(crate) fn tls(&self) -> Result<Option<TlsFiles>, String> {
        let given = |path: &Option<String>| path.clone().filter(|path| !path.is_empty());
        if self.ciphers.is_some() {
            return Err("--ciphers: cipher suites cannot be chosen. TLS 1.2 and 1.3 are served with the suites that \
                        are held secure; leave the flag out"
                .to_owned());
        }
        let password = self.ssl_keyfile_password.clone();
        match (given(&self.ssl_certfile_path), given(&self.ssl_keyfile_path)) {
            (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key, password })),
            (Some(_), None) => {
                Err("--ssl_certfile_path needs --ssl_keyfile_path, the certificate's key"
                    .to_owned())
            }
            (None, Some(_)) => {
                Err("--ssl_keyfile_path needs --ssl_certfile_path, the key's certificate"
                    .to_owned())
            }
            (None, None) if password.is_some() => {
                Err("--ssl_keyfile_password needs --ssl_certfile_path and \
                                                       --ssl_keyfile_path"
                    .to_owned())
            }
            (None, None) => Ok(None),
        }
    }

    /// How much is logged, if the command line says so.
    pub(crate) fn detail(&self) -> Option<Detail> {
        let all = self.detailed_debug.then_some(Detail::All);
        all.or(self.debug.then_some(Detail::Requests))
    }
}

/// Applies the settings of the command line, which win over the config's, and then what the system enforces.
pub(crate) fn override_settings(snapshot: &mut Snapshot, options: &ServeOptions) {
    if let Some(ms) =
        options.request_timeout.and_then(|s| hale_wire::peek::seconds_to_ms(&s.to_string()))
    {
        snapshot.router.request_timeout_ms = Some(ms);
    }
    snapshot.gateway.drop_params |= options.drop_params;
    limits::fit(&mut snapshot.gateway.bounds);
}
