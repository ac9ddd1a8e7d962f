//! T16: nobody learns more than their role allows. Secrets stand wherever people put them; every
//! route that reads is asked by everybody, and only the places of the table show them. The walk
//! goes over the API's description: a new route without a row fails by its name.

use crate::openapi::description;
use crate::util::app::{ADMIN, HOST};
use crate::util::recipes::{ASSIGNMENTS, PROFILES};
use crate::util::text::{hex, sha256};
use crate::util::{Answer, Machine, Site};
use serde_json::{Value, json};

const MAC: &str = "52:54:00:00:00:11";
const APPLY: &str = "/api/v1/boot/apply";

/// The secrets by where they stand. No shape gives them away.
const SECRETS: &[(&str, &str)] = &[
    ("params", "horse-qparamsq"),
    ("template", "horse-qtemplateq"),
    ("arguments", "horse-qargumentsq"),
    ("url", "horse-qurlq"),
    ("override", "horse-qoverrideq"),
    ("site", "horse-qsiteq"),
    ("replaced", "horse-qreplacedq"),
];

/// Of a profile.
const PROFILE: &[&str] = &["params", "template", "arguments", "url"];
/// Of profiles and assignments.
const STORED: &[&str] = &["params", "template", "arguments", "url", "override"];
/// Of a machine's config.
const CONFIG: &[&str] = &["params", "template", "override", "site"];
/// On the kernel's command line, where the machine has to be told.
const SCRIPT: &[&str] = &["arguments", "url"];
const NONE: &[&str] = &[];

/// Route, what an admin sees there, and what everybody else does.
const FIELDS: &[(&str, &[&str], &[&str])] = &[
    ("/api/v1/boot/profiles", PROFILE, NONE),
    ("/api/v1/boot/profiles/{name}", PROFILE, NONE),
    ("/api/v1/boot/profiles/{name}/assets", NONE, NONE),
    ("/api/v1/boot/profiles/{name}/assets/{file}", NONE, NONE),
    ("/api/v1/boot/firmware", NONE, NONE),
    ("/api/v1/boot/assignments", &["override"], NONE),
    ("/api/v1/boot/assignments/{mac}", &["override"], NONE),
    // Masked for admins, too: what they see there, they show to others.
    ("/api/v1/boot/explain", NONE, NONE),
    ("/api/v1/boot/troubleshoot", NONE, NONE),
    ("/api/v1/boot/machines", NONE, NONE),
    ("/api/v1/boot/downloads", NONE, NONE),
    ("/api/v1/doctor", NONE, NONE),
    ("/api/v1/boot/network-config", NONE, NONE),
    ("/api/v1/boot/events", NONE, NONE),
    ("/api/v1/boot/export", STORED, NONE),
    ("/api/v1/audit", NONE, NONE),
    ("/api/v1/audit/verify", NONE, NONE),
    ("/api/v1/boot/approvals", NONE, NONE),
    ("/api/v1/secrets", NONE, NONE),
    ("/api/v1/tokens", NONE, NONE),
    ("/api/v1/uploads/{id}", NONE, NONE),
    // Sealed: who has the file needs the site's key as well.
    ("/api/v1/backup", NONE, NONE),
    ("/boot/menu.ipxe", SCRIPT, SCRIPT),
    ("/boot/{profile}.ipxe", SCRIPT, SCRIPT),
    ("/boot/assets/{profile}/{file}", NONE, NONE),
    ("/boot/assets/{profile}/{file}/{member}", NONE, NONE),
    ("/boot/firmware/{file}", NONE, NONE),
    // A preview; machines have boot tokens.
    ("/boot/configs/{profile}/{mac}", CONFIG, NONE),
    ("/boot/configs/{profile}/{mac}/{resource}", NONE, NONE),
    ("/boot/configs/{profile}/{mac}/{token}/{resource}", NONE, NONE),
    ("/boot/report", NONE, NONE),
    ("/livez", NONE, NONE),
    ("/readyz", NONE, NONE),
    ("/metrics", NONE, NONE),
];

fn secret(what: &str) -> &'static str {
    SECRETS.iter().find(|(name, _)| *name == what).unwrap().1
}

/// The secrets in a text, also as hexadecimal, of which cursors are made.
fn found_in(text: &str) -> Vec<&'static str> {
    let stands = |value: &str| text.contains(value) || text.contains(&hex(value));
    SECRETS.iter().filter(|(_, value)| stands(value)).map(|(name, _)| *name).collect()
}

fn told(answer: &Answer) -> String {
    format!("{:?}\n{}", answer.headers, answer.text())
}

#[track_caller]
fn shows_nothing(answer: &Answer) {
    let found = found_in(&told(answer));
    assert!(found.is_empty(), "{} shows {found:?}: {}", answer.what, answer.text());
}

fn profile() -> Value {
    json!({
        "name": "cp", "profile_type": "talos", "kernel_path": "vmlinuz", "initrd_path": "initramfs.xz",
        "extra_initrds": [format!("http://boot:{}@10.0.0.1/extra.img", secret("url"))],
        "boot_params": format!("rack=r1 password={}", secret("arguments")),
        "config_template": format!(
            "machine:\n  token: {}\n  a: {{{{ params.password }}}}\n  b: {{{{ params.join_token }}}}\n  c: {{{{ params.site_password }}}}\n",
            secret("template")
        ),
        "params": {"password": secret("replaced"), "join_token": "none", "rack": "r1"},
    })
}

/// A site with secrets everywhere, and with something to tell in every list.
async fn planted() -> Site {
    let site = Site::with(&format!("[params]\nsite_password = \"{}\"\n", secret("site"))).await;
    site.profile(profile()).await;
    site.patch(&format!("{PROFILES}/cp"), json!({"params": {"password": secret("params")}})).await.is(200);
    let own = json!({"boot_params_override": {"join_token": secret("override")}});
    site.assign(MAC, "cp-1", "cp", own).await;
    site
}

/// One boot, with a config that was delivered. Its text.
async fn booted(site: &Site) -> String {
    let machine = Machine::bios(MAC);
    let menu = format!("http://{HOST}/boot/menu.ipxe?mac={MAC}");
    let script = machine.fetch(site, &menu).await.is(200).text();
    let url = script.split_whitespace().find_map(|word| word.strip_prefix("talos.config=")).unwrap();
    let config = machine.fetch(site, url).await.is(200).text();
    assert_eq!(found_in(&config), CONFIG, "the machine's own");
    machine.fetch(site, &url.replace("t=", "t=A")).await.is(403);
    site.events("").await;
    config
}

fn uri(path: &str, upload: &str) -> String {
    let query = match path {
        "/api/v1/boot/explain" | "/boot/menu.ipxe" | "/boot/{profile}.ipxe" => format!("?mac={MAC}"),
        "/boot/report" => "?t=x&stage=started".into(),
        "/api/v1/boot/network-config" => "?vendor=dnsmasq&leases=static".into(),
        _ => String::new(),
    };
    let path = path.replace("{name}", "cp").replace("{profile}", "cp").replace("{mac}", MAC);
    let path = path.replace("{file}", "vmlinuz").replace("{id}", upload).replace("{token}", "x");
    format!("{}{query}", path.replace("{resource}", "user-data").replace("{member}", "a"))
}

/// The routes that read.
fn described() -> Vec<String> {
    let api = description();
    let paths = api["paths"].as_object().unwrap().iter();
    paths.filter(|(_, methods)| methods.get("get").is_some()).map(|(path, _)| path.clone()).collect()
}

#[test]
fn t16_every_route_that_reads_has_a_row() {
    let described = described();
    let missing: Vec<_> = described.iter().filter(|p| FIELDS.iter().all(|row| row.0 != **p)).collect();
    assert!(missing.is_empty(), "say in FIELDS who sees which secrets at {missing:?}");
    let gone: Vec<_> = FIELDS.iter().filter(|row| !described.iter().any(|p| p == row.0)).collect();
    assert!(gone.is_empty(), "not described any more: {gone:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t16_secrets_show_where_the_table_says_and_nowhere_else() {
    let site = planted().await;
    // While the window is open, and again when everything has happened.
    for round in 0..2 {
        if round == 1 {
            booted(&site).await;
            site.arm(MAC).await;
        }
        let upload = site.post("/api/v1/uploads", json!({"size": 4})).await.is(201).json();
        let upload = upload["id"].as_str().unwrap();
        let callers = [
            ("nobody", "not-a-token-of-this-site"),
            ("a viewer", site.viewer().await),
            ("an operator", site.operator().await),
            ("an admin", ADMIN),
        ];
        let mut wrong = vec![];
        for (path, admin, others) in FIELDS {
            for (caller, token) in callers {
                let want = if caller == "an admin" { admin } else { others };
                let answer = site.call("GET", &uri(path, upload)).token(token).send().await;
                let found = found_in(&told(&answer));
                if found != *want {
                    wrong.push(format!("{path} shows {caller} {found:?} instead of {want:?}"));
                }
                // A tag of a body with secrets would confirm guesses: revisions do not.
                let tag = answer.header("etag").trim_matches('"').to_owned();
                // That of a file is the digest of its bytes, which machines may have without a token.
                let file = path.ends_with("/assets/{file}");
                if path.starts_with("/api/") && !file && !tag.is_empty() && tag.parse::<i64>().is_err() {
                    wrong.push(format!("{path} has an ETag that is no revision: {tag}"));
                }
            }
        }
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
        for path in ["/api/docs", "/api/v1/openapi.json", "/", "/api/v1/nothing"] {
            shows_nothing(&site.get(path).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t16_answers_to_writes_show_no_more_than_reads() {
    let site = planted().await;
    let operator = site.operator().await;
    let own = format!("{ASSIGNMENTS}/{MAC}");
    let exported = site.call("GET", "/api/v1/boot/export").token(operator).send().await.is(200).json();
    shows_nothing(&site.call("GET", &own).token(operator).send().await.is(200));
    let bad = json!({"boot_params_override": {"join_token": "a b ${x}", "bad name": "x"}});
    let other = json!({"items": [{"kind": "assignment", "mac_address": MAC, "node_name": "cp-2", "boot_profile": "cp"}]});
    for (method, uri, body, want) in [
        ("POST", format!("{own}/arm"), json!({}), 200),
        ("POST", format!("{own}/disarm"), json!({}), 200),
        ("PATCH", own.clone(), json!({"serial": "S1"}), 200),
        ("PATCH", own.clone(), bad, 422),
        ("PATCH", own.clone(), json!({"boot_profile": "gone"}), 422),
        (
            "POST",
            ASSIGNMENTS.into(),
            json!({"mac_address": MAC, "node_name": "x", "boot_profile": "cp"}),
            409,
        ),
        ("POST", format!("{APPLY}?dry_run=true"), exported.clone(), 200),
        ("POST", format!("{APPLY}?dry_run=true"), other, 200),
        ("POST", APPLY.into(), exported, 200),
        ("PATCH", format!("{PROFILES}/cp"), json!({"description": "x"}), 403),
        ("PUT", format!("{PROFILES}/cp"), json!({}), 403),
        ("POST", "/api/v1/tokens".into(), json!({"name": "x", "role": "admin"}), 403),
    ] {
        let answer = site.call(method, &uri).token(operator).json(&body).send().await;
        assert_eq!(answer.status, want, "{}: {}", answer.what, answer.text());
        shows_nothing(&answer);
    }
    let stale = site.call("PATCH", &own).token(operator).set("if-match", "\"1\"");
    shows_nothing(&stale.json(&json!({"serial": "S2"})).send().await.is(412));
    // The admin's plans name fields, never values.
    let plan = json!({"items": [{"kind": "assignment", "mac_address": MAC, "node_name": "cp-1", "boot_profile": "cp",
        "boot_params_override": {"join_token": secret("site")}}]});
    let plan = site.post(&format!("{APPLY}?dry_run=true"), plan).await.is(200);
    assert_eq!(plan.json()["changes"][0]["action"], "update");
    shows_nothing(&plan);
}

/// A mask that comes back means "unchanged" where a secret was, and is a mistake anywhere else.
#[tokio::test]
async fn t16_a_mask_never_replaces_a_secret() {
    let site = planted().await;
    let (viewer, operator) = (site.viewer().await, site.operator().await);
    let own = format!("{ASSIGNMENTS}/{MAC}");
    let mut seen = site.call("GET", &own).token(operator).send().await.is(200).json();
    assert_eq!(seen["boot_params_override"]["join_token"], "********");
    seen["serial"] = json!("S1");
    site.call("PUT", &own).token(operator).json(&seen).send().await.is(200);
    let patch = json!({"boot_params_override": {"join_token": "********"}, "serial": "S2"});
    site.call("PATCH", &own).token(operator).json(&patch).send().await.is(200);
    let kept = site.get(&own).await.json();
    assert_eq!(
        (&kept["serial"], &kept["boot_params_override"]["join_token"]),
        (&json!("S2"), &json!(secret("override")))
    );
    for stray in [json!({"new_token": "********"}), json!({"list": ["********"]})] {
        let patch = json!({ "boot_params_override": stray });
        let answer = site.call("PATCH", &own).token(operator).json(&patch).send().await;
        assert_eq!(answer.pointers().len(), 1, "{}", answer.text());
    }

    // An admin saves what a viewer was shown.
    let page = format!("{PROFILES}/cp");
    let before = site.get(&page).await.json();
    let mut shown = site.call("GET", &page).token(viewer).send().await.is(200).json();
    shown["description"] = json!("changed");
    let mut want = before.clone();
    let saved = site.put(&page, shown.clone()).await.is(200).json();
    for field in ["description", "revision", "updated_at"] {
        want[field] = saved[field].clone();
    }
    assert_eq!(saved, want);
    assert_eq!(saved["description"], "changed");
    for (field, value) in [
        ("config_template", json!("machine:\n  token: ********\n  more: 1\n")),
        ("boot_params", json!("rack=r2 password=********")),
        ("kernel_path", json!("http://boot:********@10.0.0.1/other")),
        ("extra_initrds", json!(["http://boot:********@10.0.0.2/extra.img"])),
    ] {
        assert_eq!(site.patch(&page, json!({ field: value })).await.pointers(), [format!("/{field}")]);
    }
    let new = json!({"name": "p2", "profile_type": "custom", "kernel_path": "k", "params": {"password": "********"}});
    assert_eq!(site.post(PROFILES, new).await.pointers(), ["/params/password"]);

    // What was exported without secrets is applied without loss, by an operator, too.
    let exported = site.call("GET", "/api/v1/boot/export").token(viewer).send().await.is(200).json();
    let before = site.get("/api/v1/backup").await.json();
    for token in [operator, ADMIN] {
        let applied = site.call("POST", APPLY).token(token).json(&exported).send().await.is(200).json();
        let changes = applied["changes"].as_array().unwrap();
        assert!(changes.len() == 2 && changes.iter().all(|c| c["action"] == "unchanged"), "{applied}");
    }
    assert_eq!(site.get("/api/v1/backup").await.json()["profiles"], before["profiles"]);
}

/// Whether somebody guessed a secret right must not show in what they are told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t16_nothing_confirms_a_guess() {
    let site = planted().await;
    let config = booted(&site).await;
    let (viewer, operator) = (site.viewer().await, site.operator().await);
    let ask = |token: &str, uri: String| site.call("GET", &uri).token(token).send();
    for (what, value) in SECRETS {
        for query in [format!("q={value}"), format!("q={}", &value[..8]), format!("profile={value}")] {
            let page = ask(viewer, format!("{ASSIGNMENTS}?{query}")).await.is(200).json();
            assert_eq!(page["items"], json!([]), "{what} is searched by {query}");
        }
    }
    for order in ["sort=params", "order=boot_params_override", "fields=params"] {
        ask(viewer, format!("{PROFILES}?{order}")).await.problem(400);
    }
    let first = site.call("GET", &format!("{PROFILES}?limit=1")).token(viewer).send().await.is(200);
    shows_nothing(&first);

    // Right, wrong and for something that is not there: one answer to who may not write.
    let refusal = |mac: &'static str, tag: &'static str| {
        let call = site.call("PATCH", &format!("{ASSIGNMENTS}/{mac}")).token(viewer).set("if-match", tag);
        call.json(&json!({"serial": "x"})).send()
    };
    let right = refusal(MAC, "\"1\"").await;
    right.problem(403);
    for (mac, tag) in [(MAC, "\"99\""), (MAC, "x"), ("52:54:00:00:00:77", "\"1\""), ("nonsense", "*")] {
        assert_eq!(refusal(mac, tag).await.body, right.body, "{mac} {tag}");
    }

    // An operator applies a profile with guesses in it.
    let exported = ask(operator, "/api/v1/boot/export".into()).await.is(200).json();
    let item = exported["items"].as_array().unwrap().iter().find(|i| i["kind"] == "profile").unwrap();
    let guess = |password: &str, argument: &str| {
        let mut item = item.clone();
        item["params"]["password"] = json!(password);
        item["boot_params"] = json!(format!("rack=r1 password={argument}"));
        let body = json!({"items": [item]});
        site.call("POST", &format!("{APPLY}?dry_run=true")).token(operator).json(&body).send()
    };
    let right = guess(secret("params"), secret("arguments")).await;
    let wrong = guess("horse-qwrongq", "horse-qwrongq").await;
    assert_eq!((right.status, right.text()), (wrong.status, wrong.text()));
    let mut new = item.clone();
    new["name"] = json!("cp2");
    let denied = site.call("POST", APPLY).token(operator).json(&json!({"items": [new]})).send().await;
    denied.problem(403);

    // The log says that a config went out, and nothing by which its text could be tried.
    let digest = sha256(config.as_bytes());
    for uri in ["/api/v1/audit", "/api/v1/boot/events", "/metrics"] {
        let text = ask(viewer, uri.into()).await.is(200).text();
        assert!(!text.contains(&digest[..16]), "{uri}: {text}");
    }
    let delivered = site.audit().await.into_iter().find(|r| r["action"] == "config.deliver").unwrap();
    assert_eq!(delivered["after"]["mark"].as_str().map(str::len), Some(16), "{delivered}");
}
