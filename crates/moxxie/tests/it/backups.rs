//! What is in a backup, and which backups are read.

use crate::util::Site;
use serde_json::{Value, json};

const PROFILES: &str = "/api/v1/boot/profiles";
const FIELDS: [&str; 6] =
    ["kernel_path", "initrd_path", "extra_initrds", "boot_params", "config_template", "params"];

#[tokio::test]
async fn backups_are_sealed_and_plain_ones_of_older_versions_are_read() {
    let site = Site::start().await;
    let profile = json!({
        "name": "cp", "profile_type": "talos", "kernel_path": "vmlinuz",
        "initrd_path": "initramfs.xz", "boot_params": "a=b",
        "config_template": "token: canary-template", "params": {"password": "canary-params"},
    });
    site.post(PROFILES, profile.clone()).await.is(201);
    let machine = json!({
        "mac_address": "52:54:00:00:00:11", "node_name": "n1", "boot_profile": "cp", "armed": false,
        "boot_params_override": {"password": "canary-machine"},
    });
    site.post("/api/v1/boot/assignments", machine.clone()).await.is(201);
    let backup = site.get("/api/v1/backup").await.is(200);
    assert!(!backup.text().contains("canary"), "{}", backup.text());
    assert!(backup.text().contains("52:54:00:00:00:11"), "what is no secret can be read");
    let sealed = backup.json();
    assert_eq!(sealed["format"], "moxxie-backup/2");
    let spec = |backup: &Value, kind: &str| backup[kind][0]["spec"].clone();
    for field in FIELDS {
        assert!(spec(&sealed, "profiles")[field].as_str().unwrap().starts_with("mxs1."), "{field}");
    }

    // As an older version wrote it.
    let shown = site.get(&format!("{PROFILES}/cp")).await.is(200).json();
    let mut plain = sealed.clone();
    plain["format"] = json!("moxxie-backup/1");
    for field in ["key", "mac", "audit_head"] {
        plain.as_object_mut().unwrap().remove(field).unwrap();
    }
    let hash = "ab".repeat(32);
    plain["audit"] = json!([{"seq": 6, "hash": "x"}, {"seq": 7, "actor": "ann", "hash": hash}]);
    for field in FIELDS {
        plain["profiles"][0]["spec"][field] = shown[field].clone();
    }
    plain["assignments"][0]["spec"]["boot_params_override"] = machine["boot_params_override"].clone();
    for (backup, query, head) in
        [(&plain, "?unsigned=true", json!(format!("7:{hash}"))), (&sealed, "", sealed["audit_head"].clone())]
    {
        let other = Site::start().await;
        other.call("POST", &format!("/api/v1/restore{query}")).json(backup).send().await.is(200);
        let record = other.audit().await[0].clone();
        assert_eq!(record["after"]["audit_head"], head);
        assert_eq!(record["after"]["unsigned"], !query.is_empty());
        let there = other.get(&format!("{PROFILES}/cp")).await.is(200).json();
        assert_eq!(there["params"], profile["params"]);
        assert_eq!(there["config_template"], profile["config_template"]);
        let there = other.get("/api/v1/boot/assignments/52:54:00:00:00:11").await.is(200).json();
        assert_eq!(there["boot_params_override"], machine["boot_params_override"]);
    }
    // A sealed one in which somebody put something of their own.
    let mut forged = sealed.clone();
    forged["profiles"][0]["spec"]["params"] = json!({"password": "mine"});
    forged.as_object_mut().unwrap().remove("mac");
    let answer = site.call("POST", "/api/v1/restore?unsigned=true").json(&forged).send().await;
    answer.problem(422);
}

async fn restore(site: &Site, query: &str, backup: &Value) -> crate::util::Answer {
    site.call("POST", &format!("/api/v1/restore{query}")).json(backup).send().await
}

#[tokio::test]
async fn only_what_the_site_signed_is_restored_without_a_word() {
    let site = Site::start().await;
    site.post(PROFILES, json!({"name": "p", "profile_type": "custom", "kernel_path": "k"})).await.is(201);
    let signed = site.get("/api/v1/backup").await.is(200).json();
    assert!(signed.get("audit").is_none(), "the log can be of any length");
    assert!(signed["audit_head"].as_str().unwrap().contains(':'));
    restore(&site, "", &signed).await.is(200);
    // Every part is covered, also what is not sealed.
    let changes: [(&str, Value); 5] = [
        ("/tokens", json!([])),
        ("/profiles/0/revision", json!(99)),
        ("/created_at", json!("2026-03-01T12:00:01Z")),
        ("/audit_head", json!(format!("1:{}", "0".repeat(64)))),
        ("/mac", json!("0".repeat(64))),
    ];
    for (pointer, value) in changes {
        let mut changed = signed.clone();
        *changed.pointer_mut(pointer).unwrap() = match pointer {
            "/tokens" => json!([{"id": "t", "name": "eve", "role": "admin", "hash": "x",
                "created_at": "2026-03-01T12:00:00Z", "expires_at": null, "last_used_at": null}]),
            _ => value,
        };
        for query in ["", "?unsigned=true"] {
            let answer = restore(&site, query, &changed).await.is(422).text();
            assert!(answer.contains("/mac") && answer.contains("--unsigned"), "{pointer}: {answer}");
        }
    }
    let mut bare = signed.clone();
    bare.as_object_mut().unwrap().remove("mac");
    let answer = restore(&site, "", &bare).await.is(422).text();
    assert!(answer.contains("is missing") && answer.contains("unsigned=true"), "{answer}");
    restore(&site, "?unsigned=maybe", &bare).await.problem(422);
    restore(&site, "?nope=1", &signed).await.problem(400);
    let restores = site.audit().await.iter().filter(|r| r["action"] == "restore").count();
    assert_eq!(restores, 1, "nothing of that did anything");
    restore(&site, "?unsigned=true", &bare).await.is(200);
    assert_eq!(site.audit().await[0]["after"]["unsigned"], true);
}

#[tokio::test]
async fn a_restored_profile_is_not_milder_than_its_words() {
    let site = Site::start().await;
    let profile = json!({
        "name": "deb", "profile_type": "debian", "kernel_path": "linux", "initrd_path": "initrd.gz",
        "config_template": "d-i partman-auto/method string regular", "destructive": false,
    });
    site.post(PROFILES, profile).await.is(201);
    let uri = format!("{PROFILES}/deb");
    assert_eq!(site.get(&uri).await.json()["destructive"], false, "an admin's word");
    let signed = site.get("/api/v1/backup").await.is(200).json();
    let answer = restore(&site, "", &signed).await.is(200).json();
    assert_eq!(answer["raised_destructive"], json!(["deb"]));
    assert_eq!(site.get(&uri).await.json()["destructive"], true);
    let answer = restore(&site, "?unsigned=true", &signed).await.is(200).json();
    assert_eq!(answer["raised_destructive"], json!([]));
    assert_eq!(site.get(&uri).await.json()["destructive"], false, "another admin's word");
}
