//! Tags of YAML: `!!str`, `!!int` and their kin.
//!
//! Asked by [`super::tree`] for each value. Always true: a tag that is not of the core schema is refused, as PyYAML refuses it.

use saphyr_parser::{ScalarStyle, Tag};

use super::problem::Wrong;
use super::tree::Style;

/// How a scalar was written, its tag considered.
pub(super) fn scalar_style(style: ScalarStyle, tag: Option<&Tag>) -> Result<Style, Wrong> {
    check_tag(tag, &["str", "int", "float", "bool", "null"])?;
    let is_text = tag.is_some_and(|tag| tag.suffix == "str" || is_non_specific(tag));
    Ok(if style == ScalarStyle::Plain && !is_text { Style::Plain } else { Style::Quoted })
}

/// Whether the tag is one of the core schema that may stand there.
pub(super) fn check_tag(tag: Option<&Tag>, known: &[&str]) -> Result<(), Wrong> {
    let Some(tag) = tag else { return Ok(()) };
    let core = tag.is_yaml_core_schema() && known.contains(&tag.suffix.as_str());
    if core || is_non_specific(tag) {
        return Ok(());
    }
    Err(Wrong::new("this YAML tag is not supported here", "remove the word that begins with `!`"))
}

/// A lone `!`: the value keeps its plain type.
fn is_non_specific(tag: &Tag) -> bool {
    tag.handle.is_empty() && tag.suffix == "!"
}
