//! Who may call what. The walk goes over the API's description, so a new route without a row
//! here fails by its name; and what changes something leaves an audit record, for every route.

use crate::openapi::description;
use crate::util::Site;
use crate::util::app::ADMIN;
use crate::util::recipes::{ASSIGNMENTS, debian};
use moxxie_core::time::Span;
use serde_json::{Value, json};

const MAC: &str = "52:54:00:00:00:11";

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq)]
enum For {
    /// Machines, load balancers: no token, and none is looked at.
    Anybody,
    Viewer,
    Operator,
    Admin,
}

/// Method and path as described, who may call it, what to send, and the audit record it leaves.
const ROUTES: &[(&str, &str, For, &str, &str)] = &[
    ("get", "/boot/menu.ipxe", For::Anybody, "", ""),
    ("get", "/boot/{profile}.ipxe", For::Anybody, "", ""),
    ("get", "/boot/assets/{profile}/{file}", For::Anybody, "", ""),
    ("get", "/boot/assets/{profile}/{file}/{member}", For::Anybody, "", ""),
    // The config routes know boot tokens, and an admin's token for previews: see `boot.rs`.
    ("get", "/boot/configs/{profile}/{mac}", For::Anybody, "", ""),
    ("get", "/boot/configs/{profile}/{mac}/{resource}", For::Anybody, "", ""),
    ("get", "/boot/configs/{profile}/{mac}/{token}/{resource}", For::Anybody, "", ""),
    ("get", "/boot/report", For::Anybody, "", ""),
    ("post", "/boot/report", For::Anybody, "", ""),
    ("get", "/livez", For::Anybody, "", ""),
    ("get", "/readyz", For::Anybody, "", ""),
    ("get", "/metrics", For::Anybody, "", ""),
    ("get", "/api/v1/boot/profiles", For::Viewer, "", ""),
    (
        "post",
        "/api/v1/boot/profiles",
        For::Admin,
        r#"{"name":"new","profile_type":"custom","kernel_path":"k"}"#,
        "profile.create",
    ),
    ("get", "/api/v1/boot/profiles/{name}", For::Viewer, "", ""),
    (
        "put",
        "/api/v1/boot/profiles/{name}",
        For::Admin,
        r#"{"name":"spare","profile_type":"custom","kernel_path":"k2"}"#,
        "profile.update",
    ),
    ("patch", "/api/v1/boot/profiles/{name}", For::Admin, r#"{"description":"x"}"#, "profile.update"),
    ("delete", "/api/v1/boot/profiles/{name}", For::Admin, "", "profile.delete"),
    ("get", "/api/v1/boot/profiles/{name}/assets", For::Viewer, "", ""),
    ("put", "/api/v1/boot/profiles/{name}/assets/{file}", For::Operator, "bytes", "asset.put"),
    ("delete", "/api/v1/boot/profiles/{name}/assets/{file}", For::Operator, "", "asset.delete"),
    (
        "post",
        "/api/v1/boot/profiles/{name}/assets",
        For::Operator,
        // The bytes of the file that is there.
        r#"{"file":"copy","sha256":"3122b50fca9982f5fa043cb9c0e7bfe74d84943dd7e5ed360984f82972a9f3b1"}"#,
        "asset.put",
    ),
    // Needs an image on the shelf: `iso.rs` counts its records.
    ("post", "/api/v1/boot/profiles/{name}/assets/{file}/extract", For::Operator, "{}", ""),
    // An upload is nothing that machines see: the record is left when it becomes a file.
    ("post", "/api/v1/uploads", For::Operator, r#"{"size":4}"#, ""),
    ("get", "/api/v1/uploads/{id}", For::Operator, "", ""),
    ("patch", "/api/v1/uploads/{id}", For::Operator, "abcd", ""),
    ("delete", "/api/v1/uploads/{id}", For::Operator, "", ""),
    ("get", "/api/v1/boot/assignments", For::Viewer, "", ""),
    (
        "post",
        "/api/v1/boot/assignments",
        For::Operator,
        r#"{"mac_address":"52:54:00:00:00:22","node_name":"n2","boot_profile":"deb"}"#,
        "assignment.create",
    ),
    ("get", "/api/v1/boot/assignments/{mac}", For::Viewer, "", ""),
    (
        "put",
        "/api/v1/boot/assignments/{mac}",
        For::Operator,
        r#"{"mac_address":"52:54:00:00:00:11","node_name":"n9","boot_profile":"deb"}"#,
        "assignment.update",
    ),
    ("patch", "/api/v1/boot/assignments/{mac}", For::Operator, r#"{"node_name":"n8"}"#, "assignment.update"),
    ("delete", "/api/v1/boot/assignments/{mac}", For::Operator, "", "assignment.delete"),
    ("post", "/api/v1/boot/assignments/{mac}/arm", For::Operator, "", "assignment.arm"),
    ("post", "/api/v1/boot/assignments/{mac}/disarm", For::Operator, "", "assignment.disarm"),
    ("get", "/api/v1/boot/explain", For::Viewer, "", ""),
    ("get", "/api/v1/boot/machines", For::Viewer, "", ""),
    ("get", "/api/v1/boot/downloads", For::Viewer, "", ""),
    ("get", "/api/v1/boot/events", For::Viewer, "", ""),
    (
        "post",
        "/api/v1/boot/apply",
        For::Operator,
        r#"{"items":[{"kind":"assignment","mac_address":"52:54:00:00:00:33","node_name":"n3","boot_profile":"deb"}]}"#,
        "assignment.create",
    ),
    ("get", "/api/v1/boot/export", For::Viewer, "", ""),
    ("get", "/api/v1/audit", For::Viewer, "", ""),
    ("get", "/api/v1/tokens", For::Admin, "", ""),
    ("post", "/api/v1/tokens", For::Admin, r#"{"name":"new","role":"viewer"}"#, "token.create"),
    ("delete", "/api/v1/tokens/{id}", For::Admin, "", "token.revoke"),
    ("get", "/api/v1/backup", For::Admin, "", ""),
    ("post", "/api/v1/restore", For::Admin, "BACKUP", "restore"),
    ("get", "/api/v1/secrets", For::Admin, "", ""),
    ("post", "/api/v1/secrets/reseal", For::Admin, "", "secrets.reseal"),
];

/// The routes of the description, as method and path.
fn described() -> Vec<(String, String)> {
    let mut routes = vec![];
    for (path, methods) in description()["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys().filter(|m| *m != "parameters") {
            routes.push((method.clone(), path.clone()));
        }
    }
    routes
}

/// A site with something for every path to name.
async fn furnished() -> (Site, Ids) {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.post(
        "/api/v1/boot/profiles",
        json!({"name": "spare", "profile_type": "custom", "kernel_path": "k"}),
    )
    .await
    .is(201);
    site.assign(MAC, "n1", "deb", json!({})).await;
    let token = site.post("/api/v1/tokens", json!({"name": "victim", "role": "viewer"})).await.is(201).json();
    let upload = site.post("/api/v1/uploads", json!({"size": 4})).await.is(201).json();
    let id = |made: &Value| made["id"].as_str().unwrap().to_owned();
    let ids = Ids { token: id(&token), upload: id(&upload) };
    (site, ids)
}

/// What `{id}` stands for.
struct Ids {
    token: String,
    upload: String,
}

fn uri(path: &str, ids: &Ids) -> String {
    let id = if path.contains("/uploads/") { &ids.upload } else { &ids.token };
    let query = if path.ends_with("/explain") { format!("?mac={MAC}") } else { String::new() };
    // What is changed or deleted is a profile that nobody needs; files are those of the other.
    let profile = if path.ends_with("/profiles/{name}") { "spare" } else { "deb" };
    let path = path
        .replace("{name}", profile)
        .replace("{profile}", "deb")
        .replace("{file}", "linux")
        .replace("{id}", id);
    format!(
        "{}{query}",
        path.replace("{mac}", MAC).replace("{token}", "x").replace("{resource}", "user-data")
    )
}

#[test]
fn every_route_has_a_row_and_every_row_a_route() {
    let described = described();
    let rows: Vec<(String, String)> = ROUTES.iter().map(|r| (r.0.into(), r.1.into())).collect();
    let missing: Vec<_> = described.iter().filter(|r| !rows.contains(r)).collect();
    let gone: Vec<_> = rows.iter().filter(|r| !described.contains(r)).collect();
    assert!(missing.is_empty(), "say in ROUTES who may call {missing:?}, and what audit record it leaves");
    assert!(gone.is_empty(), "not described any more: {gone:?}");
    // What changes something and is not for machines leaves a record.
    for (method, path, who, _, audit) in ROUTES {
        let changes = *method != "get" && *who != For::Anybody;
        assert!(
            !changes
                || !audit.is_empty()
                || path.starts_with("/api/v1/uploads")
                || path.ends_with("/extract"),
            "{method} {path} leaves no audit record"
        );
    }
    // The description says the same as this table.
    let api = description();
    for (method, path, who, ..) in ROUTES {
        let security = &api["paths"][path][method]["security"];
        let want = match who {
            For::Anybody => Value::Null,
            For::Viewer => json!([{"token": ["viewer"]}]),
            For::Operator => json!([{"token": ["operator"]}]),
            For::Admin => json!([{"token": ["admin"]}]),
        };
        assert_eq!(*security, want, "{method} {path}");
    }
}

#[tokio::test]
async fn every_route_asks_for_its_role() {
    let (site, ids) = furnished().await;
    let expires = (site.app.clock.now() + Span::hours(1)).rfc3339().unwrap();
    let expired = site
        .post("/api/v1/tokens", json!({"name": "old", "role": "admin", "expires_at": expires}))
        .await
        .is(201);
    let expired = expired.json()["token"].as_str().unwrap().to_owned();
    let revoked = site.post("/api/v1/tokens", json!({"name": "gone", "role": "admin"})).await.is(201).json();
    site.delete(&format!("/api/v1/tokens/{}", revoked["id"].as_str().unwrap())).await.is(204);
    let (viewer, operator) = (site.viewer().await.to_owned(), site.operator().await.to_owned());
    site.call("GET", ASSIGNMENTS).token(&expired).send().await.is(200);
    site.push(Span::hours(1));
    let bodies = site.audit().await.len();
    let callers = [
        ("nobody", None, None),
        ("an unknown token", Some("0123456789abcdef0123456789abcdef"), None),
        ("an expired token", Some(expired.as_str()), None),
        ("a revoked token", revoked["token"].as_str(), None),
        ("a viewer", Some(viewer.as_str()), Some(For::Viewer)),
        ("an operator", Some(operator.as_str()), Some(For::Operator)),
    ];
    let rank = |who: For| match who {
        For::Anybody => 0,
        For::Viewer => 1,
        For::Operator => 2,
        For::Admin => 3,
    };
    let mut wrong = vec![];
    for (method, path, who, ..) in ROUTES.iter().filter(|r| r.2 != For::Anybody) {
        for (caller, token, role) in callers {
            // A body that is no JSON: who may not call does not get as far as its mistakes.
            let mut call = site
                .anonymous(&method.to_uppercase(), &uri(path, &ids))
                .set("content-type", "application/json");
            if let Some(token) = token {
                call = call.token(token);
            }
            let call = if *method == "get" { call } else { call.body("{") };
            let allowed = role.is_some_and(|r| rank(r) >= rank(*who));
            if allowed && *method != "get" {
                // Tried for effect below.
                continue;
            }
            let answer = call.send().await;
            let want = match (allowed, role) {
                (true, _) => 200,
                (false, Some(_)) => 403,
                (false, None) => 401,
            };
            if answer.status != want {
                wrong.push(format!(
                    "{method} {path} as {caller}: {} instead of {want}: {:.200}",
                    answer.status,
                    answer.text()
                ));
            } else if want != 200 {
                answer.problem(want);
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert_eq!(site.audit().await.len(), bodies, "what was refused changed nothing");
}

/// Each changing route, as the lowest role that may: it works, and says so in the audit log.
#[tokio::test]
async fn every_change_leaves_an_audit_record() {
    for (method, path, who, body, action) in ROUTES.iter().filter(|r| !r.4.is_empty()) {
        let (site, ids) = furnished().await;
        let (token, actor) = match who {
            For::Operator => (site.operator().await.to_owned(), "operator"),
            _ => (ADMIN.to_owned(), "admin"),
        };
        let body = match *body {
            "BACKUP" => site.get("/api/v1/backup").await.is(200).text(),
            body => body.to_owned(),
        };
        let before = site.audit().await;
        let call = site.anonymous(&method.to_uppercase(), &uri(path, &ids)).token(&token);
        let answer = call.set("content-type", "application/json").body(body).send().await;
        assert!((200..300).contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.text());
        let after = site.audit().await;
        assert_eq!(after.len(), before.len() + 1, "{method} {path} leaves one record");
        let record = &after[0];
        assert_eq!(record["action"], *action, "{method} {path}");
        assert_eq!(
            (record["actor"].as_str(), record["peer"].as_str()),
            (Some(actor), Some("10.0.0.5")),
            "{method} {path}"
        );
        assert!(!record["target"].as_str().unwrap().is_empty(), "{method} {path}");
        let shows = !record["before"].is_null() || !record["after"].is_null();
        assert!(shows, "{method} {path}: neither before nor after: {record}");
    }
}

/// Reading changes nothing, whatever is read.
#[tokio::test]
async fn what_only_reads_leaves_no_trace() {
    let (site, ids) = furnished().await;
    let before = (site.get("/api/v1/backup").await.json(), site.events("").await);
    for (method, path, who, ..) in ROUTES {
        if *method == "get" && *who != For::Anybody {
            site.get(&uri(path, &ids)).await.is(200);
        }
    }
    assert_eq!((site.get("/api/v1/backup").await.json(), site.events("").await), before);
}
