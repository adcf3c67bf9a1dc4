//! From arguments to a serving process, and back to nothing in good order.
//!
//! Called by `main`. Always true: nothing listens before the config is valid and the master key fits
//! the address; a stop signal lets what is in flight finish, within bounds.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use hale_core::config::{self, Loaded, Options, Problem, Severity};
use hale_core::settings::GatewaySettings;
use hale_core::snapshot::Snapshot;
use hale_core::time::Millis;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::cli::{CheckOptions, ServeOptions};
use crate::files::Files;
use crate::logging::{self, Detail};
use crate::metrics::Metrics;
use crate::reload::Reloader;
use crate::server::{self, Phase, listener};
use crate::sink::{Drain, Sinks};
use crate::state::Process;
use crate::{EXIT_CONFIG, complain, health, panics, room, upstream};

/// Keys that stand in published documents.
const PUBLISHED_KEYS: &[&str] = &["sk-1234", "sk-12345", "sk-123456789", "sk-master-key"];
/// Shortest master key that counts as strong, characters. Source: the contract, section 8.
const STRONG_KEY: usize = 16;
/// What stands for the file in messages about `--model`.
const QUICK_CONFIG: &str = "(command line)";

/// What a running gateway is controlled by.
pub(crate) struct Running {
    /// The process.
    pub(crate) process: Arc<Process>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    phase: watch::Sender<Phase>,
    workers: Vec<std::thread::JoinHandle<()>>,
    drain: Option<Drain>,
}

/// `hale --config FILE`.
pub(crate) fn run(options: ServeOptions) -> ExitCode {
    logging::set_up(match &options {
        ServeOptions { detailed_debug: true, .. } => Detail::All,
        ServeOptions { debug: true, .. } => Detail::Requests,
        _ => Detail::Normal,
    });
    if let Some(seconds) = options.request_timeout
        && hale_wire::peek::seconds_to_ms(&seconds.to_string()).is_none()
    {
        complain("--request_timeout must be a number of seconds above 0, at most 86400");
        return ExitCode::from(2);
    }
    let (files, root) = match source(&options) {
        Ok(found) => found,
        Err(usage) => {
            complain(&usage);
            return ExitCode::from(2);
        }
    };
    let loaded = config::load(&files, &root, Options { strict: options.strict }, None);
    report(&loaded);
    let Some(mut snapshot) = loaded.snapshot else { return ExitCode::from(EXIT_CONFIG) };
    override_settings(&mut snapshot, &options);
    let address = match bind_address(&snapshot.gateway, &options) {
        Ok(address) => address,
        Err(problem) => {
            complain(&problem);
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let workers = options.num_workers.unwrap_or_else(cores).clamp(1, 1024);
    let log_requests = options.debug || options.detailed_debug;
    // Signals are caught before anybody is told that the process listens.
    let (runtime, signals) = match catch_signals() {
        Ok(caught) => caught,
        Err(error) => {
            complain(&format!("signals can not be received: {error}"));
            return ExitCode::from(1);
        }
    };
    let running = match start(snapshot, address, workers, log_requests) {
        Ok(running) => running,
        Err(problem) => {
            complain(&problem);
            return ExitCode::from(1);
        }
    };
    let reloader = Reloader::new(files, root, loaded.files, options, running.address.ip());
    runtime.block_on(control(running, reloader, signals));
    ExitCode::SUCCESS
}

/// `hale check FILE`.
pub(crate) fn check(options: &CheckOptions) -> ExitCode {
    let strict = Options { strict: options.strict };
    let loaded = config::load(&Files::on_disk(), &options.config, strict, None);
    crate::print(&listed(&loaded));
    match &loaded.snapshot {
        Some(snapshot) => {
            crate::print(&format!(
                "{}: ok, {} deployments in {} model groups, {} warnings\n",
                options.config,
                snapshot.deployments.len(),
                snapshot.listed_groups().count(),
                loaded.warnings().count()
            ));
            ExitCode::SUCCESS
        }
        None => ExitCode::from(EXIT_CONFIG),
    }
}

/// All problems of a config, one a line.
pub(crate) fn listed(loaded: &Loaded) -> String {
    let line = |problem: &Problem| match problem.severity {
        Severity::Error => format!("error: {problem}\n"),
        Severity::Warning => format!("warning: {problem}\n"),
    };
    loaded.problems.iter().map(line).collect()
}

fn source(options: &ServeOptions) -> Result<(Files, String), String> {
    match (&options.config, &options.model) {
        (Some(_), Some(_)) => {
            Err("--config and --model exclude each other; put the model into the config, or unset \
                 CONFIG_FILE_PATH"
                .to_owned())
        }
        (Some(path), None) => Ok((Files::on_disk(), path.clone())),
        (None, Some(model)) => {
            let base = options.api_base.as_ref().map(|base| ("api_base", base.as_str()));
            let params: serde_json::Map<String, serde_json::Value> = [("model", model.as_str())]
                .into_iter()
                .chain(base)
                .map(|(k, v)| (k.into(), v.into()))
                .collect();
            let entry = serde_json::json!({"model_name": model, "litellm_params": params});
            let any = serde_json::json!({"model_name": "*", "litellm_params": params});
            // JSON is YAML; the star answers to whatever name the client uses, as in the reference.
            let text = serde_json::json!({"model_list": [entry, any]}).to_string();
            Ok((Files::with(QUICK_CONFIG, text), QUICK_CONFIG.to_owned()))
        }
        (None, None) => Err(
            "nothing to serve: name a config (hale --config config.yaml), a model (hale --model \
             openai/gpt-4o), or try `hale demo`"
                .to_owned(),
        ),
    }
}

/// Settings of the command line win over the config's, and what the system enforces over both.
pub(crate) fn override_settings(snapshot: &mut Snapshot, options: &ServeOptions) {
    if let Some(ms) =
        options.request_timeout.and_then(|s| hale_wire::peek::seconds_to_ms(&s.to_string()))
    {
        snapshot.router.request_timeout_ms = Some(ms);
    }
    snapshot.gateway.drop_params |= options.drop_params;
    room::fit(&mut snapshot.gateway.bounds);
}

fn report(loaded: &Loaded) {
    for problem in &loaded.problems {
        match problem.severity {
            Severity::Error => tracing::error!("{problem}"),
            Severity::Warning => tracing::warn!("{problem}"),
        }
    }
}

fn is_strong(settings: &GatewaySettings) -> bool {
    settings.master_key.as_ref().is_some_and(|key| {
        key.expose().chars().count() >= STRONG_KEY && !PUBLISHED_KEYS.contains(&key.expose())
    })
}

fn bind_address(settings: &GatewaySettings, options: &ServeOptions) -> Result<SocketAddr, String> {
    let ip = match &options.host {
        None if is_strong(settings) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        None => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Some(host) => resolve_host(host)?,
    };
    check_key(settings, ip)?;
    Ok(SocketAddr::new(ip, options.port))
}

/// Whether the master key is good enough to listen on `ip`; at start and at each reload.
///
/// # Errors
/// What is wrong, and the two ways out.
pub(crate) fn check_key(settings: &GatewaySettings, ip: IpAddr) -> Result<(), String> {
    let strong = is_strong(settings);
    if !strong && !settings.permit_weak_master_key && !ip.is_loopback() {
        let state = if settings.master_key.is_some() { "weak or published" } else { "not set" };
        return Err(format!(
            "general_settings.master_key is {state}, and {ip} can be reached by others. Either set a \
             master_key of at least {STRONG_KEY} characters, or set \
             general_settings.dangerously_permit_weak_or_unset_master_key: true"
        ));
    }
    if settings.master_key.is_none() {
        tracing::warn!("no master_key is set: everybody who reaches {ip} may use the models");
    } else if !strong {
        tracing::warn!(
            "the master_key is weak or published; use at least {STRONG_KEY} random characters"
        );
    }
    Ok(())
}

fn resolve_host(host: &str) -> Result<IpAddr, String> {
    (host, 0)
        .to_socket_addrs()
        .ok()
        .and_then(|mut found| found.next())
        .map(|found| found.ip())
        .ok_or_else(|| {
            format!("--host {host} is no address of this machine and no name that resolves")
        })
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Binds, starts the workers, and says where it listens.
///
/// # Errors
/// What a person needs to know.
pub(crate) fn start(
    snapshot: Snapshot,
    address: SocketAddr,
    workers: usize,
    log_requests: bool,
) -> Result<Running, String> {
    let request_log = snapshot.gateway.request_log.as_deref();
    let (sinks, drain) = Sinks::open(request_log, log_requests).map_err(|error| {
        format!("request_log {} can not be opened: {error}", request_log.unwrap_or_default())
    })?;
    let listeners = listener::bind(address, workers).map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "; another process listens there, choose another --port"
            }
            std::io::ErrorKind::PermissionDenied => "; ports below 1024 need privileges",
            std::io::ErrorKind::AddrNotAvailable => "; that is no address of this machine",
            _ => "",
        };
        format!("can not listen on {address}: {error}{hint}")
    })?;
    let address = listeners
        .first()
        .and_then(|listener| listener.local_addr().ok())
        .ok_or_else(|| format!("can not listen on {address}"))?;
    let uses_tls = snapshot.deployments.iter().any(|one| one.api_base.starts_with("https"));
    let (groups, deployments) = (snapshot.listed_groups().count(), snapshot.deployments.len());
    let process = Arc::new(Process::new(snapshot, sinks));
    let (phase, phases) = watch::channel(Phase::Serve);
    room::raise_descriptors();
    let clients = room::clients_per_worker(workers);
    let mut threads = Vec::with_capacity(workers);
    for (number, listener) in listeners.into_iter().enumerate() {
        let (process, phases) = (process.clone(), phases.clone());
        let thread = std::thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || {
                let again = || listener::again(address, workers);
                work(&process, listener, again, &phases, clients);
            })
            .map_err(|error| format!("a worker thread could not start: {error}"))?;
        threads.push(thread);
    }
    tracing::info!(groups, deployments, workers, "listening on http://{address}");
    health::start(&process)
        .map_err(|error| format!("the health thread could not start: {error}"))?;
    if uses_tls {
        upstream::warm_up();
    }
    Ok(Running { process, address, phase, workers: threads, drain })
}

/// One worker's thread; a worker that fails by a fault of our own begins anew.
fn work(
    process: &Arc<Process>,
    listener: TcpListener,
    again: impl Fn() -> std::io::Result<TcpListener>,
    phases: &watch::Receiver<Phase>,
    clients: usize,
) {
    let mut first = Some(listener);
    let ended = panics::restarted(&process.metrics, "a worker", || {
        // Connections that a worker before it kept belong to its runtime, which is gone.
        upstream::close_idle(Millis(u64::MAX));
        let listener = first.take().map_or_else(&again, Ok)?;
        server::run(process.clone(), listener, phases.clone(), clients)
    });
    if let Err(error) = ended {
        tracing::error!(%error, "a worker could not start");
    }
}

/// The signals that the process answers to.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Somebody wants the process to end.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The control thread's runtime, with signals going to it.
fn catch_signals() -> std::io::Result<(Runtime, Signals)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let signals = {
        let _inside = runtime.enter();
        Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        }
    };
    Ok((runtime, signals))
}

/// Waits for signals and changed files until the process is to stop, and stops it.
async fn control(running: Running, mut reloader: Reloader, signals: Signals) {
    let process = running.process.clone();
    let first = async move {
        let mut signals = signals;
        let mut look = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => return signals,
                _ = signals.interrupt.recv() => return signals,
                _ = signals.hangup.recv() => reloader.reload(&process),
                _ = look.tick() => reloader.reload_if_changed(&process),
            }
        }
    };
    running.until(first, async |mut signals: Signals| signals.stop().await).await;
}

impl Running {
    /// Runs until `stop` is ready, then lets requests finish; `hurry`, made from what `stop` gave,
    /// cuts that short.
    pub(crate) async fn until<S>(
        mut self,
        stop: impl Future<Output = S>,
        hurry: impl AsyncFnOnce(S),
    ) {
        let metrics = self.process.metrics.clone();
        let mut drain = self.drain.take();
        let stopped = tokio::select! {
            stopped = stop => stopped,
            never = run_sinks(&mut drain, &metrics) => match never {},
        };
        tokio::select! {
            () = self.shut_down() => {}
            () = hurry(stopped) => tracing::warn!("second signal: stopping at once"),
            never = run_sinks(&mut drain, &metrics) => match never {},
        }
        self.phase.send_replace(Phase::Stop);
        for worker in self.workers.drain(..) {
            if worker.join().is_err() {
                tracing::error!("a worker had failed");
            }
        }
        // The last records are those of the requests that were just finished or cut.
        if let Some(drain) = &mut drain {
            drain.flush(&metrics);
        }
        tracing::info!("stopped");
    }

    async fn shut_down(&self) {
        let serving = self.process.serving();
        let settings = &serving.snapshot.gateway;
        self.process.drain();
        self.phase.send_replace(Phase::Drain);
        tracing::info!(drain_delay_ms = settings.drain_delay_ms, "draining");
        tokio::time::sleep(Duration::from_millis(settings.drain_delay_ms)).await;
        self.phase.send_replace(Phase::Finish);
        let limit = tokio::time::sleep(Duration::from_millis(settings.shutdown_timeout_ms));
        let mut limit = std::pin::pin!(limit);
        let mut look = tokio::time::interval(Duration::from_millis(10));
        loop {
            tokio::select! {
                () = &mut limit => {
                    tracing::warn!("requests were still in flight after shutdown_timeout; they are cut");
                    return;
                }
                _ = look.tick() => if self.workers.iter().all(std::thread::JoinHandle::is_finished) {
                    return;
                }
            }
        }
    }
}

/// Feeds the sinks for as long as it is polled.
async fn run_sinks(drain: &mut Option<Drain>, metrics: &Metrics) -> Infallible {
    match drain {
        Some(drain) => drain.run(metrics).await,
        None => std::future::pending().await,
    }
}
