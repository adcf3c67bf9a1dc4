//! `hale check FILE`: prints every problem of a config, and what of it can be served.
//!
//! Called by `main`; the doctor also lists problems with it. Always true: errors come first, what the start
//! would refuse is an error, and the last line decides; the exit code says the same.

mod summary;

use std::collections::HashMap;
use std::io::IsTerminal;
use std::process::ExitCode;

use hale_core::config::{self, Loaded, Options, Place, Problem, Severity, Source};
use serde_json::{Value, json};

use self::summary::{Ending, Summary};
use super::options::CheckOptions;
use crate::console::paint::Paint;
use crate::console::{EXIT_CONFIG, complain, print};
use crate::files::Files;
use crate::process;

/// It starts, and some deployment of it, or all of them, cannot be served.
const EXIT_NOT_ALL: u8 = 1;

/// `hale check FILE`.
pub(crate) fn run(options: &CheckOptions) -> ExitCode {
    let (files, name) = match Files::given(options.file.path()) {
        Ok(given) => given,
        Err(error) => {
            complain(&format!("{} cannot be read: {error}", options.file.path()));
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let strict = Options { strict: options.strict };
    let mut loaded = config::load(&files, &name, strict, None);
    judge_key(&mut loaded, &name, options.host.as_deref());
    judge_store(&mut loaded, &name);
    let summary = Summary::of(&loaded);
    let ending = summary.ending(options.strict);
    let code = match ending {
        Ending::AllServed => 0,
        Ending::NotAllServed => EXIT_NOT_ALL,
        Ending::Refused => EXIT_CONFIG,
    };
    if options.json {
        print(&page(&name, &loaded, &summary, code));
        return ExitCode::from(code);
    }
    let out = std::io::stdout();
    let paint = Paint::on(out.is_terminal());
    if !options.quiet && out.is_terminal() {
        print(&with_lines(&files, &loaded, &paint));
    } else if !options.quiet {
        print(&listed(&loaded));
    }
    let sinks = loaded.snapshot.as_ref().and_then(|snapshot| snapshot.gateway.sinks.summary());
    if let Some(line) = sinks {
        print(&format!("{line}\n"));
    }
    let last = summary.text(&name, ending);
    let last = match ending {
        Ending::AllServed => paint.green(&last),
        Ending::NotAllServed => paint.yellow(&last),
        Ending::Refused => paint.red(&last),
    };
    print(&format!("{last}\n"));
    ExitCode::from(code)
}

/// All problems of a config, one per line.
pub(crate) fn listed(loaded: &Loaded) -> String {
    let paint = Paint::on(false);
    loaded.problems.iter().map(|problem| problem_line(problem, &paint)).collect()
}

fn problem_line(problem: &Problem, paint: &Paint) -> String {
    let severity = match problem.severity {
        Severity::Error => paint.red("error:"),
        Severity::Warning => paint.yellow("warning:"),
    };
    format!("{severity} {problem}\n")
}

/// Adds an error if the start would refuse the address of the database.
fn judge_store(loaded: &mut Loaded, name: &str) {
    let Some(snapshot) = &loaded.snapshot else { return };
    let Err(refusal) = process::store_address(&snapshot.gateway.store, name) else { return };
    let problem = Problem {
        severity: Severity::Error,
        file: name.into(),
        line: 0,
        column: 0,
        path: "general_settings.database_url".into(),
        problem: refusal.into(),
        hint: "".into(),
        left_out: "",
        times: 1,
        more_lines: Vec::new(),
    };
    loaded.problems.insert(0, problem);
}

/// Adds what the start says about the master key: an error if it would refuse it, else a warning.
fn judge_key(loaded: &mut Loaded, name: &str, host: Option<&str>) {
    let Some(snapshot) = &loaded.snapshot else { return };
    let (severity, problem, hint) = match process::judge(&snapshot.gateway, host) {
        Ok(None) => return,
        Ok(Some((problem, hint))) => (Severity::Warning, problem, hint),
        Err(refusal) => (Severity::Error, refusal, String::new()),
    };
    let whole = || Place { file: name.into(), line: 0, column: 0 };
    let Place { file, line, column } = loaded.master_key_at.clone().unwrap_or_else(whole);
    let (problem, hint) = (problem.into(), hint.into());
    let path = "general_settings.master_key".into();
    let (left_out, times, more_lines) = ("", 1, Vec::new());
    let found =
        Problem { severity, file, line, column, path, problem, hint, left_out, times, more_lines };
    let behind_errors = loaded.errors().count();
    loaded.problems.insert(behind_errors, found);
}

/// All problems, each with the line of its file.
fn with_lines(files: &Files, loaded: &Loaded, paint: &Paint) -> String {
    let mut texts: HashMap<&str, String> = HashMap::new();
    let mut shown = String::new();
    for problem in &loaded.problems {
        shown.push_str(&problem_line(problem, paint));
        let text = texts.entry(&problem.file).or_insert_with(|| {
            let content = files.read(&problem.file).unwrap_or_default();
            String::from_utf8_lossy(&content).into_owned()
        });
        shown.push_str(&source_line(text, problem).unwrap_or_default());
    }
    shown
}

/// The line of the file that a problem is about, and a mark below the place.
fn source_line(text: &str, problem: &Problem) -> Option<String> {
    let line = text.lines().nth((problem.line as usize).checked_sub(1)?)?;
    let shown = config::shown_line(line);
    let number = problem.line;
    let indent = line.chars().take_while(|c| c.is_whitespace()).count();
    let before = (problem.column as usize).checked_sub(indent + 1)?;
    // A line with something hidden or cut has other columns.
    let mark = match line.trim() == shown && before < shown.chars().count() {
        true => format!("{:>7}   {:before$}^\n", "", ""),
        false => String::new(),
    };
    Some(format!("{number:>7} | {shown}\n{mark}"))
}

/// The same for programs.
fn page(name: &str, loaded: &Loaded, summary: &Summary, code: u8) -> String {
    let problem = |problem: &Problem| {
        json!({
            "severity": match problem.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            "file": &*problem.file,
            "line": problem.line,
            "column": problem.column,
            "path": &*problem.path,
            "problem": &*problem.problem,
            "hint": &*problem.hint,
            "times": problem.times,
            "more_lines": problem.more_lines,
        })
    };
    let problems: Vec<Value> = loaded.problems.iter().map(problem).collect();
    let page = json!({
        "config": name,
        "exit_code": code,
        "deployments": summary.deployments,
        "can_be_served": summary.able,
        "model_groups": summary.groups,
        "not_served_because": summary.reasons,
        "ignored": summary.ignored,
        "sinks": loaded.snapshot.as_ref().and_then(|snapshot| snapshot.gateway.sinks.summary()),
        "problems": problems,
    });
    format!("{page:#}\n")
}
