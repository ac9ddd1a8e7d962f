//! What was done to others, tried here: one test for each advisory that has a surface in Moxxie,
//! named after it. Each says what happened there and what is asked of Moxxie.
//!
//! | file | class |
//! |---|---|
//! | `templates` | templates that read or run what they should not |
//! | `scripts` | words that become commands: boot scripts, shells, SQL |
//! | `paths` | names that lead elsewhere |
//! | `access` | doors that open by themselves |
//! | `secrets` | secrets in too many hands, in logs, in traces |
//! | `egress` | what the server fetches, and what it tells whom it asks |
//!
//! Tried elsewhere, by this name:
//!
//! - CVE-2026-45723 (Omni; a version that leads elsewhere in an upstream URL): versions and
//!   schematics are names with a grammar, in `cli/asset/fetch/talos.rs`, `versions_and_schematics`.
//! - RUSTSEC-2025-0111, 2026-0067, 2026-0112, 2026-0113 (tar readers; entries that hide in others):
//!   only the command line reads archives, its own bundles, and believes nothing in them:
//!   `cli/bundle/import.rs`, `hostile_bundles_are_refused_before_anything_is_sent`.
//! - RUSTSEC-2024-0358 (object_store; a token in logs): `moxxie-store/src/assets/s3.rs`,
//!   `answers_are_not_repeated`.
//! - RUSTSEC-2024-0332 and 2026-0258 (h2): nothing here listens for HTTP/2, `bad_input.rs` row 50.
//!
//! Without a surface here, and therefore without a test:
//!
//! - CVE-2026-42510 (Ironic; commands by way of an IPMI console), CVE-2021-20256 in its IPMI part:
//!   no power control, no BMC.
//! - CVE-2026-43003 and CVE-2024-44082 as such (Ironic; `qemu-img` and `file` on hostile images):
//!   images are stored and sent, and no program is started for them. What remains, the bytes, is
//!   tried in `egress`.
//! - RUSTSEC-2025-0168 (zip) and CVE-2025-29781 (Metal3; secrets of another namespace): no zip, no
//!   namespaces. Profiles are the nearest thing, tried in `secrets`.
//! - CVE-2022-3874, CVE-2014-0007 (Foreman; a TFTP proxy that runs commands): no TFTP, no proxy.
//! - CVE-2023-45229 to 45237, CVE-2023-40547 (PixieFail, shim): in the firmware of machines.

mod access;
mod egress;
mod paths;
mod scripts;
mod secrets;
mod templates;
