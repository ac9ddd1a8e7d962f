//! The description of the API is part of what users rely on: a change to it is made on purpose.

use serde_json::Value;

/// The description as the service serves it.
pub fn description() -> Value {
    let (_, description) = moxxie::http::router::described().split_for_parts();
    serde_json::to_value(description).unwrap()
}

#[test]
fn the_description_is_the_committed_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/openapi.json");
    let now = format!("{:#}\n", description());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &now).unwrap();
        return;
    }
    let golden = std::fs::read_to_string(path).unwrap_or_default();
    if golden != now {
        let line = golden
            .lines()
            .zip(now.lines())
            .position(|(a, b)| a != b)
            .unwrap_or_else(|| golden.lines().count().min(now.lines().count()));
        let at =
            |text: &str| text.lines().skip(line.saturating_sub(5)).take(10).collect::<Vec<_>>().join("\n");
        panic!(
            "the API's description changed at line {}; if that is meant, run the tests with UPDATE_GOLDEN=1 and say so in CHANGELOG.md\nwas:\n{}\nis:\n{}",
            line + 1,
            at(&golden),
            at(&now)
        );
    }
}

#[tokio::test]
async fn the_service_serves_it_and_a_readable_page() {
    let site = crate::util::Site::start().await;
    let served = site.boot("/api/v1/openapi.json").await.is(200).json();
    assert_eq!(served, description());
    let page = site.boot("/api/docs").await.is(200);
    assert!(page.header("content-type").starts_with("text/html"));
    for path in served["paths"].as_object().unwrap().keys() {
        assert!(page.text().contains(path.as_str()), "{path} is not on the page");
    }
}

/// What a generated client needs: every operation has a name of its own, says its role and its
/// refusals, and every list has items with fields.
#[test]
fn every_operation_is_described_in_full() {
    let api = description();
    assert_eq!(api["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    let mut names = std::collections::BTreeSet::new();
    for (path, methods) in api["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap().iter().filter(|(m, _)| *m != "parameters") {
            let what = format!("{method} {path}");
            assert!(
                names.insert(operation["operationId"].as_str().unwrap().to_owned()),
                "{what}: its name is taken"
            );
            assert!(!operation["summary"].as_str().unwrap_or("").is_empty(), "{what} says nothing");
            let responses = operation["responses"].as_object().unwrap();
            let Some(role) = operation["security"][0]["token"][0].as_str() else {
                assert!(!path.starts_with("/api/"), "{what} needs no role");
                continue;
            };
            let text = operation["description"].as_str().unwrap_or("");
            assert!(text.ends_with(&format!("Needs the role `{role}`.")), "{what}: {text}");
            for status in ["401", "403", "429", "503"] {
                assert!(responses.contains_key(status), "{what} does not name {status}");
            }
            for (status, response) in responses.iter().filter(|(status, _)| status.as_str() >= "400") {
                let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(*schema, "#/components/schemas/Problem", "{what} {status}");
            }
        }
    }
    for (name, schema) in api["components"]["schemas"].as_object().unwrap() {
        if name.starts_with("Page_") {
            let items = &schema["properties"]["items"]["items"];
            let named = items["$ref"].as_str().and_then(|at| at.rsplit('/').next());
            let item = named.map_or(items, |name| &api["components"]["schemas"][name]);
            assert!(
                item["properties"].as_object().is_some_and(|f| !f.is_empty()),
                "{name} has items without fields: {items}"
            );
        }
    }
}
