//! Turns config files into a [`Snapshot`], or into a list of every problem they have.
//!
//! Called by the gateway at start, on reload and by `hale check`. Always true: files and environment
//! are arguments; a config with an error yields no snapshot; all problems are reported at once.

mod address;
mod adjusts;
mod affinity;
mod alerts;
mod allowed_ips;
mod any_model;
mod aws;
mod azure;
mod backend;
mod budget_terms;
mod budgets;
mod build;
mod cache;
mod cache_points;
mod contradictions;
mod credentials;
mod deployments;
mod draft;
mod elsewhere;
mod facts;
mod fallbacks;
mod features;
mod fetch;
mod field;
mod filters;
mod flow;
mod from_env;
mod groups;
mod headers;
mod id;
mod if_wrong;
mod include;
mod interpolate;
mod json;
mod keys;
mod known;
mod labels;
mod making;
mod metrics;
mod mirror;
mod mock;
mod model_info;
mod names;
mod open_pages;
mod organizations;
mod origins;
mod own_place;
mod params;
mod pass_through;
mod placeholder;
mod policies;
mod probing;
mod problem;
mod redact;
mod redundancy;
mod reference;
mod rescue;
mod scalar;
mod schema;
mod sessions;
mod settings;
mod shared;
mod sinks;
mod source;
mod store;
mod stored;
mod suggest;
mod suited;
mod tags;
mod teams;
mod times;
mod tree;
mod troubles;
mod unserved;
mod upstream;
mod user_headers;
mod value;
mod vertex;
mod windows;
mod wrapped;

use crate::settings::GatewaySettings;
use crate::snapshot::Snapshot;

pub use deployments::NO_MODELS;
use field::visit;
use interpolate::Env;
use keys::Section;
pub use metrics::served as served_metrics;
use problem::{Path, Problems};
pub use problem::{Problem, Severity};
pub use redact::line as shown_line;
pub use reference::{RouterKey, alerting_keys, parameters, reference, router_keys};
pub use schema::schema;
pub use source::{InMemory, Source};
pub use stored::{SECTIONS, Stored, StoredModel, why_not_stored};
pub use suggest::{did_you_mean, nearest};
pub use tree::MAX_BYTES;
use tree::Map;

/// The result of loading a config.
#[derive(Debug)]
pub struct Loaded {
    /// The snapshot; `None` if a problem is an error.
    pub snapshot: Option<Snapshot>,
    /// All problems: errors before warnings, each in the order of files and lines. Warnings with one cause are one problem.
    pub problems: Vec<Problem>,
    /// Every file that was read, the root first; these are watched.
    pub files: Vec<String>,
    /// Where the config writes the master key; `None` if it does not.
    pub master_key_at: Option<Place>,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: Box<str>,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
}

impl Loaded {
    /// The problems because of which the config is refused.
    pub fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|problem| problem.severity == Severity::Error)
    }

    /// The other problems.
    pub fn warnings(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|problem| problem.severity == Severity::Warning)
    }
}

/// How to load.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Unknown and duplicate keys are errors.
    pub strict: bool,
}

/// Loads the config that begins at the file `root`.
///
/// Deployments that are in `previous` too, by id, keep their state, unless provider, address, key or model
/// changed.
#[must_use]
pub fn load(
    source: &dyn Source,
    root: &str,
    options: Options,
    previous: Option<&Snapshot>,
) -> Loaded {
    load_with(source, root, options, (previous, &Stored::default()))
}

/// Loads the config that begins at the file `root`, and what the store adds to it. A row of the store that is wrong is left out, or makes
/// a deployment that cannot serve and says why.
#[must_use]
pub fn load_with(
    source: &dyn Source,
    root: &str,
    options: Options,
    (previous, stored): (Option<&Snapshot>, &Stored),
) -> Loaded {
    let mut rows = stored::Rows::new(stored);
    loop {
        let mut problems = Problems::new(options.strict);
        let (snapshot, master_key_at) = read(source, root, (previous, &mut rows), &mut problems);
        if snapshot.is_none() && rows.take_out(&problems.errors()) {
            continue;
        }
        let (problems, files) = problems.finish();
        return Loaded { snapshot, problems, files, master_key_at };
    }
}

/// Reads everything once; no snapshot if there is an error.
fn read(
    source: &dyn Source,
    root: &str,
    (previous, rows): (Option<&Snapshot>, &mut stored::Rows<'_>),
    problems: &mut Problems,
) -> (Option<Snapshot>, Option<Place>) {
    let mut top = include::read(source, root, problems);
    let master_key_at = top.as_ref().and_then(|top| {
        let general = top.get("general_settings")?.as_map()?;
        Some(problems.whole_place(general.get("master_key").filter(|node| !node.is_null())?.at))
    });
    if let Some(top) = &mut top {
        rows.add_to(top, problems);
    }
    let snapshot = top.map(|top| snapshot(&top, source, previous, problems));
    (snapshot.filter(|_| !problems.failed()), master_key_at)
}

fn snapshot(
    top: &Map,
    source: &dyn Source,
    previous: Option<&Snapshot>,
    problems: &mut Problems,
) -> Snapshot {
    if let Some((at, wrong)) = wrapped::recognise(top) {
        problems.error(at, &Path::Root, wrong);
        return Snapshot::default();
    }
    let env = Env::new(source, top, problems);
    let mut written = top.clone();
    written.entries.retain(|entry| &*entry.key != "environment_variables");
    let top = env.resolve_map(&written, &Path::Root, problems);
    // The sections are read in the order of their dependencies.
    visit(Section::Top, &top, &Path::Root, problems, |field, problems| {
        if field.row.name == "guardrails" {
            filters::guardrails(field, problems);
        }
    });
    let credentials = credentials::read(top.get("credential_list"), problems);
    let of_files = top.get("credential_list").and_then(tree::Node::items).unwrap_or_default();
    let of_files = of_files.iter().filter(|item| !problems.is_row(item.at));
    let of_files = of_files
        .filter_map(|item| item.as_map()?.get("credential_name")?.text().map(Box::from))
        .collect();
    let written = written.get("model_list");
    let router = top.get("router_settings").and_then(tree::Node::as_map);
    let defaults = router.and_then(|map| map.get("default_litellm_params")?.as_map());
    let litellm = top.get("litellm_settings").and_then(tree::Node::as_map);
    let context =
        draft::Context { env: &env, credentials: &credentials, written, defaults, litellm };
    let mut drafts = deployments::read(top.get("model_list"), &context, problems);
    let settings = settings::read(&top, &env, problems);
    if let Some(at) = settings.passes_all_models {
        pass_through::add(&mut drafts, at, &context, problems);
    }
    // Models that are made at run time come and go.
    if drafts.is_empty() && !settings.gateway.stores_models {
        deployments::report_none(&top, previous, problems);
    }
    let mut snapshot = Snapshot {
        credentials: of_files,
        router: settings.router,
        gateway: GatewaySettings { backend: settings.backend.backend(), ..settings.gateway },
        probing: settings.probing,
        shared: settings.shared,
        ..Snapshot::default()
    };
    adjusts::fill(&settings.adjusts, &mut drafts, problems);
    snapshot.budgets = budgets::fill(settings.budgets, &mut drafts, previous, problems);
    groups::fill(&mut snapshot, drafts, previous, problems);
    settings.group_policies.fill(&mut snapshot, problems);
    fallbacks::fill(&mut snapshot, &settings.references, problems);
    probing::compare(&top, &snapshot, problems);
    contradictions::check(&snapshot, &top, problems);
    times::check(&mut snapshot, &top, problems);
    snapshot
}

#[cfg(test)]
mod tests;
