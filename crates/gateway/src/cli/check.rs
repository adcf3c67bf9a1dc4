//! `hale check FILE`: prints every problem of a config, and whether it can be served.
//!
//! Called by `main`; the doctor also lists problems with it.

use std::process::ExitCode;

use hale_core::config::{self, Loaded, Options, Problem, Severity};

use super::CheckOptions;
use crate::console::{EXIT_CONFIG, print};
use crate::files::Files;

/// `hale check FILE`.
pub(crate) fn run(options: &CheckOptions) -> ExitCode {
    let strict = Options { strict: options.strict };
    let loaded = config::load(&Files::on_disk(), &options.config, strict, None);
    print(&listed(&loaded));
    match &loaded.snapshot {
        Some(snapshot) => {
            print(&format!(
                "{}: ok, {} deployments in {} model groups, {} warnings\n",
                options.config,
                snapshot.deployments.len(),
                snapshot.listed_groups().count(),
                loaded.warnings().count()
            ));
            ExitCode::SUCCESS
        }
        None => ExitCode::from(EXIT_CONFIG),
    }
}

/// All problems of a config, one per line.
pub(crate) fn listed(loaded: &Loaded) -> String {
    let line = |problem: &Problem| match problem.severity {
        Severity::Error => format!("error: {problem}\n"),
        Severity::Warning => format!("warning: {problem}\n"),
    };
    loaded.problems.iter().map(line).collect()
}
