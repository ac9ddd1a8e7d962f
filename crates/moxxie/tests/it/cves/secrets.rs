//! Secrets in too many hands, in logs and in what is kept.

use crate::util::recipes::{ASSIGNMENTS, PROFILES, debian, talos};
use crate::util::{Answer, Machine, Site};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;

const MAC: &str = "52:54:00:00:00:77";
const TOKEN: &str = "hunter2-machine-token";
const CA_KEY: &str = "LS0tLS1CRUdJTiBFRDI1NTE5IFBSSVZBVEUgS0VZLS0tLS1NQzRDQVFBd0JRWURLMlZ3";

/// A cluster's control plane, with what Talos puts into such a config.
async fn cluster() -> Site {
    let site = Site::start().await;
    let mut profile = talos("cp");
    profile["config_template"] = json!(format!(
        "cluster:\n  ca:\n    crt: public\n    key: {CA_KEY}\n  token: {{{{ params.machine_token }}}}\n"
    ));
    site.profile(profile).await;
    site.assign(MAC, "cp-1", "cp", json!({"boot_params_override": {"bmc_password": "hunter2-bmc-password"}}))
        .await;
    site
}

/// Everything that shows profiles, assignments and what happened.
const SHOWN: [&str; 9] = [
    "/api/v1/boot/profiles",
    "/api/v1/boot/profiles/cp",
    "/api/v1/boot/assignments",
    "/api/v1/boot/assignments/52:54:00:00:00:77",
    "/api/v1/boot/explain?mac=52:54:00:00:00:77",
    "/api/v1/boot/export",
    "/api/v1/boot/events",
    "/api/v1/boot/machines",
    "/api/v1/boot/profiles/cp/assets",
];

#[track_caller]
fn clean(answer: &Answer) {
    for secret in [TOKEN, CA_KEY, "hunter2-bmc-password"] {
        assert!(!answer.text().contains(secret), "{} shows {secret}", answer.what);
    }
}

/// Ironic: the drivers' data of any node, for who guessed its MAC address. Here: no token, no
/// config; and who guesses right learns nothing from the answer.
#[tokio::test]
async fn cve_2016_4985_any_machine_by_a_guessed_mac() {
    let site = cluster().await;
    let refusals = [MAC, "52:54:00:00:00:78", "52:54:00:00:00:79", "nonsense"];
    let mut answers = vec![];
    for mac in refusals {
        answers.push(site.boot(&format!("/boot/configs/cp/{mac}")).await.is(403));
        answers.push(site.boot(&format!("/boot/configs/cp/{mac}?t={}", "A".repeat(43))).await.is(403));
    }
    for answer in &answers {
        assert_eq!(
            (&answer.body, &answer.headers),
            (&answers[0].body, &answers[0].headers),
            "{}",
            answer.what
        );
    }
}

/// Foreman: root's password hash in what anybody could read of a host. Here: strangers read menus,
/// and an armed machine's script carries a token instead of a secret.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cve_2013_0174_hashes_in_what_anybody_reads() {
    let site = cluster().await;
    let hash =
        "$6$rounds=4096$salt$3f9Q1x0mVZyYc5D2nT8bWkLr7eJhGpUaSsXoIiEeNnOoRrTtYyUuIiOoPpAaSsDdFfGgHhJjKkLl0/.";
    let mut profile = debian("deb");
    profile["config_template"] = json!("d-i passwd/root-password-crypted password {{ params.root_hash }}\n");
    profile["params"] = json!({"root_hash": hash});
    site.profile(profile).await;
    site.assign("52:54:00:00:00:78", "n2", "deb", json!({})).await;
    for uri in [
        "/boot/menu.ipxe?mac=52:54:00:00:00:78",
        "/boot/deb.ipxe?mac=52:54:00:00:00:78",
        "/boot/configs/deb/52:54:00:00:00:78",
    ] {
        assert!(!site.boot(uri).await.text().contains(hash), "{uri}");
    }
    for token in [site.viewer().await, site.operator().await] {
        for uri in [format!("{PROFILES}/deb"), "/api/v1/boot/explain?mac=52:54:00:00:00:78".into()] {
            assert!(!site.call("GET", &uri).token(token).send().await.is(200).text().contains(hash), "{uri}");
        }
    }
}

/// Foreman: previews of templates showed secrets, to users who might not even see the host. Here: a
/// preview with secrets is for admins, and everybody else's has masks.
#[tokio::test]
async fn cve_2014_0192_cve_2016_4995_previews_of_templates() {
    let site = cluster().await;
    let config = format!("/boot/configs/cp/{MAC}");
    for token in [site.viewer().await, site.operator().await] {
        clean(&site.call("GET", &config).token(token).send().await.is(403));
        let preview =
            site.call("GET", &format!("/api/v1/boot/explain?mac={MAC}")).token(token).send().await.is(200);
        assert!(preview.text().contains("********"), "it is shown, with masks");
        clean(&preview);
    }
    assert!(site.get(&config).await.is(200).text().contains(TOKEN));
}

/// Foreman: the passwords of a BMC and of Proxmox came with the resource, for every reader of the
/// API. Here: readers see masks, in lists as well.
#[tokio::test]
async fn cve_2021_20256_cve_2021_20259_passwords_through_the_api() {
    let site = cluster().await;
    for token in [site.viewer().await, site.operator().await] {
        for uri in SHOWN {
            clean(&site.call("GET", uri).token(token).send().await.is(200));
        }
        // Nor by way of an error that repeats what was sent and what was there.
        let call = site.call("PATCH", &format!("{ASSIGNMENTS}/{MAC}")).token(token);
        clean(&call.json(&json!({"boot_params_override": {"bmc_password": "a\nb"}})).send().await);
    }
}

/// Omni: a role for reading read the keys of the cluster's CA. Here: a key is masked by its name
/// and by its shape, wherever a template has it.
#[tokio::test]
async fn cve_2026_45726_a_reader_reads_the_clusters_keys() {
    let site = cluster().await;
    let seen = site.call("GET", &format!("{PROFILES}/cp")).token(site.viewer().await).send().await.is(200);
    clean(&seen);
    let template = seen.json()["config_template"].as_str().unwrap_or("").to_owned();
    assert!(template.contains("crt: public") && template.contains("key: ********"), "{template}");
}

/// Talos: who held a worker's token got at what only control planes may. Here: a boot token is good
/// for its own machine and purpose and is no API token; a report token fetches nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cve_2022_36103_a_workers_token_opens_more() {
    let site = cluster().await;
    let mut worker = talos("worker");
    worker["config_template"] = json!("report: {{ moxxie.report_url }}\n");
    site.profile(worker).await;
    site.assign("52:54:00:00:00:78", "w-1", "worker", json!({})).await;
    let machine = Machine::bios("52:54:00:00:00:78");
    let url = machine.boot(&site).arg("talos.config");
    let config = machine.fetch(&site, &url).await.is(200).text();
    let token = |text: &str| text.split("t=").nth(1).unwrap()[..43].to_owned();
    Machine::bios(MAC).boot(&site).kernel();
    for token in [token(&url), token(&config)] {
        for uri in [
            format!("/boot/configs/cp/{MAC}?t={token}"),
            format!("/boot/configs/cp/52:54:00:00:00:78?t={token}"),
        ] {
            machine.fetch(&site, &format!("http://{}{uri}", crate::util::app::HOST)).await.is(403);
        }
        for uri in SHOWN {
            site.anonymous("GET", uri).token(&token).send().await.problem(401);
        }
    }
    let report = format!(
        "http://{}/boot/configs/worker/52:54:00:00:00:78?t={}",
        crate::util::app::HOST,
        token(&config)
    );
    machine.fetch(&site, &report).await.is(403);
}

/// Metal3: a resource named a secret of another's and was given it. Here: a template names the
/// values of its own machine, and there are no others.
#[tokio::test]
async fn cve_2024_43803_a_secret_of_another_by_its_name() {
    let site = cluster().await;
    for name in [
        "params.machine_token",
        "profiles.cp.params.machine_token",
        "machine.params.machine_token",
        "profile.params.machine_token",
        "site.params.x",
        "secrets.cp",
        "assignments[0]",
    ] {
        let profile = json!({"name": "thief", "profile_type": "custom", "kernel_path": "k", "config_template": format!("x: {{{{ {name} }}}}\n")});
        let answer = site.post(PROFILES, profile).await;
        clean(&answer);
        if answer.status == 201 {
            // A parameter of that name may still come with an assignment: with this one's own.
            site.asset("thief", "k", b"x").await;
            let mine = json!({"mac_address": "52:54:00:00:00:79", "node_name": "t", "boot_profile": "thief", "boot_params_override": {"machine_token": "own-value-of-this-one"}});
            site.post(ASSIGNMENTS, mine).await.is(201);
            let config = site.get("/boot/configs/thief/52:54:00:00:00:79").await.is(200);
            assert_eq!(config.text(), "x: own-value-of-this-one\n", "{name}");
            site.delete(&format!("{ASSIGNMENTS}/52:54:00:00:00:79")).await.is(204);
            site.delete(&format!("{PROFILES}/thief")).await.is(204);
        }
    }
}

/// Foreman: passwords in the audit log, in the debug bundle and in the log of tasks. Here: the
/// traces of every change have masks, for admins too (`canary.rs` looks for more of them, in logs
/// and metrics as well).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cve_2017_2672_cve_2016_9593_cve_2019_14825_secrets_in_traces() {
    let site = cluster().await;
    site.patch(
        &format!("{PROFILES}/cp"),
        json!({"params": {"machine_token": format!("{TOKEN}-2"), "rack": "r1"}}),
    )
    .await
    .is(200);
    let url = Machine::bios(MAC).boot(&site).arg("talos.config");
    Machine::bios(MAC).fetch(&site, &url).await.is(200);
    site.patch(
        &format!("{ASSIGNMENTS}/{MAC}"),
        json!({"boot_params_override": {"bmc_password": "hunter2-bmc-password-2"}}),
    )
    .await
    .is(200);
    site.events("").await;
    for uri in [
        "/api/v1/audit?limit=500",
        "/api/v1/boot/events?limit=500",
        "/api/v1/boot/machines",
        "/metrics",
        "/readyz",
    ] {
        let seen = site.get(uri).await.is(200);
        clean(&seen);
        assert!(!seen.text().contains(url.split("t=").nth(1).unwrap()), "{uri}: the boot token");
    }
    assert!(site.audit().await.len() >= 4);
    let shown = site.audit().await.iter().map(Value::to_string).collect::<String>();
    assert!(shown.contains("machine_token"), "that it changed is said");
}

/// Foreman: files with secrets that every user of the host could read. Here: the data folder's own
/// files are for their owner.
#[tokio::test]
async fn cve_2020_14334_files_that_every_user_can_read() {
    let site = cluster().await;
    let private = tempfile::tempdir().unwrap();
    moxxie::firstrun::data_dir(&private.path().join("data")).unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&private.path().join("data")), 0o700);
    let mut databases = 0;
    for entry in std::fs::read_dir(site.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().contains(".db") {
            assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
            databases += 1;
        }
    }
    assert!(databases > 0);
}
