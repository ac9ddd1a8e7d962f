//! `GET /api/v1/boot/downloads`

use super::page::Page;
use crate::app::App;
use crate::downloads::Download;
use crate::http::error::{ApiError, ApiResult};
use crate::http::extract::{Query, Viewer};
use crate::snapshot::Snapshot;
use axum::Json;
use axum::extract::State;
use moxxie_core::asset::Digest;
use moxxie_core::mac::MacAddr;
use moxxie_core::name::{FileName, ProfileName};
use moxxie_core::time::Timestamp;
use serde::Serialize;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::time::Instant;

/// A download that runs.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Running {
    id: String,
    #[schema(value_type = String)]
    profile: ProfileName,
    #[schema(value_type = String)]
    file: FileName,
    #[schema(value_type = String)]
    sha256: Digest,
    /// The machine, when its address belongs to one that boots this profile.
    #[schema(value_type = Option<String>)]
    machine: Option<MacAddr>,
    node_name: Option<String>,
    #[schema(value_type = String)]
    peer: IpAddr,
    /// Bytes that left this replica.
    sent: u64,
    /// Bytes that were asked for.
    length: u64,
    /// Offset of the first of them.
    first: u64,
    /// Bytes a second, over the last seconds.
    rate: u64,
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
}

impl Running {
    fn of(download: &Download, snapshot: Option<&Snapshot>, now: Instant) -> Running {
        let about = &download.about;
        let machine = about.machine.get().copied().flatten();
        let known = machine.and_then(|mac| snapshot?.known(mac));
        Running {
            id: download.id.to_string(),
            profile: about.profile.clone(),
            file: about.file.clone(),
            sha256: about.sha256,
            machine,
            node_name: known.map(|known| known.assignment.spec.node_name.to_string()),
            peer: about.peer.to_canonical(),
            sent: download.so_far(),
            length: about.length,
            first: about.first,
            rate: download.rate(now),
            started_at: about.started_at,
        }
    }
}

/// The downloads that this replica is serving now, oldest first.
#[utoipa::path(get, path = "/api/v1/boot/downloads", tag = "operations", security(("token" = ["viewer"])),
    responses((status = 200, description = "all of them, in one part", body = Page<Running>)))]
pub async fn list(State(app): State<Arc<App>>, _: Viewer, query: Query) -> ApiResult<Json<Page<Running>>> {
    query.only(&[]).map_err(ApiError::bad_request)?;
    let snapshot = app.snapshots.current();
    let items = app.downloads.running();
    let now = Instant::now();
    let items = items.iter().map(|download| Running::of(download, snapshot.as_deref(), now)).collect();
    Ok(Json(Page { items, next: None }))
}
