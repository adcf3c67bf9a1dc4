//! The part of an entry that is about Amazon Bedrock: region, keys, the name that is called.
//!
//! Called by [`super::troubles`] for entries of provider `bedrock`. Always true: each value is the entry's own, else its
//! credential's, else the environment's; a region in the model's name comes before all of them.

use crate::aws::{Aws, Chain, DEFAULT_REGION, Keys, Machine, Named, Role, Source, is_label};
use crate::deployment::Lack;
use crate::secret::Secret;

use super::address;
use super::problem::{Wrong, shown};
use super::tree::Node;
use super::value;

/// Where a value may be: the keys in `litellm_params` and `credential_values`, and the variables, the first of each that is set.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) keys: &'static [&'static str],
    pub(super) variables: &'static [&'static str],
}

const ACCESS_KEY: Place = Place { keys: &["aws_access_key_id"], variables: &["AWS_ACCESS_KEY_ID"] };
const SECRET_KEY: Place =
    Place { keys: &["aws_secret_access_key"], variables: &["AWS_SECRET_ACCESS_KEY"] };
const TOKEN: Place = Place { keys: &["aws_session_token"], variables: &["AWS_SESSION_TOKEN"] };
const REGION: Place = Place {
    keys: &["aws_region_name", "region_name"],
    variables: &["AWS_REGION_NAME", "AWS_REGION", "AWS_DEFAULT_REGION"],
};
const ENDPOINT: Place = Place { keys: &["aws_bedrock_runtime_endpoint"], variables: &[] };
const PROFILE: Place =
    Place { keys: &["aws_profile_name"], variables: &["AWS_PROFILE_NAME", "AWS_PROFILE"] };
const ROLE: Place = Place { keys: &["aws_role_name"], variables: &["AWS_ROLE_NAME"] };
const SESSION: Place = Place { keys: &["aws_session_name"], variables: &["AWS_SESSION_NAME"] };
const EXTERNAL_ID: Place = Place { keys: &["aws_external_id"], variables: &["AWS_EXTERNAL_ID"] };
const WEB_IDENTITY: Place =
    Place { keys: &["aws_web_identity_token"], variables: &["AWS_WEB_IDENTITY_TOKEN"] };
const STS: Place = Place { keys: &["aws_sts_endpoint"], variables: &["AWS_STS_ENDPOINT"] };
/// The name of a session if none is given.
const SESSION_NAME: &str = "hale";
/// Where containers are told their keys, if their environment names a path alone. Source: botocore.
const CONTAINERS: &str = "http://169.254.170.2";
/// Where an instance is told its keys.
const METADATA: &str = "http://169.254.169.254";
const MODEL_ID: Place = Place { keys: &["model_id"], variables: &[] };

/// What is particular to Bedrock in an entry.
pub(super) struct Found {
    /// What the deployment has of it.
    pub(super) aws: Aws,
    /// `aws_bedrock_runtime_endpoint`.
    pub(super) endpoint: Option<String>,
}

/// Why a value cannot be used: at which key, and what is wrong.
pub(super) type Trouble = (Lack, &'static str, Wrong);

/// Where the values are.
pub(super) struct Values<W, E> {
    /// What the config has at a place.
    pub(super) written: W,
    /// What the environment has there.
    pub(super) of_env: E,
    /// Whether there is a bearer key, which comes before all signatures.
    pub(super) has_bearer: bool,
}

/// Reads it; `model` is the name behind the provider's.
pub(super) fn read<W, E>(model: &str, values: &Values<W, E>) -> Result<Found, Trouble>
where
    W: Fn(Place) -> Option<String>,
    E: Fn(Place) -> Option<String>,
{
    let Values { written, of_env, has_bearer } = values;
    let named = Named::of(model);
    let region = named.region.map(str::to_owned);
    let region = region.or_else(|| written(REGION)).or_else(|| of_env(REGION));
    let region = region.unwrap_or_else(|| DEFAULT_REGION.to_owned());
    if !is_label(&region) {
        let problem = format!("`{}` is no region of AWS", shown(&region));
        let wrong = Wrong::new(problem, "write a name such as `eu-central-1`");
        return Err((Lack::Setting, "aws_region_name", wrong));
    }
    // Keys of the config are a pair, and so are those of the environment.
    let pair = [ACCESS_KEY, SECRET_KEY].map(written);
    let (pair, token) = match pair {
        [None, None] => ([ACCESS_KEY, SECRET_KEY].map(of_env), of_env(TOKEN)),
        pair => (pair, written(TOKEN)),
    };
    let keys = if *has_bearer { None } else { keys(pair, token)? };
    let source = if *has_bearer { None } else { Some(source(&region, keys, values)?) };
    let model_id = written(MODEL_ID).map(Box::from);
    let aws = Aws { region: region.into(), model_id, route: named.route, source };
    Ok(Found { aws, endpoint: written(ENDPOINT) })
}

/// Where the keys come from.
fn source<W, E>(region: &str, keys: Option<Keys>, values: &Values<W, E>) -> Result<Source, Trouble>
where
    W: Fn(Place) -> Option<String>,
    E: Fn(Place) -> Option<String>,
{
    let Values { written, of_env, .. } = values;
    let text = |place: Place| written(place).or_else(|| of_env(place)).map(Box::<str>::from);
    let role = text(ROLE).map(|arn| Role {
        arn,
        session_name: text(SESSION).unwrap_or_else(|| SESSION_NAME.into()),
        external_id: text(EXTERNAL_ID),
        tags: Vec::new(),
    });
    let web_identity = text(WEB_IDENTITY);
    if role.is_none() && web_identity.is_some() {
        let problem = "needs `aws_role_name`, the role that is taken on with the token";
        let wrong = Wrong::new(problem, "set `aws_role_name`");
        return Err((Lack::Setting, "aws_web_identity_token", wrong));
    }
    // A profile of the entry comes before keys of the environment.
    let profile = written(PROFILE).map(Box::from);
    match (role.is_some(), &profile, keys) {
        (false, None, Some(keys)) => Ok(Source::Keys(keys)),
        (_, _, keys) => {
            let sts = match text(STS) {
                None => None,
                Some(text) => Some(
                    address::api_base(&text)
                        .map_err(|wrong| (Lack::Setting, "aws_sts_endpoint", wrong))?,
                ),
            };
            let keys = if profile.is_some() { None } else { keys };
            let profile = profile.or_else(|| {
                let is_open = keys.is_none() && web_identity.is_none();
                is_open.then(|| of_env(PROFILE).map(Box::from)).flatten()
            });
            let machine = machine(of_env);
            let region = region.into();
            let chain = Chain { region, sts, role, keys, profile, web_identity, machine };
            Ok(Source::Chain(Box::new(chain)))
        }
    }
}

/// What the environment says of where keys are.
fn machine(of_env: impl Fn(Place) -> Option<String>) -> Machine {
    let env = |variables: &'static [&'static str]| {
        of_env(Place { keys: &[], variables }).map(Box::<str>::from)
    };
    let full = env(&["AWS_CONTAINER_CREDENTIALS_FULL_URI"]);
    let relative = env(&["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]);
    let is_off = env(&["AWS_EC2_METADATA_DISABLED"]);
    let metadata = env(&["AWS_EC2_METADATA_SERVICE_ENDPOINT"]);
    Machine {
        home: env(&["HOME"]),
        config_file: env(&["AWS_CONFIG_FILE"]),
        credentials_file: env(&["AWS_SHARED_CREDENTIALS_FILE"]),
        token_file: env(&["AWS_WEB_IDENTITY_TOKEN_FILE"]),
        role: env(&["AWS_ROLE_ARN"]),
        container: full.or_else(|| relative.map(|path| format!("{CONTAINERS}{path}").into())),
        container_token: env(&["AWS_CONTAINER_AUTHORIZATION_TOKEN"]).map(|it| Secret::new(&it)),
        container_token_file: env(&["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]),
        metadata: match is_off.as_deref().is_some_and(|word| word.eq_ignore_ascii_case("true")) {
            true => None,
            false => Some(metadata.unwrap_or_else(|| METADATA.into())),
        },
    }
}

/// The key of the tags of a session.
pub(super) const TAGS: &str = "aws_session_tags";
/// How many tags a session may have. Source: <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>.
const TAGS_MAX: usize = 50;

/// Marks the session of `aws`'s role with the tags in `node`.
pub(super) fn tag(aws: &mut Aws, node: &Node) -> Result<(), Trouble> {
    let wrong = |problem: String, hint: &str| (Lack::Setting, TAGS, Wrong::new(problem, hint));
    let role = match &mut aws.source {
        Some(Source::Chain(chain)) => chain.role.as_mut(),
        Some(Source::Keys(_)) | None => None,
    };
    let Some(role) = role else {
        let problem = "needs `aws_role_name`, the role whose session has the tags".to_owned();
        return Err(wrong(problem, "set `aws_role_name`, or remove the tags"));
    };
    let form = "write a list of `{Key: NAME, Value: VALUE}`";
    let tags =
        value::list(node).ok().and_then(|all| all.iter().map(one_tag).collect::<Option<Vec<_>>>());
    role.tags = tags.ok_or_else(|| wrong("is no list of tags".to_owned(), form))?;
    if role.tags.len() > TAGS_MAX {
        return Err(wrong(format!("has more than {TAGS_MAX} tags"), "remove some"));
    }
    Ok(())
}

fn one_tag(node: &Node) -> Option<(Box<str>, Box<str>)> {
    let map = node.as_map()?;
    let text = |name: &str| map.get(name).and_then(Node::text).map(Box::<str>::from);
    text("Key").filter(|name| !name.is_empty()).zip(text("Value"))
}

fn keys(
    [access_key, secret_key]: [Option<String>; 2],
    token: Option<String>,
) -> Result<Option<Keys>, Trouble> {
    let half = |missing: &'static str, variable: &str| {
        let problem = format!("no {missing}, which the other half of the key needs");
        let hint = format!("set `{missing}`, or the variable {variable}");
        Err((Lack::Key, missing, Wrong::new(problem, hint)))
    };
    let (access_key, secret_key) = match (access_key, secret_key) {
        (Some(access_key), Some(secret_key)) => (access_key, secret_key),
        (Some(_), None) => return half("aws_secret_access_key", "AWS_SECRET_ACCESS_KEY"),
        (None, Some(_)) => return half("aws_access_key_id", "AWS_ACCESS_KEY_ID"),
        (None, None) => return Ok(None),
    };
    let texts = [
        ("aws_access_key_id", Some(&access_key)),
        ("aws_secret_access_key", Some(&secret_key)),
        ("aws_session_token", token.as_ref()),
    ];
    for (key, text) in texts {
        if let Some(Err(wrong)) = text.map(|text| address::key(text)) {
            return Err((Lack::Key, key, wrong));
        }
    }
    let token = token.map(|text| Secret::new(&text));
    let secret_key = Secret::new(&secret_key);
    Ok(Some(Keys { access_key: access_key.into(), secret_key, token }))
}
