//! The first start, the second, and starts that are refused.

use crate::client::Client;
use crate::server::{ADMIN, KEY, Setup};
use crate::site::{self, mac};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![dir.to_owned()];
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_private_and_the_token_is_shown_once() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("new/data");
    let setup = Setup::bare(&dir);
    let mut server = setup.start().await;
    let token = std::fs::read_to_string(dir.join("admin-token")).unwrap().trim().to_owned();
    let admin = server.client.with(Some(&token));
    site::furnish(&admin).await;
    server.client.with(None).get("/api/v1/boot/profiles").await.is(401);
    let everything = files(&dir);
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    for wanted in ["moxxie.db", "secret-key", "admin-token", "moxxie.toml", "lock", "assets"] {
        assert!(everything.iter().any(|path| name(path) == wanted), "{wanted} in {everything:?}");
    }
    assert!(everything.len() > 10, "the log of the database and the assets are among them");
    for path in &everything {
        let meta = std::fs::metadata(path).unwrap();
        let wanted = if meta.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(meta.permissions().mode() & 0o777, wanted, "{}", path.display());
    }
    let key = std::fs::read_to_string(dir.join("secret-key")).unwrap();
    assert_eq!(server.stop().await, Some(0));
    assert_eq!(server.out.text().matches(&token).count(), 1, "{}", server.out.text());
    assert!(server.out.text().lines().nth(1).unwrap().contains(&token));
    assert!(!server.err.text().contains(&token));

    let mut again = setup.start().await;
    assert_eq!(std::fs::read_to_string(dir.join("secret-key")).unwrap(), key);
    again.client.with(Some(&token)).get("/api/v1/boot/profiles").await.is(200);
    assert_eq!(again.stop().await, Some(0));
    for text in [again.out.text(), again.err.text(), server.err.text()] {
        assert!(!text.contains(&token) && !text.contains(key.trim()), "{text}");
    }
    assert!(!server.out.text().contains(key.trim()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_token_is_renewed_by_deleting_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let setup = Setup::bare(dir.path());
    let file = dir.path().join("admin-token");
    let token = || std::fs::read_to_string(&file).unwrap().trim().to_owned();
    let mut server = setup.start().await;
    let old = token();
    let admin = server.client.with(Some(&old));
    let body = serde_json::json!({"name": "ci", "role": "viewer"});
    let other = admin.post("/api/v1/tokens", &body).await.is(201).value();
    // Deleting the file alone changes nothing: the server keeps what it started with.
    std::fs::remove_file(&file).unwrap();
    admin.get("/api/v1/tokens").await.is(200);
    assert_eq!(server.stop().await, Some(0));

    let mut server = setup.start().await;
    let new = token();
    assert!(new != old && server.out.text().contains(&new), "{}", server.out.text());
    server.client.with(Some(&old)).get("/api/v1/tokens").await.is(401);
    server.client.with(Some(&new)).get("/api/v1/tokens").await.is(200);
    let other = server.client.with(other["token"].as_str());
    other.get("/api/v1/boot/profiles").await.is(200);
    assert_eq!(server.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_wins_over_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let setup = Setup::new(dir.path()).env("MOXXIE_SECRET_KEY", KEY);
    let mut server = setup.start().await;
    assert!(!dir.path().join("admin-token").exists() && !dir.path().join("secret-key").exists());
    site::furnish(&server.client).await;
    site::assign(&server.client, 1, "safe", true).await;
    let path = server.client.menu(&mac(1)).await.config_path();
    assert_eq!(server.stop().await, Some(0));
    assert_eq!(server.out.text().lines().count(), 1, "{}", server.out.text());

    // The same key opens what is stored and knows the token; with another nothing starts.
    let other = Setup::new(dir.path()).env("MOXXIE_SECRET_KEY", &"ab".repeat(32));
    let (code, out, refusal) = other.run().await;
    assert_eq!((code, out.as_str()), (Some(1), ""), "{refusal}");
    let mut server = setup.start().await;
    server.client.get(&path).await.is(200);
    assert_eq!(server.stop().await, Some(0));
    assert!(!dir.path().join("admin-token").exists() && !dir.path().join("secret-key").exists());
    for text in [server.out.text(), server.err.text(), refusal] {
        assert!(!text.contains(KEY) && !text.contains(ADMIN), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_that_are_refused_say_why() {
    let secret = "7f3aGARBAGE-THAT-WAS-A-KEY";
    let damaged = tempfile::tempdir().unwrap();
    std::fs::write(damaged.path().join("secret-key"), secret).unwrap();
    let (code, out, err) = Setup::new(damaged.path()).run().await;
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains("secret-key") && err.contains("64 hexadecimal") && !err.contains(secret), "{err}");
    assert_eq!(std::fs::read_to_string(damaged.path().join("secret-key")).unwrap(), secret);
    assert!(!damaged.path().join("moxxie.db").exists());

    let empty = tempfile::tempdir().unwrap();
    std::fs::write(empty.path().join("admin-token"), "\n").unwrap();
    let (code, _, err) = Setup::bare(empty.path()).run().await;
    assert_eq!(code, Some(1));
    assert!(err.contains("admin-token"), "{err}");

    for (name, value) in [("MOXXIE_SECRET_KEY", "abc-not-hex"), ("MOXXIE_ADMIN_TOKEN", "too-short")] {
        let dir = tempfile::tempdir().unwrap();
        let (code, _, err) = Setup::bare(dir.path()).env(name, value).run().await;
        assert_eq!(code, Some(1));
        assert!(err.contains(name) && !err.contains(value), "{err}");
    }

    let config = tempfile::tempdir().unwrap();
    let setup = Setup::new(config.path()).config("# a comment\n[access]\nalow = [\"10.0.0.0/8\"]\n");
    let (code, _, err) = setup.run().await;
    assert_eq!(code, Some(1));
    let place = format!("{}:3:", config.path().join("moxxie.toml").display());
    assert!(err.contains(&place) && err.contains("`alow`") && err.contains("`allow`"), "{err}");

    let value = tempfile::tempdir().unwrap();
    let (code, _, err) = Setup::new(value.path()).config("[access]\nallow = [\"10.0.0.1/8\"]\n").run().await;
    assert_eq!(code, Some(1));
    assert!(err.contains("access.allow") && err.contains("10.0.0.0/8"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_use_is_named_and_the_token_is_still_shown_later() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let (code, out, err) = Setup::bare(dir.path()).arg("--listen").arg(&address).run().await;
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains(&address) && err.to_lowercase().contains("in use"), "{err}");
    // Nobody has seen a token yet, so the start that works shows it.
    let mut server = Setup::bare(dir.path()).start().await;
    assert_eq!(server.stop().await, Some(0));
    let token = std::fs::read_to_string(dir.path().join("admin-token")).unwrap();
    assert!(server.out.text().contains(token.trim()), "{}", server.out.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Setup::new(dir.path()).start().await;
    let (code, _, err) = Setup::new(dir.path()).run().await;
    assert_eq!(code, Some(1));
    assert!(err.contains("--data-dir"), "{err}");
    let client: &Client = &server.client;
    client.get("/readyz").await.is(200);
}
