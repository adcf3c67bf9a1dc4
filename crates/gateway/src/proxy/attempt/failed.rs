//! A failed attempt: its cause and its message.
//!
//! Made by [`super`], the files beside this one, the relay and the tunnel. Always true: the classifier of
//! `core` determines the cause.

use hale_core::cause::Cause;
use hale_core::deployment::Deployment;
use hale_core::health::outcome::{
    About, Classified, Lacking, Observation, ProviderError, classify,
};
use hale_core::health::{Failure, Known, Lesson, Obstacle, lesson};
use hale_core::provider::WireFormat;
use hale_core::route::SetBy;
use hale_core::tenancy::Denied;
use hale_wire::answer::Fault;
use hale_wire::neutral::Unfit;
use hale_wire::stream::Broken;
use http::StatusCode;

use super::call::{Audience, Unprepared};
use crate::clock::{self, seconds};
use crate::upstream::credential::CredentialError;
use crate::upstream::target::TargetError;
use crate::upstream::{BodyError, SendError};

/// The status of an answer that is larger than the operator permits. Other limits of the gateway's own have others.
pub(crate) const ANSWER_TOO_LARGE: u16 = 502;

/// Says what is left out of all calls of `model` from now on.
pub(crate) fn note_learned(deployment: &Deployment, model: &str, known: Known) {
    tracing::info!(
        deployment = &*deployment.display.name,
        model,
        learned = known.words().join("; "),
        "the provider refuses a parameter and answers without it: it is left out from now on"
    );
}

/// A failed attempt.
#[derive(Debug)]
pub(crate) struct Failed {
    /// Why it failed.
    pub(crate) cause: Cause,
    /// The upstream's status, if it answered.
    pub(crate) status: Option<u16>,
    /// The provider's error, or the gateway's own.
    pub(crate) error: ProviderError,
    /// What it is about.
    pub(crate) about: About,
    /// The step that failed, if no answer came.
    pub(crate) obstacle: Option<Obstacle>,
}

impl Failed {
    /// A failure with the gateway's own message.
    pub(crate) fn because(
        observation: &Observation<'_>,
        status: Option<u16>,
        message: String,
    ) -> Failed {
        Failed::of(classify(observation).cause, status, message)
    }

    /// A failure whose cause is known.
    pub(crate) fn of(cause: Cause, status: Option<u16>, message: String) -> Failed {
        let error = ProviderError { message, ..ProviderError::default() };
        Failed { cause, status, error, about: About::Whole, obstacle: None }
    }

    /// A failure that the provider told with a status.
    pub(crate) fn told(classified: Classified, status: u16, mut error: ProviderError) -> Failed {
        let Classified { cause, about } = classified;
        error.wait_ms = error.wait_ms(cause, clock::unix_ms());
        let obstacle = (about == About::Address).then_some(Obstacle::NoPath);
        Failed { cause, status: Some(status), error, about, obstacle }
    }

    /// Adds the step that failed.
    pub(crate) fn at(self, obstacle: Option<Obstacle>) -> Failed {
        Failed { obstacle, ..self }
    }

    /// The part that the deployment's state needs.
    pub(crate) fn failure(&self) -> Failure {
        Failure { cause: self.cause, status: self.status, hint_ms: self.hint_ms() }
    }

    /// The delay that the provider asked for, milliseconds.
    pub(crate) fn hint_ms(&self) -> Option<u64> {
        self.error.wait_ms
    }

    /// What this failure teaches beyond `known`, if the provider refused something that Hale added or that only advises: the
    /// attempt can be made without it.
    pub(crate) fn teaches(&self, known: Known) -> Option<Lesson> {
        let refused = match self.status {
            Some(status) => (400..500).contains(&status) && !self.cause.blames_deployment(),
            // An error in a stream that has begun has no status of its own.
            None => self.cause == Cause::BadRequest,
        };
        let lesson = refused.then(|| lesson(&self.error)).flatten()?;
        (known.with(lesson) != known).then_some(lesson)
    }

    /// It is about a count: the gateway estimates instead. What the server answered to that says nothing about its model,
    /// unless it is about the key or the load; how many counts it takes is a limit of their own.
    pub(super) fn is_of_a_count(&mut self, wire: WireFormat) {
        let is_ours = matches!(
            self.cause,
            Cause::ClientTimeout | Cause::ClientClosed | Cause::Gateway | Cause::Unsupported
        );
        // A server of Anthropic's format counts, and so does Google's: what it says about the request holds.
        let is_the_clients = wire != WireFormat::OpenAi
            && !self.cause.blames_deployment()
            && self.about.lacking().is_none();
        if is_ours || is_the_clients {
            return;
        }
        let is_general = matches!(self.status, None | Some(401 | 403 | 503 | 529));
        let is_of_the_page = matches!(
            self.cause,
            Cause::BadResponse | Cause::Timeout | Cause::StreamCut | Cause::StreamStall
        );
        if !is_general || is_of_the_page {
            self.cause = Cause::BadRequest;
        }
        self.about = About::Lacking(Lacking::Operation);
    }

    /// An error inside a 2xx answer or a stream.
    pub(crate) fn in_band(mut error: ProviderError) -> Failed {
        let Classified { cause, about } = classify(&Observation::InBand(&error));
        let obstacle = (about == About::Address).then_some(Obstacle::NoPath);
        error.wait_ms = error.wait_ms(cause, clock::unix_ms());
        Failed { cause, status: None, error, about, obstacle }
    }

    /// A request that cannot be expressed in the provider's format; no upstream was called.
    pub(crate) fn unfit(unfit: &Unfit) -> Failed {
        let failed = Failed::of(Cause::Unsupported, None, unfit.message.clone());
        let param = Some(unfit.field.clone());
        Failed { error: ProviderError { param, ..failed.error }, ..failed }
    }

    /// A request that was not made.
    pub(crate) fn unprepared(why: &Unprepared) -> Failed {
        match why {
            Unprepared::Unfit(unfit) => Failed::unfit(unfit),
            Unprepared::NoRoom => Failed::no_room(),
        }
    }

    /// The memory for bodies is full.
    pub(crate) fn no_room() -> Failed {
        let message = "the gateway's memory for bodies is full (max_buffered_mb)".to_owned();
        Failed::of(Cause::Gateway, Some(503), message)
    }

    /// A 2xx that is not a valid answer.
    pub(crate) fn faulty(fault: Fault) -> Failed {
        match fault {
            Fault::Malformed(why) => {
                Failed::malformed(format!("the upstream answered 200 with {why}"))
            }
            Fault::Error(error) => Failed::in_band(error),
        }
    }

    /// An answer that is larger than the operator permits: `what` says how large. It is a good answer, so another
    /// attempt would be as large, and costs as much.
    pub(crate) fn too_large(what: &str, limit: usize) -> Failed {
        let message = format!(
            "{what} is larger than the {limit} bytes that max_response_size_mb in general_settings permits; it is not \
             requested again, because it would be as large. Fix: raise max_response_size_mb, or request less"
        );
        Failed::because(&Observation::NoRoom, Some(ANSWER_TOO_LARGE), message)
    }

    /// A stream that cannot be read on.
    pub(crate) fn broken(broken: &Broken) -> Failed {
        match broken {
            Broken::TooLong(limit) => Failed::too_large("an event of the stream", *limit),
            Broken::Unreadable(_) => Failed::malformed(broken.to_string()),
            Broken::Unfinished => Failed::cut(&broken.to_string()),
            Broken::Differs => Failed::of(Cause::EmptyAnswer, Some(200), broken.to_string()),
        }
    }

    /// An answer or a stream that ended too early.
    pub(crate) fn cut(message: &str) -> Failed {
        Failed::because(&Observation::Cut, None, message.to_owned())
    }

    /// An answer whose body cannot be read; `cut` says what was cut.
    pub(crate) fn of_body(error: &BodyError, cut: &str) -> Failed {
        match error {
            BodyError::Cut | BodyError::Malformed(_) => Failed::cut(cut),
            BodyError::Packed(..) => Failed::malformed(error.to_string()),
        }
    }

    /// A stream that was silent for longer than allowed.
    pub(crate) fn stalled(silence_ms: u64, set_by: SetBy) -> Failed {
        let seconds = seconds(silence_ms);
        let (observation, message) = match set_by {
            SetBy::Client => {
                let message =
                    format!("the stream fell silent for the {seconds} s that the client allows");
                (Observation::ClientDeadline, message)
            }
            SetBy::Config => {
                (Observation::Stall, format!("the stream fell silent for {seconds} s"))
            }
        };
        Failed::because(&observation, None, message)
    }

    /// A stream that took longer than `max_stream_duration`.
    pub(crate) fn too_long() -> Failed {
        let message = "the stream took longer than max_stream_duration".to_owned();
        Failed::because(&Observation::NoRoom, Some(504), message)
    }

    /// A stream or a session whose key may not go on.
    pub(crate) fn denied(denied: &Denied) -> Failed {
        Failed::of(Cause::BadRequest, Some(denied.status), denied.message.clone())
    }

    /// A stream that is cut because the process stops.
    pub(crate) fn stopping() -> Failed {
        let message = "the gateway is shutting down, and its grace period is over".to_owned();
        Failed::because(&Observation::NoRoom, Some(503), message)
    }

    /// An answer that violates the wire format.
    pub(crate) fn malformed(message: String) -> Failed {
        Failed::because(&Observation::Malformed, None, message)
    }

    /// The upstream sent no answer. Only an operator sees the details, because they name hosts.
    pub(crate) fn unsent(error: &SendError, audience: Audience) -> Failed {
        let (observation, public) = match error {
            SendError::Dns { .. } => {
                (Observation::Dns, "the host name of the deployment does not resolve")
            }
            SendError::NoDescriptors => {
                (Observation::NoRoom, "the gateway cannot open more connections")
            }
            SendError::Connect { .. } | SendError::Barred { .. } => {
                (Observation::Connect, "the connection to the deployment failed")
            }
            SendError::Closed | SendError::Reset => {
                (Observation::Connect, "the connection was closed before an answer came")
            }
            SendError::Cut => {
                (Observation::Connect, "the connection was closed in the head of the answer")
            }
            SendError::Tls { .. } => {
                (Observation::Tls, "the TLS handshake with the deployment failed")
            }
            SendError::Protocol(_) => (Observation::Malformed, "the answer is not valid HTTP"),
        };
        tracing::debug!(%error, "an attempt was not answered");
        let message = match audience {
            Audience::Operator => error.to_string(),
            Audience::Client => public.to_owned(),
        };
        let status = matches!(observation, Observation::NoRoom).then_some(503);
        Failed::because(&observation, status, message).at(error.obstacle())
    }

    /// The target sent no answer. A failure of the credential's issuer counts as the deployment's.
    pub(crate) fn unanswered(error: TargetError, audience: Audience) -> Failed {
        match error {
            TargetError::Unsent(error) => Failed::unsent(&error, audience),
            TargetError::Credential(CredentialError::Unsent { issuer, error }) => {
                let mut failed = Failed::unsent(&error, audience);
                failed.error.message = format!("{issuer}: {}", failed.error.message);
                // The issuer was not reached; this says nothing about the deployment's address.
                failed.obstacle = None;
                failed
            }
            TargetError::Credential(CredentialError::Refused { status, error }) => {
                // A refused token request means a bad credential, unless the issuer itself fails.
                let own = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
                let observed = if own { status.as_u16() } else { 401 };
                let cause = classify(&Observation::Status(observed, &error)).cause;
                Failed::told(cause.into(), observed, error)
            }
            TargetError::Credential(error @ CredentialError::NoToken { .. }) => {
                Failed::malformed(error.to_string())
            }
            TargetError::Credential(error @ CredentialError::Unusable { .. }) => {
                Failed::of(Cause::Auth, None, error.to_string())
            }
            TargetError::Credential(error @ CredentialError::Silent { .. }) => {
                Failed::because(&Observation::Timeout, None, error.to_string())
            }
        }
    }
}
