//! Who a deployment at Google is: the forms of Google's credential files, and where tokens come from.
//!
//! Read by [`crate::config`] when a config is loaded, and again by the gateway when it asks for a token, because files of credentials are
//! replaced while a process runs. Always true: an identity has all that a token needs; a program that a file names is never run.
//!
//! Sources: <https://google.aip.dev/auth>, <https://cloud.google.com/docs/authentication/application-default-credentials>.

use serde::Deserialize;

use crate::secret::Secret;

/// Where tokens are given, if a file does not say.
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
/// How deep an identity may stand within others.
const DEPTH_MAX: u8 = 4;

/// How long the day lasts by which Google counts quotas, milliseconds. Source: <https://ai.google.dev/gemini-api/docs/rate-limits>.
pub(crate) fn ms_to_next_day(unix_ms: u64) -> Option<u64> {
    let now = jiff::Timestamp::from_millisecond(i64::try_from(unix_ms).ok()?).ok()?;
    let now = now.in_tz("America/Los_Angeles").ok()?;
    let next = now.tomorrow().ok()?.start_of_day().ok()?;
    u64::try_from(next.timestamp().as_millisecond() - now.timestamp().as_millisecond()).ok()
}

/// Where an identity is read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// The file that has it, which is read again for each token.
    pub file: Option<Box<str>>,
    /// The identity as it was when the config was read.
    pub identity: Identity,
}

/// Who asks for tokens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// A key of a service account.
    ServiceAccount(ServiceAccount),
    /// A person, or what a person allowed.
    AuthorizedUser(AuthorizedUser),
    /// Somewhere else's identity, by federation.
    External(Box<External>),
    /// A service account that another identity may act as.
    Impersonated(Box<Impersonated>),
    /// What the machine is, by its metadata server.
    Machine(Machine),
}

/// A key of a service account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServiceAccount {
    /// `client_email`.
    pub email: Box<str>,
    /// `private_key`, as PEM.
    pub key: Secret,
    /// `private_key_id`.
    pub key_id: Option<Box<str>>,
    /// `token_uri`.
    pub token_uri: Box<str>,
    /// `project_id`.
    pub project: Option<Box<str>>,
}

/// A person, by a token that was given at a login.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AuthorizedUser {
    /// `client_id`.
    pub client_id: Box<str>,
    /// `client_secret`.
    pub client_secret: Secret,
    /// `refresh_token`.
    pub refresh_token: Secret,
    /// `token_uri`.
    pub token_uri: Box<str>,
    /// `quota_project_id`: which project pays.
    pub quota_project: Option<Box<str>>,
}

/// An identity that another system proves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct External {
    /// `audience`.
    pub audience: Box<str>,
    /// `subject_token_type`.
    pub token_type: Box<str>,
    /// `token_url`.
    pub token_uri: Box<str>,
    /// Where its proof is.
    pub proof: Proof,
    /// The member of the proof that has the token, if it is JSON.
    pub member: Option<Box<str>>,
    /// `service_account_impersonation_url`.
    pub acts_as: Option<Box<str>>,
    /// `quota_project_id`.
    pub quota_project: Option<Box<str>>,
}

/// Where the proof of an external identity is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// In a file.
    File(Box<str>),
    /// At an address, with these headers.
    Address(Box<str>, Vec<(Box<str>, Secret)>),
}

/// A service account that another identity may act as.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Impersonated {
    /// Who acts.
    pub by: Identity,
    /// `service_account_impersonation_url`.
    pub address: Box<str>,
    /// `delegates`.
    pub delegates: Vec<Box<str>>,
    /// `quota_project_id`.
    pub quota_project: Option<Box<str>>,
}

/// The identity of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    /// Host and perhaps port of its metadata server.
    pub host: Box<str>,
}

/// What is wrong with a file of credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The problem. It shows nothing of the file but names of members.
    pub problem: String,
    /// The fix.
    pub hint: &'static str,
}

/// A file, as it is written.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Written {
    r#type: Option<String>,
    project_id: Option<String>,
    quota_project_id: Option<String>,
    private_key_id: Option<String>,
    private_key: Option<String>,
    client_email: Option<String>,
    token_uri: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    refresh_token: Option<String>,
    audience: Option<String>,
    subject_token_type: Option<String>,
    token_url: Option<String>,
    credential_source: Option<WrittenProof>,
    service_account_impersonation_url: Option<String>,
    source_credentials: Option<Box<Written>>,
    delegates: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WrittenProof {
    file: Option<String>,
    url: Option<String>,
    headers: std::collections::BTreeMap<String, String>,
    format: Option<WrittenFormat>,
    executable: Option<serde_json::Value>,
    environment_id: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WrittenFormat {
    r#type: Option<String>,
    subject_token_field_name: Option<String>,
}

const COPY: &str = "copy the file of credentials again";

impl Identity {
    /// The identity that the JSON text of a file of credentials names.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Identity, Wrong> {
        let written: Written = serde_json::from_str(text.trim_start_matches('\u{feff}'))
            .map_err(|_| Wrong { problem: "is no credential in JSON".to_owned(), hint: COPY })?;
        Identity::of(written, DEPTH_MAX)
    }

    fn of(mut written: Written, depth: u8) -> Result<Identity, Wrong> {
        let kind = written.r#type.take().unwrap_or_default();
        match &*kind {
            "service_account" => Ok(Identity::ServiceAccount(ServiceAccount {
                email: needed(written.client_email, "client_email")?,
                key: Secret::new(&needed(written.private_key, "private_key")?),
                key_id: written.private_key_id.map(Into::into),
                token_uri: address(written.token_uri, TOKEN_URI)?,
                project: written.project_id.map(Into::into),
            })),
            "authorized_user" => Ok(Identity::AuthorizedUser(AuthorizedUser {
                client_id: needed(written.client_id, "client_id")?,
                client_secret: Secret::new(&needed(written.client_secret, "client_secret")?),
                refresh_token: Secret::new(&needed(written.refresh_token, "refresh_token")?),
                token_uri: address(written.token_uri, TOKEN_URI)?,
                quota_project: written.quota_project_id.map(Into::into),
            })),
            "external_account" => External::of(written).map(Box::new).map(Identity::External),
            "impersonated_service_account" => {
                let by = written.source_credentials.filter(|_| depth > 0);
                let by = by.ok_or_else(|| missing("source_credentials"))?;
                let target = written.service_account_impersonation_url;
                Ok(Identity::Impersonated(Box::new(Impersonated {
                    by: Identity::of(*by, depth - 1)?,
                    address: needed_address(target, "service_account_impersonation_url")?,
                    delegates: written.delegates.into_iter().map(Into::into).collect(),
                    quota_project: written.quota_project_id.map(Into::into),
                })))
            }
            "" => Err(missing("type")),
            _ => Err(Wrong {
                problem: "has a `type` of credential that is not served".to_owned(),
                hint: "use service_account, authorized_user, external_account or impersonated_service_account",
            }),
        }
    }

    /// The project that it belongs to, or that pays for it.
    #[must_use]
    pub fn project(&self) -> Option<&str> {
        match self {
            Identity::ServiceAccount(account) => account.project.as_deref(),
            _ => self.quota_project(),
        }
    }

    /// The project that pays for its requests, where that is another than the one that they name.
    #[must_use]
    pub fn quota_project(&self) -> Option<&str> {
        match self {
            Identity::ServiceAccount(_) | Identity::Machine(_) => None,
            Identity::AuthorizedUser(user) => user.quota_project.as_deref(),
            Identity::External(external) => external.quota_project.as_deref(),
            Identity::Impersonated(one) => one.quota_project.as_deref(),
        }
    }

    /// What tells it from others, to be hashed: it may hold a secret.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Identity::ServiceAccount(account) => account.email.to_string(),
            Identity::AuthorizedUser(user) => {
                format!("{} {}", user.client_id, user.refresh_token.expose())
            }
            Identity::External(external) => match &external.acts_as {
                Some(address) => format!("{} {address}", external.audience),
                None => external.audience.to_string(),
            },
            Identity::Impersonated(one) => one.address.to_string(),
            Identity::Machine(machine) => machine.host.to_string(),
        }
    }

    /// What it is, within a sentence.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Identity::ServiceAccount(_) => "the key of a service account",
            Identity::AuthorizedUser(_) => "the login of a user",
            Identity::External(_) => "an external account",
            Identity::Impersonated(_) => "an impersonated service account",
            Identity::Machine(_) => "the metadata server of the machine",
        }
    }

    /// Its secrets.
    #[must_use]
    pub fn secrets(&self) -> Vec<&Secret> {
        match self {
            Identity::ServiceAccount(account) => vec![&account.key],
            Identity::AuthorizedUser(user) => vec![&user.client_secret, &user.refresh_token],
            Identity::External(external) => match &external.proof {
                Proof::File(_) => Vec::new(),
                Proof::Address(_, headers) => headers.iter().map(|(_, value)| value).collect(),
            },
            Identity::Impersonated(one) => one.by.secrets(),
            Identity::Machine(_) => Vec::new(),
        }
    }
}

impl External {
    fn of(written: Written) -> Result<External, Wrong> {
        let source = written.credential_source.ok_or_else(|| missing("credential_source"))?;
        if source.executable.is_some() {
            return Err(Wrong {
                problem: "names a program as the source of its token".to_owned(),
                hint: "programs are never run: let it write the token into a file, and name that as `file`",
            });
        }
        if source.environment_id.is_some() {
            return Err(Wrong {
                problem: "has an identity of AWS as its source, which is not served".to_owned(),
                hint: "use a token in a file, or the key of a service account",
            });
        }
        let headers = source.headers.into_iter();
        let headers = headers.map(|(name, value)| (name.into(), Secret::new(&value))).collect();
        let proof = match (source.file, source.url) {
            (Some(file), _) => Proof::File(file.into()),
            (None, Some(url)) => {
                Proof::Address(needed_address(Some(url), "credential_source.url")?, headers)
            }
            (None, None) => return Err(missing("credential_source.file")),
        };
        let format = source.format.filter(|format| format.r#type.as_deref() == Some("json"));
        let member = match format.map(|format| format.subject_token_field_name) {
            None => None,
            Some(name) => Some(needed(name, "credential_source.format.subject_token_field_name")?),
        };
        let acts_as = written.service_account_impersonation_url;
        let acts_as = acts_as.map(|url| address(Some(url), "")).transpose()?;
        Ok(External {
            audience: needed(written.audience, "audience")?,
            token_type: needed(written.subject_token_type, "subject_token_type")?,
            token_uri: address(written.token_url, "https://sts.googleapis.com/v1/token")?,
            proof,
            member,
            acts_as,
            quota_project: written.quota_project_id.map(Into::into),
        })
    }
}

fn missing(name: &str) -> Wrong {
    Wrong { problem: format!("has no `{name}`"), hint: COPY }
}

fn needed(value: Option<String>, name: &str) -> Result<Box<str>, Wrong> {
    value.filter(|text| !text.is_empty()).map(Into::into).ok_or_else(|| missing(name))
}

fn needed_address(value: Option<String>, name: &str) -> Result<Box<str>, Wrong> {
    address(Some(needed(value, name)?.into()), "")
}

/// An address, or the `default`.
fn address(value: Option<String>, default: &str) -> Result<Box<str>, Wrong> {
    let Some(text) = value.filter(|text| !text.is_empty()) else { return Ok(default.into()) };
    let tail = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_plain = |tail: &str| {
        let host = tail.split('/').next().unwrap_or_default();
        let of_host = |b: u8| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b);
        !host.is_empty() && host.bytes().all(of_host) && tail.bytes().all(|b| b.is_ascii_graphic())
    };
    match tail.is_some_and(is_plain) {
        true => Ok(text.into()),
        false => {
            let problem = "names an issuer of tokens that is no address".to_owned();
            Err(Wrong { problem, hint: COPY })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = r#"{"type": "service_account", "project_id": "p", "private_key_id": "k1",
        "private_key": "-----BEGIN PRIVATE KEY-----\nx\n", "client_email": "a@p.iam.gserviceaccount.com"}"#;

    fn problem(text: &str) -> String {
        Identity::parse(text).unwrap_err().problem
    }

    #[test]
    fn a_service_account_has_its_project_and_googles_issuer() {
        let identity = Identity::parse(ACCOUNT).unwrap();
        assert_eq!((identity.project(), identity.quota_project()), (Some("p"), None));
        let Identity::ServiceAccount(account) = identity else { panic!("{}", identity.kind()) };
        assert_eq!(&*account.token_uri, TOKEN_URI);
        assert_eq!(account.key_id.as_deref(), Some("k1"));
    }

    #[test]
    fn the_other_kinds_are_read_with_who_pays() {
        let user = r#"{"type": "authorized_user", "client_id": "c", "client_secret": "s",
            "refresh_token": "r", "quota_project_id": "q"}"#;
        let identity = Identity::parse(user).unwrap();
        assert_eq!((identity.project(), identity.quota_project()), (Some("q"), Some("q")));
        let one = format!(
            r#"{{"type": "impersonated_service_account", "source_credentials": {user},
                "service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/x:generateAccessToken"}}"#
        );
        let Identity::Impersonated(one) = Identity::parse(&one).unwrap() else { panic!() };
        assert_eq!(one.by, Identity::parse(user).unwrap());
        let external = r#"{"type": "external_account", "audience": "//iam", "subject_token_type": "jwt",
            "credential_source": {"file": "/t", "format": {"type": "json", "subject_token_field_name": "id"}}}"#;
        let Identity::External(one) = Identity::parse(external).unwrap() else { panic!() };
        assert_eq!((one.proof, one.member.as_deref()), (Proof::File("/t".into()), Some("id")));
        assert_eq!(&*one.token_uri, "https://sts.googleapis.com/v1/token");
    }

    #[test]
    fn what_is_wrong_is_named_and_no_secret_is_shown() {
        assert_eq!(problem("hunter2-secret"), "is no credential in JSON");
        assert_eq!(problem("{}"), "has no `type`");
        assert!(problem(r#"{"type": "gdch_service_account"}"#).contains("not served"));
        assert_eq!(problem(&ACCOUNT.replace("private_key\"", "x\"")), "has no `private_key`");
        let with = |source: &str| {
            problem(&format!(
                r#"{{"type": "external_account", "audience": "a", "subject_token_type": "t", "credential_source": {source}}}"#
            ))
        };
        assert!(with(r#"{"executable": {"command": "/bin/true"}}"#).contains("a program"));
        assert!(with(r#"{"environment_id": "aws1"}"#).contains("AWS"));
        assert!(with(r#"{"url": "file:///etc/passwd"}"#).contains("no address"));
        assert!(with("{}").contains("credential_source.file"));
        // One within another, without end.
        let mut text = ACCOUNT.to_owned();
        for _ in 0..8 {
            text = format!(
                r#"{{"type": "impersonated_service_account", "service_account_impersonation_url": "https://x/y", "source_credentials": {text}}}"#
            );
        }
        assert_eq!(problem(&text), "has no `source_credentials`");
    }
}
