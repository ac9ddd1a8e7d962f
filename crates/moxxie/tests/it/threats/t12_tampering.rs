//! T12: bytes on the shelf that are not those that were put there: a flipped bit, another file in
//! their place. On S3: `remote.rs`, `wrong_bytes_are_cut_and_forgiven_when_they_are_right_again`;
//! found by the scrub: `scrub.rs`, `the_scrub_reads_every_file_and_finds_rot`.

use crate::util::Site;
use crate::util::recipes::memtest;
use crate::util::text::until;
use moxxie::scrub;

#[tokio::test]
async fn t12_a_changed_byte_is_never_sent_and_is_told() {
    let site = Site::start().await;
    tokio::spawn(scrub::report(site.app.clone(), site.app.assets.alarms()));
    site.profile(memtest("m")).await;
    for (name, at) in [("first", 0), ("middle", 50_000), ("last", 99_999)] {
        let bytes: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8 ^ name.len() as u8).collect();
        let digest = site.asset("m", name, &bytes).await["sha256"].as_str().unwrap().to_owned();
        let whole = site.boot(&format!("/boot/assets/m/{name}")).await.is(200);
        assert_eq!(whole.header("etag"), format!("\"{digest}\""), "the tag is the digest");
        assert!(whole.body == bytes);
        let place = site.app.config().assets_dir.join("sha256").join(&digest[..2]).join(&digest);
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        // Written beside and moved into its place, as somebody who knows the store would.
        let beside = site.dir.path().join("beside");
        std::fs::write(&beside, &changed).unwrap();
        std::fs::rename(&beside, &place).unwrap();
        let uri = format!("/boot/assets/m/{name}");
        for (header, value) in [("x-none", ""), ("range", "bytes=10-19"), ("range", "bytes=-1")] {
            let answer = site.anonymous("GET", &uri).set(header, value).send().await.is(503);
            assert!(
                !answer.header("retry-after").is_empty() && answer.text().contains("damaged"),
                "{}",
                answer.text()
            );
        }
        let told = async || site.messages("asset.damaged").await.iter().any(|m| m.contains(name));
        until(&format!("the event of {name}"), told).await;
    }
    site.boot("/boot/assets/m/memtest.bin").await.is(200);
}
