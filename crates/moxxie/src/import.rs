//! Fetching an asset from another server, without becoming a way into the inner network.
//!
//! The name is resolved once and the connection pinned to what was checked (a name server could
//! answer differently the second time); redirects are followed by hand, at most three, each
//! checked again; loopback, link-local, private and other special addresses are refused unless
//! `import.allow` lists them.

use crate::app::App;
use crate::http::api::v1::assets::asset_error;
use crate::http::error::{ApiError, ApiResult};
use futures_util::StreamExt;
use ipnet::IpNet;
use moxxie_core::asset::Digest;
use moxxie_core::site;
use moxxie_store::assets::Sealed;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use url::Url;

/// Redirects that are followed.
const REDIRECTS: usize = 3;
/// A server that sends nothing for this long is given up.
const SILENCE: Duration = Duration::from_secs(30);
/// An import that takes longer than this is given up.
const DEADLINE: Duration = Duration::from_secs(3600);

/// Fetches the URL into a file that waits to be put on a shelf.
pub async fn fetch(app: &App, url: &str, expected: Option<Digest>) -> ApiResult<Sealed> {
    match tokio::time::timeout(DEADLINE, download(app, url, expected)).await {
        Ok(result) => result,
        Err(_) => Err(ApiError::bad_gateway("the download took longer than an hour")),
    }
}

async fn download(app: &App, url: &str, expected: Option<Digest>) -> ApiResult<Sealed> {
    let mut url = check_url(url)?;
    for _ in 0..=REDIRECTS {
        let response = get(app, &url).await?;
        let status = response.status();
        if status.is_redirection() {
            let to = response.headers().get("location").and_then(|v| v.to_str().ok()).unwrap_or("");
            let next = url.join(to).map_err(|_| ApiError::bad_gateway("a redirect leads nowhere"))?;
            if url.scheme() == "https" && next.scheme() != "https" {
                return Err(ApiError::bad_gateway("a redirect leads from https to http"));
            }
            url = check_url(next.as_str())?;
            continue;
        }
        if !status.is_success() {
            return Err(ApiError::bad_gateway(format!("the server answered {status}")));
        }
        return store(app, response, expected).await;
    }
    Err(ApiError::bad_gateway(format!("more than {REDIRECTS} redirects")))
}

async fn store(app: &App, response: reqwest::Response, expected: Option<Digest>) -> ApiResult<Sealed> {
    let max = app.config.max_asset_bytes;
    let announced = response.content_length();
    if announced.is_some_and(|n| n > max) {
        return Err(ApiError::too_large(format!("larger than {} MiB (limits.asset_mib)", max / 1024 / 1024)));
    }
    let mut writer = app.assets.writer().await.map_err(asset_error)?;
    let mut size = 0_u64;
    let mut body = response.bytes_stream();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| ApiError::bad_gateway("the download broke off; nothing was stored"))?;
        size += chunk.len() as u64;
        if size > max {
            return Err(ApiError::too_large(format!(
                "larger than {} MiB (limits.asset_mib)",
                max / 1024 / 1024
            )));
        }
        writer.write(&chunk).await.map_err(asset_error)?;
    }
    if size == 0 || announced.is_some_and(|n| n != size) {
        return Err(ApiError::bad_gateway("the download is empty or cut off; nothing was stored"));
    }
    writer.seal(expected).await.map_err(asset_error)
}

async fn get(app: &App, url: &Url) -> ApiResult<reqwest::Response> {
    let host = url.host_str().unwrap_or("");
    let port = url.port_or_known_default().unwrap_or(80);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found: Vec<SocketAddr> = tokio::net::lookup_host((bare, port))
        .await
        .map_err(|_| ApiError::bad_gateway(format!("cannot resolve {host}")))?
        .collect();
    // All of them: a name that also points inside is a trap, not a mirror.
    if let Some(bad) = found.iter().find(|a| !may_reach(a.ip(), &app.config.import_allow)) {
        return Err(ApiError::field(
            "/url",
            format!(
                "{host} is at {}, which is not a public address: list its network under import.allow",
                bad.ip()
            ),
        ));
    }
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .resolve_to_addrs(bare, &found)
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(SILENCE)
        .build()
        .map_err(|_| ApiError::internal("the HTTP client cannot be made"))?;
    client.get(url.clone()).send().await.map_err(|e| {
        let why = if e.is_timeout() { "it does not answer" } else { "the connection failed" };
        ApiError::bad_gateway(format!("{host}: {why}"))
    })
}

/// The shape of a URL that may be imported.
fn check_url(text: &str) -> ApiResult<Url> {
    let bad = |why: &str| ApiError::field("/url", why);
    if text.len() > 2048 || text.contains(|c: char| c.is_control() || c == '\\' || c == ' ') {
        return Err(bad("not a URL that is fetched here"));
    }
    let url = Url::parse(text).map_err(|e| bad(&format!("not a URL: {e}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad("only http:// and https:// are fetched"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("credentials in a URL would end up in logs; use a URL without"));
    }
    if url.port() == Some(0) || !url.has_host() {
        return Err(bad("names no server"));
    }
    Ok(url)
}

/// Whether an address is a public one, or listed.
fn may_reach(ip: IpAddr, allow: &[IpNet]) -> bool {
    let ip = ip.to_canonical();
    if site::contains(allow, ip) {
        return true;
    }
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let special = ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_broadcast()
                || ip.is_documentation()
                || ip.is_multicast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (18..20).contains(&b))
                || (a == 192 && b == 0);
            !special
        }
        IpAddr::V6(ip) => {
            // Global unicast is 2000::/3; 6to4 and Teredo carry an IPv4 address inside.
            let [a, b, ..] = ip.segments();
            (a & 0xe000) == 0x2000 && a != 0x2002 && !(a == 0x2001 && (b == 0 || b == 0xdb8))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_addresses_are_refused_in_every_spelling() {
        for text in [
            "http://169.254.169.254/",
            "http://[::ffff:169.254.169.254]/",
            "http://0x7f.1/",
            "http://2130706433/",
            "http://[::1]/",
            "http://10.0.0.1/",
            "http://192.168.1.1/",
            "http://100.64.0.1/",
            "http://0.0.0.0/",
            "http://[fe80::1]/",
            "http://[fc00::1]/",
            "http://[2002:7f00:1::]/",
            "http://[::127.0.0.1]/",
            "http://224.0.0.1/",
        ] {
            let url = check_url(text).unwrap();
            let ip: IpAddr = match url.host() {
                Some(url::Host::Ipv4(ip)) => ip.into(),
                Some(url::Host::Ipv6(ip)) => ip.into(),
                other => panic!("{text}: {other:?}"),
            };
            assert!(!may_reach(ip, &[]), "{text}");
        }
        assert!(may_reach("93.184.216.34".parse().unwrap(), &[]));
        assert!(may_reach("2606:2800:220::1".parse().unwrap(), &[]));
        assert!(may_reach("10.0.0.1".parse().unwrap(), &["10.0.0.0/24".parse().unwrap()]));
    }

    #[test]
    fn only_plain_web_urls() {
        for text in [
            "file:///etc/passwd",
            "gopher://x/",
            "ftp://x/",
            "data:,x",
            "unix:/x",
            "http+unix://x/",
            "jar:http://x!/",
            "http://u:p@x/",
            "http://x:0/",
            "http:\\\\x",
            "http://x/\ty",
            "",
            "x",
            "http://",
        ] {
            assert!(check_url(text).is_err(), "{text}");
        }
    }
}
