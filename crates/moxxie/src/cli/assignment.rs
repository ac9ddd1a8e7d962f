//! `moxxie assignment`: which machine boots which profile.

use crate::cli::client::{Client, ClientError};
use crate::cli::input::{self, Param};
use crate::cli::out::{self, Column, Format};
use crate::cli::{ClientOptions, FAILED, profile};
use clap::{Args, Subcommand};
use moxxie_core::mac::MacAddr;
use moxxie_core::name::{NodeName, ProfileName};
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::process::ExitCode;

const ASSIGNMENTS: [&str; 4] = ["api", "v1", "boot", "assignments"];

const COLUMNS: &[Column] = &[
    ("MAC", "mac_address"),
    ("NODE", "node_name"),
    ("PROFILE", "boot_profile"),
    ("STATE", "state"),
    ("POLICY", "boot_policy"),
    ("PROTECTED", "protected"),
    ("ARMED UNTIL", "armed_until"),
    ("LAST BOOT", "last_boot_at"),
];

/// The order in which people read an assignment.
const FIELDS: [&str; 22] = [
    "mac_address",
    "extra_macs",
    "node_name",
    "uuid",
    "serial",
    "boot_profile",
    "boot_profile_id",
    "boot_policy",
    "state",
    "armed_until",
    "attempts_left",
    "last_boot_at",
    "protected",
    "quarantined",
    "local_boot",
    "provisioning",
    "approval",
    "source",
    "revision",
    "created_at",
    "updated_at",
    "boot_params_override",
];

/// What to do with assignments. MAC addresses are read in every common spelling.
#[derive(Debug, Subcommand)]
pub enum AssignmentCommand {
    /// List assignments.
    #[command(
        after_help = "Example:\n  moxxie assignment list --state armed\n  moxxie assignment list -q cp-"
    )]
    List {
        /// Only those in this state.
        #[arg(long, value_parser = ["local", "armed", "booting", "delivered", "installed", "failed"])]
        state: Option<String>,
        /// Only those of this profile.
        #[arg(long, value_name = "NAME")]
        profile: Option<ProfileName>,
        /// Only those whose address or name contains this.
        #[arg(short = 'q', long = "query", value_name = "TEXT")]
        query: Option<String>,
        /// At most so many.
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
    },
    /// Show one assignment.
    #[command(after_help = "Example:\n  moxxie assignment show 5254.0012.3456")]
    Show {
        /// The machine's MAC address.
        mac: MacAddr,
    },
    /// Assign a machine to a profile; it boots it once, when it next asks.
    #[command(
        after_help = "Example:\n  moxxie assignment create 5254.0012.3456 cp-1 talos-cp --param install_disk=/dev/nvme0n1"
    )]
    Create {
        /// The machine's MAC address.
        mac: MacAddr,
        /// What the cluster calls it.
        node: NodeName,
        /// The profile it boots.
        profile: ProfileName,
        /// The rest.
        #[command(flatten)]
        fields: AssignmentFields,
        /// Refuse arm, profile change and delete until it is lifted.
        #[arg(long)]
        protected: bool,
        /// Do not open a window: it boots from disk until `arm`.
        #[arg(long)]
        unarmed: bool,
    },
    /// Change what is given, leave the rest. Never arms.
    #[command(
        after_help = "Example:\n  moxxie assignment update 52:54:00:12:34:56 --profile talos-worker\n  moxxie assignment update 52:54:00:12:34:56 --unprotect"
    )]
    Update {
        /// The machine's MAC address.
        mac: MacAddr,
        /// What the cluster calls it.
        #[arg(long, value_name = "NAME")]
        node_name: Option<NodeName>,
        /// The profile it boots.
        #[arg(long, value_name = "NAME")]
        profile: Option<ProfileName>,
        /// The rest.
        #[command(flatten)]
        fields: AssignmentFields,
        /// Refuse arm, profile change and delete.
        #[arg(long, conflicts_with = "unprotect")]
        protect: bool,
        /// Allow them again.
        #[arg(long)]
        unprotect: bool,
        /// Hold it at its disk, or lift that with --quarantined=false.
        #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        quarantined: Option<bool>,
    },
    /// Delete an assignment; the machine is unknown again.
    #[command(after_help = "Example:\n  moxxie assignment delete 52:54:00:12:34:56")]
    Delete {
        /// The machine's MAC address.
        mac: MacAddr,
    },
    /// Let machines boot their profile once more.
    #[command(after_help = "Example:\n  moxxie assignment arm 52:54:00:12:34:56 52:54:00:12:34:57")]
    Arm {
        /// MAC addresses.
        #[arg(required = true, value_name = "MAC")]
        macs: Vec<MacAddr>,
    },
    /// Send machines to their disk.
    #[command(after_help = "Example:\n  moxxie assignment disarm 52:54:00:12:34:56")]
    Disarm {
        /// MAC addresses.
        #[arg(required = true, value_name = "MAC")]
        macs: Vec<MacAddr>,
    },
}

/// The fields that create and update share. Empty text removes an optional value.
#[derive(Debug, Default, Args)]
pub struct AssignmentFields {
    /// A value that overrides the profile's; may be repeated. JSON where it is JSON, else text; null removes it.
    #[arg(long, value_name = "KEY=VALUE")]
    param: Vec<Param>,
    /// All overriding values, from a YAML or JSON file; replaces those there are.
    #[arg(long, value_name = "@FILE")]
    params: Option<String>,
    /// Its SMBIOS UUID, when a different one shall be refused.
    #[arg(long, value_name = "UUID")]
    uuid: Option<String>,
    /// Its serial number, likewise.
    #[arg(long, value_name = "TEXT")]
    serial: Option<String>,
    /// A further NIC of the same machine; may be repeated.
    #[arg(long, value_name = "MAC")]
    extra_mac: Vec<MacAddr>,
    /// How often it may boot: once for each arm, always, or local (from disk).
    #[arg(long, value_name = "POLICY", value_parser = ["once", "always", "local"])]
    policy: Option<String>,
    /// How it boots from disk: auto, exit, sanboot or 404; empty: as its profile says.
    #[arg(long, value_name = "HOW", value_parser = ["auto", "exit", "sanboot", "404", ""])]
    local_boot: Option<String>,
    /// A network that it may boot its profile from; may be repeated. Empty: as its profile says; none: from nowhere.
    #[arg(long, value_name = "NETWORK")]
    provisioning: Vec<String>,
    /// Whether an operator approves each boot: auto or manual; empty: as its profile says.
    #[arg(long, value_name = "HOW", value_parser = ["auto", "manual", ""])]
    approval: Option<String>,
}

impl AssignmentFields {
    fn read(self, current: &Value) -> anyhow::Result<Map<String, Value>> {
        let mut map = Map::new();
        let optional = |text: String| if text.is_empty() { Value::Null } else { text.into() };
        let mut set = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                map.insert(key.to_owned(), value);
            }
        };
        let so_far = current.get("boot_params_override");
        set("boot_params_override", input::params(so_far, self.params.as_deref(), &self.param)?);
        set("uuid", self.uuid.map(optional));
        set("serial", self.serial.map(optional));
        if !self.extra_mac.is_empty() {
            set("extra_macs", Some(self.extra_mac.iter().map(ToString::to_string).collect()));
        }
        set("boot_policy", self.policy.map(Value::from));
        set("local_boot", self.local_boot.map(optional));
        set("provisioning", input::networks(self.provisioning));
        set("approval", self.approval.map(optional));
        Ok(map)
    }
}

/// Runs `moxxie assignment …`.
pub async fn run(options: &ClientOptions, command: AssignmentCommand) -> anyhow::Result<ExitCode> {
    let client = options.client()?;
    match command {
        AssignmentCommand::List { state, profile, query, limit } => {
            let filters = [("state", state), ("profile", profile.map(|name| name.to_string())), ("q", query)];
            let filters: Vec<(&str, String)> =
                filters.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
            let mut items = client.list(&ASSIGNMENTS, &filters, limit).await?;
            if options.output == Format::Table {
                items.iter_mut().for_each(with_quarantine);
            }
            out::list(options.output, &items, COLUMNS)?;
        }
        AssignmentCommand::Show { mac } => {
            let assignment = client.get(&path(&mac.to_string(), None)).await?.body;
            if !out::object(options.output, &assignment)? {
                out::fields(&assignment, &FIELDS)?;
            }
        }
        AssignmentCommand::Create { mac, node, profile, fields, protected, unarmed } => {
            let mut body = fields.read(&Value::Null)?;
            body.insert("mac_address".into(), mac.to_string().into());
            body.insert("node_name".into(), node.as_str().into());
            body.insert("boot_profile".into(), profile.as_str().into());
            if protected {
                body.insert("protected".into(), true.into());
            }
            if unarmed {
                body.insert("armed".into(), false.into());
            }
            let body = Value::Object(body);
            let reply = client.call::<&str>(Method::POST, &ASSIGNMENTS, &[], None, Some(&body)).await?;
            let destructive = destructive(&client, &reply.body).await;
            done(options, "created", &reply.body, destructive)?;
        }
        AssignmentCommand::Update { mac, node_name, profile, fields, protect, unprotect, quarantined } => {
            let mac = mac.to_string();
            let current = client.get(&path(&mac, None)).await?;
            let mut fields = fields.read(&current.body)?;
            if let Some(node) = node_name {
                fields.insert("node_name".into(), node.as_str().into());
            }
            if let Some(profile) = profile {
                fields.insert("boot_profile".into(), profile.as_str().into());
            }
            if protect || unprotect {
                fields.insert("protected".into(), protect.into());
            }
            if let Some(held) = quarantined {
                fields.insert("quarantined".into(), held.into());
            }
            let patch = input::patch_fields(&current.body, fields);
            if patch.as_object().is_some_and(Map::is_empty) {
                done(options, "unchanged", &current.body, None)?;
                return Ok(ExitCode::SUCCESS);
            }
            let (path, etag) = (path(&mac, None), current.etag.as_deref());
            let reply = client
                .call::<&str>(Method::PATCH, &path, &[], etag, Some(&patch))
                .await
                .map_err(|error| hinted(error, &mac))?;
            done(options, "updated", &reply.body, None)?;
        }
        AssignmentCommand::Delete { mac } => {
            let mac = mac.to_string();
            let etag = client.get(&path(&mac, None)).await?.etag;
            let path = path(&mac, None);
            client
                .call::<&str>(Method::DELETE, &path, &[], etag.as_deref(), None)
                .await
                .map_err(|error| hinted(error, &mac))?;
            out::line(format!("{mac}: deleted; the machine is unknown again"))?;
        }
        AssignmentCommand::Arm { macs } => return each(options, &client, "arm", &macs).await,
        AssignmentCommand::Disarm { macs } => return each(options, &client, "disarm", &macs).await,
    }
    Ok(ExitCode::SUCCESS)
}

/// Says beside its state that a machine is held; for people only.
fn with_quarantine(assignment: &mut Value) {
    if assignment["quarantined"] == true {
        assignment["state"] = format!("{}, quarantined", out::cell(&assignment["state"])).into();
    }
}

/// Arms or disarms each machine; one line for each, also for those that are refused.
async fn each(
    options: &ClientOptions,
    client: &Client,
    action: &str,
    macs: &[MacAddr],
) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    let mut changed = Vec::new();
    for mac in macs {
        match one(client, action, &mac.to_string()).await {
            Ok((assignment, destructive)) => {
                if options.output == Format::Table {
                    let what = if action == "arm" { "armed" } else { "disarmed" };
                    done(options, what, &assignment, destructive)?;
                }
                changed.push(assignment);
            }
            Err(error) => {
                out::note(format!("{mac}: {error:#}"));
                code = ExitCode::from(FAILED);
            }
        }
    }
    match changed.as_slice() {
        [only] if macs.len() == 1 => out::object(options.output, only)?,
        _ => out::object(options.output, &json!({ "items": changed }))?,
    };
    Ok(code)
}

async fn one(client: &Client, action: &str, mac: &str) -> anyhow::Result<(Value, Option<bool>)> {
    let current = client.get(&path(mac, None)).await?;
    let destructive = match action {
        "arm" => destructive(client, &current.body).await,
        _ => None,
    };
    let (path, etag) = (path(mac, Some(action)), current.etag.as_deref());
    let reply = client
        .call::<&str>(Method::POST, &path, &[], etag, None)
        .await
        .map_err(|error| hinted(error, mac))?;
    Ok((if reply.body.is_object() { reply.body } else { current.body }, destructive))
}

/// The error with the step that lifts what stands in the way.
fn hinted(error: ClientError, mac: &str) -> ClientError {
    let ClientError::Refused(mut problem) = error else { return error };
    problem.hint_about(mac);
    ClientError::Refused(problem)
}

/// Whether the assignment's profile can erase a disk; `None` when that cannot be found out.
async fn destructive(client: &Client, assignment: &Value) -> Option<bool> {
    let profile = assignment["boot_profile"].as_str()?;
    client.get(&profile::path(profile)).await.ok()?.body["destructive"].as_bool()
}

fn path<'a>(mac: &'a str, action: Option<&'a str>) -> Vec<&'a str> {
    ASSIGNMENTS.into_iter().chain([mac]).chain(action).collect()
}

fn done(
    options: &ClientOptions,
    what: &str,
    assignment: &Value,
    destructive: Option<bool>,
) -> anyhow::Result<()> {
    if !out::object(options.output, assignment)? {
        out::line(sentence(what, assignment, destructive))?;
    }
    Ok(())
}

/// What will happen to a machine, in one line.
fn sentence(what: &str, assignment: &Value, destructive: Option<bool>) -> String {
    let text = |key: &str| out::cell(&assignment[key]);
    let profile = text("boot_profile");
    let state = assignment["state"].as_str().unwrap_or("local");
    let next = match (assignment["boot_policy"].as_str(), state) {
        _ if assignment["quarantined"] == true => format!("boots from its disk; profile {profile}"),
        (Some("local"), _) => format!("always boots from its disk; policy local, profile {profile}"),
        (Some("always"), "local") => format!("boots {profile} on every request; policy always"),
        (Some("always"), state) => {
            format!("boots {profile} on every request; policy always, last boot {}", out::one_line(state))
        }
        (_, "armed") => {
            let risk = match destructive {
                Some(true) => " (destructive: its disk can be erased)",
                Some(false) => " (not destructive)",
                None => "",
            };
            let until = match assignment["armed_until"].as_str() {
                Some(until) => format!(" until {}", out::one_line(until)),
                None => String::new(),
            };
            let armed = if what == "armed" { "" } else { "armed; " };
            format!("{armed}boots {profile}{risk} when it next asks{until}")
        }
        (_, "local") => format!("boots from its disk; profile {profile}"),
        (_, state) => format!("{}; profile {profile}", out::one_line(state)),
    };
    let mut line = format!("{}  {}  {what}: {next}", text("mac_address"), text("node_name"));
    for flag in ["protected", "quarantined"] {
        if assignment[flag] == true {
            line.push_str("; ");
            line.push_str(flag);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fake::{Answer, Fake};
    use crate::cli::{Cli, Command};
    use clap::Parser as _;

    async fn go(fake: &Fake, args: &[&str]) -> anyhow::Result<ExitCode> {
        let all = [&["moxxie", "--server", &fake.url, "assignment"], args].concat();
        let cli = Cli::try_parse_from(all)?;
        let Command::Assignment(command) = cli.command else { panic!("not assignment") };
        run(&cli.options, command).await
    }

    #[test]
    fn says_what_will_happen() {
        let mut assignment = json!({"mac_address": "52:54:00:12:34:56", "node_name": "cp-1",
            "boot_profile": "talos-cp", "state": "armed", "armed_until": "2026-11-30T00:00:00Z"});
        assert_eq!(
            sentence("armed", &assignment, Some(true)),
            "52:54:00:12:34:56  cp-1  armed: boots talos-cp (destructive: its disk can be erased) \
             when it next asks until 2026-11-30T00:00:00Z"
        );
        assignment["state"] = "local".into();
        assignment["protected"] = true.into();
        assert_eq!(
            sentence("updated", &assignment, None),
            "52:54:00:12:34:56  cp-1  updated: boots from its disk; profile talos-cp; protected"
        );
        assignment["boot_policy"] = "always".into();
        assignment["protected"] = false.into();
        assert_eq!(
            sentence("created", &assignment, None),
            "52:54:00:12:34:56  cp-1  created: boots talos-cp on every request; policy always"
        );
        assignment["boot_policy"] = "local".into();
        assert_eq!(
            sentence("created", &assignment, None),
            "52:54:00:12:34:56  cp-1  created: always boots from its disk; policy local, profile talos-cp"
        );
        assignment["boot_policy"] = "always".into();
        assignment["quarantined"] = true.into();
        assert_eq!(
            sentence("updated", &assignment, None),
            "52:54:00:12:34:56  cp-1  updated: boots from its disk; profile talos-cp; quarantined"
        );
    }

    #[test]
    fn a_held_machine_is_seen_in_the_list() {
        let mut items = [json!({"state": "local", "quarantined": true}), json!({"state": "armed"})];
        items.iter_mut().for_each(with_quarantine);
        assert_eq!(out::table(&items, &[("STATE", "state")]), "STATE\nlocal, quarantined\narmed\n");
    }

    #[tokio::test]
    async fn create_sends_what_was_said() {
        let fake = Fake::start(vec![
            Answer::json(201, json!({"boot_profile": "p"})),
            Answer::json(200, json!({"destructive": false})),
        ]);
        go(
            &fake,
            &[
                "create",
                "5254.0012.3456",
                "cp-1",
                "p",
                "--param",
                "disk=/dev/sda",
                "--unarmed",
                "--extra-mac",
                "52-54-00-12-34-57",
                "--policy",
                "once",
                "--uuid",
                "",
            ],
        )
        .await
        .unwrap();
        let request = fake.request();
        assert_eq!(request.line(), "POST /api/v1/boot/assignments");
        assert_eq!(
            request.json(),
            json!({"mac_address": "52:54:00:12:34:56", "node_name": "cp-1",
            "boot_profile": "p", "boot_params_override": {"disk": "/dev/sda"}, "armed": false,
            "extra_macs": ["52:54:00:12:34:57"], "boot_policy": "once", "uuid": null})
        );
        // Not a machine's address: wrong usage, and nothing is sent.
        assert!(go(&fake, &["create", "ff:ff:ff:ff:ff:ff", "cp-1", "p"]).await.is_err());
        assert_eq!(fake.count(), 2);
    }

    #[tokio::test]
    async fn arming_several_goes_on_after_a_refusal() {
        let assignment = json!({"mac_address": "52:54:00:12:34:56", "boot_profile": "p", "state": "armed"});
        let fake = Fake::start(vec![
            Answer::json(200, json!({"boot_profile": "p"})).with("ETag: \"1\""),
            Answer::json(200, json!({"destructive": true})),
            Answer::json(409, json!({"title": "Protected"})),
            Answer::json(200, json!({"boot_profile": "p"})).with("ETag: \"2\""),
            Answer::json(200, json!({"destructive": true})),
            Answer::json(200, assignment),
        ]);
        let code = go(&fake, &["arm", "52:54:00:12:34:55", "52:54:00:12:34:56"]).await.unwrap();
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(FAILED)));
        assert_eq!(fake.request().line(), "GET /api/v1/boot/assignments/52:54:00:12:34:55");
        fake.request();
        let arm = fake.request();
        assert_eq!(arm.line(), "POST /api/v1/boot/assignments/52:54:00:12:34:55/arm");
        assert!(arm.head.contains("if-match: \"1\"\r\n"));
        assert_eq!(fake.count(), 6);
    }

    #[tokio::test]
    async fn a_protected_machine_is_refused_with_the_step_that_lifts_it() {
        let fake = Fake::start(vec![
            Answer::json(200, json!({})),
            Answer::json(
                409,
                json!({"title": "Conflict", "detail": "n is protected: lift the protection first (`protected: false`)"}),
            ),
        ]);
        let error = go(&fake, &["delete", "5254.0012.3456"]).await.unwrap_err().to_string();
        assert!(error.ends_with("moxxie assignment update 52:54:00:12:34:56 --unprotect"), "{error}");
        assert!(!error.contains("protected: false"), "{error}");
    }

    #[tokio::test]
    async fn update_lifts_and_sets_flags() {
        let current = json!({"mac_address": "52:54:00:12:34:56", "protected": true, "quarantined": true});
        let fake = Fake::start(vec![
            Answer::json(200, current.clone()).with("ETag: \"1\""),
            Answer::json(200, current),
        ]);
        go(&fake, &["update", "525400123456", "--unprotect", "--quarantined=false", "--local-boot", "404"])
            .await
            .unwrap();
        fake.request();
        assert_eq!(
            fake.request().json(),
            json!({"protected": false, "quarantined": false, "local_boot": "404"})
        );
    }
}
