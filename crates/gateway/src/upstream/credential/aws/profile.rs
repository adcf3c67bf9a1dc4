//! The shared files of AWS's tools: profiles with keys, and with roles.
//!
//! Called by [`super::chain`]. Always true: a file that is not there is empty; of two files with one profile the credentials file wins;
//! no program is run.
//!
//! Source: <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>.

use std::collections::HashMap;

use hale_core::aws::{Keys, Machine, Role};
use hale_core::secret::Secret;

/// The profiles of both files, by name.
#[derive(Default)]
pub(super) struct Profiles(HashMap<String, HashMap<String, String>>);

/// What a profile has.
pub(super) enum Found {
    /// Keys.
    Keys(Keys),
    /// A role that is taken on with the keys of another profile.
    RoleOf(Role, String),
    /// A role that is taken on with the token in a file.
    RoleWithToken(Role, String),
    /// A role that is taken on with the keys of the container.
    RoleOfContainer(Role),
    /// A role that is taken on with the keys of the instance.
    RoleOfInstance(Role),
}

/// Which of the two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum File {
    Config,
    Credentials,
}

impl File {
    /// The profile that the head of a section names.
    fn profile(self, head: &str) -> Option<&str> {
        match self {
            File::Credentials => Some(head),
            File::Config if head == "default" => Some(head),
            File::Config => head.strip_prefix("profile ").map(str::trim),
        }
    }
}

/// Reads both files.
pub(super) async fn read(machine: &Machine) -> Profiles {
    let at_home = |name: &str| machine.home.as_ref().map(|home| format!("{home}/.aws/{name}"));
    let config = machine.config_file.as_deref().map(str::to_owned).or_else(|| at_home("config"));
    let keys = machine.credentials_file.as_deref().map(str::to_owned);
    let keys = keys.or_else(|| at_home("credentials"));
    let read = tokio::task::spawn_blocking(move || {
        let text = |path: Option<String>| {
            path.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default()
        };
        (text(config), text(keys))
    });
    let (config, keys) = read.await.unwrap_or_default();
    let mut profiles = Profiles::default();
    profiles.add(&config, File::Config);
    profiles.add(&keys, File::Credentials);
    profiles
}

impl Profiles {
    /// Adds the sections of a file.
    fn add(&mut self, text: &str, file: File) {
        let mut current: Option<String> = None;
        for line in text.lines() {
            let trimmed = line.trim();
            if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
                continue;
            }
            if let Some(head) = trimmed.strip_prefix('[').and_then(|it| it.split(']').next()) {
                current = file.profile(head.trim()).map(str::to_owned);
                if let Some(name) = &current {
                    self.0.entry(name.clone()).or_default();
                }
                continue;
            }
            // What is indented belongs to a nested setting.
            let is_nested = line.starts_with([' ', '\t']);
            if let (Some(name), Some((key, value))) = (&current, trimmed.split_once('='))
                && !is_nested
            {
                let section = self.0.entry(name.clone()).or_default();
                section.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
            }
        }
    }

    /// Whether there is a profile of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|section| {
            section.contains_key("aws_access_key_id") || section.contains_key("role_arn")
        })
    }

    /// What the profile has.
    ///
    /// # Errors
    /// What it lacks.
    pub(super) fn find(&self, name: &str) -> Result<Found, String> {
        let section = self.section(name)?;
        let Some(arn) = section.get("role_arn") else {
            return self.own_keys(name).map(Found::Keys);
        };
        let role = Role {
            arn: arn.as_str().into(),
            tags: Vec::new(),
            session_name: section.get("role_session_name").map_or("hale", String::as_str).into(),
            external_id: section.get("external_id").map(|id| id.as_str().into()),
        };
        if let Some(source) = section.get("source_profile") {
            return Ok(Found::RoleOf(role, source.clone()));
        }
        if let Some(path) = section.get("web_identity_token_file") {
            return Ok(Found::RoleWithToken(role, path.clone()));
        }
        match section.get("credential_source").map(String::as_str) {
            Some("EcsContainer") => Ok(Found::RoleOfContainer(role)),
            Some("Ec2InstanceMetadata") => Ok(Found::RoleOfInstance(role)),
            Some(other) => Err(format!(
                "profile {name} has `credential_source = {other}`, which is not served"
            )),
            None => Err(format!("profile {name} has a role and no `source_profile`")),
        }
    }

    fn section(&self, name: &str) -> Result<&HashMap<String, String>, String> {
        self.0.get(name).ok_or_else(|| format!("no profile {name} in the shared files"))
    }

    /// The keys that stand in the profile itself.
    ///
    /// # Errors
    /// What it lacks.
    pub(super) fn own_keys(&self, name: &str) -> Result<Keys, String> {
        let section = self.section(name)?;
        let (access_key, secret_key) = match (
            section.get("aws_access_key_id"),
            section.get("aws_secret_access_key"),
        ) {
            (Some(access_key), Some(secret_key)) => (access_key, secret_key),
            _ if section.contains_key("credential_process") => {
                return Err(format!(
                    "profile {name} has a `credential_process`, and no program is run"
                ));
            }
            _ if section.keys().any(|key| key.starts_with("sso_")) => {
                return Err(format!(
                    "profile {name} is one of IAM Identity Center, which is not served; use keys or a role"
                ));
            }
            _ => return Err(format!("profile {name} has no keys")),
        };
        Ok(Keys {
            access_key: access_key.as_str().into(),
            secret_key: Secret::new(secret_key),
            token: section.get("aws_session_token").map(|token| Secret::new(token)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_read_from_both_files_and_say_what_they_lack() {
        let mut profiles = Profiles::default();
        profiles.add(
            "[default]\nregion = x\n# c\n[profile a]\nrole_arn = arn:r\nsource_profile = b\ns3 =\n  x = y\n[profile c]\ncredential_process = p\n[profile d]\nsso_session = s\n[other e]\nrole_arn=z",
            File::Config,
        );
        profiles
            .add("[b]\naws_access_key_id = A\naws_secret_access_key = S/+=\n", File::Credentials);
        assert!(
            matches!(profiles.find("a"), Ok(Found::RoleOf(role, source)) if &*role.arn == "arn:r" && source == "b")
        );
        assert!(
            matches!(profiles.find("b"), Ok(Found::Keys(keys)) if keys.secret_key.expose() == "S/+=")
        );
        let lacks = |name: &str| profiles.find(name).err().unwrap();
        assert!(lacks("c").contains("no program is run") && lacks("d").contains("Identity Center"));
        assert!(lacks("gone").contains("no profile gone") && lacks("e").contains("no profile e"));
        assert!(!profiles.has("default") && profiles.has("a"));
    }
}
