//! The dashboard: its files, its sessions, and the data that only it reads.
//!
//! Called by the router. Always true: it has no path of its own to anything that changes the gateway, because it acts through
//! the pages that other clients use; a dashboard that is not open costs requests nothing.

mod assets;
mod data;
mod events;
pub(crate) mod login;
mod reach;
pub(crate) mod session;
mod sign_in;
pub(crate) mod status;

pub(crate) use self::assets::{asset, redirect, shell};
pub(crate) use self::data::{history, overview, requests, traffic};
pub(crate) use self::events::stream;
pub(crate) use self::reach::reach;
pub(super) use self::sign_in::kept as kept_password;
