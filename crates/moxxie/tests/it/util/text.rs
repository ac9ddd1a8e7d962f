//! Texts as requests and answers carry them, and waiting for what no test can hear.

use moxxie_core::asset::Digest;
use sha2::{Digest as _, Sha256};
use std::time::Duration;

/// Longer than anything takes: only a hang reaches it.
const HANG: Duration = Duration::from_secs(30);

/// Every byte in hexadecimal, as cursors are.
pub fn hex(text: &str) -> String {
    text.bytes().map(|b| format!("{b:02x}")).collect()
}

/// Every byte percent-encoded.
pub fn percent(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02x}")).collect()
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Digest(Sha256::digest(bytes).into()).to_string()
}

/// Path and query of the config that a boot script names.
pub fn config_path(script: &str) -> Option<String> {
    let (_, rest) =
        script.split_whitespace().find_map(|word| word.split_once("10.0.0.1:8080/boot/configs/"))?;
    Some(format!("/boot/configs/{rest}"))
}

/// Waits until something is so that is signaled by nothing.
pub async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(HANG, waiting).await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
}
