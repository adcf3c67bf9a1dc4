//! The shape of the answer, where the target's language for schemas is another one.
//!
//! Called by [`super`]. Always true: what is left in `format` the target can express after it was rewritten.

use std::borrow::Cow;

use hale_core::provider::WireFormat;

use crate::formats::answer_tool;
use crate::formats::anthropic::effort;
use crate::formats::bedrock;
use crate::formats::gemini;
use crate::formats::neutral::{Format, Request, Tool, ToolChoice, Unfit};
use crate::formats::notes::{AnswerTool, Notes};
use crate::formats::order::Order;
use crate::formats::schema;

/// Where the schema stands in errors.
const FIELD: &str = "response_format";

/// Fits the shape of the answer.
pub(super) fn fit(
    request: &mut Request<'_>,
    order: &Order<'_>,
    notes: &mut Notes,
) -> Result<(), Unfit> {
    if !needs_tool(request, order)? {
        return Ok(());
    }
    let provider = order.deployment.endpoint.provider;
    let Some(Format::Schema { schema, .. }) = request.format.take() else { return Ok(()) };
    if !schema::is_of_object(&schema) {
        return Err(Unfit::unsupported(
            FIELD,
            &provider.name,
            "its schema must be that of an object, because the answer is the input of a tool there",
        ));
    }
    let is_taken = |tool: &Tool<'_>| match tool {
        Tool::Function { name, .. } => name == answer_tool::NAME,
        Tool::Native(_) => false,
    };
    if request.tools.iter().any(is_taken) {
        let name = answer_tool::NAME;
        let fix = format!("rename the tool `{name}`, which stands for the answer there");
        return Err(Unfit::unsupported(FIELD, &provider.name, &fix));
    }
    let has_choice = !matches!(request.tool_choice, Some(ToolChoice::Nothing));
    request.tool_choice = Some(match !request.tools.is_empty() && has_choice {
        true => ToolChoice::Any,
        false => {
            request.parallel_tools = Some(false);
            ToolChoice::Named(Cow::Borrowed(answer_tool::NAME))
        }
    });
    request.tools.push(Tool::Function {
        name: Cow::Borrowed(answer_tool::NAME),
        description: Some(Cow::Borrowed(answer_tool::DESCRIPTION)),
        schema: Some(schema),
        strict: None,
        cache: None,
    });
    notes.answer_tool = AnswerTool::Offered;
    if matches!(order.wire(), WireFormat::Gemini | WireFormat::Cohere) {
        return Ok(());
    }
    // A model that thinks cannot be made to call a tool.
    super::turn_off(request, notes, super::no_thinking(order.wire()));
    Ok(())
}

/// Whether the shape becomes the input of a tool. A shape that the model is told in the prompt is taken away.
fn needs_tool(request: &mut Request<'_>, order: &Order<'_>) -> Result<bool, Unfit> {
    let provider = order.deployment.endpoint.provider;
    Ok(match (&request.format, order.wire()) {
        (None, _) | (Some(Format::JsonObject), WireFormat::OpenAi | WireFormat::Responses) => false,
        (Some(_), WireFormat::Ollama) => false,
        // Older models of Google's have no shape beside tools.
        (Some(_), WireFormat::Gemini)
            if request.tools.is_empty() || gemini::Model(order.upstream_model).is_newer() =>
        {
            false
        }
        (Some(_), WireFormat::Cohere) if request.tools.is_empty() => false,
        (Some(Format::JsonObject), WireFormat::Converse) => {
            if !bedrock::Model(order.upstream_model).is_claude() && !order.drop_params {
                let fix = "ask for a schema (`json_schema`), or set `drop_params: true`";
                return Err(Unfit::unsupported(FIELD, &provider.name, fix));
            }
            request.format = None;
            false
        }
        (Some(Format::Schema { schema, .. }), WireFormat::Converse) => {
            !bedrock::Model(order.upstream_model).has_schemas()
                || schema::is_circular(schema)
                || schema::is_composed(schema)
        }
        (Some(Format::Schema { .. }), WireFormat::Gemini | WireFormat::Cohere) => true,
        (
            Some(Format::JsonObject),
            WireFormat::Anthropic | WireFormat::Gemini | WireFormat::Cohere,
        ) => {
            // The model is told in the prompt, as the format demands of its clients.
            request.format = None;
            false
        }
        (Some(Format::Schema { schema, .. }), WireFormat::Anthropic) => {
            !effort::has_schemas(order.upstream_model)
                || schema::is_circular(schema)
                || schema::is_composed(schema)
        }
        (Some(Format::Schema { .. }), WireFormat::Responses) => false,
        (Some(Format::Schema { .. }), WireFormat::OpenAi) => provider.quirks.lacks_json_schema,
    })
}
