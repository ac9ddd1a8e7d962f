//! Machines that wait at their screen: for their turn, or for an operator.

use super::gate::{Request, local_of};
use crate::app::App;
use crate::clock::random;
use crate::compose::ComposeError;
use moxxie_core::boot::approval::{self, Asker};
use moxxie_core::boot::decide::{Decision, Known, LostRule, Outcome};
use moxxie_core::boot::event::EventKind;
use moxxie_core::boot::wave::{self, Turn};
use moxxie_core::ipxe::{self, Text};
use std::sync::Arc;

/// Seconds, and up to five more, until a machine that waits for an operator asks again.
const HELD: u32 = 5;

/// What a machine is told while it is not its turn; `None` when it is.
pub(super) fn turn_script(
    app: &App,
    request: &Request<'_>,
    known: &Arc<Known>,
) -> Result<Option<String>, ComposeError> {
    let again = request.again()?;
    let Turn::Wait { place, of, about } = app.waves.ask(known, request.site) else { return Ok(None) };
    let spec = &known.assignment.spec;
    let profile = &known.shelf.profile.spec.name;
    let who = Text::new(format!("{} ({}) boots {profile}", spec.node_name, spec.mac_address));
    let [jitter] = random();
    Ok(Some(ipxe::wait(&ipxe::Wait {
        who: &who,
        place: place as u64,
        of: of as u64,
        about: about.map(|span| span.0.unsigned_abs().div_ceil(1000)),
        seconds: wave::pause(place, jitter),
        again: &again,
        local: local_of(known),
    })))
}

/// The answer to a machine whose turn has not come. Its window stays as it is. The reason names no
/// place, so that one event a minute tells of the wait.
pub(super) fn waits(known: &Arc<Known>, lost: Vec<LostRule>) -> Decision {
    Decision {
        outcome: Outcome::Local(local_of(known)),
        rule: "waiting",
        reason: format!(
            "it waits for its turn to boot profile {}: others are booting",
            known.shelf.profile.spec.name
        ),
        next_step: "it comes back by itself; limits.boots_in_flight and limits.asset_bytes_in_flight say how many may boot at once".into(),
        event: EventKind::BootWaiting,
        alarm: None,
        lost,
    }
}

/// The digits that this asker's screen shows now.
pub fn code_of(app: &App, known: &Known, asker: &Asker) -> String {
    let key = app.keys().current().derive(approval::KEY);
    let boot = &known.assignment.boot;
    asker.code(&key, &known.assignment.id, boot.generation, boot.asking.counter)
}

/// The screen of a machine that waits for its approval.
pub(super) fn approval_script(
    request: &Request<'_>,
    known: &Known,
    code: &str,
) -> Result<String, ComposeError> {
    held_script(request, known, |held| ipxe::approve(held, &Text::new(code)))
}

/// The screen of a machine that two asked for, until somebody has looked.
pub(super) fn frozen_script(
    request: &Request<'_>,
    known: &Known,
    why: &str,
    next: &str,
) -> Result<String, ComposeError> {
    held_script(request, known, |held| ipxe::frozen(held, &Text::new(why), &Text::new(next)))
}

/// The screen of a machine that waits for an operator.
fn held_script(
    request: &Request<'_>,
    known: &Known,
    write: impl FnOnce(&ipxe::Held<'_>) -> String,
) -> Result<String, ComposeError> {
    let spec = &known.assignment.spec;
    let who = format!("{} ({}), profile {}", spec.node_name, spec.mac_address, known.shelf.profile.spec.name);
    let [jitter]: [u8; 1] = random();
    Ok(write(&ipxe::Held {
        who: &Text::new(who),
        seconds: HELD + u32::from(jitter % 6),
        again: &request.again()?,
        local: local_of(known),
    }))
}
