//! What machines do: start a boot, fetch a config, report. Each is one transaction that holds
//! the lock on the machine's row from the first look to the commit.
//!
//! Order of locks on PostgreSQL: the row of `config_version`, then assignments, then the log of
//! events. A machine's start and config do not touch the first.

use crate::assignments::{ROWS, assignment, known, revoke_sessions, write_record};
use crate::audit;
use crate::db::{Row, Tx, args, placeholders, unreadable};
use crate::error::{Result, StepError, StoreError};
use crate::events;
use crate::profiles::{shelf, shelves};
use crate::snapshot::{bump, hold_version};
use crate::{Delivery, Redeemed, Start, Store};
use moxxie_core::assignment::Assignment;
use moxxie_core::boot::claims::BootClaims;
use moxxie_core::boot::decide::{BootView, Known, Shelf};
use moxxie_core::boot::event::{BootEvent, EventKind};
use moxxie_core::boot::session::Session;
use moxxie_core::boot::state::{BootRecord, BootState};
use moxxie_core::name::ProfileName;
use moxxie_core::site::Site;
use moxxie_core::time::Timestamp;
use moxxie_core::token::SessionId;
use sqlx::AssertSqlSafe;
use std::collections::HashMap;
use std::sync::Arc;

/// How often the lock on a machine's row is tried again when an operator moves its MAC address
/// at the same moment.
const LOCK_TRIES: u32 = 4;

impl Store {
    /// What is known that bears on these claims; no lock.
    pub async fn boot_view(&self, claims: &BootClaims, asked: Option<&ProfileName>) -> Result<BootView> {
        let mut tx = self.snapshot().await?;
        let owners = owners(&mut tx, claims).await?;
        let found = read_assignments(&mut tx, &owners.ids(), false).await?;
        view(&mut tx, &owners, found, asked).await
    }

    /// The same under a lock, then `step` on it; commits what the step starts.
    pub async fn boot<T: Send, E>(
        &self,
        claims: &BootClaims,
        asked: Option<&ProfileName>,
        step: impl FnOnce(&BootView) -> Result<(Option<Start>, T), E> + Send,
    ) -> Result<T, StepError<E>> {
        let mut tries = 0;
        let (mut tx, view) = loop {
            // The start of a boot may be lost in a power failure: its token is then worth nothing,
            // and the machine asks again. A delivery never may, and is committed in full.
            let mut tx = self.write_lightly().await?;
            let owners = owners(&mut tx, claims).await?;
            let found = read_assignments(&mut tx, &owners.ids(), true).await?;
            // PostgreSQL may have waited for the lock: who owns the addresses is asked again.
            if tx.is_sqlite() || owners == self::owners(&mut tx, claims).await? {
                let view = view(&mut tx, &owners, found, asked).await?;
                break (tx, view);
            }
            tries += 1;
            if tries == LOCK_TRIES {
                return Err(
                    StoreError::Unavailable("the machine's assignment is being changed".into()).into()
                );
            }
        };
        let (start, answer) = step(&view).map_err(StepError::Step)?;
        // Without a start nothing was written, and dropping the transaction says so.
        if let Some(start) = start {
            let id = &start.session.assignment_id;
            let mut known = view.by_mac.iter().chain(&view.by_uuid);
            if !known.any(|known| known.assignment.id == *id) {
                return Err(StoreError::NotFound("assignment").into());
            }
            write_record(&mut tx, id, &start.after).await?;
            let sql = "UPDATE node_boot_assignments SET last_boot_at = $1 WHERE id = $2";
            tx.execute(sql, args![start.after.since, id.as_str()]).await?;
            insert_session(&mut tx, &start.session).await?;
            tx.commit_lightly().await?;
        }
        Ok(answer)
    }

    /// Redeems a config token: loads session and machine under a lock, lets `step` check and
    /// render, consumes by one conditional UPDATE, commits audit record and event with it.
    /// `Ok(None)` when there is no such session.
    pub async fn redeem<T: Send, E>(
        &self,
        session: SessionId,
        site: &Site,
        now: Timestamp,
        step: impl FnOnce(&Session, &Known) -> Result<(Delivery, T), E> + Send,
    ) -> Result<Option<(Redeemed, T)>, StepError<E>> {
        let mut tx = self.write().await?;
        let Some((session, known)) = locked_session(&mut tx, session).await? else { return Ok(None) };
        let (delivery, answer) = step(&session, &known).map_err(StepError::Step)?;
        let redeemed = consume(&mut tx, &session, &known, &delivery, site, now).await?;
        if redeemed != Redeemed::Refused {
            audit::append(&mut tx, &delivery.audit).await?;
            events::append(&mut tx, &delivery.event).await?;
            tx.commit().await?;
        }
        Ok(Some((redeemed, answer)))
    }

    /// A report: `step` gives the event and, for a final one, the new record. A final report
    /// revokes the machine's sessions.
    pub async fn report<E>(
        &self,
        session: SessionId,
        now: Timestamp,
        step: impl FnOnce(&Session, &Known) -> Result<(BootEvent, Option<BootRecord>), E> + Send,
    ) -> Result<Option<()>, StepError<E>> {
        let mut tx = self.write().await?;
        // Taken first, as everywhere, and moved on only by a final report.
        hold_version(&mut tx).await?;
        let Some((session, known)) = locked_session(&mut tx, session).await? else { return Ok(None) };
        let (event, record) = step(&session, &known).map_err(StepError::Step)?;
        if let Some(record) = record {
            let id = &known.assignment.id;
            write_record(&mut tx, id, &record).await?;
            let seq = bump(&mut tx).await?;
            set_seq(&mut tx, id, seq).await?;
            revoke_sessions(&mut tx, id, None, now).await?;
        }
        events::append(&mut tx, &event).await?;
        tx.commit().await?;
        Ok(Some(()))
    }

    /// Writes down what time has made of open windows; the ones that changed, with their events.
    /// The events are stored with them and carry their ids.
    pub async fn settle(&self, site: &Site, now: Timestamp) -> Result<Vec<BootEvent>> {
        let due = "SELECT id FROM node_boot_assignments WHERE \
                   (state = 'armed' AND COALESCE(armed_until, 0) <= $1) OR \
                   (state = 'booting' AND COALESCE(window_ends, 0) <= $1) OR \
                   (state = 'delivered' AND since <= $2) ORDER BY id";
        let args = args![now, now.0.saturating_sub(site.settle.0)];
        // Nothing is due most of the time, and then nothing is locked.
        if self.read().await?.row(due, args.clone()).await?.is_none() {
            return Ok(Vec::new());
        }
        let mut tx = self.write().await?;
        let seq = bump(&mut tx).await?;
        let ids: Result<Vec<String>> = tx.rows(due, args).await?.iter().map(|row| row.text("id")).collect();
        let mut events = Vec::new();
        for id in ids? {
            let Some(known) = known(&mut tx, &id, true).await? else { continue };
            let boot = known.assignment.boot.settled(site, now);
            if boot == known.assignment.boot {
                continue;
            }
            write_record(&mut tx, &id, &boot).await?;
            set_seq(&mut tx, &id, seq).await?;
            events.push(settled_event(&known, &boot, now));
        }
        for event in &mut events {
            event.id = events::append(&mut tx, event).await?;
        }
        // When somebody else was faster, the version is given back by the rollback.
        if !events.is_empty() {
            tx.commit().await?;
        }
        Ok(events)
    }
}

fn settled_event(known: &Known, boot: &BootRecord, now: Timestamp) -> BootEvent {
    let spec = &known.assignment.spec;
    let (kind, message) = if boot.state == BootState::Installed {
        (EventKind::Installed, "no report since its config was delivered; counted as installed".to_owned())
    } else {
        let what = match known.assignment.boot.state {
            BootState::Armed => "did not boot before its window closed",
            _ => "booted but did not fetch its config before its window closed",
        };
        let (node, mac) = (&spec.node_name, spec.mac_address);
        (
            EventKind::WindowExpired,
            format!("{node} ({mac}) {what}; to try again: moxxie assignment arm {mac}"),
        )
    };
    BootEvent {
        id: 0,
        at: now,
        kind,
        mac_address: Some(spec.mac_address),
        node_name: Some(spec.node_name.to_string()),
        boot_profile: Some(known.shelf.profile.spec.name.to_string()),
        peer: None,
        message,
        count: 1,
    }
}

async fn set_seq(tx: &mut Tx, id: &str, seq: i64) -> Result<()> {
    tx.execute("UPDATE node_boot_assignments SET seq = $1 WHERE id = $2", args![seq, id]).await.map(drop)
}

/// Ids of the assignments that the claims point at.
#[derive(PartialEq)]
struct Owners {
    /// By MAC, in the order of the claims, each once.
    by_mac: Vec<String>,
    by_uuid: Option<String>,
}

impl Owners {
    /// Each once and in order, so that two transactions lock the same rows in the same order.
    fn ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = self.by_mac.iter().chain(&self.by_uuid).cloned().collect();
        ids.sort();
        ids.dedup();
        ids
    }
}

async fn owners(tx: &mut Tx, claims: &BootClaims) -> Result<Owners> {
    let macs: Vec<String> = claims.macs().map(|mac| mac.to_string()).collect();
    let mut by_mac: Vec<String> = Vec::new();
    if !macs.is_empty() {
        let list = placeholders(1, macs.len());
        let sql = format!("SELECT mac, assignment_id FROM assignment_macs WHERE mac IN ({list})");
        let args = macs.iter().map(|mac| mac.as_str().into()).collect();
        let mut found = HashMap::new();
        for row in tx.rows(AssertSqlSafe(sql), args).await? {
            found.insert(row.text("mac")?, row.text("assignment_id")?);
        }
        for id in macs.iter().filter_map(|mac| found.remove(mac)) {
            if !by_mac.contains(&id) {
                by_mac.push(id);
            }
        }
    }
    let by_uuid = match claims.uuid {
        Some(uuid) => {
            let sql = "SELECT id FROM node_boot_assignments WHERE uuid_key = $1";
            let row = tx.row(sql, args![uuid.key().to_string()]).await?;
            row.map(|row| row.text("id")).transpose()?
        }
        None => None,
    };
    Ok(Owners { by_mac, by_uuid })
}

async fn read_assignments(tx: &mut Tx, ids: &[String], lock: bool) -> Result<Vec<Assignment>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let suffix = if lock && !tx.is_sqlite() { " FOR UPDATE" } else { "" };
    let sql = format!("{ROWS} WHERE id IN ({}) ORDER BY id{suffix}", placeholders(1, ids.len()));
    let args = ids.iter().map(|id| id.as_str().into()).collect();
    tx.rows(AssertSqlSafe(sql), args).await?.iter().map(assignment).collect()
}

async fn view(
    tx: &mut Tx,
    owners: &Owners,
    found: Vec<Assignment>,
    asked: Option<&ProfileName>,
) -> Result<BootView> {
    let mut args = args![true, asked.map(ProfileName::as_str)];
    let mut condition = "(menu = $1 OR name = $2".to_owned();
    if !found.is_empty() {
        condition += &format!(" OR id IN ({})", placeholders(3, found.len()));
        args.extend(found.iter().map(|a| a.spec.boot_profile_id.as_str().into()));
    }
    condition += ")";
    let shelves: Vec<Arc<Shelf>> = shelves(tx, &condition, args).await?.into_iter().map(Arc::new).collect();
    let mut known = HashMap::new();
    for assignment in found {
        let shelf = shelves
            .iter()
            .find(|shelf| shelf.profile.id == assignment.spec.boot_profile_id)
            .ok_or_else(|| unreadable("boot_profile_id"))?
            .clone();
        known.insert(assignment.id.clone(), Arc::new(Known { assignment, shelf }));
    }
    Ok(BootView {
        by_mac: owners.by_mac.iter().filter_map(|id| known.get(id).cloned()).collect(),
        by_uuid: owners.by_uuid.as_ref().and_then(|id| known.get(id).cloned()),
        asked: shelves.iter().find(|shelf| Some(&shelf.profile.spec.name) == asked).cloned(),
        offered: shelves.into_iter().filter(|shelf| shelf.profile.spec.menu).collect(),
    })
}

async fn insert_session(tx: &mut Tx, session: &Session) -> Result<()> {
    let sql = "INSERT INTO boot_sessions (id, assignment_id, generation, network, ip, arch, platform, \
               minted_at, expires_at, first_used_at, uses, revoked_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, NULL, 0, NULL)";
    let args = args![
        session.id.to_string(),
        session.assignment_id.as_str(),
        session.generation,
        session.network.to_string(),
        session.ip.to_string(),
        session.arch.as_deref(),
        session.platform.as_deref(),
        session.minted_at,
        session.expires_at,
    ];
    tx.execute(sql, args).await.map(drop)
}

const SESSION: &str = "SELECT assignment_id, generation, network, ip, arch, platform, minted_at, expires_at, \
                       first_used_at, revoked_at FROM boot_sessions WHERE id = $1";

/// The session and its machine, the machine locked. Every change of a session happens under the
/// lock on its machine, so both are read again after the lock was waited for.
async fn locked_session(tx: &mut Tx, id: SessionId) -> Result<Option<(Session, Known)>> {
    let Some(row) = tx.row(SESSION, args![id.to_string()]).await? else { return Ok(None) };
    let sql = format!("{ROWS} WHERE id = $1{}", if tx.is_sqlite() { "" } else { " FOR UPDATE" });
    let owner = tx.row(AssertSqlSafe(sql), args![row.text("assignment_id")?]).await?;
    let Some(owner) = owner else { return Ok(None) };
    let assignment = assignment(&owner)?;
    let Some(row) = tx.row(SESSION, args![id.to_string()]).await? else { return Ok(None) };
    let shelf = shelf(tx, &assignment.spec.boot_profile_id).await?;
    Ok(Some((session(id, &row)?, Known { assignment, shelf })))
}

fn session(id: SessionId, row: &Row) -> Result<Session> {
    Ok(Session {
        id,
        assignment_id: row.text("assignment_id")?,
        generation: row.int("generation")?,
        network: row.parse("network")?,
        ip: row.parse("ip")?,
        arch: row.text_or_null("arch")?,
        platform: row.text_or_null("platform")?,
        minted_at: row.time("minted_at")?,
        expires_at: row.time("expires_at")?,
        first_used_at: row.time_or_null("first_used_at")?,
        revoked: row.int_or_null("revoked_at")?.is_some(),
    })
}

/// Consumes the token. The statements repeat the guards of `may_fetch` on use, time and state:
/// a mistake in a caller cannot deliver twice.
async fn consume(
    tx: &mut Tx,
    session: &Session,
    known: &Known,
    delivery: &Delivery,
    site: &Site,
    now: Timestamp,
) -> Result<Redeemed> {
    let id = session.id.to_string();
    let sql = "UPDATE boot_sessions SET first_used_at = COALESCE(first_used_at, $1), uses = uses + 1 \
               WHERE id = $2 AND revoked_at IS NULL AND $1 < expires_at \
               AND (first_used_at IS NULL OR $1 < first_used_at + $3) RETURNING uses";
    let Some(row) = tx.row(sql, args![now, id.as_str(), site.repeat_window.0]).await? else {
        return Ok(Redeemed::Refused);
    };
    let first = row.int("uses")? == 1;
    if first {
        let machine = &known.assignment;
        let after = machine.boot.delivered(now);
        let sql = "UPDATE node_boot_assignments SET state = $1, attempts_left = $2, since = $3 \
                   WHERE id = $4 AND generation = $5 \
                   AND (boot_policy = 'always' OR (state = 'booting' AND attempts_left > 0))";
        let args = args![
            after.state.as_str(),
            after.attempts_left,
            after.since,
            machine.id.as_str(),
            session.generation,
        ];
        if tx.execute(sql, args).await? == 0 {
            return Ok(Redeemed::Refused);
        }
        revoke_sessions(tx, &machine.id, Some(&id), now).await?;
    }
    let sql = "INSERT INTO session_uses AS u (session_id, resource, digest, uses) VALUES ($1, $2, $3, 1) \
               ON CONFLICT (session_id, resource) DO UPDATE SET uses = u.uses + 1 \
               WHERE u.digest = excluded.digest AND u.uses <= $4 RETURNING uses";
    let args = args![id, delivery.resource.as_str(), delivery.digest.to_string(), site.repeat_uses];
    Ok(match tx.row(sql, args).await? {
        None => Redeemed::Refused,
        Some(_) if first => Redeemed::First,
        Some(_) => Redeemed::Repeat,
    })
}
