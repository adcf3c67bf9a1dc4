//! The fix of a failure at Vertex AI: which link between a deployment and its model is missing.
//!
//! Called by [`super::fix`]. Always true: it names the link that failed first: the credentials, the interface, the role, the location.

use hale_core::cause::Cause;
use hale_core::deployment::Deployment;
use hale_core::google::Identity;

use super::{Failure, label};

/// The fix, if it is another one than that of other providers.
pub(super) fn fix(deployment: &Deployment, failure: &Failure<'_>) -> Option<String> {
    let vertex = deployment.endpoint.vertex.as_ref()?;
    let source = vertex.source.as_ref()?;
    let project = vertex.project.as_deref().unwrap_or("the project");
    let says = |words: &[&str]| words.iter().any(|word| failure.message.contains(word));
    if says(&["the metadata server"]) {
        return Some(format!(
            "set vertex_credentials of {}, or GOOGLE_APPLICATION_CREDENTIALS: without them this machine's own identity is used, \
             and it has none",
            label(deployment)
        ));
    }
    let (cause, kind) = (failure.cause, source.identity.kind());
    if cause == Cause::Auth {
        let is_machine = matches!(source.identity, Identity::Machine(_));
        return Some(if says(&["invalid_grant", "Invalid JWT", "account not found"]) {
            format!(
                "create a new key: Google does not know {kind} of {} any more, or the clock of this machine is off",
                label(deployment)
            )
        } else if is_machine {
            "give this machine a service account with the scope cloud-platform".to_owned()
        } else {
            format!("correct vertex_credentials of {}", label(deployment))
        });
    }
    if cause == Cause::Permission {
        let is_off = says(&["has not been used in project", "is disabled", "SERVICE_DISABLED"]);
        return Some(match is_off {
            true => format!(
                "enable the API aiplatform.googleapis.com in project {project}, and wait some minutes"
            ),
            false => format!(
                "give {kind} the role Vertex AI User (roles/aiplatform.user) in project {project}"
            ),
        });
    }
    (cause == Cause::NotFound).then(|| {
        format!(
            "set vertex_location to `global` or to a region that has `{}`, now it is {}; a model of another maker has to be \
             enabled in Model Garden of project {project}",
            deployment.endpoint.upstream_model, vertex.location
        )
    })
}
