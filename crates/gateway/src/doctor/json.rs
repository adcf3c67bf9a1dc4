//! The report as JSON, for programs.
//!
//! Called by [`super::run`]. Always true: it lists every deployment once, in the config's order, and no secret.

use hale_core::config::{Loaded, Problem};
use serde_json::{Map, Value, json};

use super::kind::Step;
use super::verdict::{Mark, Works};
use super::{Diagnosis, Report, has_no_models};

/// The report.
pub(super) fn page(report: &Report) -> String {
    let groups: Vec<Value> = report
        .snapshot()
        .listed_groups()
        .map(|group| {
            let working =
                report.members(group).filter(|one| one.verdict.works == Works::Yes).count();
            json!({
                "model_name": &*group.name,
                "works": works(report.works(group)),
                "deployments": group.members.len(),
                "working": working,
            })
        })
        .collect();
    let deployments: Vec<Value> = report.found.iter().map(|one| deployment(report, one)).collect();
    let page = json!({
        "config": report.config,
        "exit_code": report.exit_code(),
        "interrupted": report.is_interrupted,
        "groups": groups,
        "deployments": deployments,
        "warnings": problems(report.warnings.iter()),
        "errors": [],
    });
    format!("{page:#}\n")
}

/// The report on a config that cannot be used.
pub(super) fn refused(name: &str, loaded: &Loaded) -> String {
    let verdict = if has_no_models(loaded) { "nothing_registered" } else { "config_refused" };
    let page = json!({
        "config": name,
        "exit_code": super::EXIT_CONFIG,
        "verdict": verdict,
        "interrupted": false,
        "groups": [],
        "deployments": [],
        "warnings": problems(loaded.warnings()),
        "errors": problems(loaded.errors()),
    });
    format!("{page:#}\n")
}

/// `None` if it is unknown.
fn works(works: Works) -> Option<bool> {
    match works {
        Works::Yes => Some(true),
        Works::No => Some(false),
        Works::Unknown => None,
    }
}

fn deployment(report: &Report, one: &Diagnosis) -> Value {
    let deployment = report.snapshot().deployment(one.index);
    let steps: Map<String, Value> = Step::ALL
        .iter()
        .zip(one.verdict.marks)
        .map(|(step, mark)| (step.name().to_owned(), json!(name_of(mark))))
        .collect();
    let checked = one.checked.as_deref();
    let hold_ms = checked.and_then(|checked| match checked.finding {
        hale_core::health::probe::Finding::RateLimited(hold_ms) => hold_ms,
        _ => None,
    });
    json!({
        "model_name": &*report.snapshot().group(deployment.group).name,
        "id": &*deployment.id,
        "model": &*deployment.endpoint.model_param,
        "api_base": &*deployment.endpoint.api_base,
        "declared_at": &*deployment.display.declared_at,
        "works": works(one.verdict.works),
        "verdict": one.verdict.kind.name(),
        "step": one.verdict.kind.step().map(Step::name),
        "steps": steps,
        "problem": one.verdict.problem,
        "fix": one.verdict.fix,
        "cause": checked.and_then(|checked| checked.cause).map(hale_core::cause::Cause::name),
        "status": checked.and_then(|checked| checked.status),
        "latency_ms": checked.map(|checked| checked.ended.since(checked.started)),
        "retry_after_s": hold_ms.map(|ms| ms.div_ceil(1000)),
    })
}

const fn name_of(mark: Mark) -> &'static str {
    match mark {
        Mark::Passed => "ok",
        Mark::Failed => "failed",
        Mark::Unsure => "unknown",
        Mark::Unneeded => "not_needed",
        Mark::Unreached => "not_reached",
    }
}

fn problems<'p>(problems: impl Iterator<Item = &'p Problem>) -> Vec<Value> {
    problems
        .map(|problem| {
            json!({
                "file": &*problem.file,
                "line": problem.line,
                "column": problem.column,
                "path": &*problem.path,
                "problem": &*problem.problem,
                "hint": &*problem.hint,
            })
        })
        .collect()
}
