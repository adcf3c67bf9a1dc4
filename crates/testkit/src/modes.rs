//! A provider that is strict: it knows images, speech, moderations, rerank and OCR, each with the fields
//! that its documentation names, and refuses every other field.
//!
//! Used by tests of requests and of checks. Always true: a field of another mode is a 400.
//!
//! Sources of the fields: <https://platform.openai.com/docs/api-reference/images/create>,
//! <https://platform.openai.com/docs/api-reference/audio/createSpeech>,
//! <https://platform.openai.com/docs/api-reference/moderations/create>,
//! <https://docs.cohere.com/reference/rerank>, <https://docs.cohere.com/v1/reference/rerank>,
//! <https://docs.mistral.ai/api/endpoint/ocr>.

use serde_json::{Value, json};

use crate::{Request, Script, openai};

/// A picture of one pixel, base64.
pub const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==";
/// What is spoken: the head of an MP3 file and some sound.
pub const SOUND: &[u8] = b"ID3\x04\x00\x00\x00\x00\x00\x00\xff\xfb\x90\x00sound";

/// The fields of a mode: what must be there, and what may.
struct Schema {
    path: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
}

const SCHEMAS: &[Schema] = &[
    Schema {
        path: "/images/generations",
        required: &["model", "prompt"],
        optional: &[
            "background",
            "moderation",
            "n",
            "output_compression",
            "output_format",
            "quality",
            "response_format",
            "size",
            "style",
            "user",
        ],
    },
    Schema {
        path: "/audio/speech",
        required: &["model", "input", "voice"],
        optional: &["instructions", "response_format", "speed", "stream_format"],
    },
    Schema { path: "/moderations", required: &["input"], optional: &["model"] },
    Schema {
        path: "/v1/rerank",
        required: &["model", "query", "documents"],
        optional: &["top_n", "max_chunks_per_doc", "rank_fields", "return_documents"],
    },
    Schema {
        path: "/rerank",
        required: &["model", "query", "documents"],
        optional: &["top_n", "max_tokens_per_doc", "priority"],
    },
    Schema {
        path: "/ocr",
        required: &["model", "document"],
        optional: &[
            "bbox_annotation_format",
            "confidence_scores_granularity",
            "document_annotation_format",
            "document_annotation_prompt",
            "extract_footer",
            "extract_header",
            "id",
            "image_limit",
            "image_min_size",
            "include_blocks",
            "include_image_base64",
            "pages",
            "table_format",
        ],
    },
];

/// The answer of a healthy and strict provider.
pub fn answer(request: &Request) -> Script {
    let path = request.path.split('?').next().unwrap_or_default();
    if request.method == "GET" {
        return Script::ok().json(&openai::models(&["m"]));
    }
    let Some(schema) = SCHEMAS.iter().find(|schema| path.ends_with(schema.path)) else {
        return Script::error(404, &format!("no such path: {path}"));
    };
    if let Some(problem) = problem(schema, &request.json()) {
        return Script::error(400, &problem);
    }
    good(request)
}

fn problem(schema: &Schema, body: &Value) -> Option<String> {
    let Some(fields) = body.as_object() else { return Some("no object".to_owned()) };
    let known = |name: &str| schema.required.contains(&name) || schema.optional.contains(&name);
    if let Some(unknown) = fields.keys().find(|name| !known(name)) {
        return Some(format!("Unknown parameter: '{unknown}'."));
    }
    let missing = schema.required.iter().find(|name| !fields.contains_key(**name));
    missing.map(|name| format!("Missing required parameter: '{name}'."))
}

/// What a good answer is, whatever was asked.
pub fn good(request: &Request) -> Script {
    let path = request.path.split('?').next().unwrap_or_default();
    match path.rsplit('/').next().unwrap_or_default() {
        "speech" => Script::ok().body("audio/mpeg", SOUND),
        "generations" => Script::ok().json(&image()),
        "moderations" => Script::ok().json(&verdict()),
        "rerank" => Script::ok().json(&ranks()),
        _ => Script::ok().json(&pages()),
    }
}

/// An image.
pub fn image() -> Value {
    json!({
        "created": 1_700_000_000, "data": [{"b64_json": PNG}], "output_format": "png",
        "size": "1024x1024", "quality": "low",
        "usage": {"total_tokens": 282, "input_tokens": 10, "output_tokens": 272,
                  "input_tokens_details": {"text_tokens": 10, "image_tokens": 0}},
    })
}

/// A moderation.
pub fn verdict() -> Value {
    json!({
        "id": "modr-1", "model": "omni-moderation-2024-09-26",
        "results": [{"flagged": false, "categories": {"violence": false},
                     "category_scores": {"violence": 0.001},
                     "category_applied_input_types": {"violence": ["text"]}}],
    })
}

/// Documents in order, as Cohere says it.
pub fn ranks() -> Value {
    json!({
        "id": "07734bd2",
        "results": [{"index": 1, "relevance_score": 0.99}, {"index": 0, "relevance_score": 0.1}],
        "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1.0}},
    })
}

/// A document that was read.
pub fn pages() -> Value {
    json!({
        "pages": [{"index": 0, "markdown": "# test", "images": [],
                   "dimensions": {"dpi": 200, "height": 2200, "width": 1700}}],
        "model": "mistral-ocr-2505-completion", "document_annotation": null,
        "usage_info": {"pages_processed": 1, "doc_size_bytes": 494},
    })
}
