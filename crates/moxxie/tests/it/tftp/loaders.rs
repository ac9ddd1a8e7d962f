//! The loaders' shelf by TFTP.

use super::begin;
use super::client::{Client, Got};
use crate::firmware::{pe, put};
use crate::util::Site;
use moxxie::tftp::Loaders;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A server of a site's own shelf.
struct Shelf {
    site: Site,
    port: u16,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Shelf {
    async fn of(site: Site) -> Shelf {
        let (address, stop, task) = begin(&site, Arc::new(Loaders(site.app.clone())), "0.0.0.0:0");
        Shelf { site, port: address.port(), stop, task }
    }

    /// A file, asked for at this address of the server.
    async fn get(&self, ip: [u8; 4], name: &str) -> Result<Got, (u16, String)> {
        let client = Client::new(([127, 0, 0, 1], 0).into()).await;
        client.get(SocketAddr::from((ip, self.port)), name, &[("tsize", "0"), ("blksize", "1428")]).await
    }

    async fn text(&self, ip: [u8; 4], name: &str) -> String {
        String::from_utf8(self.get(ip, name).await.unwrap().bytes.to_vec()).unwrap()
    }

    async fn end(self) {
        self.stop.send(true).unwrap();
        self.task.await.unwrap();
    }
}

#[tokio::test]
async fn loaders_and_the_script_beside_them_come_by_tftp() {
    let shelf = Shelf::of(Site::start().await).await;
    let x64 = [pe(0x8664), vec![0xa5; 100_000]].concat();
    put(&shelf.site, "ipxe.efi", &x64).await;
    let got = shelf.get([127, 0, 0, 1], "ipxe.efi").await.unwrap();
    assert!(got.bytes == x64, "{} bytes", got.bytes.len());
    assert!(got.options.contains(&("tsize".into(), x64.len().to_string())));
    assert_eq!(shelf.get([127, 0, 0, 1], "ipxe-arm64.efi").await.unwrap_err().0, 1);
    // The menu is where the request went.
    for ip in [[127, 0, 0, 1], [127, 0, 0, 77]] {
        let text = shelf.text(ip, "autoexec.ipxe").await;
        let menu = format!("-- http://{}:8080/boot/menu.ipxe?identified=1&", std::net::Ipv4Addr::from(ip));
        assert!(text.starts_with("#!ipxe\n") && text.contains(&menu), "{text}");
    }
    shelf.end().await;
}

#[tokio::test]
async fn with_a_public_url_the_script_leads_there() {
    let shelf = Shelf::of(Site::with("public_url = \"https://boot.example\"").await).await;
    let text = shelf.text([127, 0, 0, 1], "autoexec.ipxe").await;
    assert!(text.contains("-- https://boot.example/boot/menu.ipxe?identified=1&"), "{text}");
    assert_eq!(shelf.site.boot("/boot/firmware/autoexec.ipxe").await.is(200).text(), text);
    shelf.end().await;
}

#[tokio::test]
async fn while_the_database_is_away_nobody_hears_that_there_is_no_file() {
    let shelf = Shelf::of(Site::start().await).await;
    put(&shelf.site, "ipxe.efi", &pe(0x8664)).await;
    shelf.site.app.read().close().await;
    for file in ["ipxe.efi", "no-such.efi"] {
        let refused = shelf.get([127, 0, 0, 1], file).await.unwrap_err();
        assert_eq!(refused, (0, "try again".to_owned()), "{file}");
    }
    assert!(shelf.text([127, 0, 0, 1], "autoexec.ipxe").await.starts_with("#!ipxe\n"));
    shelf.end().await;
}
