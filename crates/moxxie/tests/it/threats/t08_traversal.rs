//! T8: names that leave the folder they belong to. Every parameter of every path of the API's
//! description is tried, so that a new route is tried with it.
//!
//! Uploads that choose their place, file URLs and names in images: `cves/paths.rs`; links, pipes
//! and devices in the store's folder: `bad_input.rs`, rows 45 and 46; the watch folder: `watch.rs`,
//! `what_is_no_file_for_a_shelf_is_passed_over`; images: `iso_hostile.rs`,
//! `names_that_lead_elsewhere_refuse_the_image`.

use crate::openapi::description;
use crate::util::Site;
use crate::util::recipes::memtest;
use serde_json::json;

const ELSEWHERE: [&str; 20] = [
    "..",
    "../secret",
    "..%2fsecret",
    "%2e%2e%2fsecret",
    "%2e%2e/secret",
    "..%252fsecret",
    "..%5csecret",
    "..\\secret",
    "%2fetc%2fpasswd",
    "/etc/passwd",
    "%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "....//....//etc/passwd",
    ".%00./secret",
    "secret%00.img",
    "%c0%ae%c0%ae%c0%afsecret",
    "..;/secret",
    "%u002e%u002e/secret",
    "~root",
    ".secret",
    "file:%2f%2f%2fetc%2fpasswd",
];

#[tokio::test]
async fn t08_every_path_of_every_route_keeps_to_its_folder() {
    let site = Site::start().await;
    site.profile(memtest("m")).await;
    // Beside, above and inside of the store's folder.
    let store = site.app.config().assets_dir.clone();
    for place in [
        site.dir.path().join("secret"),
        store.join("secret"),
        store.join(".secret"),
        store.join("sha256/secret"),
    ] {
        std::fs::write(place, "the planted secret").unwrap();
    }
    let api = description();
    let mut routes: Vec<(String, String)> = vec![];
    for (path, methods) in api["paths"].as_object().unwrap() {
        for method in ["get", "put", "patch", "post", "delete"] {
            if methods.get(method).is_some() && path.contains('{') {
                routes.push((method.to_uppercase(), path.clone()));
            }
        }
    }
    assert!(routes.len() > 15, "{routes:?}");
    let plain = [
        ("{profile}", "m"),
        ("{name}", "m"),
        ("{file}", "memtest.bin"),
        ("{mac}", "52:54:00:00:00:48"),
        ("{id}", "x"),
        ("{member}", "x"),
        ("{resource}", "x"),
        ("{token}", "x"),
    ];
    for (method, path) in &routes {
        for (parameter, _) in plain.iter().filter(|(parameter, _)| path.contains(parameter)) {
            for bad in ELSEWHERE {
                let mut uri = path.replace(parameter, bad);
                for (other, value) in plain {
                    uri = uri.replace(other, value);
                }
                if uri.parse::<axum::http::Uri>().is_err() {
                    continue;
                }
                let call = site.call(method, &uri).set("content-type", "application/json").body("{}");
                let answer = call.send().await;
                let text = answer.text();
                assert!(!text.contains("planted") && !text.contains("root:x:"), "{method} {uri}: {text}");
                let script = uri.ends_with(".ipxe") && answer.status == 200 && text.starts_with("#!ipxe");
                assert!(
                    script || matches!(answer.status, 400..=422),
                    "{method} {uri}: {} {text}",
                    answer.status
                );
            }
        }
    }
    // In bodies: names of files, members, profiles and uploads.
    let shelf = "/api/v1/boot/profiles/m/assets";
    for bad in ["..", "../secret", "/etc/passwd", "..\\secret", "secret\0.img", ".secret", "a/b", "CON"] {
        for body in [
            json!({"file": bad, "sha256": "0".repeat(64)}),
            json!({"upload": bad, "file": "k"}),
            json!({"file": bad, "upload": "x"}),
        ] {
            let answer = site.post(shelf, body.clone()).await;
            assert_eq!(answer.status, 422, "{body}: {}", answer.text());
        }
        for field in ["name", "kernel_path", "initrd_path"] {
            let mut profile = json!({"name": "new", "profile_type": "custom", "kernel_path": "k"});
            profile[field] = json!(bad);
            assert_eq!(
                site.post("/api/v1/boot/profiles", profile).await.pointers(),
                [format!("/{field}")],
                "{bad}"
            );
        }
    }
    let listed = site.get(shelf).await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "nothing was added or removed");
}
