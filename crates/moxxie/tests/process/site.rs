//! A small site: two profiles with their files, and machines.

use crate::client::{Client, Reply};
use serde_json::{Value, json};

pub const KERNEL: &[u8] = b"not a kernel, but its bytes are counted";

/// A MAC address of its own for every number.
pub fn mac(n: u32) -> String {
    let [_, a, b, c] = n.to_be_bytes();
    format!("52:54:00:{a:02x}:{b:02x}:{c:02x}")
}

/// Harmless to boot twice.
pub fn safe() -> Value {
    json!({
        "name": "safe", "profile_type": "talos", "kernel_path": "vmlinuz", "initrd_path": "initramfs.xz",
        "config_template": "version: v1alpha1\nmachine:\n  network:\n    hostname: {{ machine.node_name }}\n",
    })
}

/// Erases a disk.
pub fn wipe() -> Value {
    json!({
        "name": "wipe", "profile_type": "debian", "kernel_path": "vmlinuz", "initrd_path": "initramfs.xz",
        "config_template": "d-i partman-auto/disk string /dev/sda\nd-i netcfg/get_hostname string {{ machine.node_name }}\n",
    })
}

/// Makes both profiles with their files.
pub async fn furnish(client: &Client) {
    for profile in [safe(), wipe()] {
        let made = client.post("/api/v1/boot/profiles", &profile).await.is(201).value();
        assert_eq!(made["destructive"], profile["name"] == "wipe");
        for file in ["vmlinuz", "initramfs.xz"] {
            let path = format!("/api/v1/boot/profiles/{}/assets/{file}", profile["name"].as_str().unwrap());
            client.put_bytes(&path, KERNEL).await.is(201);
        }
    }
}

pub fn machine(n: u32, profile: &str, armed: bool) -> Value {
    json!({"mac_address": mac(n), "node_name": format!("node-{n}"), "boot_profile": profile, "armed": armed})
}

/// Assigns a machine.
pub async fn assign(client: &Client, n: u32, profile: &str, armed: bool) -> Reply {
    client.post("/api/v1/boot/assignments", &machine(n, profile, armed)).await.is(201)
}

pub async fn arm(client: &Client, n: u32) {
    client.act(&format!("/api/v1/boot/assignments/{}/arm", mac(n))).await.is(200);
}

/// One assignment as the API shows it.
pub async fn state(client: &Client, n: u32) -> Value {
    client.get(&format!("/api/v1/boot/assignments/{}", mac(n))).await.is(200).value()
}

/// Every item of a list, part by part.
pub async fn all(client: &Client, path: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("{path}?limit=500{cursor}")).await.is(200).value();
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={}", next.replace(' ', "%20")),
            None => return items,
        }
    }
}
