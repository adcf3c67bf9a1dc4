//! `rescue`: what follows when a stream breaks after its first content.
//!
//! Called by [`super::settings`]. Always true: a word that is not known changes nothing, and is reported.

use crate::rescue::RescueMode;

use super::field::Field;
use super::problem::{Problems, Wrong, shown};
use super::suggest::{did_you_mean, nearest};

const MODES: [(&str, RescueMode); 3] =
    [("text", RescueMode::Text), ("replay", RescueMode::Replay), ("off", RescueMode::Off)];

/// Reads the mode.
pub(super) fn read(into: &mut RescueMode, field: &Field<'_>, problems: &mut Problems) {
    let Some(name) = field.text(problems) else { return };
    match MODES.iter().find(|(known, _)| *known == name) {
        Some((_, mode)) => *into = *mode,
        None => {
            let near = did_you_mean(&nearest(name, MODES.iter().map(|(known, _)| *known)));
            let hint =
                if near.is_empty() { "write `text`, `replay` or `off`".into() } else { near };
            field.wrong(Wrong::new(format!("unknown rescue `{}`", shown(name)), hint), problems);
        }
    }
}
