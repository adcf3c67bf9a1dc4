//! Which known name was probably meant.
//!
//! Called wherever a name is unknown. Always true: only similar names are suggested.

/// The most names that are suggested.
const MOST: usize = 3;
/// Longer names are never similar, and their distance is expensive to compute.
const LONGEST: usize = 100;

/// The known names most similar to `name`, the nearest first.
#[must_use]
pub fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Vec<&'k str> {
    if name.len() > LONGEST {
        return Vec::new();
    }
    let lower = name.to_lowercase();
    let reach = reach(lower.chars().count());
    let mut scored: Vec<(usize, &str)> = known
        .into_iter()
        .filter(|candidate| could_be_near(name, candidate, reach) && *candidate != name)
        .filter(|candidate| !means_another(&lower, candidate))
        .filter_map(|candidate| {
            let distance = strsim::osa_distance(&lower, &candidate.to_lowercase());
            (distance <= reach).then_some((distance, candidate))
        })
        .collect();
    scored.sort_unstable();
    scored.dedup();
    let best = scored.first().map_or(0, |(distance, _)| *distance);
    scored
        .into_iter()
        .take_while(|(d, _)| *d <= best + 1)
        .take(MOST)
        .map(|(_, name)| name)
        .collect()
}

/// `did you mean `a` or `b`?`, or nothing.
#[must_use]
pub fn did_you_mean(names: &[&str]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    format!("did you mean {}?", names.join(" or "))
}

fn reach(chars: usize) -> usize {
    match chars {
        0..=2 => 0,
        3..=4 => 1,
        5..=8 => 2,
        _ => 3,
    }
}

/// Whether their lengths allow for so few different letters; a letter has at most four bytes.
fn could_be_near(name: &str, candidate: &str, reach: usize) -> bool {
    let bytes = if name.is_ascii() && candidate.is_ascii() { 1 } else { 4 };
    candidate.len().abs_diff(name.len()) <= reach * bytes
}

/// Whether a similar name is no slip of the pen: it is the opposite, or of another version.
fn means_another(name: &str, candidate: &str) -> bool {
    let is_off =
        |name: &str| ["disable", "dis_", "no_", "un"].iter().any(|no| name.starts_with(no));
    let digits = |name: &str| name.chars().filter(char::is_ascii_digit).collect::<String>();
    let (a, b) = (digits(name), digits(candidate));
    let is_switch = [name, candidate].iter().any(|name| name.starts_with("enable"));
    (is_switch && is_off(name) != is_off(candidate)) || !(a.starts_with(&b) || b.starts_with(&a))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_names_come_first_and_far_ones_never() {
        let known = ["cooldown_time", "num_retries", "timeout", "rpm", "tpm"];
        assert_eq!(nearest("cooldwon_time", known), ["cooldown_time"]);
        assert_eq!(nearest("Timeout", known), ["timeout"]);
        assert_eq!(nearest("rmp", known), ["rpm"]);
        assert!(nearest("nonsense", known).is_empty());
        assert!(nearest(&"x".repeat(1_000), known).is_empty());
        assert!(nearest("timezone", known).is_empty(), "three letters of eight are another word");
        assert_eq!(did_you_mean(&["a", "b"]), "did you mean `a` or `b`?");
        assert_eq!(did_you_mean(&[]), "");
    }
    #[test]
    fn neither_the_opposite_nor_another_version_is_suggested() {
        assert!(nearest("enable_cooldowns", ["disable_cooldowns"]).is_empty());
        assert!(nearest("disable_tags", ["enable_tags"]).is_empty());
        assert_eq!(nearest("disable_cooldown", ["disable_cooldowns"]), ["disable_cooldowns"]);
        assert!(nearest("claude-opus-4-6", ["claude-opus-5-us"]).is_empty());
        assert!(nearest("gpt-4.1", ["gpt-5.1"]).is_empty());
        assert_eq!(nearest("gpt-4", ["gpt-4o", "gpt-4.1"]), ["gpt-4o", "gpt-4.1"]);
        assert_eq!(nearest("gpt4o", ["gpt-4o"]), ["gpt-4o"]);
    }
}
