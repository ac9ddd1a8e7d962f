//! What the server says of itself: `GET /api/v1/doctor`.

use super::{Check, Outcome, ask, check};
use crate::cli::client::Client;
use serde_json::Value;

/// What the server says of itself, and of machines of a subnet.
pub(super) async fn own_words(client: &Client, subnet: Option<&str>) -> Vec<Check> {
    let query: Vec<(&str, &str)> = subnet.map(|net| ("subnet", net)).into_iter().collect();
    let reply = match ask(client, &["api", "v1", "doctor"], &query).await {
        Ok(reply) => reply,
        Err(error) if error.status() == Some(404) => {
            return vec![check("own words", Outcome::Skipped, "this server is older than this program")];
        }
        Err(error) => return vec![check("own words", Outcome::Fail, error.to_string())],
    };
    let items = reply["items"].as_array().cloned().unwrap_or_default();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::Secret;
    use crate::cli::fake::{Answer, Fake};
    use serde_json::json;

    async fn said(answer: Answer, subnet: Option<&str>) -> (Vec<Check>, String) {
        let fake = Fake::start(vec![answer]);
        let client = Client::new(&fake.url, Some(Secret::new("t"))).unwrap();
        let checks = own_words(&client, subnet).await;
        (checks, fake.request().line().to_owned())
    }

    #[tokio::test]
    async fn each_row_keeps_its_outcome() {
        let items = json!([
            {"check": "listens", "outcome": "ok", "text": "on 0.0.0.0:8080"},
            {"check": "database", "outcome": "FAIL", "text": "does not answer"},
            {"check": "loaders", "outcome": "--", "text": "none here"},
            {"check": "later", "outcome": "a newer server's word"},
        ]);
        let (checks, asked) = said(Answer::json(200, json!({"items": items})), Some("10.0.0.0/24")).await;
        assert_eq!(asked, "GET /api/v1/doctor?subnet=10.0.0.0%2F24");
        let outcomes: Vec<_> = checks.iter().map(|c| (c.name.as_ref(), c.outcome)).collect();
        assert_eq!(
            outcomes,
            [
                ("listens", Outcome::Ok),
                ("database", Outcome::Fail),
                ("loaders", Outcome::Skipped),
                ("later", Outcome::Skipped)
            ]
        );
        assert_eq!(checks[1].text, "does not answer");
    }

    #[tokio::test]
    async fn an_older_server_is_no_fault_and_a_refusal_is() {
        let (old, asked) = said(Answer::json(404, json!({"title": "Not Found"})), None).await;
        assert_eq!((asked.as_str(), old[0].outcome), ("GET /api/v1/doctor", Outcome::Skipped));
        assert!(old[0].text.contains("older than this program"), "{old:?}");
        for answer in [
            Answer::json(503, json!({"title": "Not ready", "detail": "the database does not answer"}))
                .with("Retry-After: 10"),
            Answer::json(422, json!({"errors": [{"pointer": "/subnet", "message": "not a network"}]})),
            Answer::bytes(b"<html>welcome</html>"),
        ] {
            let (checks, _) = said(answer, None).await;
            assert_eq!((checks.len(), checks[0].outcome), (1, Outcome::Fail), "{checks:?}");
        }
    }
}
