//! The loader from the outside.

use std::collections::HashMap;

use super::*;

/// Files and environment of a test.
#[derive(Default)]
struct Fake {
    files: HashMap<String, Vec<u8>>,
    env: HashMap<String, String>,
}

impl Source for Fake {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }
}

fn fake(yaml: &str, env: &[(&str, &str)]) -> Fake {
    let mut fake = Fake::default();
    fake.files.insert("config.yaml".into(), yaml.into());
    fake.env = env.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    fake
}

#[test]
fn a_small_config_loads() {
    let fake = fake(
        "model_list:\n  - model_name: gpt-4o\n    litellm_params:\n      model: openai/gpt-4o\n      \
         api_key: os.environ/OPENAI_API_KEY\n      temperature: 0.5\n",
        &[("OPENAI_API_KEY", "sk-real-key")],
    );
    let loaded = load(&fake, "config.yaml", Options::default(), None);
    assert_eq!(loaded.problems, []);
    let snapshot = loaded.snapshot.unwrap();
    let deployment = &snapshot.deployments[0];
    assert_eq!(&*deployment.api_base, "https://api.openai.com/v1");
    assert_eq!(deployment.default_params, [("temperature".into(), "0.5".into())]);
    assert_eq!(deployment.misconfigured, None);
    assert_eq!(deployment.id.len(), 64);
}
