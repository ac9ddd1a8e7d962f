//! T7: who may write templates reads the server's secrets with one, or stops it.
//!
//! The sandbox by itself: `moxxie-core/src/render/tests.rs`, `bombs_are_stopped` and its neighbors;
//! the bombs of the catalogue at the API: `bad_input.rs`, rows 63 to 67; what others' engines let
//! through: `cves/templates.rs`.

use crate::util::recipes::{ASSIGNMENTS, PROFILES, debian};
use crate::util::{Machine, Site};
use serde_json::{Value, json};

const MAC: &str = "52:54:00:00:00:47";

/// Harmless when it is saved, a bomb with the value that a machine brings later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t07_a_bomb_that_a_value_lights_harms_nobody_else() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.assign("52:54:00:00:00:48", "n2", "deb", json!({})).await;
    let loops = |n: &str| {
        format!(
            "d-i partman-auto/method string regular\n{{% for i in range({n}) %}}{{% for j in range({n}) %}}x{{% endfor %}}{{% endfor %}}"
        )
    };
    let mut bomb = debian("bomb");
    bomb["config_template"] = json!(loops("params.n"));
    bomb["params"] = json!({"n": 2});
    site.profile(bomb).await;
    let body = |profile: &str, own: Value| json!({"mac_address": MAC, "node_name": "n1", "boot_profile": profile, "boot_params_override": own});
    // A person's value is tried when it is saved.
    site.post(ASSIGNMENTS, body("bomb", json!({"n": 9999}))).await.problem(422);
    // A machine's comes with its request: the boot does not start, so it uses nothing up, and the
    // operator is told.
    let mut bomb = debian("claimed");
    bomb["config_template"] = json!(loops("machine.serial | default('2', true) | int"));
    site.profile(bomb).await;
    site.post(ASSIGNMENTS, body("claimed", json!({}))).await.is(201);
    Machine::bios(MAC).set("serial", "9871").boot(&site).went_local();
    assert_eq!(site.messages("boot.error").await.len(), 1);
    assert_eq!(site.state(MAC).await, "armed");
    let url = Machine::bios("52:54:00:00:00:48").boot(&site).arg("url");
    Machine::bios("52:54:00:00:00:48").fetch(&site, &url).await.is(200);
}

/// Every name that a curious author would try, at the place where the answer could be read.
#[tokio::test]
async fn t07_a_template_reads_its_own_machine_and_nothing_else() {
    let site = Site::start().await;
    let mut other = debian("other");
    other["params"] = json!({"root_password": "hunter2-of-another"});
    site.profile(other).await;
    let file = site.dir.path().join("secret-key");
    std::fs::write(&file, "the-secret-key-of-the-site").unwrap();
    let file = file.display();
    for template in [
        "{{ debug() }}".to_owned(),
        "{{ self }}".into(),
        "{{ this }}".into(),
        "{{ globals() }}".into(),
        "{{ context }}".into(),
        "{{ environ }}".into(),
        "{{ env.HOME }}".into(),
        "{{ moxxie.key }}".into(),
        "{{ moxxie.database_url }}".into(),
        "{{ profile.params }}".into(),
        "{{ machine.token }}".into(),
        "{{ site }}".into(),
        "{{ now() }}".into(),
        "{{ random() }}".into(),
        format!("{{% include '{file}' %}}"),
        "{% include '../secret-key' %}".into(),
        format!("{{{{ include('{file}') }}}}"),
        format!("{{{{ '{file}' | file }}}}"),
        format!("{{{{ load('{file}') }}}}"),
    ] {
        let profile =
            json!({"name": "t", "profile_type": "custom", "kernel_path": "k", "config_template": template});
        let answer = site.post(PROFILES, profile).await;
        assert_eq!(answer.pointers()[0], "/config_template", "{template}");
        for secret in ["hunter2-of-another", "the-secret-key-of-the-site", crate::util::app::ADMIN] {
            assert!(!answer.text().contains(secret), "{template}: {}", answer.text());
        }
    }
}
