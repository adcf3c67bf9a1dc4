//! `access_windows` of `model_info`.
//!
//! Called by the reader of `model_info`. Always true: a deployment with an invalid window is
//! misconfigured, because it would serve all clients.

use crate::route::AccessWindow;
use crate::route::windows::{time_of_day, zone};

use super::field::{Field, visit};
use super::if_wrong::IfWrong;
use super::keys::Section;
use super::problem::{Path, Problems, Wrong, shown};
use super::tree::{Map, Node};
use super::value::{self, describe_kind};

/// All windows.
pub(super) fn read(field: &Field<'_>, problems: &mut Problems) -> Vec<AccessWindow> {
    let mut windows = Vec::new();
    for (i, item) in field.list(problems).unwrap_or(&[]).iter().enumerate() {
        let path = field.path.item(i);
        match item.as_map() {
            Some(map) => windows.extend(window(map, item, &path, problems)),
            None => {
                let problem = format!("expected a mapping, got {}", describe_kind(item));
                let hint = "a window has `start`, `end`, `timezone` and `team_ids`";
                field.wrong_in(item.at, &path, Wrong::new(problem, hint), problems);
            }
        }
    }
    windows
}

fn window(
    map: &Map,
    item: &Node,
    path: &Path<'_>,
    problems: &mut Problems,
) -> Option<AccessWindow> {
    let (mut start, mut end, mut timezone, mut teams) = (None, None, None, Vec::new());
    visit(Section::Window, map, path, problems, |field, problems| match field.row.name {
        "start" => start = time(field, problems),
        "end" => end = time(field, problems),
        "timezone" => {
            timezone = field.text(problems).and_then(|name| {
                let found = zone(name);
                if found.is_none() {
                    let problem = format!("unknown time zone `{}`", shown(name));
                    let hint = "write a name such as `Europe/Berlin` or `UTC`";
                    field.wrong(Wrong::new(problem, hint), problems);
                }
                found
            });
        }
        "team_ids" => teams = team_ids(field, problems),
        other => debug_assert!(false, "{other} is in keys.rs but nothing reads it"),
    });
    let mut is_complete = true;
    for key in ["start", "end", "timezone", "team_ids"] {
        if map.get(key).is_none_or(Node::is_unset) {
            is_complete = false;
            let wrong = Wrong::new("is missing", "add it");
            problems.wrong(IfWrong::Misconfigure, item.at, &path.key(key), wrong);
        }
    }
    let (start, end, timezone) = (start?, end?, timezone?);
    if start == end {
        let problem = "`start` and `end` are the same";
        let hint = "write two windows for a whole day";
        problems.wrong(IfWrong::Misconfigure, item.at, path, Wrong::new(problem, hint));
        return None;
    }
    (is_complete && !teams.is_empty()).then(|| AccessWindow::new(start, end, timezone, teams))
}

fn time(field: &Field<'_>, problems: &mut Problems) -> Option<jiff::civil::Time> {
    let text = field.text(problems)?;
    let time = time_of_day(text);
    if time.is_none() {
        let problem = format!("expected a time of the day, got `{}`", shown(text));
        let hint = "write it in quotes, such as `\"22:00\"`; the zone is that of `timezone`";
        field.wrong(Wrong::new(problem, hint), problems);
    }
    time
}

fn team_ids(field: &Field<'_>, problems: &mut Problems) -> Vec<Box<str>> {
    let items = field.list(problems).unwrap_or(&[]);
    if field.node.items().is_some_and(<[Node]>::is_empty) {
        field.wrong(Wrong::new("the list is empty", "name at least one team"), problems);
    }
    let mut teams = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        match value::text(item) {
            Ok(text) => teams.push(text.into()),
            Err(wrong) => field.wrong_in(item.at, &field.path.item(i), wrong, problems),
        }
    }
    teams
}
