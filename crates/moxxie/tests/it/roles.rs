//! Who may call what. The walk goes over the API's description, so a new route without a row
//! here fails by its name; and what changes something leaves an audit record, for every route.

use crate::openapi::description;
use crate::util::Site;
use crate::util::app::ADMIN;
use crate::util::recipes::{ASSIGNMENTS, debian};
use crate::util::text::hex;
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
    ("get", "/boot/firmware/{file}", For::Anybody, "", ""),
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
    ("get", "/api/v1/boot/profiles/{name}/assets/{file}", For::Viewer, "", ""),
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
    ("get", "/api/v1/boot/firmware", For::Viewer, "", ""),
    ("put", "/api/v1/boot/firmware/{file}", For::Admin, "bytes", "firmware.put"),
    ("delete", "/api/v1/boot/firmware/{file}", For::Admin, "", "firmware.delete"),
    // An upload is nothing that machines see: the record is left when it becomes a file.
    ("post", "/api/v1/uploads", For::Operator, r#"{"size":4}"#, ""),
    ("get", "/api/v1/uploads/{id}", For::Operator, "", ""),
    ("patch", "/api/v1/uploads/{id}", For::Operator, "abcd", ""),
    ("delete", "/api/v1/uploads/{id}", For::Operator, "", ""),
    ("get", "/api/v1/boot/assignments", For::Viewer, "", ""),
    ("get", "/api/v1/boot/troubleshoot", For::Viewer, "", ""),
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
    // Needs a machine that waits: `approvals.rs` counts its records.
    ("post", "/api/v1/boot/assignments/{mac}/approve", For::Operator, r#"{"code":"0000"}"#, ""),
    ("get", "/api/v1/boot/approvals", For::Viewer, "", ""),
    // As the one above it, of whichever machine shows the code.
    ("post", "/api/v1/boot/approvals", For::Operator, r#"{"code":"0000"}"#, ""),
    ("get", "/api/v1/boot/explain", For::Viewer, "", ""),
    ("get", "/api/v1/boot/machines", For::Viewer, "", ""),
    ("get", "/api/v1/boot/downloads", For::Viewer, "", ""),
    ("get", "/api/v1/doctor", For::Viewer, "", ""),
    ("get", "/api/v1/boot/network-config", For::Viewer, "", ""),
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
    ("get", "/api/v1/audit/verify", For::Admin, "", ""),
    ("get", "/api/v1/tokens", For::Admin, "", ""),
    ("post", "/api/v1/tokens", For::Admin, r#"{"name":"new","role":"viewer"}"#, "token.create"),
    ("delete", "/api/v1/tokens/{id}", For::Admin, "", "token.revoke"),
    ("get", "/api/v1/backup", For::Admin, "", ""),
    ("post", "/api/v1/config/reload", For::Admin, "", "config.reload"),
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
    site.call("PUT", "/api/v1/boot/firmware/linux").body("a loader").send().await.is(201);
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
    let query = match path.rsplit('/').next() {
        Some("explain") => format!("?mac={MAC}"),
        Some("network-config") => "?vendor=dnsmasq&leases=static".into(),
        _ => String::new(),
    };
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
                || path.ends_with("/extract")
                || path.ends_with("/approve")
                || path.ends_with("/approvals"),
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

/// Reading changes nothing, whatever is read; only that an admin saw secrets is remembered.
#[tokio::test]
async fn what_only_reads_leaves_no_trace() {
    let (site, ids) = furnished().await;
    let kept = async || {
        let mut backup = site.get("/api/v1/backup").await.json();
        for field in ["audit_head", "mac"] {
            backup.as_object_mut().unwrap().remove(field).unwrap();
        }
        (backup, site.audit().await.len())
    };
    let before = (kept().await, site.events("").await);
    for (method, path, who, ..) in ROUTES {
        if *method == "get" && *who != For::Anybody {
            site.get(&uri(path, &ids)).await.is(200);
        }
    }
    assert_eq!((kept().await, site.events("").await), before);
}

/// A token counts in one place: the header, once. Not in a query, which would end up in logs, nor
/// in a cookie, which a browser would send for others (row 91).
#[tokio::test]
async fn a_token_anywhere_else_opens_nothing() {
    let (site, ids) = furnished().await;
    let bearer = format!("Bearer {ADMIN}");
    let before = site.audit().await.len();
    let mut wrong = vec![];
    for (method, path, ..) in ROUTES.iter().filter(|r| r.2 != For::Anybody) {
        let plain = uri(path, &ids);
        let join = if plain.contains('?') { '&' } else { '?' };
        let call = |uri: &str| {
            let call = site.anonymous(&method.to_uppercase(), uri).set("content-type", "application/json");
            if *method == "get" { call } else { call.body("{") }
        };
        let twice = call(&plain).token(ADMIN).also("authorization", &bearer);
        let calls = [
            ("token= in the query", call(&format!("{plain}{join}token={ADMIN}"))),
            ("access_token= in the query", call(&format!("{plain}{join}access_token={ADMIN}"))),
            ("a cookie", call(&plain).set("cookie", &format!("token={ADMIN}; authorization={bearer}"))),
            (
                "a cookie from elsewhere",
                call(&plain).set("cookie", &format!("session={ADMIN}")).set("origin", "https://evil.example"),
            ),
            ("X-Api-Key", call(&plain).set("x-api-key", ADMIN)),
            ("Proxy-Authorization", call(&plain).set("proxy-authorization", &bearer)),
            ("Basic", call(&plain).set("authorization", &format!("Basic {ADMIN}"))),
            ("Token", call(&plain).set("authorization", &format!("Token {ADMIN}"))),
            ("the header twice", twice),
            ("two tokens in one header", call(&plain).set("authorization", &format!("{bearer}, {bearer}"))),
        ];
        for (what, call) in calls {
            let answer = call.send().await;
            if answer.status != 401 || answer.header("www-authenticate") != "Bearer" {
                wrong.push(format!("{method} {path} with {what}: {} {:.200}", answer.status, answer.text()));
            }
            // No page of another origin may read an answer, or ask with more than it may anyway.
            let cors = answer.headers.keys().find(|name| name.as_str().starts_with("access-control-"));
            if let Some(cors) = cors {
                wrong.push(format!("{method} {path} with {what}: {cors}"));
            }
        }
        // The scheme is read in any case (RFC 9110, section 11.1).
        if *method == "get" {
            call(&plain).set("authorization", &format!("bEARER {ADMIN}")).send().await.is(200);
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert_eq!(site.audit().await.len(), before);
}

#[tokio::test]
async fn no_other_method_gets_around_a_role() {
    let (site, ids) = furnished().await;
    site.viewer().await;
    let before = site.audit().await.len();
    let described = described();
    for (method, path, who, ..) in ROUTES.iter().filter(|r| r.2 != For::Anybody && r.0 == "get") {
        let uri = uri(path, &ids);
        assert_eq!(site.anonymous("HEAD", &uri).send().await.status, 401, "HEAD {path}");
        if *who != For::Viewer {
            let head = site.call("HEAD", &uri).token(site.viewer().await).send().await;
            assert_eq!(head.status, 403, "HEAD {path}");
        }
        let head = site.call("HEAD", &uri).send().await.is(200);
        assert!(head.body.is_empty(), "{method} {path}");
    }
    for path in described.iter().map(|(_, path)| path).filter(|path| path.starts_with("/api/")) {
        let uri = uri(path, &ids);
        for method in ["OPTIONS", "TRACE", "PROPFIND", "LINK", "QUERY", "get", "GET2"] {
            for call in [site.anonymous(method, &uri), site.call(method, &uri)] {
                let answer = call.set("origin", "https://evil.example").send().await;
                answer.problem(405);
                let allow = answer.header("allow").to_owned();
                for (method, _) in described.iter().filter(|(_, p)| p == path) {
                    assert!(allow.contains(&method.to_uppercase()), "{path} allows {allow:?}");
                }
            }
        }
        // What a proxy may be told about the method does not count here.
        let sneaky = site.anonymous("GET", &uri).set("x-http-method-override", "DELETE").send().await;
        assert!(matches!(sneaky.status, 401 | 405), "{path}: {}", sneaky.status);
    }
    assert_eq!(site.audit().await.len(), before, "nothing was changed");
}

/// A stream of events is the one request that lasts: it ends with the token it was opened with.
#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let (site, _) = furnished().await;
    let expires = (site.app.clock.now() + Span::hours(1)).rfc3339().unwrap();
    let brief = json!({"name": "brief", "role": "viewer", "expires_at": expires});
    let brief = site.post("/api/v1/tokens", brief).await.is(201).json();
    let gone = site.post("/api/v1/tokens", json!({"name": "gone", "role": "viewer"})).await.is(201).json();
    let open = |token: &str| {
        let call = site.anonymous("GET", "/api/v1/boot/events").token(token);
        call.set("accept", "text/event-stream").open()
    };
    let expiring = open(brief["token"].as_str().unwrap()).await;
    let revoked = open(gone["token"].as_str().unwrap()).await;
    assert_eq!((expiring.status().as_u16(), revoked.status().as_u16()), (200, 200));
    site.delete(&format!("/api/v1/tokens/{}", gone["id"].as_str().unwrap())).await.is(204);
    site.push(Span::hours(1));
    site.call("POST", &format!("{ASSIGNMENTS}/{MAC}/disarm")).send().await.is(200);
    site.events("").await;
    for stream in [expiring, revoked] {
        let read = http_body_util::BodyExt::collect(stream.into_body());
        let text = tokio::time::timeout(std::time::Duration::from_secs(20), read).await.expect("it went on");
        let text = String::from_utf8(text.unwrap().to_bytes().to_vec()).unwrap();
        assert!(!text.contains("disarmed"), "{text}");
    }
}

#[tokio::test]
async fn whoever_revokes_its_own_token_is_told() {
    let site = Site::start().await;
    let made = site.post("/api/v1/tokens", json!({"name": "own", "role": "admin"})).await.is(201).json();
    let (id, token) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
    let told = site.call("DELETE", &format!("/api/v1/tokens/{id}")).token(token).send().await.is(200);
    assert!(told.json()["detail"].as_str().unwrap().contains("this very request"), "{}", told.text());
    site.call("GET", "/api/v1/tokens").token(token).send().await.problem(401);
    // The first token is no row, and its name stays its own in the audit log.
    let first = site.delete("/api/v1/tokens/admin").await;
    assert!(first.problem(409)["detail"].as_str().unwrap().contains("restart"), "{}", first.text());
    let taken = site.post("/api/v1/tokens", json!({"name": "admin", "role": "viewer"})).await;
    assert_eq!(taken.pointers(), ["/name"]);
    site.get("/api/v1/tokens").await.is(200);
}

/// Rows 94 and 95, for every list of the description: what asks for too much, in another order or
/// from a made-up place is refused or finds nothing; nothing of it is an error of the server.
#[tokio::test]
async fn lists_take_no_made_up_questions() {
    let (site, ids) = furnished().await;
    let api = description();
    let mut lists = 0;
    for (path, methods) in api["paths"].as_object().unwrap() {
        let parameters = methods["get"]["parameters"].as_array().cloned().unwrap_or_default();
        let has = |name: &str| parameters.iter().any(|p| p["name"] == name);
        if !path.starts_with("/api/") || !has("limit") {
            continue;
        }
        lists += 1;
        let uri = uri(path, &ids);
        for limit in
            ["-1", "0", "501", "1e9", "1000000000", "", "0x10", "%2b5", "5;drop", "9999999999999999999"]
        {
            site.get(&format!("{uri}?limit={limit}")).await.problem(422);
        }
        for cursor in ["zz", "x", "", "0g", "%00", &hex("\u{0}"), &hex("\u{1b}[2J"), &"61".repeat(600)] {
            let answer = site.get(&format!("{uri}?cursor={cursor}")).await;
            answer.problem(if cursor == "%00" { answer.status } else { 422 });
            assert!(matches!(answer.status, 400 | 422), "{path} {cursor}");
        }
        for forged in
            ["' OR 1=1 --", "%", "_", "\u{ffff}", "-1", "99999999999999999999", "0 x", "1 ff:ff:ff:ff:ff:ff"]
        {
            let answer = site.get(&format!("{uri}?cursor={}", hex(forged))).await;
            assert!(matches!(answer.status, 200 | 422), "{path} {forged}: {}", answer.text());
        }
        for unknown in
            ["sort=name", "order=desc", "offset=5", "page=2", "fields=hash", "filter=a", "limit%00=1"]
        {
            site.get(&format!("{uri}?{unknown}")).await.problem(400);
        }
        let long = "x".repeat(10_000);
        site.get(&format!("{uri}?q={long}")).await.problem(414);
        site.get(&format!("{uri}?limit=1&limit=2")).await.problem(400);
    }
    assert!(lists >= 6, "{lists}");
}

/// Row 92: what people and machines write is shown as text, under a policy that runs no script.
#[tokio::test]
async fn no_page_runs_what_people_write() {
    let site = Site::start().await;
    let page = site.boot("/api/docs").await.is(200);
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("script-src"), "{policy}");
    assert!(!page.text().contains("<script"), "no script to begin with");
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    let html = "<img src=x onerror=alert(1)>";
    let mut profile = debian("deb");
    profile["description"] = json!(html);
    site.profile(profile).await;
    let named = json!({"mac_address": MAC, "node_name": html, "boot_profile": "deb"});
    assert_eq!(site.post(ASSIGNMENTS, named).await.pointers(), ["/node_name"]);
    for uri in ["/api/v1/boot/profiles", "/api/v1/audit", &format!("/api/v1/boot/profiles/{}", "%3Cimg%3E")] {
        let answer = site.get(uri).await;
        assert!(answer.header("content-type").ends_with("json"), "{uri}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{uri}");
    }
}
