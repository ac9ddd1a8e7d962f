//! Answers about failed boots as the API and the command line give them: one shape for both.

use moxxie_core::trouble::ipxe::Decoded;
use moxxie_core::trouble::pxe::PxeCode;
use moxxie_core::trouble::{Hit, Symptom, search};
use serde::Serialize;

/// What was found.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Troubleshooting {
    /// Symptoms, the best first.
    pub items: Vec<SymptomItem>,
    /// The error code in the query, explained.
    pub code: Option<ExplainedCode>,
    /// Why an error code in the query could not be read.
    pub note: Option<String>,
    /// Always null: everything is in one part.
    pub next: Option<String>,
}

/// One thing that goes wrong.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SymptomItem {
    id: &'static str,
    title: &'static str,
    /// Words and codes as they stand on the screen.
    #[schema(value_type = Vec<String>)]
    seen: &'static [&'static str],
    cause: &'static str,
    check: &'static str,
    fix: &'static str,
    /// Dialects of network-config that it concerns in particular.
    #[schema(value_type = Vec<String>)]
    vendors: &'static [&'static str],
    #[schema(value_type = Vec<String>)]
    sources: &'static [&'static str],
}

/// An error code and what it means.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ExplainedCode {
    /// As it stands on the screen: `3e11623b`, `PXE-E53`.
    pub code: String,
    /// `ipxe` or `pxe`.
    pub kind: &'static str,
    /// One, or one for each firmware that gives the code a meaning of its own.
    pub meanings: Vec<Meaning>,
    /// What the digits of an iPXE code say.
    pub parts: Option<IpxeParts>,
    /// Symptoms to read on with.
    pub symptoms: Vec<&'static str>,
}

/// What a code means.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Meaning {
    /// Who prints it: `iPXE`, `BIOS` or `UEFI`.
    pub firmware: &'static str,
    /// In one line.
    pub title: String,
    /// Why it happens.
    pub cause: String,
    /// What to run or look at.
    pub check: &'static str,
    /// What to do.
    pub fix: &'static str,
}

/// The parts of an iPXE code.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct IpxeParts {
    /// The kind of error by its POSIX name.
    pub posix: &'static str,
    /// What that name means.
    pub means: &'static str,
    /// The source file of iPXE; null for a number that is not known here.
    pub file: Option<&'static str>,
    /// What that file does.
    pub subsystem: Option<&'static str>,
    /// Number of the cause within kind and file; 0 is none in particular.
    pub cause: u32,
    /// iPXE's words for exactly this error.
    pub named: Option<&'static str>,
    /// The last two digits, which differ between BIOS and UEFI.
    pub platform: Option<u8>,
    /// The error's page in iPXE's own wiki.
    pub page: String,
}

impl Troubleshooting {
    /// Looks for codes and words; see [`search`].
    pub fn about(query: &str) -> Troubleshooting {
        let mut found = Troubleshooting { items: vec![], code: None, note: None, next: None };
        let mut firmware = vec![];
        for hit in search(query) {
            match hit {
                Hit::Ipxe(decoded) => found.code = Some(ExplainedCode::ipxe(&decoded)),
                Hit::Unreadable(why) => found.note = Some(why.to_string()),
                Hit::Pxe(code) => firmware.push(code),
                Hit::Symptom(symptom) => found.items.push(SymptomItem::of(symptom)),
            }
        }
        if let Some(code) = ExplainedCode::pxe(&firmware) {
            found.code = Some(code);
        }
        found
    }
}

impl SymptomItem {
    fn of(symptom: &Symptom) -> SymptomItem {
        let Symptom { id, title, seen, cause, check, fix, vendors, sources } = *symptom;
        SymptomItem { id, title, seen, cause, check, fix, vendors, sources }
    }
}

impl ExplainedCode {
    /// A code of iPXE.
    pub fn ipxe(decoded: &Decoded) -> ExplainedCode {
        ExplainedCode {
            code: decoded.code.to_string(),
            kind: "ipxe",
            meanings: vec![Meaning {
                firmware: "iPXE",
                title: decoded.title.clone(),
                cause: decoded.cause.clone(),
                check: decoded.check,
                fix: decoded.fix,
            }],
            parts: Some(IpxeParts {
                posix: decoded.kind.0,
                means: decoded.kind.1,
                file: decoded.file.map(|file| file.name),
                subsystem: decoded.file.map(|file| file.subsystem()),
                cause: decoded.code.cause(),
                named: decoded.named,
                platform: decoded.code.platform(),
                page: format!("https://ipxe.org/err/{}", decoded.code.page()),
            }),
            symptoms: decoded.symptoms.to_vec(),
        }
    }

    /// A code of PXE firmware, by its meanings; `None` when there are none.
    pub fn pxe(meanings: &[&'static PxeCode]) -> Option<ExplainedCode> {
        let code = meanings.first()?.code();
        let mut symptoms: Vec<&str> = meanings.iter().filter_map(|meaning| meaning.symptom()).collect();
        symptoms.dedup();
        let meanings = meanings.iter().map(|meaning| Meaning {
            firmware: meaning.firmware,
            title: meaning.text.to_owned(),
            cause: meaning.cause.to_owned(),
            check: meaning.check(),
            fix: meaning.fix(),
        });
        Some(ExplainedCode { code, kind: "pxe", meanings: meanings.collect(), parts: None, symptoms })
    }
}
