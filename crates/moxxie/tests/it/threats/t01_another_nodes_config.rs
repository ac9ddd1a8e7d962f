//! T1: a host that may ask, but not from where machines are installed, names other machines to get
//! their configs.

use crate::util::recipes::{ASSIGNMENTS, PROFILES, debian, talos};
use crate::util::text::config_path;
use crate::util::{Answer, Site};
use futures_util::StreamExt;
use serde_json::json;

/// Armed, disarmed, and with networks of its own or of its profile that are narrower.
const ARMED: u32 = 0;
const UNARMED: u32 = 1;
const NARROW: u32 = 2;
const PROFILE: u32 = 3;

fn mac(n: u32) -> String {
    let [_, _, a, b] = n.to_be_bytes();
    format!("52:54:00:00:{a:02x}:{b:02x}")
}

/// The answer without the names that the asker gave, or that belong to the machine.
fn shape(answer: &Answer, n: u32) -> String {
    answer.text().replace(&mac(n), "MAC").replace(&format!("node-{n} "), "NODE ")
}

/// Ten thousand addresses, from the allowlist but not from a provisioning network: no token, no
/// config, and nothing that tells an armed machine from one that is not. So many whole requests take
/// a few seconds; fewer would not show that no answer depends on what was asked before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t01_enumerating_machines_gives_no_token_and_no_config() {
    let site = Site::with("[access]\nprovisioning = [\"10.0.0.0/16\"]").await;
    site.profile(debian("deb")).await;
    let mut narrow = talos("narrow");
    narrow["provisioning"] = json!(["10.0.5.0/24"]);
    site.profile(narrow).await;
    for n in 0..40 {
        let (profile, more) = match n % 4 {
            ARMED => ("deb", json!({})),
            UNARMED => ("deb", json!({"armed": false})),
            NARROW => ("deb", json!({"provisioning": ["10.0.5.0/24"]})),
            _ => ("narrow", json!({})),
        };
        site.assign(&mac(n), &format!("node-{n}"), profile, more).await;
    }

    // Outside the site's networks; and inside them, but outside those of some machines.
    let site = &site;
    let ask = async |n: u32, from: &str| {
        let uri = format!("/boot/menu.ipxe?mac={}", mac(n));
        site.anonymous("GET", &uri).from(from).send().await.is(200)
    };
    let told = |n: u32, from: &'static str| async move {
        let answer = ask(n, from).await;
        let text = answer.text();
        assert!(!text.contains("t=") && !text.contains("/configs/") && !text.contains("kernel "), "{text}");
        shape(&answer, n)
    };
    let shapes: Vec<String> =
        futures_util::stream::iter((0..10_000).map(|n| told(n, "10.9.0.9"))).buffered(64).collect().await;
    let known = &shapes[0];
    assert!(known.contains("outside the provisioning networks"), "{known}");
    assert!(shapes[..40].iter().all(|shape| shape == known), "armed, disarmed, narrowed: the same words");
    // Whoever is unknown is shown the menu, as everywhere.
    assert!(shapes[40..].iter().all(|shape| *shape == shapes[40]) && shapes[40] != *known);
    for n in 0..40 {
        if matches!(n % 4, NARROW | PROFILE) {
            let told = told(n, "10.0.0.9").await;
            let whose = if n % 4 == NARROW { "of this machine" } else { "of profile narrow" };
            assert!(told.contains(whose), "{told}");
        }
    }

    // Nor is there a config without a token, or one word that tells the machines apart.
    let refused = site.boot(&format!("/boot/configs/deb/{}", mac(0))).await.is(403).text();
    for n in [0, 1, 2, 99] {
        for query in ["", "?t=", "?t=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
            let uri = format!("/boot/configs/deb/{}{query}", mac(n));
            assert_eq!(site.anonymous("GET", &uri).from("10.9.0.9").send().await.is(403).text(), refused);
        }
    }
    for n in 0..40 {
        assert_eq!(site.state(&mac(n)).await, if n % 4 == UNARMED { "local" } else { "armed" });
    }
    assert!(
        site.events("&kind=boot").await.is_empty() && site.events("&kind=config.delivered").await.is_empty()
    );
    // The machine itself, where it belongs.
    assert!(ask(NARROW, "10.0.5.9").await.text().contains("/configs/"));
    assert!(ask(ARMED, "10.0.0.9").await.text().contains("/configs/"));
}

/// A token is worth nothing outside the machine's networks, also within the network it was made for.
#[tokio::test]
async fn t01_a_token_is_good_inside_the_networks_only() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.assign(&mac(0), "node-0", "deb", json!({"provisioning": ["10.0.0.0/28"]})).await;
    let uri = format!("/boot/menu.ipxe?mac={}", mac(0));
    let script = site.anonymous("GET", &uri).from("10.0.0.9").send().await.is(200).text();
    let config = config_path(&script).unwrap();
    site.anonymous("GET", &config).from("10.0.0.77").send().await.is(403);
    assert!(site.messages("config.refused").await[0].contains("outside the machine's provisioning networks"));
    site.anonymous("GET", &config).from("10.0.0.9").send().await.is(200);
    // Narrowed meanwhile: the word of now counts, also for the repeat.
    site.patch(&format!("{ASSIGNMENTS}/{}", mac(0)), json!({"provisioning": []})).await.is(200);
    site.anonymous("GET", &config).from("10.0.0.9").send().await.is(403);
}

/// The site's networks bound every other list; the narrower list counts.
#[tokio::test]
async fn t01_lists_of_networks_stay_within_the_sites() {
    let site = Site::with("[access]\nprovisioning = [\"10.0.0.0/16\", \"fd00::/64\"]").await;
    for (list, pointer) in [
        (json!(["10.9.0.0/24"]), "/provisioning"),
        (json!(["10.0.0.0/15"]), "/provisioning"),
        (json!(["fd00::/8"]), "/provisioning"),
        (json!(["10.0.0.1/24"]), "/provisioning"),
        (json!(["10.0.0.0/8x"]), "/provisioning"),
        (json!("10.0.0.0/24"), "/provisioning"),
    ] {
        let mut profile = debian("deb");
        profile["provisioning"] = list.clone();
        assert_eq!(site.post(PROFILES, profile).await.pointers(), [pointer], "{list}");
    }
    let mut profile = debian("deb");
    profile["provisioning"] = json!(["10.0.1.0/24", "fd00::/64"]);
    site.profile(profile).await;
    let made = site.assign(&mac(0), "node-0", "deb", json!({"provisioning": ["10.0.2.0/24"]})).await;
    assert_eq!((&made["provisioning"], &made["approval"]), (&json!(["10.0.2.0/24"]), &json!(null)));
    let uri = format!("{ASSIGNMENTS}/{}", mac(0));
    let refused = site.patch(&uri, json!({"provisioning": ["10.1.0.0/24"]})).await;
    assert_eq!(refused.pointers(), ["/provisioning"]);
    assert!(refused.text().contains("10.1.0.0/24") && refused.text().contains("access.provisioning"));

    let rule = async |ip: &str| {
        let told = site.get(&format!("/api/v1/boot/explain?mac={}&ip={ip}", mac(0))).await.is(200).json();
        format!("{} {}", told["decision"]["outcome"], told["decision"]["reason"]).replace('"', "")
    };
    assert!(rule("10.0.2.9").await.starts_with("boot "));
    assert!(rule("10.0.1.9").await.contains("outside the provisioning networks of this machine"));
    site.patch(&uri, json!({"provisioning": null})).await.is(200);
    assert!(rule("10.0.1.9").await.starts_with("boot "));
    assert!(rule("10.0.2.9").await.contains("outside the provisioning networks of profile deb"));
    site.patch(&format!("{PROFILES}/deb"), json!({"provisioning": []})).await.is(200);
    assert!(rule("10.0.1.9").await.contains("outside the provisioning networks of profile deb"));
    site.patch(&format!("{PROFILES}/deb"), json!({"provisioning": null})).await.is(200);
    assert!(rule("10.0.2.9").await.starts_with("boot "));
    assert_eq!(rule("10.9.0.9").await, "local 10.9.0.9 is outside the provisioning networks");
    // What `export` says, `apply` understands.
    site.patch(&uri, json!({"provisioning": ["10.0.7.0/24"], "approval": "manual"})).await.is(200);
    let bundle = site.get("/api/v1/boot/export").await.is(200).json();
    site.delete(&uri).await.is(204);
    site.post("/api/v1/boot/apply", bundle).await.is(200);
    let back = site.get(&uri).await.is(200).json();
    assert_eq!((&back["provisioning"], &back["approval"]), (&json!(["10.0.7.0/24"]), &json!("manual")));
}
