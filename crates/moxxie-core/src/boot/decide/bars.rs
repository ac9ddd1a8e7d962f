//! What keeps a known machine from its profile, whatever its window says.

use super::window::{armed, delivered_again, policy_always, started_already, turned_destructive};
use super::{Answer, Ask, Case, Outcome, Rule, Verdict, Wait, local};
use crate::assignment::BootPolicy;
use crate::boot::approval::{Approval, Asker};
use crate::boot::event::EventKind;
use crate::boot::place::{self, List};
use crate::boot::rival::{self, Contention, Rival};
use crate::boot::state::BootRecord;
pub(super) fn frozen(case: &Case) -> Verdict {
    let known = case.known()?;
    let spec = &known.assignment.spec;
    let why = known.assignment.boot.asking.frozen.as_ref().filter(|_| spec.quarantined);
    let why = why.ok_or("the server has not quarantined it")?;
    let mac = spec.mac_address;
    Ok(Answer {
        outcome: Outcome::Wait { known: known.clone(), wait: Wait::Frozen, after: None },
        event: EventKind::BootWaiting,
        reason: format!("it is quarantined: {why}"),
        next_step: format!(
            "look at its events, then: moxxie assignment update {mac} --quarantined=false, and moxxie assignment arm {mac}"
        ),
    })
}

pub(super) fn quarantined(case: &Case) -> Verdict {
    let known = case.known()?;
    if !known.assignment.spec.quarantined {
        return Err("it is not quarantined".into());
    }
    local(
        known,
        EventKind::Local,
        "it is quarantined".into(),
        format!(
            "look at its events, then: moxxie assignment update {} --quarantined=false",
            known.assignment.spec.mac_address
        ),
    )
}

pub(super) fn other_profile(case: &Case) -> Verdict {
    let known = case.known()?;
    let own = &known.shelf.profile.spec.name;
    let Ask::Profile(name) = case.ask else {
        return Err("it asks for whatever it should boot".into());
    };
    if name == own {
        return Err("it asks for its own profile".into());
    }
    match &case.view.asked {
        // What the menu offers to strangers is safe for this machine too; its window stays as it is.
        Some(shelf)
            if shelf.profile.spec.menu
                && !shelf.profile.spec.destructive
                && shelf.profile.spec.config_template.is_none() =>
        {
            Ok(Answer {
                outcome: Outcome::BootUnassigned(shelf.clone()),
                event: EventKind::Boot,
                reason: format!("profile {name} is offered to every machine"),
                next_step: String::new(),
            })
        }
        _ => local(
            known,
            EventKind::Local,
            format!("it asked for profile {name} but is assigned {own}"),
            format!("assign it to {name}, or let it ask /boot/menu.ipxe"),
        ),
    }
}

pub(super) fn policy_local(case: &Case) -> Verdict {
    let known = case.known()?;
    if known.assignment.spec.boot_policy != BootPolicy::Local {
        return Err("its boot_policy is not local".into());
    }
    local(known, EventKind::Local, "its boot_policy is local".into(), String::new())
}

pub(super) fn protected(case: &Case) -> Verdict {
    let known = case.known()?;
    let record = case.record(known);
    let own = &known.shelf.profile.spec.name;
    let other = matches!(case.ask, Ask::Profile(name) if name != own);
    let wants = other || record.state.is_open();
    if !known.assignment.spec.protected || !wants {
        return Err("it is not protected, or there is nothing to protect it from".into());
    }
    // Protecting closes the window; this rule holds should a record say otherwise.
    local(
        known,
        EventKind::Local,
        "it is protected".into(),
        format!(
            "to install it: moxxie assignment update {} --unprotect, then arm it",
            known.assignment.spec.mac_address
        ),
    )
}

pub(super) fn outside_provisioning(case: &Case) -> Verdict {
    let known = case.known()?;
    let peer = case.peer.to_canonical();
    let Some(list) = place::refusing(known, peer, case.site) else {
        return Err(format!("{peer} is inside the provisioning networks"));
    };
    // Said to every machine, armed or not: nobody learns from elsewhere which of them is.
    let wants = known.assignment.spec.boot_policy == BootPolicy::Always || case.record(known).state.is_open();
    let (whose, mend) = match list {
        List::Site => (String::new(), "widen access.provisioning".to_owned()),
        List::Profile => {
            let name = &known.shelf.profile.spec.name;
            (
                format!(" of profile {name}"),
                format!("widen them: moxxie profile update {name} --provisioning"),
            )
        }
        List::Machine => {
            let mac = known.assignment.spec.mac_address;
            (
                " of this machine".to_owned(),
                format!("widen them: moxxie assignment update {mac} --provisioning"),
            )
        }
    };
    local(
        known,
        if wants { EventKind::ConfigRefused } else { EventKind::Local },
        format!("{peer} is outside the provisioning networks{whose}"),
        format!("let it boot from a provisioning network, or {mend}"),
    )
}

pub(super) fn contention(case: &Case) -> Verdict {
    let known = case.known()?;
    let Some(rival) = case.rival(known) else {
        return Err("nobody else boots as this machine".into());
    };
    let reason = rival.told(known, case.peer);
    if known.shelf.profile.spec.contention == Contention::Freeze {
        let after = case.record(known).frozen(reason.clone(), case.now);
        return Ok(Answer {
            outcome: Outcome::Freeze { known: known.clone(), after },
            event: EventKind::BootContention,
            reason,
            next_step: rival::NEXT.into(),
        });
    }
    match rival {
        Rival::Identity(_) => local(known, EventKind::BootContention, reason, rival::NEXT.into()),
        Rival::Place(_) => Err(format!("{reason}: an alarm says so, and this one is answered")),
    }
}

/// What may start a boot: the rules after the one on approval.
const STARTING: [Rule; 5] = [policy_always, turned_destructive, started_already, armed, delivered_again];

pub(super) fn awaiting_approval(case: &Case) -> Verdict {
    let known = case.known()?;
    if Approval::of(known) == Approval::Auto {
        return Err("its boots need no approval".into());
    }
    // Nobody has to approve what ends at the disk.
    let starts = STARTING.iter().find_map(|rule| rule(case).ok());
    if !starts.is_some_and(|answer| matches!(answer.outcome, Outcome::Boot { .. })) {
        return Err("there is nothing to approve".into());
    }
    let asker = Asker::new(case.claims, case.peer, case.site);
    let record = case.record(known);
    if record.asking.approves(&asker, case.now) {
        return Err("an operator approved it".into());
    }
    let next = record.asking.asked(&asker, case.peer.to_canonical(), case.now);
    let event = match record.asking.knows(&asker) {
        true => EventKind::BootWaiting,
        false => EventKind::ApprovalAsked,
    };
    Ok(Answer {
        outcome: Outcome::Wait {
            known: known.clone(),
            wait: Wait::Approval(asker),
            after: next.map(|asking| BootRecord { asking, ..record }),
        },
        event,
        reason: format!(
            "it waits for an operator's approval to boot profile {}",
            known.shelf.profile.spec.name
        ),
        next_step: "read the code on its screen, then: moxxie approve CODE".into(),
    })
}
