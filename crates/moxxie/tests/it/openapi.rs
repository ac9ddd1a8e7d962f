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
