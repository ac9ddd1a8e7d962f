//! `GET /api/v1/boot/approvals` and `POST /api/v1/boot/assignments/{mac}/approve`: machines that wait
//! until somebody who sees their screen says so.

use super::assignments::list::profile_names;
use super::assignments::{find, refused, wire};
use super::page::Page;
use super::revision::tagged;
use crate::app::App;
use crate::http::boot::waiting;
use crate::http::error::{ApiError, ApiResult, Problem};
use crate::http::extract::{JsonBody, Operator, Peer, Viewer, typed};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use moxxie_core::access::{Actor, Role};
use moxxie_core::assignment::Assignment;
use moxxie_core::boot::approval::{Approval, Asker, Asking, Waiting};
use moxxie_core::boot::decide::Known;
use moxxie_core::boot::event::EventKind;
use moxxie_core::boot::state::BootRecord;
use moxxie_core::mac::MacAddr;
use moxxie_core::machine::{MachineUuid, Serial};
use moxxie_core::time::Timestamp;
use moxxie_store::Answered;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;

/// Assignments that are read at once.
const PART: u32 = 500;

/// A machine that waits. Its code is on its screen only.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct WaitingView {
    /// The machine in whose name it asks.
    #[schema(value_type = String)]
    pub mac_address: MacAddr,
    /// What the cluster calls that.
    pub node_name: String,
    /// The profile it wants to boot.
    pub boot_profile: Option<String>,
    /// Where it asks from.
    #[schema(value_type = String)]
    pub peer: IpAddr,
    /// The UUID it sent.
    #[schema(value_type = Option<String>)]
    pub uuid: Option<MachineUuid>,
    /// The serial number it sent.
    #[schema(value_type = Option<String>)]
    pub serial: Option<Serial>,
    /// When it first asked.
    #[schema(value_type = String)]
    pub asked_at: Timestamp,
    /// When it last asked, to half a minute.
    #[schema(value_type = String)]
    pub seen_at: Timestamp,
}

/// Machines that wait for approval now.
#[utoipa::path(get, path = "/api/v1/boot/approvals", tag = "assignments", security(("token" = ["viewer"])), responses(
    (status = 200, description = "who waits, without the codes; `next` is always null", body = Page<WaitingView>),
))]
pub async fn list(State(app): State<Arc<App>>, Viewer(_): Viewer) -> ApiResult<Json<Page<WaitingView>>> {
    let rows = who_waits(&app).await?;
    let names = profile_names(&app, rows.iter().map(|a| a.spec.boot_profile_id.as_str())).await?;
    let now = app.clock.now();
    let mut items = Vec::new();
    for row in &rows {
        items.extend(row.boot.asking.waiting_now(now).map(|w| shown(row, &names, w)));
    }
    items.sort_by_key(|w| w.asked_at);
    Ok(Json(Page { items, next: None }))
}

/// Assignments in whose name somebody waits now.
async fn who_waits(app: &App) -> ApiResult<Vec<Assignment>> {
    let now = app.clock.now();
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let rows = app.read().waiting(after, PART).await?;
        let Some(last) = rows.last() else { return Ok(found) };
        after = Some(last.spec.mac_address);
        found.extend(rows.into_iter().filter(|row| row.boot.asking.waiting_now(now).next().is_some()));
    }
}

fn shown(
    assignment: &Assignment,
    names: &std::collections::HashMap<String, String>,
    waiting: &Waiting,
) -> WaitingView {
    WaitingView {
        mac_address: assignment.spec.mac_address,
        node_name: assignment.spec.node_name.to_string(),
        boot_profile: names.get(&assignment.spec.boot_profile_id).cloned(),
        peer: waiting.ip,
        uuid: waiting.uuid.or(waiting.asker.uuid),
        serial: waiting.asker.serial.clone(),
        asked_at: waiting.asked_at,
        seen_at: waiting.seen_at,
    }
}

/// What an operator says.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApproveInput {
    /// The four digits on the machine's screen.
    pub code: Option<String>,
    /// Instead of the code, for an admin: nobody has seen the screen.
    #[serde(default, rename = "override")]
    pub without_code: bool,
}

/// Let the machine that shows this code boot its profile.
#[utoipa::path(post, path = "/api/v1/boot/assignments/{mac}/approve", tag = "assignments", security(("token" = ["operator"])),
    params(("mac" = String, Path)), request_body = ApproveInput, responses(
    (status = 200, description = "it boots when it next asks, within seconds", body = wire::AssignmentView),
    (status = 403, description = "`override` needs the role admin", body = Problem),
    (status = 409, description = "nobody waits, or several do", body = Problem),
    (status = 422, description = "the code is wrong; five wrong ones make a new code", body = Problem),
))]
pub async fn approve(
    State(app): State<Arc<App>>,
    Operator(actor): Operator,
    Peer(peer): Peer,
    Path(mac): Path<String>,
    JsonBody(body): JsonBody,
) -> ApiResult<Response> {
    let input: ApproveInput = typed(body)?;
    if input.without_code && actor.role < Role::Admin {
        return Err(ApiError::forbidden("to approve without the code needs the role admin"));
    }
    let code = match (&input.code, input.without_code) {
        (Some(code), false) => Some(code.trim()),
        (None, true) => None,
        _ => return Err(ApiError::field("/code", "the four digits on the machine's screen, or `override`")),
    };
    answer(&app, &actor, peer, &mac, code).await
}

/// The code on a screen.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeInput {
    /// The four digits on the machine's screen.
    pub code: String,
}

/// Let the machine that shows this code boot its profile, whichever it is of those that wait.
#[utoipa::path(post, path = "/api/v1/boot/approvals", tag = "assignments", security(("token" = ["operator"])),
    request_body = CodeInput, responses(
    (status = 200, description = "it boots when it next asks, within seconds", body = wire::AssignmentView),
    (status = 409, description = "nobody waits, or several machines show this code", body = Problem),
    (status = 422, description = "no machine shows this code: a wrong one for each that waits", body = Problem),
))]
pub async fn approve_code(
    State(app): State<Arc<App>>,
    Operator(actor): Operator,
    Peer(peer): Peer,
    JsonBody(body): JsonBody,
) -> ApiResult<Response> {
    let input: CodeInput = typed(body)?;
    let code = input.code.trim();
    let mut waiting = Vec::new();
    for row in who_waits(&app).await? {
        // With its profile, which says whether it needs an approval at all.
        let known = app.read().assignment(row.spec.mac_address).await?;
        waiting.extend(known.filter(|known| Approval::of(known) == Approval::Manual));
    }
    if waiting.is_empty() {
        return Err(ApiError::conflict("no machine waits for approval"));
    }
    let now = app.clock.now();
    let shows = |known: &&Known| {
        let asking = &known.assignment.boot.asking;
        let all = asking.waiting_now(now).chain(asking.displaced_lately(now));
        all.into_iter().any(|w| waiting::code_of(&app, known, &w.asker) == code)
    };
    let meant: Vec<&Known> = waiting.iter().filter(shows).collect();
    match meant.as_slice() {
        [one] => answer(&app, &actor, peer, &one.assignment.spec.mac_address.to_string(), Some(code)).await,
        [] => {
            for known in &waiting {
                let mac = known.assignment.spec.mac_address.to_string();
                // Refused for each of them; one that has gone or is guessed at needs no more.
                let _ = answer(&app, &actor, peer, &mac, Some(code)).await;
            }
            Err(ApiError::field("/code", "is on no screen of a machine that waits"))
        }
        many => {
            let macs: Vec<String> = many.iter().map(|k| k.assignment.spec.mac_address.to_string()).collect();
            Err(ApiError::conflict(format!(
                "several machines show this code ({}): name the right one: moxxie approve MAC --code {code}",
                macs.join(", ")
            )))
        }
    }
}

async fn answer(
    app: &App,
    actor: &Actor,
    peer: IpAddr,
    mac: &str,
    code: Option<&str>,
) -> ApiResult<Response> {
    let old = find(app, mac).await?;
    let by = app.by(actor.name.clone(), peer);
    let step = |known: &Known| judge(app, known, code, &actor.name, peer, by.at);
    let mac = old.assignment.spec.mac_address;
    let (changed, wrong) = app.write().answer_approval(mac, &by, step).await.map_err(refused)?;
    if let Some(wrong) = wrong {
        return Err(ApiError::field("/code", wrong));
    }
    let name = old.shelf.profile.spec.name.as_str();
    let view = wire::view(&changed, Some(name), actor.role, &app.config().site, app.clock.now());
    Ok(tagged(StatusCode::OK, changed.revision, &view))
}

/// What becomes of the window, and the refusal of a wrong code.
fn judge(
    app: &App,
    known: &Known,
    code: Option<&str>,
    who: &str,
    peer: IpAddr,
    now: Timestamp,
) -> ApiResult<(Answered, Option<String>)> {
    let Known { assignment, .. } = known;
    let node = &assignment.spec.node_name;
    let site = &app.config().site;
    if Approval::of(known) == Approval::Auto {
        return Err(ApiError::conflict(format!(
            "{node} needs no approval: it boots when it is armed and asks"
        )));
    }
    let boot = &assignment.boot.settled(site, now);
    let waiting: Vec<&Asker> = boot.asking.waiting_now(now).map(|w| &w.asker).collect();
    if code.is_some() && boot.asking.is_guessed_at() {
        let mac = assignment.spec.mac_address;
        return Err(ApiError::conflict(format!(
            "too many wrong codes were given for {node}: arm it again (moxxie assignment arm {mac}), or an admin approves it: moxxie approve {mac} --without-code"
        )));
    }
    if waiting.is_empty() {
        return Err(ApiError::conflict(format!("{node} does not wait for approval: start it first")));
    }
    let meant: Vec<&Asker> = match code {
        Some(code) => {
            waiting.into_iter().filter(|asker| waiting::code_of(app, known, asker) == code).collect()
        }
        None => waiting,
    };
    let event =
        |kind, message: String| app.event(kind, Some(assignment.spec.mac_address), Some(peer), &message);
    let becomes = |asking: Asking| BootRecord { asking, ..boot.clone() };
    match (meant.as_slice(), code) {
        ([one], _) => {
            let (action, how) = match code {
                Some(_) => ("assignment.approve", "by the code on its screen"),
                None => ("assignment.approve-without-code", "without a code"),
            };
            let message = format!("approved by {who} {how}, for the machine at {}", one.network);
            let after = becomes(boot.asking.given(one, now, now + site.boot_window));
            Ok((Answered { after, action, event: event(EventKind::ApprovalGiven, message) }, None))
        }
        ([], Some(code))
            if boot.asking.displaced_lately(now).any(|w| waiting::code_of(app, known, &w.asker) == code) =>
        {
            Err(ApiError::conflict(format!(
                "the machine that showed this code has lost its place among those that ask as {node}: read its screen again"
            )))
        }
        ([], _) => {
            let asking = boot.asking.missed();
            let message = match asking.counter == boot.asking.counter {
                true => format!("a wrong code was given by {who}"),
                false => format!("too many wrong codes, the last by {who}: its screen shows a new one"),
            };
            let wrong = match asking.counter == boot.asking.counter {
                true => "is not the code on its screen".to_owned(),
                false => "was wrong too often: read the new code on its screen".to_owned(),
            };
            let event = event(EventKind::ApprovalRefused, message);
            Ok((
                Answered { after: becomes(asking), action: "assignment.approve-refused", event },
                Some(wrong),
            ))
        }
        (_, None) => Err(ApiError::conflict(format!(
            "{} machines ask as {node}: read the code of the right one and give that",
            meant.len()
        ))),
        // One in ten thousand: new codes part them.
        (_, Some(_)) => {
            let asking = Asking { counter: boot.asking.counter + 1, wrong: 0, ..boot.asking.clone() };
            let event =
                event(EventKind::ApprovalRefused, "two machines showed one code: both show new ones".into());
            let wrong = "is shown by two machines: read the new code on the right one".to_owned();
            Ok((
                Answered { after: becomes(asking), action: "assignment.approve-refused", event },
                Some(wrong),
            ))
        }
    }
}
