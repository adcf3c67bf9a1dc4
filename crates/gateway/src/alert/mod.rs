//! Telling people: the incidents of this process, and the messages about them.
//!
//! Runs on the background thread. [`hale_core::incident`] decides what is told when; this reads the process, keeps the book
//! in the store, and sends. Always true: no request waits for it; a channel that does not take a message gets it again
//! later; no message and no line of the log names an address with a secret in it.

mod channel;
mod courier;
mod desk;
mod look;
mod post;
mod task;

pub(crate) use self::channel::{send, test};
pub(crate) use self::post::Refused;
pub(crate) use self::task::run;
