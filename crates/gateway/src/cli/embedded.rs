//! Where keys and teams are, for the commands about them: a gateway that runs, or the store itself.
//!
//! Used by `hale key` and `hale team`. Always true: what is done is done by a gateway's admin API, so that rights, checks and the audit log are
//! the same; while no gateway runs on a file, one of this command's own opens the store: it serves no model, listens on loopback alone, with a
//! master key that no one else has, and ends with the command.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Args;
use hale_core::config::{self, Options};
use hale_core::secret::Secret;
use hale_core::settings::StoreSettings;
use hale_store::{Address, Status};
use tokio::runtime::LocalOptions;

use super::running::Running;
use crate::files::Files;
use crate::process::{self, Keeps, Listen, Place, Stop};

/// The address of a gateway that serves by default.
const DEFAULT_URL: &str = "http://127.0.0.1:4000";
/// As long as no one asks for less, days.
const FOR_EVER: u32 = 36_500;
/// The config of a gateway of one command.
const CONFIG: &str = "(command line)";

/// Where they are.
#[derive(Args, Clone, Debug)]
pub(crate) struct Reach {
    /// The gateway's address [default: that of the gateway that serves from the store; while none does, the store itself]
    #[arg(long, global = true)]
    url: Option<String>,
    /// A key of the gateway
    #[arg(long, env = "LITELLM_MASTER_KEY", hide_env_values = true, value_parser = super::running::secret, global = true)]
    key: Option<Secret>,
    /// The config whose store it is [default: none, the store is that of this directory]
    #[arg(long, short, value_name = "FILE", global = true)]
    config: Option<String>,
}

/// A gateway for the time of one command.
pub(crate) enum Reached {
    /// One that runs.
    Running(Running),
    /// One of its own.
    Own(Running, Box<process::Running>),
}

impl Reached {
    /// Its address, and a key of it.
    pub(crate) fn gateway(&self) -> &Running {
        match self {
            Reached::Running(running) | Reached::Own(running, _) => running,
        }
    }

    /// The command is over: what it wrote is in the store.
    pub(crate) fn end(self) {
        let Reached::Own(_, own) = self else { return };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default());
        // Without a runtime the process ends all the same: each change was written before its answer.
        if let Ok(runtime) = runtime {
            let over = async { (Stop::WhenIdle, ()) };
            runtime.block_on(own.until(over, async |()| std::future::pending().await));
        }
    }
}

impl Reach {
    /// Finds the gateway, or starts one.
    ///
    /// # Errors
    /// Why the store cannot be opened, and the fix.
    pub(crate) fn reach(&self) -> Result<Reached, String> {
        let at = |url: &str| Running { url: url.to_owned(), key: self.key.clone() };
        if let Some(url) = &self.url {
            return Ok(Reached::Running(at(url)));
        }
        let (place, settings) = self.place()?;
        let Address::File(file) = &place.address else {
            return match self.config {
                Some(_) => own(place, settings),
                None => Ok(Reached::Running(at(DEFAULT_URL))),
            };
        };
        if is_served(file) {
            let url = std::fs::read_to_string(process::address_beside(file)).ok();
            return Ok(Reached::Running(at(url.as_deref().map_or(DEFAULT_URL, str::trim))));
        }
        if self.config.is_none() && !file.exists() {
            return Ok(Reached::Running(at(DEFAULT_URL)));
        }
        own(place, settings)
    }

    /// Where the store is, and how long it keeps what.
    fn place(&self) -> Result<(Place, StoreSettings), String> {
        let Some(path) = &self.config else {
            let url = std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty());
            let database_url = url.map(|url| Secret::new(&url));
            // The config that says what is kept is not known: nothing is deleted.
            let settings = StoreSettings {
                database_url,
                requests_days: FOR_EVER,
                history_days: FOR_EVER,
                minutes_days: FOR_EVER,
                spend_days: FOR_EVER,
                responses_days: FOR_EVER,
                probe_results: u32::MAX,
                requests_max_bytes: u64::MAX,
                ..StoreSettings::default()
            };
            return Ok((Place::of(&settings, "")?, settings));
        };
        let loaded = config::load(&Files::on_disk(), path, Options::default(), None);
        let snapshot = loaded.snapshot.ok_or_else(|| {
            format!(
                "{path} has errors; print them: hale check {path}, or name a gateway: --url URL"
            )
        })?;
        let settings = snapshot.gateway.store;
        Ok((Place::of(&settings, path)?, settings))
    }
}

/// Whether a gateway serves from the file: it holds the lock beside it.
fn is_served(file: &Path) -> bool {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".lock");
    let Ok(lock) = File::open(PathBuf::from(beside)) else { return false };
    // Given back at once, when it is dropped.
    lock.try_lock().is_err()
}

/// Starts a gateway of this command's own.
fn own(place: Place, settings: StoreSettings) -> Result<Reached, String> {
    let mut random = [0_u8; 24];
    aws_lc_rs::rand::fill(&mut random)
        .map_err(|_| "the system has no random numbers".to_owned())?;
    let key: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let key = format!("sk-{key}");
    let text =
        format!("model_list: []\ngeneral_settings: {{master_key: {key}, drain_delay_s: 0}}\n");
    let loaded = config::load(&Files::with(CONFIG, text), CONFIG, Options::default(), None);
    let mut snapshot = loaded.snapshot.ok_or("the gateway of this command has no config")?;
    snapshot.gateway.store = settings;
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let named = place.address.to_string();
    let keeps = Keeps { log_requests: false, place: Some(place), reloader: None };
    let listen = Listen { address, why_local: None };
    let own =
        process::start(snapshot, listen, 1, None, keeps).map_err(|refusal| refusal.problem)?;
    let status = own.process.keys.store().map(|store| store.status());
    let running = Running { url: format!("http://{}", own.address), key: Some(Secret::new(&key)) };
    let reached = Reached::Own(running, Box::new(own));
    match status {
        Some(Status::Connected) => Ok(reached),
        Some(Status::Disconnected(error)) => {
            reached.end();
            Err(format!("{error}; if a gateway serves from it, name that: --url URL"))
        }
        Some(Status::Opening | Status::NoPlace) | None => {
            reached.end();
            Err(format!("{named} cannot be opened; name a gateway: --url URL"))
        }
    }
}
