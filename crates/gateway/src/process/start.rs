//! The start: from arguments to a process that listens.
//!
//! Called by `main` and by the demo. Always true: nothing listens before the config is valid and the master key
//! fits the address.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use hale_core::config::{self, Loaded, Options, Severity};
use hale_core::snapshot::Snapshot;
use hale_core::time::Millis;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::address::{Listen, bind_address};
use super::control::{catch_signals, control};
use super::event_log;
use super::options::{ServeOptions, override_settings};
use super::reload::{Reloader, Reloads};
use super::remember::{self, Memory, Place};
use super::run_time;
use super::shutdown::Running;
use super::telemetry;
use crate::background::Background;
use crate::console::{EXIT_CONFIG, complain, count};
use crate::files::Files;
use crate::http::browser::Reach;
use crate::logging::{self, Form};
use crate::server::{self, ClientTls, Door, Phase, listener};
use crate::sink::{self, Lines, Sinks};
use crate::state::Process;
use crate::{alert, events, failures, fleet, limits, panics, prober, upstream};

/// The name of the file in messages about `--model`.
const QUICK_CONFIG: &str = "(command line)";

/// The config that is served if the command line and the environment name nothing, in the directory of the process.
const FOUND_CONFIG: &str = "config.yaml";

/// `hale --config FILE`.
pub(crate) fn run(options: ServeOptions) -> ExitCode {
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
    let form = match &loaded.snapshot {
        Some(snapshot) if snapshot.gateway.json_logs => Form::Json,
        Some(_) | None => Form::Text,
    };
    let log_requests = logging::set_up(options.detail(), form).has_requests();
    let errors = report(&loaded);
    let Some(mut snapshot) = loaded.snapshot else { return not_started(&root, errors) };
    override_settings(&mut snapshot, &options);
    let listen = match bind_address(&snapshot.gateway, &options) {
        Ok(listen) => listen,
        Err(problem) => {
            complain(&problem);
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let of_config = options.config.as_ref().map(|_| Place::of(&snapshot.gateway.store, &root));
    let place = match of_config.transpose() {
        Ok(place) => place,
        Err(problem) => {
            complain(&problem);
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let tls = match options.tls().and_then(|files| files.map(ClientTls::load).transpose()) {
        Ok(tls) => tls.map(Arc::new),
        Err(problem) => {
            complain(&problem);
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let workers = options.num_workers.unwrap_or_else(cores).clamp(1, 1024);
    // Signals are caught before the log says that the process listens.
    let (runtime, signals) = match catch_signals() {
        Ok(caught) => caught,
        Err(error) => {
            complain(&format!("signals cannot be received: {error}"));
            return ExitCode::from(1);
        }
    };
    if let Err(error) = logging::detach() {
        complain(&format!("the thread of the log could not start: {error}"));
        return ExitCode::from(1);
    }
    let reloader = Reloader::new(files, root, loaded.files, options)
        .with(tls.clone())
        .knowing(&loaded.problems);
    let keeps = Keeps { log_requests, place, reloader: Some(reloader) };
    let mut running = match start(snapshot, listen, workers, tls, keeps) {
        Ok(running) => running,
        Err(Refusal { exit, problem }) => {
            complain(&problem);
            return ExitCode::from(exit);
        }
    };
    let reloads = running.reloads.take();
    runtime.block_on(control(running, reloads, signals));
    ExitCode::SUCCESS
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
            // JSON is YAML; the star answers to whatever name the client uses, as in LiteLLM.
            let text = serde_json::json!({"model_list": [entry, any]}).to_string();
            Ok((Files::with(QUICK_CONFIG, text), QUICK_CONFIG.to_owned()))
        }
        (None, None) if Path::new(FOUND_CONFIG).is_file() => {
            Ok((Files::on_disk(), FOUND_CONFIG.to_owned()))
        }
        (None, None) => Err(
            "nothing to serve, and there is no config.yaml here: name a config (hale --config config.yaml), a model \
             (hale --model openai/gpt-4o), or try `hale demo`"
                .to_owned(),
        ),
    }
}

/// The end of a start whose config is refused.
fn not_started(root: &str, errors: usize) -> ExitCode {
    let errors = count(errors, "error");
    complain(&format!(
        "{root}: not started, {errors}; `hale check {root}` shows each with its line"
    ));
    ExitCode::from(EXIT_CONFIG)
}

/// Logs the problems of a config, and where records go. Returns how many of them are errors.
fn report(loaded: &Loaded) -> usize {
    for problem in &loaded.problems {
        match problem.severity {
            Severity::Error => tracing::error!("{problem}"),
            Severity::Warning => tracing::warn!("{problem}"),
        }
    }
    let sinks = loaded.snapshot.as_ref().and_then(|snapshot| snapshot.gateway.sinks.summary());
    if let Some(line) = sinks {
        tracing::info!("{line}");
    }
    loaded.errors().map(|problem| problem.times).sum()
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Why a process does not start.
pub(crate) struct Refusal {
    exit: u8,
    /// In words for a person.
    pub(crate) problem: String,
}

impl From<String> for Refusal {
    fn from(problem: String) -> Refusal {
        Refusal { exit: 1, problem }
    }
}

/// Where a process writes down what happens.
pub(crate) struct Keeps {
    /// Whether each request is a line of the log.
    pub(crate) log_requests: bool,
    /// The store, if there is one.
    pub(crate) place: Option<Place>,
    /// What reads its config again, if it has one.
    pub(crate) reloader: Option<Reloader>,
}

fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> String {
    let hint = match error.kind() {
        std::io::ErrorKind::AddrInUse => "; another process listens there, choose another --port",
        std::io::ErrorKind::PermissionDenied => "; ports below 1024 need privileges",
        std::io::ErrorKind::AddrNotAvailable => "; the address is not assigned to this machine",
        _ => "",
    };
    format!("cannot listen on {address}: {error}{hint}")
}

/// Binds, starts the workers, and says where it listens.
///
/// # Errors
/// What failed, in words for a person.
pub(crate) fn start(
    snapshot: Snapshot,
    Listen { address, why_local }: Listen,
    workers: usize,
    tls: Option<Arc<ClientTls>>,
    Keeps { log_requests, place, reloader }: Keeps,
) -> Result<Running, Refusal> {
    let request_log = snapshot.gateway.request_log.as_deref();
    let shows = sink::file_shows(&snapshot.gateway.sinks);
    let lines = if log_requests { Lines::OfEach } else { Lines::OfNone };
    let sinks = Sinks::open(request_log, shows, lines).map_err(|error| {
        format!("request_log {} cannot be opened: {error}", request_log.unwrap_or_default())
    })?;
    let listeners =
        listener::bind(address, workers).map_err(|error| cannot_listen(address, &error))?;
    let address = listeners
        .first()
        .and_then(|listener| listener.local_addr().ok())
        .ok_or_else(|| format!("cannot listen on {address}"))?;
    let uses_tls =
        snapshot.deployments.iter().any(|one| one.endpoint.api_base.starts_with("https"));
    let able = snapshot.deployments.iter().filter(|one| one.misconfigured.is_none()).count();
    let tell = start_line(&snapshot, able, why_local, workers);
    let process = Arc::new(Process::new(snapshot, sinks, Reach::of(address.ip())));
    let data_dir = place.as_ref().map_or_else(|| ".".into(), |place| place.data_dir.clone());
    let (background, log) = start_background(&process, data_dir)
        .map_err(|error| format!("the background thread could not start: {error}"))?;
    process.sinks.exports.start(&background, place.as_ref().map(Place::sinks));
    process.sinks.configure(&process.serving().snapshot.gateway.sinks);
    let scheme = if tls.is_some() { "https" } else { "http" };
    let memory = place.map(|one| remember::start(&background, &process, (one, scheme, address)));
    if let Some(problem) = memory.as_ref().and_then(Memory::refuses) {
        return Err(Refusal { exit: EXIT_CONFIG, problem });
    }
    let reloads =
        reloader.map(|reloader| Reloads::start(&background, &process, reloader.at(address.ip())));
    if reloads.is_some() && memory.is_some() {
        run_time::start(&background, &process);
    }
    let of_alerts = process.clone();
    background.supervise_here("telling people of incidents", move || alert::run(of_alerts.clone()));
    // It may share through the database of the store.
    let of_fleet = process.clone();
    background.supervise("the fleet", move || fleet::run(of_fleet.clone()));
    let (phase, phases) = watch::channel(Phase::Serve);
    limits::raise_descriptors();
    let door = Door { clients_max: limits::clients_per_worker(workers), tls };
    let mut threads = Vec::with_capacity(workers);
    for (number, listener) in listeners.into_iter().enumerate() {
        let (process, phases, door) = (process.clone(), phases.clone(), door.clone());
        let thread = std::thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || {
                let again = || listener::again(address, workers);
                work(&process, listener, again, &phases, &door);
            })
            .map_err(|error| format!("a worker thread could not start: {error}"))?;
        threads.push(thread);
    }
    match able {
        0 => tracing::warn!("listening on {scheme}://{address}{tell}"),
        _ => tracing::info!("listening on {scheme}://{address}{tell}"),
    }
    prober::start(&process)
        .map_err(|error| format!("the health thread could not start: {error}"))?;
    if uses_tls {
        upstream::warm_up();
    }
    Ok(Running { process, address, phase, workers: threads, background, log, memory, reloads })
}

/// What the start says behind the address: who reaches it, and what can be served.
fn start_line(snapshot: &Snapshot, able: usize, why_local: Option<&str>, workers: usize) -> String {
    let local = why_local.map_or(String::new(), |why| format!(", from this machine only: {why}"));
    let (groups, deployments) = (snapshot.listed_groups().count(), snapshot.deployments.len());
    format!(
        "{local}; {able} of {deployments} deployments can be served groups={groups} workers={workers} \
         version={}",
        env!("CARGO_PKG_VERSION")
    )
}

/// Starts what runs in the background; gives the task that writes the log too.
fn start_background(
    process: &Arc<Process>,
    data_dir: PathBuf,
) -> std::io::Result<(Background, JoinHandle<()>)> {
    let background = Background::start(process.metrics.clone())?;
    // Subscribed now, before anything publishes.
    let mut first = Some(events::subscribe());
    let of_log = process.clone();
    let log = background.supervise("the log of events", move || {
        event_log::run(first.take().unwrap_or_else(events::subscribe), of_log.clone())
    });
    let (of_sinks, inner) = (process.clone(), background.clone());
    background.supervise("the sinks", move || {
        of_sinks.sinks.clone().run(inner.clone(), of_sinks.metrics.clone())
    });
    background.supervise("the lines that count failed requests", failures::run);
    let (of_metrics, inner) = (process.clone(), background.clone());
    background.supervise("the export of metrics", move || {
        telemetry::run(of_metrics.clone(), inner.clone())
    });
    process.mirror.start(&background, Some(data_dir.clone()));
    let waiting = process.waiting.clone();
    let answers = process.answers.clone();
    background
        .supervise("the answers that are kept", move || answers.clone().run(data_dir.clone()));
    background.supervise("the line of waiting requests", move || waiting.clone().run());
    Ok((background, log))
}

/// One worker's thread. A worker that panics is started again.
fn work(
    process: &Arc<Process>,
    listener: TcpListener,
    again: impl Fn() -> std::io::Result<TcpListener>,
    phases: &watch::Receiver<Phase>,
    door: &Door,
) {
    let mut first = Some(listener);
    let ended = panics::restarted(&process.metrics, "a worker", || {
        // The idle connections of the worker before belong to its runtime, which is gone.
        upstream::close_idle(Millis(u64::MAX));
        let listener = first.take().map_or_else(&again, Ok)?;
        server::run(process.clone(), listener, phases.clone(), door.clone())
    });
    if let Err(error) = ended {
        tracing::error!(%error, "a worker could not start");
    }
}
