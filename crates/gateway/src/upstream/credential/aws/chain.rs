//! The chain by which keys of AWS are found: a token, a role, a profile, the machine.
//!
//! Called by [`crate::upstream::credential::refreshing`] whenever keys are due. Always true: files are read each time, so that what
//! was replaced on the disk is used; the order is that of AWS's own libraries; a link that fails is named.

use hale_core::aws::{Chain, Keys, Role};
use hale_core::settings::KeptConnections;

use super::found::{FoundKeys, unusable};
use super::profile::{Found, Profiles};
use super::sts::Sts;
use super::{metadata, profile};
use crate::upstream::credential::error::CredentialError;
use crate::upstream::credential::refreshing::{Granted, Issuer};

/// How long keys are used that have no end of their own, milliseconds: then their file is read again.
const UNTIL_READ_AGAIN_MS: u64 = 900_000;
/// How many profiles may refer to each other.
const PROFILES_MAX: usize = 5;
/// The profile that is meant where none is named.
const DEFAULT: &str = "default";

/// What finds keys along one chain.
pub(super) struct ChainIssuer {
    chain: Chain,
    kept: KeptConnections,
}

impl ChainIssuer {
    /// What finds the keys of `chain`; `kept` is how connections are used again.
    pub(super) fn new(chain: Chain, kept: KeptConnections) -> ChainIssuer {
        ChainIssuer { chain, kept }
    }

    fn sts(&self) -> Sts {
        Sts::of(&self.chain, self.kept)
    }

    async fn find(&self) -> FoundKeys {
        let Chain { role, keys, profile, web_identity, machine, .. } = &self.chain;
        let Some(role) = role else {
            return match profile {
                Some(name) => self.of_profile(name).await,
                None => self.of_machine().await,
            };
        };
        if let Some(given) = web_identity {
            let token = token(given).await?;
            return self.sts().with_token(role, &token).await;
        }
        let before = match (keys, profile) {
            (Some(keys), _) => Granted { grant: keys.clone(), lifetime_ms: UNTIL_READ_AGAIN_MS },
            (None, Some(name)) => self.of_profile(name).await?,
            (None, None) => {
                let is_same = machine.role.as_deref() == Some(&*role.arn);
                if is_same && machine.token_file.is_some() {
                    return self.of_token_file(role).await;
                }
                self.of_machine().await?
            }
        };
        self.sts().assume(role, &before.grant).await
    }

    /// What the environment, the shared files, the container and the instance have, in this order.
    async fn of_machine(&self) -> FoundKeys {
        let machine = &self.chain.machine;
        if let (Some(arn), Some(_)) = (&machine.role, &machine.token_file) {
            let role = Role {
                arn: arn.clone(),
                session_name: "hale".into(),
                external_id: None,
                tags: Vec::new(),
            };
            return self.of_token_file(&role).await;
        }
        let profiles = profile::read(machine).await;
        if profiles.has(DEFAULT) {
            return self.resolve(&profiles, DEFAULT).await;
        }
        if let Some(address) = &machine.container {
            return metadata::of_container(address, machine, self.kept).await;
        }
        match &machine.metadata {
            Some(address) => metadata::of_instance(address, self.kept).await,
            None => Err(unusable(
                "no keys: neither the config, nor the environment, nor the shared files, nor a container has any, and \
                 AWS_EC2_METADATA_DISABLED is set"
                    .to_owned(),
            )),
        }
    }

    async fn of_token_file(&self, role: &Role) -> FoundKeys {
        let path = self.chain.machine.token_file.as_deref().unwrap_or_default();
        let token = text_of(path).await?;
        self.sts().with_token(role, token.trim()).await
    }

    async fn of_profile(&self, name: &str) -> FoundKeys {
        let profiles = profile::read(&self.chain.machine).await;
        self.resolve(&profiles, name).await
    }

    /// The keys of a profile, which may take on roles with those of others.
    async fn resolve(&self, profiles: &Profiles, name: &str) -> FoundKeys {
        let mut roles: Vec<Role> = Vec::new();
        let mut name = name.to_owned();
        let mut granted = loop {
            if roles.len() >= PROFILES_MAX {
                return Err(unusable(format!("profile {name} refers to too many others")));
            }
            match profiles.find(&name).map_err(unusable)? {
                Found::Keys(keys) => {
                    break Granted { grant: keys, lifetime_ms: UNTIL_READ_AGAIN_MS };
                }
                Found::RoleOf(role, source) => {
                    // A profile may take on its role with its own keys.
                    if source == name {
                        let keys = profiles.own_keys(&name).map_err(unusable)?;
                        roles.push(role);
                        break Granted { grant: keys, lifetime_ms: UNTIL_READ_AGAIN_MS };
                    }
                    roles.push(role);
                    name = source;
                }
                Found::RoleWithToken(role, path) => {
                    let token = text_of(&path).await?;
                    break self.sts().with_token(&role, token.trim()).await?;
                }
                Found::RoleOfContainer(role) => {
                    let machine = &self.chain.machine;
                    let address = machine.container.as_deref().ok_or_else(|| {
                        unusable(format!(
                            "profile {name} wants the keys of a container, which there is not"
                        ))
                    })?;
                    roles.push(role);
                    break metadata::of_container(address, machine, self.kept).await?;
                }
                Found::RoleOfInstance(role) => {
                    let address = self.chain.machine.metadata.as_deref().unwrap_or_default();
                    roles.push(role);
                    break metadata::of_instance(address, self.kept).await?;
                }
            }
        };
        while let Some(role) = roles.pop() {
            granted = self.sts().assume(&role, &granted.grant).await?;
        }
        Ok(granted)
    }
}

impl Issuer for ChainIssuer {
    type Grant = Keys;

    fn name(&self) -> &'static str {
        "AWS"
    }

    async fn request(&self) -> FoundKeys {
        self.find().await
    }
}

/// The token that the config names: itself, or in a file.
async fn token(given: &str) -> Result<String, CredentialError> {
    match given.starts_with('/') || given.starts_with("./") {
        true => text_of(given).await.map(|text| text.trim().to_owned()),
        false => Ok(given.to_owned()),
    }
}

async fn text_of(path: &str) -> Result<String, CredentialError> {
    let file = path.to_owned();
    let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(file)).await;
    match read {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) => Err(unusable(format!("the token file {path} cannot be read: {error}"))),
        Err(_) => Err(unusable(format!("the token file {path} cannot be read"))),
    }
}
