//! Where the process listens, and whether the master key is good enough for that.
//!
//! Called at start and at each reload. Always true: without a strong key only this machine can reach the
//! gateway, unless the config says otherwise.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

use hale_core::settings::GatewaySettings;

use super::options::ServeOptions;

/// The shortest master key that counts as strong, characters: 16 random ones cannot be guessed over a network.
const STRONG_KEY: usize = 16;

fn is_strong(settings: &GatewaySettings) -> bool {
    settings
        .master_key
        .as_ref()
        .is_some_and(|key| key.expose().chars().count() >= STRONG_KEY && !key.is_published())
}

/// The address to listen on: what the command line says, else all of this machine with a strong key.
///
/// # Errors
/// When the name of the host does not resolve, or the key is too weak for the address.
pub(super) fn bind_address(
    settings: &GatewaySettings,
    options: &ServeOptions,
) -> Result<SocketAddr, String> {
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
pub(super) fn check_key(settings: &GatewaySettings, ip: IpAddr) -> Result<(), String> {
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
        tracing::warn!("no master_key is set: every client that reaches {ip} may use the models");
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
        .ok_or_else(|| format!("--host {host} is neither an IP address nor a name that resolves"))
}
