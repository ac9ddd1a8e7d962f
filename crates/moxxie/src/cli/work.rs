//! Long work that the server does: asked for once, told of line by line, answered in the end.

use crate::cli::client::{Client, ClientError, Problem, Result, STALL};
use crate::cli::progress::Bar;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde_json::Value;
use tokio::time::timeout;

/// Lines of JSON, one object each.
const NDJSON: &str = "application/x-ndjson";
/// The longest line that is read; the last one may list the members of an image.
const MAX_LINE: usize = 16 * 1024 * 1024;

/// Asks for it and shows how far it is. The server stops when this stops waiting.
pub async fn post(client: &Client, path: &[&str], body: &Value, bar: &Bar) -> Result<Value> {
    let mut response = client
        .send(|| Ok(client.authorized::<&str>(Method::POST, path, &[])?.header(ACCEPT, NDJSON).json(body)))
        .await?;
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if !kind.is_some_and(|kind| kind.starts_with(NDJSON)) {
        // A plain answer comes when all is done, which takes as long as it takes.
        let bytes = response.bytes().await.map_err(|e| client.broken(e))?;
        return serde_json::from_slice(&bytes).map_err(|_| broken(client, "the answer is not JSON"));
    }
    let mut lines = Lines::default();
    loop {
        let chunk = timeout(STALL, response.chunk())
            .await
            .map_err(|_| broken(client, "it fell silent in the middle of the work"))?
            .map_err(|e| client.broken(e))?
            .ok_or_else(|| broken(client, "it broke off in the middle of the work"))?;
        for mut line in lines.push(&chunk) {
            if let Some(progress) = line.get("progress") {
                show(bar, progress);
            } else if let Some(problem) = line.get("problem") {
                return Err(ClientError::Refused(Box::new(Problem::of(problem))));
            } else if let Some(done) = line.get_mut("done") {
                return Ok(done.take());
            }
        }
        if lines.0.len() > MAX_LINE {
            return Err(broken(client, "a line of the answer is too long"));
        }
    }
}

fn broken(client: &Client, cause: &str) -> ClientError {
    ClientError::Broken { server: client.server().into(), cause: cause.into() }
}

fn show(bar: &Bar, progress: &Value) {
    let verb = match progress["step"].as_str() {
        Some("download") => "fetching",
        Some("verify") => "checking",
        Some("extract") => "extracting",
        _ => "storing",
    };
    let what = format!("{verb} {}", progress["file"].as_str().unwrap_or_default());
    bar.step(what.trim_end(), progress["bytes"].as_u64().unwrap_or(0), progress["total"].as_u64());
}

/// Takes lines apart, in whatever pieces they come. What is no JSON is passed over.
#[derive(Debug, Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn push(&mut self, chunk: &[u8]) -> Vec<Value> {
        // Only the new bytes can end a line.
        let Some(last) = chunk.iter().rposition(|b| *b == b'\n') else {
            self.0.extend_from_slice(chunk);
            return Vec::new();
        };
        self.0.extend_from_slice(&chunk[..last]);
        let whole = std::mem::replace(&mut self.0, chunk[last + 1..].to_vec());
        whole.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fake::{Answer, Fake};
    use crate::cli::out::Format;
    use serde_json::json;

    async fn go(answer: Answer) -> (Result<Value>, Fake) {
        let fake = Fake::start(vec![answer]);
        let client = Client::new(&fake.url, None).unwrap();
        let bar = Bar::new(Format::Json, "x", None);
        (post(&client, &["x"], &json!({"a": 1}), &bar).await, fake)
    }

    fn lines(text: &str) -> Answer {
        Answer::bytes(text.as_bytes()).with("Content-Type: application/x-ndjson")
    }

    #[tokio::test]
    async fn the_last_line_is_the_answer() {
        let progress = r#"{"progress":{"step":"download","file":"k","bytes":1,"total":null}}"#;
        let (answer, fake) =
            go(lines(&format!("{progress}\n\n{progress}\n{{\"done\":{{\"b\":2}}}}\n"))).await;
        assert_eq!(answer.unwrap(), json!({"b": 2}));
        let request = fake.request();
        assert!(request.head.contains("accept: application/x-ndjson\r\n"), "{}", request.head);
        assert_eq!(request.json(), json!({"a": 1}));
        let (answer, _) = go(Answer::json(201, json!({"b": 3}))).await;
        assert_eq!(answer.unwrap(), json!({"b": 3}));
    }

    #[tokio::test]
    async fn problems_and_cuts_are_no_answers() {
        let problem = json!({"problem": {"title": "No", "status": 422, "detail": "why",
            "errors": [{"pointer": "/url", "message": "why"}]}});
        let (answer, _) = go(lines(&format!("{problem}\n"))).await;
        let error = answer.unwrap_err();
        assert_eq!((error.status(), error.to_string()), (Some(422), "No (422): url: why".into()));
        for cut in ["", "{\"progress\":{}}\n", "{\"done\":{\"b\":2}"] {
            let (answer, _) = go(lines(cut)).await;
            assert!(matches!(answer, Err(ClientError::Broken { .. })), "{cut}");
        }
        assert!(go(Answer::bytes(b"<html>")).await.0.is_err());
    }

    #[test]
    fn lines_come_in_any_pieces() {
        let text = b"{\"a\":1}\r\n\nnonsense\n{\"b\":2}\n{\"c\"";
        for size in [1, 2, 5, 100] {
            let mut lines = Lines::default();
            let all: Vec<Value> = text.chunks(size).flat_map(|chunk| lines.push(chunk)).collect();
            assert_eq!(all, [json!({"a": 1}), json!({"b": 2})], "{size}");
            assert_eq!(lines.0, b"{\"c\"");
        }
    }
}
