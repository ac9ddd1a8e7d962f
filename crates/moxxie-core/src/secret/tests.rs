use super::*;
use proptest::prelude::*;
use serde_json::json;

const CANARY: &str = "hunter2Zq9x";

/// Every shape holds the canary once or more, under a name or a mark that tells.
fn shapes(secret: &str) -> Vec<String> {
    let s = secret;
    vec![
        format!("password: {s}"),
        format!("password: {s} # comment {s}"),
        format!("  rootPassword: \"{s}\""),
        format!("- token: '{s}'"),
        format!("password: \"a \\\" {s}\""),
        format!("password: 'it''s {s}'"),
        format!("password: |\n  {s}\n\n  {s}\nnext: 1"),
        format!("password: >-\n    a\n    {s}"),
        format!("password: |2-\n    {s}"),
        format!("password:\n  {s}"),
        format!("tokens:\n  - {s}\n  - {s}"),
        format!("tokens:\n- {s}\n- a: {s}"),
        format!("secret:\n  a:\n    b: {s}"),
        format!("password: &a {s}"),
        format!("password: !vault |\n  {s}\n  {s}"),
        format!("password: \"first\n  {s}\n  last\"\nnext: 1"),
        format!("{{password: {s}, x: 1}}"),
        format!("{{\"password\": \"{s}\", \"x\": 1}}"),
        format!("{{\"x\":1,\"password\":\"{s}\"}}"),
        format!("{{\"secret\":{{\"a\":\"{s}\",\"b\":[\"{s}\"]}},\"x\":1}}"),
        format!("{{\n  \"secret\": {{\n    \"a\": \"{s}\"\n  }},\n  \"x\": 1\n}}"),
        format!("\"tokens\": [\n  \"{s}\",\n  \"{s}\"\n]\n"),
        format!("body: '{{\\\"password\\\": \\\"{s}\\\"}}'"),
        format!("\"password\":\n  \"{s}\"\n"),
        format!("- name: x\n  password: {s}\n  y: 1"),
        format!("- password: {s}\n    {s}\n  y: 1"),
        format!("password = \"{s}\""),
        format!("password = '''{s}'''"),
        format!("password = \"\"\"\n{s}\n\"\"\""),
        format!("root-password={s}"),
        format!("API_KEY={s} next"),
        format!("export TOKEN='{s}'"),
        format!("d-i passwd/root-password password {s}"),
        format!("d-i passwd/root-password password {s} {s}"),
        format!("d-i passwd/user-password-again\tpassword\t{s}"),
        format!("d-i partman-crypto/passphrase password {s}"),
        format!("rootpw {s}"),
        format!("rootpw --plaintext {s}"),
        format!("rootpw --iscrypted {s}"),
        format!("user --name=x --password={s} --groups=wheel"),
        format!("bootloader --password={s}"),
        format!("autopart --encrypted --passphrase={s}"),
        format!("  - echo 'root:{s}' | chpasswd"),
        format!("chpasswd:\n  list: |\n    root:{s}"),
        format!("chpasswd:\n  users:\n    - {{name: root, password: {s}}}"),
        format!("chpasswd:\n  list:\n    - root:{s}"),
        format!("echo {s} | passwd --stdin root"),
        format!("-----BEGIN PRIVATE KEY-----\n{s}\n-----END PRIVATE KEY-----"),
        format!(
            "x: |\n  -----BEGIN RSA PRIVATE KEY-----\n  {s}\n  {s}\n  -----END RSA PRIVATE KEY-----\ny: 1"
        ),
        format!("x: \"-----BEGIN EC PRIVATE KEY-----\\n{s}\\n-----END EC PRIVATE KEY-----\\n\""),
        format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{s}"),
        format!("hash: $6$rounds=5000${s}$abcdef"),
        format!("x: \"$y$j9T${s}$abcdefgh\""),
        format!("$2b$12${s}abcdefgh"),
        format!("url: http://user:{s}@host/path"),
        format!("url=https://{s}@host"),
        format!("url: http://user:a/{s}@host/path"),
        format!("talos.config=http://h/boot/configs/p/m?t={s}"),
        format!("talos.config=http://h/x?a=1&t={s}&stage=x"),
        format!("http://h/x?token={s}"),
        format!("wget 'http://h/x?a=1&t={s}'"),
        format!("talos.config.oauth.client_secret={s}"),
        format!("<password>{s}</password>"),
        format!("<user_password>\n  {s}\n</user_password>"),
        format!("Authorization: Bearer {s}"),
        format!("pa\u{df}: 1\npassword: {s}"),
        format!("password: {s}\r\nnext: 1\r\n"),
        format!("certs:\n  os:\n    crt: a\n    key: {s}"),
        format!("ca: {{crt: a, key: {s}}}"),
        format!("quiet rootpw={s} console=tty0"),
        format!("curl -u user:{s} http://h/x"),
        format!("  - curl -fsSu 'user:{s} {s}' http://h/x"),
        format!("/usr/bin/curl -uuser:{s} http://h/x"),
        format!("[\"curl\",\"--user\",\"user:{s}\"]"),
        format!("curl --user=user:{s} http://h"),
        format!("curl -u user:x -d password=\"{s}\n{s}\""),
        format!("mysql -uroot -p{s} -e 'select 1'"),
        format!("mysql -p'{s}' db"),
        format!("echo '{s}' | cryptsetup open /dev/sda3 x -"),
        format!("printf %s {s} | sudo cryptsetup luksFormat /dev/sda3 -"),
        format!("cryptsetup open /dev/sda3 x <<< {s}"),
        format!("echo {s} | sudo -S true"),
        format!("<pw>{s}</pw><pw>{s}</pw><pw>no</pw><pw>{s}</pw>"),
        format!("<pw>{s}</pw><pw>{s}\n{s}</pw>"),
        format!("<pw>{s}{}\n{s}</pw>", "x".repeat(9000)),
        format!("password: \"{s}{}\n{s}\"", "x ".repeat(5000)),
        format!("{}password={s}", "a ".repeat(5000)),
        format!("password: {{{{ params.x | default('{s}') }}}}"),
    ]
}

#[test]
fn planted_secrets_do_not_survive_in_text() {
    let mut bad = Vec::new();
    for shape in shapes(CANARY) {
        let masked = mask_text(&shape);
        if masked.contains("hunter2") || mask_text(&masked) != masked {
            bad.push(format!("{shape}\n--- masked\n{masked}\n--- twice\n{}", mask_text(&masked)));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n=======\n"));
    for shape in shapes(CANARY) {
        let masked = mask_text(&shape);
        assert!(!masked.contains(CANARY) && !masked.contains("hunter2"), "{shape}\n---\n{masked}");
        assert_eq!(masked.matches('\n').count(), shape.matches('\n').count(), "{shape}");
        assert_eq!(mask_text(&masked), masked, "masking twice changes nothing: {shape}");
    }
}

/// Texts like these took time by the square of their length, or a stack frame for every element. At
/// this size that is many minutes without optimization, or the end of the process.
#[test]
fn hostile_texts_take_time_by_their_length() {
    let secret = "://u:hunter2@h";
    for pattern in [
        "<pw>x</",
        "<pw",
        "<pw>",
        "<pw/>",
        "<pw>no</",
        "$",
        "$a",
        "://",
        "a://b:c",
        "a://1:1@",
        "?t={{",
        "?t= ",
        "&t=",
        "a.",
        "a@",
        "AAAA ",
        "pw=\"",
        "pw='",
        "pw=\\\"",
        "pw=[",
        "\"pw\":&a,",
        "-----BEGIN",
        "installer/",
        "curl -s ",
        "=",
        " ",
        "A1b/",
    ] {
        // Unoptimized, a megabyte takes a second; one pattern had the stack for far less.
        let size = if pattern == "<pw>x</" { 1 << 20 } else { 1 << 17 };
        let line = pattern.repeat(size / pattern.len());
        for text in [format!("{line} {secret}"), format!("{}{line}", " ".repeat(1000))] {
            let masked = mask_text(&text);
            assert!(!masked.contains("hunter2"), "{pattern}");
        }
        let lines = format!("{}\n", &line[..4000 / pattern.len() * pattern.len()]).repeat(8);
        assert_eq!(mask_text(&lines).matches('\n').count(), 8, "{pattern}");
    }
    // A long lead is not gone over again for every pair.
    mask_text(&format!("{}{}", " ".repeat(1 << 19), "pw=a ".repeat(100_000)));
}

/// Only the lines that hold a secret go, whatever their length.
#[test]
fn a_long_line_goes_as_a_whole() {
    let harmless = "word ".repeat(4000);
    let text = format!("a: 1\n{harmless}\n{harmless} password=x\nb: 2");
    assert_eq!(mask_text(&text), format!("a: 1\n{harmless}\n{MASK}\nb: 2"));
}

#[test]
fn commands_stay_readable() {
    for (text, masked) in [
        ("curl -fsSL http://h/x -o /x", "curl -fsSL http://h/x -o /x"),
        ("curl -u user:pw http://h/x", "curl -u ********"),
        ("mysql -uroot -px -e y", "mysql -uroot -p********"),
        ("mysql -u root -p", "mysql -u root -p"),
        ("mkdir -p /a/b && cp -u a b", "mkdir -p /a/b && cp -u a b"),
        ("cryptsetup open /dev/sda3 x", "cryptsetup open /dev/sda3 x"),
        ("autopart --luks-version=luks2", "autopart --luks-version=luks2"),
    ] {
        assert_eq!(mask_text(text), masked);
    }
}

#[test]
fn long_random_values_are_masked_under_any_name() {
    for blob in [
        "3f786850e387550fdab836ed7e6dc881",
        "9b74c9897bac770ffc029102a200c5de9b74c9897bac770ffc029102a200c5de",
        "fKL8fbtkdKFbBXsmXBtLCBNZJkfCuXSEr4WpSI2tXO8=",
        "q2/TkHKq7e6cN3vPpWgQ8L1b/xYzR0mUu5aFsJdE9hI=",
        "AbC9-xYz_Q1w2E3r4T5y6U7i8O9p0A1s2D3f4G5h6J7",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIn0.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
        "k3j9x0q7w2v8b1n6m4z5c0l9p8o7i6u5",
    ] {
        for shape in ["x: {}", "{\"x\":\"{}\"}", "x={}", "http://h/boot/configs/p/{}/user-data", "{}"] {
            let text = shape.replace("{}", blob);
            let masked = mask_text(&text);
            assert!(!masked.contains(blob) && masked.contains(MASK), "{text}\n{masked}");
        }
        assert_eq!(mask_params(json!({"x": blob}).as_object().unwrap())["x"], MASK);
    }
    let path = mask_text("http://h/boot/configs/p/AbC9xYzQ1w2E3r4T5y6U7i8O9p0A1s2D3f4G5h6J7Kk/user-data");
    assert_eq!(path, "http://h/boot/configs/p/********/user-data");
}

#[test]
fn ordinary_values_survive() {
    let text = "\
version: v1alpha1
machine:
  type: controlplane
  install:
    disk: /dev/disk/by-id/nvme-Samsung_SSD_980_PRO_1TB_S5GXNX0R123456
    image: factory.talos.dev/metal-installer/376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba:v1.13.9
    wipe: false
  network:
    hostname: cp-1.rack2.example
    interfaces: [{interface: eth0, dhcp: true, addresses: [10.0.0.21/24]}]
  uuid: 6c1e1f0a-5f4b-4d0e-9d0c-2f1c3b1a0001
  mac: 52:54:00:12:34:56
  image: ghcr.io/siderolabs/kubelet@sha256:9b74c9897bac770ffc029102a200c5de9b74c9897bac770ffc029102a200c5de
ssh_authorized_keys:
  - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl admin@example
keyboard: us
cluster:
  controlPlane: {endpoint: 'https://10.0.0.10:6443'}
  podSubnets: 10.244.0.0/16
  token: {{ params.machine_token }}
  ca:
    crt: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJQakNCOGFBREFnRUNBaEFoCi0tLS0tRU5EIENFUlRJRklDQVRFLS0tLS0K
d-i partman-auto/disk string /dev/sda
d-i passwd/make-user boolean false
d-i mirror/http/hostname string deb.debian.org
d-i passwd/user-fullname string Admin User
lock_passwd: false
#cloud-config
http://10.0.0.1:8080/boot/assets/talos-cp/initramfs-amd64-v1.13.9-with-extensions.xz
talos.platform=metal console=tty0 console=ttyS0,115200n8 nvme_core.io_timeout=4294967295 slab_nomerge= pti=on
kubePrismEnabledFeatureGatesForTheWholeClusterNetwork: true
-----BEGIN CERTIFICATE-----
-----END CERTIFICATE-----
cost: $5 and $HOME/$USER/x
email: admin@example.com http://host:8080/path@2x.png
";
    let masked = mask_text(text);
    for (before, after) in text.lines().zip(masked.lines()) {
        assert_eq!(before, after);
    }
    let params = json!({
        "install_disk": "/dev/nvme0n1", "ntp": ["a.example"], "n": 3, "net": {"dns": "10.0.0.1", "mtu": 9000},
        "talos_version": "v1.13.9", "keyboard": "us", "use_token": true, "password": "", "token": null,
        "image": "ghcr.io/siderolabs/installer:v1.13.9", "url": "http://10.0.0.1:8080/x?y=z",
    });
    let params = params.as_object().unwrap();
    assert_eq!(&mask_params(params), params);
}

#[test]
fn params_round_trip() {
    let original = json!({
        "password": "p1", "disk": "/dev/sda", "deep": {"api_key": {"a": 1}, "x": [1, {"token": "t1"}]},
        "users": [{"name": "a", "password": "pa"}, {"name": "b", "password": "pb"}],
        "tokens": ["x", "y"], "note": "$6$saltsalt$hashhashhash", "key": 5,
    });
    let old = original.as_object().unwrap();
    let masked = mask_params(old);
    assert_eq!(
        Value::Object(masked.clone()),
        json!({
            "password": MASK, "disk": "/dev/sda", "deep": {"api_key": MASK, "x": [1, {"token": MASK}]},
            "users": [{"name": "a", "password": MASK}, {"name": "b", "password": MASK}],
            "tokens": MASK, "note": MASK, "key": MASK,
        })
    );
    assert_eq!(unmask(&masked, old).as_ref(), Ok(old));

    // Reordered elements keep their own secrets.
    let swapped = json!({"users": [{"name": "b", "password": MASK}, {"name": "a", "password": MASK}]});
    let restored = unmask(swapped.as_object().unwrap(), old).unwrap();
    assert_eq!(restored["users"], json!([{"name": "b", "password": "pb"}, {"name": "a", "password": "pa"}]));

    for (new, pointer) in [
        (json!({"other": MASK}), "/other"),
        (json!({"deep": {"a/b": MASK}}), "/deep/a~1b"),
        (json!({"disk": {"x": MASK}}), "/disk/x"),
        (json!({"users": [{"name": "c", "password": MASK}]}), "/users/0"),
        (json!({"list": [MASK]}), "/list/0"),
    ] {
        assert_eq!(unmask(new.as_object().unwrap(), old), Err(pointer.to_owned()));
    }
}

#[test]
fn secrets_do_not_print() {
    let secret = Secret::new(CANARY.to_owned());
    assert_eq!(format!("{secret:?} {:?}", Some(&secret)), format!("{MASK} Some({MASK})"));
    assert_eq!(secret.expose(), CANARY);
}

proptest! {
    #[test]
    fn any_text_is_masked_without_panic(
        text in prop_oneof![
            any::<String>(),
            "(password|key|token|x|-----BEGIN PRIVATE KEY-----|[:= \n\"'{}\\[\\],|>&$@/\\\\\u{e4}-]){0,30}",
        ]
    ) {
        let masked = mask_text(&text);
        prop_assert_eq!(masked.matches('\n').count(), text.matches('\n').count());
    }

    #[test]
    fn any_plain_secret_is_hidden(secret in "[A-Za-z0-9]{6,40}", shape in 0usize..1000) {
        let secret = format!("Zq9{secret}");
        let shapes = shapes(&secret);
        let text = &shapes[shape % shapes.len()];
        prop_assert!(!mask_text(text).contains(&secret), "{}", text);
    }

    #[test]
    fn what_is_masked_comes_back(secret in "[ -~]{1,20}", name in "[a-z]{1,8}") {
        prop_assume!(secret != MASK);
        let json = json!({"password": secret, name: {"token": secret, "list": [secret]}});
        let old = json.as_object().cloned().unwrap();
        let old = &old;
        let masked = mask_params(old);
        let restored = unmask(&masked, old);
        prop_assert_eq!(restored.as_ref(), Ok(old));
    }
}
