//! What cannot work never stops the others: wrong values, variables that are not set, configs without models.

use super::*;
use crate::secret::Secret;

#[test]
fn of_two_entries_with_one_id_the_second_gets_a_hash() {
    let line = |model: &str| {
        format!(
            "- {{model_name: m, litellm_params: {{model: {model}, api_key: k}}, model_info: {{id: one}}}}\n"
        )
    };
    let yaml = format!("model_list:\n{}{}", line("openai/x"), line("openai/y"));
    let (snapshot, warnings) = Fake::new(&yaml).warned();
    one(
        &warnings,
        "c.yaml:3:3: model_list[1]: the id `one` is taken: another entry has it on line 2",
    );
    let [first, second] = &snapshot.deployments[..] else { panic!("{warnings:?}") };
    assert_eq!((&*first.id, second.id.len()), ("one", 64));
    let info: serde_json::Value = serde_json::from_str(&second.display.model_info).unwrap();
    assert_eq!(info["id"], *second.id);
    assert_eq!(snapshot.by_id.len(), 2);
    let yaml = format!("model_list:\n{}{}", line("openai/x"), line("openai/x"));
    assert_eq!(Fake::new(&yaml).warned().0.deployments.len(), 1);
}

#[test]
fn an_id_may_have_spaces_and_one_that_no_header_carries_becomes_a_hash() {
    let id = |id: &str| Fake::new(&(entry("") + &format!("  model_info: {{id: '{id}'}}\n")));
    assert_eq!(&*id("my id").clean().deployments[0].id, "my id");
    for bad in ["d\u{e9}ploiement", "a\tb"] {
        let (snapshot, warnings) = id(bad).warned();
        one(&warnings, "model_info.id: an id goes into headers");
        assert_eq!(snapshot.deployments[0].id.len(), 64);
        assert!(snapshot.deployments[0].misconfigured.is_none());
    }
}

/// A config with a deployment that has `more` and another one that can serve; `more` may replace the model.
fn beside_a_good_one(more: &str) -> Fake {
    let model = "    model: openai/gpt-4o\n";
    let bad = entry(more).replace(model, if more.starts_with("model:") { "" } else { model });
    let bad = match more.starts_with("api_key:") {
        true => bad.replace("    api_key: sk-1\n", ""),
        false => bad,
    };
    Fake::new(&(bad + "- {model_name: good, litellm_params: {model: openai/x, api_key: k}}\n"))
}

#[test]
fn a_value_that_a_call_needs_and_that_is_wrong_stops_its_deployment_alone() {
    for (more, reason) in [
        ("api_base: api.example.com", "litellm_params.api_base: api_base has no scheme"),
        ("api_base: localhost:8000", "api_base has no scheme"),
        ("api_base: ''", "api_base: is empty"),
        ("api_base: http://h,i/v1", "api_base has a host with characters that no host has"),
        ("api_base: https://x/v1/chat/completions", "ends with the endpoint"),
        ("base_url: ftp://x", "litellm_params.base_url: api_base has a scheme other than"),
        ("api_key: 'sk 1'", "api_key: contains whitespace"),
        ("api_key: \"sk-1\\n2\"", "api_key: contains whitespace"),
        ("api_key: [sk-1]", "api_key: expected text, got a list"),
        ("organization: []", "organization: names no organization"),
        ("organization: \"a\\n\"", "organization: cannot be sent as a header"),
        ("extra_headers: {'AI-Resource Group': x}", "is not the name of a header"),
        ("extra_headers: {a: \"x\\n\"}", "has characters that a header cannot carry"),
        ("extra_headers: text", "expected a mapping, got text"),
        ("rpm: 60.5", "expected a whole number from 0 to"),
        ("tpm: 100k", "expected a whole number from 0 to"),
        ("rpm: -1", "got `-1`"),
        ("max_parallel_requests: 0", "expected a whole number from 1 to"),
        ("model: openai/", "names a provider but no model"),
        ("model: azure/", "names a provider but no model"),
        ("max_budget: 10", "`max_budget` without `budget_duration` is not a budget"),
        ("max_budget: 0\nbudget_duration: 1d", "a budget of 0 would refuse every request"),
        ("guardrails: [x]", "requests that a guardrail should stop would pass"),
    ] {
        let (snapshot, warnings) = beside_a_good_one(more).warned();
        let warning = one(&warnings, reason);
        let why = snapshot.deployments[0].misconfigured.as_ref();
        let why = why.unwrap_or_else(|| panic!("{more}: {warning}"));
        assert!(warning.contains(&*why.hint), "{why:?}: {warning}");
        assert!(!why.problem.is_empty() && !why.problem.contains("sk"), "{why:?}");
        assert_eq!(snapshot.deployments[1].misconfigured, None, "{more}");
        assert_eq!(snapshot.listed_groups().count(), 2, "{more}");
    }
    let of_environment = Fake::new(&entry("")).env("OPENAI_BASE_URL", "nonsense");
    one(&of_environment.warned().1, "it comes from OPENAI_BASE_URL");
    let of_environment = Fake::new(&entry("")).env("OPENAI_API_BASE", "nonsense");
    one(&of_environment.warned().1, "it comes from OPENAI_API_BASE");
    let both = Fake::new(&entry("")).env("OPENAI_API_BASE", "http://b/v1");
    assert_eq!(&*both.clean().deployments[0].endpoint.api_base, "http://b/v1");
    let both = Fake::new(&entry(""))
        .env("OPENAI_API_BASE", "http://b/v1")
        .env("OPENAI_BASE_URL", "http://u/v1");
    assert_eq!(
        &*both.clean().deployments[0].endpoint.api_base,
        "http://u/v1",
        "the first one wins"
    );
    let of_environment = entry("").replace("    api_key: sk-1\n", "");
    let (snapshot, warnings) = Fake::new(&of_environment).env("OPENAI_API_KEY", "sk 1").warned();
    one(&warnings, "environment variable OPENAI_API_KEY contains whitespace");
    assert!(snapshot.deployments[0].misconfigured.is_some());
}

#[test]
fn a_value_that_a_call_can_do_without_and_that_is_wrong_is_ignored() {
    for (more, reason) in [
        ("weight: -1", "expected a number from 0 to 1000000000, got `-1`: ignored"),
        ("weight: .nan", "expected a number from"),
        ("timeout: 0", "expected a time from 0.001 to 86400 seconds, got `0`: ignored"),
        ("timeout: 5x", "a plain number is seconds"),
        ("num_retries: -1", "expected a whole number from 0 to 100"),
        ("num_retries: 99999999999999999999999", "expected a whole number from 0 to 100"),
        ("input_cost_per_token: -1.0", "expected a number from 0 to 1000"),
        ("order: first", "expected a whole number"),
        ("budget_duration: 1d", "`budget_duration` without `max_budget` is not a budget: ignored"),
        ("additional_drop_params: user", "it is read as a list of one"),
        ("tags: free", "it is read as a list of one"),
        ("extra_headers: {Content-Length: '5'}", "is a header that belongs to the connection"),
    ] {
        let (snapshot, warnings) = beside_a_good_one(more).warned();
        one(&warnings, reason);
        assert_eq!(snapshot.deployments[0].misconfigured, None, "{more}");
    }
    let deployment = |more: &str| beside_a_good_one(more).warned().0.deployments[0].clone();
    assert_eq!(deployment("input_cost_per_token: -1.0").facts.input_cost_per_token, Some(2.5e-6));
    assert_eq!(deployment("tags: free").routing.tags.tags, [Box::from("free")]);
    assert_eq!(deployment("timeout: 0").routing.limits.timeout_ms, None);
    let info = |line: &str| Fake::new(&(entry("") + &format!("  model_info: {{{line}}}\n")));
    let (snapshot, warnings) = info("access_groups: beta").warned();
    one(&warnings, "it is read as a list of one");
    assert_eq!(snapshot.deployments[0].routing.access_groups, [Box::from("beta")]);
    one(
        &info("max_input_tokens: -5, mode: [x]").warned().1,
        "mode: expected text, got a list: ignored",
    );
    let (snapshot, warnings) = info("blocked: perhaps").warned();
    one(&warnings, "expected true or false, got `perhaps`");
    assert!(snapshot.deployments[0].misconfigured.is_some());
}

#[test]
fn line_breaks_at_the_end_of_keys_and_addresses_are_left_out() {
    let yaml = "model_list:
- model_name: a
  litellm_params:
    model: openai/x
    api_base: os.environ/BASE
    api_key: os.environ/KEY
- model_name: b
  litellm_params:
    model: openai/y
    api_key: |
      sk-abc
- {model_name: c, litellm_params: {model: openai/z}}
";
    let fake = Fake::new(yaml).env("KEY", "sk-abc\n").env("BASE", "http://h:1/v1\r\n");
    let snapshot = fake.env("OPENAI_API_KEY", "sk-abc\n").clean();
    for deployment in &snapshot.deployments {
        assert_eq!(deployment.credential.api_key.as_ref().unwrap().expose(), "sk-abc");
    }
    assert_eq!(&*snapshot.deployments[0].endpoint.api_base, "http://h:1/v1");
}

#[test]
fn an_empty_key_is_no_key_at_a_server_of_ones_own() {
    let yaml = |base: &str| {
        format!(
            "model_list:\n- {{model_name: m, litellm_params: {{model: openai/x, api_key: ''{base}}}}}\n"
        )
    };
    let own = Fake::new(&yaml(", api_base: 'http://localhost:8000/v1'"));
    let own = own.env("OPENAI_API_KEY", "sk-of-openai").clean().deployments[0].clone();
    assert_eq!((own.misconfigured.clone(), own.credential.api_key.clone()), (None, None));
    let (snapshot, warnings) = Fake::new(&yaml("")).warned();
    one(&warnings, "no api_key, and environment variable OPENAI_API_KEY is not set");
    assert!(snapshot.deployments[0].misconfigured.is_some());
    let home = Fake::new(&yaml("")).env("OPENAI_API_KEY", "sk-of-openai").clean();
    assert_eq!(home.deployments[0].credential.api_key, Some(Secret::new("sk-of-openai")));
}

#[test]
fn a_variable_that_is_not_set_stops_its_deployment_alone_wherever_it_stands() {
    let yaml = "model_list:
- {model_name: a, litellm_params: {model: os.environ/MODEL, api_key: k}}
- {model_name: os.environ/NAME, litellm_params: {model: openai/x, api_key: k}}
- {model_name: b, litellm_params: {model: openai/x, api_key: k, timeout: os.environ/T, aws_batch_role_arn: os.environ/R}}
- {model_name: c, litellm_params: {model: openai/x, api_key: k, langfuse_secret: os.environ/L}}
- {model_name: good, litellm_params: {model: openai/x, api_key: j}}
";
    let (snapshot, warnings) = Fake::new(yaml).warned();
    one(
        &warnings,
        "model_list[0].litellm_params.model: environment variable MODEL is not set. set MODEL, which deployment a reads",
    );
    one(
        &warnings,
        "model_list[1].model_name: environment variable NAME is not set: the deployment cannot serve. set NAME",
    );
    one(
        &warnings,
        "litellm_params.timeout: environment variable T is not set: this key is ignored",
    );
    let misconfigured: Vec<bool> =
        snapshot.deployments.iter().map(|one| one.misconfigured.is_some()).collect();
    assert_eq!(misconfigured, [true, true, false, false, false], "{warnings:#?}");
    assert!(snapshot.by_name.contains_key("os.environ/NAME"));
    // What is not served is said once, and that alone.
    assert_eq!(warnings.iter().filter(|text| text.contains("aws_batch_role_arn")).count(), 1);
    assert_eq!(warnings.iter().filter(|text| text.contains("langfuse_secret")).count(), 1);
}

#[test]
fn a_reference_with_more_than_a_name_says_what_to_write() {
    for (value, name) in [
        ("os.environ/KEY:-sk-1234", "KEY"),
        ("os.environ/BASE/v1", "BASE"),
        ("os.environ/HOST:8080", "HOST"),
        ("os.environ/KEY KEY2", "KEY"),
    ] {
        let (snapshot, warnings) =
            beside_a_good_one(&format!("api_key: '{value}'")).env("BASE", "http://b").warned();
        let warning = one(&warnings, "there is no default and no suffix");
        assert!(warning.contains(&format!("write `os.environ/{name}`")), "{warning}");
        assert!(!warning.contains("sk-1234") && !warning.contains("did you mean"), "{warning}");
        assert!(snapshot.deployments[0].misconfigured.is_some());
    }
    let yaml = entry("user: os.environ/KEY") + "environment_variables:\n  KEY: ''\n";
    let (_, warnings) = Fake::new(&yaml).env("KEY", "sk-real").warned();
    one(
        &warnings,
        "environment variable KEY is set to nothing in `environment_variables` on line 8, which wins over",
    );
}

#[test]
fn what_is_no_config_shows_how_to_write_one() {
    for yaml in ["", "nonsense: 1\n", "model_lst:\n- a\ngeneral_settings: {master_key: x}\n"] {
        let problems = Fake::new(yaml).refused();
        let problem = one(&problems, "no models configured. write for example:\nmodel_list:\n");
        assert!(problem.contains("\n  - model_name: gpt-4o\n    litellm_params:\n      model:"));
    }
    one(&Fake::new("model_list: {a: 1}\n").refused(), "model_list: expected a list, got a mapping");
}

#[test]
fn a_config_without_models_starts_empty_and_says_so() {
    for yaml in [
        "model_list:\n",
        "model_list: []\n",
        "model_list: os.environ/MODELS\n",
        "general_settings: {master_key: x}\n",
        "model_list: []\nlitellm_settings: {drop_params: true}\n",
    ] {
        let (snapshot, warnings) = Fake::new(yaml).warned();
        one(&warnings, "no models configured. write for example:");
        assert!(snapshot.deployments.is_empty() && snapshot.groups.is_empty());
    }
    // They come from the store.
    let yaml = "general_settings: {store_model_in_db: true}\nmodel_list: []\n";
    assert!(Fake::new(yaml).clean().gateway.stores_models);
    let all = "general_settings: {pass_through_all_models: true}\n";
    assert_eq!(Fake::new(all).env("OPENAI_API_KEY", "k").clean().groups.len(), 1);
}

#[test]
fn a_reload_that_leaves_no_deployment_is_refused() {
    let before = Fake::new(&entry("")).clean();
    let empty = Fake::new("model_list: []\n");
    assert!(load(&empty.0, "c.yaml", Options::default(), Some(&before)).snapshot.is_none());
    let none = empty.warned().0;
    assert!(load(&empty.0, "c.yaml", Options::default(), Some(&none)).snapshot.is_some());
}

#[test]
fn an_address_with_a_password_or_a_query_is_shown_nowhere() {
    for base in ["https://u:hunter2@h/v1", "https://h/v1?key=hunter2"] {
        let (snapshot, warnings) = Fake::new(&entry(&format!("api_base: '{base}'"))).warned();
        assert!(!format!("{warnings:?} {snapshot:?}").contains("hunter2"), "{snapshot:?}");
        assert!(snapshot.deployments[0].misconfigured.is_some());
    }
}

#[test]
fn a_config_that_is_wrapped_in_something_else_is_recognised() {
    for (yaml, expected) in [
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata:\n  readme: hi\n  config.yaml: |\n    model_list: []\n",
            "c.yaml:2:7: this is a ConfigMap of Kubernetes: the config is in `data.config.yaml`. write the text below `config.yaml`",
        ),
        (
            "apiVersion: v1\nkind: Secret\nstringData:\n  litellm.yaml: 'model_list: []'\n",
            "this is a Secret of Kubernetes: the config is in `stringData.litellm.yaml`",
        ),
        (
            "apiVersion: apps/v1\nkind: Deployment\nspec: {}\n",
            "this is a Kubernetes object of kind Deployment, not a config",
        ),
        (
            "replicaCount: 1\nimage: {tag: x}\nproxy_config:\n  model_list: []\n",
            "c.yaml:3:1: this is not a config, but holds one in `proxy_config`, as the values of a Helm chart do",
        ),
        ("litellm: {general_settings: {master_key: sk-1}}\n", "but holds one in `litellm`"),
        (
            "image: {tag: x}\nlitellm:\n  replicas: 1\n  proxy_config:\n    model_list: []\n",
            "c.yaml:4:3: this is not a config, but holds one in `litellm.proxy_config`",
        ),
        (
            "configMap:\n  litellm-config.yaml:\n    model_list: []\n",
            "but holds one in `configMap.litellm-config.yaml`",
        ),
        (
            "configs:\n  proxy:\n    content: |\n      # ours\n      model_list:\n      - model_name: m\n",
            "but holds one in `configs.proxy.content`",
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\ndata:\n  c.yaml: |\n    model_list: []\n---\napiVersion: v1\nkind: Service\n",
            "c.yaml:2:7: this is a ConfigMap of Kubernetes: the config is in `data.c.yaml`",
        ),
        (
            "---\napiVersion: v1\nkind: Namespace\n---\napiVersion: v1\nkind: ConfigMap\n",
            "this is a Kubernetes object of kind Namespace, not a config",
        ),
        ("proxy_config: {model_list: []}\n---\n", "but holds one in `proxy_config`"),
        (
            "model_list: []\n---\nkind: ConfigMap\n",
            "c.yaml:2:1: a second YAML document begins here",
        ),
    ] {
        let problems = Fake::new(yaml).refused();
        one(&problems, expected);
        assert_eq!(problems.len(), 1, "{problems:#?}");
    }
    // Names for anchors are the operator's own.
    let yaml = "x-defaults: &d {api_key: k}\n_more: &m {timeout: 5}\n.base: 1\n\
        model_list:\n- {model_name: m, litellm_params: {<<: [*d, *m], model: openai/gpt-4o}}\n";
    Fake::new(yaml).clean();
}

#[test]
fn placeholders_that_were_not_filled_in_are_told() {
    for (more, reason) in [
        ("api_key: ${KEY:-abc}", "api_key: looks like the environment variable KEY"),
        ("api_key: ${KEY}", "write `os.environ/KEY`"),
        ("api_key: '{{KEY}}'", "api_key: looks like a placeholder"),
        ("api_key: <your-key>", "api_key: looks like a placeholder"),
        ("api_key: YOUR_API_KEY", "api_key: looks like a placeholder"),
        ("user: $USER_NAME", "user: looks like the environment variable USER_NAME"),
        ("api_base: https://os.environ/HOST/v1", "`os.environ/HOST` stands within a longer text"),
        (
            "api_base: 'https://h.${SECRET_DOMAIN}/v1'",
            "api_base looks like the environment variable SECRET_DOMAIN",
        ),
        ("api_base: 'http://<HOST>/v1'", "api_base looks like a placeholder"),
        ("api_base: https://YOUR_RESOURCE.openai.azure.com", "api_base looks like a placeholder"),
        ("api_base: https://xxxxx.openai.azure.com", "api_base looks like a placeholder"),
        ("api_key: os.getenv/KEY", "api_key: looks like the environment variable KEY"),
        ("api_key: OS.ENVIRON/KEY", "api_key: looks like the environment variable KEY"),
        ("api_key: '%KEY%'", "api_key: looks like the environment variable KEY"),
        ("api_key: sk-...", "api_key: looks like a placeholder"),
        ("api_key: '[your-key]'", "api_key: looks like a placeholder"),
    ] {
        let (snapshot, warnings) = beside_a_good_one(more).warned();
        let warning = one(&warnings, reason);
        assert!(!warning.contains(":-abc") && warnings.len() == 1, "{warnings:#?}");
        let is_stopped = snapshot.deployments[0].misconfigured.is_some();
        assert_eq!(is_stopped, more.starts_with("api_base"), "{more}");
    }
    let master = "general_settings: {master_key: '${LITELLM_MASTER_KEY:-sk-1234}'}\n";
    let (_, warnings) = with(master).warned();
    one(
        &warnings,
        "general_settings.master_key: looks like the environment variable LITELLM_MASTER_KEY",
    );
    // What cannot be sent is told once.
    for unsendable in ["api_key: '[YOUR KEY]'", "api_key: '${{ secrets.KEY }}'"] {
        let (snapshot, warnings) = beside_a_good_one(unsendable).warned();
        one(
            &warnings,
            "api_key: looks like a placeholder that was not filled in: the deployment cannot",
        );
        assert!(snapshot.deployments[0].misconfigured.is_some() && warnings.len() == 1);
    }
    // Prose may hold anything.
    deployment("stop: ['<|im_end|>', '{{', '${x}']\nuser: your-user");
}

#[test]
fn the_address_of_one_azure_endpoint_is_cut_to_its_base() {
    let yaml = |more: &str| {
        format!(
            "model_list:\n- model_name: m\n  litellm_params:\n    model: azure/gpt-4o\n    api_key: k\n    \
             api_base: https://x.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21\n{more}"
        )
    };
    let (snapshot, warnings) = Fake::new(&yaml("")).warned();
    one(
        &warnings,
        "litellm_params.api_base: is the address of one endpoint: what follows the host is left out",
    );
    let endpoint = &snapshot.deployments[0].endpoint;
    assert_eq!(&*endpoint.api_base, "https://x.openai.azure.com");
    assert_eq!(endpoint.azure.as_ref().unwrap().api_version.as_deref(), Some("2024-10-21"));
    let own = Fake::new(&yaml("    api_version: v1\n")).warned().0.deployments[0].clone();
    assert_eq!(own.endpoint.azure.as_ref().unwrap().api_version.as_deref(), Some("v1"));
    for (address, base, version) in [
        ("/openai/responses?api-version=2025-04-01-preview", "", Some("2025-04-01-preview")),
        ("/openai/v1/chat/completions", "/openai/v1", None),
        ("/openai/v1/responses?api-version=preview", "/openai/v1", Some("preview")),
    ] {
        let yaml = format!(
            "model_list:\n- {{model_name: m, litellm_params: {{model: azure/x, api_key: k, api_base: 'https://x.openai.azure.com{address}'}}}}\n"
        );
        let snapshot = Fake::new(&yaml).warned().0;
        let endpoint = &snapshot.deployments[0].endpoint;
        assert_eq!(*endpoint.api_base, *format!("https://x.openai.azure.com{base}"));
        assert_eq!(endpoint.azure.as_ref().unwrap().api_version.as_deref(), version);
    }
}
