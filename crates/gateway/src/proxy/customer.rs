//! The client's own customer: LiteLLM calls it the end user.
//!
//! Called by [`super::opening`] once a request, for what is checked, billed and counted. Always true: these three have one name; what
//! cannot be read names none, and refuses no request.

use hale_wire::controls::text_in;
use hale_wire::peek::Peek;
use http::{HeaderMap, HeaderName};

/// Longest name, characters.
const NAME_MAX: usize = 200;
/// Headers that name it.
static HEADERS: [HeaderName; 2] = [
    HeaderName::from_static("x-litellm-customer-id"),
    HeaderName::from_static("x-litellm-end-user-id"),
];

/// Its name: that of a header, else the `user` of a header that the config names, else that of the body.
pub(super) fn customer(
    headers: &HeaderMap,
    user: Option<&str>,
    body: impl FnOnce() -> Option<Box<str>>,
) -> Option<Box<str>> {
    let of_headers = HEADERS.iter().filter_map(|name| headers.get(name)?.to_str().ok());
    let named = of_headers.chain(user).find_map(name_of);
    named.or_else(body)
}

/// A name without the space around it; `None` if nothing is left.
fn name_of(text: &str) -> Option<Box<str>> {
    let text = text.trim();
    let cut = text.char_indices().nth(NAME_MAX).map_or(text, |(end, _)| &text[..end]);
    (!cut.is_empty()).then(|| cut.into())
}

/// That of the body, wherever LiteLLM looks for it.
pub(super) fn of_body(peek: &Peek) -> Option<Box<str>> {
    let word = |name: &'static str| name_of(&peek.word(name)?);
    let within = |field: &str, name: &str| name_of(&text_in(peek.raw(field)?, name)?);
    word("user")
        .or_else(|| within("litellm_metadata", "user"))
        .or_else(|| within("metadata", "user_id"))
        .or_else(|| word("safety_identifier"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(
        headers: &[(&'static str, &'static str)],
        user: Option<&str>,
        body: &'static str,
    ) -> String {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        let peek = Peek::parse(body.into()).unwrap();
        customer(&headers, user, || of_body(&peek)).map_or_else(String::new, String::from)
    }

    #[test]
    fn the_first_place_that_names_one_counts() {
        let all = r#"{"user": "u", "litellm_metadata": {"user": "l"}, "metadata": {"user_id": "m"}, "safety_identifier": "s"}"#;
        let header = [("x-litellm-customer-id", " c ")];
        assert_eq!(named(&header, Some("h"), all), "c");
        assert_eq!(named(&[("x-litellm-end-user-id", "e")], Some("h"), all), "e");
        assert_eq!(named(&[], Some("h"), all), "h");
        assert_eq!(named(&[], None, all), "u");
        assert_eq!(
            named(&[], None, r#"{"metadata": {"user_id": "a"}, "safety_identifier": "s"}"#),
            "a"
        );
        assert_eq!(
            named(
                &[],
                None,
                r#"{"metadata": {"user_id": 7}, "user": 7, "safety_identifier": "s"}"#
            ),
            "s"
        );
        assert_eq!(named(&[], None, "{}"), "");
    }

    #[test]
    fn an_empty_name_hides_no_other_one() {
        let header = [("x-litellm-customer-id", " "), ("x-litellm-end-user-id", "")];
        assert_eq!(named(&header, None, r#"{"user": "u"}"#), "u");
        assert_eq!(
            named(&header, Some(" "), r#"{"user": " ", "metadata": {"user_id": "a"}}"#),
            "a"
        );
    }
}
