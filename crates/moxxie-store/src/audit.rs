//! The audit log: what people did, and every config that left the house.

use crate::db::{Row, Tx, args};
use crate::error::{Result, StoreError};
use crate::{ApiToken, Store};
use moxxie_core::asset::{Asset, Digest};
use moxxie_core::assignment::Assignment;
use moxxie_core::audit::{AuditRecord, By};
use moxxie_core::profile::{Profile, Source};
use moxxie_core::secret::{mask_params, mask_text};
use serde_json::{Value, json};
use sha2::Digest as _;

impl Store {
    /// Adds a record that belongs to no other change.
    pub async fn append_audit(&self, record: &AuditRecord) -> Result<()> {
        let mut tx = self.write().await?;
        append(&mut tx, record).await?;
        tx.commit().await
    }

    /// Newest first; `before` is a seq.
    pub async fn audit(&self, before: Option<i64>, limit: u32) -> Result<Vec<AuditRecord>> {
        let sql = "SELECT seq, at, actor, action, target, peer, before_value, after_value \
                   FROM audit_log WHERE seq < $1 ORDER BY seq DESC LIMIT $2";
        let mut tx = self.read().await?;
        let rows = tx.rows(sql, args![before.unwrap_or(i64::MAX), limit]).await?;
        rows.iter().map(record).collect()
    }
}

/// All records, oldest first.
pub(crate) async fn all(tx: &mut Tx) -> Result<Vec<AuditRecord>> {
    let sql = "SELECT seq, at, actor, action, target, peer, before_value, after_value \
               FROM audit_log ORDER BY seq";
    tx.rows(sql, args![]).await?.iter().map(record).collect()
}

pub(crate) async fn append(tx: &mut Tx, record: &AuditRecord) -> Result<()> {
    let text = |value: &Option<Value>| value.as_ref().map(Value::to_string);
    let sql = "INSERT INTO audit_log (at, actor, action, target, peer, before_value, after_value) \
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let args = args![
        record.at,
        record.actor.as_str(),
        record.action.as_str(),
        record.target.as_str(),
        record.peer.as_deref(),
        text(&record.before),
        text(&record.after),
    ];
    tx.execute(sql, args).await.map(drop)
}

/// Adds the record of a change by a person.
pub(crate) async fn note(
    tx: &mut Tx,
    by: &By,
    action: &str,
    target: String,
    before: Option<Value>,
    after: Option<Value>,
) -> Result<()> {
    let record = AuditRecord {
        seq: 0,
        at: by.at,
        actor: by.actor.clone(),
        action: action.to_owned(),
        target,
        peer: by.peer.clone(),
        before,
        after,
    };
    append(tx, &record).await
}

fn record(row: &Row) -> Result<AuditRecord> {
    let value = |column| -> Result<Option<Value>> {
        row.text_or_null(column)?
            .map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|_| StoreError::Corrupt(format!("a value in column {column}")))
    };
    Ok(AuditRecord {
        seq: row.int("seq")?,
        at: row.time("at")?,
        actor: row.text("actor")?,
        action: row.text("action")?,
        target: row.text("target")?,
        peer: row.text_or_null("peer")?,
        before: value("before_value")?,
        after: value("after_value")?,
    })
}

/// A profile as the log shows it: secrets masked, and of the template, which can be long, only
/// whether it changed.
pub(crate) fn profile_value(profile: &Profile) -> Value {
    // A file's name has no secret; another server's URL may carry a password.
    let source = |source: &Source| match source {
        Source::Asset(file) => file.to_string(),
        Source::Url(url) => mask_text(url),
    };
    let spec = &profile.spec;
    json!({
        "id": profile.id,
        "name": spec.name,
        "profile_type": spec.profile_type,
        "description": spec.description,
        "kernel_path": spec.kernel_path.as_ref().map(source),
        "initrd_path": spec.initrd_path.as_ref().map(source),
        "extra_initrds": spec.extra_initrds.iter().map(source).collect::<Vec<_>>(),
        "boot_params": mask_text(&spec.boot_params),
        "config_template": spec.config_template.as_deref().map(|text| digest(&profile.id, text)),
        "params": mask_params(&spec.params),
        "destructive": spec.destructive,
        "destructive_lowered": spec.destructive_lowered,
        "menu": spec.menu,
        "local_boot": spec.local_boot,
        "provisioning": spec.provisioning,
        "approval": spec.approval,
        "contention": spec.contention,
        "revision": profile.revision,
    })
}

/// An assignment as the log shows it; see [`profile_value`].
pub(crate) fn assignment_value(assignment: &Assignment) -> Value {
    let (spec, boot) = (&assignment.spec, &assignment.boot);
    json!({
        "id": assignment.id,
        "mac_address": spec.mac_address,
        "node_name": spec.node_name,
        "boot_profile_id": spec.boot_profile_id,
        "boot_params_override": mask_params(&spec.boot_params_override),
        "uuid": spec.uuid,
        "serial": spec.serial,
        "extra_macs": spec.extra_macs,
        "boot_policy": spec.boot_policy,
        "protected": spec.protected,
        "quarantined": spec.quarantined,
        "local_boot": spec.local_boot,
        "provisioning": spec.provisioning,
        "approval": spec.approval,
        "approved": boot.asking.approved,
        "wrong_codes": boot.asking.wrong,
        "source": spec.source,
        "state": boot.state,
        "generation": boot.generation,
        "armed_until": boot.open_until(),
        "revision": assignment.revision,
    })
}

pub(crate) fn asset_value(asset: &Asset) -> Value {
    json!({ "file": asset.file, "sha256": asset.sha256, "size": asset.size })
}

pub(crate) fn token_value(token: &ApiToken) -> Value {
    json!({
        "id": token.id,
        "name": token.name,
        "role": token.role,
        "expires_at": token.expires_at,
    })
}

/// Shows a change of a text and nothing else. It is salted with the owner and cut to 16 bits, so
/// that it neither finds the same text elsewhere nor confirms a guessed password in it.
fn digest(owner: &str, text: &str) -> Value {
    let full = sha2::Sha256::new().chain_update(owner).chain_update([0]).chain_update(text).finalize();
    let hex = Digest(full.into()).to_string();
    Value::String(format!("sha256:{}…", &hex[..4]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_tells_that_a_value_changed_and_nothing_else() {
        assert_eq!(digest("a", "secret"), digest("a", "secret"));
        assert_ne!(digest("a", "secret"), digest("a", "Secret"));
        assert_ne!(digest("a", "secret"), digest("b", "secret"));
        assert_eq!(digest("a", "secret").as_str().map(str::len), Some("sha256:0000…".len()));
    }
}
