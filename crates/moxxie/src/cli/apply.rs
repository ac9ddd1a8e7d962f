//! `moxxie apply`: brings profiles and assignments to what files say.

use crate::cli::client::{ClientError, Field, Problem};
use crate::cli::out;
use crate::cli::{ClientOptions, input, yaml};
use anyhow::{Context as _, bail};
use moxxie_core::mac::MacAddr;
use reqwest::Method;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What to apply.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  moxxie apply -f site/ --dry-run
  moxxie export | moxxie apply -f -

Each YAML document is one item: `kind: profile` or `kind: assignment`, then the fields of the API.
What is not mentioned is left alone; nothing is deleted, and nothing that exists is armed.")]
pub struct ApplyArgs {
    /// A file, a directory (its *.yaml, *.yml and *.json in the order of their names), or '-'.
    #[arg(short, long, required = true, value_name = "FILE|DIR|-")]
    file: Vec<PathBuf>,
    /// Only say what would change.
    #[arg(long)]
    dry_run: bool,
}

/// One item and where it stands.
#[derive(Debug)]
struct Item {
    place: String,
    value: Value,
}

impl Item {
    fn title(&self) -> String {
        let name = self.value.get("name").or_else(|| self.value.get("mac_address"));
        let name = name.map(out::cell).unwrap_or_default();
        let title = format!("{}, {} {name}", self.place, out::cell(&self.value["kind"]));
        title.trim_end().to_owned()
    }
}

/// Runs `moxxie apply`.
pub async fn run(options: &ClientOptions, args: ApplyArgs) -> anyhow::Result<ExitCode> {
    let mut items = Vec::new();
    for path in &args.file {
        collect(path, &mut items)?;
    }
    if items.is_empty() {
        bail!("nothing to apply: no documents found");
    }
    let body = json!({ "items": items.iter().map(|item| &item.value).collect::<Vec<_>>() });
    let query = [("dry_run", args.dry_run.to_string())];
    let path = ["api", "v1", "boot", "apply"];
    let reply = options
        .client()?
        .call(Method::POST, &path, &query, None, Some(&body))
        .await
        .map_err(|error| placed(error, &items))?
        .body;
    if !out::object(options.output, &reply)? {
        out::text(&view(&reply))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn collect(path: &Path, items: &mut Vec<Item>) -> anyhow::Result<()> {
    if !path.is_dir() {
        return read(&input::read(path)?, &path.display().to_string(), items);
    }
    let mut files = Vec::new();
    for entry in path.read_dir().with_context(|| format!("cannot read {}", path.display()))? {
        let file = entry.with_context(|| format!("cannot read {}", path.display()))?.path();
        let extension = file.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("yaml" | "yml" | "json")) && file.is_file() {
            files.push(file);
        }
    }
    if files.is_empty() {
        bail!("{}: no *.yaml, *.yml or *.json in it", path.display());
    }
    files.sort();
    files.iter().try_for_each(|file| read(&input::read(file)?, &file.display().to_string(), items))
}

fn read(text: &str, file: &str, items: &mut Vec<Item>) -> anyhow::Result<()> {
    let documents = yaml::read(text).map_err(|error| anyhow::anyhow!("{file}, {error}"))?;
    for document in documents {
        let place = format!("{file}, line {}", document.line);
        match document.value {
            // What `export --output json` prints.
            Value::Object(mut map) if map.len() == 1 && map.contains_key("items") => {
                let Some(Value::Array(list)) = map.remove("items") else {
                    bail!("{place}: items must be a list");
                };
                for value in list {
                    items.push(item(place.clone(), value)?);
                }
            }
            value => items.push(item(place, value)?),
        }
    }
    Ok(())
}

fn item(place: String, value: Value) -> anyhow::Result<Item> {
    match value["kind"].as_str() {
        Some("profile" | "assignment") => Ok(Item { place, value }),
        Some(other) => bail!("{place}: kind `{other}` is neither profile nor assignment"),
        None => bail!("{place}: `kind: profile` or `kind: assignment` is missing"),
    }
}

/// Says of each wrong field, and of a refusal as a whole, in which file its item stands, instead
/// of the item's place in the request.
fn placed(error: ClientError, items: &[Item]) -> ClientError {
    let ClientError::Refused(mut problem) = error else { return error };
    for field in &mut problem.errors {
        if let Some((item, rest)) = find(&field.pointer, items) {
            let pointer = rest.to_owned();
            *field = Field { place: Some(item.title()), pointer, ..field.clone() };
        }
    }
    let Problem { detail, errors, .. } = &mut *problem;
    let whole = detail.split_once(": ").and_then(|(pointer, what)| {
        let (item, _) = find(pointer, items)?;
        Some((item, what.to_owned()))
    });
    if let Some((item, what)) = whole {
        // Each of several fields names the place anyway.
        *detail = if errors.is_empty() { format!("{}: {what}", item.title()) } else { what };
        let mac = item.value.get("mac_address").and_then(Value::as_str);
        if let Some(mac) = mac.and_then(|mac| mac.parse::<MacAddr>().ok()) {
            problem.hint_about(&mac.to_string());
        }
    }
    ClientError::Refused(problem)
}

/// The item that a pointer leads to, and the pointer's rest.
fn find<'i, 'p>(pointer: &'p str, items: &'i [Item]) -> Option<(&'i Item, &'p str)> {
    let rest = pointer.strip_prefix("/items/")?;
    let end = rest.find('/').unwrap_or(rest.len());
    Some((items.get(rest[..end].parse::<usize>().ok()?)?, &rest[end..]))
}

/// What changed, one line each, and a summary.
fn view(reply: &Value) -> String {
    let mut lines = Vec::new();
    let (mut created, mut updated, mut unchanged) = (0, 0, 0);
    for change in reply["changes"].as_array().into_iter().flatten() {
        let (sign, count) = match change["action"].as_str() {
            Some("create") => ('+', &mut created),
            Some("update") => ('~', &mut updated),
            _ => ('=', &mut unchanged),
        };
        *count += 1;
        let text = |key: &str| out::cell(&change[key]);
        let mut line = format!("{sign} {} {} {}", text("action"), text("kind"), text("name"));
        if sign == '~' && change["fields"].as_array().is_some_and(|fields| !fields.is_empty()) {
            line.push_str(&format!(" ({})", text("fields")));
        }
        lines.push(line);
    }
    let dry_run = reply["dry_run"] == true;
    let verb = if dry_run { "would be " } else { "" };
    let note = if dry_run { " (dry run: nothing was changed)" } else { "" };
    lines.push(format!("{created} {verb}created, {updated} {verb}updated, {unchanged} unchanged{note}"));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fake::{Answer, Fake};
    use crate::cli::{Cli, Command};
    use clap::Parser as _;

    async fn go(fake: &Fake, args: &[&str]) -> anyhow::Result<ExitCode> {
        let all = [&["moxxie", "--server", &fake.url], args].concat();
        let cli = Cli::try_parse_from(all)?;
        match cli.command {
            Command::Apply(args) => run(&cli.options, args).await,
            Command::Export(args) => crate::cli::export::run(&cli.options, args).await,
            _ => panic!("not apply"),
        }
    }

    #[test]
    fn changes_are_one_line_each() {
        let reply = json!({"dry_run": true, "changes": [
            {"kind": "profile", "name": "x", "action": "create", "fields": ["name"]},
            {"kind": "assignment", "name": "52:54:00:12:34:56", "action": "update",
             "fields": ["boot_params_override", "node_name"]},
            {"kind": "profile", "name": "y", "action": "unchanged", "fields": []}]});
        assert_eq!(
            view(&reply),
            "+ create profile x\n~ update assignment 52:54:00:12:34:56 (boot_params_override, node_name)\n\
             = unchanged profile y\n1 would be created, 1 would be updated, 1 unchanged (dry run: nothing was changed)"
        );
    }

    #[tokio::test]
    async fn a_directory_is_read_in_order_and_errors_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        put("b.yml", "kind: assignment\nmac_address: 525400123456\nnode_name: 10\n");
        put("a.yaml", "kind: profile\nname: x\n---\nkind: profile\nname: y\nparams: {tls: no}\n");
        put("c.json", "{\"items\": [{\"kind\": \"profile\", \"name\": \"z\"}]}");
        put("README.md", "not: [yaml");
        let fake = Fake::start(vec![Answer::json(
            422,
            json!({"title": "Invalid", "errors": [
            {"pointer": "/items/1/params/tls", "message": "wrong"},
            {"pointer": "/items/9", "message": "elsewhere"}]}),
        )]);
        let path = dir.path().to_str().unwrap();
        let error = go(&fake, &["apply", "-f", path, "--dry-run"]).await.unwrap_err().to_string();
        let request = fake.request();
        assert_eq!(request.line(), "POST /api/v1/boot/apply?dry_run=true");
        assert_eq!(
            request.json()["items"],
            json!([
            {"kind": "profile", "name": "x"}, {"kind": "profile", "name": "y", "params": {"tls": "no"}},
            {"kind": "assignment", "mac_address": "525400123456", "node_name": "10"},
            {"kind": "profile", "name": "z"}])
        );
        assert!(error.contains("a.yaml, line 4, profile y: params.tls: wrong"), "{error}");
        assert!(error.contains("items.9: elsewhere"), "{error}");

        put("d.yaml", "kind: profile\nname: w\nname: v\n");
        let error = go(&fake, &["apply", "-f", path]).await.unwrap_err().to_string();
        assert!(error.contains("d.yaml, line 3, column 1: `name` is there twice"), "{error}");
        put("d.yaml", "kind: machine\n");
        let error = go(&fake, &["apply", "-f", path]).await.unwrap_err().to_string();
        assert!(error.contains("d.yaml, line 1: kind `machine`"), "{error}");
        assert_eq!(fake.count(), 1);
    }

    #[test]
    fn a_refusal_names_the_item_once() {
        let items = [Item {
            place: "a.yaml, line 3".into(),
            value: json!({"kind": "assignment", "mac_address": "525400123456"}),
        }];
        let said = |problem: Problem| placed(ClientError::Refused(Box::new(problem)), &items).to_string();
        let problem = |status, detail: &str| Problem {
            status,
            title: "Refused".into(),
            detail: detail.into(),
            ..Problem::default()
        };
        let field = |pointer: &str, message: &str| Field {
            place: None,
            pointer: pointer.into(),
            message: message.into(),
        };
        let mut one = problem(422, "/items/0: /boot_profile: there is no profile x");
        one.errors = vec![field("/items/0/boot_profile", "there is no profile x")];
        assert_eq!(
            said(one.clone()),
            "Refused (422): a.yaml, line 3, assignment 525400123456: boot_profile: there is no profile x"
        );
        one.detail = "/items/0: 2 fields are not valid".into();
        one.errors.push(field("/items/0", "unknown field"));
        assert_eq!(
            said(one),
            "Refused (422): 2 fields are not valid\n  \
             a.yaml, line 3, assignment 525400123456: boot_profile: there is no profile x\n  \
             a.yaml, line 3, assignment 525400123456: unknown field"
        );
        assert_eq!(
            said(problem(409, "/items/0: n is protected: lift it (`protected: false`)")),
            "Refused (409): a.yaml, line 3, assignment 525400123456: n is protected: lift it\n  \
             next step: moxxie assignment update 52:54:00:12:34:56 --unprotect"
        );
    }

    #[tokio::test]
    async fn what_export_writes_apply_sends_back() {
        let items = json!([
            {"kind": "profile", "name": "x", "config_template": "a: 1\nb: {{ c }}\n", "kernel_path": null,
             "local_boot": "404", "params": {"no": "on", "n": 1.5}, "description": "0x10"},
            {"kind": "assignment", "mac_address": "52:54:00:12:34:56", "node_name": "10", "serial": "1e5"}]);
        let fake = Fake::start(vec![
            Answer::json(200, json!({ "items": items })),
            Answer::json(200, json!({"dry_run": false, "changes": []})),
        ]);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("site.yaml");
        let file = file.to_str().unwrap();
        go(&fake, &["export", "-o", file]).await.unwrap();
        go(&fake, &["apply", "-f", file]).await.unwrap();
        assert_eq!(fake.request().line(), "GET /api/v1/boot/export");
        assert_eq!(fake.request().json()["items"], items);
    }
}
