//! What `moxxie asset import` does with an installation image: the kernel and initrd are taken
//! out on the server, and the profile is filled in with what boots them.

use super::import::Member;
use super::upload::Shelves;
use super::{file_path, sentence};
use crate::cli::client::Client;
use crate::cli::out;
use crate::cli::profile;
use crate::cli::progress::Bar;
use crate::cli::work;
use moxxie_core::name::{FileName, ProfileName};
use reqwest::Method;
use serde_json::{Map, Value, json};

/// The fields that an image can suggest.
const FIELDS: [&str; 8] = [
    "profile_type",
    "description",
    "kernel_path",
    "initrd_path",
    "extra_initrds",
    "boot_params",
    "config_template",
    "params",
];

/// The name of a profile for an image of this name.
pub(super) fn profile_name(file: &str) -> Option<ProfileName> {
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let mut name = String::new();
    for c in stem.chars().map(|c| c.to_ascii_lowercase()) {
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    name.truncate(63);
    name.trim_end_matches('-').parse().ok()
}

/// Puts an image on the profile's shelf, which `put` does, takes its files out and fills the
/// profile in.
pub(super) async fn run(
    shelves: &Shelves<'_>,
    profile: &ProfileName,
    file: &FileName,
    members: &[Member],
    fills_in: bool,
    put: impl Future<Output = anyhow::Result<Value>>,
) -> anyhow::Result<()> {
    let client = shelves.client;
    let is_new = fills_in && make(client, profile, file).await?;
    let extracted = async {
        let image = put.await?;
        anyhow::Ok((image, extract(shelves, profile, file, members).await?))
    };
    let (image, reply) = match extracted.await {
        Ok(done) => done,
        Err(error) => {
            // Nobody asked for an empty profile.
            if is_new && remove(client, profile).await.is_ok() {
                out::note(format!("profile {profile} was not kept"));
            }
            return Err(error);
        }
    };
    let media = &reply["media"];
    let filled = match fills_in {
        true => fill_in(client, profile, file, media, &reply["items"]).await?,
        false => Filled::default(),
    };
    let is_kept =
        !fills_in || media["keep_image"] != false || filled.profile.to_string().contains(file.as_str());
    if !is_kept {
        client
            .call::<&str>(Method::DELETE, &file_path(profile.as_str(), file.as_str()), &[], None, None)
            .await?;
    }
    let answer = json!({"profile": profile, "created": is_new, "media": media, "items": reply["items"],
        "set": filled.set, "differs": filled.differs, "image": if is_kept { image } else { Value::Null }});
    if !out::object(shelves.format, &answer)? {
        out::text(&report(profile, file, &answer)?)?;
    }
    Ok(())
}

async fn extract(
    shelves: &Shelves<'_>,
    profile: &ProfileName,
    file: &FileName,
    members: &[Member],
) -> anyhow::Result<Value> {
    let body = if members.is_empty() { json!({}) } else { json!({ "members": members }) };
    let path = ["api", "v1", "boot", "profiles", profile.as_str(), "assets", file.as_str(), "extract"];
    let bar = Bar::new(shelves.format, &format!("reading {file}"), None);
    Ok(work::post(shelves.client, &path, &body, &bar).await?)
}

/// What a profile says that only waits for its image. A command that was interrupted finds it
/// again by that.
fn waits_for(file: &FileName) -> String {
    format!("waits for {file}")
}

/// Makes the profile unless there is one: an image needs a shelf before anybody knows what it is.
async fn make(client: &Client, name: &ProfileName, file: &FileName) -> anyhow::Result<bool> {
    match client.get(&profile::path(name.as_str())).await {
        Ok(_) => return Ok(false),
        Err(error) if error.status() == Some(404) => {}
        Err(error) => return Err(error.into()),
    }
    // No profile goes without a kernel, so it names the file that most images have.
    let body = json!({"name": name, "profile_type": "custom", "kernel_path": "vmlinuz",
        "description": waits_for(file)});
    client.call::<&str>(Method::POST, &profile::PROFILES, &[], None, Some(&body)).await?;
    Ok(true)
}

async fn remove(client: &Client, name: &ProfileName) -> anyhow::Result<()> {
    let path = profile::path(name.as_str());
    let etag = client.get(&path).await?.etag;
    client.call::<&str>(Method::DELETE, &path, &[], etag.as_deref(), None).await?;
    Ok(())
}

/// What became of a profile's fields.
#[derive(Debug, Default, PartialEq)]
struct Filled {
    /// Those that were set.
    set: Map<String, Value>,
    /// Those that say something else already, with what the image suggests.
    differs: Map<String, Value>,
    /// The profile afterwards.
    profile: Value,
}

async fn fill_in(
    client: &Client,
    name: &ProfileName,
    file: &FileName,
    media: &Value,
    items: &Value,
) -> anyhow::Result<Filled> {
    let path = profile::path(name.as_str());
    let current = client.get(&path).await?;
    let mut filled = merge(&current.body, &media["suggestion"], items, file);
    filled.profile = current.body;
    if !filled.set.is_empty() {
        let patch = Value::Object(filled.set.clone());
        let etag = current.etag.as_deref();
        filled.profile = client.call::<&str>(Method::PATCH, &path, &[], etag, Some(&patch)).await?.body;
    }
    Ok(filled)
}

/// What to set in a profile that says `current`: what it leaves open, and nothing else.
fn merge(current: &Value, suggestion: &Value, items: &Value, file: &FileName) -> Filled {
    let mut filled = Filled::default();
    let waits = current["description"] == waits_for(file).as_str();
    let has = |name: &Value| {
        name.is_null() || items.as_array().is_some_and(|items| items.iter().any(|item| item["file"] == *name))
    };
    if suggestion.is_null() && waits {
        filled.set.insert("description".to_owned(), format!("from {file}").into());
    }
    // Members that were picked by hand need not be those that the suggestion boots.
    if !has(&suggestion["kernel_path"]) || !has(&suggestion["initrd_path"]) {
        return filled;
    }
    for field in FIELDS {
        let (now, wanted) = (&current[field], &suggestion[field]);
        if is_empty(wanted) || now == wanted {
            continue;
        }
        let is_open =
            is_empty(now) || (waits && matches!(field, "profile_type" | "kernel_path" | "description"));
        let list = if is_open { &mut filled.set } else { &mut filled.differs };
        list.insert(field.to_owned(), wanted.clone());
    }
    filled
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// All of it, for people.
fn report(profile: &ProfileName, file: &FileName, answer: &Value) -> anyhow::Result<String> {
    let media = &answer["media"];
    let mut lines = Vec::new();
    let text = |value: &Value| value.as_str().map(out::one_line);
    let system = text(&media["system"]).unwrap_or_else(|| "an unknown system".into());
    let version = text(&media["version"]).map_or(String::new(), |version| format!(" {version}"));
    let label = text(&media["label"]).map_or(String::new(), |label| format!(" ({label})"));
    lines.push(format!("{file}: {system}{version}{label}"));
    for item in answer["items"].as_array().into_iter().flatten() {
        lines.push(sentence(profile.as_str(), &out::cell(&item["file"]), item, None)?);
    }
    if answer["image"].is_null() {
        lines.push(format!("{file} is not needed any more and was taken off the shelf"));
    }
    let list = |fields: &Value| -> Vec<(String, String)> {
        fields.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), out::cell(value))).collect()
    };
    let verb = if answer["created"] == true { "created" } else { "updated" };
    let set = list(&answer["set"]);
    if !set.is_empty() {
        lines.push(format!("profile {profile}: {verb}"));
        lines.extend(set.iter().map(|(key, value)| format!("  {key}: {value}")));
    }
    if answer["created"] == true && media["suggestion"].is_null() {
        lines.push(format!(
            "next step: say what boots it: moxxie profile update {profile} --kernel FILE --initrd FILE --boot-params TEXT"
        ));
    }
    let differs = list(&answer["differs"]);
    if !differs.is_empty() {
        lines.push(format!("profile {profile} says something else already; this image would have"));
        lines.extend(differs.iter().map(|(key, value)| format!("  {key}: {value}")));
    }
    let suggestion = &media["suggestion"];
    for notes in [&media["notes"], &suggestion["notes"]] {
        lines.extend(notes.as_array().into_iter().flatten().map(|note| format!("note: {}", out::cell(note))));
    }
    if suggestion["destructive"] == false {
        lines.push(format!(
            "note: this system erases nothing by itself; `moxxie profile update {profile} --destructive=false` lets machines boot it again within their window"
        ));
    }
    lines.push(format!("next step: moxxie assignment create MAC NODE {profile}"));
    Ok(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::asset::tests::go;
    use crate::cli::fake::{Answer, Fake};

    fn iso(name: &str) -> (tempfile::TempDir, String) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, b"an image").unwrap();
        let path = path.to_str().unwrap().to_owned();
        (dir, path)
    }

    fn view(file: &str) -> Value {
        json!({"file": file, "sha256": "ab".repeat(32), "size": 8})
    }

    fn extracted(keep: bool) -> Value {
        json!({"media": {"system": "ubuntu", "version": "24.04", "label": "Ubuntu-Server 24.04",
            "keep_image": keep, "notes": ["needs 3 GiB of memory"], "suggestion": {"name": "ubuntu-24-04",
            "profile_type": "custom", "kernel_path": "vmlinuz", "initrd_path": "initrd", "extra_initrds": [],
            "boot_params": "ip=dhcp", "description": "Ubuntu Server 24.04", "destructive": null}},
            "items": [view("vmlinuz"), view("initrd")]})
    }

    #[test]
    fn names_of_profiles() {
        let name = |file: &str| profile_name(file).map(|name| name.to_string());
        assert_eq!(
            name("ubuntu-24.04-live-server-amd64.iso").as_deref(),
            Some("ubuntu-24-04-live-server-amd64")
        );
        assert_eq!(name("Rocky__9.4+x.ISO").as_deref(), Some("rocky-9-4-x"));
        assert_eq!(name(&format!("{}-x.iso", "a".repeat(62))).as_deref(), Some("a".repeat(62).as_str()));
        assert_eq!(name("...iso"), None);
    }

    #[tokio::test]
    async fn an_image_makes_its_profile() {
        let (_dir, path) = iso("ubuntu-24.04.iso");
        let waiting = json!({"profile_type": "custom", "description": "waits for ubuntu-24.04.iso",
            "kernel_path": "vmlinuz", "initrd_path": null, "extra_initrds": [], "boot_params": ""});
        let fake = Fake::start(vec![
            Answer::json(404, json!({})),
            Answer::json(201, json!({})),
            Answer::json(201, view("ubuntu-24.04.iso")),
            Answer::json(201, extracted(false)),
            Answer::json(200, waiting).with("ETag: \"1\""),
            Answer::json(200, json!({"kernel_path": "vmlinuz"})),
            Answer::json(204, Value::Null),
        ]);
        go(&fake.url, &["import", &path]).await.unwrap();
        assert_eq!(fake.request().line(), "GET /api/v1/boot/profiles/ubuntu-24-04");
        let made = fake.request();
        assert_eq!(
            (made.line(), made.json()["name"].as_str()),
            ("POST /api/v1/boot/profiles", Some("ubuntu-24-04"))
        );
        assert_eq!(fake.request().line(), "PUT /api/v1/boot/profiles/ubuntu-24-04/assets/ubuntu-24.04.iso");
        let extract = fake.request();
        assert_eq!(
            (extract.line(), extract.json()),
            ("POST /api/v1/boot/profiles/ubuntu-24-04/assets/ubuntu-24.04.iso/extract", json!({}))
        );
        fake.request();
        let patch = fake.request();
        assert!(patch.head.contains("if-match: \"1\"\r\n"), "{}", patch.head);
        assert_eq!(
            patch.json(),
            json!({"description": "Ubuntu Server 24.04", "initrd_path": "initrd", "boot_params": "ip=dhcp"})
        );
        assert_eq!(
            fake.request().line(),
            "DELETE /api/v1/boot/profiles/ubuntu-24-04/assets/ubuntu-24.04.iso"
        );
    }

    #[tokio::test]
    async fn what_a_profile_says_already_stays() {
        let (_dir, path) = iso("u.iso");
        let there = json!({"profile_type": "custom", "description": "mine", "kernel_path": "vmlinuz",
            "initrd_path": null, "extra_initrds": [], "boot_params": "quiet url=x/u.iso"});
        let fake = Fake::start(vec![
            Answer::json(200, there.clone()),
            Answer::json(201, view("u.iso")),
            Answer::json(201, extracted(false)),
            Answer::json(200, there.clone()),
            Answer::json(200, there.clone()),
        ]);
        go(&fake.url, &["import", "p", &path, "--member", "a/k=vmlinuz", "--member", "a/i=initrd"])
            .await
            .unwrap();
        fake.request();
        fake.request();
        let members = json!([{"path": "a/k", "file": "vmlinuz"}, {"path": "a/i", "file": "initrd"}]);
        assert_eq!(fake.request().json(), json!({ "members": members }));
        fake.request();
        assert_eq!(fake.request().json(), json!({"initrd_path": "initrd"}));
        // Its arguments name the image, so that stays too.
        assert_eq!(fake.count(), 5);

        let file = "u.iso".parse().unwrap();
        let reply = extracted(false);
        let filled = merge(&there, &reply["media"]["suggestion"], &reply["items"], &file);
        assert_eq!(filled.differs.keys().collect::<Vec<_>>(), ["boot_params", "description"]);
        // Members that the suggestion does not boot.
        let filled = merge(&there, &reply["media"]["suggestion"], &json!([view("k")]), &file);
        assert_eq!(filled, Filled::default());
    }

    #[tokio::test]
    async fn a_profile_made_for_nothing_is_removed() {
        let (_dir, path) = iso("x.iso");
        let fake = Fake::start(vec![
            Answer::json(404, json!({})),
            Answer::json(201, json!({})),
            Answer::json(201, view("x.iso")),
            Answer::json(422, json!({"title": "No", "detail": "unknown media"})),
            Answer::json(200, json!({})).with("ETag: \"1\""),
            Answer::json(204, Value::Null),
        ]);
        let error = go(&fake.url, &["import", &path]).await.unwrap_err();
        assert!(error.to_string().contains("unknown media"), "{error}");
        (0..5).for_each(|_| drop(fake.request()));
        assert_eq!(fake.request().line(), "DELETE /api/v1/boot/profiles/x");

        // One that was there stays, and with --no-profile nobody looks at it.
        let fake = Fake::start(vec![
            Answer::json(200, json!({})),
            Answer::json(201, view("x.iso")),
            Answer::json(422, json!({"title": "No"})),
            Answer::json(201, view("x.iso")),
            Answer::json(201, extracted(true)),
        ]);
        assert!(go(&fake.url, &["import", "x", &path]).await.is_err());
        go(&fake.url, &["import", "x", &path, "--no-profile"]).await.unwrap();
        assert_eq!(fake.count(), 5);
    }

    #[test]
    fn the_report_says_what_happened_and_what_is_next() {
        let reply = extracted(false);
        let answer = json!({"created": true, "media": reply["media"], "items": reply["items"],
            "set": {"initrd_path": "initrd"}, "differs": {"boot_params": "ip=dhcp"}, "image": null});
        let text = report(&"u".parse().unwrap(), &"u.iso".parse().unwrap(), &answer).unwrap();
        let digest = "ab".repeat(32);
        assert_eq!(
            text,
            format!(
                "u.iso: ubuntu 24.04 (Ubuntu-Server 24.04)
u/vmlinuz  sha256 {digest}  8 bytes (8 B)
u/initrd  sha256 {digest}  8 bytes (8 B)
u.iso is not needed any more and was taken off the shelf
profile u: created
  initrd_path: initrd
profile u says something else already; this image would have
  boot_params: ip=dhcp
note: needs 3 GiB of memory
next step: moxxie assignment create MAC NODE u"
            )
        );
    }
}
