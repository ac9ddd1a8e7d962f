//! Debian, by its installer and a preseed file.

use super::{ArgsContext, ConfigBody, ConfigFile, FieldProblem, Platform, require, sample};
use crate::profile::ProfileSpec;
use crate::render::ArgsError;
use serde_json::Value;

pub(super) struct Debian;

impl Platform for Debian {
    fn name(&self) -> &'static str {
        "debian"
    }

    fn title(&self) -> &'static str {
        "Debian"
    }

    fn summary(&self) -> &'static str {
        "Debian's installer from its netboot files, answered by a preseed file."
    }

    fn config_files(&self) -> &'static [ConfigFile] {
        &[ConfigFile { path: "", content_type: "text/plain", body: ConfigBody::Template }]
    }

    fn default_args(&self, context: &ArgsContext<'_>) -> Result<Vec<String>, ArgsError> {
        let url = &context.values.moxxie.config_url;
        if context.spec.config_template.is_none() || url.is_empty() {
            return Ok(Vec::new());
        }
        // The installer's wget is busybox's and knows no TLS.
        if !url.starts_with("http://") && !context.user_has(self, "url") {
            return Err(ArgsError::Platform(
                "Debian's installer fetches its preseed file over plain http only: \
                 give the machines an http:// URL of this service"
                    .to_owned(),
            ));
        }
        let mut args = vec![
            "auto=true".to_owned(),
            "priority=critical".to_owned(),
            format!("url={url}"),
            "interface=auto".to_owned(),
        ];
        let node = context.values.machine.node_name.as_str();
        let (host, own_domain) = node.split_once('.').unwrap_or((node, ""));
        if !host.is_empty() {
            args.push(format!("hostname={host}"));
        }
        let domain = context.values.params.get("domain").and_then(Value::as_str);
        let domain = if own_domain.is_empty() { domain.unwrap_or("local") } else { own_domain };
        args.push(format!("domain={domain}"));
        Ok(args)
    }

    fn check(&self, spec: &ProfileSpec) -> Vec<FieldProblem> {
        let mut problems = require(spec, self.title(), true, true);
        let own_url = spec
            .boot_params
            .split_whitespace()
            .find_map(|word| word.strip_prefix("url=").or_else(|| word.strip_prefix("preseed/url=")));
        if own_url.is_some_and(|url| url.starts_with("https://")) {
            problems.push(FieldProblem::error(
                "/boot_params",
                "Debian's installer fetches its preseed file over plain http only",
            ));
        }
        problems
    }

    /// The installer's own short names, out of its `/etc/preseed_aliases`.
    fn canonical_key<'k>(&self, key: &'k str) -> &'k str {
        match key {
            "preseed/url" => "url",
            "auto-install/enable" => "auto",
            "debconf/priority" => "priority",
            "netcfg/choose_interface" => "interface",
            "netcfg/get_hostname" => "hostname",
            "netcfg/get_domain" => "domain",
            other => other,
        }
    }

    fn sample(&self) -> ProfileSpec {
        let mut spec = sample("debian-12", self.name(), "linux", Some("initrd.gz"));
        spec.description = "Debian 12 on the first disk".to_owned();
        spec.boot_params = "--- quiet".to_owned();
        spec.config_template = Some(PRESEED.to_owned());
        spec.params.insert("install_disk".to_owned(), Value::from("/dev/sda"));
        spec.destructive = true;
        spec
    }
}

const PRESEED: &str = "\
d-i debian-installer/locale string en_US.UTF-8
d-i keyboard-configuration/xkb-keymap select us
d-i mirror/country string manual
d-i mirror/http/hostname string {{ params.mirror | default('deb.debian.org') }}
d-i mirror/http/directory string /debian
d-i passwd/root-login boolean false
d-i passwd/username string admin
d-i passwd/user-fullname string admin
d-i passwd/user-password-crypted password {{ params.password_hash | default('!') }}
d-i partman-auto/disk string {{ params.install_disk }}
d-i partman-auto/method string regular
d-i partman-auto/choose_recipe select atomic
d-i partman/confirm boolean true
d-i partman/confirm_nooverwrite boolean true
d-i partman-partitioning/confirm_write_new_label boolean true
d-i partman/choose_partition select finish
d-i grub-installer/bootdev string {{ params.install_disk }}
d-i preseed/late_command string wget -qO- '{{ moxxie.report_url }}&stage=installed'
d-i finish-install/reboot_in_progress note
";
