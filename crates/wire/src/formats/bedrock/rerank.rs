//! Ranks by the API of Bedrock's agents: the client's request in its format, and the answer in Cohere's shape.
//!
//! Called by the conversion. Always true: a rank is one search, and keeps the place of its document among the client's.
//!
//! Source: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_agent-runtime_Rerank.html>.

use hale_core::aws;

use super::FIX;
use crate::bytes::edit::Edit;
use crate::bytes::elements::elements;
use crate::bytes::fields::is_removed;
use crate::bytes::json::JsonText;
use crate::bytes::members::texts;
use crate::bytes::peek::Peek;
use crate::formats::neutral::Unfit;
use crate::formats::order::Order;
use crate::formats::room::Room;
use crate::formats::unfit::list_field;
use crate::formats::usage::count_of;
use crate::formats::view::View;

/// What the client asks for.
#[derive(Default)]
struct Asked<'r> {
    query: &'r str,
    documents: &'r str,
    top: Option<&'r str>,
}

/// The body for `peek` with `edits`.
pub(crate) fn write(peek: &Peek, edits: &[Edit<'_>], order: &Order<'_>) -> Result<Vec<u8>, Unfit> {
    let provider = &order.deployment.endpoint.provider.name;
    let mut asked = Asked { query: "\"\"", documents: "[]", top: None };
    for (name, raw) in peek.fields_with(edits) {
        if raw == "null" || is_removed(&name) {
            continue;
        }
        match &*name {
            // Documents are in an answer where Bedrock puts them.
            "model" | "user" | "metadata" | "return_documents" => {}
            "query" => asked.query = raw,
            "documents" => asked.documents = raw,
            "top_n" => asked.top = Some(raw),
            // A deployment's defaults are for chats.
            _ if order.drop_params || !peek.has(&name) => {}
            _ => return Err(Unfit::unsupported(&*name, provider, FIX)),
        }
    }
    let mut json = JsonText::with_room(asked.documents.len() * 2 + 512);
    json.open(b'{').key("queries").open(b'[').open(b'{').member("type", "TEXT");
    json.key("textQuery").open(b'{').raw_member("text", asked.query).close(b'}');
    json.close(b'}').close(b']').key("sources").open(b'[');
    let (room, mut count) = (Room::of(peek.body().len()), 0u64);
    for document in list_field("documents", asked.documents, &room)? {
        write_document(&mut json, document?)?;
        count += 1;
    }
    json.close(b']').key("rerankingConfiguration").open(b'{');
    json.member("type", "BEDROCK_RERANKING_MODEL").key("bedrockRerankingConfiguration").open(b'{');
    match asked.top.and_then(|raw| raw.parse::<u64>().ok()) {
        // More than there are is refused there.
        Some(top) if top > count => json.count_member("numberOfResults", count),
        Some(_) | None => match asked.top {
            Some(raw) => json.raw_member("numberOfResults", raw),
            None => json.count_member("numberOfResults", count),
        },
    };
    let arn = model_arn(order);
    json.key("modelConfiguration").open(b'{').member("modelArn", &arn).close(b'}');
    json.close(b'}').close(b'}').close(b'}');
    Ok(json.into_bytes())
}

/// The ARN of the model, which the body names.
fn model_arn(order: &Order<'_>) -> String {
    let aws = order.deployment.endpoint.aws.as_ref();
    let model = aws.and_then(|aws| aws.model_id.as_deref()).unwrap_or(order.upstream_model);
    if model.starts_with("arn:") {
        return model.to_owned();
    }
    let region = aws.map_or("", |aws| &*aws.region);
    let partition = aws::partition(region);
    format!("arn:{partition}:bedrock:{region}::foundation-model/{model}")
}

/// A document: a text, an object with a text, or another object.
fn write_document(json: &mut JsonText, document: &str) -> Result<(), Unfit> {
    let text = match document.as_bytes().first() {
        Some(b'"') => Some(document),
        Some(b'{') => {
            let wrong = |_| Unfit::malformed("documents", "an object that cannot be read");
            let [text] = texts(document, ["text"]).map_err(wrong)?;
            text.filter(|raw| raw.starts_with('"'))
        }
        _ => return Err(Unfit::malformed("documents", "each must be a text or an object")),
    };
    json.open(b'{').member("type", "INLINE").key("inlineDocumentSource").open(b'{');
    match text {
        Some(text) => {
            json.member("type", "TEXT").key("textDocument").open(b'{');
            json.raw_member("text", text).close(b'}');
        }
        None => {
            json.member("type", "JSON").raw_member("jsonDocument", document);
        }
    }
    json.close(b'}').close(b'}');
    Ok(())
}

/// The answer in `text` in the shape of Cohere's.
pub(crate) fn translate(text: &str, view: &View) -> Result<Vec<u8>, String> {
    let [results] = texts(text, ["results"]).map_err(|_| "it is no object".to_owned())?;
    let results = results.and_then(elements).ok_or("it has no list of `results`")?;
    let mut json = JsonText::with_room(text.len());
    json.open(b'{').member("id", view.answer_id.as_deref().unwrap_or_default());
    json.key("results").open(b'[');
    for result in results {
        let read = texts(result, ["index", "relevanceScore", "document"]);
        let [index, score, document] = read.map_err(|_| "a result that is no object".to_owned())?;
        let index = index.and_then(count_of).ok_or("a result without its `index`")?;
        let score = score.filter(|raw| raw.parse::<f64>().is_ok());
        let score = score.ok_or("a result without its `relevanceScore`")?;
        json.open(b'{').count_member("index", index).raw_member("relevance_score", score);
        if let Some(document) = document.and_then(plain) {
            json.raw_member("document", &document);
        }
        json.close(b'}');
    }
    json.close(b']').key("meta").open(b'{').key("billed_units").open(b'{');
    json.count_member("search_units", 1).close(b'}').close(b'}').close(b'}');
    Ok(json.into_bytes())
}

/// A document as Cohere's clients read it.
fn plain(document: &str) -> Option<String> {
    let [text, object] = texts(document, ["textDocument", "jsonDocument"]).ok()?;
    let [text] = texts(text.unwrap_or("{}"), ["text"]).ok()?;
    text.map(|text| format!("{{\"text\":{text}}}")).or_else(|| object.map(str::to_owned))
}
