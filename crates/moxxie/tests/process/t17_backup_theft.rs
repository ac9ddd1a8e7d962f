//! T17: somebody steals the database, or a backup. Without the site's key they tell no secret, and
//! no server starts on them or takes them in; with it, everything is there again.

use crate::client::Client;
use crate::postgres::connect;
use crate::server::{KEY, Server, Setup};
use crate::site::{self, mac};
use futures_util::future::join_all;
use moxxie_core::keyring::KeyId;
use moxxie_core::token::SiteKey;
use moxxie_store::testing::{Stop, TestPostgres};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor, Row};
use std::path::Path;
use std::time::Duration;

/// Where people put secrets, each with one of its own.
const CANARIES: [&str; 5] =
    ["canary-of-params", "canary-of-template", "canary-of-arguments", "canary-of-machine", "canary-of-url"];
const OTHER: &str = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";

fn id(hex: &str) -> String {
    KeyId::of(&SiteKey::from_hex(hex.trim()).unwrap()).to_string()
}

fn profile() -> Value {
    json!({
        "name": "cp", "profile_type": "talos", "kernel_path": "http://user:canary-of-url@mirror.example/vmlinuz",
        "initrd_path": "initramfs.xz", "boot_params": "secret=canary-of-arguments",
        "config_template": "token: canary-of-template\npin: {{ params.pin }}\n",
        "params": {"pin": "canary-of-params"},
    })
}

async fn plant(client: &Client) {
    site::furnish(client).await;
    client.post("/api/v1/boot/profiles", &profile()).await.is(201);
    let machine = json!({
        "mac_address": mac(1), "node_name": "node-1", "boot_profile": "cp",
        "boot_params_override": {"pin": "canary-of-machine"},
    });
    client.post("/api/v1/boot/assignments", &machine).await.is(201);
    // Written more than once, so that old pages have them too.
    for n in 0..3 {
        let path = "/api/v1/boot/profiles/cp";
        client.json(Method::PATCH, path, &json!({"description": format!("{n}")})).await.is(200);
    }
}

fn tells_nothing(what: &str, text: &str) {
    for canary in CANARIES {
        assert!(!text.contains(canary), "{what} has {canary}");
    }
}

async fn everything_is_back(client: &Client) {
    let text = client.get("/api/v1/boot/export").await.is(200).text();
    assert!(CANARIES.iter().all(|canary| text.contains(canary)), "{text}");
}

fn copy(from: &Path, to: &Path, with_key: bool) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let name = entry.file_name();
        match name == "secret-key" {
            _ if entry.file_type().unwrap().is_dir() => copy(&entry.path(), &to.join(name), true),
            true if !with_key => {}
            _ => drop(std::fs::copy(entry.path(), to.join(name)).unwrap()),
        }
    }
}

async fn refused(setup: &Setup, wanted: &str, words: &[&str]) {
    let (code, out, err) = setup.run().await;
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains(&id(wanted)) && err.contains("secret-key"), "{err}");
    assert!(words.iter().all(|word| err.contains(word)), "{err}");
    assert!(!err.contains(wanted.trim()), "the key itself is said");
}

async fn restores(client: &Client, backup: &str) -> crate::client::Reply {
    restores_with(client, "", backup).await
}

async fn restores_with(client: &Client, query: &str, backup: &str) -> crate::client::Reply {
    let request = client.request(Method::POST, &format!("/api/v1/restore{query}"));
    client.send(request.body(backup.to_owned())).await
}

/// The backup, where it may go and where not. `home` has the key, and is emptied first.
async fn a_stolen_backup(home: &Client, backup: &str, key: &str) {
    tells_nothing("the backup", backup);
    assert!(backup.contains("node-1") && backup.contains(&format!("mxs1.{}.", id(key))));
    assert!(!backup.contains(key.trim()));
    let dir = tempfile::tempdir().unwrap();
    let thief = Setup::new(dir.path()).env("MOXXIE_SECRET_KEY", OTHER).start().await;
    let answer = restores(&thief.client, backup).await.is(422).text();
    assert!(answer.contains(&id(key)) && answer.contains(&id(OTHER)), "{answer}");
    tells_nothing("the refusal", &answer);
    assert_eq!(site::all(&thief.client, "/api/v1/boot/profiles").await, [] as [Value; 0]);
    // Values belong to their object.
    let mut swapped: Value = serde_json::from_str(backup).unwrap();
    let there: Vec<usize> = (0..3).filter(|n| swapped["profiles"][n]["spec"]["params"].is_string()).collect();
    let (one, two) = (there[0], there[1]);
    swapped["profiles"][one]["spec"]["params"] = swapped["profiles"][two]["spec"]["params"].clone();
    let answer = restores(home, &swapped.to_string()).await.is(422).text();
    assert!(answer.contains("/mac") && answer.contains("untouched"), "{answer}");
    // Nor when an admin vouches for it.
    swapped.as_object_mut().unwrap().remove("mac");
    restores(home, &swapped.to_string()).await.is(422);
    let answer = restores_with(home, "?unsigned=true", &swapped.to_string()).await.is(422).text();
    assert!(answer.contains("another place") && answer.contains("/params"), "{answer}");

    let request = home.request(Method::DELETE, &format!("/api/v1/boot/assignments/{}", mac(1)));
    home.send(request).await.is(204);
    home.send(home.request(Method::DELETE, "/api/v1/boot/profiles/cp")).await.is(204);
    restores(home, backup).await.is(200);
    everything_is_back(home).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t17_a_stolen_sqlite_tells_nothing() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("site");
    let setup = Setup::new(&dir);
    let mut server = setup.start().await;
    plant(&server.client).await;
    let key = std::fs::read_to_string(dir.join("secret-key")).unwrap();
    let backup = server.client.get("/api/v1/backup").await.is(200).text();
    a_stolen_backup(&server.client, &backup, &key).await;
    // Killed: the database's log is there too.
    server.kill();
    let files: Vec<_> = std::fs::read_dir(&dir).unwrap().flatten().map(|entry| entry.path()).collect();
    assert!(files.iter().any(|file| file.to_string_lossy().ends_with("moxxie.db-wal")), "{files:?}");
    for file in files.iter().filter(|file| file.is_file()) {
        tells_nothing(&file.display().to_string(), &String::from_utf8_lossy(&std::fs::read(file).unwrap()));
    }

    let stolen = outer.path().join("stolen");
    copy(&dir, &stolen, false);
    refused(&Setup::new(&stolen), &key, &["is missing"]).await;
    assert!(!stolen.join("secret-key").exists(), "no new key in its place");
    refused(&Setup::new(&stolen).env("MOXXIE_SECRET_KEY", OTHER), &key, &[&id(OTHER)]).await;
    std::fs::write(stolen.join("secret-key"), OTHER).unwrap();
    refused(&Setup::new(&stolen), &key, &[&id(OTHER)]).await;
    std::fs::write(stolen.join("secret-key"), &key).unwrap();
    everything_is_back(&Setup::new(&stolen).start().await.client).await;
    everything_is_back(&setup.start().await.client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t17_a_stolen_postgres_tells_nothing() {
    let Some(mut database) = TestPostgres::start().await else { return };
    let url = database.database().await;
    let dir = tempfile::tempdir().unwrap();
    let setup = Setup::replica(dir.path(), &url);
    let mut server = setup.start().await;
    plant(&server.client).await;
    let backup = server.client.get("/api/v1/backup").await.is(200).text();
    a_stolen_backup(&server.client, &backup, KEY).await;
    assert_eq!(server.stop().await, Some(0));
    let mut connection = connect(&url).await;
    let tables =
        "SELECT CAST(table_name AS TEXT) FROM information_schema.tables WHERE table_schema = 'public'";
    let mut dump = String::new();
    for table in connection.fetch_all(tables).await.unwrap() {
        let sql = format!(
            "SELECT COALESCE(string_agg(CAST(t AS TEXT), ' '), '') FROM {} t",
            table.get::<String, _>(0)
        );
        dump += &connection.fetch_one(AssertSqlSafe(sql)).await.unwrap().get::<String, _>(0);
    }
    assert!(dump.contains("node-1") && dump.contains(&format!("mxs1.{}.", id(KEY))));
    tells_nothing("the database", &dump);
    drop(connection);

    // A new folder without a key, and one with another.
    let other = tempfile::tempdir().unwrap();
    let new = Setup::new(other.path()).env("MOXXIE_DATABASE_URL", &url);
    refused(&new, KEY, &["is missing"]).await;
    assert!(!other.path().join("secret-key").exists());
    let wrong = new.clone().env("MOXXIE_SECRET_KEY", OTHER);
    refused(&wrong, KEY, &[&id(OTHER)]).await;
    // Found out only later, when the database comes up: nothing is served from it until then.
    for setup in [new, wrong] {
        database.stop(Stop::Fast);
        let mut server = setup.start().await;
        server.client.get("/api/v1/boot/profiles").await.is(503);
        database.start_again().await;
        assert_eq!(server.ended().await.code(), Some(1));
        let err = server.err.text();
        assert!(err.contains(&id(KEY)) && err.contains("secret-key"), "{err}");
    }
    everything_is_back(&setup.start().await.client).await;
}

/// A client command.
fn moxxie(server: &Server, dir: &Path, args: &[&str]) -> String {
    let output = server.command(args).arg("--data-dir").arg(dir).output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{args:?}: {text}");
    text
}

async fn crowd(client: &Client, machines: std::ops::Range<u32>) {
    let items = machines.map(|n| {
        let mut item = site::machine(n, "safe", true);
        item["kind"] = "assignment".into();
        item["boot_params_override"] = json!({"pin": format!("canary-{n}")});
        item
    });
    let body = json!({"items": items.collect::<Vec<Value>>()});
    client.post("/api/v1/boot/apply", &body).await.is(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn t17_keys_change_while_machines_boot() {
    let dir = tempfile::tempdir().unwrap();
    let setup = Setup::new(dir.path());
    let mut server = setup.start().await;
    site::furnish(&server.client).await;
    crowd(&server.client, 1..61).await;
    let mut scripts = Vec::new();
    for n in 1..=50 {
        scripts.push(server.client.menu(&mac(n)).await);
    }
    // Some have their config already and will ask for it again.
    let mut bodies = Vec::new();
    for script in &scripts[..10] {
        bodies.push(server.client.get(&script.config_path()).await.is(200).body);
    }
    let old = id(&std::fs::read_to_string(dir.path().join("secret-key")).unwrap());
    let said = moxxie(&server, dir.path(), &["secrets", "rotate"]);
    assert!(said.contains("restart"), "{said}");
    assert_eq!(server.stop().await, Some(0));
    let mut server = setup.start().await;
    let client = server.client.clone();
    let mut reseal = server.command(&["secrets", "reseal"]);
    let reseal = tokio::task::spawn_blocking(move || reseal.output().unwrap());
    let boots = scripts.iter().map(|script| {
        let client = client.clone();
        async move {
            let config = client.get(&script.config_path()).await.is(200);
            client.act(&format!("{}&stage=installed", script.report_path())).await.is(204);
            config.body
        }
    });
    let served = join_all(boots).await;
    assert_eq!(served[..10], bodies, "a repeat has the same bytes");
    let done = reseal.await.unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains(&format!("the key {old} is retired")), "{done:?}");
    for n in 51..=60 {
        let script = client.menu(&mac(n)).await;
        client.get(&script.config_path()).await.is(200);
    }
    let status = client.get("/api/v1/secrets").await.is(200).value();
    let keys = status["keys"].as_array().unwrap();
    assert_eq!((keys.len(), &keys[0]["current"], &keys[1]["id"]), (2, &json!(true), &json!(old)));
    assert_eq!((&keys[1]["profiles"], &keys[1]["assignments"]), (&json!(0), &json!(0)));
    assert!(moxxie(&server, dir.path(), &["secrets", "status"]).contains(&old));
    // Without the old key's line.
    assert_eq!(server.stop().await, Some(0));
    let file = dir.path().join("secret-key");
    let text = std::fs::read_to_string(&file).unwrap();
    let kept: Vec<&str> = text.lines().take(2).collect();
    std::fs::write(&file, kept.join("\n")).unwrap();
    let server = setup.start().await;
    assert_eq!(site::state(&server.client, 7).await["boot_params_override"]["pin"], "canary-7");
}

#[tokio::test(flavor = "multi_thread")]
async fn t17_a_killed_reseal_is_gone_on_with() {
    const MACHINES: u32 = 400;
    let keys = ["11", "22", "33", "44", "55", "66"].map(|byte| byte.repeat(32));
    let dir = tempfile::tempdir().unwrap();
    let mut server = Setup::new(dir.path()).env("MOXXIE_SECRET_KEY", &keys[0]).start().await;
    site::furnish(&server.client).await;
    crowd(&server.client, 1..MACHINES + 1).await;
    server.stop().await;
    for round in 1..keys.len() {
        // Old keys stay in the ring: what a killed one left behind may be sealed with any.
        let mut ring = keys[..=round].to_vec();
        ring.reverse();
        let setup = Setup::new(dir.path()).env("MOXXIE_SECRET_KEY", &ring.join(","));
        let mut server = setup.start().await;
        let client = server.client.clone();
        let request = client.request(Method::POST, "/api/v1/secrets/reseal");
        let reseal = tokio::spawn(async move { client.try_send(request).await });
        tokio::time::sleep(Duration::from_micros(rand::random_range(0..120_000))).await;
        server.kill();
        reseal.await.unwrap();
        let mut server = setup.start().await;
        let all = site::all(&server.client, "/api/v1/boot/assignments").await;
        assert_eq!(all.len(), MACHINES as usize);
        for machine in &all {
            let pin = machine["boot_params_override"]["pin"].as_str().unwrap();
            assert_eq!(
                format!("node-{}", pin.trim_start_matches("canary-")),
                machine["node_name"].as_str().unwrap()
            );
        }
        if round % 2 == 0 {
            server.client.act("/api/v1/secrets/reseal").await.is(200);
            let status = server.client.get("/api/v1/secrets").await.is(200).value();
            let keys = status["keys"].as_array().unwrap();
            assert_eq!(keys[0]["assignments"], MACHINES);
            assert!(keys[1..].iter().all(|key| !key["retired_at"].is_null()), "{status}");
        }
        assert_eq!(server.stop().await, Some(0));
    }
}
