//! Looks at the store for what was made at run time.
//!
//! Started before a worker serves. Always true: the first request finds the deployments of the store, if the database answers within
//! [`FIRST_MAX`], else the files' alone; later a change that any replica makes is in force within two seconds.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::background::Background;
use crate::state::Process;
use crate::stored::{Failure, Look};

/// How long the start waits for the first look.
const FIRST_MAX: Duration = Duration::from_secs(2);
/// How often it is looked at.
const TICK: Duration = Duration::from_secs(1);
/// The same while the config is refused with what is there: each look reads all of it.
const REFUSED: Duration = Duration::from_secs(10);

/// Looks from now on.
pub(super) fn start(background: &Background, process: &Arc<Process>) {
    let (done, looked) = mpsc::channel();
    let of_task = process.clone();
    background.supervise("what was made at run time", move || run(of_task.clone(), done.clone()));
    // A database that does not answer delays the start no longer.
    let _late: Result<(), _> = looked.recv_timeout(FIRST_MAX);
}

async fn run(process: Arc<Process>, done: mpsc::Sender<()>) {
    let mut was_told = false;
    loop {
        let mut pause = TICK;
        if let Some(store) = process.keys.store() {
            let serving = process.serving();
            let looked =
                process.run_time.look(store, &serving.snapshot.gateway, Look::IfChanged).await;
            if let Err(failure) = &looked {
                if matches!(failure, Failure::Refused(_)) {
                    pause = REFUSED;
                }
                if !was_told && serving.snapshot.gateway.stores_models {
                    tracing::warn!(
                        "what was made at run time could not be read, and what is in force stays: {failure}"
                    );
                }
            }
            was_told = looked.is_err();
        }
        // The start waits for the first one.
        let _started: Result<(), _> = done.send(());
        tokio::time::sleep(pause).await;
    }
}
