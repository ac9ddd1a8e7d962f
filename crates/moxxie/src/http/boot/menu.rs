//! `GET /boot/menu.ipxe` and `GET /boot/{profile}.ipxe`.

use super::gate;
use crate::app::App;
use crate::http::error::BootError;
use crate::http::extract::{Door, Peer, Query};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use moxxie_core::boot::claims::BootClaims;
use moxxie_core::boot::decide::Ask;
use moxxie_core::name::ProfileName;
use std::sync::Arc;

/// Whatever the machine should boot.
#[utoipa::path(get, path = "/boot/menu.ipxe", tag = "boot", params(
    ("mac" = Option<String>, Query, description = "the NIC it booted from, in any spelling"),
    ("uuid" = Option<String>, Query, description = "its SMBIOS UUID"),
    ("serial" = Option<String>, Query, description = "its serial number; also: asset, arch, platform, manufacturer, product, ip, mac1 to mac7"),
), responses(
    (status = 200, description = "an iPXE script", content_type = "text/plain"),
    (status = 400, description = "labels that cannot be read"),
    (status = 404, description = "local disk, for machines whose local_boot is 404"),
    (status = 429, description = "asked too often: ask again after Retry-After seconds"),
    (status = 503, description = "ask again after Retry-After seconds"),
))]
pub async fn menu(
    State(app): State<Arc<App>>,
    peer: Peer,
    door: Door,
    headers: HeaderMap,
    query: Query,
) -> Result<Response, BootError> {
    answer(app, (peer, door), &headers, &query, Ask::Menu).await
}

/// The script of one profile.
#[utoipa::path(get, path = "/boot/{profile}.ipxe", tag = "boot", params(
    ("profile" = String, Path, description = "a profile's name"),
), responses(
    (status = 200, description = "an iPXE script", content_type = "text/plain"),
    (status = 404, description = "no such script"),
    (status = 429, description = "asked too often: ask again after Retry-After seconds"),
    (status = 503, description = "ask again after Retry-After seconds"),
))]
pub async fn profile(
    State(app): State<Arc<App>>,
    Path(file): Path<String>,
    peer: Peer,
    door: Door,
    headers: HeaderMap,
    query: Query,
) -> Result<Response, BootError> {
    let name: ProfileName = file
        .strip_suffix(".ipxe")
        .and_then(|name| name.parse().ok())
        .ok_or_else(|| BootError::not_found("moxxie: no such script"))?;
    answer(app, (peer, door), &headers, &query, Ask::Profile(&name)).await
}

async fn answer(
    app: Arc<App>,
    (Peer(peer), door): (Peer, Door),
    headers: &HeaderMap,
    query: &Query,
    ask: Ask<'_>,
) -> Result<Response, BootError> {
    // Debian's installer runs the DHCP file name as a preseed before `url=`; a script there would
    // end the unattended install with a dialog (d-i network-preseed.postinst, measured).
    if headers.get(header::USER_AGENT).is_some_and(|ua| ua == "debian-installer") {
        return Ok(super::reply::script("# moxxie: this is a boot menu, not a preseed\n".into()));
    }
    let claims = BootClaims::parse(query.pairs())
        .map_err(|e| BootError::bad_request(format!("moxxie: {}", e.short())))?;
    gate::answer(&app, ask, &claims, peer, headers, door).await
}
