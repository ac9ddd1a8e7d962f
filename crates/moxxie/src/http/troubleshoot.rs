//! `/troubleshoot`: symptoms and error codes as a page that needs no script and no token, for
//! somebody with a phone in front of a machine that does not boot.

use crate::http::docs::{escape, headers};
use crate::http::extract::Query;
use axum::response::IntoResponse;
use moxxie_core::trouble::ipxe::Decoded;
use moxxie_core::trouble::pxe::PxeCode;
use moxxie_core::trouble::{Hit, MAX_QUERY, Symptom, search};
use std::fmt::Write;

const STYLE: &str = "body{font:17px/1.5 system-ui,sans-serif;max-width:46rem;margin:1rem auto;padding:0 1rem}\
form{display:flex;gap:.5rem}input{flex:1;min-width:0;font:inherit;padding:.5rem}button{font:inherit;padding:.5rem 1rem}\
code{font-family:ui-monospace,monospace;overflow-wrap:anywhere}section{border-top:1px solid #8888;margin-top:1rem}\
h2{font-size:1.15rem;margin-bottom:.3rem}h2 a{color:inherit;text-decoration:none}dt{font-weight:700}dd{margin:0 0 .5rem}\
small{color:#777}.code{border-left:.3rem solid #c60;padding-left:.7rem}\
@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}a{color:#8cf}input,button{background:#222;color:#ddd}}";

/// `/troubleshoot`
pub async fn page(query: Query) -> impl IntoResponse {
    // A form sends a blank as `+`. Whatever else the query has is nobody's business here.
    let q = query.one("q").ok().flatten().unwrap_or("").replace('+', " ");
    let q: String = q.chars().take(MAX_QUERY).collect();
    (headers(STYLE, "'self'"), render(&q))
}

fn render(q: &str) -> String {
    let hits = search(q);
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width,initial-scale=1\">\
         <title>A machine does not boot</title><style>{STYLE}</style><h1>A machine does not boot</h1>\
         <form action=/troubleshoot><input type=search name=q maxlength={MAX_QUERY} aria-label=\"What the screen says\" \
         placeholder=\"PXE-E53, 3e11623b, loop\" value=\"{}\"><button>Search</button></form>",
        escape(q)
    );
    if q.trim().is_empty() {
        out.push_str("<p>Type what the screen says, or look through all of it:</p><ul>");
        for hit in &hits {
            if let Hit::Symptom(symptom) = hit {
                let _ = write!(out, "<li><a href=\"#{}\">{}</a>", escape(symptom.id), escape(symptom.title));
            }
        }
        out.push_str("</ul>");
    }
    if hits.is_empty() {
        out.push_str("<p>Nothing found. Try fewer words, or <a href=/troubleshoot>look through all</a>.</p>");
    }
    for hit in &hits {
        match hit {
            Hit::Ipxe(decoded) => ipxe(&mut out, decoded),
            Hit::Unreadable(why) => {
                let _ = write!(out, "<p class=code>{}</p>", escape(&why.to_string()));
            }
            Hit::Pxe(code) => pxe(&mut out, code),
            Hit::Symptom(symptom) => section(&mut out, symptom),
        }
    }
    out
}

fn ipxe(out: &mut String, decoded: &Decoded) {
    let code = decoded.code;
    let _ = write!(out, "<section class=code><h2><code>{code}</code> {}</h2>", escape(&decoded.title));
    answers(out, &decoded.cause, decoded.check, decoded.fix);
    let _ = write!(out, "<p><small>{}, {}", escape(decoded.kind.0), escape(decoded.kind.1));
    if let Some(file) = decoded.file {
        let _ = write!(out, "; {}, {}", escape(file.name), escape(file.subsystem()));
    }
    if let Some(named) = decoded.named {
        let _ = write!(out, "; cause {}: {}", code.cause(), escape(named));
    }
    let _ = write!(out, "; https://ipxe.org/err/{}</small></p></section>", code.page());
}

fn pxe(out: &mut String, code: &PxeCode) {
    let name = code.code();
    let _ = write!(
        out,
        "<section class=code><h2><code>{name}</code> {} <small>{}</small></h2>",
        escape(code.text),
        escape(code.firmware)
    );
    answers(out, code.cause, code.check(), code.fix());
    out.push_str("</section>");
}

fn section(out: &mut String, symptom: &Symptom) {
    let id = escape(symptom.id);
    let _ = write!(out, "<section id=\"{id}\"><h2><a href=\"#{id}\">{}</a></h2><p>", escape(symptom.title));
    for seen in symptom.seen {
        let _ = write!(out, "<code>{}</code> ", escape(seen));
    }
    out.push_str("</p>");
    answers(out, symptom.cause, symptom.check, symptom.fix);
    let _ =
        write!(out, "<p><small>Known from: {}</small></p></section>", escape(&symptom.sources.join(", ")));
}

fn answers(out: &mut String, cause: &str, check: &str, fix: &str) {
    let (cause, check, fix) = (prose(cause), prose(check), prose(fix));
    let _ = write!(out, "<dl><dt>Why<dd>{cause}<dt>Check<dd>{check}<dt>Fix<dd>{fix}</dl>");
}

/// Text as HTML; what stands between backticks is code.
fn prose(text: &str) -> String {
    let mut out = String::new();
    for (n, part) in escape(text).split('`').enumerate() {
        match n % 2 {
            0 => out.push_str(part),
            _ => out.extend(["<code>", part, "</code>"]),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use moxxie_core::trouble::all;

    #[test]
    fn what_is_asked_is_shown_as_text() {
        for q in ["\"><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "' onfocus=alert(1) x='"] {
            let page = render(q);
            assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
            assert!(page.contains(&format!("value=\"{}\"", escape(q))), "{page}");
        }
    }

    #[test]
    fn every_symptom_has_a_place_to_link_to() {
        let page = render("");
        for symptom in all() {
            assert!(page.contains(&format!("<section id=\"{}\">", symptom.id)), "{}", symptom.id);
            assert!(page.contains(&format!("<a href=\"#{}\">", symptom.id)), "{}", symptom.id);
        }
        assert_eq!(page.matches("<code>").count(), page.matches("</code>").count());
    }

    #[test]
    fn codes_come_before_symptoms() {
        let page = render("Error 0x3e11623b (http://ipxe.org/3e11623b)");
        let place = |what: &str| page.find(what).unwrap_or_else(|| panic!("{what}: {page}"));
        assert!(place("No name server") < place("<section id=\"dns\">"));
        assert!(render("PXE-E21").matches("<section class=code>").count() == 2);
        assert!(render("ipxe.org/2c0de").contains("all 8 digits"));
        assert!(render("nonsense that nobody sees").contains("Nothing found"));
    }

    #[test]
    fn backticks_are_code() {
        assert_eq!(prose("run `dhcp` & wait"), "run <code>dhcp</code> &amp; wait");
    }
}
