//! The export of metrics to a collector, as often as the config says.
//!
//! Started with the process, in the background. Always true: without a sink for metrics nothing is read; the page is read, and
//! its items are queued, on a thread that may wait.

use std::sync::Arc;
use std::time::Duration;

use crate::background::Background;
use crate::clock;
use crate::pages::metrics::otlp;
use crate::sink::export::otlp::metric;
use crate::sink::export::otlp::metrics::Span;
use crate::state::Process;

/// How often a config is asked for such a sink.
const LOOK: Duration = Duration::from_secs(1);

/// Exports until the process ends.
pub(super) async fn run(process: Arc<Process>, background: Background) {
    let mut waited = Duration::ZERO;
    loop {
        let sink = process.sinks.exports.of_metrics();
        let telemetry = sink.as_ref().and_then(|sink| sink.of_metrics());
        let Some((sink, telemetry)) = sink.as_ref().zip(telemetry) else {
            tokio::time::sleep(LOOK).await;
            continue;
        };
        let period = Duration::from_millis(telemetry.period_ms);
        // In steps, because a reload may change it.
        if waited < period {
            let step = LOOK.min(period - waited);
            tokio::time::sleep(step).await;
            waited += step;
            continue;
        }
        waited = Duration::ZERO;
        let (encoding, of_job, takes) = (telemetry.encoding, process.clone(), sink.clone());
        let read = move || {
            let (began_ns, at_ns) = (clock::started_unix_ms(), clock::unix_ms());
            let span = Span { began_ns: began_ns * 1_000_000, at_ns: at_ns * 1_000_000 };
            let all = otlp::read(&of_job);
            all.iter().for_each(|one| takes.put(metric(encoding, one, span).into()));
        };
        let _panicked: Option<()> = background.blocking("reading the metrics", read).await;
    }
}
