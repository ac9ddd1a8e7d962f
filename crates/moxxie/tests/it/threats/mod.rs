//! The threats of `SECURITY.md`, each with a test of its name. Where a threat needs a process of its
//! own (a kill, a wire), its test stands in `tests/process` under the same name.

mod t01_another_nodes_config;
mod t02_racing_the_machine;
mod t04_replayed_tokens;
mod t05_script_injection;
mod t06_surprise_reinstall;
mod t07_templates;
mod t08_traversal;
mod t09_imports_inside;
mod t10_forwarded_headers;
mod t12_tampering;
mod t13_rogue_dhcp;
mod t15_guessing;
mod t16_roles_and_fields;
