//! What machines do: start a boot, fetch a config, report. Each is one transaction that holds
//! the lock on the machine's row from the first look to the commit.
//!
//! Order of locks on PostgreSQL: the row of `config_version`, then assignments, then the log of
//! events, last the head of the audit log, which the commit takes. A machine's start and config do
//! not touch the first.

use crate::assignments::{ROWS, assignment, change, known, record_values, revoke_sessions, write_record};
use crate::audit;
use crate::db::{Row, Tx, args, placeholders, unreadable};
use crate::error::{Result, StepError, StoreError};
use crate::events;
use crate::profiles::{shelf, shelves};
use crate::snapshot::{bump, hold_version};
use crate::{Begun, BootJob, Delivery, Held, Redeemed, Start, Store};
use moxxie_core::assignment::{Assignment, AssignmentSpec};
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

/// Sessions of one machine and one address that are kept although their config was not fetched.
pub(crate) const KEPT_SESSIONS: i64 = 8;

impl Store {
    /// What is known that bears on these claims; no lock.
    pub async fn boot_view(&self, claims: &BootClaims, asked: Option<&ProfileName>) -> Result<BootView> {
        let mut tx = self.snapshot().await?;
        let asks = [Ask { claims, asked }];
        let owners = all_owners(&mut tx, &asks).await?;
        let found = read_assignments(&mut tx, &ids(&owners), false).await?;
        let views = Views::load(&mut tx, owners, found, &asks).await?;
        Ok(views.of(0, asked))
    }

    /// The same under a lock, for many machines in one transaction: each job's `step` is called
    /// with its view, and what the steps begin is committed for all of them or for none. Whoever
    /// asks alone is a list of one; five hundred machines that ask at once share a few commits.
    pub async fn boot(&self, jobs: Vec<BootJob<'_>>) -> Result<()> {
        let (asks, steps): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|job| (Ask { claims: job.claims, asked: job.asked }, job.step)).unzip();
        let mut tries = 0;
        let (mut tx, mut views) = loop {
            // The start of a boot may be lost in a power failure: its token is then worth nothing,
            // and the machine asks again. A delivery never may, nor a script that erases a disk
            // by itself (`Start::durable`).
            let mut tx = self.write_lightly().await?;
            let owners = all_owners(&mut tx, &asks).await?;
            let found = read_assignments(&mut tx, &ids(&owners), true).await?;
            // PostgreSQL may have waited for the lock: who owns the addresses is asked again.
            if tx.is_sqlite() || owners == all_owners(&mut tx, &asks).await? {
                let views = Views::load(&mut tx, owners, found, &asks).await?;
                break (tx, views);
            }
            tries += 1;
            if tries == LOCK_TRIES {
                return Err(StoreError::Unavailable("an assignment is being changed".into()));
            }
        };
        let (mut begun, mut durable) = (false, false);
        let mut told = Vec::new();
        for (index, mut step) in steps.into_iter().enumerate() {
            let view = views.of(index, asks[index].asked);
            let Some(next) = step(&view) else { continue };
            let id = match &next {
                Begun::Start(start) => &start.session.assignment_id,
                Begun::Held(held) => &held.assignment_id,
            };
            let mut known = view.by_mac.iter().chain(&view.by_uuid);
            let Some(known) = known.find(|known| known.assignment.id == *id) else {
                return Err(StoreError::NotFound("assignment"));
            };
            // A machine that asks twice in one list is seen the second time as the first left it.
            match next {
                Begun::Start(start) => {
                    write_start(&mut tx, &start).await?;
                    if let Some((audit, event)) = start.durable {
                        durable = true;
                        told.push((Some(audit), event));
                    }
                    views.replace(known, Assignment { boot: start.after, ..known.assignment.clone() });
                }
                Begun::Held(held) => {
                    // A quarantine must not come undone by a power failure.
                    durable |= held.quarantine.is_some();
                    let (after, event) = write_held(&mut tx, &known.assignment, held).await?;
                    told.extend(event.map(|event| (None, event)));
                    views.replace(known, after);
                }
            }
            begun = true;
        }
        // Last, as everywhere: see the order of locks.
        for (record, event) in &told {
            if let Some(record) = record {
                audit::append(&mut tx, record);
            }
            events::append(&mut tx, event).await?;
        }
        match (begun, durable) {
            // Without one nothing was written, and dropping the transaction says so.
            (false, _) => Ok(()),
            (true, false) => tx.commit_lightly().await,
            (true, true) => {
                tx.commit().await?;
                self.flush().await
            }
        }
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
            audit::append(&mut tx, &delivery.audit);
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
        match event.kind {
            EventKind::Progress => events::append_progress(&mut tx, &event, session.minted_at).await?,
            _ => drop(events::append(&mut tx, &event).await?),
        }
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

/// What one machine says and asks for.
struct Ask<'a> {
    claims: &'a BootClaims,
    asked: Option<&'a ProfileName>,
}

/// Ids of the assignments that one machine's claims point at.
#[derive(PartialEq)]
struct Owners {
    /// By MAC, in the order of the claims, each once.
    by_mac: Vec<String>,
    by_uuid: Option<String>,
}

/// Of all of them, each once and in order, so that two transactions lock the same rows in the same
/// order.
fn ids(owners: &[Owners]) -> Vec<String> {
    let mut ids: Vec<String> =
        owners.iter().flat_map(|o| o.by_mac.iter().chain(&o.by_uuid)).cloned().collect();
    ids.sort();
    ids.dedup();
    ids
}

/// The owners of each machine's claims.
async fn all_owners(tx: &mut Tx, asks: &[Ask<'_>]) -> Result<Vec<Owners>> {
    let macs = asks.iter().flat_map(|ask| ask.claims.macs()).map(|mac| mac.to_string()).collect();
    let sql = "SELECT mac AS key, assignment_id AS id FROM assignment_macs WHERE mac";
    let by_mac = lookup(tx, sql, macs).await?;
    let uuids = asks.iter().filter_map(|ask| ask.claims.uuid).map(|uuid| uuid.key().to_string()).collect();
    let sql = "SELECT uuid_key AS key, id FROM node_boot_assignments WHERE uuid_key";
    let by_uuid = lookup(tx, sql, uuids).await?;
    let owners = asks.iter().map(|ask| {
        let mut ids: Vec<String> = Vec::new();
        for id in ask.claims.macs().filter_map(|mac| by_mac.get(&mac.to_string())) {
            if !ids.contains(id) {
                ids.push(id.clone());
            }
        }
        let uuid = ask.claims.uuid.map(|uuid| uuid.key().to_string());
        Owners { by_mac: ids, by_uuid: uuid.and_then(|uuid| by_uuid.get(&uuid).cloned()) }
    });
    Ok(owners.collect())
}

/// Which id each of the keys leads to.
async fn lookup(tx: &mut Tx, sql: &str, keys: Vec<String>) -> Result<HashMap<String, String>> {
    let mut found = HashMap::new();
    if !keys.is_empty() {
        let (list, args) = padded_list(1, keys);
        for row in tx.rows(AssertSqlSafe(format!("{sql} IN {list}")), args).await? {
            found.insert(row.text("key")?, row.text("id")?);
        }
    }
    Ok(found)
}

/// `($1, …)` and its values. The last value is repeated up to a power of two, so that lists of any
/// length need few different statements, which the databases prepare once.
fn padded_list(from: usize, mut keys: Vec<String>) -> (String, Vec<crate::db::Arg>) {
    if let Some(last) = keys.last().cloned() {
        keys.resize(keys.len().next_power_of_two(), last);
    }
    let list = format!("({})", placeholders(from, keys.len()));
    (list, keys.into_iter().map(Into::into).collect())
}

async fn read_assignments(tx: &mut Tx, ids: &[String], lock: bool) -> Result<Vec<Assignment>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let suffix = if lock { tx.row_lock() } else { "" };
    let (list, args) = padded_list(1, ids.to_vec());
    let sql = format!("{ROWS} WHERE id IN {list} ORDER BY id{suffix}");
    tx.rows(AssertSqlSafe(sql), args).await?.iter().map(assignment).collect()
}

/// What each machine of a list is decided on.
struct Views {
    owners: Vec<Owners>,
    known: HashMap<String, Arc<Known>>,
    shelves: Vec<Arc<Shelf>>,
}

impl Views {
    async fn load(
        tx: &mut Tx,
        owners: Vec<Owners>,
        found: Vec<Assignment>,
        asks: &[Ask<'_>],
    ) -> Result<Views> {
        let mut profiles: Vec<String> = found.iter().map(|a| a.spec.boot_profile_id.clone()).collect();
        profiles.sort();
        profiles.dedup();
        let asked = asks.iter().filter_map(|ask| ask.asked).map(|name| name.to_string());
        let mut names: Vec<String> = asked.collect();
        names.sort();
        names.dedup();
        let mut args = args![true];
        let mut condition = "(menu = $1".to_owned();
        for (column, keys) in [("name", names), ("id", profiles)] {
            if !keys.is_empty() {
                let (list, values) = padded_list(args.len() + 1, keys);
                condition += &format!(" OR {column} IN {list}");
                args.extend(values);
            }
        }
        condition += ")";
        let shelves: Vec<Arc<Shelf>> =
            shelves(tx, &condition, args).await?.into_iter().map(Arc::new).collect();
        let mut known = HashMap::new();
        for assignment in found {
            let shelf = shelves
                .iter()
                .find(|shelf| shelf.profile.id == assignment.spec.boot_profile_id)
                .ok_or_else(|| unreadable("boot_profile_id"))?
                .clone();
            known.insert(assignment.id.clone(), Arc::new(Known { assignment, shelf }));
        }
        Ok(Views { owners, known, shelves })
    }

    fn of(&self, index: usize, asked: Option<&ProfileName>) -> BootView {
        let owners = &self.owners[index];
        let shelf = |name: &ProfileName| self.shelves.iter().find(|s| s.profile.spec.name == *name).cloned();
        BootView {
            by_mac: owners.by_mac.iter().filter_map(|id| self.known.get(id).cloned()).collect(),
            by_uuid: owners.by_uuid.as_ref().and_then(|id| self.known.get(id).cloned()),
            asked: asked.and_then(shelf),
            offered: self.shelves.iter().filter(|shelf| shelf.profile.spec.menu).cloned().collect(),
        }
    }

    fn replace(&mut self, known: &Known, assignment: Assignment) {
        let next = Known { assignment, shelf: known.shelf.clone() };
        self.known.insert(known.assignment.id.clone(), Arc::new(next));
    }
}

/// Writes the record of a machine that waits. A quarantine leaves the version of the configuration
/// alone, whose lock comes before this one: memory still shows a window, and then asks the database.
async fn write_held(tx: &mut Tx, old: &Assignment, held: Held) -> Result<(Assignment, Option<BootEvent>)> {
    let Some((by, event)) = held.quarantine else {
        write_record(tx, &old.id, &held.after).await?;
        return Ok((Assignment { boot: held.after, ..old.clone() }, None));
    };
    let sql = "SELECT seq FROM node_boot_assignments WHERE id = $1";
    let row = tx.row(sql, args![old.id.as_str()]).await?.ok_or(StoreError::NotFound("assignment"))?;
    let spec = AssignmentSpec { quarantined: true, ..old.spec.clone() };
    let new = change(tx, old, spec, held.after, "assignment.quarantine", &by, row.int("seq")?).await?;
    Ok((new, Some(event)))
}

async fn write_start(tx: &mut Tx, start: &Start) -> Result<()> {
    let (id, boot) = (start.session.assignment_id.as_str(), &start.after);
    let sql = "UPDATE node_boot_assignments SET state = $2, generation = $3, armed_until = $4, window_ends = $5, \
               attempts_left = $6, armed_destructive = $7, bound_uuid = $8, bound_serial = $9, since = $10, \
               starts = $11, asked_from = $12, asking = $13, last_boot_at = $10 WHERE id = $1";
    let mut args = args![id];
    args.extend(record_values(boot)?);
    if tx.execute(sql, args).await? == 0 {
        return Err(StoreError::NotFound("assignment"));
    }
    if boot.starts > KEPT_SESSIONS {
        forget_sessions(tx, &start.session).await?;
    }
    insert_session(tx, &start.session).await
}

/// Makes room for a session. A machine in a boot loop, or with a policy of `always`, is given one
/// by each of its scripts. An older one stays good until a newer is used, since nobody knows which
/// script the machine runs; but whoever has come back from the same address so often since has
/// given it up. Sessions for other addresses, and those whose config was fetched, are left alone.
async fn forget_sessions(tx: &mut Tx, session: &Session) -> Result<()> {
    let sql = "DELETE FROM boot_sessions WHERE assignment_id = $1 AND ip = $2 \
               AND (first_used_at IS NULL OR revoked_at IS NOT NULL) AND id NOT IN \
               (SELECT id FROM boot_sessions WHERE assignment_id = $1 AND ip = $2 \
               AND (first_used_at IS NULL OR revoked_at IS NOT NULL) \
               ORDER BY minted_at DESC, id DESC LIMIT $3)";
    let args = args![session.assignment_id.as_str(), session.ip.to_string(), KEPT_SESSIONS - 1];
    tx.execute(sql, args).await.map(drop)
}

async fn insert_session(tx: &mut Tx, session: &Session) -> Result<()> {
    let sql = "INSERT INTO boot_sessions (id, assignment_id, generation, network, ip, base_url, arch, platform, \
               minted_at, expires_at, first_used_at, uses, revoked_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, NULL, 0, NULL)";
    let args = args![
        session.id.to_string(),
        session.assignment_id.as_str(),
        session.generation,
        session.network.to_string(),
        session.ip.to_string(),
        session.base_url.as_str(),
        session.arch.as_deref(),
        session.platform.as_deref(),
        session.minted_at,
        session.expires_at,
    ];
    tx.execute(sql, args).await.map(drop)
}

const SESSION: &str = "SELECT assignment_id, generation, network, ip, base_url, arch, platform, minted_at, \
                       expires_at, first_used_at, revoked_at FROM boot_sessions WHERE id = $1";

/// The session and its machine, the machine locked. Every change of a session happens under the
/// lock on its machine, so both are read again after the lock was waited for.
async fn locked_session(tx: &mut Tx, id: SessionId) -> Result<Option<(Session, Known)>> {
    let Some(row) = tx.row(SESSION, args![id.to_string()]).await? else { return Ok(None) };
    let sql = format!("{ROWS} WHERE id = $1{}", tx.row_lock());
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
        base_url: row.text("base_url")?,
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
        let after = machine.boot.delivered(session.ip, now);
        let sql = "UPDATE node_boot_assignments SET state = $1, attempts_left = $2, since = $3, asked_from = $6 \
                   WHERE id = $4 AND generation = $5 \
                   AND (boot_policy = 'always' OR (state = 'booting' AND attempts_left > 0))";
        let args = args![
            after.state.as_str(),
            after.attempts_left,
            after.since,
            machine.id.as_str(),
            session.generation,
            after.asked_from.map(|ip| ip.to_string()),
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
