//! What is remembered: refused accesses, secrets that were read, the chain and its export.

use crate::util::recipes::{ASSIGNMENTS, PROFILES, debian, talos};
use crate::util::{Machine, Site};
use moxxie_core::audit::{Chained, What};
use moxxie_core::time::Span;
use serde_json::{Value, json};
use sqlx::{ConnectOptions, Executor};

const MAC: &str = "52:54:00:00:00:11";

/// A statement behind the server's back.
async fn sql(site: &Site, text: &str) {
    let file = site.dir.path().join("moxxie.db");
    let mut connection = sqlx::sqlite::SqliteConnectOptions::new().filename(file).connect().await.unwrap();
    connection.execute(sqlx::AssertSqlSafe(text.to_owned())).await.unwrap();
}

#[tokio::test]
async fn refused_accesses_are_remembered_and_folded() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    let wrong = "mox_x1YWeUyG92Nq-W3GgVX8olw2aFwKdhqnezfmUlsW7QY";
    let viewer = site.viewer().await.to_owned();
    for n in 0..20 {
        site.anonymous("GET", "/api/v1/tokens")
            .from(&format!("10.0.9.{n}"))
            .token(wrong)
            .send()
            .await
            .is(401);
        site.anonymous("GET", "/api/v1/tokens?q=canary").token(&viewer).send().await.is(403);
    }
    site.boot(&format!("/boot/configs/deb/{MAC}?t={}", &wrong[4..])).await.is(403);
    site.boot(&format!("/boot/configs/deb/{MAC}/{}/user-data", &wrong[4..])).await.is(403);
    site.boot(&format!("/boot/report?t={}&stage=started", &wrong[4..])).await.is(403);
    site.anonymous("GET", "/boot/menu.ipxe").from("203.0.113.9").send().await.is(403);
    site.anonymous("GET", &format!("/boot/configs/deb/{MAC}")).token(&viewer).send().await.is(403);
    let seen = site.seen().await;
    let text = json!(seen).to_string();
    assert!(!text.contains(&wrong[4..]) && !text.contains(&viewer) && !text.contains("canary"), "{text}");
    let count = |actor: &str, kind: &str| -> i64 {
        let of = |r: &&Value| r["actor"] == actor && r["after"]["kind"] == kind;
        seen.iter().filter(of).map(|r| r["after"]["count"].as_i64().unwrap()).sum()
    };
    assert_eq!(count("unknown", "api"), 20, "{text}");
    assert_eq!(count("viewer", "api"), 20);
    assert_eq!((count("unknown", "config"), count("viewer", "config")), (2, 1));
    let of_config: Vec<_> = seen.iter().filter(|r| r["after"]["kind"] == "config").collect();
    assert!(of_config.iter().all(|r| r["after"]["machine"] == MAC), "{text}");
    assert_eq!((count("unknown", "report"), count("unknown", "network")), (1, 1));
    assert_eq!(seen.len(), 9, "one for each first, one for what came again: {text}");
    let outside = seen.iter().find(|r| r["after"]["kind"] == "network").unwrap();
    assert_eq!(
        (&outside["target"], &outside["peer"]),
        (&json!("GET /boot/menu.ipxe"), &json!("203.0.113.9"))
    );
    // What worked, or was merely wrong, is none.
    site.get(PROFILES).await.is(200);
    site.get("/api/v1/nothing").await.is(404);
    site.boot("/boot/menu.ipxe").await.is(200);
    assert_eq!(site.seen().await.len(), 9);
}

#[tokio::test]
async fn an_admin_who_sees_secrets_is_remembered() {
    let site = Site::start().await;
    site.profile(talos("cp")).await;
    site.profile(debian("deb")).await;
    site.assign(MAC, "n1", "cp", json!({"boot_params_override": {"password": "hunter7-pass"}})).await;
    let (viewer, operator) = (site.viewer().await.to_owned(), site.operator().await.to_owned());
    for path in ["/boot/profiles/cp", "/boot/profiles", "/boot/assignments", "/boot/export"] {
        for token in [&viewer, &operator] {
            site.anonymous("GET", &format!("/api/v1{path}")).token(token).send().await.is(200);
        }
    }
    site.get(&format!("{PROFILES}/deb")).await.is(200);
    assert_eq!(site.seen().await.len(), 0, "nobody saw any");
    for _ in 0..3 {
        for uri in [
            format!("{PROFILES}/cp"),
            PROFILES.into(),
            format!("{ASSIGNMENTS}/{MAC}"),
            ASSIGNMENTS.into(),
            "/api/v1/boot/export".into(),
            "/api/v1/backup".into(),
            format!("/boot/configs/cp/{MAC}"),
        ] {
            site.get(&uri).await.is(200);
        }
    }
    let seen = site.seen().await;
    let mut read: Vec<&str> = vec![];
    for record in seen.iter().rev() {
        assert_eq!((record["actor"].as_str(), record["peer"].as_str()), (Some("admin"), Some("10.0.0.5")));
        read.push(record["target"].as_str().unwrap());
    }
    read.sort_unstable();
    let machine = format!("assignment {MAC}");
    let want = [&machine, &machine, "assignments", "backup", "export", "profile cp", "profiles"];
    assert_eq!(read, want, "once a minute");
    let previews = seen.iter().filter(|r| r["action"] == "config.preview").count();
    assert_eq!((previews, seen.len()), (1, 7));
    assert!(!json!(seen).to_string().contains("hunter"));
    site.push(Span::minutes(1));
    site.get(&format!("{PROFILES}/cp")).await.is(200);
    assert_eq!(site.seen().await.len(), 8, "and again in the next");
}

#[tokio::test]
async fn secrets_are_shown_only_when_that_is_on_record() {
    let site = Site::start().await;
    site.profile(talos("cp")).await;
    site.assign(MAC, "n1", "cp", json!({"boot_params_override": {"password": "hunter7-pass"}})).await;
    // A flood of refusals, more than there are places for, that are written meanwhile.
    for n in 0..5000_u32 {
        let [_, a, b, c] = n.to_be_bytes();
        site.app.refused(moxxie::witness::Refusal {
            kind: "config",
            peer: std::net::IpAddr::from([10, a, b, c]),
            who: None,
            machine: None,
            target: "config".into(),
            why: "no".into(),
        });
    }
    let uris = [
        format!("{PROFILES}/cp"),
        PROFILES.into(),
        format!("{ASSIGNMENTS}/{MAC}"),
        ASSIGNMENTS.into(),
        "/api/v1/boot/export".into(),
        "/api/v1/backup".into(),
        format!("/boot/configs/cp/{MAC}"),
    ];
    sql(
        &site,
        "CREATE TRIGGER full BEFORE INSERT ON audit_log BEGIN SELECT RAISE(ABORT, 'no more records'); END",
    )
    .await;
    for uri in &uris {
        let answer = site.get(uri).await.is(503);
        assert!(answer.text().contains("audit log"), "{}", answer.text());
        assert!(!answer.text().contains("hunter") && !answer.text().contains("mxs1."), "{}", answer.text());
    }
    sql(&site, "DROP TRIGGER full").await;
    for uri in &uris {
        site.get(uri).await.is(200);
        // Without a flush: it is there when the answer is, whatever becomes of the process.
        let newest = site.app.read().audit(None, 500).await.unwrap();
        let reads = newest.iter().filter(|r| ["secrets.read", "config.preview"].contains(&r.action.as_str()));
        assert_eq!(reads.count(), 1 + uris.iter().position(|u| u == uri).unwrap());
    }
}

#[tokio::test]
async fn a_changed_secret_shows_that_it_changed() {
    let site = Site::start().await;
    site.profile(talos("cp")).await;
    let change = async |token: &str| {
        let body =
            json!({"params": {"machine_token": token}, "boot_params": format!("a=b password={token}")});
        site.patch(&format!("{PROFILES}/cp"), body).await.is(200);
        let record = site.audit().await[0].clone();
        assert!(!record.to_string().contains("hunter"), "{record}");
        record
    };
    let first = change("hunter3-token").await;
    let same = change("hunter3-token").await;
    let other = change("hunter4-token").await;
    let token =
        |record: &Value, side: &str| record[side]["params"]["machine_token"].as_str().unwrap().to_owned();
    assert!(token(&first, "after").starts_with("hmac:") && token(&first, "after").len() == 13);
    assert_ne!(token(&first, "before"), token(&first, "after"));
    assert_eq!(token(&same, "before"), token(&same, "after"));
    assert_eq!(token(&other, "before"), token(&first, "after"), "the same value looks the same");
    assert_ne!(token(&other, "before"), token(&other, "after"));
    let args = other["after"]["boot_params"].as_str().unwrap();
    assert!(args.starts_with("a=b password=hmac:"), "{args}");
    assert!(other["after"]["config_template"].as_str().unwrap().starts_with("hmac:"));
}

#[tokio::test]
async fn an_export_is_whole_and_verifiable_elsewhere() {
    let site = Site::start().await;
    for n in 0..700 {
        site.app.audit_system("test.made", &format!("thing {n}"), Some(json!({"n": n, "x": 0.1}))).await;
    }
    site.push(Span::hours(1));
    site.post(PROFILES, json!({"name": "m", "profile_type": "custom", "kernel_path": "k"})).await.is(201);
    let export = async |query: &str| -> Vec<Chained> {
        let uri = format!("/api/v1/audit{query}");
        let answer = site.call("GET", &uri).set("accept", "application/x-ndjson").send().await.is(200);
        assert_eq!(answer.header("content-type"), "application/x-ndjson");
        answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let all = export("").await;
    assert_eq!(all.len(), 701);
    let base = moxxie_core::audit::Base { first: 1, hash: all[0].prev };
    let mut verifier = moxxie_core::audit::Verifier::new(base, None);
    verifier.take(&all).unwrap();
    let verdict = site.get("/api/v1/audit/verify").await.is(200).json();
    let hash = all[700].hash.to_string();
    assert_eq!(
        verdict,
        json!({"ok": true, "records": 701, "first": 1, "last": 701, "head": hash, "problem": null})
    );
    assert_eq!(site.get(&format!("/api/v1/audit/verify?head=701:{hash}")).await.json()["ok"], true);
    let other = site.get(&format!("/api/v1/audit/verify?head=700:{hash}")).await.json();
    assert_eq!((&other["ok"], &other["problem"]["what"]), (&json!(false), &json!("rewritten")));
    assert_eq!(site.get("/api/v1/audit/verify?head=7").await.pointers(), ["/head"]);
    // Filters, in both forms.
    assert_eq!(export("?action=profile.create").await.len(), 1);
    assert_eq!(export("?actor=system&target=thing%207").await[0].seq, 8);
    let since = "2026-03-01T12:30:00Z";
    assert_eq!(export(&format!("?since={since}")).await.len(), 1);
    assert_eq!(export(&format!("?until={since}")).await.len(), 700);
    let page = site.get(&format!("/api/v1/audit?since={since}")).await.is(200).json();
    let items = page["items"].as_array().unwrap();
    assert_eq!((items.len(), items[0]["hash"].as_str()), (1, Some(hash.as_str())));
    assert_eq!(site.get("/api/v1/audit?since=yesterday").await.pointers(), ["/since"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_audit_record_no_config_leaves_the_house() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    let machine = Machine::bios(MAC);
    let url = tokio::task::block_in_place(|| machine.boot(&site).arg("url"));
    sql(
        &site,
        "CREATE TRIGGER full BEFORE INSERT ON audit_log BEGIN SELECT RAISE(ABORT, 'no more records'); END",
    )
    .await;
    for _ in 0..2 {
        let answer = machine.fetch(&site, &url).await;
        assert_eq!((answer.status, answer.text().contains("partman")), (503, false));
    }
    assert_eq!(site.state(MAC).await, "booting", "the token was not used up");
    site.call("POST", &format!("{ASSIGNMENTS}/{MAC}/disarm")).send().await.problem(500);
    assert_eq!(site.state(MAC).await, "booting", "nor is a change without its record");
    sql(&site, "DROP TRIGGER full").await;
    machine.fetch(&site, &url).await.is(200);
    let log = site.audit().await;
    assert_eq!(log.iter().filter(|r| r["action"] == "config.deliver").count(), 1);
    assert_eq!(site.get("/api/v1/audit/verify").await.json()["ok"], true);
}

#[tokio::test]
async fn a_restored_site_keeps_its_own_log_and_names_the_other() {
    let site = Site::start().await;
    site.profile(talos("cp")).await;
    let backup = site.get("/api/v1/backup").await.is(200);
    let document = backup.json();
    let theirs = document["audit_head"].clone();
    let other = Site::start().await;
    other.profile(debian("deb")).await;
    let own = other.audit().await.len();
    let call = other.call("POST", "/api/v1/restore").set("content-type", "application/json");
    call.body(backup.text()).send().await.is(200);
    let log = other.audit().await;
    assert_eq!((log.len(), log[0]["action"].as_str()), (own + 1, Some("restore")));
    assert_eq!(log[0]["after"]["audit_head"], theirs);
    assert_eq!(other.get("/api/v1/audit/verify").await.json()["ok"], true);
    // The log that it names is the one that the other site exports.
    let verify = format!("/api/v1/audit/verify?head={}", theirs.as_str().unwrap());
    assert_eq!(site.get(&verify).await.json()["ok"], true);
}

#[tokio::test]
async fn a_changed_record_is_named() {
    let site = Site::start().await;
    site.profile(talos("cp")).await;
    sql(&site, "DROP TRIGGER audit_log_is_not_changed; UPDATE audit_log SET actor = 'eve' WHERE seq = 2")
        .await;
    let verdict = site.get("/api/v1/audit/verify").await.is(200).json();
    assert_eq!((&verdict["ok"], &verdict["problem"]["seq"]), (&json!(false), &json!(2)));
    assert_eq!(verdict["problem"]["what"], json!(What::Changed));
    assert_eq!(verdict["records"], 1);
}
