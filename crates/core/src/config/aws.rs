//! The part of an entry that is about Amazon Bedrock: region, keys, the name that is called.
//!
//! Called by [`super::troubles`] for entries of provider `bedrock`. Always true: each value is the entry's own, else its
//! credential's, else the environment's; a region in the model's name comes before all of them.

use crate::aws::{Aws, DEFAULT_REGION, Keys, Named, is_label};
use crate::deployment::Lack;
use crate::secret::Secret;

use super::address;
use super::problem::{Wrong, shown};

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
    let keys = if *has_bearer { None } else { Some(keys(pair, token)?) };
    let model_id = written(MODEL_ID).map(Box::from);
    let aws = Aws { region: region.into(), model_id, route: named.route, keys };
    Ok(Found { aws, endpoint: written(ENDPOINT) })
}

fn keys(
    [access_key, secret_key]: [Option<String>; 2],
    token: Option<String>,
) -> Result<Keys, Trouble> {
    let half = |missing: &'static str, variable: &str| {
        let problem = format!("no {missing}, which the other half of the key needs");
        let hint = format!("set `{missing}`, or the variable {variable}");
        Err((Lack::Key, missing, Wrong::new(problem, hint)))
    };
    let (access_key, secret_key) = match (access_key, secret_key) {
        (Some(access_key), Some(secret_key)) => (access_key, secret_key),
        (Some(_), None) => return half("aws_secret_access_key", "AWS_SECRET_ACCESS_KEY"),
        (None, Some(_)) => return half("aws_access_key_id", "AWS_ACCESS_KEY_ID"),
        (None, None) => {
            let hint = "set `aws_access_key_id` and `aws_secret_access_key`, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, \
                        or `api_key`, a key of Bedrock";
            return Err((
                Lack::Key,
                "aws_access_key_id",
                Wrong::new("no credentials of AWS", hint),
            ));
        }
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
    Ok(Keys { access_key: access_key.into(), secret_key, token })
}
