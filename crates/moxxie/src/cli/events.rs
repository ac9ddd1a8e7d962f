//! `moxxie events`: what machines did, also as it happens.

use crate::cli::ClientOptions;
use crate::cli::client::{Client, ClientError};
use crate::cli::out::{self, Format};
use crate::cli::when::{self, When};
use moxxie_core::mac::MacAddr;
use reqwest::Method;
use reqwest::header::ACCEPT;
use serde_json::Value;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::{sleep, timeout};

const EVENTS: [&str; 4] = ["api", "v1", "boot", "events"];
/// After so long without a byte a stream counts as dead and is opened again.
const SILENCE: Duration = Duration::from_secs(90);
/// Largest event that is read.
const MAX_EVENT: usize = 1024 * 1024;

/// Which events.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  moxxie events --since 1h --mac 5254.0012.3456\n  moxxie events --follow --kind config.delivered"
)]
pub struct EventsArgs {
    /// Only of this machine.
    #[arg(long)]
    mac: Option<MacAddr>,
    /// Only of this kind, such as boot, config.delivered, report.installed.
    #[arg(long)]
    kind: Option<String>,
    /// Only since then: 15m, 1h, 7d, or 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "WHEN")]
    since: Option<When>,
    /// At most so many; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 100, conflicts_with = "follow")]
    limit: usize,
    /// Print events as they happen, until Ctrl-C.
    #[arg(long, short = 'F')]
    follow: bool,
}

/// Runs `moxxie events`.
pub async fn run(options: &ClientOptions, args: EventsArgs) -> anyhow::Result<ExitCode> {
    let client = options.client()?;
    let filters = [
        ("mac", args.mac.map(|mac| mac.to_string())),
        ("kind", args.kind),
        ("since", args.since.map(|since| since.before(when::now()).to_string())),
    ];
    let query: Vec<(&str, String)> =
        filters.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    if args.follow {
        let show = |event: &Value| -> anyhow::Result<()> { Ok(print(options.output, event)?) };
        return tokio::select! {
            result = follow(&client, &query, show) => result.map(|()| ExitCode::SUCCESS),
            _ = tokio::signal::ctrl_c() => Ok(ExitCode::SUCCESS),
        };
    }
    let limit = Some(args.limit).filter(|limit| *limit > 0);
    let items = client.list(&EVENTS, &query, limit).await?;
    if !out::object(options.output, &serde_json::json!({ "items": items }))? {
        if items.is_empty() {
            out::note(if query.is_empty() { "no events yet" } else { "no events match" });
        }
        // The API lists the newest first; people read a boot from top to bottom.
        items.iter().rev().try_for_each(|event| out::line(sentence(event)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(format: Format, event: &Value) -> std::io::Result<()> {
    match format {
        Format::Table => out::line(sentence(event)),
        // One event, one line: for programs that read as it comes.
        Format::Json => out::line(event.to_string()),
        Format::Yaml => out::text(&format!("---\n{}", crate::cli::yaml::write(event))),
    }
}

/// `2026-11-23T04:00:01Z  52:54:…  cp-1  boot  armed: profile talos-cp`
fn sentence(event: &Value) -> String {
    let text = |key: &str| out::cell(&event[key]);
    let at = text("at");
    // Whole seconds are enough for people.
    let at = match at.split_once('.') {
        Some((seconds, rest)) if rest.ends_with('Z') => format!("{seconds}Z"),
        _ => at,
    };
    let mut line = [at, text("mac_address"), text("node_name"), text("kind")].join("  ");
    if event["message"].as_str().is_some_and(|message| !message.is_empty()) {
        line.push_str("  ");
        line.push_str(&text("message"));
    }
    if let Some(count @ 2..) = event["count"].as_u64() {
        line.push_str(&format!(" (×{count})"));
    }
    line
}

/// Reads the event stream and opens it again where it broke off, for good.
async fn follow(
    client: &Client,
    query: &[(&str, String)],
    mut show: impl FnMut(&Value) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut last_id: Option<String> = None;
    let mut is_first = true;
    let mut wait = Duration::from_secs(1);
    loop {
        let opened = client
            .send(|| {
                let request =
                    client.authorized(Method::GET, &EVENTS, query)?.header(ACCEPT, "text/event-stream");
                Ok(match &last_id {
                    Some(id) => request.header("Last-Event-ID", id),
                    None => request,
                })
            })
            .await;
        let error = match opened {
            Ok(mut response) => {
                is_first = false;
                let mut stream = Stream::default();
                loop {
                    let chunk = match timeout(SILENCE, response.chunk()).await {
                        Ok(Ok(Some(chunk))) => chunk,
                        Ok(Ok(None)) | Err(_) => break None,
                        Ok(Err(error)) => break Some(client.broken(error)),
                    };
                    wait = Duration::from_secs(1);
                    for event in stream.push(&chunk) {
                        if let Ok(json) = serde_json::from_str(&event.data) {
                            show(&json)?;
                        }
                        if event.id.is_some() {
                            last_id = event.id;
                        }
                    }
                    if stream.buffer.len() > MAX_EVENT {
                        break None;
                    }
                }
            }
            // What will not get better by waiting, and a server that was never there.
            Err(error) if is_first || matches!(error.status(), Some(400..=428 | 430..=499)) => {
                return Err(error.into());
            }
            Err(error @ (ClientError::Usage(_) | ClientError::Moved(_))) => return Err(error.into()),
            Err(error) => Some(error),
        };
        if error.is_some() {
            out::note(format!("the event stream broke off; opening it again in {} s", wait.as_secs()));
        }
        sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(30));
    }
}

/// One event of a stream.
#[derive(Debug, Default, PartialEq)]
struct StreamEvent {
    id: Option<String>,
    data: String,
}

/// Takes an event stream (`text/event-stream`) apart, in whatever pieces it comes.
#[derive(Debug, Default)]
struct Stream {
    buffer: Vec<u8>,
    event: StreamEvent,
}

impl Stream {
    fn push(&mut self, chunk: &[u8]) -> Vec<StreamEvent> {
        self.buffer.extend_from_slice(chunk);
        let mut events = Vec::new();
        let mut start = 0;
        while let Some(length) = self.buffer[start..].iter().position(|b| *b == b'\n') {
            let line = String::from_utf8_lossy(&self.buffer[start..start + length]).into_owned();
            start += length + 1;
            let line = line.strip_suffix('\r').unwrap_or(&line);
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                if !event.data.is_empty() {
                    events.push(event);
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "data" => {
                    if !self.event.data.is_empty() {
                        self.event.data.push('\n');
                    }
                    self.event.data.push_str(value);
                }
                "id" if !value.contains(|c: char| c.is_control()) => {
                    self.event.id = Some(value.to_owned());
                }
                _ => {}
            }
        }
        self.buffer.drain(..start);
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fake::{Answer, Fake};
    use serde_json::json;

    #[test]
    fn one_line_for_each_event() {
        let mut event = json!({"id": 7, "at": "2026-11-23T04:00:01.123Z", "kind": "boot",
            "mac_address": "52:54:00:12:34:56", "node_name": "cp-1", "message": "armed: profile talos-cp",
            "count": 1});
        assert_eq!(
            sentence(&event),
            "2026-11-23T04:00:01Z  52:54:00:12:34:56  cp-1  boot  armed: profile talos-cp"
        );
        event["count"] = 3.into();
        event["node_name"] = Value::Null;
        event["message"] = "a\u{1b}[31mb\nc".into();
        assert_eq!(
            sentence(&event),
            "2026-11-23T04:00:01Z  52:54:00:12:34:56  -  boot  a\u{fffd}[31mb c (×3)"
        );
    }

    #[test]
    fn streams_come_in_any_pieces() {
        let text =
            ": hello\n\nid: 1\nevent: boot\ndata: {\"a\":\ndata: 1}\n\nid: 2\r\ndata:{}\r\n\r\ndata: half";
        let event = |id: &str, data: &str| StreamEvent { id: Some(id.into()), data: data.into() };
        let expected = [event("1", "{\"a\":\n1}"), event("2", "{}")];
        for size in [1, 3, 7, 1000] {
            let mut stream = Stream::default();
            let events: Vec<StreamEvent> =
                text.as_bytes().chunks(size).flat_map(|chunk| stream.push(chunk)).collect();
            assert_eq!(events, expected, "{size}");
        }
    }

    #[tokio::test]
    async fn a_broken_stream_goes_on_where_it_broke_off() {
        let fake = Fake::start(vec![
            Answer::bytes(b"id: 41\ndata: {\"n\": 1}\n\ndata: {\"lost\""),
            Answer::json(503, Value::Null),
            Answer::bytes(b"id: 42\ndata: {\"n\": 2}\n\n"),
            Answer::json(403, json!({"title": "Revoked"})),
        ]);
        let client = Client::new(&fake.url, None).unwrap();
        let mut seen = Vec::new();
        let query = [("kind", "boot".to_owned())];
        let error = follow(&client, &query, |event| {
            seen.push(event["n"].clone());
            Ok(())
        })
        .await
        .unwrap_err();
        assert_eq!(error.to_string(), "Revoked (403)");
        assert_eq!(seen, [1, 2]);
        let first = fake.request();
        assert_eq!(first.line(), "GET /api/v1/boot/events?kind=boot");
        assert!(
            first.head.contains("accept: text/event-stream\r\n") && !first.head.contains("last-event-id")
        );
        fake.request();
        assert!(fake.request().head.contains("last-event-id: 41\r\n"));
        assert!(fake.request().head.contains("last-event-id: 42\r\n"));
    }
}
