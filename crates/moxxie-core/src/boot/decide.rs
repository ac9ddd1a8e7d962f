//! The one gate: what a machine is told, on every route and in `explain`.
//!
//! The rules stand in a table and are asked from top to bottom; the first that has an answer
//! wins. A rule that has none says why, so that `explain` can show the whole walk.

use crate::asset::Asset;
use crate::assignment::{Assignment, BootPolicy};
use crate::boot::approval::{self, Approval, Asker, Waiting};
use crate::boot::claims::BootClaims;
use crate::boot::event::EventKind;
use crate::boot::place::{self, List};
use crate::boot::rival::{self, Contention, Rival};
use crate::boot::state::{BootRecord, BootState, DESTRUCTIVE_STARTS};
use crate::name::ProfileName;
use crate::platform;
use crate::profile::{LocalBoot, Profile, ProfileSpec};
use crate::render::BOOT_PARAMS;
use crate::site::Site;
use crate::time::Timestamp;
use std::net::IpAddr;
use std::sync::Arc;

/// A profile with the files on its shelf.
#[derive(Debug, Clone, PartialEq)]
pub struct Shelf {
    /// The profile.
    pub profile: Profile,
    /// Its files.
    pub assets: Vec<Asset>,
}

/// An assignment with its profile.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// The assignment.
    pub assignment: Assignment,
    /// Its profile.
    pub shelf: Arc<Shelf>,
}

/// What is remembered that bears on these claims.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BootView {
    /// Assignments that one of the claimed MAC addresses belongs to, each once.
    pub by_mac: Vec<Arc<Known>>,
    /// The assignment that the claimed UUID is pinned to.
    pub by_uuid: Option<Arc<Known>>,
    /// Profiles that unknown machines may choose from.
    pub offered: Vec<Arc<Shelf>>,
    /// The profile that the request names, when it names one that exists.
    pub asked: Option<Arc<Shelf>>,
}

/// What the machine asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask<'a> {
    /// `/boot/menu.ipxe`: whatever it should boot.
    Menu,
    /// `/boot/{profile}.ipxe`: this profile.
    Profile(&'a ProfileName),
}

/// The answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Ask who it is.
    Identify,
    /// Show the menu of the profiles offered here; its time-out boots the local disk, this way.
    Menu(LocalBoot),
    /// Boot the local disk.
    Local(LocalBoot),
    /// Boot the assigned profile. The store has to commit `after` before the script is sent.
    Boot {
        /// The machine and its profile.
        known: Arc<Known>,
        /// The record to commit.
        after: BootRecord,
    },
    /// Boot a safe profile out of the menu, without a config.
    BootUnassigned(Arc<Shelf>),
    /// Wait at the screen and ask again. The store has to commit `after`, when there is one.
    Wait {
        /// The machine and its profile.
        known: Arc<Known>,
        /// What it waits for.
        wait: Wait,
        /// The record to commit.
        after: Option<BootRecord>,
    },
    /// Quarantine the machine, then let it wait. The store has to commit `after` and the flag.
    Freeze {
        /// The machine and its profile.
        known: Arc<Known>,
        /// The record to commit.
        after: BootRecord,
    },
}

/// What a machine waits for at its screen.
#[derive(Debug, Clone, PartialEq)]
pub enum Wait {
    /// An operator's approval of this asker.
    Approval(Asker),
    /// A place among those that wait for approval: others ask in its name.
    Place,
    /// The end of its quarantine.
    Frozen,
}

/// The answer, the rule that gave it, and what to say about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The answer.
    pub outcome: Outcome,
    /// The rule that won.
    pub rule: &'static str,
    /// Cause, in a sentence for the machine's screen and the event.
    pub reason: String,
    /// What an operator can do about it; empty when nothing is wanted.
    pub next_step: String,
    /// The event to record.
    pub event: EventKind,
    /// Two machines ask in the name of this one, and the answer is given all the same: cause and
    /// next step, for an event of its own.
    pub alarm: Option<String>,
    /// The rules that were asked before and had no answer, with the reason of each.
    pub lost: Vec<LostRule>,
}

/// A rule that had no answer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LostRule {
    /// Its name.
    pub rule: &'static str,
    /// Why it did not decide.
    pub why: String,
}

/// All that a rule may look at.
struct Case<'a> {
    claims: &'a BootClaims,
    view: &'a BootView,
    ask: Ask<'a>,
    peer: IpAddr,
    site: &'a Site,
    now: Timestamp,
}

struct Answer {
    outcome: Outcome,
    event: EventKind,
    reason: String,
    next_step: String,
}

/// `Err` says why the rule does not apply.
type Verdict = Result<Answer, String>;

/// A rule: its answer, or why it has none.
type Rule = fn(&Case<'_>) -> Verdict;

/// The rules, from first to last. The last always answers.
const RULES: &[(&str, Rule)] = &[
    ("anonymous", anonymous),
    ("not-a-machine", not_a_machine),
    ("identity-conflict", identity_conflict),
    ("unassigned", unassigned),
    // First of those that know the machine: from outside nobody learns of its state, or alarms anybody.
    ("outside-provisioning", outside_provisioning),
    ("pinned-identity", pinned_identity),
    ("frozen", frozen),
    ("quarantined", quarantined),
    ("policy-local", policy_local),
    ("protected", protected),
    ("other-profile", other_profile),
    ("contention", contention),
    ("awaiting-approval", awaiting_approval),
    ("policy-always", policy_always),
    ("turned-destructive", turned_destructive),
    ("started-already", started_already),
    ("armed", armed),
    ("delivered-again", delivered_again),
    ("no-open-window", no_open_window),
];

/// Decides. The same function answers every boot route and `explain`; it has no side effect.
pub fn decide(
    claims: &BootClaims,
    view: &BootView,
    ask: Ask<'_>,
    peer: IpAddr,
    site: &Site,
    now: Timestamp,
) -> Decision {
    let case = Case { claims, view, ask, peer, site, now };
    let mut lost = Vec::new();
    for (rule, judge) in RULES {
        match judge(&case) {
            Ok(Answer { outcome, event, reason, next_step }) => {
                let alarm =
                    lost.iter().any(|l: &LostRule| l.rule == "contention").then(|| case.alarm()).flatten();
                return Decision { outcome, rule, reason, next_step, event, alarm, lost };
            }
            Err(why) => lost.push(LostRule { rule, why }),
        }
    }
    // Unreachable while the last rule always answers; the disk is the answer all the same.
    Decision {
        outcome: Outcome::Local(site.local_boot),
        rule: "no-rule",
        reason: "no rule applied".into(),
        next_step: String::new(),
        event: EventKind::Local,
        alarm: None,
        lost,
    }
}

impl Case<'_> {
    /// The one assignment that the claims point at; the earlier rules have dealt with none and
    /// with several.
    fn known(&self) -> Result<&Arc<Known>, String> {
        self.view
            .by_mac
            .first()
            .or(self.view.by_uuid.as_ref())
            .ok_or_else(|| "nothing is assigned to it".into())
    }

    /// The assignment's record as time has left it.
    fn record(&self, known: &Known) -> BootRecord {
        known.assignment.boot.settled(self.site, self.now)
    }

    /// Whether somebody else boots as this machine right now.
    fn rival(&self, known: &Known) -> Option<Rival> {
        let who = (self.claims.uuid, self.claims.serial.as_ref());
        rival::rival(known, &self.record(known), who, self.peer, self.site, self.now)
    }

    /// Cause and next step, for the event.
    fn alarm(&self) -> Option<String> {
        let known = self.known().ok()?;
        let rival = self.rival(known)?;
        Some(format!("{} ({})", rival.told(known, self.peer), rival::NEXT))
    }

    fn started(&self, record: &BootRecord) -> BootRecord {
        let (uuid, serial) = (self.claims.uuid, self.claims.serial.clone());
        record.started(uuid, serial, self.peer, self.site, self.now)
    }

    fn start(&self, known: &Arc<Known>, reason: String) -> Verdict {
        let after = self.started(&self.record(known));
        Ok(Answer {
            outcome: Outcome::Boot { known: known.clone(), after },
            event: EventKind::Boot,
            reason,
            next_step: String::new(),
        })
    }
}

fn local(known: &Known, event: EventKind, reason: String, next_step: String) -> Verdict {
    let spec = &known.assignment.spec;
    let how = spec.local_boot.unwrap_or(known.shelf.profile.spec.local_boot);
    Ok(Answer { outcome: Outcome::Local(how), event, reason, next_step })
}

fn anonymous(case: &Case) -> Verdict {
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

fn not_a_machine(case: &Case) -> Verdict {
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

fn identity_conflict(case: &Case) -> Verdict {
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

fn unassigned(case: &Case) -> Verdict {
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

fn pinned_identity(case: &Case) -> Verdict {
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

fn frozen(case: &Case) -> Verdict {
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

fn quarantined(case: &Case) -> Verdict {
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

fn other_profile(case: &Case) -> Verdict {
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

fn policy_local(case: &Case) -> Verdict {
    let known = case.known()?;
    if known.assignment.spec.boot_policy != BootPolicy::Local {
        return Err("its boot_policy is not local".into());
    }
    local(known, EventKind::Local, "its boot_policy is local".into(), String::new())
}

fn protected(case: &Case) -> Verdict {
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

fn outside_provisioning(case: &Case) -> Verdict {
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
                format!("widen them: moxxie profile update {name} --provisioning NETWORK"),
            )
        }
        List::Machine => {
            let mac = known.assignment.spec.mac_address;
            (
                " of this machine".to_owned(),
                format!("widen them: moxxie assignment update {mac} --provisioning NETWORK"),
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

fn contention(case: &Case) -> Verdict {
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
        Rival::Identity(_) | Rival::Silent(_) => {
            local(known, EventKind::BootContention, reason, rival::NEXT.into())
        }
        Rival::Place(_) => Err(format!("{reason}: an alarm says so, and this one is answered")),
    }
}

/// What may start a boot: the rules after the one on approval.
const STARTING: [Rule; 5] = [policy_always, turned_destructive, started_already, armed, delivered_again];

fn awaiting_approval(case: &Case) -> Verdict {
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
    let (ip, uuid, now) = (case.peer.to_canonical(), case.claims.uuid, case.now);
    let waiting = Waiting { asker: asker.clone(), uuid, ip, asked_at: now, seen_at: now };
    let next = record.asking.asked(waiting, |asker| approval::is_pinned(known, asker));
    if !next.as_ref().unwrap_or(&record.asking).knows(&asker) {
        return Ok(Answer {
            outcome: Outcome::Wait { known: known.clone(), wait: Wait::Place, after: None },
            event: EventKind::BootWaiting,
            reason: format!("others wait for approval as {}", known.assignment.spec.node_name),
            next_step: "it shows a code of its own when one of them has gone: moxxie approve lists them"
                .into(),
        });
    }
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

fn policy_always(case: &Case) -> Verdict {
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

fn turned_destructive(case: &Case) -> Verdict {
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

fn started_already(case: &Case) -> Verdict {
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

fn armed(case: &Case) -> Verdict {
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

fn delivered_again(case: &Case) -> Verdict {
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

fn no_open_window(case: &Case) -> Verdict {
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

#[cfg(test)]
mod tests {
    use super::RULES;

    /// Operators read of each rule that `explain` may name, in the order in which they are asked.
    #[test]
    fn the_rules_stand_in_the_book() {
        let page = include_str!("../../../../docs/troubleshooting.md");
        let table = page.split("\n## ").find(|part| part.starts_with("The rules of `explain`")).unwrap();
        let told = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let told: Vec<&str> = told.collect();
        let rules: Vec<&str> = RULES.iter().map(|(name, _)| *name).collect();
        assert_eq!(told, rules);
    }
}
