//! The report as a table, for a person.
//!
//! Called by [`super::run`]. Always true: no line is wider than the terminal; deployments with the same reason
//! share one explanation.

use std::fmt::Write;

use hale_core::group::ModelGroup;

use super::kind::{Kind, Step};
use super::verdict::{Mark, Works};
use super::{Diagnosis, Report};
use crate::advice::label;
use crate::console::paint::{Paint, fitted, wrapped};

/// With more deployments than this, a group that works has one line.
const LONG_LIST: usize = 40;
/// Warnings that are shown without `--all`.
const WARNINGS_MAX: usize = 12;
/// Most deployments that an explanation names.
const NAMES_MAX: usize = 5;
/// Columns of the verdict, with the longest of its names or the latency.
const VERDICT: usize = 17;
/// The heads of the steps' columns, in the order of [`Step::ALL`].
const HEADS: [&str; Step::ALL.len()] =
    ["name", "env", "dns", "tcp", "tls", "key", "model", "probe"];

/// How much of a report is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Groups that work have one line each, if there are many.
    Short,
    /// Each deployment and each warning.
    All,
}

/// The report.
pub(super) fn text(report: &Report, columns: usize, extent: Extent, paint: &Paint) -> String {
    let mut page = Page { report, columns, extent, paint, text: String::new() };
    page.table();
    page.reasons();
    page.warnings();
    page.summary();
    page.text
}

struct Page<'p> {
    report: &'p Report,
    columns: usize,
    extent: Extent,
    paint: &'p Paint,
    text: String,
}

impl Page<'_> {
    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn table(&mut self) {
        let report = self.report;
        let marks: usize = HEADS.iter().map(|head| head.len() + 1).sum();
        let room = self.columns.saturating_sub(2 + marks + 1 + VERDICT);
        let labels = report.found.iter().map(|one| self.label(one).chars().count());
        let names = report.snapshot().listed_groups().map(|group| group.name.chars().count());
        let longest = labels.max().unwrap_or(0).max(names.max().unwrap_or(0).saturating_sub(2));
        let width = longest.clamp(10, room.max(10));
        let heads = HEADS.join(" ");
        self.line(&self.paint.faint(&format!("  {:width$} {heads}", "")));
        for group in report.snapshot().listed_groups() {
            self.group(group, width);
        }
    }

    fn label(&self, one: &Diagnosis) -> String {
        self.report.snapshot().deployment(one.index).display.name.to_string()
    }

    fn group(&mut self, group: &ModelGroup, width: usize) {
        let report = self.report;
        let of = group.members.len();
        let working = report.members(group).filter(|one| one.verdict.works == Works::Yes).count();
        let name = fitted(&group.name, width + 2);
        let count = format!("{working} of {of} {}", if working == 1 { "works" } else { "work" });
        let count = match report.works(group) {
            Works::Yes if working == of => self.paint.green(&count),
            Works::Yes | Works::Unknown => self.paint.yellow(&count),
            Works::No => self.paint.red(&count),
        };
        self.line(&format!("{} {count}", self.paint.bold(&name)));
        if working == of && self.extent == Extent::Short && report.found.len() > LONG_LIST {
            return;
        }
        for one in report.members(group) {
            let marks: Vec<String> = HEADS
                .iter()
                .zip(one.verdict.marks)
                .map(|(head, mark)| self.mark(head, mark))
                .collect();
            let label = fitted(&self.label(one), width);
            let verdict = self.verdict(one);
            self.line(&format!("  {label} {} {verdict}", marks.join(" ")));
        }
    }

    /// The mark, centred in its column.
    fn mark(&self, head: &str, mark: Mark) -> String {
        let (sign, paint): (_, fn(&Paint, &str) -> String) = match mark {
            Mark::Passed => ("✓", Paint::green),
            Mark::Failed => ("✗", Paint::red),
            Mark::Unsure => ("?", Paint::yellow),
            Mark::Unneeded => ("-", Paint::faint),
            Mark::Unreached => ("·", Paint::faint),
        };
        let before = (head.len() - 1) / 2;
        let after = head.len() - 1 - before;
        format!("{:before$}{}{:after$}", "", paint(self.paint, sign), "")
    }

    fn verdict(&self, one: &Diagnosis) -> String {
        match (one.verdict.works, &one.checked) {
            (Works::Yes, Some(checked)) => {
                format!("{} ms", checked.ended.since(checked.started))
            }
            (Works::Yes, None) => String::new(),
            (Works::No, _) => self.paint.red(one.verdict.kind.name()),
            (Works::Unknown, _) => self.paint.yellow(one.verdict.kind.name()),
        }
    }

    /// Explains why deployments do not work and how to fix them; each reason once.
    fn reasons(&mut self) {
        let report = self.report;
        let mut reasons: Vec<Vec<&Diagnosis>> = Vec::new();
        for one in report.found.iter().filter(|one| one.verdict.works != Works::Yes) {
            let same = |group: &&mut Vec<&Diagnosis>| {
                group.first().is_some_and(|first| {
                    first.verdict.kind == one.verdict.kind
                        && first.verdict.problem == one.verdict.problem
                })
            };
            match reasons.iter_mut().find(same) {
                Some(group) => group.push(one),
                None => reasons.push(vec![one]),
            }
        }
        for group in reasons {
            self.reason(&group);
        }
    }

    fn reason(&mut self, group: &[&Diagnosis]) {
        let Some(first) = group.first() else { return };
        let verdict = &first.verdict;
        let snapshot = self.report.snapshot();
        let mut names: Vec<String> = group
            .iter()
            .take(NAMES_MAX)
            .map(|one| {
                let deployment = snapshot.deployment(one.index);
                let label = label(deployment);
                let has_place = label.ends_with(')');
                if has_place {
                    label
                } else {
                    format!("{label} ({})", deployment.display.declared_at)
                }
            })
            .collect();
        if group.len() > NAMES_MAX {
            names.push(format!("{} more", group.len() - NAMES_MAX));
        }
        let at = verdict.kind.step().map_or(String::new(), |step| format!(" at {}", step.name()));
        let head = format!("{}{at}: {}", verdict.kind.name(), names.join(", "));
        let head = wrapped(&head, self.columns, "");
        let paint = if verdict.works == Works::No { Paint::red } else { Paint::yellow };
        self.text.push('\n');
        for line in head.lines() {
            self.line(&paint(self.paint, line));
        }
        self.text.push_str(&wrapped(&verdict.problem, self.columns, "  "));
        if !verdict.fix.is_empty() {
            let fix = wrapped(&format!("fix: {}", verdict.fix), self.columns, "  ");
            self.text.push_str(&fix.replacen("fix:", &self.paint.bold("fix:"), 1));
        }
    }

    fn warnings(&mut self) {
        let report = self.report;
        if report.warnings.is_empty() {
            return;
        }
        self.text.push('\n');
        self.line(&self.paint.yellow("Warnings about the config:"));
        let shown = match self.extent {
            Extent::All => usize::MAX,
            Extent::Short => WARNINGS_MAX,
        };
        for problem in report.warnings.iter().take(shown) {
            let lines = wrapped(&problem.to_string(), self.columns, "    ");
            self.text.push_str(&lines.replacen("    ", "  - ", 1));
        }
        if let Some(more @ 1..) = report.warnings.len().checked_sub(shown) {
            self.line(&format!("  - and {more} more; `hale check` prints all of them"));
        }
    }

    fn summary(&mut self) {
        let report = self.report;
        let of = report.found.len();
        let working = report.found.iter().filter(|one| one.verdict.works == Works::Yes).count();
        let up = report
            .snapshot()
            .listed_groups()
            .filter(|group| report.works(group) == Works::Yes)
            .count();
        let mut text = format!(
            "{}: {working} of {of} deployments and {up} of {} model groups work",
            report.config,
            report.snapshot().listed_groups().count()
        );
        let broken: Vec<&str> = report.broken().map(|group| &*group.name).collect();
        if !broken.is_empty() {
            let shown = broken.iter().take(NAMES_MAX).copied().collect::<Vec<_>>().join(", ");
            // Writing to a string cannot fail.
            let _written = write!(text, "; nothing works in {shown}");
            if let Some(more @ 1..) = broken.len().checked_sub(NAMES_MAX) {
                let _written = write!(text, " and {more} more");
            }
        }
        if report.is_interrupted {
            let open =
                report.found.iter().filter(|one| one.verdict.kind == Kind::NotProbed).count();
            let _written = write!(text, "; interrupted, {open} were not reached");
        }
        self.text.push('\n');
        let paint = match (broken.is_empty(), working == of) {
            (true, true) => Paint::green,
            (true, false) => Paint::yellow,
            (false, _) => Paint::red,
        };
        for line in wrapped(&text, self.columns, "").lines() {
            self.line(&paint(self.paint, line));
        }
    }
}
