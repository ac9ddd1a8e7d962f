//! `moxxie doctor`: what can be checked from here, one line each, with the next step.

pub mod dhcp;

use crate::cli::client::{Client, ClientError};
use crate::cli::{ClientOptions, FAILED, out};
use crate::cli::{trouble, when};
use chrono::DateTime;
use clap::{Args, Subcommand};
use reqwest::Method;
use reqwest::header::DATE;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use url::Url;

const TIMEOUT: Duration = Duration::from_secs(10);
/// Clocks further apart than this are worth a line in red.
const CLOCK_SECONDS: i64 = 60;

/// What to look at; without a command, the server.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Something else than the server.
    #[command(subcommand)]
    command: Option<DoctorCommand>,
    /// The machines' network, such as 10.0.0.0/24: are they let in, and is there a way to them?
    #[arg(long, value_name = "NETWORK")]
    subnet: Option<String>,
}

/// What else can be looked at.
#[derive(Debug, Subcommand)]
pub enum DoctorCommand {
    /// Ask the network's DHCP servers what they would make each kind of machine boot.
    Dhcp(dhcp::DhcpArgs),
    /// What an error code of iPXE or PXE firmware means. Needs no server.
    IpxeError(trouble::ErrorArgs),
    /// Why a machine does not boot, by what its screen says. Needs no server.
    Symptom(trouble::SymptomArgs),
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Check {
    name: Cow<'static, str>,
    outcome: Outcome,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Ok,
    Fail,
    /// It could not be checked from here, which is no fault.
    Skipped,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Fail => "FAIL",
            Outcome::Skipped => "--",
        }
    }
}

fn check(name: &'static str, outcome: Outcome, text: impl Into<String>) -> Check {
    Check { name: name.into(), outcome, text: text.into() }
}

/// Runs `moxxie doctor`.
pub async fn run(options: &ClientOptions, args: DoctorArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        Some(DoctorCommand::Dhcp(args)) => dhcp::run(options, &args).await,
        Some(DoctorCommand::IpxeError(args)) => trouble::error(options.output, &args),
        Some(DoctorCommand::Symptom(args)) => trouble::symptom(options.output, &args),
        None => check_server(options, args.subnet.as_deref()).await,
    }
}

async fn check_server(options: &ClientOptions, subnet: Option<&str>) -> anyhow::Result<ExitCode> {
    let client = options.client()?;
    let mut checks = server(&client).await;
    // What it says of itself is for who may read, so only after a token was accepted.
    if checks.iter().any(|check| check.name == "token" && check.outcome == Outcome::Ok) {
        checks.extend(own_words(&client, subnet).await);
    }
    checks.extend(data_dir(options.data_dir()));
    let list: Vec<Value> = checks
        .iter()
        .map(|c| json!({"check": c.name, "outcome": c.outcome.as_str(), "text": c.text}))
        .collect();
    if !out::object(options.output, &json!({ "items": list }))? {
        for check in &checks {
            out::line(format!(
                "{:<4}  {:<9}  {}",
                check.outcome.as_str(),
                check.name,
                out::one_line(&check.text)
            ))?;
        }
    }
    let failed = checks.iter().any(|check| check.outcome == Outcome::Fail);
    Ok(if failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

async fn server(client: &Client) -> Vec<Check> {
    let live = match plain(client, &["livez"]).await {
        Ok(response) => response,
        Err(error) => return vec![check("server", Outcome::Fail, error.to_string())],
    };
    let date = live.headers().get(DATE).and_then(|date| date.to_str().ok()).map(str::to_owned);
    vec![
        check("server", Outcome::Ok, format!("answers at {}", client.server())),
        ready(client).await,
        version(client).await,
        token(client).await,
        clock(date.as_deref()),
        links(client).await,
    ]
}

/// What the server says of itself, and of machines of a subnet.
async fn own_words(client: &Client, subnet: Option<&str>) -> Vec<Check> {
    let query: Vec<(&str, &str)> = subnet.map(|net| ("subnet", net)).into_iter().collect();
    let reply = match client.call(Method::GET, &["api", "v1", "doctor"], &query, None, None).await {
        Ok(reply) => reply,
        Err(error) if error.status() == Some(404) => {
            return vec![check("own words", Outcome::Skipped, "this server is older than this program")];
        }
        Err(error) => return vec![check("own words", Outcome::Fail, error.to_string())],
    };
    let items = reply.body["items"].as_array().cloned().unwrap_or_default();
    let text = |item: &Value, key: &str| item[key].as_str().unwrap_or("").to_owned();
    items
        .iter()
        .map(|item| Check {
            name: text(item, "check").into(),
            outcome: match item["outcome"].as_str() {
                Some("ok") => Outcome::Ok,
                Some("FAIL") => Outcome::Fail,
                _ => Outcome::Skipped,
            },
            text: text(item, "text"),
        })
        .collect()
}

async fn plain(client: &Client, path: &[&str]) -> Result<reqwest::Response, ClientError> {
    client.send_once(client.request::<&str>(Method::GET, path, &[])?.timeout(TIMEOUT)).await
}

async fn ready(client: &Client) -> Check {
    match plain(client, &["readyz"]).await {
        Ok(_) => check("ready", Outcome::Ok, "database and assets answer"),
        Err(error) => check("ready", Outcome::Fail, format!("{error}; see the server's log")),
    }
}

async fn version(client: &Client) -> Check {
    let mine = env!("CARGO_PKG_VERSION");
    let reply = client.get(&["api", "v1", "openapi.json"]).await;
    let theirs = reply.ok().and_then(|reply| Some(reply.body["info"]["version"].as_str()?.to_owned()));
    match theirs {
        Some(theirs) if theirs == mine => check("version", Outcome::Ok, format!("{mine}, both")),
        Some(theirs) => check(
            "version",
            Outcome::Ok,
            format!("server {theirs}, this program {mine}; use the same where you can"),
        ),
        None => check("version", Outcome::Skipped, format!("this program {mine}; the server does not say")),
    }
}

/// What the token may do, found out without changing anything: only an admin may list tokens.
async fn token(client: &Client) -> Check {
    if !client.has_token() {
        return check(
            "token",
            Outcome::Fail,
            "none given and none in the data directory: use --token, MOXXIE_TOKEN or --data-dir",
        );
    }
    let one = [("limit", "1")];
    let ask = |path| client.call(Method::GET, path, &one, None, None);
    if let Err(error) = ask(&["api", "v1", "boot", "profiles"]).await {
        let text = match said_404(&error, "no such URL here") {
            true => "this listener is for machines, and the API is served elsewhere: name the address in admin.listen with --server or MOXXIE_SERVER".into(),
            false => error.to_string(),
        };
        return check("token", Outcome::Fail, text);
    }
    match ask(&["api", "v1", "tokens"]).await {
        Ok(_) => check("token", Outcome::Ok, "accepted; role admin"),
        Err(error) if error.status() == Some(403) => {
            check("token", Outcome::Ok, "accepted; role viewer or operator")
        }
        Err(error) => check("token", Outcome::Fail, error.to_string()),
    }
}

/// Whether a listener of Moxxie refused because another one serves this: where people have a
/// listener of their own, each knows its own paths only.
fn said_404(error: &ClientError, detail: &str) -> bool {
    matches!(error, ClientError::Refused(problem) if problem.status == 404 && problem.detail == detail)
}

fn clock(date: Option<&str>) -> Check {
    let server = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok());
    let Some(server) = server else {
        return check("clock", Outcome::Skipped, "the server does not say what time it is");
    };
    let apart = server.timestamp() - when::now().0 / 1000;
    let side = if apart < 0 { "behind" } else { "ahead of" };
    let text = format!("the server's clock is {} s {side} this one", apart.abs());
    match apart.abs() {
        ..=CLOCK_SECONDS => check("clock", Outcome::Ok, text),
        _ => check("clock", Outcome::Fail, format!("{text}: run a time service on both")),
    }
}

/// Whether machines get a script, and whether its links lead somewhere.
async fn links(client: &Client) -> Check {
    let script = match plain(client, &["boot", "menu.ipxe"]).await {
        Ok(response) => response.text().await.unwrap_or_default(),
        Err(error) if error.status() == Some(403) => {
            return check(
                "links",
                Outcome::Skipped,
                "this host is outside the networks that may boot, so no script to look at",
            );
        }
        Err(error) if said_404(&error, "moxxie: no such route") => {
            return check(
                "links",
                Outcome::Skipped,
                "this listener serves the API only; to try the links too, run this against the one that machines use",
            );
        }
        Err(error) => return check("links", Outcome::Fail, error.to_string()),
    };
    if !script.starts_with("#!ipxe") {
        return check(
            "links",
            Outcome::Fail,
            "/boot/menu.ipxe is no iPXE script: is something else answering at this address?",
        );
    }
    let Some(link) = first_link(&script) else {
        return check("links", Outcome::Ok, "machines get a script; it has no absolute links");
    };
    let origin = link.origin();
    if origin == client.base().origin() {
        return check(
            "links",
            Outcome::Ok,
            format!("scripts point to {}, where this was asked", origin.ascii_serialization()),
        );
    }
    let origin = origin.ascii_serialization();
    let answers = match Client::new(&origin, None) {
        Ok(there) => plain(&there, &["livez"]).await.is_ok(),
        Err(_) => false,
    };
    match answers {
        true => check("links", Outcome::Ok, format!("scripts point to {origin}, which answers")),
        false => check(
            "links",
            Outcome::Fail,
            format!(
                "scripts point to {origin}, which does not answer here: check --public-url of the server"
            ),
        ),
    }
}

/// The first whole link of a script; those with iPXE's settings in their address do not count.
fn first_link(script: &str) -> Option<Url> {
    script
        .split_whitespace()
        .filter(|word| word.starts_with("http://") || word.starts_with("https://"))
        .map(|word| word.split(['?', '$']).next().unwrap_or(word))
        .find_map(|word| Url::parse(word).ok().filter(Url::has_host))
}

/// Whether only its owner can read what a local data directory keeps.
fn data_dir(dir: &Path) -> Option<Check> {
    if !dir.is_dir() {
        return None;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let open = |path: &Path, bits: u32| {
            std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & bits != 0)
        };
        // Behind a closed door the files' own modes do not matter, but keys are kept shut anyway.
        let keys = ["admin-token", "secret-key"];
        let rest: &[&str] =
            if open(dir, 0o011) { &["moxxie.db", "moxxie.db-wal", "moxxie.db-shm"] } else { &[] };
        let wrong: Vec<String> = keys
            .iter()
            .chain(rest)
            .map(|name| dir.join(name))
            .filter(|path| open(path, 0o077))
            .map(|path| path.display().to_string())
            .collect();
        if !wrong.is_empty() {
            let wrong = wrong.join(" ");
            let text = format!("others can read what is secret: chmod 600 {wrong}");
            return Some(check("data-dir", Outcome::Fail, text));
        }
    }
    Some(check("data-dir", Outcome::Ok, format!("{}: only its owner reads the keys", dir.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::Secret;
    use crate::cli::fake::{Answer, Fake};

    fn outcomes(checks: &[Check]) -> Vec<(&str, &str)> {
        checks.iter().map(|c| (c.name.as_ref(), c.outcome.as_str())).collect()
    }

    #[tokio::test]
    async fn a_healthy_server() {
        let fake = Fake::start(vec![
            Answer::bytes(b"ok").with(&format!("Date: {}", chrono_now())),
            Answer::bytes(b"ok"),
            Answer::json(200, json!({"info": {"version": env!("CARGO_PKG_VERSION")}})),
            Answer::json(200, json!({"items": [], "next": null})),
            Answer::json(403, json!({"title": "admins only"})),
            Answer::bytes(b"#!ipxe\nchain --autofree /boot/menu.ipxe?mac=${net0/mac}\n"),
        ]);
        let client = Client::new(&fake.url, Some(Secret::new("t"))).unwrap();
        let checks = server(&client).await;
        let all = ["server", "ready", "version", "token", "clock", "links"];
        assert_eq!(outcomes(&checks), all.map(|name| (name, "ok")));
        assert!(checks[3].text.contains("viewer or operator"));
    }

    #[tokio::test]
    async fn a_sick_server() {
        let fake = Fake::start(vec![
            Answer::bytes(b"ok").with("Date: Tue, 15 Nov 1994 08:12:31 GMT"),
            Answer::json(503, json!({"title": "Not ready", "detail": "database: connection refused"})),
            Answer::json(404, Value::Null),
            Answer::bytes(b"<html>welcome</html>"),
        ]);
        let checks = server(&Client::new(&fake.url, None).unwrap()).await;
        assert_eq!(
            outcomes(&checks),
            [
                ("server", "ok"),
                ("ready", "FAIL"),
                ("version", "--"),
                ("token", "FAIL"),
                ("clock", "FAIL"),
                ("links", "FAIL")
            ]
        );
        assert!(checks[1].text.contains("database: connection refused"), "{}", checks[1].text);
        let gone = server(&Client::new("http://127.0.0.1:1", None).unwrap()).await;
        assert_eq!(outcomes(&gone), [("server", "FAIL")]);
    }

    #[tokio::test]
    async fn listeners_that_serve_a_part() {
        let version = json!({"info": {"version": env!("CARGO_PKG_VERSION")}});
        let list = || Answer::json(200, json!({"items": [], "next": null}));
        let ok = || Answer::bytes(b"ok");
        let no_route = Answer::text(404, "moxxie: no such route");
        let people = Fake::start(vec![ok(), ok(), Answer::json(200, version), list(), list(), no_route]);
        let client = Client::new(&people.url, Some(Secret::new("t"))).unwrap();
        let checks = server(&client).await;
        assert!(checks.iter().all(|check| check.outcome != Outcome::Fail), "{checks:?}");
        assert!(checks[5].text.contains("serves the API only"), "{}", checks[5].text);

        let nowhere = || Answer::json(404, json!({"title": "Not Found", "detail": "no such URL here"}));
        let script = Answer::bytes(b"#!ipxe\n");
        let machines = Fake::start(vec![ok(), ok(), nowhere(), nowhere(), script]);
        let client = Client::new(&machines.url, Some(Secret::new("t"))).unwrap();
        let checks = server(&client).await;
        assert_eq!((checks[3].outcome, checks[5].outcome), (Outcome::Fail, Outcome::Ok));
        assert!(checks[3].text.contains("--server"), "{}", checks[3].text);
    }

    #[test]
    fn links_of_scripts() {
        let link = |text: &str| first_link(text).map(|url| url.to_string());
        assert_eq!(
            link("#!ipxe\nkernel http://10.0.0.5:8080/boot/x?mac=${mac} a\n").as_deref(),
            Some("http://10.0.0.5:8080/boot/x")
        );
        assert_eq!(link("#!ipxe\nchain http://${next-server}/x\n"), None);
    }

    #[cfg(unix)]
    #[test]
    fn keys_that_others_can_read() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("secret-key");
        std::fs::write(&key, "x").unwrap();
        let mode = |mode| std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o644);
        assert_eq!(data_dir(dir.path()).unwrap().outcome, Outcome::Fail);
        mode(0o600);
        assert_eq!(data_dir(dir.path()).unwrap().outcome, Outcome::Ok);
        assert_eq!(data_dir(&dir.path().join("none")), None);
    }

    fn chrono_now() -> String {
        let now = DateTime::from_timestamp_millis(when::now().0).unwrap();
        now.to_rfc2822().replace("+0000", "GMT")
    }
}
