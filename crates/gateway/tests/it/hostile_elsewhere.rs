//! Rows whose tests are in other modules, and rows of what is not served yet.
//!
//! Always true: the test of each row is there (`hostile_table` looks).

use hale_testkit::FakeUpstream;

use crate::hostile_table::Row;
use crate::support::{hale, lone};

/// Number, input, answer, test.
type Line = (&'static str, &'static str, &'static str, &'static str);

const PROVEN: &[Line] = &[
    (
        "70",
        "a form of exactly `max_request_size_mb` (100 MiB), and one byte more",
        "served; 413 `body_too_large`",
        "a_form_of_exactly_100_mib_passes_and_one_byte_more_does_not",
    ),
    (
        "78",
        "a transcription that is HTML, sound, nothing, or JSON where a text was asked for and the reverse",
        "502 `bad_response` that names what came",
        "a_transcription_of_the_wrong_type_is_a_failed_attempt",
    ),
    (
        "2",
        "a file that may not be read",
        "78: `permission denied: its mode is 0640 and its owner uid 0; this process runs as uid 1000`",
        "a_file_that_may_not_be_read_names_mode_and_users",
    ),
    (
        "30",
        "no or a published master key on an address that others reach",
        "78, with both ways out",
        "a_published_or_missing_key_on_a_public_address_is_refused_with_both_ways_out",
    ),
    (
        "31",
        "a port in use",
        "1: `cannot listen on …; another process listens there, choose another --port`",
        "a_port_in_use_is_reported_with_a_fix",
    ),
    (
        "31",
        "an address of another machine",
        "1: `cannot listen on …; the address is not assigned to this machine`",
        "an_address_of_another_machine_is_reported",
    ),
    (
        "32",
        "a certificate for the listener without its key, or a key without its certificate",
        "78: the flags are named, and nothing starts",
        "half_a_certificate_for_the_listener_is_refused_rather_than_ignored",
    ),
    (
        "74",
        "a client that leaves in the middle of a stream",
        "the upstream is released at once, the record says `client_closed`, no deployment is blamed",
        "a_client_that_leaves_in_the_middle_of_a_stream_frees_the_upstream",
    ),
    (
        "87",
        "429 with a `retry-after` of 10^12 s",
        "429 with `retry-after: 3600`",
        "an_endless_retry_after_is_not_passed_on",
    ),
    (
        "95",
        "events with every line ending, a byte order mark, comments, cut anywhere, without a last line end",
        "served",
        "every_way_to_write_events_is_accepted",
    ),
    (
        "96",
        "an event that is no JSON",
        "skipped, the stream goes on",
        "a_malformed_event_in_the_middle_is_skipped",
    ),
    (
        "96",
        "an event beyond `max_response_size_mb`",
        "`gateway`; in the stream: `answer_too_large`",
        "a_long_event_passes_and_an_endless_one_is_refused",
    ),
    (
        "97",
        "two finish reasons, events after `[DONE]`, a jump of the index, negative usage",
        "served; nothing follows `[DONE]`",
        "odd_events_are_tolerated",
    ),
    (
        "98",
        "a stream that is cut",
        "in the stream: `upstream_stream_interrupted`: `the stream broke off and is not complete`, no `[DONE]`",
        "a_cut_after_content_is_an_error_in_the_stream",
    ),
    (
        "98",
        "a stream that ends in half an event",
        "in the stream: `upstream_stream_interrupted`; the half is not shown",
        "a_half_event_at_the_end_is_not_shown_as_content",
    ),
    (
        "99",
        "arguments of tools that are no JSON, ids twice or missing",
        "between equal formats passed on as they are; between others left out where `length` cut them \
         off, else text under `invalid_arguments`, and a missing id is made",
        "tool_arguments_that_are_not_json_are_passed_on",
    ),
    (
        "100",
        "an answer that is too slow",
        "408 `upstream_timeout`: `no answer within … s`",
        "an_attempts_own_time_is_a_408_and_is_not_repeated_at_the_same_deployment",
    ),
    (
        "100",
        "a refusal before the request was read",
        "relayed",
        "a_refusal_that_comes_before_the_body_was_read_is_relayed",
    ),
    (
        "100",
        "an answer that was not requested",
        "its connection is closed, no client gets it",
        "an_unrequested_answer_reaches_no_client",
    ),
    (
        "F02",
        "a connect without an answer",
        "the attempt's time, then the next deployment; it trips",
        "an_unanswered_connect_ends_with_the_attempts_time_and_moves_on",
    ),
    (
        "F04",
        "a head that drips byte by byte",
        "408 `upstream_timeout`: the attempt's time is for the whole head",
        "a_head_that_drips_is_within_the_attempts_time_as_a_whole",
    ),
    (
        "F05",
        "a first byte that is late but in time",
        "an answer like any other",
        "a_late_first_byte_within_the_timeout_ejects_nothing_and_costs_traffic",
    ),
    (
        "F10",
        "garbage behind the JSON, `NaN`, ten thousand levels",
        "502 `bad_response`",
        "an_answer_that_is_not_json_to_its_end_is_a_failed_attempt",
    ),
    (
        "F11",
        "lengths such as `+5`",
        "502 `bad_response`; the connection is not used again",
        "a_length_that_is_not_a_plain_number_is_not_http",
    ),
    (
        "F12",
        "chunks that lie, a bomb of trailers",
        "502 `stream_cut`; the connection is not used again",
        "chunks_with_wrong_sizes_are_a_failed_attempt",
    ),
    (
        "69",
        "a document for OCR whose data URL is not base64",
        "400: the field is named, and no upstream is called",
        "what_is_missing_or_broken_in_a_request_is_named",
    ),
    (
        "80",
        "an answer of the wrong type: a page or an error where sound is expected, sound where JSON is, `{}`, \
         images and pages that are no base64, an empty list",
        "502 `bad_response` with the reason; the sibling gets the whole request",
        "an_answer_of_the_wrong_type_is_a_failure_and_the_sibling_answers",
    ),
    (
        "80",
        "an answer about files or batches that is a page, sound, nothing or another object; a page in place \
         of a file",
        "502 `bad_response` that names what came",
        "an_answer_about_a_file_of_the_wrong_type_is_named_for_what_it_is",
    ),
    (
        "76",
        "a request to `/v1/realtime` that is no handshake, or a broken one",
        "426 `upgrade_required`, 400 `bad_websocket_key`: no upstream is called",
        "a_request_that_is_not_a_handshake_is_told_what_is_missing",
    ),
    (
        "98",
        "a WebSocket whose upstream is lost",
        "the client gets a close, 1011, with the reason; in the middle of a frame the connection is cut",
        "a_lost_upstream_is_a_close_with_its_reason",
    ),
    (
        "98",
        "sound that stops in the middle",
        "what came is passed on, the connection breaks, the deployment is charged",
        "sound_that_stops_in_the_middle_is_a_broken_connection_and_charged",
    ),
    (
        "F13",
        "an answer beyond `max_response_size_mb`, declared or not",
        "502 `answer_too_large`, cause `gateway`: `the answer of … bytes is larger than the … bytes that \
         max_response_size_mb in general_settings permits`; nothing is tried again, no deployment is blamed",
        "an_answer_beyond_the_limit_is_an_error_of_the_gateway",
    ),
    (
        "F13",
        "an answer without an end",
        "the same as soon as it is too long; memory stays flat",
        "an_endless_answer_is_cut_and_fills_no_memory",
    ),
    (
        "F13",
        "an error page without an end",
        "its status; at most 64 KiB are read",
        "an_error_page_of_any_size_is_read_within_bounds",
    ),
    (
        "F14",
        "an event without an end",
        "cause `gateway`: `an event of the stream is larger than the … bytes that max_response_size_mb in \
         general_settings permits`; nothing is tried again; memory stays flat",
        "an_endless_event_ends_the_stream_and_fills_no_memory",
    ),
    (
        "F15",
        "damaged compressed answers of any kind, whole and as streams",
        "502 `bad_response`: `the compressed answer (gzip) is damaged`; a sound one is unpacked",
        "compression_is_not_requested_and_a_damaged_answer_is_a_failed_attempt",
    ),
    (
        "F16",
        "a wrong encoding label, half a gzip stream",
        "502 `bad_response`; of an error only its status is shown",
        "a_wrong_label_is_believed_and_an_encoded_error_is_not_shown",
    ),
    (
        "F17",
        "redirects of every kind",
        "404 `not_found`; nothing is sent to the other address, no credential either",
        "a_redirect_is_never_followed",
    ),
    (
        "F18",
        "a server that speaks no TLS",
        "502 `tls`",
        "tls_to_a_server_that_speaks_none_is_said_to_be_tls",
    ),
    (
        "F19",
        "a name that does not resolve",
        "502 `dns`: `the name … does not resolve`",
        "a_name_that_does_not_resolve_is_said_to_be_dns",
    ),
    (
        "F19",
        "a resolver that fails or is silent",
        "the last good addresses serve for 10 minutes",
        "the_last_good_addresses_serve_for_ten_minutes_while_the_resolver_fails",
    ),
    (
        "F19",
        "a name whose address changes",
        "followed within 30 s",
        "a_name_that_moves_is_followed_within_half_a_minute",
    ),
    (
        "F19",
        "a name one of whose addresses is dead",
        "the next address is tried",
        "a_dead_address_gives_way_to_the_next",
    ),
    (
        "F20",
        "no name service at all",
        "502 `dns`; each request still tries, nothing is refused without an attempt",
        "without_any_name_service_no_deployment_is_refused_to_the_requests",
    ),
    (
        "F23",
        "an empty account",
        "`quota`: every deployment with that key is in cooldown",
        "an_empty_account_stops_every_deployment_that_pays_from_it",
    ),
    (
        "F24",
        "a refused key",
        "`auth`: cooldown if it has a sibling; a new key is tried at once",
        "a_refused_key_ejects_at_once_and_a_new_one_is_tried_at_once",
    ),
    (
        "F25",
        "a burst of failures",
        "it is ejected, and comes back with a small share",
        "after_a_burst_of_failures_a_deployment_comes_back_with_a_small_share",
    ),
    (
        "F26",
        "a deployment that comes and goes",
        "it is asked less than a fifth of the time",
        "a_flapping_member_is_not_seen_by_clients_and_gets_less_than_a_fifth",
    ),
    (
        "F30",
        "unknown error codes",
        "judged by the status",
        "unknown_error_codes_are_judged_by_their_status",
    ),
    (
        "F32",
        "a flood of informational answers",
        "502 `bad_response` after ten",
        "a_flood_of_informational_answers_is_a_failed_attempt",
    ),
    (
        "F42",
        "SIGTERM with 500 streams",
        "all finish, all are recorded, exit 0",
        "five_hundred_streams_finish_and_then_the_process_ends",
    ),
    (
        "F42",
        "streams beyond the limit of the shutdown",
        "end with `shutting_down`, recorded as the gateway's doing",
        "a_stream_that_outlasts_the_limit_ends_with_the_reason_and_counts_against_no_deployment",
    ),
    (
        "F42",
        "requests beyond the limit of the shutdown",
        "cut, said in the log, exit 0",
        "what_outlasts_the_limit_is_cut",
    ),
    ("F43", "a second signal", "the process ends at once", "a_second_signal_ends_at_once"),
    (
        "F43",
        "a log that a killed process left in the middle of a line",
        "the next record stands on a line of its own",
        "a_record_after_a_crash_stands_on_a_line_of_its_own",
    ),
    (
        "F44",
        "a changed config that is invalid, empty or no text",
        "reported with its place; the one in force stays",
        "a_bad_file_changes_nothing_and_is_reported_where_it_is_wrong",
    ),
    (
        "F44",
        "a config that is deleted",
        "reported; the one in force stays until there is a new one",
        "a_deleted_file_keeps_serving_and_a_new_one_is_found",
    ),
    (
        "F44",
        "a config that is half written",
        "ends up in force when it is whole",
        "a_file_that_is_written_in_two_steps_ends_up_in_force",
    ),
    (
        "F44",
        "11 MiB, a directory or a FIFO in place of the config",
        "reported; the one in force stays",
        "whatever_takes_the_place_of_the_config_the_one_in_force_stays",
    ),
    (
        "F44",
        "a link that is swapped, as config maps do",
        "followed",
        "a_link_that_is_swapped_as_config_maps_do_is_followed",
    ),
    (
        "F45",
        "a reload that removes a deployment with streams",
        "they finish on what they began with",
        "a_stream_in_flight_finishes_on_what_it_began_with",
    ),
    (
        "F46",
        "64 descriptors and 200 idle clients",
        "the longest idle make room; half of the descriptors are kept for upstreams; no deployment is blamed",
        "with_64_descriptors_idle_clients_keep_no_client_out_and_no_deployment_is_blamed",
    ),
    (
        "F46",
        "64 descriptors and 100 requests",
        "those that do not fit wait at the door, then all are served",
        "with_64_descriptors_the_streams_that_fit_are_served_and_the_others_wait",
    ),
    (
        "F47",
        "256 MiB of memory and many large bodies",
        "503 `overloaded` with `retry-after` beyond a quarter of the limit",
        "with_256_mebibytes_bodies_are_shed_before_memory_ends",
    ),
    (
        "F47",
        "bodies beyond `max_buffered_mb` together",
        "503 `overloaded` with `retry-after`",
        "bodies_held_by_all_requests_together_are_bounded",
    ),
    (
        "F49",
        "a panic in our own code",
        "500 `internal_error` to that request, what it held is given back, the process goes on",
        "a_panic_is_an_answer_and_gives_back_what_was_held",
    ),
    (
        "F49",
        "a panic in a worker or in a reload",
        "counted and logged; the worker begins anew, the config in force stays",
        "a_panic_outside_of_requests_is_counted_and_what_failed_begins_anew",
    ),
    (
        "F50",
        "a client that leaves before the answer",
        "the upstream is let go at once",
        "a_client_that_leaves_before_the_answers_head_frees_the_upstream",
    ),
    (
        "F50",
        "a client that leaves while it sends",
        "the request ends, no upstream is called",
        "a_client_that_leaves_while_sending_is_not_an_error_of_the_gateway",
    ),
    (
        "F50",
        "a client that leaves with a second request under way",
        "the attempt is given up at once",
        "a_client_that_leaves_with_a_second_request_waiting_frees_the_upstream_too",
    ),
    (
        "F50",
        "a client that reads slowly",
        "the upstream waits, memory stays flat",
        "a_slow_reader_holds_back_the_upstream_instead_of_filling_memory",
    ),
    (
        "F50",
        "a client that takes nothing for 30 s",
        "let go, and its upstream with it",
        "a_client_that_takes_nothing_for_half_a_minute_is_let_go",
    ),
    (
        "F50",
        "a head that drips",
        "closed after `header_read_timeout_s` as a whole",
        "a_slow_head_is_closed_even_when_it_drips",
    ),
    (
        "F50",
        "a body that stops coming",
        "408 `slow_body`, and the connection is closed",
        "a_body_that_stops_coming_is_refused",
    ),
    (
        "F50",
        "hundreds of half-open connections",
        "others are served",
        "thousands_of_open_connections_do_not_keep_others_out",
    ),
    (
        "F50",
        "pipelined requests",
        "answered in their order",
        "pipelined_requests_are_answered_in_their_order",
    ),
    (
        "42",
        "a budget that is used up",
        "429 `budget_exceeded` with whose it is, until when, and `retry-after`",
        "a_providers_budget_moves_traffic_to_others_and_then_says_until_when",
    ),
    (
        "43",
        "a rate limit of our own",
        "429 with the limit and the exact `retry-after`; nothing is sent",
        "usage_based_routing_serves_exactly_rpm_at_each_and_names_the_time",
    ),
];

const NOT_SERVED: &[(&str, &str, &str)] = &[
    (
        "27",
        "a chain of fallbacks",
        "legal: each group is visited once per request, and `max_fallbacks` bounds their number",
    ),
    ("41", "a key that may not use the model", "not served yet: there is the master key only"),
    ("44", "many wrong keys from one address", "401 each: no address is locked out"),
    (
        "73",
        "a request beyond the context window",
        "the provider's to judge: 400 `context_length_exceeded`",
    ),
    ("75", "requests to administrate", "not served yet: there is no such endpoint"),
    ("F48", "a callback that blocks", "cannot be: no foreign code runs in the process"),
];

/// The rows of this module.
pub(crate) fn rows() -> Vec<Row> {
    let proven = PROVEN.iter().map(|(number, input, answer, test)| Row {
        number,
        input,
        answer: (*answer).to_owned(),
        test,
    });
    let not_served = NOT_SERVED.iter().map(|(number, input, why)| Row {
        number,
        input,
        answer: (*why).to_owned(),
        test: "",
    });
    proven.chain(not_served).collect()
}

#[test]
fn half_a_certificate_for_the_listener_is_refused_rather_than_ignored() {
    // Bad input, row 32.
    let upstream = FakeUpstream::start();
    for flag in ["--ssl_certfile_path", "--ssl_keyfile_path"] {
        let run = hale().config(&lone(&upstream).text()).arg("--config").arg("config.yaml");
        let done = run.arg(flag).arg("server.pem").run();
        assert_eq!(done.code(), Some(78), "{}", done.stderr);
        assert!(done.stderr.contains(flag), "{}", done.stderr);
    }
}

#[test]
fn an_address_of_another_machine_is_reported() {
    // Bad input, row 31.
    let upstream = FakeUpstream::start();
    let run = hale().config(&lone(&upstream).text());
    let args = ["--config", "config.yaml", "--host", "203.0.113.7", "--port", "0"];
    let done = args.into_iter().fold(run, |run, arg| run.arg(arg)).run();
    assert_eq!(done.code(), Some(1), "{}", done.stderr);
    assert!(done.stderr.contains("cannot listen on 203.0.113.7:0"), "{}", done.stderr);
    assert!(done.stderr.contains("the address is not assigned to this machine"), "{}", done.stderr);
}
