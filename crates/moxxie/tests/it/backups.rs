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
    plain.as_object_mut().unwrap().remove("key");
    for field in FIELDS {
        plain["profiles"][0]["spec"][field] = shown[field].clone();
    }
    plain["assignments"][0]["spec"]["boot_params_override"] = machine["boot_params_override"].clone();
    for backup in [&plain, &sealed] {
        let other = Site::start().await;
        other.call("POST", "/api/v1/restore").json(backup).send().await.is(200);
        let there = other.get(&format!("{PROFILES}/cp")).await.is(200).json();
        assert_eq!(there["params"], profile["params"]);
        assert_eq!(there["config_template"], profile["config_template"]);
        let there = other.get("/api/v1/boot/assignments/52:54:00:00:00:11").await.is(200).json();
        assert_eq!(there["boot_params_override"], machine["boot_params_override"]);
    }
    // A sealed one in which somebody put something of their own.
    let mut forged = sealed.clone();
    forged["profiles"][0]["spec"]["params"] = json!({"password": "mine"});
    let answer = site.call("POST", "/api/v1/restore").json(&forged).send().await;
    answer.problem(422);
}
