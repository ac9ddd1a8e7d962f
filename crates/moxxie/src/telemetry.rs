//! Logs and metrics.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Starts logging to standard error. A reader that stops reading never blocks a request: lines
/// are dropped instead. The guard writes out what is left when it is dropped.
pub fn logs(level: &str, json: bool) -> anyhow::Result<WorkerGuard> {
    let filter = filter(level)?;
    let (writer, guard) = tracing_appender::non_blocking(std::io::stderr());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_span_events(FmtSpan::NONE)
        .with_target(false);
    // A second start in one process (tests) keeps the first subscriber.
    let _ = if json {
        let builder = builder.json().flatten_event(true).with_filter_reloading();
        let handle = builder.reload_handle();
        keep_level(move |filter| handle.reload(filter).is_ok());
        builder.try_init()
    } else {
        use std::io::IsTerminal;
        let builder = builder.with_ansi(std::io::stderr().is_terminal()).with_filter_reloading();
        let handle = builder.reload_handle();
        keep_level(move |filter| handle.reload(filter).is_ok());
        builder.try_init()
    };
    Ok(guard)
}

/// Puts another filter in the place of the one that logging began with.
type SetLevel = Box<dyn Fn(EnvFilter) -> bool + Send + Sync>;

static LEVEL: OnceLock<SetLevel> = OnceLock::new();

fn keep_level(set: impl Fn(EnvFilter) -> bool + Send + Sync + 'static) {
    let _ = LEVEL.set(Box::new(set));
}

/// An error when this is no log filter.
pub fn check_level(level: &str) -> anyhow::Result<()> {
    filter(level).map(drop)
}

/// Logs by this filter from now on; one that is no filter changes nothing.
pub fn set_level(level: &str) {
    let set = LEVEL.get().zip(filter(level).ok()).is_some_and(|(set, filter)| set(filter));
    if !set {
        tracing::warn!("the log's filter stays as it is");
    }
}

/// The filter as written. What sqlx says at "info" (notices of the database) is noise, and is
/// left out unless the filter speaks of sqlx itself.
fn filter(level: &str) -> anyhow::Result<EnvFilter> {
    // The text itself is not repeated: it may be something else put into the wrong place.
    let bad = |_| anyhow::anyhow!("log.level is not a log filter such as info or warn,moxxie=debug");
    let everywhere = level.split(',').filter_map(|part| part.trim().parse::<LevelFilter>().ok()).next_back();
    let noisy = everywhere.is_some_and(|level| level > LevelFilter::WARN) && !level.contains("sqlx");
    let quiet = if noisy { ",sqlx=warn" } else { "" };
    EnvFilter::try_new(format!("{level}{quiet}")).map_err(bad)
}

/// The process-wide recorder of metrics.
pub fn metrics() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            const SECONDS: [f64; 10] = [0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];
            let builder = PrometheusBuilder::new();
            // Only an empty list of buckets is an error.
            let builder = match builder.set_buckets(&SECONDS) {
                Ok(builder) => builder,
                Err(_) => PrometheusBuilder::new(),
            };
            let recorder = builder.build_recorder();
            let handle = recorder.handle();
            // Another recorder was set before us: ours then stays empty, which is harmless.
            let _ = metrics::set_global_recorder(recorder);
            describe();
            handle
        })
        .clone()
}

fn describe() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_counter!("moxxie_http_requests_total", "Requests by route, method and status");
    describe_histogram!(
        "moxxie_http_request_seconds",
        Unit::Seconds,
        "Time to the first byte of the answer, by route"
    );
    describe_counter!("moxxie_boot_events_total", "Boot events by kind");
    describe_counter!("moxxie_boot_events_dropped_total", "Boot events that were not written");
    describe_counter!("moxxie_boot_contention_total", "Times that a second one asked in a machine's name");
    describe_counter!("moxxie_refused_total", "Refused accesses by kind");
    describe_counter!("moxxie_limited_total", "Requests and connections beyond a limit, by what is limited");
    describe_counter!(
        "moxxie_outside_allowlist_total",
        "Requests from networks that are not allowed, by the list that they are not on"
    );
    describe_counter!(
        "moxxie_proxy_header_refused_total",
        "Connections closed for want of a good PROXY header"
    );
    describe_counter!("moxxie_audit_left_out_total", "Refused accesses beyond what the audit log takes");
    describe_gauge!("moxxie_audit_syslog_lag", "Audit records that syslog was not sent yet");
    describe_counter!("moxxie_database_failures_total", "Looks at the database that failed");
    describe_gauge!("moxxie_database_up", "1 while the database answers");
    describe_counter!("moxxie_asset_bytes_total", "Bytes of assets sent");
    describe_gauge!("moxxie_boots_admitted", "Machines whose turn it is to boot; 0 without [limits]");
    describe_gauge!("moxxie_boots_waiting", "Machines that wait for their turn to boot");
    describe_gauge!("moxxie_assets_writable", "1 while new assets can be stored");
    describe_counter!("moxxie_assets_damaged_total", "Stored files that were found damaged or missing");
    describe_counter!("moxxie_assets_scrubbed_bytes_total", "Bytes of stored files that were read anew");
    describe_counter!("moxxie_tftp_transfers_total", "TFTP transfers by outcome");
    describe_counter!("moxxie_tftp_refused_total", "TFTP requests that were refused or ignored, by reason");
    describe_counter!("moxxie_tftp_bytes_total", "Bytes that TFTP clients acknowledged");
    describe_counter!(
        "moxxie_tftp_repeats_total",
        "Times that something was sent again to a silent TFTP client"
    );
    describe_gauge!("moxxie_tftp_running", "TFTP transfers that run");
    describe_gauge!("moxxie_downloads_running", "Downloads of assets that run");
    describe_gauge!("moxxie_connections", "Open connections");
    describe_counter!("moxxie_tls_handshakes_failed_total", "TLS handshakes that clients did not complete");
    describe_gauge!(
        "moxxie_tls_cert_expires_seconds",
        Unit::Seconds,
        "When the certificate that TLS shows expires, as Unix time"
    );
    describe_gauge!("moxxie_tls_reload_failed", "1 while the certificate's files cannot be used");
    describe_gauge!("moxxie_config_reload_failed", "1 after a reload of the settings that was refused");
    describe_gauge!(
        "moxxie_config_reload_last_success",
        Unit::Seconds,
        "When the settings were last read again, as Unix time"
    );
    describe_counter!(
        "moxxie_connections_refused_total",
        "Connections closed at once because their peer had too many"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlx_is_quiet_unless_named() {
        for (level, sqlx) in
            [("info", true), ("moxxie=debug, debug", true), ("warn", false), ("info,sqlx=info", false)]
        {
            assert_eq!(filter(level).unwrap().to_string().contains("sqlx=warn"), sqlx, "{level}");
        }
    }

    #[test]
    fn a_bad_filter_is_not_repeated() {
        let error = filter("canary=canary=canary").unwrap_err();
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }
}
