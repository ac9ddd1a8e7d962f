//! Assignments: reading them, and the changes that people make.

use crate::audit::{assignment_value, note};
use crate::db::{Arg, Row, Tx, args, to_json, unreadable};
use crate::error::{Result, StepError, StoreError};
use crate::profiles::shelf;
use crate::secrets::may_seal;
use crate::snapshot::{bump, bump_all};
use crate::vault::Vault;
use crate::{AssignmentFilter, Store};
use moxxie_core::assignment::{Assignment, AssignmentSpec};
use moxxie_core::audit::By;
use moxxie_core::boot::approval::Asking;
use moxxie_core::boot::decide::Known;
use moxxie_core::boot::state::BootRecord;
use moxxie_core::mac::MacAddr;
use moxxie_core::machine::Serial;
use moxxie_core::seal::Place;
use moxxie_core::time::Timestamp;
use sqlx::AssertSqlSafe;
use std::collections::BTreeSet;

/// The table, as sealed values are bound to it.
pub(crate) const TABLE: &str = "node_boot_assignments";

/// Selects whole assignments; a condition follows.
pub(crate) const ROWS: &str = "SELECT id, mac_address, node_name, boot_profile_id, boot_params_override, uuid, serial, extra_macs, \
     boot_policy, protected, quarantined, local_boot, source, provisioning, approval, state, generation, \
     armed_until, window_ends, attempts_left, armed_destructive, bound_uuid, bound_serial, since, starts, \
     asked_from, asking, revision, last_boot_at, created_at, updated_at FROM node_boot_assignments";

impl Store {
    /// By main MAC, ascending; `after` is the main MAC of the last one shown.
    pub async fn assignments(
        &self,
        filter: &AssignmentFilter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Assignment>> {
        let mut sql = format!("{ROWS} n WHERE mac_address > $1");
        let mut args = args![after.unwrap_or(""), limit];
        if let Some(state) = filter.state {
            args.extend(args![state.as_str()]);
            sql += &format!(" AND state = ${}", args.len());
        }
        if let Some(profile_id) = &filter.profile_id {
            args.extend(args![profile_id.as_str()]);
            sql += &format!(" AND boot_profile_id = ${}", args.len());
        }
        if let Some(q) = &filter.q {
            args.extend(args![containing(q)]);
            let n = args.len();
            sql += &format!(
                " AND (lower(node_name) LIKE ${n} ESCAPE '!' OR lower(uuid) LIKE ${n} ESCAPE '!' \
                 OR lower(serial) LIKE ${n} ESCAPE '!' OR lower(bound_uuid) LIKE ${n} ESCAPE '!' \
                 OR lower(bound_serial) LIKE ${n} ESCAPE '!' OR EXISTS \
                 (SELECT 1 FROM assignment_macs m WHERE m.assignment_id = n.id AND m.mac LIKE ${n} ESCAPE '!')"
            );
            // A MAC address in another spelling than the one it is kept in.
            if let Ok(mac) = q.trim().parse::<MacAddr>() {
                args.extend(args![mac.to_string()]);
                sql += &format!(
                    " OR n.id = (SELECT assignment_id FROM assignment_macs WHERE mac = ${})",
                    args.len()
                );
            }
            sql += ")";
        }
        sql += " ORDER BY mac_address LIMIT $2";
        let mut tx = self.read().await?;
        tx.rows(AssertSqlSafe(sql), args).await?.iter().map(assignment).collect()
    }

    /// By any of its MACs.
    pub async fn assignment(&self, mac: MacAddr) -> Result<Option<Known>> {
        let mut tx = self.snapshot().await?;
        known_by_mac(&mut tx, mac, false).await
    }

    /// The machines that have this profile, by main MAC.
    pub async fn assignments_of(&self, profile_id: &str) -> Result<Vec<Assignment>> {
        let sql = format!("{ROWS} WHERE boot_profile_id = $1 ORDER BY mac_address");
        let mut tx = self.read().await?;
        tx.rows(AssertSqlSafe(sql), args![profile_id]).await?.iter().map(assignment).collect()
    }

    /// Makes an assignment. Conflict names the MAC, node name or UUID that another one has.
    pub async fn create_assignment(
        &self,
        id: &str,
        spec: &AssignmentSpec,
        boot: &BootRecord,
        by: &By,
    ) -> Result<Assignment> {
        let mut tx = self.write().await?;
        let made = create(&mut tx, id, spec, boot, by).await?;
        tx.commit().await?;
        Ok(made)
    }

    /// Reads the row under a lock, lets `step` say what it becomes, writes it with an audit
    /// record named `action`. `expect` is the revision the caller has seen (Stale otherwise).
    /// Sessions of an older generation are revoked.
    pub async fn change_assignment<E>(
        &self,
        mac: MacAddr,
        expect: Option<i64>,
        action: &str,
        by: &By,
        step: impl FnOnce(&Known) -> Result<(AssignmentSpec, BootRecord), E> + Send,
    ) -> Result<Assignment, StepError<E>> {
        let mut tx = self.write().await?;
        let seq = bump(&mut tx).await?;
        let known = expected(&mut tx, mac, expect).await?;
        let (spec, boot) = step(&known).map_err(StepError::Step)?;
        let new = change(&mut tx, &known.assignment, spec, boot, action, by, seq).await?;
        tx.commit().await?;
        Ok(new)
    }

    /// Conflict when protected.
    pub async fn delete_assignment(&self, mac: MacAddr, expect: Option<i64>, by: &By) -> Result<()> {
        let mut tx = self.write().await?;
        bump_all(&mut tx).await?;
        let old = expected(&mut tx, mac, expect).await?.assignment;
        if old.spec.protected {
            return Err(StoreError::Conflict(format!(
                "{} is protected: lift the protection first (moxxie assignment update MAC --unprotect)",
                old.spec.node_name
            )));
        }
        tx.execute("DELETE FROM node_boot_assignments WHERE id = $1", args![old.id.as_str()]).await?;
        let before = assignment_value(&tx, &old);
        note(&mut tx, by, "assignment.delete", target(&old), Some(before), None);
        tx.commit().await
    }
}

fn target(assignment: &Assignment) -> String {
    format!("assignment {}", assignment.spec.mac_address)
}

/// A pattern for LIKE that finds the text itself: `%` and `_` have no meaning in it.
fn containing(q: &str) -> String {
    let mut pattern = String::from("%");
    for c in q.trim().chars() {
        if matches!(c, '!' | '%' | '_') {
            pattern.push('!');
        }
        pattern.push(c.to_ascii_lowercase());
    }
    pattern.push('%');
    pattern
}

/// The assignment with one of its MACs; locked until the end of the transaction when asked for.
pub(crate) async fn known_by_mac(tx: &mut Tx, mac: MacAddr, lock: bool) -> Result<Option<Known>> {
    let sql = "SELECT assignment_id FROM assignment_macs WHERE mac = $1";
    match tx.row(sql, args![mac.to_string()]).await? {
        Some(row) => known(tx, &row.text("assignment_id")?, lock).await,
        None => Ok(None),
    }
}

/// The assignment with this id and its profile.
pub(crate) async fn known(tx: &mut Tx, id: &str, lock: bool) -> Result<Option<Known>> {
    let suffix = if lock { tx.row_lock() } else { "" };
    let sql = format!("{ROWS} WHERE id = $1{suffix}");
    let Some(row) = tx.row(AssertSqlSafe(sql), args![id]).await? else { return Ok(None) };
    let assignment = assignment(&row)?;
    let shelf = shelf(tx, &assignment.spec.boot_profile_id).await?;
    Ok(Some(Known { assignment, shelf }))
}

/// The assignment under a lock, at the revision that the caller has seen.
async fn expected(tx: &mut Tx, mac: MacAddr, expect: Option<i64>) -> Result<Known> {
    let known = known_by_mac(tx, mac, true).await?.ok_or(StoreError::NotFound("assignment"))?;
    match expect {
        Some(revision) if revision != known.assignment.revision => Err(StoreError::Stale),
        _ => Ok(known),
    }
}

/// Makes an assignment within a transaction.
pub(crate) async fn create(
    tx: &mut Tx,
    id: &str,
    spec: &AssignmentSpec,
    boot: &BootRecord,
    by: &By,
) -> Result<Assignment> {
    let seq = bump(tx).await?;
    let made = Assignment {
        id: id.to_owned(),
        spec: spec.clone(),
        boot: boot.clone(),
        revision: 1,
        last_boot_at: None,
        created_at: by.at,
        updated_at: by.at,
    };
    nobody_else_has(tx, &made).await?;
    insert(tx, &made, seq).await?;
    let after = assignment_value(tx, &made);
    note(tx, by, "assignment.create", target(&made), None, Some(after));
    Ok(made)
}

/// Writes what an assignment becomes.
pub(crate) async fn change(
    tx: &mut Tx,
    old: &Assignment,
    spec: AssignmentSpec,
    boot: BootRecord,
    action: &str,
    by: &By,
    seq: i64,
) -> Result<Assignment> {
    let new = Assignment { spec, boot, revision: old.revision + 1, updated_at: by.at, ..old.clone() };
    nobody_else_has(tx, &new).await?;
    let sql = "UPDATE node_boot_assignments SET mac_address = $2, node_name = $3, boot_profile_id = $4, \
               boot_params_override = $5, uuid = $6, uuid_key = $7, serial = $8, extra_macs = $9, \
               boot_policy = $10, protected = $11, quarantined = $12, local_boot = $13, source = $14, \
               provisioning = $15, approval = $16, state = $17, generation = $18, armed_until = $19, \
               window_ends = $20, attempts_left = $21, armed_destructive = $22, bound_uuid = $23, \
               bound_serial = $24, since = $25, starts = $26, asked_from = $27, asking = $28, \
               revision = $29, seq = $30, last_boot_at = $31, created_at = $32, updated_at = $33 WHERE id = $1";
    may_seal(tx).await?;
    tx.execute(sql, values(&tx.vault, &new, seq)?).await?;
    tx.execute("DELETE FROM assignment_macs WHERE assignment_id = $1", args![new.id.as_str()]).await?;
    insert_macs(tx, &new).await?;
    if new.boot.generation != old.boot.generation {
        revoke_sessions(tx, &new.id, None, by.at).await?;
    }
    let (before, after) = (assignment_value(tx, old), assignment_value(tx, &new));
    note(tx, by, action, target(old), Some(before), Some(after));
    Ok(new)
}

/// Writes an assignment as it is.
pub(crate) async fn insert(tx: &mut Tx, assignment: &Assignment, seq: i64) -> Result<()> {
    let sql = "INSERT INTO node_boot_assignments (id, mac_address, node_name, boot_profile_id, \
               boot_params_override, uuid, uuid_key, serial, extra_macs, boot_policy, protected, quarantined, \
               local_boot, source, provisioning, approval, state, generation, armed_until, window_ends, \
               attempts_left, armed_destructive, bound_uuid, bound_serial, since, starts, asked_from, asking, \
               revision, seq, last_boot_at, created_at, updated_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, \
               $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33)";
    may_seal(tx).await?;
    tx.execute(sql, values(&tx.vault, assignment, seq)?).await?;
    insert_macs(tx, assignment).await
}

async fn insert_macs(tx: &mut Tx, assignment: &Assignment) -> Result<()> {
    // An address may be listed twice by mistake; it is one address.
    let macs: BTreeSet<MacAddr> = assignment.macs().collect();
    for mac in macs {
        let sql = "INSERT INTO assignment_macs (mac, assignment_id) VALUES ($1, $2)";
        tx.execute(sql, args![mac.to_string(), assignment.id.as_str()]).await?;
    }
    Ok(())
}

/// Writes how far a window has come; nothing that a person wrote.
pub(crate) async fn write_record(tx: &mut Tx, id: &str, boot: &BootRecord) -> Result<()> {
    let sql = "UPDATE node_boot_assignments SET state = $2, generation = $3, armed_until = $4, window_ends = $5, \
               attempts_left = $6, armed_destructive = $7, bound_uuid = $8, bound_serial = $9, since = $10, \
               starts = $11, asked_from = $12, asking = $13 WHERE id = $1";
    let mut args = args![id];
    args.extend(record_values(boot)?);
    match tx.execute(sql, args).await? {
        0 => Err(StoreError::NotFound("assignment")),
        _ => Ok(()),
    }
}

/// Ends the sessions of an assignment, all or all but one.
pub(crate) async fn revoke_sessions(
    tx: &mut Tx,
    id: &str,
    except: Option<&str>,
    now: Timestamp,
) -> Result<()> {
    let sql = "UPDATE boot_sessions SET revoked_at = $1 \
               WHERE assignment_id = $2 AND revoked_at IS NULL AND id <> $3";
    tx.execute(sql, args![now, id, except.unwrap_or("")]).await.map(drop)
}

/// Looks for others with the same MAC, node name or UUID, and for the profile. Changes by people
/// come one after the other (see [`bump`]), so nobody can get in between look and write.
async fn nobody_else_has(tx: &mut Tx, new: &Assignment) -> Result<()> {
    let spec = &new.spec;
    let conflict = |text: String| Err(StoreError::Conflict(text));
    for mac in new.macs() {
        let sql = "SELECT n.node_name FROM assignment_macs m \
                   JOIN node_boot_assignments n ON n.id = m.assignment_id WHERE m.mac = $1 AND n.id <> $2";
        if let Some(row) = tx.row(sql, args![mac.to_string(), new.id.as_str()]).await? {
            return conflict(format!("mac_address {mac} belongs to {} already", row.text("node_name")?));
        }
    }
    let sql = "SELECT mac_address FROM node_boot_assignments WHERE node_name = $1 AND id <> $2";
    if let Some(row) = tx.row(sql, args![spec.node_name.as_str(), new.id.as_str()]).await? {
        let mac = row.text("mac_address")?;
        return conflict(format!("node_name {} is the name of {mac} already", spec.node_name));
    }
    if let Some(uuid) = spec.uuid {
        let sql = "SELECT node_name FROM node_boot_assignments WHERE uuid_key = $1 AND id <> $2";
        if let Some(row) = tx.row(sql, args![uuid.key().to_string(), new.id.as_str()]).await? {
            return conflict(format!("uuid {uuid} belongs to {} already", row.text("node_name")?));
        }
    }
    let profile = spec.boot_profile_id.as_str();
    if tx.row("SELECT 1 FROM boot_profiles WHERE id = $1", args![profile]).await?.is_none() {
        return conflict(format!("boot_profile_id {profile}: there is no such profile"));
    }
    Ok(())
}

pub(crate) fn record_values(boot: &BootRecord) -> Result<Vec<Arg>> {
    let asking = Some(&boot.asking).filter(|asking| **asking != Asking::default());
    Ok(args![
        boot.state.as_str(),
        boot.generation,
        boot.armed_until,
        boot.window_ends,
        boot.attempts_left,
        boot.armed_destructive,
        boot.bound_uuid.map(|uuid| uuid.to_string()),
        boot.bound_serial.as_ref().map(Serial::as_str),
        boot.since,
        boot.starts,
        boot.asked_from.map(|ip| ip.to_string()),
        asking.map(to_json).transpose()?,
    ])
}

/// All columns in the order of the table; `seq` is not a part of the core's type.
fn values(vault: &Vault, assignment: &Assignment, seq: i64) -> Result<Vec<Arg>> {
    let spec = &assignment.spec;
    let place = Place { table: TABLE, column: "boot_params_override", row: &assignment.id };
    let mut values = args![
        assignment.id.as_str(),
        spec.mac_address.to_string(),
        spec.node_name.as_str(),
        spec.boot_profile_id.as_str(),
        vault.seal_json(place, &spec.boot_params_override)?,
        spec.uuid.map(|uuid| uuid.to_string()),
        spec.uuid.map(|uuid| uuid.key().to_string()),
        spec.serial.as_ref().map(Serial::as_str),
        to_json(&spec.extra_macs)?,
        spec.boot_policy.as_str(),
        spec.protected,
        spec.quarantined,
        spec.local_boot.map(|how| how.as_str()),
        spec.source.as_str(),
        spec.provisioning.as_ref().map(to_json).transpose()?,
        spec.approval.map(|approval| approval.as_str()),
    ];
    values.extend(record_values(&assignment.boot)?);
    values.extend(args![
        assignment.revision,
        seq,
        assignment.last_boot_at,
        assignment.created_at,
        assignment.updated_at,
    ]);
    Ok(values)
}

pub(crate) fn assignment(row: &Row) -> Result<Assignment> {
    let serial = |column: &str| -> Result<Option<Serial>> {
        row.text_or_null(column)?
            .map(|text| Serial::known(&text).ok_or_else(|| unreadable(column)))
            .transpose()
    };
    Ok(Assignment {
        id: row.text("id")?,
        spec: AssignmentSpec {
            mac_address: row.parse("mac_address")?,
            node_name: row.parse("node_name")?,
            boot_profile_id: row.text("boot_profile_id")?,
            boot_params_override: row.sealed_json(TABLE, "boot_params_override")?,
            uuid: row.parse_or_null("uuid")?,
            serial: serial("serial")?,
            extra_macs: row.json("extra_macs")?,
            boot_policy: row.parse("boot_policy")?,
            protected: row.flag("protected")?,
            quarantined: row.flag("quarantined")?,
            local_boot: row.parse_or_null("local_boot")?,
            provisioning: row.json_or_null("provisioning")?,
            approval: row.parse_or_null("approval")?,
            source: row.text("source")?,
        },
        boot: BootRecord {
            state: row.parse("state")?,
            generation: row.int("generation")?,
            armed_until: row.time_or_null("armed_until")?,
            window_ends: row.time_or_null("window_ends")?,
            attempts_left: row.int("attempts_left")?,
            armed_destructive: row.flag("armed_destructive")?,
            bound_uuid: row.parse_or_null("bound_uuid")?,
            bound_serial: serial("bound_serial")?,
            since: row.time("since")?,
            starts: row.int("starts")?,
            asked_from: row.parse_or_null("asked_from")?,
            asking: row.json_or_null("asking")?.unwrap_or_default(),
        },
        revision: row.int("revision")?,
        last_boot_at: row.time_or_null("last_boot_at")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}
