//! Requests for embeddings, ranks and images in the formats of Bedrock's models, and their answers.

use bytes::Bytes;
use hale_core::aws::{Aws, Route};
use hale_core::deployment::Deployment;
use hale_core::operation::Operation;
use hale_core::provider::WireFormat;
use serde_json::{Value, json};

use crate::bytes::peek::Peek;
use crate::conversion::answer::check;
use crate::conversion::prepare::{Conversion, Prepared, prepare};
use crate::fixture::{deployment, order, view};
use crate::formats::answer::Fault;
use crate::formats::neutral::Unfit;

fn at_bedrock() -> Deployment {
    let mut made = deployment("bedrock");
    let (region, route) = ("cn-north-1".into(), Route::Fitting);
    made.endpoint.aws = Some(Aws { region, model_id: None, route, source: None });
    made
}

fn sent(operation: Operation, model: &str, body: &Value) -> Result<Vec<Value>, Unfit> {
    let to = at_bedrock();
    let peek = Peek::parse(Bytes::from(body.to_string())).unwrap();
    let read = |body: Bytes| serde_json::from_slice(&body).unwrap();
    prepare(&peek, &order(&to, operation, model)).map(|prepared| match prepared {
        Prepared::Body(_, body, _) => vec![read(body.joined())],
        Prepared::Several(_, all, _) => all.iter().map(|one| read(one.body.joined())).collect(),
        other => panic!("{other:?}"),
    })
}

fn answered(operation: Operation, body: &Value) -> Result<Value, Fault> {
    let conversion = Conversion { operation, wire: WireFormat::Converse };
    let answer = check(conversion, &Bytes::from(body.to_string()), &view())?;
    Ok(serde_json::from_slice(&answer.body).unwrap())
}

#[test]
fn each_family_of_embeddings_has_its_own_format() {
    let input = json!({"model": "m", "input": "hi", "dimensions": 256, "user": "u"});
    let of = |model: &str, body: &Value| {
        sent(Operation::Embedding, model, body).map(|mut all| all.remove(0))
    };
    for (model, expected) in [
        ("amazon.titan-embed-text-v2:0", json!({"inputText": "hi", "dimensions": 256})),
        (
            "amazon.titan-embed-image-v1",
            json!({"inputText": "hi", "embeddingConfig": {"outputEmbeddingLength": 256}}),
        ),
        (
            "us.cohere.embed-v4:0",
            json!({"texts": ["hi"], "input_type": "search_document", "output_dimension": 256}),
        ),
        (
            "amazon.nova-2-multimodal-embeddings-v1:0",
            json!({"schemaVersion": "nova-multimodal-embed-v1", "taskType": "SINGLE_EMBEDDING",
                "singleEmbeddingParams": {"embeddingPurpose": "GENERIC_INDEX", "embeddingDimension": 256,
                    "text": {"truncationMode": "END", "value": "hi"}}}),
        ),
    ] {
        assert_eq!(of(model, &input), Ok(expected), "{model}");
    }
    let why = of("amazon.titan-embed-text-v1", &input).unwrap_err();
    assert_eq!(why.field, "dimensions", "the first has one size");
    let image = json!({"model": "m", "input": ["data:image/png;base64,AAAA"]});
    assert_eq!(of("amazon.titan-embed-image-v1", &image), Ok(json!({"inputImage": "AAAA"})));
    let query = json!({"model": "m", "input": "hi", "input_type": "search_query"});
    let nova = of("amazon.nova-2-multimodal-embeddings-v1:0", &query).unwrap();
    assert_eq!(nova["singleEmbeddingParams"]["embeddingPurpose"], "GENERIC_RETRIEVAL");
    assert_eq!(of("amazon.titan-embed-text-v1", &query), Ok(json!({"inputText": "hi"})));
    for wrong in [json!([]), json!([[1, 2]]), json!([1])] {
        let body = json!({"model": "m", "input": wrong});
        assert_eq!(of("amazon.titan-embed-text-v2:0", &body).unwrap_err().field, "input");
    }
}

#[test]
fn inputs_are_shared_out_over_calls_without_copies_of_all_else() {
    let texts: Vec<String> = (0..200).map(|at| format!("t{at}")).collect();
    let body = json!({"model": "m", "input": texts, "metadata": {"huge": "x".repeat(1 << 16)}});
    for (model, most) in [("amazon.titan-embed-text-v2:0", 1), ("cohere.embed-english-v3", 96)] {
        let all = sent(Operation::Embedding, model, &body).unwrap();
        assert_eq!(all.len(), 200_usize.div_ceil(most), "{model}");
        let text = Value::from(all).to_string();
        assert!(text.len() < 1 << 15, "{model}: {}", text.len());
        let places: Vec<Option<usize>> =
            texts.iter().map(|t| text.find(&format!("\"{t}\""))).collect();
        assert!(places.is_sorted() && places.iter().all(Option::is_some), "{model}");
    }
}

#[test]
fn answers_of_every_family_are_read() {
    for (body, tokens) in [
        (json!({"embedding": [1, 0.5], "inputTextTokenCount": 7}), 7),
        (json!({"embeddingsByType": {"float": [1, 0.5]}, "inputTextTokenCount": 7}), 7),
        (json!({"embeddings": [[1, 0.5]], "id": "x"}), 0),
        (json!({"embeddings": {"float": [[1, 0.5]]}}), 0),
        (json!({"embeddings": [{"embeddingType": "TEXT", "embedding": [1, 0.5]}]}), 0),
    ] {
        let answer = answered(Operation::Embedding, &body).unwrap();
        assert_eq!(
            answer["data"],
            json!([{"object": "embedding", "index": 0, "embedding": [1, 0.5]}])
        );
        assert_eq!(
            (&answer["model"], &answer["usage"]["prompt_tokens"]),
            (&json!("mine"), &json!(tokens))
        );
    }
    for body in
        [json!({}), json!({"embedding": []}), json!({"embedding": "x"}), json!({"embeddings": [1]})]
    {
        assert!(answered(Operation::Embedding, &body).is_err(), "{body}");
    }
}

#[test]
fn ranks_name_the_model_by_its_arn_and_keep_their_places() {
    let body = json!({"model": "m", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 9,
        "return_documents": true});
    let asked = sent(Operation::Rerank, "amazon.rerank-v1:0", &body).unwrap().remove(0);
    let of_model = &asked["rerankingConfiguration"]["bedrockRerankingConfiguration"];
    assert_eq!(of_model["numberOfResults"], 2, "there are no more");
    let arn = "arn:aws-cn:bedrock:cn-north-1::foundation-model/amazon.rerank-v1:0";
    assert_eq!(of_model["modelConfiguration"]["modelArn"], arn);
    let own = "arn:aws:bedrock:us-west-2::foundation-model/x";
    let asked = sent(Operation::Rerank, own, &body).unwrap().remove(0);
    assert!(asked.to_string().contains(own));
    let why = sent(Operation::Rerank, "m", &json!({"query": "q", "documents": [1]})).unwrap_err();
    assert_eq!(why.field, "documents");
    let document = json!({"type": "TEXT", "textDocument": {"text": "b"}});
    let answer = json!({"results": [{"index": 1, "relevanceScore": 0.9, "document": document},
        {"index": 0, "relevanceScore": 1e-3}]});
    let answer = answered(Operation::Rerank, &answer).unwrap();
    assert_eq!(
        answer["results"],
        json!([{"index": 1, "relevance_score": 0.9, "document": {"text": "b"}}, {"index": 0, "relevance_score": 1e-3}])
    );
    for broken in [json!([{"relevanceScore": 1}]), json!([{"index": 0}]), json!([1]), json!("x")] {
        assert!(answered(Operation::Rerank, &json!({"results": broken})).is_err(), "{broken}");
    }
}

#[test]
fn images_are_counted_and_a_refusal_for_what_they_show_is_one_of_policy() {
    let body = json!({"model": "m", "prompt": "cat", "negative_prompt": "dog", "seed": 7, "quality": "low"});
    let asked = sent(Operation::GenerateImage, "amazon.titan-image-generator-v2:0", &body).unwrap();
    assert_eq!(
        asked[0],
        json!({"taskType": "TEXT_IMAGE", "textToImageParams": {"text": "cat", "negativeText": "dog"},
            "imageGenerationConfig": {"seed": 7, "quality": "standard"}})
    );
    let why = sent(Operation::GenerateImage, "stability.sd3-5-large-v1:0", &body).unwrap_err();
    assert_eq!(why.field, "model");
    let answer = answered(Operation::GenerateImage, &json!({"images": ["AA==", "AQ=="]})).unwrap();
    assert_eq!(answer["data"], json!([{"b64_json": "AA=="}, {"b64_json": "AQ=="}]));
    let blocked = json!({"images": [], "error": "blocked by our content filters"});
    let Err(Fault::Error(error)) = answered(Operation::GenerateImage, &blocked) else { panic!() };
    assert_eq!(error.code.as_deref(), Some("content_filter"));
    for broken in [json!({"images": []}), json!({}), json!({"images": [1]}), json!({"images": "x"})]
    {
        assert!(
            matches!(answered(Operation::GenerateImage, &broken), Err(Fault::Malformed(_))),
            "{broken}"
        );
    }
}
