//! The threats of `SECURITY.md`, each with a test of its name. Where a threat needs a process of its
//! own (a kill, a wire), its test stands in `tests/process` under the same name.

mod t15_guessing;
