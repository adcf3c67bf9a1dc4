//! Splits and decodes the query of a request, and names in its path; no other code does.
//!
//! Called by the router, the proxy and the pages. Always true: names are compared decoded, because that is how an
//! upstream reads them; what is passed on is written anew; an invalid escape sequence is text.

use std::borrow::Cow;

use hale_core::azure::escaped;
use percent_encoding::percent_decode_str;

/// The parameters in order, with their names decoded and their values as they were written. A name without `=` has no
/// value.
pub(crate) fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Option<&str>)> {
    query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) => (form_text(name), Some(value)),
        None => (form_text(pair), None),
    })
}

/// The percent-decoded text.
pub(crate) fn decoded(text: &str) -> Box<str> {
    boxed(percent_decode_str(text).decode_utf8_lossy())
}

/// The decoded value of a form, in which a plus is a space.
pub(crate) fn decoded_form(text: &str) -> Box<str> {
    boxed(form_text(text))
}

fn form_text(text: &str) -> Cow<'_, str> {
    match text.contains('+') {
        true => Cow::Owned(decoded(&text.replace('+', " ")).into()),
        false => percent_decode_str(text).decode_utf8_lossy(),
    }
}

fn boxed(text: Cow<'_, str>) -> Box<str> {
    match text {
        Cow::Borrowed(text) => Box::from(text),
        Cow::Owned(text) => text.into_boxed_str(),
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

/// A query of the parameters with those names, written anew: nothing in it can be read otherwise than here.
pub(crate) fn only(query: &str, names: &[&str]) -> String {
    let mut kept = String::new();
    for (name, value) in pairs(query) {
        if names.contains(&&*name) {
            push(&mut kept, &name, &form_text(value.unwrap_or_default()));
        }
    }
    kept
}

/// The query without the parameters of those names, decoded or not; `None` if nothing is left.
pub(crate) fn without(query: &str, names: &[&str]) -> Option<String> {
    let is_kept = |part: &&str| pairs(part).all(|(name, _)| !names.contains(&&*name));
    let kept: Vec<&str> = query.split('&').filter(is_kept).collect();
    let kept = kept.join("&");
    (!kept.is_empty()).then_some(kept)
}

/// Adds a parameter to a query.
pub(crate) fn push(query: &mut String, name: &str, value: &str) {
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(&escaped(name));
    query.push('=');
    query.push_str(&escaped(value));
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
        assert_eq!(only(query, &["limit", "include[]", "flag"]), "limit=2&include%5B%5D=x&flag=");
        assert!(only("", &["model"]).is_empty());
    }

    #[test]
    fn names_are_compared_as_an_upstream_reads_them() {
        let query =
            "mod%65l=a&%6D%6f%64%65%6C=b&in%63lude%5b]=x;model=y%26model=z&mod+el=c&model%00=d";
        assert_eq!(value(query, "model").as_deref(), Some("a"));
        assert_eq!(form_value(Some(query), "mod el").as_deref(), Some("c"));
        assert_eq!(only(query, &["include[]"]), "include%5B%5D=x%3Bmodel%3Dy%26model%3Dz");
        assert_eq!(only("limit=1%zz+%C3%BC&LIMIT=2", &["limit"]), "limit=1%25zz%20%C3%BC");
    }

    #[test]
    fn the_first_parameter_with_a_value_counts() {
        assert_eq!(value("model&model=x&model=y", "model").as_deref(), Some("x"));
        assert_eq!(value("model=&model=x", "model"), None);
        assert_eq!(
            pairs("a&b=&=c").collect::<Vec<_>>(),
            [("a".into(), None), ("b".into(), Some("")), ("".into(), Some("c"))]
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
