//! Machines that wait for an operator's approval.

use crate::assignments::{ROWS, assignment, change, known_by_mac};
use crate::db::args;
use crate::error::{Result, StepError, StoreError};
use crate::events;
use crate::snapshot::bump;
use crate::{Answered, Store};
use moxxie_core::assignment::Assignment;
use moxxie_core::audit::By;
use moxxie_core::boot::decide::Known;
use moxxie_core::mac::MacAddr;
use sqlx::AssertSqlSafe;

impl Store {
    /// Assignments in whose name somebody has waited, by main MAC, behind `after`: whether they still
    /// do is for the caller to say.
    pub async fn waiting(&self, after: Option<MacAddr>, limit: u32) -> Result<Vec<Assignment>> {
        let sql =
            format!("{ROWS} WHERE asking IS NOT NULL AND mac_address > $1 ORDER BY mac_address LIMIT $2");
        let mut tx = self.read().await?;
        let after = after.map(|mac| mac.to_string()).unwrap_or_default();
        tx.rows(AssertSqlSafe(sql), args![after, limit]).await?.iter().map(assignment).collect()
    }

    /// An operator's word on a machine that waits. `step` judges it under the lock; record, audit
    /// record and event are committed together, also for a word that was wrong.
    pub async fn answer_approval<T: Send, E>(
        &self,
        mac: MacAddr,
        by: &By,
        step: impl FnOnce(&Known) -> Result<(Answered, T), E> + Send,
    ) -> Result<(Assignment, T), StepError<E>> {
        let mut tx = self.write().await?;
        let seq = bump(&mut tx).await?;
        let known = known_by_mac(&mut tx, mac, true).await?.ok_or(StoreError::NotFound("assignment"))?;
        let (answered, told) = step(&known).map_err(StepError::Step)?;
        let Answered { after, action, event } = answered;
        let spec = known.assignment.spec.clone();
        let new = change(&mut tx, &known.assignment, spec, after, action, by, seq).await?;
        events::append(&mut tx, &event).await?;
        tx.commit().await?;
        Ok((new, told))
    }
}
