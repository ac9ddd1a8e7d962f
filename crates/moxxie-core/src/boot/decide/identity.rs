//! Who asks: nobody, several, somebody unknown, somebody else.

use super::{Answer, Ask, Case, Known, Outcome, Verdict, local};
use crate::boot::event::EventKind;
use crate::boot::rival;
use std::sync::Arc;
pub(super) fn anonymous(case: &Case) -> Verdict {
    if !case.claims.is_anonymous() {
        return Err(format!("it said who it is: {}", case.claims.label()));
    }
    if case.claims.identified {
        // Asking again would go round for ever.
        return Ok(Answer {
            outcome: Outcome::Local(case.site.local_boot),
            event: EventKind::Local,
            reason: "it has no usable MAC address and no UUID".into(),
            next_step: "check the NIC, and the UUID in the firmware's set-up".into(),
        });
    }
    Ok(Answer {
        outcome: Outcome::Identify,
        event: EventKind::Local,
        reason: "the request names no MAC address and no UUID".into(),
        next_step: "the script makes the machine say who it is and ask again".into(),
    })
}

pub(super) fn not_a_machine(case: &Case) -> Verdict {
    if !case.claims.nobody {
        return Err("its MAC address can belong to one machine".into());
    }
    Ok(Answer {
        outcome: Outcome::Local(case.site.local_boot),
        event: EventKind::Local,
        reason: "its MAC address is zero, broadcast or multicast and names no machine".into(),
        next_step: "check the NIC's firmware settings".into(),
    })
}

pub(super) fn identity_conflict(case: &Case) -> Verdict {
    let mut owners: Vec<&Arc<Known>> = case.view.by_mac.iter().chain(&case.view.by_uuid).collect();
    owners.sort_by(|a, b| a.assignment.id.cmp(&b.assignment.id));
    owners.dedup_by(|a, b| a.assignment.id == b.assignment.id);
    if owners.len() < 2 {
        return Err("its MAC addresses and UUID do not point at two machines".into());
    }
    let names: Vec<&str> = owners.iter().map(|k| k.assignment.spec.node_name.as_str()).collect();
    let names = names.join(" and ");
    Ok(Answer {
        outcome: Outcome::Local(case.site.local_boot),
        event: EventKind::IdentityConflict,
        reason: format!("its MAC addresses and UUID belong to different machines: {names}"),
        next_step: "correct the MAC addresses or the UUID of one of these assignments".into(),
    })
}

pub(super) fn unassigned(case: &Case) -> Verdict {
    if let Ok(known) = case.known() {
        return Err(format!("it is assigned: {}", known.assignment.spec.node_name));
    }
    let mac = case.claims.mac.map_or("MAC".to_owned(), |mac| mac.to_string());
    let assign = format!("moxxie assignment create {mac} NODE PROFILE");
    let refuse = |reason: String| {
        Ok(Answer {
            outcome: Outcome::Local(case.site.local_boot),
            event: EventKind::Local,
            reason,
            next_step: format!("assign it: {assign}"),
        })
    };
    match (case.ask, &case.view.asked) {
        (Ask::Menu, _) => Ok(Answer {
            outcome: Outcome::Menu(case.site.local_boot),
            event: EventKind::MenuUnknown,
            reason: "nothing is assigned to this machine".into(),
            next_step: format!("assign it: {assign}"),
        }),
        (Ask::Profile(name), None) => refuse(format!("there is no profile {name}")),
        (Ask::Profile(name), Some(shelf)) => {
            let spec = &shelf.profile.spec;
            if !spec.menu {
                refuse(format!("profile {name} is not offered to unknown machines"))
            } else if spec.destructive {
                refuse(format!("profile {name} can erase a disk and needs an assignment"))
            } else if spec.config_template.is_some() {
                refuse(format!("profile {name} needs a config, which only an assigned machine gets"))
            } else {
                Ok(Answer {
                    outcome: Outcome::BootUnassigned(shelf.clone()),
                    event: EventKind::Boot,
                    reason: format!("profile {name} was chosen in the menu"),
                    next_step: String::new(),
                })
            }
        }
    }
}

pub(super) fn pinned_identity(case: &Case) -> Verdict {
    let known = case.known()?;
    let spec = &known.assignment.spec;
    let record = case.record(known);
    if case.rival(known).is_some() {
        return Err(
            "another machine boots under this name right now: rule contention says what follows".into()
        );
    }
    let differs = rival::differs(known, &record, case.claims.uuid, case.claims.serial.as_ref());
    let Some(what) = differs else {
        return Err("UUID and serial number agree with what is known".into());
    };
    local(
        known,
        EventKind::IdentityConflict,
        format!("its MAC address belongs to {}, but its {what} is another machine's", spec.node_name),
        "if its board was changed, arm it again (and correct a pinned UUID or serial); else find out who uses its MAC address".into(),
    )
}
