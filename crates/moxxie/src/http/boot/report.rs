//! `GET|POST /boot/report`: a machine says how its boot goes.

use crate::app::App;
use crate::http::error::BootError;
use crate::http::extract::{BodyError, Peer, Query, collect};
use crate::http::limit;
use crate::witness::Refusal as Denied;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use moxxie_core::boot::decide::Known;
use moxxie_core::boot::event::{EventKind, one_line};
use moxxie_core::boot::session::{Refusal, Session, may_report};
use moxxie_core::boot::state::BootState;
use moxxie_core::secret::{MASK, mask_text};
use moxxie_core::token::{PresentedToken, Purpose, mask_tokens};
use moxxie_store::StepError;
use std::sync::Arc;
use std::time::Duration;

/// Largest body.
const MAX_BODY: usize = 64 * 1024;
/// How long it may take.
const BODY_TIME: Duration = Duration::from_secs(30);

/// How much of a message is read. Of what is left without its secrets, an event shows less.
const MAX_TEXT: usize = 4 * 1024;

/// Why a report changes nothing.
enum Stop {
    Refused(Refusal),
    SaidBefore,
}

/// A report. GET as well, because installers have wget and little else.
#[utoipa::path(method(get, post), path = "/boot/report", tag = "boot", params(
    ("t" = String, Query, description = "the report token"),
    ("stage" = String, Query, description = "started, progress, installed or failed"),
    ("message" = Option<String>, Query, description = "one line; else the body, at most 64 KiB"),
), responses(
    (status = 204, description = "noted"), (status = 400, description = "no such stage"),
    (status = 403, description = "not allowed"), (status = 413, description = "body too large"),
    (status = 429, description = "asked too often: ask again after Retry-After seconds"),
))]
pub async fn report(
    State(app): State<Arc<App>>,
    Peer(peer): Peer,
    query: Query,
    body: Body,
) -> Result<StatusCode, BootError> {
    let one = |name| query.one(name).map_err(|e| BootError::bad_request(format!("moxxie: {e}")));
    let (token, stage, message) = (one("t")?, one("stage")?, one("message")?);
    // Before the token is looked at, so anybody may be here: nobody holds a connection for long.
    let bytes = collect(body, MAX_BODY, BODY_TIME).await.map_err(|error| match error {
        BodyError::TooLarge => BootError::new(StatusCode::PAYLOAD_TOO_LARGE, "moxxie: report too large"),
        BodyError::Late => BootError::new(StatusCode::REQUEST_TIMEOUT, "moxxie: body did not arrive"),
        BodyError::CutOff => BootError::bad_request("moxxie: body cut off"),
    })?;
    let kind = match stage {
        Some("started") => EventKind::Started,
        Some("progress") => EventKind::Progress,
        Some("installed") => EventKind::Installed,
        Some("failed") => EventKind::Failed,
        _ => {
            return Err(BootError::bad_request("moxxie: stage is started, progress, installed or failed"));
        }
    };
    let body = String::from_utf8_lossy(&bytes);
    let text = head(message.unwrap_or(&body));
    let refuse = |why: Refusal| {
        tracing::warn!(%peer, reason = %why, "report refused");
        app.refused(Denied {
            kind: "report",
            peer,
            who: None,
            machine: None,
            target: "report".into(),
            why: why.to_string(),
        });
        BootError::forbidden()
    };
    let Some(token) = token.and_then(PresentedToken::parse) else {
        return Err(refuse(Refusal::Foreign));
    };
    limit::may_redeem(&app, peer, None, &token.session.0)?;
    let _place = limit::place_for_report(&app, &token.session.0)?;
    let now = app.clock.now();
    let mut machine = None;
    let step = |session: &Session, known: &Known| {
        let assignment = &known.assignment;
        let (id, generation) = (&assignment.id, session.generation);
        if token.made_with(app.keys(), id, generation, Purpose::Report).is_none() {
            return Err(Stop::Refused(Refusal::Foreign));
        }
        // The answer to a final report got lost and the machine says it again: nothing to add.
        let said = match assignment.boot.state {
            BootState::Installed => Some(EventKind::Installed),
            BootState::Failed => Some(EventKind::Failed),
            _ => None,
        };
        if session.revoked && session.generation == assignment.boot.generation && said == Some(kind) {
            return Err(Stop::SaidBefore);
        }
        may_report(session, known, peer).map_err(Stop::Refused)?;
        // Not earlier: only a machine that is known gets this work done. Machines quote URLs and
        // files in their messages; what looks like a secret is masked.
        let message = match one_line(mask_tokens(&mask_text(text)).trim(), 1000) {
            line if line.is_empty() => format!("reported {}", stage.unwrap_or("")),
            line => line,
        };
        let mut event = app.event(kind, Some(assignment.spec.mac_address), Some(peer), &message);
        event.node_name = Some(assignment.spec.node_name.to_string());
        event.boot_profile = Some(known.shelf.profile.spec.name.to_string());
        machine = Some(assignment.spec.mac_address);
        let record = match kind {
            EventKind::Installed => Some(assignment.boot.reported(true, now)),
            EventKind::Failed => Some(assignment.boot.reported(false, now)),
            _ => None,
        };
        Ok((event, record))
    };
    match app.write().report(token.session, now, step).await {
        Ok(Some(())) => {
            app.limits.good(token.session.0);
            match (machine, kind) {
                (Some(mac), EventKind::Installed | EventKind::Failed) => app.waves.finished(mac),
                (Some(mac), _) => app.waves.sent(mac),
                (None, _) => {}
            }
            metrics::counter!("moxxie_boot_events_total", "kind" => kind.as_str()).increment(1);
            Ok(StatusCode::NO_CONTENT)
        }
        Ok(None) => Err(refuse(Refusal::Foreign)),
        Err(StepError::Step(Stop::Refused(why))) => Err(refuse(why)),
        Err(StepError::Step(Stop::SaidBefore)) => Ok(StatusCode::NO_CONTENT),
        Err(StepError::Store(error)) => Err(error.into()),
    }
}

/// The beginning of a text, up to the end of a line or else of a word: half a secret does not look
/// like one.
fn head(text: &str) -> &str {
    if text.len() <= MAX_TEXT {
        return text;
    }
    let cut = &text[..text.floor_char_boundary(MAX_TEXT)];
    let end = cut.rfind('\n').filter(|end| !cut[..*end].trim().is_empty());
    match end.or_else(|| cut.rfind(char::is_whitespace)) {
        Some(end) => &cut[..end],
        None => MASK,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_where_no_secret_is() {
        let long = "x".repeat(MAX_TEXT);
        assert_eq!(head("short"), "short");
        assert_eq!(head(&format!("one two\nthree {long}")), "one two");
        assert_eq!(head(&format!("\none two{long}")), "\none");
        assert_eq!(head(&format!("http://u:{long}@h")), MASK);
        assert_eq!(head(&format!("a {}", "\u{e4}".repeat(MAX_TEXT))), "a");
    }
}
