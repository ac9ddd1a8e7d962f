//! A server of a few canned answers, for the tests of the commands.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

/// What the fake answers to one request.
pub struct Answer {
    status: u16,
    headers: Vec<String>,
    body: Vec<u8>,
}

impl Answer {
    /// An answer of JSON.
    pub fn json(status: u16, body: Value) -> Answer {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        Answer { status, headers: Vec::new(), body }
    }

    /// An answer of bytes.
    pub fn bytes(body: &[u8]) -> Answer {
        Answer { status: 200, headers: Vec::new(), body: body.to_vec() }
    }

    /// An answer of one line, as the boot routes give it.
    pub fn text(status: u16, line: &str) -> Answer {
        Answer { status, headers: Vec::new(), body: format!("{line}\n").into_bytes() }
    }

    /// The same with a header line.
    pub fn with(mut self, header: &str) -> Answer {
        self.headers.push(header.to_owned());
        self
    }
}

/// What the fake was asked.
pub struct Request {
    /// Request line and headers.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
    /// Method and target.
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap().trim_end_matches(" HTTP/1.1")
    }
}

/// The server; one connection for each answer, in their order.
pub struct Fake {
    /// Its address.
    pub url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    taken: Mutex<usize>,
}

impl Fake {
    /// Starts it.
    pub fn start(answers: Vec<Answer>) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for answer in answers {
                let (stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    if reader.read_line(&mut head).unwrap() == 0 {
                        break;
                    }
                }
                let length = head
                    .lines()
                    .find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok())
                    .unwrap_or(0);
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                seen.lock().unwrap().push(Request { head, body });
                let mut head = format!(
                    "HTTP/1.1 {} x\r\nConnection: close\r\nContent-Length: {}\r\n",
                    answer.status,
                    answer.body.len()
                );
                for header in &answer.headers {
                    head.push_str(&format!("{header}\r\n"));
                }
                let mut stream = stream;
                let _ = stream.write_all(format!("{head}\r\n").as_bytes());
                let _ = stream.write_all(&answer.body);
            }
        });
        Fake { url, requests, taken: Mutex::new(0) }
    }

    /// How many requests came so far.
    pub fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    /// The next request that was not looked at yet.
    pub fn request(&self) -> Request {
        let mut taken = self.taken.lock().unwrap();
        let mut requests = self.requests.lock().unwrap();
        let request = &mut requests[*taken];
        *taken += 1;
        Request { head: request.head.clone(), body: request.body.clone() }
    }
}
