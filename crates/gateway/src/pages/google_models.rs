//! Which models there are, in the form of Google's clients.
//!
//! Called by [`super::models`] for their requests. Always true: a name that is listed can be asked for as it is written; a page
//! token is the name of the last model before it.

use http::{HeaderMap, HeaderName};
use serde::Serialize;

use super::PageRequest;
use super::models::Model;
use crate::http::refusal::{self, Refusal};

/// Headers that only Google's clients send.
const OF_GOOGLE: [HeaderName; 2] =
    [HeaderName::from_static("x-goog-api-key"), HeaderName::from_static("x-goog-api-client")];
/// How many models a list has at most, and where its client does not say. Source: <https://ai.google.dev/api/models>.
const PAGE_MAX: usize = 1_000;

/// Whether the client of a page that has no path of its own for Google's clients is one of them.
pub(crate) fn is_of_google(headers: &HeaderMap) -> bool {
    OF_GOOGLE.iter().any(|name| headers.contains_key(name))
}

/// One model.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GoogleModel {
    name: String,
    base_model_id: String,
    version: &'static str,
    display_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_token_limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_token_limit: Option<u64>,
    supported_generation_methods: &'static [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<bool>,
}

impl GoogleModel {
    /// The model, as it is known here.
    pub(super) fn of(model: &Model<'_>) -> GoogleModel {
        GoogleModel {
            name: format!("models/{}", model.id),
            base_model_id: model.id.clone().into_owned(),
            version: "001",
            display_name: model.id.clone().into_owned(),
            input_token_limit: model.max_input_tokens,
            output_token_limit: model.max_output_tokens,
            supported_generation_methods: match model.mode {
                None | Some("chat" | "responses") => {
                    &["generateContent", "streamGenerateContent", "countTokens"]
                }
                Some("embedding") => &["embedContent", "batchEmbedContents"],
                Some(_) => &[],
            },
            thinking: model.reasons,
        }
    }
}

/// A list of them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GoogleList {
    models: Vec<GoogleModel>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

impl GoogleList {
    /// The part of `models` that the request asks for.
    ///
    /// # Errors
    /// If it says how many in no number.
    pub(super) fn of(
        request: &PageRequest<'_>,
        mut models: Vec<Model<'_>>,
    ) -> Result<GoogleList, Refusal> {
        let size = request.parameter("pageSize").filter(|size| !size.is_empty());
        let size = match size.map(|size| size.parse::<usize>()) {
            None | Some(Ok(0)) => PAGE_MAX,
            Some(Ok(size)) => size.min(PAGE_MAX),
            Some(Err(_)) => {
                let problem = "`pageSize` must be a whole number";
                return Err(refusal::bad_parameter("pageSize", problem));
            }
        };
        if let Some(after) = request.parameter("pageToken").filter(|token| !token.is_empty()) {
            let begin = models.iter().position(|model| *model.id == *after).map_or(0, |at| at + 1);
            models.drain(..begin);
        }
        let has_more = models.len() > size;
        models.truncate(size);
        let last = models.last().filter(|_| has_more);
        let next_page_token = last.map(|model| model.id.clone().into_owned());
        Ok(GoogleList { models: models.iter().map(GoogleModel::of).collect(), next_page_token })
    }
}
