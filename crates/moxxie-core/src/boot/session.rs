//! Boot sessions: what a token stands for, and when it is worth something.

use crate::assignment::BootPolicy;
use crate::boot::approval::Approval;
use crate::boot::decide::Known;
use crate::boot::place;
use crate::boot::rival::{Rival, is_live};
use crate::boot::state::BootState;
use crate::site::Site;
use crate::time::Timestamp;
use crate::token::SessionId;
use ipnet::IpNet;
use std::net::IpAddr;

/// One boot of one machine. Both of its tokens, for the config and for reports, name it.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// Random.
    pub id: SessionId,
    /// Whose boot.
    pub assignment_id: String,
    /// The generation of the window it was made in.
    pub generation: i64,
    /// Where its tokens may be used from.
    pub network: IpNet,
    /// The address that asked for the script.
    pub ip: IpAddr,
    /// How it reached this server, `http://host:port`: links in its config begin with this, also
    /// when a load balancer brings a repeat to another replica.
    pub base_url: String,
    /// The architecture it named then, for templates of the config.
    pub arch: Option<String>,
    /// The firmware it named then: `efi` or `pcbios`.
    pub platform: Option<String>,
    /// When it was made.
    pub minted_at: Timestamp,
    /// The end of its window.
    pub expires_at: Timestamp,
    /// When its config was first fetched.
    pub first_used_at: Option<Timestamp>,
    /// A later session, a report or an operator has ended it.
    pub revoked: bool,
}

/// Why a token was refused. Machines see one and the same 403; the log and the event see this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a token, or not of this site, machine or purpose.
    #[error("the token is not one of this machine's")]
    Foreign,
    /// Ended by a newer session, a report, an operator, or an unknown session.
    #[error("the token was revoked: a newer boot, a report or an operator ended it")]
    Revoked,
    /// The window is over.
    #[error("the token's window is over")]
    Expired,
    /// The asker is elsewhere.
    #[error("the token was used from outside the network it was made for")]
    Elsewhere,
    /// The asker is in the token's network, but not in one that the machine may boot from.
    #[error("the token was used from outside the machine's provisioning networks")]
    OutsideProvisioning,
    /// Nobody has approved the boot that the token is of.
    #[error("the boot was not approved")]
    NotApproved,
    /// Used up.
    #[error("the token is used up")]
    Spent,
    /// The machine's window does not allow a delivery.
    #[error("the machine is not waiting for a config")]
    NotWaiting,
    /// The machine is quarantined.
    #[error("the machine is quarantined")]
    Quarantined,
    /// The profile became destructive after the machine was armed.
    #[error("the profile became destructive after the machine was armed")]
    TurnedDestructive,
    /// The config has changed since its first delivery in this session.
    #[error("the config has changed since this token first fetched it; boot the machine again")]
    Changed,
}

/// Whether the session's config token may fetch now. The store repeats the guards on time, use
/// and state in the statement that consumes the token; this names the reason.
pub fn may_fetch(
    session: &Session,
    known: &Known,
    peer: IpAddr,
    site: &Site,
    now: Timestamp,
) -> Result<(), Refusal> {
    let assignment = &known.assignment;
    if session.revoked || session.generation != assignment.boot.generation {
        return Err(Refusal::Revoked);
    }
    if now >= session.expires_at {
        return Err(Refusal::Expired);
    }
    if !session.network.contains(&peer.to_canonical()) {
        return Err(Refusal::Elsewhere);
    }
    if assignment.spec.quarantined {
        return Err(Refusal::Quarantined);
    }
    if place::refusing(known, peer, site).is_some() {
        return Err(Refusal::OutsideProvisioning);
    }
    // Approval may have become manual, or been given to somebody else, since the script went out.
    let approved = assignment.boot.asking.approved.as_ref();
    if Approval::of(known) == Approval::Manual
        && !approved.is_some_and(|a| a.asker.network == session.network && a.at <= session.minted_at)
    {
        return Err(Refusal::NotApproved);
    }
    let destructive = known.shelf.profile.spec.destructive;
    let always = assignment.spec.boot_policy == BootPolicy::Always;
    if destructive && (always || !assignment.boot.armed_destructive) {
        return Err(Refusal::TurnedDestructive);
    }
    match session.first_used_at {
        Some(first) if now >= first + site.repeat_window => Err(Refusal::Spent),
        // Repeats give the same bytes while the machine is still on its way.
        Some(_) if assignment.boot.state == BootState::Delivered || always => Ok(()),
        None if always => Ok(()),
        None if assignment.boot.state == BootState::Booting && assignment.boot.attempts_left > 0 => Ok(()),
        _ => Err(Refusal::NotWaiting),
    }
}

/// Whether the holder of this session's genuine config token is a second machine beside the one
/// that boots: it asks from another network than the one that was last started, or was delivered
/// its config; or its session was ended by that of another address. Its token may be stolen, or its
/// own and superseded.
pub fn rival(session: &Session, known: &Known, peer: IpAddr, site: &Site, now: Timestamp) -> Option<Rival> {
    let assignment = &known.assignment;
    let record = assignment.boot.settled(site, now);
    if session.generation != assignment.boot.generation
        || assignment.spec.quarantined
        || !is_live(&record, site, now)
    {
        return None;
    }
    let before = record.asked_from?;
    let elsewhere = site.token_network(before) != site.token_network(peer);
    let lost = session.revoked && session.ip.to_canonical() != before && peer.to_canonical() != before;
    (elsewhere || lost).then_some(Rival::Place(before))
}

/// Whether the session's report token may still report. Reports are taken after the window has
/// ended, so that a slow install can still say that it is done, but not from an older window.
pub fn may_report(session: &Session, known: &Known, peer: IpAddr) -> Result<(), Refusal> {
    // A final report ends the session: nothing can turn `installed` into `failed` afterwards.
    if session.revoked || session.generation != known.assignment.boot.generation {
        return Err(Refusal::Revoked);
    }
    if !session.network.contains(&peer.to_canonical()) {
        return Err(Refusal::Elsewhere);
    }
    Ok(())
}
