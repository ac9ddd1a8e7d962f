//! Templates that read or run what they should not.

use crate::util::Site;
use crate::util::recipes::{PROFILES, talos};
use serde_json::json;

/// Saves a profile with this config template.
async fn saved(site: &Site, template: &str) -> crate::util::Answer {
    let profile =
        json!({"name": "t", "profile_type": "custom", "kernel_path": "k", "config_template": template});
    site.post(PROFILES, profile).await
}

/// What a template that was accepted says for one machine.
async fn rendered(site: &Site, template: &str) -> String {
    saved(site, template).await.is(201);
    site.asset("t", "k", b"kernel").await;
    site.assign("52:54:00:00:00:77", "t1", "t", json!({"armed": false})).await;
    site.get("/boot/configs/t/52:54:00:00:00:77").await.is(200).text()
}

/// Cobbler: what a client had written into the log was rendered as a template later, as root.
/// Here: what a machine says is a value and never a source.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cve_2021_40323_what_a_client_wrote_is_rendered() {
    let site = Site::start().await;
    let mut profile = talos("cp");
    profile["config_template"] = json!("serial: {{ machine.serial | tojson }}\nname: {{ params.note }}\n");
    profile["params"] =
        json!({"note": "{{ params.password }} {% include '/etc/passwd' %}", "password": "hunter2-config"});
    profile["boot_params"] = json!("");
    site.profile(profile).await;
    let mac = "52:54:00:00:00:77";
    site.assign(mac, "n1", "cp", json!({})).await;
    let machine = crate::util::Machine::bios(mac).set("serial", "{{ params.password }}");
    let config = machine.fetch(&site, &machine.boot(&site).arg("talos.config")).await.is(200).text();
    assert!(config.contains("serial: \"{{ params.password }}\""), "{config}");
    assert!(config.contains("name: {{ params.password }} {% include"), "{config}");
    assert!(!config.contains("hunter2"), "{config}");
}

/// Cobbler: a blocklist looked for `#import` at the beginning of a line and missed
/// `#from os import system`. Here: the language has neither imports nor a way to a function that is
/// not on its list, so such a line is text.
#[tokio::test]
async fn cve_2021_45082_import_that_a_blocklist_missed() {
    let site = Site::start().await;
    let source =
        "#from os import system\n#set $x = $system('id')\n#import os\n$os.environ\n<% import os %>\n${7*7}\n";
    assert_eq!(rendered(&site, source).await, source, "text, letter for letter");
    for template in ["{% import 'os' as os %}", "{% from 'os' import system %}", "{% include 'os' %}"] {
        let refused = site.put(&format!("{PROFILES}/t"), json!({"name": "t", "profile_type": "custom", "kernel_path": "k", "config_template": template})).await;
        assert_eq!(refused.pointers()[0], "/config_template", "{template}");
    }
}

/// Ironic: a kickstart was rendered by Jinja without its sandbox. Here: the ways out of Jinja's
/// objects lead nowhere.
#[tokio::test]
async fn cve_2026_44916_kickstart_without_a_sandbox() {
    let site = Site::start().await;
    for template in [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ lipsum.__globals__['os'].environ }}",
        "{{ request.application.__globals__ }}",
        "{{ config.items() }}",
        "{{ self.__init__ }}",
        "{{ machine['__class__'] }}",
        "{{ machine | attr('__class__') }}",
        "{{ ''['__class__'] }}",
        "{{ joiner }}",
        "{% set x = namespace() %}{{ x.__class__ }}",
        "{{ url_for('x') }}",
        "{{ get_flashed_messages() }}",
        "{{ range.__self__ }}",
        "{{ env('HOME') }}",
        "{{ lookup('file', '/etc/passwd') }}",
        "{{ open('/etc/passwd').read() }}",
    ] {
        let refused = saved(&site, template).await;
        assert!(
            refused.status == 422 && refused.pointers()[0] == "/config_template",
            "{template}: {}",
            refused.text()
        );
    }
}

/// Ironic: `pxe_template` took an absolute path and rendered any file of the host. Here: a profile
/// names no file of the server, and a path where a template belongs is text.
#[tokio::test]
async fn lp_2148319_absolute_path_of_a_template() {
    let site = Site::start().await;
    assert_eq!(rendered(&site, "/etc/shadow").await, "/etc/shadow");
    for field in ["pxe_template", "template_path", "config_template_path", "config_file"] {
        let mut profile = json!({"name": "u", "profile_type": "custom", "kernel_path": "k"});
        profile[field] = json!("/etc/shadow");
        site.post(PROFILES, profile).await.problem(422);
    }
}

/// Foreman: `inspect` in a template of "safe mode" printed the application's secret. Here: nothing
/// prints what the template could not name, and no error quotes a value.
#[tokio::test]
async fn cve_2016_3693_inspect_leaks_the_applications_secret() {
    let site = Site::start().await;
    site.profile(talos("cp")).await;
    let key = "07".repeat(32);
    for template in [
        "{{ params | inspect }}",
        "{{ params | pprint }}",
        "{{ debug() }}",
        "{{ self }}",
        "{{ moxxie | tojson }}",
        "{{ [machine, params, profile, moxxie] }}",
    ] {
        let saved = saved(&site, template).await;
        let mut seen = saved.text();
        if saved.status == 201 {
            site.asset("t", "k", b"kernel").await;
            site.assign("52:54:00:00:00:77", "t1", "t", json!({"armed": false})).await;
            seen.push_str(&site.get("/boot/configs/t/52:54:00:00:00:77").await.is(200).text());
            site.delete("/api/v1/boot/assignments/52:54:00:00:00:77").await.is(204);
            site.delete(&format!("{PROFILES}/t")).await.is(204);
        }
        for secret in ["hunter2-machine-token", key.as_str(), crate::util::app::ADMIN] {
            assert!(!seen.contains(secret), "{template}: {seen}");
        }
    }
}
