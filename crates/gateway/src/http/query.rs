//! The query of a request, as far as it speaks to the gateway.
//!
//! Called by `proxy::content` and `proxy::kept`. Always true: what is passed on of it stays as it was
//! written.

use super::auth::percent_decode;

/// The value of the first parameter with that name; an empty one counts as absent.
pub(crate) fn value(query: &str, name: &str) -> Option<Box<str>> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    Some(percent_decode(value)).filter(|value| !value.is_empty())
}

/// The query without the parameters of those names.
pub(crate) fn without(query: &str, names: &[&str]) -> String {
    let is_kept = |pair: &&str| {
        let name = pair.split_once('=').map_or(*pair, |(name, _)| name);
        !pair.is_empty() && !names.contains(&name)
    };
    query.split('&').filter(is_kept).collect::<Vec<_>>().join("&")
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
}
