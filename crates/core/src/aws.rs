//! What a deployment at Amazon Bedrock needs besides an address: a region, what signs its requests, and the way in which its
//! model is called.
//!
//! Built by [`crate::config`], used by the gateway's targets and by `hale-wire`. Always true: a model's name is one segment of a
//! path and cannot break out of it; a region has no characters but those of a host's label.
//!
//! Sources: <https://docs.aws.amazon.com/general/latest/gr/bedrock.html>,
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html>.

use crate::azure::escaped;
use crate::operation::Operation;
use crate::secret::Secret;
use crate::wire_format::WireFormat;

/// The name of the service in signatures, for each of its hosts.
pub const SERVICE: &str = "bedrock";
/// The region if nothing names one. Source: LiteLLM.
pub const DEFAULT_REGION: &str = "us-west-2";

/// What is particular to a deployment at Bedrock.
#[derive(Debug)]
pub struct Aws {
    /// The region of its address and of its signatures.
    pub region: Box<str>,
    /// The name or ARN that is called in place of the model's: `model_id`.
    pub model_id: Option<Box<str>>,
    /// How its model is called.
    pub route: Route,
    /// What signs its requests; `None` with a bearer key.
    pub source: Option<Source>,
}

/// Where the keys come from that sign requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The config, or the environment.
    Keys(Keys),
    /// Elsewhere, for a time.
    Chain(Box<Chain>),
}

/// How keys are got that are granted for a time, or that are in files.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Chain {
    /// The region of the service that grants keys, if its address does not say it.
    pub region: Box<str>,
    /// The address of that service, if the config names one.
    pub sts: Option<Box<str>>,
    /// The role that is taken on: `aws_role_name`.
    pub role: Option<Role>,
    /// The keys with which it is, if the config names some.
    pub keys: Option<Keys>,
    /// The profile of the shared files with which it is, or whose keys are used: `aws_profile_name`.
    pub profile: Option<Box<str>>,
    /// A token of another identity, or the path of a file with one: `aws_web_identity_token`.
    pub web_identity: Option<Box<str>>,
    /// What the environment says.
    pub machine: Machine,
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Role {
    /// Its ARN.
    pub arn: Box<str>,
    /// The name of the session: `aws_session_name`.
    pub session_name: Box<str>,
    /// What the role's owner demands: `aws_external_id`.
    pub external_id: Option<Box<str>>,
    /// What the session is marked with, names and values: `aws_session_tags`.
    pub tags: Vec<(Box<str>, Box<str>)>,
}

/// What the environment says of where keys are, each under the name that AWS's own libraries read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Machine {
    /// `HOME`.
    pub home: Option<Box<str>>,
    /// `AWS_CONFIG_FILE`.
    pub config_file: Option<Box<str>>,
    /// `AWS_SHARED_CREDENTIALS_FILE`.
    pub credentials_file: Option<Box<str>>,
    /// `AWS_WEB_IDENTITY_TOKEN_FILE`.
    pub token_file: Option<Box<str>>,
    /// `AWS_ROLE_ARN`.
    pub role: Option<Box<str>>,
    /// `AWS_CONTAINER_CREDENTIALS_FULL_URI`, or the address that `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` means.
    pub container: Option<Box<str>>,
    /// `AWS_CONTAINER_AUTHORIZATION_TOKEN`.
    pub container_token: Option<Secret>,
    /// `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`.
    pub container_token_file: Option<Box<str>>,
    /// The address of the metadata of an instance; `None` if `AWS_EC2_METADATA_DISABLED` says so.
    pub metadata: Option<Box<str>>,
}

/// The address of the service that grants keys in `region`.
#[must_use]
pub fn sts_address(region: &str) -> String {
    format!("https://sts.{region}.{}", suffix(region))
}

/// How a model is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Route {
    /// With Converse; for a client of Anthropic's format and a Claude with the bytes of that format.
    #[default]
    Fitting,
    /// With Converse: `converse/`.
    Converse,
    /// With the model's own format: `invoke/`.
    Invoke,
}

/// Keys that sign requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Keys {
    /// The id of the key.
    pub access_key: Box<str>,
    /// The key.
    pub secret_key: Secret,
    /// The token of a session, for keys that are granted for a time.
    pub token: Option<Secret>,
}

impl Aws {
    /// Its secrets.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let keys = self.source.iter().filter_map(|source| match source {
            Source::Keys(keys) => Some(keys),
            Source::Chain(chain) => chain.keys.as_ref(),
        });
        keys.flat_map(|keys| std::iter::once(&keys.secret_key).chain(&keys.token))
    }

    /// The wire on which `model` is called when a client asks for `operation`.
    #[must_use]
    pub fn wire(&self, operation: Operation, model: &str) -> WireFormat {
        let is_in_its_format = match self.route {
            Route::Invoke => operation.is_conversation(),
            Route::Fitting => operation == Operation::Messages && is_claude(model),
            Route::Converse => false,
        };
        if is_in_its_format { WireFormat::Anthropic } else { WireFormat::Converse }
    }

    /// The path of what is called of `model`, below `base`.
    #[must_use]
    pub fn path(&self, base: &str, below: &str, model: &str) -> String {
        let base = base.trim_end_matches('/');
        let model = self.model_id.as_deref().unwrap_or(model);
        // A mark of the context's length is for the price list.
        let model = model.strip_suffix("[1m]").unwrap_or(model);
        format!("{base}/model/{}{below}", escaped(model))
    }
}

/// Whether a model is one of Anthropic's.
#[must_use]
pub fn is_claude(model: &str) -> bool {
    model.contains("claude") || model.contains("anthropic")
}

/// What a model's name says, as LiteLLM writes it: `converse/eu-central-1/eu.anthropic.claude-...`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named<'n> {
    /// How it is called.
    pub route: Route,
    /// The region before the name, or inside an ARN.
    pub region: Option<&'n str>,
    /// The name that Bedrock knows, or the ARN.
    pub model: &'n str,
}

impl<'n> Named<'n> {
    /// Takes a name apart.
    #[must_use]
    pub fn of(name: &'n str) -> Named<'n> {
        let mut named = Named { route: Route::Fitting, region: None, model: name };
        while let Some((word, tail)) = named.model.split_once('/').filter(|(_, it)| !it.is_empty())
        {
            match word {
                "converse" => named.route = Route::Converse,
                "invoke" => named.route = Route::Invoke,
                word if is_region(word) => named.region = Some(word),
                // The family of an imported model, whose ARN does not tell it.
                _ if tail.starts_with("arn:") => {}
                _ => break,
            }
            named.model = tail;
        }
        named.region = region_of_arn(named.model).or(named.region);
        named
    }

    /// Whether the name is an ARN, which does not tell what model it is.
    #[must_use]
    pub fn is_arn(&self) -> bool {
        self.model.starts_with("arn:")
    }
}

fn region_of_arn(model: &str) -> Option<&str> {
    let tail = model.strip_prefix("arn:")?;
    tail.split(':').nth(2).filter(|region| is_region(region))
}

/// Where the models of an inference profile may run, by the word before their names: the words that are no region's.
const GEOGRAPHIES: [&str; 9] = ["us", "eu", "apac", "jp", "au", "ca", "sa", "us-gov", "global"];

/// The word before the name of a cross-region inference profile, and the name of its model.
#[must_use]
pub fn geography(model: &str) -> Option<(&str, &str)> {
    let name = match model.starts_with("arn:") {
        true => model.split_once("inference-profile/")?.1,
        false => model,
    };
    name.split_once('.').filter(|(word, _)| GEOGRAPHIES.contains(word))
}

/// Where requests for `model` are served from `region`: the region, or the word of the profile that may leave it; `None` where
/// that is not known.
#[must_use]
pub fn served_in<'m>(model: &'m str, region: &'m str) -> Option<&'m str> {
    match geography(model) {
        Some((word, _)) => Some(word),
        None if model.contains("inference-profile/") => None,
        None => Some(region),
    }
}

/// Whether that is a region of AWS: `eu-west-1`, `us-gov-east-1`.
#[must_use]
pub fn is_region(name: &str) -> bool {
    let parts: Vec<&str> = name.split('-').collect();
    let is_word = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    let Some((number, words)) = parts.split_last() else { return false };
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    is_number && number.len() < 3 && (2..=3).contains(&words.len()) && words.iter().all(is_word)
}

/// Whether a region can be a label of a host's name, so that an address made of it is one of AWS.
#[must_use]
pub fn is_label(region: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&region.len()) && region.bytes().all(is_plain) && !region.starts_with('-')
}

/// The end of the names of AWS's hosts in `region`. Source: the partitions of botocore.
#[must_use]
pub fn suffix(region: &str) -> &'static str {
    const PARTITIONS: [(&str, &str); 6] = [
        ("cn-", "amazonaws.com.cn"),
        ("us-iso-", "c2s.ic.gov"),
        ("us-isob-", "sc2s.sgov.gov"),
        ("us-isof-", "csp.hci.ic.gov"),
        ("eu-isoe-", "cloud.adc-e.uk"),
        ("eusc-", "amazonaws.eu"),
    ];
    let found = PARTITIONS.iter().find(|(start, _)| region.starts_with(start));
    found.map_or("amazonaws.com", |(_, suffix)| suffix)
}

/// The partition of a region, as ARNs name it. Source: the partitions of botocore.
#[must_use]
pub fn partition(region: &str) -> &'static str {
    const PARTITIONS: [(&str, &str); 7] = [
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-iso-", "aws-iso"),
        ("us-isob-", "aws-iso-b"),
        ("us-isof-", "aws-iso-f"),
        ("eu-isoe-", "aws-iso-e"),
        ("eusc-", "aws-eusc"),
    ];
    let found = PARTITIONS.iter().find(|(begin, _)| region.starts_with(begin));
    found.map_or("aws", |(_, partition)| partition)
}

/// The address of Bedrock in `region` for models of that `mode`: ranks are made by another host than all else.
#[must_use]
pub fn address(region: &str, mode: Option<&str>) -> String {
    let host = match mode {
        Some("rerank") => "bedrock-agent-runtime",
        _ => "bedrock-runtime",
    };
    format!("https://{host}.{region}.{}", suffix(region))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_how_and_where_a_model_is_called() {
        let arn =
            "arn:aws:bedrock:eu-central-1:111122223333:application-inference-profile/abc123def456";
        for (name, route, region, model) in [
            ("anthropic.claude-v2:1", Route::Fitting, None, "anthropic.claude-v2:1"),
            ("converse/us.amazon.nova-pro-v1:0", Route::Converse, None, "us.amazon.nova-pro-v1:0"),
            ("invoke/eu-west-1/m", Route::Invoke, Some("eu-west-1"), "m"),
            ("us-gov-west-1/anthropic.m", Route::Fitting, Some("us-gov-west-1"), "anthropic.m"),
            (arn, Route::Fitting, Some("eu-central-1"), arn),
            ("own/m", Route::Fitting, None, "own/m"),
            ("converse/", Route::Fitting, None, "converse/"),
        ] {
            assert_eq!(Named::of(name), Named { route, region, model }, "{name}");
        }
        let imported = format!("llama/{arn}");
        assert_eq!(Named::of(&imported).model, arn);
        let both = format!("us-east-1/{arn}");
        assert_eq!(Named::of(&both).region, Some("eu-central-1"), "an ARN knows best");
    }

    #[test]
    fn a_profile_that_may_leave_its_region_is_in_none() {
        for (model, expected) in [
            ("anthropic.claude-v2:1", Some("eu-west-1")),
            ("eu.anthropic.claude-v2:1", Some("eu")),
            ("global.anthropic.claude-v2:1", Some("global")),
            ("us-gov.anthropic.claude-v2:1", Some("us-gov")),
            ("arn:aws:bedrock:eu-west-1:1:inference-profile/eu.amazon.nova-pro-v1:0", Some("eu")),
            ("arn:aws:bedrock:eu-west-1:1:application-inference-profile/abc", None),
            ("arn:aws:bedrock:eu-west-1:1:provisioned-model/abc", Some("eu-west-1")),
        ] {
            assert_eq!(served_in(model, "eu-west-1"), expected, "{model}");
        }
    }

    #[test]
    fn addresses_follow_the_partition_and_names_stay_in_their_segment() {
        let of = |region| address(region, None);
        assert_eq!(of("us-east-1"), "https://bedrock-runtime.us-east-1.amazonaws.com");
        assert_eq!(of("cn-north-1"), "https://bedrock-runtime.cn-north-1.amazonaws.com.cn");
        assert_eq!(of("eusc-de-east-1"), "https://bedrock-runtime.eusc-de-east-1.amazonaws.eu");
        let agent = "https://bedrock-agent-runtime.us-west-2.amazonaws.com";
        assert_eq!(address("us-west-2", Some("rerank")), agent);
        let aws = |model_id: Option<&str>| Aws {
            region: "us-east-1".into(),
            model_id: model_id.map(Box::from),
            route: Route::Fitting,
            source: None,
        };
        let path = |id, model| aws(id).path("/x/", "/converse", model);
        assert_eq!(path(None, "us.anthropic.m-v1:0"), "/x/model/us.anthropic.m-v1%3A0/converse");
        assert_eq!(path(Some("arn:aws:b:p/q"), "m"), "/x/model/arn%3Aaws%3Ab%3Ap%2Fq/converse");
        assert_eq!(path(None, "../m[1m]"), "/x/model/..%2Fm/converse");
        assert!(is_label("us-east-1") && !is_label("us-east-1.evil.com") && !is_label(""));
    }
}
