//! The catalogue of bad input as one table: every row has its tests, which exist, or the reason
//! why there is none yet.

use std::path::Path;

/// What stands for a row.
enum Row {
    /// `file::function` below `crates/`, one each.
    Tests(&'static [&'static str]),
    /// There is no such input in this version.
    NotYet(&'static str),
}
use Row::{NotYet, Tests};

const CLAIMS: &str = "moxxie/tests/it/bad_input.rs::identities";
const MAC: &str = "moxxie-core/src/mac.rs::every_common_spelling_is_one_address";
const MACS: &str = "moxxie-core/src/mac.rs::refusals_say_why";
const URLS: &str = "moxxie/tests/it/bad_input.rs::urls_and_queries";
const WIRE: &str = "moxxie/tests/it/bad_input.rs::what_only_bytes_on_a_wire_show";
const SMUGGLED: &str = "moxxie/tests/it/bad_headers.rs::two_lengths_end_the_connection_and_hide_nothing";
const NAMES: &str = "moxxie/tests/it/bad_input.rs::names_arguments_and_templates";
const WORDS: &str = "moxxie-core/tests/ipxe_hostile.rs::the_corpus_is_refused_or_harmless";
const JSON: &str = "moxxie/tests/it/bad_input.rs::bodies";
const FILES: &str = "moxxie/tests/it/bad_input.rs::uploads";
const PLANTED: &str = "moxxie/tests/it/bad_input.rs::planted_links_and_pipes_are_refused_without_a_hang";
const TOKENS: &str = "moxxie/tests/it/bad_input.rs::tokens";
const DATA: &str = "moxxie/tests/it/bad_input.rs::what_machines_write_stays_data";
const PATHS: &str =
    "moxxie/tests/it/threats/t08_traversal.rs::t08_every_path_of_every_route_keeps_to_its_folder";
const RANGE: &str = "moxxie/src/http/range.rs::one_range_or_everything";
const YAML: &str = "moxxie/src/cli/yaml.rs::bombs_are_refused";
const INSIDE: &str =
    "moxxie/tests/it/threats/t09_imports_inside.rs::t09_no_spelling_of_an_inner_address_is_asked";
const WEB: &str = "moxxie/tests/it/threats/t09_imports_inside.rs::t09_only_plain_web_addresses_are_read";

/// First and last row, and what tries them.
const ROWS: &[(u32, u32, Row)] = &[
    (1, 8, Tests(&[CLAIMS, MAC])),
    (9, 10, Tests(&[CLAIMS, MACS])),
    (11, 12, Tests(&[CLAIMS, MACS])),
    (13, 13, Tests(&[CLAIMS, "moxxie-core/src/boot/claims.rs::bad_labels"])),
    (14, 15, Tests(&[CLAIMS, MACS])),
    (
        16,
        16,
        Tests(&[CLAIMS, "moxxie-core/src/boot/claims.rs::reads_labels_and_treats_unset_ones_as_absent"]),
    ),
    (
        17,
        17,
        Tests(&[
            CLAIMS,
            "moxxie-core/src/boot/claims.rs::duplicates_never_pick_a_winner",
            "moxxie/src/http/extract/query.rs::neither_first_nor_last_wins",
        ]),
    ),
    (
        18,
        18,
        Tests(&[
            CLAIMS,
            "moxxie-core/src/machine.rs::uuid_spellings_and_both_byte_orders",
            "moxxie/tests/it/boot.rs::a_pinned_uuid_is_known_in_both_byte_orders_and_by_itself",
        ]),
    ),
    (19, 20, Tests(&[CLAIMS, "moxxie-core/src/machine.rs::placeholders_are_nobody"])),
    (21, 21, Tests(&[CLAIMS, "moxxie-core/src/machine.rs::uuid_spellings_and_both_byte_orders"])),
    (22, 22, Tests(&[CLAIMS, "moxxie/tests/it/boot.rs::conflicting_identities_get_the_disk_and_an_event"])),
    (
        23,
        23,
        Tests(&[
            "moxxie/tests/it/bad_input.rs::unknown_machines_without_number_leave_a_bounded_trace",
            "moxxie/src/events.rs::messages_that_the_client_chooses_do_not_fill_the_log",
        ]),
    ),
    (24, 25, Tests(&[URLS, WIRE])),
    (26, 26, Tests(&[URLS, PATHS])),
    (
        27,
        27,
        Tests(&[
            URLS,
            WIRE,
            "moxxie/tests/it/threats/t05_script_injection.rs::t05_what_machines_say_of_themselves",
        ]),
    ),
    (28, 28, Tests(&[URLS, "moxxie/src/http/extract/query.rs::decodes_once_and_keeps_the_plus", PATHS])),
    (
        29,
        31,
        Tests(&[NAMES, WORDS, "moxxie/tests/it/threats/t05_script_injection.rs::t05_what_people_write"]),
    ),
    (
        32,
        32,
        Tests(&[
            NAMES,
            "moxxie-core/src/name.rs::node_names",
            "moxxie-core/src/ipxe/text.rs::keeps_what_it_can",
        ]),
    ),
    (33, 33, Tests(&[NAMES, WORDS])),
    (34, 34, Tests(&[NAMES, "moxxie-core/src/render/args.rs::length_is_bounded"])),
    (35, 35, Tests(&[NAMES, "moxxie-core/src/render/tests.rs::a_value_stays_inside_its_kernel_argument"])),
    (36, 43, Tests(&[URLS, PATHS])),
    (44, 44, Tests(&[URLS, FILES, "moxxie-core/src/name.rs::file_names_are_labels_not_paths"])),
    (
        45,
        46,
        Tests(&[
            PLANTED,
            "moxxie-store/src/assets/tests/folder.rs::links_pipes_and_folders_are_refused",
            "moxxie/tests/it/watch.rs::what_is_no_file_for_a_shelf_is_passed_over",
        ]),
    ),
    (47, 48, Tests(&[URLS, RANGE])),
    (49, 49, Tests(&[URLS, "moxxie/src/http/range.rs::conditions"])),
    (50, 50, Tests(&[URLS, WIRE])),
    (51, 51, Tests(&[URLS, WIRE, SMUGGLED])),
    (
        52,
        52,
        Tests(&[
            URLS,
            WIRE,
            "moxxie/tests/it/boot.rs::links_follow_the_host_that_was_asked_or_the_public_url",
        ]),
    ),
    (53, 53, Tests(&[WIRE, SMUGGLED])),
    (54, 54, Tests(&[WIRE, "moxxie/src/http/extract/json.rs::a_body_that_never_comes_is_given_up"])),
    (55, 55, Tests(&[JSON])),
    (56, 56, Tests(&[URLS])),
    (57, 58, Tests(&[YAML, JSON])),
    (
        59,
        59,
        Tests(&["moxxie/src/cli/yaml.rs::refusals", "moxxie/src/cli/yaml.rs::nothing_is_retyped", JSON]),
    ),
    (60, 62, Tests(&[JSON, "moxxie/src/http/extract/json.rs::what_json_parsers_quietly_accept_is_refused"])),
    (
        63,
        63,
        Tests(&[
            NAMES,
            "moxxie-core/src/render/tests.rs::bombs_are_stopped",
            "moxxie/tests/it/threats/t07_templates.rs::t07_a_bomb_that_a_value_lights_harms_nobody_else",
        ]),
    ),
    (
        64,
        65,
        Tests(&[
            NAMES,
            "moxxie/tests/it/threats/t07_templates.rs::t07_a_template_reads_its_own_machine_and_nothing_else",
        ]),
    ),
    (66, 66, Tests(&[NAMES, "moxxie-core/src/render/tests.rs::errors_have_line_column_and_name"])),
    (67, 67, Tests(&[NAMES, "moxxie-core/src/render/tests.rs::output_is_bounded"])),
    (68, 69, Tests(&[FILES, "moxxie/tests/it/uploads.rs::sizes_digests_and_names"])),
    (
        70,
        70,
        Tests(&[
            "moxxie/tests/it/iso_hostile.rs::names_that_lead_elsewhere_refuse_the_image",
            "moxxie/tests/it/iso_hostile.rs::links_stay_inside",
            "moxxie/tests/it/iso_hostile.rs::folders_that_run_in_circles_are_refused",
            "moxxie/tests/it/iso_hostile.rs::a_million_files_are_too_many",
            "moxxie/tests/it/iso_hostile.rs::extents_lie_inside_of_the_image",
            "moxxie/tests/it/iso_hostile.rs::rock_ridge_wins_over_joliet",
            "moxxie/tests/it/fuzz_corpus.rs::every_saved_input_is_judged_as_by_the_fuzzer",
        ]),
    ),
    // The one archive that is read is a bundle, by the command line.
    (
        71,
        71,
        Tests(&["moxxie/src/cli/bundle/import.rs::hostile_bundles_are_refused_before_anything_is_sent"]),
    ),
    // Not parsed: an initrd goes out as it came in.
    (72, 72, Tests(&["moxxie/tests/it/bad_values.rs::archives_and_initrds_are_bytes"])),
    (73, 73, Tests(&[INSIDE, "moxxie/src/import/address.rs::inner_addresses_are_refused_in_every_spelling"])),
    (74, 74, Tests(&[WEB, "moxxie/src/import/address.rs::only_plain_web_urls"])),
    (
        75,
        75,
        Tests(&[
            "moxxie/tests/it/threats/t09_imports_inside.rs::t09_no_redirect_leads_inside",
            "moxxie/tests/it/imports.rs::redirects_are_followed_as_far_as_the_rules_go",
        ]),
    ),
    (76, 76, Tests(&[INSIDE])),
    (77, 77, Tests(&[WEB])),
    (78, 78, Tests(&["moxxie/tests/it/imports.rs::hostile_and_broken_servers"])),
    // No JSON web token is known here: each of them is an unknown token.
    (79, 80, Tests(&[TOKENS])),
    (
        81,
        81,
        Tests(&[
            "moxxie/tests/it/boot.rs::every_bad_token_gets_the_same_answer_and_consumes_nothing",
            "moxxie-core/src/token.rs::every_single_change_of_a_token_is_refused",
        ]),
    ),
    (
        82,
        82,
        Tests(&[
            TOKENS,
            "moxxie/tests/it/boot.rs::every_bad_token_gets_the_same_answer_and_consumes_nothing",
        ]),
    ),
    (
        83,
        83,
        Tests(&[
            "moxxie/tests/it/bad_input.rs::parallel_redemptions_have_one_first_use",
            "moxxie/tests/process/replicas.rs::sixty_four_redemptions_are_one_delivery_and_its_repeats",
        ]),
    ),
    (
        84,
        84,
        Tests(&[
            "moxxie/tests/it/bad_headers.rs::nobody_is_who_a_header_says",
            "moxxie/tests/it/threats/t10_forwarded_headers.rs::t10_the_matrix_of_header_shapes",
        ]),
    ),
    (
        85,
        85,
        Tests(&[
            "moxxie/tests/it/bad_headers.rs::a_proxys_preamble_is_no_request",
            "moxxie/tests/process/t10_proxy_protocol.rs::t10_the_header_is_mandatory_for_listed_proxies_and_nobody_else",
        ]),
    ),
    (
        86,
        86,
        Tests(&[
            "moxxie-core/src/net/tests.rs::mapped_addresses_count_as_ipv4",
            "moxxie/tests/it/boot.rs::policies_networks_and_changes_of_profile",
        ]),
    ),
    (
        87,
        88,
        Tests(&[
            "moxxie-core/src/net/tests.rs::bad_texts_are_named_with_what_was_meant",
            "moxxie-core/src/net/tests.rs::every_address_has_to_be_said",
            "moxxie/tests/it/bad_values.rs::networks_that_mean_something_else_are_refused",
        ]),
    ),
    (89, 89, Tests(&["moxxie-core/src/net/tests.rs::a_hundred_thousand_networks"])),
    (90, 90, NotYet("nobody shows a certificate: there is no TLS listener that asks for one")),
    (
        91,
        91,
        Tests(&[
            "moxxie/tests/it/bad_headers.rs::a_page_elsewhere_changes_nothing",
            "moxxie/tests/it/roles.rs::what_only_reads_leaves_no_trace",
        ]),
    ),
    (92, 92, Tests(&["moxxie/tests/it/bad_headers.rs::nothing_is_taken_for_a_page"])),
    (93, 93, NotYet("no CSV is read or written; lists come as JSON and YAML, see row 59")),
    (
        94,
        94,
        Tests(&[
            "moxxie/tests/it/cves/scripts.rs::cve_2019_10141_sql_in_a_lookup",
            "moxxie/tests/it/api.rs::lists_are_paged_and_filtered_literally",
        ]),
    ),
    (
        95,
        95,
        Tests(&[
            "moxxie/src/http/api/v1/page.rs::limits_and_cursors",
            "moxxie/tests/it/bad_values.rs::pages_and_cursors",
        ]),
    ),
    (96, 96, Tests(&[DATA, "moxxie/src/http/middleware.rs::tokens_do_not_reach_the_log"])),
    (
        97,
        97,
        Tests(&[
            "moxxie-core/tests/switches.rs::hostile_values_reach_no_script",
            "moxxie/tests/it/network_config.rs::values_that_could_end_a_command_are_refused_by_name",
        ]),
    ),
    (98, 98, NotYet("nothing is read from Proxmox yet; names of machines are tried in rows 29 to 32")),
    (
        99,
        99,
        Tests(&[DATA, "moxxie/tests/it/boot.rs::reports_are_bounded_cleaned_and_only_for_their_machine"]),
    ),
    (100, 100, Tests(&[DATA, "moxxie-core/tests/ipxe_hostile.rs::identify_asks_only_the_url_it_was_given"])),
];

#[test]
fn every_row_is_somewhere() {
    let mut next = 1;
    for (first, last, row) in ROWS {
        assert_eq!(*first, next, "row {next} is missing or out of order");
        assert!(last >= first);
        next = last + 1;
        match row {
            NotYet(why) => assert!(why.len() > 20, "row {first}: why?"),
            Tests(tests) => {
                assert!(!tests.is_empty(), "row {first}");
                tests.iter().for_each(|test| exists(test, *first));
            }
        }
    }
    assert_eq!(next, 101, "a hundred rows");
}

/// A function of this name stands in this file, below `#[test]` or one of its relatives.
fn exists(test: &str, row: u32) {
    let (file, function) = test.split_once("::").unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    let source = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("row {row}: {file}: {e}"));
    let mark = format!("fn {function}(");
    let at = source.find(&mark).unwrap_or_else(|| panic!("row {row}: {file} has no {function}"));
    let above: Vec<&str> = source[..at].lines().rev().take(4).collect();
    assert!(
        above.iter().any(|line| line.contains("test]") || line.contains("tokio::test(")),
        "row {row}: {test} is no test"
    );
}
