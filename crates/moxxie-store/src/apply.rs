//! Many changes at once, all or nothing.

use crate::assignments::{ROWS, assignment};
use crate::db::{Tx, args};
use crate::error::{Result, StoreError};
use crate::snapshot::{bump, hold_version};
use crate::{Change, Store, assignments, profiles};
use moxxie_core::assignment::Assignment;
use moxxie_core::audit::By;
use sqlx::AssertSqlSafe;
use std::collections::HashMap;

impl Store {
    /// All or nothing.
    pub async fn apply(&self, changes: &[Change], by: &By) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut tx = self.write().await?;
        hold_version(&mut tx).await?;
        let mut before = read_all(&mut tx, changes).await?;
        step_aside(&mut tx, changes).await?;
        for change in changes {
            match change {
                Change::CreateProfile { id, spec } => {
                    profiles::create(&mut tx, id, spec, by).await?;
                }
                Change::UpdateProfile { id, expect, spec } => {
                    profiles::update(&mut tx, id, Some(*expect), spec, by).await?;
                }
                Change::CreateAssignment { id, spec, boot } => {
                    assignments::create(&mut tx, id, spec, boot, by).await?;
                }
                Change::UpdateAssignment { id, expect, spec, disarm } => {
                    let old = before.remove(id).ok_or(StoreError::NotFound("assignment"))?;
                    if old.revision != *expect {
                        return Err(StoreError::Stale);
                    }
                    let boot = if *disarm { old.boot.disarm(by.at) } else { old.boot.clone() };
                    let seq = bump(&mut tx).await?;
                    assignments::change(&mut tx, &old, spec.clone(), boot, "assignment.update", by, seq)
                        .await?;
                }
            }
        }
        tx.commit().await
    }
}

/// The assignments to be changed as they are, locked, in the order of their ids.
async fn read_all(tx: &mut Tx, changes: &[Change]) -> Result<HashMap<String, Assignment>> {
    let mut found = HashMap::new();
    let mut ids: Vec<&str> = updated(changes).collect();
    ids.sort_unstable();
    for id in ids {
        let sql = format!("{ROWS} WHERE id = $1{}", tx.row_lock());
        if let Some(row) = tx.row(AssertSqlSafe(sql), args![id]).await? {
            found.insert(id.to_owned(), assignment(&row)?);
        }
    }
    Ok(found)
}

/// Takes the unique values of all assignments that will be written away from them first, so that
/// two machines can exchange MAC addresses or names. `apply` writes them all or rolls back.
async fn step_aside(tx: &mut Tx, changes: &[Change]) -> Result<()> {
    for id in updated(changes) {
        tx.execute("DELETE FROM assignment_macs WHERE assignment_id = $1", args![id]).await?;
        // No node has a name with a '!' in it.
        let sql = "UPDATE node_boot_assignments SET node_name = '!' || id, uuid_key = NULL WHERE id = $1";
        tx.execute(sql, args![id]).await?;
    }
    Ok(())
}

fn updated(changes: &[Change]) -> impl Iterator<Item = &str> {
    changes.iter().filter_map(|change| match change {
        Change::UpdateAssignment { id, .. } => Some(id.as_str()),
        _ => None,
    })
}
