//! Compares an answer of ours with that of a second gateway: differences by class, and which of them are known.
//!
//! Used by `hale migrate compare`. Always true: a difference has one class and one text, which names no value of an answer; what chance
//! decides (the length of an answer, and its cost) is no difference.

use super::seen::Seen;

/// What differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// The other one did not answer.
    Answer,
    /// The HTTP status.
    Status,
    /// Type and code of an error.
    ErrorCode,
    /// Names of headers.
    Headers,
    /// Places and types of the body.
    Shape,
    /// Tokens of the prompt.
    Usage,
    /// The cost of as many tokens.
    Cost,
}

impl Class {
    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Class::Answer => "answer",
            Class::Status => "status",
            Class::ErrorCode => "error code",
            Class::Headers => "headers",
            Class::Shape => "shape",
            Class::Usage => "usage",
            Class::Cost => "cost",
        }
    }
}

/// Known differences: what they are about, with stars. `docs/compatibility.md` says why.
const EXPLAINED: &[(Class, &str)] = &[
    (Class::Headers, "only here: x-hale-*"),
    (Class::Headers, "only * x-litellm-*"),
    (Class::Headers, "only * x-ratelimit-*"),
    (Class::Headers, "only * llm_provider-*"),
    (Class::Headers, "only there: date"),
    (Class::Headers, "only there: server"),
    (Class::Headers, "only there: content-length"),
    (Class::Headers, "only there: transfer-encoding"),
    (Class::Headers, "only there: connection"),
    (Class::Headers, "only * retry-after"),
    (Class::Shape, "only here: error.reason *"),
    (Class::Shape, "only there: *provider_specific_fields*"),
];

/// Whether the compatibility page explains a difference.
pub(crate) fn is_explained(class: Class, what: &str) -> bool {
    EXPLAINED.iter().any(|(of, pattern)| *of == class && matches(pattern, what))
}

fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => text.strip_prefix(head).is_some_and(|text| {
            (0..=text.len()).any(|at| text.is_char_boundary(at) && matches(tail, &text[at..]))
        }),
    }
}

/// How the other answer differs from ours.
pub(crate) fn differences(own: &Seen, other: &Seen) -> Vec<(Class, String)> {
    if let Some(why) = &other.failed {
        return vec![(Class::Answer, why.to_string())];
    }
    let mut found = Vec::new();
    if own.status != other.status {
        found.push((Class::Status, format!("{} here, {} there", own.status, other.status)));
    }
    if own.status >= 400 && other.status >= 400 && own.code != other.code {
        let shown = |code: &Option<Box<str>>| code.as_deref().unwrap_or("none").to_owned();
        let what = format!("{} here, {} there", shown(&own.code), shown(&other.code));
        found.push((Class::ErrorCode, what));
    }
    let only = |class, place: &str, name: &str| (class, format!("only {place}: {name}"));
    found.extend(
        own.headers.difference(&other.headers).map(|name| only(Class::Headers, "here", name)),
    );
    found.extend(
        other.headers.difference(&own.headers).map(|name| only(Class::Headers, "there", name)),
    );
    shapes(own, other, &mut found);
    match (own.usage, other.usage) {
        (Some(ours), Some(theirs)) if ours.0 != theirs.0 => {
            found.push((Class::Usage, "tokens of the prompt".to_owned()));
        }
        (Some(_), None) if other.status < 400 => {
            found.push((Class::Usage, "no usage there".to_owned()));
        }
        (None, Some(_)) => found.push((Class::Usage, "no usage here".to_owned())),
        (Some(ours), Some(theirs)) if ours == theirs => costs(own, other, &mut found),
        _ => {}
    }
    found
}

fn shapes(own: &Seen, other: &Seen, found: &mut Vec<(Class, String)>) {
    if own.shape.is_empty() || other.shape.is_empty() || own.status != other.status {
        return;
    }
    for (place, kind) in &own.shape {
        match other.shape.get(place) {
            None => found.push((Class::Shape, format!("only here: {place} ({kind})"))),
            Some(theirs) if theirs != kind => {
                found.push((Class::Shape, format!("{place} is {kind} here, {theirs} there")));
            }
            Some(_) => {}
        }
    }
    for (place, kind) in &other.shape {
        if !own.shape.contains_key(place) {
            found.push((Class::Shape, format!("only there: {place} ({kind})")));
        }
    }
}

fn costs(own: &Seen, other: &Seen, found: &mut Vec<(Class, String)>) {
    let (Some(ours), Some(theirs)) = (own.cost, other.cost) else { return };
    if (ours - theirs).abs() > 1e-9 + ours.abs() * 1e-6 {
        found.push((Class::Cost, "the same tokens cost something else".to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::super::seen::shape;
    use super::*;

    fn seen(status: u16, body: &serde_json::Value) -> Seen {
        let mut seen = Seen { status, shape: shape(body), ..Seen::default() };
        seen.usage = Some((10, 5));
        seen.cost = Some(0.1);
        seen
    }

    fn classes(own: &Seen, other: &Seen) -> Vec<(Class, String)> {
        differences(own, other)
    }

    #[test]
    fn each_class_of_a_difference_is_told_and_chance_is_none() {
        let body = serde_json::json!({"id": "a", "choices": [{"index": 0}]});
        let own = seen(200, &body);
        assert_eq!(classes(&own, &own.clone()), []);
        let longer = Seen { usage: Some((10, 9)), cost: Some(0.2), ..own.clone() };
        assert_eq!(classes(&own, &longer), [], "an answer may be longer");
        let of = |other: Seen| {
            classes(&own, &other).into_iter().map(|(class, _)| class).collect::<Vec<_>>()
        };
        assert_eq!(of(Seen { failed: Some("no".into()), ..Seen::default() }), [Class::Answer]);
        assert_eq!(of(Seen { usage: Some((11, 5)), ..own.clone() }), [Class::Usage]);
        assert_eq!(of(Seen { usage: None, ..own.clone() }), [Class::Usage]);
        assert_eq!(of(Seen { cost: Some(0.11), ..own.clone() }), [Class::Cost]);
        assert_eq!(of(Seen { headers: ["x-own".into()].into(), ..own.clone() }), [Class::Headers]);
        let text = serde_json::json!({"id": 1, "choices": [{"index": 0, "more": true}]});
        assert_eq!(of(Seen { shape: shape(&text), ..own.clone() }), [Class::Shape, Class::Shape]);
        let failed = |code: &str| Seen { status: 400, code: Some(code.into()), ..Seen::default() };
        assert_eq!(classes(&failed("a/1"), &failed("b/1"))[0].0, Class::ErrorCode);
        assert_eq!(
            classes(&own, &failed("b/1"))[0],
            (Class::Status, "200 here, 400 there".to_owned())
        );
    }

    #[test]
    fn what_the_compatibility_page_explains_is_known_and_nothing_else_is() {
        assert!(is_explained(Class::Headers, "only there: x-litellm-version"));
        assert!(is_explained(Class::Headers, "only here: x-hale-route"));
        assert!(!is_explained(Class::Headers, "only there: x-hale-route"));
        assert!(!is_explained(Class::Headers, "only there: set-cookie"));
        assert!(is_explained(Class::Shape, "only here: error.reason (text)"));
        assert!(!is_explained(Class::Status, "200 here, 500 there"));
        assert!(!is_explained(Class::Cost, "the same tokens cost something else"));
        let page = include_str!("../../../../docs/compatibility.md");
        for (class, pattern) in EXPLAINED {
            let row = format!("| {} | `{pattern}` |", class.name());
            assert!(page.contains(&row), "{row}");
        }
    }
}
