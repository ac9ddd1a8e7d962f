//! The one gate: what a machine is told, on every route and in `explain`.
//!
//! The rules stand in a table and are asked from top to bottom; the first that has an answer
//! wins. A rule that has none says why, so that `explain` can show the whole walk. They stand in
//! `identity` (who asks), `bars` (what keeps it from its profile) and `window` (what it is given).

mod bars;
mod identity;
mod window;

pub use window::most_starts;

use crate::asset::Asset;
use crate::assignment::Assignment;
use crate::boot::approval::Asker;
use crate::boot::claims::BootClaims;
use crate::boot::event::EventKind;
use crate::boot::rival::{self, Rival};
use crate::boot::state::BootRecord;
use crate::name::ProfileName;
use crate::profile::{LocalBoot, Profile};
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
    ("anonymous", identity::anonymous),
    ("not-a-machine", identity::not_a_machine),
    ("identity-conflict", identity::identity_conflict),
    ("unassigned", identity::unassigned),
    ("pinned-identity", identity::pinned_identity),
    ("frozen", bars::frozen),
    ("quarantined", bars::quarantined),
    ("policy-local", bars::policy_local),
    ("protected", bars::protected),
    ("other-profile", bars::other_profile),
    ("outside-provisioning", bars::outside_provisioning),
    ("contention", bars::contention),
    ("awaiting-approval", bars::awaiting_approval),
    ("policy-always", window::policy_always),
    ("turned-destructive", window::turned_destructive),
    ("started-already", window::started_already),
    ("armed", window::armed),
    ("delivered-again", window::delivered_again),
    ("no-open-window", window::no_open_window),
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
