//! The table of endpoints: one row is one thing that a client can ask for.
//!
//! Read by the gateway's pipeline, which has no handlers besides it. Always true: every path is in
//! exactly one row, and a path in no row is refused.

pub use crate::operation::{Carries, Kind, Operation};

use crate::wire_format::WireFormat;

/// What a caller must be to use an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Anybody, without a key.
    Public,
    /// Whoever holds a key for models.
    Key,
    /// Like [`Role::Key`], unless the config opens the metrics endpoint.
    Metrics,
    /// Whoever holds the master key; nobody when there is none.
    Admin,
}

/// A page that the gateway answers by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// `GET /v1/models`.
    Models,
    /// `GET /v1/models/{id}`.
    Model,
    /// `GET /model/info`.
    ModelInfo,
    /// `GET /model_group/info`.
    ModelGroupInfo,
    /// `GET /routes`.
    Routes,
    /// `GET /health/liveliness`.
    Liveness,
    /// `GET /health/readiness`.
    Readiness,
    /// `GET /health/readiness/details`.
    ReadinessDetails,
    /// `GET /health/backlog`.
    Backlog,
    /// `GET /health/license`.
    License,
    /// `GET /test`.
    Test,
    /// `GET /metrics`.
    Metrics,
    /// `GET /router/state`.
    RouterState,
    /// `GET /provider/budgets`.
    ProviderBudgets,
    /// `POST /router/deployments/{id}/reset`.
    ResetDeployment,
    /// `POST /router/deployments/{id}/disable`.
    DisableDeployment,
    /// `POST /router/deployments/{id}/enable`.
    EnableDeployment,
    /// `GET /`.
    Home,
}

/// A page about health that may have to wait for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthAction {
    /// `GET /health`.
    Report,
    /// `POST /health/test_connection`.
    TestConnection,
    /// `GET /health/drain`.
    Drain,
}

/// What an endpoint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Goes to an upstream.
    Upstream(Operation),
    /// Is answered here.
    Page(Page),
    /// Would go to an upstream: what would become of it is answered here.
    Explain,
    /// Is answered by the health thread, or waits.
    Health(HealthAction),
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// The one method it answers to (`GET` rows of pages also answer `HEAD`).
    pub method: &'static str,
    /// Its paths; at most one `{}` in each stands for a name that may contain slashes.
    pub paths: &'static [&'static str],
    /// Who may use it.
    pub role: Role,
    /// What it does.
    pub action: Action,
}

const COUNT: usize = Operation::ALL.len() + PAGES.len();

/// All endpoints: operations as their rows say, behind them the pages.
pub static ENDPOINTS: &[Endpoint] = &{
    let mut all = [PAGES[0]; COUNT];
    let mut at = 0;
    while at < COUNT {
        all[at] = match at < Operation::ALL.len() {
            true => of_operation(Operation::ALL[at]),
            false => PAGES[at - Operation::ALL.len()],
        };
        at += 1;
    }
    all
};

/// Every operation is for those who hold a key for models.
const fn of_operation(operation: Operation) -> Endpoint {
    Endpoint {
        method: operation.method().name(),
        paths: operation.paths(),
        role: Role::Key,
        action: Action::Upstream(operation),
    }
}

const PAGES: &[Endpoint] = &[
    Endpoint {
        method: "GET",
        paths: &["/v1/models", "/models"],
        role: Role::Key,
        action: Action::Page(Page::Models),
    },
    Endpoint {
        method: "GET",
        paths: &["/v1/models/{}", "/models/{}"],
        role: Role::Key,
        action: Action::Page(Page::Model),
    },
    Endpoint {
        method: "GET",
        paths: &["/v1/model/info", "/model/info"],
        role: Role::Key,
        action: Action::Page(Page::ModelInfo),
    },
    Endpoint {
        method: "GET",
        paths: &["/model_group/info"],
        role: Role::Key,
        action: Action::Page(Page::ModelGroupInfo),
    },
    Endpoint {
        method: "GET",
        paths: &["/routes"],
        role: Role::Key,
        action: Action::Page(Page::Routes),
    },
    Endpoint {
        method: "GET",
        paths: &["/health/liveliness", "/health/liveness"],
        role: Role::Public,
        action: Action::Page(Page::Liveness),
    },
    Endpoint {
        method: "GET",
        paths: &["/health/readiness"],
        role: Role::Public,
        action: Action::Page(Page::Readiness),
    },
    Endpoint {
        method: "GET",
        paths: &["/health"],
        role: Role::Key,
        action: Action::Health(HealthAction::Report),
    },
    Endpoint {
        method: "GET",
        paths: &["/health/readiness/details"],
        role: Role::Admin,
        action: Action::Page(Page::ReadinessDetails),
    },
    Endpoint {
        method: "GET",
        paths: &["/health/backlog"],
        role: Role::Admin,
        action: Action::Page(Page::Backlog),
    },
    Endpoint {
        method: "GET",
        paths: &["/health/license"],
        role: Role::Admin,
        action: Action::Page(Page::License),
    },
    Endpoint {
        method: "GET",
        paths: &["/health/drain"],
        role: Role::Public,
        action: Action::Health(HealthAction::Drain),
    },
    Endpoint {
        method: "POST",
        paths: &["/health/test_connection"],
        role: Role::Admin,
        action: Action::Health(HealthAction::TestConnection),
    },
    Endpoint {
        method: "GET",
        paths: &["/test"],
        role: Role::Public,
        action: Action::Page(Page::Test),
    },
    Endpoint {
        method: "GET",
        paths: &["/metrics"],
        role: Role::Metrics,
        action: Action::Page(Page::Metrics),
    },
    Endpoint {
        method: "GET",
        paths: &["/router/state"],
        role: Role::Admin,
        action: Action::Page(Page::RouterState),
    },
    Endpoint {
        method: "GET",
        paths: &["/provider/budgets"],
        role: Role::Admin,
        action: Action::Page(Page::ProviderBudgets),
    },
    Endpoint {
        method: "POST",
        paths: &["/router/explain"],
        role: Role::Admin,
        action: Action::Explain,
    },
    Endpoint {
        method: "POST",
        paths: &["/router/deployments/{}/reset"],
        role: Role::Admin,
        action: Action::Page(Page::ResetDeployment),
    },
    Endpoint {
        method: "POST",
        paths: &["/router/deployments/{}/disable"],
        role: Role::Admin,
        action: Action::Page(Page::DisableDeployment),
    },
    Endpoint {
        method: "POST",
        paths: &["/router/deployments/{}/enable"],
        role: Role::Admin,
        action: Action::Page(Page::EnableDeployment),
    },
    Endpoint { method: "GET", paths: &["/"], role: Role::Public, action: Action::Page(Page::Home) },
];

/// What a path means.
#[derive(Debug)]
pub enum Found<'p> {
    /// A row, and the name in its path where it has one (still percent-encoded).
    Endpoint(&'static Endpoint, Option<&'p str>),
    /// The path exists, the method does not; the method that does.
    WrongMethod(&'static str),
    /// No such path; the nearest one.
    Unknown(Option<&'static str>),
}

/// Finds the row of `method` and `path` (without query).
#[must_use]
pub fn find<'p>(method: &str, path: &'p str) -> Found<'p> {
    let path = match path.strip_suffix('/') {
        Some(shorter) if !shorter.is_empty() => shorter,
        _ => path,
    };
    let mut other_method = None;
    // Exact paths first: a model may be called `chat`, but `/v1/models` is never a model's path.
    for exact in [true, false] {
        for row in ENDPOINTS {
            for pattern in row.paths {
                let name = match pattern.split_once("{}") {
                    None if exact && *pattern == path => None,
                    Some((before, after)) if !exact => {
                        match path.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)) {
                            Some(name) if !name.is_empty() => Some(name),
                            _ => continue,
                        }
                    }
                    _ => continue,
                };
                let answers_head = !matches!(row.action, Action::Upstream(_));
                if row.method == method || (row.method == "GET" && method == "HEAD" && answers_head)
                {
                    return Found::Endpoint(row, name);
                }
                other_method = Some(row.method);
            }
        }
    }
    match other_method {
        Some(method) => Found::WrongMethod(method),
        None => Found::Unknown(nearest_path(path)),
    }
}

/// The format in which whoever calls `path` expects errors; OpenAI's for what is no endpoint.
#[must_use]
pub fn format_of(path: &str) -> WireFormat {
    const ANTHROPIC: &str = "/v1/messages";
    let below = path.strip_prefix(ANTHROPIC);
    if below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
        WireFormat::Anthropic
    } else {
        WireFormat::OpenAi
    }
}

fn nearest_path(path: &str) -> Option<&'static str> {
    // A long path can only be far from all of ours, and the distance costs its length squared.
    if path.len() > 128 {
        return None;
    }
    ENDPOINTS
        .iter()
        .flat_map(|row| row.paths.iter().copied())
        .filter(|pattern| !pattern.contains("{}") && *pattern != "/")
        .map(|pattern| (strsim::damerau_levenshtein(path, pattern), pattern))
        .filter(|(distance, pattern)| distance * 3 <= pattern.len())
        .min()
        .map(|(_, pattern)| pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_of(path: &str) -> Option<String> {
        match find("POST", path) {
            Found::Endpoint(_, name) => name.map(str::to_owned),
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn a_model_in_the_path_may_contain_slashes() {
        assert_eq!(name_of("/v1/chat/completions"), None);
        assert_eq!(
            name_of("/engines/openai/gpt-4/chat/completions").as_deref(),
            Some("openai/gpt-4")
        );
        let Found::Endpoint(row, name) = find("POST", "/openai/deployments/a/b/chat/completions")
        else {
            panic!("not found");
        };
        assert_eq!(row.action, Action::Upstream(Operation::Chat));
        assert_eq!(name, Some("a/b"));
    }

    #[test]
    fn the_longer_path_of_a_response_wins() {
        let found = |method, path| match find(method, path) {
            Found::Endpoint(row, name) => (row.action, name),
            other => panic!("{method} {path}: {other:?}"),
        };
        for (method, path, operation, name) in [
            ("GET", "/v1/responses/r1", Operation::GetResponse, Some("r1")),
            ("DELETE", "/responses/r1", Operation::DeleteResponse, Some("r1")),
            ("GET", "/v1/responses/r1/input_items", Operation::ListInputItems, Some("r1")),
            ("POST", "/openai/v1/responses/r1/cancel", Operation::CancelResponse, Some("r1")),
            ("POST", "/v1/responses/compact", Operation::CompactResponses, None),
            ("POST", "/openai/responses", Operation::Responses, None),
        ] {
            assert_eq!(found(method, path), (Action::Upstream(operation), name), "{method} {path}");
        }
        assert!(matches!(find("HEAD", "/v1/responses/r1"), Found::WrongMethod(_)));
        assert!(matches!(find("GET", "/v1/responses"), Found::WrongMethod("POST")));
    }

    #[test]
    fn wrong_method_and_unknown_path_are_told_apart() {
        assert!(matches!(find("GET", "/v1/chat/completions"), Found::WrongMethod("POST")));
        assert!(matches!(find("HEAD", "/health/liveliness"), Found::Endpoint(..)));
        assert!(matches!(
            find("POST", "/v1/chat/completion"),
            Found::Unknown(Some("/v1/chat/completions"))
        ));
        assert!(matches!(find("GET", "/nothing/like/it/anywhere"), Found::Unknown(None)));
    }

    #[test]
    fn errors_have_the_format_of_the_endpoint() {
        for row in ENDPOINTS {
            let Action::Upstream(operation) = row.action else { continue };
            for path in row.paths {
                assert_eq!(format_of(path), operation.format(), "{path}");
            }
        }
        assert_eq!(format_of("/v1/messages/batches"), WireFormat::Anthropic);
        assert_eq!(format_of("/v1/messagesx"), WireFormat::OpenAi);
    }

    #[test]
    fn every_path_is_in_one_row() {
        let mut seen = std::collections::BTreeSet::new();
        for row in ENDPOINTS {
            for path in row.paths {
                assert!(seen.insert((row.method, path)), "{path} twice");
            }
        }
    }
}
