//! What the log says of a request that failed: each attempt, or why there was none.
//!
//! Called by [`super::delivery`] and the router for the line in the log. Always true: it is bounded and in one
//! line; it says no more than the client's error does.

use hale_core::deployment::Deployment;
use hale_wire::errors::{AttemptLine, DeploymentLine, ErrorReply, clean};

use super::attempt::Failed;

/// Longest quotation of a provider, characters.
const WORDS_MAX: usize = 120;
/// Longest message of a request without an attempt, characters.
const MESSAGE_MAX: usize = 300;
/// Most attempts, and most deployments that were not tried.
const LISTED_MAX: usize = 8;

/// Of a request that was refused: `alpha 500 server_error "is broken" 3 ms; not tried: beta cooldown`.
pub(crate) fn of_refusal(reply: &ErrorReply) -> String {
    let mut text = match reply.attempts.as_slice() {
        [] => clean(&reply.message, MESSAGE_MAX),
        attempts => of_attempts(attempts),
    };
    if let Some(first) = reply.deployments.first() {
        let names_groups = reply.deployments.iter().any(|one| one.model_group != first.model_group);
        let line = |one: &DeploymentLine| {
            let group = if names_groups { format!("{}/", one.model_group) } else { String::new() };
            format!("{group}{} {} {}", one.name, one.state, one.cause)
        };
        text.push_str("; not tried: ");
        text.push_str(&list(&reply.deployments, ", ", line));
    }
    // Names come from the config and from clients.
    clean(&text, usize::MAX)
}

/// Of a request that was answered after attempts that failed.
pub(crate) fn of_detours(attempts: &[AttemptLine]) -> String {
    clean(&of_attempts(attempts), usize::MAX)
}

/// Of an answer that broke.
pub(crate) fn of_break(deployment: &Deployment, failed: &Failed) -> String {
    let words = clean(&failed.error.message, WORDS_MAX);
    let name = &deployment.display.name;
    clean(&format!("the answer of {name} broke off: {words}"), usize::MAX)
}

fn of_attempts(attempts: &[AttemptLine]) -> String {
    let first = attempts.first().map(|one| &one.model_group);
    let names_groups = attempts.iter().any(|one| Some(&one.model_group) != first);
    list(attempts, "; ", |one| {
        let group = if names_groups { format!("{}/", one.model_group) } else { String::new() };
        let status = one.status.map_or(String::new(), |status| format!("{status} "));
        let words = clean(&one.message, WORDS_MAX);
        let words = if words.is_empty() { words } else { format!("\"{words}\" ") };
        format!("{group}{} {status}{} {words}{} ms", one.deployment, one.cause, one.ms)
    })
}

/// The first of `all`, and how many more there are.
fn list<T>(all: &[T], between: &str, line: impl Fn(&T) -> String) -> String {
    let more = all.len().saturating_sub(LISTED_MAX);
    let more = (more > 0).then(|| format!("{more} more"));
    all.iter().take(LISTED_MAX).map(line).chain(more).collect::<Vec<_>>().join(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(group: &str, status: Option<u16>, message: &str) -> AttemptLine {
        AttemptLine {
            model_group: group.to_owned(),
            deployment: "alpha".to_owned(),
            status,
            cause: "server_error",
            message: message.to_owned(),
            ms: 3,
        }
    }

    #[test]
    fn attempts_stand_with_status_cause_words_and_time_and_with_their_groups_if_there_are_several()
    {
        let lone = vec![attempt("g", Some(500), "is\nbroken")];
        let reply = ErrorReply { attempts: lone, ..ErrorReply::default() };
        assert_eq!(of_refusal(&reply), "alpha 500 server_error \"is broken\" 3 ms");
        let two = vec![attempt("g", Some(500), ""), attempt("f", None, "no")];
        let reply = ErrorReply { attempts: two, ..ErrorReply::default() };
        assert_eq!(
            of_refusal(&reply),
            "g/alpha 500 server_error 3 ms; f/alpha server_error \"no\" 3 ms"
        );
    }

    #[test]
    fn a_story_is_bounded_and_has_one_line() {
        let attempts = vec![attempt("g", Some(500), &"x\n".repeat(5_000)); 20];
        let excluded = DeploymentLine {
            name: "be\u{1b}[31mta".to_owned(),
            state: "cooldown",
            cause: "auth",
            ..DeploymentLine::default()
        };
        let deployments = vec![excluded; 20];
        let reply = ErrorReply { attempts, deployments, ..ErrorReply::default() };
        let text = of_refusal(&reply);
        assert!(text.contains("; 12 more; not tried: be [31mta cooldown auth, "), "{text}");
        assert!(text.ends_with(", 12 more") && text.len() < 2_000, "{}", text.len());
        assert!(!text.contains(char::is_control));
        let message = "m\u{7}".repeat(1_000);
        let reply = ErrorReply { message, ..ErrorReply::default() };
        assert_eq!(of_refusal(&reply).chars().count(), MESSAGE_MAX);
    }
}
