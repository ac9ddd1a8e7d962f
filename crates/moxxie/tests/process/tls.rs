//! TLS, its certificate, and the listener for people alone.

use crate::client::Client;
use crate::server::{ADMIN, NO_LIMITS, Server, Setup, moxxie, signal, until};
use crate::site::{self, mac};
use crate::wire::noise;
use reqwest::Certificate;
use serde_json::json;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A site's certificate files.
pub struct Files {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Files {
    pub fn in_dir(dir: &Path) -> Files {
        Files { cert: dir.join("cert.pem"), key: dir.join("key.pem") }
    }

    /// Writes a new certificate for 127.0.0.1; what a client needs to trust it, and it alone.
    pub fn renew(&self) -> Certificate {
        let params = rcgen::CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        std::fs::write(&self.key, key.serialize_pem()).unwrap();
        std::fs::write(&self.cert, &pem).unwrap();
        Certificate::from_pem(pem.as_bytes()).unwrap()
    }

    /// A server with TLS on a port of its own.
    pub fn setup(&self, dir: &Path) -> Setup {
        Setup::new(dir)
            .env("MOXXIE_TLS_LISTEN", "127.0.0.1:0")
            .env("MOXXIE_TLS_CERT", self.cert.to_str().unwrap())
            .env("MOXXIE_TLS_KEY", self.key.to_str().unwrap())
    }
}

/// Where a further listener is, as the server says.
pub async fn address(server: &Server, which: &str) -> String {
    let start = format!("moxxie {which} listening on ");
    until("the listener's line", async || {
        server.out.text().lines().find_map(|line| Some(line.strip_prefix(&start)?.to_owned()))
    })
    .await
}

/// A client that trusts this certificate and no other.
pub fn trusting(base: &str, certificate: &Certificate) -> Client {
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([certificate.clone()]);
    Client::over(base, ADMIN, http)
}

async fn answers(client: &Client) -> bool {
    // A new connection each time: what counts is the handshake.
    client
        .try_send(client.request(reqwest::Method::GET, "/livez").header("Connection", "close"))
        .await
        .is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_serves_machines_and_counts_what_they_fetch() {
    let dir = tempfile::tempdir().unwrap();
    let files = Files::in_dir(dir.path());
    let certificate = files.renew();
    let mut server = files.setup(dir.path()).start().await;
    assert!(server.client.base.starts_with("http://127.0.0.1:"), "the first line stays what it was");
    let base = address(&server, "TLS").await;
    let tls = trusting(&base, &certificate);
    site::furnish(&server.client).await;
    // More than the buffers between the two ends hold.
    let bytes = noise(3, 50 << 20);
    tls.put_bytes("/api/v1/boot/profiles/safe/assets/big.img", bytes.clone()).await.is(201);
    site::assign(&tls, 1, "safe", true).await;

    // Links lead back to where the machine asked.
    let script = tls.menu(&mac(1)).await.is(200).text();
    assert!(script.contains(&format!("{base}/boot/assets/safe/vmlinuz")), "{script}");
    assert!(!script.contains("http://"), "{script}");
    let plain = server.client.menu(&mac(2)).await.is(200).text();
    assert!(!plain.contains("https://"), "{plain}");

    for (file, expected) in [("big.img", bytes.as_slice()), ("vmlinuz", site::KERNEL)] {
        let reply = tls.get(&format!("/boot/assets/safe/{file}")).await.is(200);
        assert!(reply.body == expected, "{file}: other bytes");
    }
    // Its end is noted as of any other download: an event, and every byte once.
    until("the kernel's event", async || {
        let events = site::all(&server.client, "/api/v1/boot/events").await;
        events.iter().any(|e| e["kind"] == "kernel_fetched").then_some(())
    })
    .await;
    let sent = bytes.len() + site::KERNEL.len();
    let metrics = server.client.get("/metrics").await.text();
    assert!(metrics.contains(&format!("moxxie_asset_bytes_total {sent}\n")), "{metrics}");
    assert_eq!(server.client.get("/api/v1/boot/downloads").await.is(200).value()["items"], json!([]));
    assert!(metrics.contains("moxxie_tls_cert_expires_seconds "), "{metrics}");
    assert_eq!(server.stop().await, Some(0));
}

/// Sends a client's first record and reads what comes back before the end.
async fn hello(base: &str, record: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(base.strip_prefix("https://").unwrap()).await.unwrap();
    stream.write_all(record).await.unwrap();
    let mut answer = vec![];
    // A reset after the alert is an end as well.
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

/// A ClientHello that offers one version, ECDHE with AES, and these protocols.
fn client_hello(version: [u8; 2], protocols: &[&str]) -> Vec<u8> {
    let list = |bytes: Vec<u8>| [&(bytes.len() as u16).to_be_bytes()[..], &bytes].concat();
    let extension = |kind: u16, body: Vec<u8>| [&kind.to_be_bytes()[..], &list(body)].concat();
    let names = protocols.iter().flat_map(|name| [&[name.len() as u8], name.as_bytes()].concat()).collect();
    let mut extensions = [
        extension(10, list(vec![0, 0x1d, 0, 0x17])),
        extension(11, vec![1, 0]),
        extension(13, list(vec![4, 3, 8, 4, 4, 1])),
    ]
    .concat();
    if !protocols.is_empty() {
        extensions.extend(extension(16, list(names)));
    }
    let suites = list(vec![0xc0, 0x2b, 0xc0, 0x2f, 0xc0, 0x09, 0xc0, 0x13]);
    let body = [&version[..], &[7; 32], &[0], &suites, &[1, 0], &list(extensions)].concat();
    let message = [&[1][..], &(body.len() as u32).to_be_bytes()[1..], &body].concat();
    [&[22, 3, 1][..], &list(message)].concat()
}

#[tokio::test]
async fn old_versions_and_other_protocols_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let files = Files::in_dir(dir.path());
    files.renew();
    let server = files.setup(dir.path()).start().await;
    let base = address(&server, "TLS").await;
    // An alert is 21, version, length, level, what.
    let alert = |answer: &[u8]| (answer.first() == Some(&21)).then(|| answer.last().copied()).flatten();
    const PROTOCOL_VERSION: u8 = 70;
    const NO_APPLICATION_PROTOCOL: u8 = 120;
    for old in [[3, 1], [3, 2]] {
        assert_eq!(alert(&hello(&base, &client_hello(old, &[])).await), Some(PROTOCOL_VERSION));
    }
    let h2 = hello(&base, &client_hello([3, 3], &["h2"])).await;
    assert_eq!(alert(&h2), Some(NO_APPLICATION_PROTOCOL));
    // The same with what is spoken: a ServerHello of TLS 1.2, and HTTP/1.1 if anything was offered.
    for protocols in [&["h2", "http/1.1"][..], &[]] {
        let mut stream = TcpStream::connect(base.strip_prefix("https://").unwrap()).await.unwrap();
        stream.write_all(&client_hello([3, 3], protocols)).await.unwrap();
        let mut head = [0; 5];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(head[..3], [22, 3, 3]);
        let mut hello = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
        stream.read_exact(&mut hello).await.unwrap();
        assert_eq!((hello[0], &hello[4..6]), (2, &[3, 3][..]));
        let chosen = hello.windows(8).any(|bytes| bytes == b"http/1.1");
        assert_eq!(chosen, !protocols.is_empty());
    }
    // Plain HTTP there is no request.
    let answer = hello(&base, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(!answer.starts_with(b"HTTP"));
}

/// F29: the certificate before is shown until there is one that can be.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_replaced_only_by_a_good_one() {
    let dir = tempfile::tempdir().unwrap();
    let files = Files::in_dir(dir.path());
    let first = files.renew();
    let server = files.setup(dir.path()).start().await;
    let base = address(&server, "TLS").await;
    assert!(answers(&trusting(&base, &first)).await);

    std::fs::write(&files.cert, "garbage").unwrap();
    let done = server.client.act("/api/v1/config/reload").await.is(200).value();
    let warning = done["warnings"][0].as_str().unwrap();
    assert!(warning.contains("cert.pem: no certificate in it"), "{warning}");
    assert!(answers(&trusting(&base, &first)).await);
    server.client.get("/readyz").await.is(200);
    assert!(server.client.get("/metrics").await.text().contains("moxxie_tls_reload_failed 1\n"));
    // The log is written behind the answer.
    let told = async || server.err.text().contains("the one before is shown on").then_some(());
    until("the log", told).await;

    let second = files.renew();
    signal("HUP", server.id());
    let new = trusting(&base, &second);
    until("the new certificate", async || answers(&new).await.then_some(())).await;
    assert!(!answers(&trusting(&base, &first)).await);
    assert!(server.client.get("/metrics").await.text().contains("moxxie_tls_reload_failed 0\n"));
}

#[tokio::test]
async fn garbage_refuses_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let files = Files::in_dir(dir.path());
    files.renew();
    std::fs::write(&files.key, "canary").unwrap();
    let (code, out, err) = files.setup(dir.path()).run().await;
    assert_eq!(code, Some(1));
    assert!(err.contains("key.pem: no private key in it") && !err.contains("canary"), "{err}");
    assert!(out.is_empty(), "{out}");
}

/// What each listener answers when people have one of their own.
#[tokio::test(flavor = "multi_thread")]
async fn people_and_machines_have_doors_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let files = Files::in_dir(dir.path());
    let certificate = files.renew();
    let setup = files.setup(dir.path()).arg("--admin-listen").arg("127.0.0.1:0");
    let mut server = setup.config("[admin]\ntls = true\n").start().await;
    let main = server.client.clone();
    let tls = trusting(&address(&server, "TLS").await, &certificate);
    let admin = address(&server, "admin").await;
    assert!(admin.starts_with("https://"));
    let admin = trusting(&admin, &certificate);
    site::furnish(&admin).await;
    site::assign(&admin, 1, "safe", true).await;

    let config = format!("/boot/configs/safe/{}", mac(1));
    let preview = async |client: &Client| {
        client.send(client.request(reqwest::Method::GET, &config).bearer_auth(ADMIN)).await
    };
    let menu = format!("/boot/menu.ipxe?mac={}", mac(9));
    let token = format!("{config}?t=x1YWeUyG92Nq-W3GgVX8olw2aFwKdhqnezfmUlsW7QY");
    for (path, on_main, on_admin) in [
        ("/livez", 200, 200),
        ("/readyz", 200, 200),
        ("/metrics", 404, 200),
        ("/api/docs", 404, 200),
        ("/api/v1/openapi.json", 404, 200),
        ("/api/v1/boot/profiles", 404, 200),
        ("/nothing", 404, 404),
        (&menu, 200, 404),
        ("/boot/assets/safe/vmlinuz", 200, 404),
        ("/boot/report", 400, 404),
        (&config, 403, 404),
        (&token, 403, 404),
    ] {
        for client in [&main, &tls] {
            let reply = client.get(path).await;
            assert_eq!(reply.status, on_main, "{path} at {}: {}", client.base, reply.text());
        }
        let reply = admin.get(path).await;
        assert_eq!(reply.status, on_admin, "{path}: {}", reply.text());
    }
    // A refusal names no address.
    let refused = main.get("/api/v1/boot/profiles").await;
    assert_eq!(refused.value()["type"], "urn:moxxie:problem:not-found");
    assert!(!refused.text().contains("127.0.0.1"));
    // A token of people is worth nothing where machines are.
    assert_eq!(preview(&main).await.status, 403);
    assert_eq!(preview(&tls).await.status, 403);
    assert!(preview(&admin).await.is(200).text().contains("hostname: node-1"));
    // What people are shown leads to where machines are served.
    let explained = admin.get(&format!("/api/v1/boot/explain?mac={}", mac(1))).await.is(200).text();
    assert!(explained.contains(&format!("{}/boot/", main.base)), "{explained}");
    // Browsers are told to stay with TLS, and what a page may do.
    let docs = admin.get("/api/docs").await.is(200);
    let header = |name: &str| docs.headers.get(name).map_or("", |value| value.to_str().unwrap());
    assert!(header("strict-transport-security").starts_with("max-age="));
    assert!(header("content-security-policy").starts_with("default-src 'none'; style-src 'sha256-"));
    assert_eq!((header("x-frame-options"), header("referrer-policy")), ("DENY", "no-referrer"));
    assert!(main.get("/livez").await.headers.get("strict-transport-security").is_none());

    // A stop closes all of them.
    assert_eq!(server.stop().await, Some(0));
    for client in [&main, &tls, &admin] {
        assert!(!answers(client).await);
    }
}

/// F28: a file that cannot be used changes nothing, and says why wherever somebody looks.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_keeps_the_settings() {
    let dir = tempfile::tempdir().unwrap();
    let server = Setup::new(dir.path()).config("[params]\ndns = \"10.0.0.1\"\n").start().await;
    let file = dir.path().join("moxxie.toml");
    let write = |text: &str| std::fs::write(&file, format!("{text}{NO_LIMITS}")).unwrap();
    let shown = |args: &[&str]| {
        let output = moxxie().arg("config").args(args).arg("--data-dir").arg(dir.path()).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let client = &server.client;
    let reload = "/api/v1/config/reload";
    let metric = async |line: &str| client.get("/metrics").await.text().contains(line);

    write("[boot]\narm_hour = 1\n");
    let problem = client.act(reload).await.is(422).text();
    assert!(
        problem.contains("moxxie.toml:2: unknown key `arm_hour`; did you mean `arm_hours`?"),
        "{problem}"
    );
    assert!(metric("moxxie_config_reload_failed 1\n").await);
    let (code, text) = shown(&["check"]);
    assert!(code == Some(1) && text.contains("moxxie.toml:2: "), "{text}");
    signal("HUP", server.id());
    until("the log", async || {
        (server.err.text().matches("moxxie.toml:2: unknown key").count() >= 2).then_some(())
    })
    .await;
    for bad in ["[log]\nlevel = \"=canary=\"\n", "[tls]\nlisten = \"127.0.0.1:0\"\n"] {
        write(bad);
        let problem = client.act(reload).await.is(422).text();
        assert!(!problem.contains("canary"), "{problem}");
    }
    client.get("/readyz").await.is(200);

    // What is good applies, and what cannot be applied is named, each time.
    write(
        "listen = \"127.0.0.1:1\"\n[params]\ndns = \"10.0.0.2\"\n[access]\nallow = [\"10.9.0.0/16\"]\n[log]\nlevel = \"debug\"\n",
    );
    let done = client.act(reload).await.is(200).value();
    // `--listen` wins over the file.
    assert_eq!(
        done,
        json!({"changed": ["access.allow", "log.level", "params"], "needs_restart": [], "warnings": []})
    );
    assert_eq!(client.menu(&mac(1)).await.status, 403);
    assert!(metric("moxxie_config_reload_failed 0\n").await);
    let (code, text) = shown(&["check"]);
    assert!(code == Some(0) && text.contains("it can be used"), "{text}");
    let (_, text) = shown(&["show"]);
    assert!(text.contains("access.allow = [\"10.9.0.0/16\"]  # file"), "{text}");

    write("[shutdown]\ngrace_seconds = 0\n[assets]\ncache_mib = 5\n");
    for changed in [vec!["access.allow", "log.level", "params", "shutdown.grace_seconds"], vec![]] {
        let done = client.act(reload).await.is(200).value();
        assert_eq!(done["changed"], json!(changed));
        assert_eq!(done["needs_restart"], json!(["assets.cache_mib"]));
    }
    client.menu(&mac(1)).await.is(200);
    let audit = site::all(client, "/api/v1/audit").await;
    let record = audit.iter().find(|record| record["action"] == "config.reload").unwrap();
    assert_eq!(record["after"]["needs_restart"], json!(["assets.cache_mib"]));
    assert!(!audit.iter().any(|record| record.to_string().contains("10.0.0.2")), "names, no values");
}
