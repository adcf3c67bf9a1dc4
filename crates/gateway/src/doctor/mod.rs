//! `hale doctor`: probes every deployment of a config once, and reports what is wrong and the fix.
//!
//! Called by `main`. Always true: the probes are the same as in health probing ([`crate::prober`]), and the
//! verdicts follow from their causes; the report goes to standard output, the progress to standard error; after
//! an interruption the report covers what is known.

mod examine;
mod json;
mod kind;
mod progress;
mod table;
mod verdict;
mod when;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;

use hale_core::config::{self, Loaded, Options, Problem};
use hale_core::deployment::DeploymentIndex;
use hale_core::group::ModelGroup;
use hale_core::health::probe::ProbeResult;
use hale_core::snapshot::Snapshot;

use self::verdict::{Verdict, Works};
use crate::cli::DoctorOptions;
use crate::cli::check::listed;
use crate::console::paint::{self, Paint};
use crate::console::{complain, print};
use crate::files::Files;
use crate::state::Serving;

/// A model group has no deployment that works.
const EXIT_NOTHING_WORKS: u8 = 1;
/// The config cannot be used.
const EXIT_CONFIG: u8 = 2;
/// It was interrupted: 128 + SIGINT, as shells have it.
const EXIT_INTERRUPTED: u8 = 130;

/// The result for one deployment.
struct Diagnosis {
    index: DeploymentIndex,
    verdict: Verdict,
    checked: Option<Arc<ProbeResult>>,
}

/// The results for a config.
struct Report {
    /// The name of the config.
    config: String,
    serving: Arc<Serving>,
    /// In the config's order.
    found: Vec<Diagnosis>,
    /// Problems of the config that need no traffic to show.
    warnings: Vec<Problem>,
    is_interrupted: bool,
}

impl Report {
    fn snapshot(&self) -> &Snapshot {
        &self.serving.snapshot
    }

    fn members<'r>(&'r self, group: &'r ModelGroup) -> impl Iterator<Item = &'r Diagnosis> {
        group.members.iter().filter_map(|index| self.found.get(index.0 as usize))
    }

    /// Whether deployments of `group` answer its requests.
    fn works(&self, group: &ModelGroup) -> Works {
        let has = |works| self.members(group).any(|one| one.verdict.works == works);
        if has(Works::Yes) {
            Works::Yes
        } else if has(Works::Unknown) {
            Works::Unknown
        } else {
            Works::No
        }
    }

    /// The groups in which no deployment works.
    fn broken(&self) -> impl Iterator<Item = &ModelGroup> {
        self.snapshot().listed_groups().filter(|group| self.works(group) == Works::No)
    }

    fn exit_code(&self) -> u8 {
        if self.is_interrupted {
            EXIT_INTERRUPTED
        } else if self.broken().next().is_some() {
            EXIT_NOTHING_WORKS
        } else {
            0
        }
    }
}

/// `hale doctor FILE`.
pub(crate) fn run(options: &DoctorOptions) -> ExitCode {
    let strict = Options { strict: options.strict };
    let (files, name) = match Files::given(options.file.path()) {
        Ok(given) => given,
        Err(error) => {
            complain(&format!("{} cannot be read: {error}", options.file.path()));
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let mut loaded = config::load(&files, &name, strict, None);
    let snapshot = loaded.snapshot.take().filter(|snapshot| !snapshot.deployments.is_empty());
    let Some(snapshot) = snapshot else {
        let text = match options.json {
            true => json::refused(options.file.path(), &loaded),
            false => refused(options.file.path(), &loaded),
        };
        print(&text);
        return ExitCode::from(EXIT_CONFIG);
    };
    let report = match examine::all(options, snapshot, &loaded) {
        Ok(report) => report,
        Err(error) => {
            complain(&format!("the doctor cannot start: {error}"));
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let text = match options.json {
        true => json::page(&report),
        false => {
            let out = std::io::stdout();
            let paint = Paint::on(out.is_terminal());
            let extent = if options.all { table::Extent::All } else { table::Extent::Short };
            table::text(&report, paint::columns(out), extent, &paint)
        }
    };
    print(&text);
    ExitCode::from(report.exit_code())
}

/// Whether all that is wrong with the config is that it has no deployments.
fn has_no_models(loaded: &Loaded) -> bool {
    let is_it = |problem: &Problem| *problem.problem == *config::NO_MODELS;
    loaded.problems.iter().any(is_it) && loaded.errors().all(is_it)
}

fn refused(name: &str, loaded: &Loaded) -> String {
    let mut text = listed(loaded);
    text.push_str(&match has_no_models(loaded) {
        true => format!(
            "{name}: nothing_registered: the config has no deployment to send requests to\n"
        ),
        false => {
            format!("{name}: config_refused: fix the errors above; no deployment was probed\n")
        }
    });
    text
}
