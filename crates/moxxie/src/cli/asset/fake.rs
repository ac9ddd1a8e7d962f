//! A server with shelves and uploads, in memory, for the tests: it does what the API describes,
//! and breaks connections where a test says so.

use moxxie_core::asset::Digest;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What the server knows.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub profiles: Vec<Value>,
    pub blobs: BTreeMap<Digest, Vec<u8>>,
    /// Digests by profile and file.
    pub labels: BTreeMap<(String, String), Digest>,
    /// Unfinished uploads: their size and what arrived.
    pub uploads: BTreeMap<String, (u64, Vec<u8>)>,
    /// Method and path of every request.
    pub log: Vec<String>,
    /// After so many bytes the connection of the next PATCH breaks.
    pub cuts: VecDeque<usize>,
    /// The next PATCH with all its bytes is never answered.
    pub drops_answer: bool,
    /// The next unfinished upload that becomes a file does, and nobody hears of it.
    pub drops_finish: bool,
    /// Uploads are forgotten at the next PATCH.
    pub forgets: bool,
    made: usize,
}

/// The server.
pub(crate) struct FakeShelf {
    pub url: String,
    pub state: Arc<Mutex<State>>,
}

impl FakeShelf {
    pub fn start() -> FakeShelf {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let state = Arc::clone(&shared);
                thread::spawn(move || serve(stream.unwrap(), &state));
            }
        });
        FakeShelf { url, state }
    }

    /// Gives it a file.
    pub fn hold(&self, profile: &str, file: &str, bytes: &[u8]) {
        let mut state = self.state.lock().unwrap();
        let digest = keep(&mut state, bytes);
        state.labels.insert((profile.into(), file.into()), digest);
    }

    /// The bytes under a name.
    pub fn bytes(&self, profile: &str, file: &str) -> Vec<u8> {
        let state = self.state.lock().unwrap();
        state.blobs[&state.labels[&(profile.to_owned(), file.to_owned())]].clone()
    }

    /// How many requests began with this.
    pub fn count(&self, start: &str) -> usize {
        self.state.lock().unwrap().log.iter().filter(|line| line.starts_with(start)).count()
    }
}

fn keep(state: &mut State, bytes: &[u8]) -> Digest {
    let digest = Digest(Sha256::digest(bytes).into());
    state.blobs.insert(digest, bytes.to_vec());
    digest
}

fn serve(stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let header = |name: &str| {
        head.lines().find_map(|l| {
            let (key, value) = l.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    };
    let mut words = head.split(' ');
    let method = words.next().unwrap().to_owned();
    let path = words.next().unwrap().split('?').next().unwrap().to_owned();
    let length: usize = header("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
    state.lock().unwrap().log.push(format!("{method} {path}"));
    if method == "PATCH" {
        let offset = header("upload-offset").unwrap().parse().unwrap();
        return patch(reader, stream, state, path.rsplit('/').next().unwrap(), offset, length);
    }
    let mut body = vec![0; length];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let answer = answer(&mut state.lock().unwrap(), &method, &path, &body);
    if let Some((status, answer)) = answer {
        send(stream, status, &answer);
    }
}

fn send(mut stream: TcpStream, status: u16, body: &[u8]) {
    let head = format!("HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}

fn patch(
    mut reader: impl std::io::Read,
    stream: TcpStream,
    state: &Mutex<State>,
    id: &str,
    offset: usize,
    length: usize,
) {
    let cut = {
        let mut state = state.lock().unwrap();
        if std::mem::take(&mut state.forgets) {
            state.uploads.clear();
        }
        let there = state.uploads.get(id).map(|(_, bytes)| bytes.len());
        if there != Some(offset) {
            let status = if there.is_some() { 409 } else { 404 };
            return send(stream, status, b"{}");
        }
        state.cuts.pop_front()
    };
    let mut body = vec![0; cut.unwrap_or(length).min(length)];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let mut state = state.lock().unwrap();
    let (size, bytes) = state.uploads.get_mut(id).unwrap();
    bytes.extend_from_slice(&body);
    let reply = json!({"id": id, "size": size, "offset": bytes.len()}).to_string();
    if cut.is_none() && !std::mem::take(&mut state.drops_answer) {
        send(stream, 200, reply.as_bytes());
    }
}

fn answer(state: &mut State, method: &str, path: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let reply = |status: u16, value: Value| Some((status, value.to_string().into_bytes()));
    match (method, parts.as_slice()) {
        ("POST", ["api", "v1", "uploads"]) => {
            state.made += 1;
            let id = format!("u{}", state.made);
            let size = json["size"].as_u64().unwrap();
            state.uploads.insert(id.clone(), (size, Vec::new()));
            reply(201, json!({"id": id, "size": size, "offset": 0}))
        }
        ("GET", ["api", "v1", "uploads", id]) => match state.uploads.get(*id) {
            Some((size, bytes)) => reply(200, json!({"id": id, "size": size, "offset": bytes.len()})),
            None => reply(404, json!({})),
        },
        ("PUT", ["api", "v1", "boot", "profiles", profile, "assets", file]) => {
            let digest = keep(state, body);
            state.labels.insert((profile.to_string(), file.to_string()), digest);
            reply(201, json!({"file": file, "sha256": digest, "size": body.len()}))
        }
        ("POST", ["api", "v1", "boot", "profiles", profile, "assets"]) => {
            let digest: Digest = json["sha256"].as_str().unwrap().parse().unwrap();
            let mut is_heard = true;
            if let Some(id) = json["upload"].as_str() {
                let Some((_, bytes)) = state.uploads.remove(id) else { return reply(404, json!({})) };
                if keep(state, &bytes) != digest {
                    return reply(422, json!({"detail": "other bytes"}));
                }
                is_heard = !std::mem::take(&mut state.drops_finish);
            }
            let Some(bytes) = state.blobs.get(&digest) else { return reply(422, json!({})) };
            let view = json!({"file": json["file"], "sha256": digest, "size": bytes.len()});
            let file = json["file"].as_str().unwrap().to_owned();
            state.labels.insert((profile.to_string(), file), digest);
            is_heard.then(|| (201, view.to_string().into_bytes()))
        }
        ("GET", ["api", "v1", "boot", "profiles", profile, "assets"]) => {
            let own = state.labels.iter().filter(|((owner, _), _)| owner == profile);
            let items: Vec<Value> = own
                .map(|((_, file), digest)| json!({"file": file, "sha256": digest, "size": state.blobs[digest].len()}))
                .collect();
            reply(200, json!({"items": items, "next": null}))
        }
        ("GET", ["api", "v1", "boot", "profiles", profile, "assets", file]) => {
            let digest = state.labels.get(&(profile.to_string(), file.to_string()))?;
            Some((200, state.blobs[digest].clone()))
        }
        ("GET", ["api", "v1", "boot", "export"]) => reply(200, json!({"items": state.profiles})),
        ("POST", ["api", "v1", "boot", "apply"]) => {
            for item in json["items"].as_array().unwrap() {
                state.profiles.retain(|there| there["name"] != item["name"]);
                state.profiles.push(item.clone());
            }
            reply(200, json!({}))
        }
        _ => reply(404, json!({"detail": path})),
    }
}
