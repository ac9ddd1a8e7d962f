//! Many writers at once on the embedded database, and addresses that are taken.

use crate::client::Client;
use crate::server::Setup;
use crate::site::{self, assign, mac, machine};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn fifty_writers_never_hear_of_a_lock() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Setup::new(dir.path()).config("[log]\nlevel = \"debug\"\n").start().await;
    let client = server.client.clone();
    site::furnish(&client).await;
    // Each writes as operators and its machine do, while the events of all are written beside it.
    let writers = (0..50).map(|writer| {
        let client = client.clone();
        tokio::spawn(async move {
            for step in 0..4 {
                let n = 1000 + writer * 10 + step;
                assign(&client, n, "safe", true).await;
                let script = client.menu(&mac(n)).await;
                assert!(script.boots(), "{}", script.text());
                client.get(&script.config_path()).await.is(200);
                client.act(&format!("{}&stage=installed", script.report_path())).await.is(204);
            }
        })
    });
    for writer in join_all(writers).await {
        writer.unwrap();
    }
    let machines = site::all(&client, "/api/v1/boot/assignments").await;
    assert_eq!(machines.len(), 200);
    assert!(machines.iter().all(|machine| machine["state"] == "installed"));
    assert_eq!(server.stop().await, Some(0));
    let log = server.err.text();
    assert!(log.contains("request"), "the log is there");
    for word in ["locked", "busy", "ERROR"] {
        assert!(!log.contains(word), "{word} in {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mac_address_is_taken_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Setup::new(dir.path()).start().await;
    site::furnish(&server.client).await;
    one_owner([&server.client, &server.client]).await;
}

/// Refusals of addresses, names and UUIDs that are taken; sets that hold one are refused whole.
pub async fn one_owner(clients: [&Client; 2]) {
    let [a, b] = clients;
    let refused = async |client: &Client, body: Value| {
        let problem = client.post("/api/v1/boot/assignments", &body).await.is(409).value();
        assert!(problem["detail"].as_str().unwrap().len() > 10, "{problem}");
    };
    let uuid = "564d1234-5678-4abc-8def-0123456789ab";
    let mut first = machine(1, "safe", false);
    first["extra_macs"] = json!([mac(2)]);
    first["uuid"] = json!(uuid);
    a.post("/api/v1/boot/assignments", &first).await.is(201);
    let other = |change: Value| {
        let mut body = machine(50, "safe", false);
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
        }
        body
    };
    for taken in [
        json!({"mac_address": mac(1)}),
        json!({"mac_address": mac(1).to_uppercase()}),
        json!({"mac_address": mac(1).replace(':', "-")}),
        json!({"mac_address": "5254.0000.0001"}),
        json!({"mac_address": mac(2)}),
        json!({"extra_macs": [mac(1)]}),
        json!({"extra_macs": [mac(7), mac(2)]}),
        json!({"node_name": "node-1"}),
        json!({"uuid": uuid}),
    ] {
        refused(b, other(taken)).await;
    }

    // A set with one bad item changes nothing, wherever the bad one stands.
    let before = a.get("/api/v1/boot/export").await.is(200).value();
    let with_kind = |kind: &str, mut item: Value| {
        item["kind"] = kind.into();
        item
    };
    let mut new_profile = site::safe();
    new_profile["name"] = "brought-along".into();
    for file in ["kernel_path", "initrd_path"] {
        new_profile[file] = format!("http://10.0.0.1/{file}").into();
    }
    let good = with_kind("assignment", machine(60, "brought-along", true));
    let clash = with_kind("assignment", other(json!({"extra_macs": [mac(2)]})));
    let twice = with_kind("assignment", other(json!({"mac_address": mac(60).to_uppercase()})));
    let sideways = with_kind("assignment", other(json!({"extra_macs": [mac(60)]})));
    for bad in [clash, twice, sideways] {
        let sets = [
            json!([with_kind("profile", new_profile.clone()), good, bad]),
            json!([bad, good, with_kind("profile", new_profile.clone())]),
        ];
        for items in sets {
            let reply = b.post("/api/v1/boot/apply", &json!({"items": items})).await;
            assert!(matches!(reply.status, 409 | 422), "{}", reply.text());
            assert_eq!(a.get("/api/v1/boot/export").await.is(200).value(), before, "after {items}");
        }
    }
    let set = json!({"items": [with_kind("profile", new_profile), good]});
    b.post("/api/v1/boot/apply", &set).await.is(200);
    let script = a.menu(&mac(60)).await;
    assert!(script.boots(), "{}", script.text());

    // All at once, half of them at each replica.
    let race = (0..24).map(|n| {
        let client = clients[n % 2].clone();
        tokio::spawn(async move {
            let mut body = machine(70, "safe", false);
            body["node_name"] = format!("racer-{n}").into();
            let request = client.request(Method::POST, "/api/v1/boot/assignments").json(&body);
            client.send(request).await.status
        })
    });
    let mut won = 0;
    for status in join_all(race).await {
        match status.unwrap() {
            201 => won += 1,
            status => assert_eq!(status, 409),
        }
    }
    assert_eq!(won, 1);
}
