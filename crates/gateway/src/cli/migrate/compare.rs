//! `hale migrate compare`: how answers of the second gateway differ from ours, by class.
//!
//! Called by [`super::run`]. Always true: it reads what the mirror wrote, line by line; a line that it cannot read is counted and told; differences that the
//! compatibility page explains are told, and do not fail.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::mirror::{self, Class, Seen, differences, is_explained};

/// Kinds of differences that are told apart.
const KINDS_MAX: usize = 10_000;

#[derive(Deserialize)]
struct Line {
    operation: String,
    own: Seen,
    other: Seen,
}

/// Kinds of differences, by class and text: how many requests have one, and the first operation.
type Kinds = BTreeMap<(Class, String), (u64, String)>;

/// A text to print, and whether all that differs is explained.
pub(super) fn run(file: Option<&Path>) -> Result<(String, bool), String> {
    let path = file.map_or_else(default_file, Path::to_path_buf);
    let unread = |error: std::io::Error| {
        format!(
            "{} cannot be read: {error}; name the file that a gateway with `general_settings.mirror` writes",
            path.display()
        )
    };
    let file = File::open(&path).map_err(unread)?;
    let (mut requests, mut equal, mut broken) = (0_u64, 0_u64, 0_u64);
    let mut kinds = Kinds::new();
    for line in BufReader::new(file).lines() {
        let Ok(line) = serde_json::from_str::<Line>(&line.map_err(unread)?) else {
            broken += 1;
            continue;
        };
        requests += 1;
        let found = differences(&line.own, &line.other);
        equal += u64::from(found.is_empty());
        for kind in found {
            if kinds.len() < KINDS_MAX || kinds.contains_key(&kind) {
                kinds.entry(kind).or_insert_with(|| (0, line.operation.clone())).0 += 1;
            }
        }
    }
    if requests == 0 {
        return Err(format!("{} has no request that was compared", path.display()));
    }
    let mut text = format!("{requests} requests were compared, {equal} have equal answers\n");
    if broken > 0 {
        text.push_str(&format!("{broken} lines cannot be read\n"));
    }
    let mut agrees = true;
    for ((class, what), (count, operation)) in &kinds {
        let is_known = is_explained(*class, what);
        agrees &= is_known;
        let mark = if is_known { "explained" } else { "NOT EXPLAINED" };
        text.push_str(&format!(
            "{}: {what}: {count} requests ({operation}), {mark}\n",
            class.name()
        ));
    }
    text.push_str(match (kinds.is_empty(), agrees) {
        (true, _) => "nothing differs\n",
        (false, true) => "all that differs is explained in docs/compatibility.md\n",
        (false, false) => "some of it is not explained in docs/compatibility.md\n",
    });
    Ok((text, agrees))
}

fn default_file() -> PathBuf {
    let directory = std::env::var_os("HALE_DATA_DIR").filter(|it| !it.is_empty());
    PathBuf::from(directory.unwrap_or_else(|| ".".into())).join(mirror::FILE)
}
