//! `moxxie profile`: recipes for what machines boot.

use crate::cli::ClientOptions;
use crate::cli::input::{self, Param};
use crate::cli::out::{self, Column};
use anyhow::bail;
use clap::{Args, Subcommand};
use moxxie_core::name::ProfileName;
use reqwest::Method;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The path of all profiles.
pub(crate) const PROFILES: [&str; 4] = ["api", "v1", "boot", "profiles"];

const COLUMNS: &[Column] = &[
    ("NAME", "name"),
    ("TYPE", "profile_type"),
    ("DESTRUCTIVE", "destructive"),
    ("MENU", "menu"),
    ("KERNEL", "kernel_path"),
    ("UPDATED", "updated_at"),
    ("DESCRIPTION", "description"),
];

/// The order in which people read a profile.
const FIELDS: [&str; 20] = [
    "name",
    "profile_type",
    "description",
    "kernel_path",
    "initrd_path",
    "extra_initrds",
    "boot_params",
    "menu",
    "local_boot",
    "provisioning",
    "approval",
    "contention",
    "destructive",
    "destructive_reasons",
    "id",
    "revision",
    "created_at",
    "updated_at",
    "params",
    "config_template",
];

/// Fields of a profile that only the server sets.
const READ_ONLY: [&str; 6] = ["id", "kind", "destructive_reasons", "revision", "created_at", "updated_at"];

/// What to do with profiles.
#[derive(Debug, Subcommand)]
pub enum ProfileCommand {
    /// List profiles.
    #[command(after_help = "Example:\n  moxxie profile list\n  moxxie profile list --output json")]
    List {
        /// At most so many.
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
    },
    /// Show one profile.
    #[command(after_help = "Example:\n  moxxie profile show talos-cp --output yaml")]
    Show {
        /// Its name or id.
        name: ProfileName,
    },
    /// Create a profile.
    #[command(after_help = "Example:
  moxxie profile create talos-cp --type talos --kernel vmlinuz --initrd initramfs.xz --config-template @controlplane.yaml --param install_disk=/dev/sda
  moxxie profile create -f talos-cp.yaml")]
    Create {
        /// Its name: a-z, 0-9 and '-'. May stand in the file instead.
        #[arg(required_unless_present = "file")]
        name: Option<ProfileName>,
        /// What it is.
        #[command(flatten)]
        fields: ProfileFields,
    },
    /// Change what is given, leave the rest.
    #[command(after_help = "Example:
  moxxie profile update talos-cp --param install_disk=/dev/nvme0n1
  moxxie profile update talos-cp --initrd '' --menu=false")]
    Update {
        /// Its name or id.
        name: ProfileName,
        /// What changes.
        #[command(flatten)]
        fields: ProfileFields,
    },
    /// Delete a profile that no assignment uses.
    #[command(after_help = "Example:\n  moxxie profile delete talos-cp")]
    Delete {
        /// Its name or id.
        name: ProfileName,
    },
}

/// The fields of a profile, as flags. Empty text removes an optional value.
#[derive(Debug, Default, Args)]
pub struct ProfileFields {
    /// Read the fields from a YAML or JSON file ('-': standard input); flags have the last word.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Platform: talos, debian, custom, …
    #[arg(long = "type", value_name = "TYPE")]
    profile_type: Option<String>,
    /// Kernel: a file of the profile's assets, or an http(s) URL.
    #[arg(long, value_name = "FILE|URL")]
    kernel: Option<String>,
    /// Initrd, likewise.
    #[arg(long, value_name = "FILE|URL")]
    initrd: Option<String>,
    /// A further initrd; may be repeated, in loading order.
    #[arg(long, value_name = "FILE|URL")]
    extra_initrd: Vec<String>,
    /// Kernel arguments, a template; @FILE reads a file.
    #[arg(long, value_name = "TEXT|@FILE", allow_hyphen_values = true)]
    boot_params: Option<String>,
    /// The machine's config, a template; @FILE reads a file.
    #[arg(long, value_name = "@FILE", allow_hyphen_values = true)]
    config_template: Option<String>,
    /// A value for the templates; may be repeated. JSON where it is JSON, else text; null removes it.
    #[arg(long, value_name = "KEY=VALUE")]
    param: Vec<Param>,
    /// All values for the templates, from a YAML or JSON file; replaces those there are.
    #[arg(long, value_name = "@FILE")]
    params: Option<String>,
    /// One line for people.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Offer it to unknown machines in their menu.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    menu: Option<bool>,
    /// How its machines boot from disk: auto, exit, sanboot or 404.
    #[arg(long, value_name = "HOW", value_parser = ["auto", "exit", "sanboot", "404"])]
    local_boot: Option<String>,
    /// A network that its machines may boot it from; may be repeated. Empty: as the site says; none: from nowhere.
    #[arg(long, value_name = "NETWORK")]
    provisioning: Vec<String>,
    /// Whether an operator approves each boot by the code on the machine's screen: auto or manual.
    #[arg(long, value_name = "HOW", value_parser = ["auto", "manual"])]
    approval: Option<String>,
    /// When two ask in the name of one machine: alarm, or freeze to quarantine it as well.
    #[arg(long, value_name = "HOW", value_parser = ["alarm", "freeze"])]
    contention: Option<String>,
    /// Whether booting it can erase a disk; only an admin can say no where the check says yes.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    destructive: Option<bool>,
}

impl ProfileFields {
    /// The fields as the API has them; `current` is what the profile says so far.
    fn read(self, current: &Value) -> anyhow::Result<Map<String, Value>> {
        let mut map = match &self.file {
            Some(path) => input::read_object(path)?,
            None => Map::new(),
        };
        for key in READ_ONLY {
            map.remove(key);
        }
        let optional = |text: String| if text.is_empty() { Value::Null } else { text.into() };
        let mut set = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                map.insert(key.to_owned(), value);
            }
        };
        set("profile_type", self.profile_type.map(Value::from));
        set("kernel_path", self.kernel.map(optional));
        set("initrd_path", self.initrd.map(optional));
        if !self.extra_initrd.is_empty() {
            let given = self.extra_initrd.into_iter().filter(|initrd| !initrd.is_empty());
            set("extra_initrds", Some(given.map(Value::from).collect()));
        }
        let boot_params = self.boot_params.as_deref().map(input::text_or_file).transpose()?;
        // The line end of a file is no kernel argument.
        set("boot_params", boot_params.map(|text| text.trim_end_matches(['\r', '\n']).into()));
        if let Some(template) = &self.config_template {
            if !template.starts_with('@') && !template.contains('\n') && Path::new(template).exists() {
                bail!("--config-template {template}: write @{template} to read the file");
            }
            set("config_template", Some(optional(input::text_or_file(template)?)));
        }
        set("description", self.description.map(Value::from));
        set("menu", self.menu.map(Value::from));
        set("local_boot", self.local_boot.map(Value::from));
        set("provisioning", input::networks(self.provisioning));
        set("approval", self.approval.map(Value::from));
        set("contention", self.contention.map(Value::from));
        set("destructive", self.destructive.map(Value::from));
        let so_far = map.get("params").or_else(|| current.get("params"));
        if let Some(params) = input::params(so_far, self.params.as_deref(), &self.param)? {
            map.insert("params".into(), params);
        }
        Ok(map)
    }
}

/// Runs `moxxie profile …`.
pub async fn run(options: &ClientOptions, command: ProfileCommand) -> anyhow::Result<ExitCode> {
    let client = options.client()?;
    match command {
        ProfileCommand::List { limit } => {
            let items = client.list(&PROFILES, &[], limit).await?;
            out::list(options.output, &items, COLUMNS)?;
        }
        ProfileCommand::Show { name } => {
            let profile = client.get(&path(name.as_str())).await?.body;
            show(options, &profile)?;
        }
        ProfileCommand::Create { name, fields } => {
            let mut body = fields.read(&Value::Null)?;
            match (name, body.get("name")) {
                (Some(name), None) => {
                    body.insert("name".into(), name.as_str().into());
                }
                (Some(name), Some(there)) if there.as_str() != Some(name.as_str()) => {
                    bail!("the file describes the profile {}, not {name}", out::cell(there));
                }
                (None, None) => bail!("a name is missing: moxxie profile create NAME …"),
                _ => {}
            }
            let body = Value::Object(body);
            let reply = client.call::<&str>(Method::POST, &PROFILES, &[], None, Some(&body)).await?;
            done(options, "created", None, &reply.body)?;
        }
        ProfileCommand::Update { name, fields } => {
            let current = client.get(&path(name.as_str())).await?;
            let fields = fields.read(&current.body)?;
            let patch = input::patch_fields(&current.body, fields);
            if patch.as_object().is_some_and(Map::is_empty) {
                done(options, "unchanged", Some(&current.body), &current.body)?;
                return Ok(ExitCode::SUCCESS);
            }
            let etag = current.etag.as_deref();
            let path = path(name.as_str());
            let reply = client.call::<&str>(Method::PATCH, &path, &[], etag, Some(&patch)).await?;
            done(options, "updated", Some(&current.body), &reply.body)?;
        }
        ProfileCommand::Delete { name } => {
            let path = path(name.as_str());
            let etag = client.get(&path).await?.etag;
            client.call::<&str>(Method::DELETE, &path, &[], etag.as_deref(), None).await?;
            out::line(format!("profile {name}: deleted"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The path of one profile.
pub(crate) fn path(name: &str) -> [&str; 5] {
    let [a, b, c, d] = PROFILES;
    [a, b, c, d, name]
}

fn show(options: &ClientOptions, profile: &Value) -> anyhow::Result<()> {
    if !out::object(options.output, profile)? {
        out::fields(profile, &FIELDS)?;
    }
    Ok(())
}

fn done(options: &ClientOptions, what: &str, before: Option<&Value>, after: &Value) -> anyhow::Result<()> {
    if !out::object(options.output, after)? {
        out::text(&sentence(what, before, after))?;
    }
    Ok(())
}

/// What became of a profile, and what that means for the machines' disks: in one line, then one
/// for each reason that is new.
fn sentence(what: &str, before: Option<&Value>, after: &Value) -> String {
    let is = |profile: &Value| profile["destructive"] == true;
    let was = before.is_some_and(is);
    let meaning = match (before, is(after)) {
        (_, true) if was => "; destructive: it can erase a disk, so each arm boots it once at most",
        (Some(_), true) => {
            "; it counts as destructive now: it can erase a disk, so each arm boots it once at most, \
             and machines that are armed for it boot from their disks until they are armed again"
        }
        (None, true) => "; destructive: it can erase a disk, so each arm boots it once at most",
        (_, false) if was => {
            "; it no longer counts as destructive: a machine may boot it again within its window"
        }
        (_, false) => "",
    };
    let mut text = format!("profile {}: {what}{meaning}", out::cell(&after["name"]));
    let known = before.map_or(&Value::Null, |before| &before["destructive_reasons"]);
    let mut said: Vec<&Value> = known.as_array().into_iter().flatten().collect();
    for reason in after["destructive_reasons"].as_array().into_iter().flatten() {
        if !said.contains(&reason) {
            text.push_str(&format!("\n  reason: {}", out::cell(reason)));
            said.push(reason);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use crate::cli::Command;
    use crate::cli::fake::{Answer, Fake};
    use clap::Parser as _;
    use serde_json::json;

    async fn go(fake: &Fake, args: &[&str]) -> anyhow::Result<ExitCode> {
        let all = [&["moxxie", "--server", &fake.url, "profile"], args].concat();
        let cli = Cli::try_parse_from(all)?;
        let Command::Profile(command) = cli.command else { panic!("not profile") };
        run(&cli.options, command).await
    }

    #[tokio::test]
    async fn flags_become_a_profile() {
        let dir = tempfile::tempdir().unwrap();
        let template = dir.path().join("t.yaml");
        std::fs::write(&template, "a: {{ params.a }}\n").unwrap();
        let at = format!("@{}", template.display());
        let fake = Fake::start(vec![Answer::json(201, json!({"name": "x"}))]);
        go(
            &fake,
            &[
                "create",
                "x",
                "--type",
                "custom",
                "--kernel",
                "vmlinuz",
                "--initrd",
                "",
                "--boot-params",
                "-x quiet",
                "--config-template",
                &at,
                "--param",
                "n=1",
                "--param",
                "d=/dev/sda",
                "--menu",
                "--destructive=false",
                "--local-boot",
                "404",
            ],
        )
        .await
        .unwrap();
        let request = fake.request();
        assert_eq!(request.line(), "POST /api/v1/boot/profiles");
        assert_eq!(
            request.json(),
            json!({
            "name": "x", "profile_type": "custom", "kernel_path": "vmlinuz", "initrd_path": null,
            "boot_params": "-x quiet", "config_template": "a: {{ params.a }}\n",
            "params": {"n": 1, "d": "/dev/sda"}, "menu": true, "destructive": false, "local_boot": "404"})
        );
        // A path without @ is a slip, not a template.
        let path = template.to_str().unwrap();
        assert!(go(&fake, &["create", "x", "--config-template", path]).await.is_err());
    }

    #[test]
    fn says_what_destructive_means() {
        let profile = |destructive: bool, reasons: &[&str]| json!({"name": "x", "destructive": destructive, "destructive_reasons": reasons});
        let (safe, wipes) = (profile(false, &[]), profile(true, &["a tool writes to disks"; 2]));
        assert_eq!(sentence("created", None, &safe), "profile x: created");
        assert_eq!(
            sentence("created", None, &wipes),
            "profile x: created; destructive: it can erase a disk, so each arm boots it once at most\n  \
             reason: a tool writes to disks"
        );
        assert_eq!(
            sentence("updated", Some(&safe), &wipes),
            "profile x: updated; it counts as destructive now: it can erase a disk, so each arm boots it \
             once at most, and machines that are armed for it boot from their disks until they are armed again\n  \
             reason: a tool writes to disks"
        );
        assert_eq!(
            sentence("updated", Some(&wipes), &profile(false, &["a tool writes to disks"])),
            "profile x: updated; it no longer counts as destructive: a machine may boot it again within its window"
        );
        assert_eq!(
            sentence("updated", Some(&wipes), &wipes),
            "profile x: updated; destructive: it can erase a disk, so each arm boots it once at most"
        );
    }

    #[tokio::test]
    async fn update_patches_what_changed_and_names_the_version() {
        let current = json!({"name": "x", "menu": true, "description": "a", "params": {"a": 1, "b": 2}});
        let fake = Fake::start(vec![
            Answer::json(200, current.clone()).with("ETag: \"3\""),
            Answer::json(200, current.clone()),
            Answer::json(200, current.clone()).with("ETag: \"4\""),
            Answer::json(204, Value::Null),
        ]);
        go(
            &fake,
            &["update", "x", "--menu=true", "--description", "b", "--param", "a=null", "--param", "c=z"],
        )
        .await
        .unwrap();
        fake.request();
        let patch = fake.request();
        assert_eq!(patch.line(), "PATCH /api/v1/boot/profiles/x");
        assert!(patch.head.contains("if-match: \"3\"\r\n"), "{}", patch.head);
        assert_eq!(patch.json(), json!({"description": "b", "params": {"a": null, "c": "z"}}));
        go(&fake, &["delete", "x"]).await.unwrap();
        fake.request();
        let delete = fake.request();
        assert_eq!(delete.line(), "DELETE /api/v1/boot/profiles/x");
        assert!(delete.head.contains("if-match: \"4\"\r\n"), "{}", delete.head);
    }

    #[tokio::test]
    async fn what_show_prints_create_reads() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p.yaml");
        let shown = json!({"id": "018f", "name": "x", "menu": true, "revision": 3, "destructive_reasons": [], "created_at": "…",
            "updated_at": "…", "params": {"a": "no"}});
        std::fs::write(&file, crate::cli::yaml::write(&shown)).unwrap();
        let fake = Fake::start(vec![Answer::json(201, json!({"name": "x"}))]);
        let file = file.to_str().unwrap();
        go(&fake, &["create", "-f", file, "--menu=false"]).await.unwrap();
        assert_eq!(fake.request().json(), json!({"name": "x", "menu": false, "params": {"a": "no"}}));
        assert!(go(&fake, &["create", "y", "-f", file]).await.is_err());
        assert!(go(&fake, &["create"]).await.is_err());
        assert!(go(&fake, &["show", "../x"]).await.is_err());
    }
}
