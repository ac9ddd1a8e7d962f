//! Machines that were seen, assigned or not.

use crate::Store;
use crate::db::{Row, args};
use crate::error::Result;
use moxxie_core::mac::MacAddr;
use moxxie_core::machine::MachineSeen;
use moxxie_core::time::Timestamp;
use std::net::IpAddr;

impl Store {
    /// Batch upsert of machines seen; unassigned ones beyond `cap` are dropped, oldest first.
    pub async fn record_machines(&self, machines: &[MachineSeen], cap: u32) -> Result<()> {
        if machines.is_empty() {
            return Ok(());
        }
        // In the order of their keys, so that two replicas do not wait for each other.
        let mut machines: Vec<&MachineSeen> = machines.iter().collect();
        machines.sort_by_key(|machine| machine.mac_address);
        let mut tx = self.write().await?;
        // A request that leaves a label out does not make it unknown.
        let sql = "INSERT INTO machines AS m (mac, uuid, serial, arch, platform, manufacturer, product, \
                   ip, last_answer, first_seen_at, last_seen_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
                   ON CONFLICT (mac) DO UPDATE SET \
                   uuid = COALESCE(excluded.uuid, m.uuid), \
                   serial = COALESCE(excluded.serial, m.serial), \
                   arch = COALESCE(excluded.arch, m.arch), \
                   platform = COALESCE(excluded.platform, m.platform), \
                   manufacturer = COALESCE(excluded.manufacturer, m.manufacturer), \
                   product = COALESCE(excluded.product, m.product), \
                   ip = COALESCE(excluded.ip, m.ip), \
                   last_answer = COALESCE(excluded.last_answer, m.last_answer), \
                   last_seen_at = CASE WHEN excluded.last_seen_at > m.last_seen_at \
                   THEN excluded.last_seen_at ELSE m.last_seen_at END";
        for machine in machines {
            let args = args![
                machine.mac_address.to_string(),
                machine.uuid.as_deref(),
                machine.serial.as_deref(),
                machine.arch.as_deref(),
                machine.platform.as_deref(),
                machine.manufacturer.as_deref(),
                machine.product.as_deref(),
                machine.ip.as_deref(),
                machine.last_answer.as_deref(),
                machine.first_seen_at,
                machine.last_seen_at,
            ];
            tx.execute(sql, args).await?;
        }
        let sql = "DELETE FROM machines WHERE mac IN (\
                   SELECT m.mac FROM machines m LEFT JOIN assignment_macs a ON a.mac = m.mac \
                   WHERE a.mac IS NULL ORDER BY m.last_seen_at DESC, m.mac DESC LIMIT 1000000 OFFSET $1)";
        tx.execute(sql, args![cap]).await?;
        tx.commit().await
    }

    /// Newest first; `before` = (last_seen, mac) of the last one shown. Node name and profile
    /// are those of the machine's assignment now.
    pub async fn machines(
        &self,
        before: Option<(Timestamp, MacAddr)>,
        limit: u32,
    ) -> Result<Vec<MachineSeen>> {
        let sql = "SELECT m.mac, m.uuid, m.serial, m.arch, m.platform, m.manufacturer, m.product, m.ip, \
                   m.last_answer, m.first_seen_at, m.last_seen_at, n.node_name, p.name AS boot_profile \
                   FROM machines m LEFT JOIN assignment_macs a ON a.mac = m.mac \
                   LEFT JOIN node_boot_assignments n ON n.id = a.assignment_id \
                   LEFT JOIN boot_profiles p ON p.id = n.boot_profile_id \
                   WHERE (m.last_seen_at, m.mac) < ($1, $2) \
                   ORDER BY m.last_seen_at DESC, m.mac DESC LIMIT $3";
        let (at, mac) = match before {
            Some((at, mac)) => (at.0, mac.to_string()),
            // Sorts after every address.
            None => (i64::MAX, "g".to_owned()),
        };
        let mut tx = self.read().await?;
        tx.rows(sql, args![at, mac, limit]).await?.iter().map(machine).collect()
    }

    /// Every machine that is assigned and was seen, by MAC address.
    pub async fn assigned_machines(&self) -> Result<Vec<MachineSeen>> {
        let sql = "SELECT m.mac, m.uuid, m.serial, m.arch, m.platform, m.manufacturer, m.product, m.ip, \
                   m.last_answer, m.first_seen_at, m.last_seen_at, n.node_name, p.name AS boot_profile \
                   FROM machines m JOIN assignment_macs a ON a.mac = m.mac \
                   JOIN node_boot_assignments n ON n.id = a.assignment_id \
                   JOIN boot_profiles p ON p.id = n.boot_profile_id ORDER BY m.mac";
        let mut tx = self.read().await?;
        tx.rows(sql, args![]).await?.iter().map(machine).collect()
    }
}

impl Store {
    /// The machines whose boot scripts went to this address since then; 16 at most.
    pub async fn machines_at(&self, ip: IpAddr, since: Timestamp) -> Result<Vec<MacAddr>> {
        // Small tables, and one look for a download: no index on the address.
        let sql = "SELECT DISTINCT a.mac_address AS mac FROM boot_sessions s \
                   JOIN node_boot_assignments a ON a.id = s.assignment_id \
                   WHERE s.ip = $1 AND s.minted_at >= $2 LIMIT 16";
        let mut tx = self.read().await?;
        tx.rows(sql, args![ip.to_string(), since]).await?.iter().map(|row| row.parse("mac")).collect()
    }
}

fn machine(row: &Row) -> Result<MachineSeen> {
    Ok(MachineSeen {
        mac_address: row.parse("mac")?,
        uuid: row.text_or_null("uuid")?,
        serial: row.text_or_null("serial")?,
        arch: row.text_or_null("arch")?,
        platform: row.text_or_null("platform")?,
        manufacturer: row.text_or_null("manufacturer")?,
        product: row.text_or_null("product")?,
        ip: row.text_or_null("ip")?,
        node_name: row.text_or_null("node_name")?,
        boot_profile: row.text_or_null("boot_profile")?,
        last_answer: row.text_or_null("last_answer")?,
        first_seen_at: row.time("first_seen_at")?,
        last_seen_at: row.time("last_seen_at")?,
    })
}
