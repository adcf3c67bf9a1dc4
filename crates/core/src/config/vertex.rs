//! The Vertex AI part of an entry: project, location, credentials.
//!
//! Called by [`super::build`] for entries of provider `vertex_ai`. Always true: each value is the entry's own, else its credential's, else
//! the environment's; credentials are found in the order of Google's libraries.

use std::io;

use crate::deployment::Lack;
use crate::google::{self, Identity, Machine, Source};
use crate::provider::{Addressing, Provider};
use crate::vertex::{DEFAULT_LOCATION, Vertex};

use super::json;
use super::params::Params;
use super::problem::{Wrong, shown};
use super::tree::{Map, Node};
use super::troubles::{Credential, Troubles};

/// Where a value may be: the keys in `litellm_params` and `credential_values`, and the variables.
struct Place {
    keys: &'static [&'static str],
    variables: &'static [&'static str],
}

const PROJECT: Place =
    Place { keys: &["vertex_project", "vertex_ai_project"], variables: &["VERTEXAI_PROJECT"] };
/// Variables of Google's own, which are read after the credentials.
const PROJECT_OF_GOOGLE: Place =
    Place { keys: &[], variables: &["GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT"] };
const LOCATION: Place = Place {
    keys: &["vertex_location", "vertex_ai_location", "region_name"],
    variables: &["VERTEXAI_LOCATION", "VERTEX_LOCATION"],
};
const CREDENTIALS: Place = Place {
    keys: &["vertex_credentials", "vertex_ai_credentials"],
    variables: &["VERTEXAI_CREDENTIALS", "GOOGLE_APPLICATION_CREDENTIALS"],
};
/// The host of the metadata server, and the variable that names another one.
const METADATA: (&str, &str) = ("metadata.google.internal", "GCE_METADATA_HOST");

/// What is wrong, and at which key.
type Trouble = (&'static str, Wrong);

/// Where the values of one entry are.
struct Values<'v> {
    own: &'v Map,
    /// Those of its credential.
    named: Option<&'v Map>,
    /// `litellm_settings`.
    settings: Option<&'v Map>,
    env: &'v dyn Fn(&str) -> Option<String>,
    read: &'v dyn Fn(&str) -> io::Result<Vec<u8>>,
}

impl Values<'_> {
    fn find(&self, place: &Place) -> Option<String> {
        let text = |node: &Node| match node.as_map() {
            Some(_) => Some(json::value(node).to_string()),
            None => node.text().map(|text| text.trim().to_owned()),
        };
        let within = |map: &Map| place.keys.iter().find_map(|key| text(map.get(key)?));
        let found = within(self.own).or_else(|| self.named.and_then(within));
        let found = found.or_else(|| self.settings.and_then(within));
        let variable = || place.variables.iter().find_map(|name| (self.env)(name));
        found.or_else(variable).filter(|text| !text.is_empty())
    }

    /// What the entry says of its place and of who it is; `model` is the name at Vertex AI.
    fn vertex(&self, model: &str, has_key: bool) -> Result<Vertex, Trouble> {
        let location = self.find(&LOCATION).unwrap_or_else(|| {
            // The first models of a generation are served nowhere else. Source: LiteLLM.
            let is_global = model.starts_with("gemini-3") && !model.contains("embedding");
            if is_global { "global" } else { DEFAULT_LOCATION }.to_owned()
        });
        let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !location.starts_with(|c: char| c.is_ascii_lowercase()) || !location.chars().all(label) {
            let hint = "write a region such as `europe-west4`, or `global`, `us` or `eu`";
            return Err((LOCATION.keys[0], Wrong::new("is no location", hint)));
        }
        let source = match has_key {
            true => None,
            false => Some(self.source()?),
        };
        let of_credentials = || source.as_ref()?.identity.project().map(str::to_owned);
        let written = self.find(&PROJECT);
        // A key has a project of its own.
        let found = || of_credentials().or_else(|| self.find(&PROJECT_OF_GOOGLE));
        let project = written.or_else(|| found().filter(|_| !has_key));
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '_');
        if project.as_deref().is_some_and(|text| !text.chars().all(plain)) {
            let hint = "write the id of a project, such as `my-project-1`";
            return Err((PROJECT.keys[0], Wrong::new("is no id of a project", hint)));
        }
        if project.is_none() && !has_key {
            return Err(self.no_project(source.as_ref(), model));
        }
        Ok(Vertex { project: project.map(Into::into), location: location.into(), source })
    }

    fn no_project(&self, source: Option<&Source>, model: &str) -> Trouble {
        let of = source.map_or("the credentials", |source| source.identity.kind());
        let problem = format!("no vertex_project, and {of} names none");
        let mut hint = "set `vertex_project`, or the variable VERTEXAI_PROJECT".to_owned();
        let has_key =
            ["GEMINI_API_KEY", "GOOGLE_API_KEY"].iter().any(|name| (self.env)(name).is_some());
        if has_key && model.starts_with("gemini") {
            hint = format!(
                "write `model: gemini/{}`, which is called with the API key that is set; {hint}",
                shown(model)
            );
        }
        (PROJECT.keys[0], Wrong::new(problem, hint))
    }

    /// Whose tokens its requests have.
    fn source(&self) -> Result<Source, Trouble> {
        let wrong = |what: &str, wrong: google::Wrong| {
            (CREDENTIALS.keys[0], Wrong::new(format!("{what} {}", wrong.problem), wrong.hint))
        };
        let Some(text) = self.find(&CREDENTIALS) else { return self.found_source() };
        if text.starts_with('{') {
            let identity = Identity::parse(&text).map_err(|why| wrong("the JSON", why))?;
            return Ok(Source { file: None, identity });
        }
        let file = shown(&text);
        let bytes = (self.read)(&text).map_err(|error| {
            let problem = format!("the file of credentials {file} cannot be read: {error}");
            let hint = "write the path of a file that this process may read, or its JSON itself";
            (CREDENTIALS.keys[0], Wrong::new(problem, hint))
        })?;
        let identity = Identity::parse(&String::from_utf8_lossy(&bytes))
            .map_err(|why| wrong(&format!("the file {file}"), why))?;
        Ok(Source { file: Some(text.into()), identity })
    }

    /// The credentials of the machine: of the login of a user, else of the metadata server.
    fn found_source(&self) -> Result<Source, Trouble> {
        let own = (self.env)("CLOUDSDK_CONFIG");
        let home = || (self.env)("HOME").map(|home| format!("{home}/.config/gcloud"));
        let file =
            own.or_else(home).map(|dir| format!("{dir}/application_default_credentials.json"));
        if let Some(file) = file
            && let Ok(bytes) = (self.read)(&file)
        {
            let identity = Identity::parse(&String::from_utf8_lossy(&bytes)).map_err(|why| {
                let problem = format!("the file {} {}", shown(&file), why.problem);
                (CREDENTIALS.keys[0], Wrong::new(problem, why.hint))
            })?;
            return Ok(Source { file: Some(file.into()), identity });
        }
        let (host, variable) = METADATA;
        let host = (self.env)(variable).unwrap_or_else(|| host.to_owned());
        let of_host = |b: u8| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b);
        if !host.bytes().all(of_host) {
            let problem = format!("{variable} is no host");
            return Err((
                CREDENTIALS.keys[0],
                Wrong::new(problem, "write a host, with or without a port"),
            ));
        }
        Ok(Source { file: None, identity: Identity::Machine(Machine { host: host.into() }) })
    }
}

impl Troubles<'_> {
    /// What is particular to Vertex AI; `model` is the name there.
    pub(super) fn vertex(
        &mut self,
        provider: &Provider,
        params: &Params,
        (credential, model): (&Credential, &str),
    ) -> Option<Vertex> {
        if provider.addressing != Addressing::Vertex || params.is_mock {
            return None;
        }
        let entry = self.entry;
        let has_key = params.api_key.is_some() || credential.key.is_some();
        let name = params.credential.as_ref().map(|given| &*given.text);
        let values = Values {
            own: entry.params,
            named: name.and_then(|name| entry.context.credentials.get(name)).copied(),
            settings: entry.context.litellm,
            env: &|name| entry.context.env.get(name),
            read: &|path| entry.context.env.read(path),
        };
        match values.vertex(model, has_key) {
            Ok(found) => Some(found),
            Err((key, wrong)) => {
                self.add(Lack::Setting, key, wrong.problem, wrong.hint);
                None
            }
        }
    }
}
