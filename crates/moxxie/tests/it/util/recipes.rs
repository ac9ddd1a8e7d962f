//! Profiles, files and assignments that tests begin with.

use super::Site;
use serde_json::{Value, json};

pub const PROFILES: &str = "/api/v1/boot/profiles";
pub const ASSIGNMENTS: &str = "/api/v1/boot/assignments";

/// A profile that is harmless to repeat, with a config and a secret in it.
pub fn talos(name: &str) -> Value {
    json!({
        "name": name, "profile_type": "talos", "kernel_path": "vmlinuz", "initrd_path": "initramfs.xz",
        "boot_params": "site.rack={{ params.rack }}",
        "config_template": "version: v1alpha1\nmachine:\n  token: {{ params.machine_token }}\n  network:\n    hostname: {{ machine.node_name }}\n# report to {{ moxxie.report_url }}\n",
        "params": {"rack": "r1", "machine_token": "hunter2-machine-token"},
    })
}

/// A profile that erases a disk.
pub fn debian(name: &str) -> Value {
    json!({
        "name": name, "profile_type": "debian", "kernel_path": "linux", "initrd_path": "initrd.gz",
        "config_template": "d-i partman-auto/method string regular\nd-i netcfg/get_hostname string {{ machine.node_name }}\nd-i preseed/late_command string wget -qO- '{{ moxxie.report_url }}&stage=installed'\n",
    })
}

/// A profile that any machine may choose from the menu.
pub fn memtest(name: &str) -> Value {
    json!({
        "name": name, "profile_type": "custom", "description": "A memory test",
        "kernel_path": "memtest.bin", "destructive": false, "menu": true,
    })
}

impl Site {
    /// Creates a profile with every file it names.
    pub async fn profile(&self, body: Value) -> Value {
        let made = self.post(PROFILES, body).await.is(201).json();
        let name = made["name"].as_str().unwrap();
        let more = made["extra_initrds"].as_array().unwrap().clone();
        for file in [&made["kernel_path"], &made["initrd_path"]].into_iter().chain(&more) {
            if let Some(file) = file.as_str().filter(|f| !f.contains("://")) {
                self.asset(name, file, format!("bytes of {file} of {name}").as_bytes()).await;
            }
        }
        made
    }

    pub async fn asset(&self, profile: &str, file: &str, bytes: &[u8]) -> Value {
        let uri = format!("{PROFILES}/{profile}/assets/{file}");
        self.call("PUT", &uri).body(bytes.to_vec()).send().await.is(201).json()
    }

    /// Assigns a machine; armed unless `more` says otherwise.
    pub async fn assign(&self, mac: &str, node: &str, profile: &str, more: Value) -> Value {
        let mut body = json!({"mac_address": mac, "node_name": node, "boot_profile": profile});
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        self.post(ASSIGNMENTS, body).await.is(201).json()
    }

    pub async fn arm(&self, mac: &str) {
        self.call("POST", &format!("{ASSIGNMENTS}/{mac}/arm")).send().await.is(200);
    }
}
