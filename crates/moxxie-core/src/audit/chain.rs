//! The hash chain. Each record's hash is SHA-256 over the hash of the record before it and its own
//! bytes, so that nothing can be changed, taken out, put in or moved without every later hash
//! being another one. Whoever can write the database can compute them all anew: only a hash that
//! was kept elsewhere shows that.

use super::AuditRecord;
use crate::asset::Digest;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;

/// A record as it is stored. The values are the texts that were hashed, not what a JSON reader
/// makes of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chained {
    /// Position in the log, without gaps.
    pub seq: i64,
    /// When; to the millisecond.
    pub at: Timestamp,
    /// See [`AuditRecord::actor`].
    pub actor: String,
    /// See [`AuditRecord::action`].
    pub action: String,
    /// See [`AuditRecord::target`].
    pub target: String,
    /// See [`AuditRecord::peer`].
    pub peer: Option<String>,
    /// JSON text.
    #[serde(with = "json_text")]
    pub before: Option<String>,
    /// JSON text.
    #[serde(with = "json_text")]
    pub after: Option<String>,
    /// The hash of the record before.
    pub prev: Digest,
    /// This record's hash.
    pub hash: Digest,
}

/// JSON texts go into JSON as they are, byte by byte, and come out so.
mod json_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::value::RawValue;

    pub fn serialize<S: Serializer>(text: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
        let raw = text.clone().map(RawValue::from_string).transpose();
        raw.map_err(serde::ser::Error::custom)?.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
        let raw = Option::<Box<RawValue>>::deserialize(deserializer)?;
        Ok(raw.map(|raw| raw.get().to_owned()))
    }
}

impl Chained {
    /// The record, following the one with hash `prev` at position `seq - 1`.
    pub fn follow(prev: Digest, seq: i64, record: &AuditRecord) -> Chained {
        // `null` stands for nothing in JSON, and comes out of it as nothing.
        let text = |value: &Option<serde_json::Value>| {
            value.as_ref().filter(|value| !value.is_null()).map(|value| value.to_string())
        };
        let mut chained = Chained {
            seq,
            at: record.at,
            actor: record.actor.clone(),
            action: record.action.clone(),
            target: record.target.clone(),
            peer: record.peer.clone(),
            before: text(&record.before),
            after: text(&record.after),
            prev,
            hash: prev,
        };
        chained.hash = chained.computed(seq, prev);
        chained
    }

    /// The hash that this content has at this place: SHA-256 over a version, the hash before, seq
    /// and time as 8 bytes each, and the texts, each behind its length.
    pub fn computed(&self, seq: i64, prev: Digest) -> Digest {
        let mut hash = Sha256::new();
        hash.update(b"moxxie audit 1");
        hash.update(prev.0);
        hash.update(seq.to_be_bytes());
        hash.update(self.at.0.to_be_bytes());
        let always = [&self.actor, &self.action, &self.target].map(Some);
        let perhaps = [self.peer.as_ref(), self.before.as_ref(), self.after.as_ref()];
        for text in always.into_iter().chain(perhaps) {
            // Lengths keep two fields from running into each other; nothing is not an empty text.
            hash.update(text.map_or(u64::MAX, |text| text.len() as u64).to_be_bytes());
            hash.update(text.map_or("", String::as_str));
        }
        Digest(hash.finalize().into())
    }

    /// The record without its place in the chain; `None` when a value is not JSON.
    pub fn record(&self) -> Option<AuditRecord> {
        let value = |text: &Option<String>| match text {
            None => Some(None),
            Some(text) => serde_json::from_str(text).ok().map(Some),
        };
        Some(AuditRecord {
            seq: self.seq,
            at: self.at,
            actor: self.actor.clone(),
            action: self.action.clone(),
            target: self.target.clone(),
            peer: self.peer.clone(),
            before: value(&self.before)?,
            after: value(&self.after)?,
        })
    }
}

/// A record's place and hash, as people keep it: `SEQ:HASH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Position in the log.
    pub seq: i64,
    /// Its hash.
    pub hash: Digest,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
    }
}

impl FromStr for Link {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = "write SEQ:HASH as `moxxie audit verify` printed it";
        let (seq, hash) = text.split_once(':').ok_or(wanted)?;
        let seq = seq.parse().ok().filter(|seq| *seq >= 0).ok_or(wanted)?;
        Ok(Link { seq, hash: hash.parse().map_err(|_| wanted)? })
    }
}

/// Where a log begins: its first record, and the hash that this one follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// The position of the first record.
    pub first: i64,
    /// The hash of the one before it, which is kept no more.
    pub hash: Digest,
}

/// What is wrong with a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// A record is not what was written.
    Changed,
    /// A record is gone.
    Missing,
    /// A record stands in another one's place.
    Reordered,
    /// The log ends too early.
    Truncated,
    /// A record was put in.
    Inserted,
    /// The log is another one than the one whose hash was kept.
    Rewritten,
    /// The record whose hash was kept is older than what is kept of the log.
    Pruned,
}

/// The first thing that is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Where.
    pub seq: i64,
    /// What.
    pub what: What,
    /// The same in words.
    pub detail: String,
}

impl Problem {
    fn new(seq: i64, what: What, detail: impl Into<String>) -> Problem {
        Problem { seq, what, detail: detail.into() }
    }
}

/// Reads a log from its first record to its last and says whether it is what was written.
#[derive(Debug, Clone)]
pub struct Verifier {
    base: Base,
    last: Link,
    /// How many records were read.
    pub records: u64,
    remembered: Option<Link>,
    found: bool,
}

impl Verifier {
    /// A log that begins here. `remembered` is a link of it that was kept elsewhere.
    pub fn new(base: Base, remembered: Option<Link>) -> Verifier {
        let last = Link { seq: base.first - 1, hash: base.hash };
        Verifier { base, last, records: 0, remembered, found: remembered == Some(last) }
    }

    /// The position of the first record.
    pub fn first(&self) -> i64 {
        self.base.first
    }

    /// The newest record that was read, or what the first one follows.
    pub fn last(&self) -> Link {
        self.last
    }

    /// Takes the next records, in their order in the log.
    pub fn take(&mut self, records: &[Chained]) -> Result<(), Problem> {
        for (index, record) in records.iter().enumerate() {
            let (seq, prev) = (self.last.seq + 1, self.last.hash);
            if record.prev == prev && record.seq == seq && record.computed(seq, prev) == record.hash {
                self.last = Link { seq, hash: record.hash };
                self.records += 1;
                match self.remembered {
                    Some(kept) if kept.seq == seq && kept.hash != record.hash => {
                        return Err(Problem::new(
                            seq,
                            What::Rewritten,
                            format!("its hash is not {}", kept.hash),
                        ));
                    }
                    Some(kept) => self.found |= kept.seq == seq,
                    None => {}
                }
                continue;
            }
            // The record that belongs here may stand further on.
            let further = &records[index + 1..];
            if further.iter().any(|other| other.computed(seq, prev) == other.hash) {
                return Err(Problem::new(seq, What::Reordered, "another record stands in its place"));
            }
            return Err(match record.seq {
                found if found > seq => {
                    let detail = format!("the next record is {found}: {} missing", found - seq);
                    Problem::new(seq, What::Missing, detail)
                }
                found if found < seq => {
                    Problem::new(found, What::Reordered, format!("it stands where {seq} belongs"))
                }
                _ => Problem::new(seq, What::Changed, "its hash is not that of its content"),
            });
        }
        Ok(())
    }

    /// Says whether this was all, where the log's own account of its newest record is known.
    pub fn end(&self, head: Option<Link>) -> Result<(), Problem> {
        let last = self.last;
        if let Some(head) = head {
            if head.seq > last.seq {
                let detail = format!("the log had {} more", head.seq - last.seq);
                return Err(Problem::new(last.seq + 1, What::Truncated, detail));
            }
            if head.seq < last.seq {
                let detail = "the log says that it ends before this record";
                return Err(Problem::new(head.seq + 1, What::Inserted, detail));
            }
            if head.hash != last.hash {
                return Err(Problem::new(
                    last.seq,
                    What::Changed,
                    "it is not the record that the log ends with",
                ));
            }
        }
        match self.remembered {
            Some(kept) if !self.found && kept.seq < self.base.first - 1 => {
                let detail = format!("the log is kept from {} on: use a newer hash", self.base.first);
                Err(Problem::new(kept.seq, What::Pruned, detail))
            }
            Some(kept) if !self.found && kept.seq > last.seq => {
                Err(Problem::new(kept.seq, What::Truncated, format!("the log ends at {}", last.seq)))
            }
            Some(kept) if !self.found => {
                Err(Problem::new(kept.seq, What::Rewritten, format!("its hash is not {}", kept.hash)))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
