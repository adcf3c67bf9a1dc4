//! Whose model an entry means: bare names, addresses, a bare star, and what is told where a provider is not served.

use super::*;
use crate::operation::Operation;
use crate::provider::WireFormat;
use crate::takes::LimitName;

/// Provider, model and address of each deployment.
fn places(snapshot: &Snapshot) -> Vec<(String, String, String)> {
    let place = |deployment: &std::sync::Arc<Deployment>| {
        let endpoint = &deployment.endpoint;
        (
            endpoint.provider.name.to_string(),
            endpoint.upstream_model.to_string(),
            endpoint.api_base.to_string(),
        )
    };
    snapshot.deployments.iter().map(place).collect()
}

fn star(more: &str) -> Fake {
    Fake::new(&format!(
        "model_list:\n- {{model_name: '*', litellm_params: {{model: '*'{more}}}}}\n"
    ))
}

#[test]
fn a_bare_star_stands_for_the_providers_whose_key_is_in_the_environment() {
    let fake = star(", rpm: 9")
        .env("OPENAI_API_KEY", "k1")
        .env("ANTHROPIC_API_KEY", "k2")
        .env("OLLAMA_API_BASE", "http://o:1");
    let snapshot = fake.clean();
    let names: Vec<&str> = snapshot.groups.iter().map(|group| &*group.name).collect();
    assert_eq!(names, ["anthropic/*", "ollama/*", "openai/*"]);
    for deployment in &snapshot.deployments {
        assert_eq!(
            (&*deployment.endpoint.upstream_model, deployment.routing.limits.rpm),
            ("*", Some(9))
        );
        assert!(deployment.misconfigured.is_none(), "{deployment:?}");
    }
    // A pattern that the list has itself is not made again.
    let own = "model_list:
- {model_name: 'openai/*', litellm_params: {model: 'openai/*', api_key: own}}
- {model_name: '*', litellm_params: {model: '*'}}
";
    let snapshot = Fake::new(own).env("OPENAI_API_KEY", "k1").env("GROQ_API_KEY", "k2").clean();
    let names: Vec<&str> = snapshot.groups.iter().map(|group| &*group.name).collect();
    assert_eq!(names, ["openai/*", "groq/*"]);
    assert_eq!(snapshot.deployments.len(), 2);
}

#[test]
fn a_bare_star_with_a_key_or_an_address_is_openais() {
    let snapshot = star(", api_key: k").env("GROQ_API_KEY", "g").clean();
    assert_eq!(
        places(&snapshot),
        [("openai".into(), "*".into(), "https://api.openai.com/v1".into())]
    );
    let snapshot = star(", api_key: k, api_base: 'http://gpu:8000/v1'").clean();
    assert_eq!(&*snapshot.groups[0].name, "*");
    assert_eq!(places(&snapshot), [("openai".into(), "*".into(), "http://gpu:8000/v1".into())]);
    let snapshot = star(", api_key: k, custom_llm_provider: groq").clean();
    assert_eq!(places(&snapshot)[0].0, "groq");
    let (snapshot, warnings) = star("").warned();
    assert!(one(&warnings, "names no provider").contains("OPENAI_API_KEY"));
    assert!(snapshot.deployments[0].misconfigured.is_some());
}

#[test]
fn an_address_in_a_credential_says_whose_model_it_is() {
    let yaml = "model_list:
- {model_name: m, litellm_params: {model: llama-3.3-70b, litellm_credential_name: c}}
credential_list:
- {credential_name: c, credential_values: {api_key: k, api_base: 'https://api.groq.com/openai/v1'}}
";
    assert_eq!(places(&Fake::new(yaml).clean())[0].0, "groq");
    let by_base_url = "model_list:
- {model_name: m, litellm_params: {model: x, api_key: k, base_url: 'https://api.x.ai/v1'}}
";
    assert_eq!(places(&Fake::new(by_base_url).clean())[0].0, "xai");
}

#[test]
fn a_provider_that_is_not_served_is_told_before_a_variable_that_is_not_set() {
    let yaml = "model_list:
- {model_name: m, litellm_params: {model: bedrock_mantle/x, aws_region_name: os.environ/NO_REGION, api_key: os.environ/NO_KEY}}
";
    let (snapshot, warnings) = Fake::new(yaml).warned();
    let found = snapshot.deployments[0].misconfigured.as_ref().unwrap();
    assert!(found.problem.contains("not served"), "{found:?}");
    assert!(found.hint.contains("api_base: https://bedrock-mantle"), "{found:?}");
    one(&warnings, "provider `bedrock_mantle` is not served");
}

#[test]
fn a_key_of_voyages_says_at_which_address_it_is_valid() {
    let base = |params: &str, env: &[(&str, &str)]| {
        let yaml = format!(
            "model_list:\n- {{model_name: m, litellm_params: {{model: voyage/voyage-3.5{params}}}}}\n"
        );
        let mut fake = Fake::new(&yaml);
        for (name, value) in env {
            fake = fake.env(name, value);
        }
        fake.warned().0.deployments[0].endpoint.api_base.to_string()
    };
    let (usual, other) = ("https://api.voyageai.com/v1", "https://ai.mongodb.com/v1");
    assert_eq!(base(", api_key: pa-x", &[]), usual);
    assert_eq!(base(", api_key: al-x", &[]), other);
    assert_eq!(base("", &[("VOYAGE_API_KEY", "al-x")]), other);
    assert_eq!(base("", &[("VOYAGE_AI_TOKEN", "pa-x")]), usual);
    assert_eq!(base(", api_key: al-x, api_base: 'http://own/v1'", &[]), "http://own/v1");
}

#[test]
fn models_of_cohere_have_two_names_and_what_is_not_served_is_told_at_once() {
    let of = |model: &str, more: &str| {
        let yaml = format!(
            "model_list:\n- {{model_name: m, litellm_params: {{model: {model}, api_key: k}}, {more}}}\n"
        );
        let (snapshot, _) = Fake::new(&yaml).warned();
        let deployment = &snapshot.deployments[0];
        let name = deployment.endpoint.upstream_model.to_string();
        (name, deployment.misconfigured.as_ref().map(|found| found.problem.clone()))
    };
    for (model, name) in [
        ("cohere/command-a-03-2025", "command-a-03-2025"),
        ("cohere/my-own", "my-own"),
        ("cohere_chat/command-r", "command-r"),
        ("cohere_chat/v2/command-r", "command-r"),
        ("cohere/embed-v4.0", "embed-v4.0"),
    ] {
        assert_eq!(of(model, ""), (name.to_owned(), None), "{model}");
    }
    for (model, more, part) in [
        ("cohere_chat/v1/command-r", "", "the first version of Cohere's chat"),
        ("cohere/x", "model_info: {mode: image_generation}", "`x` is for image_generation"),
    ] {
        let problem = of(model, more).1.unwrap();
        assert!(problem.contains(part), "{model} {problem}");
    }
    let yaml = "model_list:
- {model_name: m, litellm_params: {model: cohere/my-own, api_key: k}, model_info: {mode: rerank}}
- {model_name: n, litellm_params: {model: cohere/rerank-v9, api_key: k}}
";
    assert!(Fake::new(yaml).clean().deployments.iter().all(|one| one.misconfigured.is_none()));
}

#[test]
fn the_lines_for_an_address_of_anthropics_format_send_no_key_to_a_server_of_others() {
    let told = |params: &str, more: &str| {
        let text =
            format!("model_list:\n- {{model_name: m, litellm_params: {{{params}}}}}\n{more}");
        let fake = Fake::new(&text).env("OPENAI_API_KEY", "k").env("GROQ_API_KEY", "k");
        let (snapshot, _) = fake.warned();
        snapshot.deployments[0].misconfigured.clone().expect("it is misconfigured")
    };
    let own = "own";
    for (params, more, says) in [
        ("model: openai/x, api_base: 'https://h.example/anthropic', api_key: k", "", own),
        (
            "model: openai/x, api_base: 'https://h.example/v1/messages', api_key: os.environ/GONE",
            "",
            own,
        ),
        (
            "model: openai/x, api_base: 'https://h.example/anthropic', litellm_credential_name: c",
            "credential_list: [{credential_name: c, credential_values: {api_key: k}}]\n",
            own,
        ),
        (
            "model: openai/x, api_base: 'https://h.example/anthropic'",
            "",
            "and the key of h.example as `api_key`",
        ),
        (
            "model: groq/x, base_url: 'http://10.0.0.1:80/anthropic/v1'",
            "",
            "and the key of 10.0.0.1:80 as `api_key`",
        ),
        (
            "model: openai/x, api_base: 'https://api.deepseek.com/anthropic'",
            "",
            "`api_key: os.environ/DEEPSEEK_API_KEY`",
        ),
        (
            "model: openai/x, api_base: 'https://api.anthropic.com/v1/messages'",
            "",
            "`api_key: os.environ/ANTHROPIC_API_KEY`",
        ),
    ] {
        let found = told(params, more);
        let says = if says == own { "and the `api_key` that it has" } else { says };
        assert!(found.hint.ends_with(says), "{params}: {}", found.hint);
        assert!(!found.hint.contains("OPENAI") && !found.hint.contains("GROQ"), "{}", found.hint);
        // The provider is served; the address is what is wrong.
        assert_eq!(found.lack, crate::deployment::Lack::Setting);
    }
}

#[test]
fn the_lines_for_bedrock_follow_the_region_of_the_entry() {
    let text = "model_list:
- {model_name: m, litellm_params: {model: bedrock_mantle/converse/a, aws_region_name: eu-west-1}}
- {model_name: m, litellm_params: {model: bedrock_mantle/invoke/ap-south-1/a}}
- {model_name: m, litellm_params: {model: a, custom_llm_provider: bedrock_mantle, aws_region_name: os.environ/R}}
- {model_name: m, litellm_params: {model: bedrock_mantle/a}}
";
    let (_, warnings) = Fake::new(text).env("R", "us-west-2").warned();
    for region in ["eu-west-1", "ap-south-1", "us-west-2", "us-east-1"] {
        let lines = format!("`model: openai/a`, `api_base: https://bedrock-mantle.{region}.api");
        one(&warnings, &lines);
    }
}

/// What the config says of the only deployment of that model.
fn of(model: &str, more: &str, info: &str) -> (Snapshot, Vec<String>) {
    Fake::new(&format!(
        "model_list:\n- {{model_name: m, litellm_params: {{model: {model}, api_key: k{more}}}, model_info: {{{info}}}}}\n"
    ))
    .warned()
}

#[test]
fn the_words_of_a_route_are_no_part_of_a_models_name() {
    const AZURE: &str = ", api_base: 'https://x.openai.azure.com'";
    const FOUNDRY: &str = ", api_base: 'https://x.services.ai.azure.com'";
    for (model, more, name, reasons) in [
        ("azure/o_series/mine", AZURE, "mine", true),
        ("azure/gpt5_series/gpt-5.1", AZURE, "gpt-5.1", true),
        ("azure/responses/o_series/mine", AZURE, "mine", true),
        ("azure_ai/model_router/mine", FOUNDRY, "mine", false),
        ("azure_ai/model-router/mine", FOUNDRY, "mine", false),
        ("azure/mine", AZURE, "mine", false),
        ("openai/o_series/mine", "", "o_series/mine", false),
        ("azure/o_series/*", AZURE, "o_series/*", false),
    ] {
        let (snapshot, _) = of(model, more, "");
        let endpoint = &snapshot.deployments[0].endpoint;
        assert_eq!(&*endpoint.upstream_model, name, "{model}");
        assert_eq!(&*endpoint.model_param, model);
        let is_newer = endpoint.takes.is_some_and(|takes| takes.limit == LimitName::Newer);
        assert_eq!(is_newer, reasons, "{model}");
        assert_eq!(snapshot.deployments[0].misconfigured, None, "{model}");
    }
    // The name has a price as before.
    let (snapshot, _) = of("azure/gpt5_series/gpt-5.1", AZURE, "");
    assert!(snapshot.deployments[0].facts.has_price());
    for (model, what) in [
        ("azure/speech/azure-tts", "`speech/` stands for Azure's speech service"),
        ("azure_ai/agents/asst_1", "`agents/` stands for agents of Azure AI"),
    ] {
        let (snapshot, warnings) = of(model, AZURE, "");
        one(&warnings, what);
        assert!(snapshot.deployments[0].misconfigured.is_some(), "{model}");
    }
}

#[test]
fn a_mode_that_the_provider_does_not_have_stops_its_deployment() {
    for (model, mode) in [
        ("anthropic/claude-sonnet-4-5", "embedding"),
        ("groq/x", "rerank"),
        ("anthropic/x", "image_generation"),
        ("openai/x", "ocr"),
        ("mistral/x", "realtime"),
    ] {
        let (snapshot, warnings) = of(model, "", &format!("mode: {mode}"));
        one(&warnings, &format!("`mode: {mode}`, and provider `"));
        assert!(snapshot.deployments[0].misconfigured.is_some(), "{model}");
    }
    for (model, mode) in [
        ("openai/x", "embedding"),
        ("mistral/x", "ocr"),
        ("openai/x", "realtime"),
        ("groq/x", "audio_transcription"),
        // A chat is served, whatever the mode says.
        ("anthropic/x", "completion"),
        ("groq/x", "batch"),
        // There is no operation whose lack would say anything.
        ("openai/x", "video_generation"),
    ] {
        let yaml = format!(
            "model_list:\n- {{model_name: m, litellm_params: {{model: {model}, api_key: k}}, model_info: {{mode: {mode}}}}}\n"
        );
        assert_eq!(Fake::new(&yaml).clean().deployments[0].misconfigured, None, "{model} {mode}");
    }
}

#[test]
fn a_model_that_has_responses_alone_serves_chats_by_them() {
    for (model, more, info, is_alone) in [
        ("openai/responses/gpt-4o", "", "", true),
        ("openai/o1-pro", "", "", true),
        ("o3-pro", "", "mode: responses", true),
        (
            "azure/mine",
            ", api_base: 'https://x.openai.azure.com'",
            "base_model: azure/o3-pro",
            true,
        ),
        ("openai/gpt-4o", "", "mode: responses", false),
        ("openai/o1-pro", "", "mode: chat", false),
        ("openai/o1-pro", ", api_base: 'http://gpu:8000/v1'", "", false),
        ("openai/gpt-4o", "", "", false),
    ] {
        let (snapshot, warnings) = of(model, more, info);
        let deployment = &snapshot.deployments[0];
        assert_eq!(deployment.endpoint.is_for_responses, is_alone, "{model}: {warnings:?}");
        for operation in [Operation::Chat, Operation::Messages, Operation::Responses] {
            assert!(deployment.serves(operation), "{model} {operation:?}");
        }
        let by_responses = deployment.wire(Operation::Chat, "x") == WireFormat::Responses;
        assert_eq!(by_responses, is_alone, "{model}");
        assert_eq!(deployment.serves(Operation::Embedding), !is_alone, "{model}");
        if is_alone {
            let lacks = deployment.lacks(Operation::Embedding);
            assert_eq!(lacks.contains("remove `responses/`"), model.contains("responses/"));
        }
    }
}

#[test]
fn each_organization_of_a_list_is_a_deployment() {
    let yaml = |organizations: &str, info: &str| {
        format!(
            "model_list:\n- {{model_name: m, litellm_params: {{model: openai/gpt-4o, api_key: k, \
             organization: {organizations}}}{info}}}\n"
        )
    };
    let shown = |snapshot: &Snapshot| -> Vec<Option<String>> {
        let of = |one: &std::sync::Arc<Deployment>| {
            one.credential.organization.as_ref().map(|text| text.expose().to_owned())
        };
        snapshot.deployments.iter().map(of).collect()
    };
    let snapshot =
        Fake::new(&yaml("[org-1, os.environ/ORG, org-3]", "")).env("ORG", "org-2").clean();
    let all = ["org-1", "org-2", "org-3"].map(|name| Some(name.to_owned()));
    assert_eq!(shown(&snapshot), all);
    assert_eq!(snapshot.listed_groups().count(), 1);
    // The id is the first one's.
    let snapshot = Fake::new(&yaml("[a, b]", ", model_info: {id: mine}")).clean();
    let ids: Vec<&str> = snapshot.deployments.iter().map(|one| &*one.id).collect();
    assert!(ids[0] == "mine" && ids[1].len() == 64, "{ids:?}");
    // One that is unset stops one.
    let (snapshot, warnings) = Fake::new(&yaml("[a, os.environ/GONE]", "")).warned();
    one(&warnings, "environment variable GONE is not set");
    let stopped: Vec<bool> =
        snapshot.deployments.iter().map(|one| one.misconfigured.is_some()).collect();
    assert_eq!(stopped, [false, true]);
    // One organization, in a list or not, is one deployment; too many are none.
    assert_eq!(shown(&Fake::new(&yaml("[a]", "")).clean()), [Some("a".to_owned())]);
    let many = format!("[{}a]", "a, ".repeat(100));
    let (snapshot, warnings) = Fake::new(&yaml(&many, "")).warned();
    one(&warnings, "has more organizations than an entry may have");
    assert_eq!(snapshot.deployments.len(), 1);
}

#[test]
fn parameters_that_ollamas_openai_address_ignores_are_told() {
    let given = "num_ctx: 8192, keep_alive: 8m, temperature: 0, extra_body: {mirostat: 1}";
    let (_, warnings) = of("ollama_chat/llama3", &format!(", {given}, template: x"), "");
    assert_eq!(warnings.len(), 1, "its own format has them: {warnings:?}");
    one(&warnings, "litellm_params.template: `ollama` has no such parameter for chats");
    let more = format!(", api_base: 'http://o:11434/v1', {given}");
    let (snapshot, warnings) = of("ollama_chat/llama3", &more, "");
    for name in ["num_ctx", "keep_alive", "mirostat"] {
        one(
            &warnings,
            &format!(
                "litellm_params.{name}: `ollama` is called at its address of OpenAI's format, which ignores it"
            ),
        );
    }
    assert_eq!((warnings.len(), &snapshot.deployments[0].misconfigured), (3, &None));
    let (_, warnings) =
        of("hosted_vllm/x", ", api_base: 'http://gpu/v1', top_k: 4, min_p: 0.1", "");
    assert_eq!(warnings, Vec::<String>::new());
}
