//! Talos Linux.

use super::{ArgsContext, ConfigBody, ConfigFile, FieldProblem, Platform, require, sample};
use crate::ipxe::Word;
use crate::profile::ProfileSpec;
use crate::render::ArgsError;
use serde_json::Value;

pub(super) struct Talos;

/// A version line, such as 1.13.
type Line = (u32, u32);

/// What a profile without `params.talos_version` is taken for: the newest stable line.
const NEWEST: Line = (1, 13);

impl Platform for Talos {
    fn name(&self) -> &'static str {
        "talos"
    }

    fn title(&self) -> &'static str {
        "Talos Linux"
    }

    fn summary(&self) -> &'static str {
        "Kubernetes nodes from one machine config each; an installed node ignores being booted again."
    }

    fn config_files(&self) -> &'static [ConfigFile] {
        &[ConfigFile { path: "", content_type: "application/yaml", body: ConfigBody::Template }]
    }

    fn default_args(&self, context: &ArgsContext<'_>) -> Result<Vec<String>, ArgsError> {
        let line = match context.values.params.get("talos_version") {
            Some(version) => parse_version(version)
                .ok_or_else(|| ArgsError::Platform(format!("params.talos_version: {VERSION}")))?,
            None => NEWEST,
        };
        let arm = matches!(context.values.machine.arch.as_str(), "arm64" | "aarch64");
        let wipes =
            context.user.iter().any(|arg| crate::render::arg_key(arg.as_str()) == "talos.experimental.wipe");

        let mut args = vec!["talos.platform=metal".to_owned()];
        let mut add = |from: Line, until: Line, arg: &str| {
            if (from..until).contains(&line) {
                args.push(arg.to_owned());
            }
        };
        const FIRST: Line = (0, 0);
        const EVER: Line = (u32::MAX, 0);
        // The table of the official imager, by version line: kernel.go and quirks.go at each tag.
        if arm {
            add(FIRST, EVER, "console=ttyAMA0");
        } else {
            add(FIRST, (1, 8), "console=ttyS0");
        }
        add(FIRST, EVER, "console=tty0");
        add(FIRST, EVER, "slab_nomerge=");
        add(FIRST, EVER, "pti=on");
        add(FIRST, EVER, "consoleblank=0");
        add(FIRST, (1, 14), "init_on_alloc=1");
        add(FIRST, (1, 14), "nvme_core.io_timeout=4294967295");
        add(FIRST, EVER, "printk.devkmsg=on");
        add(FIRST, (1, 11), "ima_template=ima-ng");
        add(FIRST, (1, 11), "ima_appraise=fix");
        add(FIRST, (1, 11), "ima_hash=sha512");
        add((1, 10), EVER, "selinux=1");
        add((1, 12), EVER, "module.sig_enforce=1");
        add((1, 13), EVER, "proc_mem.force_override=never");
        // A node that is installed already must not run from the network by accident.
        if !wipes {
            add((1, 8), EVER, "talos.halt_if_installed=1");
        }
        let config_url = &context.values.moxxie.config_url;
        if context.spec.config_template.is_some() && !config_url.is_empty() {
            args.push(format!("talos.config={config_url}"));
        }
        Ok(args)
    }

    fn check(&self, spec: &ProfileSpec) -> Vec<FieldProblem> {
        let mut problems = require(spec, self.title(), true, true);
        if let Some(version) = spec.params.get("talos_version")
            && parse_version(version).is_none()
        {
            problems.push(FieldProblem::error("/params/talos_version", VERSION));
        }
        let own_url = spec.boot_params.split_whitespace().find(|w| w.starts_with("talos.config="));
        if own_url.is_some_and(|url| url.contains("${")) {
            problems.push(FieldProblem::warning("/boot_params", PLACEHOLDER));
        }
        problems
    }

    fn warnings(&self, args: &[Word]) -> Vec<String> {
        let own = |word: &&Word| word.as_str().starts_with("talos.config=");
        match args.iter().find(own) {
            Some(url) if url.as_str().contains("${") => vec![PLACEHOLDER.to_owned()],
            _ => Vec::new(),
        }
    }

    fn re_serve_safe(&self) -> bool {
        true
    }

    /// Workers join a cluster that its control plane has to serve first.
    fn first(&self, spec: &ProfileSpec) -> bool {
        spec.config_template.as_deref().is_some_and(is_control_plane)
    }

    fn sample(&self) -> ProfileSpec {
        let mut spec = sample("talos-cp", self.name(), "vmlinuz-amd64", Some("initramfs-amd64.xz"));
        spec.description = "Control plane nodes".to_owned();
        spec.boot_params = "console=tty0 console=ttyS0".to_owned();
        spec.config_template = Some(CONFIG.to_owned());
        spec.params.insert("talos_version".to_owned(), Value::from("v1.13.9"));
        spec.params.insert("install_disk".to_owned(), Value::from("/dev/sda"));
        spec
    }
}

/// Whether a machine config is a control plane's: `machine.type` is `controlplane`, or `init` as
/// older configs have it (config/types/v1alpha1, MachineConfig.Type). A type that a template
/// computes is not seen; `params.boot_first` says it then.
fn is_control_plane(template: &str) -> bool {
    template.lines().any(|line| {
        let value = line.trim().strip_prefix("type:").unwrap_or_default();
        let value = value.split_once(" #").map_or(value, |(value, _)| value);
        matches!(value.trim().trim_matches(['"', '\'']), "controlplane" | "init")
    })
}

const VERSION: &str = "not a Talos version: write it as a text such as \"v1.13.9\" or \"1.13\" (as a number, 1.10 would be 1.1)";

const PLACEHOLDER: &str = "iPXE replaces ${…} before Talos sees it: write {{ moxxie.config_url }}, \
or %24%7Buuid%7D for Talos' own placeholder";

/// `v1.13.9`, `1.13`, `1.14.0-rc.1`.
fn parse_version(value: &Value) -> Option<Line> {
    let text = value.as_str()?;
    let text = text.strip_prefix('v').unwrap_or(text);
    let (numbers, suffix) = match text.split_once('-') {
        Some((numbers, suffix)) => (numbers, Some(suffix)),
        None => (text, None),
    };
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.';
    if suffix.is_some_and(|s| s.is_empty() || !s.bytes().all(plain)) {
        return None;
    }
    let parts: Vec<u32> = numbers
        .split('.')
        .map(|part| {
            let digits = (1..=4).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
            part.parse().ok().filter(|_| digits)
        })
        .collect::<Option<_>>()?;
    match parts[..] {
        [major, minor] if suffix.is_none() => Some((major, minor)),
        [major, minor, _] => Some((major, minor)),
        _ => None,
    }
}

const CONFIG: &str = "\
version: v1alpha1
machine:
  type: controlplane
  token: {{ params.machine_token | default('replace-me') | yaml_quote }}
  network:
    hostname: {{ machine.node_name }}
  install:
    disk: {{ params.install_disk }}
    wipe: false
cluster:
  clusterName: example
  controlPlane:
    endpoint: https://10.0.0.10:6443
";

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn control_planes_go_first() {
        for (text, first) in [
            (CONFIG, true),
            ("machine:\n  type: \"controlplane\" # of three\n", true),
            ("machine:\n  type: 'init'\r\n", true),
            ("machine:\n  type: worker\n", false),
            ("machine:\n  type: join\n", false),
            ("machine:\n  type: {{ params.type }}\n", false),
            ("# type: controlplane\nmachine:\n  type: worker\n", false),
            ("", false),
        ] {
            assert_eq!(is_control_plane(text), first, "{text}");
        }
        let mut spec = Talos.sample();
        assert!(super::super::boots_first(&spec, &spec.params));
        spec.params.insert("boot_first".into(), json!(false));
        assert!(!super::super::boots_first(&spec, &spec.params));
        spec.config_template = None;
        assert!(!Talos.first(&spec));
        spec.params.insert("boot_first".into(), json!(true));
        assert!(super::super::boots_first(&spec, &spec.params));
        spec.params.insert("boot_first".into(), json!("true"));
        assert!(!super::super::boots_first(&spec, &spec.params), "a text is not a yes");
    }

    #[test]
    fn versions() {
        for (text, line) in [
            ("v1.13.9", Some((1, 13))),
            ("1.13", Some((1, 13))),
            ("v1.14.0-rc.1", Some((1, 14))),
            ("1", None),
            ("", None),
            ("v", None),
            ("1.13.9.1", None),
            ("1.-13", None),
            ("1.+13", None),
            ("1.13-", None),
            ("1.13.9-\u{e4}", None),
            ("../1.13", None),
            ("99999.1", None),
        ] {
            assert_eq!(parse_version(&json!(text)), line, "{text}");
        }
        assert_eq!(parse_version(&json!(1.13)), None, "a number loses 1.10");
    }
}
