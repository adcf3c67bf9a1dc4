//! Where the store is: a file, or a server.
//!
//! Made from the config and the environment by the gateway and by `hale db`. Always true: what is shown of an
//! address has no password; parameters that other programs put into the same address are known by name.

use std::fmt;
use std::path::{Path, PathBuf};

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use crate::error::{Error, Kind};

/// The file's name in its directory.
pub(crate) const FILE: &str = "hale.db";
/// Parameters of Prisma, which LiteLLM uses, and of poolers.
const IGNORED: &[&str] = &[
    "connection_limit",
    "pool_timeout",
    "socket_timeout",
    "pgbouncer",
    "statement_cache_size",
    "sslaccept",
    "sslidentity",
    "sslpassword",
    "sslcert",
    "max_connection_lifetime",
    "max_idle_connection_lifetime",
    "single_use_connections",
];

/// Where the store is.
#[derive(Clone, Debug, PartialEq)]
pub enum Address {
    /// A file of SQLite.
    File(PathBuf),
    /// A server of PostgreSQL.
    Server(Box<Server>),
}

/// What a database is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To serve from it: one process per file.
    Serve,
    /// To change it, maybe beside a process that serves from it.
    Change,
    /// To look at it. Makes no tables.
    Look,
    /// To look at what LiteLLM made, also where Hale made nothing.
    LookAtTheirs,
}

/// A server of PostgreSQL.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Who connects, to what.
    pub(crate) config: Config,
    /// What is verified of the server.
    pub(crate) verify: Verify,
    /// The file of roots that its certificate is verified against, if it is not the system's.
    pub(crate) root_cert: Option<PathBuf>,
    /// The schema in which LiteLLM's tables would be.
    pub(crate) schema: Box<str>,
}

/// What is verified of a server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verify {
    /// Nothing: the connection is encrypted, as `sslmode=prefer` and `require` mean it.
    Nothing,
    /// That a known root signed it.
    Root,
    /// And that it is for this host.
    RootAndName,
}

/// Where the store is: `url` of the config, else `DATABASE_URL`, else a file in `data_dir`, which is
/// `$HALE_DATA_DIR` or the directory of the config.
///
/// # Errors
/// When an address cannot be one.
pub fn locate(url: Option<&str>, data_dir: &Path) -> Result<Address, Error> {
    match url {
        Some(url) => Address::parse(url),
        None => Ok(Address::File(data_dir.join(FILE))),
    }
}

impl Address {
    /// Reads an address: `postgres://...`, or a path, which may have `sqlite:` before it.
    ///
    /// # Errors
    /// When it cannot be one.
    pub fn parse(text: &str) -> Result<Address, Error> {
        let text = text.trim();
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return server(text).map(|server| Address::Server(Box::new(server)));
        }
        if looks_like_a_server(text) {
            let detail = "it is neither a URL of PostgreSQL nor a path";
            return Err(Error::new(Kind::Address, "***", detail));
        }
        let path = text
            .strip_prefix("sqlite:")
            .map_or(text, |path| path.strip_prefix("//").unwrap_or(path));
        if let Some((scheme, _)) = path.split_once("://") {
            let detail = format!("Hale does not know databases of the kind {scheme:?}");
            return Err(Error::new(Kind::Address, &format!("{scheme}://***"), detail));
        }
        if path.is_empty() {
            return Err(Error::new(Kind::Address, "address", "it is empty"));
        }
        Ok(Address::File(PathBuf::from(path)))
    }

    /// The address as it may be shown.
    #[must_use]
    pub fn shown(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::File(path) => path.display().fmt(to),
            Address::Server(server) => server.fmt(to),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("postgres://")?;
        if let Some(user) = self.config.get_user() {
            let password = self.config.get_password().map_or("", |_| ":***");
            write!(to, "{user}{password}@")?;
        }
        let ports = self.config.get_ports();
        for (at, host) in self.config.get_hosts().iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            match host {
                Host::Tcp(name) if name.contains(':') => write!(to, "{comma}[{name}]")?,
                Host::Tcp(name) => write!(to, "{comma}{name}")?,
                Host::Unix(path) => write!(to, "{comma}{}", path.display())?,
            }
            if let Some(port) = ports.get(at).or_else(|| ports.first()) {
                write!(to, ":{port}")?;
            }
        }
        write!(to, "/{}", self.config.get_dbname().unwrap_or_default())
    }
}

/// Whether an address names a server in a form that is not read. As a path it would be shown, with its password.
fn looks_like_a_server(text: &str) -> bool {
    let is_setting = |word: &str| {
        let name = word.split_once('=').map_or("", |(name, _)| name);
        ["host", "hostaddr", "port", "user", "password", "dbname"].contains(&name)
    };
    let scheme = text.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let has_password = || {
        let (before, _) = text.rsplit_once('@').unwrap_or_default();
        before.contains(':') && !text.contains("://") && !text.starts_with(['/', '.'])
    };
    match &*scheme {
        "sqlite" => false,
        "postgres" | "postgresql" => text.contains(':') && !text.contains("://"),
        _ => text.split_whitespace().any(is_setting) || has_password(),
    }
}

fn server(url: &str) -> Result<Server, Error> {
    let masked = "postgres://***";
    let wrong = |detail: String| Error::new(Kind::Address, masked, detail);
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let mut kept: Vec<String> = Vec::new();
    let mut verify = Verify::Nothing;
    let mut root_cert = None;
    let mut schema = "public";
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match (name, value) {
            (name, _) if IGNORED.contains(&name) => {}
            ("schema", name) => schema = name,
            ("sslrootcert", "system") => {}
            ("sslrootcert", path) => root_cert = Some(PathBuf::from(path)),
            ("sslmode", "verify-ca") => {
                verify = Verify::Root;
                kept.push("sslmode=require".to_owned());
            }
            ("sslmode", "verify-full") => {
                verify = Verify::RootAndName;
                kept.push("sslmode=require".to_owned());
            }
            ("sslmode", "allow") => kept.push("sslmode=prefer".to_owned()),
            _ => kept.push(pair.to_owned()),
        }
    }
    let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
    let mut config: Config = format!("{base}{query}").parse().map_err(|error| {
        // The library's text names a parameter, never a value of the address.
        let error: tokio_postgres::Error = error;
        let source = std::error::Error::source(&error).map(ToString::to_string);
        wrong(format!("it cannot be read: {}", source.unwrap_or_else(|| error.to_string())))
    })?;
    if config.get_hosts().is_empty() {
        return Err(wrong("it names no host".to_owned()));
    }
    if config.get_ports().is_empty() {
        config.port(5432);
    }
    if config.get_application_name().is_none() {
        config.application_name("hale");
    }
    if verify != Verify::Nothing {
        config.ssl_mode(SslMode::Require);
    }
    Ok(Server { config, verify, root_cert, schema: schema.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        match Address::parse(url) {
            Ok(address) => address.shown(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        assert_eq!(shown("postgresql://u:s%40crt@h:6432/d?schema=x"), "postgres://u:***@h:6432/d");
        assert_eq!(shown("postgres://u@h/d"), "postgres://u@h:5432/d");
        assert_eq!(shown("postgres://u:secret@[::1]/d"), "postgres://u:***@[::1]:5432/d");
        assert_eq!(shown("postgres://u:secret@a,b:7/d"), "postgres://u:***@a:5432,b:7/d");
        for url in [
            "postgres://u:secret@h:port/d",
            "mysql://u:secret@h/d",
            "postgres://u:secret@h/d?nonsense=1",
            "postgres://u:secret@h/d?sslmode=no",
            "postgres://",
            "host=h user=u password=secret dbname=d",
            "password=secret",
            "postgres:u:secret@h/d",
            "postgresql:/u:secret@h/d",
            "u:secret@h:5432/d",
            "Postgres://u:secret@h/d",
            "\"postgres://u:secret@h/d\"",
            "",
        ] {
            let error = Address::parse(url).unwrap_err();
            assert_eq!(error.kind, Kind::Address, "{url}");
            assert!(!error.to_string().contains("secret"), "{error}");
            assert!(error.to_string().contains("postgres://USER"), "{error}");
        }
    }

    #[test]
    fn parameters_of_other_programs_are_left_out() {
        let url = "postgres://u:p@h/d?connection_limit=5&pgbouncer=true&sslaccept=strict&connect_timeout=7";
        let Ok(Address::Server(server)) = Address::parse(url) else { panic!("it is an address") };
        assert_eq!(server.config.get_connect_timeout().map(|limit| limit.as_secs()), Some(7));
        assert_eq!((server.verify, &*server.schema), (Verify::Nothing, "public"));
        let other = Address::parse("postgres://u:p@h/d?schema=llm&pgbouncer=true");
        let Ok(Address::Server(server)) = other else { panic!("it is an address") };
        assert_eq!(&*server.schema, "llm");
    }

    #[test]
    fn the_mode_says_what_is_verified() {
        let verified = |mode: &str| {
            let url = format!("postgres://u@h/d?sslmode={mode}&sslrootcert=/ca.pem");
            let Ok(Address::Server(server)) = Address::parse(&url) else { panic!("{url}") };
            (server.verify, server.config.get_ssl_mode(), server.root_cert.is_some())
        };
        assert_eq!(verified("require"), (Verify::Nothing, SslMode::Require, true));
        assert_eq!(verified("verify-ca"), (Verify::Root, SslMode::Require, true));
        assert_eq!(verified("verify-full"), (Verify::RootAndName, SslMode::Require, true));
        assert_eq!(verified("disable").1, SslMode::Disable);
    }

    #[test]
    fn what_is_no_url_is_a_path() {
        let dir = Path::new("/data");
        assert_eq!(locate(None, dir), Ok(Address::File("/data/hale.db".into())));
        assert_eq!(locate(Some("sqlite:///x/y.db"), dir), Ok(Address::File("/x/y.db".into())));
        assert_eq!(locate(Some("y.db"), dir), Ok(Address::File("y.db".into())));
        for path in ["postgres", "/data/a:b@c.db", "./user=x/a b.db", "sqlite:host=x.db"] {
            let expected = path.strip_prefix("sqlite:").unwrap_or(path);
            assert_eq!(locate(Some(path), dir), Ok(Address::File(expected.into())));
        }
    }
}
