//! Secrets are planted wherever people put them, everything that can be asked is asked, and every
//! answer and every line of the log is searched. The same search has to find each secret in the
//! few places where it belongs, so that it cannot pass by looking wrongly.

use crate::client::{Client, Tape};
use crate::server::{KEY, Server, Setup, until};
use crate::site::{self, KERNEL, mac};
use moxxie_store::testing::TestPostgres;
use rand::RngExt;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Secrets by what they are.
#[derive(Default, Clone)]
struct Canaries(BTreeMap<String, String>);

const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

fn random(alphabet: &[u8], length: usize) -> String {
    let mut dice = rand::rng();
    (0..length).map(|_| char::from(alphabet[dice.random_range(0..alphabet.len())])).collect()
}

impl Canaries {
    fn plant(&mut self, what: &str, value: String) -> String {
        assert!(self.0.insert(what.into(), value.clone()).is_none(), "{what} twice");
        value
    }

    /// As people choose them: no shape gives it away, only where it stands.
    fn word(&mut self, what: &str) -> String {
        let value = format!("horse-{}", random(b"abcdefghijklmnopqrstuvwxyz", 9));
        self.plant(what, value)
    }

    /// As programs make them.
    fn blob(&mut self, what: &str) -> String {
        let value = random(LETTERS, 48);
        self.plant(what, value)
    }

    fn hex(&mut self, what: &str) -> String {
        let value = random(b"0123456789abcdef", 64);
        self.plant(what, value)
    }

    /// The lines of a private key, without their frame.
    fn key_lines(&mut self, what: &str) -> Vec<String> {
        (0..3).map(|n| self.plant(&format!("{what}, line {n}"), random(LETTERS, 64))).collect()
    }

    /// The secrets that stand in a text, plainly or in base64.
    fn found_in(&self, text: &str) -> Vec<&str> {
        let stands = |value: &str| {
            text.contains(value) || inner_base64(value).iter().any(|b| text.contains(b.as_str()))
        };
        self.0.iter().filter(|(_, value)| stands(value)).map(|(what, _)| what.as_str()).collect()
    }

    /// The line that shows it, or everything when it is in base64.
    fn line_with<'t>(&self, what: &str, text: &'t str) -> &'t str {
        text.lines().find(|line| line.contains(&self.0[what])).unwrap_or(text)
    }

    #[track_caller]
    fn nowhere_in(&self, place: &str, text: &str) {
        let found = self.found_in(text);
        assert!(found.is_empty(), "{place} shows {found:?}:\n{text}");
    }

    /// All of them but these, and but what was only ever said and nobody stored.
    #[track_caller]
    fn all_in(&self, place: &str, text: &str, but: &[&str]) {
        let found = self.found_in(text);
        let but = [but, &["a bad request", "a report"]].concat();
        let missing: Vec<&String> = self
            .0
            .keys()
            .filter(|what| !found.contains(&what.as_str()) && !but.iter().any(|b| what.starts_with(b)))
            .collect();
        assert!(missing.is_empty(), "{place} lacks {missing:?}:\n{text}");
    }
}

/// What the value looks like inside of base64, wherever it begins.
fn inner_base64(value: &str) -> Vec<String> {
    (0..3)
        .map(|shift| {
            let mut bytes = vec![b'.'; shift];
            bytes.extend(value.bytes());
            let text = base64(&bytes);
            // The ends depend on the neighbors.
            text[4..text.len() - 4].to_owned()
        })
        .collect()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let n = chunk.iter().fold(0_u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            out.push(match digit <= chunk.len() {
                true => char::from(DIGITS[(n >> (18 - 6 * digit) & 63) as usize]),
                false => '=',
            });
        }
    }
    out
}

#[test]
fn the_search_itself_works() {
    assert_eq!(base64(b"Moxxie!"), "TW94eGllIQ==");
    let mut canaries = Canaries::default();
    let word = canaries.word("a password");
    for text in
        [word.clone(), format!("x{word}y"), base64(word.as_bytes()), base64(format!("ab{word}c").as_bytes())]
    {
        assert_eq!(canaries.found_in(&text), ["a password"], "{text}");
    }
    assert!(canaries.found_in("horse-power, aG9yc2Ut").is_empty());
}

/// The profiles, with a secret in every place that people think of.
fn talos(c: &mut Canaries) -> Value {
    let pem = |lines: &[String]| {
        format!("-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----\n", lines.join("\n"))
    };
    let block = c.key_lines("template: a key in a block scalar");
    let ca = base64(pem(&c.key_lines("template: a key in base64")).as_bytes());
    let param_key = pem(&c.key_lines("params: a key under an innocent name"));
    let template = format!(
        "version: v1alpha1
machine:
  type: controlplane
  token: {machine_token}
  ca:
    crt: ''
    key: {ca}
  network:
    hostname: {{{{ machine.node_name }}}}
  files:
    - path: /etc/service.conf
      content: |
        user = moxxie
        password = {in_file}
    - path: /etc/key
      content: |
        -----BEGIN RSA PRIVATE KEY-----
        {b0}
        {b1}
        {b2}
        -----END RSA PRIVATE KEY-----
cluster:
  secret: {cluster}
  secretboxEncryptionSecret: \"{secretbox}\"
  token: '{bootstrap}' # issued yesterday
  aggregatorCA: {{ key: {flow}, crt: '' }}
  inlineManifests:
    - contents: |
        stringData:
          apiToken: {manifest}
values:
  token: {{{{ params.token }}}}
  greeting: welcome, {{{{ params.password }}}}
  address: https://{{{{ params.registry.password }}}}.example/
  seed: {{{{ params.cluster_secret }}}}
  random: {{{{ params.seed_text }}}}
  joined: {{{{ params.join_token }}}}-{{{{ params.luks_passphrase }}}}
  noted: {{{{ params.note }}}}
  here: {{{{ params.site_password }}}}
  encoded: {{{{ params.password | b64encode }}}}
  file: |
    {{{{ params.bundle | indent(4) }}}}
",
        machine_token = c.word("template: token"),
        in_file = c.word("template: a password in a file"),
        b0 = block[0],
        b1 = block[1],
        b2 = block[2],
        cluster = c.blob("template: cluster secret"),
        secretbox = c.blob("template: secretbox"),
        bootstrap = c.word("template: bootstrap token"),
        flow = c.word("template: a key in a flow mapping"),
        manifest = c.word("template: a token in a manifest"),
    );
    json!({
        "name": "cp", "profile_type": "talos", "kernel_path": "vmlinuz", "initrd_path": "initramfs.xz",
        "config_template": template,
        "boot_params": format!(
            "hello={{{{ params.boot_password }}}} password={} \
             {{% if machine.platform == 'pcbios' %}}n={{{{ params.password | int }}}}{{% endif %}}",
            c.word("boot_params: literal password")),
        "params": {
            "token": c.word("params: token"), "password": c.word("params: password"),
            "cluster_secret": c.hex("params: cluster_secret"), "seed_text": c.blob("params: innocent name"),
            "bundle": param_key, "boot_password": c.word("boot_params: params.boot_password"),
            "registry": {"password": c.word("params: below another")},
            // Only there so that the template renders without them.
            "join_token": "none", "luks_passphrase": "none", "note": "none",
            "install_disk": "/dev/sda",
        },
    })
}

fn debian(c: &mut Canaries) -> Value {
    let crypted = format!("$6$saltsalt${}", c.plant("preseed: crypt hash", random(LETTERS, 86)));
    json!({
        "name": "deb", "profile_type": "debian", "kernel_path": "vmlinuz", "initrd_path": "initramfs.xz",
        "extra_initrds": [format!("http://boot:{}@10.0.0.1/extra.img", c.word("boot_params: password in a URL"))],
        "config_template": format!(
            "d-i partman-auto/disk string {{{{ params.disk }}}}\n\
             d-i passwd/root-password password {}\nd-i passwd/root-password-again password {}\n\
             d-i passwd/user-password-crypted password {crypted}\n\
             d-i mirror/http/proxy string http://proxyuser:{}@10.0.0.1:3128/\n\
             d-i netcfg/wireless_wpa string {}\n\
             d-i preseed/late_command string wget --header 'Authorization: Bearer {}' http://10.0.0.1/done\n",
            c.word("preseed: root password"), c.word("preseed: root password again"), c.word("preseed: proxy password"),
            c.word("preseed: wpa"), c.blob("preseed: bearer"),
        ),
        "params": {"disk": "/dev/sda", "vault_pin": c.word("params: pin that no template uses")},
    })
}

struct Stage {
    server: Server,
    /// Sees everything that is not marked otherwise.
    tape: Tape,
    admin: Client,
    operator: Client,
    viewer: Client,
    /// Every secret but those of the next two.
    secrets: Canaries,
    /// API tokens and the like.
    keys: Canaries,
    /// Boot tokens.
    tokens: Canaries,
}

impl Stage {
    async fn set(setup: Setup, mut secrets: Canaries, mut keys: Canaries) -> Stage {
        let server = setup.start().await;
        let first = match keys.0.get("admin token") {
            Some(given) => given.clone(),
            None => {
                let made = std::fs::read_to_string(setup.dir.join("admin-token")).unwrap();
                keys.plant("admin token", made.trim().to_owned())
            }
        };
        let tape = Tape::default();
        let admin = server.client.with(Some(&first));
        let mut made = Vec::new();
        for role in ["viewer", "operator", "admin"] {
            let body = json!({"name": format!("the-{role}"), "role": role});
            let answer = admin.post("/api/v1/tokens", &body).await.is(201);
            let token = answer.value()["token"].as_str().unwrap().to_owned();
            keys.plant(&format!("API token of the {role}"), token.clone());
            // Shown here, and only here.
            assert_eq!(keys.found_in(&answer.text()), [format!("API token of the {role}")]);
            made.push(admin.with(Some(&token)).taped(&tape));
        }
        for profile in [talos(&mut secrets), debian(&mut secrets)] {
            let name = profile["name"].as_str().unwrap().to_owned();
            admin.post("/api/v1/boot/profiles", &profile).await.is(201);
            for file in ["vmlinuz", "initramfs.xz"] {
                made[1]
                    .put_bytes(&format!("/api/v1/boot/profiles/{name}/assets/{file}"), KERNEL)
                    .await
                    .is(201);
            }
        }
        let overrides = json!({
            "join_token": secrets.word("override: join_token"), "luks_passphrase": secrets.word("override: passphrase"),
            "note": secrets.blob("override: innocent name"),
        });
        let [viewer, operator, second] = <[Client; 3]>::try_from(made).unwrap_or_else(|_| unreachable!());
        // The operator who writes them does not read them back.
        for (n, profile) in [(1, "cp"), (2, "deb"), (3, "cp")] {
            let mut body = site::machine(n, profile, true);
            body["boot_params_override"] = overrides.clone();
            operator.post("/api/v1/boot/assignments", &body).await.is(201);
        }
        Stage { server, tape, admin: second, operator, viewer, secrets, keys, tokens: Canaries::default() }
    }

    /// The admin, where secrets belong.
    fn trusted(&self) -> Client {
        let token = &self.keys.0["admin token"];
        self.server.client.with(Some(token))
    }

    fn machine(&self) -> Client {
        self.admin.with(None)
    }

    /// A machine's script: its tokens belong there, and what its kernel arguments are made of.
    async fn script(&mut self, path: &str) -> crate::client::Reply {
        let script = self.server.client.with(None).get(path).await;
        let text = script.text();
        assert!(script.boots(), "{text}");
        let n = self.tokens.0.len();
        for (what, url) in [("config", script.config_path()), ("report", script.report_path())] {
            let token = url.rsplit("t=").next().unwrap().split('&').next().unwrap().to_owned();
            assert_eq!(token.len(), 43, "{url}");
            self.tokens.plant(&format!("boot token {n} for {what}"), token);
        }
        self.keys.nowhere_in("a script", &text);
        let shown = self.secrets.found_in(&text);
        assert!(shown.iter().all(|what| what.starts_with("boot_params: ")), "a script shows {shown:?}");
        script
    }

    /// Everything that may be read, by everybody who may read it.
    async fn read_everything(&self) {
        let macs = [mac(1), mac(2), mac(3), mac(77)];
        let mut paths: Vec<String> = [
            "/api/v1/boot/profiles",
            "/api/v1/boot/profiles?limit=1",
            "/api/v1/boot/profiles/cp",
            "/api/v1/boot/profiles/deb",
            "/api/v1/boot/profiles/cp/assets",
            "/api/v1/boot/assignments",
            "/api/v1/boot/assignments?q=node",
            "/api/v1/boot/export",
        ]
        .map(String::from)
        .into();
        paths.extend(macs.iter().map(|mac| format!("/api/v1/boot/assignments/{mac}")));
        for path in &paths {
            self.viewer.get(path).await;
            self.operator.get(path).await;
        }
        let mut paths: Vec<String> = [
            "/api/v1/boot/machines",
            "/api/v1/boot/downloads",
            "/api/v1/uploads/x",
            "/api/v1/boot/events?limit=500",
            "/api/v1/audit?limit=500",
            "/api/v1/tokens",
            "/api/v1/backup",
            "/api/v1/openapi.json",
            "/api/docs",
            "/metrics",
            "/readyz",
            "/livez",
            "/",
            "/api/v1/nothing",
        ]
        .map(String::from)
        .into();
        for mac in &macs {
            paths.push(format!("/api/v1/boot/explain?mac={mac}"));
            paths.push(format!("/api/v1/boot/explain?mac={mac}&platform=pcbios&ip=10.0.0.9"));
        }
        for path in &paths {
            self.viewer.get(path).await;
            self.operator.get(path).await;
            self.machine().get(path).await;
            if path != "/api/v1/backup" {
                self.admin.get(path).await;
            }
        }
    }

    /// What is shown masked comes back masked: nothing is lost by it, and no answer shows more.
    async fn send_masks_back(&self) {
        let export = self.operator.get("/api/v1/boot/export").await.is(200).value();
        for path in ["/api/v1/boot/apply?dry_run=true", "/api/v1/boot/apply"] {
            let applied = self.operator.post(path, &export).await.is(200).value();
            let changes = applied["changes"].as_array().unwrap();
            assert!(changes.iter().all(|change| change["action"] == "unchanged"), "{applied}");
        }
        let path = format!("/api/v1/boot/assignments/{}", mac(3));
        let shown = self.operator.get(&path).await.is(200).value();
        self.operator.json(Method::PUT, &path, &shown).await.is(200);
    }

    /// Asks something that should be refused. When it is done all the same, the admin may see
    /// the outcome with its secrets.
    async fn refused(&self, method: Method, path: &str, body: &Value) -> bool {
        let reply = self.trusted().json(method.clone(), path, body).await;
        let refused = reply.status >= 400;
        if refused {
            let answer = format!("{} {:?}\n{}", reply.status, reply.headers, reply.text());
            self.tape.lock().unwrap().push((format!("{method} {path} {body}"), answer));
        }
        refused
    }

    /// Requests that are refused, each with a secret in it.
    async fn be_refused(&mut self) {
        let secret = self.secrets.word("a bad request's secret");
        let long = self.secrets.blob("a bad request's long secret");
        let mut base = site::safe();
        base["name"] = "spare".into();
        self.trusted().post("/api/v1/boot/profiles", &base).await.is(201);
        site::assign(&self.operator, 61, "spare", false).await;
        site::assign(&self.operator, 62, "cp", false).await;
        let profile = |changes: Value| {
            let mut body = base.clone();
            body["name"] = "bad".into();
            for (key, value) in changes.as_object().unwrap() {
                body[key] = value.clone();
            }
            body
        };
        let with = |template: &str| {
            profile(json!({"params": {"password": secret, "api_key": long}, "config_template": template}))
        };
        let args = |value: String| {
            profile(json!({"params": {"password": value}, "boot_params": "x={{ params.password }} y"}))
        };
        let mut bad = vec![
            profile(json!({"params": secret})),
            profile(json!({"params": [long]})),
            profile(json!({"destructive": secret})),
            profile(json!({"extra_initrds": {"password": secret}})),
            profile(json!({"local_boot": secret})),
            profile(json!({"profile_type": format!("talos password={secret}")})),
            profile(json!({"params": {"bad name": secret}})),
            profile(json!({"params": {"password": "********", "token": secret}})),
            profile(json!({"kernel_path": format!("http://user:{secret}@mirror.example/vm linuz")})),
            profile(json!({"kernel_path": format!("ftp://user:{secret}@mirror.example/vmlinuz")})),
            args(format!("{secret} ${{evil}}")),
            args(format!("{secret}\u{1b}[2J")),
            args(format!("{secret}\nchain http://evil/")),
            args(format!("\"{secret}")),
            args(format!("{secret}\\")),
            args(format!("{secret}ü")),
            args(format!("{secret}{}", "x".repeat(8000))),
            profile(json!({"boot_params": format!("password={secret} \"")})),
        ];
        for template in [
            "token: {{ params.password | int }}",
            "{{ params.password + 1 }}",
            "{{ params.password.a.b }}",
            "{{ params.password() }}",
            "{{ params[params.password].x }}",
            "{{ params.password | no_such_filter }}",
            "{{ params.nothing }}",
            "{{ params.password | join(1, 2) }}",
            "{{ params.password is divisibleby 3 }}",
            "{{ params.api_key | indent('a') }}",
            "{% for x in params.password %}{{ x.y.z }}{% endfor %}",
            "{{ params.password | float }}",
            "{{ -params.password }}",
            "{{ range(params.password) }}",
            "{{ params.password | round }}",
            "{{ params.password | b64decode }}",
            "{{ params.password | items }}",
            "{{ params | tojson(params.password) }}",
            "{{ params.password | dictsort }}",
            "{{ [1] | sum + params.password }}",
            "{% set x = params.password %}{{ x.missing.more }}",
            "{{ 'a' * params.password }}",
            "{{ params.password[1:'a'] }}",
        ] {
            bad.push(with(template));
        }
        // The line that cannot be parsed holds the secret itself.
        bad.push(with(&format!("token: {secret} {{{{ params. }}}}\n")));
        bad.push(with(&format!("token: {long} {{% if %}}\n")));
        bad.push(with(&format!("{{{{ '{secret}' | no_such_filter }}}}\n")));
        bad.push(with(&format!("{{{{ '{secret}' + 1 }}}}\n")));
        let mut refused = 0;
        for body in &bad {
            let mut item = body.clone();
            item["kind"] = "profile".into();
            match self.refused(Method::POST, "/api/v1/boot/profiles", body).await {
                true => drop(self.admin.post("/api/v1/boot/apply", &json!({"items": [item]})).await.is(422)),
                // It must not stay.
                false => drop(
                    self.admin
                        .send(self.admin.request(Method::DELETE, "/api/v1/boot/profiles/bad"))
                        .await
                        .is(204),
                ),
            }
            // Checked with the values of a machine that has it.
            let mut body = body.clone();
            body["name"] = "spare".into();
            refused += usize::from(self.refused(Method::PUT, "/api/v1/boot/profiles/spare", &body).await);
            self.refused(Method::PATCH, "/api/v1/boot/profiles/spare", &body).await;
        }
        assert!(refused > 25, "{refused} of {} were refused", bad.len());
        self.trusted().json(Method::PUT, "/api/v1/boot/profiles/spare", &base).await.is(200);

        for change in [
            json!({"boot_params_override": secret}),
            json!({"boot_params_override": {"bad name": secret}}),
            json!({"boot_params_override": {"talos_version": secret}}),
            json!({"boot_params_override": {"boot_password": format!("{secret}${{x}}")}}),
            json!({"armed": secret}),
            json!({"serial": {"password": secret}}),
            json!({"boot_policy": secret}),
            json!({"boot_params_override": {"boot_password": format!("{secret}\u{1}")}}),
            json!({"uuid": long}),
            json!({"mac_address": long}),
            json!({"mac_address": mac(62), "boot_params_override": {"token": secret}}),
        ] {
            let mut body = site::machine(40, "cp", true);
            for (key, value) in change.as_object().unwrap() {
                body[key] = value.clone();
            }
            let reply = self.operator.post("/api/v1/boot/assignments", &body).await;
            assert!((400..500).contains(&reply.status), "{change} {}", reply.text());
            body["kind"] = "assignment".into();
            let reply = self.operator.post("/api/v1/boot/apply", &json!({"items": [body]})).await;
            assert!(reply.status < 500, "{}", reply.text());
            self.operator
                .json(Method::PATCH, &format!("/api/v1/boot/assignments/{}", mac(62)), &change)
                .await;
        }
        for url in [
            format!("http://user:{secret}@127.0.0.1:1/x"),
            format!("ftp://user:{secret}@127.0.0.1/x"),
            format!("http://127.0.0.1:1/x?token={long}"),
            format!("http://user:{secret}@no-such-host.invalid/x"),
            format!("http:// {secret}/"),
        ] {
            let body = json!({"url": url, "file": "x"});
            let reply = self.operator.post("/api/v1/boot/profiles/cp/assets", &body).await;
            assert!(reply.status >= 400, "{}", reply.text());
        }
        let broken = format!("{{\"items\": [{{\"password\": \"{secret}\", \"password\": \"{long}\" ");
        for path in ["/api/v1/boot/apply", "/api/v1/boot/profiles", "/api/v1/restore", "/api/v1/tokens"] {
            let request = self.admin.request(Method::POST, path).header("content-type", "application/json");
            self.admin.send(request.body(broken.clone())).await;
            self.admin
                .post(path, &json!({"items": secret, "name": secret, "role": secret, "format": secret}))
                .await;
        }
        // A token where an id is wanted, or in a URL where none is read.
        for (what, key) in self.keys.clone().0 {
            if what.contains("token") {
                self.admin.send(self.admin.request(Method::DELETE, &format!("/api/v1/tokens/{key}"))).await;
                self.viewer.get(&format!("/api/v1/boot/profiles/{key}")).await;
                self.viewer.get(&format!("/api/v1/boot/events?token={key}")).await;
                self.machine().get(&format!("/boot/{key}.ipxe?mac={}", mac(77))).await;
            }
            let mut wrong = key.clone();
            wrong.push('x');
            self.admin.with(Some(&wrong)).get("/api/v1/boot/profiles").await;
        }
        for role in [&self.viewer, &self.operator] {
            for path in [format!("/boot/configs/cp/{}", mac(1)), format!("/boot/configs/deb/{}", mac(2))] {
                let token =
                    role.request(Method::GET, "/api").build().unwrap().headers()["authorization"].clone();
                role.send(self.machine().request(Method::GET, &path).header("authorization", token))
                    .await
                    .is(403);
            }
        }
    }

    /// A boot with everything that can go wrong in it, and its tokens where they do not belong.
    async fn boot(&mut self) {
        let machine = self.machine();
        // The rendering of its arguments fails for this firmware only.
        machine.get(&format!("/boot/menu.ipxe?mac={}&platform=pcbios", mac(3))).await.is_calm();
        machine
            .get(&format!("/boot/menu.ipxe?mac={}&uuid=564d1234-5678-4abc-8def-0123456789ab", mac(77)))
            .await;
        for (n, profile) in [(1, "cp"), (2, "deb")] {
            let script = self.script(&format!("/boot/menu.ipxe?mac={}&serial=S-{n}", mac(n))).await;
            let (config, report) = (script.config_path(), script.report_path());
            let token = config.rsplit("t=").next().unwrap().to_owned();
            let path = config.split('?').next().unwrap().to_owned();
            let other = format!("/boot/configs/{profile}/{}", mac(3));
            for astray in [
                format!("{other}?t={token}"),
                format!("{path}/{token}"),
                format!("{path}/{token}/user-data"),
                format!("{path}/{token}/a/b"),
                format!("/{path}/{token}/user-data"),
                format!("/boot/configs/{token}"),
                format!("/boot/{token}"),
                format!("/boot/report/{token}"),
                format!("/{token}"),
                format!("{path}?t={token}&t={token}"),
                format!("{path}?T={token}x"),
                format!("/boot/menu.ipxe?mac={token}"),
                format!("/boot/assets/{profile}/{token}"),
                format!("/boot/configs%2f{token}"),
                format!("{path}%3Ft={token}"),
                format!("/boot/report?t={token}&stage=installed"),
                format!("{report}&stage={token}"),
            ] {
                let reply = machine.get(&astray).await;
                assert!(reply.status != 204, "{astray}");
                assert!(!reply.boots(), "{astray}");
            }
            let ranged = machine.request(Method::GET, &config).header("range", "bytes=0-3");
            machine.send(ranged).await.is(416);
            machine.send(machine.request(Method::POST, &config)).await.is(405);

            // A script with the token in it was made again by the menu above, when a serial was claimed.
            let script = self.script(&format!("/boot/menu.ipxe?mac={}&serial=S-{n}", mac(n))).await;
            let config = self.server.client.with(None).get(&script.config_path()).await.is(200).text();
            match n {
                1 => self.secrets.all_in(
                    "the delivered config",
                    &config,
                    &["preseed: ", "boot_params: ", "params: pin"],
                ),
                _ => self.secrets.all_in(
                    "the delivered preseed",
                    &config,
                    &["template: ", "boot_params: ", "params: ", "override: ", "site: "],
                ),
            }
            self.keys.nowhere_in("a config", &config);
            let report = script.report_path();
            let said = self.secrets.word(&format!("a report's password {n}"));
            let url = script.config_path();
            for message in [
                format!("cannot fetch http://10.0.0.1{url}"),
                format!("password: {said}"),
                format!("login failed, password={said}"),
            ] {
                let post = machine.request(Method::POST, &format!("{report}&stage=progress")).body(message);
                machine.send(post).await.is(204);
            }
            machine.get(&format!("{report}&stage=failed&message=password%3D{said}")).await.is(204);
            machine.get(&url).await.is(403);
            machine.get(&report).await.is(400);
        }
        // It failed for its arguments; now it is shown in the states that come after.
        site::arm(&self.operator, 1).await;
        self.operator.act(&format!("/api/v1/boot/assignments/{}/disarm", mac(1))).await.is(200);
        self.operator
            .json(Method::PATCH, &format!("/api/v1/boot/assignments/{}", mac(1)), &json!({"protected": true}))
            .await
            .is(200);
        self.operator.act(&format!("/api/v1/boot/assignments/{}/arm", mac(1))).await.is(409);
    }

    /// Where an admin reads secrets.
    async fn read_as_admin(&self) {
        let admin = self.trusted();
        let profile = |name: &'static str| {
            let admin = admin.clone();
            async move { admin.get(&format!("/api/v1/boot/profiles/{name}")).await.is(200).text() }
        };
        let pair = format!("{}{}", profile("cp").await, profile("deb").await);
        self.secrets.all_in("the admin's profiles", &unescaped(&pair), &["override: ", "site: "]);
        let assignment = admin.get(&format!("/api/v1/boot/assignments/{}", mac(1))).await.is(200).text();
        assert_eq!(self.secrets.found_in(&assignment).len(), 3, "{assignment}");
        let path = "/api/v1/boot/export";
        let text = admin.get(path).await.is(200).text();
        self.secrets.all_in(path, &unescaped(&text), &["site: "]);
        let backup = admin.get("/api/v1/backup").await.is(200).text();
        self.secrets.nowhere_in("the backup", &backup);
        for text in [text, backup] {
            self.keys.nowhere_in(path, &text);
            self.tokens.nowhere_in(path, &text);
        }
        let request = admin.request(Method::GET, &format!("/boot/configs/cp/{}", mac(1)));
        let preview = admin.send(request.bearer_auth(&self.keys.0["admin token"])).await.is(200).text();
        self.secrets.all_in("the preview", &preview, &["preseed: ", "boot_params: ", "params: pin"]);
        self.tokens.nowhere_in("the preview", &preview);
    }
}

/// JSON writes line ends as `\n`; the search goes by lines.
fn unescaped(text: &str) -> String {
    text.replace("\\n", "\n")
}

async fn play(setup: Setup, secrets: Canaries, keys: Canaries) {
    let printed = !setup.has_admin_token();
    let mut stage = Stage::set(setup, secrets, keys).await;
    let streamed = Arc::new(Mutex::new(String::new()));
    let follow =
        stage.viewer.request(Method::GET, "/api/v1/boot/events").header("accept", "text/event-stream");
    let mut follow = follow.timeout(std::time::Duration::from_secs(600)).send().await.unwrap();
    let into = streamed.clone();
    let following = tokio::spawn(async move {
        while let Ok(Some(chunk)) = follow.chunk().await {
            into.lock().unwrap().push_str(&String::from_utf8_lossy(&chunk));
        }
    });
    stage.read_everything().await;
    stage.send_masks_back().await;
    stage.be_refused().await;
    stage.boot().await;
    stage.read_everything().await;
    stage.read_as_admin().await;
    until("the last event in the stream", async || {
        streamed.lock().unwrap().contains("disarmed").then_some(())
    })
    .await;
    assert_eq!(stage.server.stop().await, Some(0));
    following.await.unwrap();

    let Stage { server, tape, secrets, keys, tokens, .. } = stage;
    let (out, log, streamed) = (server.out.text(), server.err.text(), streamed.lock().unwrap().clone());
    assert!(
        tokens.0.len() >= 8 && secrets.0.len() > 35 && keys.0.len() >= 4,
        "{} {} {}",
        tokens.0.len(),
        secrets.0.len(),
        keys.0.len()
    );
    assert!(
        log.matches("request").count() > 200 && log.contains("DEBUG"),
        "the log is a log at debug level: {log:.2000}"
    );
    assert!(streamed.contains("config.delivered") && streamed.contains("boot.error"), "{streamed}");
    // The first-run line is the one place of the admin token.
    let lines: Vec<&str> = out.lines().filter(|line| !keys.found_in(line).is_empty()).collect();
    assert_eq!(lines.len(), usize::from(printed), "{out}");
    assert!(!printed || keys.found_in(lines[0]) == ["admin token"]);
    let mut leaks = Vec::new();
    for (kind, canaries) in [("secret", &secrets), ("key", &keys), ("boot token", &tokens)] {
        canaries.nowhere_in("the event stream", &streamed);
        if kind != "key" {
            canaries.nowhere_in("standard output", &out);
        }
        for line in log.lines() {
            for what in canaries.found_in(line) {
                leaks.push(format!("the log shows {what}: {line}"));
            }
        }
        for (asked, answer) in tape.lock().unwrap().iter() {
            for what in canaries.found_in(&unescaped(answer)) {
                // A script is where a boot token and kernel arguments belong.
                let script = asked.contains(".ipxe") && answer.contains("\nkernel ");
                if !(script && (kind == "boot token" || what.starts_with("boot_params: "))) {
                    let path = asked.split_once("127.0.0.1:").map_or(asked.as_str(), |(_, rest)| rest);
                    leaks.push(format!(
                        "{path:.300} shows {what}: {}",
                        canaries.line_with(what, &unescaped(answer))
                    ));
                }
            }
        }
    }
    leaks.sort();
    leaks.dedup();
    assert!(leaks.is_empty(), "{} leaks\n{}", leaks.len(), leaks.join("\n----\n"));
}

fn config(secrets: &mut Canaries, format: &str) -> String {
    let site = secrets.word("site: site_password");
    format!("[params]\nsite_password = \"{site}\"\n[log]\nlevel = \"debug\"\nformat = \"{format}\"\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_leaves_the_embedded_server() {
    let dir = tempfile::tempdir().unwrap();
    let mut secrets = Canaries::default();
    let config = config(&mut secrets, "text");
    play(Setup::bare(dir.path()).config(&config), secrets, Canaries::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_leaves_a_replica_on_postgres() {
    let Some(database) = TestPostgres::start().await else { return };
    let url = database.database().await;
    let dir = tempfile::tempdir().unwrap();
    let mut secrets = Canaries::default();
    let config = config(&mut secrets, "json");
    let mut keys = Canaries::default();
    keys.plant("site key", KEY.to_owned());
    // The test server believes anybody, and the client says the password all the same.
    let password = keys.word("database: password");
    let url = url.replace("postgres@", &format!("postgres:{password}@"));
    let token = keys.plant("admin token", format!("mox_{}", random(LETTERS, 43)));
    let setup = Setup::replica(dir.path(), &url).env("MOXXIE_ADMIN_TOKEN", &token);
    play(setup.config(&config), secrets, keys).await;
}
