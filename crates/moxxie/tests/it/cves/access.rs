//! Doors that open by themselves.

use crate::util::app::ADMIN;
use crate::util::recipes::{ASSIGNMENTS, PROFILES, debian};
use crate::util::{Machine, Site};
use moxxie::firstrun;
use moxxie_core::time::Span;
use serde_json::json;

const MAC: &str = "52:54:00:00:00:77";

/// Cobbler: any caller could change the settings. Here: what changes something asks for its role
/// before it looks at anything (`roles.rs` walks over all routes).
#[tokio::test]
async fn cve_2021_40325_settings_changed_by_anybody() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    let before = site.get("/api/v1/boot/export").await.is(200).text();
    for (method, uri) in [
        ("PATCH", format!("{PROFILES}/deb")),
        ("PUT", format!("{PROFILES}/deb")),
        ("DELETE", format!("{PROFILES}/deb")),
        ("POST", ASSIGNMENTS.to_owned()),
        ("POST", "/api/v1/boot/apply".to_owned()),
        ("POST", "/api/v1/restore".to_owned()),
        ("POST", "/api/v1/tokens".to_owned()),
    ] {
        let answer = site.anonymous(method, &uri).json(&json!({"description": "mine"})).send().await;
        assert!(matches!(answer.status, 401 | 404), "{method} {uri}: {}", answer.status);
    }
    assert_eq!(site.get("/api/v1/boot/export").await.is(200).text(), before);
}

/// Cobbler: when the file with the shared secret could not be read, the secret was `-1`, for
/// anybody. Here: a token or key that cannot be read ends the start.
#[tokio::test]
async fn cve_2024_47533_a_secret_that_cannot_be_read_is_a_known_one() {
    for (file, content) in [
        ("admin-token", ""),
        ("admin-token", "\n"),
        ("admin-token", "-1"),
        ("secret-key", ""),
        ("secret-key", "-1"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(file), content).unwrap();
        let started = match file {
            "admin-token" => firstrun::admin_token(dir.path(), None).is_ok(),
            _ => firstrun::site_keys(dir.path(), None).is_ok(),
        };
        assert!(!started, "{file} {content:?}");
        assert_eq!(std::fs::read_to_string(dir.path().join(file)).unwrap(), content, "and is left as it is");
    }
    // Not a file: reading it fails, as it does without the right to.
    let dir = tempfile::tempdir().unwrap();
    for file in ["admin-token", "secret-key"] {
        std::fs::create_dir(dir.path().join(file)).unwrap();
    }
    assert!(firstrun::admin_token(dir.path(), None).is_err());
    assert!(firstrun::site_keys(dir.path(), None).is_err());
    assert!(
        firstrun::admin_token(dir.path(), Some(String::new())).is_err(),
        "an empty variable is not a token"
    );

    let site = Site::start().await;
    for token in ["-1", "", "null", "None", "undefined", "0", "admin"] {
        site.anonymous("GET", PROFILES).token(token).send().await.problem(401);
    }
}

/// Cobbler: accounts that had expired still logged in. Here: a token ends to the second, also one
/// that was just used.
#[tokio::test]
async fn cve_2022_0860_an_expired_account_logs_in() {
    let site = Site::start().await;
    let end = (site.app.clock.now() + Span::hours(1)).rfc3339().unwrap();
    let made =
        site.post("/api/v1/tokens", json!({"name": "old", "role": "admin", "expires_at": end})).await.is(201);
    let token = made.json()["token"].as_str().unwrap().to_owned();
    site.call("GET", PROFILES).token(&token).send().await.is(200);
    site.push(Span::minutes(60));
    site.call("GET", PROFILES).token(&token).send().await.problem(401);
    // A clock that jumps back brings nothing back.
    site.push(Span(-Span::hours(2).0));
    site.call("GET", PROFILES).token(&token).send().await.problem(401);
}

/// Foreman: who showed no client certificate passed as one who did. Here: nothing instead of a
/// token is a 401.
#[tokio::test]
async fn cve_2014_3691_no_credential_passes() {
    let site = Site::start().await;
    for uri in [
        PROFILES,
        ASSIGNMENTS,
        "/api/v1/backup",
        "/api/v1/tokens",
        "/api/v1/audit",
        "/api/v1/boot/explain?mac=52:54:00:00:00:77",
    ] {
        let answer = site.anonymous("GET", uri).send().await;
        answer.problem(401);
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{uri}");
    }
}

/// Foreman: headers that only its web server should set were believed from anybody, and named the
/// user. Here: no header names a user.
#[tokio::test]
async fn cve_2024_7012_cve_2024_7923_a_header_names_the_user() {
    let site = Site::start().await;
    for header in [
        "remote-user",
        "x-remote-user",
        "remote_user",
        "x-forwarded-user",
        "x-forwarded-email",
        "x-auth-request-user",
        "x-webauth-user",
        "x-client-verify",
        "x-ssl-client-verify",
        "ssl-client-verify",
        "x-ssl-client-s-dn",
        "x-client-cert",
        "x-forwarded-client-cert",
        "x-original-url",
        "x-rewrite-url",
        "x-http-method-override",
        "x-rhn-provisioning-mac-0",
        "cookie",
    ] {
        for value in ["admin", "SUCCESS", "CN=admin", "/livez", "DELETE", "token=admin"] {
            site.anonymous("GET", PROFILES).set(header, value).send().await.problem(401);
        }
        // Nor does one make a viewer an admin.
        let call = site.call("GET", "/api/v1/tokens").token(site.viewer().await).set(header, "admin");
        call.send().await.problem(403);
    }
    // And a machine is not the one that a header says it is.
    site.profile(debian("deb")).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    let asked =
        site.anonymous("GET", "/boot/menu.ipxe").set("x-rhn-provisioning-mac-0", &format!("eth0 {MAC}"));
    assert!(!asked.send().await.is(200).text().contains("n1"));
    assert_eq!(site.state(MAC).await, "armed");
}

/// Foreman: a user could give himself more than he had. Here: only an admin makes tokens and
/// templates, whatever the request says of its sender.
#[tokio::test]
async fn cve_2013_0187_a_user_raises_himself() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    for token in [site.viewer().await, site.operator().await] {
        let more = json!({"name": "more", "role": "admin"});
        site.call("POST", "/api/v1/tokens").token(token).json(&more).send().await.problem(403);
        let patch = json!({"config_template": "{{ params.password }}"});
        site.call("PATCH", &format!("{PROFILES}/deb")).token(token).json(&patch).send().await.problem(403);
    }
    let field = json!({"mac_address": MAC, "node_name": "n", "boot_profile": "deb", "role": "admin"});
    let answer = site.call("POST", ASSIGNMENTS).token(site.operator().await).json(&field).send().await;
    answer.problem(422);
}

/// FOG: the export of the whole database did not look at who asks. Here: a backup is for admins.
#[tokio::test]
async fn cve_2025_58443_the_database_is_exported_to_anybody() {
    let site = Site::start().await;
    for uri in ["/api/v1/backup", "/api/v1/boot/export"] {
        site.anonymous("GET", uri).send().await.problem(401);
    }
    for token in [site.viewer().await, site.operator().await] {
        site.call("GET", "/api/v1/backup").token(token).send().await.problem(403);
    }
    for uri in [
        "/backup",
        "/export",
        "/management/export.php",
        "/moxxie.db",
        "/api/v1/backup/",
        "/api/v1//backup",
        "/static/../moxxie.db",
    ] {
        let answer = site.anonymous("GET", uri).send().await;
        assert!(matches!(answer.status, 400 | 401 | 404), "{uri}: {}", answer.status);
    }
}

/// Omni: a token for one use was used by two at the same time, because looking and marking were
/// two steps. Here: of two scripts for one machine one gets the config, and nobody after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cve_2026_45720_a_single_use_token_is_used_at_the_same_time() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    let machine = Machine::bios(MAC);
    let urls = [machine.boot(&site).arg("url"), machine.boot(&site).arg("url")];
    let fetches = (0..64).map(|n| machine.fetch(&site, &urls[n % 2]));
    let answers = futures_util::future::join_all(fetches).await;
    let won = |n: usize| answers.iter().skip(n).step_by(2).any(|a| a.status == 200);
    assert!(won(0) != won(1), "one session, and one only");
    assert_eq!(
        site.audit().await.iter().filter(|r| r["action"] == "config.deliver").count(),
        answers.iter().filter(|a| a.status == 200).count()
    );
    machine.boot(&site).went_local();
}

/// Ironic Inspector: the debugger of its web framework answered strangers with a shell. Here: what
/// debuggers, consoles and frameworks serve by themselves is not there, and no answer names the
/// software behind it.
#[tokio::test]
async fn pysec_2015_28_a_debug_console() {
    let site = Site::start().await;
    for path in [
        "/console",
        "/debug",
        "/debug/pprof/",
        "/debug/vars",
        "/debug/requests",
        "/__debugger__",
        "/actuator",
        "/actuator/env",
        "/server-status",
        "/nginx_status",
        "/.env",
        "/.git/config",
        "/admin",
        "/phpinfo.php",
        "/tokio-console",
        "/trace",
        "/boot/debug",
        "/api/v1/debug",
        "/graphql",
        "/swagger-ui/",
    ] {
        for token in [None, Some(ADMIN)] {
            let call = site.anonymous("GET", path);
            let answer = if let Some(token) = token { call.token(token) } else { call }.send().await;
            let nothing = answer.status == 404 || (path.starts_with("/boot/") && answer.status == 400);
            assert!(nothing, "{path}: {}", answer.status);
        }
    }
    for path in ["/livez", "/readyz", "/metrics", "/boot/menu.ipxe", PROFILES, "/nothing", "/api/docs"] {
        let answer = site.boot(path).await;
        for header in ["server", "x-powered-by", "via", "x-aspnet-version"] {
            assert_eq!(answer.header(header), "", "{path}");
        }
        assert!(!answer.text().contains("panicked at") && !answer.text().contains(".rs:"), "{path}");
    }
}
