//! The alert task: looks once a second, and takes back what the courier brings.
//!
//! Started by [`crate::process`] on the background thread.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::desk::Desk;
use crate::events;
use crate::state::Process;

/// How often it looks.
const LOOK: Duration = Duration::from_secs(1);

/// Tells people for as long as the process runs.
pub(crate) async fn run(process: Arc<Process>) {
    let mut events = events::subscribe();
    let mut desk = Desk::new(process);
    desk.open().await;
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            received = events.next() => desk.heard(&received),
            returned = desk.courier.next() => desk.returned(returned),
            _ = tick.tick() => desk.look().await,
        }
    }
}
