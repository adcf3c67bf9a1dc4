//! The JSON schema of configs, made from the table of keys: editors complete and check with it.
//!
//! Called by `hale schema`. Always true: a key that is served has its type, its range and its text; one that is not served
//! is marked as deprecated with the reason; further keys are allowed where the loader passes them on.

use serde_json::{Map, Value, json};

use super::keys::{Kind, Row, Section, Support, rows};

/// The schema, of draft 2020-12.
#[must_use]
pub fn schema() -> Value {
    let mut top = section(Section::Top);
    let lists = [("model_list", entry()), ("credential_list", section(Section::Credential))];
    for (name, item) in lists {
        top["properties"][name]["items"] = item;
    }
    let maps = [
        ("litellm_settings", litellm()),
        ("router_settings", router()),
        ("general_settings", general()),
    ];
    for (name, schema) in maps {
        merge(&mut top["properties"][name], schema);
    }
    top["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    top["title"] = "Hale's config.yaml".into();
    // The loader names the keys that it does not know; a config with some still works.
    top
}

fn entry() -> Value {
    let mut entry = section(Section::Entry);
    merge(&mut entry["properties"]["litellm_params"], section(Section::Params));
    merge(&mut entry["properties"]["model_info"], section(Section::Info));
    entry
}

fn litellm() -> Value {
    let mut settings = section(Section::Litellm);
    merge(&mut settings["properties"]["cache_params"], section(Section::Cache));
    settings
}

fn general() -> Value {
    let mut settings = section(Section::General);
    merge(&mut settings["properties"]["alerting_args"], section(Section::Alerting));
    settings
}

fn router() -> Value {
    let mut settings = section(Section::Router);
    let properties = &mut settings["properties"];
    let maps = [
        ("routing_strategy_args", Section::Strategy),
        ("retry_policy", Section::Retries),
        ("allowed_fails_policy", Section::Fails),
    ];
    for (name, part) in maps {
        merge(&mut properties[name], section(part));
    }
    let each = [
        ("model_group_retry_policy", section(Section::Retries)),
        ("provider_budget_config", section(Section::Budget)),
        ("model_group_alias", json!({"anyOf": [{"type": "string"}, section(Section::Alias)]})),
    ];
    for (name, value) in each {
        properties[name]["additionalProperties"] = value;
    }
    settings
}

/// The members of `more` in `schema`, which keeps its own text.
fn merge(schema: &mut Value, more: Value) {
    if let (Some(schema), Value::Object(more)) = (schema.as_object_mut(), more) {
        for (name, value) in more {
            schema.insert(name, value);
        }
    }
}

fn section(section: Section) -> Value {
    let (mut properties, mut patterns) = (Map::new(), Map::new());
    let mut required = Vec::new();
    for row in rows(section) {
        if row.default == "required" {
            required.push(row.name);
        }
        match row.name.contains('*') {
            true => patterns.insert(pattern(row.name), property(row)),
            false => properties.insert(row.name.to_owned(), property(row)),
        };
    }
    let mut schema = json!({"type": "object", "properties": properties});
    if !patterns.is_empty() {
        schema["patternProperties"] = Value::Object(patterns);
    }
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    schema
}

/// A name with stars as a regular expression. Names of keys have no character that means something there.
fn pattern(name: &str) -> String {
    format!("^{}$", name.replace('*', ".*"))
}

fn property(row: &Row) -> Value {
    let mut schema = kind(row.kind);
    let mut text = row.doc.to_owned();
    match row.support {
        Support::Served => {}
        Support::NotYet | Support::Misplaced | Support::Ignored | Support::Refused => {
            schema["deprecated"] = true.into();
            let refused = if row.support == Support::Refused { "Refused: " } else { "No effect. " };
            text.insert_str(0, refused);
        }
    }
    if !matches!(row.default, "" | "required") {
        text.push_str(&format!(" Default: {}.", row.default));
    }
    schema["description"] = text.into();
    schema
}

/// A type and its range. Text may stand everywhere, because `os.environ/NAME` does.
fn kind(kind: Kind) -> Value {
    let or_text = |mut schema: Value| {
        schema["type"] = json!([schema["type"], "string", "null"]);
        schema
    };
    let seconds = |ms: u64| ms as f64 / 1000.0;
    match kind {
        Kind::Text | Kind::Secret => json!({"type": ["string", "null"]}),
        Kind::Bool => or_text(json!({"type": "boolean"})),
        Kind::Count(least, most) => {
            or_text(json!({"type": "integer", "minimum": least, "maximum": most}))
        }
        Kind::Number(least, most) | Kind::Megabytes(least, most) => {
            or_text(json!({"type": "number", "minimum": least, "maximum": most}))
        }
        Kind::Time(least, most) => {
            or_text(json!({"type": "number", "minimum": seconds(least), "maximum": seconds(most)}))
        }
        Kind::List => json!({"type": ["array", "string", "null"]}),
        Kind::Map => json!({"type": ["object", "string", "null"]}),
        Kind::Any => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows members by their names.
    fn at<'s>(schema: &'s Value, path: &[&str]) -> &'s Value {
        path.iter().fold(schema, |schema, name| &schema["properties"][name])
    }

    #[test]
    fn keys_have_their_type_their_range_and_their_text() {
        let schema = schema();
        let retries = at(&schema, &["router_settings", "num_retries"]);
        assert_eq!(retries["type"], json!(["integer", "string", "null"]));
        assert_eq!(
            (retries["minimum"].as_u64(), retries["maximum"].as_u64()),
            (Some(0), Some(100))
        );
        let text = retries["description"].as_str().unwrap();
        assert!(
            text.starts_with("Attempts after the first") && text.ends_with("Default: 2."),
            "{text}"
        );
        let model = &schema["properties"]["model_list"]["items"]["properties"]["litellm_params"];
        assert_eq!(model["required"], json!(["model"]));
        assert_eq!(at(&schema, &["litellm_settings", "cache_params", "ttl"])["minimum"], 1.0);
        let refused = &schema["properties"]["policy_attachments"];
        assert_eq!(refused["deprecated"], true);
        assert!(refused["description"].as_str().unwrap().starts_with("Refused: "));
    }

    #[test]
    fn every_row_of_every_section_is_in_the_schema() {
        let text = schema().to_string();
        let sections = [
            Section::Top,
            Section::Entry,
            Section::Params,
            Section::Info,
            Section::Litellm,
            Section::Router,
            Section::General,
            Section::Credential,
            Section::Alias,
            Section::Strategy,
            Section::Retries,
            Section::Fails,
            Section::Budget,
            Section::Cache,
            Section::Alerting,
        ];
        for row in sections.into_iter().flat_map(rows) {
            let name = if row.name.contains('*') { pattern(row.name) } else { row.name.to_owned() };
            assert!(text.contains(&format!("{}:", json!(name))), "{name} is missing");
        }
    }
}
