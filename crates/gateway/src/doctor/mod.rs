//! `hale doctor`: asks every deployment of a config once and says what is wrong and what to do.
//!
//! Called by `main`. Always true: the questions are health checks like any other
//! ([`crate::prober`]), and the verdicts are read from their causes; the findings go to standard output,
//! the progress to standard error; an interruption ends the asking, not the telling.

mod examine;
mod json;
mod kind;
mod paint;
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
use hale_core::health::check::Checked;
use hale_core::snapshot::Snapshot;

use self::paint::Paint;
use self::verdict::{Verdict, Works};
use crate::cli::DoctorOptions;
use crate::cli::check::listed;
use crate::console::{complain, print};
use crate::files::Files;
use crate::state::Serving;

/// Some model group has nothing that works.
const EXIT_NOTHING_WORKS: u8 = 1;
/// The config can not be used.
const EXIT_CONFIG: u8 = 2;
/// It was interrupted. Source: shells.
const EXIT_INTERRUPTED: u8 = 130;

/// What was found out about one deployment.
struct Diagnosis {
    index: DeploymentIndex,
    verdict: Verdict,
    checked: Option<Arc<Checked>>,
}

/// What was found out.
struct Report {
    /// The name of the config.
    config: String,
    serving: Arc<Serving>,
    /// In the order of the config.
    found: Vec<Diagnosis>,
    /// What can not work before any traffic meets it.
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

    /// Whether requests for `group` are answered by its own deployments.
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

    /// The groups in which nothing works.
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
    let mut loaded = config::load(&Files::on_disk(), &options.config, strict, None);
    let Some(snapshot) = loaded.snapshot.take() else {
        let text = match options.json {
            true => json::refused(&options.config, &loaded),
            false => refused(&options.config, &loaded),
        };
        print(&text);
        return ExitCode::from(EXIT_CONFIG);
    };
    let report = match examine::all(options, snapshot, &loaded) {
        Ok(report) => report,
        Err(error) => {
            complain(&format!("no check could be made: {error}"));
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let text = match options.json {
        true => json::page(&report),
        false => {
            let out = std::io::stdout();
            let paint = Paint::on(out.is_terminal());
            table::text(&report, paint::columns(out), options.all, &paint)
        }
    };
    print(&text);
    ExitCode::from(report.exit_code())
}

/// Whether the config has no deployments, and nothing worse.
fn has_no_models(loaded: &Loaded) -> bool {
    let mut errors = loaded.errors().peekable();
    errors.peek().is_some() && errors.all(|error| *error.problem == *config::NO_MODELS)
}

fn refused(name: &str, loaded: &Loaded) -> String {
    let mut text = listed(loaded);
    text.push_str(&match has_no_models(loaded) {
        true => format!(
            "{name}: nothing_registered: there is nothing that a request could be sent to\n"
        ),
        false => format!("{name}: config_refused: correct the errors above; nothing was asked\n"),
    });
    text
}
