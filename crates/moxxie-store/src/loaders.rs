//! The loaders' shelf: the files that firmware fetches first.

use crate::audit::{loader_value, note};
use crate::bytes::arrived;
use crate::db::{Row, Tx, args};
use crate::error::{Result, StoreError};
use crate::snapshot::hold_version;
use crate::{Arrival, Store};
use moxxie_core::audit::By;
use moxxie_core::loader::Loader;
use moxxie_core::name::LoaderName;

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT name, sha256, size, purpose, source, version, created_at FROM loaders ", $rest)
    };
}

impl Store {
    /// By name; `after` is the name of the last one shown.
    pub async fn loaders(&self, after: Option<&str>, limit: u32) -> Result<Vec<Loader>> {
        let sql = select!("WHERE name > $1 ORDER BY name LIMIT $2");
        let rows = self.read().await?.rows(sql, args![after.unwrap_or(""), limit]).await?;
        rows.iter().map(loader).collect()
    }

    /// The loader of this name.
    pub async fn loader(&self, name: &LoaderName) -> Result<Option<Loader>> {
        one(&mut self.read().await?, name).await
    }

    /// Puts or replaces a loader whose bytes have arrived; what had the name before. Busy when the
    /// arrival has run out.
    pub async fn put_loader(&self, new: &Loader, arrival: &Arrival, by: &By) -> Result<Option<Loader>> {
        let mut tx = self.write().await?;
        // No menu depends on a loader: the version stays. Its lock keeps what was before true.
        hold_version(&mut tx).await?;
        let old = one(&mut tx, &new.name).await?;
        arrived(&mut tx, arrival, &new.sha256).await?;
        let sql = "INSERT INTO loaders (name, sha256, size, purpose, source, version, created_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (name) DO UPDATE SET \
                   sha256 = excluded.sha256, size = excluded.size, purpose = excluded.purpose, \
                   source = excluded.source, version = excluded.version, created_at = excluded.created_at";
        let args = args![
            new.name.as_str(),
            new.sha256.to_string(),
            new.size,
            new.purpose.as_str(),
            new.source.as_str(),
            new.version.as_deref(),
            new.created_at,
        ];
        tx.execute(sql, args).await?;
        let before = old.as_ref().map(loader_value);
        note(&mut tx, by, "firmware.put", target(&new.name), before, Some(loader_value(new)));
        tx.commit().await?;
        Ok(old)
    }

    /// Takes a loader off the shelf; what it was.
    pub async fn delete_loader(&self, name: &LoaderName, by: &By) -> Result<Loader> {
        let mut tx = self.write().await?;
        hold_version(&mut tx).await?;
        let old = one(&mut tx, name).await?.ok_or(StoreError::NotFound("loader"))?;
        tx.execute("DELETE FROM loaders WHERE name = $1", args![name.as_str()]).await?;
        note(&mut tx, by, "firmware.delete", target(name), Some(loader_value(&old)), None);
        tx.commit().await?;
        Ok(old)
    }
}

fn target(name: &LoaderName) -> String {
    format!("firmware {name}")
}

async fn one(tx: &mut Tx, name: &LoaderName) -> Result<Option<Loader>> {
    let row = tx.row(select!("WHERE name = $1"), args![name.as_str()]).await?;
    row.as_ref().map(loader).transpose()
}

fn loader(row: &Row) -> Result<Loader> {
    Ok(Loader {
        name: row.parse("name")?,
        sha256: row.parse("sha256")?,
        size: row.int("size")?,
        purpose: row.parse("purpose")?,
        source: row.text("source")?,
        version: row.text_or_null("version")?,
        created_at: row.time("created_at")?,
    })
}
