//! Answers about boots that fail: for programs, and as a page for somebody with a phone.

use crate::util::Site;

const SEARCH: &str = "/api/v1/boot/troubleshoot";

#[tokio::test]
async fn codes_and_words_are_answered() {
    let site = Site::start().await;
    let all = site.get(SEARCH).await.is(200).json();
    assert_eq!(all["items"].as_array().unwrap().len(), 33);
    assert!(all["code"].is_null() && all["next"].is_null() && all["note"].is_null());
    for item in all["items"].as_array().unwrap() {
        for field in ["id", "title", "cause", "check", "fix"] {
            assert!(!item[field].as_str().unwrap().is_empty(), "{item}");
        }
    }

    let dns =
        site.get(&format!("{SEARCH}?q=Error%200x3e11623b%20(http://ipxe.org/3e11623b)")).await.is(200).json();
    assert_eq!(dns["code"]["code"], "3e11623b");
    assert_eq!(dns["code"]["meanings"][0]["title"], "No name server");
    assert_eq!(dns["code"]["parts"]["posix"], "ENXIO");
    assert_eq!(dns["code"]["parts"]["platform"], 0x3b);
    assert_eq!(dns["items"][0]["id"], "dns");

    let twice = site.get(&format!("{SEARCH}?q=PXE-E23")).await.is(200).json();
    let firmware = |n: usize| twice["code"]["meanings"][n]["firmware"].clone();
    assert_eq!((firmware(0), firmware(1)), ("BIOS".into(), "UEFI".into()));

    let short = site.get(&format!("{SEARCH}?q=ipxe.org/2c0de")).await.is(200).json();
    assert!(short["code"].is_null() && short["note"].as_str().unwrap().contains("all 8 digits"), "{short}");
}

#[tokio::test]
async fn questions_have_an_end() {
    let site = Site::start().await;
    site.get(&format!("{SEARCH}?q={}", "x".repeat(200))).await.is(200);
    assert_eq!(site.get(&format!("{SEARCH}?q={}", "x".repeat(201))).await.pointers(), ["/q"]);
    site.get(&format!("{SEARCH}?word=x")).await.problem(400);
    site.get(&format!("{SEARCH}?q=a&q=b")).await.problem(400);
}

/// The page is for whoever stands in front of the machine: no token, no script, and what was typed
/// stays text.
#[tokio::test]
async fn the_page_needs_neither_token_nor_script() {
    let site = Site::start().await;
    let page = site.boot("/troubleshoot?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E").await.is(200);
    assert!(page.header("content-type").starts_with("text/html"));
    let policy = page.header("content-security-policy").to_owned();
    assert!(policy.contains("default-src 'none'") && policy.contains("form-action 'self'"), "{policy}");
    assert!(!policy.contains("script-src") && !policy.contains("unsafe"), "{policy}");
    assert!(!page.text().contains("<script"), "{}", page.text());

    let page = site.boot("/troubleshoot?q=loads+itself").await.is(200).text();
    assert!(page.contains("<section id=\"ipxe-loop\">") && page.contains("value=\"loads itself\""), "{page}");
    let all = site.boot("/troubleshoot").await.is(200).text();
    assert!(all.contains("name=viewport") && all.matches("<section id=").count() == 33);
    // Longer than anything a screen says, and names that the page does not have.
    site.boot(&format!("/troubleshoot?q={}&lang=en", "x".repeat(2000))).await.is(200);
}

/// It is served where people are, and only to the networks of people.
#[tokio::test]
async fn the_page_stands_behind_the_same_door_as_the_api() {
    let site = Site::with("[access]\napi = [\"10.1.0.0/16\"]\n").await;
    site.anonymous("GET", "/troubleshoot").from("10.1.2.3").send().await.is(200);
    site.anonymous("GET", "/troubleshoot").from("10.0.0.77").send().await.problem(403);
}

/// Nobody has it searched without an end.
#[tokio::test]
async fn the_page_is_counted() {
    let site =
        Site::with("[limits]\nboot_per_second = 1\nboot_burst = 2\napi_requests_in_flight = 1\n").await;
    for _ in 0..2 {
        site.boot("/troubleshoot").await.is(200);
    }
    let over = site.boot("/troubleshoot").await;
    let problem = over.problem(429);
    assert!(problem["detail"].as_str().unwrap().contains("limits.boot_per_second"), "{problem}");
    assert!(over.header("retry-after").parse::<u32>().is_ok());
    let other = || site.anonymous("GET", "/troubleshoot").from("10.0.0.6").send();
    other().await.is(200);
    let place = site.app.limits.api_room.enter(1).unwrap();
    let full = other().await.problem(429);
    assert!(full["detail"].as_str().unwrap().contains("limits.api_requests_in_flight"), "{full}");
    drop(place);
}
