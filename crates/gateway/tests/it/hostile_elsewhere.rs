//! Rows whose tests stand in other modules, and rows of what is not served yet.
//!
//! Always true: the test of each row is there (`hostile_table` looks).

use hale_testkit::FakeUpstream;

use crate::hostile_table::Row;
use crate::support::{hale, lone};

/// Number, input, answer, test.
type Line = (&'static str, &'static str, &'static str, &'static str);

const PROVEN: &[Line] = &[];

const NOT_SERVED: &[(&str, &str, &str)] = &[];

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
fn row_32_a_certificate_for_the_listener_is_refused_rather_than_ignored() {
    let upstream = FakeUpstream::start();
    for flag in ["--ssl_certfile_path", "--ssl_keyfile_path"] {
        let run = hale().config(&lone(&upstream).text()).arg("--config").arg("config.yaml");
        let done = run.arg(flag).arg("server.pem").run();
        assert_eq!(done.code(), Some(2), "{}", done.stderr);
        assert!(done.stderr.contains(flag), "{}", done.stderr);
    }
}
