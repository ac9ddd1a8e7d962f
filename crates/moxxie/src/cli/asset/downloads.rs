//! `moxxie asset downloads`: which machine fetches what right now, and how fast.

use crate::cli::client::Client;
use crate::cli::out::{self, Column, Format};
use anyhow::bail;
use serde_json::{Value, json};
use std::io::{IsTerminal as _, stdout};
use std::time::Duration;
use tokio::time::sleep;

const DOWNLOADS: [&str; 4] = ["api", "v1", "boot", "downloads"];
/// How long between two looks.
const PAUSE: Duration = Duration::from_secs(1);

const COLUMNS: &[Column] =
    &[("MACHINE", "machine"), ("FILE", "file"), ("SENT", "sent"), ("OF", "of"), ("RATE", "rate")];

/// How to look.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  moxxie asset downloads --follow")]
pub struct DownloadsArgs {
    /// Look again and again, until Ctrl-C.
    #[arg(long, short = 'F')]
    follow: bool,
}

/// Runs `moxxie asset downloads`.
pub(super) async fn run(client: &Client, format: Format, args: DownloadsArgs) -> anyhow::Result<()> {
    if !args.follow {
        let items = running(client).await?;
        if !out::object(format, &json!({ "items": items }))? {
            out::text(&table(&items))?;
        }
        return Ok(());
    }
    tokio::select! {
        ended = follow(client, format) => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

/// They come in one part.
async fn running(client: &Client) -> anyhow::Result<Vec<Value>> {
    match client.get(&DOWNLOADS).await?.body["items"].take() {
        Value::Array(items) => Ok(items),
        _ => bail!("the server's answer has no items"),
    }
}

async fn follow(client: &Client, format: Format) -> anyhow::Result<()> {
    let mut last = String::new();
    loop {
        let items = running(client).await?;
        if format == Format::Table && stdout().is_terminal() {
            let text = table(&items);
            out::over(&last, &text)?;
            last = text;
        } else {
            let text = match format {
                Format::Table => table(&items),
                // One look, one line: for programs that read as it comes.
                Format::Json => json!({ "items": items }).to_string(),
                Format::Yaml => format!("---\n{}", crate::cli::yaml::write(&json!({ "items": items }))),
            };
            if text != last {
                out::text(&text)?;
            }
            last = text;
        }
        sleep(PAUSE).await;
    }
}

fn table(items: &[Value]) -> String {
    let size = |value: &Value| value.as_f64().map_or(Value::Null, |n| out::size(n.max(0.0) as u64).into());
    let rows: Vec<Value> = items
        .iter()
        .map(|item| {
            let named = [&item["node_name"], &item["machine"], &item["peer"]];
            let rate = size(&item["rate"]);
            json!({
                "machine": named.into_iter().find(|name| name.is_string()),
                "file": format!("{}/{}", out::cell(&item["profile"]), out::cell(&item["file"])),
                "sent": size(&item["sent"]),
                "of": size(&item["length"]),
                "rate": rate.as_str().map(|rate| format!("{rate}/s")),
            })
        })
        .collect();
    out::table(&rows, COLUMNS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::asset::tests::go;
    use crate::cli::fake::{Answer, Fake};

    #[tokio::test]
    async fn a_line_for_each_download() {
        let items = json!([
            {"id": "1", "profile": "p", "file": "initrd", "machine": "52:54:00:12:34:56", "node_name": "cp-1",
             "peer": "10.0.0.7", "sent": 1048576, "length": 62914560, "first": 0, "rate": 5242880.5},
            {"id": "2", "profile": "p", "file": "vmlinuz", "machine": null, "node_name": null,
             "peer": "10.0.0.8", "sent": 0, "length": 10, "first": 5, "rate": null}]);
        assert_eq!(
            table(items.as_array().unwrap()),
            "MACHINE   FILE       SENT     OF        RATE\n\
             cp-1      p/initrd   1.0 MiB  60.0 MiB  5.0 MiB/s\n\
             10.0.0.8  p/vmlinuz  0 B      10 B      -\n"
        );
        let fake = Fake::start(vec![Answer::json(200, json!({"items": items, "next": null}))]);
        go(&fake.url, &["downloads"]).await.unwrap();
        assert_eq!(fake.request().line(), "GET /api/v1/boot/downloads");
    }
}
