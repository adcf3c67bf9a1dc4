//! Incidents: what is wrong, grouped by cause, and when people are told.
//!
//! Driven by the gateway once a second: [`Tally`] counts what became of requests, [`Watch`] makes of that and of the
//! state of deployments what is wrong here and now ([`Trouble`]), and [`Book`] makes of the troubles of all replicas
//! incidents, and of these messages. Always true: a trouble is a state and not an event, so that what was missed is
//! seen the next time; the book can be written and read again, and nothing that it tells is lost or told twice by
//! that; everything in it is bounded.

mod book;
mod case;
mod effect;

mod kind;
mod letter;
mod rules;
mod tally;
#[cfg(test)]
mod tests;
mod trouble;
mod watch;

pub use book::{Book, Merge};
pub use case::{Incident, Stage};
pub use effect::Effect;
pub use kind::{Family, Kind, OTHER_TYPES, Severity};
pub use letter::{Event, Letter, Message, PARTS_MAX, Part, lasted};
pub use rules::{AlertSettings, Channel, Maintenance, Place, Rules, Smtp, SmtpTls, When};
pub use tally::{Attempts, Ended, Outcome, Tally};
pub use trouble::{Counter, Report, Root, Trouble};
pub use watch::{Down, Facts, Member, Scene, Sight, Watch};
