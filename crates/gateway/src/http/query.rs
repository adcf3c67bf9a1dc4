//! Splits and decodes the query of a request, and names in its path; no other code does.
//!
//! Called by the router, the proxy and the pages. Always true: parameters are passed on as they were written;
//! an invalid escape sequence is text.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The parameters in order, as they were written. A name without `=` has no value.
pub(crate) fn pairs(query: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (pair, None),
    })
}

/// The percent-decoded text.
pub(crate) fn decoded(text: &str) -> Box<str> {
    match percent_decode_str(text).decode_utf8_lossy() {
        Cow::Borrowed(text) => Box::from(text),
        Cow::Owned(text) => text.into_boxed_str(),
    }
}

/// The decoded value of a form, in which a plus is a space.
pub(crate) fn decoded_form(text: &str) -> Box<str> {
    match text.contains('+') {
        true => decoded(&text.replace('+', " ")),
        false => decoded(text),
    }
}

/// The value of the first parameter with that name; an empty one counts as absent.
pub(crate) fn value(query: &str, name: &str) -> Option<Box<str>> {
    first(query, name).map(decoded).filter(|value| !value.is_empty())
}

/// The value of the first parameter with that name, decoded like a form's; an empty one counts.
pub(crate) fn form_value(query: Option<&str>, name: &str) -> Option<Box<str>> {
    first(query?, name).map(decoded_form)
}

/// The query without the parameters with those names.
pub(crate) fn without(query: &str, names: &[&str]) -> String {
    let is_kept = |pair: &&str| {
        let name = pair.split_once('=').map_or(*pair, |(name, _)| name);
        !pair.is_empty() && !names.contains(&name)
    };
    query.split('&').filter(is_kept).collect::<Vec<_>>().join("&")
}

fn first<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    pairs(query).find_map(|(key, value)| value.filter(|_| key == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_and_left_out() {
        let query = "limit=2&model=a%2Fb&after=&include%5B%5D=x&model=c&flag";
        assert_eq!(value(query, "model").as_deref(), Some("a/b"));
        for name in ["after", "flag", "other", "imit"] {
            assert_eq!(value(query, name), None, "{name}");
        }
        assert_eq!(without(query, &["model", "after"]), "limit=2&include%5B%5D=x&flag");
        assert!(without("", &["model"]).is_empty());
    }

    #[test]
    fn the_first_parameter_with_a_value_counts() {
        assert_eq!(value("model&model=x&model=y", "model").as_deref(), Some("x"));
        assert_eq!(value("model=&model=x", "model"), None);
        assert_eq!(
            pairs("a&b=&=c").collect::<Vec<_>>(),
            [("a", None), ("b", Some("")), ("", Some("c"))]
        );
    }

    #[test]
    fn parameters_are_decoded() {
        let query = Some("a=1&model_group=x%2Fy+z%2B&model_group=second&b&c=");
        assert_eq!(form_value(query, "model_group").as_deref(), Some("x/y z+"));
        assert_eq!(form_value(query, "c").as_deref(), Some(""));
        assert_eq!(form_value(query, "b"), None);
        assert_eq!(form_value(None, "a"), None);
        assert_eq!(value("a=x+y", "a").as_deref(), Some("x+y"));
    }

    #[test]
    fn names_in_paths_are_decoded() {
        assert_eq!(&*decoded("openai%2Fgpt%2d4"), "openai/gpt-4");
        assert_eq!(&*decoded("a%zz%4"), "a%zz%4");
        assert_eq!(&*decoded("%C3%BC%ff"), "\u{fc}\u{fffd}");
    }
}
