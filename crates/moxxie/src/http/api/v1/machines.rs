//! `GET /api/v1/boot/machines`

use super::page::{Asked, Page};
use crate::app::App;
use crate::http::error::{ApiError, ApiResult};
use crate::http::extract::{Query, Viewer};
use axum::Json;
use axum::extract::State;
use moxxie_core::mac::MacAddr;
use moxxie_core::machine::MachineSeen;
use moxxie_core::time::Timestamp;
use serde::Serialize;
use std::sync::Arc;

/// A machine that has asked for something, as it described itself.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct MachineView {
    /// The MAC address it booted from.
    #[schema(value_type = String)]
    pub mac_address: MacAddr,
    /// Its SMBIOS UUID, when it sent a usable one.
    pub uuid: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
    /// `amd64`, `arm64`, …
    pub arch: Option<String>,
    /// `efi` or `pcbios`.
    pub platform: Option<String>,
    /// SMBIOS manufacturer.
    pub manufacturer: Option<String>,
    /// SMBIOS product name.
    pub product: Option<String>,
    /// The address it asked from.
    pub ip: Option<String>,
    /// The node name, when it is assigned.
    pub node_name: Option<String>,
    /// The profile, when it is assigned.
    pub boot_profile: Option<String>,
    /// What it was answered last: `boot`, `local`, `menu`, …
    pub last_answer: Option<String>,
    /// First request.
    #[schema(value_type = String, format = DateTime)]
    pub first_seen_at: Timestamp,
    /// Latest request.
    #[schema(value_type = String, format = DateTime)]
    pub last_seen_at: Timestamp,
}

impl From<MachineSeen> for MachineView {
    fn from(seen: MachineSeen) -> MachineView {
        MachineView {
            mac_address: seen.mac_address,
            uuid: seen.uuid,
            serial: seen.serial,
            arch: seen.arch,
            platform: seen.platform,
            manufacturer: seen.manufacturer,
            product: seen.product,
            ip: seen.ip,
            node_name: seen.node_name,
            boot_profile: seen.boot_profile,
            last_answer: seen.last_answer,
            first_seen_at: seen.first_seen_at,
            last_seen_at: seen.last_seen_at,
        }
    }
}

/// Every machine seen, assigned or not, newest first.
#[utoipa::path(get, path = "/api/v1/boot/machines", tag = "operations", security(("token" = ["viewer"])), params(
    ("limit" = Option<u32>, Query, description = "1 to 500, default 100"),
    ("cursor" = Option<String>, Query, description = "`next` of the part before"),
), responses((status = 200, description = "machines", body = Page<MachineView>)))]
pub async fn list(
    State(app): State<Arc<App>>,
    _: Viewer,
    query: Query,
) -> ApiResult<Json<Page<MachineView>>> {
    let asked = Asked::of(&query, &[])?;
    let before = match &asked.cursor {
        None => None,
        Some(text) => Some(
            text.split_once(' ')
                .and_then(|(at, mac)| Some((Timestamp(at.parse().ok()?), mac.parse().ok()?)))
                .ok_or_else(|| {
                    ApiError::field("/cursor", "not a cursor of this list: send `next` as it came")
                })?,
        ),
    };
    let rows = app.read().machines(before, asked.rows()).await?;
    Ok(Json(asked.page(rows, |m| format!("{} {}", m.last_seen_at.0, m.mac_address)).map(MachineView::from)))
}
