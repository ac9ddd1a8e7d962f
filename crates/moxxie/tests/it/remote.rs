//! S3 that is silent, breaks off or sends wrong bytes, as a machine meets it: with short limits, so
//! that nobody waits for them.

use crate::util::recipes::memtest;
use crate::util::wire::{Wire, head};
use crate::util::{Answer, Site};
use lab::faults::Faults;
use lab::s3::{BUCKET, TestS3};
use moxxie::scrub;
use moxxie_store::assets::{S3Env, Times};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SIZE: usize = 3_000_000;
const FILE: &str = "/boot/assets/a/big";
/// A hang is a failure; this is when it is called one.
const HANG: Duration = Duration::from_secs(60);

/// A site with one file on S3 of which it has no copy.
struct Cold {
    s3: TestS3,
    site: Site,
    wire: Wire,
    bytes: Vec<u8>,
}

impl Cold {
    async fn new(times: Times) -> Cold {
        let s3 = TestS3::start().await;
        let toml = format!("assets_url = \"s3://{BUCKET}/p\"");
        let site = Site::with_times(&toml, S3Env(s3.env()), times).await;
        tokio::spawn(scrub::report(site.app.clone(), site.app.assets.alarms()));
        site.profile(memtest("a")).await;
        let bytes: Vec<u8> = (0..SIZE).map(|n| (n / 3) as u8 ^ (n >> 11) as u8).collect();
        let digest = site.asset("a", "big", &bytes).await["sha256"].as_str().unwrap().to_owned();
        std::fs::remove_file(site.app.config().assets_dir.join("sha256").join(&digest[..2]).join(&digest))
            .unwrap();
        let wire = Wire::start(&site).await;
        Cold { s3, site, wire, bytes }
    }

    /// What comes of the file over a socket until the server closes it: head and body.
    async fn download(&self) -> (String, Vec<u8>) {
        let mut stream = self.wire.connect().await;
        let request = format!("GET {FILE} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = head(&mut stream).await;
        let mut got = Vec::new();
        // A reset is an end as well.
        let _ = tokio::time::timeout(HANG, stream.read_to_end(&mut got)).await.expect("a hang");
        (head, got)
    }

    /// The file was promised, and the connection was cut before its last byte.
    async fn is_cut(&self) -> usize {
        let (head, got) = self.download().await;
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("content-length: 3000000\r\n"), "{head}");
        assert!(got.len() < SIZE, "the last byte was sent");
        got.len()
    }

    async fn is_whole(&self) {
        let (head, got) = self.download().await;
        assert!(head.starts_with("HTTP/1.1 200") && got == self.bytes, "{} bytes: {head}", got.len());
    }

    /// The same with limits that a busy machine may miss at the first try.
    async fn becomes_whole(&self) {
        let trying = async { while self.download().await.1 != self.bytes {} };
        tokio::time::timeout(HANG, trying).await.expect("it never became whole");
    }

    async fn waits(&self) -> Answer {
        self.site.boot(FILE).await.is(503)
    }
}

/// Limits that a busy machine keeps when S3 is well.
fn patient() -> Times {
    Times { resume: Duration::from_millis(1), ..Times::default() }
}

const SHORT: Duration = Duration::from_millis(500);

/// F18.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_of_s3_is_an_answer_before_the_first_byte() {
    let cold = Cold::new(Times { first_byte: SHORT, look: SHORT, ..patient() }).await;
    for silent in [
        Faults { delay: Some(Duration::from_secs(600)), ..Faults::default() },
        Faults { stall: Some(0), ..Faults::default() },
    ] {
        cold.s3.set(silent);
        let answer = cold.waits().await;
        assert!(answer.text().contains("not ready"), "{}", answer.text());
    }
    cold.s3.set(Faults { delay: Some(Duration::from_secs(600)), ..Faults::default() });
    let why = cold.site.boot("/readyz").await.is(503).text();
    assert!(why.contains("S3 was silent for 0.5 s"), "{why}");
    cold.s3.heal();
    cold.becomes_whole().await;
    assert!(cold.site.events("&kind=asset.damaged").await.is_empty(), "slow is not wrong");
}

/// F18: and a cut after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_of_s3_in_the_middle_is_a_cut() {
    let cold = Cold::new(Times { silence: SHORT, ..patient() }).await;
    cold.s3.set(Faults { stall: Some(1_000_000), ..Faults::default() });
    assert!(cold.is_cut().await <= 1_000_000);
    cold.s3.heal();
    cold.becomes_whole().await;
    assert!(cold.site.events("&kind=asset.damaged").await.is_empty(), "slow is not wrong");
}

/// F19: short bodies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_break_off_are_put_together_or_cut() {
    let cold = Cold::new(patient()).await;
    cold.s3.set(Faults { cut: Some(100_000), ..Faults::default() });
    assert!(cold.is_cut().await <= 600_000, "after five more tries");
    cold.s3.set(Faults { cut: Some(100_000), cuts: Some(4), ..Faults::default() });
    cold.is_whole().await;
    assert!(cold.site.events("&kind=asset.damaged").await.is_empty(), "short is not wrong");
}

/// F19: wrong bytes. The object is asked for again later, without anybody's help.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_bytes_are_cut_and_forgiven_when_they_are_right_again() {
    let strict = Cold::new(patient()).await;
    let cold = Cold::new(Times { refuse: Duration::ZERO, ..patient() }).await;
    for at in [0, 1_500_000, SIZE as u64 - 1] {
        cold.s3.set(Faults { flip: Some(at), ..Faults::default() });
        cold.is_cut().await;
    }
    cold.s3.heal();
    cold.is_whole().await;
    let messages = cold.site.messages("asset.damaged").await;
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(messages[0].starts_with("a/big: ") && messages[0].ends_with("a FILE --as big"), "{messages:?}");

    // While it is refused nothing is promised at all.
    strict.s3.set(Faults { flip: Some(7), ..Faults::default() });
    strict.is_cut().await;
    strict.s3.heal();
    assert!(strict.waits().await.text().contains("damaged"));
    strict.site.asset("a", "big", &strict.bytes).await;
    strict.is_whole().await;
}

/// A machine is not sent to S3 for what is not there: that would be a 404 for an outage.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_sent_to_an_object_that_is_gone() {
    let s3 = TestS3::start().await;
    let toml = format!("assets_url = \"s3://{BUCKET}/p\"\n[assets]\nredirect = true\n");
    let site = Site::with_times(&toml, S3Env(s3.env()), patient()).await;
    site.profile(memtest("a")).await;
    let digest = site.asset("a", "big", b"bytes").await["sha256"].as_str().unwrap().to_owned();
    site.boot(FILE).await.is(302);
    let same = site.anonymous("GET", FILE).set("if-none-match", &format!("\"{digest}\"")).send().await;
    same.is(304);
    std::fs::remove_file(s3.object(&format!("p/sha256/{}/{digest}", &digest[..2]))).unwrap();
    assert_eq!(site.boot(FILE).await.is(503).header("retry-after"), "30");
}

/// The digest is checked with the last byte of the file, and a range need not hold it. Nor does a
/// new label vouch for bytes that nobody read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_a_cold_file_waits_for_the_digest_of_the_whole() {
    let cold = Cold::new(Times { refuse: Duration::ZERO, ..patient() }).await;
    let label = async || {
        let digest = cold.site.get("/api/v1/boot/profiles/a/assets").await.json();
        let digest = digest["items"][0]["sha256"].as_str().unwrap().to_owned();
        cold.site
            .post("/api/v1/boot/profiles/a/assets", serde_json::json!({"sha256": digest, "file": "copy"}))
            .await
    };
    cold.s3.set(Faults { flip: Some(1000), ..Faults::default() });
    for range in ["bytes=0-1999", "bytes=2000000-2000009"] {
        cold.site.anonymous("GET", FILE).set("range", range).send().await.is(503);
    }
    assert_eq!(label().await.pointers(), ["/sha256"]);
    cold.s3.heal();
    let part = cold.site.anonymous("GET", FILE).set("range", "bytes=0-1999").send().await.is(206);
    assert!(part.body == cold.bytes[..2000]);
    label().await.is(201);
}
