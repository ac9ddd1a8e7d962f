//! Files that the server fetches from others, which are slow, break off, lie, or lead elsewhere.

use crate::util::Site;
use crate::util::app::{ADMIN, Answer};
use crate::util::origin::{Act, Hang, Origin, Repeat, Say, Trickle, answer, asked_from, ok, part};
use crate::util::recipes::{PROFILES, memtest};
use crate::util::wire::Wire;
use axum::body::Bytes;
use futures_util::StreamExt;
use moxxie::http::error::{ApiResult, Problem};
use moxxie::http::progress::Progress;
use moxxie::import::{self, Patience, Wanted};
use moxxie_core::asset::Digest;
use moxxie_store::assets::Sealed;
use serde_json::{Value, json};
use sha2::Digest as _;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

const LOCAL: &str = "[import]\nallow = [\"127.0.0.0/8\"]\n[limits]\nasset_mib = 1\n";
const TAG: &str = "ETag: \"v1\"\r\n";

fn digest(bytes: &[u8]) -> Digest {
    Digest(sha2::Sha256::digest(bytes).into())
}

/// Bytes that differ everywhere.
fn file() -> Vec<u8> {
    (0..20_000_u32).flat_map(|n| n.to_le_bytes()[..3].to_vec()).collect()
}

async fn site() -> Site {
    let site = Site::with(LOCAL).await;
    site.profile(memtest("m")).await;
    site
}

/// What takes seconds elsewhere takes fractions here.
fn patience() -> Patience {
    Patience {
        silence: Duration::from_secs(20),
        deadline: Duration::from_secs(60),
        window: Duration::from_secs(20),
        least: 1,
        pauses: vec![Duration::from_millis(1); 5],
    }
}

async fn fetch(site: &Site, url: String, sha256: Option<Digest>, patience: Patience) -> ApiResult<Sealed> {
    let wanted = Wanted { url, sha256, sums_url: None };
    let got = import::fetch(&site.app, &wanted, &patience, &Progress::default()).await;
    if got.is_err() {
        assert_eq!(in_tmp(site), 0, "nothing is left behind");
    }
    got
}

fn why(got: ApiResult<Sealed>) -> (u16, String) {
    let problem = Problem::from(got.unwrap_err());
    (problem.status, problem.detail)
}

fn in_tmp(site: &Site) -> usize {
    std::fs::read_dir(site.app.config().assets_dir.join("tmp")).unwrap().count()
}

async fn import(site: &Site, body: Value) -> Answer {
    site.post(&format!("{PROFILES}/m/assets"), body).await
}

/// Half of the file and a break, then whatever is asked for.
fn breaking(headers: &'static str) -> impl Fn(usize, &str) -> Vec<Act> + Send + Sync + 'static {
    move |n, head| {
        let file = file();
        match (n, asked_from(head)) {
            (0, _) => vec![Say(ok(headers, &file)[..file.len() / 2].to_vec())],
            (_, Some(from)) => vec![Say(part(headers, &file, from))],
            (_, None) => vec![Say(ok(headers, &file))],
        }
    }
}

#[tokio::test]
async fn a_broken_download_goes_on_where_it_stopped() {
    let site = site().await;
    let right = digest(&file());
    // With a strong tag, or a date that cannot be of this second: asked for the rest, if it is
    // still the same.
    let dated = "Last-Modified: Sun, 01 Mar 2026 12:00:00 GMT\r\nDate: Mon, 02 Mar 2026 12:00:00 GMT\r\n";
    for (headers, if_range) in
        [(TAG, Some("if-range: \"v1\"")), (dated, Some("if-range: sun, 01 mar 2026")), ("", None)]
    {
        let origin = Origin::start(breaking(headers)).await;
        let got = fetch(&site, origin.url("/k"), Some(right), patience()).await.unwrap();
        assert_eq!((got.digest, got.size), (right, file().len() as u64), "{headers}");
        let heads = origin.heads();
        assert_eq!(heads.len(), 2);
        assert!(asked_from(&heads[0]).is_none() && asked_from(&heads[1]).is_some_and(|n| n > 1000));
        assert!(heads[0].contains("accept-encoding: identity"), "{}", heads[0]);
        assert_eq!(heads[1].contains("if-range"), if_range.is_some());
        assert!(if_range.is_none_or(|header| heads[1].contains(header)), "{}", heads[1]);
    }
    // Nothing says that the rest is of the same file, and no digest would show it: all of it again.
    for headers in ["", "ETag: W/\"v1\"\r\n", "Last-Modified: Sun, 01 Mar 2026 12:00:00 GMT\r\n"] {
        let origin = Origin::start(breaking(headers)).await;
        assert_eq!(fetch(&site, origin.url("/k"), None, patience()).await.unwrap().digest, right);
        assert!(asked_from(&origin.heads()[1]).is_none(), "{headers}");
    }
    // A server that falls silent is left as one that breaks off is.
    let origin = Origin::start(|n, head| match (n, asked_from(head)) {
        (0, _) => vec![Say(ok(TAG, &file())[..9000].to_vec()), Hang],
        (_, Some(from)) => vec![Say(part(TAG, &file(), from))],
        (_, None) => vec![Say(ok(TAG, &file()))],
    });
    let origin = origin.await;
    let quickly = Patience { silence: Duration::from_secs(1), ..patience() };
    assert_eq!(fetch(&site, origin.url("/k"), None, quickly).await.unwrap().digest, right);
    assert_eq!(in_tmp(&site), 0);
}

#[tokio::test]
async fn a_file_that_changed_in_between_is_fetched_anew() {
    let site = site().await;
    let new: Vec<u8> = file().iter().map(|b| !b).collect();
    let other_tag = "ETag: \"v2\"\r\n";
    type Second = fn(&[u8], usize) -> Vec<u8>;
    let seconds: [(&str, Second); 5] = [
        ("200 as If-Range wants it", |new, _| ok("ETag: \"v2\"\r\n", new)),
        ("206 of another version", |new, from| part("ETag: \"v2\"\r\n", new, from)),
        ("206 from another byte", |new, from| part(TAG, new, from + 1)),
        ("206 of another length", |new, from| part(TAG, &new[1..], from)),
        ("416", |_, _| answer("416 Range Not Satisfiable", "Content-Length: 0\r\n", b"")),
    ];
    for (what, second) in seconds {
        let bytes = new.clone();
        let origin = Origin::start(move |n, head| match (n, asked_from(head)) {
            (0, _) => vec![Say(ok(TAG, &file())[..30_000].to_vec())],
            (_, Some(from)) => vec![Say(second(&bytes, from))],
            (_, None) => vec![Say(ok(other_tag, &bytes))],
        });
        let origin = origin.await;
        let got = fetch(&site, origin.url("/k"), None, patience()).await.unwrap();
        assert_eq!((got.digest, got.size), (digest(&new), new.len() as u64), "{what}");
    }
}

#[tokio::test]
async fn hostile_and_broken_servers() {
    let site = site().await;
    let whole = file();
    // Breaks off each time, never getting anywhere.
    let origin = Origin::start(|_, _| vec![Say(ok(TAG, &file())[..100].to_vec())]).await;
    let (status, detail) = why(fetch(&site, origin.url("/k?token=hunter2"), None, patience()).await);
    assert_eq!((status, origin.heads().len()), (502, 6), "{detail}");
    assert!(detail.contains(&origin.address.to_string()) && detail.contains("6 tries"), "{detail}");
    assert!(detail.contains("of 60000 bytes") && !detail.contains("hunter2"), "{detail}");
    // Announces more than it sends, each time.
    let origin =
        Origin::start(move |_, _| vec![Say(answer("200 OK", "Content-Length: 999999\r\n", &file()[..1000]))]);
    let origin = origin.await;
    let (status, detail) = why(fetch(&site, origin.url("/k"), None, patience()).await);
    assert_eq!(status, 502);
    assert!(detail.contains("1000 of 999999 bytes"), "{detail}");
    // Says neither how long it is nor where it ends: a cut could not be told from the end.
    let open_end = answer("200 OK", "", &whole);
    let origin = Origin::start(move |_, _| vec![Say(open_end.clone())]).await;
    let (status, detail) = why(fetch(&site, origin.url("/k"), None, patience()).await);
    assert!(status == 502 && detail.contains("give its sha256"), "{detail}");
    fetch(&site, origin.url("/k"), Some(digest(&whole)), patience()).await.unwrap();
    // Compressed on the way, though nobody asked for it.
    let packed = ok("Content-Encoding: gzip\r\n", &whole);
    let origin = Origin::start(move |_, _| vec![Say(packed.clone())]).await;
    let (status, detail) = why(fetch(&site, origin.url("/k"), None, patience()).await);
    assert!(status == 502 && detail.contains("compressed"), "{detail}");
    let kept = fetch(&site, origin.url("/initrd.gz"), None, patience()).await.unwrap().digest;
    assert_eq!(kept, digest(&whole), "nothing is decompressed");
    // Without end, with and without a word of it.
    for head in ["Content-Length: 99999999999\r\n", "Transfer-Encoding: chunked\r\n"] {
        let chunk = [b"10000\r\n".as_slice(), &[7; 0x10000], b"\r\n"].concat();
        let begin = answer("200 OK", head, b"");
        let origin = Origin::start(move |_, _| vec![Say(begin.clone()), Repeat(chunk.clone())]).await;
        let (status, detail) = why(fetch(&site, origin.url("/k"), None, patience()).await);
        assert_eq!((status, origin.heads().len()), (413, 1), "{detail}");
    }
    // One byte now and then.
    let slow = |_: usize, _: &str| vec![Say(answer("200 OK", "Content-Length: 99999\r\n", b"")), Trickle];
    let origin = Origin::start(slow).await;
    let slowly = Patience { window: Duration::from_millis(200), least: 10_000, ..patience() };
    let (status, detail) = why(fetch(&site, origin.url("/k"), None, slowly).await);
    assert!(status == 502 && detail.contains("bytes a second"), "{detail}");
    let late = Patience { deadline: Duration::from_millis(200), ..patience() };
    let (status, detail) = why(fetch(&site, origin.url("/k"), None, late).await);
    assert!(status == 502 && detail.contains("took longer"), "{detail}");
    // Never a word: it is no use to wait for a server that never began.
    let origin = Origin::start(|_, _| vec![Hang]).await;
    let quickly = Patience { silence: Duration::from_millis(300), ..patience() };
    let (status, detail) = why(fetch(&site, origin.url("/k"), None, quickly).await);
    assert!(status == 502 && detail.contains("does not answer"), "{detail}");
    assert!(origin.heads().len() <= 1);
    let gone = origin.address;
    drop(origin);
    // Statuses, an empty file, another digest.
    for (status, want) in [("404 Not Found", 502), ("503 Service Unavailable", 502), ("204 No Content", 502)]
    {
        let reply = answer(status, "Content-Length: 0\r\n", b"");
        let origin = Origin::start(move |_, _| vec![Say(reply.clone())]).await;
        let (got, detail) = why(fetch(&site, origin.url("/k"), None, patience()).await);
        assert_eq!(got, want);
        assert!(detail.contains(&status[..3]) && detail.contains(&origin.address.to_string()), "{detail}");
    }
    let origin = Origin::serving(b"").await;
    assert_eq!(why(fetch(&site, origin.url("/k"), None, patience()).await).0, 502);
    let origin = Origin::serving(b"kernel").await;
    let (status, detail) = why(fetch(&site, origin.url("/k"), Some(Digest([7; 32])), patience()).await);
    assert!(status == 422 && detail.contains(&digest(b"kernel").to_string()), "{detail}");
    let (status, detail) = why(fetch(&site, format!("http://{gone}/k"), None, patience()).await);
    assert_eq!(status, 502, "{detail}");
}

#[tokio::test]
async fn redirects_are_followed_as_far_as_the_rules_go() {
    let site = site().await;
    let target = Origin::serving(b"kernel").await;
    let to = |url: String| {
        let reply = answer("302 Found", &format!("Location: {url}\r\nContent-Length: 0\r\n"), b"");
        Origin::start(move |_, _| vec![Say(reply.clone())])
    };
    let cdn = to(target.url("/blob?signature=x")).await;
    let made = import(&site, json!({"url": cdn.url("/image/vmlinuz")})).await.is(201).json();
    assert_eq!((&made["file"], &made["size"]), (&json!("vmlinuz"), &json!(6)));
    // The same again: the same file, and a record of it as of any other.
    let records = site.audit().await.len();
    import(&site, json!({"url": cdn.url("/image/vmlinuz")})).await.is(201);
    assert_eq!(site.audit().await.len(), records + 1);
    assert_eq!(site.boot("/boot/assets/m/vmlinuz").await.is(200).body, b"kernel");
    for bad in [
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/",
        "file:///etc/passwd",
        "http://u:p@127.0.0.1/k",
        "http://127.0.0.1:22/",
    ] {
        let origin = to(bad.into()).await;
        let answer = import(&site, json!({"url": origin.url("/k")})).await;
        assert_eq!(answer.pointers(), ["/url"], "{bad}");
    }
    let around = Origin::start(|_, _| {
        vec![Say(answer("302 Found", "Location: /again\r\nContent-Length: 0\r\n", b""))]
    });
    let around = around.await;
    import(&site, json!({"url": around.url("/k")})).await.problem(502);
    assert_eq!(around.heads().len(), 4);
    let nowhere = to(String::new()).await;
    import(&site, json!({"url": nowhere.url("/k")})).await.problem(502);
}

#[tokio::test]
async fn a_list_of_digests_is_fetched_and_believed() {
    let site = site().await;
    let right = digest(b"kernel");
    let list =
        format!("{right}  ./amd64/linux\n{}  ./gtk/linux\nSHA256 (other) = {right}\n", Digest([7; 32]));
    let origin = Origin::start(move |_, head| {
        let huge = vec![b'x'; 4 * 1024 * 1024 + 1];
        vec![Say(match head.split(' ').nth(1).unwrap() {
            "/d/sha256sums" => ok("", list.as_bytes()),
            "/d/huge" => ok("", &huge),
            "/d/empty" => ok("", b"<html></html>"),
            "/d/gone" => answer("404 Not Found", "Content-Length: 0\r\n", b""),
            _ => ok("", b"kernel"),
        })]
    });
    let origin = origin.await;
    let sums = origin.url("/d/SHA256SUMS");
    let ask = async |path: &str, more: Value| {
        let mut body = json!({"url": origin.url(path), "sha256sums_url": sums, "file": "linux"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        import(&site, body).await
    };
    for path in ["/d/amd64/linux", "/d/x/other", "/d/other?x=1"] {
        let made = ask(path, json!({})).await.is(201).json();
        assert_eq!(made["sha256"], right.to_string());
    }
    ask("/d/amd64/linux", json!({"sha256": right})).await.is(201);
    let other = Digest([9; 32]);
    assert_eq!(ask("/d/amd64/linux", json!({"sha256": other})).await.pointers(), ["/sha256"]);
    assert_eq!(ask("/d/gtk/linux", json!({})).await.pointers(), ["/sha256"], "other bytes than listed");
    assert_eq!(ask("/d/linux", json!({})).await.pointers(), ["/sha256sums_url"], "two of this name");
    assert_eq!(ask("/d/initrd.gz", json!({})).await.pointers(), ["/sha256sums_url"], "none of this name");
    for (list, status) in [("/d/huge", 413), ("/d/empty", 422), ("/d/gone", 502)] {
        ask("/d/amd64/linux", json!({"sha256sums_url": origin.url(list)})).await.problem(status);
    }
    for bad in ["http://169.254.169.254/SHA256SUMS", "file:///x", "x"] {
        let answer = ask("/d/amd64/linux", json!({"sha256sums_url": bad})).await;
        assert_eq!(answer.pointers(), ["/sha256sums_url"], "{bad}");
    }
    let alone = json!({"sha256": right, "sha256sums_url": sums, "file": "k"});
    assert_eq!(import(&site, alone).await.pointers(), ["/sha256sums_url"]);
    assert_eq!(in_tmp(&site), 0);
}

#[tokio::test]
async fn bytes_that_are_stored_already_need_only_a_name() {
    let site = site().await;
    site.profile(memtest("n")).await;
    let made = site.asset("n", "kernel", b"kernel").await;
    let sha256 = &made["sha256"];
    let got = import(&site, json!({"sha256": sha256, "file": "k"})).await.is(201).json();
    assert_eq!((&got["sha256"], &got["size"], &got["file"]), (sha256, &json!(6), &json!("k")));
    assert_eq!(site.audit().await[0]["action"], "asset.put");
    site.delete(&format!("{PROFILES}/n/assets/kernel")).await.is(204);
    assert_eq!(site.boot("/boot/assets/m/k").await.is(200).body, b"kernel");
    // Unknown, gone from the disk, or without a name.
    let unknown = json!({"sha256": digest(b"other"), "file": "k"});
    assert_eq!(import(&site, unknown).await.pointers(), ["/sha256"]);
    let text = sha256.as_str().unwrap();
    std::fs::remove_file(site.app.config().assets_dir.join("sha256").join(&text[..2]).join(text)).unwrap();
    assert_eq!(import(&site, json!({"sha256": sha256, "file": "k2"})).await.pointers(), ["/sha256"]);
    assert_eq!(import(&site, json!({"sha256": sha256})).await.pointers(), ["/file"]);
    assert_eq!(import(&site, json!({"file": "k"})).await.pointers(), ["/url"]);
    let both = json!({"url": "http://h/k", "upload": "x", "file": "k"});
    assert_eq!(import(&site, both).await.pointers(), ["/upload"]);
}

#[tokio::test]
async fn progress_is_told_line_by_line_and_a_client_that_leaves_ends_the_work() {
    let site = site().await;
    let origin = Origin::serving(&file()).await;
    let ask = |url: String| {
        let call = site.call("POST", &format!("{PROFILES}/m/assets")).json(&json!({"url": url}));
        call.set("accept", "application/x-ndjson")
    };
    let said = ask(origin.url("/k")).send().await.is(200);
    assert_eq!(said.header("content-type"), "application/x-ndjson");
    let text = said.text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines[..lines.len() - 1].iter().all(|line| line["progress"]["step"].is_string()), "{lines:?}");
    let done = &lines[lines.len() - 1]["done"];
    assert_eq!((&done["file"], &done["sha256"]), (&json!("k"), &json!(digest(&file()))));
    let said = ask("http://169.254.169.254/k".into()).send().await.is(200).text();
    let said: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(said["problem"]["errors"][0]["pointer"], "/url");
    // What is wrong with the request itself is said with a status.
    ask("http://h/".into()).send().await.problem(422);

    // Half of a file, and then the client is gone.
    let origin = Origin::start(|_, _| vec![Say(ok(TAG, &file())[..30_000].to_vec()), Hang]).await;
    let mut body = ask(origin.url("/half")).open().await.into_body().into_data_stream();
    let some =
        |line: Bytes| serde_json::from_slice::<Value>(&line).unwrap()["progress"]["bytes"].as_u64().unwrap();
    while some(body.next().await.unwrap().unwrap()) == 0 {}
    assert_eq!(in_tmp(&site), 1);
    drop(body);
    assert_eq!(in_tmp(&site), 0);
    let listed = site.get(&format!("{PROFILES}/m/assets")).await.text();
    assert!(!listed.contains("half"), "{listed}");
}

/// The same over a connection, where leaving is a closed socket that somebody has to notice.
#[tokio::test]
async fn a_connection_that_is_closed_ends_the_work() {
    let site = site().await;
    let wire = Wire::start(&site).await;
    for accept in ["application/x-ndjson", "*/*"] {
        let origin = Origin::start(|_, _| vec![Say(ok(TAG, &file())[..30_000].to_vec()), Hang]).await;
        let body = json!({"url": origin.url("/half")}).to_string();
        let request = format!(
            "POST {PROFILES}/m/assets HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ADMIN}\r\nAccept: {accept}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = wire.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        while in_tmp(&site) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(stream);
        while in_tmp(&site) > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
