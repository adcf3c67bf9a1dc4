//! The pages that are open to clients without a key, where the config says so.
//!
//! Called by the reader of `general_settings`. Always true: a word that is not known opens nothing.

use crate::secret::Secret;
use crate::settings::{GatewaySettings, StatusPage};

use super::field::Field;
use super::making;
use super::problem::{Problems, Wrong};

/// Reads a key about them; `false` if it is another one.
pub(super) fn read(
    field: &Field<'_>,
    gateway: &mut GatewaySettings,
    problems: &mut Problems,
) -> bool {
    match field.row.name {
        "enable_drain_endpoint" => {
            gateway.drain_endpoint = field.flag(problems).unwrap_or(gateway.drain_endpoint);
        }
        "drain_endpoint_token" => gateway.drain_token = field.text(problems).map(Secret::new),
        "status_page" => match field.text(problems) {
            Some("public") => gateway.status_page = StatusPage::Public,
            Some("off") | None => gateway.status_page = StatusPage::Off,
            Some(_) => field.wrong(
                Wrong::new("is neither `public` nor `off`", "write one of them; no page is served"),
                problems,
            ),
        },
        "ui_access_mode" => match field.text(problems) {
            Some("admin_only") => gateway.dashboard_for_admins = true,
            Some("all") | None => gateway.dashboard_for_admins = false,
            Some(_) => field.wrong(
                Wrong::new("is neither `all` nor `admin_only`", "write one of them"),
                problems,
            ),
        },
        _ => return making::setting(gateway, field, problems),
    }
    true
}
