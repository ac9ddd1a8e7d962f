//! What can be seen of the server from outside: does it answer, whom does it let in, where do its
//! scripts point.

use super::{Check, Outcome, TIMEOUT, ask, check};
use crate::cli::client::{Client, ClientError};
use crate::cli::when;
use chrono::DateTime;
use reqwest::Method;
use reqwest::header::DATE;
use url::Url;

/// Clocks further apart than this are worth a line in red.
const CLOCK_SECONDS: i64 = 60;

/// Every check, or the one that failed when nobody answers.
pub(super) async fn server(client: &Client) -> Vec<Check> {
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
    if let Err(error) = ask(client, &["api", "v1", "boot", "profiles"], &one).await {
        if error.status() == Some(503) {
            // The line on readiness says FAIL; the server may know more of itself.
            return check("token", Outcome::Skipped, format!("not looked up: {error}"));
        }
        let text = match said_404(&error, "no such URL here") {
            true => "this listener is for machines, and the API is served elsewhere: name the address in admin.listen with --server or MOXXIE_SERVER".into(),
            false => error.to_string(),
        };
        return check("token", Outcome::Fail, text);
    }
    match ask(client, &["api", "v1", "tokens"], &one).await {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::Secret;
    use crate::cli::fake::{Answer, Fake};
    use serde_json::{Value, json};

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

    /// The first token works without the database, so the server may still speak of itself.
    #[tokio::test]
    async fn an_outage_says_nothing_about_the_token() {
        let away = || Answer::json(503, json!({"title": "Not ready"})).with("Retry-After: 10");
        let no = || Answer::json(404, Value::Null);
        let script = Answer::bytes(b"#!ipxe\n");
        let fake = Fake::start(vec![Answer::bytes(b"ok"), away(), no(), away(), script]);
        let checks = server(&Client::new(&fake.url, Some(Secret::new("t"))).unwrap()).await;
        assert_eq!((checks[1].outcome, checks[3].outcome), (Outcome::Fail, Outcome::Skipped), "{checks:?}");
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

    fn chrono_now() -> String {
        let now = DateTime::from_timestamp_millis(when::now().0).unwrap();
        now.to_rfc2822().replace("+0000", "GMT")
    }
}
