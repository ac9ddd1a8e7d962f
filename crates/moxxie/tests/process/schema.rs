//! A database that a newer version has been at: refused with exit code 3, and left as it was.

use crate::postgres::connect;
use crate::server::Setup;
use crate::site;
use moxxie_store::testing::TestPostgres;
use sha2::{Digest, Sha256};
use sqlx::{ConnectOptions, Executor, Row};

const NEWER: &str = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                     SELECT 9999, 'from the future', success, checksum, 1 FROM _sqlx_migrations WHERE version = 1";

fn names_both(code: Option<i32>, out: &str, err: &str) {
    assert_eq!(code, Some(3), "{err}");
    assert!(err.contains("9999") && err.contains("up to "), "{err}");
    assert_eq!(out, "", "it never listened");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_sqlite_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Setup::new(dir.path()).start().await;
    site::furnish(&server.client).await;
    assert_eq!(server.stop().await, Some(0));
    let file = dir.path().join("moxxie.db");
    let mut connection = sqlx::sqlite::SqliteConnectOptions::new().filename(&file).connect().await.unwrap();
    connection.execute(NEWER).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    let digest = || Sha256::digest(std::fs::read(&file).unwrap());
    let before = digest();
    for _ in 0..2 {
        let (code, out, err) = Setup::new(dir.path()).run().await;
        names_both(code, &out, &err);
        assert_eq!(digest(), before, "the file was touched");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_postgres_is_left_alone() {
    let Some(mut database) = TestPostgres::start().await else { return };
    let url = database.database().await;
    let dir = tempfile::tempdir().unwrap();
    let mut server = Setup::replica(dir.path(), &url).start().await;
    site::furnish(&server.client).await;
    assert_eq!(server.stop().await, Some(0));
    let mut connection = connect(&url).await;
    connection.execute(NEWER).await.unwrap();
    // Every row and every table's version, by PostgreSQL's own account of who wrote what.
    let sql = "SELECT string_agg(t, ' ' ORDER BY t) FROM (\
                 SELECT 'm' || xmin || version AS t FROM _sqlx_migrations UNION ALL \
                 SELECT 'p' || xmin || id FROM boot_profiles UNION ALL \
                 SELECT 'a' || xmin || seq FROM audit_log UNION ALL \
                 SELECT 'v' || xmin || version FROM config_version UNION ALL \
                 SELECT 'c' || xmin || oid || relname FROM pg_class WHERE relnamespace = 'public'::regnamespace) all_rows";
    let before: String = connection.fetch_one(sql).await.unwrap().get(0);
    let (code, out, err) = Setup::replica(dir.path(), &url).run().await;
    names_both(code, &out, &err);
    let after: String = connection.fetch_one(sql).await.unwrap().get(0);
    assert_eq!(after, before);
    drop(connection);

    // Found out only later, when the database comes up: the same end.
    database.stop(moxxie_store::testing::Stop::Fast);
    let mut server = Setup::replica(dir.path(), &url).start().await;
    server.client.get("/readyz").await.is(503);
    database.start_again().await;
    assert_eq!(server.ended().await.code(), Some(3));
    let err = server.err.text();
    assert!(err.contains("9999") && err.contains("up to "), "{err}");
}
