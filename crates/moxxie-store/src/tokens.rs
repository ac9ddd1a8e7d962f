//! API tokens: their hashes, never their text.

use crate::audit::{note, token_value};
use crate::db::{Row, Tx, args};
use crate::error::{Result, StoreError};
use crate::{ApiToken, Store};
use moxxie_core::audit::By;
use moxxie_core::time::{Span, Timestamp};

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT id, name, role, hash, created_at, expires_at, last_used_at FROM api_tokens ", $rest)
    };
}

impl Store {
    /// Keeps a token. Conflict when the name is taken.
    pub async fn create_token(&self, token: &ApiToken, by: &By) -> Result<()> {
        let mut tx = self.write().await?;
        let taken = tx.row("SELECT 1 FROM api_tokens WHERE name = $1", args![token.name.as_str()]).await?;
        if taken.is_some() {
            return Err(StoreError::Conflict(format!("a token named {} exists already", token.name)));
        }
        insert(&mut tx, token).await?;
        note(&mut tx, by, "token.create", target(token), None, Some(token_value(token)));
        tx.commit().await
    }

    /// By name; `after` is the name or the id of the last one shown.
    pub async fn tokens(&self, after: Option<&str>, limit: u32) -> Result<Vec<ApiToken>> {
        let sql = select!(
            "WHERE name > COALESCE((SELECT name FROM api_tokens WHERE id = $1), $1) ORDER BY name LIMIT $2"
        );
        let mut tx = self.read().await?;
        tx.rows(sql, args![after.unwrap_or(""), limit]).await?.iter().map(token).collect()
    }

    /// The token with this hash, expired or not.
    pub async fn token_by_hash(&self, hash: &str) -> Result<Option<ApiToken>> {
        let mut tx = self.read().await?;
        let row = tx.row(select!("WHERE hash = $1"), args![hash]).await?;
        row.as_ref().map(token).transpose()
    }

    /// Writes down that it was used; to the minute, so that a busy token does not write often.
    pub async fn touch_token(&self, id: &str, now: Timestamp) -> Result<()> {
        let sql = "UPDATE api_tokens SET last_used_at = $1 \
                   WHERE id = $2 AND (last_used_at IS NULL OR last_used_at <= $3)";
        let mut tx = self.write().await?;
        let minute = Timestamp(now.0.saturating_sub(Span::minutes(1).0));
        tx.execute(sql, args![now, id, minute]).await?;
        tx.commit().await
    }

    /// Deletes it.
    pub async fn revoke_token(&self, id: &str, by: &By) -> Result<()> {
        let mut tx = self.write().await?;
        let row = tx.row(select!("WHERE id = $1"), args![id]).await?;
        let token = token(&row.ok_or(StoreError::NotFound("token"))?)?;
        if tx.execute("DELETE FROM api_tokens WHERE id = $1", args![id]).await? == 0 {
            return Err(StoreError::NotFound("token"));
        }
        note(&mut tx, by, "token.revoke", target(&token), Some(token_value(&token)), None);
        tx.commit().await
    }
}

fn target(token: &ApiToken) -> String {
    format!("token {}", token.name)
}

pub(crate) async fn all(tx: &mut Tx) -> Result<Vec<ApiToken>> {
    tx.rows(select!("ORDER BY name"), args![]).await?.iter().map(token).collect()
}

pub(crate) async fn insert(tx: &mut Tx, token: &ApiToken) -> Result<()> {
    let sql = "INSERT INTO api_tokens (id, name, role, hash, created_at, expires_at, last_used_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let args = args![
        token.id.as_str(),
        token.name.as_str(),
        token.role.as_str(),
        token.hash.as_str(),
        token.created_at,
        token.expires_at,
        token.last_used_at,
    ];
    tx.execute(sql, args).await.map(drop)
}

fn token(row: &Row) -> Result<ApiToken> {
    Ok(ApiToken {
        id: row.text("id")?,
        name: row.text("name")?,
        role: row.parse("role")?,
        hash: row.text("hash")?,
        created_at: row.time("created_at")?,
        expires_at: row.time_or_null("expires_at")?,
        last_used_at: row.time_or_null("last_used_at")?,
    })
}
