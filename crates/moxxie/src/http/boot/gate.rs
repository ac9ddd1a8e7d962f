//! The one gate, served: looks the machine up, decides, and writes the answer as a script.

use super::{contention, reply, waiting};
use crate::app::App;
use crate::clock::random;
use crate::compose::{self, ComposeError, For, Tokens};
use crate::config::Config;
use crate::http::error::BootError;
use crate::http::extract::Door;
use crate::http::links::Links;
use crate::waves;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use moxxie_core::assignment::BootPolicy;
use moxxie_core::audit::AuditRecord;
use moxxie_core::boot::claims::BootClaims;
use moxxie_core::boot::decide::{
    Ask, BootView, Decision, Known, LostRule, Outcome, Shelf, Wait, decide, most_starts,
};
use moxxie_core::boot::event::{BootEvent, EventKind};
use moxxie_core::boot::session::Session;
use moxxie_core::boot::state::BootRecord;
use moxxie_core::ipxe::word::MAX_WORD;
use moxxie_core::ipxe::{self, Menu, MenuItem, Text, Word};
use moxxie_core::mac::MacAddr;
use moxxie_core::machine::MachineSeen;
use moxxie_core::name::ProfileName;
use moxxie_core::profile::LocalBoot;
use moxxie_core::site::Site;
use moxxie_core::time::Timestamp;
use moxxie_core::token::{Purpose, SessionId, mint};
use moxxie_store::{Begun, Held, Start};
use std::net::IpAddr;
use std::sync::Arc;

/// How long a menu waits before it boots the local disk.
const MENU_MS: u32 = 30_000;
/// Seconds that an armed machine is told to wait while the database is away.
const WAIT: u64 = 5;

/// The labels of further NICs.
const OTHER_MACS: [&str; 7] = ["mac1", "mac2", "mac3", "mac4", "mac5", "mac6", "mac7"];

/// One request at the gate.
pub struct Request<'a> {
    /// What it asks for.
    pub ask: Ask<'a>,
    /// Who it says it is.
    pub claims: &'a BootClaims,
    /// Where it asks from.
    pub peer: IpAddr,
    /// The URLs it can reach.
    pub links: Links,
    /// When.
    pub now: Timestamp,
    /// The site's values, which strangers' templates see too.
    pub site: &'a Site,
}

impl Request<'_> {
    fn asked(&self) -> Option<&ProfileName> {
        match self.ask {
            Ask::Menu => None,
            Ask::Profile(name) => Some(name),
        }
    }

    /// The URL that asks the same again, with what this machine said of itself: what it is given then
    /// is made from that. What would make the URL too long for iPXE is left out, from the least
    /// important.
    pub fn again(&self) -> Result<Word, ComposeError> {
        let mut url = self.links.script(self.asked());
        let mut separator = '?';
        let claims = self.claims;
        // Free text goes as digits, as it came: no character of it can mean anything in a URL.
        let text = |value: Option<&str>| value.map(hex);
        let names = [
            ("mac", claims.mac.map(|m| m.to_string())),
            ("uuid", claims.uuid.map(|u| u.to_string())),
            ("arch", claims.arch.clone()),
            ("platform", claims.platform.clone()),
            ("serial", text(claims.serial.as_ref().map(|s| s.as_str()))),
        ];
        let macs =
            OTHER_MACS.into_iter().zip(&claims.other_macs).map(|(name, m)| (name, Some(m.to_string())));
        let about = [
            ("manufacturer", text(claims.manufacturer.as_deref())),
            ("product", text(claims.product.as_deref())),
            ("asset", text(claims.asset.as_deref())),
        ];
        for (name, value) in names.into_iter().chain(macs).chain(about) {
            let Some(value) = value else { continue };
            let label = format!("{separator}{name}={value}");
            if url.len() + label.len() <= MAX_WORD {
                url.push_str(&label);
                separator = '&';
            }
        }
        Word::url(url).map_err(|e| ComposeError::Word(e.to_string()))
    }
}

/// Answers a machine.
pub async fn answer(
    app: &Arc<App>,
    ask: Ask<'_>,
    claims: &BootClaims,
    peer: IpAddr,
    headers: &HeaderMap,
    door: Door,
) -> Result<Response, BootError> {
    let config = app.config();
    let links = Links::of(config.public_url.as_deref(), headers, door)
        .map_err(|e| BootError::bad_request(format!("moxxie: {e}")))?;
    let request = Request { ask, claims, peer, links, now: app.clock.now(), site: &config.site };
    // A machine that did not say who it is needs no look at anything.
    if claims.is_anonymous() {
        let decision = decide(claims, &BootView::default(), ask, peer, request.site, request.now);
        return Ok(say(&request, &BootView::default(), &decision));
    }
    let look = app.snapshots.look().await;
    let Some(snapshot) = look.snapshot else {
        return Ok(never_seen_the_database(&request));
    };
    let view = snapshot.view(claims, request.asked());
    if !look.fresh && view.by_mac.is_empty() && view.by_uuid.is_none() {
        return Ok(unknown_in_an_outage(&request));
    }
    let decision = decide(claims, &view, ask, peer, request.site, request.now);
    if !needs_database(&view, &decision) {
        leave_the_line(app, &view);
        note(app, &request, &decision, main_mac(&view));
        return Ok(say(&request, &view, &decision));
    }
    if !look.fresh {
        // An arm that memory still shows may have been used or taken back: never from memory.
        tracing::warn!(machine = %claims.label(), "armed, but the database does not answer: told to wait");
        return Err(BootError { retry_after: Some(WAIT), ..BootError::later("moxxie: database away, wait") });
    }
    in_transaction(app, &config, &request).await
}

/// Whether the answer depends on a window, whose truth is in the database alone.
fn needs_database(view: &BootView, decision: &Decision) -> bool {
    matches!(decision.outcome, Outcome::Boot { .. })
        || view.by_mac.iter().chain(&view.by_uuid).any(|known| may_boot(known))
}

/// The machine that these claims name.
pub fn known(view: &BootView) -> Option<&Arc<Known>> {
    view.by_mac.first().or(view.by_uuid.as_ref())
}

/// The address that the machine is known by, whichever of its own it named.
fn main_mac(view: &BootView) -> Option<MacAddr> {
    known(view).map(|known| known.assignment.spec.mac_address)
}

/// Whether a window of this machine is open, or it has none to open.
pub fn may_boot(known: &Known) -> bool {
    known.assignment.boot.state.is_open() || known.assignment.spec.boot_policy == BootPolicy::Always
}

/// Machines that have nothing to boot any more hold nobody up. One that does keeps its place
/// whatever somebody asks in its name.
fn leave_the_line(app: &App, view: &BootView) {
    for known in view.by_mac.iter().chain(&view.by_uuid).filter(|known| !may_boot(known)) {
        app.waves.finished(waves::name(known));
    }
}

/// Before the database has answered for the first time nothing is known of any machine: the disk.
fn never_seen_the_database(request: &Request<'_>) -> Response {
    let decision = Decision {
        outcome: Outcome::Local(request.site.local_boot),
        rule: "no-database",
        reason: "moxxie has not reached its database since it was started".into(),
        next_step: "see /readyz and the server's log".into(),
        event: EventKind::Local,
        alarm: None,
        lost: vec![],
    };
    say(request, &BootView::default(), &decision)
}

/// While the database is away nobody can tell whether a machine that memory does not know was
/// assigned since: the disk, and not a menu that says it is nobody's.
fn unknown_in_an_outage(request: &Request<'_>) -> Response {
    let decision = Decision {
        outcome: Outcome::Local(request.site.local_boot),
        rule: "no-database",
        reason: "moxxie's database does not answer, and this machine was unknown when it last did".into(),
        next_step: "see /readyz and the server's log, then start the machine again".into(),
        event: EventKind::Local,
        alarm: None,
        lost: vec![],
    };
    say(request, &BootView::default(), &decision)
}

/// Decides again on what the database holds now, under a lock, and commits the start of the boot
/// before its script is sent.
async fn in_transaction(
    app: &Arc<App>,
    config: &Arc<Config>,
    request: &Request<'_>,
) -> Result<Response, BootError> {
    let session = SessionId(random());
    let (answers, answered) = std::sync::mpsc::channel();
    // The queue outlives this request, so the step owns what it looks at.
    let (claims, asked) = (request.claims.clone(), request.asked().cloned());
    let (step_app, config) = (app.clone(), config.clone());
    let (links, peer, now) = (request.links.clone(), request.peer, request.now);
    let step = {
        let (claims, asked) = (claims.clone(), asked.clone());
        move |view: &BootView| {
            let ask = asked.as_ref().map_or(Ask::Menu, Ask::Profile);
            let (links, site) = (links.clone(), &config.site);
            let request = Request { ask, claims: &claims, peer, links, now, site };
            let (begun, response, decision) = start_or_say(&step_app, &request, view, session);
            // Nobody listens when the machine has gone away.
            let _ = answers.send((response, decision, main_mac(view)));
            begun
        }
    };
    if let Err(error) = app.boots.start(claims, asked, Box::new(step)).await {
        tracing::error!(%error, machine = %request.claims.label(), "a boot could not be started");
        return Err(error.into());
    }
    // The last answer is the one that was committed.
    let Some((response, decision, machine)) = answered.try_iter().last() else {
        return Err(BootError::later("moxxie: cannot start boot, wait"));
    };
    note(app, request, &decision, machine);
    Ok(response)
}

fn start_or_say(
    app: &App,
    request: &Request<'_>,
    view: &BootView,
    session: SessionId,
) -> (Option<Begun>, Response, Decision) {
    let decision = decide(request.claims, view, request.ask, request.peer, request.site, request.now);
    let held = |known: &Known, after: &BootRecord, quarantine| {
        Begun::Held(Held { assignment_id: known.assignment.id.clone(), after: after.clone(), quarantine })
    };
    let (known, after) = match &decision.outcome {
        Outcome::Boot { known, after } => (known, after),
        Outcome::Freeze { known, after } => {
            app.waves.finished(waves::name(known));
            let quarantine = contention::quarantine(app, known, request.peer, &decision.reason);
            let begun = held(known, after, Some(quarantine));
            return (Some(begun), say(request, view, &decision), decision);
        }
        Outcome::Wait { known, wait: Wait::Approval(asker), after } => {
            let begun = after.as_ref().map(|after| held(known, after, None));
            let response =
                match waiting::approval_script(request, known, &waiting::code_of(app, known, asker)) {
                    Ok(text) => reply::script(text),
                    Err(_) => say(request, view, &decision),
                };
            return (begun, response, decision);
        }
        _ => {
            leave_the_line(app, view);
            return (None, say(request, view, &decision), decision);
        }
    };
    // Before anything is prepared: a waiting machine asks again and again.
    let boot = match waiting::turn_script(app, request, known) {
        Ok(Some(text)) => return (None, reply::script(text), waiting::waits(known, decision.lost)),
        Ok(None) => boot_script(app, request, known, after, session).map(|(text, mut start)| {
            start.durable = is_delivery(known).then(|| delivery(app, request, known, &start, &decision));
            (text, start)
        }),
        Err(error) => Err(error),
    };
    match boot {
        Ok((text, start)) => (Some(start.into()), reply::script(text), decision),
        // Nothing is committed: the window stays as it is until the cause is mended.
        Err(error) => {
            app.waves.finished(waves::name(known));
            let decision = cannot_boot(known, &error, decision.lost);
            (None, say(request, view, &decision), decision)
        }
    }
}

fn boot_script(
    app: &App,
    request: &Request<'_>,
    known: &Arc<Known>,
    after: &BootRecord,
    session: SessionId,
) -> Result<(String, Start), ComposeError> {
    let id = &known.assignment.id;
    let key = app.keys().current();
    let config = mint(key, session, id, after.generation, Purpose::Config);
    let report = mint(key, session, id, after.generation, Purpose::Report);
    let tokens = Tokens { config: &config, report: &report };
    let machine = For {
        spec: &known.shelf.profile.spec,
        assignment: Some(&known.assignment),
        claims: request.claims,
        peer: Some(request.peer),
    };
    let context = compose::context(machine, request.site, &request.links, Some(tokens));
    let plan = compose::plan(&known.shelf, &context, &request.links, Some(&report))?;
    let spec = &known.assignment.spec;
    let title = format!("{} ({}) boots {}", spec.node_name, spec.mac_address, machine.spec.name);
    let text = ipxe::boot(&plan, &Text::new(title), &request.again()?)
        .map_err(|e| ComposeError::Args(e.to_string()))?;
    let session = Session {
        id: session,
        assignment_id: id.clone(),
        generation: after.generation,
        network: request.site.token_network(request.peer),
        ip: request.peer.to_canonical(),
        base_url: request.links.base().to_owned(),
        arch: request.claims.arch.clone(),
        platform: request.claims.platform.clone(),
        minted_at: request.now,
        expires_at: after.window_ends.unwrap_or(request.now),
        first_used_at: None,
        revoked: false,
    };
    app.limits.good(session.id.0);
    Ok((text, Start { after: after.clone(), session, durable: None }))
}

/// Whether the script alone is the delivery: it can erase a disk, and no config counts.
fn is_delivery(known: &Known) -> bool {
    most_starts(&known.shelf.profile.spec) == 1
}

/// What is committed with such a script.
fn delivery(
    app: &App,
    request: &Request<'_>,
    known: &Known,
    start: &Start,
    decision: &Decision,
) -> (AuditRecord, BootEvent) {
    let mac = known.assignment.spec.mac_address;
    let audit = AuditRecord {
        seq: 0,
        at: request.now,
        actor: format!("machine {}", request.claims.mac.unwrap_or(mac)),
        action: "boot.start".into(),
        target: format!("assignment {mac}"),
        peer: Some(request.peer.to_canonical().to_string()),
        before: None,
        after: Some(serde_json::json!({
            "node_name": known.assignment.spec.node_name, "boot_profile": known.shelf.profile.spec.name,
            "starts": start.after.starts, "generation": start.after.generation,
        })),
    };
    let event = app.event(decision.event, Some(mac), Some(request.peer), &told(decision));
    (audit, event)
}

/// Cause and next step, as events tell them.
fn told(decision: &Decision) -> String {
    match decision.next_step.as_str() {
        "" => decision.reason.clone(),
        next => format!("{} ({next})", decision.reason),
    }
}

/// The answer to a machine whose boot is due but cannot be prepared: the disk. Its window stays.
pub fn cannot_boot(known: &Known, error: &ComposeError, lost: Vec<LostRule>) -> Decision {
    Decision {
        outcome: Outcome::Local(local_of(known)),
        rule: "cannot-boot",
        reason: format!("its boot cannot be prepared: {error}"),
        next_step: format!(
            "mend that, then start the machine again; moxxie explain --mac {} tells whether it would boot",
            known.assignment.spec.mac_address
        ),
        event: EventKind::BootError,
        alarm: None,
        lost,
    }
}

/// How this machine boots its disk.
pub(super) fn local_of(known: &Known) -> LocalBoot {
    known.assignment.spec.local_boot.unwrap_or(known.shelf.profile.spec.local_boot)
}

/// Writes a decision that commits nothing as what the machine receives.
pub fn say(request: &Request<'_>, view: &BootView, decision: &Decision) -> Response {
    match script_of(request, view, decision) {
        Ok(Some(text)) => reply::script(text),
        Ok(None) => reply::no_script(&decision.reason),
        Err(error) => {
            tracing::error!(%error, machine = %request.claims.label(), "an answer could not be written");
            match ipxe::local_disk(
                LocalBoot::Auto,
                &Text::new(error.to_string()),
                &Text::new(request.claims.label()),
            ) {
                Some(text) => reply::script(text),
                None => BootError::later("moxxie: internal error").into_response(),
            }
        }
    }
}

/// The script of a decision that commits nothing. `None`: the answer is status 404.
pub fn script_of(
    request: &Request<'_>,
    view: &BootView,
    decision: &Decision,
) -> Result<Option<String>, ComposeError> {
    let who = who(request, view);
    match &decision.outcome {
        Outcome::Identify => {
            let url = Word::url(format!("{}?identified=1", request.links.script(request.asked())))
                .map_err(|e| ComposeError::Word(e.to_string()))?;
            Ok(Some(ipxe::identify(&url)))
        }
        Outcome::Local(how) => {
            let why = match decision.next_step.as_str() {
                "" => decision.reason.clone(),
                next => format!("{}. {}", decision.reason, capitalized(next)),
            };
            Ok(ipxe::local_disk(*how, &Text::new(why), &Text::new(who)))
        }
        Outcome::Menu(local) => menu(request, view, decision, *local).map(Some),
        Outcome::BootUnassigned(shelf) => stranger(request, shelf).map(Some),
        Outcome::Boot { .. } => Ok(None),
        // The code is for the eyes in front of the machine: whoever explains sees a mask.
        Outcome::Wait { known, wait: Wait::Approval(_), .. } => {
            waiting::approval_script(request, known, moxxie_core::secret::MASK).map(Some)
        }
        Outcome::Wait { known, wait: Wait::Frozen | Wait::Place, .. } | Outcome::Freeze { known, .. } => {
            waiting::frozen_script(request, known, &decision.reason, &capitalized(&decision.next_step))
                .map(Some)
        }
    }
}

/// Text as the labels of a request carry it.
fn hex(text: &str) -> String {
    text.bytes().fold("hex:".to_owned(), |out, byte| out + &format!("{byte:02x}"))
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn who(request: &Request<'_>, view: &BootView) -> String {
    match known(view) {
        Some(known) => format!("{} ({})", known.assignment.spec.node_name, request.claims.label()),
        None => request.claims.label(),
    }
}

fn menu(
    request: &Request<'_>,
    view: &BootView,
    decision: &Decision,
    local: LocalBoot,
) -> Result<String, ComposeError> {
    let claims = request.claims;
    let mut items = Vec::new();
    for shelf in view.offered.iter().filter(|s| offered(s)) {
        let spec = &shelf.profile.spec;
        let title = match spec.description.as_str() {
            "" => spec.name.to_string(),
            about => format!("{} - {about}", spec.name),
        };
        let choice = Request {
            ask: Ask::Profile(&spec.name),
            claims,
            peer: request.peer,
            links: request.links.clone(),
            now: request.now,
            site: request.site,
        };
        items.push(MenuItem { title: Text::new(title), url: choice.again()? });
    }
    let product =
        [&claims.manufacturer, &claims.product].into_iter().flatten().cloned().collect::<Vec<_>>().join(" ");
    let mut lines = vec![Text::new(format!("{}: {}", claims.label(), decision.reason))];
    if let Some(uuid) = claims.uuid {
        lines.push(Text::new(format!("UUID {uuid}")));
    }
    if !product.is_empty() {
        lines.push(Text::new(product));
    }
    lines.push(Text::new(&decision.next_step));
    let title = Text::new(format!("Moxxie: {}", claims.label()));
    Ok(ipxe::menu(&Menu {
        title: &title,
        machine_lines: &lines,
        items: &items,
        again: &request.again()?,
        timeout_ms: MENU_MS,
        local,
    }))
}

/// Whether a stranger may choose it; the gate asks the same again when the choice comes back.
fn offered(shelf: &Shelf) -> bool {
    let spec = &shelf.profile.spec;
    spec.menu && !spec.destructive && spec.config_template.is_none()
}

/// The script of a profile that was chosen in the menu: no session, no config, no report.
fn stranger(request: &Request<'_>, shelf: &Shelf) -> Result<String, ComposeError> {
    let spec = &shelf.profile.spec;
    let machine = For { spec, assignment: None, claims: request.claims, peer: Some(request.peer) };
    let context = compose::context(machine, request.site, &request.links, None);
    let plan = compose::plan(shelf, &context, &request.links, None)?;
    let title = format!("{} boots {}", request.claims.label(), spec.name);
    ipxe::boot(&plan, &Text::new(title), &request.again()?).map_err(|e| ComposeError::Args(e.to_string()))
}

/// Remembers the machine and what it was told. The machine does not wait for this.
fn note(app: &App, request: &Request<'_>, decision: &Decision, known_by: Option<MacAddr>) {
    let claims = request.claims;
    if let Some(alarm) = &decision.alarm {
        contention::alarm(app, known_by.or(claims.mac), request.peer, alarm);
    }
    // It will fetch its files from the same address, without saying who it is.
    let boots = match &decision.outcome {
        Outcome::Boot { known, .. } => {
            Some((claims.mac.unwrap_or(known.assignment.spec.mac_address), &known.shelf.profile.spec.name))
        }
        Outcome::BootUnassigned(shelf) => claims.mac.map(|mac| (mac, &shelf.profile.spec.name)),
        _ => None,
    };
    if let Some((mac, profile)) = boots {
        app.downloads.booted.note(request.peer, mac, profile, request.now);
    }
    let message = told(decision);
    let mac = match decision.event {
        EventKind::BootContention => {
            metrics::counter!("moxxie_boot_contention_total").increment(1);
            known_by.or(claims.mac)
        }
        _ => claims.mac,
    };
    let event = app.event(decision.event, mac, Some(request.peer), &message);
    let answer = match decision.event {
        EventKind::BootWaiting => "wait",
        _ => outcome_name(&decision.outcome),
    };
    let machine = claims.mac.map(|mac| MachineSeen {
        mac_address: mac,
        uuid: claims.uuid.map(|u| u.to_string()),
        serial: claims.serial.as_ref().map(|s| s.to_string()),
        arch: claims.arch.clone(),
        platform: claims.platform.clone(),
        manufacturer: claims.manufacturer.clone(),
        product: claims.product.clone(),
        ip: Some(request.peer.to_canonical().to_string()),
        node_name: event.node_name.clone(),
        boot_profile: event.boot_profile.clone(),
        last_answer: Some(answer.to_owned()),
        first_seen_at: request.now,
        last_seen_at: request.now,
    });
    // What changes nothing has the request's own line, and its reason in the events.
    if !matches!(decision.event, EventKind::Local | EventKind::MenuUnknown | EventKind::BootWaiting) {
        tracing::info!(
            machine = %claims.label(), node = event.node_name.as_deref(),
            answer, rule = decision.rule, peer = %request.peer,
            "boot decision: {}", decision.reason
        );
    }
    match &decision.outcome {
        // Its event was committed with its start.
        Outcome::Boot { known, .. } if is_delivery(known) => app.events.written_already(event.kind, machine),
        _ => app.events.push(event, machine),
    }
}

/// The outcome in the API's words.
pub fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Identify => "identify",
        Outcome::Menu(_) => "menu",
        Outcome::Local(_) => "local",
        Outcome::Boot { .. } => "boot",
        Outcome::BootUnassigned(_) => "boot-unassigned",
        Outcome::Wait { .. } => "wait",
        Outcome::Freeze { .. } => "freeze",
    }
}
