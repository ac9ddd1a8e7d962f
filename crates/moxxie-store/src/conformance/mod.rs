//! One story that every database tells alike, and what each has to stand beside it: `story` is
//! told once, `bytes` is its chapter on collecting, `loaders` that on what firmware fetches, `races` and `collecting` happen many times at
//! once, `moves` from one database to the other, `servers` says on which databases.

mod audit;
mod bounded;
mod bytes;
mod collecting;
mod gate;
mod loaders;
mod moves;
mod races;
mod secrets;
mod servers;
mod story;

use crate::db::args;
use crate::testing::{Stop, TestPostgres, open};
use crate::*;
use moxxie_core::asset::Asset;
use moxxie_core::assignment::BootPolicy;
use moxxie_core::audit::By;
use moxxie_core::boot::approval::Approval;
use moxxie_core::boot::claims::BootClaims;
use moxxie_core::boot::decide::{BootView, Known};
use moxxie_core::boot::rival::Contention;
use moxxie_core::boot::session::Session;
use moxxie_core::boot::state::ArmGuards;
use moxxie_core::machine::MachineSeen;
use moxxie_core::name::ProfileName;
use moxxie_core::profile::{LocalBoot, Profile};
use moxxie_core::site::Site;
use moxxie_core::time::Span;
use moxxie_core::token::SessionId;
use serde_json::json;
use sqlx::AssertSqlSafe;

/// A step that always goes well.
pub(crate) type Fine = std::convert::Infallible;

pub(crate) fn by(at: i64) -> By {
    By { actor: "ann".into(), peer: Some("10.0.0.2".into()), at: Timestamp(at) }
}

pub(crate) fn mac(n: u16) -> MacAddr {
    let [a, b] = n.to_be_bytes();
    MacAddr::new([0x52, 0x54, 0, 0, a, b]).unwrap()
}

pub(crate) fn profile(name: &str, destructive: bool) -> ProfileSpec {
    ProfileSpec {
        name: name.parse().unwrap(),
        profile_type: "talos".into(),
        description: "for tests: ü, 'quotes' and \"more\"".into(),
        kernel_path: Some("vmlinuz".parse().unwrap()),
        initrd_path: None,
        extra_initrds: vec!["extra.img".parse().unwrap(), "http://other.example/x".parse().unwrap()],
        boot_params: "console=ttyS0".into(),
        config_template: Some("password: hunter2".into()),
        params: json!({"password": "hunter2", "n": 1}).as_object().unwrap().clone(),
        destructive,
        destructive_lowered: false,
        menu: !destructive,
        local_boot: LocalBoot::NotFound,
        provisioning: Some(moxxie_core::net::Networks::read(["10.0.0.0/8", "fd00::/8"]).unwrap()),
        approval: Default::default(),
        contention: Contention::Freeze,
    }
}

pub(crate) fn machine(n: u16, profile_id: &str) -> AssignmentSpec {
    AssignmentSpec {
        mac_address: mac(n),
        node_name: format!("node-{n}").parse().unwrap(),
        boot_profile_id: profile_id.into(),
        boot_params_override: json!({"token": "s3cret"}).as_object().unwrap().clone(),
        uuid: None,
        serial: None,
        extra_macs: vec![],
        boot_policy: BootPolicy::Once,
        protected: false,
        quarantined: false,
        local_boot: None,
        provisioning: None,
        approval: Some(Approval::Auto),
        source: "manual".into(),
    }
}

pub(crate) fn claims(n: u16) -> BootClaims {
    BootClaims { mac: Some(mac(n)), ..BootClaims::default() }
}

pub(crate) fn armed(destructive: bool, site: &Site, now: Timestamp) -> BootRecord {
    let guards = ArmGuards { protected: false, quarantined: false, policy: BootPolicy::Once, destructive };
    BootRecord::default().arm(guards, site, now).unwrap()
}

pub(crate) fn session(n: u8, known: &Known, site: &Site, now: Timestamp) -> Session {
    Session {
        id: SessionId([n; 16]),
        assignment_id: known.assignment.id.clone(),
        generation: known.assignment.boot.generation,
        network: "10.0.0.0/24".parse().unwrap(),
        ip: std::net::IpAddr::from([10, 0, 0, 9]),
        base_url: "http://10.0.0.1:8080".into(),
        arch: Some("amd64".into()),
        platform: None,
        minted_at: now,
        expires_at: now + site.boot_window,
        first_used_at: None,
        revoked: false,
    }
}

/// Gives a machine its script, as the menu does.
pub(crate) async fn start(store: &Store, n: u16, session_id: u8, site: &Site, now: Timestamp) {
    store
        .boot_alone::<(), Fine>(&claims(n), None, |view| {
            let known = view.by_mac.first().unwrap();
            let session = session(session_id, known, site, now);
            let after = known.assignment.boot.started(None, None, session.ip, site, now);
            Ok((Some(Start { after, session, durable: None }.into()), ()))
        })
        .await
        .unwrap();
}

pub(crate) fn delivery(n: u16, bytes: u8, resource: &str, now: Timestamp) -> Delivery {
    Delivery {
        resource: resource.into(),
        digest: Digest([bytes; 32]),
        audit: AuditRecord {
            seq: 0,
            at: now,
            actor: format!("machine {}", mac(n)),
            action: "config.deliver".into(),
            target: format!("assignment {}", mac(n)),
            peer: None,
            before: None,
            after: None,
        },
        event: event(n, EventKind::ConfigDelivered, now),
    }
}

pub(crate) fn event(n: u16, kind: EventKind, at: Timestamp) -> BootEvent {
    BootEvent {
        id: 0,
        at,
        kind,
        mac_address: Some(mac(n)),
        node_name: None,
        boot_profile: None,
        peer: Some("10.0.0.9".into()),
        message: "x".into(),
        count: 1,
    }
}

/// Redeems without asking the pure rules: the store's own guards are under test.
pub(crate) async fn fetch(
    store: &Store,
    n: u16,
    session: u8,
    bytes: u8,
    site: &Site,
    now: Timestamp,
) -> Option<Redeemed> {
    store
        .redeem::<(), Fine>(SessionId([session; 16]), site, now, |_, _| Ok((delivery(n, bytes, "", now), ())))
        .await
        .unwrap()
        .map(|(redeemed, ())| redeemed)
}

pub(crate) async fn arm(store: &Store, n: u16, destructive: bool, site: &Site, now: Timestamp) {
    let guards = ArmGuards { protected: false, quarantined: false, policy: BootPolicy::Once, destructive };
    store
        .change_assignment::<Fine>(mac(n), None, "assignment.arm", &by(now.0), |known| {
            let boot = known.assignment.boot.arm(guards, site, now).unwrap();
            Ok((known.assignment.spec.clone(), boot))
        })
        .await
        .unwrap();
}

/// Puts a label on bytes as a server does, without the bytes.
pub(crate) async fn put(
    store: &Store,
    profile_id: &str,
    asset: &Asset,
    now: Timestamp,
) -> Result<Option<Asset>> {
    let arrival = store.arrive(&asset.sha256, asset.size, now, now + Span::days(1)).await?;
    let done = store.put_asset(profile_id, asset, &arrival, &by(now.0)).await;
    if done.is_err() {
        store.abandon(&arrival, now).await?;
    }
    done
}

/// Statements as somebody sends them who has the database and not Moxxie.
pub(crate) async fn raw(store: &Store, sql: &str) -> Result<(), sqlx::Error> {
    let sql = AssertSqlSafe(sql.to_owned());
    match &store.db {
        Db::Sqlite { w, .. } => sqlx::raw_sql(sql).execute(w).await.map(drop),
        Db::Postgres(pool) => sqlx::raw_sql(sql).execute(pool).await.map(drop),
    }
}

/// Names of tables and columns, in order, without the migrations' own table.
pub(crate) async fn schema(store: &Store) -> Vec<(String, String)> {
    let sql = if store.is_sqlite() {
        "SELECT m.name AS t, c.name AS c FROM sqlite_master m, pragma_table_info(m.name) c \
         WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite!_%' ESCAPE '!' AND m.name <> '_sqlx_migrations' \
         ORDER BY m.name, c.cid"
    } else {
        "SELECT CAST(table_name AS TEXT) COLLATE \"C\" AS t, CAST(column_name AS TEXT) AS c \
         FROM information_schema.columns \
         WHERE table_schema = 'public' AND table_name <> '_sqlx_migrations' ORDER BY t, ordinal_position"
    };
    let rows = store.read().await.unwrap().rows(sql, args![]).await.unwrap();
    rows.iter().map(|row| (row.text("t").unwrap(), row.text("c").unwrap())).collect()
}

impl Store {
    /// `boot` for one machine, with what its step answered.
    pub(crate) async fn boot_alone<T: Send, E: Send>(
        &self,
        claims: &BootClaims,
        asked: Option<&ProfileName>,
        step: impl FnOnce(&BootView) -> Result<(Option<Begun>, T), E> + Send,
    ) -> Result<T, StepError<E>> {
        let mut said = None;
        let mut step = Some(step);
        let step = Box::new(|view: &BootView| match step.take().expect("the step is called once")(view) {
            Ok((start, answer)) => {
                said = Some(Ok(answer));
                start
            }
            Err(refusal) => {
                said = Some(Err(refusal));
                None
            }
        });
        self.boot(vec![BootJob { claims, asked, step }]).await?;
        said.expect("the step is called").map_err(StepError::Step)
    }
}
