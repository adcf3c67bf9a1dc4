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
    let mut scored: Vec<(usize, &str)> = known
        .into_iter()
        // The greatest accepted distance, three letters, is at most twelve bytes.
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= 12 && *candidate != name)
        .filter_map(|candidate| {
            let distance = strsim::osa_distance(&lower, &candidate.to_lowercase());
            (distance <= reach(lower.chars().count())).then_some((distance, candidate))
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
        5..=7 => 2,
        _ => 3,
    }
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
        assert_eq!(did_you_mean(&["a", "b"]), "did you mean `a` or `b`?");
        assert_eq!(did_you_mean(&[]), "");
    }
}
