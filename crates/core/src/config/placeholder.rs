//! What is wrong with a text that was to be replaced before the config was used, in words.
//!
//! Asked by [`super::interpolate`] about every text, and by [`super::address`]. Always true: what a placeholder is says
//! [`crate::placeholder`] alone; no finding shows more of a text than the name of a variable.

use super::problem::{Wrong, shown};
use super::redact;
use crate::placeholder::{self, Placeholder};

/// What becomes of a value that looks like a placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is used as it is written.
    Used,
    /// As a master key it keeps no secret: no public address is served with it.
    NoSecret,
}

impl Outcome {
    const fn text(self) -> &'static str {
        match self {
            Outcome::Used => "and is used as it is written",
            Outcome::NoSecret => "and keeps no secret: no address that others reach is served",
        }
    }
}

/// What is wrong with a text that is nothing but a variable as shells, Python and others write it.
pub(super) fn of_shell(text: &str, outcome: Outcome) -> Option<Wrong> {
    placeholder::of_shell(text).map(|name| variable(name, outcome))
}

/// What is wrong with a text that has a placeholder in it, for a value that is never prose.
pub(super) fn anywhere(text: &str, outcome: Outcome) -> Option<Wrong> {
    Some(match placeholder::anywhere(text)? {
        Placeholder::Variable(name) => variable(name, outcome),
        Placeholder::Reference(name) => {
            let problem = format!(
                "`os.environ/{}` stands within a longer text, where it is not read",
                redact::variable(name)
            );
            Wrong::new(
                problem,
                "write `os.environ/NAME` alone, and set the variable to the whole value",
            )
        }
        Placeholder::Blank => {
            let problem =
                format!("looks like a placeholder that was not filled in, {}", outcome.text());
            Wrong::new(problem, "write the value, or `os.environ/NAME`")
        }
    })
}

fn variable(name: &str, outcome: Outcome) -> Wrong {
    let name = shown(name);
    let problem = format!(
        "looks like the environment variable {name}, which was not filled in: neither LiteLLM nor Hale reads that form, {}",
        match outcome {
            Outcome::Used => "and it is used as it is written",
            Outcome::NoSecret => outcome.text(),
        }
    );
    Wrong::new(
        problem,
        format!("run envsubst before, or write `os.environ/{name}` for the whole value"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_names_the_variable_and_never_its_default() {
        let wrong = of_shell("${KEY:-sk-1234}", Outcome::Used).unwrap();
        assert!(wrong.hint.contains("`os.environ/KEY`"), "{wrong:?}");
        assert!(!format!("{wrong:?}").contains("1234"));
    }
}
