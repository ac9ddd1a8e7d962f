//! Walks over every platform: its sample is complete, renders, and gives exactly the golden text.
//! `UPDATE_GOLDEN=1 cargo test -p moxxie-core` writes the golden files anew.

#![allow(clippy::unwrap_used)]

use moxxie_core::platform::{PLATFORMS, Platform, arg_warnings, destructive_reasons, find, kernel_args};
use moxxie_core::profile::ProfileSpec;
use moxxie_core::render::{
    self, BOOT_PARAMS, CONFIG_TEMPLATE, MachineValues, ProfileValues, RenderContext, ServiceValues,
};
use serde_json::{Value, json};
use std::path::Path;

fn context(spec: &ProfileSpec, arch: &str) -> RenderContext {
    let base = "http://10.0.0.1:8080";
    let mac = "52:54:00:12:34:56";
    RenderContext {
        machine: MachineValues {
            mac: mac.into(),
            mac_hyphen: mac.replace(':', "-"),
            uuid: "6c1e1f0a-5f4b-4d0e-9d0c-2f1c3b1a0001".into(),
            serial: "ABC123".into(),
            arch: arch.into(),
            platform: "efi".into(),
            node_name: "node-1".into(),
            ip: "10.0.0.21".into(),
        },
        params: spec.params.clone(),
        profile: ProfileValues { name: spec.name.to_string(), profile_type: spec.profile_type.clone() },
        moxxie: ServiceValues {
            base_url: base.into(),
            asset_url: format!("{base}/boot/assets/{}", spec.name),
            config_url: format!("{base}/boot/configs/{}/{mac}?t=TOKEN", spec.name),
            report_url: format!("{base}/boot/report?t=TOKEN"),
        },
    }
}

fn args(spec: &ProfileSpec, values: &RenderContext) -> Result<Vec<String>, String> {
    let platform = find(&spec.profile_type).unwrap();
    let rendered = render::render(&spec.boot_params, values, BOOT_PARAMS).map_err(|e| e.to_string())?;
    let user = render::split_args(&rendered).map_err(|e| e.to_string())?;
    let words = kernel_args(platform, spec, user, values).map_err(|e| e.to_string())?;
    assert_eq!(arg_warnings(platform, &words), Vec::<String>::new());
    Ok(words.iter().map(|word| word.as_str().to_owned()).collect())
}

fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/platform").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path)
        .unwrap_or_else(|e| panic!("{}: {e}; write it with UPDATE_GOLDEN=1", path.display()));
    assert_eq!(text, expected, "{}", path.display());
}

#[test]
fn every_sample_is_complete_and_renders_as_before() {
    for platform in PLATFORMS {
        let spec = platform.sample();
        assert_eq!(spec.profile_type, platform.name());
        assert_eq!(find(platform.name()).map(Platform::name), Some(platform.name()));
        assert!(!platform.title().is_empty() && platform.summary().ends_with('.'));
        assert_eq!(platform.check(&spec), [], "{}", platform.name());
        moxxie_core::params::check(&spec.params).unwrap();

        let values = context(&spec, "amd64");
        for (source, what) in
            [(Some(&spec.boot_params), BOOT_PARAMS), (spec.config_template.as_ref(), CONFIG_TEMPLATE)]
        {
            if let Some(source) = source {
                render::check(source, what, std::slice::from_ref(&values), &values).unwrap();
            }
        }
        let config = spec
            .config_template
            .as_ref()
            .map(|source| render::render(source, &values, CONFIG_TEMPLATE).unwrap());
        let reasons = destructive_reasons(platform.name(), &spec.boot_params, config.as_deref());
        assert_eq!(spec.destructive, !reasons.is_empty(), "{}: {reasons:?}", platform.name());
        assert!(!(platform.re_serve_safe() && spec.destructive));

        let mut text = args(&spec, &values).unwrap().join("\n") + "\n";
        text +=
            &format!("# destructive: {:?}\n", reasons.iter().map(|reason| reason.code).collect::<Vec<_>>());
        for file in platform.config_files() {
            text += &format!("# config {:?} as {}\n", file.path, file.content_type);
        }
        text += config.as_deref().unwrap_or("# no config\n");
        golden(&format!("{}.txt", platform.name()), &text);
    }
}

#[test]
fn platforms_ask_for_what_they_need() {
    for platform in PLATFORMS {
        let mut spec = platform.sample();
        spec.kernel_path = None;
        let pointers: Vec<_> = platform.check(&spec).iter().map(|p| p.pointer).collect();
        assert_eq!(pointers, ["/kernel_path"], "{}", platform.name());
    }
    for name in ["talos", "debian"] {
        let platform = find(name).unwrap();
        let mut spec = platform.sample();
        spec.initrd_path = None;
        assert_eq!(platform.check(&spec)[0].pointer, "/initrd_path");
    }
    assert!(find("Talos").is_none() && find("").is_none());
}

/// The table of the official imager, by version line and architecture.
#[test]
fn talos_arguments_follow_the_version_line() {
    let mut table = String::new();
    for version in ["1.6.0", "v1.7.6", "1.8", "1.9", "1.10", "1.11", "1.12", "v1.13.9", "1.14.0-rc.1", "2.0"]
    {
        for arch in ["amd64", "arm64"] {
            let mut spec = find("talos").unwrap().sample();
            spec.boot_params.clear();
            spec.params.insert("talos_version".into(), version.into());
            let line = args(&spec, &context(&spec, arch)).unwrap().join(" ");
            table += &format!("{version} {arch}: {line}\n");
        }
    }
    golden("talos-versions.txt", &table);

    let mut spec = find("talos").unwrap().sample();
    for wrong in [json!("newest"), json!(1.13), json!("../1.13"), json!(null)] {
        spec.params.insert("talos_version".into(), wrong);
        assert_eq!(find("talos").unwrap().check(&spec)[0].pointer, "/params/talos_version");
        assert!(args(&spec, &context(&spec, "amd64")).unwrap_err().contains("talos_version"));
    }
    spec.params.remove("talos_version");
    assert!(args(&spec, &context(&spec, "")).unwrap().contains(&"proc_mem.force_override=never".into()));
}

#[test]
fn the_operators_arguments_win() {
    let mut spec = find("talos").unwrap().sample();
    let values = context(&spec, "amd64");
    let has = |spec: &ProfileSpec, key: &str| {
        let args = args(spec, &values).unwrap();
        args.iter().filter(|a| a.split('=').next() == Some(key)).cloned().collect::<Vec<_>>()
    };
    spec.boot_params = "console=ttyS1 pti selinux=0 module.sig-enforce=0".into();
    assert_eq!(has(&spec, "console"), ["console=ttyS1"]);
    assert_eq!(has(&spec, "pti"), ["pti"]);
    assert_eq!(has(&spec, "selinux"), ["selinux=0"]);
    assert_eq!(has(&spec, "module.sig_enforce"), Vec::<String>::new());
    assert_eq!(has(&spec, "talos.halt_if_installed").len(), 1);
    assert_eq!(args(&spec, &values).unwrap()[0], "talos.platform=metal");

    spec.boot_params = "talos.experimental.wipe=system talos.config=none".into();
    assert_eq!(has(&spec, "talos.halt_if_installed"), Vec::<String>::new());
    assert_eq!(has(&spec, "talos.config"), ["talos.config=none"]);

    spec.boot_params = "only=this".into();
    let mut off = values.clone();
    off.params.insert("platform_defaults".into(), Value::Bool(false));
    assert_eq!(args(&spec, &off).unwrap(), ["only=this"]);

    spec.config_template = None;
    assert_eq!(has(&spec, "talos.config"), Vec::<String>::new());

    spec.boot_params = "talos.config=http://x/?u=${uuid}".into();
    let problems = find("talos").unwrap().check(&spec);
    assert!(problems[0].message.contains("%24%7Buuid%7D"), "{problems:?}");
}

#[test]
fn debian_fetches_over_http_and_is_named() {
    let mut spec = find("debian").unwrap().sample();
    let mut values = context(&spec, "amd64");
    values.moxxie.config_url = "https://boot/boot/configs/x".into();
    assert!(args(&spec, &values).unwrap_err().contains("plain http"));
    spec.boot_params = "preseed/url=http://elsewhere/p.cfg netcfg/get_hostname=own".into();
    let own = args(&spec, &values).unwrap();
    assert!(!own.iter().any(|a| a.starts_with("url=") || a.starts_with("hostname=")), "{own:?}");

    values.moxxie.config_url = "http://boot/boot/configs/x".into();
    values.machine.node_name = "db-1.rack2.example".into();
    spec.boot_params.clear();
    let named = args(&spec, &values).unwrap();
    assert!(named.contains(&"hostname=db-1".into()) && named.contains(&"domain=rack2.example".into()));
    spec.boot_params = "url=https://elsewhere/p.cfg".into();
    assert_eq!(find("debian").unwrap().check(&spec)[0].pointer, "/boot_params");
}

#[test]
fn too_long_is_refused_also_with_the_defaults() {
    let mut spec = find("talos").unwrap().sample();
    let values = context(&spec, "amd64");
    spec.boot_params = "xyz ".repeat(1000);
    assert!(args(&spec, &values).unwrap_err().contains("at most 4096"));
    let long = render::split_args(&"xyz ".repeat(513)).unwrap();
    assert_eq!(arg_warnings(find("custom").unwrap(), &long).len(), 1);
    let short = render::split_args(&"xyz ".repeat(512)).unwrap();
    assert!(arg_warnings(find("custom").unwrap(), &short).is_empty());
}
