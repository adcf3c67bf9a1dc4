//! What replicas tell each other, and what follows from it here.
//!
//! Driven by the gateway's fleet task, which carries [`Message`]s over a server that all replicas
//! reach; the simulator carries them over simulated networks. Always true: replicas publish
//! evidence, never verdicts; reports are joined in any order, twice or late, with the same result;
//! what others report changes health only as [`crate::health::Evidence`]; all times between
//! replicas are the server's, so that their own clocks do not matter.

mod judgement;
mod lease;
mod message;
mod peers;
mod probed;
mod replica;
mod report;
mod share;

pub use judgement::{Judgement, Local, judge};
pub use lease::{Holding, Leases, Want};
pub use message::{Garbage, MESSAGE_MAX, Message, VERSION};
pub use peers::{LIVE_MS, Peers, REPLICAS_MAX};
pub use probed::SharedProbe;
pub use replica::{Changes, Fleet, Published};
pub use report::{Closed, Report, Reports, ServerClock, ServerMs};
pub use share::{Mode, OthersUse, SHARE_MIN_MS, Shares, Use};
