//! A failed attempt: its cause and the words for it.
//!
//! Made by [`super`], the files beside this one, the relay and the tunnel. Always true: the cause comes
//! from the one classifier of `core`.

use hale_core::cause::Cause;
use hale_core::health::outcome::{Observation, ProviderError, classify};
use hale_core::health::{Failure, Obstacle};
use hale_wire::answer::Fault;
use hale_wire::neutral::Unfit;
use http::StatusCode;

use super::call::Audience;
use crate::clock::seconds;
use crate::upstream::SendError;
use crate::upstream::credential::CredentialError;
use crate::upstream::target::TargetError;

/// A failed attempt.
#[derive(Debug)]
pub(crate) struct Failed {
    /// Why.
    pub(crate) cause: Cause,
    /// The upstream's status, where it answered.
    pub(crate) status: Option<u16>,
    /// What the provider said, or the gateway says.
    pub(crate) error: ProviderError,
    /// The pause that the provider asked for, milliseconds.
    pub(crate) hint_ms: Option<u64>,
    /// The step that failed, where no answer came.
    pub(crate) obstacle: Option<Obstacle>,
}

/// Who set a limit in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetBy {
    /// The client, with its request.
    Client,
    /// The operator, with the config.
    Config,
}

impl Failed {
    /// A failure whose words are the gateway's.
    pub(crate) fn because(
        observation: &Observation<'_>,
        status: Option<u16>,
        message: String,
    ) -> Failed {
        Failed::of(classify(observation), status, message)
    }

    /// A failure whose cause is known.
    pub(crate) fn of(cause: Cause, status: Option<u16>, message: String) -> Failed {
        let error = ProviderError { message, ..ProviderError::default() };
        Failed { cause, status, error, hint_ms: None, obstacle: None }
    }

    /// The same, with the step that failed.
    pub(crate) fn at(self, obstacle: Option<Obstacle>) -> Failed {
        Failed { obstacle, ..self }
    }

    /// What the deployment's state needs to know.
    pub(crate) fn failure(&self) -> Failure {
        Failure { cause: self.cause, status: self.status, hint_ms: self.hint_ms }
    }

    /// An error that the provider put into a 2xx answer or a stream.
    pub(crate) fn in_band(error: ProviderError) -> Failed {
        let cause = classify(&Observation::InBand(&error));
        Failed { cause, status: None, error, hint_ms: None, obstacle: None }
    }

    /// A request that cannot be said in the provider's format; no upstream was called.
    pub(crate) fn unfit(unfit: &Unfit) -> Failed {
        let failed = Failed::of(Cause::Unsupported, None, unfit.message.clone());
        let param = Some(unfit.field.clone());
        Failed { error: ProviderError { param, ..failed.error }, ..failed }
    }

    /// An answer under a 2xx status that is none.
    pub(crate) fn faulty(fault: Fault) -> Failed {
        match fault {
            Fault::Malformed(why) => {
                Failed::malformed(format!("the upstream answered 200 with {why}"))
            }
            Fault::Error(error) => Failed::in_band(error),
        }
    }

    /// An answer or a stream that ended too early.
    pub(crate) fn cut(message: &str) -> Failed {
        Failed::because(&Observation::Cut, None, message.to_owned())
    }

    /// A stream that was silent for longer than the config, or the client, allows.
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

    /// A stream that took longer than the config allows.
    pub(crate) fn too_long() -> Failed {
        let message = "the stream took longer than max_stream_duration".to_owned();
        Failed::because(&Observation::NoRoom, Some(504), message)
    }

    /// A stream that the end of the process cuts.
    pub(crate) fn stopping() -> Failed {
        let message = "the gateway is shutting down and waited for it as long as it may".to_owned();
        Failed::because(&Observation::NoRoom, Some(503), message)
    }

    /// An answer that is not what the wire format promises.
    pub(crate) fn malformed(message: String) -> Failed {
        Failed::because(&Observation::Malformed, None, message)
    }

    /// The upstream gave no answer. The reason names hosts, so only an operator sees it.
    pub(crate) fn unsent(error: &SendError, audience: Audience) -> Failed {
        let (observation, public) = match error {
            SendError::Dns { .. } => {
                (Observation::Dns, "the host name of the deployment does not resolve")
            }
            SendError::NoDescriptors => {
                (Observation::NoRoom, "the gateway can open no more connections")
            }
            SendError::Connect { .. } => {
                (Observation::Connect, "there is no connection to the deployment")
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

    /// The target gave no answer. A failure of its credential's issuer is the deployment's failure.
    pub(crate) fn unanswered(error: TargetError, audience: Audience) -> Failed {
        match error {
            TargetError::Unsent(error) => Failed::unsent(&error, audience),
            TargetError::Credential(CredentialError::Unsent { issuer, error }) => {
                let mut failed = Failed::unsent(&error, audience);
                failed.error.message = format!("{issuer}: {}", failed.error.message);
                // It is not the deployment's address that was not reached.
                failed.obstacle = None;
                failed
            }
            TargetError::Credential(CredentialError::Refused { status, error, hint_ms }) => {
                // A refused token is a refused credential, unless the issuer has a problem of its own.
                let own = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
                let observed = if own { status.as_u16() } else { 401 };
                let cause = classify(&Observation::Status(observed, &error));
                Failed { cause, status: Some(observed), error, hint_ms, obstacle: None }
            }
            TargetError::Credential(CredentialError::NoToken { issuer }) => {
                Failed::malformed(format!("{issuer} answered without a token"))
            }
        }
    }
}
