//! `general_settings.cors_origins`, or `LITELLM_CORS_ORIGINS`: the origins whose pages may read answers.
//!
//! Called by [`super::settings`]. Always true: what is not an origin is an error, so that no list is wider than it reads.

use crate::settings::Origins;

use super::field::Field;
use super::interpolate::Env;
use super::problem::{At, Path, Problems, Wrong, shown};
use super::value;

/// The variable that LiteLLM reads.
const VARIABLE: &str = "LITELLM_CORS_ORIGINS";

/// The origins in the list of the config; `None` if one is wrong.
pub(super) fn read(field: &Field<'_>, problems: &mut Problems) -> Option<Origins> {
    let mut names = Vec::new();
    for (place, item) in field.list(problems)?.iter().enumerate() {
        let path = field.path.item(place);
        match value::text(item).and_then(origin) {
            Ok(name) => names.push(name),
            Err(wrong) => {
                field.wrong_in(item.at, &path, wrong, problems);
                return None;
            }
        }
    }
    Some(of(names))
}

/// The origins in [`VARIABLE`]; any if it is not set.
pub(super) fn environment(env: &Env<'_>, problems: &mut Problems) -> Origins {
    let Some(text) = env.get(VARIABLE) else { return Origins::Any };
    listed(&text).unwrap_or_else(|wrong| {
        let problem = format!("environment variable {VARIABLE}: {}", wrong.problem);
        problems.error(At::whole(0), &Path::Root, Wrong::new(problem, wrong.hint));
        Origins::Only(Vec::new())
    })
}

fn listed(text: &str) -> Result<Origins, Wrong> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    Ok(of(names.map(origin).collect::<Result<_, _>>()?))
}

fn of(names: Vec<Box<str>>) -> Origins {
    if names.iter().any(|name| &**name == "*") { Origins::Any } else { Origins::Only(names) }
}

/// `*`, or an origin as browsers write it.
fn origin(text: &str) -> Result<Box<str>, Wrong> {
    let text = text.trim().trim_end_matches('/').to_ascii_lowercase();
    let host = text.split_once("://").map(|(_, host)| host).unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"/?#@*,".contains(&byte);
    if text == "*" || (!host.is_empty() && host.bytes().all(is_plain)) {
        return Ok(text.into());
    }
    let problem = format!("`{}` is not an origin", shown(&text));
    Err(Wrong::new(problem, "write `https://host`, `https://host:port`, or `*` alone for all"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_as_browsers_write_them() {
        let only =
            |names: &[&str]| Origins::Only(names.iter().map(|name| (*name).into()).collect());
        assert_eq!(listed("*").unwrap(), Origins::Any);
        assert_eq!(listed("").unwrap(), only(&[]));
        let two = listed(" https://App.example/ , http://localhost:3000").unwrap();
        assert_eq!(two, only(&["https://app.example", "http://localhost:3000"]));
        for wrong in ["app.example", "https://", "https://a/b", "https://*.example", "https://a b"]
        {
            assert!(listed(wrong).is_err(), "{wrong}");
        }
    }
}
