//! The API as operators and programs use it.

use crate::util::app::ADMIN;
use crate::util::recipes::{ASSIGNMENTS, PROFILES, debian, memtest, talos};
use crate::util::{Answer, Machine, Site};
use axum::body::Body;
use http_body_util::BodyExt;
use moxxie_core::time::Span;
use serde_json::{Value, json};
use std::time::Duration;

const MAC: &str = "52:54:00:00:00:11";
const SECRET: &str = "hunter2-machine-token";

#[tokio::test]
async fn profiles_from_birth_to_death() {
    let site = Site::start().await;
    let made = site.post(PROFILES, talos("cp")).await.is(201);
    assert_eq!(made.header("location"), "/api/v1/boot/profiles/cp");
    assert_eq!(made.header("etag"), "\"1\"");
    let made = made.json();
    let read =
        site.get(made["id"].as_str().map(|id| format!("{PROFILES}/{id}")).unwrap().as_str()).await.is(200);
    assert_eq!(read.json(), made, "by id as by name");
    site.post(PROFILES, talos("cp")).await.problem(409);

    let uri = format!("{PROFILES}/cp");
    // A merge patch: null removes, objects merge, what is not named stays.
    let patch =
        json!({"description": "nodes", "params": {"rack": null, "zone": {"a": 1}}, "boot_params": ""});
    let changed = site.patch(&uri, patch).await.is(200);
    assert_eq!(changed.header("etag"), "\"2\"");
    assert_eq!(changed.json()["params"], json!({"machine_token": SECRET, "zone": {"a": 1}}));
    assert_eq!(changed.json()["config_template"], made["config_template"]);
    // Stale writers are told, also with an ETag that is none of ours.
    for tag in ["\"1\"", "\"99\"", "W/\"2\"", "nonsense"] {
        let call = site.call("PATCH", &uri).set("if-match", tag).json(&json!({"description": "x"}));
        call.send().await.problem(412);
        site.call("DELETE", &uri).set("if-match", tag).send().await.problem(412);
    }
    site.call("PATCH", &uri).set("if-match", "\"2\"").json(&json!({"description": "y"})).send().await.is(200);
    site.call("PATCH", &uri).set("if-match", "*").json(&json!({"description": "z"})).send().await.is(200);
    // What was read may be sent back as it is; what only the server writes may not be changed.
    let read = site.get(&uri).await.json();
    let same = site.put(&uri, read.clone()).await.is(200).json();
    assert_eq!(same["config_template"], read["config_template"]);
    for (field, value) in
        [("id", json!("x")), ("revision", json!(1)), ("created_at", json!("2020-01-01T00:00:00Z"))]
    {
        assert_eq!(site.patch(&uri, json!({field: value})).await.pointers(), [format!("/{field}")]);
    }
    assert_eq!(site.patch(&uri, json!({"kernal_path": "x"})).await.pointers(), ["/kernal_path"]);
    // Renamed, it keeps its id; in use, it stays.
    site.patch(&uri, json!({"name": "control"})).await.is(200);
    site.get(&uri).await.problem(404);
    site.assign(MAC, "cp-1", "control", json!({"armed": false})).await;
    site.delete(&format!("{PROFILES}/control")).await.problem(409);
    site.delete(&format!("{ASSIGNMENTS}/{MAC}")).await.is(204);
    site.delete(&format!("{PROFILES}/control")).await.is(204);
    site.delete(&format!("{PROFILES}/control")).await.problem(404);
}

#[tokio::test]
async fn templates_are_checked_with_line_and_column_when_saved() {
    let site = Site::start().await;
    site.profile(talos("cp")).await;
    site.assign(MAC, "cp-1", "cp", json!({"boot_params_override": {"disk": "/dev/sda"}, "armed": false}))
        .await;
    let uri = format!("{PROFILES}/cp");
    let cases = [
        (json!({"config_template": "a\n  b {{ machine.nope }}"}), "/config_template", "line 2, column 8"),
        (json!({"config_template": "{% if %}"}), "/config_template", "line 1, column"),
        (json!({"boot_params": "a={{ nope }}"}), "/boot_params", "line 1, column 6"),
    ];
    for (patch, pointer, place) in cases {
        let answer = site.patch(&uri, patch.clone()).await;
        assert_eq!(answer.pointers(), [pointer], "{patch}");
        let message = answer.json()["errors"][0]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(place), "{patch}: {message}");
    }
    // A value that one machine has and another lacks: both ways are refused when they are saved.
    site.patch(&uri, json!({"boot_params": "root={{ params.disk }} site.rack={{ params.rack }}"}))
        .await
        .is(200);
    let body = json!({"mac_address": "52:54:00:00:00:12", "node_name": "cp-2", "boot_profile": "cp"});
    let answer = site.post(ASSIGNMENTS, body).await;
    assert_eq!(answer.pointers(), ["/boot_params_override"]);
    assert!(answer.text().contains("params.disk"), "{}", answer.text());
    let answer =
        site.patch(&format!("{ASSIGNMENTS}/{MAC}"), json!({"boot_params_override": {"disk": null}})).await;
    assert_eq!(answer.pointers(), ["/boot_params_override"]);
    let answer = site.patch(&uri, json!({"params": {"rack": null}})).await;
    assert!(
        answer.problem(422)["errors"].to_string().contains("cp-1"),
        "names the machine: {}",
        answer.text()
    );
}

#[tokio::test]
async fn only_an_admin_lowers_what_the_lint_finds() {
    let site = Site::start().await;
    let uri = format!("{PROFILES}/deb");
    let made = site.profile(debian("deb")).await;
    assert_eq!(made["destructive"], true);
    assert!(made["destructive_reasons"].to_string().contains("partition"), "{made}");
    // Not through the menu, and not on every request.
    assert_eq!(site.patch(&uri, json!({"menu": true})).await.pointers(), ["/menu"]);
    let always =
        json!({"mac_address": MAC, "node_name": "n1", "boot_profile": "deb", "boot_policy": "always"});
    assert_eq!(site.post(ASSIGNMENTS, always).await.pointers(), ["/boot_policy"]);
    site.assign(MAC, "n1", "deb", json!({"armed": false})).await;
    assert_eq!(
        site.patch(&format!("{ASSIGNMENTS}/{MAC}"), json!({"boot_policy": "always"})).await.pointers(),
        ["/boot_policy"]
    );

    let lower = json!({"destructive": false});
    let operator = site.call("PATCH", &uri).token(site.operator().await).json(&lower).send().await;
    operator.problem(403);
    let lowered = site.patch(&uri, lower).await.is(200).json();
    assert_eq!(lowered["destructive"], false);
    assert!(!lowered["destructive_reasons"].as_array().unwrap().is_empty(), "the reasons stay to be read");
    // The lowering holds for what it was given for; a new danger raises it again.
    assert_eq!(site.patch(&uri, json!({"description": "x"})).await.is(200).json()["destructive"], false);
    let wipe = json!({"boot_params": "talos.experimental.wipe=system"});
    assert_eq!(site.patch(&uri, wipe).await.is(200).json()["destructive"], true);
    // While a machine boots it on every request, a profile does not become destructive.
    site.profile(talos("cp")).await;
    site.assign("52:54:00:00:00:12", "cp-1", "cp", json!({"boot_policy": "always"})).await;
    site.patch(&format!("{PROFILES}/cp"), json!({"boot_params": "talos.experimental.wipe=system"}))
        .await
        .problem(409);
    // A value of one machine that makes its config wipe a disk is found where it is saved.
    let mut body = talos("wiper");
    body["config_template"] = json!("install:\n  {{ params.key }}: true\n");
    body["params"]["key"] = json!("pretty");
    let made = site.profile(body).await;
    assert_eq!(made["destructive"], false);
    let hidden = json!({"mac_address": "52:54:00:00:00:13", "node_name": "w", "boot_profile": "wiper", "boot_params_override": {"key": "wipe"}});
    let answer = site.post(ASSIGNMENTS, hidden).await;
    assert!(answer.problem(422).to_string().contains("destructive"), "{}", answer.text());
}

#[tokio::test]
async fn assignments_from_birth_to_death() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.profile(talos("cp")).await;
    let made = site
        .post(ASSIGNMENTS, json!({"mac_address": "5254.0000.0011", "node_name": "n1", "boot_profile": "deb"}))
        .await
        .is(201);
    assert_eq!(made.header("location"), format!("{ASSIGNMENTS}/{MAC}"));
    let made = made.json();
    assert_eq!((made["state"].as_str(), made["source"].as_str()), (Some("armed"), Some("manual")));
    assert_eq!(made["armed_until"], "2026-03-08T12:00:00.000Z");
    let uri = format!("{ASSIGNMENTS}/{MAC}");
    // Names and addresses belong to one machine.
    let other = |more: Value| {
        let mut body = json!({"mac_address": "52:54:00:00:00:12", "node_name": "n2", "boot_profile": "deb"});
        more.as_object().unwrap().iter().for_each(|(k, v)| body[k] = v.clone());
        site.post(ASSIGNMENTS, body)
    };
    other(json!({"mac_address": MAC})).await.problem(409);
    other(json!({"node_name": "n1"})).await.problem(409);
    other(json!({"extra_macs": [MAC]})).await.problem(409);
    other(json!({"uuid": "4c4c4544-004b-3510-8051-b4c04f4c4d32", "extra_macs": ["52:54:00:00:00:13"]}))
        .await
        .is(201);
    other(json!({"mac_address": "52:54:00:00:00:13", "node_name": "n3"})).await.problem(409);
    // In the other byte order it is the same machine.
    let swapped = json!({"mac_address": "52:54:00:00:00:14", "node_name": "n4", "uuid": "44454c4c-4b00-1035-8051-b4c04f4c4d32"});
    other(swapped).await.problem(409);
    assert_eq!(
        other(json!({"mac_address": "52:54:00:00:00:15", "node_name": "n5", "boot_profile": "nope"}))
            .await
            .pointers(),
        ["/boot_profile"]
    );
    site.get(&format!("{ASSIGNMENTS}/52-54-00-00-00-13")).await.is(200);

    for field in ["state", "revision", "armed_until", "created_at", "last_boot_at", "source"] {
        assert_eq!(site.patch(&uri, json!({field: "x"})).await.pointers(), [format!("/{field}")]);
    }
    assert_eq!(site.patch(&uri, json!({"armed": true})).await.pointers(), ["/armed"]);
    site.put(&uri, site.get(&uri).await.json()).await.is(200);
    assert_eq!(site.state(MAC).await, "armed", "sent back as it was, its window stays");

    let tag = site.get(&uri).await.header("etag").to_owned();
    site.call("POST", &format!("{uri}/disarm")).set("if-match", &tag).send().await.is(200);
    site.call("POST", &format!("{uri}/arm")).set("if-match", &tag).send().await.problem(412);
    assert_eq!(site.state(MAC).await, "local", "a stale page arms nothing");
    let armed = site.call("POST", &format!("{uri}/arm")).send().await.is(200).json();
    assert_eq!((armed["state"].as_str(), armed["attempts_left"].as_i64()), (Some("armed"), Some(1)));
    // A change of profile closes the window and opens none.
    let changed = site.patch(&uri, json!({"boot_profile": "cp"})).await.is(200).json();
    assert_eq!((changed["state"].as_str(), changed["boot_profile"].as_str()), (Some("local"), Some("cp")));

    site.patch(&uri, json!({"protected": true})).await.is(200);
    site.call("POST", &format!("{uri}/arm")).send().await.problem(409);
    site.patch(&uri, json!({"boot_profile": "deb"})).await.problem(409);
    site.delete(&uri).await.problem(409);
    site.patch(&uri, json!({"protected": false})).await.is(200);
    site.delete(&uri).await.is(204);
    site.get(&uri).await.problem(404);
    site.get(&format!("{ASSIGNMENTS}/nonsense")).await.problem(422);
}

#[tokio::test]
async fn lists_are_paged_and_filtered_literally() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.profile(talos("cp")).await;
    for n in 0..25 {
        let profile = if n % 5 == 0 { "cp" } else { "deb" };
        let more = json!({"armed": n % 2 == 0, "serial": if n == 7 { "50%_x!" } else { "plain-50" }});
        site.assign(&format!("52:54:00:00:01:{n:02x}"), &format!("n{n}"), profile, more).await;
    }
    let all = |query: &str| {
        let (site, query) = (&site, query.to_owned());
        async move {
            let (mut found, mut cursor, mut pages) = (vec![], String::new(), 0);
            loop {
                let page = site.get(&format!("{ASSIGNMENTS}?limit=7{query}{cursor}")).await.is(200).json();
                let items = page["items"].as_array().unwrap();
                assert!(items.len() <= 7);
                found.extend(items.iter().map(|i| i["node_name"].as_str().unwrap().to_owned()));
                pages += 1;
                match page["next"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => return (found, pages),
                }
            }
        }
    };
    let (found, pages) = all("").await;
    assert_eq!((found.len(), pages), (25, 4));
    assert_eq!(found, (0..25).map(|n| format!("n{n}")).collect::<Vec<_>>(), "each once, in order");
    for (query, count) in [
        ("&state=armed", 13),
        ("&state=installed", 0),
        ("&profile=cp", 5),
        ("&profile=nope", 0),
        ("&q=n1", 11),
        ("&q=N1", 11),
        ("&q=%25", 1),
        ("&q=_", 1),
        ("&q=50%25_", 1),
        ("&q=!", 1),
        ("&q=%27%20OR%201=1", 0),
        ("&q=5254.0000.0103", 1),
        ("&q=00:01:0", 16),
        ("&state=armed&profile=cp", 3),
    ] {
        assert_eq!(all(query).await.0.len(), count, "{query}");
    }
    for bad in
        ["limit=0", "limit=501", "limit=-1", "limit=1e9", "cursor=zz", "state=nope", "sort=x", "q=a&q=b"]
    {
        let answer = site.get(&format!("{ASSIGNMENTS}?{bad}")).await;
        assert!(matches!(answer.status, 400 | 422), "{bad}: {}", answer.status);
        answer.problem(answer.status);
    }
    let events = site.get("/api/v1/boot/events?limit=5").await.json();
    let next = events["next"].as_str().unwrap().to_owned();
    site.events("").await;
    let more = site.get(&format!("/api/v1/boot/events?limit=500&cursor={next}")).await.is(200).json();
    assert!(
        more["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|e| e["id"].as_i64() < events["items"][4]["id"].as_i64())
    );
}

#[tokio::test]
async fn assets_keep_their_bytes_as_long_as_a_label_needs_them() {
    let site = Site::start().await;
    site.profile(memtest("a")).await;
    site.profile(memtest("b")).await;
    let one = site.asset("a", "k", b"same bytes").await;
    site.asset("b", "k", b"same bytes").await;
    assert_eq!(one["path"], "/boot/assets/a/k");
    let digest = one["sha256"].as_str().unwrap();
    let good = site
        .call("PUT", &format!("{PROFILES}/a/assets/k2"))
        .set("x-content-sha256", digest)
        .body("same bytes");
    good.send().await.is(201);
    let listed = site.get(&format!("{PROFILES}/a/assets")).await.json();
    let files: Vec<&str> =
        listed["items"].as_array().unwrap().iter().map(|a| a["file"].as_str().unwrap()).collect();
    assert_eq!(files, ["k", "k2", "memtest.bin"]);
    site.delete(&format!("{PROFILES}/a/assets/k")).await.is(204);
    site.delete(&format!("{PROFILES}/a/assets/k")).await.problem(404);
    site.delete(&format!("{PROFILES}/a/assets/k2")).await.is(204);
    assert_eq!(site.boot("/boot/assets/b/k").await.is(200).body, b"same bytes");
    let place = site.app.config().assets_dir.join("sha256").join(&digest[..2]).join(digest);
    assert!(place.exists());
    site.delete(&format!("{PROFILES}/b/assets/k")).await.is(204);
    assert!(!place.exists(), "nobody needs them any more");
    site.boot("/boot/assets/b/k").await.is(404);
    // Imports: the URL rules, before anything is fetched.
    for url in [
        "http://127.0.0.1/k",
        "http://169.254.169.254/k",
        "http://[::1]/k",
        "http://0x7f.1/k",
        "file:///etc/passwd",
        "http://u:p@h/k",
        "gopher://h/k",
    ] {
        let answer = site.post(&format!("{PROFILES}/a/assets"), json!({"url": url})).await;
        assert_eq!(answer.pointers(), ["/url"], "{url}");
    }
}

#[tokio::test]
async fn tokens_are_shown_once_and_die_at_once() {
    let site = Site::start().await;
    let made = site.post("/api/v1/tokens", json!({"name": "ci", "role": "operator"})).await.is(201);
    assert_eq!(made.header("cache-control"), "no-store");
    let (id, secret) =
        (made.json()["id"].as_str().unwrap().to_owned(), made.json()["token"].as_str().unwrap().to_owned());
    assert!(secret.len() >= 43);
    site.post("/api/v1/tokens", json!({"name": "ci", "role": "viewer"})).await.problem(409);
    assert_eq!(site.post("/api/v1/tokens", json!({"name": "x", "role": "root"})).await.pointers(), ["/role"]);
    let past = json!({"name": "x", "role": "viewer", "expires_at": "2026-03-01T12:00:00Z"});
    assert_eq!(site.post("/api/v1/tokens", past).await.pointers(), ["/expires_at"]);
    site.call("GET", PROFILES).token(&secret).send().await.is(200);
    for uri in ["/api/v1/tokens", "/api/v1/audit", "/api/v1/backup", "/metrics"] {
        assert!(!site.get(uri).await.is(200).text().contains(&secret), "{uri}");
    }
    assert_eq!(
        site.get("/api/v1/tokens").await.json()["items"][0]["last_used_at"],
        "2026-03-01T12:00:00.000Z"
    );
    site.delete(&format!("/api/v1/tokens/{id}")).await.is(204);
    site.call("GET", PROFILES).token(&secret).send().await.problem(401);
    site.delete(&format!("/api/v1/tokens/{id}")).await.problem(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_tells_the_truth_masks_and_changes_nothing() {
    let site = Site::start().await;
    site.profile(talos("cp")).await;
    site.assign(MAC, "cp-1", "cp", json!({})).await;
    site.delete(&format!("{PROFILES}/cp/assets/initramfs.xz")).await.is(204);
    let uri = format!("/api/v1/boot/explain?mac={MAC}");
    let before = (
        site.get("/api/v1/backup").await.json(),
        site.events("").await,
        site.get("/api/v1/boot/machines").await.json(),
    );
    let seen = site.get(&uri).await.is(200);
    assert!(seen.json()["warnings"].to_string().contains("initramfs.xz"), "{}", seen.text());
    // The answer that the machine would get: armed, but not without its files.
    assert_eq!(
        (&seen.json()["decision"]["outcome"], &seen.json()["decision"]["rule"]),
        (&json!("local"), &json!("cannot-boot"))
    );
    let assets = &seen.json()["assets"];
    assert_eq!((&assets[0]["exists"], &assets[1]["exists"]), (&json!(true), &json!(false)));
    site.asset("cp", "initramfs.xz", b"bytes of initramfs.xz of cp").await;
    let told = site.get(&uri).await.is(200).json();
    for shown in [&told, &seen.json()] {
        assert!(!shown.to_string().contains(SECRET), "{shown}");
    }
    assert!(told["config"][""].as_str().unwrap().contains("hostname: cp-1"), "{told}");
    assert!(told["script"].as_str().unwrap().starts_with("#!ipxe\n"), "{told}");
    let rules: Vec<&str> =
        told["rules_lost"].as_array().unwrap().iter().map(|r| r["rule"].as_str().unwrap()).collect();
    assert!(rules.contains(&"quarantined") && rules.contains(&"unassigned"), "{rules:?}");
    site.get("/api/v1/boot/explain?mac=52:54:00:00:00:99").await.is(200);
    site.get("/api/v1/boot/explain").await.problem(422);
    site.get(&format!("{uri}&mac={MAC}")).await.problem(400);
    let after = (
        site.get("/api/v1/backup").await.json(),
        site.events("").await,
        site.get("/api/v1/boot/machines").await.json(),
    );
    assert_eq!(before.1, after.1);
    assert_eq!(before.2, after.2);
    assert_eq!(before.0["assignments"], after.0["assignments"]);

    // The machine then gets what was foretold: the same rule, the same kernel arguments.
    let boot = Machine::efi(MAC).boot(&site);
    let real: Vec<&String> = boot
        .kernel()
        .args
        .iter()
        .filter(|a| !a.starts_with("talos.config=") && !a.starts_with("initrd="))
        .collect();
    let foretold: Vec<String> = told["kernel_args"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a.as_str().unwrap().to_owned())
        .filter(|a| !a.starts_with("talos.config="))
        .collect();
    assert_eq!(real, foretold.iter().collect::<Vec<_>>());
    // From elsewhere, and afterwards, it says so.
    let elsewhere = site.get(&format!("{uri}&ip=203.0.113.9")).await.json();
    assert_eq!(elsewhere["decision"]["rule"], "outside-provisioning");
    site.push(Span::hours(4));
    assert_eq!(site.get(&uri).await.json()["decision"]["outcome"], "local");
}

#[tokio::test]
async fn viewers_and_operators_never_see_secrets() {
    let site = Site::start().await;
    site.profile(talos("cp")).await;
    site.assign(MAC, "cp-1", "cp", json!({"boot_params_override": {"machine_token": "hunter3-own-token"}}))
        .await;
    let uris = [
        PROFILES.to_owned(),
        format!("{PROFILES}/cp"),
        ASSIGNMENTS.to_owned(),
        format!("{ASSIGNMENTS}/{MAC}"),
        "/api/v1/boot/export".into(),
        "/api/v1/audit".into(),
        "/api/v1/boot/events".into(),
        format!("/api/v1/boot/explain?mac={MAC}"),
        "/api/v1/boot/machines".into(),
    ];
    for uri in &uris {
        for token in [site.viewer().await, site.operator().await] {
            let text = site.call("GET", uri).token(token).send().await.is(200).text();
            assert!(!text.contains("hunter"), "{uri}: {text}");
        }
    }
    // The mask sent back means "as it is", and no secret is lost by it.
    let uri = format!("{ASSIGNMENTS}/{MAC}");
    let seen = site.call("GET", &uri).token(site.operator().await).send().await.is(200).json();
    let mut back = seen.clone();
    back["node_name"] = json!("cp-9");
    let put = site.call("PUT", &uri).token(site.operator().await).json(&back).send().await.is(200);
    assert!(!put.text().contains("hunter"));
    assert_eq!(site.get(&uri).await.json()["boot_params_override"]["machine_token"], "hunter3-own-token");
    // A mask where nothing was is a mistake.
    let patch = json!({"boot_params_override": {"other_token": "********"}});
    assert_eq!(site.patch(&uri, patch).await.pointers(), ["/boot_params_override/other_token"]);
}

#[tokio::test]
async fn the_audit_log_names_every_change_and_no_secret() {
    let site = Site::start().await;
    site.profile(talos("cp")).await;
    site.assign(MAC, "cp-1", "cp", json!({"boot_params_override": {"machine_token": "hunter3-own-token"}}))
        .await;
    site.patch(&format!("{PROFILES}/cp"), json!({"params": {"machine_token": "hunter4-next-token"}}))
        .await
        .is(200);
    site.patch(
        &format!("{ASSIGNMENTS}/{MAC}"),
        json!({"boot_params_override": {"password": "hunter5-pass"}}),
    )
    .await
    .is(200);
    let token = site.new_token("ci", "viewer").await;
    let audit = site.audit().await;
    let actions: Vec<&str> = audit.iter().map(|r| r["action"].as_str().unwrap()).collect();
    assert_eq!(
        actions,
        [
            "token.create",
            "assignment.update",
            "profile.update",
            "assignment.create",
            "asset.put",
            "asset.put",
            "profile.create"
        ]
    );
    let text = json!(audit).to_string();
    assert!(!text.contains("hunter") && !text.contains(&token) && !text.contains(ADMIN), "{text}");
    let page = site.get("/api/v1/audit?limit=3").await.json();
    let rest = site.get(&format!("/api/v1/audit?cursor={}", page["next"].as_str().unwrap())).await.json();
    assert_eq!(rest["items"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn export_and_apply_come_round() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.profile(talos("cp")).await;
    site.profile(memtest("memtest")).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    let special = json!({"boot_policy": "always", "uuid": "4c4c4544-004b-3510-8051-b4c04f4c4d32", "extra_macs": ["52:54:00:00:00:13"], "local_boot": "exit", "boot_params_override": {"machine_token": "hunter3-own-token"}});
    site.assign("52:54:00:00:00:12", "cp-1", "cp", special).await;
    async fn apply(site: &Site, query: &str, body: &Value) -> Answer {
        site.call("POST", &format!("/api/v1/boot/apply{query}")).json(body).send().await
    }
    let actions = |answer: &Value| -> Vec<String> {
        answer["changes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["action"].as_str().unwrap().to_owned())
            .collect()
    };
    let exported = site.get("/api/v1/boot/export").await.is(200).json();
    let kept = async || {
        let mut backup = site.get("/api/v1/backup").await.json();
        // That it was made is on record by the next one.
        for field in ["audit_head", "mac"] {
            backup.as_object_mut().unwrap().remove(field).unwrap();
        }
        (backup, site.audit().await)
    };
    let before = kept().await;
    let again = apply(&site, "", &exported).await.is(200).json();
    assert_eq!(actions(&again), vec!["unchanged"; 5], "{again}");
    assert_eq!(kept().await, before, "and nothing is on record");

    // On another site: created, nothing armed, and the same export comes out.
    let copy = Site::start().await;
    let plan = apply(&copy, "?dry_run=true", &exported).await.is(200).json();
    assert_eq!((&plan["dry_run"], actions(&plan)), (&json!(true), vec!["create".to_owned(); 5]), "{plan}");
    assert_eq!(copy.get(PROFILES).await.json()["items"], json!([]), "a dry run changes nothing");
    apply(&copy, "", &exported).await.is(200);
    assert_eq!(copy.get("/api/v1/boot/export").await.json(), exported);
    assert_eq!(copy.state(MAC).await, "local");
    assert_eq!(
        copy.get(&format!("{PROFILES}/memtest")).await.json()["destructive"],
        false,
        "an admin's word travels"
    );

    // One bad item, and nothing of the set is there.
    let bad = json!({"items": [
        {"kind": "profile", "name": "p2", "profile_type": "custom", "kernel_path": "k"},
        {"kind": "assignment", "mac_address": "52:54:00:00:00:21", "node_name": "m1", "boot_profile": "p2"},
        {"kind": "assignment", "mac_address": "nonsense", "node_name": "m2", "boot_profile": "p2"},
    ]});
    assert_eq!(apply(&site, "", &bad).await.pointers(), ["/items/2/mac_address"]);
    let mut clash = bad.clone();
    clash["items"][2] = json!({"kind": "assignment", "mac_address": "52:54:00:00:00:22", "node_name": "n1", "boot_profile": "p2"});
    apply(&site, "", &clash).await.problem(409);
    site.get(&format!("{PROFILES}/p2")).await.problem(404);
    site.get(&format!("{ASSIGNMENTS}/52:54:00:00:00:21")).await.problem(404);
    let mut twice = bad.clone();
    twice["items"][2] = twice["items"][1].clone();
    apply(&site, "", &twice).await.problem(422);
    // A correct set, in any order, with the change named; an operator may not touch profiles.
    let mut good = bad.clone();
    good["items"].as_array_mut().unwrap().pop();
    good["items"].as_array_mut().unwrap().reverse();
    let denied =
        site.call("POST", "/api/v1/boot/apply").token(site.operator().await).json(&good).send().await;
    denied.problem(403);
    apply(&site, "", &good).await.is(200);
    assert_eq!(site.state("52:54:00:00:00:21").await, "armed", "a new machine is armed once");
    good["items"][0]["node_name"] = json!("renamed");
    let changed = apply(&site, "", &good).await.is(200).json();
    let change =
        changed["changes"].as_array().unwrap().iter().find(|c| c["kind"] == "assignment").unwrap().clone();
    assert_eq!((change["action"].as_str(), &change["fields"]), (Some("update"), &json!(["node_name"])));
    let armed = site.messages("armed").await;
    assert!(armed.iter().any(|m| m.contains("p2")), "arming by apply is an event too: {armed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_restores_everything_and_arms_nothing() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.profile(talos("cp")).await;
    site.profile(memtest("memtest")).await;
    for (n, mac) in [MAC, "52:54:00:00:00:12", "52:54:00:00:00:13", "52:54:00:00:00:14"].iter().enumerate() {
        site.assign(mac, &format!("n{n}"), if n == 3 { "cp" } else { "deb" }, json!({"protected": false}))
            .await;
    }
    // One in each state: armed, booting, delivered, and one that is done.
    let booting = Machine::bios("52:54:00:00:00:12").boot(&site).arg("url");
    let delivered = Machine::bios("52:54:00:00:00:13").boot(&site).arg("url");
    Machine::bios("52:54:00:00:00:13").fetch(&site, &delivered).await.is(200);
    let token = site.new_token("ci", "viewer").await;
    let backup = site.get("/api/v1/backup").await.is(200);

    let other = Site::start().await;
    other.post(PROFILES, json!({"name": "gone", "profile_type": "custom", "kernel_path": "k"})).await.is(201);
    // With what an admin had lowered, so with an admin's word.
    let restored = other
        .call("POST", "/api/v1/restore?unsigned=true")
        .body(backup.body.clone())
        .send()
        .await
        .is(200)
        .json();
    assert_eq!(
        (&restored["profiles"], &restored["assignments"], &restored["armed"]),
        (&json!(3), &json!(4), &json!(0))
    );
    assert_eq!(
        restored["missing_assets"].as_array().unwrap().len(),
        5,
        "bytes of assets are not in it, and it says so"
    );
    other.get(&format!("{PROFILES}/gone")).await.problem(404);
    async fn items(site: &Site, uri: &str) -> Value {
        site.get(uri).await.json()["items"].clone()
    }
    assert_eq!(items(&other, PROFILES).await, items(&site, PROFILES).await);
    let bare = |mut list: Value| {
        for item in list.as_array_mut().unwrap() {
            for field in ["state", "attempts_left", "armed_until", "revision"] {
                item.as_object_mut().unwrap().remove(field);
            }
        }
        list
    };
    assert_eq!(bare(items(&other, ASSIGNMENTS).await), bare(items(&site, ASSIGNMENTS).await));
    for item in items(&other, ASSIGNMENTS).await.as_array().unwrap() {
        let state = item["state"].as_str().unwrap();
        assert!(
            !["armed", "booting", "delivered"].contains(&state) && item["armed_until"].is_null(),
            "{item}"
        );
    }
    other.call("GET", PROFILES).token(&token).send().await.is(200);
    for (mac, url) in [("52:54:00:00:00:12", &booting), ("52:54:00:00:00:13", &delivered)] {
        let machine = Machine::bios(mac);
        machine.boot(&other).went_local();
        machine.fetch(&other, url).await.is(403);
    }
    // Over itself: everybody is disarmed there too, and open tokens die.
    site.call("POST", "/api/v1/restore").body(backup.body.clone()).send().await.is(200);
    Machine::bios(MAC).boot(&site).went_local();
    Machine::bios("52:54:00:00:00:12").fetch(&site, &booting).await.is(403);
    site.asset("deb", "linux", b"again").await;
    // Anything that is no backup changes nothing.
    for bad in ["{}", "[]", "x", r#"{"format":"moxxie-backup/99"}"#] {
        let answer = site.call("POST", "/api/v1/restore").body(bad).send().await;
        assert!(matches!(answer.status, 400 | 422), "{bad}: {}", answer.status);
    }
    const UNSIGNED: &str = "/api/v1/restore?unsigned=true";
    let mut broken = backup.json();
    broken.as_object_mut().unwrap().remove("mac");
    let mut twice = broken.clone();
    broken["assignments"][0]["boot_profile_id"] = json!("nobody");
    site.call("POST", UNSIGNED).json(&broken).send().await.problem(422);
    twice["assignments"][1]["spec"]["node_name"] = twice["assignments"][0]["spec"]["node_name"].clone();
    site.call("POST", UNSIGNED).json(&twice).send().await.problem(409);
    assert_eq!(items(&site, PROFILES).await.as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn events_are_listed_filtered_and_streamed() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    site.push(Span::hours(1));
    site.call("POST", &format!("{ASSIGNMENTS}/{MAC}/disarm")).send().await.is(200);
    site.boot("/boot/menu.ipxe?mac=52:54:00:00:00:99").await.is(200);
    assert_eq!(site.events("").await.len(), 3);
    assert_eq!(site.events("&mac=5254.0000.0011").await.len(), 2);
    assert_eq!(site.events("&kind=menu.unknown").await.len(), 1);
    assert_eq!(site.events("&since=2026-03-01T13:00:00Z").await.len(), 2);
    for bad in ["mac=x", "kind=nope", "since=yesterday", "nope=1"] {
        let answer = site.get(&format!("/api/v1/boot/events?{bad}")).await;
        assert!(matches!(answer.status, 400 | 422), "{bad}");
    }

    let stream = |query: &str, last: Option<&str>| {
        let mut call =
            site.call("GET", &format!("/api/v1/boot/events{query}")).set("accept", "text/event-stream");
        if let Some(last) = last {
            call = call.set("last-event-id", last);
        }
        call.open()
    };
    let response = stream("", None).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut live = response.into_body();
    let mut only = stream("?kind=armed", None).await.into_body();
    site.call("POST", &format!("{ASSIGNMENTS}/{MAC}/arm")).send().await.is(200);
    site.boot("/boot/menu.ipxe?mac=52:54:00:00:00:98").await.is(200);
    site.events("").await;
    let got = read_events(&mut live, 2).await;
    assert_eq!((&got[0]["kind"], &got[1]["kind"]), (&json!("armed"), &json!("menu.unknown")), "from now on");
    assert_eq!(read_events(&mut only, 1).await[0]["kind"], "armed");
    // Resumed behind the first event: everything since, once.
    let mut resumed = stream("", Some("1")).await.into_body();
    let ids: Vec<i64> =
        read_events(&mut resumed, 4).await.iter().map(|e| e["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, [2, 3, 4, 5]);
    for odd in ["-9223372036854775808", "9223372036854775807", "x"] {
        assert_eq!(stream("", Some(odd)).await.status(), 200, "{odd}");
    }
}

/// Reads until so many events have come.
async fn read_events(body: &mut Body, count: usize) -> Vec<Value> {
    let mut events = vec![];
    let reading = async {
        while events.len() < count {
            let frame = body.frame().await.expect("the stream ended").unwrap();
            let text = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
            events.extend(
                text.lines()
                    .filter_map(|l| l.strip_prefix("data: "))
                    .map(|l| serde_json::from_str(l).unwrap()),
            );
        }
    };
    // A stream that stays silent is a failure and not a test that hangs.
    tokio::time::timeout(Duration::from_secs(20), reading).await.expect("the events did not come");
    events
}

#[tokio::test]
async fn health_and_unknown_urls() {
    let site = Site::start().await;
    assert_eq!(site.boot("/livez").await.is(200).text(), "ok\n");
    assert_eq!(site.boot("/readyz").await.is(200).text(), "ready\n");
    site.boot("/boot/menu.ipxe?mac=52:54:00:00:00:99").await.is(200);
    let metrics = site.boot("/metrics").await.is(200).text();
    assert!(metrics.contains("moxxie_http_requests_total{") && !metrics.contains("52:54"), "{metrics:.500}");
    site.get("/api/v1/nothing").await.problem(404);
    site.get("/nothing").await.problem(404);
    site.call("DELETE", PROFILES).send().await.problem(405);
    site.app.draining.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(site.boot("/readyz").await.is(503).text(), "stopping\n");
    site.boot("/livez").await.is(200);
}
