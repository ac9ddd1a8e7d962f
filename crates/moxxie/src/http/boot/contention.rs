//! Two machines ask in the name of one: the alarm, and the quarantine of machines whose profile
//! wants one (`contention: freeze`).

use crate::app::App;
use moxxie_core::assignment::AssignmentSpec;
use moxxie_core::audit::By;
use moxxie_core::boot::decide::Known;
use moxxie_core::boot::event::{BootEvent, EventKind};
use moxxie_core::boot::rival::{Contention, NEXT, Rival};
use moxxie_core::boot::session::Session;
use moxxie_core::mac::MacAddr;
use moxxie_store::StepError;
use std::net::IpAddr;

/// In whose name the server quarantines.
const ACTOR: &str = "moxxie";

/// Says so: an event, which the queue folds to one a minute for each machine, a metric, a line.
pub fn alarm(app: &App, machine: Option<MacAddr>, peer: IpAddr, message: &str) {
    metrics::counter!("moxxie_boot_contention_total").increment(1);
    tracing::warn!(machine = machine.map(|mac| mac.to_string()), %peer, "{message}");
    app.events.push(app.event(EventKind::BootContention, machine, Some(peer), message), None);
}

/// What is committed with a quarantine.
pub fn quarantine(app: &App, known: &Known, peer: IpAddr, why: &str) -> (By, BootEvent) {
    let mac = known.assignment.spec.mac_address;
    let message = format!(
        "quarantined, its window is closed: {why}; when that is cleared up: moxxie assignment update {mac} --quarantined=false, moxxie assignment arm {mac}"
    );
    (app.by(ACTOR, peer), app.event(EventKind::Quarantined, Some(mac), Some(peer), &message))
}

/// A second one that came with the genuine token of a boot that is under way.
pub struct Second {
    machine: MacAddr,
    message: String,
    /// Close the window of this generation.
    freeze: Option<i64>,
}

impl Second {
    /// What is to be said and done about it.
    pub fn new(rival: Rival, session: &Session, known: &Known, peer: IpAddr) -> Second {
        let freeze = known.shelf.profile.spec.contention == Contention::Freeze;
        Second {
            machine: known.assignment.spec.mac_address,
            message: rival.told(known, peer),
            freeze: freeze.then_some(session.generation),
        }
    }

    /// Says it, and quarantines the machine where its profile wants that. Its config was refused
    /// already; this ends the sessions of the other one.
    pub async fn report(self, app: &App, peer: IpAddr) {
        alarm(app, Some(self.machine), peer, &format!("{} ({NEXT})", self.message));
        let Some(generation) = self.freeze else { return };
        let by = app.by(ACTOR, peer);
        let now = by.at;
        let mut event = None;
        let step = |known: &Known| {
            let Known { assignment, .. } = known;
            // Somebody else was faster, or an operator has opened another window since.
            if assignment.spec.quarantined || assignment.boot.generation != generation {
                return Err(());
            }
            event = Some(quarantine(app, known, peer, &self.message).1);
            let spec = AssignmentSpec { quarantined: true, ..assignment.spec.clone() };
            Ok((spec, assignment.boot.frozen(self.message.clone(), now)))
        };
        let changed =
            app.write().change_assignment(self.machine, None, "assignment.quarantine", &by, step).await;
        match changed {
            Ok(_) => {
                app.waves.finished(self.machine);
                if let Some(event) = event {
                    app.events.push(event, None);
                }
            }
            Err(StepError::Step(())) => {}
            Err(StepError::Store(error)) => {
                tracing::error!(%error, machine = %self.machine, "it could not be quarantined");
            }
        }
    }
}
