//! Files over TLS: the same bytes, and the same truth about how far they came.

use super::file_tests::{PATIENT, Served, file, serving_over};
use super::*;
use crate::config::CertFiles;
use moxxie_store::assets::Readable;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

const SIZE: usize = 24 << 20;

/// A server's settings, and the certificate that its clients trust.
fn settings() -> (Arc<ServerConfig>, CertificateDer<'static>) {
    let dir = tempfile::tempdir().unwrap();
    let files = CertFiles { cert: dir.path().join("c.pem"), key: dir.path().join("k.pem") };
    let made = rcgen::generate_simple_self_signed(vec!["moxxie.test".into()]).unwrap();
    std::fs::write(&files.cert, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    let certificate = Arc::new(Certificate::default());
    certificate.show(Loaded::read(&files).unwrap());
    (tls_settings(certificate).unwrap(), made.cert.der().clone())
}

async fn connected(
    served: &Served,
    trusted: &CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    let client = client.with_root_certificates(roots).with_no_client_auth();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(1 << 16).unwrap();
    let stream = socket.connect(served.address).await.unwrap();
    let name = ServerName::try_from("moxxie.test").unwrap();
    let mut stream = TlsConnector::from(Arc::new(client)).connect(name, stream).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
    stream
}

fn readable(bytes: &[u8]) -> Readable {
    Readable { file: file(bytes), size: bytes.len() as u64, arriving: None }
}

#[tokio::test]
async fn a_file_comes_whole_and_once() {
    let (settings, trusted) = settings();
    // Small enough to be copied anyway, and large enough to be mapped without TLS.
    for (size, version) in [(10, &TLS12), (SIZE, &TLS12), (70_001, &TLS13)] {
        let bytes: Vec<u8> = (0..size).map(|n| (n * 7 % 251) as u8).collect();
        let mut served = serving_over(Some(settings.clone()), readable(&bytes), PATIENT).await;
        let mut stream = connected(&served, &trusted, version).await;
        let mut got = vec![0; size];
        stream.read_exact(&mut got).await.unwrap();
        assert!(got == bytes, "other bytes");
        let ended = served.ends.recv().await.unwrap();
        assert!(ended.whole() && ended.sent == size as u64, "{ended:?}");
        // The connection goes on after it.
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert!(rest.ends_with(&bytes));
        assert!(served.ends.recv().await.unwrap().whole());
    }
}

#[tokio::test]
async fn who_leaves_has_not_got_it() {
    let (settings, trusted) = settings();
    let mut served = serving_over(Some(settings), readable(&vec![7; SIZE]), PATIENT).await;
    let mut stream = connected(&served, &trusted, &TLS12).await;
    let mut some = vec![0; 1 << 20];
    stream.read_exact(&mut some).await.unwrap();
    drop(stream);
    let ended = served.ends.recv().await.unwrap();
    assert!(!ended.complete && ended.sent < SIZE as u64, "{ended:?}");
}

#[tokio::test]
async fn who_reads_nothing_is_cut_off() {
    let (settings, trusted) = settings();
    let pace = Pace { time: Duration::from_millis(100), bytes: 100 };
    let mut served = serving_over(Some(settings), readable(&vec![7; SIZE]), pace).await;
    let _stream = connected(&served, &trusted, &TLS12).await;
    let ended = served.ends.recv().await.unwrap();
    assert!(!ended.complete && ended.sent < SIZE as u64, "{ended:?}");
}

#[tokio::test]
async fn who_never_shakes_hands_holds_up_nobody() {
    let (settings, _) = settings();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let listening = vec![Listening { tls: Some(settings), ..Listening::plain(listener) }];
    let (stop, stopped) = watch::channel(false);
    let hour = || Duration::from_secs(3600);
    let served = tokio::spawn(run(
        listening,
        Router::new(),
        hour,
        stopped,
        Limits::of(1024, 0),
        Arc::default,
        |peer| Share::of(peer, 1024),
    ));
    let mut silent = TcpStream::connect(address).await.unwrap();
    silent.write_all(&[22, 3, 1]).await.unwrap();
    stop.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(30), served).await.expect("it need not drain").unwrap();
}
