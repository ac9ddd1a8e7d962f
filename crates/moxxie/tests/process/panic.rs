//! A handler that panics costs its own request and nothing else. The routes that panic are added
//! to the real ones, below the real layers, and served by the real listener.

use crate::client::Client;
use crate::site;
use axum::routing::get;
use moxxie::app::{App, Parts};
use moxxie::clock::Clock;
use moxxie::config::{Config, Overrides};
use moxxie_core::token::api_token_hash;
use moxxie_store::assets::Assets;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::watch;

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_costs_one_request() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        Config::load(Overrides { data_dir: Some(dir.path().to_owned()), ..Overrides::default() }).unwrap();
    let store = Arc::new(moxxie_store::testing::open(&config.database_url).await.unwrap());
    store.migrate().await.unwrap();
    let assets = Assets::open(config.assets.clone()).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = App::start(Parts {
        config,
        port: address.port(),
        store,
        assets,
        clock: Arc::new(Clock::default()),
        admin_hash: api_token_hash(crate::server::ADMIN),
    });
    app.migrated.store(true, Ordering::SeqCst);

    async fn bug() -> &'static str {
        panic!("a bug, with CANARY-IN-A-PANIC in its message")
    }
    let (routes, description) = moxxie::http::router::described().split_for_parts();
    let routes = routes.route("/boot/bug", get(bug)).route("/api/v1/bug", get(bug));
    let router = moxxie::http::router::finish(routes, &description, app.clone());
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(moxxie::server::serve(
        vec![moxxie::server::Listening::plain(listener)],
        router,
        app,
        stopped,
    ));

    let client = Client::new(&format!("http://{address}"), crate::server::ADMIN);
    site::furnish(&client).await;
    let requests = (0..60).map(|n| {
        let client = client.clone();
        tokio::spawn(async move {
            match n % 3 {
                0 => client.get("/boot/bug").await.is(503),
                1 => client.get("/api/v1/bug").await.is(500),
                _ => client.menu(&site::mac(n)).await.is(200),
            }
        })
    });
    for reply in futures_util::future::join_all(requests).await {
        assert!(!reply.unwrap().text().contains("CANARY"));
    }
    site::assign(&client, 1, "safe", true).await;
    assert!(client.menu(&site::mac(1)).await.boots());
    let metrics = client.get("/metrics").await.text();
    assert!(metrics.contains("route=\"/boot/bug\",method=\"GET\",status=\"503\"} 20"), "{metrics}");
    stop.send(true).unwrap();
    serving.await.unwrap();
}
