//! Profiles and the files on their shelves.

use crate::audit::{asset_value, note, profile_value};
use crate::bytes::arrived;
use crate::db::{Arg, Row, Tx, args, locking, to_json};
use crate::error::{Result, StoreError};
use crate::secrets::may_seal;
use crate::snapshot::bump_all;
use crate::vault::Vault;
use crate::{Arrival, Store};
use moxxie_core::asset::Asset;
use moxxie_core::audit::By;
use moxxie_core::boot::decide::Shelf;
use moxxie_core::name::{FileName, ProfileName};
use moxxie_core::profile::{Profile, ProfileSpec, Source};
use moxxie_core::seal::Place;
use moxxie_core::time::Timestamp;
use sqlx::AssertSqlSafe;
use std::collections::HashMap;
use std::sync::Arc;

/// The table, as sealed values are bound to it.
pub(crate) const TABLE: &str = "boot_profiles";

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, profile_type, description, kernel_path, initrd_path, extra_initrds, \
             boot_params, config_template, params, destructive, destructive_lowered, menu, \
             local_boot, provisioning, approval, contention, revision, created_at, updated_at FROM boot_profiles ",
            $rest
        )
    };
}

impl Store {
    /// By name; `after` is the name or the id of the last one shown.
    pub async fn profiles(&self, after: Option<&str>, limit: u32) -> Result<Vec<Profile>> {
        let sql = select!(
            "WHERE name > COALESCE((SELECT name FROM boot_profiles WHERE id = $1), $1) ORDER BY name LIMIT $2"
        );
        let mut tx = self.read().await?;
        tx.rows(sql, args![after.unwrap_or(""), limit]).await?.iter().map(profile).collect()
    }

    /// By name or id.
    pub async fn profile(&self, name_or_id: &str) -> Result<Option<Profile>> {
        let sql = select!("WHERE id = $1 OR name = $1 ORDER BY CASE WHEN id = $1 THEN 0 ELSE 1 END LIMIT 1");
        let mut tx = self.read().await?;
        let row = tx.row(sql, args![name_or_id]).await?;
        row.as_ref().map(profile).transpose()
    }

    /// Makes a profile. Conflict when the name is taken.
    pub async fn create_profile(&self, id: &str, spec: &ProfileSpec, by: &By) -> Result<Profile> {
        let mut tx = self.write().await?;
        let profile = create(&mut tx, id, spec, by).await?;
        tx.commit().await?;
        Ok(profile)
    }

    /// Changes a profile; Stale when it is not at revision `expect`.
    pub async fn update_profile(
        &self,
        id: &str,
        expect: Option<i64>,
        spec: &ProfileSpec,
        by: &By,
    ) -> Result<Profile> {
        let mut tx = self.write().await?;
        let profile = update(&mut tx, id, expect, spec, by).await?;
        tx.commit().await?;
        Ok(profile)
    }

    /// Conflict when an assignment uses it.
    pub async fn delete_profile(&self, id: &str, expect: Option<i64>, by: &By) -> Result<()> {
        let mut tx = self.write().await?;
        bump_all(&mut tx).await?;
        let profile = expected(&mut tx, id, expect).await?;
        let users = "SELECT node_name FROM node_boot_assignments WHERE boot_profile_id = $1 \
                     ORDER BY node_name LIMIT 4";
        let users = tx.rows(users, args![id]).await?;
        let names: Result<Vec<String>> = users.iter().map(|row| row.text("node_name")).collect();
        let names = names?;
        if !names.is_empty() {
            let more = if names.len() > 3 { ", …" } else { "" };
            return Err(StoreError::Conflict(format!(
                "profile {} is assigned to {}{more}: give these machines another profile first",
                profile.spec.name,
                names[..names.len().min(3)].join(", "),
            )));
        }
        tx.execute("DELETE FROM boot_profiles WHERE id = $1", args![id]).await?;
        let before = profile_value(&tx, &profile);
        note(&mut tx, by, "profile.delete", target(&profile), Some(before), None);
        tx.commit().await
    }

    /// The files of a profile, by name.
    pub async fn assets(&self, profile_id: &str) -> Result<Vec<Asset>> {
        let sql =
            "SELECT file, sha256, size, created_at FROM profile_assets WHERE profile_id = $1 ORDER BY file";
        let mut tx = self.read().await?;
        tx.rows(sql, args![profile_id]).await?.iter().map(asset).collect()
    }

    /// One file of a profile.
    pub async fn asset(&self, profile: &ProfileName, file: &FileName) -> Result<Option<Asset>> {
        let sql = "SELECT a.file, a.sha256, a.size, a.created_at FROM profile_assets a \
                   JOIN boot_profiles p ON p.id = a.profile_id WHERE p.name = $1 AND a.file = $2";
        let mut tx = self.read().await?;
        let row = tx.row(sql, args![profile.as_str(), file.as_str()]).await?;
        row.as_ref().map(asset).transpose()
    }

    /// Puts or replaces a label on bytes that have arrived; the label that was there before.
    /// Busy when the arrival has run out.
    pub async fn put_asset(
        &self,
        profile_id: &str,
        new: &Asset,
        arrival: &Arrival,
        by: &By,
    ) -> Result<Option<Asset>> {
        let mut tx = self.write().await?;
        bump_all(&mut tx).await?;
        let profile = expected(&mut tx, profile_id, None).await?;
        let old = one_asset(&mut tx, profile_id, &new.file).await?;
        arrived(&mut tx, arrival, &new.sha256).await?;
        put(&mut tx, profile_id, new).await?;
        let target = format!("asset {}/{}", profile.spec.name, new.file);
        note(&mut tx, by, "asset.put", target, old.as_ref().map(asset_value), Some(asset_value(new)));
        tx.commit().await?;
        Ok(old)
    }

    /// Takes a label away; what it named.
    pub async fn delete_asset(&self, profile_id: &str, file: &FileName, by: &By) -> Result<Asset> {
        let mut tx = self.write().await?;
        bump_all(&mut tx).await?;
        let profile = expected(&mut tx, profile_id, None).await?;
        let old = one_asset(&mut tx, profile_id, file).await?.ok_or(StoreError::NotFound("asset"))?;
        let sql = "DELETE FROM profile_assets WHERE profile_id = $1 AND file = $2";
        tx.execute(sql, args![profile_id, file.as_str()]).await?;
        let target = format!("asset {}/{}", profile.spec.name, file);
        note(&mut tx, by, "asset.delete", target, Some(asset_value(&old)), None);
        tx.commit().await?;
        Ok(old)
    }
}

fn target(profile: &Profile) -> String {
    format!("profile {}", profile.spec.name)
}

/// Makes a profile within a transaction.
pub(crate) async fn create(tx: &mut Tx, id: &str, spec: &ProfileSpec, by: &By) -> Result<Profile> {
    let seq = bump_all(tx).await?;
    name_is_free(tx, id, &spec.name).await?;
    let profile =
        Profile { id: id.to_owned(), spec: spec.clone(), revision: 1, created_at: by.at, updated_at: by.at };
    insert(tx, &profile, seq).await?;
    let after = profile_value(tx, &profile);
    note(tx, by, "profile.create", target(&profile), None, Some(after));
    Ok(profile)
}

/// Changes a profile within a transaction.
pub(crate) async fn update(
    tx: &mut Tx,
    id: &str,
    expect: Option<i64>,
    spec: &ProfileSpec,
    by: &By,
) -> Result<Profile> {
    let seq = bump_all(tx).await?;
    let old = expected(tx, id, expect).await?;
    name_is_free(tx, id, &spec.name).await?;
    let new = Profile { spec: spec.clone(), revision: old.revision + 1, updated_at: by.at, ..old.clone() };
    let sql = "UPDATE boot_profiles SET name = $2, profile_type = $3, description = $4, kernel_path = $5, \
               initrd_path = $6, extra_initrds = $7, boot_params = $8, config_template = $9, params = $10, \
               destructive = $11, destructive_lowered = $12, menu = $13, local_boot = $14, provisioning = $15, \
               approval = $16, contention = $17, revision = $18, seq = $19, created_at = $20, \
               updated_at = $21 WHERE id = $1";
    may_seal(tx).await?;
    tx.execute(sql, values(&tx.vault, &new, seq)?).await?;
    let (before, after) = (profile_value(tx, &old), profile_value(tx, &new));
    note(tx, by, "profile.update", target(&old), Some(before), Some(after));
    Ok(new)
}

/// Writes a profile as it is.
pub(crate) async fn insert(tx: &mut Tx, profile: &Profile, seq: i64) -> Result<()> {
    let sql = "INSERT INTO boot_profiles (id, name, profile_type, description, kernel_path, initrd_path, \
               extra_initrds, boot_params, config_template, params, destructive, destructive_lowered, menu, \
               local_boot, provisioning, approval, contention, revision, seq, created_at, updated_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, \
               $20, $21)";
    may_seal(tx).await?;
    tx.execute(sql, values(&tx.vault, profile, seq)?).await.map(drop)
}

/// Puts a label on a shelf. The bytes have arrived or are held: see `bytes.rs`.
pub(crate) async fn put(tx: &mut Tx, profile_id: &str, asset: &Asset) -> Result<()> {
    let sql = "INSERT INTO profile_assets (profile_id, file, sha256, size, created_at) VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (profile_id, file) DO UPDATE SET sha256 = excluded.sha256, size = excluded.size, \
               created_at = excluded.created_at";
    let args =
        args![profile_id, asset.file.as_str(), asset.sha256.to_string(), asset.size, asset.created_at,];
    tx.execute(sql, args).await.map(drop)
}

fn values(vault: &Vault, profile: &Profile, seq: i64) -> Result<Vec<Arg>> {
    let spec = &profile.spec;
    let place = |column| Place { table: TABLE, column, row: &profile.id };
    // Another server's URL may carry a password.
    let source = |column, source: &Option<Source>| -> Result<Option<String>> {
        source.as_ref().map(|source| vault.seal(place(column), &source.to_string())).transpose()
    };
    let template = spec.config_template.as_deref();
    Ok(args![
        profile.id.as_str(),
        spec.name.as_str(),
        spec.profile_type.as_str(),
        spec.description.as_str(),
        source("kernel_path", &spec.kernel_path)?,
        source("initrd_path", &spec.initrd_path)?,
        vault.seal_json(place("extra_initrds"), &spec.extra_initrds)?,
        vault.seal(place("boot_params"), &spec.boot_params)?,
        template.map(|text| vault.seal(place("config_template"), text)).transpose()?,
        vault.seal_json(place("params"), &spec.params)?,
        spec.destructive,
        spec.destructive_lowered,
        spec.menu,
        spec.local_boot.as_str(),
        spec.provisioning.as_ref().map(to_json).transpose()?,
        spec.approval.as_str(),
        spec.contention.as_str(),
        profile.revision,
        seq,
        profile.created_at,
        profile.updated_at,
    ])
}

/// The profile under a lock, at the revision that the caller has seen.
async fn expected(tx: &mut Tx, id: &str, expect: Option<i64>) -> Result<Profile> {
    let sql = locking!(tx, select!("WHERE id = $1"));
    let row = tx.row(sql, args![id]).await?.ok_or(StoreError::NotFound("profile"))?;
    let profile = profile(&row)?;
    match expect {
        Some(revision) if revision != profile.revision => Err(StoreError::Stale),
        _ => Ok(profile),
    }
}

async fn name_is_free(tx: &mut Tx, id: &str, name: &ProfileName) -> Result<()> {
    let sql = "SELECT 1 FROM boot_profiles WHERE name = $1 AND id <> $2";
    match tx.row(sql, args![name.as_str(), id]).await? {
        Some(_) => Err(StoreError::Conflict(format!("a profile named {name} exists already"))),
        None => Ok(()),
    }
}

async fn one_asset(tx: &mut Tx, profile_id: &str, file: &FileName) -> Result<Option<Asset>> {
    let sql = "SELECT file, sha256, size, created_at FROM profile_assets WHERE profile_id = $1 AND file = $2";
    let row = tx.row(sql, args![profile_id, file.as_str()]).await?;
    row.as_ref().map(asset).transpose()
}

/// Profiles with their files, for a condition on `boot_profiles` written in this crate.
pub(crate) async fn shelves(tx: &mut Tx, condition: &str, args: Vec<Arg>) -> Result<Vec<Shelf>> {
    let sql = format!("{} WHERE {condition} ORDER BY name", select!(""));
    let profiles: Result<Vec<Profile>> =
        tx.rows(AssertSqlSafe(sql), args.clone()).await?.iter().map(profile).collect();
    let profiles = profiles?;
    let sql = format!(
        "SELECT profile_id, file, sha256, size, created_at FROM profile_assets \
         WHERE profile_id IN (SELECT id FROM boot_profiles WHERE {condition}) ORDER BY profile_id, file"
    );
    let mut files: HashMap<String, Vec<Asset>> = HashMap::new();
    if !profiles.is_empty() {
        for row in tx.rows(AssertSqlSafe(sql), args).await? {
            files.entry(row.text("profile_id")?).or_default().push(asset(&row)?);
        }
    }
    Ok(profiles
        .into_iter()
        .map(|profile| Shelf { assets: files.remove(&profile.id).unwrap_or_default(), profile })
        .collect())
}

/// The shelf of an assignment's profile.
pub(crate) async fn shelf(tx: &mut Tx, profile_id: &str) -> Result<Arc<Shelf>> {
    let found = shelves(tx, "id = $1", args![profile_id]).await?.pop();
    found.map(Arc::new).ok_or_else(|| StoreError::Corrupt("an assignment without its profile".into()))
}

fn profile(row: &Row) -> Result<Profile> {
    Ok(Profile {
        id: row.text("id")?,
        spec: ProfileSpec {
            name: row.parse("name")?,
            profile_type: row.text("profile_type")?,
            description: row.text("description")?,
            kernel_path: row.sealed_parse_or_null(TABLE, "kernel_path")?,
            initrd_path: row.sealed_parse_or_null(TABLE, "initrd_path")?,
            extra_initrds: row.sealed_json(TABLE, "extra_initrds")?,
            boot_params: row.sealed(TABLE, "boot_params")?,
            config_template: row.sealed_or_null(TABLE, "config_template")?,
            params: row.sealed_json(TABLE, "params")?,
            destructive: row.flag("destructive")?,
            destructive_lowered: row.flag("destructive_lowered")?,
            menu: row.flag("menu")?,
            local_boot: row.parse("local_boot")?,
            provisioning: row.json_or_null("provisioning")?,
            approval: row.parse("approval")?,
            contention: row.parse("contention")?,
        },
        revision: row.int("revision")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

fn asset(row: &Row) -> Result<Asset> {
    Ok(Asset {
        file: row.parse("file")?,
        sha256: row.parse("sha256")?,
        size: row.int("size")?,
        created_at: Timestamp(row.int("created_at")?),
    })
}
