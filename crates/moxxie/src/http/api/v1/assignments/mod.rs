//! `/api/v1/boot/assignments`.

pub mod arm;
pub mod create;
pub mod delete;
pub mod get;
pub mod list;
pub mod update;
pub mod wire;

use crate::app::App;
use crate::http::error::{ApiError, ApiResult};
use moxxie_core::boot::decide::Known;
use moxxie_core::mac::MacAddr;
use moxxie_store::StepError;

/// Reads the MAC address out of the URL.
pub fn mac(text: &str) -> ApiResult<MacAddr> {
    text.parse().map_err(|e| ApiError::field("/mac_address", e))
}

/// The assignment that has this MAC address among its own.
pub async fn find(app: &App, text: &str) -> ApiResult<Known> {
    let mac = mac(text)?;
    app.read().assignment(mac).await?.ok_or_else(|| {
        ApiError::not_found(format!(
            "nothing is assigned to {mac}; assign it with `moxxie assignment create {mac} NODE PROFILE`"
        ))
    })
}

/// A step's refusal, or the store's.
pub fn refused(error: StepError<ApiError>) -> ApiError {
    match error {
        StepError::Step(error) => error,
        StepError::Store(error) => error.into(),
    }
}
