//! The PROXY protocol on a real socket: who may speak it, and for whom the connection then counts.

use crate::server::{ADMIN, LIMIT, Server, Setup};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

/// Where the listed proxy connects from. The operator on the machine is 127.0.0.1.
const PROXY: &str = "127.0.0.2";
const MENU: &str = "GET /boot/menu.ipxe HTTP/1.1\r\nHost: a:1\r\nConnection: close\r\n";

/// Sends these pieces from this address, one segment each, and reads until the server closes.
async fn talk(server: &Server, from: &str, pieces: &[&[u8]]) -> String {
    let address = server.client.base.strip_prefix("http://").unwrap().parse().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    let exchange = async {
        let mut stream = socket.connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for piece in pieces {
            // It may close before everything was sent.
            let _ = stream.write_all(piece).await;
        }
        let mut got = Vec::new();
        // A reset is how a kernel says "closed with your bytes unread".
        let _ = stream.read_to_end(&mut got).await;
        String::from_utf8_lossy(&got).into_owned()
    };
    tokio::time::timeout(LIMIT, exchange).await.expect("neither answered nor closed")
}

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, family], &length, body].concat()
}

/// Addresses and ports of a connection from here.
fn v4(from: [u8; 4]) -> Vec<u8> {
    [&from[..], &[10, 0, 0, 1, 0x9c, 0x40, 0x1f, 0x90]].concat()
}

fn status(answer: &str) -> &str {
    answer.strip_prefix("HTTP/1.1 ").map_or("closed", |rest| &rest[..3])
}

#[tokio::test(flavor = "multi_thread")]
async fn t10_the_header_is_mandatory_for_listed_proxies_and_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let toml = "[access]\nproxy_protocol = true\ntrusted_proxies = [\"127.0.0.2\", \"10.9.0.1\"]\n";
    let server = Setup::new(dir.path()).config(toml).start().await;
    let menu = format!("{MENU}\r\n");
    let extensions = [&v4([10, 1, 0, 50])[..], &[4, 0, 200], &[0; 200]].concat();
    let oversize = [&v4([10, 1, 0, 50])[..], &[4, 0x10, 0], &[0; 4096]].concat();
    let six = {
        let mut six = [0; 36];
        six[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        six
    };
    for (what, header, is) in [
        ("v1", b"PROXY TCP4 10.1.0.50 10.0.0.1 40000 8080\r\n".to_vec(), "200"),
        ("v1, outside", b"PROXY TCP4 203.0.113.9 10.0.0.1 40000 8080\r\n".to_vec(), "403"),
        ("v1, mapped", b"PROXY TCP6 ::ffff:10.1.0.50 ::1 40000 8080\r\n".to_vec(), "200"),
        ("v1, its own", b"PROXY UNKNOWN\r\n".to_vec(), "200"),
        ("v2", v2(0x21, 0x11, &v4([10, 1, 0, 50])), "200"),
        ("v2, outside", v2(0x21, 0x11, &v4([203, 0, 113, 9])), "403"),
        ("v2, IPv6 outside", v2(0x21, 0x21, &six), "403"),
        ("v2, LOCAL", v2(0x20, 0x00, &[]), "200"),
        ("v2, LOCAL that names an address", v2(0x20, 0x11, &v4([203, 0, 113, 9])), "200"),
        ("v2, extensions", v2(0x21, 0x11, &extensions), "200"),
        ("v2, extensions too large", v2(0x21, 0x11, &oversize), "closed"),
        ("v2, UDP", v2(0x21, 0x12, &v4([10, 1, 0, 50])), "closed"),
        ("v2, version 3", v2(0x31, 0x11, &v4([10, 1, 0, 50])), "closed"),
        ("v1 without an end", [b"PROXY TCP4 ".to_vec(), vec![b'1'; 200]].concat(), "closed"),
        ("v1 in pieces that are no addresses", b"PROXY TCP4 a b c d\r\n".to_vec(), "closed"),
        ("none", vec![], "closed"),
    ] {
        let answer = talk(&server, PROXY, &[&[&header[..], menu.as_bytes()].concat()]).await;
        assert_eq!(status(&answer), is, "{what}: {answer}");
        // From the machine itself it is an ordinary bad request, or nothing at all.
        let answer = talk(&server, "127.0.0.1", &[&[&header[..], menu.as_bytes()].concat()]).await;
        let is = if header.is_empty() { "200" } else { "400" };
        assert_eq!(status(&answer), is, "{what}, from another: {answer}");
    }
    // Byte by byte.
    let bytes: Vec<u8> = [&v2(0x21, 0x11, &v4([10, 1, 0, 50])), menu.as_bytes()].concat();
    let pieces: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(status(&talk(&server, PROXY, &pieces).await), "200");

    // The address in it is where the walk through the headers begins.
    for (from, forwarded, is) in [
        ("10.1.0.50", "203.0.113.9", "200"),
        ("203.0.113.9", "10.1.0.50", "403"),
        ("10.9.0.1", "203.0.113.9", "403"),
        ("10.9.0.1", "203.0.113.9, 10.1.0.50", "200"),
        ("10.9.0.1", "unknown", "400"),
    ] {
        let sent =
            format!("PROXY TCP4 {from} 10.0.0.1 40000 8080\r\n{MENU}X-Forwarded-For: {forwarded}\r\n\r\n");
        let answer = talk(&server, PROXY, &[sent.as_bytes()]).await;
        assert_eq!(status(&answer), is, "{from}, {forwarded}: {answer}");
    }

    // What was done through it is told of the client.
    let body = "{\"name\":\"through\",\"role\":\"viewer\"}";
    let sent = format!(
        "PROXY TCP4 10.1.0.50 10.0.0.1 40000 8080\r\nPOST /api/v1/tokens HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {ADMIN}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(status(&talk(&server, PROXY, &[sent.as_bytes()]).await), "201");
    let audit = server.client.get("/api/v1/audit").await.is(200).value();
    assert_eq!(audit["items"][0]["peer"], "10.1.0.50", "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn t10_without_the_setting_the_header_is_a_bad_request() {
    let dir = tempfile::tempdir().unwrap();
    let toml = "[access]\ntrusted_proxies = [\"127.0.0.2\"]\n";
    let server = Setup::new(dir.path()).config(toml).start().await;
    let menu = format!("{MENU}\r\n");
    let headers = [
        b"PROXY TCP4 10.1.0.50 10.0.0.1 40000 8080\r\n".to_vec(),
        b"PROXY UNKNOWN\r\n".to_vec(),
        v2(0x21, 0x11, &v4([10, 1, 0, 50])),
        v2(0x20, 0x00, &[]),
    ];
    for header in headers {
        for from in [PROXY, "127.0.0.1"] {
            let answer = talk(&server, from, &[&[&header[..], menu.as_bytes()].concat()]).await;
            assert_eq!(status(&answer), "400", "{from}: {answer}");
            assert_eq!(answer.matches("HTTP/1.1").count(), 1, "nothing behind it is a request: {answer}");
        }
    }
    assert_eq!(status(&talk(&server, PROXY, &[menu.as_bytes()]).await), "200");
}

#[tokio::test(flavor = "multi_thread")]
async fn t10_settings_that_believe_everybody_are_refused() {
    for (toml, says) in [
        ("[access]\nproxy_protocol = true\n", "access.proxy_protocol"),
        ("[access]\ntrusted_proxies = [\"any\"]\n", "access.trusted_proxies"),
        ("[access]\nallow = [\"0.0.0.0/0\"]\n", "access.allow"),
        ("[access]\nallow = [\"::ffff:0:0/96\"]\n", "access.allow"),
        ("[access]\napi = [\"010.0.0.1\"]\n", "access.api"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (code, out, err) = Setup::new(dir.path()).config(toml).run().await;
        assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
        assert!(err.contains(says), "{err}");
    }
}
