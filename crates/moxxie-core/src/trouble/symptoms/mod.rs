//! What one sees when a machine does not boot, why, and what to do. Texts are for operators.

mod address;
mod load;
mod site;
mod start;

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symptom {
    /// Its name in links: small letters, digits and hyphens.
    pub id: &'static str,
    /// What one sees, in one line.
    pub title: &'static str,
    /// Words and codes as they stand on the screen.
    pub seen: &'static [&'static str],
    /// Why it happens.
    pub cause: &'static str,
    /// What to run or look at.
    pub check: &'static str,
    /// What to do.
    pub fix: &'static str,
    /// The switch dialects it concerns in particular, by name; empty where it concerns all.
    pub vendors: &'static [&'static str],
    /// Where this is known from: files of projects, documents, threads.
    pub sources: &'static [&'static str],
}

/// All of them, in the order of a boot.
pub fn all() -> impl Iterator<Item = &'static Symptom> {
    [address::SYMPTOMS, load::SYMPTOMS, start::SYMPTOMS, site::SYMPTOMS].into_iter().flatten()
}

/// The one of this name.
pub fn symptom(id: &str) -> Option<&'static Symptom> {
    all().find(|symptom| symptom.id == id)
}

/// Those that concern a switch dialect in particular, in the order of a boot.
pub fn for_dialect(name: &str) -> impl Iterator<Item = &'static Symptom> {
    all().filter(move |symptom| symptom.vendors.contains(&name))
}
