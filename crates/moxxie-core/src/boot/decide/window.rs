//! What its window gives a machine that nothing keeps from its profile.

use super::{Answer, Case, Outcome, Verdict, local};
use crate::assignment::BootPolicy;
use crate::boot::event::EventKind;
use crate::boot::state::{BootState, DESTRUCTIVE_STARTS};
use crate::platform;
use crate::profile::ProfileSpec;
use crate::render::BOOT_PARAMS;
pub(super) fn policy_always(case: &Case) -> Verdict {
    let known = case.known()?;
    if known.assignment.spec.boot_policy != BootPolicy::Always {
        return Err("its boot_policy is not always".into());
    }
    let profile = &known.shelf.profile.spec;
    if profile.destructive {
        return local(
            known,
            EventKind::ReinstallSuppressed,
            format!("boot_policy always is not honored: profile {} can erase a disk", profile.name),
            format!(
                "moxxie assignment update {} --policy once, then arm it",
                known.assignment.spec.mac_address
            ),
        );
    }
    // Every request opens its own window.
    let mut record = known.assignment.boot.clone();
    record.window_ends = Some(case.now + case.site.boot_window);
    let after = case.started(&record);
    Ok(Answer {
        outcome: Outcome::Boot { known: known.clone(), after },
        event: EventKind::Boot,
        reason: format!("boot_policy always: profile {}", profile.name),
        next_step: String::new(),
    })
}

pub(super) fn turned_destructive(case: &Case) -> Verdict {
    let known = case.known()?;
    let record = case.record(known);
    let profile = &known.shelf.profile.spec;
    if !record.state.is_open() || !profile.destructive || record.armed_destructive {
        return Err("its profile is as harmless, or as destructive, as when it was armed".into());
    }
    local(
        known,
        EventKind::ReinstallSuppressed,
        format!("profile {} became destructive after this machine was armed", profile.name),
        format!("read the profile again, then: moxxie assignment arm {}", known.assignment.spec.mac_address),
    )
}

pub(super) fn started_already(case: &Case) -> Verdict {
    let known = case.known()?;
    let record = case.record(known);
    let profile = &known.shelf.profile.spec;
    let most = most_starts(profile);
    if record.state != BootState::Booting || record.starts < most {
        return Err("another start cannot erase its disk by surprise".into());
    }
    local(
        known,
        EventKind::ReinstallSuppressed,
        format!("it was given profile {} already, which would erase its disk again", profile.name),
        format!("to install it again: moxxie assignment arm {}", known.assignment.spec.mac_address),
    )
}

/// How many scripts of this profile one arm allows. Where the script alone can erase a disk, there
/// is no config whose delivery could count: the script is the delivery.
pub fn most_starts(profile: &ProfileSpec) -> i64 {
    if !profile.destructive {
        i64::MAX
    } else if profile.config_template.is_none() || script_erases(profile) {
        1
    } else {
        DESTRUCTIVE_STARTS
    }
}

/// Whether the kernel arguments alone are a reason to call the profile destructive.
fn script_erases(profile: &ProfileSpec) -> bool {
    platform::destructive_reasons(&profile.profile_type, &profile.boot_params, None)
        .iter()
        .any(|reason| reason.field == BOOT_PARAMS)
}

pub(super) fn armed(case: &Case) -> Verdict {
    let known = case.known()?;
    let record = case.record(known);
    let profile = &known.shelf.profile.spec.name;
    match record.state {
        BootState::Armed => case.start(known, format!("armed: profile {profile}")),
        BootState::Booting if record.attempts_left > 0 => {
            case.start(known, format!("its boot of profile {profile} has not fetched a config yet"))
        }
        state => Err(format!("its state is {}", state.as_str())),
    }
}

pub(super) fn delivered_again(case: &Case) -> Verdict {
    let known = case.known()?;
    let record = case.record(known);
    if record.state != BootState::Delivered {
        return Err(format!("its state is {}", record.state.as_str()));
    }
    let profile = &known.shelf.profile.spec;
    let arm = format!("moxxie assignment arm {}", known.assignment.spec.mac_address);
    if profile.destructive || record.armed_destructive {
        return local(
            known,
            EventKind::ReinstallSuppressed,
            format!("it received its config already; profile {} would erase its disk again", profile.name),
            format!("to install it again: {arm}"),
        );
    }
    let in_window = record.window_ends.is_some_and(|end| case.now < end);
    if !in_window || record.attempts_left <= 0 {
        return local(
            known,
            EventKind::Local,
            "its window is used up".into(),
            format!("to boot the profile again: {arm}"),
        );
    }
    case.start(known, format!("profile {} is safe to boot again within its window", profile.name))
}

pub(super) fn no_open_window(case: &Case) -> Verdict {
    let known = case.known()?;
    let spec = &known.assignment.spec;
    let was = known.assignment.boot.state;
    let record = case.record(known);
    let arm = format!("to install it: moxxie assignment arm {}", spec.mac_address);
    let reason = match record.state {
        BootState::Installed => "it is installed".into(),
        BootState::Failed => "its last install failed".into(),
        _ if was.is_open() => "its window has expired".into(),
        _ => "it is not armed".into(),
    };
    let event = if was.is_open() && record.state == BootState::Local {
        EventKind::WindowExpired
    } else {
        EventKind::Local
    };
    local(known, event, reason, arm)
}
