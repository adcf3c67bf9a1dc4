//! Where the process listens, and whether the master key is good enough for that.
//!
//! Called at start, at each reload and by `hale check`. Always true: without a key that is secret only this
//! machine can reach the gateway, unless the config says otherwise; no text names the key.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

use hale_core::settings::GatewaySettings;

use super::options::ServeOptions;

/// The shortest master key that counts as strong, characters: 16 random ones cannot be guessed over a network.
const STRONG_KEY: usize = 16;

/// How well a master key keeps others out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyStrength {
    /// There is none.
    Absent,
    /// Documents use it, or it is a placeholder.
    Published,
    /// Secret, and so short that it can be guessed.
    Short,
    /// Secret and long.
    Strong,
}

impl KeyStrength {
    /// That of the key of a config.
    fn of(settings: &GatewaySettings) -> KeyStrength {
        match &settings.master_key {
            None => KeyStrength::Absent,
            Some(key) if key.is_published() => KeyStrength::Published,
            Some(key) if key.expose().chars().count() < STRONG_KEY => KeyStrength::Short,
            Some(_) => KeyStrength::Strong,
        }
    }

    /// Whether others may reach a gateway with it.
    const fn is_secret(self) -> bool {
        match self {
            KeyStrength::Absent | KeyStrength::Published => false,
            KeyStrength::Short | KeyStrength::Strong => true,
        }
    }

    /// What is wrong with it; `None` for a strong one.
    const fn fault(self) -> Option<&'static str> {
        match self {
            KeyStrength::Absent => Some("no master_key is set"),
            KeyStrength::Published => Some("the master_key is a published one or a placeholder"),
            KeyStrength::Short => Some("the master_key is weak: it has fewer than 16 characters"),
            KeyStrength::Strong => None,
        }
    }
}

/// Where the process listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listen {
    /// The address.
    pub(crate) address: SocketAddr,
    /// Why it is reached from this machine alone, if the command line does not ask for that.
    pub(crate) why_local: Option<&'static str>,
}

/// The address to listen on: what the command line says, else all of this machine with a secret key.
///
/// # Errors
/// When the name of the host does not resolve, or the key is not good enough for the address.
pub(super) fn bind_address(
    settings: &GatewaySettings,
    options: &ServeOptions,
) -> Result<Listen, String> {
    let strength = KeyStrength::of(settings);
    let (ip, why_local) = match &options.host {
        Some(host) => (resolve_host(host)?, None),
        None if strength.is_secret() => (IpAddr::V4(Ipv4Addr::UNSPECIFIED), None),
        None => (IpAddr::V4(Ipv4Addr::LOCALHOST), strength.fault()),
    };
    let asked = if options.host.is_some() { Asked::ByHost } else { Asked::ByDefault };
    check_key(settings, ip, asked)?;
    Ok(Listen { address: SocketAddr::new(ip, options.port), why_local })
}

/// Why the gateway listens where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// `--host` names the address.
    ByHost,
    /// Without `--host` the key decides.
    ByDefault,
}

/// Whether the master key is good enough to listen on `ip`; at start and at each reload.
///
/// # Errors
/// What is wrong, and the two ways out.
pub(super) fn check_key(
    settings: &GatewaySettings,
    ip: IpAddr,
    asked: Asked,
) -> Result<(), String> {
    if let Some(refusal) = refusal(settings, ip) {
        return Err(refusal);
    }
    if let Some((problem, fix)) = doubt(settings, ip, asked) {
        tracing::warn!("{problem}. {fix}");
    }
    Ok(())
}

/// What is wrong with the key of a gateway that may listen on `ip`, and the fix.
fn doubt(settings: &GatewaySettings, ip: IpAddr, asked: Asked) -> Option<(String, String)> {
    let strength = KeyStrength::of(settings);
    let fault = strength.fault()?;
    let problem = match (strength.is_secret(), asked) {
        (true, _) => fault.to_owned(),
        (false, Asked::ByDefault) => format!(
            "{fault}: without --host only 127.0.0.1 is served, which a container does not pass on"
        ),
        (false, Asked::ByHost) => {
            format!("{fault}: every client that reaches {ip} may use the models")
        }
    };
    Some((problem, format!("set a master_key of at least {STRONG_KEY} random characters")))
}

/// Why the start refuses to listen on `ip`.
fn refusal(settings: &GatewaySettings, ip: IpAddr) -> Option<String> {
    let strength = KeyStrength::of(settings);
    if strength.is_secret() || settings.permit_weak_master_key || ip.is_loopback() {
        return None;
    }
    let state =
        if settings.master_key.is_some() { "a published one or a placeholder" } else { "not set" };
    Some(format!(
        "general_settings.master_key is {state}, and {ip} can be reached by others. Either set a \
         master_key of at least {STRONG_KEY} characters, or set \
         general_settings.dangerously_permit_weak_or_unset_master_key: true"
    ))
}

/// What the start says about the key when it listens on `host`, or on the address that it chooses: why it refuses,
/// or what it warns of.
///
/// # Errors
/// Why it refuses.
pub(crate) fn judge(
    settings: &GatewaySettings,
    host: Option<&str>,
) -> Result<Option<(String, String)>, String> {
    let (ip, asked) = match host {
        Some(host) => (resolve_host(host)?, Asked::ByHost),
        None => (IpAddr::V4(Ipv4Addr::LOCALHOST), Asked::ByDefault),
    };
    refusal(settings, ip).map_or_else(|| Ok(doubt(settings, ip, asked)), Err)
}

fn resolve_host(host: &str) -> Result<IpAddr, String> {
    (host, 0)
        .to_socket_addrs()
        .ok()
        .and_then(|mut found| found.next())
        .map(|found| found.ip())
        .ok_or_else(|| format!("--host {host} is neither an IP address nor a name that resolves"))
}
